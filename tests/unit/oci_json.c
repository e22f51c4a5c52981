/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

struct inner {
    const char *key, *name;
    int8_t small;
};

struct all {
    unsigned has, flags, kind;
    uint8_t letter, u8;
    int16_t s16;
    uint32_t u32;
    uint64_t u64;
    int64_t s64;
    const char *text;
    bool yes;
    struct json_strings strings;
    struct json_array numbers, kinds, map, list, dict;
    struct inner *object;
    struct inner in;
};

static bool find(const char *name, unsigned *value)
{
    *value = !strcmp(name, "one") ? 1 : !strcmp(name, "two") ? 2 : 0;
    return *value != 0;
}

static void init_inner(void *item)
{
    ((struct inner *)item)->small = -7;
}

/* clang-format off */
static const struct json_field inner_fields[] = {
    {"name", .kind = JSON_STRING, JSON_AT(inner, name), .required = true},
    {"small", JSON_INT(inner, small, true)},
    {NULL},
};
static const struct json_shape inner_shape = {
    .size = sizeof(struct inner), .fields = inner_fields, .init = init_inner,
    .key_at = offsetof(struct inner, key)};

static const struct json_field all_fields[] = {
    {"text", .kind = JSON_STRING, JSON_AT(all, text)},
    {"yes", .kind = JSON_BOOL, JSON_AT(all, yes)},
    {"u8", JSON_INT(all, u8, false), .has_at = offsetof(struct all, has),
     .has = 4},
    {"s16", JSON_INT(all, s16, true)},
    {"u32", JSON_INT(all, u32, false)},
    {"u64", JSON_INT(all, u64, false)},
    {"s64", JSON_INT(all, s64, true)},
    {"kind", .kind = JSON_ENUM, JSON_AT(all, kind), .find = find},
    {"letter", .kind = JSON_ENUM, .size = 1, JSON_AT(all, letter),
     .find = find},
    {"kinds", .kind = JSON_ENUMS, JSON_AT(all, kinds), .find = find},
    {"flags", .kind = JSON_FLAGS, JSON_AT(all, flags), .find = find},
    {"strings", .kind = JSON_STRINGS, JSON_AT(all, strings)},
    {"numbers", .kind = JSON_NUMBERS, JSON_AT(all, numbers)},
    {"map", .kind = JSON_MAP, JSON_AT(all, map)},
    {"object", .kind = JSON_OBJECT, JSON_AT(all, object),
     .shape = &inner_shape},
    {"in", .kind = JSON_INLINE, JSON_AT(all, in), .shape = &inner_shape},
    {"list", .kind = JSON_ARRAY, JSON_AT(all, list), .shape = &inner_shape},
    {"dict", .kind = JSON_DICT, JSON_AT(all, dict), .shape = &inner_shape},
    {NULL},
};
static const struct json_shape all_shape = {
    .size = sizeof(struct all), .fields = all_fields};
/* clang-format on */

static int read_all(struct arena *a, const char *text, struct all *out,
                    struct error *err)
{
    memset(out, 0, sizeof(*out));
    memset(err, 0, sizeof(*err));
    return json_read_text(a, text, strlen(text), "file", &all_shape, out, err);
}

/* The message of a text that is refused. */
static void refused(const char *text, const char *why)
{
    struct arena a = {0};
    struct error err;
    struct all all;

    CHECK_EQ(-read_all(&a, text, &all, &err), EINVAL);
    if (strncmp(err.msg, why, strlen(why))) {
        fprintf(stderr, "%s: \"%s\", not \"%s\"\n", text, err.msg, why);
        test_failed = 1;
    }
    arena_free(&a);
}

static bool taken(const char *text, struct all *all, struct arena *a)
{
    struct error err;
    int e = read_all(a, text, all, &err);

    if (e)
        fprintf(stderr, "%s: %s\n", text, err.msg);
    CHECK(!e);
    return !e;
}

