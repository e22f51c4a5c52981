/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stops.c - what one stop of native code costs, in cycles of the TSC: the
 * boundary alone, without a guest.
 *
 * stop: a system call in a stub, its registers taken and put back; on one CPU,
 * on two, and as the scheduler likes. with a page: the answer maps one.
 * Medians.
 */
#include "cycles.h"
#include "engine/direct/direct_int.h"

#include <sys/mman.h>
#include <unistd.h>

#define BASE 0x123456780000ull
#define CODE 0x400000ull
#define DATA 0x500000ull

static struct vcpu cpu;
static struct stub stub;
static struct segs segs; /* none of its own */

static void stops(const char *what, int ours, int its, bool map)
{
    pin(0, ours);
    pin(stub.pid, its);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t t0 = __builtin_ia32_rdtsc();

        cpu.rip = CODE;
        if (map && stub_map(&stub, DATA + i * PAGE_SIZE, PAGE_SIZE, PROT_READ,
                            (ROUNDS - i) * PAGE_SIZE))
            die("cannot map a page");
        if (frame_put(&cpu, &stub, &segs))
            die("a call failed");
        if (stub_resume(&stub) || stub_why(&stub) != STUB_CALLED ||
            frame_take(&cpu, &stub, &segs))
            die("the stub did not stop by a system call");
        took[i] = __builtin_ia32_rdtsc() - t0;
    }
    print(what);
}

int main(void)
{
    size_t size = (ROUNDS + 2) * PAGE_SIZE;
    int fd = memfd_create("ram", MFD_CLOEXEC);
    struct error err;
    uint8_t *ram;

    if (fd < 0 || ftruncate(fd, (off_t)size))
        die("no memory");
    ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ram == MAP_FAILED)
        die("no memory");
    memset(ram, 0, size);
    memcpy(ram, "\x0f\x05", 2); /* SYSCALL */
    cpu.rflags = FLAG_FIXED;
    cpu.fpu.mxcsr = 0x1f80;
    cpu.seg[SEG_CS].attr = SEG_L;
    cpu.code_width = 8;
    if (stub_start(&stub, BASE, fd, &err) ||
        stub_map(&stub, CODE, PAGE_SIZE, PROT_READ | PROT_EXEC, 0))
        die("this host runs no stubs: see ringfence doctor");

    printf("%-28s %8s %8s\n", "cycles of the TSC", "median", "10%");
    stops("stop", -1, -1, false);
    stops("stop, on one CPU", 0, 0, false);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        stops("stop, on two CPUs", 0, 1, false);
    stops("stop, with a page", -1, -1, true);
    stub_end(&stub);
    return 0;
}
