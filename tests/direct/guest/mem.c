/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c - an address space that is changed all the time: what may be read and
 * written, and what is there, is compared with a model after each change.
 */
#include "torture.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#define PAGES 64

/* --- rights --- */

static void mprotect_storm(unsigned rounds)
{
    static const int rights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    char *p = map(PAGES * PAGE, PROT_READ | PROT_WRITE);
    int is[PAGES];

    for (unsigned i = 0; i < PAGES; i++) {
        paint(p + i * PAGE, i);
        is[i] = 2;
    }
    for (unsigned n = 0; n < rounds; n++) {
        unsigned at = rnd() % PAGES, len = 1 + rnd() % (PAGES - at);
        unsigned to = rnd() % 3;

        CHECK(!mprotect(p + at * PAGE, len * PAGE, rights[to]));
        for (unsigned i = at; i < at + len; i++)
            is[i] = (int)to;
        for (unsigned k = 0; k < 12; k++) {
            unsigned i = rnd() % PAGES;

            CHECK(can_read(p + i * PAGE + 8) == (is[i] >= 1));
            CHECK(can_write(p + i * PAGE + 16) == (is[i] == 2));
            if (is[i])
                CHECK(painted(p + i * PAGE, i));
        }
        if (n % 64 == 0)
            IN_CHILD(can_write(p + at * PAGE) == (to == 2));
    }
    munmap(p, PAGES * PAGE);
    printf("mprotect\n");
}

/* --- places --- */

struct buffer {
    char *p;
    unsigned pages;
    uint64_t seed;
};

static int buffer_whole(const struct buffer *b)
{
    for (unsigned i = 0; i < b->pages; i++)
        if (!painted(b->p + i * PAGE, b->seed + i))
            return 0;
    return 1;
}

static void mremap_storm(unsigned rounds)
{
    struct buffer b[12];

    for (unsigned i = 0; i < 12; i++) {
        b[i] =
            (struct buffer){map(8 * PAGE, PROT_READ | PROT_WRITE), 8, 1000 * i};
        for (unsigned k = 0; k < 8; k++)
            paint(b[i].p + k * PAGE, b[i].seed + k);
    }
    for (unsigned n = 0; n < rounds; n++) {
        struct buffer *v = &b[rnd() % 12];
        unsigned pages = 1 + rnd() % 24;
        char *to = map(pages * PAGE, PROT_NONE), *was = v->p;
        int fixed = rnd() % 2;

        if (!fixed)
            munmap(to, pages * PAGE);
        v->p = mremap(v->p, v->pages * PAGE, pages * PAGE,
                      MREMAP_MAYMOVE | (fixed ? MREMAP_FIXED : 0), to);
        CHECK(v->p != MAP_FAILED && (!fixed || v->p == to));
        if (v->p != was)
            CHECK(!can_read(was));
        for (unsigned k = v->pages; k < pages; k++) {
            CHECK(blank(v->p + k * PAGE));
            paint(v->p + k * PAGE, v->seed + k);
        }
        v->pages = pages;
        CHECK(buffer_whole(v));
        CHECK(buffer_whole(&b[rnd() % 12]));
        if (n % 50 == 0)
            IN_CHILD((paint(v->p, 1), painted(v->p, 1)));
    }
    for (unsigned i = 0; i < 12; i++) {
        CHECK(buffer_whole(&b[i]));
        munmap(b[i].p, b[i].pages * PAGE);
    }
    printf("mremap\n");
}

/* What stood there must not be seen any more. */
static void replaced(unsigned rounds)
{
    char *p = map(PAGES * PAGE, PROT_READ | PROT_WRITE);
    int fd = memfd_create("file", 0);
    uint64_t seed[PAGES] = {0}; /* 0: zeroes; 1 << 32: nothing is there */
    char *file;

    CHECK(!ftruncate(fd, PAGES * PAGE));
    file = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (unsigned i = 0; i < PAGES; i++)
        paint(file + i * PAGE, 5000 + i);
    for (unsigned n = 0; n < rounds; n++) {
        unsigned i = rnd() % PAGES;
        char *at = p + i * PAGE;
        unsigned what = rnd() % 4;

        if (seed[i] >> 32 && what >= 2)
            what = 0;
        if (what == 0) {
            mmap(at, PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            CHECK(blank(at));
            paint(at, seed[i] = n + 1);
        } else if (what == 1) {
            unsigned k = rnd() % PAGES;

            mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
                 (off_t)(k * PAGE));
            CHECK(painted(at, 5000 + k));
            if (rnd() % 2)
                paint(at, seed[i] = n + 1); /* its own copy from here on */
            else
                seed[i] = 5000 + k;
        } else if (what == 2) {
            mmap(at, PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            madvise(at, PAGE, MADV_DONTNEED);
            seed[i] = 0;
        } else {
            munmap(at, PAGE);
            seed[i] = 1ull << 32;
        }
        for (unsigned k = 0; k < 8; k++) {
            i = rnd() % PAGES;
            if (seed[i] >> 32)
                CHECK(!can_read(p + i * PAGE));
            else if (!seed[i])
                CHECK(blank(p + i * PAGE));
            else
                CHECK(painted(p + i * PAGE, seed[i]));
        }
    }
    for (unsigned i = 0; i < PAGES; i++)
        CHECK(painted(file + i * PAGE, 5000 + i));
    munmap(p, PAGES * PAGE);
    munmap(file, PAGES * PAGE);
    close(fd);
    printf("replaced\n");
}

/* --- large pages --- */

static char *large(size_t len, int flags)
{
    char *p = map(len + 2 * MiB, PROT_NONE);

    p = (char *)(((uintptr_t)p + 2 * MiB - 1) & ~(2 * MiB - 1));
    p = mmap(p, len, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
    if (p != MAP_FAILED && !flags)
        madvise(p, len, MADV_HUGEPAGE);
    return p;
}

static unsigned readable(const char *p, size_t len)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i += 61 * PAGE)
        n += (unsigned)can_read(p + i);
    return n;
}

