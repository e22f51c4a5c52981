/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - JSON texts: what our parser takes, json-c takes, and both have the
 * same tree. (Not the other way: json-c is the more lenient one.)
 */
#include <errno.h>
#include <json-c/json.h>

#include "json_mix.h"
#include "oci/json_value.h"
#include "oci/spec_int.h"

static bool same(const struct json_value *v, json_object *o);

/* Beyond 64 bits json-c cuts: nothing to compare. */
static bool same_number(const struct json_value *v, json_object *o)
{
    const char *text = v->text;

    if (strpbrk(text, ".eE"))
        return json_object_is_type(o, json_type_double) &&
               strtod(text, NULL) == json_object_get_double(o);
    if (!json_object_is_type(o, json_type_int))
        return false;
    errno = 0;
    if (*text == '-')
        return json_object_get_int64(o) == strtoll(text, NULL, 10) || errno;
    return json_object_get_uint64(o) == strtoull(text, NULL, 10) || errno;
}

static bool same_array(const struct json_value *v, json_object *o)
{
    unsigned i = 0;

    if (!json_object_is_type(o, json_type_array) ||
        json_object_array_length(o) != v->count)
        return false;
    for (v = v->first; v; v = v->next)
        if (!same(v, json_object_array_get_idx(o, i++)))
            return false;
    return true;
}

static bool same_object(const struct json_value *v, json_object *o)
{
    const struct json_value *w;
    json_object *theirs;
    unsigned n = 0;

    if (!json_object_is_type(o, json_type_object) ||
        (unsigned)json_object_object_length(o) != v->count)
        return false;
    for (w = v->first; w; w = w->next, n++)
        if (!json_object_object_get_ex(o, w->key, &theirs) ||
            json_get(v, w->key) != w || !same(w, theirs))
            return false;
    return n == v->count;
}

static bool same(const struct json_value *v, json_object *o)
{
    switch (v->type) {
    case JSON_TYPE_NULL:
        return o == NULL;
    case JSON_TYPE_BOOL:
        return json_object_is_type(o, json_type_boolean) &&
               json_object_get_boolean(o) == v->yes;
    case JSON_TYPE_NUMBER:
        return same_number(v, o);
    case JSON_TYPE_STRING:
        return json_object_is_type(o, json_type_string) &&
               !strcmp(json_object_get_string(o), v->text) &&
               v->has_nul ==
                   (strlen(v->text) != (size_t)json_object_get_string_len(o));
    case JSON_TYPE_ARRAY:
        return same_array(v, o);
    default:
        return same_object(v, o);
    }
}

/* json-c's parser goes on until it sees that a number has ended. */
static json_object *theirs(const char *text, size_t len)
{
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 8);
    char *copy = malloc(len + 1);
    json_object *o;

    FUZZ_CHECK(tok && copy);
    memcpy(copy, text, len);
    copy[len] = 0;
    json_tokener_set_flags(tok,
                           JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    o = json_tokener_parse_ex(tok, copy, (int)len + 1);
    if (json_tokener_get_error(tok) != json_tokener_success) {
        fprintf(stderr, "json-c: %s\n",
                json_tokener_error_desc(json_tokener_get_error(tok)));
        FUZZ_CHECK(!"json-c takes it");
    }
    json_tokener_free(tok);
    free(copy);
    return o;
}

static void one(struct fuzz *f)
{
    char *text = malloc(f->len + 1); /* no byte behind it may be read */
    const struct json_value *v;
    struct error err = {0};
    struct arena a = {0};
    json_object *o;

    FUZZ_CHECK(text != NULL);
    text = realloc(text, MAX(f->len, (size_t)1));
    memcpy(text, f->data, f->len);
    v = json_parse(&a, text, f->len, "file", &err);
    FUZZ_CHECK(v ? !err.code
                 : json_mix_good_line(&err) && !strncmp(err.msg, "file: ", 6) &&
                       strstr(err.msg, ", at byte "));
    if (v) {
        o = theirs(text, f->len);
        FUZZ_CHECK(same(v, o));
        json_object_put(o);
    }
    FUZZ_CHECK(arena_size(&a) <= JSON_ARENA_MAX(f->len));
    arena_free(&a);
    free(text);
}

static size_t sample(uint64_t seed, uint8_t *buf, size_t room)
{
    return json_mix_sample(seed, &spec_shape, buf, room);
}

static const struct fuzz_target target = {
    .name = "json",
    .corpus = "oci_config",
    .max_len = 300,
    .runs = 4000,
    .one = one,
    .sample = sample,
    .mixed = true,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
