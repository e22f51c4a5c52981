/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast_fuse.h - compare or test, then Jcc, as one; part of fast64.c and
 * fast32.c, behind fast_branch.h.
 */

/* --- fused: compare or test, then Jcc; the branch is in[1] --- */

#define COND_2(a, b)  ((a) < (b))
#define COND_3(a, b)  ((a) >= (b))
#define COND_4(a, b)  ((a) == (b))
#define COND_5(a, b)  ((a) != (b))
#define COND_6(a, b)  ((a) <= (b))
#define COND_7(a, b)  ((a) > (b))
#define COND_12(a, b) ((S)(a) < (S)(b))
#define COND_13(a, b) ((S)(a) >= (S)(b))
#define COND_14(a, b) ((S)(a) <= (S)(b))
#define COND_15(a, b) ((S)(a) > (S)(b))

#define SIGNED_u8  int8_t
#define SIGNED_u16 int16_t
#define SIGNED_u32 int32_t
#define SIGNED_u64 int64_t

/*
 * in[1] has its own handlers for near and far targets: `exec` of a Jcc whose
 * condition is known is go_near() or go_far(), told apart by `sub` bit 7.
 */
#define TARGET_FAR 0x80
#define FUSE_END(cond)                                                         \
    if (cond) {                                                                \
        if (in[1].sub & TARGET_FAR)                                            \
            return go_far(cpu, in + 1);                                        \
        return go_near(cpu, in + 1);                                           \
    }                                                                          \
    GO(cpu, in + 2)

#define CMPJ(form, T, cc, LOADS)                                               \
    HANDLER(cmpj_##form##_##T##_##cc)                                          \
    {                                                                          \
        typedef SIGNED_##T S;                                                  \
        (void)sizeof(S);                                                       \
        LOADS;                                                                 \
        DO_SUB(T, a, b);                                                       \
        (void)r;                                                               \
        FUSE_END(COND_##cc(a, b));                                             \
    }
#define CMPJ_FORMS(T, cc)                                                      \
    CMPJ(rr, T, cc, T a = get_##T(cpu, in->rm); T b = get_##T(cpu, in->reg))   \
    CMPJ(ri, T, cc, T a = get_##T(cpu, in->rm); T b = (T)in->imm)              \
    CMPJ(rm, T, cc, READ_OR_GENERIC(p, T); T a = get_##T(cpu, in->reg);        \
         T b = VREAD(p))                                                       \
    CMPJ(mr, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p);                     \
         T b = get_##T(cpu, in->reg))                                          \
    CMPJ(mi, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p); T b = (T)in->imm)
#define CMPJ_WIDTHS(cc)                                                        \
    CMPJ_FORMS(u8, cc)                                                         \
    CMPJ_FORMS(u16, cc) CMPJ_FORMS(u32, cc) IF64(CMPJ_FORMS(u64, cc))
#define FOR_CMP_CC(X)                                                          \
    X(2) X(3) X(4) X(5) X(6) X(7) X(12) X(13) X(14) X(15)
FOR_CMP_CC(CMPJ_WIDTHS)

#define TCOND_4(r)  ((r) == 0)
#define TCOND_5(r)  ((r) != 0)
#define TCOND_8(r)  ((S)(r) < 0)
#define TCOND_9(r)  ((S)(r) >= 0)
#define TCOND_14(r) ((S)(r) <= 0)
#define TCOND_15(r) ((S)(r) > 0)

#define TESTJ(form, T, cc, LOADS)                                              \
    HANDLER(testj_##form##_##T##_##cc)                                         \
    {                                                                          \
        typedef SIGNED_##T S;                                                  \
        (void)sizeof(S);                                                       \
        LOADS;                                                                 \
        DO_AND(T, a, b);                                                       \
        FUSE_END(TCOND_##cc(r));                                               \
    }
#define TESTJ_FORMS(T, cc)                                                     \
    TESTJ(rr, T, cc, T a = get_##T(cpu, in->rm); T b = get_##T(cpu, in->reg))  \
    TESTJ(ri, T, cc, T a = get_##T(cpu, in->rm); T b = (T)in->imm)             \
    TESTJ(mr, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p);                    \
          T b = get_##T(cpu, in->reg))                                         \
    TESTJ(mi, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p); T b = (T)in->imm)
#define TESTJ_WIDTHS(cc)                                                       \
    TESTJ_FORMS(u8, cc)                                                        \
    TESTJ_FORMS(u16, cc) TESTJ_FORMS(u32, cc) IF64(TESTJ_FORMS(u64, cc))
#define FOR_TEST_CC(X) X(4) X(5) X(8) X(9) X(14) X(15)
FOR_TEST_CC(TESTJ_WIDTHS)

#define CMPJ_CELL(T, cc)                                                       \
    {                                                                          \
        cmpj_rr_##T##_##cc, cmpj_ri_##T##_##cc, cmpj_rm_##T##_##cc,            \
            cmpj_mr_##T##_##cc, cmpj_mi_##T##_##cc                             \
    }
#define CMPJ_ROW(cc)                                                           \
    [cc] = {CMPJ_CELL(u8, cc), CMPJ_CELL(u16, cc), CMPJ_CELL(u32, cc),         \
            IF64(CMPJ_CELL(u64, cc))},
#define TESTJ_CELL(T, cc)                                                      \
    {                                                                          \
        testj_rr_##T##_##cc, testj_ri_##T##_##cc, NULL, testj_mr_##T##_##cc,   \
            testj_mi_##T##_##cc                                                \
    }
#define TESTJ_ROW(cc)                                                          \
    [cc] = {TESTJ_CELL(u8, cc), TESTJ_CELL(u16, cc), TESTJ_CELL(u32, cc),      \
            IF64(TESTJ_CELL(u64, cc))},
static exec_fn *const cmpj[16][4][FORMS] = {FOR_CMP_CC(CMPJ_ROW)};
static exec_fn *const testj[16][4][FORMS] = {FOR_TEST_CC(TESTJ_ROW)};
