/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - writing and reading the file of a recorded run.
 *
 * The file may come from anywhere: each length is checked against the file,
 * and each payload has zstd's checksum, before anything believes it.
 */
#include "machine/record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/iov.h"
#include "base/log.h"
#include "machine/config.h"

#define MAGIC   "RFRECORD"
#define LEVEL   1         /* of zstd: the guest waits for it */
#define LEN_MAX (1 * GiB) /* of a payload */

struct record_file_head {
    char magic[8];
    uint32_t version, reserved;
};

struct record_head {
    uint32_t kind, reserved;
    uint64_t time;
    uint64_t len;    /* of the payload */
    uint64_t stored; /* of its zstd frame, which follows */
};

/* The payload of RECORD_DISK; what a read returned follows. */
struct record_disk {
    uint32_t disk, op;
    uint64_t off, len;
    int32_t rc;
    uint32_t unmap;
    uint64_t written; /* hash of what a write wrote */
};

static_assert(sizeof(struct record_file_head) == 16, "file head");
static_assert(sizeof(struct record_head) == 32, "chunk head");
static_assert(sizeof(struct record_disk) == 40, "disk operation");
static_assert(sizeof(struct record_end) == 16, "end");

struct recorder {
    int fd;
    const char *path;
    bool broken;
    ZSTD_CCtx *zstd;
    uint8_t *buf; /* compressed */
    size_t room;
    uint8_t *raw; /* a disk operation being put together */
    size_t raw_room;
};

struct replayer {
    int fd;
    char *path;
    uint64_t size, at; /* of the file; where the next chunk begins */
    ZSTD_DCtx *zstd;
    struct record_chunk chunk;
    bool have; /* `chunk` has not been used up */
    size_t room;
    uint8_t *buf;
    size_t buf_room;
    struct {
        int fd; /* a memfd */
        char path[32];
    } file[2 + MACHINE_MODULES_MAX]; /* kernel, initrd and so on */
    unsigned files;
    struct config_text text;
    struct record_origin origin;
    uint64_t disk_size[MACHINE_DISKS_MAX];
};

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static bool grow(uint8_t **buf, size_t *room, size_t want)
{
    uint8_t *p;

    if (want <= *room)
        return true;
    p = realloc(*buf, want);
    if (!p)
        return false;
    *buf = p;
    *room = want;
    return true;
}

/* --- writing --- */

static void recorder_fail(struct recorder *r, int e)
{
    r->broken = true;
    log_error("--record %s: %s; the guest goes on, unrecorded from here",
              r->path, strerror(e));
}

static void recorder_write(struct recorder *r, const void *buf, size_t len)
{
    int rc = r->broken ? 0 : fd_write(r->fd, buf, len);

    if (rc)
        recorder_fail(r, -rc);
}

void recorder_put(struct recorder *r, enum record_kind kind, uint64_t time,
                  const void *data, size_t len)
{
    struct record_head head = {.kind = kind, .time = time, .len = len};
    size_t bound = ZSTD_compressBound(len), n;

    if (r->broken)
        return;
    if (!grow(&r->buf, &r->room, sizeof(head) + bound)) {
        recorder_fail(r, ENOMEM);
        return;
    }
    n = ZSTD_compress2(r->zstd, r->buf + sizeof(head), bound, data, len);
    if (ZSTD_isError(n)) {
        recorder_fail(r, ENOMEM);
        return;
    }
    head.stored = n;
    memcpy(r->buf, &head, sizeof(head));
    recorder_write(r, r->buf, sizeof(head) + n); /* whole, or cut at the end */
}

static uint64_t iov_hash(const struct disk_request *req)
{
    uint64_t h = 0;
    unsigned i;

    for (i = 0; i < req->n; i++)
        h = hash64(h, req->iov[i].iov_base, req->iov[i].iov_len);
    return h;
}

