/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_config.c - config.json of any content, by the whole road that has no
 * effects: the text, the tables, the checks, then what is made of them: mount
 * options, capabilities, limits, device programs, the seccomp filter. The same
 * bytes are read as a process.json (exec) and a resources.json (update), too.
 *
 * Refused: with one printable line that begins with a place in the file, or
 * with the file's name if it is no JSON. Taken: everything that the tables
 * describe is where they say, and what spec_check() promises holds. Either way
 * the same bytes give the same again, in bounded memory.
 */
#include <linux/bpf.h>
#include <linux/filter.h>

#include "base/hash.h"
#include "base/log.h"
#include "fence/cgroup_int.h"
#include "fence/mount.h"
#include "json_mix.h"
#include "oci/create_int.h"
#include "oci/json_value.h"
#include "oci/process_int.h"
#include "oci/spec_int.h"

#define FILE_NAME "config.json"

/* --- everything is where the tables say, as the text has it --- */

static uint64_t walk(uint64_t h, const struct json_shape *shape,
                     const void *item, const struct json_value *v);

static uint64_t walk_text(uint64_t h, const char *text,
                          const struct json_value *v)
{
    FUZZ_CHECK(v->type == JSON_TYPE_STRING && !v->has_nul);
    FUZZ_CHECK(!strcmp(text, v->text));
    return hash64(h, text, strlen(text) + 1);
}

/* The text again, out of what it was understood as. */
static uint64_t walk_number(uint64_t h, const struct json_field *f,
                            const void *at, const struct json_value *v)
{
    unsigned size = f->kind == JSON_NUMBERS ? 4 : f->size;
    char text[24];
    uint64_t n = 0;

    memcpy(&n, at, size);
    if (f->is_signed)
        snprintf(text, sizeof(text), "%lld", (long long)sign_extend(n, size));
    else
        snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    FUZZ_CHECK(v->type == JSON_TYPE_NUMBER);
    FUZZ_CHECK(!strcmp(text, v->text) || !strcmp(v->text, "-0"));
    return hash64(h, &n, sizeof(n));
}

static uint64_t walk_strings(uint64_t h, const struct json_strings *s,
                             const struct json_value *v)
{
    FUZZ_CHECK(s->item && s->count == v->count && !s->item[s->count]);
    v = v->first;
    for (unsigned i = 0; i < s->count; i++, v = v->next)
        h = walk_text(h, s->item[i], v);
    return h;
}

static uint64_t walk_item(uint64_t h, const struct json_field *f,
                          const char *item, const struct json_value *v)
{
    const struct json_pair *pair = (const void *)item;
    const char *key;

    switch (f->kind) {
    case JSON_NUMBERS:
        return walk_number(h, f, item, v);
    case JSON_ENUMS:
        return hash64(h, item, 4);
    case JSON_MAP:
        FUZZ_CHECK(!strcmp(pair->key, v->key));
        return walk_text(h, pair->value, v);
    case JSON_DICT:
        memcpy(&key, item + f->shape->key_at, sizeof(key));
        FUZZ_CHECK(!strcmp(key, v->key));
        return walk(h, f->shape, item, v);
    default:
        return walk(h, f->shape, item, v);
    }
}

static uint64_t walk_list(uint64_t h, const struct json_field *f,
                          const struct json_array *list,
                          const struct json_value *v)
{
    size_t size = f->kind == JSON_MAP ? 16
                  : f->kind == JSON_NUMBERS || f->kind == JSON_ENUMS
                      ? 4
                      : f->shape->size;
    const char *item = list->items;

    FUZZ_CHECK(item && list->count == v->count);
    for (v = v->first; v; v = v->next, item += size)
        h = walk_item(h, f, item, v);
    return h;
}

static uint64_t walk_field(uint64_t h, const struct json_field *f,
                           const void *at, const struct json_value *v)
{
    const void *p;

    switch (f->kind) {
    case JSON_STRING:
    case JSON_OBJECT:
        memcpy(&p, at, sizeof(p));
        FUZZ_CHECK(p);
        return f->shape ? walk(h, f->shape, p, v) : walk_text(h, p, v);
    case JSON_BOOL:
        FUZZ_CHECK(v->type == JSON_TYPE_BOOL && *(const bool *)at == v->yes);
        return hash64(h, at, 1);
    case JSON_NUMBER:
        return walk_number(h, f, at, v);
    case JSON_ENUM:
    case JSON_FLAGS:
        return hash64(h, at, f->size ? f->size : 4);
    case JSON_STRINGS:
        return walk_strings(h, at, v);
    case JSON_INLINE:
        return walk(h, f->shape, at, v);
    default:
        return walk_list(h, f, at, v);
    }
}

