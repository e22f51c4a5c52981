/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <string.h>

/* By the first byte, as far as that tells. */
static unsigned expected(unsigned char first)
{
    return first < 0x80   ? 1
           : first < 0xc2 ? 0
           : first < 0xe0 ? 2
           : first < 0xf0 ? 3
           : first < 0xf5 ? 4
                          : 0;
}

unsigned utf8_length(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned n = expected(s[0]), i;

    if (n > left)
        return 0;
    for (i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

bool utf8_is(const char *text)
{
    size_t left = strlen(text), n = 1;

    for (; left && n; text += n, left -= n)
        n = utf8_length(text, left);
    return !left;
}

void utf8_make_printable(char *text)
{
    size_t left = strlen(text);

    while (left) {
        unsigned char c = (unsigned char)*text;
        unsigned n = utf8_length(text, left);
        bool control = c < 0x20 || c == 0x7f ||
                       (c == 0xc2 && (unsigned char)text[1] < 0xa0);

        n = MAX(n, 1u);
        if (control || (n == 1 && c >= 0x80))
            memset(text, '?', n);
        text += n;
        left -= n;
    }
}
