/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmgenid.h - the VM generation ID: sixteen random bytes that change whenever
 * the machine becomes another one of the same past (restored, forked). Linux
 * then renews its random numbers.          [Virtual Machine Generation ID,
 * 2012]
 *
 * The ID is in guest memory, where the DSDT's device VGEN says (`at`); its
 * change is told by an interrupt of the generic event device. No state of its
 * own.
 */
#pragma once

#include "irq/irq.h"
#include "mem/guest_mem.h"

#define VMGENID_LEN 16
#define VMGENID_GSI 10 /* edge; also in dsdt.asl */

/* At power-on: the first. */
void vmgenid_set(struct guest_mem *m, gpa_t at, const uint8_t id[VMGENID_LEN]);
/* Another; the guest is told. Device lock held. */
void vmgenid_change(struct guest_mem *m, gpa_t at, const struct irq_line *line,
                    const uint8_t id[VMGENID_LEN]);
