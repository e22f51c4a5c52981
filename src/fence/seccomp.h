/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - a container's seccomp profile, as the OCI runtime-spec describes
 * it (config-linux.md, "Seccomp"), made into a filter and loaded.
 *
 * What a profile means is what libseccomp, called as runc and crun call it,
 * makes of it; tests/unit/fence_seccomp.c compares answers call by call, and
 * doc/fence.md says where we differ. Nothing is allocated that outlives a
 * function; there is no state, so any thread may call any of these.
 */
#pragma once

#include <linux/filter.h>

#include "base/error.h"

/* The spec's KILL is KILL_THREAD's older name. */
enum seccomp_action {
    SECCOMP_ACT_KILL_THREAD,
    SECCOMP_ACT_KILL_PROCESS,
    SECCOMP_ACT_TRAP,
    SECCOMP_ACT_ERRNO,
    SECCOMP_ACT_TRACE,
    SECCOMP_ACT_ALLOW,
    SECCOMP_ACT_LOG,
    SECCOMP_ACT_NOTIFY,
};

/* All others that the spec names cannot run here, and need no filter. */
enum seccomp_arch {
    SECCOMP_ARCH_X86_64,
    SECCOMP_ARCH_X86,
    SECCOMP_ARCH_X32,
    SECCOMP_ARCH_FOREIGN,
};

enum seccomp_op {
    SECCOMP_OP_NE,
    SECCOMP_OP_LT,
    SECCOMP_OP_LE,
    SECCOMP_OP_EQ,
    SECCOMP_OP_GE,
    SECCOMP_OP_GT,
    SECCOMP_OP_MASKED_EQ, /* (argument & value) == value_two */
};

/*
 * Names as config.json has them ("SCMP_ACT_ERRNO", "SCMP_ARCH_X86_64",
 * "SCMP_CMP_EQ", "SECCOMP_FILTER_FLAG_LOG"). The first kind of function is
 * false, and leaves *out alone, for a name that the spec does not have. The
 * second lists all names, with i from 0, and ends with NULL.
 */
bool seccomp_action_find(const char *name, enum seccomp_action *out);
bool seccomp_arch_find(const char *name, enum seccomp_arch *out);
bool seccomp_op_find(const char *name, enum seccomp_op *out);
/* A bit for seccomp_profile.flags, the kernel's own. */
bool seccomp_flag_find(const char *name, unsigned *out);

const char *seccomp_action_name(unsigned i);
const char *seccomp_arch_name(unsigned i); /* the spec's, foreign ones too */
const char *seccomp_op_name(unsigned i);
const char *seccomp_flag_name(unsigned i);

/* Those bits that the running kernel knows; 0 if it has no seccomp at all. */
unsigned seccomp_flags_supported(void);
/* Does the running kernel have filters, and this action? */
bool seccomp_supported(void);
bool seccomp_action_supported(enum seccomp_action a);

#define SECCOMP_ARGS          6
#define SECCOMP_ERRNO_DEFAULT (-1) /* EPERM */

/* `index` is 0 to 5. value_two is for MASKED_EQ alone. */
struct seccomp_arg {
    unsigned index;
    enum seccomp_op op;
    uint64_t value, value_two;
};

/*
 * `action` for the calls of these names, if all of `args` hold; an index that
 * stands there twice makes of each of them a rule of its own, as in runc.
 * Names that no architecture knows are passed over, with a debug line.
 */
struct seccomp_rule {
    const char *const *names;
    unsigned count;
    enum seccomp_action action;
    int errno_ret; /* of ERRNO, and TRACE's message; or SECCOMP_ERRNO_DEFAULT */
    const struct seccomp_arg *args;
    unsigned nargs;
};

/*
 * x86-64 is always among the architectures; FOREIGN ones are passed over.
 * A process that uses one that is not listed is killed.
 *
 * Unless `exact`, calls younger than all that the profile names get ENOSYS
 * where the default is an error or death, as runc has it: libc then takes the
 * older way, and does not give up on EPERM.
 */
struct seccomp_profile {
    enum seccomp_action action;
    int errno_ret; /* as in a rule */
    const enum seccomp_arch *arches;
    unsigned arch_count;
    const struct seccomp_rule *rules;
    unsigned rule_count;
    unsigned flags; /* SECCOMP_FILTER_FLAG_* of linux/seccomp.h */
    bool exact;
};

/* A filter; 32 KiB, of which only what is used is touched. */
struct seccomp_program {
    unsigned len;
    unsigned flags;
    bool notify; /* can call for the listener: seccomp_load() must give one */
    struct sock_filter insn[BPF_MAXINSNS];
};

/* Is it the name of a call, on any architecture that filters can be for? */
bool seccomp_call_known(const char *name);

/* What of it is used: a copy of so much can be loaded. */
size_t seccomp_program_size(const struct seccomp_program *prog);

/*
 * Everything in the profile is borrowed, and may come from hostile JSON.
 * -EINVAL with a line that begins with the path in config.json
 * ("linux.seccomp.syscalls[3].args[0].index: ..."), -E2BIG for more than the
 * kernel takes.
 */
int seccomp_compile(const struct seccomp_profile *p,
                    struct seccomp_program *out, struct error *err) must_check;

/*
 * For the calling thread and all that it starts (with TSYNC in flags for all
 * threads), for good. Needs no_new_privs or CAP_SYS_ADMIN in the user
 * namespace: -EACCES without. With `listener` the caller owns the descriptor
 * (O_CLOEXEC) that notifications come from; a program with `notify` and no
 * `listener` is -EINVAL. Errors begin with "linux.seccomp", too.
 */
int seccomp_load(const struct seccomp_program *prog, int *listener,
                 struct error *err) must_check;

/* --- the default profile --- */

#define SECCOMP_DEFAULT_RULES 64

struct seccomp_default {
    struct seccomp_profile profile;
    struct seccomp_rule rule[SECCOMP_DEFAULT_RULES];
};

/*
 * What Docker and podman give a container that asks for nothing: the calls
 * that ordinary programs make, and those that the capabilities in `caps`
 * (bit n: capability n) are for. Fills and returns d->profile.
 */
const struct seccomp_profile *seccomp_default(struct seccomp_default *d,
                                              uint64_t caps);
