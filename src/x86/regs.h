/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regs.h - names and layouts of the architectural registers.
 */
#pragma once

#include "base/util.h"

/* clang-format off */
enum gpr {
    R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI,
    R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
    R_ZERO, R_PAGE, R_COUNT,
};
/* clang-format on */

enum segreg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };
#define SEG_NONE SEG_COUNT /* "no segment": base 0, no checks */

/*
 * A segment register with its hidden part. attr is the descriptor's bits
 * 40..55 with the limit nibble taken out, as VMX's access rights are:
 * type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15; bit 16: unusable
 * (null selector). The limit is in bytes, already scaled.
 */
struct seg {
    uint16_t sel;
    uint32_t attr;
    uint32_t limit;
    uint64_t base;
};
#define SEG_TYPE(a)     ((a)&0xf)
#define SEG_ACCESSED    0x1u
#define SEG_WRITABLE    0x2u /* data; for code: readable */
#define SEG_EXPAND_DOWN 0x4u /* data; for code: conforming */
#define SEG_CODE        0x8u
#define SEG_S           0x10u
#define SEG_DPL(a)      (((a) >> 5) & 3)
#define SEG_P           0x80u
#define SEG_L           0x2000u
#define SEG_DB          0x4000u
#define SEG_G           0x8000u
#define SEG_UNUSABLE    0x10000u

struct desc_table {
    uint64_t base;
    uint16_t limit;
};

#define FLAG_CF     0x1ull
#define FLAG_PF     0x4ull
#define FLAG_AF     0x10ull
#define FLAG_ZF     0x40ull
#define FLAG_SF     0x80ull
#define FLAG_TF     0x100ull
#define FLAG_IF     0x200ull
#define FLAG_DF     0x400ull
#define FLAG_OF     0x800ull
#define FLAG_IOPL   0x3000ull
#define FLAG_NT     0x4000ull
#define FLAG_RF     0x10000ull
#define FLAG_VM     0x20000ull
#define FLAG_AC     0x40000ull
#define FLAG_VIF    0x80000ull
#define FLAG_VIP    0x100000ull
#define FLAG_ID     0x200000ull
#define FLAG_FIXED  0x2ull
#define FLAG_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME        0x1ull
#define CR4_PVI        0x2ull
#define CR4_TSD        0x4ull
#define CR4_DE         0x8ull
#define CR4_PSE        0x10ull
#define CR4_PAE        0x20ull
#define CR4_MCE        0x40ull
#define CR4_PGE        0x80ull
#define CR4_PCE        0x100ull
#define CR4_OSFXSR     0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP       0x800ull
#define CR4_LA57       0x1000ull
#define CR4_FSGSBASE   0x10000ull
#define CR4_PCIDE      0x20000ull
#define CR4_OSXSAVE    0x40000ull
#define CR4_SMEP       0x100000ull
#define CR4_SMAP       0x200000ull

#define CR3_PCID    0xfffull
#define CR3_NOFLUSH 0x8000000000000000ull

#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

#define XCR0_X87 0x1ull
#define XCR0_SSE 0x2ull
#define XCR0_AVX 0x4ull

/* Exception vectors [SDM 3A 6.3.1]. */
/* clang-format off */
enum exc_vector {
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5,
    EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12,
    EXC_GP = 13, EXC_PF = 14, EXC_MF = 16, EXC_AC = 17, EXC_MC = 18,
    EXC_XM = 19,
};
/* clang-format on */

/* #PF error code [SDM 3A 4.7]. */
#define PF_P    0x1u
#define PF_W    0x2u
#define PF_U    0x4u
#define PF_RSVD 0x8u
#define PF_I    0x10u

/* MSRs that hold state. What is read-only is computed in x86/msr.c. */
struct msrs {
    uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable, spec_ctrl, debugctl, tsc_adjust;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, mc_ctl[4], mc_status[4], mc_addr[4], mc_misc[4];
    uint64_t ucode_rev, xss;
};

/*
 * x87, MMX, SSE and AVX. `fx` is an FXSAVE64 image [SDM 1 10.5.1.2] whose
 * bytes 0..159 (control, status, abridged tag, ST0..ST7) are authoritative
 * but for MXCSR, which is `mxcsr`; its XMM part is scratch. ymm[n] holds
 * XMMn in its low half.
 */
struct fpu {
    _Alignas(64) uint8_t fx[512];
    _Alignas(32) uint8_t ymm[16][32];
    uint32_t mxcsr;
};
