/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_mem.h - guest-physical memory: RAM, and who answers elsewhere.
 *
 * RAM is one memfd, or the like, mapped shared: shadow page tables, snapshots
 * and forks all rest on that. Guest-physical RAM is [0, low_size) and, when
 * there is more than fits under the hole, [4 GiB, 4 GiB + high_size). What lies
 * outside goes to I/O regions, and reads as all ones where there is none.
 *
 * These are the only functions that turn a guest address into a pointer.
 *
 * Code tracking: an engine that caches something derived from a RAM page sets
 * its vCPU's bit in code_map. Whoever writes RAM other than through a vCPU's
 * TLB (devices, loaders) does it with guest_mem_write(), which tells the
 * engines. vCPUs check the map when they fill a TLB entry for writing.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"

typedef uint64_t gpa_t; /* guest-physical address */
typedef uint64_t gva_t; /* guest-virtual (linear) address */

#define PAGE_SHIFT  12
#define PAGE_SIZE   4096ull
#define PAGE_OFFSET 4095ull

#define GUEST_HOLE_BASE 0xc0000000ull /* RAM below 4 GiB ends here at most */
#define GUEST_HIGH_BASE 0x100000000ull
#define GUEST_VCPUS_MAX 8 /* bits in an entry of code_map */
#define GUEST_ROM_MAX   (16 * MiB)

/*
 * A device's registers. The bus calls with width 1, 2, 4 or 8, never more
 * than max_width, never crossing the region: it splits what a guest does
 * otherwise. `off` is relative to the region. Called with the device lock.
 */
struct io_ops {
    uint64_t (*read)(void *dev, uint64_t off, unsigned width);
    void (*write)(void *dev, uint64_t off, unsigned width, uint64_t val);
    unsigned min_width; /* narrower accesses are widened; 0 means 1 */
    unsigned max_width; /* wider accesses are split; 0 means 4 */
};

struct io_region {
    const char *name;
    uint64_t base, len;
    const struct io_ops *ops;
    void *dev;
    uint64_t hits, ticks; /* accesses, and their time if io_timed: the lock's */
};

enum io_kind { IO_MMIO, IO_PORT };

/* Regions of one kind, sorted by base, never overlapping. */
struct io_map {
    struct io_region **regions; /* owned by the devices */
    unsigned count, room;
};

struct guest_mem {
    int memfd;
    uint8_t *ram; /* ram_size bytes, a mapping of memfd */
    /*
     * The mapping is a private one: what memfd holds is what RAM began with,
     * it never changes, and others may have mapped it too.
     */
    bool private;
    /* How often the mapping was replaced: others' of memfd are void then. */
    unsigned generation;
    bool huge; /* RAM's mapping asks for huge pages */
    uint64_t ram_size, low_size, high_size;

    /* One byte a RAM page, by offset: bit n set: vCPU n caches code of it. */
    _Atomic uint8_t *code_map;
    /* A page whose code_map entry is not 0 was written; any thread. */
    void (*code_written)(void *ctx, gpa_t page);
    void *code_ctx;

    uint8_t *pair; /* two pages of address space, see guest_mem_join() */

    struct io_map io[2];      /* by enum io_kind */
    pthread_mutex_t *io_lock; /* the device lock */
    bool io_timed;            /* accesses are timed, in ticks of the TSC */

    void *slots; /* engine/kvm/: what the vCPUs of this memory share */

    const uint8_t *rom; /* that ends at 4 GiB, or NULL; see guest_rom_add() */
    struct io_region rom_region;
};

/* size: a multiple of 4 KiB, at least 1 MiB. Errors: -ENOMEM, -EINVAL. */
int guest_mem_init(struct guest_mem *m, uint64_t size, pthread_mutex_t *io_lock,
                   struct error *err) must_check;
/*
 * As guest_mem_init(), in huge pages where fd can have such: an empty file,
 * the memory's from here on, whatever happens; -1: a memfd, as without.
 */
int guest_mem_init_huge(struct guest_mem *m, uint64_t size,
                        pthread_mutex_t *io_lock, int fd,
                        struct error *err) must_check;
/*
 * For that: a file in memory, which can have huge pages if the host lets us.
 * -1: none. May start a process, and needs calls that the fence denies.
 * (huge_file.c)
 */
int guest_mem_huge_file(void) must_check;
/*
 * As guest_mem_init(), but RAM begins with the contents of fd, which is
 * duplicated, has `size` bytes, and must not change any more. Pages are read
 * when they are touched, and copied when they are written.
 */
int guest_mem_init_file(struct guest_mem *m, uint64_t size,
                        pthread_mutex_t *io_lock, int fd,
                        struct error *err) must_check;
void guest_mem_fini(struct guest_mem *m);

/*
 * The guest has no use for what is there: whole pages of [gpa, gpa + len) go
 * back to the host, and read as anything until they are written. What is not
 * RAM, or part of a page, stays. Returns how many bytes went. Any thread,
 * while vCPUs run. (ram_file.c)
 */
