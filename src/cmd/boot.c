/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - `ringfence boot`: options to a machine_config, an end to a status.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/options.h"
#include "engine/engine.h"
#include "engine/interp/interp.h"
#include "fence/fence.h"
#include "inspect/stats.h"
#include "io/console.h"
#include "machine/gdb.h"
#include "machine/lockstep.h"
#include "machine/machine.h"
#include "machine/names.h"
#include "machine/record.h"
#include "mem/guest_mem.h"
#include "x86/cpuid.h"

#define MEMORY_MIN (16 * MiB)

int boot_cpus(void *ctx, const char *v, struct error *err)
{
    char *end;
    unsigned long n = strtoul(v, &end, 10);

    if (*v < '0' || *v > '9' || *end || n < 1 || n > GUEST_VCPUS_MAX)
        return error_set(err, EINVAL, "--cpus %s: give a number from 1 to %d",
                         v, GUEST_VCPUS_MAX);
    ((struct boot_args *)ctx)->cfg.cpus = (unsigned)n;
    return 0;
}

static uint64_t host_memory(void)
{
    struct sysinfo si;

    if (sysinfo(&si))
        return UINT64_MAX;
    return ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
}

int boot_memory(void *ctx, const char *v, struct error *err)
{
    uint64_t size, host = host_memory();
    int rc = options_size(v, &size);

    if (rc == -EINVAL)
        return error_set(err, EINVAL,
                         "--memory %s: not a size; give one like "
                         "512M or 2G",
                         v);
    if (!rc && size < MEMORY_MIN)
        return error_set(err, EINVAL,
                         "--memory %s: too small; give at least "
                         "%lluM",
                         v, (unsigned long long)(MEMORY_MIN / MiB));
    if (rc || size > host)
        return error_set(err, EINVAL,
                         "--memory %s: more than the host has; "
                         "give at most %lluM",
                         v, (unsigned long long)(host / MiB));
    ((struct boot_args *)ctx)->cfg.memory = align_down(size, PAGE_SIZE);
    return 0;
}

static const char *engine_name(const void *ctx, unsigned i)
{
    (void)ctx;
    return engines[i] ? engines[i]->name : NULL;
}

static void engine_list(void)
{
    unsigned i;

    printf("%-14s%s\n", "auto", "the best one that this host can run");
    for (i = 0; engines[i]; i++)
        printf("%-14s%s\n", engines[i]->name, engines[i]->summary);
}

static int boot_apic(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;

    if (strcmp(v, "kernel") && strcmp(v, "user"))
        return error_set(err, EINVAL, "--apic %s: kernel or user", v);
    a->cfg.user_apics = *v == 'u';
    return 0;
}

static int boot_engine(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    const struct engine_ops *e;
    const char *near;

    a->cfg.engine = NULL;
    if (!strcmp(v, "auto"))
        return 0;
    if (!strcmp(v, "help")) {
        engine_list();
        a->list = true;
        return 0;
    }
    e = engine_find(v);
    if (!e) {
        near = options_nearest(v, engine_name, NULL);
        return error_set(err, EINVAL,
                         "--engine %s: there is no such engine; "
                         "%s%s%s",
                         v,
                         near ? "did you mean "
                              : "see --engine "
                                "help",
                         near ? near : "", near ? "?" : "");
    }
    if (e->probe(err))
        return error_prefix(err, "--engine %s", v);
    a->cfg.engine = e;
    return 0;
}

int boot_cpu(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct cpu_model model;

    if (!strcmp(v, "help")) {
        puts(cpu_model_names());
        a->list = true;
        return 0;
    }
    if (cpu_model_parse(&model, v, err))
        return error_prefix(err, "--cpu %s", v);
    a->cfg.cpu = v;
    return 0;
}

static int boot_gdb(void *ctx, const char *v, struct error *err)
{
    if (gdb_address_check(v, err))
        return error_prefix(err, "--gdb %s", v);
    ((struct boot_args *)ctx)->cfg.gdb = v;
    return 0;
}

static int boot_name(void *ctx, const char *v, struct error *err)
{
    if (name_check(v, err))
        return error_prefix(err, "--name");
    ((struct boot_args *)ctx)->cfg.name = v;
    return 0;
}

static int boot_seed(void *ctx, const char *v, struct error *err)
{
    struct machine_config *c = &((struct boot_args *)ctx)->cfg;
    char *end;

    errno = 0;
    c->seed = strtoull(v, &end, 0);
    if (*v < '0' || *v > '9' || *end || errno)
        return error_set(err, EINVAL,
                         "--seed %s: give a number below 2^64, like 1", v);
    c->seeded = true;
    return 0;
}

