/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.c - the host CPU against the interpreter, form by form.
 *
 *     oracle [--seed N|random] [--minutes M] [--each N] [--plain] [--32]
 *            [--tag TEXT]
 *
 * Every form runs --each times from random states, and then random sequences
 * of register instructions, which end in a conditional branch. All registers,
 * flags (but those the manual leaves undefined), memory and exceptions must
 * agree. What is known to differ, and why, is in known_difference().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "emulated.h"
#include "forms.h"

#define INT3     0xcc
#define SHOW_MAX 20
#define SEQUENCE 6

static struct {
    struct form *forms;
    unsigned count;
    struct rng rng;
    uint64_t seed;
    bool code32;
    unsigned mismatches, cases;
    const struct form *shown; /* the form last reported on: once is enough */
    uint8_t data[DATA_LEN];   /* before the run */
    uint8_t native_after[DATA_LEN];
} t;

/* --- one case: both run it --- */

static void data_random(void)
{
    uint64_t v;

    for (unsigned i = 0; i < DATA_LEN; i += 8) {
        v = i & 8 ? value_random(&t.rng) : rng_next(&t.rng);
        memcpy(native_data() + i, &v, 8);
    }
}

static void put_code(const uint8_t *bytes, unsigned len, unsigned at)
{
    static uint8_t page[CODE_LEN];

    memset(page, INT3, sizeof(page));
    memcpy(page + at, bytes, len);
    memcpy(native_code(), page, sizeof(page));
    emulated_code(0, page, sizeof(page));
}

static bool run_both(const struct state *s, struct state *n, struct state *e)
{
    volatile uint8_t touch = 0;
    bool done;

    for (unsigned i = 0; i < DATA_LEN; i += 4096)
        touch ^= *(volatile uint8_t *)(DATA_ADDR + i);
    memcpy(t.data, native_data(), DATA_LEN);
    memcpy(emulated_data(), t.data, DATA_LEN);
    native_run(s, n);
    memcpy(t.native_after, native_data(), DATA_LEN);
    done = emulated_run(s, e);
    t.cases++;
    return done;
}

/* --- comparing --- */

static void show_code(const uint8_t *bytes, unsigned len, uint64_t rip)
{
    ZydisDisassembledInstruction d;
    unsigned off = 0;

    for (unsigned i = 0; i < len; i++)
        fprintf(stderr, "%02x ", bytes[i]);
    while (off < len && ZYAN_SUCCESS(ZydisDisassembleIntel(
                            t.code32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                     : ZYDIS_MACHINE_MODE_LONG_64,
                            rip + off, bytes + off, len - off, &d))) {
        fprintf(stderr, " %s;", d.text);
        off += d.info.length;
    }
    fprintf(stderr, "\n");
}

static void differ(const char *what, uint64_t was, uint64_t n, uint64_t e)
{
    fprintf(stderr, "  %-8s before %016llx  native %016llx  interp %016llx\n",
            what, (unsigned long long)was, (unsigned long long)n,
            (unsigned long long)e);
}

static bool vectors_equal(const struct state *n, const struct state *e)
{
    return !memcmp(n->ymm, e->ymm, sizeof(n->ymm)) && n->mxcsr == e->mxcsr;
}

/* Control, status and tag words, and the registers. */
static bool x87_equal(const struct state *n, const struct state *e)
{
    if (memcmp(n->x87, e->x87, 5))
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(n->x87 + 32 + 16 * i, e->x87 + 32 + 16 * i, 10))
            return false;
    return true;
}

/* What is mapped elsewhere is the host process's affair: P may differ. */
static bool errors_equal(const struct state *n, const struct state *e)
{
    unsigned mask = ~0u;

    if (n->vector == 3 || n->vector >= 15)
        return true;
    if (n->vector == 14 && n->cr2 - DATA_ADDR >= DATA_LEN + 4096)
        mask = ~1u;
    return (n->error & mask) == (e->error & mask);
}

static bool equal(const struct state *n, const struct state *e, uint64_t undef)
{
    if (memcmp(n->gpr, e->gpr, sizeof(n->gpr)) || n->rip != e->rip ||
        n->vector != e->vector)
        return false;
    if ((n->rflags ^ e->rflags) & ~undef)
        return false;
    if (!errors_equal(n, e))
        return false;
    if (n->vector == 14 && n->cr2 != e->cr2)
        return false;
    return vectors_equal(n, e) && x87_equal(n, e) &&
           !memcmp(t.native_after, emulated_data(), DATA_LEN);
}

