/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct parser {
    struct arena *arena;
    const char *start, *at, *end;
    const char *what; /* is wrong; NULL: nothing yet */
    const char *many; /* the same, and not the text's form */
    unsigned values, depth;
};

static struct json_value *parse_value(struct parser *p);

static bool fail(struct parser *p, const char *what)
{
    if (!p->what)
        p->what = what;
    return false;
}

/* The next byte; -1: none is left. */
static int peek(const struct parser *p)
{
    return p->at < p->end ? (unsigned char)*p->at : -1;
}

static void *fail_null(struct parser *p, const char *what)
{
    fail(p, what);
    return NULL;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' ||
                              *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static bool skip_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n))
        return fail(p, "no value begins so");
    p->at += n;
    return true;
}

/* --- strings --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits behind \u; -1: they are not there. */
static int hex4(const struct parser *p, const char *at)
{
    int v = 0, i, d;

    if (p->end - at < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        d = hex_digit(at[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c >= 0x10000)
        *out++ = (char)(0xf0 | c >> 18);
    if (c >= 0x800)
        *out++ = (char)((c >= 0x10000 ? 0x80 : 0xe0) | (c >> 12 & 0x3f));
    *out++ = (char)((c >= 0x800 ? 0x80 : 0xc0) | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

/* \uXXXX at p->at. Half of a pair alone is U+FFFD, as with everyone. */
static bool unicode_escape(struct parser *p, char **out, bool *nul)
{
    int c = hex4(p, p->at + 1), low = -1;

    if (c < 0)
        return fail(p, "\\u needs four digits");
    p->at += 5;
    if ((c & 0xfc00) == 0xd800 && p->end - p->at >= 6 && p->at[0] == '\\' &&
        p->at[1] == 'u')
        low = hex4(p, p->at + 2);
    if ((low & ~0x3ff) == 0xdc00) {
        c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
        p->at += 6;
    } else if ((c & 0xf800) == 0xd800) {
        c = 0xfffd;
    }
    *nul |= !c;
    *out = put_utf8(*out, (unsigned)c);
    return true;
}

static bool escape(struct parser *p, char **out, bool *nul)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = (p->at++, peek(p));
    const char *known;

    if (c == 'u')
        return unicode_escape(p, out, nul);
    known = c > 0 ? strchr(from, c) : NULL;
    if (!known)
        return fail(p, "nothing is escaped so");
    *(*out)++ = to[known - from];
    p->at++;
    return true;
}

/* The string's end, with its quote; nothing is checked but that it has one. */
static const char *string_end(const struct parser *p)
{
    const char *s = p->at + 1;

    for (; s < p->end && *s != '"'; s++)
        if (*s == '\\' && s + 1 < p->end)
            s++;
    return s < p->end ? s : NULL;
}

/* At its quote; into the arena. What is decoded is never longer. */
static bool parse_string(struct parser *p, const char **text, bool *has_nul)
{
    const char *end = string_end(p);
    char *out;

    if (!end)
        return fail(p, "a string that has no end");
    *text = out = arena_alloc(p->arena, (size_t)(end - p->at));
    for (p->at++; p->at < end;) {
        unsigned n = utf8_length(p->at, (size_t)(end - p->at));

        if (*p->at == '\\') {
            if (!escape(p, &out, has_nul))
                return false;
            continue;
        }
        if (!n)
            return fail(p, "a string that is not UTF-8");
        if ((unsigned char)*p->at < 0x20)
            return fail(p, "a control character in a string, not escaped");
        memcpy(out, p->at, n);
        out += n;
        p->at += n;
    }
    p->at++;
    return true;
}

/* --- numbers --- */

static bool skip_digits(struct parser *p)
{
    const char *from = p->at;

    while (peek(p) >= '0' && peek(p) <= '9')
        p->at++;
    return p->at > from || fail(p, "a number that is none");
}

static bool parse_number(struct parser *p, const char **text)
{
    const char *from = p->at;
    size_t len;
    char *copy;

    p->at += *p->at == '-';
    if (peek(p) == '0')
        p->at++;
    else if (!skip_digits(p))
        return false;
    if (peek(p) == '.' && (p->at++, !skip_digits(p)))
        return false;
    if ((peek(p) | 0x20) == 'e') {
        p->at++;
        p->at += peek(p) == '+' || peek(p) == '-';
        if (!skip_digits(p))
            return false;
    }
    len = (size_t)(p->at - from);
    copy = arena_alloc(p->arena, len + 1);
    *text = memcpy(copy, from, len);
    return true;
}

/* --- arrays and objects --- */

/* Between two members; false: that was the last one, or there is an error. */
static bool more(struct parser *p, char close)
{
    skip_space(p);
    if (peek(p) == ',') {
        p->at++;
        skip_space(p);
        return true;
    }
    if (peek(p) != close)
        return fail(p, close == ']' ? "an array goes on with , or ]"
                                    : "an object goes on with , or }");
    p->at++;
    return false;
}

static struct json_value *parse_member(struct parser *p)
{
    struct json_value *v;
    const char *key;
    bool nul = false;

    if (peek(p) != '"')
        return fail_null(p, "an object's member begins with its name");
    if (!parse_string(p, &key, &nul))
        return NULL;
    if (nul)
        return fail_null(p, "a name with a NUL in it");
    skip_space(p);
    if (peek(p) != ':')
        return fail_null(p, "a colon is missing behind a name");
    p->at++;
    skip_space(p);
    v = parse_value(p);
    if (v)
        v->key = key;
    return v;
}

struct member {
    struct json_value *value;
    unsigned at;
};

/* By name, then as they stand in the text. */
static int member_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->value->key, y->value->key);

    return order ? order : x->at < y->at ? -1 : 1;
}

/* The last of those with the same name stays. Sorted: keys may be hostile. */
static bool drop_doubles(struct parser *p, struct json_value *object)
{
    struct member *list = calloc(object->count, sizeof(*list));
    struct json_value *v, **link = &object->first;
    unsigned n = 0, i;

    if (!list)
        return fail(p, p->many = "no memory");
    for (v = object->first; v; v = v->next, n++)
        list[n] = (struct member){v, n};
    qsort(list, n, sizeof(*list), member_order);
    for (i = 1; i < n; i++)
        if (!strcmp(list[i - 1].value->key, list[i].value->key))
            list[i - 1].value->key = NULL;
    free(list);
    object->count = 0;
    for (v = object->first; v; v = v->next)
        if (v->key) {
            *link = v;
            link = &v->next;
            object->count++;
        }
    *link = NULL;
    return true;
}

static bool has_doubles_few(const struct json_value *object)
{
    const struct json_value *v, *w;

    for (v = object->first; v; v = v->next)
        for (w = v->next; w; w = w->next)
            if (v->key[0] == w->key[0] && !strcmp(v->key, w->key))
                return true;
    return false;
}

/* Of an array or an object, behind its bracket. */
static bool parse_members(struct parser *p, struct json_value *v, char close)
{
    struct json_value **link = &v->first;

    if (++p->depth > JSON_DEPTH_MAX)
        return fail(p, p->many = "is nested deeper than 32");
    p->at++;
    skip_space(p);
    if (peek(p) == close) {
        p->at++;
    } else {
        do {
            struct json_value *m =
                close == ']' ? parse_value(p) : parse_member(p);

            if (!m)
                return false;
            *link = m;
            link = &m->next;
            v->count++;
        } while (more(p, close));
    }
    p->depth--;
    if (p->what || close == ']' || (v->count <= 16 && !has_doubles_few(v)))
        return !p->what;
    return drop_doubles(p, v);
}

static struct json_value *parse_value(struct parser *p)
{
    struct json_value *v;
    bool ok;

    if (++p->values > JSON_VALUES_MAX)
        return fail_null(p, p->many = "has more than 262144 values");
    v = arena_alloc(p->arena, sizeof(*v));
    switch (peek(p)) {
    case '{':
        v->type = JSON_TYPE_OBJECT;
        ok = parse_members(p, v, '}');
        break;
    case '[':
        v->type = JSON_TYPE_ARRAY;
        ok = parse_members(p, v, ']');
        break;
    case '"':
        v->type = JSON_TYPE_STRING;
        ok = parse_string(p, &v->text, &v->has_nul);
        break;
    case 't':
        v->type = JSON_TYPE_BOOL;
        v->yes = ok = skip_word(p, "true");
        break;
    case 'f':
        v->type = JSON_TYPE_BOOL;
        ok = skip_word(p, "false");
        break;
    case 'n':
        ok = skip_word(p, "null");
        break;
    case '-':
    case '0' ... '9':
        v->type = JSON_TYPE_NUMBER;
        ok = parse_number(p, &v->text);
        break;
    default:
        ok = fail(p, peek(p) < 0 ? "it ends too early" : "no value begins so");
    }
    return ok ? v : NULL;
}

static void report(const struct parser *p, const char *what, struct error *err)
{
    const char *s;
    unsigned line = 1;

    for (s = p->start; s < p->at; s++)
        line += *s == '\n';
    error_set(err, p->many ? E2BIG : EINVAL,
              "%s: %s%s, in line %u, at byte %zu", what,
              p->many ? "" : "is no JSON: ", p->what, line,
              (size_t)(p->at - p->start));
}

struct json_value *json_parse(struct arena *a, const char *text, size_t len,
                              const char *what, struct error *err)
{
    struct parser p = {
        .arena = a, .start = text, .at = text, .end = text + len};
    struct json_value *v;

    skip_space(&p);
    v = parse_value(&p);
    skip_space(&p);
    if (v && p.at < p.end)
        fail(&p, "something stands behind its end");
    if (!p.what)
        return v;
    report(&p, what, err);
    return NULL;
}

const struct json_value *json_get(const struct json_value *object,
                                  const char *key)
{
    const struct json_value *v = object->first;

    while (v && strcmp(v->key, key))
        v = v->next;
    return v;
}

const char *json_type_name(enum json_value_type type)
{
    static const char *const names[] = {"null",     "true or false",
                                        "a number", "a string",
                                        "an array", "an object"};

    return names[type];
}
