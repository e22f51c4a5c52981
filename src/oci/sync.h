/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.h - what the runtime and the container's process that it has just made
 * tell each other, over a SOCK_SEQPACKET pair. The end of the other side is
 * noticed as SYNC_END, so that none waits for ever for a killed one.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

enum sync_kind {
    SYNC_END,     /* the other side is gone */
    SYNC_ERROR,   /* text: why it gave up */
    SYNC_PID,     /* value: the process that was made in between */
    SYNC_MAP,     /* value: whose ids the runtime shall map now */
    SYNC_MAPPED,  /* to the container: ids are mapped */
    SYNC_CGROUP,  /* to it: its cgroups are there; value: a bit for each tree
                     that is not */
    SYNC_MOUNTED, /* from it: mounts are there, hooks may run */
    SYNC_GO,      /* to it: hooks have run */
    SYNC_SECCOMP, /* from it: fd, the filter's listener */
    SYNC_READY,   /* from it: all but exec() is done */
    SYNC_START,   /* to it: go on */
};

struct sync_message {
    enum sync_kind kind;
    int value;
    int code;       /* SYNC_ERROR: errno */
    char text[512]; /* SYNC_ERROR */
};

int sync_pair(int fd[2], struct error *err) must_check;
/* fd: a descriptor to pass, or -1. False: the other side is gone. */
bool sync_send(int sock, enum sync_kind kind, int value, int fd);
void sync_send_error(int sock, const struct error *err);
/*
 * What `n` bytes in *m say; n below 1: SYNC_END. What no side of ours sends
 * is a SYNC_ERROR, whose code is an errno and whose text is there.
 */
void sync_understand(struct sync_message *m, ssize_t n);
/*
 * The next message, SYNC_END if none will come. *fd, unless NULL: the
 * descriptor that came with it (O_CLOEXEC), or -1.
 */
void sync_receive(int sock, struct sync_message *m, int *fd);
/*
 * The next message must be `kind`; an error of the other side's becomes ours.
 * -EPIPE: it is gone.
 */
int sync_expect(int sock, enum sync_kind kind, int *fd,
                struct error *err) must_check;
