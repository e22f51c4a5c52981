/* SPDX-License-Identifier: Apache-2.0 */
#include "json_mix.h"

#include "base/utf8.h"
#include "oci/json_value.h"

#define NAMES_MAX  400
#define COPIES_MAX 50000
#define VALUES_MAX 20000 /* of a text that is mixed */

struct mixer {
    struct arena arena;
    uint64_t state;
    struct json_value *all[VALUES_MAX], *theirs[VALUES_MAX];
    unsigned count, their_count;
    const char *name[NAMES_MAX];
    unsigned names, copied;
};

static unsigned below(struct mixer *m, unsigned n)
{
    return (unsigned)(fuzz_next(&m->state) % n);
}

/* --- what there is --- */

static unsigned list_values(struct json_value *v, struct json_value **list,
                            unsigned n)
{
    if (n < VALUES_MAX)
        list[n++] = v;
    for (v = v->first; v; v = v->next)
        n = list_values(v, list, n);
    return n;
}

static void list_names(struct mixer *m, const struct json_shape *shape)
{
    const struct json_field *f;

    for (f = shape->fields; f->name && m->names < NAMES_MAX; f++) {
        m->name[m->names++] = f->name;
        if (f->shape)
            list_names(m, f->shape);
    }
}

/* --- changes --- */

/* As they stand there: written out without looking at them. */
static const char *const numbers[] = {"0",
                                      "1",
                                      "-1",
                                      "-0",
                                      "2",
                                      "255",
                                      "256",
                                      "65535",
                                      "65536",
                                      "2147483647",
                                      "2147483648",
                                      "-2147483648",
                                      "-2147483649",
                                      "4294967295",
                                      "4294967296",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "-9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "1e3",
                                      "1E+3",
                                      "1.5",
                                      "0.0",
                                      "-0.0",
                                      "1e999",
                                      "4095",
                                      "4096",
                                      "262144",
                                      "262145",
                                      "1000",
                                      "1001",
                                      "-2",
                                      "-5",
                                      "512"};
static const char *const raws[] = {"null",
                                   "true",
                                   "false",
                                   "{}",
                                   "[]",
                                   "\"\"",
                                   "[null]",
                                   "[[]]",
                                   "[{}]",
                                   "{\"\": null}",
                                   "\"\\u0000\"",
                                   "\"a\\u0000b\"",
                                   "\"\\ud800\"",
                                   "\"\\udc00\\ud800\"",
                                   "\"\\ud83d\\ude00\"",
                                   "\"\xff\"",
                                   "\"\xed\xa0\x80\"",
                                   "\"\n\"",
                                   "\"\\n\\u001b[2J\\u009b\"",
                                   "\"\\x\"",
                                   "tru",
                                   "+1",
                                   "01",
                                   ".5",
                                   "NaN",
                                   "\"",
                                   "[",
                                   "{",
                                   "}",
                                   "]",
                                   ",",
                                   ":",
                                   "\"\xc3\xa4\"",
                                   "\"\\u12\""};
static const char *const strings[] = {"",
                                      "/",
                                      "..",
                                      ".",
                                      "/..",
                                      "/../..",
                                      "//",
                                      "/proc/1/root",
                                      "a",
                                      "x=y",
                                      "=",
                                      "/dev/null",
                                      "\"",
                                      "a\nb",
                                      "%s%n",
                                      "c",
                                      "b",
                                      "u",
                                      "p",
                                      "a",
                                      "rwm",
                                      "host",
                                      "private",
                                      "rslave",
                                      "SCMP_ACT_NOTIFY",
                                      "SCMP_ACT_ALLOW",
                                      "SCMP_CMP_MASKED_EQ",
                                      "SCMP_ARCH_X86",
                                      "CLONE_NEWUSER",
                                      "user",
                                      "time",
                                      "2MB",
                                      "memory.high",
                                      "cgroup.procs",
                                      "bind",
                                      "rbind",
                                      "idmap",
                                      "remount",
                                      "kernel.shmmax",
                                      "net.ipv4.ip_forward",
                                      "fs.mqueue.x",
                                      "monotonic",
                                      "socket",
                                      "clone",
                                      "CAP_SYS_ADMIN",
                                      "all",
                                      "0-3,7",
                                      "1.0.0",
                                      "2.0"};

