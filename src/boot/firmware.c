/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firmware.c - a BIOS instead of a kernel: a flat image that ends at 4 GiB,
 * with the reset vector in its last 16 bytes, and whose end is also below
 * 1 MiB. There it is in RAM, as after the shadowing that a BIOS begins with:
 * so it need not find a chip that does it.
 */
#include "boot/boot_int.h"

#include <errno.h>
#include <stdlib.h>

int boot_firmware_open(struct boot_source *src, const char *path,
                       struct error *err)
{
    struct image *img = &src->firmware;

    src->kernel.fd = src->initrd.fd = -1;
    if (image_open(img, "firmware", path, err))
        return -err->code;
    if (img->size > GUEST_ROM_MAX || img->size < BOOT_SHADOW_MIN ||
        (img->size & PAGE_OFFSET)) {
        error_set(err, EINVAL,
                  "firmware %s: %llu bytes; give a flat image of 64 KiB to "
                  "16 MiB, in steps of 4 KiB",
                  path, (unsigned long long)img->size);
    } else {
        src->rom = aligned_alloc(PAGE_SIZE, img->size);
        if (!src->rom)
            error_set(err, ENOMEM, "firmware %s: out of memory", path);
        else if (!image_read(img, 0, src->rom, img->size, err))
            return 0;
    }
    boot_close(src);
    return -err->code;
}

int boot_firmware(const struct boot_source *src, struct guest_mem *m,
                  struct boot_state *out, struct error *err)
{
    uint64_t len = MIN(src->firmware.size, BOOT_SHADOW_MAX);

    out->mode = BOOT_RESET;
    if (guest_mem_write(m, BOOT_HIGH_BASE - len,
                        src->rom + src->firmware.size - len, len))
        return error_set(err, EFAULT, "no memory for the firmware");
    return acpi_build(src->acpi, m, err);
}