/* A hash of all of it; v is where it was read from. */
static uint64_t walk(uint64_t h, const struct json_shape *shape,
                     const void *item, const struct json_value *v)
{
    FUZZ_CHECK(v->type == JSON_TYPE_OBJECT);
    for (const struct json_field *f = shape->fields; f->name; f++) {
        const struct json_value *w = json_get(v, f->name);
        const char *at = (const char *)item + f->at;
        bool there = w && w->type != JSON_TYPE_NULL;
        const void *p;

        if (f->has)
            FUZZ_CHECK(there ==
                       !!(*(const unsigned *)((const char *)item + f->has_at) &
                          f->has));
        if (there)
            h = walk_field(h, f, at, w);
        else
            FUZZ_CHECK(!f->required);
        if (!there && (f->kind == JSON_STRING || f->kind == JSON_OBJECT)) {
            memcpy(&p, at, sizeof(p));
            FUZZ_CHECK(!p);
        }
    }
    return h;
}

static uint64_t walk_all(struct arena *a, const char *text, size_t len,
                         const struct json_shape *shape, const void *item)
{
    struct error err = {0};
    const struct json_value *v = json_parse(a, text, len, "", &err);

    FUZZ_CHECK(v);
    return walk(1, shape, item, v);
}

/* --- refused --- */

/* Is `msg` about one of these fields, as "name: ", "name." or "name["? */
static bool begins_with_field(const char *msg, const struct json_shape *shape)
{
    for (const struct json_field *f = shape->fields; f->name; f++) {
        size_t n = strlen(f->name);

        if (!strncmp(msg, f->name, n) && msg[n] && strchr(":.[", msg[n]))
            return true;
    }
    return false;
}

static void check_refusal(const struct error *err, int e,
                          const struct json_shape *shape)
{
    const char *m = err->msg;

    FUZZ_CHECK(e < 0 && e == -err->code);
    FUZZ_CHECK(json_mix_good_line(err));
    FUZZ_CHECK(!strncmp(m, FILE_NAME ": ", strlen(FILE_NAME) + 2) ||
               !strncmp(m, "must be an object, is ", 22) ||
               begins_with_field(m, shape));
}

/* --- taken: a process --- */

static void check_process(const struct spec_process *p)
{
    const struct spec_rlimit *r = p->rlimits.items;
    unsigned long cpus[1024 / 64];
    struct caps_sets caps;

    FUZZ_CHECK(p->cwd[0] == '/');
    FUZZ_CHECK(!p->args.item || p->args.item[0][0]);
    for (unsigned i = 0; i < p->env.count; i++)
        FUZZ_CHECK(strchr(p->env.item[i], '=') > p->env.item[i]);
    for (unsigned i = 0; i < p->rlimits.count; i++)
        FUZZ_CHECK(r[i].type < 16 && r[i].soft <= r[i].hard);
    FUZZ_CHECK(p->rlimits.count <= 16);
    FUZZ_CHECK(!(p->has & SPEC_OOM_SCORE_ADJ) ||
               (p->oom_score_adj >= -1000 && p->oom_score_adj <= 1000));
    FUZZ_CHECK(!(p->user.has & SPEC_UMASK) || p->user.umask <= 0777);
    spec_caps(p, &caps);
    FUZZ_CHECK(!((caps.bounding | caps.effective | caps.inheritable |
                  caps.permitted | caps.ambient) &
                 ~caps_of_kernel()));
    if (p->exec_cpu_affinity && p->exec_cpu_affinity->initial)
        (void)process_parse_list(p->exec_cpu_affinity->initial, cpus, 1024);
}

/* --- taken: limits --- */

/* As the kernel's verifier wants them: forward, and ending. */
static void check_devices(const struct cgroup_limits *l)
{
    struct cgroup_device_rule *rule;
    struct bpf_insn *insn;
    struct error err = {0};
    unsigned n, len;
    char line[80];

    rule = cgroup_device_rules(l, &n, &err);
    FUZZ_CHECK(rule && n <= l->devices + 20);
    insn = calloc(CGROUP_DEVICE_INSNS(n), sizeof(*insn));
    FUZZ_CHECK(insn != NULL);
    len = cgroup_device_program(rule, n, insn);
    FUZZ_CHECK(len && len <= CGROUP_DEVICE_INSNS(n));
    FUZZ_CHECK(insn[len - 1].code == (BPF_JMP | BPF_EXIT));
    for (unsigned i = 0; i < len; i++)
        if (BPF_CLASS(insn[i].code) == BPF_JMP &&
            insn[i].code != (BPF_JMP | BPF_EXIT))
            FUZZ_CHECK(insn[i].off >= 0 && i + 1u + insn[i].off < len);
    for (unsigned i = 0; i < n; i++) {
        FUZZ_CHECK(!strncmp(cgroup_device_line(&rule[i], line, sizeof(line)),
                            "devices.", 8));
        FUZZ_CHECK(!strchr(line, '\n') && strlen(line) < 60);
    }
    free(insn);
    free(rule);
}

