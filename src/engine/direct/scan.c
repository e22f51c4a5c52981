/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/direct/scan.h"

#include <cpuid.h>
#include <string.h>

#include <Zydis/Zydis.h>

#define PAGE 4096u
/* Bytes: x86 code decodes alike after a few instructions. */
#define BEFORE 48u

uint8_t scan_host_call(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(0, &a, &b, &c, &d))
        return SYSENTER_2;
    return b == signature_AMD_ebx || b == 0x6f677948 /* Hygo */ ? SYSCALL_2
                                                                : SYSENTER_2;
}

static bool sensitive_at(const uint8_t *p, unsigned room, uint8_t call)
{
    if (room >= 2 && (p[1] == 0xa2 || p[1] == call)) /* CPUID */
        return true;
    if (room < 3)
        return false;
    switch (p[1]) {
    case 0x01: /* XGETBV */
        return p[2] == 0xd0;
    case 0xae: /* XSAVE, XSAVEOPT: /4 and /6 of memory */
        return p[2] < 0xc0 && (p[2] & 0x28) == 0x20;
    case 0xc7: /* XSAVEC: /4 */
        return p[2] < 0xc0 && (p[2] & 0x38) == 0x20;
    default:
        return false;
    }
}

/* Decodes from `from` on: is there one that begins at `at`, or with a REX? */
static bool meets(const ZydisDecoder *d, const uint8_t *page, unsigned from,
                  unsigned at)
{
    ZydisDecodedInstruction insn;

    while (from < at) {
        if (d->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && from + 1 == at &&
            (page[from] & 0xf0) == 0x40)
            return true;
        if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(d, NULL, page + from,
                                                      PAGE - from, &insn)))
            return false;
        from += insn.length;
    }
    return from == at;
}

static bool scan(const uint8_t *page, ZydisMachineMode mode,
                 ZydisStackWidth stack, uint8_t call)
{
    const uint8_t *p = page, *end = page + PAGE;
    bool ready = false;
    ZydisDecoder d;

    while ((p = memchr(p, 0x0f, (size_t)(end - p)))) {
        unsigned at = (unsigned)(p - page), votes = 0, ways = 0;

        if (!sensitive_at(p++, PAGE - at, call))
            continue;
        if (!ready)
            ZydisDecoderInit(&d, mode, stack);
        ready = true;
        for (unsigned back = MIN(at, 16); back <= MIN(at, BEFORE);
             back++, ways++)
            votes += meets(&d, page, at - back, at);
        if (4 * votes >= ways)
            return true;
    }
    return false;
}

bool scan_sensitive(const uint8_t *page, unsigned widths, uint8_t call)
{
    return ((widths & SCAN_64) && scan(page, ZYDIS_MACHINE_MODE_LONG_64,
                                       ZYDIS_STACK_WIDTH_64, 0xa2)) ||
           ((widths & SCAN_32) && scan(page, ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                                       ZYDIS_STACK_WIDTH_32, call));
}
