/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_view.c - RAM as it was before native code wrote it, for somebody who
 * writes it again.
 *
 * The view is a private mapping of RAM's file: what nobody wrote is the same
 * memory. What native code may write is copied first, and put into the view
 * when it is restored; what was written there then goes.
 */
#include "engine/direct/check_int.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

static void *lazy(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static uint64_t pages_of(const struct check_view *v)
{
    return v->mem->ram_size / PAGE_SIZE;
}

bool check_pages_open(struct check_pages *p, uint64_t n)
{
    p->page = lazy(n * sizeof(*p->page));
    p->stamp = lazy(n * sizeof(*p->stamp));
    p->now = 1;
    return p->page && p->stamp;
}

void check_pages_close(struct check_pages *p, uint64_t n)
{
    if (p->page)
        munmap(p->page, n * sizeof(*p->page));
    if (p->stamp)
        munmap(p->stamp, n * sizeof(*p->stamp));
}

void check_pages_clear(struct check_pages *p)
{
    p->now++;
    p->count = 0;
}

bool check_pages_add(struct check_pages *p, uint64_t page)
{
    if (p->stamp[page] == p->now)
        return false;
    p->stamp[page] = p->now;
    p->page[p->count++] = (uint32_t)page;
    return true;
}

int check_view_open(struct check_view *v, struct guest_mem *mem,
                    struct error *err)
{
    struct guest_mem *w = &v->view;

    v->mem = mem;
    v->generation = mem->generation - 1; /* it has to be mapped */
    /* RAM alone: no device hears of what is only done again */
    *w = (struct guest_mem){.memfd = -1,
                            .ram_size = mem->ram_size,
                            .low_size = mem->low_size,
                            .high_size = mem->high_size,
                            .io_lock = mem->io_lock,
                            .rom = mem->rom,
                            .rom_region = mem->rom_region};
    w->ram = lazy(mem->ram_size);
    w->code_map = lazy(pages_of(v));
    v->copies = lazy(mem->ram_size);
    if (w->ram && w->code_map && v->copies &&
        check_pages_open(&v->kept, pages_of(v)) &&
        check_pages_open(&v->written, pages_of(v)))
        return 0;
    check_view_close(v);
    return error_set(err, ENOMEM,
                     "out of memory for --direct-check, which needs the "
                     "guest's again");
}

void check_view_close(struct check_view *v)
{
    uint64_t n = pages_of(v);

    if (v->view.ram)
        munmap(v->view.ram, v->mem->ram_size);
    if (v->view.code_map)
        munmap((void *)v->view.code_map, n);
    if (v->copies)
        munmap(v->copies, v->mem->ram_size);
    if (v->view.pair)
        munmap(v->view.pair, 2 * PAGE_SIZE);
    check_pages_close(&v->kept, n);
    check_pages_close(&v->written, n);
}

int check_view_begin(struct check_view *v)
{
    check_pages_clear(&v->kept);
    if (v->generation == v->mem->generation)
        return 0;
    /* RAM's file, or its mapping, is another one */
    if (mmap(v->view.ram, v->mem->ram_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, v->mem->memfd,
             0) == MAP_FAILED)
        return -errno;
    v->generation = v->mem->generation;
    return 0;
}

void check_view_keep(struct check_view *v, uint64_t page)
{
    uint64_t i = v->kept.count;

    if (check_pages_add(&v->kept, page))
        memcpy(v->copies + i * PAGE_SIZE, v->mem->ram + page * PAGE_SIZE,
               PAGE_SIZE);
}

void check_view_restore(struct check_view *v)
{
    int rc = madvise(v->view.ram, v->mem->ram_size, MADV_DONTNEED);

    rf_assert(!rc);
    check_pages_clear(&v->written);
    for (uint64_t i = 0; i < v->kept.count; i++) {
        uint64_t at = v->kept.page[i] * PAGE_SIZE;
        const uint8_t *copy = v->copies + i * PAGE_SIZE;

        /* a page that is not touched here stays RAM's own */
        if (!memcmp(v->mem->ram + at, copy, PAGE_SIZE))
            continue;
        memcpy(v->view.ram + at, copy, PAGE_SIZE);
        check_pages_add(&v->written, v->kept.page[i]);
    }
}

void check_view_written(struct check_view *v, gpa_t page)
{
    check_pages_add(&v->written, guest_mem_offset(v->mem, page) / PAGE_SIZE);
}

bool check_view_same(const struct check_view *v, uint64_t *where)
{
    const struct check_pages *p = &v->written;

    for (unsigned i = 0; i < p->count; i++) {
        uint64_t at = p->page[i] * PAGE_SIZE;

        if (!memcmp(v->view.ram + at, v->mem->ram + at, PAGE_SIZE))
            continue;
        while (v->view.ram[at] == v->mem->ram[at])
            at++;
        *where = at;
        return false;
    }
    return true;
}

void check_view_report(const struct check_view *v)
{
    uint64_t at, word;
    uint64_t native, ref;

    if (check_view_same(v, &at))
        return;
    word = align_down(at, 8);
    memcpy(&native, v->mem->ram + word, 8);
    memcpy(&ref, v->view.ram + word, 8);
    log_error("  memory at physical 0x%llx: native 0x%016llx, interpreted "
              "0x%016llx",
              (unsigned long long)guest_mem_gpa(v->mem, word),
              (unsigned long long)native, (unsigned long long)ref);
}