static void check_limits(const struct cgroup_limits *given)
{
    struct cgroup_limits l = *given;
    const char *why = NULL;
    uint64_t weight;
    int64_t swap;

    weight = cgroup_weight_of_shares(l.cpu.shares);
    FUZZ_CHECK(weight >= 1 && weight <= 10000);
    weight = cgroup_io_weight(l.io.weight);
    FUZZ_CHECK(weight >= 1 && weight <= 10000);
    if (cgroup_swap_alone(&l.memory, &swap, &why))
        FUZZ_CHECK(swap >= -1);
    else
        FUZZ_CHECK(why && *why);
    for (unsigned i = 0; i < l.hugepages; i++)
        FUZZ_CHECK(strlen(l.hugepage[i].page_size) < 12);
    for (unsigned i = 0; i < l.unifieds; i++)
        FUZZ_CHECK(!strchr(l.unified[i].file, '/'));
    for (unsigned i = 0; i < 2; i++) {
        l.device_defaults = i;
        check_devices(&l);
    }
}

/* --- taken: the rest --- */

static void check_idmaps(const struct json_array *maps)
{
    const struct spec_idmap *m = maps->items;

    FUZZ_CHECK(maps->count <= 340);
    for (unsigned i = 0; i < maps->count; i++)
        FUZZ_CHECK(m[i].size && m[i].container_id + m[i].size >= m[i].size &&
                   m[i].host_id + m[i].size >= m[i].size);
}

static void check_mounts(const struct spec *s, struct arena *a)
{
    const struct spec_mount *m = s->mounts.items;
    struct mount_options o;
    struct error err = {0};

    for (unsigned i = 0; i < s->mounts.count; i++) {
        FUZZ_CHECK(m[i].destination[0]);
        check_idmaps(&m[i].uid_mappings);
        check_idmaps(&m[i].gid_mappings);
        if (mount_parse(a, m[i].options.item, m[i].options.count, &o, &err))
            FUZZ_CHECK(json_mix_good_line(&err));
        else
            FUZZ_CHECK(!o.data || strlen(o.data) < JSON_TEXT_MAX);
    }
}

static void check_hooks(const struct spec *s)
{
    for (unsigned k = 0; k < HOOK_KINDS; k++) {
        const struct spec_hook *h = s->hooks.kind[k].items;

        for (unsigned i = 0; i < s->hooks.kind[k].count; i++)
            FUZZ_CHECK(h[i].path[0] == '/' &&
                       (!(h[i].has & SPEC_TIMEOUT) || h[i].timeout > 0));
    }
}

static void check_linux(const struct spec_linux *l)
{
    const struct spec_namespace *n = l->namespaces.items;
    const struct spec_device *d = l->devices.items;
    unsigned seen = 0;

    FUZZ_CHECK(l->namespaces.count <= 8);
    for (unsigned i = 0; i < l->namespaces.count; i++) {
        FUZZ_CHECK(n[i].type && !(seen & n[i].type) &&
                   spec_namespace_name(n[i].type));
        seen |= n[i].type;
        FUZZ_CHECK(!n[i].path || !n[i].path[0] || n[i].path[0] == '/');
    }
    for (unsigned i = 0; i < l->devices.count; i++) {
        FUZZ_CHECK(d[i].path[0] == '/' && strlen(d[i].type) == 1);
        FUZZ_CHECK(d[i].type[0] == 'p' ||
                   (d[i].major >= 0 && d[i].major <= 0xfff && d[i].minor >= 0 &&
                    d[i].minor <= 0xfffff));
    }
    for (unsigned i = 0; i < l->masked_paths.count; i++)
        FUZZ_CHECK(l->masked_paths.item[i][0] == '/');
    for (unsigned i = 0; i < l->readonly_paths.count; i++)
        FUZZ_CHECK(l->readonly_paths.item[i][0] == '/');
    check_idmaps(&l->uid_mappings);
    check_idmaps(&l->gid_mappings);
}

