/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_device.c - which devices a container may make, read and write: lines
 * for v1's device controller, or a program that answers for v2.
 */
#include "fence/cgroup_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define DEVICES "linux.resources.devices"

/* More would not fit the program's jumps. */
#define RULES_MAX 4000

static const struct cgroup_device_rule defaults[] = {
    {true, 'c', -1, -1, "m"},    {true, 'b', -1, -1, "m"},
    {true, 'c', 1, 3, "rwm"},    /* null */
    {true, 'c', 1, 5, "rwm"},    /* zero */
    {true, 'c', 1, 7, "rwm"},    /* full */
    {true, 'c', 1, 8, "rwm"},    /* random */
    {true, 'c', 1, 9, "rwm"},    /* urandom */
    {true, 'c', 5, 0, "rwm"},    /* tty */
    {true, 'c', 5, 1, "rwm"},    /* console */
    {true, 'c', 5, 2, "rwm"},    /* ptmx */
    {true, 'c', 136, -1, "rwm"}, /* pts/N */
    {true, 'c', 10, 200, "rwm"}, /* net/tun */
};

/* --- rules --- */

int cgroup_device_access(const char *access)
{
    static const char letters[] = "mrw"; /* in the order of the bits */
    int bits = 0;

    if (!access || !*access)
        return CGROUP_ACCESS_ALL;
    for (; *access; access++) {
        const char *at = strchr(letters, *access);

        if (!at)
            return -1;
        bits |= 1 << (at - letters);
    }
    return bits;
}

bool cgroup_device_everything(const struct cgroup_device_rule *r)
{
    return r->type == 'a' && r->major < 0 && r->minor < 0 &&
           cgroup_device_access(r->access) == CGROUP_ACCESS_ALL;
}

static int rule_check(struct cgroup_device_rule *r, unsigned i,
                      struct error *err)
{
    if (!r->type)
        r->type = 'a';
    if (r->type == 'u') /* an unbuffered character device, to mknod(1) */
        r->type = 'c';
    if (!strchr("abc", r->type))
        return error_set(err, EINVAL,
                         DEVICES "[%u].type: \"%c\" is none of a, b, c", i,
                         r->type);
    /* Of the negative ones only -1 is "any". */
    if (r->major < -1 || r->major > INT32_MAX || r->minor < -1 ||
        r->minor > INT32_MAX)
        return error_set(err, EINVAL,
                         DEVICES "[%u]: %lld:%lld is no device number", i,
                         (long long)r->major, (long long)r->minor);
    if (cgroup_device_access(r->access) < 0)
        return error_set(err, EINVAL,
                         DEVICES "[%u].access: \"%.20s\" has others than r, w "
                                 "and m",
                         i, r->access);
    return 0;
}

struct cgroup_device_rule *cgroup_device_rules(const struct cgroup_limits *l,
                                               unsigned *count,
                                               struct error *err)
{
    static const struct cgroup_device_rule none = {false, 'a', -1, -1, NULL};
    unsigned more = l->device_defaults ? ARRAY_SIZE(defaults) : 0, n = 0;
    struct cgroup_device_rule *list =
        calloc(l->devices + more + 1, sizeof(*list));

    if (!list || l->devices > RULES_MAX) {
        error_set(err, list ? E2BIG : ENOMEM,
                  list ? DEVICES ": more than %d rules" : "out of memory",
                  RULES_MAX);
        free(list);
        return NULL;
    }
    for (unsigned i = 0; i < l->devices; i++) {
        struct cgroup_device_rule r = l->device[i];

        if (rule_check(&r, i, err)) {
            free(list);
            return NULL;
        }
        if (!n && !cgroup_device_everything(&r))
            list[n++] = none; /* v1 begins with what the parent may */
        list[n++] = r;
    }
    if (!n)
        list[n++] = none;
    for (unsigned i = 0; i < more; i++)
        list[n++] = defaults[i];
    *count = n;
    return list;
}

/* --- v1 --- */

