/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_int.h - what the files of a container's root file system share.
 */
#pragma once

#include <sys/mount.h>

#include "fence/mount.h"
#include "oci/launch.h"

/* musl's header has none of these, and <linux/mount.h> clashes with glibc's. */
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x01
#define MOUNT_ATTR__ATIME 0x70
#endif

/* The root as it is being made, in the new process. */
struct rootfs {
    struct launch *l;
    int root;                    /* O_PATH */
    struct mount_options *mount; /* of spec->mounts, parsed */
};

/* Is it a bind, by its type or by its options? */
bool rootfs_is_bind(const struct spec_mount *m, const struct mount_options *o);
/* The devices that every container has. [runtime-spec, "Default Devices"] */
const struct spec_device *rootfs_default_devices(unsigned *count);
/* Devices, links and what else belongs into /dev. */
int rootfs_devices(struct rootfs *r, struct error *err) must_check;
/* One of type cgroup at `target`, which is what `path` leads to. */
int rootfs_mount_cgroup(struct rootfs *r, const char *path, int target,
                        const struct mount_options *o,
                        struct error *err) must_check;
/* linux.maskedPaths and linux.readonlyPaths. */
int rootfs_mask(struct rootfs *r, struct error *err) must_check;
/* All that is below `from` to `to`, descriptors of folders. */
int rootfs_copy_tree(int from, int to, struct error *err) must_check;
