/* SPDX-License-Identifier: Apache-2.0 */
/* io_qcow2.c - claims about qcow2 images, with qemu-img as the judge. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/disk.h"

#include "test.h"

#define SIZE (3u * 1024 * 1024 + 512 * 5)

static char dir[] = "/tmp/ringfence-qcow2-XXXXXX";
static struct disk d;
static struct error err;
static uint8_t model[SIZE], got[SIZE];
static uint64_t seed = 7;

static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % n;
}

/* Its status; %s is always the folder. */
static int sh(const char *fmt, ...)
{
    char cmd[1024], full[1200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    snprintf(full, sizeof(full), "cd %s && (%s) >log 2>&1", dir, cmd);
    return WEXITSTATUS(system(full));
}

static char *path(const char *name)
{
    static char p[128];

    snprintf(p, sizeof(p), "%s/%s", dir, name);
    return p;
}

static bool up(void)
{
    strcpy(strrchr(dir, '-'), "-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    return !sh("qemu-img --version");
}

static void down(void)
{
    sh("rm -rf %s", dir);
}

static void save(const char *name, const void *p, size_t len)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, p, len) == (ssize_t)len);
    close(fd);
}

static int transfer(bool write, void *buf, size_t len, uint64_t off)
{
    size_t cut = len / 3;
    struct iovec iov[2] = {{buf, cut}, {(uint8_t *)buf + cut, len - cut}};

    return write ? disk_write(&d, iov, 2, off) : disk_read(&d, iov, 2, off);
}

static void same(const char *when)
{
    CHECK_EQ(transfer(false, got, SIZE, 0), 0);
    if (memcmp(got, model, SIZE)) {
        size_t i = 0;

        while (got[i] == model[i])
            i++;
        fprintf(stderr, "%s: differs at %zu\n", when, i);
        test_failed = 1;
    }
}

static void one_operation(void)
{
    uint64_t off = 512ull * rnd(SIZE / 512);
    size_t max = (SIZE - off) / 512;
    size_t len = 512 * (1 + rnd(rnd(8) ? 40 : 700));
    uint8_t *p = model + off;

    len = MIN(len, 512 * max);
    switch (rnd(10)) {
    case 0:
        memset(p, 0, len);
        CHECK_EQ(disk_zero(&d, off, len, rnd(2)), 0);
        break;
    case 1: /* what it reads then is its own affair */
        CHECK_EQ(disk_discard(&d, off, len), 0);
        CHECK_EQ(transfer(false, p, len, off), 0);
        break;
    case 2:
        CHECK_EQ(disk_flush(&d), 0);
        break;
    case 3:
    case 4:
        CHECK_EQ(transfer(false, got, len, off), 0);
        CHECK(!memcmp(got, p, len));
        break;
    default:
        for (size_t i = 0; i < len; i++)
            p[i] = (uint8_t)rnd(256);
        CHECK_EQ(transfer(true, p, len, off), 0);
    }
}

static void work(const char *name, const char *how)
{
    if (disk_open_format(&d, path(name), false, true, 0, &err)) {
        fprintf(stderr, "%s: %s\n", how, err.msg);
        test_failed = 1;
        return;
    }
    CHECK_EQ(d.size, SIZE);
    same(how);
    for (int i = 0; i < 300; i++)
        one_operation();
    same(how);
    disk_close(&d);
    CHECK_EQ(sh("qemu-img check -f qcow2 %s", name), 0);
    save("model", model, SIZE);
    CHECK_EQ(sh("qemu-img compare -f qcow2 -F raw %s model", name), 0);
    CHECK_EQ(disk_open_format(&d, path(name), true, true, 0, &err), 0);
    same(how);
    CHECK_EQ(transfer(true, model, 512, 0), -30);
    disk_close(&d);
    if (test_failed)
        fprintf(stderr, "in: %s\n", how);
}

static void random_model(void)
{
    for (size_t i = 0; i < SIZE; i++)
        model[i] = i / 70000 % 3 ? (uint8_t)(i / 5000) : 0;
    save("raw", model, SIZE);
}

static void new_images_hold_what_is_written(void)
{
    static const char *const how[] = {
        "compat=1.1",
        "compat=0.10",
        "compat=1.1,cluster_size=512",
        "compat=0.10,cluster_size=4096",
        "cluster_size=2M",
        "compat=1.1,refcount_bits=1,cluster_size=1024",
        "compat=1.1,refcount_bits=64,cluster_size=512",
        "compat=1.1,preallocation=metadata",
        "compat=1.1,lazy_refcounts=on"};

    if (!up())
        SKIP("no qemu-img");
    for (unsigned i = 0; i < ARRAY_SIZE(how); i++) {
        memset(model, 0, SIZE);
        CHECK_EQ(sh("qemu-img create -f qcow2 -o %s a %u", how[i], SIZE), 0);
        work("a", how[i]);
    }
    down();
}