void recorder_put_disk(struct recorder *r, uint64_t time, unsigned disk,
                       const struct disk_request *req, int rc)
{
    bool data = req->op == DISK_READ && !rc;
    size_t len = sizeof(struct record_disk) + (data ? req->len : 0);
    struct record_disk head = {.disk = disk,
                               .op = req->op,
                               .off = req->off,
                               .len = req->len,
                               .rc = rc,
                               .unmap = req->unmap};

    if (req->op == DISK_WRITE)
        head.written = iov_hash(req);
    if (!grow(&r->raw, &r->raw_room, len)) {
        recorder_fail(r, ENOMEM);
        return;
    }
    memcpy(r->raw, &head, sizeof(head));
    if (data)
        iov_get(req->iov, req->n, 0, r->raw + sizeof(head), req->len);
    recorder_put(r, RECORD_DISK, time, r->raw, len);
}

static int put_config(struct recorder *r, const struct machine_config *cfg,
                      const struct net_config *nets, const struct disk *disks,
                      const struct record_origin *o, struct error *err)
{
    struct state_writer *w = state_writer_new();
    const uint8_t *bytes = NULL;
    size_t len;
    unsigned i;

    if (!w)
        return no_memory(err);
    config_put(w, cfg, nets);
    state_begin(w, "origin", 0, 1);
    state_put(w, "seed", o->seed);
    state_put(w, "epoch", (uint64_t)o->epoch_ns);
    state_end(w);
    for (i = 0; i < cfg->disks; i++) {
        state_begin(w, "disk", i, 1);
        state_put(w, "size", disks[i].size);
        state_end(w);
    }
    bytes = state_writer_bytes(w, &len);
    if (bytes)
        recorder_put(r, RECORD_CONFIG, 0, bytes, len);
    state_writer_free(w);
    return bytes ? 0 : no_memory(err);
}

static int put_file(struct recorder *r, enum record_kind kind, const char *path,
                    struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), e = errno;
    void *p = MAP_FAILED;
    struct stat st;

    if (fd >= 0 && !fstat(fd, &st))
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        e = errno;
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED)
        return error_set(err, e, "%s: %s", path, strerror(e));
    recorder_put(r, kind, 0, p, (size_t)st.st_size);
    munmap(p, (size_t)st.st_size);
    return 0;
}

