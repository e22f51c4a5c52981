/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_code.c - the crash screen's views of memory: code around RIP, the
 * page walk, the stack. Memory is the guest's: it may hold anything, end
 * anywhere, and lead in circles.
 */
#include "inspect/crash_int.h"

#include <stdio.h>
#include <string.h>

#include "inspect/disasm.h"
#include "x86/peek.h"
#include "x86/segment.h"
#include "x86/walk.h"

#define CODE_BEFORE  48 /* bytes in which to find instructions before RIP */
#define LINES_BEFORE 5
#define LINES_FROM   6
#define INSN_MAX     15

#define STACK_BYTES 16384 /* a kernel stack of Linux */
#define STACK_LINES 24
#define FRAMES_MAX  64

typedef unsigned long long ull;

/* --- code --- */

/* Bytes before `at` that can be read, at most CODE_BEFORE, to buf's end. */
static unsigned read_before(struct vcpu *cpu, gva_t at,
                            uint8_t buf[CODE_BEFORE])
{
    unsigned n = CODE_BEFORE;

    if (peek(cpu, at - n, buf, n) == n)
        return n;
    n = (unsigned)MIN(at & PAGE_OFFSET, CODE_BEFORE);
    return peek(cpu, at - n, buf + CODE_BEFORE - n, n) == n ? n : 0;
}

/*
 * Code cannot be read backwards. But instructions fall in step soon: the
 * farthest start from which one of them begins at RIP is most likely right.
 */
static unsigned start_before(const uint8_t *end, unsigned n, unsigned width)
{
    char text[8];

    for (; n; n--) {
        unsigned at = n, len = 1;

        while (at && len) {
            len = disasm(text, sizeof(text), end - at, at, width, 0, NULL);
            at -= len;
        }
        if (!at)
            return n;
    }
    return 0;
}

static void code_line(const struct crash_sink *to, const struct vcpu *cpu,
                      const uint8_t *p, unsigned len, uint64_t rip,
                      const char *text)
{
    char hex[2 * INSN_MAX + 1] = "";

    for (unsigned i = 0; i < len && i < INSN_MAX; i++)
        snprintf(hex + 2 * i, 3, "%02x", p[i]);
    crash_say(to, "%s %0*llx: %-22s %s", rip == cpu->rip ? "=>" : "  ",
              vcpu_long_mode(cpu) ? 16 : 8, (ull)rip, hex, text);
}

/* At most `lines` instructions of n bytes; how many bytes they had. */
static void code_lines(const struct crash_sink *to, struct vcpu *cpu,
                       const struct symbols *syms, const uint8_t *p, unsigned n,
                       uint64_t rip, unsigned lines)
{
    char text[CRASH_COLUMNS];
    unsigned len = 1;

    for (; n && lines && len; lines--, p += len, n -= len, rip += len) {
        len = disasm(text, sizeof(text), p, n, cpu->code_width, rip, syms);
        code_line(to, cpu, p, len ? len : MIN(n, INSN_MAX), rip, text);
    }
}

static void code_before(const struct crash_sink *to, struct vcpu *cpu,
                        const struct symbols *syms, gva_t at)
{
    uint8_t buf[CODE_BEFORE];
    const uint8_t *end = buf + CODE_BEFORE;
    unsigned n = read_before(cpu, at, buf), lens[CODE_BEFORE], count = 0;
    uint64_t start;
    char text[8];

    if (symbols_start(syms, cpu->rip, &start))
        n = (unsigned)MIN(n, cpu->rip - start); /* there one begins for sure */
    n = start_before(end, n, cpu->code_width);
    for (unsigned left = n; left; left -= lens[count++])
        lens[count] = disasm(text, sizeof(text), end - left, left,
                             cpu->code_width, 0, NULL);
    for (unsigned i = 0; i + LINES_BEFORE < count; i++)
        n -= lens[i];
    code_lines(to, cpu, syms, end - n, n, cpu->rip - n, LINES_BEFORE);
}

void crash_code(const struct crash_sink *to, struct vcpu *cpu,
                const struct symbols *syms)
{
    gva_t at = cpu->rip + cpu->seg_base[SEG_CS];
    uint8_t buf[LINES_FROM * INSN_MAX];
    unsigned n = (unsigned)peek(cpu, at, buf, sizeof(buf));

    if (!n) {
        crash_say(to, "code: none, RIP is not in mapped memory");
        if (at != cpu->cr2)
            crash_walk(to, cpu, at);
        return;
    }
    crash_say(to, "code:");
    code_before(to, cpu, syms, at);
    code_lines(to, cpu, syms, buf, n, cpu->rip, LINES_FROM);
}