static void compressed_and_backed_images_too(void)
{
    static const char *const how[] = {"compression_type=zlib",
                                      "compression_type=zstd", "compat=0.10",
                                      "compression_type=zlib,cluster_size=512",
                                      "compression_type=zstd,cluster_size=2M"};
    static const char *const top[] = {"compat=1.1", "compat=0.10,"
                                                    "cluster_size=4096"};

    if (!up())
        SKIP("no qemu-img");
    for (unsigned i = 0; i < ARRAY_SIZE(how); i++) {
        random_model();
        CHECK_EQ(
            sh("qemu-img convert -c -f raw -O qcow2 -o %s raw base", how[i]),
            0);
        sh("cp base was");
        for (unsigned n = 0; n < 2; n++) {
            random_model();
            CHECK_EQ(
                sh("qemu-img create -f qcow2 -F qcow2 -b base -o %s a", top[n]),
                0);
            work("a", how[i]);
        }
        CHECK_EQ(sh("cmp base was"), 0);
        random_model();
        work("base", how[i]);
        random_model();
        CHECK_EQ(sh("dd if=raw of=short bs=1000448 count=1"), 0);
        memset(model + 1000448, 0, SIZE - 1000448);
        CHECK_EQ(sh("qemu-img create -f qcow2 -F raw -b short a %u", SIZE), 0);
        work("a", "short raw");
    }
    down();
}

static void refused(const char *name, bool ro, const char *why)
{
    if (!disk_open_format(&d, path(name), ro, true, 0, &err)) {
        fprintf(stderr, "not refused: %s\n", why);
        test_failed = 1;
        disk_close(&d);
    } else if (!strstr(err.msg, why)) {
        fprintf(stderr, "%s: %s\n", why, err.msg);
        test_failed = 1;
    }
}

static void what_we_cannot_do_is_refused(void)
{
    if (!up())
        SKIP("no qemu-img");
    save("raw", model, 4096);
    refused("raw", true, "not a qcow2 image");
    CHECK(!disk_named_qcow2("/a.qcow2/b") && disk_named_qcow2("b.qcow2"));
    sh("qemu-img create -f qcow2 a 1M && qemu-img snapshot -c s a");
    refused("a", false, "internal snapshots");
    sh("qemu-img create -f qcow2 -o extended_l2=on a 1M");
    refused("a", true, "features");
    CHECK_EQ(sh("qemu-img create -u -f qcow2 -F qcow2 -b b a 1M && "
                "qemu-img create -u -f qcow2 -F qcow2 -b a b 1M"),
             0);
    refused("a", true, "loop");
    sh("qemu-img create -u -f qcow2 -F raw -b none a 1M");
    refused("a", true, "No such file");
    sh("qemu-img create -f qcow2 a 1M; printf '\\001' | "
       "dd of=a bs=1 seek=79 conv=notrunc");
    refused("a", false, "not closed cleanly");
    sh("qemu-img create -f qcow2 a 1M; printf '\\377' | "
       "dd of=a bs=1 seek=36 conv=notrunc");
    refused("a", true, "L1 table");
    down();
}

/* Each sector says when it was written; a flushed one is never older. */
struct shared {
    uint32_t flushed[SIZE / 512];
};

static void write_until_killed(struct shared *s)
{
    static uint32_t now[SIZE / 512];
    uint32_t buf[128 * 16];

    for (uint32_t t = 1;; t++) {
        unsigned at = rnd(SIZE / 512 - 16), n = 1 + rnd(16);

        for (unsigned i = 0; i < 128 * n; i++)
            buf[i] = t;
        if (transfer(true, buf, 512ul * n, 512ull * at))
            _exit(1);
        for (unsigned i = 0; i < n; i++)
            now[at + i] = t;
        if (rnd(8))
            continue;
        if (disk_flush(&d))
            _exit(1);
        memcpy(s->flushed, now, sizeof(now));
    }
}

static void a_killed_writer_leaves_what_it_flushed(void)
{
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const uint32_t *v = (const void *)got;

    if (!up())
        SKIP("no qemu-img");
    for (int turn = 0; turn < 12; turn++) {
        pid_t pid;
        int rc;

        memset(s, 0, sizeof(*s));
        sh("qemu-img create -f qcow2 -o cluster_size=%d a %u",
           turn & 1 ? 512 : 65536, SIZE);
        pid = fork();
        if (!pid) {
            seed += (unsigned)turn;
            if (!disk_open_format(&d, path("a"), false, true, 0, &err))
                write_until_killed(s);
            _exit(1);
        }
        usleep(5000 + 1000 * rnd(120));
        kill(pid, SIGKILL);
        waitpid(pid, &rc, 0);
        CHECK(WIFSIGNALED(rc));
        rc = sh("qemu-img check -f qcow2 a");
        CHECK(rc == 0 || rc == 3); /* clusters that nobody uses */
        CHECK_EQ(disk_open_format(&d, path("a"), false, true, 0, &err), 0);
        CHECK_EQ(transfer(false, got, SIZE, 0), 0);
        for (unsigned i = 0; i < SIZE / 512 && !test_failed; i++)
            CHECK(v[i * 128] >= s->flushed[i]);
        disk_close(&d);
    }
    munmap(s, sizeof(*s));
    down();
}

int main(void)
{
    RUN(new_images_hold_what_is_written);
    RUN(compressed_and_backed_images_too);
    RUN(what_we_cannot_do_is_refused);
    RUN(a_killed_writer_leaves_what_it_flushed);
    return test_status();
}
