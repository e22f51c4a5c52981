/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.h - mounting as a container needs it: the options of fstab(5) and of
 * the runtime-spec, on targets that are descriptors.
 *
 * Needs Linux 5.12 for binds (open_tree, mount_setattr, move_mount) and a
 * procfs at /proc, the host's own. One line in `err`, with what and where.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

/* What a list of options says. */
struct mount_options {
    unsigned long flags;           /* MS_*, for mount(2); MS_BIND, MS_REMOUNT */
    uint64_t attr_set, attr_clear; /* MOUNT_ATTR_*, of the mount */
    uint64_t rec_set, rec_clear;   /* of it and all below */
    unsigned long propagation;     /* MS_SHARED..., with MS_REC; 0: none */
    const char *data;              /* for the file system; NULL: none */
    bool copy_up, idmap, idmap_recursive;
    bool nofollow; /* a source that is a link is mounted as such */
    bool
        dest_nofollow; /* a target that is a link is mounted on, not followed */
};

/* Options that are no mount's own go to `data`. */
int mount_parse(struct arena *a, const char *const *options, unsigned count,
                struct mount_options *out, struct error *err) must_check;
/* Of those known by name, number i; NULL beyond. For `features`. */
const char *mount_option_name(unsigned i);

/*
 * A detached copy of the mount at `source` (of the folder `dir`; "" with a
 * descriptor: the descriptor itself), with what is below it if `recursive`:
 * a descriptor, or -errno.
 */
int mount_copy(int dir, const char *source, bool recursive, bool nofollow,
               struct error *err) must_check;
/* A tmpfs without programs, detached: a descriptor, or -errno. */
int mount_tmpfs(mode_t mode, struct error *err) must_check;
/* Sets and clears MOUNT_ATTR_* of a mount. userns: -1, or of an idmap. */
int mount_attr(int mount, uint64_t set, uint64_t clear, bool recursive,
               int userns, struct error *err) must_check;
/*
 * A detached copy, and what is below it: what the original gets it shall get,
 * but what happens in it shall not be seen there (MS_SLAVE).
 */
int mount_follow(int mount, struct error *err) must_check;
/* Puts a detached mount where `target` is. */
int mount_put(int mount, int target, struct error *err) must_check;
/*
 * All three: what is at `source` shows up at `target`, too, with these
 * MOUNT_ATTR_*; if `recursive` with all that is below.
 */
int mount_bind(int dir, const char *source, bool recursive, uint64_t set,
               int target, struct error *err) must_check;
/* A new file system at target, by mount(2). */
int mount_new(const char *type, const char *source, int target,
              const struct mount_options *o, struct error *err) must_check;
/* MS_SHARED and its friends of the mount at the descriptor. */
int mount_propagation(int at, unsigned long flags,
                      struct error *err) must_check;
