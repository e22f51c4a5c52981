/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_bpf.c - rules about devices as a program for cgroup v2.
 *
 * It knows the rules in reverse: of each kind of access that is asked for, the
 * last rule that names it decides, and what no rule names is denied. An access
 * of several kinds needs each of them. Loading takes the kernel 3 us for each
 * instruction, so neighbours share their tests of type and major number, and
 * all share two answers.
 */
#include "fence/cgroup_int.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Programs attached to one cgroup, at most, as the kernel has it. */
#define PROGRAMS_MAX 64

#define ACCESS_ALL CGROUP_ACCESS_ALL

/* --- the program --- */

/* Registers: what is asked for, as far as it is undecided yet. */
enum {
    R_RESULT = 0,
    R_CTX = 1,
    R_TYPE = 2,
    R_ACCESS = 3,
    R_MAJOR = 4,
    R_MINOR
};

/* Where a jump goes that emit_end() will know. */
enum { TO_ALLOW = INT16_MAX, TO_DENY = INT16_MAX - 1 };

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

static void emit_jump(struct code *c, uint8_t op, uint8_t reg, int64_t value,
                      int16_t to)
{
    emit(c, BPF_JMP | op | BPF_K, reg, 0, to, (int32_t)value);
}

/* Skips what follows, up to emit_here(), unless reg is value. */
static unsigned emit_unless(struct code *c, uint8_t reg, int64_t value)
{
    emit_jump(c, BPF_JNE, reg, value, 0);
    return c->len - 1;
}

static void emit_here(struct code *c, unsigned jump)
{
    c->insn[jump].off = (int16_t)(c->len - jump - 1);
}

static void emit_head(struct code *c)
{
    typedef struct bpf_cgroup_dev_ctx ctx;

    emit_load(c, R_TYPE, offsetof(ctx, access_type));
    emit(c, BPF_ALU64 | BPF_MOV | BPF_X, R_ACCESS, R_TYPE, 0, 0);
    emit(c, BPF_ALU64 | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
    emit(c, BPF_ALU64 | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
    emit_load(c, R_MAJOR, offsetof(ctx, major));
    emit_load(c, R_MINOR, offsetof(ctx, minor));
}

/* Some kinds of access: those that are allowed are asked for no more. */
static void emit_some(struct code *c, const struct cgroup_device_rule *r)
{
    int bits = cgroup_device_access(r->access);

    if (!r->allow) {
        emit_jump(c, BPF_JSET, R_ACCESS, bits, TO_DENY);
        return;
    }
    emit(c, BPF_ALU64 | BPF_AND | BPF_K, R_ACCESS, 0, 0, ~bits);
    emit_jump(c, BPF_JEQ, R_ACCESS, 0, TO_ALLOW);
}

static bool is_full(const struct cgroup_device_rule *r)
{
    return cgroup_device_access(r->access) == ACCESS_ALL;
}

/* A rule whose type and major number are known to match. */
static void emit_minor(struct code *c, const struct cgroup_device_rule *r)
{
    unsigned jump;

    if (is_full(r)) {
        int16_t to = r->allow ? TO_ALLOW : TO_DENY;

        if (r->minor < 0)
            emit(c, BPF_JMP | BPF_JA, 0, 0, to, 0);
        else
            emit_jump(c, BPF_JEQ, R_MINOR, r->minor, to);
        return;
    }
    if (r->minor < 0) {
        emit_some(c, r);
        return;
    }
    jump = emit_unless(c, R_MINOR, r->minor);
    emit_some(c, r);
    emit_here(c, jump);
}

/*
 * The last rules of a list, as many as have the same major number, in
 * reverse; how many they were. Behind one that decides in any case there is
 * no code: the kernel refuses what nothing reaches.
 */
static unsigned emit_major(struct code *c,
                           const struct cgroup_device_rule *list,
                           unsigned count, bool *decided)
{
    const struct cgroup_device_rule *last = &list[count - 1];
    unsigned n = 1, jump = 0;
    bool ends = is_full(last) && last->minor < 0;

    while (n < count && list[count - 1 - n].major == last->major)
        n++;
    if (last->major >= 0 && ends) {
        emit_jump(c, BPF_JEQ, R_MAJOR, last->major,
                  last->allow ? TO_ALLOW : TO_DENY);
        return n;
    }
    if (last->major >= 0)
        jump = emit_unless(c, R_MAJOR, last->major);
    for (unsigned i = 0; i < n; i++) {
        const struct cgroup_device_rule *r = &list[count - 1 - i];

        emit_minor(c, r);
        ends = is_full(r) && r->minor < 0;
        if (ends)
            break;
    }
    if (last->major >= 0)
        emit_here(c, jump);
    else
        *decided = ends;
    return n;
}

/* The same for those that have the same type, but no rule for everything. */
static unsigned emit_type(struct code *c, const struct cgroup_device_rule *list,
                          unsigned count)
{
    const struct cgroup_device_rule *last = &list[count - 1];
    unsigned n = 1, jump = 0;
    bool decided = false;

    while (n < count && list[count - 1 - n].type == last->type &&
           !cgroup_device_everything(&list[count - 1 - n]))
        n++;
    if (last->type != 'a')
        jump = emit_unless(c, R_TYPE,
                           last->type == 'b' ? BPF_DEVCG_DEV_BLOCK
                                             : BPF_DEVCG_DEV_CHAR);
    for (unsigned done = 0; done < n && !decided;)
        done += emit_major(c, list + count - n, n - done, &decided);
    if (last->type != 'a')
        emit_here(c, jump);
    return n;
}

/* The answer, and where those go that wait for it; nothing if unreached. */
static void emit_answer(struct code *c, bool allow, bool falls)
{
    int16_t waits = allow ? TO_ALLOW : TO_DENY;

    for (unsigned i = 0; i < c->len; i++)
        if (BPF_CLASS(c->insn[i].code) == BPF_JMP && c->insn[i].off == waits) {
            c->insn[i].off = (int16_t)(c->len - i - 1);
            falls = true;
        }
    if (falls) {
        emit(c, BPF_ALU64 | BPF_MOV | BPF_K, R_RESULT, 0, 0, allow);
        emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
}

unsigned cgroup_device_program(const struct cgroup_device_rule *rule,
                               unsigned rules, struct bpf_insn *insn)
{
    struct code c = {insn, 0};
    bool allow;

    emit_head(&c);
    while (rules && !cgroup_device_everything(&rule[rules - 1]))
        rules -= emit_type(&c, rule, rules);
    allow = rules && rule[rules - 1].allow;
    emit_answer(&c, allow, true);
    emit_answer(&c, !allow, false);
    return c.len;
}

/* --- loading it --- */

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

int cgroup_program_load(int dir, const struct cgroup_device_rule *rule,
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