static void report_blobs(const struct state *s, const struct state *n,
                         const struct state *e)
{
    uint64_t a[4], b[4], was[4];

    for (unsigned i = 0; i < 16; i++) {
        if (!memcmp(n->ymm[i], e->ymm[i], 32))
            continue;
        memcpy(was, s->ymm[i], 32);
        memcpy(a, n->ymm[i], 32);
        memcpy(b, e->ymm[i], 32);
        for (unsigned j = 0; j < 4; j++)
            if (a[j] != b[j])
                differ("ymm", was[j], a[j], b[j]);
    }
    for (unsigned i = 0; i < 160; i += 8) {
        memcpy(was, s->x87 + i, 8);
        memcpy(a, n->x87 + i, 8);
        memcpy(b, e->x87 + i, 8);
        if (*a != *b && i != 8 && i != 16)
            differ("x87", was[0], a[0], b[0]);
    }
    for (unsigned i = 0; i < DATA_LEN; i += 8) {
        memcpy(was, t.data + i, 8);
        memcpy(a, t.native_after + i, 8);
        memcpy(b, emulated_data() + i, 8);
        if (*a != *b)
            differ("memory", was[0], a[0], b[0]);
    }
}

static void report(const struct form *f, const uint8_t *bytes, unsigned len,
                   const struct state *s, const struct state *n,
                   const struct state *e)
{
    static const char *const names[16] = {
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

    if (++t.mismatches > SHOW_MAX * 10 || (f && f == t.shown))
        return;
    t.shown = f;
    fprintf(stderr,
            "mismatch (seed %llu, case %u): ", (unsigned long long)t.seed,
            t.cases);
    show_code(bytes, len, s->rip);
    for (unsigned i = 0; i < 16; i++)
        if (n->gpr[i] != e->gpr[i])
            differ(names[i], s->gpr[i], n->gpr[i], e->gpr[i]);
    differ("rip", s->rip, n->rip, e->rip);
    differ("rflags", s->rflags, n->rflags, e->rflags);
    differ("vector", 0, n->vector, e->vector);
    differ("error", 0, n->error, e->error);
    if (n->cr2 != e->cr2)
        differ("cr2", 0, n->cr2, e->cr2);
    if (n->mxcsr != e->mxcsr)
        differ("mxcsr", s->mxcsr, n->mxcsr, e->mxcsr);
    report_blobs(s, n, e);
}

/* Address of the r/m operand, or 0. */
static uint64_t memory_operand(const struct insn_case *c, const struct state *s)
{
    ZydisRegisterContext regs;
    ZyanU64 at = 0;

    memset(&regs, 0, sizeof(regs));
    for (unsigned i = 0; i < 16; i++) {
        regs.values[ZYDIS_REGISTER_RAX + i] = s->gpr[i];
        regs.values[ZYDIS_REGISTER_EAX + i] = (uint32_t)s->gpr[i];
    }
    for (unsigned i = 0; i < c->zi.operand_count_visible; i++)
        if (c->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            !ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(&c->zi, &c->op[i], s->rip,
                                                     &regs, &at)))
            return 1;
    return at;
}

static uint32_t data_word(uint64_t at)
{
    uint32_t v = 0;

    if (at - DATA_ADDR <= DATA_LEN - 4)
        memcpy(&v, native_data() + (at - DATA_ADDR), 4);
    return v;
}

/*
 * Architecturally undefined results, beyond flags [the manual's page says
 * "undefined" for each], and encodings in which AMD's processors differ from
 * Intel's, which the models claim to be.
 */
