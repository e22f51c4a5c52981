/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podman.h - podman's default profile, out of the file from which it makes
 * config.json. (Debian's golang-github-containers-common.)
 */
#pragma once

#include <json-c/json.h>
#include <string.h>

#include "fence/seccomp.h"

#define PODMANS "/usr/share/containers/seccomp.json"

struct podman {
    struct seccomp_profile p;
    struct seccomp_rule rule[128];
    struct seccomp_arg arg[64];
    const char *name[1024];
    unsigned names, args;
};

static bool json_has(struct json_object *o, const char *key, const char *what)
{
    struct json_object *list = json_object_object_get(o, key);

    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (!strcmp(json_object_get_string(json_object_array_get_idx(list, i)),
                    what))
            return true;
    return false;
}

static bool json_is_for(struct json_object *o, unsigned caps)
{
    static const char *const names[] = {
        "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT",
        "CAP_SYS_MODULE",      "CAP_SYS_PACCT", "CAP_SYS_PTRACE",
        "CAP_SYS_RAWIO",       "CAP_SYS_TIME",  "CAP_SYS_TTY_CONFIG",
        "CAP_AUDIT_WRITE"};
    struct json_object *in = json_object_object_get(o, "includes");
    struct json_object *ex = json_object_object_get(o, "excludes");

    if (json_object_object_get(in, "arches") &&
        !json_has(in, "arches", "amd64"))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (json_has(caps & BIT(i) ? ex : in, "caps", names[i]))
            return false;
    return true;
}

static int json_number(struct json_object *o, const char *key, int otherwise)
{
    struct json_object *v = json_object_object_get(o, key);

    return v ? json_object_get_int(v) : otherwise;
}

static const char *json_word(struct json_object *o, const char *key)
{
    return json_object_get_string(json_object_object_get(o, key));
}

static bool podman_args(struct podman *m, struct seccomp_rule *r,
                        struct json_object *list)
{
    r->args = m->arg + m->args;
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct seccomp_arg *a = &m->arg[m->args++];

        a->index = (unsigned)json_number(o, "index", 0);
        a->value = json_object_get_uint64(json_object_object_get(o, "value"));
        a->value_two =
            json_object_get_uint64(json_object_object_get(o, "valueTwo"));
        if (!seccomp_op_find(json_word(o, "op"), &a->op))
            return false;
        r->nargs++;
    }
    return true;
}

static bool podman_rule(struct podman *m, struct json_object *o)
{
    struct seccomp_rule *r = &m->rule[m->p.rule_count++];
    struct json_object *list = json_object_object_get(o, "names");

    *r = (struct seccomp_rule){.names = m->name + m->names,
                               .errno_ret = json_number(o, "errnoRet", -1)};
    if (!seccomp_action_find(json_word(o, "action"), &r->action))
        return false;
    for (size_t i = 0; i < json_object_array_length(list); i++, r->count++)
        m->name[m->names++] =
            json_object_get_string(json_object_array_get_idx(list, i));
    return podman_args(m, r, json_object_object_get(o, "args"));
}

/* Bits of `caps` are for the names above. False: not such a file. */
static bool podman_read(struct podman *m, struct json_object *root,
                        unsigned caps)
{
    static const enum seccomp_arch arches[] = {
        SECCOMP_ARCH_X86_64, SECCOMP_ARCH_X86, SECCOMP_ARCH_X32};
    struct json_object *list = json_object_object_get(root, "syscalls");

    m->names = m->args = 0;
    m->p = (struct seccomp_profile){
        .action = SECCOMP_ACT_ERRNO,
        .errno_ret = json_number(root, "defaultErrnoRet", -1),
        .arches = arches,
        .arch_count = ARRAY_SIZE(arches),
        .rules = m->rule};
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (json_is_for(json_object_array_get_idx(list, i), caps) &&
            !podman_rule(m, json_object_array_get_idx(list, i)))
            return false;
    return m->names > 0;
}