static int boot_lockstep(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    char *end;
    unsigned long fd = strtoul(v, &end, 10);

    if (a->cfg.lockstep || *v < '0' || *v > '9' || *end || fd > INT_MAX)
        return error_set(err, EINVAL,
                         "--lockstep %s: give it once, with a "
                         "file descriptor",
                         v);
    a->cfg.lockstep = lockstep_open((int)fd, err);
    return a->cfg.lockstep ? 0 : -err->code;
}

static int boot_stats(void *ctx, const char *v, struct error *err)
{
    if (stats_parse(v, &((struct boot_args *)ctx)->cfg.stats, err))
        return error_prefix(err, "--stats %s", v);
    return 0;
}

static int boot_help_option(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct boot_args *)ctx)->list = true;
    command_find(((struct boot_args *)ctx)->command)->help();
    return 0;
}

static const struct option_spec boot_options[] = {
    {"kernel", "k", "FILE",
     "a bzImage (vmlinuz), an ELF vmlinux with a PVH note,\n"
     "or a kernel with a multiboot header (version 1)",
     NULL, offsetof(struct boot_args, cfg.kernel)},
    {"firmware", "bios", "FILE",
     "a BIOS image instead of a kernel; it boots from the\n"
     "first --disk. Debian's package seabios has one; see\n"
     "ringfence doctor",
     boot_firmware_file},
    {"initrd", "i", "FILE", "the initial RAM disk", NULL,
     offsetof(struct boot_args, cfg.initrd)},
    {"append", "cmdline params", "TEXT",
     "the kernel's command line, instead of\n\"" BOOT_APPEND "\"", NULL,
     offsetof(struct boot_args, cfg.append)},
    {"module", NULL, "FILE[,TEXT]",
     "for a multiboot kernel, with a text for it; up to 8\n"
     "times. The initrd is the first module",
     boot_module},
    {"unpack", NULL, "auto|host|guest",
     "who unpacks a bzImage. host: Ringfence, and enters it\n"
     "by PVH: seconds faster where code is interpreted, but\n"
     "the kernel stays where it was linked (no KASLR). guest:\n"
     "its own code. auto (the default): the host, but with\n"
     "engine kvm the guest",
     boot_unpack_by},
    {"cpus", "c smp", "N", "virtual CPUs, 1 to 8 (default 1)", boot_cpus},
    {"memory", "m mem", "SIZE", "RAM, like 512M (the default) or 2G",
     boot_memory},
    {"small-pages", NULL, NULL,
     "with engine kvm, which else takes huge pages for RAM\n"
     "where the host has them: slower, but of the host's\n"
     "memory no more than what the guest has touched",
     NULL, offsetof(struct boot_args, small_pages)},
    {"disk", "d drive hda", "FILE[,ro][,format=F][,aio=A]",
     "an image as a virtio disk (/dev/vda, ...), up to 8;\n"
     "raw, or qcow2 if F or the name (*.qcow2) says so;\n"
     "read and written by A: io_uring (the default where\n"
     "the host has it) or threads",
     boot_disk},
    {"share", "virtiofs", "DIR[,ro][,tag=T]",
     "a folder for the guest: mount -t virtiofs T /mnt;\n"
     "T is the folder's name unless given; up to 4 times",
     boot_share},
    {"net", "network", "KIND[,OPTION]...",
     "user: the host's network, without root; tap:NAME;\n"
     "none (the default). Options: mac=, mtu=; of user:\n"
     "hostfwd=tcp:[ADDR]:PORT-:PORT, restrict, dns=, net=,\n"
     "ipv6=off, guestfwd=tcp:ADDR:PORT-cmd:COMMAND.\n"
     "May be given up to 4 times",
     boot_net},
    {"publish", "p", "[ADDR:]HOST:GUEST[/udp]",
     "a port of the host's that leads into the guest;\n"
     "brings --net user if there is no network",
     boot_publish},
    {"rng", NULL, NULL, "a virtio source of random numbers (/dev/hwrng)",
     boot_rng},
    {"balloon", NULL, NULL,
     "a virtio balloon: memory that the guest frees goes\n"
     "back to the host; ringfence ctl NAME balloon SIZE",
     boot_balloon},
    {"vsock", NULL, "PATH[,cid=N]",
     "a virtio socket: the guest's streams to port P of the\n"
     "host (CID 2) go to the unix socket PATH_P; a program\n"
     "that connects to PATH and writes \"CONNECT P\" reaches\n"
     "the guest's port P. N: the guest's CID (default 3)",
     boot_vsock},
    {"port", NULL, "NAME=unix:PATH",
     "a port for the guest, /dev/virtio-ports/NAME: who\n"
     "connects to the unix socket PATH is at its other end.\n"
     "NAME=file:PATH: what the guest says goes to a file.\n"
     "Up to 6 times",
     boot_port},
    {"engine", "accel", "NAME",
     "auto (the default), kvm, interp, trap,\n"
     "interp-plain, or help",
     boot_engine},
    {"apic", NULL, "kernel|user",
     "where the local APICs are with engine kvm: KVM's own (the\n"
     "default, where it has them), or ours",
     boot_apic},
    {"cpu", NULL, "MODEL",
     "x86-64-v1 to -v3, and ,-feature to hide one;\n"
     "help lists them",
     boot_cpu},
    {"name", "n", "NAME", "for ringfence ctl (default: vm- and the process ID)",
     boot_name},
    {"no-reboot", NULL, NULL, "leave when the guest reboots", NULL,
     offsetof(struct boot_args, cfg.no_reboot)},
    {"gdb", NULL, "PORT|unix:PATH",
     "wait for gdb there: 127.0.0.1:PORT, or a "
     "socket;\nthe guest starts with gdb's `continue'",
     boot_gdb},
    {"gdb-nowait", NULL, NULL, "start without waiting for gdb", NULL,
     offsetof(struct boot_args, cfg.gdb_nowait)},
    {"symbols", NULL, "FILE",
     "names for the kernel's addresses: a System.map or\n"
     "a vmlinux; without, the guest's own kallsyms",
     NULL, offsetof(struct boot_args, cfg.symbols)},
    {"deterministic", NULL, NULL,
     "the same run each time: time is the number of\n"
     "instructions, random numbers come from --seed",
     NULL, offsetof(struct boot_args, cfg.deterministic)},
    {"seed", NULL, "N", "of random numbers, with --deterministic or --record",
     boot_seed},
    {"record", NULL, "FILE",
     "a deterministic run, kept in FILE with its kernel,\n"
     "keys and disk data, for --replay",
     NULL, offsetof(struct boot_args, cfg.record)},
    {"replay", NULL, "FILE",
     "the run that FILE has, again; it needs no other\n"
     "file, and takes any --engine, --gdb or --trace",
     boot_replay},
    {"restore", NULL, "DIR[,unchecked]",
     "a machine that ringfence ctl NAME snapshot DIR\n"
     "has saved; unchecked: at once, without reading its\n"
     "memory through first",
     boot_restore},
    {"restore-fds", NULL, "STATE:MEMORY", NULL, boot_restore_fds},
    {"ready-fd", NULL, "FD", NULL, boot_ready_fd},
    {"publish-anew", NULL, NULL, NULL, boot_publish_anew},
    {"daemonize", NULL, NULL,
     "go to the background once the machine runs; see\n"
     "ringfence ctl NAME console",
     boot_daemonize},
    {"pidfile", NULL, "FILE", "has the process ID while the machine runs",
     boot_pidfile},
    {"lockstep", NULL, "FD", NULL, boot_lockstep},
    {"trace", NULL, "CAT[,CAT]...",
     "show events: insn, block, exit, intr, exc, walk,\n"
     "io, mem, all; or help",
     boot_trace},
    {"trace-range", NULL, "R",
     "only there: START-END or START+LEN in hex, or a\n"
     "symbol; may be given up to 16 times",
     boot_trace_range},
    {"trace-start", NULL, "N", "after N instructions of a vCPU",
     boot_trace_start},
    {"trace-limit", NULL, "N", "no more than N events", boot_trace_limit},
    {"trace-file", NULL, "FILE", "not to stderr; *.json is for ui.perfetto.dev",
     boot_trace_file},
    {"stats", NULL, "table|json|boot|boot-json[:FILE]",
     "count and time exits, interrupts, faults, device\n"
     "accesses; at the end, on stderr or in FILE. boot: when\n"
     "the boot got how far",
     boot_stats},
    {"direct-check", NULL, NULL,
     "for debugging engine trap, with one vCPU: interprets what\n"
     "ran natively once more; the first difference is shown\n"
     "and ends the machine",
     NULL, offsetof(struct boot_args, cfg.direct_check)},
    {"no-fence", NULL, NULL,
     "keep all system calls and capabilities: for who\ndebugs Ringfence", NULL,
     offsetof(struct boot_args, cfg.no_fence)},
    {"verbose", "v", NULL, "say more, and count events", NULL,
     offsetof(struct boot_args, cfg.verbose)},
    {"help", "h", NULL, "this text", boot_help_option},
    {0},
};

