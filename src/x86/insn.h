/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insn.h - a decoded instruction, and the contract of a semantic function.
 *
 * The decoder (x86/decode.c, on Zydis) turns bytes into `struct insn` once;
 * engines cache it. An instruction has at most one r/m operand (register or
 * memory), one ModRM.reg operand, one VEX.vvvv operand and immediates; `dst`,
 * `src` and `src2` say which of these the manual's first, second and third
 * operand are.
 */
#pragma once

#include "x86/vcpu.h"

struct insn;

enum step {
    STEP_NEXT,  /* done, go on behind it */
    STEP_JUMP,  /* done, cpu->rip says where to go on */
    STEP_FAULT, /* nothing has changed; cpu->exc says why */
    STEP_HALT,  /* done (HLT): cpu->rip is behind it, cpu->halted is set */
    STEP_STOP,  /* done, leave run(): shutdown or reset */
    STEP_SYNC,  /* done; the mode, IF or mappings changed: like STEP_NEXT, but
                   leave the block and look at attn */
};

/* The semantics of one operation, all forms: faults first, then commit. */
typedef enum step sem_fn(struct vcpu *cpu, const struct insn *in);
/*
 * How an engine runs it; defined by the engine. Returns the instruction to go
 * on with, or NULL to leave.
 */
typedef const struct insn *exec_fn(struct vcpu *cpu, const struct insn *in);

enum opnd { OPND_NONE, OPND_REG, OPND_RM, OPND_VREG, OPND_IMM };

/* What the register in `reg` is. */
enum reg_class { RC_GPR, RC_SEG, RC_CR, RC_DR, RC_MMX, RC_VEC, RC_X87 };

enum insn_flag {
    INSN_MEM = 1 << 0, /* the r/m operand is memory */
    INSN_LOCK = 1 << 1,
    INSN_REP = 1 << 2,   /* F3 on a string instruction: REP or REPE */
    INSN_REPNE = 1 << 3, /* F2 on a string instruction */
    INSN_JUMP = 1 << 4,  /* ends a block: may write RIP */
    INSN_SYNC = 1 << 5,  /* ends a block: may change the mode or IF */
    INSN_REX = 1 << 6,
    INSN_O16 = 1 << 7, /* 66 prefix */
    INSN_VEX = 1 << 8,
    INSN_REPZ_ANY = 1 << 9, /* an F3 prefix was there at all (PAUSE, ...) */
    INSN_COND = 1 << 10,    /* with INSN_JUMP: may as well fall through */
    INSN_NO_TRAP = 1 << 11, /* TF before it does not trap behind it */
};

/*
 * Byte registers are given as their byte's offset in vcpu.gpr (AH is 1), all
 * other general registers by number. Widths are in bytes.
 */
struct insn {
    exec_fn *exec;
    sem_fn *sem;
    uint64_t imm;  /* sign-extended; for relative branches: displacement */
    int32_t disp;  /* RIP-relative: displacement + next, base is R_PAGE */
    uint16_t next; /* offset in the page of the instruction behind */
    uint8_t len;
    uint8_t width; /* operand size: that of the manual's first operand */
    uint8_t rm;    /* r/m register when not INSN_MEM */
    uint8_t rm_width;
    uint8_t reg;
    uint8_t reg_width;
    uint8_t base, index, scale; /* scale is a shift; R_ZERO where absent */
    uint8_t seg;    /* segment of the memory operand, defaults applied */
    uint8_t awidth; /* address size: 2, 4 or 8 */
    uint8_t dst : 3, src : 3;
    uint8_t src2 : 3, reg_class : 4;
    uint8_t sub; /* condition code, /digit, what the family needs */
    uint16_t op; /* ZydisMnemonic */
    uint16_t flags;
    uint8_t place; /* 1-based position in its block; the engine's */
    uint8_t exit;  /* enum exit_reason */
};
_Static_assert(sizeof(struct insn) <= 56, "decoded instructions stay small");

/* Where the instruction is, and what is behind it. RIP, not linear. */
static inline uint64_t insn_next_rip(const struct vcpu *cpu,
                                     const struct insn *in)
{
    return cpu->gpr[R_PAGE] + in->next;
}
static inline uint64_t insn_rip(const struct vcpu *cpu, const struct insn *in)
{
    return cpu->gpr[R_PAGE] + in->next - in->len;
}

/* A repetition that returned STEP_JUMP to come back: it has not retired. */
static inline bool insn_unfinished(const struct vcpu *cpu,
                                   const struct insn *in)
{
    return (in->flags & (INSN_REP | INSN_REPNE)) &&
           cpu->rip == insn_rip(cpu, in);
}

/* Every raise returns STEP_FAULT, so that `return raise_gp(cpu, 0)`. */
static inline enum step raise(struct vcpu *cpu, unsigned vector)
{
    cpu->exc = (struct exc){.vector = (uint8_t)vector};
    return STEP_FAULT;
}
static inline enum step raise_error(struct vcpu *cpu, unsigned vector,
                                    uint32_t error)
{
    cpu->exc = (struct exc){
        .vector = (uint8_t)vector, .has_error = true, .error = error};
    return STEP_FAULT;
}
#define raise_ud(cpu)      raise((cpu), EXC_UD)
#define raise_gp(cpu, err) raise_error((cpu), EXC_GP, (err))

/* --- registry: each family file has one table of these --- */

struct sem_entry {
    uint16_t mnemonic; /* ZYDIS_MNEMONIC_* */
    uint16_t flags;    /* enum insn_flag to add */
    sem_fn *sem;
    uint8_t sub;   /* copied to insn->sub */
    bool lockable; /* LOCK is legal with a memory destination */
};

/* Terminated by an entry with sem == NULL. */
extern const struct sem_entry sem_arith_table[];   /* sem_arith.c */
extern const struct sem_entry sem_bit_table[];     /* sem_bit.c */
extern const struct sem_entry sem_move_table[];    /* sem_move.c */
extern const struct sem_entry sem_string_table[];  /* sem_string.c */
extern const struct sem_entry sem_branch_table[];  /* sem_branch.c: near */
extern const struct sem_entry sem_far_table[];     /* sem_far.c */
extern const struct sem_entry sem_system_table[];  /* sem_system.c */
extern const struct sem_entry sem_io_table[];      /* sem_io.c */
extern const struct sem_entry sem_fpstate_table[]; /* sem_fpstate.c */
