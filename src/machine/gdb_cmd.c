/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_cmd.c - the packets that are not queries: registers, memory, points,
 * running. [GDB manual, appendix E, "Packets"]
 *
 * An unknown packet gets an empty reply: gdb then does without.
 */
#include "machine/gdb_int.h"

#include <stdio.h>
#include <string.h>

bool gdb_thread(struct gdb *g, const char **p, int *cpu)
{
    uint64_t n;

    if (!strncmp(*p, "-1", 2)) {
        *p += 2;
        *cpu = GDB_ALL;
        return true;
    }
    if (!gdb_number(p, &n) || n > g->m->cfg->cpus)
        return false;
    *cpu = n ? (int)n - 1 : (int)g->thread; /* 0: any */
    return true;
}

/* --- registers --- */

static void cmd_regs_get(struct gdb *g)
{
    uint8_t buf[GDB_REG_BYTES];
    char *to = g->text;
    unsigned i, n;

    for (i = 0; i < gdb_reg_count(g); i++) {
        n = gdb_reg_get(g, i, buf);
        to = gdb_hex(to, buf, n);
    }
    gdb_send(g, g->text);
}

/* What cannot be changed (selectors in protected mode) is passed over. */
static void cmd_regs_set(struct gdb *g, const char *p)
{
    uint8_t buf[GDB_REG_BYTES];
    unsigned i, n;

    for (i = 0; i < gdb_reg_count(g) && *p; i++, p += 2 * n) {
        n = gdb_reg_size(g, i);
        if (strlen(p) < 2 * n || gdb_unhex(buf, sizeof(buf), p, 2 * n) < 0) {
            gdb_send(g, "E16");
            return;
        }
        gdb_reg_set(g, i, buf);
    }
    gdb_send(g, "OK");
}

static void cmd_reg_get(struct gdb *g, const char *p)
{
    uint8_t buf[GDB_REG_BYTES];
    uint64_t reg;
    unsigned n;

    if (!gdb_number(&p, &reg) || reg >= gdb_reg_count(g)) {
        gdb_send(g, "E16");
        return;
    }
    n = gdb_reg_get(g, (unsigned)reg, buf);
    gdb_hex(g->text, buf, n);
    gdb_send(g, g->text);
}

static void cmd_reg_set(struct gdb *g, const char *p)
{
    uint8_t buf[GDB_REG_BYTES];
    uint64_t reg;
    int n;

    if (!gdb_number(&p, &reg) || reg >= gdb_reg_count(g) || *p++ != '=') {
        gdb_send(g, "E16");
        return;
    }
    n = gdb_unhex(buf, sizeof(buf), p, strlen(p));
    gdb_send(g, n == (int)gdb_reg_size(g, (unsigned)reg) &&
                        gdb_reg_set(g, (unsigned)reg, buf)
                    ? "OK"
                    : "E16");
}

/* --- memory --- */

/* "ADDR,LEN", which may be followed by ':' and data. */
static bool cmd_range(const char **p, uint64_t *addr, uint64_t *len)
{
    return gdb_number(p, addr) && *(*p)++ == ',' && gdb_number(p, len);
}

static void cmd_mem_read(struct gdb *g, const char *p)
{
    uint8_t buf[GDB_PACKET / 2 - 1];
    uint64_t addr, len;

    if (!cmd_range(&p, &addr, &len)) {
        gdb_send(g, "E16");
        return;
    }
    len = MIN(len, sizeof(buf));
    /* as much as there is: less is an answer, nothing is an error */
    while (len && gdb_mem_read(g, addr, buf, len))
        len = len > PAGE_SIZE - (addr & PAGE_OFFSET)
                  ? PAGE_SIZE - (addr & PAGE_OFFSET)
                  : 0;
    if (!len) {
        gdb_send(g, "E14");
        return;
    }
    gdb_hex(g->text, buf, len);
    gdb_send(g, g->text);
}

static void cmd_mem_write(struct gdb *g, const char *p, const char *end,
                          bool binary)
{
    uint8_t buf[GDB_PACKET];
    uint64_t addr, len;
    size_t have;

    if (!cmd_range(&p, &addr, &len) || *p++ != ':' || len > sizeof(buf)) {
        gdb_send(g, "E16");
        return;
    }
    have = (size_t)(end - p);
    if (binary ? have != len
               : gdb_unhex(buf, sizeof(buf), p, have) != (int)len) {
        gdb_send(g, "E16");
        return;
    }
    gdb_send(g, gdb_mem_write(g, addr, binary ? (const void *)p : buf, len)
                    ? "E14"
                    : "OK");
}

/* --- running --- */

static void cmd_resume(struct gdb *g, enum gdb_action what, int cpu)
{
    enum gdb_action action[GUEST_VCPUS_MAX];
    unsigned i;

    for (i = 0; i < GUEST_VCPUS_MAX; i++)
        action[i] = cpu == GDB_ALL || cpu == (int)i ? what : GDB_FREEZE;
    gdb_resume(g, action);
}

