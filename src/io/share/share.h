/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - a folder of the host's, served to a guest in the FUSE protocol.
 *
 * The guest is hostile. It names files by one component below a folder that
 * it was given, never by a path, so neither `..` nor a symbolic link leads out
 * of the folder; links are the guest's to follow. Only regular files and
 * folders get opened; a device or FIFO is just a name here.
 *
 * Whose files: run by root, owners and modes are the real ones, and the
 * guest's root can do in the folder what root can do. Run by anybody else, the
 * user's own files belong to root in the guest; what the guest sets beyond
 * that (other owners, set-user-ID, a mode that would lock us out) is kept in
 * the attribute user.containers.override_stat, as Podman does it.
 */
#pragma once

#include <sys/uio.h>

#include "base/state.h"

#define SHARE_TAG_MAX 36 /* bytes, virtio's limit */

struct share;

/* A request and the room for its answer. The vectors may be guest memory. */
struct share_msg {
    const struct iovec *out, *in; /* from the guest; to the guest */
    unsigned out_n, in_n;
    uint64_t out_len, in_len;
};

/*
 * Opens the folder. Raises the soft limit of descriptors to the hard one, and
 * takes up to a share_max-th part of them.
 */
int share_open(struct share **s, const char *dir, bool read_only,
               unsigned share_max, struct error *err) must_check;
void share_close(struct share *s);
const char *share_path(const struct share *s);
/* Forgets all that the guest knows and has open. No request is under way. */
void share_reset(struct share *s);

/*
 * What the guest knows and has open: section "share" of this instance. No
 * request is under way; to load, after a reset.
 */
void share_save(struct share *s, struct state_writer *w, unsigned instance);
int share_load(struct share *s, struct state_reader *r, unsigned instance,
               struct error *err) must_check;
/*
 * At rest, about to be saved for a fork: until share_fork_spawned() what is
 * executed inherits open files, and what has no name any more. In the child,
 * before it loads: share_fork_child().
 */
void share_fork_begin(struct share *s);
void share_fork_spawned(struct share *s);
void share_fork_child(struct share *s);

/* Once, on a thread that is to call share_serve(): an umask of its own. */
void share_thread(void);
/*
 * Serves a request; returns how many bytes went to the front of the in-vectors,
 * 0: it gets no answer. Blocks. Any number of threads.
 */
uint32_t share_serve(struct share *s, const struct share_msg *m);
