/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - see snapshot.h. The digest of RAM is the sum of the hashes of
 * its pages, each with its address; pages of zeroes do not count, so that it
 * does not matter what is a hole.
 */
#include "machine/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/disk_fork.h"
#include "machine/machine_int.h"

#define STATE_MAX (64 * MiB)
#define CHUNK     (1 * MiB) /* of memory, written at once */

struct snapshot {
    int memory;
    void *bytes; /* the state file, mapped */
    size_t len;
    struct state_reader *r;
    struct config_text text;
    uint64_t digest;
    uint32_t tsc_khz;
    bool forked;
};

static int fail(struct error *err, int e, const char *what, const char *dir)
{
    return error_set(err, e, "%s %s: %s", what, dir, strerror(e));
}

/* --- saving --- */

/* Pages [at, end), without those of zeroes; adds to the digest. */
static int save_run(const struct guest_mem *mem, int fd, uint64_t at,
                    uint64_t end, struct snapshot_job *j)
{
    int rc = 0;

    while (at < end && !rc) {
        uint64_t from;

        if (atomic_load(&j->stop))
            return -ECANCELED;
        while (at < end && guest_page_is_zero(mem->ram + at))
            at += PAGE_SIZE;
        from = at;
        while (at < end && at - from < CHUNK &&
               !guest_page_is_zero(mem->ram + at)) {
            j->digest += hash64(at, mem->ram + at, PAGE_SIZE);
            at += PAGE_SIZE;
        }
        rc = fd_write_at(fd, mem->ram + from, at - from, from);
    }
    return rc;
}

