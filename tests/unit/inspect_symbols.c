/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_symbols.c - claims about tables of symbols and the files of them. */
#include "inspect/symbols_int.h"

#include <elf.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

static struct vcpu cpu;
static struct error err;

/* The symbols in a file of these bytes; NULL, and err. */
static struct symbols *load_bytes(const void *bytes, size_t len)
{
    char path[] = "/tmp/ringfence-symbols-XXXXXX";
    struct symbols *s;
    int fd = mkstemp(path);

    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    err = (struct error){0};
    if (symbols_load(&s, path, &err)) {
        CHECK(!s && err.code && strstr(err.msg, path));
        s = NULL;
    }
    unlink(path);
    return s;
}

static struct symbols *load_text(const char *text)
{
    return load_bytes(text, strlen(text));
}

static void names(const struct symbols *s, uint64_t addr, const char *want)
{
    char text[600];

    if (symbols_name(s, addr, text, sizeof(text)) != (*want != 0) ||
        strcmp(text, want)) {
        fprintf(stderr, "%llx is `%s', not `%s'\n", (unsigned long long)addr,
                text, want);
        CHECK(!"the name");
    }
}

static const char map[] = "ffffffff81000200 t do_idle\n"
                          "0000000000000000 D __per_cpu_start\n"
                          "0000000000015d00 D current_task\n"
                          "ffffffff81000100 T entry_SYSCALL_64\n"
                          "ffffffff81000000 T _text\n"
                          "ffffffff81000000 T startup_64\n"
                          "ffffffff81000000 W aaa_weak\n"
                          "ffffffff81200000 B __bss_start\n"
                          "ffffffff81001000 A a_number\n"
                          "ffffffff81500000 B _end\n";

static struct symbols *load_map(void)
{
    return load_text(map);
}

static void a_map_names_what_is_near(void)
{
    struct symbols *s = load_map();

    CHECK_EQ(symbols_count(s), 9);
    names(s, 0xffffffff81000200, "do_idle");
    names(s, 0xffffffff8100021c, "do_idle+0x1c");
    names(s, 0xffffffff810001ff, "entry_SYSCALL_64+0xff");
    names(s, 0xffffffff80ffffff, "");
    names(s, 0xffffffff81100200, "");           /* too far */
    names(s, 0xffffffff81500fff, "_end+0xfff"); /* behind the last */
    names(s, 0xffffffff81501000, "");
    symbols_free(s);
}

static void of_several_at_an_address_the_plainest_is_taken(void)
{
    struct symbols *s = load_map();

    names(s, 0xffffffff81000000, "startup_64");
    names(s, 0xffffffff81000004, "startup_64+0x4");
    symbols_free(s);
}

/* A null pointer is not __per_cpu_start. */
static void offsets_name_no_address(void)
{
    struct symbols *s = load_map();
    uint64_t addr = 0;

    names(s, 0, "");
    names(s, 0x15d00, "");
    CHECK(symbols_find(s, "current_task", &addr));
    CHECK_EQ(addr, 0x15d00);
    symbols_free(s);
}

static void names_are_found(void)
{
    struct symbols *s = load_map();
    uint64_t addr = 0;

    CHECK(symbols_find(s, "_text", &addr));
    CHECK_EQ(addr, 0xffffffff81000000);
    CHECK(!symbols_find(s, "_tex", &addr));
    CHECK(!symbols_find(s, "a_number", &addr));
    CHECK(!symbols_find(NULL, "_text", &addr));
    symbols_free(s);
}

static void the_slide_is_that_of_the_system_call_entry(void)
{
    struct symbols *s = load_map();
    uint64_t addr = 0;

    cpu.msr.lstar = 0;
    CHECK(!symbols_slide(s, &cpu));
    names(s, 0xffffffff81000200, "do_idle");
    cpu.msr.lstar = 0xffffffff9a000100;
    CHECK(symbols_slide(s, &cpu));
    CHECK(symbols_slide(s, &cpu));
    names(s, 0xffffffff9a000200, "do_idle");
    names(s, 0xffffffff81000200, "");
    names(s, 0x19000200, ""); /* user's, wherever the slide takes it */
    CHECK(symbols_find(s, "do_idle", &addr));
    CHECK_EQ(addr, 0xffffffff9a000200);
    CHECK(symbols_find(s, "current_task", &addr));
    CHECK_EQ(addr, 0x15d00);
    cpu.msr.lstar = 0xffffffff9a000101; /* not by pages: not this kernel */
    CHECK(!symbols_slide(s, &cpu));
    symbols_free(s);
}

static void a_file_without_that_entry_does_not_move(void)
{
    struct symbols *s = load_text("100000 T _start\n100010 t main\r\n");

    cpu.msr.lstar = 0xffffffff9a000000;
    CHECK(symbols_slide(s, &cpu));
    names(s, 0x100014, "main+0x4");
    symbols_free(s);
}

static void a_copy_of_kallsyms_loads(void)
{
    struct symbols *s = load_text("ffffffffc0000000 t do_one\t[virtio_blk]");

    names(s, 0xffffffffc0000001, "do_one+0x1");
    symbols_free(s);
}

