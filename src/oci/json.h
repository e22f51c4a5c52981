/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - JSON into structures, by tables that say where each field goes.
 *
 * Every error names the place in the file ("linux.resources.memory.limit: must
 * be a whole number, is a string"). Names that no table knows are passed over,
 * as the specification asks; null is as good as absent. What is made lives in
 * the caller's arena. The text may be hostile: its size and depth are bounded.
 */
#pragma once

#include <assert.h>

#include "base/arena.h"
#include "base/error.h"

#define JSON_TEXT_MAX (16 * MiB)

enum json_kind {
    JSON_STRING,  /* const char *; NULL: absent */
    JSON_BOOL,    /* bool */
    JSON_NUMBER,  /* of `size` bytes */
    JSON_ENUM,    /* a number of `size` bytes (0: four), by `find` */
    JSON_ENUMS,   /* struct json_array of unsigned, by `find` */
    JSON_FLAGS,   /* unsigned: an array of names, OR'ed */
    JSON_STRINGS, /* struct json_strings */
    JSON_NUMBERS, /* struct json_array of uint32_t */
    JSON_MAP,     /* struct json_array of struct json_pair */
    JSON_OBJECT,  /* pointer to a structure of `shape`; NULL: absent */
    JSON_INLINE,  /* the structure itself, in the outer one */
    JSON_ARRAY,   /* struct json_array of structures of `shape` */
    JSON_DICT,    /* the same of an object: its keys go to shape->key_at */
};

struct json_array {
    void *items;
    unsigned count;
};

/* `item` ends with a NULL; it is itself NULL if the field is absent. */
struct json_strings {
    const char **item;
    unsigned count;
};

struct json_pair {
    const char *key, *value;
};

struct json_shape;

struct json_field {
    const char *name;
    uint8_t kind, size;
    bool is_signed, required;
    uint16_t at;     /* offset of the member */
    uint16_t has_at; /* offset of an unsigned... */
    unsigned has;    /* ...whose bit says that the field is there */
    const struct json_shape *shape;
    bool (*find)(const char *name, unsigned *value);
};

struct json_shape {
    size_t size;
    const struct json_field *fields; /* ends with a NULL name */
    void (*init)(void *item);        /* NULL: zeroes */
    size_t key_at;                   /* JSON_DICT: where a const char * is */
};

#define JSON_AT(s, m) .at = offsetof(struct s, m)
#define JSON_INT(s, m, sign)                                                   \
    .kind = JSON_NUMBER, .size = sizeof(((struct s *)0)->m),                   \
    .is_signed = (sign), JSON_AT(s, m)

/* A foreign structure has a pointer and a count as json_array has them. */
#define JSON_IS_ARRAY(s, pointer, number)                                      \
    static_assert(offsetof(struct s, number) ==                                \
                      offsetof(struct s, pointer) +                            \
                          offsetof(struct json_array, count),                  \
                  "an array as json.h has them")

/*
 * `text` of `len` bytes into *out, an object of `shape`; `what` names the file
 * in the message of a text that is no JSON. -EINVAL.
 */
int json_read_text(struct arena *a, const char *text, size_t len,
                   const char *what, const struct json_shape *shape, void *out,
                   struct error *err) must_check;
/* The same, of a file. `text`, if not NULL, is given the text. */
int json_read_file(struct arena *a, int dir, const char *path,
                   const struct json_shape *shape, void *out, char **text,
                   struct error *err) must_check;
/* The same, of a pipe or terminal, to its end. */
int json_read_fd(struct arena *a, int fd, const char *what,
                 const struct json_shape *shape, void *out,
                 struct error *err) must_check;

/* NULL: no such key. Of a JSON_MAP. */
const char *json_map_get(const struct json_array *map, const char *key);
