/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic_image.c - a local APIC goes to the host's kernel, and comes back.
 *
 * Deviation: of the error register only what the guest has latched goes along.
 */
#include "irq/lapic_int.h"

#include <string.h>

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
    img->reg[APIC_REG_DFR] = l->dfr;
    img->reg[APIC_REG_ICR_HIGH] = (uint32_t)(l->icr >> 32);
    if (timer_over(l, img->reg[APIC_REG_COUNT]))
        img->reg[APIC_REG_INIT] = 0;
    timer_cancel(&l->timer);
    l->away = true;
    lapic_update(l);
}

void lapic_return(struct lapic *l, const struct apic_image *img)
{
    const uint32_t *reg = img->reg;

    l->base = img->base;
    l->tpr = (uint8_t)reg[APIC_REG_TPR];
    l->ldr = reg[APIC_REG_LDR];
    l->dfr = reg[APIC_REG_DFR];
    l->svr = reg[APIC_REG_SVR];
    l->esr = reg[APIC_REG_ESR] & 0xff;
    l->esr_next = 0;
    l->icr = reg[APIC_REG_ICR] | (uint64_t)reg[APIC_REG_ICR_HIGH] << 32;
    memcpy(l->isr, reg + APIC_REG_ISR, sizeof(l->isr));
    memcpy(l->tmr, reg + APIC_REG_TMR, sizeof(l->tmr));
    memcpy(l->irr, reg + APIC_REG_IRR, sizeof(l->irr));
    for (unsigned i = 0; i < APIC_IMAGE_REGS; i++)
        if (lapic_reg_lvt(i) >= 0)
            l->lvt[lapic_reg_lvt(i)] = reg[i];
    l->timer_div = reg[APIC_REG_DIVIDE];
    l->timer_init = reg[APIC_REG_INIT];
    l->tsc_deadline = img->tsc_deadline;
    lapic_sanitize(l);
    lapic_timer_set(l, reg[APIC_REG_COUNT]);
    l->away = false;
    lapic_settle(l);
}

void lapic_recall(struct lapic *l)
{
    l->away = false;
    lapic_settle(l);
}
