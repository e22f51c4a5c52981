/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.c - a kernel that looks at all that Multiboot says it is given, and
 * ends by the debug-exit port with the number of what is wrong.
 */
#include <stdint.h>

struct module {
    uint32_t start, end, string, reserved;
};
struct region {
    uint32_t size;
    uint64_t addr, len;
    uint32_t type;
} __attribute__((packed));
struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device;
    uint32_t cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr;
    uint32_t config_table, loader_name;
};

extern uint8_t bss_end[];
static uint32_t zeroes[1000], failures;
static uint32_t data = 0x12345678;

static void put(const char *s)
{
    while (*s)
        asm volatile("outb %b0, %w1" : : "a"(*s++), "d"(0x3f8));
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void ok(int held, const char *claim)
{
    put(held ? "ok " : "not ok ");
    put(claim);
    put("\n");
    failures += !held;
}

static void check_map(const struct info *info)
{
    uint32_t at = info->mmap_addr, end = at + info->mmap_length, ram = 0;
    const struct region *r;

    for (; at < end; at += r->size + 4) {
        r = (const struct region *)at;
        ok(r->size >= 20 && r->len && r->type, "a region makes sense");
        if (r->type == 1 && r->addr == 0x100000)
            ram = r->len / 1024;
    }
    ok(ram && ram == info->mem_upper, "RAM at 1 MiB is what mem_upper says");
}

static void check_module(const struct info *info)
{
    static const char *const names[] = {"initrd", "module",
                                        "module x=1, and  y"};
    const struct module *m = (const struct module *)info->mods_addr;
    uint32_t end = (uint32_t)bss_end;

    ok(info->mods_count == MODULES, "as many modules as were given");
    for (unsigned i = 0; i < info->mods_count; i++, m++) {
        ok(!(m->start & 4095), "a module begins a page");
        ok(m->start >= end, "it is behind what was before");
        ok(m->start < end + 4096, "and not far");
        ok(m->end - m->start == 11, "its length");
        ok(same((const char *)m->start, "the module\n"), "its bytes");
        ok(same((const char *)m->string, names[i]), "its name and text");
        end = m->end;
    }
}

uint32_t kernel(uint32_t magic, const struct info *info, uint32_t cr0,
                uint32_t flags)
{
    uint32_t sum = 0;

    ok(magic == 0x2badb002, "the loader's magic");
    ok((cr0 & 0x80000001) == 1, "protected mode, no paging");
    ok(!(flags & 0x20200), "no interrupts, no virtual mode");
    ok(*(volatile uint32_t *)0xfee00030 != 0xffffffff, "segments reach far");
    for (unsigned i = 0; i < 1000; i++)
        sum |= zeroes[i];
    ok(!sum && data == 0x12345678, "data and zeroes");
    ok((info->flags & 0x24d) == 0x24d, "memory, line, modules, map, loader");
    ok(!(info->flags & 0x1800), "no screen is promised");
    ok(info->mem_lower == 639, "low memory");
    ok(same((const char *)info->cmdline, "kernel a=1  b"), "the line");
    ok(same((const char *)info->loader_name, "ringfence"), "the loader");
    check_map(info);
    check_module(info);
    return failures;
}
