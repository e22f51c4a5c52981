/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - paths below a folder whose contents are hostile, a container's root
 * file system above all: no symbolic link, no "..", no rename at the wrong
 * moment leads out of it.
 *
 * `root` is a descriptor; absolute links and paths begin there. Magic links of
 * procfs are never followed (-ELOOP). Functions return -errno on failure.
 */
#pragma once

#include <sys/types.h>

#include "base/util.h"

/* A descriptor, O_CLOEXEC is added. O_CREAT is not for here. */
int path_open_in(int root, const char *path, int flags) must_check;
/* The same, but where there is no openat2(): a walk, link by link. */
int path_walk_in(int root, const char *path, int flags) must_check;

/*
 * Like path_open_in(O_PATH), and makes what is missing: folders (0755) on the
 * way, and at the end a folder, or an empty file if `file`. A link that leads
 * nowhere has its goal made. *made, unless NULL: the end was made here.
 */
int path_make_in(int root, const char *path, bool file, bool *made) must_check;

/* "/proc/self/fd/N": a path for calls that know no descriptors. */
struct path_of_fd {
    char text[32];
};
struct path_of_fd path_of_fd(int fd);
