/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - hostile recordings: chunks of any kind, order and length, whose
 * frames and checksums are right, or cut. A reader goes through to the end as
 * a replay does, asking for disk operations on the way.
 */
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "base/state.h"
#include "fuzz.h"
#include "machine/record.h"

#define PAYLOAD_MAX 600u

static uint8_t file[1 << 16];
static size_t file_len;

static void put(const void *p, size_t len)
{
    if (len > sizeof(file) - file_len)
        len = sizeof(file) - file_len;
    memcpy(file + file_len, p, len);
    file_len += len;
}

/* A chunk as record.c lays it out; sometimes its lengths are wrong. */
static void put_chunk(struct fuzz *f, uint32_t kind, const void *p, size_t len)
{
    uint8_t frame[2 * PAYLOAD_MAX + 200];
    ZSTD_CCtx *z = ZSTD_createCCtx();
    size_t n;
    uint64_t head[4];

    FUZZ_CHECK(z != NULL);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    n = ZSTD_compress2(z, frame, sizeof(frame), p, len);
    FUZZ_CHECK(!ZSTD_isError(n));
    ZSTD_freeCCtx(z);
    head[0] = kind;
    head[1] = fuzz8(f);
    head[2] = fuzz8(f) < 250 ? len : fuzz_number(f);
    head[3] = fuzz8(f) < 250 ? n : fuzz_number(f);
    put(head, sizeof(head));
    put(frame, n);
}

static void put_config(struct fuzz *f)
{
    struct state_writer *w = state_writer_new();
    const uint8_t *bytes;
    unsigned disks = fuzz8(f) & 3, i;
    char name[16];
    size_t len;

    FUZZ_CHECK(w != NULL);
    state_begin(w, "machine", 0, 1);
    state_put(w, "cpus", fuzz8(f) < 240 ? 1 : fuzz_number(f));
    state_put(w, "memory", fuzz_number(f));
    state_put(w, "append_len", fuzz8(f) < 240 ? 5 : fuzz_number(f));
    state_put_blob(w, "append", "abcd", 5);
    state_put(w, "cpu_len", 0);
    state_put(w, "kernel_len", 0);
    state_put(w, "initrd_len", 0);
    state_put(w, "disks", fuzz8(f) < 240 ? disks : fuzz_number(f));
    for (i = 0; i < disks; i++) {
        snprintf(name, sizeof(name), "disk%u_len", i);
        state_put(w, name, 0);
        snprintf(name, sizeof(name), "disk%u_ro", i);
        state_put(w, name, fuzz8(f) & 1);
    }
    state_put(w, "no_reboot", fuzz8(f) & 1);
    state_end(w);
    state_begin(w, "origin", 0, 1);
    state_put(w, "seed", fuzz_number(f));
    state_put(w, "epoch", fuzz_number(f));
    state_end(w);
    for (i = 0; i < disks; i++) {
        state_begin(w, "disk", i, 1);
        state_put(w, "size", fuzz_number(f));
        state_end(w);
    }
    bytes = state_writer_bytes(w, &len);
    FUZZ_CHECK(bytes && len <= PAYLOAD_MAX);
    put_chunk(f, RECORD_CONFIG, bytes, len);
    state_writer_free(w);
}

static void put_any(struct fuzz *f)
{
    uint8_t payload[PAYLOAD_MAX];
    uint32_t kind = fuzz8(f) % 11;
    size_t len = fuzz16(f) % sizeof(payload), i;

    for (i = 0; i < len; i++)
        payload[i] = fuzz8(f) & 3; /* disk numbers, operations, results */
    put_chunk(f, kind, payload, len);
}

static void make(struct fuzz *f)
{
    uint64_t version = 2;

    file_len = 0;
    put("RFRECORD", 8);
    put(&version, sizeof(version));
    if (fuzz8(f) < 250)
        put_config(f);
    if (fuzz8(f) < 250)
        put_chunk(f, RECORD_KERNEL, "kernel", 6);
    while (!fuzz_done(f))
        put_any(f);
    if (fuzz8(f) & 1)
        file_len -= MIN(file_len, fuzz16(f) % 300);
}

static void request(struct fuzz *f, struct replayer *r)
{
    uint8_t buf[1024];
    struct iovec iov[2] = {{buf, fuzz16(f) % 512}, {buf + 512, 512}};
    struct disk_request req = {.op = fuzz8(f) % 5,
                               .iov = iov,
                               .n = 2,
                               .off = fuzz8(f) & 3,
                               .len = iov[0].iov_len + 512};
    struct error err = {0};
    int rc;

    if (replayer_disk(r, fuzz8(f) & 3, &req, &rc, &err)) {
        FUZZ_CHECK(err.code && err.msg[0]);
        replayer_done(r);
    } else {
        FUZZ_CHECK(rc <= 0);
    }
}

static void one(struct fuzz *f)
{
    struct machine_config cfg = {0};
    const struct record_chunk *c;
    struct fuzz again = *f;
    struct error err = {0};
    struct replayer *r;
    char path[32];
    int fd = memfd_create("recording", 0);

    make(f);
    FUZZ_CHECK(fd >= 0 && write(fd, file, file_len) == (ssize_t)file_len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!replayer_open(&r, path, &cfg, &err)) {
        FUZZ_CHECK(cfg.cpus && cfg.memory && cfg.disks <= MACHINE_DISKS_MAX);
        while ((c = replayer_next(r, &err))) {
            if (c->kind == RECORD_DISK)
                request(&again, r);
            else
                replayer_done(r);
        }
        replayer_close(r);
    } else {
        FUZZ_CHECK(err.code && err.msg[0]);
    }
    close(fd);
}

static const struct fuzz_target target = {
    .name = "record",
    .corpus = "record",
    .max_len = 3000,
    .runs = 4000,
    .one = one,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
