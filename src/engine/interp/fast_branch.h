/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast_branch.h - stack and branches; part of fast64.c and fast32.c, behind
 * fast_ops.h.
 */

/* --- stack --- */

static inline word sp_less(const struct vcpu *cpu)
{
    return (word)cpu->gpr[R_RSP] - (word)sizeof(word);
}
static inline void sp_set(struct vcpu *cpu, u64 sp)
{
    cpu->gpr[R_RSP] = (word)sp;
}

HANDLER(push_r)
{
    word *p = tlb_write(cpu, sp_less(cpu), sizeof(word));

    if (unlikely(!p))
        return exec_generic(cpu, in);
    VWRITE(p, (word)cpu->gpr[in->rm]);
    sp_set(cpu, sp_less(cpu));
    NEXT(cpu, in);
}

HANDLER(push_i)
{
    word *p = tlb_write(cpu, sp_less(cpu), sizeof(word));

    if (unlikely(!p))
        return exec_generic(cpu, in);
    VWRITE(p, (word)in->imm);
    sp_set(cpu, sp_less(cpu));
    NEXT(cpu, in);
}

HANDLER(pop_r)
{
    word *p = tlb_read(cpu, (word)cpu->gpr[R_RSP], sizeof(word));

    if (unlikely(!p))
        return exec_generic(cpu, in);
    sp_set(cpu, (word)cpu->gpr[R_RSP] + sizeof(word));
    cpu->gpr[in->rm] = VREAD(p);
    NEXT(cpu, in);
}

HANDLER(leave)
{
    word *p = tlb_read(cpu, (word)cpu->gpr[R_RBP], sizeof(word));

    if (unlikely(!p))
        return exec_generic(cpu, in);
    sp_set(cpu, (word)cpu->gpr[R_RBP] + sizeof(word));
    cpu->gpr[R_RBP] = VREAD(p);
    NEXT(cpu, in);
}

/* --- branches --- */

static inline const struct insn *go_to(struct vcpu *cpu, const struct insn *in,
                                       u64 rip)
{
    cpu->rip = rip;
    cpu->insns += in->place;
    return exec_dispatch(cpu);
}

static inline bool canonical(u64 rip)
{
    return !FAST64 || (u64)((int64_t)rip >> 47) + 1 <= 1;
}

/*
 * Taken branch inside the page: disp is the target's offset (a block built
 * for it stays as long as this one, they go together), imm caches the block.
 */
static inline const struct insn *go_near(struct vcpu *cpu,
                                         const struct insn *in)
{
    struct block *b = (struct block *)(uintptr_t)in->imm;

    if (likely(b && !vcpu_attn(cpu))) {
        cpu->insns += in->place;
        GO(cpu, b->insn);
    }
    cpu->rip = (word)(cpu->gpr[R_PAGE] + (u64)(int64_t)in->disp);
    cpu->insns += in->place;
    if (!vcpu_attn(cpu)) {
        b = block_cached(cpu);
        if (b)
            ((struct insn *)in)->imm = (uintptr_t)b; /* ours: in the arena */
    }
    return exec_dispatch(cpu);
}

static inline const struct insn *go_far(struct vcpu *cpu, const struct insn *in)
{
    word rip = (word)(cpu->gpr[R_PAGE] + (u64)(int64_t)in->disp);

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

HANDLER(jmp_near)
{
    return go_near(cpu, in);
}
HANDLER(jmp_far_page)
{
    return go_far(cpu, in);
}

HANDLER(jmp_r)
{
    word rip = (word)cpu->gpr[in->rm];

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

HANDLER(jmp_m)
{
    READ_OR_GENERIC(p, word);
    word rip = VREAD(p);

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

static inline const struct insn *call_to(struct vcpu *cpu,
                                         const struct insn *in, u64 rip)
{
    word *p = tlb_write(cpu, sp_less(cpu), sizeof(word));

    if (unlikely(!p || !canonical(rip)))
        return exec_generic(cpu, in);
    VWRITE(p, (word)insn_next_rip(cpu, in));
    sp_set(cpu, sp_less(cpu));
    return go_to(cpu, in, rip);
}

HANDLER(call_rel)
{
    return call_to(cpu, in, (word)(insn_next_rip(cpu, in) + in->imm));
}
HANDLER(call_r)
{
    return call_to(cpu, in, (word)cpu->gpr[in->rm]);
}
HANDLER(call_m)
{
    READ_OR_GENERIC(p, word);

    return call_to(cpu, in, VREAD(p));
}

HANDLER(ret)
{
    word *p = tlb_read(cpu, (word)cpu->gpr[R_RSP], sizeof(word)), rip;

    if (unlikely(!p))
        return exec_generic(cpu, in);
    rip = VREAD(p);
    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    sp_set(cpu, (word)cpu->gpr[R_RSP] + sizeof(word));
    return go_to(cpu, in, rip);
}

/* flags_cond() for a condition known when this is compiled. */
static inline bool cond_known(const struct vcpu *cpu, unsigned cc)
{
    if (cc >> 1 == 2 && likely(cpu->cc_op != CC_EXPLICIT))
        return (cpu->cc_res == 0) != (cc & 1);
    if (cc >> 1 == 1)
        return flags_carry(cpu) != (cc & 1);
    return flags_cond(cpu, cc);
}

/*
 * Jcc: one handler a condition for each kind of target; COND_* also serves
 * SETcc, CMOVcc and the fused pairs.
 */
#define COND_HANDLERS(cc)                                                      \
    HANDLER(jcc_near_##cc)                                                     \
    {                                                                          \
        if (cond_known(cpu, cc))                                               \
            return go_near(cpu, in);                                           \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(jcc_far_##cc)                                                      \
    {                                                                          \
        if (cond_known(cpu, cc))                                               \
            return go_far(cpu, in);                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(set_##cc)                                                          \
    {                                                                          \
        set_u8(cpu, in->rm, cond_known(cpu, cc));                              \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(cmov_u32_##cc)                                                     \
    {                                                                          \
        if (cond_known(cpu, cc))                                               \
            cpu->gpr[in->reg] = (u32)cpu->gpr[in->rm];                         \
        else                                                                   \
            cpu->gpr[in->reg] = (u32)cpu->gpr[in->reg];                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    IF64(HANDLER(cmov_u64_##cc) {                                              \
        if (cond_known(cpu, cc))                                               \
            cpu->gpr[in->reg] = cpu->gpr[in->rm];                              \
        NEXT(cpu, in);                                                         \
    })
#define FOR_ALL_CC(X)                                                          \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)        \
    X(13) X(14) X(15)
FOR_ALL_CC(COND_HANDLERS)

#define ROW_NEAR(cc) jcc_near_##cc,
#define ROW_FAR(cc)  jcc_far_##cc,
#define ROW_SET(cc)  set_##cc,
#define ROW_C32(cc)  cmov_u32_##cc,
#define ROW_C64(cc)  cmov_u64_##cc,
static exec_fn *const jcc_near[16] = {FOR_ALL_CC(ROW_NEAR)};
static exec_fn *const jcc_far[16] = {FOR_ALL_CC(ROW_FAR)};
static exec_fn *const setcc_r[16] = {FOR_ALL_CC(ROW_SET)};
static exec_fn *const cmov_u32[16] = {FOR_ALL_CC(ROW_C32)};
IF64(static exec_fn *const cmov_u64[16] = {FOR_ALL_CC(ROW_C64)};)
