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

/* Is it on a file system of this kind? */
bool rootfs_is_fs(int fd, long magic);
/* Is it a procfs, and its root? */
bool rootfs_is_proc_root(int fd);
/* -EPERM if it is in a procfs: `what` must not be mounted, or made, there. */
int rootfs_outside_proc(int fd, const char *what, struct error *err) must_check;
/*
 * *out: the container's procfs (O_PATH), for masks; it must be the root of
 * one. -1: no mount of config.json is at /proc.
 */
int rootfs_proc(struct rootfs *r, int *out, struct error *err) must_check;
/*
 * What shall be masked; below /proc in that procfs, whatever has been put in
 * the place of its name meanwhile.
 */
int rootfs_open_masked(const struct rootfs *r, int proc,
                       const char *path) must_check;
/* Of spec->mounts[i]. */
int rootfs_options(struct launch *l, unsigned i, struct mount_options *o,
                   struct error *err) must_check;
/* "mounts[i] (destination): " before the message. */
int rootfs_fault(const struct spec_mount *m, unsigned i, struct error *err);
/* Is the root to be shared with where it comes from? */
bool rootfs_propagates(const struct launch *l);
/* A mount to be bound, detached, with all its attributes. */
int rootfs_source_open(const struct launch *l, const struct spec_mount *m,
                       const struct mount_options *o,
                       struct error *err) must_check;
/* Is it a bind, by its type or by its options? */
bool rootfs_is_bind(const struct spec_mount *m, const struct mount_options *o);
/* The devices that every container has. [runtime-spec, "Default Devices"] */
const struct spec_device *rootfs_default_devices(unsigned *count);
/* Type and permissions, as of mknod(2). */
mode_t rootfs_device_mode(const struct spec_device *d);
/*
 * rootfs_nodes.c. In the runtime: l->nodes, if the container can make no
 * devices itself. In the container's process: opened, bound from by the
 * number in linux.devices, and closed.
 */
int rootfs_nodes(struct launch *l, struct error *err) must_check;
int rootfs_nodes_open(struct rootfs *r, struct error *err) must_check;
bool rootfs_nodes_have(struct rootfs *r, unsigned i);
int rootfs_nodes_bind(struct rootfs *r, unsigned i, int target,
                      struct error *err) must_check;
int rootfs_nodes_close(struct rootfs *r, struct error *err) must_check;
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
