/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_build.h - JSON that we make: a tree of json_value.h's values in the
 * caller's arena, and its text. Texts are UTF-8, and live as long as the tree
 * (they are not copied); NULL is "".
 */
#pragma once

#include "oci/json_value.h"

struct json_value *json_new_object(struct arena *a);
struct json_value *json_new_array(struct arena *a);
struct json_value *json_new_text(struct arena *a, const char *text);
struct json_value *json_new_bool(struct arena *a, bool yes);
struct json_value *json_new_int(struct arena *a, int64_t v);
struct json_value *json_new_uint(struct arena *a, uint64_t v);
/* With two digits behind the point. */
struct json_value *json_new_decimal(struct arena *a, double v);
/* Of names that end with a NULL. */
struct json_value *json_new_texts(struct arena *a, const char *const *names);

/* At the end of it, or in the place of what has that name; `v` is in no tree.
 */
void json_put(struct json_value *object, const char *key, struct json_value *v);
void json_add(struct json_value *array, struct json_value *v);
/* Nothing of that name any more. */
void json_drop(struct json_value *object, const char *key);
/* The object or array of that name in it, which is made if it is missing. */
struct json_value *json_put_object(struct arena *a, struct json_value *object,
                                   const char *key);
struct json_value *json_put_array(struct arena *a, struct json_value *object,
                                  const char *key);

/* In lines for people, or in one; without a newline at its end. */
char *json_print(struct arena *a, const struct json_value *v, bool lines);
