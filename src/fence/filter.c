/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "base/log.h"

#define NR     offsetof(struct seccomp_data, nr)
#define ARCH   offsetof(struct seccomp_data, arch)
#define ARG(n) (offsetof(struct seccomp_data, args) + 8u * (n))

#define X32 0x40000000u /* this bit and above: not the calls that we know */

/* From `start` to the next range's, or for ever. */
struct range {
    uint32_t start, action;
};

static void put(struct fence_filter *f, uint16_t code, uint32_t k, unsigned t,
                unsigned e)
{
    rf_assert(f->len < FENCE_FILTER_MAX && t < 256 && e < 256);
    f->insn[f->len++] = (struct sock_filter){code, (uint8_t)t, (uint8_t)e, k};
}

static uint32_t action_of(unsigned answer)
{
    switch (answer) {
    case FENCE_ALLOW:
        return SECCOMP_RET_ALLOW;
    case FENCE_ABSENT:
        return SECCOMP_RET_ERRNO | ENOSYS;
    case FENCE_REFUSE:
        return SECCOMP_RET_ERRNO | EACCES;
    default:
        return SECCOMP_RET_TRAP;
    }
}

static void put_ret(struct fence_filter *f, uint32_t action)
{
    put(f, BPF_RET | BPF_K, action, 0, 0);
}

/* One call's rules; the number is loaded, and still is if it is another's. */
static void put_rules(struct fence_filter *f, const struct fence_rule *r,
                      unsigned count, uint32_t otherwise)
{
    unsigned start = f->len + 1, i;

    put(f, BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, 0);
    for (i = 0; i < count; i++) {
        put(f, BPF_LD | BPF_W | BPF_ABS, ARG(r[i].arg), 0, 0);
        put(f, BPF_ALU | BPF_AND | BPF_K, r[i].mask, 0, 0);
        put(f, BPF_JMP | BPF_JEQ | BPF_K, r[i].value, 0, 1);
        put_ret(f, action_of(r[i].answer));
    }
    put_ret(f, otherwise);
    rf_assert(f->len - start < 256);
    f->insn[start - 1].jf = (uint8_t)(f->len - start);
}

/* The lower half stands right behind the jump that passes over it. */
static void put_search(struct fence_filter *f, const struct range *r,
                       unsigned count)
{
    unsigned half = count / 2, at = f->len;

    if (count == 1) {
        put_ret(f, r->action);
        return;
    }
    put(f, BPF_JMP | BPF_JGE | BPF_K, r[half].start, 0, 0);
    put_search(f, r, half);
    rf_assert(f->len - at - 1 < 256);
    f->insn[at].jt = (uint8_t)(f->len - at - 1);
    put_search(f, r + half, count - half);
}

static unsigned ranges_find(struct range *r, const uint8_t answer[FENCE_CALLS])
{
    unsigned n = 0, i;

    for (i = 0; i < FENCE_CALLS; i++)
        if (!i || answer[i] != answer[i - 1])
            r[n++] = (struct range){i, action_of(answer[i])};
    r[n++] = (struct range){FENCE_CALLS, action_of(FENCE_ABSENT)};
    r[n++] = (struct range){X32, action_of(FENCE_TRAP)};
    return n;
}

void fence_filter_make(struct fence_filter *f,
                       const uint8_t answer[FENCE_CALLS],
                       const struct fence_rule *rules, unsigned count,
                       unsigned i386)
{
    struct range range[FENCE_CALLS + 2];
    unsigned i, n;

    f->len = 0;
    put(f, BPF_LD | BPF_W | BPF_ABS, ARCH, 0, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, i386 ? 5 : 1, 0);
    if (i386) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, 3);
        put(f, BPF_LD | BPF_W | BPF_ABS, NR, 0, 0);
        put(f, BPF_JMP | BPF_JEQ | BPF_K, i386, 0, 1);
        put_ret(f, action_of(FENCE_ALLOW));
    }
    put_ret(f, action_of(FENCE_TRAP));
    put(f, BPF_LD | BPF_W | BPF_ABS, NR, 0, 0);
    for (i = 0; i < count; i += n) {
        for (n = 1; i + n < count && rules[i + n].call == rules[i].call; n++)
            continue;
        put_rules(f, rules + i, n, action_of(answer[rules[i].call]));
    }
    put_search(f, range, ranges_find(range, answer));
}
