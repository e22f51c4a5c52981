/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/peek.h"

#include "x86/segment.h"
#include "x86/walk.h"

bool peek_gpa(struct vcpu *cpu, gva_t gva, gpa_t *gpa)
{
    struct walk w;

    if (!vcpu_long_mode(cpu))
        gva &= 0xffffffff;
    else if (!gva_canonical(gva))
        return false;
    if (!walk_peek(cpu, gva, &w))
        return false;
    *gpa = w.gpa;
    return true;
}

size_t peek(struct vcpu *cpu, gva_t gva, void *buf, size_t len)
{
    size_t done = 0, part;
    gpa_t gpa;

    for (; done < len; done += part) {
        gva_t at = gva + done;

        part = MIN(len - done, PAGE_SIZE - (at & PAGE_OFFSET));
        if (!peek_gpa(cpu, at, &gpa) ||
            guest_mem_read(cpu->mem, gpa, (uint8_t *)buf + done, part))
            break;
    }
    return done;
}
