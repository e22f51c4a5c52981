/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_control.c - control and debug registers, descriptor-table registers,
 *                 segment moves, TLB invalidation. [SDM 3A 2.5, 17.2]
 *
 * A change of mode is checked as a whole against the state it would leave,
 * then committed, then vcpu_update_mode() derives the rest.
 */
#include "x86/sem.h"

#include <string.h>

#include "x86/cpuid.h"
#include "x86/flags.h"
#include "x86/segment.h"
#include "x86/walk.h"

#define CR0_KNOWN                                                              \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |   \
     CR0_NW | CR0_CD | CR0_PG)

/* Privileged in every mode but real: #GP(0) unless CPL 0. */
static int check_cpl0(struct vcpu *cpu)
{
    return cpu->cpl == 0 ? 0 : raise_gp(cpu, 0);
}

/* SGDT, SIDT, SLDT, STR, SMSW outside CPL 0 */
static int check_umip(struct vcpu *cpu)
{
    if ((cpu->cr4 & CR4_UMIP) && cpu->cpl != 0)
        return raise_gp(cpu, 0);
    return 0;
}

/* The 16-bit r/m operand. */
static int load_rm16(struct vcpu *cpu, const struct insn *in, uint16_t *val)
{
    uint64_t v;

    if (!(in->flags & INSN_MEM))
        v = reg_get(cpu, in->rm, 2);
    else if (mem_load(cpu, in->seg, insn_ea(cpu, in), 2, &v))
        return STEP_FAULT;
    *val = (uint16_t)v;
    return 0;
}

/* 16 bits to memory, zero-extended to a register of the operand's size. */
static enum step store_rm16(struct vcpu *cpu, const struct insn *in,
                            uint64_t val)
{
    if (in->flags & INSN_MEM)
        return mem_store(cpu, in->seg, insn_ea(cpu, in), 2, val & 0xffff)
                   ? STEP_FAULT
                   : STEP_NEXT;
    reg_set(cpu, in->rm, in->rm_width, val);
    return STEP_NEXT;
}

/* --- CR0 --- */

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static int cr0_check(struct vcpu *cpu, uint64_t v)
{
    uint64_t set = v & ~cpu->cr0;

    if ((v & CR0_PG) && !(v & CR0_PE))
        return raise_gp(cpu, 0);
    if ((v & CR0_NW) && !(v & CR0_CD))
        return raise_gp(cpu, 0);
    if (!(v & CR0_PG) && (cpu->cr4 & CR4_PCIDE))
        return raise_gp(cpu, 0);
    if (!(v & CR0_PG) && (cpu->cr0 & CR0_PG) && cpu->code_width == 8)
        return raise_gp(cpu, 0);
    if ((set & CR0_PG) && (cpu->msr.efer & EFER_LME) &&
        (!(cpu->cr4 & CR4_PAE) || (cpu->seg[SEG_CS].attr & SEG_L)))
        return raise_gp(cpu, 0);
    return 0;
}

static int cr0_load(struct vcpu *cpu, uint64_t val)
{
    uint64_t v = (val & CR0_KNOWN) | CR0_ET, old = cpu->cr0;
    uint64_t efer = cpu->msr.efer, pdpte[4];
    bool load;

    if (val >> 32)
        return raise_gp(cpu, 0);
    if (cr0_check(cpu, v))
        return STEP_FAULT;
    if (!(v & CR0_PG))
        efer &= ~EFER_LMA;
    else if (efer & EFER_LME)
        efer |= EFER_LMA;
    load = pae_paging(v, cpu->cr4, efer) &&
           ((v ^ old) & (CR0_CD | CR0_NW | CR0_PG));
    if (load && walk_load_pdptes(cpu, cpu->cr3, pdpte))
        return STEP_FAULT;
    if (load)
        memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
    cpu->cr0 = v;
    cpu->msr.efer = efer;
    if ((v ^ old) & (CR0_PG | CR0_PE | CR0_WP))
        cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return 0;
}

enum step sem_clts(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (check_cpl0(cpu))
        return STEP_FAULT;
    cpu->cr0 &= ~CR0_TS;
    return STEP_SYNC;
}