static void number_text(int64_t n, char buf[24])
{
    if (n < 0)
        snprintf(buf, 24, "*");
    else
        snprintf(buf, 24, "%lld", (long long)n);
}

const char *cgroup_device_line(const struct cgroup_device_rule *r, char *buf,
                               size_t size)
{
    const char *access = r->access && *r->access ? r->access : "rwm";
    char major[24], minor[24];

    number_text(r->major, major);
    number_text(r->minor, minor);
    if (cgroup_device_everything(r))
        snprintf(buf, size, "a");
    else
        snprintf(buf, size, "%c %s:%s %s", r->type, major, minor, access);
    return r->allow ? "devices.allow" : "devices.deny";
}

/* Both files stay open over all rules: there are a dozen at every start. */
struct files {
    struct cgroup *cg;
    int dir, allow, deny;
};

static int line_write(struct files *f, const char *file, const char *text,
                      struct error *err)
{
    int *fd = !strcmp(file, "devices.allow") ? &f->allow : &f->deny;

    if (*fd < 0)
        *fd = openat(f->dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd >= 0 && write(*fd, text, strlen(text)) > 0)
        return 0;
    return cgroup_set(f->cg, CGROUP_DEVICES, DEVICES, file, text, err);
}

/* The kernel takes "a" for all kinds of access to all there is. */
static int rule_write(struct files *f, struct cgroup_device_rule r,
                      struct error *err)
{
    char text[80];
    const char *file;
    int rc;

    if (r.type == 'a' && !cgroup_device_everything(&r)) {
        r.type = 'b';
        rc = rule_write(f, r, err);
        if (rc)
            return rc;
        r.type = 'c';
    }
    file = cgroup_device_line(&r, text, sizeof(text));
    return line_write(f, file, text, err);
}

static int rules_write(struct cgroup *cg, int dir,
                       const struct cgroup_device_rule *rule, unsigned rules,
                       struct error *err)
{
    struct files f = {cg, dir, -1, -1};
    int rc = 0;

    for (unsigned i = 0; i < rules && !rc; i++)
        rc = rule_write(&f, rule[i], err);
    if (f.allow >= 0)
        close(f.allow);
    if (f.deny >= 0)
        close(f.deny);
    return rc;
}

/* --- both --- */

/*
 * In a user namespace nobody can make a device or open one that was not given
 * to them, nor restrict devices: nothing is missed.
 */
static bool rootless(void)
{
    char text[64];
    unsigned in, out, count;

    return cgroup_file_read(-1, "/proc/self/uid_map", text, sizeof(text)) > 0 &&
           (sscanf(text, "%u %u %u", &in, &out, &count) != 3 || out ||
            count != UINT32_MAX || geteuid());
}

static int rules_apply(struct cgroup *cg, const struct cgroup_device_rule *rule,
                       unsigned rules, struct error *err)
{
    struct cgroup_tree *t = cgroup_set_tree(cg, CGROUP_DEVICES, DEVICES, err);
    int rc;

    if (!t)
        return -err->code;
    if (!t->v2)
        return rules_write(cg, t->fd, rule, rules, err);
    rc = cgroup_program_load(t->fd, rule, rules);
    return rc ? error_set(err, -rc,
                          DEVICES ": the kernel refuses the program that "
                                  "decides about devices (%s)",
                          strerror(-rc))
              : 0;
}

int cgroup_devices_apply(struct cgroup *cg, const struct cgroup_limits *l,
                         struct error *err)
{
    struct cgroup_device_rule *rule;
    unsigned rules;
    int rc;

    if (!l->devices && !l->device_defaults)
        return 0;
    if (!l->devices && !cgroup_tree_of(cg, CGROUP_DEVICES)) {
        log_warn("this host cannot restrict devices: it has no cgroup "
                 "controller for them");
        return 0;
    }
    rule = cgroup_device_rules(l, &rules, err);
    if (!rule)
        return -err->code;
    rc = rules_apply(cg, rule, rules, err);
    free(rule);
    if (rc && rootless()) {
        log_debug("%s", err->msg);
        return 0;
    }
    return rc;
}
