/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_default.h - a config.json out of what a person wants: for `spec`, and
 * for `run --rootfs`. Defaults are those that users of Docker and podman know.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct spec_wish {
    const char *rootfs, *cwd, *hostname;
    const char *const *args, *const *env; /* NULL: sh; end with a NULL */
    const char *const *binds;             /* "HOST:DIR[:OPTIONS]"; or NULL */
    uint32_t uid, gid;
    bool terminal, readonly, rootless, host_net;
    bool docker; /* Docker's capabilities and seccomp profile, not spec's few */
    uint64_t memory; /* bytes; 0: no limit */
    double cpus;     /* 0: no limit */
    int64_t pids;    /* 0: no limit */
};

/* Docker's capabilities: bit n is capability n. */
uint64_t spec_default_caps(void);

/* The text, in the arena; NULL with err if a wish cannot be one. */
char *spec_default_text(struct arena *a, const struct spec_wish *w,
                        struct error *err);
