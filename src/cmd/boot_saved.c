/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_saved.c - options for machines that come out of a file: a recording or
 * a snapshot. The file says what machine it is; only what the guest cannot
 * see may be given as well.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/record.h"
#include "machine/snapshot.h"

int boot_replay(void *ctx, const char *v, struct error *err)
{
    (void)err;
    ((struct boot_args *)ctx)->replay_path = v;
    return 0;
}

int boot_restore(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    size_t len = strlen(v);
    const char *comma = strrchr(v, ',');

    a->unchecked = comma && !strcmp(comma, ",unchecked");
    if (a->unchecked)
        len = (size_t)(comma - v);
    free(a->restore_dir);
    a->restore_dir = len ? strndup(v, len) : NULL;
    if (!a->restore_dir)
        return error_set(err, EINVAL, "--restore %s: give a folder", v);
    return 0;
}

/* STATE:MEMORY, descriptors that a parent has left open: see machine/fork.c */
int boot_restore_fds(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    char end;

    if (sscanf(v, "%d:%d%c", &a->restore_fd[0], &a->restore_fd[1], &end) != 2 ||
        a->restore_fd[0] < 3 || a->restore_fd[1] < 3)
        return error_set(err, EINVAL, "--restore-fds %s: give two descriptors",
                         v);
    return 0;
}

int boot_ready_fd(void *ctx, const char *v, struct error *err)
{
    struct machine_config *c = &((struct boot_args *)ctx)->cfg;
    char end;

    if (sscanf(v, "%d%c", &c->ready_fd, &end) != 1 || c->ready_fd < 3)
        return error_set(err, EINVAL, "--ready-fd %s: give a descriptor", v);
    return 0;
}

void boot_not_ready(const struct machine_config *c, const struct error *err)
{
    if (c->ready_fd > 2)
        dprintf(c->ready_fd, "%s\n", err->msg);
}

/* The first option given that does not go with a saved machine, or NULL. */
static const char *extra_option(const struct boot_args *a)
{
    const struct machine_config *c = &a->cfg;

    if (c->kernel)
        return "--kernel";
    if (c->initrd)
        return "--initrd";
    if (c->firmware)
        return "--firmware";
    if (c->modules)
        return "--module";
    if (c->unpack != BOOT_UNPACK_AUTO)
        return "--unpack";
    if (c->cpu)
        return "--cpu";
    if (c->record)
        return "--record";
    if (c->seeded)
        return "--seed";
    if (c->cpus != 1)
        return "--cpus";
    if (c->memory != BOOT_MEMORY)
        return "--memory";
    if (strcmp(c->append, BOOT_APPEND))
        return "--append";
    if (c->shares && a->replay_path)
        return "--share";
    if ((c->nets || a->publishes) && a->replay_path)
        return "--net";
    if (c->rng)
        return "--rng";
    if (c->balloon)
        return "--balloon";
    if (c->disks && a->replay_path)
        return "--disk";
    if (c->vsock.cid && a->replay_path)
        return "--vsock";
    if (c->ports && a->replay_path)
        return "--port";
    if (c->deterministic && !a->replay_path)
        return "--deterministic";
    return NULL;
}

static const char *restore_from(const struct boot_args *a)
{
    return a->restore_dir ? a->restore_dir : "fork";
}

/* A snapshot's disks may have moved: --disk then names all of them. */
static int restore(struct boot_args *a, struct error *err)
{
    struct machine_config *c = &a->cfg, given = *c;
    const char *from = restore_from(a);
    unsigned i;
    int rc;

    if (a->restore_dir)
        rc = snapshot_open(&a->snapshot, a->restore_dir, !a->unchecked, c, err);
    else
        rc = snapshot_open_fds(&a->snapshot, a->restore_fd[0], a->restore_fd[1],
                               c, err);
    if (rc)
        return error_prefix(err, "--restore");
    if (given.disks && given.disks != c->disks)
        return error_set(err, EINVAL,
                         "--restore %s: has %u disks; give --disk for each, or "
                         "not at all",
                         from, c->disks);
    for (i = 0; i < given.disks; i++) {
        if (given.disk[i].read_only != c->disk[i].read_only)
            return error_set(err, EINVAL, "--restore %s: disk %u is %s in it",
                             from, i,
                             c->disk[i].read_only ? "read-only" : "writable");
        c->disk[i] = given.disk[i];
    }
    if (boot_restore_shares(c, &given, err))
        return error_prefix(err, "--restore %s", from);
    if (boot_restore_nets(c, &given, err))
        return error_prefix(err, "--restore %s", from);
    if (boot_restore_vsock(c, &given, !a->restore_dir, err) ||
        boot_restore_ports(c, &given, !a->restore_dir, err))
        return error_prefix(err, "--restore %s", from);
    if (!a->restore_dir)
        boot_fork_nets(c, a->publish_anew);
    c->no_reboot |= given.no_reboot;
    return 0;
}

int boot_open_saved(struct boot_args *a, struct error *err)
{
    bool saved = a->restore_dir || a->restore_fd[0];
    const char *extra = extra_option(a);

    if (!saved && !a->replay_path)
        return 0;
    if (saved && a->replay_path)
        return error_set(err, EINVAL, "--replay and --restore: give one");
    if (extra)
        return error_set(
            err, EINVAL, "--%s %s: it has its own %s; leave that out",
            saved ? "restore" : "replay",
            a->replay_path ? a->replay_path : restore_from(a), extra);
    if (saved)
        return restore(a, err);
    return replayer_open(&a->replay, a->replay_path, &a->cfg, err);
}

void boot_close_saved(struct boot_args *a)
{
    if (a->replay)
        replayer_close(a->replay);
    if (a->snapshot)
        snapshot_close(a->snapshot);
    free(a->restore_dir);
}