void cmd_boot_help(void)
{
    puts("usage: ringfence boot --kernel FILE [OPTION]...\n"
         "       ringfence boot --firmware FILE --disk FILE [OPTION]...\n\n"
         "Boots a Linux kernel, or what a disk has. The guest's serial port\n"
         "(ttyS0) and its virtio console (hvc0) are this terminal.\n");
    options_print(boot_options);
    puts("\nKeys: Ctrl-A x leaves, Ctrl-A b sends a break, Ctrl-A Ctrl-A is "
         "Ctrl-A.\n\n"
         "Exit status:\n"
         "  0   the guest powered off, or Ctrl-A x\n"
         "  1   the host could not run it (a file, a disk, memory)\n"
         "  2   wrong usage\n"
         "  3   the guest's kernel panicked (told by pvpanic, or by\n"
         "      panic=-1 reboot=panic_warm on its command line)\n"
         "  4   triple fault\n"
         "  5   stopped by SIGTERM, SIGINT or SIGHUP, or its output was "
         "closed\n"
         "  6   the guest rebooted and --no-reboot was given\n"
         "  64+ the guest wrote v to port 0xf4: 64 + (v & 63)\n\n"
         "Example:\n"
         "  ringfence boot --kernel vmlinuz --initrd initrd.img \\\n"
         "      --memory 1G --disk disk.img \\\n"
         "      --append \"console=ttyS0 root=/dev/vda\"\n"
         "  ringfence boot --firmware /usr/share/seabios/bios-256k.bin \\\n"
         "      --disk debian.qcow2");
}

