/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "oci/signals.h"

#define MESSAGE_MAX (256 * KiB)
#define CRIU_NOTIFY 6

/* --- protobuf --- */

struct buf {
    uint8_t *data;
    size_t len, size;
    bool full;
};

static void put_varint(struct buf *b, uint64_t v)
{
    do {
        if (b->len == b->size) {
            b->full = true;
            return;
        }
        b->data[b->len++] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
        v >>= 7;
    } while (v);
}

/* Negative ones, too, as int32 are: sign-extended. */
static void put_number(struct buf *b, unsigned field, int64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, (uint64_t)v);
}

static void put_flag(struct buf *b, unsigned field, bool v)
{
    if (v)
        put_number(b, field, 1);
}

static void put_bytes(struct buf *b, unsigned field, const void *data,
                      size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    if (len > b->size - b->len) {
        b->full = true;
        return;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_text(struct buf *b, unsigned field, const char *text)
{
    if (text && text[0])
        put_bytes(b, field, text, strlen(text));
}

struct field {
    unsigned number;
    uint64_t value;      /* of a varint */
    const uint8_t *data; /* of a string or message */
    size_t len;
};

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    unsigned shift = 0;

    for (*v = 0; *p < end && shift < 64; shift += 7) {
        uint8_t c = *(*p)++;

        *v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

/* The next field; false at the end, or where it cannot be understood. */
static bool get_field(const uint8_t **p, const uint8_t *end, struct field *f)
{
    uint64_t tag;

    if (!get_varint(p, end, &tag) || !get_varint(p, end, &f->value))
        return false;
    f->number = (unsigned)(tag >> 3);
    f->data = *p;
    f->len = 0;
    if ((tag & 7) == 0)
        return true;
    if ((tag & 7) != 2 || f->value > (size_t)(end - *p))
        return false;
    f->len = f->value;
    *p += f->len;
    return true;
}

/* --- the request --- */

static void put_pair(struct arena *a, struct buf *b, unsigned field,
                     const char *key, const char *text, int number)
{
    size_t size = strlen(key) + (text ? strlen(text) : 0) + 40;
    struct buf inner = {arena_alloc(a, size), 0, size, false};

    put_text(&inner, 1, key);
    if (text)
        put_text(&inner, 2, text);
    else
        put_number(&inner, 2, number);
    put_bytes(b, field, inner.data, inner.len);
}

static void put_options(struct arena *a, struct buf *b,
                        const struct criu_options *o)
{
    unsigned i;

    put_number(b, 1, o->images_dir);
    if (o->pid)
        put_number(b, 2, o->pid);
    put_flag(b, 3, o->leave_running);
    put_flag(b, 4, o->ext_unix_sk);
    put_flag(b, 5, o->tcp_established);
    put_flag(b, 7, o->shell_job);
    put_flag(b, 8, o->file_locks);
    put_number(b, 9, 4); /* log level: debug */
    put_text(b, 10, o->log_file);
    put_flag(b, 12, true); /* notify_scripts */
    put_text(b, 13, o->root);
    put_text(b, 14, o->parent);
    put_flag(b, 15, o->track_mem);
    put_flag(b, 16, o->auto_dedup);
    put_number(b, 17, o->work_dir);
    put_flag(b, 18, o->link_remap);
    for (i = 0; i < o->ext_mounts; i++)
        put_pair(a, b, 23, o->ext_mount[i].key, o->ext_mount[i].value, 0);
    put_flag(b, 26, o->sibling);
    for (i = 0; i < o->inherits; i++)
        put_pair(a, b, 27, o->inherit[i].key, NULL, o->inherit[i].fd);
    put_number(b, 34, 0); /* cgroups: ours, ignored there */
    for (i = 0; i < o->externals; i++)
        put_text(b, 37, o->external[i]);
    if (o->empty_net)
        put_number(b, 38, 0x40000000); /* CLONE_NEWNET */
    put_text(b, 44, o->freeze_cgroup);
    put_flag(b, 46, o->tcp_skip_in_flight);
    put_flag(b, 50, o->orphan_pts);
    put_text(b, 53, o->lsm_profile);
    put_text(b, 63, o->lsm_mount_context);
}

static int send_request(struct arena *a, int sock, enum criu_request type,
                        const struct criu_options *o, struct error *err)
{
    struct buf b = {arena_alloc(a, MESSAGE_MAX), 0, MESSAGE_MAX, false};
    struct buf inner = {arena_alloc(a, MESSAGE_MAX), 0, MESSAGE_MAX, false};

    put_options(a, &inner, o);
    put_number(&b, 1, type);
    put_bytes(&b, 2, inner.data, inner.len);
    if (b.full || inner.full)
        return error_set(err, E2BIG, "criu: too many mounts for a request");
    if (send(sock, b.data, b.len, MSG_NOSIGNAL) < 0)
        return error_set(err, errno, "criu: %s", strerror(errno));
    return 0;
}

/* --- the answer --- */

static void copy_text(char *out, size_t size, const struct field *f)
{
    size_t n = MIN(f->len, size - 1);

    memcpy(out, f->data, n);
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
}

/* `restore` and `notify`: a message of one number or text that we want. */
static void read_inner(struct criu_answer *a, const struct field *f)
{
    const uint8_t *p = f->data, *end = f->data + f->len;
    struct field x;

    while (get_field(&p, end, &x)) {
        if (f->number == 4 && x.number == 1)
            a->pid = (pid_t)x.value;
        if (f->number == 5 && x.number == 1)
            copy_text(a->script, sizeof(a->script), &x);
    }
}

void criu_answer_parse(struct criu_answer *a, const uint8_t *data, size_t len)
{
    const uint8_t *p = data, *end = data + len;
    struct field f;

    while (get_field(&p, end, &f)) {
        if (f.number == 1)
            a->type = (unsigned)f.value;
        else if (f.number == 2)
            a->success = f.value;
        else if (f.number == 4 || f.number == 5)
            read_inner(a, &f);
        else if (f.number == 9)
            copy_text(a->message, sizeof(a->message), &f);
    }
}

static bool receive(int sock, struct criu_answer *a)
{
    uint8_t data[4096];
    ssize_t n;

    memset(a, 0, sizeof(*a));
    n = fd_pass_receive(sock, data, sizeof(data), 0, &a->fd);
    if (n <= 0)
        return false;
    criu_answer_parse(a, data, (size_t)n);
    return true;
}

static int on_notify(const struct criu *c, int sock,
                     const struct criu_answer *a, struct error *err)
{
    uint8_t data[8];
    struct buf b = {data, 0, sizeof(data), false};
    int e = 0;

    if (!strcmp(a->script, "orphan-pts-master") && a->fd >= 0 && c->master)
        e = c->master(c->ctx, a->fd, err);
    put_number(&b, 1, CRIU_NOTIFY);
    put_number(&b, 3, !e);
    if (send(sock, b.data, b.len, MSG_NOSIGNAL) < 0 && !e)
        e = error_set(err, errno, "criu: %s", strerror(errno));
    return e;
}

static pid_t converse(const struct criu *c, int sock, struct error *err)
{
    struct criu_answer a;
    int e = 0;

    for (;;) {
        if (!receive(sock, &a))
            return e ? e
                     : error_set(err, EPIPE,
                                 "criu ended without an answer: is it "
                                 "installed (package criu)?");
        if (a.type != CRIU_NOTIFY)
            break;
        if (!e)
            e = on_notify(c, sock, &a, err);
        if (a.fd >= 0)
            close(a.fd);
    }
    if (e)
        return e;
    if (!a.success)
        return error_set(err, EIO,
                         "criu failed%s%s: see its log in the work "
                         "path",
                         a.message[0] ? ": " : "", a.message);
    return a.pid;
}

/* --- the process --- */

static void become_criu(const struct criu *c, int sock)
{
    const char *program = c->program ? c->program : "criu";
    struct error err;
    char fd[16];

    signals_block_only(0);
    signal(SIGPIPE, SIG_DFL);
    if (c->enter && c->enter(c->ctx, &err)) {
        dprintf(2, "ringfence: %s\n", err.msg);
        _exit(1);
    }
    snprintf(fd, sizeof(fd), "%d", sock);
    fcntl(sock, F_SETFD, 0);
    execlp(program, program, "swrk", fd, (char *)NULL);
    _exit(127);
}

pid_t criu_call(struct arena *a, const struct criu *c, enum criu_request type,
                const struct criu_options *o, struct error *err)
{
    int pair[2], e;
    pid_t pid, result = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return error_set(err, errno, "socketpair: %s", strerror(errno));
    pid = fork();
    if (!pid)
        become_criu(c, pair[1]);
    close(pair[1]);
    e = pid < 0 ? error_set(err, errno, "fork: %s", strerror(errno))
                : send_request(a, pair[0], type, o, err);
    if (!e || e == -EPIPE)
        result = converse(c, pair[0], err);
    close(pair[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return e && e != -EPIPE ? e : result;
}