enum step sem_lmsw(struct vcpu *cpu, const struct insn *in)
{
    uint16_t v;

    if (check_cpl0(cpu) || load_rm16(cpu, in, &v))
        return STEP_FAULT;
    /* sets PE but never clears it */
    if (cr0_load(cpu, (cpu->cr0 & ~0xeull) | (v & 0xf)))
        return STEP_FAULT;
    return STEP_SYNC;
}

enum step sem_smsw(struct vcpu *cpu, const struct insn *in)
{
    if (check_umip(cpu))
        return STEP_FAULT;
    return store_rm16(cpu, in, cpu->cr0);
}

/* --- CR3 --- */

int cr3_load(struct vcpu *cpu, uint64_t val)
{
    bool keep = false;

    if (cpu->cr4 & CR4_PCIDE) {
        keep = val & CR3_NOFLUSH;
        val &= ~CR3_NOFLUSH;
    }
    if (vcpu_long_mode(cpu) && val >> PHYS_BITS)
        return raise_gp(cpu, 0);
    if (pae_paging(cpu->cr0, cpu->cr4, cpu->msr.efer)) {
        uint64_t pdpte[4];

        if (walk_load_pdptes(cpu, val, pdpte))
            return STEP_FAULT;
        memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
    }
    cpu->cr3 = val;
    cpu->mmu->switch_cr3(cpu, keep);
    return 0;
}

/* --- CR4 --- */

static int cr4_check(struct vcpu *cpu, uint64_t v)
{
    uint64_t set = v & ~cpu->cr4;

    if (v & ~cpu_cr4_allowed(cpu->model))
        return raise_gp(cpu, 0);
    if (vcpu_long_mode(cpu) && !(v & CR4_PAE))
        return raise_gp(cpu, 0);
    if ((set & CR4_PCIDE) && (!vcpu_long_mode(cpu) || (cpu->cr3 & CR3_PCID)))
        return raise_gp(cpu, 0);
    return 0;
}

