/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_json.c - what a container's state is as JSON: state.json itself, and
 * the specification's state, which hooks and `state` get.
 */
#include <errno.h>
#include <string.h>

#include "oci/json_build.h"
#include "oci/json_table.h"
#include "oci/spec.h"
#include "oci/state_int.h"

#define NO(...) error_set(err, EINVAL, __VA_ARGS__)

/* --- reading --- */

/* clang-format off */
static const struct json_field cgroup_fields[] = {
    {"controllers", UINT(state_cgroup, controllers), NEEDED},
    {"made", UINT(state_cgroup, made), NEEDED},
    {"v2", BOOL(state_cgroup, v2), NEEDED},
    {"mount", STRING(state_cgroup, mount), NEEDED},
    {"path", STRING(state_cgroup, path), NEEDED},
    {NULL},
};
static const struct json_shape cgroup_shape =
    SHAPE(state_cgroup, cgroup_fields);

static const struct json_field state_fields[] = {
    {"ociVersion", STRING(state, version), NEEDED},
    {"id", STRING(state, id), NEEDED},
    {"bundle", STRING(state, bundle), NEEDED},
    {"rootfs", STRING(state, rootfs), NEEDED},
    {"created", STRING(state, created), NEEDED},
    {"owner", STRING(state, owner)},
    {"pid", SINT(state, pid), NEEDED},
    {"pidTime", UINT(state, pid_time), NEEDED},
    {"cgroupLayout", UINT(state, cgroup_layout), NEEDED},
    {"cgroups", ARRAY(state, cgroups, cgroup_shape)},
    {"annotations", MAP(state, annotations)},
    {NULL},
};
static const struct json_shape state_shape = SHAPE(state, state_fields);
/* clang-format on */

static int check_cgroup(const struct state *s, unsigned i, struct error *err)
{
    const struct state_cgroup *t = (struct state_cgroup *)s->cgroups.items + i;
    unsigned depth = cgroup_path_depth(t->path);

    if (t->controllers >> CGROUP_CONTROLLERS)
        return NO("cgroups[%u].controllers: %u has unknown ones", i,
                  t->controllers);
    if (s->cgroup_layout != CGROUP_HYBRID &&
        t->v2 != (s->cgroup_layout == CGROUP_V2))
        return NO("cgroups[%u].v2: cgroupLayout says otherwise", i);
    if (t->mount[0] != '/')
        return NO("cgroups[%u].mount: \"%.200s\" does not begin with /", i,
                  t->mount);
    if (!depth)
        return NO("cgroups[%u].path: \"%.200s\" is no cgroup of a container", i,
                  t->path);
    if (t->made > depth)
        return NO("cgroups[%u].made: %u is more than the path has", i, t->made);
    return 0;
}

/* Each is one hierarchy: no controller twice, and one v2 tree. */
static int check_trees(const struct state *s, struct error *err)
{
    const struct state_cgroup *t = s->cgroups.items;
    uint32_t seen[2] = {0};
    unsigned i, trees = 0;
    int e;

    if (s->cgroup_layout > CGROUP_HYBRID)
        return NO("cgroupLayout: %u is not known", s->cgroup_layout);
    if (s->cgroups.count > (s->cgroup_layout ? CGROUP_TREES : 0))
        return NO("cgroups: has more than there can be");
    for (i = 0; i < s->cgroups.count; i++) {
        e = check_cgroup(s, i, err);
        if (e)
            return e;
        if ((seen[t[i].v2] & t[i].controllers) || (t[i].v2 && trees++))
            return NO("cgroups[%u]: stands there twice", i);
        seen[t[i].v2] |= t[i].controllers;
    }
    return 0;
}

static int check(const struct state *s, const char *id, struct error *err)
{
    if (strcmp(s->id, id))
        return NO("id: \"%.200s\" is not the name of its folder", s->id);
    if (s->bundle[0] != '/')
        return NO("bundle: \"%.200s\" does not begin with /", s->bundle);
    if (s->rootfs[0] != '/')
        return NO("rootfs: \"%.200s\" does not begin with /", s->rootfs);
    if (s->pid < 0 || s->pid == 1)
        return NO("pid: %d is no container's process", s->pid);
    if (!s->pid && s->pid_time)
        return NO("pidTime: there is no process that it can be of");
    return check_trees(s, err);
}

int state_parse(struct arena *a, const char *text, size_t len, const char *id,
                struct state *out, struct error *err)
{
    int e;

    memset(out, 0, sizeof(*out));
    e = json_read_text(a, text, len, "state.json", &state_shape, out, err);
    return e ? e : check(out, id, err);
}

int state_read(struct arena *a, int dir, const char *id, struct state *out,
               struct error *err)
{
    int e = json_read_file(a, dir, "state.json", &state_shape, out, NULL, err);

    return e ? e : check(out, id, err);
}

/* --- writing --- */

static void put(struct arena *a, struct json_value *o, const char *key,
                const char *text)
{
    json_put(o, key, json_new_text(a, text));
}

static void put_map(struct arena *a, struct json_value *o, const char *key,
                    const struct json_array *map)
{
    const struct json_pair *p = map->items;
    unsigned i;

    for (i = 0; i < map->count; i++)
        put(a, json_put_object(a, o, key), p[i].key, p[i].value);
}

static struct json_value *cgroups_json(struct arena *a,
                                       const struct json_array *cgroups)
{
    const struct state_cgroup *t = cgroups->items;
    struct json_value *list = json_new_array(a);
    unsigned i;

    for (i = 0; i < cgroups->count; i++) {
        struct json_value *o = json_new_object(a);

        json_put(o, "controllers", json_new_uint(a, t[i].controllers));
        json_put(o, "made", json_new_uint(a, t[i].made));
        json_put(o, "v2", json_new_bool(a, t[i].v2));
        put(a, o, "mount", t[i].mount);
        put(a, o, "path", t[i].path);
        json_add(list, o);
    }
    return list;
}

char *state_to_json(struct arena *a, const struct state *s, const char *id)
{
    struct json_value *o = json_new_object(a);

    put(a, o, "ociVersion", SPEC_VERSION);
    put(a, o, "id", id);
    put(a, o, "bundle", s->bundle);
    put(a, o, "rootfs", s->rootfs);
    put(a, o, "created", s->created);
    put(a, o, "owner", s->owner);
    json_put(o, "pid", json_new_int(a, s->pid));
    json_put(o, "pidTime", json_new_uint(a, s->pid_time));
    json_put(o, "cgroupLayout", json_new_uint(a, s->cgroup_layout));
    json_put(o, "cgroups", cgroups_json(a, &s->cgroups));
    put_map(a, o, "annotations", &s->annotations);
    return json_print(a, o, false);
}

struct json_value *oci_state_json(struct container *c, enum state_status status)
{
    struct arena *a = &c->arena;
    struct json_value *o = json_new_object(a);
    const struct state *s = &c->state;

    put(a, o, "ociVersion", SPEC_VERSION);
    put(a, o, "id", c->id);
    put(a, o, "status", oci_state_status_name(status));
    json_put(o, "pid", json_new_int(a, status == STATE_STOPPED ? 0 : s->pid));
    put(a, o, "bundle", s->bundle);
    put(a, o, "rootfs", s->rootfs);
    put(a, o, "created", s->created);
    put(a, o, "owner", s->owner);
    put_map(a, o, "annotations", &s->annotations);
    return o;
}

char *oci_state_text(struct container *c, enum state_status status)
{
    return json_print(&c->arena, oci_state_json(c, status), true);
}