static void every_kind_goes_where_its_table_says(void)
{
    struct arena a = {0};
    struct inner *l;
    struct all x;

    if (!taken("{\"text\": \"t\\u00e4\", \"yes\": true, \"u8\": 255,"
               " \"s16\": -32768, \"u32\": 4294967295, \"kind\": \"two\","
               " \"u64\": 18446744073709551615, \"letter\": \"one\","
               " \"s64\": -9223372036854775808, \"flags\": [\"one\", \"two\"],"
               " \"kinds\": [\"two\", \"one\"], \"strings\": [\"a\", \"\"],"
               " \"numbers\": [1, 4294967295], \"map\": {\"k\": \"v\"},"
               " \"object\": {\"name\": \"o\", \"small\": -128},"
               " \"in\": {\"name\": \"i\"}, \"list\": [{\"name\": \"l\"}],"
               " \"dict\": {\"key\": {\"name\": \"d\"}}, \"more\": [{}]}",
               &x, &a))
        return;
    CHECK(!strcmp(x.text, "t\xc3\xa4") && x.yes && x.has == 4);
    CHECK(x.u8 == 255 && x.s16 == -32768 && x.u32 == UINT32_MAX);
    CHECK(x.u64 == UINT64_MAX && x.s64 == INT64_MIN);
    CHECK(x.kind == 2 && x.letter == 1 && x.flags == 3);
    CHECK(x.kinds.count == 2 && *(unsigned *)x.kinds.items == 2);
    CHECK(x.strings.count == 2 && !strcmp(x.strings.item[0], "a"));
    CHECK(!x.strings.item[1][0] && !x.strings.item[2]);
    CHECK_EQ(((uint32_t *)x.numbers.items)[1], UINT32_MAX);
    CHECK(!strcmp(json_map_get(&x.map, "k"), "v"));
    CHECK(!json_map_get(&x.map, "none"));
    CHECK(!strcmp(x.object->name, "o") && x.object->small == -128);
    CHECK(!strcmp(x.in.name, "i") && x.in.small == -7);
    l = x.list.items;
    CHECK(x.list.count == 1 && !strcmp(l->name, "l") && l->small == -7);
    l = x.dict.items;
    CHECK(x.dict.count == 1 && !strcmp(l->key, "key") && l->name[0] == 'd');
    arena_free(&a);
}

static void null_is_as_good_as_absent(void)
{
    struct arena a = {0};
    struct all x;

    taken("{\"text\": null, \"u8\": null, \"object\": null, \"list\": null,"
          " \"strings\": null, \"map\": null}",
          &x, &a);
    CHECK(!x.text && !x.has && !x.object && !x.list.count && !x.strings.item);
    refused("{\"in\": {\"name\": null}}", "in.name: is missing");
    refused("{\"strings\": [null]}", "strings[0]: must be a string, is null");
    refused("{\"list\": [null]}", "list[0]: must be an object, is null");
    refused("{\"map\": {\"k\": null}}", "map.k: must be a string, is null");
    arena_free(&a);
}

static void an_empty_list_is_not_an_absent_one(void)
{
    struct arena a = {0};
    struct all x;

    taken("{\"strings\": []}", &x, &a);
    CHECK(x.strings.item && !x.strings.count && !x.strings.item[0]);
    arena_free(&a);
}

static void messages_begin_with_the_place(void)
{
    refused("{\"text\": 1}", "text: must be a string, is a number");
    refused("{\"yes\": 1}", "yes: must be true or false, is a number");
    refused("{\"u8\": \"1\"}", "u8: must be a whole number, is a string");
    refused("{\"u8\": 1.0}", "u8: must be a whole number, is 1.0");
    refused("{\"kind\": \"three\"}", "kind: \"three\" is not known");
    refused("{\"kinds\": [\"one\", \"x\"]}", "kinds[1]: \"x\" is not known");
    refused("{\"flags\": [true]}", "flags[0]: must be a string, is true or f");
    refused("{\"strings\": {}}", "strings: must be an array, is an object");
    refused("{\"numbers\": [1, -1]}", "numbers[1]: -1 is out of range");
    refused("{\"object\": []}", "object: must be an object, is an array");
    refused("{\"in\": {}}", "in.name: is missing");
    refused("{\"list\": [{\"name\": \"x\"}, {\"name\": 1}]}",
            "list[1].name: must be a string");
    refused("{\"dict\": {\"k\": {\"name\": \"x\", \"small\": 128}}}",
            "dict.k.small: 128 is out of range");
    refused("[]", "must be an object, is an array");
}