static int cr4_load(struct vcpu *cpu, uint64_t v)
{
    uint64_t changed = v ^ cpu->cr4, pdpte[4];

    if (cr4_check(cpu, v))
        return STEP_FAULT;
    if (pae_paging(cpu->cr0, v, cpu->msr.efer) &&
        (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP))) {
        if (walk_load_pdptes(cpu, cpu->cr3, pdpte))
            return STEP_FAULT;
        memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
    }
    cpu->cr4 = v;
    if (changed &
        (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return 0;
}

/* --- MOV to and from CR --- */

static int cr8_load(struct vcpu *cpu, uint64_t val)
{
    if (val > 15)
        return raise_gp(cpu, 0);
    if (cpu->intr)
        cpu->intr->tpr_set(cpu->intr_ctx, val);
    return 0;
}

static int cr_store(struct vcpu *cpu, unsigned cr, uint64_t val)
{
    switch (cr) {
    case 0:
        return cr0_load(cpu, val);
    case 2:
        cpu->cr2 = val;
        return 0;
    case 3:
        return cr3_load(cpu, val);
    case 4:
        return cr4_load(cpu, val);
    case 8:
        return cr8_load(cpu, val);
    default:
        return raise_ud(cpu);
    }
}

enum step sem_mov_to_cr(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = cpu->code_width == 8 ? 8 : 4;

    if (in->reg > 4 && in->reg != 8)
        return raise_ud(cpu);
    if (check_cpl0(cpu) || cr_store(cpu, in->reg, reg_get(cpu, in->rm, width)))
        return STEP_FAULT;
    return STEP_SYNC;
}

enum step sem_mov_from_cr(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = cpu->code_width == 8 ? 8 : 4;
    uint64_t v;

    if ((in->reg > 4 && in->reg != 8) || in->reg == 1)
        return raise_ud(cpu);
    if (check_cpl0(cpu))
        return STEP_FAULT;
    switch (in->reg) {
    case 0:
        v = cpu->cr0;
        break;
    case 2:
        v = cpu->cr2;
        break;
    case 3:
        v = cpu->cr3;
        break;
    case 4:
        v = cpu->cr4;
        break;
    default:
        v = cpu->intr ? cpu->intr->tpr_get(cpu->intr_ctx) : 0;
    }
    reg_set(cpu, in->rm, width, v);
    return STEP_NEXT;
}

/* --- debug registers --- */

static int dr_check(struct vcpu *cpu, const struct insn *in, unsigned *dr)
{
    *dr = in->reg;
    if (*dr == 4 || *dr == 5) {
        if (cpu->cr4 & CR4_DE)
            return raise_ud(cpu);
        *dr += 2;
    }
    if (*dr > 7)
        return raise_ud(cpu);
    if (check_cpl0(cpu))
        return STEP_FAULT;
    if (cpu->dr7 & BIT(13)) { /* GD: #DB, with DR6.BD */
        raise(cpu, EXC_DB);
        cpu->exc.dr6 = BIT(13);
        return STEP_FAULT;
    }
    return 0;
}

enum step sem_mov_to_dr(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;
    unsigned dr;

    if (dr_check(cpu, in, &dr))
        return STEP_FAULT;
    v = reg_get(cpu, in->rm, cpu->code_width == 8 ? 8 : 4);
    if (dr >= 6 && v >> 32)
        return raise_gp(cpu, 0);
    if (dr < 4) {
        cpu->dr[dr] = v;
        if (cpu->dr7 & 0xff)
            cpu->mmu->flush_all(cpu); /* watched pages change */
    } else if (dr == 6) {
        cpu->dr6 = (v & 0xe00f) | 0xffff0ff0;
    } else {
        cpu->dr7 = (v & 0xffff23ff) | 0x400;
        cpu->mmu->flush_all(cpu);
    }
    vcpu_update_rflags(cpu);
    return STEP_SYNC;
}

enum step sem_mov_from_dr(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;
    unsigned dr;

    if (dr_check(cpu, in, &dr))
        return STEP_FAULT;
    v = dr < 4 ? cpu->dr[dr] : dr == 6 ? cpu->dr6 : cpu->dr7;
    reg_set(cpu, in->rm, cpu->code_width == 8 ? 8 : 4, v);
    return STEP_NEXT;
}

/* --- segment registers --- */

/* After SS the next instruction runs undisturbed [SDM 3A 6.8.3]. */
static enum step seg_loaded(struct vcpu *cpu, unsigned seg)
{
    if (seg != SEG_SS)
        return STEP_NEXT;
    cpu->shadow = SHADOW_SS;
    return STEP_SYNC;
}

enum step sem_mov_to_seg(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel;

    if (in->reg == SEG_CS || in->reg > SEG_GS)
        return raise_ud(cpu);
    if (load_rm16(cpu, in, &sel) || seg_load(cpu, in->reg, sel))
        return STEP_FAULT;
    return seg_loaded(cpu, in->reg);
}

enum step sem_mov_from_seg(struct vcpu *cpu, const struct insn *in)
{
    if (in->reg > SEG_GS)
        return raise_ud(cpu);
    return store_rm16(cpu, in, cpu->seg[in->reg].sel);
}

enum step sem_push_seg(struct vcpu *cpu, const struct insn *in)
{
    if (stack_push(cpu, insn_stack_width(cpu, in), cpu->seg[in->reg].sel))
        return STEP_FAULT;
    return STEP_NEXT;
}

enum step sem_pop_seg(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = insn_stack_width(cpu, in);
    uint64_t mask = stack_mask(cpu), sp = cpu->gpr[R_RSP], sel;
    struct seg s;

    if (mem_load(cpu, SEG_SS, sp & mask, width, &sel) ||
        seg_prepare(cpu, in->reg, (uint16_t)sel, &s))
        return STEP_FAULT;
    stack_pointer_set(cpu, sp + width); /* by the old SS */
    seg_commit(cpu, in->reg, &s);
    return seg_loaded(cpu, in->reg);
}

/* LDS, LES, LFS, LGS, LSS; sub: the segment. */
enum step sem_lds(struct vcpu *cpu, const struct insn *in)
{
    uint64_t ea = insn_ea(cpu, in), off, sel;

    if (!(in->flags & INSN_MEM))
        return raise_ud(cpu);
    if (mem_load(cpu, in->seg, ea, in->reg_width, &off) ||
        mem_load(cpu, in->seg, (ea + in->reg_width) & width_mask(in->awidth), 2,
                 &sel) ||
        seg_load(cpu, in->sub, (uint16_t)sel))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->reg_width, off);
    return STEP_NEXT;
}

