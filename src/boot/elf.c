/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - reads and loads ELF files of 32 or 64 bits: segments go to their
 * physical addresses. By what protocol they are entered, others know.
 */
#include "boot/boot_int.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PHDRS_MAX 64

int boot_bad(const struct boot_source *src, struct error *err, const char *why)
{
    return error_set(err, EINVAL, "kernel %s: %s", src->kernel.path, why);
}

int elf_open(const struct boot_source *src, struct elf *e, struct error *err)
{
    union {
        unsigned char ident[EI_NIDENT];
        Elf64_Ehdr e64;
        Elf32_Ehdr e32;
    } h = {{0}};
    uint64_t len = MIN((uint64_t)sizeof(h), src->kernel.size);
    unsigned machine;

    if (image_read(&src->kernel, 0, &h, len, err))
        return -err->code;
    if (memcmp(h.ident, ELFMAG, SELFMAG))
        return -ENOEXEC;
    if (len < sizeof(h))
        return boot_bad(src, err, "truncated; get it again");
    e->wide = h.ident[EI_CLASS] == ELFCLASS64;
    machine = e->wide ? h.e64.e_machine : h.e32.e_machine;
    if (h.ident[EI_DATA] != ELFDATA2LSB ||
        (machine != EM_X86_64 && machine != EM_386))
        return boot_bad(src, err,
                        "an ELF file for another processor; give an "
                        "x86-64 one");
    e->entry = e->wide ? h.e64.e_entry : h.e32.e_entry;
    e->phoff = e->wide ? h.e64.e_phoff : h.e32.e_phoff;
    e->phnum = e->wide ? h.e64.e_phnum : h.e32.e_phnum;
    e->phentsize = e->wide ? h.e64.e_phentsize : h.e32.e_phentsize;
    if (!e->phnum || e->phnum > PHDRS_MAX ||
        e->phentsize != (e->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return boot_bad(src, err, "broken ELF program headers; get it again");
    return 0;
}

int elf_segment(const struct boot_source *src, const struct elf *e, unsigned i,
                struct elf_segment *s, struct error *err)
{
    union {
        Elf64_Phdr p64;
        Elf32_Phdr p32;
    } p;
    uint64_t off;

    if (__builtin_add_overflow(e->phoff, (uint64_t)i * e->phentsize, &off))
        return boot_bad(src, err, "broken ELF program headers; get it again");
    if (image_read(&src->kernel, off, &p, e->phentsize, err))
        return -err->code;
    if (e->wide)
        *s = (struct elf_segment){p.p64.p_type,  p.p64.p_offset, p.p64.p_vaddr,
                                  p.p64.p_paddr, p.p64.p_filesz, p.p64.p_memsz,
                                  p.p64.p_align};
    else
        *s = (struct elf_segment){p.p32.p_type,  p.p32.p_offset, p.p32.p_vaddr,
                                  p.p32.p_paddr, p.p32.p_filesz, p.p32.p_memsz,
                                  p.p32.p_align};
    return 0;
}

int boot_room(const struct boot_source *src, const struct guest_mem *m,
              uint64_t base, uint64_t len, struct error *err)
{
    /* Below 1 MiB are our own tables; above 4 GiB no 32-bit entry reaches. */
    if (base >= BOOT_HIGH_BASE && base < GUEST_HIGH_BASE &&
        guest_mem_ptr(m, base, len))
        return 0;
    return error_set(err, ENOMEM,
                     "kernel %s: wants memory at 0x%llx to "
                     "0x%llx, the guest has %llu MiB; give more with "
                     "--memory",
                     src->kernel.path, (unsigned long long)base,
                     (unsigned long long)(base + len),
                     (unsigned long long)(m->ram_size / MiB));
}

int boot_place(const struct boot_source *src, struct guest_mem *m, uint64_t off,
               uint64_t base, uint64_t filesz, uint64_t memsz,
               struct error *err)
{
    if (boot_room(src, m, base, memsz, err) ||
        image_load(&src->kernel, off, m, base, filesz, err))
        return -err->code;
    memset((uint8_t *)guest_mem_ptr(m, base, memsz) + filesz, 0,
           memsz - filesz);
    guest_mem_written(m, base, memsz);
    return 0;
}

static int elf_load_segment(const struct boot_source *src, struct elf *e,
                            const struct elf_segment *s, struct guest_mem *m,
                            struct error *err)
{
    if (s->filesz > s->memsz)
        return boot_bad(src, err, "broken ELF segment sizes; get it again");
    if (boot_place(src, m, s->offset, s->paddr, s->filesz, s->memsz, err))
        return -err->code;
    e->end = MAX(e->end, s->paddr + s->memsz);
    if (e->entry - s->vaddr < s->memsz)
        e->start = e->entry - s->vaddr + s->paddr;
    return 0;
}

int elf_load(const struct boot_source *src, struct elf *e, struct guest_mem *m,
             struct error *err)
{
    struct elf_segment s;
    unsigned i;

    for (i = 0; i < e->phnum; i++) {
        if (elf_segment(src, e, i, &s, err))
            return -err->code;
        if (s.type == PT_LOAD && s.memsz &&
            elf_load_segment(src, e, &s, m, err))
            return -err->code;
    }
    return 0;
}
