/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disasm.c - Zydis's formatter, laid out as objdump does: the mnemonic padded
 * to six columns, no blanks between operands, and symbols in <>.
 *
 * Decodes everything that Zydis knows, also what the guest's CPU model hides:
 * what stands in memory is to be read, not to be run.
 */
#include "inspect/disasm.h"

#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>

struct text {
    ZydisFormatter formatter;
    ZydisFormatterFunc address; /* Zydis's own */
    const struct symbols *syms;
};

/* " <name+0x1c>", or nothing. */
static void symbol_suffix(const struct symbols *syms, uint64_t addr, char *buf,
                          size_t len)
{
    char name[128];

    buf[0] = 0;
    if (symbols_name(syms, addr, name, sizeof(name)))
        snprintf(buf, len, " <%s>", name);
}

static ZyanStatus print_target(const ZydisFormatter *formatter,
                               ZydisFormatterBuffer *buffer,
                               ZydisFormatterContext *context)
{
    const struct text *t = context->user_data;
    ZyanStringView view;
    char name[140];
    ZyanString *s;
    ZyanU64 addr;

    ZYAN_CHECK(t->address(formatter, buffer, context));
    ZYAN_CHECK(ZydisCalcAbsoluteAddress(context->instruction, context->operand,
                                        context->runtime_address, &addr));
    symbol_suffix(t->syms, addr, name, sizeof(name));
    ZYAN_CHECK(ZydisFormatterBufferGetString(buffer, &s));
    ZYAN_CHECK(ZyanStringViewInsideBuffer(&view, name));
    return ZyanStringAppend(s, &view);
}

static void text_init(struct text *t, const struct symbols *syms)
{
    static const struct {
        ZydisFormatterProperty property;
        ZyanUPointer value;
    } set[] = {
        {ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_RIPREL, ZYAN_TRUE},
        {ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED},
        {ZYDIS_FORMATTER_PROP_ADDR_PADDING_RELATIVE, ZYDIS_PADDING_DISABLED},
        {ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED},
        {ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED},
        {ZYDIS_FORMATTER_PROP_IMM_SIGNEDNESS, ZYDIS_SIGNEDNESS_UNSIGNED},
        {ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE},
    };

    ZydisFormatterInit(&t->formatter, ZYDIS_FORMATTER_STYLE_ATT);
    for (size_t i = 0; i < ARRAY_SIZE(set); i++)
        ZydisFormatterSetProperty(&t->formatter, set[i].property, set[i].value);
    t->syms = syms;
    t->address = print_target;
    ZydisFormatterSetHook(&t->formatter, ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS,
                          (const void **)&t->address);
}

