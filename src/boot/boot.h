/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - puts a kernel, its initrd and its tables into guest memory; or
 * firmware, which then finds something to boot by itself.
 *
 * A kernel needs no firmware: the loader leaves memory and one `struct
 * boot_state` as the kernel's boot protocol wants them at its entry. Kernel and
 * initrd are hostile input: every length is checked before it is used, and what
 * is wrong comes back as one line. boot_open() once; boot_load() at power-on
 * and at each reboot, from the same open files. Main or event thread, no vCPU
 * runs.
 */
#pragma once

#include "boot/acpi.h"
#include "boot/image.h"
#include "mem/guest_mem.h"

/* What the loaders put below 1 MiB. */
#define BOOT_GDT         0x500ull
#define BOOT_PVH_INFO    0x6000ull /* or multiboot's */
#define BOOT_PARAMS      0x7000ull
#define BOOT_STACK       0x8ff0ull
#define BOOT_PAGES       0x9000ull /* six page-table pages */
#define BOOT_CMDLINE     0x20000ull
#define BOOT_CMDLINE_MAX 0x10000ull
#define BOOT_STRINGS     0x30000ull /* of multiboot's modules */
#define BOOT_STRINGS_MAX 0x10000ull
#define BOOT_LOW_END     0x9fc00ull /* RAM that a PC has below 640 KiB */
#define BOOT_HIGH_BASE   0x100000ull

/* How much of the end of firmware is below 1 MiB too. */
#define BOOT_SHADOW_MIN (64 * KiB)
#define BOOT_SHADOW_MAX (256 * KiB)

#define BOOT_SEL_CODE 0x10
#define BOOT_SEL_DATA 0x18
#define BOOT_SEL_TSS  0x20

enum boot_mode {
    BOOT_LONG,  /* 64-bit, paging on, [Linux x86/boot, 64-bit protocol] */
    BOOT_PROT,  /* 32-bit flat, paging off [PVH; Multiboot 0.6.96 3.2] */
    BOOT_RESET, /* as after RESET [SDM 3A 9.1.4]; the rest is not used */
};

/* Registers of the bootstrap processor at the kernel's entry. */
struct boot_state {
    enum boot_mode mode;
    uint64_t rip, rsp, rsi, rbx, rax;
    uint64_t cr3;      /* BOOT_LONG */
    uint64_t gdt_base; /* selectors above */
    uint16_t gdt_limit;
};

#define BOOT_MODULES_MAX 8

/* The names are the caller's and outlive the source. */
struct boot_module {
    struct image file;
    const char *text; /* or NULL */
};
/* Who unpacks a bzImage. */
enum boot_unpack {
    BOOT_UNPACK_GUEST, /* its own code, which then may move it (KASLR) */
    BOOT_UNPACK_HOST,  /* we do, and enter it by PVH; or it is an error */
    BOOT_UNPACK_AUTO,  /* we do, if we can */
};

struct boot_source {
    struct image kernel, initrd; /* fd is -1 when there is none */
    struct boot_module module[BOOT_MODULES_MAX]; /* beside the initrd */
    unsigned modules;
    struct image firmware; /* instead of a kernel */
    uint8_t *rom;          /* its bytes, ours; or NULL */
    const char *append;
    enum boot_unpack unpack;
    const struct acpi_config *acpi;
};

/* Memory map for the kernel, by the numbers of e820 [ACPI 15]. */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
struct e820_entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct e820_entry) == 20, "e820 entry");
#define BOOT_E820_MAX 8

int boot_open(struct boot_source *src, const char *kernel, const char *initrd,
              struct error *err) must_check;
/* At most BOOT_MODULES_MAX, for multiboot kernels. An error closes nothing. */
int boot_add_module(struct boot_source *src, const char *path, const char *text,
                    struct error *err) must_check;
/* Instead of boot_open(). */
int boot_firmware_open(struct boot_source *src, const char *path,
                       struct error *err) must_check;
void boot_close(struct boot_source *src);
/* Writes everything; `out` says how the bootstrap processor starts. */
int boot_load(const struct boot_source *src, struct guest_mem *m,
              struct boot_state *out, struct error *err) must_check;
/* Fills the map; returns the number of entries. */
unsigned boot_e820(const struct guest_mem *m, const struct acpi_config *acpi,
                   struct e820_entry map[BOOT_E820_MAX]);
/* The same for firmware, which takes away what it needs itself. */
unsigned boot_e820_firmware(const struct guest_mem *m,
                            const struct acpi_config *acpi,
                            struct e820_entry map[BOOT_E820_MAX]);
