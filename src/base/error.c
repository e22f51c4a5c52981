/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Newlines, escapes to a terminal, characters that were cut in two. */
static void make_printable(char *text)
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

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list ap;

    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    make_printable(err->msg);
    return -code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    char old[sizeof(err->msg)];
    va_list ap;
    size_t n;

    memcpy(old, err->msg, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    n = strlen(err->msg);
    snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
    make_printable(err->msg);
    return -err->code;
}