/* --- the page walk --- */

static const struct crash_bit entry_bits[] = {
    {0x1, "P"},   {0x2, "W"},   {0x4, "U"},        {0x20, "A"}, {0x40, "D"},
    {0x80, "PS"}, {0x100, "G"}, {BIT64(63), "NX"}, {0, NULL}};

static void walk_result(const struct crash_sink *to, enum walk_end end,
                        const struct walk *w)
{
    if (end == WALK_IS_MAPPED)
        crash_say(to, "  -> %012llx, page of %llu KiB, %s%s%s%s%s", (ull)w->gpa,
                  (ull)(w->size / KiB),
                  w->rights & PAGE_U ? "user" : "supervisor",
                  w->rights & PAGE_W ? ", writable" : "",
                  w->rights & PAGE_NX ? "" : ", executable",
                  w->rights & PAGE_DIRTY ? ", dirty" : "",
                  w->rights & PAGE_GLOBAL ? ", global" : "");
    else
        crash_say(to, "  %s",
                  end == WALK_IS_RESERVED ? "a reserved bit is set"
                                          : "not mapped");
}

void crash_walk(const struct crash_sink *to, struct vcpu *cpu, gva_t gva)
{
    static const char *const names[WALK_LEVELS] = {"PTE", "PDE", "PDPTE",
                                                   "PML4E"};
    unsigned levels = vcpu_long_mode(cpu) ? 4 : 2;
    struct walk_steps s;
    enum walk_end end;
    struct walk w;
    char text[40];

    if (!vcpu_long_mode(cpu))
        gva &= 0xffffffff;
    else if (!gva_canonical(gva)) {
        crash_say(to, "%016llx is not canonical", (ull)gva);
        return;
    }
    crash_say(to, "page walk of %0*llx:", vcpu_long_mode(cpu) ? 16 : 8,
              (ull)gva);
    end = walk_explain(cpu, gva, &s, &w);
    for (unsigned i = 0; i < s.n; i++) {
        crash_bits(text, sizeof(text), s.entry[i], entry_bits);
        crash_say(to, "  %-5s at %012llx: %016llx%s", names[levels - 1 - i],
                  (ull)s.at[i], (ull)s.entry[i], text);
    }
    walk_result(to, end, &w);
}

/* --- the stack --- */

/* Do the n bytes before a return address end with a call [SDM 2A, CALL]? */
static bool call_ends(const uint8_t *end, unsigned n)
{
    if (n >= 5 && end[-5] == 0xe8)
        return true;
    for (unsigned len = 2; len <= 7 && len <= n; len++) {
        const uint8_t *p = end - len;
        unsigned mod = p[1] >> 6, rm = p[1] & 7, want = 2;

        if (p[0] != 0xff || (p[1] >> 3 & 7) != 2)
            continue;
        if (mod != 3 && rm == 4) {
            want++;
            rm = len > 2 ? p[2] & 7 : 0; /* base 5 without mod: disp32 */
        }
        want += mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
        if (want == len)
            return true;
    }
    return false;
}

/* Is there code at addr that was called from just before it? */
static bool is_return(struct vcpu *cpu, uint64_t addr)
{
    uint8_t bytes[8];
    struct walk w;
    size_t n;

    if (vcpu_long_mode(cpu) ? !gva_canonical(addr) : addr > 0xffffffff)
        return false;
    if (addr < PAGE_SIZE || !walk_peek(cpu, addr, &w) || (w.rights & PAGE_NX))
        return false;
    if (cpu->cpl < 3 && (w.rights & PAGE_U) && (cpu->cr0 & CR0_PG) &&
        (cpu->cr4 & CR4_SMEP))
        return false; /* a kernel does not call user code */
    n = peek(cpu, addr - sizeof(bytes), bytes, sizeof(bytes));
    return n == sizeof(bytes) && call_ends(bytes + n, (unsigned)n);
}

struct stack {
    struct vcpu *cpu;
    unsigned width; /* of a word */
    gva_t top;      /* of the stack in use: RSP */
    uint8_t bytes[STACK_BYTES];
    size_t len;
    gva_t frame[FRAMES_MAX]; /* where the chain's return addresses are */
    unsigned frames;
};

static uint64_t word_at(const struct stack *s, size_t off)
{
    uint64_t v = 0;

    memcpy(&v, s->bytes + off, s->width);
    return v;
}

