/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed.c - the kernel proper out of a bzImage: an ELF file that is packed in
 * it, unpacked here and entered by its PVH note [Linux x86/boot, payload_*].
 *
 * What the guest's own decompressor would do besides is left out: it moves the
 * kernel to a random place (KASLR). Nothing of the file is trusted; what comes
 * out of it is a kernel's file like any other.
 */
#include "boot/boot_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "boot/unpack.h"

#define PACKED_MAX (256 * MiB)

/* Behind it, or as gzip's own end: how long it is unpacked. */
#define SIZE_LEN 4

static bool is_gzip(const uint8_t *p)
{
    return p[0] == 0x1f && p[1] == 0x8b;
}

static int packed_bad(const struct boot_source *src, struct error *err,
                      const char *why)
{
    return error_set(err, EINVAL,
                     "kernel %s: cannot be unpacked here (%s); leave out "
                     "--unpack host",
                     src->kernel.path, why);
}

/* An ELF file in memory, as a kernel's file. */
static int elf_boot(const struct boot_source *src, const uint8_t *elf,
                    size_t len, struct guest_mem *m, struct boot_state *out,
                    struct error *err)
{
    struct boot_source inner = *src;
    int rc;

    inner.kernel.fd = -1;
    inner.kernel.bytes = elf;
    inner.kernel.size = len;
    rc = boot_pvh(&inner, m, out, err);
    return rc == -ENOEXEC ? packed_bad(src, err, "no ELF file with a PVH note")
                          : rc;
}

static int unpack_and_boot(const struct boot_source *src, const uint8_t *packed,
                           size_t len, struct guest_mem *m,
                           struct boot_state *out, struct error *err)
{
    size_t size = get_le32(packed + len - SIZE_LEN);
    uint8_t *elf;
    ssize_t got;
    int rc;

    if (!size || size > m->low_size)
        return packed_bad(src, err, "more than the guest's memory");
    /* a mapping of its own, for it goes at once */
    elf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    if (elf == MAP_FAILED)
        return error_set(err, ENOMEM, "out of memory to unpack the kernel");
    got = unpack(packed, is_gzip(packed) ? len : len - SIZE_LEN, elf, size);
    rc = got == (ssize_t)size ? elf_boot(src, elf, size, m, out, err)
         : got == -ENOEXEC
             ? packed_bad(src, err, "packed in a way that is not known here")
             : packed_bad(src, err, "it is damaged");
    munmap(elf, size);
    return rc;
}

int boot_packed(const struct boot_source *src, uint64_t off, uint64_t len,
                struct guest_mem *m, struct boot_state *out, struct error *err)
{
    uint8_t *packed;
    int rc;

    if (len < 16 || len > PACKED_MAX || off > src->kernel.size ||
        len > src->kernel.size - off)
        return packed_bad(src, err, "no packed kernel in it");
    packed = mmap(NULL, len, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (packed == MAP_FAILED)
        return error_set(err, ENOMEM, "out of memory to unpack the kernel");
    rc = image_read(&src->kernel, off, packed, len, err);
    if (!rc)
        rc = unpack_and_boot(src, packed, len, m, out, err);
    munmap(packed, len);
    return rc;
}