/* A machine that is compared: nobody else may touch it. */
static int boot_check_lockstep(const struct machine_config *c,
                               struct error *err)
{
    if (!c->lockstep)
        return 0;
    if (!c->deterministic && !c->replay)
        return error_set(err, EINVAL, "--lockstep needs --deterministic");
    if (c->gdb || c->record)
        return error_set(err, EINVAL, "%s: not for a machine that is compared",
                         c->gdb ? "--gdb" : "--record");
    return 0;
}

/* Another vCPU, or no engine that runs anything natively. */
static int boot_check_direct(const struct machine_config *c, struct error *err)
{
    if (!c->direct_check)
        return 0;
    if (c->cpus > 1)
        return error_set(err, EINVAL,
                         "--direct-check is for one vCPU; leave out --cpus %u",
                         c->cpus);
    if (strcmp(c->engine->name, "trap"))
        return error_set(err, EINVAL,
                         "--direct-check is for engine trap, and this is %s; "
                         "give --engine trap",
                         c->engine->name);
    if (c->deterministic || c->record || c->replay)
        return error_set(err, EINVAL,
                         "--direct-check: a deterministic machine runs nothing "
                         "natively; see ringfence compare");
    return 0;
}

/* What wants to see each instruction; NULL: nothing. */
static const char *boot_watches(const struct machine_config *c)
{
    return c->gdb             ? "--gdb"
           : c->trace.cats    ? "--trace"
           : c->deterministic ? "--deterministic"
           : c->record        ? "--record"
           : c->replay        ? "--replay"
                              : NULL;
}

static int boot_choose_engine(struct machine_config *c, bool seen,
                              struct error *err)
{
    char why[512];
    bool missed;

    c->engine = engine_auto(seen, why, sizeof(why), &missed);
    if (!c->engine)
        return error_set(err, ENOTSUP, "%s", why);
    if (missed)
        log_info("engine: %s", why);
    else
        log_debug("%s", why);
    if (c->engine != &engine_interp)
        c->otherwise = &engine_interp;
    return 0;
}

static int boot_check_engine(struct boot_args *a, struct error *err)
{
    struct machine_config *c = &a->cfg;
    const char *watches = boot_watches(c);

    if (!c->engine && boot_choose_engine(c, watches, err))
        return -err->code;
    /* There it is no faster, so KASLR costs nothing. */
    if (c->unpack == BOOT_UNPACK_AUTO && c->engine->opaque)
        c->unpack = BOOT_UNPACK_GUEST;
    if (watches && c->engine->opaque)
        return error_set(err, ENOTSUP,
                         "%s: the engine %s runs code where nobody sees it; "
                         "give --engine interp",
                         watches, c->engine->name);
    return boot_check_direct(c, err);
}

