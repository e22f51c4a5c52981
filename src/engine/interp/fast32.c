/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast32.c - the fast paths of flat 32-bit code: the templates, made for it.
 */
#define FAST64 0
#include "engine/interp/fast_ops.inc"
#include "engine/interp/fast_branch.inc"
#include "engine/interp/fast_fuse.inc"
#include "engine/interp/fast_bind.inc"

void fast32_bind(struct insn *in)
{
    fast_bind_insn(in);
}

void fast32_fuse(struct insn *in)
{
    fast_fuse_insn(in);
}
