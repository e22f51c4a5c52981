/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - the machine's control socket: one JSON object a line, each way.
 *
 * A request is {"command": NAME, ...arguments}; its answer {"ok": true, ...}
 * or {"ok": false, "error": TEXT}. Requests of one connection are answered in
 * order. ringfence-ctl(1) lists the commands. Whoever may open the socket, in
 * a folder that only its owner may enter, has the machine in their hands.
 *
 * Event thread, device lock.
 */
#pragma once

#include "base/error.h"

struct machine;

/* Steps of building a machine. */
int ctl_init(struct machine *m, struct error *err) must_check;
void ctl_fini(struct machine *m);
