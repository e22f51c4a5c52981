/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect_kallsyms.c - claims about finding a kernel's symbols in memory, on
 * tables made here; tests/boot does it on stock kernels.
 */
#include "inspect/symbols_int.h"

#include <stdlib.h>

#include "test.h"

#define RAM   (8 * MiB)
#define COUNT 1000u
#define BASE  0xffffffff9a000000ull
#define ENTRY (BASE + 0x1000 * 700)
#define AT    0x300000ull /* where the tables are put */
#define ROOM  (64 * KiB)

static struct guest_mem mem;
static struct vcpu cpu;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

enum layout { OLD, OLD_SEQS, NEW };

struct image {
    uint8_t bytes[ROOM];
    size_t len;
};

static void put(struct image *im, const void *p, size_t len)
{
    CHECK(im->len + len <= ROOM);
    memcpy(im->bytes + im->len, p, len);
    im->len += len;
}

static void put32(struct image *im, uint32_t v)
{
    put(im, &v, 4);
}

static void align(struct image *im)
{
    im->len = align_up(im->len, 8);
}

/* Ten of the symbols are per CPU; one is the entry; one has a long name. */
static uint64_t address_of(unsigned i, bool percpu)
{
    return percpu && i < 10 ? i * 0x100 : BASE + 0x1000ull * i;
}

/* Codes: 1 is "Tsym_", 2 is "tlocal_", what is printable is itself. */
static void name_of(unsigned i, char *codes)
{
    if (i == 700)
        snprintf(codes, 300, "Tentry_SYSCALL_64");
    else if (i == 600)
        snprintf(codes, 300, "\001%0200u", i);
    else
        snprintf(codes, 300, "%c%u", i % 2 ? 1 : 2, i);
}

static void put_addresses(struct image *im, bool percpu)
{
    uint64_t base = percpu ? BASE + 0xa000 : BASE;

    align(im);
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t a = address_of(i, percpu);

        put32(im, percpu ? i < 10 ? (uint32_t)a : (uint32_t)(base - 1 - a)
                         : (uint32_t)(a - base));
    }
    align(im);
    put(im, &base, 8);
}

static void put_names(struct image *im)
{
    uint32_t marker[(COUNT + 255) / 256];
    size_t start;
    char codes[300];

    align(im);
    put32(im, COUNT);
    align(im);
    start = im->len;
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t len[2];
        size_t n;

        name_of(i, codes);
        n = strlen(codes);
        len[0] = (uint8_t)(n > 127 ? (n & 127) | 128 : n);
        len[1] = (uint8_t)(n >> 7);
        if (i % 256 == 0)
            marker[i / 256] = (uint32_t)(im->len - start);
        put(im, len, n > 127 ? 2 : 1);
        put(im, codes, n);
    }
    align(im);
    put(im, marker, sizeof(marker));
}

static void put_tokens(struct image *im)
{
    uint16_t index[256];
    size_t start;

    align(im);
    start = im->len;
    for (unsigned c = 0; c < 256; c++) {
        char text[16];

        if (c == 1 || c == 2)
            strcpy(text, c == 1 ? "Tsym_" : "tlocal_");
        else if (c > ' ' && c < 127)
            snprintf(text, sizeof(text), "%c", c);
        else
            snprintf(text, sizeof(text), "_tok%x", c);
        index[c] = (uint16_t)(im->len - start);
        put(im, text, strlen(text) + 1);
    }
    align(im);
    put(im, index, sizeof(index));
}

static struct image image_make(enum layout layout, bool percpu)
{
    struct image im = {.len = 64};

    if (layout != NEW)
        put_addresses(&im, percpu);
    put_names(&im);
    if (layout == OLD_SEQS) {
        align(&im);
        for (unsigned i = 0; i < COUNT; i++)
            put(&im, &(uint32_t){i * 7919 % COUNT}, 3);
    }
    put_tokens(&im);
    if (layout == NEW)
        put_addresses(&im, percpu);
    return im;
}

static struct symbols *find_in(const struct image *im)
{
    CHECK_EQ(guest_mem_write(&mem, AT, im->bytes, ROOM), 0);
    return symbols_from_guest(&cpu);
}

static void name_is(const struct symbols *s, uint64_t addr, const char *want)
{
    char text[600];

    symbols_name(s, addr, text, sizeof(text));
    if (strcmp(text, want)) {
        fprintf(stderr, "%llx is `%s', not `%s'\n", (unsigned long long)addr,
                text, want);
        CHECK(!"the name");
    }
}

static void check_all(const struct symbols *s, bool percpu)
{
    uint64_t addr = 0;
    char text[600];

    CHECK_EQ(symbols_count(s), COUNT);
    for (unsigned i = percpu ? 10 : 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), i % 2 ? "sym_%u" : "local_%u", i);
        if (i == 600)
            snprintf(text, sizeof(text), "sym_%0200u", i);
        if (i == 700)
            strcpy(text, "entry_SYSCALL_64");
        name_is(s, address_of(i, percpu), text);
    }
    name_is(s, ENTRY + 0x1c, "entry_SYSCALL_64+0x1c");
    CHECK(symbols_find(s, "sym_3", &addr));
    CHECK_EQ(addr, percpu ? 0x300 : BASE + 0x3000);
}

