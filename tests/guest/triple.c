/* SPDX-License-Identifier: Apache-2.0 */
/*
 * triple.c - a fault while #DF is delivered ends the machine.
 */
#include "guest.h"

void main(void)
{
    struct {
        uint16_t limit;
        word base;
    } __attribute__((packed)) none = {0, 0};

    ok(true, "about to fault without an IDT");
    asm volatile("lidt %0\n int3" : : "m"(none));
    ok(false, "still here");
}