static void decoder_setup(ZydisDecoder *d, unsigned code_width)
{
    if (code_width == 8)
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else if (code_width == 4)
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    else
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

/* Prefixes are written in front of the mnemonic, and not padded. */
static bool is_prefix(const char *word, size_t len)
{
    static const char *const names[] = {
        "lock",  "rep", "repe",     "repz",     "repne",
        "repnz", "bnd", "xacquire", "xrelease", "notrack"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == len && !memcmp(names[i], word, len))
            return true;
    return false;
}

/* Conditions have two names each: objdump's, where Zydis takes the other. */
static bool condition_name(char *buf, size_t len, const char *raw, size_t word)
{
    static const char *const heads[] = {"j", "set", "cmov"};
    static const struct {
        const char *zydis, *objdump;
    } conds[] = {{"z", "e"},   {"nz", "ne"}, {"nb", "ae"},
                 {"nbe", "a"}, {"nl", "ge"}, {"nle", "g"}};

    for (size_t h = 0; h < ARRAY_SIZE(heads); h++) {
        size_t n = strlen(heads[h]);

        if (word < n || memcmp(raw, heads[h], n))
            continue;
        for (size_t c = 0; c < ARRAY_SIZE(conds); c++)
            if (strlen(conds[c].zydis) == word - n &&
                !memcmp(raw + n, conds[c].zydis, word - n)) {
                snprintf(buf, len, "%s%s", heads[h], conds[c].objdump);
                return true;
            }
    }
    return false;
}

static char size_letter(const ZydisDecodedOperand *op)
{
    return op->size == 8    ? 'b'
           : op->size == 16 ? 'w'
           : op->size == 32 ? 'l'
                            : 'q';
}

/* AT&T's own names, and sizes that Zydis leaves to the reader. */
static bool att_name(char *buf, size_t len, const ZydisDecodedInstruction *i,
                     const ZydisDecodedOperand *op)
{
    static const struct {
        ZydisMnemonic mnemonic;
        const char *name;
        enum { PLAIN, MEMORY, EXTEND } kind;
    } names[] = {{ZYDIS_MNEMONIC_CBW, "cbtw", PLAIN},
                 {ZYDIS_MNEMONIC_CWDE, "cwtl", PLAIN},
                 {ZYDIS_MNEMONIC_CDQE, "cltq", PLAIN},
                 {ZYDIS_MNEMONIC_CWD, "cwtd", PLAIN},
                 {ZYDIS_MNEMONIC_CDQ, "cltd", PLAIN},
                 {ZYDIS_MNEMONIC_CQO, "cqto", PLAIN},
                 {ZYDIS_MNEMONIC_MOVSX, "movs", EXTEND},
                 {ZYDIS_MNEMONIC_MOVSXD, "movs", EXTEND},
                 {ZYDIS_MNEMONIC_MOVZX, "movz", EXTEND},
                 {ZYDIS_MNEMONIC_NOP, "nop", MEMORY},
                 {ZYDIS_MNEMONIC_INC, "inc", MEMORY},
                 {ZYDIS_MNEMONIC_DEC, "dec", MEMORY},
                 {ZYDIS_MNEMONIC_NEG, "neg", MEMORY},
                 {ZYDIS_MNEMONIC_NOT, "not", MEMORY},
                 {ZYDIS_MNEMONIC_MUL, "mul", MEMORY},
                 {ZYDIS_MNEMONIC_DIV, "div", MEMORY},
                 {ZYDIS_MNEMONIC_IDIV, "idiv", MEMORY}};

    for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
        if (names[k].mnemonic != i->mnemonic)
            continue;
        if (names[k].kind == PLAIN)
            snprintf(buf, len, "%s", names[k].name);
        else if (names[k].kind == EXTEND)
            snprintf(buf, len, "%s%c%c", names[k].name, size_letter(&op[1]),
                     size_letter(&op[0]));
        else if (i->operand_count_visible &&
                 op[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
            snprintf(buf, len, "%s%c", names[k].name, size_letter(&op[0]));
        else
            return false;
        return true;
    }
    return false;
}

/* The first word of `raw` (word long) by objdump's name for it. */
static void mnemonic(char *buf, size_t len, const char *raw, size_t word,
                     const ZydisDecodedInstruction *i,
                     const ZydisDecodedOperand *op)
{
    if (is_prefix(raw, word) ||
        (!condition_name(buf, len, raw, word) && !att_name(buf, len, i, op)))
        snprintf(buf, len, "%.*s", (int)word, raw);
}

/* `raw` as objdump would have it, into buf. */
static void lay_out(char *buf, size_t len, const char *raw,
                    const ZydisDecodedInstruction *i,
                    const ZydisDecodedOperand *op)
{
    size_t word = strcspn(raw, " "), n;
    const char *p = raw + word;
    char name[32];

    mnemonic(name, sizeof(name), raw, word, i, op);
    snprintf(buf, len, *p && !is_prefix(raw, word) ? "%-6s" : "%s", name);
    n = strlen(buf);
    for (; *p && n + 1 < len; p++)
        if (*p != ' ' || p[-1] != ',')
            buf[n++] = *p;
    buf[n] = 0;
}

/* AT&T's `*' before where an indirect branch finds its target. */
static void mark_indirect(char *buf, size_t len,
                          const ZydisDecodedInstruction *i,
                          const ZydisDecodedOperand *op)
{
    size_t n = strlen(buf), at = n;

    if ((i->mnemonic != ZYDIS_MNEMONIC_CALL &&
         i->mnemonic != ZYDIS_MNEMONIC_JMP) ||
        !i->operand_count_visible ||
        (op[0].type != ZYDIS_OPERAND_TYPE_REGISTER &&
         op[0].type != ZYDIS_OPERAND_TYPE_MEMORY) ||
        n + 2 > len)
        return;
    while (at && buf[at - 1] != ' ')
        at--;
    memmove(buf + at + 1, buf + at, n - at + 1);
    buf[at] = '*';
}

/* objdump's comment behind an operand that is relative to RIP. */
static void comment(char *buf, size_t len, const ZydisDecodedInstruction *i,
                    const ZydisDecodedOperand *op, uint64_t rip,
                    const struct symbols *syms)
{
    size_t n = strlen(buf);
    char name[140];
    ZyanU64 addr;

    for (unsigned k = 0; k < i->operand_count_visible; k++) {
        if (op[k].type != ZYDIS_OPERAND_TYPE_MEMORY ||
            (op[k].mem.base != ZYDIS_REGISTER_RIP &&
             op[k].mem.base != ZYDIS_REGISTER_EIP) ||
            ZYAN_FAILED(ZydisCalcAbsoluteAddress(i, &op[k], rip, &addr)))
            continue;
        symbol_suffix(syms, addr, name, sizeof(name));
        snprintf(buf + n, len - n, "        # 0x%llx%s",
                 (unsigned long long)addr, name);
        return;
    }
}

static ZyanStatus format(const struct text *t, ZydisDecodedInstruction *i,
                         const ZydisDecodedOperand *op, uint64_t rip, char *raw,
                         size_t len)
{
    if (i->mnemonic == ZYDIS_MNEMONIC_NOP && i->operand_count_visible > 1)
        i->operand_count_visible = 1; /* assemblers take only that */
    return ZydisFormatterFormatInstruction(&t->formatter, i, op,
                                           i->operand_count_visible, raw, len,
                                           rip, (void *)t);
}

unsigned disasm(char *buf, size_t len, const uint8_t *bytes, unsigned n,
                unsigned code_width, uint64_t rip, const struct symbols *syms)
{
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction i;
    struct text t;
    ZydisDecoder d;
    char raw[400];

    if (!len)
        return 0;
    decoder_setup(&d, code_width);
    text_init(&t, syms);
    if (!n || ZYAN_FAILED(ZydisDecoderDecodeFull(&d, bytes, n, &i, op)) ||
        ZYAN_FAILED(format(&t, &i, op, rip, raw, sizeof(raw)))) {
        snprintf(buf, len, "(bad)");
        return 0;
    }
    lay_out(buf, len, raw, &i, op);
    mark_indirect(buf, len, &i, op);
    comment(buf, len, &i, op, rip, syms);
    return i.length;
}