/* c, s [ADDR]; C, S SIGNAL[;ADDR]: there are no signals here. */
static void cmd_run(struct gdb *g, const char *p)
{
    enum gdb_action what = *p == 'c' || *p == 'C' ? GDB_CONTINUE : GDB_STEP;
    uint64_t addr;

    if (*p == 'C' || *p == 'S') {
        p = strchr(p, ';');
        if (!p)
            p = "";
    }
    if (*p)
        p++;
    g->thread = g->run_thread;
    if (gdb_number(&p, &addr)) {
        gdb_vcpu(g)->rip = addr;
        gdb_vcpu(g)->halted = gdb_vcpu(g)->wait_sipi;
    }
    cmd_resume(g, what, what == GDB_STEP ? (int)g->run_thread : GDB_ALL);
}

static bool cmd_cont_action(char c, enum gdb_action *what)
{
    switch (c) {
    case 'c':
    case 'C':
        *what = GDB_CONTINUE;
        return true;
    case 's':
    case 'S':
        *what = GDB_STEP;
        return true;
    case 't':
        *what = GDB_FREEZE;
        return true;
    default:
        return false;
    }
}

/* vCont;ACTION[:THREAD]...: the first that fits a thread counts. */
static void cmd_cont(struct gdb *g, const char *p)
{
    enum gdb_action action[GUEST_VCPUS_MAX], what;
    bool set[GUEST_VCPUS_MAX] = {false}, any = false;
    uint64_t signal;
    unsigned i;
    int cpu;

    memset(action, 0, sizeof(action));
    while (*p == ';') {
        bool with_signal = p[1] == 'C' || p[1] == 'S';

        if (!cmd_cont_action(p[1], &what))
            break;
        p += 2;
        if (with_signal && !gdb_number(&p, &signal))
            break;
        cpu = GDB_ALL;
        if (*p == ':' && (p++, !gdb_thread(g, &p, &cpu)))
            break;
        for (i = 0; i < GUEST_VCPUS_MAX; i++)
            if (!set[i] && (cpu == GDB_ALL || cpu == (int)i)) {
                set[i] = true;
                action[i] = what;
            }
        any |= what != GDB_FREEZE;
    }
    if (*p || !any)
        gdb_send(g, "E16");
    else
        gdb_resume(g, action);
}

static void cmd_v(struct gdb *g, const char *p)
{
    if (!strcmp(p, "vCont?")) {
        gdb_send(g, "vCont;c;C;s;S;t");
    } else if (!strncmp(p, "vCont;", 6)) {
        cmd_cont(g, p + 5);
    } else if (!strncmp(p, "vKill", 5)) {
        gdb_send(g, "OK");
        machine_request(g->m, MACHINE_QUIT, 0);
    } else {
        gdb_send(g, "");
    }
}

/* --- threads --- */

static void cmd_select(struct gdb *g, const char *p)
{
    char op = *p++;
    int cpu;

    if ((op != 'g' && op != 'c') || !gdb_thread(g, &p, &cpu)) {
        gdb_send(g, "E16");
        return;
    }
    if (cpu == GDB_ALL)
        cpu = (int)g->thread;
    if (op == 'g')
        g->thread = (unsigned)cpu;
    else
        g->run_thread = (unsigned)cpu;
    gdb_send(g, "OK");
}

static void cmd_alive(struct gdb *g, const char *p)
{
    int cpu;

    gdb_send(g, gdb_thread(g, &p, &cpu) ? "OK" : "E16");
}

void gdb_command(struct gdb *g, char *p, size_t len)
{
    switch (*p) {
    case '?':
        gdb_send(g, g->last_stop);
        return;
    case 'g':
        cmd_regs_get(g);
        return;
    case 'G':
        cmd_regs_set(g, p + 1);
        return;
    case 'p':
        cmd_reg_get(g, p + 1);
        return;
    case 'P':
        cmd_reg_set(g, p + 1);
        return;
    case 'm':
        cmd_mem_read(g, p + 1);
        return;
    case 'M':
    case 'X':
        cmd_mem_write(g, p + 1, p + len, *p == 'X');
        return;
    case 'Z':
    case 'z':
        gdb_point(g, p);
        return;
    case 'c':
    case 'C':
    case 's':
    case 'S':
        cmd_run(g, p);
        return;
    case 'v':
        cmd_v(g, p);
        return;
    case 'H':
        cmd_select(g, p + 1);
        return;
    case 'T':
        cmd_alive(g, p + 1);
        return;
    case 'D':
        gdb_send(g, "OK");
        gdb_detach(g);
        return;
    case 'k':
        machine_request(g->m, MACHINE_QUIT, 0);
        return;
    case 'q':
    case 'Q':
        gdb_query(g, p);
        return;
    default:
        gdb_send(g, "");
    }
}