uint64_t guest_mem_discard(struct guest_mem *m, gpa_t gpa, uint64_t len);

/* --- ram_file.c: RAM as a whole; nobody else uses it meanwhile --- */

/* All zeroes again, and memory of the host is free again. */
void guest_mem_clear(struct guest_mem *m);
/*
 * The next run of RAM, by offset from *at, that may hold anything but zeroes:
 * [*at, *end). False: there is no more. Does not touch the memory.
 */
bool guest_mem_data(const struct guest_mem *m, uint64_t *at, uint64_t *end);
/*
 * A descriptor, the caller's, of a file that holds RAM as it is now and will
 * not change; RAM goes on as a private copy of it. -errno.
 */
int guest_mem_freeze(struct guest_mem *m, struct error *err) must_check;
/* RAM is a shared mapping of a file of its own, as it was in the beginning. */
int guest_mem_thaw(struct guest_mem *m, struct error *err) must_check;

/*
 * Offset into RAM of a guest-physical address, or UINT64_MAX outside RAM.
 */
static inline uint64_t guest_mem_offset(const struct guest_mem *m, gpa_t gpa)
{
    if (gpa < m->low_size)
        return gpa;
    if (gpa - GUEST_HIGH_BASE < m->high_size)
        return gpa - GUEST_HIGH_BASE + m->low_size;
    return UINT64_MAX;
}

/* Guest-physical address of a RAM offset; the inverse of the above. */
static inline gpa_t guest_mem_gpa(const struct guest_mem *m, uint64_t offset)
{
    return offset < m->low_size ? offset
                                : offset - m->low_size + GUEST_HIGH_BASE;
}

/*
 * Pointer to len contiguous bytes of RAM, or NULL if any of them is not RAM.
 * Guest memory changes under the reader's hands: copy once, then validate
 * the copy. Writing through it bypasses code tracking.
 */
static inline void *guest_mem_ptr(const struct guest_mem *m, gpa_t gpa,
                                  uint64_t len)
{
    if (gpa < m->low_size && len <= m->low_size - gpa)
        return m->ram + gpa;
    if (gpa - GUEST_HIGH_BASE < m->high_size &&
        len <= m->high_size - (gpa - GUEST_HIGH_BASE))
        return m->ram + (gpa - GUEST_HIGH_BASE + m->low_size);
    return NULL;
}

/* PAGE_SIZE bytes. */
static inline bool guest_page_is_zero(const uint8_t *page)
{
    return !page[0] && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

/* Copy out of and into RAM. -EFAULT, with nothing copied, outside RAM. */
int guest_mem_read(struct guest_mem *m, gpa_t gpa, void *buf,
                   uint64_t len) must_check;
int guest_mem_write(struct guest_mem *m, gpa_t gpa, const void *buf,
                    uint64_t len) must_check;
/*
 * To be called after writing through guest_mem_ptr() (readv() into guest
 * buffers and the like).
 */
void guest_mem_written(struct guest_mem *m, gpa_t gpa, uint64_t len);

/*
 * The page of RAM that holds `first` and the one that holds `second`, behind
 * each other in the host's address space: so that one host instruction can
 * reach over their border. Stays until the next call, which the caller has to
 * exclude. NULL: the host does not let us.
 */
uint8_t *guest_mem_join(struct guest_mem *m, uint8_t *first, uint8_t *second);

/*
 * --- rom.c: read-only memory that ends at 4 GiB ---
 * The bytes stay the caller's, and do not change. size: whole pages, at most
 * GUEST_ROM_MAX. As io_add(); one at a time.
 */
int guest_rom_add(struct guest_mem *m, const uint8_t *rom, uint64_t size,
                  struct error *err) must_check;
void guest_rom_remove(struct guest_mem *m);

/* The byte of ROM at gpa, valid to the end of its page, or NULL. */
static inline const uint8_t *guest_rom_ptr(const struct guest_mem *m, gpa_t gpa)
{
    if (!m->rom || gpa - m->rom_region.base >= m->rom_region.len)
        return NULL;
    return m->rom + (gpa - m->rom_region.base);
}

/*
 * I/O regions. The region stays the caller's and must outlive its place in
 * the map. -EEXIST on overlap. With the device lock held, or before any vCPU
 * runs.
 */
int io_add(struct guest_mem *m, enum io_kind kind, struct io_region *r,
           struct error *err) must_check;
void io_remove(struct guest_mem *m, enum io_kind kind, struct io_region *r);

/* Who answers at addr, or NULL. The name lasts as long as its device. */
const char *io_name(struct guest_mem *m, enum io_kind kind, uint64_t addr);

/*
 * What a vCPU's access to other than RAM does: takes the device lock, finds
 * the region, splits or widens the access. No region: reads give ones,
 * writes vanish. width is 1, 2, 4 or 8.
 */
uint64_t io_read(struct guest_mem *m, enum io_kind kind, uint64_t addr,
                 unsigned width);
void io_write(struct guest_mem *m, enum io_kind kind, uint64_t addr,
              unsigned width, uint64_t val);
