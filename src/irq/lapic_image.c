/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic_image.c - a local APIC goes to the host's kernel, and comes back.
 *
 * Deviation: of the error register only what the guest has latched goes along.
 */
#include "irq/lapic_int.h"

#include <string.h>

enum {
    REG_TPR = 0x08,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_INIT = 0x38,
    REG_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
};

static bool timer_over(const struct lapic *l, uint32_t count)
{
    return !count && !(l->lvt[LVT_TIMER] & LVT_TIMER_MODE);
}

void lapic_lend(struct lapic *l, struct apic_image *img)
{
    *img = (struct apic_image){.base = l->base};
    if (lapic_timer_tsc_mode(l))
        img->tsc_deadline = l->tsc_deadline;
    for (unsigned i = 0; i < APIC_IMAGE_REGS; i++)
        if (!lapic_reg_read(l, i, &img->reg[i]))
            img->reg[i] = 0;
    img->reg[REG_DFR] = l->dfr;
    img->reg[REG_ICR_HIGH] = (uint32_t)(l->icr >> 32);
    if (timer_over(l, img->reg[REG_COUNT]))
        img->reg[REG_INIT] = 0;
    timer_cancel(&l->timer);
    l->away = true;
    lapic_update(l);
}

void lapic_return(struct lapic *l, const struct apic_image *img)
{
    const uint32_t *reg = img->reg;

    l->base = img->base;
    l->tpr = (uint8_t)reg[REG_TPR];
    l->ldr = reg[REG_LDR];
    l->dfr = reg[REG_DFR];
    l->svr = reg[REG_SVR];
    l->esr = reg[REG_ESR] & 0xff;
    l->esr_next = 0;
    l->icr = reg[REG_ICR] | (uint64_t)reg[REG_ICR_HIGH] << 32;
    memcpy(l->isr, reg + REG_ISR, sizeof(l->isr));
    memcpy(l->tmr, reg + REG_TMR, sizeof(l->tmr));
    memcpy(l->irr, reg + REG_IRR, sizeof(l->irr));
    for (unsigned i = 0; i < APIC_IMAGE_REGS; i++)
        if (lapic_reg_lvt(i) >= 0)
            l->lvt[lapic_reg_lvt(i)] = reg[i];
    l->timer_div = reg[REG_DIVIDE];
    l->timer_init = reg[REG_INIT];
    l->tsc_deadline = img->tsc_deadline;
    lapic_sanitize(l);
    lapic_timer_set(l, reg[REG_COUNT]);
    l->away = false;
    lapic_settle(l);
}

void lapic_recall(struct lapic *l)
{
    l->away = false;
    lapic_settle(l);
}
