/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - descriptors, segment registers, and stacks under construction.
 *
 * Functions that can fault return 0 or STEP_FAULT with cpu->exc filled, and
 * have then changed nothing but perhaps an accessed bit in a table. `ext` is
 * the EXT bit (1) of error codes while an event is being delivered, else 0.
 */
#pragma once

#include "x86/access.h"

#define SEL_RPL(sel)  ((sel)&3u)
#define SEL_TI        4u
#define SEL_NULL(sel) (((sel)&0xfffcu) == 0)
#define SEL_ERR(sel)  ((sel)&0xfffcu) /* selector as an error code */

/* System descriptor types [SDM 3A 3.5]. */
enum desc_type {
    DESC_TSS16 = 1,
    DESC_LDT = 2,
    DESC_TSS16_BUSY = 3,
    DESC_CALL16 = 4,
    DESC_TASK = 5,
    DESC_INT16 = 6,
    DESC_TRAP16 = 7,
    DESC_TSS = 9,
    DESC_TSS_BUSY = 11,
    DESC_CALL = 12,
    DESC_INT = 14,
    DESC_TRAP = 15,
};

/* A descriptor, read once: guest memory may change meanwhile. */
struct desc {
    uint64_t raw;
    gva_t addr;     /* where it was */
    struct seg seg; /* decoded, seg.sel as loaded */
};

/* Attributes of segments that the CPU makes up itself. */
#define SEG_ATTR_CODE64 (0x9bu | SEG_L | SEG_G)
#define SEG_ATTR_CODE32 (0x9bu | SEG_DB | SEG_G)
#define SEG_ATTR_DATA32 (0x93u | SEG_DB | SEG_G)
#define SEG_ATTR_DPL3   0x60u
#define SEG_ATTR_VM86   0xf3u

static inline bool gva_canonical(gva_t a)
{
    return (uint64_t)((int64_t)a >> 47) + 1 <= 1;
}

/* Is the segment code, or data? System descriptors are neither. */
static inline bool seg_is_code(uint32_t attr)
{
    return (attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}
static inline bool seg_is_writable_data(uint32_t attr)
{
    return (attr & (SEG_S | SEG_CODE | SEG_WRITABLE)) == (SEG_S | SEG_WRITABLE);
}
static inline bool seg_is_conforming(uint32_t attr)
{
    return attr & SEG_EXPAND_DOWN;
}

/* Hidden part of a segment register from an 8-byte descriptor. */
void seg_decode(struct seg *s, uint16_t sel, uint64_t raw);
/* Are `size` bytes at off inside, by limit and direction? */
bool seg_in_limit(const struct seg *s, uint64_t off, unsigned size);
/* A null selector, as a register holds it. */
struct seg seg_null(uint16_t sel);
/* The segment of real or vm86 mode. */
struct seg seg_flat16(uint16_t sel, uint32_t attr);

/*
 * Reads the descriptor of a non-null selector. Outside its table:
 * raise_error(vector, sel | ext).
 */
int desc_load(struct vcpu *cpu, uint16_t sel, unsigned vector, unsigned ext,
              struct desc *d);
/* Upper half of a 16-byte system descriptor: bits 63..32 of the base. */
int desc_load_high(struct vcpu *cpu, struct desc *d, unsigned vector,
                   unsigned ext);
/* Sets the accessed bit in the table, if it is not set. */
int desc_mark_accessed(struct vcpu *cpu, struct desc *d);
/* Sets or clears the busy bit of a TSS descriptor in the table. */
int desc_mark_busy(struct vcpu *cpu, const struct desc *d, bool busy);

/* Puts a checked segment into a register, with seg_base. */
void seg_commit(struct vcpu *cpu, unsigned seg, const struct seg *s);
/* MOV, POP and LxS to a segment register other than CS; any mode. */
int seg_load(struct vcpu *cpu, unsigned seg, uint16_t sel);
/* As seg_load(), but only checks; the caller commits *s. */
int seg_prepare(struct vcpu *cpu, unsigned seg, uint16_t sel, struct seg *s);
/*
 * A stack segment for privilege level cpl, as far returns and stack switches
 * want it: errors are `vector` (#GP or #TS) and #SS.
 */
int seg_prepare_ss(struct vcpu *cpu, uint16_t sel, unsigned cpl,
                   unsigned vector, unsigned ext, struct seg *s);
/* A real-mode or vm86 code segment. */
void seg_commit_cs16(struct vcpu *cpu, uint16_t sel);

int seg_load_ldtr(struct vcpu *cpu, uint16_t sel);
int seg_load_tr(struct vcpu *cpu, uint16_t sel);

/*
 * LAR, LSL, VERR, VERW: may the current privilege see this selector? False,
 * with *fault, on a page fault in the table.
 */
enum seg_query { SEG_LAR, SEG_LSL, SEG_VERR, SEG_VERW };
bool seg_visible(struct vcpu *cpu, uint16_t sel, enum seg_query q,
                 struct desc *d, bool *fault);

/* Is rip a place where code in this segment may be? Else #GP(0) or ext. */
int code_target_check(struct vcpu *cpu, const struct seg *cs, uint64_t rip,
                      unsigned ext);

/*
 * A stack that is not, or not yet, SS:RSP. Nothing is committed: the caller
 * stores `sp` when all went well. Accesses have the rights of cpu->cpl.
 */
struct far_stack {
    struct vcpu *cpu;
    struct seg ss;
    uint64_t sp, mask; /* mask: how much of sp counts */
    bool flat;         /* 64-bit: no segment, but canonical */
    uint32_t error;    /* of a #SS */
};

/* SS:RSP as it is now. */
struct far_stack far_stack_here(struct vcpu *cpu, unsigned ext);
/* A stack to switch to, by SS.B. */
struct far_stack far_stack_new(struct vcpu *cpu, const struct seg *ss,
                               uint64_t sp, uint32_t error);
int far_push(struct far_stack *st, unsigned width, uint64_t val);
int far_pop(struct far_stack *st, unsigned width, uint64_t *val);
/* Bytes at sp + off, without moving. */
int far_peek(struct far_stack *st, uint64_t off, unsigned width, uint64_t *val);
/* Writes st->sp to RSP, as wide as the stack is. */
void far_stack_commit(const struct far_stack *st);

/*
 * Changes the rights that accesses have, before a stack switch; undone by
 * calling it again with the old level. Everything else about CPL follows in
 * vcpu_update_mode().
 */
void cpl_switch(struct vcpu *cpu, unsigned cpl);