static void every_layout_is_found(void)
{
    static const enum layout layouts[] = {OLD, OLD_SEQS, NEW};

    cpu.msr.lstar = ENTRY;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(layouts); i++) {
        struct image im = image_make(layouts[i / 2], i % 2);
        struct symbols *s = find_in(&im);

        CHECK(s);
        if (s)
            check_all(s, i % 2);
        symbols_free(s);
    }
}

static void memory_without_a_kernel_has_none(void)
{
    struct image im = {.len = 0};

    CHECK(!find_in(&im));
}

/* An image that lies about, but is not what runs. */
static void another_kernels_table_is_not_taken(void)
{
    struct image im = image_make(NEW, true);

    cpu.msr.lstar = ENTRY + 0x1000;
    CHECK(!find_in(&im));
    /* before there is an entry, its text must be mapped: paging is off here */
    cpu.msr.lstar = 0;
    CHECK(!find_in(&im));
    cpu.msr.lstar = ENTRY;
}

static void the_running_kernels_is_found_among_others(void)
{
    struct image im = image_make(NEW, true);
    struct image other = im;
    struct symbols *s;

    other.bytes[other.len - 5] ^= 0x10; /* of its base */
    CHECK(!find_in(&other));
    CHECK_EQ(guest_mem_write(&mem, AT - MiB, other.bytes, ROOM), 0);
    s = find_in(&im);
    CHECK_EQ(symbols_count(s), COUNT);
    symbols_free(s);
    CHECK_EQ(guest_mem_write(&mem, AT - MiB, (uint8_t[ROOM]){0}, ROOM), 0);
}

static void a_table_at_the_end_of_memory_is_found(void)
{
    struct image im = image_make(NEW, false);
    struct symbols *s;

    CHECK_EQ(guest_mem_write(&mem, AT, (uint8_t[ROOM]){0}, ROOM), 0);
    CHECK_EQ(guest_mem_write(&mem, RAM - im.len, im.bytes, im.len), 0);
    s = symbols_from_guest(&cpu);
    CHECK_EQ(symbols_count(s), COUNT);
    symbols_free(s);
    /* cut off: none */
    CHECK_EQ(guest_mem_write(&mem, RAM - im.len, (uint8_t[ROOM]){0}, im.len),
             0);
    CHECK_EQ(guest_mem_write(&mem, RAM - im.len + 64, im.bytes, im.len - 64),
             0);
    CHECK(!symbols_from_guest(&cpu));
    CHECK_EQ(guest_mem_write(&mem, RAM - im.len, (uint8_t[ROOM]){0}, im.len),
             0);
}

/* Whatever is changed: symbols or none, in bounded time. */
static void damaged_tables_never_crash(void)
{
    unsigned found = 0;

    srand(2);
    for (unsigned i = 0; i < 600; i++) {
        struct image im = image_make(i % 3, i & 4);
        struct symbols *s;
        unsigned hits = 1 + (unsigned)rand() % 4;

        while (hits--) {
            size_t at = (unsigned)rand() % im.len;
            unsigned len = 1 + (unsigned)rand() % (i & 8 ? 4 : 400);

            for (; len && at < im.len; len--, at++)
                im.bytes[at] = i & 16 ? 0xff : (uint8_t)rand();
        }
        s = find_in(&im);
        found += s != NULL;
        symbols_free(s);
    }
    CHECK(found); /* what hit a name leaves a table */
}

/* Markers wherever one looks, numbers that fit: no endless search. */
static void a_memory_full_of_bait_costs_bounded_time(void)
{
    struct image im = image_make(NEW, true);
    uint32_t *word = malloc(AT);
    struct symbols *s;

    for (size_t i = 0; i < AT / 4; i++)
        word[i] = i % 4 == 0 ? 0 : (uint32_t)(i % 4) * 1000;
    CHECK_EQ(guest_mem_write(&mem, 0, word, AT), 0);
    memset(im.bytes, 0, 4096);
    s = find_in(&im);
    CHECK(!s);
    symbols_free(s);
    free(word);
}

int main(void)
{
    struct error err;

    CHECK_EQ(guest_mem_init(&mem, RAM, &lock, &err), 0);
    cpu.mem = &mem;
    RUN(memory_without_a_kernel_has_none);
    RUN(every_layout_is_found);
    RUN(another_kernels_table_is_not_taken);
    RUN(the_running_kernels_is_found_among_others);
    RUN(a_table_at_the_end_of_memory_is_found);
    RUN(damaged_tables_never_crash);
    RUN(a_memory_full_of_bait_costs_bounded_time);
    guest_mem_fini(&mem);
    return test_status();
}