static unsigned writable(char *p, size_t len)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i += 61 * PAGE)
        n += (unsigned)can_write(p + i);
    return n;
}

static void fill(char *p, size_t len)
{
    for (size_t i = 0; i < len; i += PAGE)
        *(uint64_t *)(p + i) = i + 7;
}

static unsigned wrong(const char *p, size_t len, uint64_t plus)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i += PAGE)
        n += *(const uint64_t *)(p + i) != (plus ? i + plus : 0);
    return n;
}

static void large_pages(int flags, const char *name)
{
    enum { ALL = 35 }; /* probes of 4 MiB, every 61 pages */
    const size_t len = 4 * MiB, half = 2 * MiB;
    const unsigned all = (unsigned)((len + 61 * PAGE - 1) / (61 * PAGE));

    for (unsigned n = 0; n < 6; n++) {
        char *p = large(len, flags);

        if (p == MAP_FAILED) {
            printf("%s: none\n", name);
            return;
        }
        burn(400000);
        fill(p, len);
        CHECK(!wrong(p, len, 7));
        CHECK(!mprotect(p, len, PROT_READ));
        CHECK(!writable(p, len));
        CHECK(readable(p, len) == all && !wrong(p, len, 7));
        CHECK(!mprotect(p, half, PROT_NONE));
        CHECK(!readable(p, half));
        CHECK(!mprotect(p, len, PROT_READ | PROT_WRITE));
        CHECK(writable(p, len) == all && !wrong(p, len, 7));
        IN_CHILD((memset(p, 1, len), p[len - 1] == 1));
        CHECK(!wrong(p, len, 7));
        fill(p, len); /* copies it, or has it alone again */
        CHECK(!wrong(p, len, 7));
        if (!flags) { /* pieces of large pages */
            CHECK(!mprotect(p + 16 * PAGE, PAGE, PROT_READ));
            CHECK(!can_write(p + 16 * PAGE) && can_write(p + 17 * PAGE));
            CHECK(!munmap(p + 20 * PAGE, PAGE));
            CHECK(!can_read(p + 20 * PAGE) && can_read(p + 21 * PAGE));
            p[300 * PAGE] = 9;
            madvise(p + 300 * PAGE, PAGE, MADV_DONTNEED);
            CHECK(!p[300 * PAGE]);
        }
        madvise(p + half, half, MADV_DONTNEED);
        CHECK(!wrong(p + half, half, 0));
        fill(p + half, half);
        CHECK(!munmap(p + half, half));
        CHECK(readable(p, len) && !readable(p + half, half));
        CHECK(!munmap(p, half));
        CHECK(!readable(p, len));
    }
    printf("%s: works\n", name);
}

/* --- shared --- */

static void shared(unsigned rounds)
{
    int fd = memfd_create("shared", 0), status;
    volatile unsigned *a, *b;
    pid_t pid;

    CHECK(!ftruncate(fd, 16 * PAGE));
    a = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    b = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid = fork();
    for (unsigned i = 0; i < rounds; i++) { /* in turn, through two addresses */
        volatile unsigned *w = i & 1 ? a : b;

        while ((w[i % 7 * 1024] & 1) != !pid)
            usleep(0);
        if (w[i % 7 * 1024 + 5] != w[i % 7 * 1024])
            _exit(1);
        w[i % 7 * 1024 + 5]++;
        w[i % 7 * 1024]++;
    }
    for (unsigned i = 0; i < 20000; i++)
        __atomic_add_fetch(&b[9 * 1024], 1, __ATOMIC_SEQ_CST);
    if (!pid)
        _exit(42);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(a[9 * 1024] == 40000);
    /* a page that the file gets shorter by */
    CHECK(!ftruncate(fd, 8 * PAGE));
    CHECK(FAULT_OF(a[10 * 1024] = 1) == SIGBUS && can_read(a + 7 * 1024));
    CHECK(!ftruncate(fd, 16 * PAGE));
    CHECK(a[10 * 1024] == 0);
    printf("shared\n");
}