/* --- GDTR, IDTR --- */

static enum step table_load(struct vcpu *cpu, const struct insn *in,
                            struct desc_table *t)
{
    uint64_t ea = insn_ea(cpu, in), base, limit;
    unsigned width = cpu->code_width == 8 ? 8 : 4;

    if (check_cpl0(cpu))
        return STEP_FAULT;
    if (mem_load(cpu, in->seg, ea, 2, &limit) ||
        mem_load(cpu, in->seg, (ea + 2) & width_mask(in->awidth), width, &base))
        return STEP_FAULT;
    if (width == 8 && !gva_canonical(base))
        return raise_gp(cpu, 0);
    if (width == 4 && insn_opsize(cpu, in) == 2)
        base &= 0xffffff;
    t->base = base;
    t->limit = (uint16_t)limit;
    return STEP_NEXT;
}

static enum step table_store(struct vcpu *cpu, const struct insn *in,
                             const struct desc_table *t)
{
    unsigned width = cpu->code_width == 8 ? 8 : 4;
    uint64_t ea = insn_ea(cpu, in);
    struct ref base;

    if (check_umip(cpu))
        return STEP_FAULT;
    /* both halves are checked before either is written */
    if (ref_open_at(cpu, in->seg, (ea + 2) & width_mask(in->awidth), width,
                    REF_RW, &base) ||
        mem_store(cpu, in->seg, ea, 2, t->limit))
        return STEP_FAULT;
    ref_set(&base, t->base);
    return STEP_NEXT;
}

enum step sem_lgdt(struct vcpu *cpu, const struct insn *in)
{
    return table_load(cpu, in, &cpu->gdtr);
}

enum step sem_lidt(struct vcpu *cpu, const struct insn *in)
{
    return table_load(cpu, in, &cpu->idtr);
}

enum step sem_sgdt(struct vcpu *cpu, const struct insn *in)
{
    return table_store(cpu, in, &cpu->gdtr);
}

enum step sem_sidt(struct vcpu *cpu, const struct insn *in)
{
    return table_store(cpu, in, &cpu->idtr);
}

/* --- LDTR, TR --- */

enum step sem_lldt(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel;

    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (check_cpl0(cpu) || load_rm16(cpu, in, &sel) || seg_load_ldtr(cpu, sel))
        return STEP_FAULT;
    return STEP_NEXT;
}

enum step sem_ltr(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel;

    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (check_cpl0(cpu) || load_rm16(cpu, in, &sel) || seg_load_tr(cpu, sel))
        return STEP_FAULT;
    return STEP_NEXT;
}

enum step sem_sldt(struct vcpu *cpu, const struct insn *in)
{
    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (check_umip(cpu))
        return STEP_FAULT;
    return store_rm16(cpu, in, cpu->ldtr.sel);
}

enum step sem_str(struct vcpu *cpu, const struct insn *in)
{
    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (check_umip(cpu))
        return STEP_FAULT;
    return store_rm16(cpu, in, cpu->tr.sel);
}

/* --- LAR, LSL, VERR, VERW, ARPL --- */

static enum step seg_ask(struct vcpu *cpu, const struct insn *in,
                         enum seg_query q)
{
    struct desc d;
    uint16_t sel;
    bool ok, fault;

    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (load_rm16(cpu, in, &sel))
        return STEP_FAULT;
    ok = seg_visible(cpu, sel, q, &d, &fault);
    if (fault)
        return STEP_FAULT;
    flags_set(cpu, FLAG_ZF, ok ? FLAG_ZF : 0);
    if (!ok || q > SEG_LSL)
        return STEP_NEXT;
    reg_set(cpu, in->reg, in->reg_width,
            q == SEG_LAR ? d.raw >> 32 & 0xffff00 : d.seg.limit);
    return STEP_NEXT;
}

enum step sem_lar(struct vcpu *cpu, const struct insn *in)
{
    return seg_ask(cpu, in, SEG_LAR);
}

enum step sem_lsl(struct vcpu *cpu, const struct insn *in)
{
    return seg_ask(cpu, in, SEG_LSL);
}