static void set_raw(struct json_value *v, const char *text)
{
    v->type = JSON_TYPE_NUMBER; /* is written as it is */
    v->text = text;
    v->first = NULL;
}

static void set_string(struct mixer *m, struct json_value *v)
{
    char *text;
    unsigned n;

    v->type = JSON_TYPE_STRING;
    v->first = NULL;
    v->has_nul = false;
    if (below(m, 8)) {
        v->text = strings[below(m, ARRAY_SIZE(strings))];
        return;
    }
    n = below(m, 4) ? below(m, 400) : below(m, 9000);
    v->text = text = arena_alloc(&m->arena, n + 1);
    memset(text, below(m, 2) ? 'A' : '/', n);
}

static struct json_value *copy(struct mixer *m, const struct json_value *v)
{
    static const struct json_value none;
    struct json_value *c = arena_alloc(&m->arena, sizeof(*c)), **link;

    *c = *v;
    c->next = NULL;
    if (m->copied++ > COPIES_MAX)
        v = &none;
    link = &c->first;
    for (v = v->first; v; v = v->next) {
        *link = copy(m, v);
        link = &(*link)->next;
    }
    *link = NULL;
    return c;
}

/* In the place of v; its name stays, where it has one. */
static void put(struct mixer *m, struct json_value *v,
                const struct json_value *from)
{
    struct json_value *next = v->next, *c = copy(m, from);
    const char *key = v->key;

    *v = *c;
    v->next = next;
    v->key = key;
}

static void wrap(struct mixer *m, struct json_value *v)
{
    unsigned n = below(m, 4) ? 1 + below(m, 3) : below(m, 60);

    while (n--) {
        struct json_value *inner = copy(m, v);

        inner->key = below(m, 2) ? "k" : NULL;
        v->type = inner->key ? JSON_TYPE_OBJECT : JSON_TYPE_ARRAY;
        v->first = inner;
    }
}

static void repeat(struct mixer *m, struct json_value *v)
{
    unsigned most = below(m, 16) ? 400 : 6000;
    unsigned n = below(m, 4) ? 1 + below(m, 3) : below(m, most);

    while (n--) {
        struct json_value *c = copy(m, v);

        c->key = v->key;
        c->next = v->next;
        v->next = c;
        v = c;
    }
}

static void rename_member(struct mixer *m, struct json_value *v)
{
    char *text;
    unsigned n;

    if (!v->key)
        return;
    if (m->names && below(m, 4)) {
        v->key = m->name[below(m, m->names)];
    } else if (below(m, 3)) {
        v->key = strings[below(m, ARRAY_SIZE(strings))];
    } else {
        n = below(m, 5000);
        v->key = text = arena_alloc(&m->arena, n + 1);
        memset(text, 'k', n);
    }
}

static void add_member(struct mixer *m, struct json_value *v)
{
    struct json_value *c;

    if (v->type != JSON_TYPE_OBJECT && v->type != JSON_TYPE_ARRAY)
        return;
    c = copy(m, m->theirs[below(m, m->their_count)]);
    c->next = v->first;
    c->key = NULL;
    if (v->type == JSON_TYPE_OBJECT)
        c->key = m->names ? m->name[below(m, m->names)] : "k";
    v->first = c;
}

static void change(struct mixer *m, struct json_value *v)
{
    switch (below(m, 12)) {
    case 0:
    case 1:
        set_raw(v, numbers[below(m, ARRAY_SIZE(numbers))]);
        break;
    case 2:
        set_raw(v, raws[below(m, below(m, 4) ? 16 : ARRAY_SIZE(raws))]);
        break;
    case 3:
    case 4:
        set_string(m, v);
        break;
    case 5: /* the next one is gone */
        v->next = v->next ? v->next->next : NULL;
        break;
    case 6:
        wrap(m, v);
        break;
    case 7:
        repeat(m, v);
        break;
    case 8:
        rename_member(m, v);
        break;
    case 9:
        add_member(m, v);
        break;
    default:
        put(m, v, m->theirs[below(m, m->their_count)]);
    }
}

