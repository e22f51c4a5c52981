/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c - the same loads for a guest and for the host: what computes, and
 * what asks the kernel.
 *
 * work SCALE: prints `work NAME BEST MEAN`, the nanoseconds of a turn by the
 * monotonic clock; what computes does SCALE turns. The best one says what the
 * machine can do, whoever else wanted it; the mean has the start in it. work
 * nano: `nano NAME CYCLES` of what a program can see of a CPU's own events.
 * Every result goes into a sum that is printed, so that nothing is left out,
 * and can be compared.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <x86intrin.h>
#include <zlib.h>
#include <zstd.h>

#define TEXT         (512 * 1024)
#define KERNEL_TIMES 3 /* what asks the kernel has turns inside */

static uint8_t text[TEXT], packed[2 * TEXT];
static uint64_t sum;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Words in a random order: it compresses as text does. */
static void text_make(void)
{
    uint32_t r = 1;
    size_t at = 0;

    while (at < TEXT) {
        uint32_t word, len;

        r = r * 1664525 + 1013904223;
        word = r >> 21; /* one of 2048 */
        len = 2 + word % 9;
        for (uint32_t i = 0; i < len && at < TEXT; i++)
            text[at++] = (uint8_t)('a' + (word * 2654435761u >> (3 * i)) % 26);
        if (at < TEXT)
            text[at++] = ' ';
    }
}

/* --- what computes --- */

static void integer(void)
{
    uint32_t a = 1, b = 2, c;

    for (unsigned i = 0; i < 4000000; i++) {
        a += b;
        b ^= a;
        c = 7 + a + 2 * b;
        a += c << 3 | c >> 29;
    }
    sum += a;
}

/* Lists, a state machine, a small matrix, a CRC: as CoreMark mixes them. */
struct node {
    struct node *next;
    uint16_t value;
};

static struct node *list_reverse(struct node *n)
{
    struct node *r = NULL;

    while (n) {
        struct node *next = n->next;

        n->next = r;
        r = n;
        n = next;
    }
    return r;
}

static unsigned states(const uint8_t *s, size_t len)
{
    unsigned state = 0, seen[4] = {0};

    for (size_t i = 0; i < len; i++) {
        switch (state) {
        case 0:
            state = s[i] == ' ' ? 1 : s[i] < 'g' ? 2 : 0;
            break;
        case 1:
            state = s[i] < 'm' ? 3 : 0;
            break;
        case 2:
            state = s[i] == ' ' ? 1 : 3;
            break;
        default:
            state = s[i] > 'p' ? 2 : 0;
        }
        seen[state]++;
    }
    return seen[0] ^ seen[1] << 3 ^ seen[2] << 7 ^ seen[3] << 11;
}

static uint16_t crc16(uint16_t crc, uint32_t v)
{
    for (unsigned i = 0; i < 32; i++, v >>= 1)
        crc = (uint16_t)(crc >> 1 ^ (((crc ^ v) & 1) ? 0xa001 : 0));
    return crc;
}

static void core(void)
{
    static struct node node[256];
    static int16_t m[16][16];
    struct node *list;
    uint16_t crc = 0;
    int32_t dot = 0;

    for (unsigned i = 0; i < 256; i++)
        node[i] = (struct node){i ? &node[i - 1] : NULL, (uint16_t)(i * 77)};
    list = &node[255];
    for (unsigned turn = 0; turn < 400; turn++) {
        list = list_reverse(list);
        for (struct node *n = list; n; n = n->next)
            crc = (uint16_t)(crc + (n->value ^ turn));
        crc = crc16(crc, states(text + 64 * turn, 2048));
        for (unsigned i = 0; i < 256; i++)
            m[i >> 4][i & 15] = (int16_t)(crc + i);
        for (unsigned i = 0; i < 256; i++, dot = 0) {
            for (unsigned k = 0; k < 16; k++)
                dot += m[i >> 4][k] * m[k][i & 15];
            crc = crc16(crc, (uint32_t)dot);
        }
    }
    sum += crc;
}

#define MATRIX(name, isa, type, lanes)                                         \
    __attribute__((target(isa), optimize("O3"))) static void name(void)        \
    {                                                                          \
        typedef float vec __attribute__((vector_size(4 * (lanes))));           \
        static vec a[128][128 / (lanes)], c[128][128 / (lanes)];               \
        static float b[128][128];                                              \
                                                                               \
        for (unsigned i = 0; i < 128 * 128; i++) {                             \
            ((float *)a)[i] = (float)(i % 7);                                  \
            b[i >> 7][i & 127] = (float)(i % 5);                               \
        }                                                                      \
        for (unsigned turn = 0; turn < 32; turn++)                             \
            for (unsigned i = 0; i < 128; i++)                                 \
                for (unsigned k = 0; k < 128; k++)                             \
                    for (unsigned j = 0; j < 128 / (lanes); j++)               \
                        c[i][j] += a[k][j] * b[i][k];                          \
        sum += (uint64_t)((float *)c)[4711];                                   \
    }
MATRIX(matrix_sse, "sse2", float, 4)
MATRIX(matrix_avx, "avx", float, 8)

