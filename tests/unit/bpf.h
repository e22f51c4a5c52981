/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf.h - runs a seccomp filter as the kernel does: the instructions that ours
 * and libseccomp's have. What runs out of the filter, or is none of these,
 * gets ~0u, which is no action.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>

static uint32_t bpf_word(const struct seccomp_data *d, uint32_t at)
{
    uint32_t v = 0;

    if (at <= sizeof(*d) - sizeof(v))
        memcpy(&v, (const char *)d + at, sizeof(v));
    return v;
}

static uint32_t bpf_run(const struct sock_filter *insn, unsigned len,
                        const struct seccomp_data *d)
{
    uint32_t a = 0;
    unsigned at = 0;

    while (at < len) {
        const struct sock_filter *i = &insn[at++];

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = bpf_word(d, i->k);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            at += a > i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            return ~0u;
        }
    }
    return ~0u;
}
