/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define JSON_DEPTH 32

/* Where in the text we are: a chain from the place to the root. */
struct place {
    const struct place *up;
    const char *key; /* NULL: an element of an array */
    unsigned index;
};

struct reader {
    struct arena *arena;
    struct error *err;
};

static int read_object(struct reader *r, const struct place *at, json_object *o,
                       const struct json_shape *shape, void *out);

static size_t place_text(const struct place *at, char *buf, size_t size)
{
    size_t n = at->up ? place_text(at->up, buf, size) : 0;
    int more;

    if (!at->up)
        return 0;
    if (n >= size)
        return n;
    if (at->key)
        more = snprintf(buf + n, size - n, "%s%.64s", n ? "." : "", at->key);
    else
        more = snprintf(buf + n, size - n, "[%u]", at->index);
    return n + (size_t)more;
}

static int fault(struct reader *r, const struct place *at, const char *what)
{
    char path[256] = "";

    place_text(at, path, sizeof(path));
    return error_set(r->err, EINVAL, "%s%s%s", path, path[0] ? ": " : "", what);
}

static const char *type_name(json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "true or false";
    case json_type_double:
        return "a number with a fraction";
    case json_type_int:
        return "a number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "an array";
    default:
        return "a string";
    }
}

static int want(struct reader *r, const struct place *at, json_object *o,
                json_type type, const char *name)
{
    char text[80];

    if (json_object_get_type(o) == type)
        return 0;
    snprintf(text, sizeof(text), "must be %s, is %s", name, type_name(o));
    return fault(r, at, text);
}

static int read_string(struct reader *r, const struct place *at, json_object *o,
                       const char **out)
{
    int e = want(r, at, o, json_type_string, "a string");

    if (e)
        return e;
    *out = json_object_get_string(o);
    if (strlen(*out) != (size_t)json_object_get_string_len(o))
        return fault(r, at, "has a NUL in it");
    *out = arena_strdup(r->arena, *out);
    return 0;
}

static int out_of_range(struct reader *r, const struct place *at,
                        json_object *o, unsigned bits, bool is_signed)
{
    char text[120];

    snprintf(text, sizeof(text), "%.40s is out of range, must be %s of %u bits",
             json_object_get_string(o),
             is_signed ? "a number" : "a number, not negative,", bits);
    return fault(r, at, text);
}

static int read_number(struct reader *r, const struct place *at, json_object *o,
                       unsigned size, bool is_signed, void *out)
{
    unsigned bits = size * 8;
    int64_t v;
    uint64_t u;
    int e = want(r, at, o, json_type_int, "a whole number");

    if (e)
        return e;
    v = json_object_get_int64(o);
    u = json_object_get_uint64(o); /* 0 if it is negative */
    if (is_signed) {
        if (v != (int64_t)sign_extend((uint64_t)v, size) ||
            (v > 0 && u != (uint64_t)v))
            return out_of_range(r, at, o, bits, true);
    } else {
        if (v < 0 || u > width_mask(size))
            return out_of_range(r, at, o, bits, false);
        v = (int64_t)u;
    }
    memcpy(out, &v, size); /* little endian */
    return 0;
}

static int read_enum(struct reader *r, const struct place *at, json_object *o,
                     bool (*find)(const char *, unsigned *), unsigned *out)
{
    char text[120];
    const char *name;
    int e = read_string(r, at, o, &name);

    if (e || find(name, out))
        return e;
    snprintf(text, sizeof(text), "\"%.60s\" is not known", name);
    return fault(r, at, text);
}

/* One element of an array, to `out`. */
static int read_item(struct reader *r, const struct place *at, json_object *o,
                     const struct json_field *f, void *out)
{
    unsigned flag;
    int e;

    switch (f->kind) {
    case JSON_STRINGS:
        return read_string(r, at, o, out);
    case JSON_NUMBERS:
        return read_number(r, at, o, 4, false, out);
    case JSON_ENUMS:
        return read_enum(r, at, o, f->find, out);
    case JSON_FLAGS:
        e = read_enum(r, at, o, f->find, &flag);
        if (!e)
            *(unsigned *)out |= flag;
        return e;
    default:
        return read_object(r, at, o, f->shape, out);
    }
}

static size_t item_size(const struct json_field *f)
{
    switch (f->kind) {
    case JSON_STRINGS:
        return sizeof(char *);
    case JSON_NUMBERS:
    case JSON_ENUMS:
        return sizeof(uint32_t);
    case JSON_FLAGS:
        return 0; /* all go to the same place */
    default:
        return f->shape->size;
    }
}

static int read_array(struct reader *r, const struct place *at, json_object *o,
                      const struct json_field *f, void *out)
{
    struct json_array *array = out;
    size_t size = item_size(f);
    char *items = out;
    size_t count, i;
    int e = want(r, at, o, json_type_array, "an array");

    if (e)
        return e;
    count = json_object_array_length(o);
    if (size) {
        items = arena_alloc(r->arena, (count + 1) * size);
        array->items = items;
        array->count = (unsigned)count;
    }
    for (i = 0; i < count && !e; i++) {
        struct place here = {at, NULL, (unsigned)i};

        e = read_item(r, &here, json_object_array_get_idx(o, i), f,
                      items + i * size);
    }
    return e;
}

