/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/json_value.h"

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

static int read_object(struct reader *r, const struct place *at,
                       const struct json_value *o,
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

static int want(struct reader *r, const struct place *at,
                const struct json_value *o, enum json_value_type type)
{
    char text[80];

    if (o->type == type)
        return 0;
    snprintf(text, sizeof(text), "must be %s, is %s", json_type_name(type),
             json_type_name(o->type));
    return fault(r, at, text);
}

static int read_string(struct reader *r, const struct place *at,
                       const struct json_value *o, const char **out)
{
    int e = want(r, at, o, JSON_TYPE_STRING);

    if (e)
        return e;
    /* Cut there, it would be another than whoever checked the file saw. */
    if (o->has_nul)
        return fault(r, at, "has a NUL in it");
    *out = o->text;
    return 0;
}

/*
 * The text says it, whatever its size: [-2^63, 2^64 - 1] is what C can tell.
 * False: it is beyond, or has a fraction or an exponent.
 */
static bool number_of(const char *text, bool *negative, uint64_t *magnitude)
{
    *negative = *text == '-';
    *magnitude = 0;
    for (text += *negative; *text; text++) {
        if (*text < '0' || *text > '9' ||
            __builtin_mul_overflow(*magnitude, 10, magnitude) ||
            __builtin_add_overflow(*magnitude, *text - '0', magnitude))
            return false;
    }
    return true;
}

static int number_fault(struct reader *r, const struct place *at,
                        const char *number, unsigned bits, bool is_signed)
{
    char text[120];

    if (strpbrk(number, ".eE"))
        snprintf(text, sizeof(text), "must be a whole number, is %.40s",
                 number);
    else
        snprintf(text, sizeof(text),
                 "%.40s is out of range, must be %s of %u bits", number,
                 is_signed ? "a number" : "a number, not negative,", bits);
    return fault(r, at, text);
}

static int read_number(struct reader *r, const struct place *at,
                       const struct json_value *o, unsigned size,
                       bool is_signed, void *out)
{
    uint64_t v, max = width_mask(size) >> is_signed;
    bool negative;

    if (o->type != JSON_TYPE_NUMBER) {
        char text[80];

        snprintf(text, sizeof(text), "must be a whole number, is %s",
                 json_type_name(o->type));
        return fault(r, at, text);
    }
    if (!number_of(o->text, &negative, &v) ||
        v > max + (is_signed && negative) || (!is_signed && negative && v))
        return number_fault(r, at, o->text, size * 8, is_signed);
    if (negative)
        v = 0 - v;
    memcpy(out, &v, size); /* little endian */
    return 0;
}

static int read_enum(struct reader *r, const struct place *at,
                     const struct json_value *o,
                     bool (*find)(const char *, unsigned *), unsigned *out)
{
    char text[120];
    const char *name = NULL;
    int e = read_string(r, at, o, &name);

    if (e || find(name, out))
        return e;
    snprintf(text, sizeof(text), "\"%.60s\" is not known", name);
    return fault(r, at, text);
}

/* One element of an array, to `out`. */
static int read_item(struct reader *r, const struct place *at,
                     const struct json_value *o, const struct json_field *f,
                     void *out)
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

static int read_array(struct reader *r, const struct place *at,
                      const struct json_value *o, const struct json_field *f,
                      void *out)
{
    struct json_array *array = out;
    size_t size = item_size(f);
    char *items = out;
    const struct json_value *v;
    unsigned i = 0;
    int e = want(r, at, o, JSON_TYPE_ARRAY);

    if (e)
        return e;
    if (size) {
        items = arena_alloc(r->arena, ((size_t)o->count + 1) * size);
        array->items = items;
        array->count = o->count;
    }
    for (v = o->first; v && !e; v = v->next, i++) {
        struct place here = {at, NULL, i};

        e = read_item(r, &here, v, f, items + i * size);
    }
    return e;
}

/* JSON_MAP and JSON_DICT. */
static int read_map(struct reader *r, const struct place *at,
                    const struct json_value *o, const struct json_field *f,
                    struct json_array *out)
{
    size_t size =
        f->kind == JSON_MAP ? sizeof(struct json_pair) : f->shape->size;
    size_t key_at = f->kind == JSON_MAP ? offsetof(struct json_pair, key)
                                        : f->shape->key_at;
    int e = want(r, at, o, JSON_TYPE_OBJECT);
    const struct json_value *v;
    char *item;

    if (e)
        return e;
    out->items = item = arena_alloc(r->arena, ((size_t)o->count + 1) * size);
    for (v = o->first; v; v = v->next) {
        struct place here = {at, v->key, 0};

        if (f->kind == JSON_MAP)
            e = read_string(r, &here, v, &((struct json_pair *)item)->value);
        else
            e = read_object(r, &here, v, f->shape, item);
        if (e)
            return e;
        memcpy(item + key_at, &v->key, sizeof(v->key));
        item += size;
        out->count++;
    }
    return 0;
}

static int read_bool(struct reader *r, const struct place *at,
                     const struct json_value *o, bool *out)
{
    int e = want(r, at, o, JSON_TYPE_BOOL);

    if (!e)
        *out = o->yes;
    return e;
}

static int read_pointer(struct reader *r, const struct place *at,
                        const struct json_value *o,
                        const struct json_shape *shape, void **out)
{
    void *p = arena_alloc(r->arena, shape->size);
    int e = read_object(r, at, o, shape, p);

    if (!e)
        *out = p;
    return e;
}

static int read_field(struct reader *r, const struct place *at,
                      const struct json_value *o, const struct json_field *f,
                      void *out)
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

static int read_object(struct reader *r, const struct place *at,
                       const struct json_value *o,
                       const struct json_shape *shape, void *out)
{
    const struct json_field *f;
    int e = want(r, at, o, JSON_TYPE_OBJECT);

    if (!e && shape->init)
        shape->init(out);
    for (f = shape->fields; !e && f->name; f++) {
        struct place here = {at, f->name, 0};
        const struct json_value *value = json_get(o, f->name);

        if (!value || value->type == JSON_TYPE_NULL) {
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
    const struct json_value *o = json_parse(a, text, len, what, err);

    return o ? read_object(&r, &root, o, shape, out) : -err->code;
}

static int too_long(const char *what, struct error *err)
{
    return error_set(err, EFBIG, "%s: has more than %llu MiB", what,
                     JSON_TEXT_MAX / MiB);
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
        return too_long(path, err);
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
        if (len < size)
            continue;
        if (len > JSON_TEXT_MAX)
            return too_long(what, err);
        text = memcpy(arena_alloc(a, 2 * size), text, len);
        size *= 2;
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
