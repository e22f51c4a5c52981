/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_file.c - RAM as a whole: what of it is in use, emptied, or frozen.
 *
 * A shared mapping's contents are the file's: holes of the file are zeroes.
 * A private one's are the file's but for the pages that were written, which
 * are anonymous memory: /proc/self/pagemap knows them (bit 62 swapped, or 63
 * present and not 61, "file page or shared").
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/guest_mem.h"

#include "base/fd.h"
#include "mem/mem_int.h"

#define PM_PRESENT BIT64(63)
#define PM_SWAPPED BIT64(62)
#define PM_FILE    BIT64(61)
#define PM_BATCH   512u

static int new_memfd(uint64_t size)
{
    int fd = memfd_create("guest-ram", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, (off_t)size)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* RAM becomes another mapping, at the place that everybody knows. */
static bool remap(struct guest_mem *m, int fd, bool private)
{
    void *p =
        mmap(m->ram, m->ram_size, PROT_READ | PROT_WRITE,
             (private ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED | MAP_NORESERVE,
             fd, 0);

    m->generation++;
    if (p == MAP_FAILED)
        return false;
    guest_mem_advise(m);
    return true;
}

uint64_t guest_mem_discard(struct guest_mem *m, gpa_t gpa, uint64_t len)
{
    uint64_t end, off;
    int rc;

    if (__builtin_add_overflow(gpa, len, &end))
        return 0;
    gpa = align_up(gpa, PAGE_SIZE);
    end = align_down(end, PAGE_SIZE);
    if (gpa >= end || !guest_mem_ptr(m, gpa, end - gpa))
        return 0;
    len = end - gpa;
    off = guest_mem_offset(m, gpa);
    /* A private mapping has its own pages, and the file's again without. */
    rc = m->private
             ? madvise(m->ram + off, len, MADV_DONTNEED)
             : fallocate(m->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)off, (off_t)len);
    guest_mem_written(m, gpa, len);
    return rc ? 0 : len;
}

void guest_mem_clear(struct guest_mem *m)
{
    int fd = m->private ? new_memfd(m->ram_size) : -1;

    memset((void *)m->code_map, 0, m->ram_size / PAGE_SIZE);
    if (fd >= 0 && remap(m, fd, false)) {
        close(m->memfd);
        m->memfd = fd;
        m->private = false;
        return;
    }
    if (fd >= 0)
        close(fd);
    if (m->private ||
        fallocate(m->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  (off_t)m->ram_size))
        memset(m->ram, 0, m->ram_size);
}

/* The run of data in the file, from at on. */
static bool file_data(const struct guest_mem *m, uint64_t at, uint64_t *start,
                      uint64_t *end)
{
    bool any = fd_data(m->memfd, at, m->ram_size, start, end);

    *start = align_down(*start, PAGE_SIZE);
    *end = MIN(align_up(*end, PAGE_SIZE), m->ram_size);
    return any;
}

static bool written(uint64_t entry)
{
    return (entry & PM_SWAPPED) || ((entry & PM_PRESENT) && !(entry & PM_FILE));
}

/* The run of pages that were written, from at on, below `limit`. */
static bool anon_data(const struct guest_mem *m, uint64_t at, uint64_t limit,
                      uint64_t *start, uint64_t *end)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t batch[PM_BATCH], page = at / PAGE_SIZE, last = limit / PAGE_SIZE;
    uint64_t first = (uintptr_t)m->ram / PAGE_SIZE;
    bool in = false;

    *start = *end = limit;
    while (page < last) {
        size_t want = (size_t)MIN(last - page, PM_BATCH);
        ssize_t got =
            fd < 0 ? -1
                   : pread(fd, batch, want * 8, (off_t)((first + page) * 8));

        if (got < (ssize_t)(want * 8)) { /* cannot tell: all of it */
            if (!in)
                *start = page * PAGE_SIZE;
            in = true;
            break;
        }
        for (size_t i = 0; i < want; i++, page++) {
            if (written(batch[i]) == in)
                continue;
            if (in) {
                *end = page * PAGE_SIZE;
                close(fd);
                return true;
            }
            *start = page * PAGE_SIZE;
            in = true;
        }
    }
    if (fd >= 0)
        close(fd);
    return in;
}

bool guest_mem_data(const struct guest_mem *m, uint64_t *at, uint64_t *end)
{
    uint64_t fs, fe, as, ae;
    bool file, anon;

    file = file_data(m, *at, &fs, &fe);
    if (!m->private) {
        *at = fs;
        *end = fe;
        return file;
    }
    if (file && fs <= *at) {
        *end = fe;
        return true;
    }
    anon = anon_data(m, *at, fs, &as, &ae);
    *at = anon ? as : fs;
    *end = anon ? ae : fe;
    return anon || file;
}

/* Nothing was written since RAM became private. */
static bool untouched(const struct guest_mem *m)
{
    uint64_t start, end;

    return !anon_data(m, 0, m->ram_size, &start, &end);
}

static int copy_ram(const struct guest_mem *m, int fd)
{
    uint64_t at = 0, end;

    for (; guest_mem_data(m, &at, &end); at = end) {
        for (uint64_t p = at; p < end; p += PAGE_SIZE)
            if (!guest_page_is_zero(m->ram + p) &&
                fd_write_at(fd, m->ram + p, PAGE_SIZE, p))
                return -1;
    }
    return 0;
}

int guest_mem_freeze(struct guest_mem *m, struct error *err)
{
    int fd = m->memfd, e;

    if (m->private && untouched(m))
        return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (m->private) {
        fd = new_memfd(m->ram_size);
        if (fd < 0 || copy_ram(m, fd))
            goto fail;
    }
    if (!remap(m, fd, true))
        goto fail;
    if (fd != m->memfd)
        close(m->memfd);
    m->memfd = fd;
    m->private = true;
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
fail:
    e = errno;
    if (fd >= 0 && fd != m->memfd)
        close(fd);
    return error_set(err, e, "freezing guest memory: %s", strerror(e));
}

int guest_mem_thaw(struct guest_mem *m, struct error *err)
{
    int fd, e;

    if (!m->private)
        return 0;
    fd = new_memfd(m->ram_size);
    if (fd < 0 || copy_ram(m, fd) || !remap(m, fd, false)) {
        e = errno;
        if (fd >= 0)
            close(fd);
        return error_set(err, e, "copying guest memory: %s", strerror(e));
    }
    close(m->memfd);
    m->memfd = fd;
    m->private = false;
    return 0;
}
