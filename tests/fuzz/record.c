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
#include "machine/config.h"
#include "machine/record.h"
#include "mem/guest_mem.h"
#include "world.h"

#define PAYLOAD_MAX 4096u

static uint8_t file[1 << 16];
static size_t file_len;

static void put(const void *p, size_t len)
{
    if (len > sizeof(file) - file_len)
        len = sizeof(file) - file_len;
    memcpy(file + file_len, p, len);
    file_len += len;
}

/* What a file ought to have, and whether it has it. */
struct plan {
    unsigned modules;
    bool sane;
};

/* A chunk as record.c lays it out; sometimes its lengths are wrong: false. */
static bool put_chunk(struct fuzz *f, uint32_t kind, const void *p, size_t len)
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
    return head[2] == len && head[3] == n;
}

/* What config_put() makes of some machine, now and then spoilt. */
static const uint8_t *put_machine(struct fuzz *f, struct state_writer *w,
                                  size_t *len, struct plan *plan)
{
    struct machine_config cfg = {
        .cpus = fuzz8(f) < 240 ? 1 : fuzz8(f) & 15,
        .memory = fuzz8(f) < 240 ? 1 << 20 : fuzz_number(f),
        .append = fuzz8(f) & 1 ? "abcd" : NULL,
        .kernel = "kernel",
        .firmware = fuzz8(f) < 64 ? "firmware" : NULL,
        .disks = fuzz8(f) & 3,
        .modules = fuzz8(f) & 3,
        .no_reboot = fuzz8(f) & 1,
    };
    unsigned i;

    for (i = 0; i < 3; i++) {
        cfg.disk[i].path = "disk";
        cfg.disk[i].read_only = fuzz8(f) & 1;
        cfg.module[i].path = "module";
        cfg.module[i].text = fuzz8(f) & 1 ? "text" : NULL;
    }
    config_put(w, &cfg, NULL);
    state_begin(w, "origin", 0, 1);
    state_put(w, "seed", fuzz_number(f));
    state_put(w, "epoch", fuzz_number(f) >> 1);
    state_end(w);
    for (i = 0; i < cfg.disks; i++) {
        state_begin(w, "disk", i, 1);
        state_put(w, "size", fuzz_number(f) >> 1);
        state_end(w);
    }
    plan->modules = cfg.modules;
    plan->sane = cfg.cpus && cfg.cpus <= GUEST_VCPUS_MAX &&
                 align_down(cfg.memory, PAGE_SIZE);
    return state_writer_bytes(w, len);
}

static void put_config(struct fuzz *f, struct plan *plan)
{
    struct state_writer *w = state_writer_new();
    uint8_t spoilt[PAYLOAD_MAX];
    const uint8_t *bytes;
    size_t len;

    FUZZ_CHECK(w != NULL);
    bytes = put_machine(f, w, &len, plan);
    FUZZ_CHECK(bytes && len <= sizeof(spoilt));
    memcpy(spoilt, bytes, len);
    if (fuzz8(f) > 160) {
        world_spoil(spoilt, len, 1 + (fuzz8(f) & 3), f);
        plan->sane = false;
    }
    plan->sane &= put_chunk(f, RECORD_CONFIG, spoilt, len);
    state_writer_free(w);
}

static void put_any(struct fuzz *f)
{
    uint8_t payload[PAYLOAD_MAX];
    uint32_t kind = fuzz8(f) % (RECORD_END + 1);
    size_t len = fuzz16(f) % sizeof(payload), i;

    for (i = 0; i < len; i++)
        payload[i] = fuzz8(f) & 3; /* disk numbers, operations, results */
    put_chunk(f, kind, payload, len);
}

/* Whether it can be opened for sure. */
static bool make(struct fuzz *f)
{
    uint64_t version = RECORD_VERSION;
    struct plan plan = {0};
    unsigned i;

    file_len = 0;
    put("RFRECORD", 8);
    put(&version, sizeof(version));
    if (fuzz8(f) < 250)
        put_config(f, &plan);
    if (fuzz8(f) < 250)
        plan.sane &= put_chunk(f, RECORD_KERNEL, "kernel", 6);
    else
        plan.sane = false;
    for (i = 0; i < plan.modules; i++)
        plan.sane &= put_chunk(f, RECORD_MODULE, "module", 6);
    /* A reader looks one ahead, for an initrd. */
    plan.sane &= put_chunk(f, RECORD_KEYS, "k", 1);
    while (!fuzz_done(f))
        put_any(f);
    if (fuzz8(f) & 1) {
        file_len -= MIN(file_len, fuzz16(f) % 300);
        plan.sane = false;
    }
    return plan.sane;
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

    bool sane = make(f);

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
        FUZZ_CHECK(!sane && err.code && err.msg[0]);
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
