/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev.h - linux.netDevices: network devices of the runtime's namespace that
 * a container is given.            [runtime-spec 1.3, config-linux.md]
 */
#pragma once

#include "oci/spec.h"

/*
 * Moves them into the network namespace `ns` (a descriptor), with their new
 * names and the addresses that somebody has set, and sets them up. What was
 * moved is moved back if one fails. The caller has one thread. -errno.
 */
int netdev_move(const struct json_array *devices, int ns,
                struct error *err) must_check;