/* What is of the same type: its meaning changes, not its form. */
static void change_mildly(struct mixer *m, struct json_value *v)
{
    if (v->type == JSON_TYPE_NUMBER)
        set_raw(v, numbers[below(m, ARRAY_SIZE(numbers))]);
    else if (v->type == JSON_TYPE_STRING)
        set_string(m, v);
    else if (v->type == JSON_TYPE_BOOL)
        v->yes = !v->yes;
    else
        repeat(m, v);
}

/* --- writing --- */

struct out {
    char *at, *end;
};

static void put_text(struct out *o, const char *text)
{
    while (*text && o->at < o->end)
        *o->at++ = *text++;
}

static void put_string(struct out *o, const char *text, bool nul)
{
    char code[8];

    put_text(o, "\"");
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
            snprintf(code, sizeof(code), "\\u%04x", *text);
        else
            snprintf(code, sizeof(code), "%c", *text);
        put_text(o, code);
    }
    put_text(o, nul ? "\\u0000\"" : "\"");
}

static void put_value(struct out *o, const struct json_value *v)
{
    const struct json_value *w;
    bool object = v->type == JSON_TYPE_OBJECT;

    if (v->type == JSON_TYPE_NULL)
        put_text(o, "null");
    else if (v->type == JSON_TYPE_BOOL)
        put_text(o, v->yes ? "true" : "false");
    else if (v->type == JSON_TYPE_NUMBER)
        put_text(o, v->text);
    else if (v->type == JSON_TYPE_STRING)
        put_string(o, v->text, v->has_nul);
    else
        put_text(o, object ? "{" : "[");
    for (w = v->first; w; w = w->next) {
        if (object) {
            put_string(o, w->key ? w->key : "k", false);
            put_text(o, ":");
        }
        put_value(o, w);
        put_text(o, w->next ? "," : "");
    }
    if (object || v->type == JSON_TYPE_ARRAY)
        put_text(o, object ? "}" : "]");
}

/* --- all of it --- */

static bool mixer_read(struct mixer *m, const char *text, size_t len,
                       const char *other, size_t other_len)
{
    struct error err;
    const struct json_value *a = json_parse(&m->arena, text, len, "", &err);
    const struct json_value *b =
        other ? json_parse(&m->arena, other, other_len, "", &err) : NULL;

    if (!a)
        return false;
    m->count = list_values((struct json_value *)a, m->all, 0);
    m->their_count =
        list_values((struct json_value *)(b ? b : a), m->theirs, 0);
    return true;
}

size_t json_mix(uint64_t seed, const char *text, size_t len, const char *other,
                size_t other_len, const struct json_shape *shape, char *out,
                size_t room)
{
    struct mixer *m = calloc(1, sizeof(*m));
    struct out o = {out, out + room};
    unsigned n;

    FUZZ_CHECK(m != NULL);
    m->state = seed;
    if (shape)
        list_names(m, shape);
    if (mixer_read(m, text, len, other, other_len)) {
        for (n = below(m, 4); n < 4; n++) {
            struct json_value *v = m->all[below(m, m->count)];

            if (below(m, 3))
                change_mildly(m, v);
            else
                change(m, v);
        }
        put_value(&o, m->all[0]);
    }
    arena_free(&m->arena);
    free(m);
    return o.at == o.end ? 0 : (size_t)(o.at - out);
}

size_t json_mix_sample(uint64_t seed, const struct json_shape *shape,
                       uint8_t *buf, size_t room)
{
    uint64_t s = seed;
    size_t len[2], n;
    char *text[2];

    for (unsigned i = 0; i < 2; i++)
        text[i] = (char *)fuzz_corpus_file(fuzz_next(&s), &len[i]);
    n = text[0] ? json_mix(fuzz_next(&s), text[0], len[0], text[1], len[1],
                           shape, (char *)buf, room)
                : 0;
    if (!n && text[0]) {
        n = MIN(len[0], room);
        memcpy(buf, text[0], n);
    }
    return n;
}

bool json_mix_good_line(const struct error *err)
{
    size_t left = strlen(err->msg);
    const char *s = err->msg;

    if (err->code <= 0 || err->code >= 4096 || !left ||
        left >= sizeof(err->msg))
        return false;
    while (left) {
        unsigned n = utf8_length(s, left);

        if (!n || (unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
        s += n;
        left -= n;
    }
    return true;
}
