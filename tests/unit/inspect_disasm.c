/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_disasm.c - claims about instructions as text. */
#include "inspect/disasm.h"
#include "inspect/symbols_int.h"

#include "test.h"

static struct symbols *syms;

static void reads(const char *bytes, unsigned n, unsigned width, uint64_t rip,
                  const char *want)
{
    char text[200];

    CHECK_EQ(
        disasm(text, sizeof(text), (const uint8_t *)bytes, n, width, rip, syms),
        n);
    if (strcmp(text, want)) {
        fprintf(stderr, "it is `%s', not `%s'\n", text, want);
        CHECK(!"the text");
    }
}

static void instructions_read_as_objdump_prints_them(void)
{
    reads("\x48\x89\x47\x10", 4, 8, 0, "mov    %rax,0x10(%rdi)");
    reads("\x48\x83\xec\x80", 4, 8, 0, "sub    $0xffffffffffffff80,%rsp");
    reads("\x48\x8b\x44\xc8\xf8", 5, 8, 0, "mov    -0x8(%rax,%rcx,8),%rax");
    reads("\xc7\x00\x01\x00\x00\x00", 6, 8, 0, "movl   $0x1,(%rax)");
    reads("\xf0\x48\x0f\xc1\x07", 5, 8, 0, "lock xadd %rax,(%rdi)");
    reads("\xc3", 1, 8, 0, "ret");
    reads("\xff\xd0", 2, 8, 0, "call   *%rax");
    reads("\xff\x64\xc3\x08", 4, 8, 0, "jmp    *0x8(%rbx,%rax,8)");
    reads("\x0f\x1f\x40\x08", 4, 8, 0, "nopl   0x8(%rax)");
    reads("\x48\x63\xd0", 3, 8, 0, "movslq %eax,%rdx");
    reads("\x0f\xb6\x00", 3, 8, 0, "movzbl (%rax),%eax");
    reads("\x48\xff\x08", 3, 8, 0, "decq   (%rax)");
    reads("\x48\x98", 2, 8, 0, "cltq");
    reads("\x0f\x0b", 2, 8, 0, "ud2");
    reads("\xf3\x0f\x1e\xfa", 4, 8, 0, "endbr64");
    reads("\x65\x48\x8b\x04\x25\x28\x00\x00\x00", 9, 8, 0,
          "mov    %gs:0x28,%rax");
}

static void branches_name_their_target(void)
{
    reads("\xe8\x0b\x00\x00\x00", 5, 8, 0xffffffff81000100,
          "call   0xffffffff81000110 <panic+0x10>");
    reads("\x74\xfe", 2, 8, 0xffffffff81000100,
          "je     0xffffffff81000100 <panic>");
    reads("\x0f\x87\x00\x00\x00\x00", 6, 4, 0x1000, "ja     0x1006");
    reads("\x0f\x95\xc0", 3, 8, 0, "setne  %al");
    reads("\x0f\x4d\xc1", 3, 8, 0, "cmovge %ecx,%eax");
    reads("\xeb\xfe", 2, 4, 0x1000, "jmp    0x1000");
}

static void addresses_relative_to_rip_are_worked_out(void)
{
    reads("\x48\x8b\x05\x01\x00\x00\x00", 7, 8, 0xffffffff810000fa,
          "mov    0x1(%rip),%rax        # 0xffffffff81000102 <panic+0x2>");
}

static void the_mode_decides(void)
{
    reads("\xb8\x34\x12", 3, 2, 0, "mov    $0x1234,%ax");
    reads("\x40", 1, 4, 0, "inc    %eax");
}

static void what_is_no_instruction_is_bad(void)
{
    static const uint8_t junk[] = {0x06, 0x48, 0x8b};
    char text[8];

    CHECK_EQ(disasm(text, sizeof(text), junk, 1, 8, 0, NULL), 0);
    CHECK(!strcmp(text, "(bad)"));
    CHECK_EQ(disasm(text, sizeof(text), junk + 1, 2, 8, 0, NULL), 0);
    CHECK_EQ(disasm(text, sizeof(text), junk, 0, 8, 0, NULL), 0);
}

static void a_short_buffer_cuts_the_text(void)
{
    char text[8] = "xxxxxxx";

    for (size_t len = 1; len < sizeof(text); len++) {
        CHECK_EQ(disasm(text, len, (const uint8_t *)"\x48\x89\x47\x10", 4, 8, 0,
                        NULL),
                 4);
        CHECK_EQ(strlen(text), len - 1);
    }
    CHECK_EQ(text[7], 0);
}

int main(void)
{
    syms = symbols_new();
    CHECK_EQ(symbols_add(syms, 0xffffffff81000100, "panic", 5, false), 0);
    CHECK(symbols_finish(syms, false));
    RUN(instructions_read_as_objdump_prints_them);
    RUN(branches_name_their_target);
    RUN(addresses_relative_to_rip_are_worked_out);
    RUN(the_mode_decides);
    RUN(what_is_no_instruction_is_bad);
    RUN(a_short_buffer_cuts_the_text);
    symbols_free(syms);
    return test_status();
}
