/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ap.c - starts a second processor. [SDM 3A 9.4.4]
 */
#include "guest.h"

extern uint8_t ap_code[], ap_code_end[];
extern void (*ap_fn)(void);

void ap_start(unsigned id, void (*fn)(void))
{
    ap_fn = fn;
    memcpy((void *)0x8000, ap_code, (size_t)(ap_code_end - ap_code));
    lapic_write(0x310, id << 24);
    lapic_write(0x300, 0x4500); /* INIT */
    lapic_write(0x310, id << 24);
    lapic_write(0x300, 0x4608); /* start-up at 0x8000 */
}
