/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_value.h - a JSON text as a tree, in the caller's arena.   [RFC 8259]
 *
 * Strict, as what a config.json means must not depend on who reads it: UTF-8,
 * no comments, no NUL in strings, nothing behind the end. Numbers keep their
 * text: none is rounded or cut. Of names that stand in an object twice the
 * last one wins, as with runc (Go), podman and json-c; crun 1.8 takes the
 * first. The text may be
 * hostile: its depth and the number of its values are bounded, and with these
 * the memory.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define JSON_DEPTH_MAX  32
#define JSON_VALUES_MAX (1u << 18)

/* The most that a text of `len` bytes takes in the arena. */
#define JSON_ARENA_MAX(len)                                                    \
    (64 * KiB + 3 * (size_t)(len) +                                            \
     128 * (size_t)MIN((len), (size_t)JSON_VALUES_MAX))

enum json_value_type {
    JSON_TYPE_NULL,
    JSON_TYPE_BOOL,
    JSON_TYPE_NUMBER,
    JSON_TYPE_STRING,
    JSON_TYPE_ARRAY,
    JSON_TYPE_OBJECT,
};

struct json_value {
    struct json_value *next, *first; /* beside it, and in it */
    const char *key;                 /* of an object's member */
    const char *text; /* a string; a number as it stands in the file */
    unsigned count;   /* of what is in it */
    uint8_t type;     /* enum json_value_type */
    bool yes;         /* of JSON_TYPE_BOOL */
    bool has_nul;     /* a string that is cut where it has a NUL */
};

/*
 * NULL with an error that says what is wrong, and where: `what` names the
 * file. -EINVAL; -E2BIG for more than can be.
 */
struct json_value *json_parse(struct arena *a, const char *text, size_t len,
                              const char *what, struct error *err);
/* An object's member; NULL: there is none. */
const struct json_value *json_get(const struct json_value *object,
                                  const char *key);
/* "a string": for messages. */
const char *json_type_name(enum json_value_type type);
