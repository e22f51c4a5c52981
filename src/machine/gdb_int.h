/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_int.h - what the files of the debugger stub share.
 *
 * All of it belongs to the event thread, with the device lock held, but for
 * `want` and `stopper`, which the park lock guards. What the debugger sends
 * is not trusted: a bad packet gets an error reply, a flood loses its
 * connection.
 */
#pragma once

#include "io/unix_socket.h"
#include "machine/gdb.h"
#include "machine/machine_int.h"
#include "x86/debug.h"

#define GDB_PACKET    0x4000 /* as PacketSize tells it */
#define GDB_REG_BYTES 16     /* the widest register here */

enum gdb_signal { GDB_SIGINT = 2, GDB_SIGTRAP = 5, GDB_SIGSEGV = 11 };

struct gdb {
    struct machine *m;
    struct loop_fd listener, client; /* fd -1: none */
    struct unix_listener at;         /* the listener, if it is unix: */

    bool ran;     /* the guest has left its first instruction */
    bool started; /* this debugger has heard of a stop, or need not */
    bool held;    /* the vCPUs are parked for the debugger */
    bool want;    /* park_lock: somebody wants them to be */
    int stopper;  /* park_lock: vCPU that hit something; -1: Ctrl-C */
    bool no_ack, tells_swbreak, phys;
    bool broken; /* a reply could not be sent: to be disconnected */
    unsigned thread, run_thread; /* vCPU of Hg; of Hc */
    char last_stop[128];

    struct debug_points points;
    struct vcpu_debug cpu[GUEST_VCPUS_MAX];
    bool crash_told[GUEST_VCPUS_MAX]; /* of its triple fault */
    bool guards_changed;

    size_t in_len, out_len;
    uint8_t in[GDB_PACKET + 16];
    char packet[GDB_PACKET + 16]; /* the one being served, unescaped */
    char out[2 * GDB_PACKET];     /* the last reply, framed: for a resend */
    char text[GDB_PACKET];        /* a reply in the making */
    char xml[2 * GDB_PACKET];
};

static inline struct vcpu *gdb_vcpu(const struct gdb *g)
{
    return &g->m->cpu[g->thread].cpu;
}

/* gdb.c: stopping, resuming, connections. */
enum gdb_action { GDB_FREEZE, GDB_CONTINUE, GDB_STEP };
/* By vCPU. Replies when they stop again. */
void gdb_resume(struct gdb *g, const enum gdb_action *action);
/* Forgets all points and lets the guest go on by itself. */
void gdb_detach(struct gdb *g);
void gdb_disconnect(struct gdb *g);
/* Ctrl-C: stops the guest. */
void gdb_interrupt(struct gdb *g);

/* gdb_packet.c: framing. Replies are text; nothing is sent if too long. */
void gdb_send(struct gdb *g, const char *text);
void gdb_resend(struct gdb *g);
/* Text to a person at the debugger's prompt. */
void gdb_print(struct gdb *g, const char *fmt, ...) printf_like(2, 3);
/* Serves what is complete in g->in; while the guest runs, only Ctrl-C. */
void gdb_input(struct gdb *g);
char *gdb_hex(char *to, const void *from, size_t len);
/* Bytes read, or -1 for what is not hex or does not fit. */
int gdb_unhex(void *to, size_t room, const char *from, size_t digits);
/* A hexadecimal number; *p moves behind it. False: there is none. */
bool gdb_number(const char **p, uint64_t *val);

/* gdb_cmd.c and gdb_query.c: one packet, len bytes and a 0 behind them. */
void gdb_command(struct gdb *g, char *packet, size_t len);
void gdb_query(struct gdb *g, char *packet);
/* Thread number ("1", "-1": all, "0": any) to vCPU; false: no such one. */
bool gdb_thread(struct gdb *g, const char **p, int *cpu);
#define GDB_ALL (-1)

/* gdb_points.c: Z and z packets. */
void gdb_point(struct gdb *g, const char *packet);

/* gdb_regs.c */
unsigned gdb_reg_count(const struct gdb *g);
/* Bytes, at most GDB_REG_BYTES; 0: no such register. */
unsigned gdb_reg_get(struct gdb *g, unsigned n, uint8_t *buf);
unsigned gdb_reg_size(const struct gdb *g, unsigned n);
/* False: it cannot be changed. */
bool gdb_reg_set(struct gdb *g, unsigned n, const uint8_t *buf);
/* gdb_xml.c: the target description, into g->xml. */
void gdb_describe(struct gdb *g);

/* gdb_mem.c: -1: not mapped, or not RAM; nothing was written then. */
int gdb_mem_read(struct gdb *g, uint64_t addr, void *buf, size_t len);
int gdb_mem_write(struct gdb *g, uint64_t addr, const void *buf, size_t len);

/* gdb_monitor.c: a line of qRcmd. */
void gdb_monitor(struct gdb *g, char *line);
