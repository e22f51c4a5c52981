/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_seccomp.c - linux.seccomp, straight into fence/'s structures.
 */
#include "oci/spec_int.h"

JSON_IS_ARRAY(seccomp_rule, names, count);
JSON_IS_ARRAY(seccomp_rule, args, nargs);
JSON_IS_ARRAY(seccomp_profile, arches, arch_count);
JSON_IS_ARRAY(seccomp_profile, rules, rule_count);

#define FIND(kind)                                                             \
    static bool find_##kind(const char *name, unsigned *value)                 \
    {                                                                          \
        enum seccomp_##kind v;                                                 \
                                                                               \
        if (!seccomp_##kind##_find(name, &v))                                  \
            return false;                                                      \
        *value = v;                                                            \
        return true;                                                           \
    }
FIND(action)
FIND(arch)
FIND(op)

static void init_rule(void *item)
{
    ((struct seccomp_rule *)item)->errno_ret = SECCOMP_ERRNO_DEFAULT;
}

static void init_profile(void *item)
{
    struct spec_seccomp *s = item;

    s->profile.errno_ret = SECCOMP_ERRNO_DEFAULT;
    s->profile.flags = 0;
}

/* clang-format off */
static const struct json_field arg_fields[] = {
    {"index", JSON_INT(seccomp_arg, index, false), .required = true},
    {"value", JSON_INT(seccomp_arg, value, false), .required = true},
    {"valueTwo", JSON_INT(seccomp_arg, value_two, false)},
    {"op", JSON_ENUM, JSON_AT(seccomp_arg, op), .find = find_op,
     .required = true},
    {NULL},
};
static const struct json_shape arg_shape = {
    .size = sizeof(struct seccomp_arg), .fields = arg_fields};

static const struct json_field rule_fields[] = {
    {"names", JSON_STRINGS, JSON_AT(seccomp_rule, names), .required = true},
    {"action", JSON_ENUM, JSON_AT(seccomp_rule, action), .find = find_action,
     .required = true},
    {"errnoRet", JSON_INT(seccomp_rule, errno_ret, false)},
    {"args", JSON_ARRAY, JSON_AT(seccomp_rule, args), .shape = &arg_shape},
    {NULL},
};
static const struct json_shape rule_shape = {
    .size = sizeof(struct seccomp_rule), .fields = rule_fields,
    .init = init_rule};

static const struct json_field seccomp_fields[] = {
    {"defaultAction", JSON_ENUM, JSON_AT(spec_seccomp, profile.action),
     .find = find_action, .required = true},
    {"defaultErrnoRet", JSON_INT(spec_seccomp, profile.errno_ret, false)},
    {"architectures", JSON_ENUMS, JSON_AT(spec_seccomp, profile.arches),
     .find = find_arch},
    {"flags", JSON_FLAGS, JSON_AT(spec_seccomp, profile.flags),
     .find = seccomp_flag_find,
     .has_at = offsetof(struct spec_seccomp, has_flags), .has = 1},
    {"listenerPath", JSON_STRING, JSON_AT(spec_seccomp, listener_path)},
    {"listenerMetadata", JSON_STRING,
     JSON_AT(spec_seccomp, listener_metadata)},
    {"syscalls", JSON_ARRAY, JSON_AT(spec_seccomp, profile.rules),
     .shape = &rule_shape},
    {NULL},
};
const struct json_shape spec_seccomp_shape = {
    .size = sizeof(struct spec_seccomp), .fields = seccomp_fields,
    .init = init_profile};
/* clang-format on */