static int boot_check(struct boot_args *a, struct error *err)
{
    const struct machine_config *c = &a->cfg;

    if (boot_open_saved(a, err))
        return -err->code;
    if (c->seeded && !c->deterministic && !c->record)
        return error_set(err, EINVAL,
                         "--seed needs --deterministic or --record");
    if (boot_check_lockstep(c, err) || boot_check_nets(a, err))
        return -err->code;
    if (boot_check_kernel(a, err))
        return -err->code;
    return boot_check_engine(a, err);
}

static int boot_status(const struct machine_result *r)
{
    switch (r->end) {
    case MACHINE_POWEROFF:
    case MACHINE_QUIT:
        return EXIT_OK;
    case MACHINE_RESET:
        return EXIT_RESET;
    case MACHINE_PANIC:
        log_error("the guest's kernel panicked");
        return EXIT_PANIC;
    case MACHINE_TRIPLE:
        log_error("triple fault: the guest's exception handlers are broken");
        return EXIT_TRIPLE;
    case MACHINE_STOPPED:
        return EXIT_STOPPED;
    case MACHINE_DEBUG:
        return EXIT_DEBUG + (int)(r->debug_value & 63);
    case MACHINE_RUNS:
    case MACHINE_FAILED:
        break;
    }
    return EXIT_HOST;
}

/* Before the fence, which denies what this needs. */
static void boot_huge_pages(struct boot_args *a)
{
    struct machine_config *c = &a->cfg;

    if (c->engine->huge && !c->restore && !a->small_pages)
        c->ram_fd = guest_mem_huge_file();
}

/* In --daemonize's parent: until there is a machine. */
static int boot_machine(struct boot_args *a)
{
    struct machine_result res = {0};
    struct error err = {0};
    int status, rc = boot_detach(a, &status, &err);

    if (!rc && status >= 0)
        return status;
    if (!rc)
        boot_huge_pages(a);
    if (!rc && !a->cfg.no_fence)
        rc = fence_process(&err);
    if (!rc)
        rc = boot_pid_write(a, &err);
    if (!rc) {
        console_guard_signals();
        rc = machine_run(&a->cfg, &res, &err);
        boot_pid_remove(a);
    }
    if (!rc)
        return boot_status(&res);
    boot_not_ready(&a->cfg, &err);
    return command_error(a->command, &err, EXIT_HOST);
}

/* What they say is heard from here on, also of the checks. */
static int boot_options_read(struct boot_args *a, int argc, char **argv,
                             struct error *err)
{
    int rc = options_parse(boot_options, argc, argv, a, err);

    log_set_level(a->cfg.verbose ? LOG_DEBUG : LOG_INFO);
    return rc;
}

/* For --stats boot. What libc and the linker did is in the CPU time alone. */
static void boot_time(struct stats_config *c)
{
    struct timespec t;

    c->main_ns = clock_host_now();
    if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t))
        c->exec_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int boot_run(const char *command, uint32_t trace, int argc, char **argv)
{
    struct boot_args *a = calloc(1, sizeof(*a));
    struct error err = {0};
    int status;

    if (!a) {
        error_set(&err, ENOMEM, "out of memory");
        return command_error(command, &err, EXIT_HOST);
    }
    a->command = command;
    boot_time(&a->cfg.stats);
    a->cfg.cpus = 1;
    a->cfg.memory = BOOT_MEMORY;
    a->cfg.append = BOOT_APPEND;
    a->cfg.unpack = BOOT_UNPACK_AUTO;
    if (boot_options_read(a, argc, argv, &err) ||
        (!a->list && boot_check(a, &err))) {
        boot_not_ready(&a->cfg, &err);
        status = command_error(command, &err, EXIT_USAGE);
    } else if (a->list) {
        status = EXIT_OK;
    } else {
        if (!a->cfg.trace.cats)
            a->cfg.trace.cats = trace;
        if (a->cfg.verbose && a->cfg.stats.format == STATS_NONE)
            a->cfg.stats.format = STATS_TABLE;
        status = boot_machine(a);
    }
    boot_close_saved(a);
    lockstep_close(a->cfg.lockstep);
    free(a);
    return status;
}

int cmd_boot(int argc, char **argv)
{
    return boot_run("boot", 0, argc, argv);
}
