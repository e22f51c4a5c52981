/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_query.c - q and Q packets. [GDB manual, appendix E, "General Query
 * Packets"]
 */
#include "machine/gdb_int.h"

#include <stdio.h>
#include <string.h>

static void query_supported(struct gdb *g, char *p)
{
    g->tells_swbreak = strstr(p, "swbreak+") != NULL;
    snprintf(g->text, sizeof(g->text),
             "PacketSize=%x;qXfer:features:read+;vContSupported+;"
             "QStartNoAckMode+%s",
             GDB_PACKET, g->tells_swbreak ? ";swbreak+;hwbreak+" : "");
    gdb_send(g, g->text);
}

/* Part of the target description: m more is there, l it was the last. */
static void query_features(struct gdb *g, char *p)
{
    const char *range = strchr(p, ':');
    uint64_t off, len;
    size_t total;

    if (strncmp(p, "target.xml:", 11) || !gdb_number((range++, &range), &off) ||
        *range++ != ',' || !gdb_number(&range, &len)) {
        gdb_send(g, "E00");
        return;
    }
    gdb_describe(g);
    total = strlen(g->xml);
    off = MIN(off, total);
    len = MIN(len, MIN(total - off, GDB_PACKET - 8));
    g->text[0] = off + len < total ? 'm' : 'l';
    memcpy(g->text + 1, g->xml + off, len);
    g->text[1 + len] = 0;
    gdb_send(g, g->text);
}

static void query_threads(struct gdb *g, char *p)
{
    size_t n = 0;
    unsigned i;

    (void)p;
    for (i = 0; i < g->m->cfg->cpus; i++)
        n += (size_t)snprintf(g->text + n, sizeof(g->text) - n, "%c%02x",
                              i ? ',' : 'm', i + 1);
    gdb_send(g, g->text);
}

static void query_threads_more(struct gdb *g, char *p)
{
    (void)p;
    gdb_send(g, "l");
}

static void query_thread_info(struct gdb *g, char *p)
{
    const char *at = p;
    const struct vcpu *cpu;
    char what[64];
    int n;

    if (!gdb_thread(g, &at, &n) || n < 0) {
        gdb_send(g, "E16");
        return;
    }
    cpu = &g->m->cpu[n].cpu;
    snprintf(what, sizeof(what), "vCPU %d [%s]", n,
             cpu->wait_sipi ? "not started"
             : cpu->halted  ? "halted"
                            : "running");
    gdb_hex(g->text, what, strlen(what));
    gdb_send(g, g->text);
}

static void query_current(struct gdb *g, char *p)
{
    (void)p;
    snprintf(g->text, sizeof(g->text), "QC%02x", g->thread + 1);
    gdb_send(g, g->text);
}

/* So that gdb detaches when it quits, and does not kill. */
static void query_attached(struct gdb *g, char *p)
{
    (void)p;
    gdb_send(g, "1");
}

static void query_monitor(struct gdb *g, char *p)
{
    char line[256];
    int n = gdb_unhex(line, sizeof(line) - 1, p, strlen(p));

    if (n < 0) {
        gdb_send(g, "E16");
        return;
    }
    line[n] = 0;
    gdb_monitor(g, line);
}

static void query_no_ack(struct gdb *g, char *p)
{
    (void)p;
    gdb_send(g, "OK");
    g->no_ack = true;
}

static void query_phys(struct gdb *g, char *p)
{
    (void)p;
    gdb_send(g, g->phys ? "1" : "0");
}

static void query_phys_set(struct gdb *g, char *p)
{
    g->phys = *p == '1';
    gdb_send(g, "OK");
}

static void query_extras(struct gdb *g, char *p)
{
    (void)p;
    gdb_send(g, "PhyMemMode");
}

static const struct {
    const char *name; /* the packet begins so; then what is behind it */
    void (*serve)(struct gdb *g, char *rest);
} queries[] = {
    {"qSupported", query_supported},
    {"qXfer:features:read:", query_features},
    {"qfThreadInfo", query_threads},
    {"qsThreadInfo", query_threads_more},
    {"qThreadExtraInfo,", query_thread_info},
    {"qC", query_current},
    {"qAttached", query_attached},
    {"qRcmd,", query_monitor},
    {"QStartNoAckMode", query_no_ack},
    {"qqemu.PhyMemMode", query_phys},
    {"Qqemu.PhyMemMode:", query_phys_set},
    {"qqemu.Supported", query_extras},
};

void gdb_query(struct gdb *g, char *packet)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(queries); i++) {
        size_t n = strlen(queries[i].name);

        if (strncmp(packet, queries[i].name, n))
            continue;
        if (!strcmp(queries[i].name, "qC") && packet[2])
            continue; /* qCRC and others */
        queries[i].serve(g, packet + n);
        return;
    }
    gdb_send(g, "");
}
