/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - sd_notify(3) out of a container. Where NOTIFY_SOCKET is in the
 * runtime's environment (a service of systemd's, podman --sdnotify=container),
 * the container gets a folder of that name, read-only, with a socket
 * "notify". What comes through that is the container's word: only that it is
 * ready goes on to the host.
 */
#pragma once

#include "oci/spec.h"
#include "oci/state.h"

/*
 * If it is asked for: the folder in the state's, a bind of it and the variable
 * in `spec`. Before mounts are looked at.
 */
int notify_add(struct container *c, struct spec *spec,
               struct error *err) must_check;
/* The socket, once there is the folder; -1: nobody asks. Before exec(). */
int notify_open(const struct container *c);
/* A message is there; true: it was the last that matters. */
bool notify_pass(int fd);
/*
 * Until it is ready, or its process ends (pidfd); that may take as long as it
 * wants, so the container is not locked any more.
 */
void notify_wait(const struct container *c, int fd, int pidfd);
/* What notify_add() has made in the state's folder. */
void notify_remove(const struct container *c);