static void numbers_have_their_range(void)
{
    static const struct {
        const char *name, *low, *high, *below, *above;
    } t[] = {
        /* clang-format off */
        {"u8", "0", "255", "-1", "256"},
        {"s16", "-32768", "32767", "-32769", "32768"},
        {"u32", "0", "4294967295", "-1", "4294967296"},
        {"u64", "0", "18446744073709551615", "-1", NULL},
        {"s64", "-9223372036854775808", "9223372036854775807", NULL,
         "9223372036854775808"},
        /* clang-format on */
    };
    struct arena a = {0};
    struct all x;
    unsigned i, k;

    for (i = 0; i < ARRAY_SIZE(t); i++) {
        const char *good[] = {t[i].low, t[i].high};
        const char *bad[] = {t[i].below, t[i].above};

        for (k = 0; k < 2; k++) {
            taken(arena_printf(&a, "{\"%s\": %s}", t[i].name, good[k]), &x, &a);
            if (bad[k])
                refused(arena_printf(&a, "{\"%s\": %s}", t[i].name, bad[k]),
                        arena_printf(&a, "%s: %s is out of range", t[i].name,
                                     bad[k]));
        }
    }
    arena_free(&a);
}

/* Neither cut to what fits nor rounded, but refused as it stands there. */
static void no_number_is_another_than_it_says(void)
{
    static const char *const beyond[] = {
        "18446744073709551616",
        "99999999999999999999",
        "-9223372036854775809",
        "-18446744073709551616",
    };
    static const char *const fraction[] = {"1e3",  "1E+3", "1.5",
                                           "-0.0", "1e-1", "1e999"};
    struct arena a = {0};
    struct all x;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(beyond); i++) {
        refused(arena_printf(&a, "{\"s64\": %s}", beyond[i]),
                arena_printf(&a,
                             "s64: %s is out of range, must be a number "
                             "of 64 bits",
                             beyond[i]));
        refused(arena_printf(&a, "{\"u64\": %s}", beyond[i]),
                arena_printf(&a, "u64: %s is out of range", beyond[i]));
    }
    for (i = 0; i < ARRAY_SIZE(fraction); i++)
        refused(arena_printf(&a, "{\"numbers\": [1, %s]}", fraction[i]),
                arena_printf(&a, "numbers[1]: must be a whole number, is %s",
                             fraction[i]));
    taken("{\"s64\": -0, \"u64\": -0, \"other\": 1e999}", &x, &a);
    CHECK(!x.s64 && !x.u64);
    arena_free(&a);
}

static void no_string_is_cut_at_a_nul(void)
{
    refused("{\"text\": \"a\\u0000b\"}", "text: has a NUL in it");
    refused("{\"strings\": [\"\", \"\\u0000\"]}",
            "strings[1]: has a NUL in it");
    refused("{\"map\": {\"k\": \"v\\u0000\"}}", "map.k: has a NUL in it");
    refused("{\"text\\u0000\": \"a\"}",
            "file: is no JSON: a name with a NUL in it, in line 1, at byte 13");
}