static bool known_difference(const struct insn_case *c, const struct state *s)
{
    unsigned n;

    switch (c->zi.mnemonic) {
    case ZYDIS_MNEMONIC_SHLD: /* 16 bits by more than 16 */
    case ZYDIS_MNEMONIC_SHRD:
        n = c->op[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
                ? (unsigned)c->op[2].imm.value.u
                : (unsigned)s->gpr[1];
        return c->op[0].size == 16 && (n & 31) > 16;
    case ZYDIS_MNEMONIC_PAUSE: /* F3 REX.B 90: XCHG r8, rax on AMD */
        return c->zi.raw.rex.B;
    case ZYDIS_MNEMONIC_LDMXCSR: /* bit 17 is AMD's misaligned mode */
    case ZYDIS_MNEMONIC_VLDMXCSR:
        return data_word(memory_operand(c, s)) & 0x20000;
    case ZYDIS_MNEMONIC_SHA1NEXTE: /* AMD takes them unaligned */
    case ZYDIS_MNEMONIC_SHA1MSG1:
    case ZYDIS_MNEMONIC_SHA1MSG2:
    case ZYDIS_MNEMONIC_SHA1RNDS4:
    case ZYDIS_MNEMONIC_SHA256RNDS2:
    case ZYDIS_MNEMONIC_SHA256MSG1:
    case ZYDIS_MNEMONIC_SHA256MSG2:
        return memory_operand(c, s) & 15;
    default:
        return false;
    }
}

/*
 * Which byte of a masked store is reported, and whether one with an empty
 * mask faults at all, is the implementation's choice [SDM 2B, MASKMOVDQU].
 */
static bool fault_undefined(const struct insn_case *c, const struct state *s,
                            const struct state *n)
{
    /* what goes over 4 GiB where the limit is 4 GiB [SDM 3A 5.3] */
    if (t.code32 && (uint32_t)memory_operand(c, s) > 0xffffffbf)
        return true;
    /* POPA: AMD's processors have loaded some registers by then */
    if (n->vector == 14 && (c->zi.mnemonic == ZYDIS_MNEMONIC_POPA ||
                            c->zi.mnemonic == ZYDIS_MNEMONIC_POPAD))
        return true;
    return n->vector == 14 && (c->zi.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
                               c->zi.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU ||
                               c->zi.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ);
}

/* --- single instructions --- */

/* Sometimes across the page boundary. */
static unsigned place_in_code(unsigned len)
{
    if (rng_below(&t.rng, 8) == 0)
        return 0x1000 - 1 - rng_below(&t.rng, len > 1 ? len - 1 : 1);
    return rng_below(&t.rng, 0x700);
}

static bool try_form(struct form *f)
{
    struct state s, n, e;
    struct insn_case c;
    unsigned at;

    state_random(&t.rng, &s);
    data_random();
    at = place_in_code(12);
    if (!form_instance(&t.rng, f, &s, CODE_ADDR + at, &c) ||
        known_difference(&c, &s))
        return false;
    put_code(c.bytes, c.len, at);
    if (!run_both(&s, &n, &e)) {
        e.vector = ~0u;
        report(f, c.bytes, c.len, &s, &n, &e);
        return true;
    }
    f->runs++;
    if (!fault_undefined(&c, &s, &n) && !equal(&n, &e, undefined_flags(&c, &s)))
        report(f, c.bytes, c.len, &s, &n, &e);
    return true;
}

static void try_all_forms(unsigned each)
{
    for (unsigned i = 0; i < t.count; i++) {
        unsigned done = 0;

        for (unsigned tries = 0; done < each && tries < each * 40; tries++)
            done += try_form(&t.forms[i]);
    }
}

/* --- sequences of register instructions --- */

static bool fits_sequence(const struct insn_case *c, uint64_t undef)
{
    if (c->zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
        c->zi.meta.category == ZYDIS_CATEGORY_SYSTEM)
        return false;
    for (unsigned i = 0; i < c->zi.operand_count; i++)
        if (c->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            c->op[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN)
            return false;
    return !c->zi.cpu_flags || !(c->zi.cpu_flags->tested & undef);
}

static void try_sequence(void)
{
    uint8_t bytes[15 * SEQUENCE + 2];
    unsigned len = 0, at = rng_below(&t.rng, 0x700);
    unsigned want = 2 + rng_below(&t.rng, SEQUENCE - 2);
    struct state s, n, e, scratch;
    uint64_t undef = 0, ever = 0; /* ever: it may end early, in a fault */
    struct insn_case c;

    state_random(&t.rng, &s);
    data_random();
    for (unsigned i = 0, tries = 0; i < want && tries < 200; tries++) {
        const struct form *f = &t.forms[rng_below(&t.rng, t.count)];

        /* integer forms are where the lazy flags are */
        if (f->mem || f->vex || f->map > 1 ||
            (f->map == 1 && rng_below(&t.rng, 4)))
            continue;
        scratch = s;
        if (!form_instance(&t.rng, f, &scratch, CODE_ADDR + at + len, &c) ||
            !fits_sequence(&c, undef) || known_difference(&c, &s) ||
            ((c.zi.mnemonic == ZYDIS_MNEMONIC_SHLD ||
              c.zi.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
             c.op[0].size == 16))
            continue;
        if (c.zi.cpu_flags && !is_shift(&c)) /* by 0 leaves them alone */
            undef &= ~(uint64_t)(c.zi.cpu_flags->modified |
                                 c.zi.cpu_flags->set_0 | c.zi.cpu_flags->set_1);
        scratch.gpr[1] = 2; /* counts in CL are not known here: assume many */
        undef |= undefined_flags(&c, &scratch);
        if (c.zi.mnemonic >= ZYDIS_MNEMONIC_RCL &&
            c.zi.mnemonic <= ZYDIS_MNEMONIC_RCR)
            undef |= 0x800;
        ever |= undef;
        memcpy(bytes + len, c.bytes, c.len);
        len += c.len;
        i++;
    }
    if (rng_below(&t.rng, 2)) {
        static const uint16_t reads[8] = {0x800, 0x1, 0x40,  0x41,
                                          0x80,  0x4, 0x880, 0x8c0};
        unsigned cc = rng_below(&t.rng, 16);

        if (!(reads[cc >> 1] & undef)) {
            bytes[len++] = (uint8_t)(0x70 | cc);
            bytes[len++] = (uint8_t)(4 + rng_below(&t.rng, 100));
        }
    }
    if (!len)
        return;
    s.rip = CODE_ADDR + at;
    put_code(bytes, len, at);
    if (!run_both(&s, &n, &e))
        e.vector = ~0u;
    if (n.vector != 3)
        undef = ever;
    if (e.vector == ~0u || !equal(&n, &e, undef))
        report(NULL, bytes, len, &s, &n, &e);
}

/* --- */

static void usage(void)
{
    fprintf(stderr, "usage: oracle [--seed N|random] [--minutes M] "
                    "[--each N] [--plain] [--32] [--tag TEXT]\n");
    exit(2);
}

static void result(const char *claim, const char *suffix, unsigned mismatches)
{
    printf("%s diff/%s%s\n", mismatches ? "not ok" : "ok", claim, suffix);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned each = 60, covered = 0, minutes = 0, forms_bad;
    bool plain = false, code32 = false;
    const char *tag = "";
    char suffix[64];
    time_t end;

    t.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--plain"))
            plain = true;
        else if (!strcmp(argv[i], "--32"))
            code32 = true;
        else if (i + 1 >= argc)
            usage();
        else if (!strcmp(argv[i], "--seed"))
            t.seed = strcmp(argv[++i], "random")
                         ? strtoull(argv[i], NULL, 0)
                         : (uint64_t)time(NULL) * 2654435761u;
        else if (!strcmp(argv[i], "--minutes"))
            minutes = (unsigned)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--tag")) /* ends the names of the claims */
            tag = argv[++i];
        else if (!strcmp(argv[i], "--each"))
            each = (unsigned)atoi(argv[++i]);
        else
            usage();
    }
    t.rng.s = t.seed * 0x9e3779b97f4a7c15ull | 1;
    if (!emulated_init(plain) || !native_init()) {
        printf("skip diff: cannot map the test addresses\n");
        return 0;
    }
    t.forms = forms_enumerate(emulated_model(), code32, &t.count);
    if (code32)
        native_use_32();
    t.code32 = code32;
    end = time(NULL) + 60 * minutes;
    do {
        try_all_forms(each);
        forms_bad = t.mismatches;
        for (unsigned i = 0; i < t.count * each / 4; i++)
            try_sequence();
    } while (!t.mismatches && time(NULL) < end);
    for (unsigned i = 0; i < t.count; i++)
        covered += t.forms[i].runs != 0;
    fprintf(
        stderr, "seed %llu: %u of %u forms covered, %u cases, %u mismatches\n",
        (unsigned long long)t.seed, covered, t.count, t.cases, t.mismatches);
    for (unsigned i = 0; i < t.count; i++)
        if (!t.forms[i].runs)
            fprintf(stderr,
                    "not covered: %s %s map %u opcode %02x pp %u w %u "
                    "l %u %s\n",
                    t.forms[i].vex ? "vex" : "legacy",
                    ZydisMnemonicGetString(t.forms[i].mnemonic), t.forms[i].map,
                    t.forms[i].opcode, t.forms[i].pp, t.forms[i].w,
                    t.forms[i].l, t.forms[i].mem ? "mem" : "");
    snprintf(suffix, sizeof(suffix), "%s%s%s", code32 ? "-32" : "",
             plain ? "-plain" : "", tag);
    result("forms", suffix, forms_bad);
    result("sequences", suffix, t.mismatches - forms_bad);
    result("every-form-covered", suffix, covered != t.count);
    free(t.forms);
    emulated_fini();
    return t.mismatches != 0;
}
