/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_out.c - a buffered file that ends well at any moment.
 */
#include "inspect/trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

int trace_out_open(struct trace_out *o, const char *file, const char *tail,
                   struct error *err)
{
    int e;

    o->name = file ? file : "stderr";
    o->tail = tail;
    o->fd = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                 : STDERR_FILENO;
    e = errno;
    if (o->fd < 0)
        return error_set(err, e, "cannot write %s: %s", file, strerror(e));
    o->owned = file;
    o->lively = !file || isatty(o->fd);
    o->seeks = file && lseek(o->fd, 0, SEEK_CUR) == 0;
    return 0;
}

/* Writes all of it, at `at` where that is possible. 0 or an errno. */
static int out_write(struct trace_out *o, const char *p, size_t len,
                     uint64_t at)
{
    while (len) {
        ssize_t n =
            o->seeks ? pwrite(o->fd, p, len, (off_t)at) : write(o->fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : EIO;
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

void trace_out_flush(struct trace_out *o)
{
    size_t tail = o->seeks ? strlen(o->tail) : 0, len = o->len;

    if (o->error || !len)
        return;
    memcpy(o->buf + len, o->tail, tail);
    o->len = 0;
    o->error = out_write(o, o->buf, len + tail, o->at);
    o->at += len;
}

void trace_out_put(struct trace_out *o, const char *text, size_t len)
{
    if (o->len + len > TRACE_BUFFER)
        trace_out_flush(o);
    if (o->error)
        return;
    memcpy(o->buf + o->len, text, len);
    o->len += len; /* last: a crash flushes whole records */
    if (o->lively)
        trace_out_flush(o);
}

void trace_out_close(struct trace_out *o)
{
    trace_out_flush(o);
    if (!o->seeks && !o->error)
        o->error = out_write(o, o->tail, strlen(o->tail), 0);
    if (o->owned && close(o->fd) && !o->error)
        o->error = errno;
}
