/* SPDX-License-Identifier: Apache-2.0 */
/* oci_json_build.c - JSON that we make, read again. */
#include <stdint.h>
#include <string.h>

#include "oci/json_build.h"
#include "test.h"

#define CHECK_SAME(x, y) CHECK(!strcmp(x, y))

static struct arena a;

static void a_tree_is_one_line_or_many(void)
{
    static const char *const words[] = {"x", "y", NULL};
    struct json_value *o = json_new_object(&a);

    json_put(o, "none", json_new_object(&a));
    json_put(o, "few", json_new_texts(&a, words));
    json_put(o, "yes", json_new_bool(&a, true));
    json_put(o, "part", json_new_decimal(&a, 0.5));
    CHECK_SAME(
        json_print(&a, o, false),
        "{\"none\":{},\"few\":[\"x\",\"y\"],\"yes\":true,\"part\":0.50}");
    CHECK_SAME(json_print(&a, o, true), "{\n"
                                        "  \"none\": {},\n"
                                        "  \"few\": [\n"
                                        "    \"x\",\n"
                                        "    \"y\"\n"
                                        "  ],\n"
                                        "  \"yes\": true,\n"
                                        "  \"part\": 0.50\n"
                                        "}");
}

static void texts_are_what_they_were(void)
{
    static const char all[] =
        "\"\\/\b\f\n\r\t\x01\x1f\x7f \xc3\xa4\xe2\x82\xac";
    struct json_value *o = json_new_object(&a);
    const struct json_value *back;
    struct error err;
    const char *text;

    json_put(o, all, json_new_text(&a, all));
    json_put(o, "nothing", json_new_text(&a, NULL));
    text = json_print(&a, o, false);
    CHECK(!strpbrk(text, "\b\f\n\r\t\x01\x1f"));
    back = json_parse(&a, text, strlen(text), "text", &err);
    CHECK(back && json_get(back, all));
    CHECK_SAME(json_get(back, all)->text, all);
    CHECK_SAME(json_get(back, "nothing")->text, "");
}

static void numbers_have_all_their_digits(void)
{
    struct json_value *l = json_new_array(&a);

    json_add(l, json_new_int(&a, INT64_MIN));
    json_add(l, json_new_int(&a, -1));
    json_add(l, json_new_uint(&a, UINT64_MAX));
    CHECK_SAME(json_print(&a, l, false),
               "[-9223372036854775808,-1,18446744073709551615]");
}

static void a_name_is_there_once(void)
{
    struct json_value *o = json_new_object(&a);

    json_put(o, "a", json_new_int(&a, 1));
    json_put(o, "b", json_new_int(&a, 2));
    json_put(o, "a", json_new_int(&a, 3));
    CHECK(o->count == 2);
    CHECK(json_put_object(&a, o, "c") == json_put_object(&a, o, "c"));
    json_add(json_put_array(&a, o, "d"), json_new_bool(&a, false));
    CHECK_SAME(json_print(&a, o, false),
               "{\"a\":3,\"b\":2,\"c\":{},\"d\":[false]}");
    json_drop(o, "b");
    json_drop(o, "none");
    CHECK(o->count == 3);
    CHECK_SAME(json_print(&a, o, false), "{\"a\":3,\"c\":{},\"d\":[false]}");
}

static void much_is_as_good_as_little(void)
{
    struct json_value *l = json_new_array(&a);
    const struct json_value *back;
    struct error err;
    const char *text;
    unsigned i;

    for (i = 0; i < 3000; i++)
        json_add(l, json_new_uint(&a, i));
    text = json_print(&a, l, true);
    back = json_parse(&a, text, strlen(text), "text", &err);
    CHECK(back && back->count == 3000);
    arena_free(&a);
}

int main(void)
{
    RUN(a_tree_is_one_line_or_many);
    RUN(texts_are_what_they_were);
    RUN(numbers_have_all_their_digits);
    RUN(a_name_is_there_once);
    RUN(much_is_as_good_as_little);
    return test_status();
}
