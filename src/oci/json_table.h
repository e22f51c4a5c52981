/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_table.h - shorthands for the tables of json.h: for .c files that are
 * tables, as the names are everybody's. s is a structure's tag, m its member.
 */
#pragma once

#include "oci/json.h"

/* clang-format off */
#define STRING(s, m)  .kind = JSON_STRING, JSON_AT(s, m)
#define STRINGS(s, m) .kind = JSON_STRINGS, JSON_AT(s, m)
#define BOOL(s, m)    .kind = JSON_BOOL, JSON_AT(s, m)
#define UINT(s, m)    JSON_INT(s, m, false)
#define SINT(s, m)    JSON_INT(s, m, true)
#define ENUM(s, m, f) .kind = JSON_ENUM, JSON_AT(s, m), .find = (f)
#define FLAGS(s, m, f) .kind = JSON_FLAGS, JSON_AT(s, m), .find = (f)
#define MAP(s, m)     .kind = JSON_MAP, JSON_AT(s, m)
#define OBJECT(s, m, t) .kind = JSON_OBJECT, JSON_AT(s, m), .shape = &(t)
#define INLINE(s, m, t) .kind = JSON_INLINE, JSON_AT(s, m), .shape = &(t)
#define ARRAY(s, m, t) .kind = JSON_ARRAY, JSON_AT(s, m), .shape = &(t)
#define DICT(s, m, t) .kind = JSON_DICT, JSON_AT(s, m), .shape = &(t)
#define HAS(s, bit)   .has_at = offsetof(struct s, has), .has = (bit)
#define NEEDED        .required = true
#define SHAPE(s, f)   {.size = sizeof(struct s), .fields = f}
/* clang-format on */
