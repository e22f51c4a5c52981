/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smp.c - a second processor: INIT and SIPI, IPIs, LOCK, TLB shoot-down,
 * code changed by the other one, HLT, NMI, INIT again.
 */
#include "guest.h"

enum job { IDLE, COUNT, TOUCH, CALL, HALT, SPIN };

static volatile unsigned job, done, up, counter, plain, ipis, nmis, value;
static volatile unsigned shot, rounds;

static void on_ipi(struct frame *f)
{
    (void)f;
    ipis++;
    lapic_eoi();
}

static void on_nmi(struct frame *f)
{
    (void)f;
    nmis++;
}

static void on_shoot(struct frame *f)
{
    (void)f;
    invlpg((void *)TEST_VA);
    __sync_synchronize();
    shot++;
    lapic_eoi();
}

static unsigned call(volatile void *p)
{
    return ((unsigned (*)(void))p)();
}

static void ap_main(void)
{
    lapic_enable();
    job = IDLE;
    up++;
    for (;;) {
        switch (job) {
        case COUNT:
            for (int i = 0; i < 100000; i++)
                asm volatile("lock incl %0" : "+m"(counter));
            break;
        case TOUCH:
            value = *(volatile uint32_t *)TEST_VA;
            break;
        case CALL:
            value = call(pages[2]);
            break;
        case HALT:
            asm volatile("sti\n hlt\n cli");
            break;
        case SPIN:
            asm volatile("sti");
            while (job == SPIN)
                pause();
            asm volatile("cli");
            break;
        default:
            pause();
            continue;
        }
        job = IDLE;
        __sync_synchronize();
        done = 1;
    }
}

static void order(enum job j)
{
    done = 0;
    __sync_synchronize();
    job = j;
}

static bool finish(void)
{
    return wait_for(&done, 1);
}

static void ipi(unsigned icr)
{
    lapic_write(0x310, 1u << 24);
    lapic_write(0x300, icr);
}

static void nap(unsigned cycles)
{
    for (uint64_t t = rdtsc(); rdtsc() - t < cycles;)
        pause();
}

static void counting(void)
{
    order(COUNT);
    for (int i = 0; i < 100000; i++)
        asm volatile("lock incl %0" : "+m"(counter));
    ok(finish(), "the other one counts");
    is(counter, 200000, "LOCK INC on two processors loses nothing");
}

static void interrupts(void)
{
    order(HALT);
    nap(3000000);
    ipi(0x4050);
    ok(finish(), "an IPI wakes from HLT");
    is(ipis, 1, "and is delivered");
    /* one that comes before the HLT is lost on it: as often as it takes */
    order(HALT);
    for (unsigned i = 0; i < 100 && !done; i++) {
        nap(3000000);
        ipi(0x4400);
    }
    ok(finish(), "an NMI wakes from HLT");
    ok(nmis >= 1, "and is delivered");
    order(SPIN);
    nap(1000000);
    ipi(0x4050);
    ok(wait_for(&ipis, 2), "an IPI interrupts a loop");
    job = IDLE;
    wait_for(&done, 1);
    lapic_write(0x300, 0xc4050); /* all but self */
    order(SPIN);
    ok(wait_for(&ipis, 3), "all but self");
    job = IDLE;
    wait_for(&done, 1);
}

static void shoot_down(void)
{
    uint64_t *e = map(TEST_VA, (word)pages[0] | P_P | P_W, 1);
    bool good = true;

    *(volatile uint32_t *)pages[0] = 100;
    *(volatile uint32_t *)pages[1] = 101;
    for (unsigned i = 0; i < 50 && good; i++) {
        order(TOUCH);
        good &= finish() && value == 100 + (i & 1);
        *(volatile uint64_t *)e = (word)pages[~i & 1] | P_P | P_W;
        order(SPIN);
        shot = 0;
        ipi(0x4051);
        good &= wait_for(&shot, 1);
        job = IDLE;
        good &= finish();
    }
    ok(good, "TLB shoot-down by IPI, 50 rounds");
}

static void foreign_code(void)
{
    bool good = true;

    for (unsigned i = 0; i < 200 && good; i++) {
        pages[2][0] = 0xb8;
        *(volatile uint32_t *)(pages[2] + 1) = i;
        pages[2][5] = 0xc3;
        order(CALL);
        good &= finish() && value == i;
    }
    ok(good, "code written here runs there, 200 rounds");
    asm volatile("" : : : "memory");
    order(HALT);
    nap(1000000);
    *(volatile uint32_t *)(pages[2] + 1) = 0x5555;
    ipi(0x4050);
    finish();
    order(CALL);
    finish();
    is(value, 0x5555, "code changed while the other one halts");
}

void main(void)
{
    hook[0x50] = on_ipi;
    hook[0x51] = on_shoot;
    hook[2] = on_nmi;
    pause();
    lapic_enable();
    ap_start(1, ap_main);
    ok(wait_for(&up, 1), "INIT and SIPI start the other one in real mode");
    counting();
    interrupts();
    shoot_down();
    foreign_code();
    ap_start(1, ap_main);
    ok(wait_for(&up, 2), "INIT and SIPI again, out of a running processor");
    counter = 0;
    counting();
}