/* JSON_MAP and JSON_DICT. */
static int read_map(struct reader *r, const struct place *at, json_object *o,
                    const struct json_field *f, struct json_array *out)
{
    size_t size =
        f->kind == JSON_MAP ? sizeof(struct json_pair) : f->shape->size;
    size_t key_at = f->kind == JSON_MAP ? offsetof(struct json_pair, key)
                                        : f->shape->key_at;
    int e = want(r, at, o, json_type_object, "an object");
    char *item;

    if (e)
        return e;
    out->items = item = arena_alloc(
        r->arena, ((size_t)json_object_object_length(o) + 1) * size);
    json_object_object_foreach(o, key, value)
    {
        struct place here = {at, key, 0};
        const char *name = arena_strdup(r->arena, key);

        if (f->kind == JSON_MAP)
            e = read_string(r, &here, value,
                            &((struct json_pair *)item)->value);
        else
            e = read_object(r, &here, value, f->shape, item);
        if (e)
            return e;
        memcpy(item + key_at, &name, sizeof(name));
        item += size;
        out->count++;
    }
    return 0;
}

static int read_bool(struct reader *r, const struct place *at, json_object *o,
                     bool *out)
{
    int e = want(r, at, o, json_type_boolean, "true or false");

    if (!e)
        *out = json_object_get_boolean(o);
    return e;
}

static int read_pointer(struct reader *r, const struct place *at,
                        json_object *o, const struct json_shape *shape,
                        void **out)
{
    void *p = arena_alloc(r->arena, shape->size);
    int e = read_object(r, at, o, shape, p);

    if (!e)
        *out = p;
    return e;
}

static int read_field(struct reader *r, const struct place *at, json_object *o,
                      const struct json_field *f, void *out)
{
    unsigned value;
    int e;

    switch (f->kind) {
    case JSON_STRING:
        return read_string(r, at, o, out);
    case JSON_BOOL:
        return read_bool(r, at, o, out);
    case JSON_NUMBER:
        return read_number(r, at, o, f->size, f->is_signed, out);
    case JSON_ENUM:
        e = read_enum(r, at, o, f->find, &value);
        if (!e)
            memcpy(out, &value, f->size ? f->size : sizeof(value));
        return e;
    case JSON_MAP:
    case JSON_DICT:
        return read_map(r, at, o, f, out);
    case JSON_OBJECT:
        return read_pointer(r, at, o, f->shape, out);
    case JSON_INLINE:
        return read_object(r, at, o, f->shape, out);
    default:
        return read_array(r, at, o, f, out);
    }
}

static int read_object(struct reader *r, const struct place *at, json_object *o,
                       const struct json_shape *shape, void *out)
{
    const struct json_field *f;
    int e = want(r, at, o, json_type_object, "an object");

    if (!e && shape->init)
        shape->init(out);
    for (f = shape->fields; !e && f->name; f++) {
        struct place here = {at, f->name, 0};
        json_object *value = NULL;

        json_object_object_get_ex(o, f->name, &value);
        if (!value) {
            if (f->required)
                e = fault(r, &here, "is missing");
            continue;
        }
        e = read_field(r, &here, value, f, (char *)out + f->at);
        if (f->has)
            *(unsigned *)((char *)out + f->has_at) |= f->has;
    }
    return e;
}

int json_read_text(struct arena *a, const char *text, size_t len,
                   const char *what, const struct json_shape *shape, void *out,
                   struct error *err)
{
    struct reader r = {a, err};
    struct place root = {0};
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH);
    json_object *o;
    int e;

    if (!tok)
        return error_set(err, ENOMEM, "%s: no memory", what);
    /* Or what follows the end would be passed over. */
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    o = len > INT32_MAX ? NULL : json_tokener_parse_ex(tok, text, (int)len);
    if (!o)
        e = error_set(err, EINVAL, "%s: is no JSON: %s, at byte %zu", what,
                      json_tokener_error_desc(json_tokener_get_error(tok)),
                      json_tokener_get_parse_end(tok));
    else
        e = read_object(&r, &root, o, shape, out);
    json_object_put(o);
    json_tokener_free(tok);
    return e;
}

static int file_text(struct arena *a, int fd, const char *path, char **text,
                     size_t *len, struct error *err)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st))
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: is no regular file", path);
    if ((uint64_t)st.st_size > JSON_TEXT_MAX)
        return error_set(err, EFBIG, "%s: has more than %llu MiB", path,
                         JSON_TEXT_MAX / MiB);
    *text = arena_alloc(a, (size_t)st.st_size + 1);
    n = fd_read_some(fd, *text, (size_t)st.st_size, 0);
    if (n < 0)
        return error_set(err, (int)-n, "%s: %s", path, strerror((int)-n));
    *len = (size_t)n;
    return 0;
}

int json_read_file(struct arena *a, int dir, const char *path,
                   const struct json_shape *shape, void *out, char **text,
                   struct error *err)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *own = NULL;
    size_t len = 0;
    int e;

    if (fd < 0)
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    e = file_text(a, fd, path, &own, &len, err);
    close(fd);
    if (!e)
        e = json_read_text(a, own, len, path, shape, out, err);
    if (!e && text)
        *text = own;
    return e;
}

int json_read_fd(struct arena *a, int fd, const char *what,
                 const struct json_shape *shape, void *out, struct error *err)
{
    size_t size = 64 * KiB, len = 0;
    char *text = arena_alloc(a, size);
    ssize_t n;

    while ((n = read(fd, text + len, size - len)) > 0) {
        len += (size_t)n;
        if (len == size && size < JSON_TEXT_MAX) {
            char *more = arena_alloc(a, 2 * size);

            text = memcpy(more, text, len);
            size *= 2;
        }
    }
    if (n < 0)
        return error_set(err, errno, "%s: %s", what, strerror(errno));
    return json_read_text(a, text, len, what, shape, out, err);
}

const char *json_map_get(const struct json_array *map, const char *key)
{
    const struct json_pair *p = map->items;
    unsigned i;

    for (i = 0; i < map->count; i++)
        if (!strcmp(p[i].key, key))
            return p[i].value;
    return NULL;
}
