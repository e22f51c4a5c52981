/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the part of a configuration that the guest can see, as a section
 * of a state file: what a recording and a snapshot have to bring back.
 */
#pragma once

#include "base/state.h"
#include "machine/machine.h"

/* The strings of a configuration that came out of a file. */
struct config_text {
    char *kernel, *initrd, *firmware, *append, *cpu, *disk[MACHINE_DISKS_MAX];
    char *share[MACHINE_SHARES_MAX], *tag[MACHINE_SHARES_MAX];
    char *vsock, *vsock_base;
    char *module[MACHINE_MODULES_MAX], *module_text[MACHINE_MODULES_MAX];
};

/*
 * Paths are made absolute. nets: as many as cfg has, complete. Commands behind
 * guestfwd= are left out: a file from elsewhere must not start programs.
 */
void config_put(struct state_writer *w, const struct machine_config *cfg,
                const struct net_config *nets);
/* Sets these fields of cfg; sticky errors stay with the reader. */
void config_get(struct state_reader *r, struct machine_config *cfg,
                struct config_text *text);
void config_text_free(struct config_text *text);
