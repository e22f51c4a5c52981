/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- the tree --- */

static struct json_value *value_new(struct arena *a, enum json_value_type type)
{
    struct json_value *v = arena_alloc(a, sizeof(*v));

    v->type = type;
    return v;
}

struct json_value *json_new_object(struct arena *a)
{
    return value_new(a, JSON_TYPE_OBJECT);
}

struct json_value *json_new_array(struct arena *a)
{
    return value_new(a, JSON_TYPE_ARRAY);
}

struct json_value *json_new_text(struct arena *a, const char *text)
{
    struct json_value *v = value_new(a, JSON_TYPE_STRING);

    v->text = text ? text : "";
    return v;
}

struct json_value *json_new_bool(struct arena *a, bool yes)
{
    struct json_value *v = value_new(a, JSON_TYPE_BOOL);

    v->yes = yes;
    return v;
}

static struct json_value *number(struct arena *a, const char *text)
{
    struct json_value *v = value_new(a, JSON_TYPE_NUMBER);

    v->text = text;
    return v;
}

struct json_value *json_new_int(struct arena *a, int64_t v)
{
    return number(a, arena_printf(a, "%" PRId64, v));
}

struct json_value *json_new_uint(struct arena *a, uint64_t v)
{
    return number(a, arena_printf(a, "%" PRIu64, v));
}

struct json_value *json_new_decimal(struct arena *a, double v)
{
    return number(a, arena_printf(a, "%.2f", v));
}

struct json_value *json_new_texts(struct arena *a, const char *const *names)
{
    struct json_value *list = json_new_array(a);

    for (; names && *names; names++)
        json_add(list, json_new_text(a, *names));
    return list;
}

void json_put(struct json_value *object, const char *key, struct json_value *v)
{
    struct json_value **at = &object->first;

    while (*at && strcmp((*at)->key, key))
        at = &(*at)->next;
    v->key = key;
    v->next = *at ? (*at)->next : NULL;
    object->count += !*at;
    *at = v;
}

void json_drop(struct json_value *object, const char *key)
{
    struct json_value **at = &object->first;

    while (*at && strcmp((*at)->key, key))
        at = &(*at)->next;
    if (*at) {
        *at = (*at)->next;
        object->count--;
    }
}

void json_add(struct json_value *array, struct json_value *v)
{
    struct json_value **at = &array->first;

    while (*at)
        at = &(*at)->next;
    *at = v;
    array->count++;
}

static struct json_value *member(struct arena *a, struct json_value *object,
                                 const char *key, enum json_value_type type)
{
    struct json_value *v = object->first;

    while (v && strcmp(v->key, key))
        v = v->next;
    if (v)
        return v;
    v = value_new(a, type);
    json_put(object, key, v);
    return v;
}

struct json_value *json_put_object(struct arena *a, struct json_value *object,
                                   const char *key)
{
    return member(a, object, key, JSON_TYPE_OBJECT);
}

struct json_value *json_put_array(struct arena *a, struct json_value *object,
                                  const char *key)
{
    return member(a, object, key, JSON_TYPE_ARRAY);
}

/* --- its text --- */

struct printer {
    struct arena *a;
    char *text;
    size_t len, room;
    bool lines;
    unsigned depth;
};

static void put_bytes(struct printer *p, const char *text, size_t n)
{
    if (p->len + n + 1 > p->room) {
        size_t room = 2 * (p->len + n) + 1024;
        char *more = arena_alloc(p->a, room);

        if (p->len)
            memcpy(more, p->text, p->len);
        p->text = more;
        p->room = room;
    }
    memcpy(p->text + p->len, text, n);
    p->len += n;
}

static void put_string(struct printer *p, const char *text)
{
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    char escape[7];

    put_bytes(p, "\"", 1);
    for (; *text; text++) {
        const char *name = strchr(names, *text);
        size_t plain = 0;

        while ((unsigned char)text[plain] >= ' ' && text[plain] != '"' &&
               text[plain] != '\\')
            plain++;
        if (plain) {
            put_bytes(p, text, plain);
            text += plain - 1;
        } else if (name) {
            escape[0] = '\\';
            escape[1] = letters[name - names];
            put_bytes(p, escape, 2);
        } else {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*text);
            put_bytes(p, escape, 6);
        }
    }
    put_bytes(p, "\"", 1);
}

static void put_line(struct printer *p)
{
    unsigned i;

    if (!p->lines)
        return;
    put_bytes(p, "\n", 1);
    for (i = 0; i < p->depth; i++)
        put_bytes(p, "  ", 2);
}

static void put_value(struct printer *p, const struct json_value *v);

static void put_members(struct printer *p, const struct json_value *v,
                        const char *brackets)
{
    const struct json_value *m;

    put_bytes(p, brackets, 1);
    p->depth++;
    for (m = v->first; m; m = m->next) {
        put_line(p);
        if (v->type == JSON_TYPE_OBJECT) {
            put_string(p, m->key);
            put_bytes(p, ": ", p->lines ? 2 : 1);
        }
        put_value(p, m);
        if (m->next)
            put_bytes(p, ",", 1);
    }
    p->depth--;
    if (v->first)
        put_line(p);
    put_bytes(p, brackets + 1, 1);
}

static void put_value(struct printer *p, const struct json_value *v)
{
    switch ((enum json_value_type)v->type) {
    case JSON_TYPE_NULL:
        put_bytes(p, "null", 4);
        break;
    case JSON_TYPE_BOOL:
        put_bytes(p, v->yes ? "true" : "false", v->yes ? 4 : 5);
        break;
    case JSON_TYPE_NUMBER:
        put_bytes(p, v->text, strlen(v->text));
        break;
    case JSON_TYPE_STRING:
        put_string(p, v->text);
        break;
    case JSON_TYPE_ARRAY:
        put_members(p, v, "[]");
        break;
    case JSON_TYPE_OBJECT:
        put_members(p, v, "{}");
    }
}

char *json_print(struct arena *a, const struct json_value *v, bool lines)
{
    struct printer p = {.a = a, .lines = lines};

    put_value(&p, v);
    p.text[p.len] = 0;
    return p.text;
}
