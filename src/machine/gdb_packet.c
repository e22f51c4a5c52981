/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_packet.c - framing: $payload#checksum, acknowledgements, hex.
 *                            [GDB manual, appendix E, "Overview"]
 */
#include "machine/gdb_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* --- hex --- */

char *gdb_hex(char *to, const void *from, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = from;

    while (len--) {
        *to++ = digits[*p >> 4];
        *to++ = digits[*p++ & 15];
    }
    *to = 0;
    return to;
}

static int gdb_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int gdb_unhex(void *to, size_t room, const char *from, size_t digits)
{
    uint8_t *out = to;

    if (digits % 2 || digits / 2 > room)
        return -1;
    for (size_t i = 0; i < digits; i += 2) {
        int hi = gdb_digit(from[i]), lo = gdb_digit(from[i + 1]);

        if (hi < 0 || lo < 0)
            return -1;
        *out++ = (uint8_t)(hi << 4 | lo);
    }
    return (int)(digits / 2);
}

bool gdb_number(const char **p, uint64_t *val)
{
    const char *start = *p;
    uint64_t v = 0;

    for (; gdb_digit(**p) >= 0; (*p)++)
        v = v << 4 | (unsigned)gdb_digit(**p);
    *val = v;
    return *p != start;
}

/* --- sending --- */

/*
 * Replies are small beside a socket's buffer: a debugger that does not read
 * them loses its connection rather than holding up the event thread.
 */
static void gdb_bytes(struct gdb *g, const void *p, size_t len)
{
    if (g->client.fd < 0 || g->broken)
        return;
    if (send(g->client.fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
        g->broken = true; /* not here: the packet is still being served */
}

void gdb_resend(struct gdb *g)
{
    if (g->out_len)
        gdb_bytes(g, g->out, g->out_len);
}

/* The payload is text without '#', '$', '}' and '*': nothing to escape. */
void gdb_send(struct gdb *g, const char *text)
{
    size_t len = strlen(text), i;
    uint8_t sum = 0;

    if (len + 5 > sizeof(g->out))
        return;
    for (i = 0; i < len; i++)
        sum = (uint8_t)(sum + (uint8_t)text[i]);
    g->out_len =
        (size_t)snprintf(g->out, sizeof(g->out), "$%s#%02x", text, sum);
    gdb_resend(g);
}

void gdb_print(struct gdb *g, const char *fmt, ...)
{
    char line[512], packet[2 * sizeof(line) + 2] = "O";
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n <= 0)
        return;
    gdb_hex(packet + 1, line, MIN((size_t)n, sizeof(line) - 1));
    gdb_send(g, packet);
}

/* --- receiving --- */

static void gdb_drop(struct gdb *g, size_t n)
{
    g->in_len -= n;
    memmove(g->in, g->in + n, g->in_len);
}

/* '}' c stands for c ^ 0x20. Returns the length. */
static size_t gdb_unescape(char *to, const uint8_t *from, size_t len)
{
    char *start = to;

    for (size_t i = 0; i < len; i++) {
        if (from[i] == '}' && i + 1 < len)
            *to++ = (char)(from[++i] ^ 0x20);
        else
            *to++ = (char)from[i];
    }
    *to = 0;
    return (size_t)(to - start);
}

static bool gdb_sum_good(const uint8_t *p, size_t len)
{
    uint8_t sum = 0, want;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return gdb_unhex(&want, 1, (const char *)p + len + 1, 2) == 1 &&
           want == sum;
}

/* A '$' is at the front. False: the rest is still to come. */
static bool gdb_packet(struct gdb *g)
{
    uint8_t *end = memchr(g->in, '#', g->in_len);
    size_t len, plain;
    bool good;

    if (!end || end + 3 > g->in + g->in_len)
        return false;
    len = (size_t)(end - g->in) - 1;
    good = gdb_sum_good(g->in + 1, len);
    plain = gdb_unescape(g->packet, g->in + 1, len);
    gdb_drop(g, len + 4);
    if (!g->no_ack)
        gdb_bytes(g, good ? "+" : "-", 1);
    if (good && !g->broken)
        gdb_command(g, g->packet, plain);
    return true;
}

/* Takes out a Ctrl-C that is not in a packet, where the byte is data. */
static bool gdb_interrupted(struct gdb *g)
{
    bool packet = false;

    for (size_t i = 0; i < g->in_len; i++) {
        if (g->in[i] == 3 && !packet) {
            g->in_len--;
            memmove(g->in + i, g->in + i + 1, g->in_len - i);
            return true;
        }
        packet = g->in[i] == '$' || (packet && g->in[i] != '#');
    }
    return false;
}

static void gdb_serve(struct gdb *g)
{
    while (g->in_len && !g->broken) {
        if (!g->held) {
            if (gdb_interrupted(g))
                gdb_interrupt(g);
            return; /* the rest is served when it has stopped */
        }
        if (g->in[0] == '$') {
            if (!gdb_packet(g))
                return;
            continue;
        }
        if (g->in[0] == '-')
            gdb_resend(g);
        gdb_drop(g, 1); /* '+', a late Ctrl-C, noise */
    }
}

void gdb_input(struct gdb *g)
{
    gdb_serve(g);
    if (g->broken)
        gdb_disconnect(g);
}