/* Frames rise, and each has a return address. */
static void find_frames(struct stack *s)
{
    gva_t fp = s->cpu->gpr[R_RBP] + s->cpu->seg_base[SEG_SS], last = s->top;

    while (s->frames < FRAMES_MAX && fp >= last &&
           fp - s->top + 2 * s->width <= s->len &&
           (fp - s->top) % s->width == 0) {
        size_t off = (size_t)(fp - s->top);

        if (!is_return(s->cpu, word_at(s, off + s->width)))
            return;
        s->frame[s->frames++] = fp + s->width;
        last = fp + 2 * s->width;
        fp = word_at(s, off);
    }
}

static bool is_frame(const struct stack *s, gva_t at)
{
    for (unsigned i = 0; i < s->frames; i++)
        if (s->frame[i] == at)
            return true;
    return false;
}

/* The words on top, as they are. */
static void stack_words(const struct crash_sink *to, const struct stack *s)
{
    char text[CRASH_COLUMNS];
    size_t n = 0;

    for (size_t off = 0; off + s->width <= MIN(s->len, 6 * s->width);
         off += s->width)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %0*llx",
                              (int)s->width * 2, (ull)word_at(s, off));
    crash_say(to, "stack:%s", text);
}

/*
 * A return address is named by the call before it: what never returns may
 * have been called by the last instruction of a function.
 */
static void stack_line(const struct crash_sink *to, const struct stack *s,
                       const struct symbols *syms, uint64_t ret, bool sure)
{
    char name[CRASH_PLACE] = "", place[CRASH_PLACE];
    uint64_t start;

    if (symbols_start(syms, ret - 1, &start) &&
        symbols_name(syms, start, name, sizeof(name)))
        crash_say(to, "  %s %s <%s+0x%llx>", sure ? " " : "?",
                  crash_place(s->cpu, NULL, ret, place), name,
                  (ull)(ret - start));
    else
        crash_say(to, "  %s %s", sure ? " " : "?",
                  crash_place(s->cpu, NULL, ret, place));
}

/* Returns how many of `lines` are left. */
static unsigned stack_calls(const struct crash_sink *to, struct stack *s,
                            const struct symbols *syms, unsigned lines)
{
    for (size_t off = 0; off + s->width <= s->len && lines; off += s->width) {
        uint64_t v = word_at(s, off);

        if (!is_return(s->cpu, v))
            continue;
        stack_line(to, s, syms, v, is_frame(s, s->top + off));
        lines--;
    }
    return lines;
}

static void stack_read(struct stack *s, gva_t top)
{
    s->top = top;
    s->frames = 0;
    s->len = peek(s->cpu, top, s->bytes, sizeof(s->bytes));
}

/*
 * Linux changes to stacks of their own for interrupts and exceptions, and
 * keeps the one it left at their upper end, where mapped memory ends: its RSP
 * in the last word, or the frame that the CPU pushed.
 */
static bool stack_before(const struct stack *s, gva_t *top)
{
    uint64_t end[5]; /* RIP CS RFLAGS RSP SS */

    if (s->width != 8 || s->len == sizeof(s->bytes) || s->len < sizeof(end))
        return false;
    memcpy(end, s->bytes + s->len - sizeof(end), sizeof(end));
    *top = end[4];
    if (end[1] < 0x10000 && !(end[1] & 3) && end[4] < 0x10000)
        *top = end[3];
    return *top >> 63 && gva_canonical(*top) && *top % 8 == 0 &&
           (*top < s->top || *top >= s->top + s->len);
}

void crash_stack(const struct crash_sink *to, struct vcpu *cpu,
                 const struct symbols *syms)
{
    struct stack s = {.cpu = cpu, .width = cpu->code_width};
    gva_t top = cpu->gpr[R_RSP] + cpu->seg_base[SEG_SS];
    unsigned lines = STACK_LINES;

    stack_read(&s, top);
    if (s.len < s.width) {
        crash_say(to, "stack: none, RSP is not in mapped memory");
        return;
    }
    stack_words(to, &s);
    if (s.width < 4)
        return; /* far and near calls mixed: no telling */
    find_frames(&s);
    lines = stack_calls(to, &s, syms, lines);
    for (unsigned hops = 0; hops < 3 && lines && stack_before(&s, &top);
         hops++) {
        stack_read(&s, top);
        if (s.len < s.width)
            return;
        crash_say(to, "stack before that, at %016llx:", (ull)top);
        lines = stack_calls(to, &s, syms, lines);
    }
}