/* --- many, and at the ends --- */

/* No two of them can be one mapping. */
static void many(unsigned count)
{
    char *p = map(2 * count * PAGE, PROT_NONE);
    unsigned bad = 0;

    for (unsigned i = 0; i < count; i++)
        if (mprotect(p + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE))
            bad++;
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t *w = (void *)(p + 2 * i * PAGE);

            bad += w[i % 512] != (n ? i + n : 0);
            w[i % 512] = i + n + 1;
        }
        burn(400000);
    }
    CHECK(!bad);
    CHECK(!can_read(p + PAGE) && !can_read(p + (2 * count - 1) * PAGE));
    munmap(p, 2 * count * PAGE);
    printf("many\n");
}

static char *at(uintptr_t address, size_t len, int prot, int flags)
{
    return mmap((void *)address, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags,
                -1, 0);
}

static void ends(void)
{
    const int rwx = PROT_READ | PROT_WRITE | PROT_EXEC, there = MAP_FIXED;
    char *low = at(0, PAGE, rwx, there), *min = at(65536, PAGE, rwx, there);
    char *small = at(0, PAGE, rwx, MAP_32BIT);
    char *top;

    for (top = (char *)0x7fffffffe000; top > (char *)0x7fff00000000;
         top -= PAGE) /* a stack is near */
        if (at((uintptr_t)top, PAGE, rwx, MAP_FIXED_NOREPLACE) == top)
            break;
    CHECK(min == (char *)65536 && (uintptr_t)small < 1ull << 31);
    for (unsigned i = 0; i < 4; i++) {
        char *p = i == 0 ? low : i == 1 ? min : i == 2 ? small : top;

        if (p == MAP_FAILED)
            continue;
        burn(300000);
        __asm__("" : "+r"(p));            /* a null pointer like any other */
        memcpy(p, "\x8d\x04\x7f\xc3", 4); /* lea (%rdi,%rdi,2), %eax; ret */
        CHECK(((int (*)(int))p)(14) == 42);
        paint(p, i);
        CHECK(painted(p, i));
        munmap(p, PAGE);
        CHECK(!can_read(p));
    }
    CHECK(!can_read((char *)0x7ffffffff000));
    CHECK(!can_read((char *)0x800000000000));
    CHECK(!can_read((char *)0xffff800000000000));
    printf("ends %s\n", low == MAP_FAILED ? "without 0" : "with 0");
}

/* Something in each 512 GiB: whatever else is there has to move, or to go. */
static void everywhere(void)
{
    char *p[256];
    unsigned n = 0;

    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 255; i++) {
            p[i] = at((i << 39) + (1 << 30), PAGE, PROT_READ | PROT_WRITE,
                      MAP_FIXED_NOREPLACE);
            if (p[i] == MAP_FAILED)
                continue;
            if (i % 16 == 0)
                burn(300000);
            paint(p[i], i);
            n++;
        }
        for (uintptr_t i = 0; i < 255; i++)
            CHECK(p[i] == MAP_FAILED || painted(p[i], i));
        burn(600000);
        for (uintptr_t i = 0; i < 255; i++)
            if (p[i] != MAP_FAILED)
                munmap(p[i], PAGE);
        CHECK(!can_read(p[40]));
        burn(300000);
    }
    CHECK(n > 500);
    printf("everywhere\n");
}

static unsigned deep(unsigned n, unsigned seed)
{
    volatile char room[64 * 1024];

    room[seed % sizeof(room)] = (char)n;
    return n ? deep(n - 1, seed * 5 + 1) +
                   (unsigned char)room[seed % sizeof(room)]
             : 0;
}

static void stacks(void)
{
    struct rlimit all = {512 * MiB, 512 * MiB};

    CHECK(!setrlimit(RLIMIT_STACK, &all));
    printf("stack %u\n", deep(1500, 1));
    IN_CHILD(deep(1500, 2) == deep(1500, 3));
}

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    catch_faults();
    burn(3000000);
    mprotect_storm(300 * scale);
    mremap_storm(150 * scale);
    replaced(800 * scale);
    large_pages(0, "transparent");
    large_pages(MAP_HUGETLB, "hugetlb");
    shared(200 * scale);
    many(scale > 1 ? 30000 : 6000);
    ends();
    everywhere();
    stacks();
    return 0;
}
