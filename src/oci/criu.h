/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu.h - CRIU as a service: `criu swrk FD`, asked in its own protocol, a
 * message of protobuf each on a SOCK_SEQPACKET pair.       [criu, rpc.proto]
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

enum criu_request {
    CRIU_DUMP = 1,
    CRIU_RESTORE = 2,
    CRIU_PRE_DUMP = 4,
};

struct criu_pair {
    const char *key, *value;
};

/* A message's options; numbers of their fields stay in criu.c. */
struct criu_options {
    int images_dir, work_dir; /* descriptors */
    pid_t pid;                /* to dump */
    const char *root, *log_file, *parent, *freeze_cgroup, *lsm_profile;
    const char *lsm_mount_context;
    bool leave_running, tcp_established, ext_unix_sk, shell_job, file_locks;
    bool track_mem, auto_dedup, link_remap, tcp_skip_in_flight, sibling;
    bool orphan_pts, empty_net;
    const struct criu_pair *ext_mount; /* where, and what is there */
    unsigned ext_mounts;
    const char *const *external;
    unsigned externals;
    struct {
        const char *key;
        int fd;
    } inherit[8];
    unsigned inherits;
};

struct criu {
    const char *program; /* NULL: criu */
    /* In the process that becomes CRIU, before that: cgroups, mounts. */
    int (*enter)(void *ctx, struct error *err);
    /* A terminal's master, at a restore; may be NULL. */
    int (*master)(void *ctx, int fd, struct error *err);
    void *ctx;
};

/* The pid of what was restored, or 0; or -errno. */
pid_t criu_call(struct arena *a, const struct criu *c, enum criu_request type,
                const struct criu_options *o, struct error *err) must_check;

/* What CRIU says: an answer, or that a script would run now. */
struct criu_answer {
    unsigned type;
    bool success;
    pid_t pid;
    char script[64], message[256];
    int fd; /* that came along, or -1 */
};

/* Of a message; what it does not say stays as it is. Texts are one line. */
void criu_answer_parse(struct criu_answer *a, const uint8_t *data, size_t len);

/*
 * checkpoint.c: which of stdin, stdout and stderr were pipes, and their names,
 * of the file that a checkpoint leaves; NULL: it was none. -EINVAL.
 */
int checkpoint_pipes(struct arena *a, const char *text, size_t len,
                     const char *pipe[3], struct error *err) must_check;
