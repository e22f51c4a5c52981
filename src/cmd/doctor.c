/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.c - `ringfence doctor`: what this host offers, and what would help.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/options.h"
#include "engine/direct/stub.h"
#include "engine/engine.h"
#include "x86/cpuid.h"

void cmd_doctor_help(void)
{
    puts("usage: ringfence doctor\n\n"
         "Lists the engines and why one cannot run here, what the virtual CPU\n"
         "can show, and the limits of this host that matter. Needs no\n"
         "privileges and changes nothing.");
}

/* First line of a small file, without its newline; "" if unreadable. */
static const char *doctor_line(const char *path, char *buf, size_t len)
{
    FILE *f = fopen(path, "re");

    buf[0] = '\0';
    if (!f)
        return buf;
    if (!fgets(buf, (int)len, f))
        buf[0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    fclose(f);
    return buf;
}

static void doctor_row(const char *what, const char *state, const char *note)
{
    printf("  %-18s%-10s%s\n", what, state, note);
}

static void doctor_engines(void)
{
    char why[256];
    bool missed;
    unsigned i;

    puts("Engines:");
    for (i = 0; engines[i]; i++) {
        struct error err = {0};
        bool ok = !engines[i]->probe(&err);

        doctor_row(engines[i]->name, ok ? "yes" : "no",
                   ok ? engines[i]->summary : err.msg);
    }
    if (engine_auto(false, why, sizeof(why), &missed))
        printf("  auto means: %s\n", why);
}

static void doctor_memory(void)
{
    struct sysinfo si;
    char free_mib[32];
    char note[96];

    if (sysinfo(&si))
        return;
    snprintf(free_mib, sizeof(free_mib), "%lluM",
             (unsigned long long)si.totalram * si.mem_unit / MiB);
    snprintf(note, sizeof(note),
             "RAM, %lluM of it unused; a guest takes what "
             "it touches",
             (unsigned long long)si.freeram * si.mem_unit / MiB);
    doctor_row("memory", free_mib, note);
}

/* Where distributions put SeaBIOS. */
static void doctor_firmware(void)
{
    static const char *const at[] = {
        "/usr/share/seabios/bios-256k.bin",
        "/usr/share/qemu/bios-256k.bin",
        "/usr/share/seabios/bios.bin",
    };
    char note[96];
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(at); i++) {
        if (access(at[i], R_OK))
            continue;
        snprintf(note, sizeof(note), "boot --firmware %s --disk FILE", at[i]);
        doctor_row("firmware", "yes", note);
        return;
    }
    doctor_row("firmware", "no", "to boot from a disk: package seabios");
}

/* What native engines cannot hide from user code without the host's help. */
static void doctor_cpuid(void)
{
    bool faults = stub_cpuid_faults();

    doctor_row("CPUID faulting", faults ? "yes" : "no",
               faults ? "natively run user code cannot see the host's"
                      : "pages with CPUID in them are not run natively");
}

static void doctor_32_bit(void)
{
    struct error err = {0};
    bool runs = !stub_probe_32(&err);

    doctor_row("32-bit code", runs ? "yes" : "no",
               runs ? "of 64-bit guests can run natively" : err.msg);
}

static void doctor_limits(void)
{
    char buf[64];
    struct stat st;

    doctor_row("max_map_count",
               doctor_line("/proc/sys/vm/max_map_count", buf, sizeof(buf)),
               "mappings a process; native engines live on them");
    doctor_line("/proc/sys/user/max_user_namespaces", buf, sizeof(buf));
    doctor_row("user namespaces", buf[0] && strcmp(buf, "0") ? "yes" : "no",
               buf[0] && strcmp(buf, "0") ? "containers need no root"
                                          : "sysctl user.max_user_namespaces");
    doctor_row(
        "cgroups",
        !stat("/sys/fs/cgroup/cgroup.controllers", &st) ? "v2"
        : !stat("/sys/fs/cgroup/memory", &st)           ? "v1"
                                                        : "none",
        doctor_line("/sys/fs/cgroup/cgroup.controllers", buf, sizeof(buf)));
}

static void doctor_host(void)
{
    struct utsname u;
    char cpus[16];

    puts("\nHost:");
    if (!uname(&u))
        doctor_row("kernel", u.sysname, u.release);
    snprintf(cpus, sizeof(cpus), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    doctor_row("CPUs", cpus, "host threads for vCPUs and devices");
    doctor_memory();
    doctor_firmware();
    doctor_cpuid();
    doctor_32_bit();
    doctor_limits();
}

/* Features that are (or are not) in a model, on lines of 76 columns. */
static void doctor_feature_list(const char *title, const struct cpu_model *m,
                                bool want)
{
    const char *name;
    unsigned f;
    int col = printf("  %s:", title);

    for (f = 0; (name = cpu_feature_name(f)); f++) {
        if (cpu_model_has(m, f) != want)
            continue;
        if (col + 1 + (int)strlen(name) > 76) {
            fputs("\n   ", stdout);
            col = 3;
        }
        col += printf(" %s", name);
    }
    putchar('\n');
}

static void doctor_features(void)
{
    struct cpu_model model;
    struct error err = {0};

    puts("\nVirtual CPU (--cpu max shows all that can work here):");
    if (cpu_model_parse(&model, "max", &err)) {
        doctor_row("max", "no", err.msg);
        return;
    }
    doctor_feature_list("shown", &model, true);
    doctor_feature_list("not shown", &model, false);
}

int cmd_doctor(int argc, char **argv)
{
    struct error err;

    if (argc) {
        error_set(&err, EINVAL, "unexpected argument `%s'; it takes none",
                  argv[0]);
        return command_error("doctor", &err, EXIT_USAGE);
    }
    doctor_engines();
    doctor_features();
    doctor_host();
    return EXIT_OK;
}
