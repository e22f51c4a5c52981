/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the contract between the run loop and an execution engine.
 *
 * An engine advances one vCPU until somebody else has to act. Whatever it
 * keeps elsewhere while running (host registers, translated code, KVM), the
 * architectural state in `struct vcpu` is complete and current when run()
 * returns. Threads: one host thread owns a vCPU; only kick() may come from
 * another.
 */
#pragma once

#include "base/apic_image.h"
#include "x86/vcpu.h"

enum engine_exit {
    ENGINE_HALTED,   /* cpu->halted: sleep until vcpu_attn() */
    ENGINE_KICKED,   /* ATTN_KICK was seen and cleared */
    ENGINE_SHUTDOWN, /* triple fault */
    ENGINE_DEBUG,    /* a debugger's point or step: cpu->debug says which */
    ENGINE_LIMIT,    /* vcpu_set_limit(): exactly there */
    ENGINE_EXITS,    /* how many there are; at most STATS_LEFT */
};

/*
 * An engine's own local APICs: of vCPUs with `host_apics`, while they are lent
 * (vcpu_intr_ops.lend). With the device lock; any thread.
 */
struct engine_apics {
    int (*put)(struct vcpu *cpu, const struct apic_image *img,
               struct error *err);
    /*
     * The vCPU is parked. What its struct does not have yet (INIT, a start-up
     * message, an NMI that came since) gets there.
     */
    int (*get)(struct vcpu *cpu, struct apic_image *img, struct error *err);
    /* To any of the machine's: was it taken? */
    bool (*message)(struct vcpu *cpu, const struct apic_message *m);
    /* The n pins whose message's EOI is to be told by vcpu_intr_ops.eoi. */
    void (*levels)(struct vcpu *cpu, const struct apic_message *pin,
                   unsigned n);
};

struct engine_ops {
    const char *name;    /* what --engine= accepts */
    const char *summary; /* one line for --engine=help */

    /* Required. */
    int (*probe)(struct error *err); /* 0 if this host can run it */
    int (*vcpu_init)(struct vcpu *cpu, struct error *err);
    int (*run)(struct vcpu *cpu, struct error *err); /* engine_exit, -errno */
    void (*kick)(struct vcpu *cpu); /* any thread, async-signal-safe */
    void (*vcpu_fini)(struct vcpu *cpu);

    /* run() honours vcpu_set_limit() to the instruction. */
    bool exact;
    /* Code reads the host's TSC where the guest's has no offset from it. */
    bool host_tsc;
    /* Nobody sees its instructions: no debugger, no trace. */
    bool opaque;
    /* RAM in huge pages pays: what maps it for the guest maps them whole. */
    bool huge;

    /*
     * Optional, for who asks what a guest can reach: the i-th way out of its
     * code that runs on the CPU itself, NULL: no more; and whether the CPU
     * answers for an MSR.
     */
    const char *(*exit_name)(unsigned i);
    bool (*own_msr)(const struct vcpu *cpu, uint32_t msr);

    /* Optional: 0 unless auto is to pass it by, though it can run here. */
    int (*prefer)(struct error *err);
    /* Optional: NULL where the engine caches nothing. Any thread. */
    void (*forget_code)(struct vcpu *cpu, gpa_t page);
    /* Optional. */
    const struct engine_apics *apics;
};

/* The kick of an engine that looks at attn. */
void engine_kick(struct vcpu *cpu);

/* For people and for statistics. */
const char *engine_exit_name(enum engine_exit exit);

/* All engines, as auto tries them; ends with NULL. */
extern const struct engine_ops *const engines[];
/* By name; NULL if there is none. */
const struct engine_ops *engine_find(const char *name);
/*
 * What --engine=auto means here: the best that this host can run. `why` gets
 * one line: which, and why not a better one. seen: its instructions have to be.
 * *missed: a better one is here, and something that can be helped is in its
 * way.
 */
const struct engine_ops *engine_auto(bool seen, char *why, size_t len,
                                     bool *missed);
