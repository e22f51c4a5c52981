/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_checkpoint.c - checkpoint and restore.
 */
#include <errno.h>
#include <string.h>

#include "cmd/oci_int.h"

#define K(m) .field = offsetof(struct oci_checkpoint_args, k.m)
#define O(m) .field = offsetof(struct oci_checkpoint_args, o.m)
#define A(m) .field = offsetof(struct oci_checkpoint_args, m)

/* clang-format off */
#define COMMON_OPTIONS                                                         \
    {"image-path", NULL, "DIR", "of CRIU's files [checkpoint]", K(images)},    \
    {"work-path", NULL, "DIR", "of its log [the same]", K(work)},              \
    {"tcp-established", NULL, NULL, "connections, too", K(tcp_established)},   \
    {"ext-unix-sk", NULL, NULL, "sockets to the outside, too",                 \
     K(ext_unix_sk)},                                                          \
    {"shell-job", NULL, NULL, "one that has our terminal", K(shell_job)},      \
    {"file-locks", NULL, NULL, "locks of files, too", K(file_locks)},          \
    {"auto-dedup", NULL, NULL, "give back what a later dump has",              \
     K(auto_dedup)},                                                           \
    {"link-remap", NULL, NULL, "open files that were unlinked",                \
     K(link_remap)},                                                           \
    {"manage-cgroups-mode", NULL, "MODE", "cgroups are ours in any case",      \
     A(cgroups_mode)},                                                         \
    {"criu", NULL, "PROGRAM", "[criu]", K(criu)}

const struct option_spec oci_checkpoint_options[] = {
    COMMON_OPTIONS,
    {"leave-running", "R", NULL, "the container goes on", K(leave_running)},
    {"parent-path", NULL, "DIR", "of an earlier --pre-dump", K(parent)},
    {"pre-dump", NULL, NULL, "memory alone, ahead of the checkpoint",
     K(pre_dump)},
    {"tcp-skip-in-flight", NULL, NULL, "connections half made are left out",
     K(tcp_skip_in_flight)},
    {0},
};

const struct option_spec oci_restore_options[] = {
    COMMON_OPTIONS,
    {"bundle", "b", "DIR", "the folder of config.json [.]", O(bundle)},
    {"config", "f", "FILE", "instead of config.json", O(config)},
    {"console-socket", NULL, "PATH", "where a terminal's master goes",
     O(console_socket)},
    {"pid-file", NULL, "FILE", "gets the number of the first process",
     O(pid_file)},
    {"detach", "d", NULL, "do not wait for its end", O(detach)},
    {"no-subreaper", NULL, NULL, "as it is in any case", O(no_subreaper)},
    {"no-pivot", NULL, NULL, "as it is in any case", O(no_pivot)},
    {"lsm-profile", NULL, "TYPE:NAME", "instead of the one it had",
     K(lsm_profile)},
    {"lsm-mount-context", NULL, "TEXT", "instead of the one it had",
     K(lsm_mount_context)},
    {0},
};
/* clang-format on */

int oci_checkpoint(const struct oci_call *c, struct error *err)
{
    const struct oci_checkpoint_args *a = c->options;

    return container_checkpoint(c->g->root, c->word[0], &a->k, err);
}

int oci_restore(const struct oci_call *c, struct error *err)
{
    struct oci_checkpoint_args *a = c->options;
    int status = 0, e;

    a->o.root = c->g->root;
    a->o.id = c->word[0];
    e = container_restore(&a->o, &a->k, &status, err);
    return e ? e : status;
}