static void other_files_are_refused(void)
{
    static const char zeroes[] = "0000000000000000 T _text\n"
                                 "0000000000000000 T start\n";
    char big[2000];

    CHECK(!load_text(""));
    CHECK(!load_text("#!/bin/sh\nexit 0\n"));
    CHECK(!load_text("ffffffffffffffff B The real System.map is in the "
                     "linux-image-dbg package\nx"));
    CHECK(!load_text(zeroes));
    CHECK(strstr(err.msg, "root"));
    CHECK(!load_text("100000 U printf\n"));
    /* a name beyond all measure is passed over */
    memset(big, 'x', sizeof(big));
    memcpy(big, "100000 T ", 9);
    CHECK(!load_bytes(big, sizeof(big)));
    CHECK(!load_bytes(big + 9, sizeof(big) - 9));
    CHECK(symbols_load(&(struct symbols *){0}, "/nowhere/at/all", &err));
    CHECK(symbols_load(&(struct symbols *){0}, "/dev/zero", &err));
}

/* A guest chooses them, and they go to a terminal. */
static void names_have_no_control_characters(void)
{
    struct symbols *s = symbols_new();

    CHECK_EQ(symbols_add(s, 0x1000, "good.name$1", 11, false), 0);
    CHECK_EQ(symbols_add(s, 0x1001, "a\033[2J", 5, false), 0);
    CHECK_EQ(symbols_add(s, 0x1002, "a\0b", 3, false), 0);
    CHECK_EQ(symbols_add(s, 0x1003, "\x9b", 1, false), 0);
    CHECK(symbols_finish(s, false));
    CHECK_EQ(symbols_count(s), 1);
    names(s, 0x1002, "good.name$1+0x2");
    symbols_free(s);
}

/* --- ELF --- */

struct elf64 {
    Elf64_Ehdr h;
    Elf64_Shdr sec[3];
    Elf64_Sym sym[5];
    char str[40];
};

static struct elf64 elf_make(void)
{
    struct elf64 e = {
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
              .e_shoff = offsetof(struct elf64, sec),
              .e_shnum = 3,
              .e_shentsize = sizeof(Elf64_Shdr)},
        .sec = {{0},
                {.sh_type = SHT_SYMTAB,
                 .sh_link = 2,
                 .sh_offset = offsetof(struct elf64, sym),
                 .sh_size = sizeof(e.sym)},
                {.sh_type = SHT_STRTAB,
                 .sh_offset = offsetof(struct elf64, str),
                 .sh_size = sizeof(e.str)}},
        .str = "\0main\0label\0number\0file.c",
        .sym = {{0},
                {.st_name = 6, .st_shndx = 1, .st_value = 0x1000},
                {.st_name = 1,
                 .st_info = STT_FUNC,
                 .st_shndx = 1,
                 .st_value = 0x1000},
                {.st_name = 12, .st_shndx = SHN_ABS, .st_value = 0x1001},
                {.st_name = 19,
                 .st_info = STT_FILE,
                 .st_shndx = 1,
                 .st_value = 0x1002}}};

    return e;
}

static void elf_symbols_load(void)
{
    struct elf64 e = elf_make();
    struct symbols *s = load_bytes(&e, sizeof(e));

    CHECK_EQ(symbols_count(s), 2);
    names(s, 0x1000, "main"); /* functions before labels */
    names(s, 0x1004, "main+0x4");
    symbols_free(s);
}

static void stripped_elf_is_refused(void)
{
    struct elf64 e = elf_make();

    e.sec[1].sh_type = SHT_NULL;
    CHECK(!load_bytes(&e, sizeof(e)));
    CHECK(strstr(err.msg, "stripped"));
}

static void truncated_elf_is_refused(void)
{
    struct elf64 e = elf_make();

    for (size_t len = 1; len < sizeof(e); len++)
        CHECK(!load_bytes(&e, len));
}

static void elf_that_points_outside_is_refused(void)
{
    struct elf64 good = elf_make(), e = good;

    e.h.e_shoff = ~0ull;
    CHECK(!load_bytes(&e, sizeof(e)));
    e = good;
    e.h.e_shnum = 0xffff;
    CHECK(!load_bytes(&e, sizeof(e)));
    e = good;
    e.sec[1].sh_size = ~0ull;
    CHECK(!load_bytes(&e, sizeof(e)));
    e = good;
    e.sec[1].sh_link = 77;
    CHECK(!load_bytes(&e, sizeof(e)));
    e = good;
    e.sec[2].sh_size = 0;
    CHECK(!load_bytes(&e, sizeof(e)));
    e = good;
    e.sym[1].st_name = e.sym[2].st_name = ~0u;
    CHECK(!load_bytes(&e, sizeof(e)));
}

/* Whatever is changed: symbols or an error. */
static void damaged_elf_never_crashes(void)
{
    struct elf64 good = elf_make();

    srand(1);
    for (unsigned i = 0; i < 2000; i++) {
        struct elf64 e = good;

        for (unsigned k = 0; k < 4; k++)
            ((uint8_t *)&e)[4 + (unsigned)rand() % (sizeof(e) - 4)] =
                (uint8_t)rand();
        symbols_free(load_bytes(&e, sizeof(e)));
    }
}

int main(void)
{
    RUN(a_map_names_what_is_near);
    RUN(of_several_at_an_address_the_plainest_is_taken);
    RUN(offsets_name_no_address);
    RUN(names_are_found);
    RUN(the_slide_is_that_of_the_system_call_entry);
    RUN(a_file_without_that_entry_does_not_move);
    RUN(a_copy_of_kallsyms_loads);
    RUN(other_files_are_refused);
    RUN(names_have_no_control_characters);
    RUN(elf_symbols_load);
    RUN(stripped_elf_is_refused);
    RUN(truncated_elf_is_refused);
    RUN(elf_that_points_outside_is_refused);
    RUN(damaged_elf_never_crashes);
    return test_status();
}
