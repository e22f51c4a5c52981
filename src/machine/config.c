/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/guest_mem.h"

#define TEXT_MAX 65536u

static void put_text(struct state_writer *w, const char *name, const char *text)
{
    size_t len = text ? strlen(text) + 1 : 0;
    char field[32];

    snprintf(field, sizeof(field), "%s_len", name);
    state_put(w, field, len);
    if (len)
        state_put_blob(w, name, text, len);
}

static void put_path(struct state_writer *w, const char *name, const char *path)
{
    char *full = path ? realpath(path, NULL) : NULL;

    put_text(w, name, full ? full : path);
    free(full);
}

/* NULL where there was none. */
static char *get_text(struct state_reader *r, const char *name)
{
    char field[32], *text;
    size_t len;

    snprintf(field, sizeof(field), "%s_len", name);
    len = state_get_max(r, field, TEXT_MAX);
    text = len ? calloc(1, len) : NULL;
    if (text) {
        state_get_blob(r, name, text, len);
        text[len - 1] = 0;
    }
    return text;
}

void config_put(struct state_writer *w, const struct machine_config *cfg)
{
    char name[24];
    unsigned i;

    state_begin(w, "machine", 0, 1);
    state_put(w, "cpus", cfg->cpus);
    state_put(w, "memory", cfg->memory);
    put_text(w, "append", cfg->append);
    put_text(w, "cpu", cfg->cpu);
    put_path(w, "kernel", cfg->kernel);
    put_path(w, "initrd", cfg->initrd);
    state_put(w, "no_reboot", cfg->no_reboot);
    state_put(w, "disks", cfg->disks);
    for (i = 0; i < cfg->disks; i++) {
        snprintf(name, sizeof(name), "disk%u", i);
        put_path(w, name, cfg->disk[i].path);
        snprintf(name, sizeof(name), "disk%u_ro", i);
        state_put(w, name, cfg->disk[i].read_only);
    }
    state_end(w);
}

void config_get(struct state_reader *r, struct machine_config *cfg,
                struct config_text *text)
{
    char name[24];
    unsigned i;

    state_open(r, "machine", 0, 1);
    cfg->cpus = (unsigned)state_get_max(r, "cpus", GUEST_VCPUS_MAX);
    cfg->memory = align_down(state_get(r, "memory"), PAGE_SIZE);
    cfg->append = text->append = get_text(r, "append");
    cfg->cpu = text->cpu = get_text(r, "cpu");
    cfg->kernel = text->kernel = get_text(r, "kernel");
    cfg->initrd = text->initrd = get_text(r, "initrd");
    cfg->no_reboot = state_get_max(r, "no_reboot", 1);
    cfg->disks = (unsigned)state_get_max(r, "disks", MACHINE_DISKS_MAX);
    for (i = 0; i < cfg->disks; i++) {
        snprintf(name, sizeof(name), "disk%u", i);
        cfg->disk[i].path = text->disk[i] = get_text(r, name);
        if (!cfg->disk[i].path)
            cfg->disk[i].path = "";
        snprintf(name, sizeof(name), "disk%u_ro", i);
        cfg->disk[i].read_only = state_get_max(r, name, 1);
    }
}

void config_text_free(struct config_text *text)
{
    unsigned i;

    free(text->kernel);
    free(text->initrd);
    free(text->append);
    free(text->cpu);
    for (i = 0; i < MACHINE_DISKS_MAX; i++)
        free(text->disk[i]);
    *text = (struct config_text){0};
}
