/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surface.c - `ringfence surface`: what a guest of each engine can reach,
 * and a container, counted and side by side.
 */
#include "machine/surface.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmd/boot_int.h"
#include "cmd/options.h"
#include "engine/engine.h"
#include "fence/caps.h"
#include "oci/spec_default.h"

#define COLUMNS_MAX 8
#define LINE        78

/* One engine's; without a surface, the error says why. */
struct column {
    const char *name;
    struct surface surface;
    struct error err; /* code 0: none */
};

struct surface_args {
    struct boot_args boot; /* first: the ctx of boot's own options */
    const char *engine;    /* NULL: all */
    bool json, verbose;
    struct column column[COLUMNS_MAX];
    unsigned columns, engines; /* the engines' come first */
};

static int surface_engine(void *ctx, const char *v, struct error *err)
{
    ((struct surface_args *)ctx)->engine = v;
    return strcmp(v, "all") && !engine_find(v)
               ? error_set(err, EINVAL,
                           "--engine %s: there is no such engine; see "
                           "ringfence boot --engine help",
                           v)
               : 0;
}

static int surface_help(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct surface_args *)ctx)->boot.list = true;
    cmd_surface_help();
    return 0;
}

static const struct option_spec surface_options[] = {
    {"engine", "accel", "NAME", "that one alone, not all side by side",
     surface_engine},
    {"json", NULL, NULL, "everything, for programs", NULL,
     offsetof(struct surface_args, json)},
    {"verbose", "v", NULL, "also what was counted", NULL,
     offsetof(struct surface_args, verbose)},
    {"help", "h", NULL, "this text", surface_help},
    {"cpus", "c smp", "N",
     "this and what follows: the machine's,\nas for ringfence boot", boot_cpus},
    {"memory", "m mem", "SIZE", "like 512M", boot_memory},
    {"cpu", NULL, "MODEL", "like x86-64-v2,-avx", boot_cpu},
    {"firmware", "bios", "FILE", "a BIOS image", boot_firmware_file},
    {"disk", "d drive hda", "FILE[,ro][,format=F][,aio=A]", "an image",
     boot_disk},
    {"share", "virtiofs", "DIR[,ro][,tag=T]", "a folder", boot_share},
    {"net", "network", "KIND[,OPTION]...", "a network", boot_net},
    {"rng", NULL, NULL, "random numbers", boot_rng},
    {"balloon", NULL, NULL, "a balloon", boot_balloon},
    {"vsock", NULL, "PATH[,cid=N]", "a virtio socket", boot_vsock},
    {"port", NULL, "NAME=unix:PATH", "a port", boot_port},
    {"no-fence", NULL, NULL, "without the fence", NULL,
     offsetof(struct surface_args, boot.cfg.no_fence)},
    {0},
};

void cmd_surface_help(void)
{
    puts(
        "usage: ringfence surface [OPTION]...\n\n"
        "Counts what a guest of each engine can reach, and which system calls\n"
        "the threads of its monitor may make. The machine is built, looked at\n"
        "and taken apart; it does not run. Beside them what a container may\n"
        "ask of the host's kernel: one as run --rootfs makes it, and a\n"
        "privileged one.\n");
    options_print(surface_options);
    puts("\nExample:\n"
         "  ringfence surface --disk disk.img --net user\n"
         "  ringfence surface --engine kvm --verbose");
}

/* --- looking --- */

static void column_look(struct surface_args *a, const struct engine_ops *e)
{
    struct column *c = &a->column[a->columns++];

    rf_assert(a->columns <= COLUMNS_MAX);
    c->name = e->name;
    a->boot.cfg.engine = e;
    if (e->probe(&c->err) ||
        surface_of_machine(&c->surface, &a->boot.cfg, &c->err))
        return;
    c->err.code = 0;
}

static void look_at_all(struct surface_args *a)
{
    for (unsigned i = 0; engines[i]; i++)
        if (!a->engine || !strcmp(a->engine, "all") ||
            !strcmp(a->engine, engines[i]->name))
            column_look(a, engines[i]);
    a->engines = a->columns;
}

/* As `run --rootfs` makes it; and one that its client has given everything. */
static void look_at_containers(struct surface_args *a)
{
    static const char *const names[] = {"container", "privileged"};

    if (a->engine && strcmp(a->engine, "all"))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        struct column *c = &a->column[a->columns++];

        rf_assert(a->columns <= COLUMNS_MAX);
        c->name = names[i];
        if (!surface_of_container(&c->surface, c->name,
                                  i ? caps_of_kernel() : spec_default_caps(),
                                  !i, &c->err))
            c->err.code = 0;
    }
}

/* No engine has one: then it is the machine's options. */
static const struct error *all_failed(const struct surface_args *a)
{
    for (unsigned i = 0; i < a->engines; i++)
        if (!a->column[i].err.code)
            return NULL;
    return &a->column[a->engines - 1].err;
}

/* --- for people --- */

static void print_cell(const struct column *c, unsigned part)
{
    const struct surface_part *p = &c->surface.part[part];

    if (c->err.code || !p->there)
        printf("%13s", "-");
    else
        printf("%13u", p->count);
}

