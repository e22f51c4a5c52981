/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/guest_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "mem/mem_int.h"

void guest_mem_advise(const struct guest_mem *m)
{
    if (m->huge)
        (void)madvise(m->ram, m->ram_size, MADV_HUGEPAGE);
}

static int map_ram(struct guest_mem *m, struct error *err)
{
    m->ram = mmap(NULL, m->ram_size, PROT_READ | PROT_WRITE,
                  (m->private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE,
                  m->memfd, 0);
    if (m->ram == MAP_FAILED) {
        m->ram = NULL;
        return error_set(err, errno,
                         "cannot map %llu MiB of guest memory: %s; "
                         "ask for less with --memory",
                         (unsigned long long)(m->ram_size / MiB),
                         strerror(errno));
    }
    guest_mem_advise(m);
    m->code_map = mmap(NULL, m->ram_size >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->code_map == MAP_FAILED) {
        m->code_map = NULL;
        return error_set(err, errno, "cannot map the code map: %s",
                         strerror(errno));
    }
    return 0;
}

static int new_ram(struct guest_mem *m, struct error *err)
{
    if (m->memfd < 0)
        m->memfd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (m->memfd < 0)
        return error_set(err, errno, "cannot create guest memory: %s",
                         strerror(errno));
    if (ftruncate(m->memfd, (off_t)m->ram_size) < 0)
        return error_set(err, errno, "cannot size guest memory to %llu MiB: %s",
                         (unsigned long long)(m->ram_size / MiB),
                         strerror(errno));
    return 0;
}

static int set_size(struct guest_mem *m, uint64_t size,
                    pthread_mutex_t *io_lock, struct error *err)
{
    memset(m, 0, sizeof(*m));
    m->memfd = -1;
    m->io_lock = io_lock;
    if (size < MiB || (size & PAGE_OFFSET))
        return error_set(err, EINVAL,
                         "guest memory of %llu bytes: must be at least 1 MiB "
                         "and a multiple of 4 KiB",
                         (unsigned long long)size);
    m->ram_size = size;
    m->low_size = MIN(size, GUEST_HOLE_BASE);
    m->high_size = size - m->low_size;
    return 0;
}

int guest_mem_init(struct guest_mem *m, uint64_t size, pthread_mutex_t *io_lock,
                   struct error *err)
{
    if (!set_size(m, size, io_lock, err) && !new_ram(m, err) &&
        !map_ram(m, err))
        return 0;
    guest_mem_fini(m);
    return -err->code;
}

int guest_mem_init_huge(struct guest_mem *m, uint64_t size,
                        pthread_mutex_t *io_lock, int fd, struct error *err)
{
    int rc = set_size(m, size, io_lock, err);

    m->memfd = fd;
    m->huge = true;
    if (!rc && !new_ram(m, err) && !map_ram(m, err))
        return 0;
    guest_mem_fini(m);
    return -err->code;
}

int guest_mem_init_file(struct guest_mem *m, uint64_t size,
                        pthread_mutex_t *io_lock, int fd, struct error *err)
{
    if (!set_size(m, size, io_lock, err)) {
        m->private = true;
        m->memfd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (m->memfd < 0)
            error_set(err, errno, "guest memory: %s", strerror(errno));
        else if (!map_ram(m, err))
            return 0;
    }
    guest_mem_fini(m);
    return -err->code;
}

void guest_mem_fini(struct guest_mem *m)
{
    if (m->pair)
        munmap(m->pair, 2 * PAGE_SIZE);
    if (m->ram)
        munmap(m->ram, m->ram_size);
    if (m->code_map)
        munmap((void *)m->code_map, m->ram_size >> PAGE_SHIFT);
    if (m->memfd >= 0)
        close(m->memfd);
    free(m->io[IO_MMIO].regions);
    free(m->io[IO_PORT].regions);
    memset(m, 0, sizeof(*m));
    m->memfd = -1;
}

/* A second mapping of the page; of shared memory only [mremap(2)]. */
static bool page_again(uint8_t *page, uint8_t *at)
{
    page = (uint8_t *)align_down((uintptr_t)page, PAGE_SIZE);
    return mremap(page, 0, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at;
}

uint8_t *guest_mem_join(struct guest_mem *m, uint8_t *first, uint8_t *second)
{
    if (!m->pair) {
        void *p = mmap(NULL, 2 * PAGE_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
            return NULL;
        m->pair = p;
    }
    return page_again(first, m->pair) && page_again(second, m->pair + PAGE_SIZE)
               ? m->pair
               : NULL;
}

int guest_mem_read(struct guest_mem *m, gpa_t gpa, void *buf, uint64_t len)
{
    const void *p = guest_mem_ptr(m, gpa, len);

    if (!p)
        return -EFAULT;
    memcpy(buf, p, len);
    return 0;
}

int guest_mem_write(struct guest_mem *m, gpa_t gpa, const void *buf,
                    uint64_t len)
{
    void *p = guest_mem_ptr(m, gpa, len);

    if (!p)
        return -EFAULT;
    memcpy(p, buf, len);
    guest_mem_written(m, gpa, len);
    return 0;
}

void guest_mem_written(struct guest_mem *m, gpa_t gpa, uint64_t len)
{
    uint64_t first, last;

    if (!len || !m->code_written)
        return;
    first = guest_mem_offset(m, gpa) >> PAGE_SHIFT;
    last = guest_mem_offset(m, gpa + len - 1) >> PAGE_SHIFT;
    rf_assert(last < m->ram_size >> PAGE_SHIFT);
    for (uint64_t i = first; i <= last; i++)
        if (atomic_load_explicit(&m->code_map[i], memory_order_seq_cst))
            m->code_written(m->code_ctx, guest_mem_gpa(m, i << PAGE_SHIFT));
}