static void of_two_with_one_name_the_last_wins(void)
{
    struct arena a = {0};
    char *text = arena_strdup(&a, "{\"u8\": 1"), key[16];
    struct all x;
    unsigned i;

    taken("{\"u8\": \"?\", \"text\": \"a\", \"u8\": 2,"
          " \"map\": {\"k\": \"1\", \"l\": \"2\", \"\\u006b\": \"3\"},"
          " \"in\": {\"small\": 5}, \"in\": {\"name\": \"n\"}}",
          &x, &a);
    CHECK_EQ(x.u8, 2);
    CHECK(x.map.count == 2 && !strcmp(json_map_get(&x.map, "k"), "3"));
    CHECK(x.in.small == -7 && !strcmp(x.in.name, "n"));
    /* Many of them take another way. */
    for (i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "u%u", i % 9);
        text = arena_printf(&a, "%s, \"%s\": %u", text, key, i);
    }
    taken(arena_printf(&a, "%s}", text), &x, &a);
    CHECK_EQ(x.u8, 35);
    arena_free(&a);
}

static void strings_are_utf8(void)
{
    static const char *const bad[] = {
        "\x80",
        "\xc3",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "\xe0\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf4\x90\x80\x80",
    };
    struct arena a = {0};
    struct all x;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(bad); i++)
        refused(arena_printf(&a, "{\"text\": \"%s\"}", bad[i]),
                "file: is no JSON: a string that is not UTF-8, in line 1");
    taken("{\"text\": \"\\ud83d\\ude00 \\ud83d \\udead\\u00FC\\b\\/\"}", &x,
          &a);
    CHECK(!strcmp(x.text, "\xf0\x9f\x98\x80 \xef\xbf\xbd \xef\xbf\xbd"
                          "\xc3\xbc\b/"));
    arena_free(&a);
}

static void messages_are_one_printable_line(void)
{
    refused("{\"map\": {\"a\\nb\\u001b[2J\\u0085\": 1}}",
            "map.a?b?[2J??: must be a string");
    refused("{\"kind\": \"\\u00e4\\u007f\"}", "kind: \"\xc3\xa4?\" is not");
}

static void what_is_no_json_says_where(void)
{
    refused("", "file: is no JSON: ");
    refused("{\"text\": \"x\"", "file: is no JSON: ");
    refused("{\"text\": tru}", "file: is no JSON: ");
    refused("{} {}", "file: is no JSON: ");
    refused("{'text': 'x'}", "file: is no JSON: ");
    refused("{\n \"text\": \"x\"\n \"u8\"}",
            "file: is no JSON: an object goes on with , or }, in line 3, at "
            "byte 16");
    refused("{\"u8\": 01}", "file: is no JSON: ");
    refused("{\"u8\": +1}", "file: is no JSON: ");
    refused("{\"u8\": .5}", "file: is no JSON: ");
    refused("{\"u8\": 1,}", "file: is no JSON: ");
    refused("{\"u8\": NaN}", "file: is no JSON: ");
    refused("{} // {}", "file: is no JSON: ");
    refused("{\"text\": \"a\nb\"}", "file: is no JSON: a control character");
    refused("{\"text\": \"\\x\"}", "file: is no JSON: nothing is escaped so");
    refused("{\"text\": \"\\u12\"}", "file: is no JSON: \\u needs four");
}

static void depth_is_bounded(void)
{
    char text[300] = "{\"text\": ";
    struct arena a = {0};
    struct error err;
    struct all x;

    memset(text + strlen(text), '[', 200);
    CHECK_EQ(-read_all(&a, text, &x, &err), E2BIG);
    CHECK(!strcmp(err.msg, "file: is nested deeper than 32, in line 1, at "
                           "byte 40"));
    memset(text, 0, sizeof(text));
    memset(text, '[', 32);
    memset(text + 32, ']', 32);
    refused(text, "must be an object, is an array");
    arena_free(&a);
}

static void values_are_counted(void)
{
    struct arena a = {0};
    struct error err;
    struct all x;
    char *text = arena_alloc(&a, 1000000);

    strcpy(text, "{\"more\": [0");
    for (unsigned i = 0, n = (unsigned)strlen(text); i < 300000; i++) {
        text[n++] = ',';
        text[n++] = '0';
    }
    CHECK_EQ(-read_all(&a, text, &x, &err), E2BIG);
    CHECK(!strncmp(err.msg, "file: has more than 262144 values", 33));
    arena_free(&a);
}