static int recorder_begin(struct recorder *r, const struct machine_config *cfg,
                          const struct net_config *nets,
                          const struct disk *disks,
                          const struct record_origin *o, struct error *err)
{
    struct record_file_head head = {.magic = MAGIC, .version = RECORD_VERSION};
    unsigned i;
    int e;

    r->zstd = ZSTD_createCCtx();
    if (!r->zstd)
        return no_memory(err);
    ZSTD_CCtx_setParameter(r->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(r->zstd, ZSTD_c_checksumFlag, 1);
    r->fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    e = errno;
    if (r->fd < 0)
        return error_set(err, e, "--record %s: %s", r->path, strerror(e));
    recorder_write(r, &head, sizeof(head));
    if (put_config(r, cfg, nets, disks, o, err) ||
        put_file(r, RECORD_KERNEL, cfg->firmware ? cfg->firmware : cfg->kernel,
                 err) ||
        (cfg->initrd && put_file(r, RECORD_INITRD, cfg->initrd, err)))
        return -err->code;
    for (i = 0; i < cfg->modules; i++)
        if (put_file(r, RECORD_MODULE, cfg->module[i].path, err))
            return -err->code;
    if (r->broken) /* it has been said why */
        return error_set(err, EIO, "--record %s: not begun", r->path);
    return 0;
}

int recorder_open(struct recorder **out, const char *path,
                  const struct machine_config *cfg,
                  const struct net_config *nets, const struct disk *disks,
                  const struct record_origin *o, struct error *err)
{
    struct recorder *r = calloc(1, sizeof(*r));

    if (!r)
        return no_memory(err);
    r->fd = -1;
    r->path = path;
    if (recorder_begin(r, cfg, nets, disks, o, err)) {
        recorder_close(r);
        return -err->code;
    }
    *out = r;
    return 0;
}

void recorder_close(struct recorder *r)
{
    if (r->fd >= 0 && close(r->fd) && !r->broken)
        recorder_fail(r, errno);
    ZSTD_freeCCtx(r->zstd);
    free(r->buf);
    free(r->raw);
    free(r);
}

/* --- reading --- */

static int bad_file(const struct replayer *r, struct error *err,
                    const char *what)
{
    return error_set(err, EIO, "%s: %s at byte %llu; the recording is damaged",
                     r->path, what, (unsigned long long)r->at);
}

/* The payload of the chunk at r->at into r->chunk. */
static int chunk_load(struct replayer *r, const struct record_head *head,
                      struct error *err)
{
    size_t n;

    if (head->kind < RECORD_CONFIG || head->kind > RECORD_END ||
        head->len > LEN_MAX)
        return bad_file(r, err, "no chunk of a recording");
    if (!grow(&r->buf, &r->buf_room, head->stored) ||
        !grow(&r->chunk.data, &r->room, head->len + 1))
        return no_memory(err);
    if (fd_read_at(r->fd, r->buf, head->stored, r->at + sizeof(*head)))
        return bad_file(r, err, "cannot read");
    n = ZSTD_decompressDCtx(r->zstd, r->chunk.data, head->len, r->buf,
                            head->stored);
    if (ZSTD_isError(n) || n != head->len)
        return bad_file(r, err, "a wrong checksum");
    r->chunk.kind = head->kind;
    r->chunk.time = head->time;
    r->chunk.len = head->len;
    r->at += sizeof(*head) + head->stored;
    r->have = true;
    return 0;
}

const struct record_chunk *replayer_next(struct replayer *r, struct error *err)
{
    struct record_head head;

    if (r->have)
        return &r->chunk;
    if (r->size - r->at < sizeof(head))
        return NULL; /* the end, or the beginning of a chunk that was cut */
    if (fd_read_at(r->fd, &head, sizeof(head), r->at)) {
        bad_file(r, err, "cannot read");
        return NULL;
    }
    if (head.stored > r->size - r->at - sizeof(head))
        return NULL;
    return chunk_load(r, &head, err) ? NULL : &r->chunk;
}

void replayer_done(struct replayer *r)
{
    r->have = false;
}

static bool disk_same(const struct record_disk *h, unsigned disk,
                      const struct disk_request *req)
{
    return h->disk == disk && h->op == req->op && h->off == req->off &&
           h->len == req->len && h->unmap == req->unmap &&
           (req->op != DISK_WRITE || h->written == iov_hash(req));
}

int replayer_disk(struct replayer *r, unsigned disk,
                  const struct disk_request *req, int *rc, struct error *err)
{
    const struct record_chunk *c = replayer_next(r, err);
    struct record_disk head;

    if (!c)
        return err->code ? -err->code
                         : error_set(err, ENODATA, "the recording ends here");
    if (c->kind != RECORD_DISK || c->len < sizeof(head))
        return error_set(err, EILSEQ, "there is no disk operation here");
    memcpy(&head, c->data, sizeof(head));
    if (!disk_same(&head, disk, req))
        return error_set(err, EILSEQ, "the disk operation is another");
    if (head.rc > 0 ||
        c->len !=
            sizeof(head) + (req->op == DISK_READ && !head.rc ? req->len : 0))
        return bad_file(r, err, "a disk operation of the wrong length");
    if (req->op == DISK_READ && !head.rc)
        iov_put(req->iov, req->n, 0, c->data + sizeof(head), req->len);
    *rc = head.rc;
    replayer_done(r);
    return 0;
}

static void get_disks(struct replayer *r, struct state_reader *s,
                      struct machine_config *cfg)
{
    unsigned i;

    for (i = 0; i < cfg->disks; i++) {
        state_open(s, "disk", i, 1);
        r->disk_size[i] =
            align_down(state_get_max(s, "size", INT64_MAX), DISK_SECTOR);
    }
}

static int get_config(struct replayer *r, const struct record_chunk *c,
                      struct machine_config *cfg, struct error *err)
{
    struct state_reader *s = state_reader_new(c->data, c->len, err);
    int rc;

    if (!s)
        return -err->code;
    config_get(s, cfg, &r->text);
    state_open(s, "origin", 0, 1);
    r->origin.seed = state_get(s, "seed");
    r->origin.epoch_ns = (int64_t)state_get_max(s, "epoch", INT64_MAX);
    get_disks(r, s, cfg);
    rc = state_result(s, err);
    state_reader_free(s);
    cfg->initrd = NULL; /* it has its own, or none */
    if (!rc && (!cfg->cpus || !cfg->memory))
        rc = bad_file(r, err, "a machine without CPUs or memory");
    return rc;
}

/* The payload as a file of its own, with a name that can be opened. */
static int get_file(struct replayer *r, const char **path, struct error *err)
{
    char *name = r->file[r->files].path;
    int fd = memfd_create("recorded", MFD_CLOEXEC);
    int rc = fd < 0 ? -errno : fd_write(fd, r->chunk.data, r->chunk.len);

    if (fd >= 0) {
        r->file[r->files++].fd = fd;
        snprintf(name, sizeof(r->file[0].path), "/proc/self/fd/%d", fd);
    }
    if (rc)
        return error_set(err, -rc, "unpacking the recording: %s",
                         strerror(-rc));
    *path = name;
    replayer_done(r);
    return 0;
}

static int get_modules(struct replayer *r, struct machine_config *cfg,
                       struct error *err)
{
    const struct record_chunk *c;
    unsigned i;

    for (i = 0; i < cfg->modules; i++) {
        c = replayer_next(r, err);
        if (!c || c->kind != RECORD_MODULE)
            return err->code ? -err->code : bad_file(r, err, "no module");
        if (get_file(r, &cfg->module[i].path, err))
            return -err->code;
    }
    return 0;
}

/*
 * Configuration, kernel (or the firmware, if the configuration has that), and
 * perhaps an initramfs and modules: what comes first.
 */
static int get_start(struct replayer *r, struct machine_config *cfg,
                     struct error *err)
{
    const struct record_chunk *c = replayer_next(r, err);

    if (!c || c->kind != RECORD_CONFIG)
        return err->code ? -err->code : bad_file(r, err, "no configuration");
    if (get_config(r, c, cfg, err))
        return error_prefix(err, "%s", r->path);
    replayer_done(r);
    c = replayer_next(r, err);
    if (!c || c->kind != RECORD_KERNEL)
        return err->code ? -err->code : bad_file(r, err, "no kernel");
    if (get_file(r, cfg->firmware ? &cfg->firmware : &cfg->kernel, err))
        return -err->code;
    if (cfg->firmware)
        cfg->kernel = NULL;
    c = replayer_next(r, err);
    if (c && c->kind == RECORD_INITRD && get_file(r, &cfg->initrd, err))
        return -err->code;
    if (!c && err->code)
        return -err->code;
    return get_modules(r, cfg, err);
}

static int replayer_begin(struct replayer *r, struct machine_config *cfg,
                          struct error *err)
{
    struct record_file_head head;
    struct stat st;

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st))
        return error_set(err, errno, "%s: %s", r->path, strerror(errno));
    r->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    if (r->size < sizeof(head) || fd_read_at(r->fd, &head, sizeof(head), 0) ||
        memcmp(head.magic, MAGIC, sizeof(head.magic)))
        return error_set(err, EINVAL,
                         "%s: not a recording; make one with --record",
                         r->path);
    if (head.version != RECORD_VERSION)
        return error_set(err, EINVAL,
                         "%s: a recording of version %u, and this program "
                         "replays version %u",
                         r->path, head.version, RECORD_VERSION);
    r->at = sizeof(head);
    r->zstd = ZSTD_createDCtx();
    if (!r->zstd)
        return no_memory(err);
    return get_start(r, cfg, err);
}

int replayer_open(struct replayer **out, const char *path,
                  struct machine_config *cfg, struct error *err)
{
    struct replayer *r = calloc(1, sizeof(*r));

    if (!r)
        return no_memory(err);
    r->fd = -1;
    r->path = strdup(path);
    err->code = 0;
    if (!r->path || replayer_begin(r, cfg, err)) {
        replayer_close(r);
        return err->code ? -err->code : no_memory(err);
    }
    cfg->replay = *out = r;
    return 0;
}

void replayer_close(struct replayer *r)
{
    if (r->fd >= 0)
        close(r->fd);
    while (r->files)
        close(r->file[--r->files].fd);
    ZSTD_freeDCtx(r->zstd);
    free(r->chunk.data);
    free(r->buf);
    config_text_free(&r->text);
    free(r->path);
    free(r);
}

const struct record_origin *replayer_origin(const struct replayer *r)
{
    return &r->origin;
}

uint64_t replayer_disk_size(const struct replayer *r, unsigned disk)
{
    return r->disk_size[disk];
}