static uint32_t ror(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* The compression function of SHA-256, with made up constants: its speed. */
static void sha256(void)
{
    uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64], v[8];

    for (size_t at = 0; at < TEXT; at += 64) {
        memcpy(w, text + at, 64);
        for (unsigned i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7] +
                   (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
                   (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, h, sizeof(v));
        for (unsigned i = 0; i < 64; i++) {
            uint32_t t1 = v[7] + (v[6] ^ (v[4] & (v[5] ^ v[6]))) + w[i] +
                          (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
                          i * 2654435761u;
            uint32_t t2 = ((v[0] & v[1]) | (v[2] & (v[0] | v[1]))) +
                          (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22));

            memmove(v + 1, v, 7 * sizeof(*v));
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (unsigned i = 0; i < 8; i++)
            h[i] += v[i];
    }
    sum += h[0];
}

static void gzip(void)
{
    uLongf len = sizeof(packed);

    compress2(packed, &len, text, TEXT / 4, 6);
    sum += len;
}

static void zstd(void)
{
    sum += ZSTD_compress(packed, sizeof(packed), text, TEXT, 3);
}

/* --- what asks the kernel --- */

static void calls(void)
{
    for (unsigned i = 0; i < 2000; i++)
        sum += getpid() == 0;
}

static void touch(void)
{
    size_t len = 64 << 20;
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    madvise(p, len, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < len; i += 4096)
        p[i] = 1;
    munmap(p, len);
}

static void child(const char *program)
{
    pid_t pid = fork();
    int status = 1;

    if (!pid) {
        if (program)
            execl(program, program, "nothing", NULL);
        _exit(program != NULL);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        abort();
}

static void forkwait(void)
{
    for (unsigned i = 0; i < 20; i++)
        child(NULL);
}

static void exec(void)
{
    for (unsigned i = 0; i < 20; i++)
        child("/proc/self/exe");
}

/* Turns are of what one prints: 64 MiB, a call, a child. */
static const struct work {
    const char *name;
    void (*fn)(void);
    unsigned turns;
    int computes;
} works[] = {
    {"integer", integer, 1, 1},
    {"core", core, 1, 1},
    {"matrix-sse", matrix_sse, 1, 1},
    {"matrix-avx", matrix_avx, 1, 1},
    {"sha256", sha256, 1, 1},
    {"gzip", gzip, 1, 1},
    {"zstd", zstd, 1, 1},
    {"syscall", calls, 2000, 0},
    {"touch-64M", touch, 1, 0},
    {"forkwait", forkwait, 20, 0},
    {"fork-exec", exec, 20, 0},
};

static void work(const struct work *w, unsigned scale)
{
    unsigned times = w->computes ? scale : KERNEL_TIMES;
    double start = now(), last = start, best = 1e18, t;

    for (unsigned i = 0; i < times; i++) {
        w->fn();
        t = now();
        best = t - last < best ? t - last : best;
        last = t;
    }
    printf("work %s %.0f %.0f\n", w->name, best / w->turns,
           (last - start) / times / w->turns);
    fflush(stdout);
}

/* --- what a program sees of a CPU's events --- */

static void on_signal(int sig, siginfo_t *si, void *context)
{
    (void)sig;
    (void)si;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void nano_syscall(unsigned turns)
{
    while (turns--)
        getppid();
}

static void nano_callret(unsigned turns)
{
    __asm__ volatile("jmp 3f\n 2: ret\n 3:\n 1: call 2b\n dec %0\n jnz 1b"
                     : "+r"(turns)
                     :
                     : "memory", "cc");
}

static void nano_divide(unsigned turns)
{
    while (turns--)
        __asm__ volatile("xor %%ecx, %%ecx\n div %%ecx"
                         :
                         :
                         : "rax", "rcx", "rdx", "cc");
}

static void nano_fault(unsigned turns)
{
    while (turns--)
        __asm__ volatile("mov (%%rsi), %%al" : : "S"(8) : "rax");
}

static void nano(const char *name, void (*fn)(unsigned), unsigned turns)
{
    uint64_t best = ~0ull, t0;

    for (unsigned i = 0; i < 5; i++) {
        t0 = __rdtsc();
        fn(turns);
        t0 = __rdtsc() - t0;
        best = t0 < best ? t0 : best;
    }
    printf("nano %s %llu\n", name, (unsigned long long)best / turns);
}

static int nanos(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    nano("syscall", nano_syscall, 5000);
    nano("callret", nano_callret, 2000000);
    nano("divzero", nano_divide, 2000);
    nano("pgfault", nano_fault, 2000);
    return 0;
}

int main(int argc, char **argv)
{
    int scale = argc > 1 ? atoi(argv[1]) : 1;

    if (argc > 1 && !strcmp(argv[1], "nothing"))
        return 0;
    if (argc > 1 && !strcmp(argv[1], "nano"))
        return nanos();
    text_make();
    for (unsigned i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        work(&works[i], scale > 0 ? (unsigned)scale : 1);
    printf("sum %llu\n", (unsigned long long)sum);
    return 0;
}