static void long_keys_do_not_fill_the_message(void)
{
    struct arena a = {0};
    char *key = arena_alloc(&a, 100001);

    memset(key, 'k', 100000);
    refused(arena_printf(&a, "{\"map\": {\"%s\": 1}}", key), "map.kkkk");
    refused(arena_printf(&a, "{\"kind\": \"%s\"}", key), "kind: \"kkkk");
    arena_free(&a);
}

static void files_and_pipes(void)
{
    char name[] = "/tmp/oci_json-XXXXXX", *text = NULL;
    int fd = mkstemp(name), p[2];
    struct arena a = {0};
    struct error err = {0};
    struct all x = {0};

    CHECK(write(fd, "{\"u8\": 7}\n", 10) == 10);
    close(fd);
    CHECK(!json_read_file(&a, AT_FDCWD, name, &all_shape, &x, &text, &err));
    CHECK(x.u8 == 7 && text && !strcmp(text, "{\"u8\": 7}\n"));
    unlink(name);
    CHECK_EQ(-json_read_file(&a, AT_FDCWD, name, &all_shape, &x, NULL, &err),
             ENOENT);
    CHECK_EQ(-json_read_file(&a, AT_FDCWD, "/", &all_shape, &x, NULL, &err),
             EINVAL);
    CHECK(!strcmp(err.msg, "/: is no regular file"));
    CHECK(!pipe(p));
    CHECK(write(p[1], "{\"u8\": 9}", 9) == 9);
    close(p[1]);
    CHECK(!json_read_fd(&a, p[0], "stdin", &all_shape, &x, &err));
    CHECK_EQ(x.u8, 9);
    close(p[0]);
    arena_free(&a);
}

/* Neither read for ever, nor waited for, nor cut to what there is room for. */
static void what_has_no_end_is_refused(void)
{
    char dir[] = "/tmp/oci_json-XXXXXX", name[64];
    int zero = open("/dev/zero", O_RDONLY);
    struct arena a = {0};
    struct error err = {0};
    struct all x = {0};

    CHECK(mkdtemp(dir));
    snprintf(name, sizeof(name), "%s/f", dir);
    CHECK_EQ(-json_read_fd(&a, zero, "stdin", &all_shape, &x, &err), EFBIG);
    CHECK(!strcmp(err.msg, "stdin: has more than 16 MiB"));
    close(zero);
    CHECK_EQ(
        -json_read_file(&a, AT_FDCWD, "/dev/zero", &all_shape, &x, NULL, &err),
        EINVAL);
    CHECK(!mkfifo(name, 0600));
    CHECK_EQ(-json_read_file(&a, AT_FDCWD, name, &all_shape, &x, NULL, &err),
             EINVAL);
    CHECK(strstr(err.msg, "/f: is no regular file"));
    unlink(name);
    close(open(name, O_WRONLY | O_CREAT, 0600));
    CHECK(!truncate(name, 100 * MiB));
    CHECK_EQ(-json_read_file(&a, AT_FDCWD, name, &all_shape, &x, NULL, &err),
             EFBIG);
    CHECK(strstr(err.msg, "/f: has more than 16 MiB"));
    unlink(name);
    rmdir(dir);
    arena_free(&a);
}

int main(void)
{
    RUN(every_kind_goes_where_its_table_says);
    RUN(null_is_as_good_as_absent);
    RUN(an_empty_list_is_not_an_absent_one);
    RUN(messages_begin_with_the_place);
    RUN(numbers_have_their_range);
    RUN(no_number_is_another_than_it_says);
    RUN(no_string_is_cut_at_a_nul);
    RUN(of_two_with_one_name_the_last_wins);
    RUN(strings_are_utf8);
    RUN(messages_are_one_printable_line);
    RUN(what_is_no_json_says_where);
    RUN(depth_is_bounded);
    RUN(values_are_counted);
    RUN(long_keys_do_not_fill_the_message);
    RUN(files_and_pipes);
    RUN(what_has_no_end_is_refused);
    return test_status();
}