static int save_memory(struct snapshot_job *j, const struct guest_mem *mem)
{
    int fd =
        openat(j->fd, "memory", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint64_t at = 0, end;
    int rc = fd < 0 || ftruncate(fd, (off_t)mem->ram_size) ? -errno : 0;

    for (; !rc && guest_mem_data(mem, &at, &end); at = end)
        rc = save_run(mem, fd, at, end, j);
    if (fd >= 0 && close(fd) && !rc)
        rc = -errno;
    return rc;
}

/*
 * Everything but RAM. Devices first: saving one ends what it has under way,
 * which writes RAM and raises interrupts. Then whoever takes interrupts.
 */
static void put_state(struct machine *m, struct state_writer *w, bool fork)
{
    unsigned i;

    config_put(w, m->cfg, m->net_cfg);
    for (i = 0; i < m->devices; i++)
        m->device[i]->ops->save(m->device[i], w);
    console_save(&m->console, w);
    irqchip_save(&m->chip, w);
    for (i = 0; i < m->cfg->cpus; i++)
        vcpu_save(&m->cpu[i].cpu, w);
    for (i = 0; fork && i < m->cfg->disks; i++)
        disk_fork_save(&m->disk[i], w, i);
}

static void put_summary(const struct snapshot_job *j)
{
    state_begin(j->w, "snapshot", 0, 1);
    state_put(j->w, "time", j->time);
    state_put(j->w, "tsc_khz", j->tsc_khz);
    state_put(j->w, "devices", j->devices);
    state_put(j->w, "memory", j->digest);
    state_end(j->w);
}

static int write_state(struct state_writer *w, int fd, struct error *err)
{
    size_t len;
    const uint8_t *bytes = state_writer_bytes(w, &len);
    int rc = bytes && len <= STATE_MAX ? fd_write(fd, bytes, len) : 0;

    if (!bytes)
        return error_set(err, ENOMEM, "out of memory");
    if (len > STATE_MAX)
        return error_set(err, EFBIG,
                         "the machine's state is too big: the guest knows too "
                         "many files of its shared folders; in the guest: "
                         "echo 2 > /proc/sys/vm/drop_caches");
    return rc ? fail(err, -rc, "writing", "the machine's state") : 0;
}

static int take_state(struct machine *m, struct snapshot_job *j, bool fork,
                      struct error *err)
{
    j->w = state_writer_new();
    if (!j->w)
        return error_set(err, ENOMEM, "out of memory");
    loop_lock(&m->loop);
    put_state(m, j->w, fork);
    j->time = clock_now(&m->clock);
    loop_unlock(&m->loop);
    j->tsc_khz = m->cpu[0].cpu.tsc_khz;
    j->devices = m->devices;
    return 0;
}

/* Who copies an image while the machine stands still has all of it. */
static int settle_disks(struct machine *m, struct error *err)
{
    for (unsigned i = 0; i < m->cfg->disks; i++)
        if (disk_settle(&m->disk[i], err))
            return -err->code;
    return 0;
}

static int refuse_disks(const struct machine *m, struct error *err)
{
    for (unsigned i = 0; i < m->cfg->disks; i++)
        if (disk_fork_inherited(&m->disk[i]) && !m->disk[i].read_only)
            return error_set(err, ENOTSUP,
                             "snapshot: what a fork wrote to its disk (%s) "
                             "ends with it; snapshot its parent",
                             m->disk[i].path);
    return 0;
}

/* Written beside its place, then moved there: whole, or not at all. */
static int folder_make(struct snapshot_job *j, const char *dir,
                       struct error *err)
{
    struct stat st;

    if (!lstat(dir, &st))
        return error_set(err, EEXIST, "%s exists; give a new folder", dir);
    if ((size_t)snprintf(j->tmp, sizeof(j->tmp), "%s.part-%d", dir,
                         (int)getpid()) >= sizeof(j->tmp))
        return error_set(err, ENAMETOOLONG, "%s: too long a name", dir);
    memcpy(j->dir, dir, strlen(dir) + 1);
    if (mkdir(j->tmp, 0700))
        return fail(err, errno, "creating", dir);
    j->fd = open(j->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->fd >= 0)
        return 0;
    fail(err, errno, "opening", j->tmp);
    rmdir(j->tmp);
    return -err->code;
}

void snapshot_drop(struct snapshot_job *j)
{
    if (j->fd >= 0) {
        unlinkat(j->fd, "memory", 0);
        unlinkat(j->fd, "machine", 0);
        rmdir(j->tmp);
        close(j->fd);
    }
    j->fd = -1;
    state_writer_free(j->w);
    j->w = NULL;
}

int snapshot_begin(struct machine *m, struct snapshot_job *j, const char *dir,
                   struct error *err)
{
    memset(j, 0, sizeof(*j));
    j->fd = -1;
    if (refuse_disks(m, err) || folder_make(j, dir, err))
        return -err->code;
    if (!take_state(m, j, false, err) && !settle_disks(m, err))
        return 0;
    snapshot_drop(j);
    return -err->code;
}

static int save_files(struct snapshot_job *j, const struct guest_mem *mem,
                      struct error *err)
{
    int rc = save_memory(j, mem), fd;

    if (rc)
        return error_set(err, -rc, "memory: %s", strerror(-rc));
    put_summary(j);
    fd =
        openat(j->fd, "machine", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    rc = fd < 0 ? fail(err, errno, "creating", "machine")
                : write_state(j->w, fd, err);
    if (fd >= 0 && close(fd) && !rc)
        rc = fail(err, errno, "writing", "machine");
    return rc;
}

int snapshot_finish(struct snapshot_job *j, const struct guest_mem *mem,
                    struct error *err)
{
    int rc = save_files(j, mem, err);

    if (!rc && rename(j->tmp, j->dir))
        rc = fail(err, errno, "creating", j->dir);
    if (!rc) {
        close(j->fd);
        j->fd = -1; /* so that the files stay */
    }
    snapshot_drop(j);
    return rc;
}

int snapshot_save(struct machine *m, const char *dir, struct error *err)
{
    struct snapshot_job *j = malloc(sizeof(*j));
    int rc;

    if (!j)
        return error_set(err, ENOMEM, "out of memory");
    rc = snapshot_begin(m, j, dir, err);
    if (!rc)
        rc = snapshot_finish(j, &m->mem, err);
    free(j);
    return rc;
}

int snapshot_settle(struct machine *m, struct error *err)
{
    struct snapshot_job j = {.fd = -1};

    if (take_state(m, &j, false, err))
        return -err->code;
    snapshot_drop(&j);
    return 0;
}

int snapshot_save_state(struct machine *m, struct error *err)
{
    struct snapshot_job j = {.fd = -1};
    int fd;

    if (take_state(m, &j, true, err))
        return -err->code;
    put_summary(&j);
    fd = memfd_create("machine-state", MFD_CLOEXEC);
    if (fd < 0) {
        fail(err, errno, "creating", "the machine's state");
    } else if (write_state(j.w, fd, err)) {
        close(fd);
        fd = -1;
    }
    snapshot_drop(&j);
    return fd < 0 ? -err->code : fd;
}

/* --- opening --- */

static int bad(struct error *err, const char *dir, const char *why)
{
    return error_set(err, EINVAL, "%s: %s", dir, why);
}

static int open_state(struct snapshot *s, int fd, const char *dir,
                      struct error *err)
{
    struct stat st;
    int rc;

    if (fstat(fd, &st))
        return fail(err, errno, "reading", dir);
    if (!S_ISREG(st.st_mode) || !st.st_size || (uint64_t)st.st_size > STATE_MAX)
        return bad(err, dir, "no machine's state in it");
    s->len = (size_t)st.st_size;
    s->bytes = malloc(s->len);
    if (!s->bytes)
        return error_set(err, ENOMEM, "out of memory");
    /* a copy: the file may change under our hands */
    rc = fd_read_at(fd, s->bytes, s->len, 0);
    if (rc)
        return fail(err, -rc, "reading", dir);
    s->r = state_reader_new(s->bytes, s->len, err);
    return s->r ? 0 : -err->code;
}

static int read_config(struct snapshot *s, const char *dir,
                       struct machine_config *cfg, struct error *err)
{
    struct stat st;

    config_get(s->r, cfg, &s->text);
    state_open(s->r, "snapshot", 0, 1);
    s->digest = state_get(s->r, "memory");
    s->tsc_khz = (uint32_t)state_get_max(s->r, "tsc_khz", UINT32_MAX);
    if (state_result(s->r, err))
        return error_prefix(err, "%s", dir);
    if (!cfg->cpus || cfg->memory < MiB)
        return bad(err, dir, "a machine without CPUs or memory");
    if (fstat(s->memory, &st))
        return fail(err, errno, "reading", dir);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != cfg->memory)
        return bad(err, dir,
                   "its memory file has the wrong size; it is not "
                   "whole");
    return 0;
}

static int check_run(struct snapshot *s, uint64_t at, uint64_t end,
                     uint8_t *buf, uint64_t *digest)
{
    while (at < end) {
        size_t len = (size_t)MIN(end - at, CHUNK);

        int rc = fd_read_at(s->memory, buf, len, at);

        if (rc)
            return rc;
        for (size_t i = 0; i < len; i += PAGE_SIZE)
            if (!guest_page_is_zero(buf + i))
                *digest += hash64(at + i, buf + i, PAGE_SIZE);
        at += len;
    }
    return 0;
}

static int check_memory(struct snapshot *s, const char *dir, uint64_t size,
                        struct error *err)
{
    uint8_t *buf = malloc(CHUNK);
    uint64_t digest = 0, at = 0, end;
    int rc = buf ? 0 : -ENOMEM;

    while (!rc && fd_data(s->memory, at, size, &at, &end)) {
        end = MIN(align_up(end, PAGE_SIZE), size);
        rc = check_run(s, align_down(at, PAGE_SIZE), end, buf, &digest);
        at = end;
    }
    free(buf);
    if (rc)
        return fail(err, -rc, "reading", dir);
    if (digest != s->digest)
        return bad(err, dir, "its memory file is damaged");
    return 0;
}

static int open_dir(struct snapshot *s, const char *dir, bool check,
                    struct machine_config *cfg, struct error *err)
{
    int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, rc;

    if (d < 0)
        return fail(err, errno, "opening", dir);
    fd = openat(d, "machine", O_RDONLY | O_CLOEXEC);
    s->memory = openat(d, "memory", O_RDONLY | O_CLOEXEC);
    close(d);
    if (fd < 0 || s->memory < 0) {
        if (fd >= 0)
            close(fd);
        return bad(err, dir,
                   "not a snapshot: it has no `machine' and "
                   "`memory'; make one with ringfence ctl NAME "
                   "snapshot");
    }
    rc = open_state(s, fd, dir, err);
    close(fd);
    if (rc)
        return error_prefix(err, "%s", dir);
    if (read_config(s, dir, cfg, err))
        return -err->code;
    return check ? check_memory(s, dir, cfg->memory, err) : 0;
}

static struct snapshot *snapshot_new(struct error *err)
{
    struct snapshot *s = calloc(1, sizeof(*s));

    if (s)
        s->memory = -1;
    else
        error_set(err, ENOMEM, "out of memory");
    return s;
}

int snapshot_open(struct snapshot **out, const char *dir, bool check,
                  struct machine_config *cfg, struct error *err)
{
    struct snapshot *s = snapshot_new(err);

    if (s && !open_dir(s, dir, check, cfg, err)) {
        cfg->restore = *out = s;
        return 0;
    }
    if (s)
        snapshot_close(s);
    return -err->code;
}

int snapshot_open_fds(struct snapshot **out, int state, int memory,
                      struct machine_config *cfg, struct error *err)
{
    struct snapshot *s = snapshot_new(err);

    if (s) {
        fcntl(memory, F_SETFD, FD_CLOEXEC);
        s->memory = memory;
        s->forked = true;
    }
    if (s && !open_state(s, state, "fork", err) &&
        !read_config(s, "fork", cfg, err)) {
        close(state);
        cfg->restore = *out = s;
        return 0;
    }
    if (s)
        snapshot_close(s);
    return -err->code;
}

void snapshot_close(struct snapshot *s)
{
    if (s->memory >= 0)
        close(s->memory);
    if (s->r)
        state_reader_free(s->r);
    free(s->bytes);
    config_text_free(&s->text);
    free(s);
}

bool snapshot_forked(const struct snapshot *s)
{
    return s->forked;
}

struct state_reader *snapshot_reader(const struct snapshot *s)
{
    return s->r;
}

uint32_t snapshot_tsc_khz(const struct snapshot *s)
{
    return s->tsc_khz;
}

int snapshot_memory(const struct snapshot *s)
{
    return s->memory;
}

/* --- restoring --- */

/*
 * vCPUs first: the APIC timers follow their TSCs. Then what drives
 * interrupts, then devices, which may raise some.
 */
static int load_all(struct machine *m, struct state_reader *r,
                    struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->cpus; i++)
        if (vcpu_load(&m->cpu[i].cpu, r, err))
            return -err->code;
    if (irqchip_load(&m->chip, r, err))
        return -err->code;
    for (i = 0; i < m->devices; i++)
        if (m->device[i]->ops->load(m->device[i], r, err))
            return -err->code;
    console_load(&m->console, r);
    return state_result(r, err);
}

