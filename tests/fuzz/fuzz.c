/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX  (1u << 20)
#define ONE_LIMIT  10 /* seconds an input may take */
#define CORPUS_MAX 1000

/* Under a sanitizer: called before it ends the process. */
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

/* GCC's runtime of the undefined-behaviour sanitizer knows no callback. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

static struct {
    const struct fuzz_target *target;
    uint8_t *buf;
    size_t len;
    char path[256]; /* where a crash goes */
    bool written;
} now;

struct bytes {
    uint8_t *data;
    size_t len;
};

static struct {
    struct bytes file[CORPUS_MAX];
    unsigned count;
    bool loaded;
} corpus;

uint64_t fuzz_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint64_t fuzz_number(struct fuzz *f)
{
    uint8_t how = fuzz8(f);

    switch (how & 7) {
    case 0:
        return fuzz8(f);
    case 1:
        return fuzz16(f);
    case 2:
        return fuzz32(f);
    case 3:
        return fuzz64(f);
    case 4:
        return 1ull << (how >> 3) << (fuzz8(f) & 32);
    case 5:
        return (1ull << (how >> 3) << (fuzz8(f) & 32)) - 1;
    case 6:
        return 0 - (uint64_t)(how >> 3);
    default:
        return (uint64_t)(how >> 3) << 12;
    }
}

/* Async-signal-safe. */
static void crash_write(void)
{
    int fd;

    if (now.written || !now.buf)
        return;
    now.written = true;
    fd = open(now.path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return;
    if (write(fd, now.buf, now.len) == (ssize_t)now.len)
        dprintf(STDERR_FILENO, "fuzz: the input is in %s\n", now.path);
    close(fd);
    printf("not ok fuzz %s\n", now.target->name);
    fflush(stdout);
}

static void on_fatal(int sig)
{
    crash_write();
    raise(sig);
}

static void on_alarm(int sig)
{
    (void)sig;
    dprintf(STDERR_FILENO, "fuzz: an input takes more than %u s\n", ONE_LIMIT);
    crash_write();
    abort(); /* for a core, or a debugger */
}

static void (*tick)(void);

static void on_tick(int sig)
{
    void (*fn)(void) = tick;

    (void)sig;
    if (fn)
        fn();
}

void fuzz_ticks(void (*fn)(void), unsigned us)
{
    struct itimerval t = {{0, us}, {0, us}};

    tick = fn;
    signal(SIGPROF, on_tick);
    setitimer(ITIMER_PROF, &t, NULL);
}

void fuzz_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
    crash_write();
    _exit(1); /* no complaints about what is still allocated */
}

static void guards(void)
{
    static const int sigs[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction sa = {.sa_handler = on_fatal,
                           .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    const char *dir = getenv("FUZZ_CRASHES");

    if (!dir)
        dir = "build/fuzz-crashes";
    mkdir(dir, 0755);
    snprintf(now.path, sizeof(now.path), "%s/%s-%d", dir, now.target->name,
             (int)getpid());
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(crash_write);
    sigaction(SIGABRT, &sa, NULL);
    for (unsigned i = 0;
         !__sanitizer_set_death_callback && i < ARRAY_SIZE(sigs); i++)
        sigaction(sigs[i], &sa, NULL);
    signal(SIGALRM, on_alarm);
}

static void run_one(size_t len)
{
    struct fuzz f = {now.buf, len, 0};

    now.len = len;
    alarm(ONE_LIMIT);
    now.target->one(&f);
    alarm(0);
}

static bool file_load(const char *path, struct bytes *b)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    ssize_t n = -1;

    b->data = NULL;
    if (fd >= 0 && !fstat(fd, &st) && st.st_size <= (off_t)INPUT_MAX)
        b->data = malloc((size_t)st.st_size + 1);
    if (b->data)
        n = read(fd, b->data, (size_t)st.st_size);
    if (n < 0)
        perror(path);
    if (fd >= 0)
        close(fd);
    b->len = (size_t)MAX(n, 0);
    return n >= 0;
}

static void run_bytes(const struct bytes *b)
{
    memcpy(now.buf, b->data, b->len);
    run_one(b->len);
}

static bool run_file(const char *path)
{
    struct bytes b;
    bool ok = file_load(path, &b);

    if (ok)
        run_bytes(&b);
    free(b.data);
    return ok;
}

/* The same order everywhere: what is made of them shall come again. */
static void corpus_load(void)
{
    const char *top = getenv("FUZZ_CORPUS");
    struct dirent **list = NULL;
    char dir[200], path[500];
    int count, i;

    corpus.loaded = true;
    snprintf(dir, sizeof(dir), "%s/%s", top ? top : "tests/fuzz/corpus",
             now.target->corpus);
    count = scandir(dir, &list, NULL, alphasort);
    for (i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && corpus.count < CORPUS_MAX)
            corpus.count += file_load(path, &corpus.file[corpus.count]);
        free(list[i]);
    }
    free(list);
}

