/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic.h - a local APIC, one a vCPU: xAPIC and x2APIC.       [SDM 3A 11]
 *
 * It knows nothing of the vCPU but the callbacks below, and nothing of the
 * other APICs but the bus. All functions assume the device lock; callbacks
 * are called with it held, from any thread.
 */
#pragma once

#include "base/apic_image.h"
#include "base/loop.h"
#include "base/state.h"

#define LAPIC_BASE     0xfee00000ull
#define LAPIC_PAGE_OFF UINT64_MAX /* disabled, or in x2APIC mode */

struct lapic_cpu_ops {
    void (*intr)(void *cpu, bool pending); /* ack() has something, or not */
    void (*nmi)(void *cpu);
    void (*init)(void *cpu);
    void (*sipi)(void *cpu, uint8_t vector);
    uint64_t (*tsc)(void *cpu); /* the guest's, now */
    uint64_t (*tsc_to_ns)(void *cpu, uint64_t tsc_delta);
    /* Optional: where the register page is, or LAPIC_PAGE_OFF. */
    void (*page)(void *cpu, uint64_t gpa);
};

struct lapic;

/* Delivery modes, as in the ICR, LVT and MSI data. */
enum lapic_mode {
    LAPIC_FIXED = 0,
    LAPIC_LOWEST = 1,
    LAPIC_SMI = 2,
    LAPIC_NMI = 4,
    LAPIC_INIT = 5,
    LAPIC_STARTUP = 6,
    LAPIC_EXTINT = 7,
};

enum lapic_shorthand {
    LAPIC_TO_DEST,
    LAPIC_TO_SELF,
    LAPIC_TO_ALL,
    LAPIC_TO_OTHERS,
};

struct lapic_msg {
    uint32_t dest; /* all ones in its width: everybody */
    uint8_t vector;
    uint8_t mode;      /* enum lapic_mode */
    uint8_t shorthand; /* enum lapic_shorthand */
    bool logical, level, assert_;
    bool wide; /* dest is x2APIC's: 32 bits */
};

/* What an APIC needs of the rest of the board; given by irqchip. */
struct lapic_bus {
    void (*send)(void *ctx, struct lapic *from, const struct lapic_msg *m);
    void (*eoi)(void *ctx, uint8_t vector);     /* level-triggered EOI */
    bool (*extint)(void *ctx, struct lapic *l); /* 8259's INTR is up */
    uint8_t (*inta)(void *ctx);                 /* 8259's vector */
    void *ctx;
};

enum {
    LVT_UNUSED, /* has a place in saved states; no CMCI without MCE's banks */
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PERF,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_COUNT
};

struct lapic {
    const struct lapic_cpu_ops *cpu_ops;
    void *cpu;
    const struct lapic_bus *bus;
    unsigned index; /* of the vCPU; also the initial APIC id */

    uint64_t base; /* IA32_APIC_BASE */
    uint32_t id;   /* xAPIC: 8 bits */
    uint8_t tpr;
    uint32_t svr, ldr, dfr, esr, esr_next;
    uint64_t icr;
    uint32_t lvt[LVT_COUNT];
    uint32_t irr[8], isr[8], tmr[8];
    bool intr;  /* what cpu_ops->intr was last told */
    bool lint0; /* the 8259's wire */
    bool away;  /* in the host's kernel: all but lint0 and tpr is stale */

    struct timer timer;
    uint32_t timer_div, timer_init;
    uint64_t timer_start; /* ns, when the count was timer_init */
    uint64_t tsc_deadline;
};

void lapic_init(struct lapic *l, unsigned index, struct loop *loop,
                const struct lapic_bus *bus);
void lapic_fini(struct lapic *l);
/* Before any other call but init; each is required but the optional. */
void lapic_connect(struct lapic *l, const struct lapic_cpu_ops *ops, void *cpu);
void lapic_reset(struct lapic *l);      /* power-on */
void lapic_init_reset(struct lapic *l); /* INIT: keeps id and base */

/* As struct vcpu_intr_ops in x86/vcpu.h has them, under the lock. */
int lapic_ack(struct lapic *l);
uint64_t lapic_tpr_get(struct lapic *l);
void lapic_tpr_set(struct lapic *l, uint64_t cr8);
int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *val);
int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t val);
uint32_t lapic_mmio_read(struct lapic *l, uint32_t off);
void lapic_mmio_write(struct lapic *l, uint32_t off, uint32_t val);

/* The bus's side. */
bool lapic_matches(const struct lapic *l, const struct lapic_msg *m);
bool lapic_enabled(const struct lapic *l);      /* by SVR and APIC_BASE */
unsigned lapic_priority(const struct lapic *l); /* PPR, for lowest priority */
void lapic_deliver(struct lapic *l, const struct lapic_msg *m);
void lapic_lint0(struct lapic *l, bool level); /* from the 8259 */
void lapic_nmi_pin(struct lapic *l);           /* LINT1, a pulse */

/*
 * The host's kernel is the APIC until lapic_return(): no timer runs here, and
 * cpu_ops->intr tells of the 8259 alone.
 */
void lapic_lend(struct lapic *l, struct apic_image *img);
void lapic_return(struct lapic *l, const struct apic_image *img);
/* It goes on from where it was lent. */
void lapic_recall(struct lapic *l);

void lapic_save(struct lapic *l, struct state_writer *w);
int lapic_load(struct lapic *l, struct state_reader *r,
               struct error *err) must_check;
