/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb.h - the debugger stub: gdb's remote serial protocol on a socket.
 *
 * The socket is on the event loop. Whenever the debugger looks at the guest
 * all vCPUs are parked ("held"); threads are vCPUs, numbered from 1.
 */
#pragma once

#include "base/error.h"

struct machine;
struct machine_cpu;

/* PORT, tcp::PORT or unix:PATH; -EINVAL with an error that names neither. */
int gdb_address_check(const char *where, struct error *err) must_check;

/* Steps of building a machine; nothing without cfg->gdb. */
int gdb_init(struct machine *m, struct error *err) must_check;
void gdb_fini(struct machine *m);

/* On the vCPU's thread: run() returned ENGINE_DEBUG. */
void gdb_cpu_stopped(struct machine_cpu *mc);
/*
 * On the vCPU's thread, without the device lock: it triple-faulted. True: a
 * debugger is to see it first; false: there is none, or it has.
 */
bool gdb_cpu_crashed(struct machine_cpu *mc);
/*
 * Event thread, all vCPUs parked, without the device lock: must they stay
 * so? Tells the debugger if they have just stopped for it.
 */
bool gdb_holds(struct machine *m);
/* Does the guest stand still for a debugger? Event thread. */
bool gdb_held(const struct machine *m);
/* Power-on: what was told of an earlier life is void. Parked. */
void gdb_powered_on(struct machine *m);