enum step sem_verr(struct vcpu *cpu, const struct insn *in)
{
    return seg_ask(cpu, in, SEG_VERR);
}

enum step sem_verw(struct vcpu *cpu, const struct insn *in)
{
    return seg_ask(cpu, in, SEG_VERW);
}

enum step sem_arpl(struct vcpu *cpu, const struct insn *in)
{
    uint64_t sel, rpl = reg_get(cpu, in->reg, 2) & 3;
    struct ref dst;
    bool raise_it;

    if (!vcpu_protected(cpu))
        return raise_ud(cpu);
    if (opnd_get(cpu, in, OPND_RM, &sel))
        return STEP_FAULT;
    raise_it = (sel & 3) < rpl;
    /* no write, and no write access, where nothing changes */
    if (raise_it && ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    if (raise_it)
        ref_set(&dst, (sel & ~3ull) | rpl);
    flags_set(cpu, FLAG_ZF, raise_it ? FLAG_ZF : 0);
    return STEP_NEXT;
}

/* --- TLB --- */

enum step sem_invlpg(struct vcpu *cpu, const struct insn *in)
{
    gva_t gva = insn_ea(cpu, in) + cpu->seg_base[in->seg];

    if (check_cpl0(cpu))
        return STEP_FAULT;
    if (cpu->code_width != 8)
        gva &= 0xffffffff;
    if (gva_canonical(gva))
        cpu->mmu->flush_page(cpu, gva);
    return STEP_SYNC;
}

static int invpcid_check(struct vcpu *cpu, uint64_t type, uint64_t pcid,
                         gva_t gva)
{
    if (type > 3 || pcid >> 12)
        return raise_gp(cpu, 0);
    if (type < 2 && !(cpu->cr4 & CR4_PCIDE) && pcid)
        return raise_gp(cpu, 0);
    if (type == 0 && !gva_canonical(gva))
        return raise_gp(cpu, 0);
    return 0;
}

enum step sem_invpcid(struct vcpu *cpu, const struct insn *in)
{
    uint64_t type, pcid, gva, ea = insn_ea(cpu, in);

    if (check_cpl0(cpu))
        return STEP_FAULT;
    type = reg_get(cpu, in->reg, cpu->code_width == 8 ? 8 : 4);
    if (mem_load(cpu, in->seg, ea, 8, &pcid) ||
        mem_load(cpu, in->seg, (ea + 8) & width_mask(in->awidth), 8, &gva) ||
        invpcid_check(cpu, type, pcid, gva))
        return STEP_FAULT;
    if (type >= 2)
        cpu->mmu->flush_all(cpu); /* 3 would let global entries stay */
    else if (!(cpu->cr4 & CR4_PCIDE) && type == 1)
        cpu->mmu->flush_local(cpu);
    else if (type == 0 &&
             (!(cpu->cr4 & CR4_PCIDE) || pcid == (cpu->cr3 & CR3_PCID)))
        cpu->mmu->flush_page(cpu, gva);
    else
        cpu->mmu->flush_pcid(cpu, (unsigned)pcid);
    return STEP_SYNC;
}

/* --- XCR0 --- */

enum step sem_xgetbv(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return raise_ud(cpu);
    if ((uint32_t)cpu->gpr[R_RCX] != 0)
        return raise_gp(cpu, 0);
    cpu->gpr[R_RAX] = (uint32_t)cpu->xcr0;
    cpu->gpr[R_RDX] = cpu->xcr0 >> 32;
    return STEP_NEXT;
}

enum step sem_xsetbv(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = (uint32_t)cpu->gpr[R_RAX] | cpu->gpr[R_RDX] << 32;

    (void)in;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return raise_ud(cpu);
    if (check_cpl0(cpu))
        return STEP_FAULT;
    if ((uint32_t)cpu->gpr[R_RCX] != 0 || !(v & XCR0_X87) ||
        (v & ~cpu_xcr0_allowed(cpu->model)) ||
        (v & (XCR0_AVX | XCR0_SSE)) == XCR0_AVX)
        return raise_gp(cpu, 0);
    cpu->xcr0 = v;
    return STEP_SYNC;
}