const uint8_t *fuzz_corpus_file(uint64_t which, size_t *len)
{
    if (!corpus.loaded)
        corpus_load();
    if (!corpus.count)
        return NULL;
    *len = corpus.file[which % corpus.count].len;
    return corpus.file[which % corpus.count].data;
}

static unsigned run_corpus(void)
{
    unsigned i;

    corpus_load();
    for (i = 0; i < corpus.count; i++)
        run_bytes(&corpus.file[i]);
    return i;
}

static void mutate(uint64_t *s, size_t len)
{
    unsigned n = 1 + fuzz_next(s) % 8;

    while (n-- && len) {
        uint64_t r = fuzz_next(s);
        size_t at = (r >> 8) % len, to = (r >> 32) % len;

        switch (r & 7) {
        case 0:
            now.buf[at] = (uint8_t)(r >> 16);
            break;
        case 1:
            now.buf[at] ^= (uint8_t)BIT(r >> 16 & 7);
            break;
        case 2:
            now.buf[at] = 0;
            break;
        case 3:
            now.buf[at] = 0xff;
            break;
        case 4: /* a piece somewhere else */
            memmove(now.buf + at, now.buf + to,
                    MIN((r >> 16 & 63) + 1, len - MAX(at, to)));
            break;
        case 5: /* a number that is an edge */
            for (size_t i = 0; i < 4 && at + i < len; i++)
                now.buf[at + i] = r >> 40 & 1 ? 0xff : i == 3 ? 0x80 : 0;
            break;
        default:
            now.buf[at] += (uint8_t)(1 + (r >> 16 & 3));
        }
    }
}

static size_t make_input(uint64_t seed)
{
    const struct fuzz_target *t = now.target;
    uint64_t s = seed;
    size_t len;

    if (t->sample && fuzz_next(&s) % 8) {
        len = t->sample(fuzz_next(&s), now.buf, INPUT_MAX);
        if (t->mixed && fuzz_next(&s) % 8)
            return len;
        mutate(&s, len);
        if (fuzz_next(&s) % 8 == 0 && len)
            len = fuzz_next(&s) % len;
        return len;
    }
    len = 1 + fuzz_next(&s) % t->max_len;
    for (size_t i = 0; i < len; i++)
        now.buf[i] = (uint8_t)fuzz_next(&s);
    return len;
}

static uint64_t parse_seed(const char *s)
{
    struct timespec t;

    if (strcmp(s, "random"))
        return strtoull(s, NULL, 0);
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000007ull + (uint64_t)t.tv_nsec;
}

static uint64_t seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

int fuzz_main(int argc, char **argv, const struct fuzz_target *t)
{
    uint64_t seed = 1, runs = t->runs, end = 0, done = 0;
    unsigned files = 0;

    now.target = t;
    now.buf = malloc(INPUT_MAX);
    if (!now.buf)
        return 1;
    guards();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = parse_seed(argv[++i]);
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            runs = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
            end = seconds_now() + strtoull(argv[++i], NULL, 0);
        else if (!run_file(argv[i]))
            return 2;
        else
            files++;
    }
    if (!files) {
        files = run_corpus();
        while (end ? seconds_now() < end : done < runs) {
            uint64_t s = seed + done++;

            run_one(make_input(fuzz_next(&s)));
        }
    }
    fprintf(stderr, "fuzz %s: %u files, %llu inputs from seed %llu\n", t->name,
            files, (unsigned long long)done, (unsigned long long)seed);
    printf("ok fuzz %s\n", t->name);
    for (unsigned i = 0; i < corpus.count; i++)
        free(corpus.file[i].data);
    free(now.buf);
    return 0;
}