/* Columns [from, to) for the parts [part, end). */
static void print_block(const struct surface_args *a, unsigned from,
                        unsigned to, unsigned part, unsigned end)
{
    printf("%-26s", "");
    for (unsigned i = from; i < to; i++)
        printf("%13s", a->column[i].name);
    putchar('\n');
    for (; part < end; part++) {
        printf("%-26s", surface_part_title(part));
        for (unsigned i = from; i < to; i++)
            print_cell(&a->column[i], part);
        putchar('\n');
    }
    for (unsigned i = from; i < to; i++)
        if (a->column[i].err.code)
            printf("%s: %s\n", a->column[i].name, a->column[i].err.msg);
}

static void print_table(const struct surface_args *a)
{
    print_block(a, 0, a->engines, 0, SURFACE_CONTAINER_CALLS);
    if (a->columns == a->engines)
        return;
    putchar('\n');
    print_block(a, a->engines, a->columns, SURFACE_CONTAINER_CALLS,
                SURFACE_PARTS);
}

/* What has a detail gets a line; the rest shares them. */
static void print_items(const struct surface_part *p)
{
    int col = 0;

    for (unsigned i = 0; i < p->count; i++) {
        const struct surface_item *it = &p->item[i];

        if (it->detail[0]) {
            printf("%s  %-24s %s\n", col ? "\n" : "", it->name, it->detail);
            col = 0;
            continue;
        }
        if (col && col + 1 + (int)strlen(it->name) > LINE) {
            putchar('\n');
            col = 0;
        }
        col += printf("%s%s", col ? " " : "  ", it->name);
    }
    if (col)
        putchar('\n');
}

static void print_details(const struct column *c)
{
    for (unsigned id = 0; id < SURFACE_PARTS; id++) {
        const struct surface_part *p = &c->surface.part[id];
        const char *title = surface_part_title(id);

        if (!p->count)
            continue;
        printf("\n%s: %s: %u\n", c->name, title + strspn(title, " "), p->count);
        print_items(p);
    }
}

/* --- for programs --- */

static json_object *part_json(const struct surface_part *p)
{
    json_object *o, *items;

    if (!p->there)
        return NULL;
    o = json_object_new_object();
    items = json_object_new_array();
    for (unsigned i = 0; i < p->count; i++) {
        json_object *it = json_object_new_object();

        json_object_object_add(it, "name",
                               json_object_new_string(p->item[i].name));
        if (p->item[i].detail[0])
            json_object_object_add(it, "detail",
                                   json_object_new_string(p->item[i].detail));
        json_object_array_add(items, it);
    }
    json_object_object_add(o, "count", json_object_new_int64(p->count));
    json_object_object_add(o, "items", items);
    return o;
}

static json_object *column_json(const struct column *c, const char *kind)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, kind, json_object_new_string(c->name));
    if (c->err.code)
        json_object_object_add(o, "error", json_object_new_string(c->err.msg));
    for (unsigned id = 0; !c->err.code && id < SURFACE_PARTS; id++)
        json_object_object_add(o, surface_part_key(id),
                               part_json(&c->surface.part[id]));
    return o;
}

static void print_json(const struct surface_args *a)
{
    json_object *o = json_object_new_object(), *all = json_object_new_array();

    for (unsigned i = 0; i < a->engines; i++)
        json_object_array_add(all, column_json(&a->column[i], "engine"));
    json_object_object_add(o, "engines", all);
    all = json_object_new_array();
    for (unsigned i = a->engines; i < a->columns; i++)
        json_object_array_add(all, column_json(&a->column[i], "profile"));
    json_object_object_add(o, "containers", all);
    puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
    json_object_put(o);
}

/* --- the command --- */

static int surface_run(struct surface_args *a)
{
    const struct error *err;

    look_at_all(a);
    err = all_failed(a);
    if (err)
        return command_error("surface", err, EXIT_HOST);
    look_at_containers(a);
    if (a->json) {
        print_json(a);
        return EXIT_OK;
    }
    print_table(a);
    for (unsigned i = 0; a->verbose && i < a->columns; i++)
        print_details(&a->column[i]);
    return EXIT_OK;
}

int cmd_surface(int argc, char **argv)
{
    struct surface_args *a = calloc(1, sizeof(*a));
    struct error err = {0};
    int status = EXIT_OK;

    if (!a) {
        error_set(&err, ENOMEM, "out of memory");
        return command_error("surface", &err, EXIT_HOST);
    }
    a->boot.command = "surface";
    a->boot.cfg.cpus = 1;
    a->boot.cfg.memory = BOOT_MEMORY;
    log_set_level(LOG_WARN);
    if (options_parse(surface_options, argc, argv, a, &err) ||
        boot_check_nets(&a->boot, &err))
        status = command_error("surface", &err, EXIT_USAGE);
    else if (!a->boot.list)
        status = surface_run(a);
    for (unsigned i = 0; i < a->columns; i++)
        surface_free(&a->column[i].surface);
    free(a);
    return status;
}
