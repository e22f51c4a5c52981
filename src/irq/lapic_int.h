/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic_int.h - what lapic.c and lapic_timer.c share.
 */
#pragma once

#include "base/apic_image.h"
#include "irq/lapic.h"

bool lapic_x2(const struct lapic *l);
/* The register's value, by its number; false: there is none to be read. */
bool lapic_reg_read(struct lapic *l, unsigned reg, uint32_t *val);
/* LVT_..., or -1. */
int lapic_reg_lvt(unsigned reg);
/* After the state was replaced, by who may have made it up. */
void lapic_sanitize(struct lapic *l);
/* Arms the timer, and tells the vCPU all that it is to know. */
void lapic_settle(struct lapic *l);
/* Tells the vCPU when there is something to take, or no longer. */
void lapic_update(struct lapic *l);
/* A local source fires. */
void lapic_lvt(struct lapic *l, unsigned n);

void lapic_timer_setup(struct lapic *l, struct loop *loop);
bool lapic_timer_tsc_mode(const struct lapic *l);
void lapic_timer_start(struct lapic *l, uint32_t count);
void lapic_timer_divide(struct lapic *l, uint32_t div);
uint32_t lapic_timer_count(struct lapic *l);
/* The count is so much now. */
void lapic_timer_set(struct lapic *l, uint32_t count);
void lapic_timer_deadline(struct lapic *l, uint64_t tsc);
/* The LVT entry was written; `old` is what it was. */
void lapic_timer_lvt(struct lapic *l, uint32_t old);
/* Arms the host timer from the state. */
void lapic_timer_rearm(struct lapic *l);
