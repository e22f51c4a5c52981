/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_mem.c - the debugger's view of memory: RAM by linear address as the
 * selected vCPU maps it now, or by physical address (Qqemu.PhyMemMode).
 *
 * Devices' registers are left alone: reading them changes them.
 */
#include "machine/gdb_int.h"

#include <string.h>

#include "x86/peek.h"

/* Physical address, and how much of len is on the same page. */
static bool mem_locate(struct gdb *g, uint64_t addr, size_t len, gpa_t *gpa,
                       size_t *part)
{
    *part = MIN(len, PAGE_SIZE - (addr & PAGE_OFFSET));
    *gpa = addr;
    return g->phys || peek_gpa(gdb_vcpu(g), addr, gpa);
}

int gdb_mem_read(struct gdb *g, uint64_t addr, void *buf, size_t len)
{
    if (g->phys)
        return guest_mem_read(&g->m->mem, addr, buf, len) ? -1 : 0;
    return peek(gdb_vcpu(g), addr, buf, len) == len ? 0 : -1;
}

int gdb_mem_write(struct gdb *g, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    uint64_t at = addr;
    size_t part, left;
    gpa_t gpa;

    for (left = len; left; left -= part, at += part)
        if (!mem_locate(g, at, left, &gpa, &part) ||
            !guest_mem_ptr(&g->m->mem, gpa, part))
            return -1;
    for (; len; len -= part, from += part, addr += part)
        if (!mem_locate(g, addr, len, &gpa, &part) ||
            guest_mem_write(&g->m->mem, gpa, from, part))
            return -1;
    return 0;
}
