/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surface.h - what a guest, or whoever has taken over a thread of its
 * monitor, can reach: lists that can be counted and put side by side.
 *
 * Nothing in them is written down for this: they are read out of the tables
 * and filters that a machine or a container runs with.
 */
#pragma once

#include "machine/machine.h"

enum surface_part_id {
    SURFACE_EXITS,        /* ways out of code that runs on the CPU itself */
    SURFACE_PRIVILEGED,   /* instructions that are counted as exits */
    SURFACE_HYPERCALLS,   /* that we answer */
    SURFACE_INSTRUCTIONS, /* that our own code can be made to run */
    SURFACE_VECTOR_SETS,  /* sets whose instructions are issued again */
    SURFACE_CONTROL,      /* bits of control registers that can be set */
    SURFACE_MSR_READ,
    SURFACE_MSR_WRITE,
    SURFACE_MSR_OWN, /* of these, answered by the CPU without us */
    SURFACE_CPUID,   /* leaves that are not empty */
    SURFACE_PORTS,
    SURFACE_MMIO,
    SURFACE_EVENT_CALLS, /* the host's system calls, by thread */
    SURFACE_VCPU_CALLS,
    SURFACE_DISK_CALLS,
    SURFACE_SHARE_CALLS,
    SURFACE_STUB_CALLS,
    SURFACE_CONTAINER_CALLS, /* that a container's own processes may make */
    SURFACE_CAPABILITIES,    /* that root has in a container */
    SURFACE_PARTS,
};

struct surface_item {
    char name[64];
    char detail[96]; /* may be empty */
};

struct surface_part {
    bool there; /* false: this technique, or this machine, has none of it */
    unsigned count, room;
    struct surface_item *item;
};

struct surface {
    const char *name; /* the engine's, or that of a container's profile */
    struct surface_part part[SURFACE_PARTS];
};

/* For JSON, and for people. */
const char *surface_part_key(enum surface_part_id id);
const char *surface_part_title(enum surface_part_id id);

/*
 * That of the machine that boot would make of cfg, on cfg->engine: it is
 * built, with all that its options open, but for the kernel and the terminal;
 * looked at, and taken apart. Nonzero: no such machine here, err says why.
 */
int surface_of_machine(struct surface *s, const struct machine_config *cfg,
                       struct error *err) must_check;
/*
 * That of a container with these capabilities (bit n: capability n), and with
 * the default seccomp profile for them, or no filter at all.
 */
int surface_of_container(struct surface *s, const char *name, uint64_t caps,
                         bool filtered, struct error *err) must_check;
void surface_free(struct surface *s);