/* As the kernel checks it: all jumps lead somewhere, all ways end. */
static void check_filter(const struct spec *s, struct arena *a)
{
    const struct seccomp_program *p = NULL;
    struct error err = {0};

    if (filter_compile(a, s, &p, &err)) {
        FUZZ_CHECK(json_mix_good_line(&err));
        FUZZ_CHECK(!strncmp(err.msg, "linux.seccomp", 13));
        return;
    }
    FUZZ_CHECK(!p == !s->linux_.seccomp);
    if (!p)
        return;
    FUZZ_CHECK(p->len && p->len <= BPF_MAXINSNS);
    FUZZ_CHECK(p->insn[p->len - 1].code == (BPF_RET | BPF_K));
    for (unsigned i = 0; i < p->len; i++) {
        const struct sock_filter *f = &p->insn[i];
        unsigned far = f->code == (BPF_JMP | BPF_JA)   ? f->k
                       : BPF_CLASS(f->code) == BPF_JMP ? MAX(f->jt, f->jf)
                                                       : 0;

        FUZZ_CHECK(far < p->len && i + far < p->len);
    }
}

static void check_spec(const struct spec *s, struct arena *a)
{
    FUZZ_CHECK(s->version[0] == '1' && s->root.path[0]);
    if (s->process)
        check_process(s->process);
    if (s->linux_.resources)
        check_limits(s->linux_.resources);
    check_mounts(s, a);
    check_hooks(s);
    check_linux(&s->linux_);
    check_filter(s, a);
}

/* --- the three roads --- */

struct answer {
    int e;
    uint64_t hash;
    struct error err;
};

static struct answer as_config(const char *text, size_t len)
{
    struct answer r = {.err = {0}};
    struct arena a = {0};
    struct spec spec;

    r.e = spec_parse(&a, text, len, FILE_NAME, &spec, &r.err);
    FUZZ_CHECK(arena_size(&a) <= 2 * JSON_ARENA_MAX(len));
    if (r.e) {
        check_refusal(&r.err, r.e, &spec_shape);
    } else {
        r.hash = walk_all(&a, text, len, &spec_shape, &spec);
        check_spec(&spec, &a);
    }
    arena_free(&a);
    return r;
}

static void as_process(const char *text, size_t len)
{
    struct spec_process p = {0};
    struct error err = {0};
    struct arena a = {0};
    int e =
        json_read_text(&a, text, len, FILE_NAME, &spec_process_shape, &p, &err);

    if (e) {
        check_refusal(&err, e, &spec_process_shape);
    } else if (spec_check_process(&p, &err)) {
        FUZZ_CHECK(json_mix_good_line(&err) &&
                   !strncmp(err.msg, "process.", 8));
    } else {
        walk_all(&a, text, len, &spec_process_shape, &p);
        check_process(&p);
    }
    arena_free(&a);
}

static void as_resources(const char *text, size_t len)
{
    struct cgroup_limits l = {0};
    struct error err = {0};
    struct arena a = {0};
    int e = json_read_text(&a, text, len, FILE_NAME, &spec_resources_shape, &l,
                           &err);

    if (e) {
        check_refusal(&err, e, &spec_resources_shape);
    } else if (cgroup_limits_check(&l, &err)) {
        FUZZ_CHECK(json_mix_good_line(&err) &&
                   !strncmp(err.msg, "linux.resources.", 16));
    } else {
        walk_all(&a, text, len, &spec_resources_shape, &l);
        check_limits(&l);
    }
    arena_free(&a);
}

static void one(struct fuzz *f)
{
    char *text = malloc(MAX(f->len, (size_t)1)); /* nothing behind its end */
    struct answer first, again;

    FUZZ_CHECK(text != NULL);
    memcpy(text, f->data, f->len);
    first = as_config(text, f->len);
    again = as_config(text, f->len);
    FUZZ_CHECK(first.e == again.e && first.hash == again.hash &&
               !strcmp(first.err.msg, again.err.msg));
    as_process(text, f->len);
    as_resources(text, f->len);
    free(text);
}

static size_t sample(uint64_t seed, uint8_t *buf, size_t room)
{
    return json_mix_sample(seed, &spec_shape, buf, room);
}

static const struct fuzz_target target = {
    .name = "oci_config",
    .corpus = "oci_config",
    .max_len = 200,
    .runs = 4000,
    .one = one,
    .sample = sample,
    .mixed = true,
};

int main(int argc, char **argv)
{
    log_set_level(LOG_ERROR);
    return fuzz_main(argc, argv, &target);
}
