/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/features.h"

#include <json-c/json.h>

#include "fence/caps.h"
#include "fence/mount.h"
#include "fence/seccomp.h"
#include "oci/spec.h"

static void put(json_object *o, const char *key, json_object *value)
{
    json_object_object_add(o, key, value);
}

static json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static json_object *yes(bool v)
{
    return json_object_new_boolean(v);
}

static json_object *names(const char *(*name)(unsigned i))
{
    json_object *list = json_object_new_array();
    const char *s;
    unsigned i;

    for (i = 0; (s = name(i)); i++)
        json_object_array_add(list, text(s));
    return list;
}

static json_object *words(const char *const *w)
{
    json_object *list = json_object_new_array();

    for (; *w; w++)
        json_object_array_add(list, text(*w));
    return list;
}

static json_object *enabled(bool v)
{
    json_object *o = json_object_new_object();

    put(o, "enabled", yes(v));
    return o;
}

static json_object *seccomp(void)
{
    json_object *o = json_object_new_object();
    json_object *flags = json_object_new_array();
    unsigned known = seccomp_flags_supported(), bit, i;

    put(o, "enabled", yes(seccomp_supported()));
    put(o, "actions", names(seccomp_action_name));
    put(o, "operators", names(seccomp_op_name));
    put(o, "archs", names(seccomp_arch_name));
    put(o, "knownFlags", names(seccomp_flag_name));
    for (i = 0; seccomp_flag_name(i); i++)
        if (seccomp_flag_find(seccomp_flag_name(i), &bit) &&
            (bit & known) == bit)
            json_object_array_add(flags, text(seccomp_flag_name(i)));
    put(o, "supportedFlags", flags);
    return o;
}

static json_object *linux_features(void)
{
    static const char *const namespaces[] = {"cgroup",  "ipc", "mount",
                                             "network", "pid", "time",
                                             "user",    "uts", NULL};
    json_object *o = json_object_new_object();
    json_object *cgroup = json_object_new_object();
    json_object *mounts = json_object_new_object();

    put(o, "namespaces", words(namespaces));
    put(o, "capabilities", names(caps_name));
    put(cgroup, "v1", yes(true));
    put(cgroup, "v2", yes(true));
    put(cgroup, "systemd", yes(false));
    put(cgroup, "systemdUser", yes(false));
    put(cgroup, "rdma", yes(true));
    put(o, "cgroup", cgroup);
    put(o, "seccomp", seccomp());
    put(o, "apparmor", enabled(true));
    put(o, "selinux", enabled(true));
    put(o, "intelRdt", enabled(false));
    put(o, "netDevices", enabled(false));
    put(mounts, "idmap", enabled(true));
    put(o, "mountExtensions", mounts);
    return o;
}

char *features_text(struct arena *a)
{
    static const char *const hooks[] = {"prestart",
                                        "createRuntime",
                                        "createContainer",
                                        "startContainer",
                                        "poststart",
                                        "poststop",
                                        NULL};
    /* What those say counts for more than they who pass them on may know. */
    static const char *const unsafe[] = {"run.oci.", NULL};
    json_object *o = json_object_new_object();
    char *out;

    put(o, "ociVersionMin", text(SPEC_VERSION_MIN));
    put(o, "ociVersionMax", text(SPEC_VERSION));
    put(o, "hooks", words(hooks));
    put(o, "mountOptions", names(mount_option_name));
    put(o, "linux", linux_features());
    put(o, "potentiallyUnsafeConfigAnnotations", words(unsafe));
    out = arena_strdup(
        a, json_object_to_json_string_ext(
               o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return out;
}
