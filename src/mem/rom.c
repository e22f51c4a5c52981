/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rom.c - firmware below 4 GiB, read-only. Data come through an I/O region;
 * instructions by guest_rom_ptr(), as no vCPU keeps what it decodes of them:
 * firmware leaves ROM within a few instructions.
 */
#include "mem/guest_mem.h"

#include <errno.h>

static uint64_t rom_read(void *dev, uint64_t off, unsigned width)
{
    const struct guest_mem *m = dev;
    uint64_t v = 0;

    memcpy(&v, m->rom + off, width);
    return v;
}

static void rom_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)dev;
    (void)off;
    (void)width;
    (void)val;
}

static const struct io_ops rom_io = {rom_read, rom_write, 0, 8};

int guest_rom_add(struct guest_mem *m, const uint8_t *rom, uint64_t size,
                  struct error *err)
{
    m->rom_region = (struct io_region){
        "firmware ROM", GUEST_HIGH_BASE - size, size, &rom_io, m,
    };
    if (!size || size > GUEST_ROM_MAX || (size & PAGE_OFFSET))
        return error_set(err, EINVAL, "a ROM of a wrong size");
    if (io_add(m, IO_MMIO, &m->rom_region, err))
        return -err->code;
    m->rom = rom;
    return 0;
}

void guest_rom_remove(struct guest_mem *m)
{
    if (!m->rom)
        return;
    io_remove(m, IO_MMIO, &m->rom_region);
    m->rom = NULL;
}