static void check_tsc(const struct machine *m)
{
    uint64_t khz = m->cfg->restore->tsc_khz;
    uint64_t here = m->cpu[0].cpu.tsc_khz;
    uint64_t off = here > khz ? here - khz : khz - here;

    if (off > here / 1000)
        log_warn("this host's TSC runs at %llu MHz, the snapshot's at %llu: "
                 "the guest's clock will be off",
                 (unsigned long long)here / 1000,
                 (unsigned long long)khz / 1000);
}

int snapshot_restore(struct machine *m, struct error *err)
{
    struct state_reader *r = m->cfg->restore->r;
    uint8_t id[VMGENID_LEN] = {0};
    struct irq_line line;
    int rc;

    machine_reset_devices(m);
    state_open(r, "snapshot", 0, 1);
    clock_start(&m->clock, state_get_max(r, "time", INT64_MAX));
    if (state_get(r, "devices") != m->devices)
        return error_set(err, EINVAL,
                         "the snapshot has other devices than this machine");
    machine_cpus_reset(m);
    loop_lock(&m->loop);
    rc = load_all(m, r, err);
    /* the wall clock went on meanwhile */
    m->rtc.epoch = machine_wall_ns() - (int64_t)clock_now(&m->clock);
    /* it is another machine now, with the same past */
    machine_generation(m, id);
    line = irqchip_line(&m->chip, VMGENID_GSI);
    vmgenid_change(&m->mem, acpi_base(&m->acpi) + ACPI_VMGENID, &line, id);
    loop_unlock(&m->loop);
    if (rc)
        return error_prefix(err, "snapshot");
    check_tsc(m);
    return 0;
}
