/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/features.h"

#include "fence/caps.h"
#include "fence/mount.h"
#include "fence/seccomp.h"
#include "oci/json_build.h"
#include "oci/spec.h"

static struct json_value *names(struct arena *a,
                                const char *(*name)(unsigned i))
{
    struct json_value *list = json_new_array(a);
    const char *s;
    unsigned i;

    for (i = 0; (s = name(i)); i++)
        json_add(list, json_new_text(a, s));
    return list;
}

static struct json_value *enabled(struct arena *a, bool v)
{
    struct json_value *o = json_new_object(a);

    json_put(o, "enabled", json_new_bool(a, v));
    return o;
}

static struct json_value *seccomp(struct arena *a)
{
    struct json_value *o = json_new_object(a);
    struct json_value *flags = json_new_array(a);
    unsigned known = seccomp_flags_supported(), bit, i;

    json_put(o, "enabled", json_new_bool(a, seccomp_supported()));
    json_put(o, "actions", names(a, seccomp_action_name));
    json_put(o, "operators", names(a, seccomp_op_name));
    json_put(o, "archs", names(a, seccomp_arch_name));
    json_put(o, "knownFlags", names(a, seccomp_flag_name));
    for (i = 0; seccomp_flag_name(i); i++)
        if (seccomp_flag_find(seccomp_flag_name(i), &bit) &&
            (bit & known) == bit)
            json_add(flags, json_new_text(a, seccomp_flag_name(i)));
    json_put(o, "supportedFlags", flags);
    return o;
}

static struct json_value *linux_features(struct arena *a)
{
    static const char *const namespaces[] = {"cgroup",  "ipc", "mount",
                                             "network", "pid", "time",
                                             "user",    "uts", NULL};
    struct json_value *o = json_new_object(a);
    struct json_value *cgroup = json_new_object(a);
    struct json_value *mounts = json_new_object(a);

    json_put(o, "namespaces", json_new_texts(a, namespaces));
    json_put(o, "capabilities", names(a, caps_name));
    json_put(cgroup, "v1", json_new_bool(a, true));
    json_put(cgroup, "v2", json_new_bool(a, true));
    json_put(cgroup, "systemd", json_new_bool(a, false));
    json_put(cgroup, "systemdUser", json_new_bool(a, false));
    json_put(cgroup, "rdma", json_new_bool(a, true));
    json_put(o, "cgroup", cgroup);
    json_put(o, "seccomp", seccomp(a));
    json_put(o, "apparmor", enabled(a, true));
    json_put(o, "selinux", enabled(a, true));
    json_put(o, "intelRdt", enabled(a, false));
    json_put(o, "netDevices", enabled(a, true));
    json_put(mounts, "idmap", enabled(a, true));
    json_put(o, "mountExtensions", mounts);
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
    struct json_value *o = json_new_object(a);

    json_put(o, "ociVersionMin", json_new_text(a, SPEC_VERSION_MIN));
    json_put(o, "ociVersionMax", json_new_text(a, SPEC_VERSION));
    json_put(o, "hooks", json_new_texts(a, hooks));
    json_put(o, "mountOptions", names(a, mount_option_name));
    json_put(o, "linux", linux_features(a));
    json_put(o, "potentiallyUnsafeConfigAnnotations",
             json_new_texts(a, unsafe));
    return json_print(a, o, true);
}
