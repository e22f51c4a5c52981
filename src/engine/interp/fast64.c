/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast64.c - the fast paths of 64-bit code: the templates, made for it.
 */
#define FAST64 1
#include "engine/interp/fast_ops.inc"
#include "engine/interp/fast_branch.inc"
#include "engine/interp/fast_fuse.inc"
#include "engine/interp/fast_bind.inc"

void fast64_bind(struct insn *in)
{
    fast_bind_insn(in);
}

void fast64_fuse(struct insn *in)
{
    fast_fuse_insn(in);
}
