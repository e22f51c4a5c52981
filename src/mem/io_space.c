/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_space.c - MMIO and port dispatch: a sorted array and a binary search.
 *
 * Owned by the device lock; devices may add and remove regions (BARs) from
 * inside their own callbacks.
 */
#include "mem/guest_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first region that ends after addr. */
static unsigned io_lower(const struct io_map *map, uint64_t addr)
{
    unsigned lo = 0, hi = map->count;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct io_region *r = map->regions[mid];

        if (r->base + (r->len - 1) < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int io_add(struct guest_mem *m, enum io_kind kind, struct io_region *r,
           struct error *err)
{
    struct io_map *map = &m->io[kind];
    unsigned at = io_lower(map, r->base);

    if (!r->len || r->base + (r->len - 1) < r->base)
        return error_set(err, EINVAL, "%s: empty or wrapping I/O region",
                         r->name);
    if (at < map->count && map->regions[at]->base <= r->base + (r->len - 1))
        return error_set(err, EEXIST, "%s overlaps %s at 0x%llx", r->name,
                         map->regions[at]->name, (unsigned long long)r->base);
    if (map->count == map->room) {
        unsigned room = map->room ? map->room * 2 : 32;
        void *p = realloc(map->regions, room * sizeof(*map->regions));

        if (!p)
            return error_set(err, ENOMEM, "out of memory");
        map->regions = p;
        map->room = room;
    }
    memmove(map->regions + at + 1, map->regions + at,
            (map->count - at) * sizeof(*map->regions));
    map->regions[at] = r;
    map->count++;
    return 0;
}

void io_remove(struct guest_mem *m, enum io_kind kind, struct io_region *r)
{
    struct io_map *map = &m->io[kind];

    for (unsigned i = 0; i < map->count; i++) {
        if (map->regions[i] != r)
            continue;
        map->count--;
        memmove(map->regions + i, map->regions + i + 1,
                (map->count - i) * sizeof(*map->regions));
        return;
    }
}

static struct io_region *io_find(struct guest_mem *m, enum io_kind kind,
                                 uint64_t addr)
{
    struct io_map *map = &m->io[kind];
    unsigned at = io_lower(map, addr);

    if (at < map->count && map->regions[at]->base <= addr)
        return map->regions[at];
    return NULL;
}

const char *io_name(struct guest_mem *m, enum io_kind kind, uint64_t addr)
{
    const struct io_region *r;

    pthread_mutex_lock(m->io_lock);
    r = io_find(m, kind, addr);
    pthread_mutex_unlock(m->io_lock);
    return r ? r->name : NULL;
}

static uint64_t io_begin(const struct guest_mem *m)
{
    return unlikely(m->io_timed) ? __builtin_ia32_rdtsc() : 0;
}

static void io_counted(const struct guest_mem *m, struct io_region *r,
                       uint64_t t0)
{
    r->hits++;
    if (unlikely(m->io_timed))
        r->ticks += __builtin_ia32_rdtsc() - t0;
}

/* The widest power of two that the device, the region and the rest allow. */
static unsigned io_step(const struct io_region *r, uint64_t off, unsigned left)
{
    unsigned step = r->ops->max_width ? r->ops->max_width : 4;

    while (step > left || step > r->len - off)
        step /= 2;
    return step;
}

/* One access that the region's ops can take as it is, or widened. */
static uint64_t region_read(struct io_region *r, uint64_t off, unsigned width)
{
    unsigned min = r->ops->min_width;

    if (width < min) {
        uint64_t base = off & ~(uint64_t)(min - 1);

        if (base + min <= r->len)
            return r->ops->read(r->dev, base, min) >> (8 * (off - base)) &
                   width_mask(width);
    }
    return r->ops->read(r->dev, off, width) & width_mask(width);
}

uint64_t io_read(struct guest_mem *m, enum io_kind kind, uint64_t addr,
                 unsigned width)
{
    uint64_t val = 0;
    unsigned done = 0;

    pthread_mutex_lock(m->io_lock);
    while (done < width) {
        struct io_region *r = io_find(m, kind, addr + done);
        uint64_t off, t0;
        unsigned step;

        if (!r) {
            val |= 0xffull << (8 * done++);
            continue;
        }
        off = addr + done - r->base;
        step = io_step(r, off, width - done);
        t0 = io_begin(m);
        val |= region_read(r, off, step) << (8 * done);
        io_counted(m, r, t0);
        done += step;
    }
    pthread_mutex_unlock(m->io_lock);
    return val;
}

void io_write(struct guest_mem *m, enum io_kind kind, uint64_t addr,
              unsigned width, uint64_t val)
{
    unsigned done = 0;

    pthread_mutex_lock(m->io_lock);
    while (done < width) {
        struct io_region *r = io_find(m, kind, addr + done);
        uint64_t off, t0;
        unsigned step;

        if (!r) {
            done++;
            continue;
        }
        off = addr + done - r->base;
        step = io_step(r, off, width - done);
        t0 = io_begin(m);
        r->ops->write(r->dev, off, step, val >> (8 * done) & width_mask(step));
        io_counted(m, r, t0);
        done += step;
    }
    pthread_mutex_unlock(m->io_lock);
}
