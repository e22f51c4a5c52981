/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_device.c - which devices a container may make, read and write: lines
 * for v1's device controller, or a program that answers for v2.
 *
 * The program knows the rules in reverse: of each kind of access that is
 * asked for, the last rule that names it decides, and what no rule names is
 * denied. An access of several kinds needs each of them.
 */
#include "fence/cgroup_int.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define DEVICES "linux.resources.devices"

#define ACCESS_ALL                                                             \
    (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

/* Programs attached to one cgroup, at most, as the kernel has it. */
#define PROGRAMS_MAX 64

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

/* -1: there is a letter that it does not know. */
static int access_bits(const char *access)
{
    static const char letters[] = "mrw"; /* in the order of the bits */
    int bits = 0;

    if (!access || !*access)
        return ACCESS_ALL;
    for (; *access; access++) {
        const char *at = strchr(letters, *access);

        if (!at)
            return -1;
        bits |= 1 << (at - letters);
    }
    return bits;
}

static bool is_everything(const struct cgroup_device_rule *r)
{
    return r->type == 'a' && r->major < 0 && r->minor < 0 &&
           access_bits(r->access) == ACCESS_ALL;
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
    if (r->major > INT32_MAX || r->minor > INT32_MAX)
        return error_set(err, EINVAL,
                         DEVICES "[%u]: %lld:%lld is no device number", i,
                         (long long)r->major, (long long)r->minor);
    if (access_bits(r->access) < 0)
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

    if (!list) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    for (unsigned i = 0; i < l->devices; i++) {
        struct cgroup_device_rule r = l->device[i];

        if (rule_check(&r, i, err)) {
            free(list);
            return NULL;
        }
        if (!n && !is_everything(&r))
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
    if (is_everything(r))
        snprintf(buf, size, "a");
    else
        snprintf(buf, size, "%c %s:%s %s", r->type, major, minor, access);
    return r->allow ? "devices.allow" : "devices.deny";
}

/* The kernel takes "a" for all kinds of access to all there is. */
static int rule_write(struct cgroup *cg, struct cgroup_device_rule r,
                      struct error *err)
{
    char text[80];
    const char *file;
    int rc;

    if (r.type == 'a' && !is_everything(&r)) {
        r.type = 'b';
        rc = rule_write(cg, r, err);
        if (rc)
            return rc;
        r.type = 'c';
    }
    file = cgroup_device_line(&r, text, sizeof(text));
    return cgroup_set(cg, CGROUP_DEVICES, DEVICES, file, text, err);
}

/* --- v2: the program --- */

/* Registers: what is asked for, as far as it is undecided yet. */
enum {
    R_RESULT = 0,
    R_CTX = 1,
    R_TYPE = 2,
    R_ACCESS = 3,
    R_MAJOR = 4,
    R_MINOR
};

struct code {
    struct bpf_insn *insn;
    unsigned len;
};

static void emit(struct code *c, uint8_t op, uint8_t dst, uint8_t src,
                 int16_t off, int32_t imm)
{
    struct bpf_insn *i = &c->insn[c->len++];

    i->code = op;
    i->dst_reg = dst;
    i->src_reg = src;
    i->off = off;
    i->imm = imm;
}

static void emit_load(struct code *c, uint8_t reg, size_t offset)
{
    emit(c, BPF_LDX | BPF_MEM | BPF_W, reg, R_CTX, (int16_t)offset, 0);
}

static void emit_answer(struct code *c, bool allow)
{
    emit(c, BPF_ALU64 | BPF_MOV | BPF_K, R_RESULT, 0, 0, allow);
    emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Its jump goes where the rule ends: filled in by emit_rule(). */
static void emit_unless(struct code *c, uint8_t reg, int64_t value)
{
    emit(c, BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, (int32_t)value);
}

static void emit_decision(struct code *c, bool allow, int bits)
{
    if (bits == ACCESS_ALL) {
        emit_answer(c, allow);
    } else if (allow) {
        emit(c, BPF_ALU64 | BPF_AND | BPF_K, R_ACCESS, 0, 0, ~bits);
        emit_unless(c, R_ACCESS, 0);
        emit_answer(c, true);
    } else {
        emit(c, BPF_JMP | BPF_JSET | BPF_K, R_ACCESS, 0, 1, bits);
        emit(c, BPF_JMP | BPF_JA, 0, 0, 0, 0);
        emit_answer(c, false);
    }
}

static void emit_rule(struct code *c, const struct cgroup_device_rule *r)
{
    unsigned first = c->len;

    if (r->type != 'a')
        emit_unless(c, R_TYPE,
                    r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (r->major >= 0)
        emit_unless(c, R_MAJOR, r->major);
    if (r->minor >= 0)
        emit_unless(c, R_MINOR, r->minor);
    emit_decision(c, r->allow, access_bits(r->access));
    for (unsigned i = first; i < c->len; i++)
        if (BPF_CLASS(c->insn[i].code) == BPF_JMP && !c->insn[i].off &&
            BPF_OP(c->insn[i].code) != BPF_EXIT)
            c->insn[i].off = (int16_t)(c->len - i - 1);
}

unsigned cgroup_device_program(const struct cgroup_device_rule *rule,
                               unsigned rules, struct bpf_insn *insn)
{
    struct code c = {insn, 0};
    typedef struct bpf_cgroup_dev_ctx ctx;

    emit_load(&c, R_TYPE, offsetof(ctx, access_type));
    emit(&c, BPF_ALU64 | BPF_MOV | BPF_X, R_ACCESS, R_TYPE, 0, 0);
    emit(&c, BPF_ALU64 | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
    emit(&c, BPF_ALU64 | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
    emit_load(&c, R_MAJOR, offsetof(ctx, major));
    emit_load(&c, R_MINOR, offsetof(ctx, minor));
    while (rules--) {
        emit_rule(&c, &rule[rules]);
        if (is_everything(&rule[rules]))
            return c.len; /* the kernel refuses code that nothing reaches */
    }
    emit_answer(&c, false);
    return c.len;
}

/* --- v2: loading it --- */

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    int rc = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

    return rc < 0 ? -errno : rc;
}

static int program_load(const struct bpf_insn *insn, unsigned len)
{
    union bpf_attr a = {0};
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    int fd;

    a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    a.insns = (uintptr_t)insn;
    a.insn_cnt = len;
    a.license = (uintptr_t) "Apache-2.0";
    memcpy(a.prog_name, "ringfence", sizeof("ringfence"));
    fd = bpf(BPF_PROG_LOAD, &a);
    /* Kernels before 5.11 count programs as locked memory. */
    if (fd == -EPERM && !setrlimit(RLIMIT_MEMLOCK, &all))
        fd = bpf(BPF_PROG_LOAD, &a);
    return fd;
}

static int program_by_id(uint32_t id)
{
    union bpf_attr a = {0};

    a.prog_id = id;
    return bpf(BPF_PROG_GET_FD_BY_ID, &a);
}

/* Programs that are there already: ours of before an update, or systemd's. */
static unsigned programs_query(int dir, uint32_t id[PROGRAMS_MAX])
{
    union bpf_attr a = {0};

    a.query.target_fd = (uint32_t)dir;
    a.query.attach_type = BPF_CGROUP_DEVICE;
    a.query.prog_ids = (uintptr_t)id;
    a.query.prog_cnt = PROGRAMS_MAX;
    return bpf(BPF_PROG_QUERY, &a) ? 0 : a.query.prog_cnt;
}

static void program_detach(int dir, uint32_t id)
{
    union bpf_attr a = {0};
    int fd = program_by_id(id);

    if (fd < 0)
        return;
    a.target_fd = (uint32_t)dir;
    a.attach_bpf_fd = (uint32_t)fd;
    a.attach_type = BPF_CGROUP_DEVICE;
    bpf(BPF_PROG_DETACH, &a);
    close(fd);
}

/* All programs of a cgroup must agree: the new one first, so that there is
 * no moment without any; then the old ones go. */
static int program_attach(int dir, int program)
{
    uint32_t old[PROGRAMS_MAX];
    unsigned count = programs_query(dir, old);
    union bpf_attr a = {0};
    int rc;

    a.target_fd = (uint32_t)dir;
    a.attach_bpf_fd = (uint32_t)program;
    a.attach_type = BPF_CGROUP_DEVICE;
    a.attach_flags = BPF_F_ALLOW_MULTI;
    rc = bpf(BPF_PROG_ATTACH, &a);
    for (unsigned i = 0; i < count && !rc; i++)
        program_detach(dir, old[i]);
    return rc;
}

static int rules_load(int dir, const struct cgroup_device_rule *rule,
                      unsigned rules)
{
    struct bpf_insn *insn = calloc(CGROUP_DEVICE_INSNS(rules), sizeof(*insn));
    int fd, rc;

    if (!insn)
        return -ENOMEM;
    fd = program_load(insn, cgroup_device_program(rule, rules, insn));
    rc = fd < 0 ? fd : program_attach(dir, fd);
    if (fd >= 0)
        close(fd);
    free(insn);
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
    int rc = t ? 0 : -err->code;

    if (t && t->v2) {
        rc = rules_load(t->fd, rule, rules);
        return rc ? error_set(err, -rc,
                              DEVICES ": the kernel refuses the program that "
                                      "decides about devices (%s)",
                              strerror(-rc))
                  : 0;
    }
    for (unsigned i = 0; i < rules && !rc; i++)
        rc = rule_write(cg, rule[i], err);
    return rc;
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
