/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect_trace.c - categories, ranges, JSON's quotes, and a file that is
 * whole at any moment.
 */
#include "inspect/trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

static void categories_add_up(void)
{
    struct error err;
    uint32_t cats = 0;

    CHECK(!trace_cats_parse("exit", &cats, &err));
    CHECK_EQ(cats, TRACE_EXIT);
    CHECK(!trace_cats_parse("insn,mem", &cats, &err));
    CHECK_EQ(cats, TRACE_EXIT | TRACE_INSN | TRACE_MEM);
    CHECK(!trace_cats_parse("all", &cats, &err));
    CHECK_EQ(cats, TRACE_ALL);
}

static void categories_that_are_none_are_refused(void)
{
    static const char *const bad[] = {"",      ",",       "insn,", ",insn",
                                      "insns", "ins",     "ALL",   "exit intr",
                                      "help",  "exit,,io"};
    struct error err;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        uint32_t cats = 0;

        CHECK(trace_cats_parse(bad[i], &cats, &err) == -EINVAL);
    }
}

static void every_category_has_a_name_that_parses(void)
{
    for (unsigned i = 0; i < TRACE_CATS; i++) {
        struct error err;
        uint32_t cats = 0;

        CHECK(!trace_cats_parse(trace_cat_name(i), &cats, &err));
        CHECK_EQ(cats, BIT(i));
        CHECK(trace_cat_help(i)[0]);
    }
    CHECK(!trace_cat_name(TRACE_CATS));
}

static void ranges_by_numbers(void)
{
    static const struct {
        const char *text;
        uint64_t lo, hi;
    } good[] = {
        {"10-20", 0x10, 0x20},
        {"0x10-0x20", 0x10, 0x20},
        {"ffffffff81000000+1000", 0xffffffff81000000, 0xffffffff81001000},
        {"f0+10", 0xf0, 0x100},
        {"0x1234", 0x1234, 0x1235},
        {"ffffffff81000000", 0xffffffff81000000, 0xffffffff81000001},
        {"fffffffffffffff0+100", 0xfffffffffffffff0, UINT64_MAX},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        struct trace_range r;

        CHECK(!trace_range_parse(good[i].text, &r));
        CHECK_EQ(r.lo, good[i].lo);
        CHECK_EQ(r.hi, good[i].hi);
        CHECK(!r.name[0]);
    }
}

static void ranges_by_names(void)
{
    static const char *const good[] = {"schedule", "add", "face", "_text",
                                       "foo.part.0"};

    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        struct trace_range r;

        CHECK(!trace_range_parse(good[i], &r));
        CHECK(!strcmp(r.name, good[i]));
        CHECK(!trace_range_has(&r, 0, 1)); /* nowhere, until it is found */
        CHECK(!trace_range_has(&r, UINT64_MAX, 1));
    }
}

static void ranges_that_are_none_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "20-10",
                                      "10-10",
                                      "10+0",
                                      "10-",
                                      "10+",
                                      "-10",
                                      "+10",
                                      " 10",
                                      "10 ",
                                      "1x",
                                      "a b",
                                      "10-20-30",
                                      "1-0x",
                                      "0x0x10",
                                      "foo-1",
                                      "foo+8",
                                      "ffffffffffffffff",
                                      "12345678123456781-2"};
    char name[TRACE_NAME_MAX + 1];
    struct trace_range r;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(trace_range_parse(bad[i], &r));
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CHECK(trace_range_parse(name, &r));
}

static void an_access_touches_a_range_with_any_byte(void)
{
    struct trace_range r;

    CHECK(!trace_range_parse("100-110", &r));
    CHECK(trace_range_has(&r, 0xfd, 4));
    CHECK(!trace_range_has(&r, 0xfc, 4));
    CHECK(trace_range_has(&r, 0x10f, 1));
    CHECK(!trace_range_has(&r, 0x110, 8));
}

/* A file of symbols, read as a user's. */
static struct symbols *symbols_of(const char *text)
{
    char name[] = "/tmp/inspect_trace.XXXXXX";
    struct symbols *s = NULL;
    int fd = mkstemp(name);
    struct error err;

    if (fd < 0)
        return NULL;
    if (write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
        symbols_load(&s, name, &err))
        s = NULL;
    close(fd);
    unlink(name);
    return s;
}

static void a_symbols_range_ends_at_the_next(void)
{
    struct symbols *s = symbols_of("ffffffff81000000 T first\n"
                                   "ffffffff81000001 T one_byte\n"
                                   "ffffffff81000002 T odd\n"
                                   "ffffffff81000127 T firsts\n"
                                   "ffffffff81010000 T last\n");
    static const struct {
        const char *name;
        uint64_t lo, hi;
    } want[] = {{"first", 0x81000000, 0x81000001},
                {"one_byte", 0x81000001, 0x81000002},
                {"odd", 0x81000002, 0x81000127},
                {"firsts", 0x81000127, 0x81010000}};
    struct trace_range r;

    CHECK(s);
    for (unsigned i = 0; s && i < ARRAY_SIZE(want); i++) {
        CHECK(!trace_range_parse(want[i].name, &r));
        trace_range_find(&r, s);
        CHECK_EQ(r.lo, 0xffffffff00000000 + want[i].lo);
        CHECK_EQ(r.hi, 0xffffffff00000000 + want[i].hi);
    }
    CHECK(!trace_range_parse("nobody", &r));
    trace_range_find(&r, s);
    CHECK_EQ(r.hi, 0);
    trace_range_find(&r, NULL);
    CHECK_EQ(r.hi, 0);
    symbols_free(s);
}

static void quotes_leave_nothing_that_ends_a_string(void)
{
    char buf[64], small[8];

    trace_json_quote(buf, sizeof(buf), "a\"b\\c\n\x1b\x80");
    CHECK(!strcmp(buf, "a\\\"b\\\\c\\u000a\\u001b\\u0080"));
    trace_json_quote(small, sizeof(small), "\x01\x02\x03\x04");
    CHECK(strlen(small) < sizeof(small));
}

static size_t contents(const char *name, char *buf, size_t len)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, len - 1);

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void a_file_ends_with_its_tail_after_every_flush(void)
{
    struct trace_out *o = calloc(1, sizeof(*o));
    char name[] = "/tmp/inspect_trace.XXXXXX", buf[64];
    int fd = mkstemp(name);
    struct error err;

    CHECK(fd >= 0 && o);
    close(fd);
    CHECK(!trace_out_open(o, name, "]", &err));
    trace_out_put(o, "[1", 2);
    trace_out_flush(o);
    contents(name, buf, sizeof(buf));
    CHECK(!strcmp(buf, "[1]"));
    trace_out_put(o, ",2", 2);
    trace_out_flush(o);
    contents(name, buf, sizeof(buf));
    CHECK(!strcmp(buf, "[1,2]"));
    trace_out_put(o, ",3", 2);
    trace_out_close(o);
    CHECK(!o->error);
    contents(name, buf, sizeof(buf));
    CHECK(!strcmp(buf, "[1,2,3]"));
    unlink(name);
    free(o);
}

static void a_long_output_is_complete(void)
{
    struct trace_out *o = calloc(1, sizeof(*o));
    char name[] = "/tmp/inspect_trace.XXXXXX", record[1000];
    int fd = mkstemp(name);
    struct error err;

    memset(record, 'x', sizeof(record));
    CHECK(fd >= 0 && o);
    CHECK(!trace_out_open(o, name, "]", &err));
    for (unsigned i = 0; i < 300; i++)
        trace_out_put(o, record, sizeof(record));
    trace_out_close(o);
    CHECK(!o->error);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 300001);
    close(fd);
    unlink(name);
    free(o);
}

static void an_output_that_fails_says_so_and_stops(void)
{
    struct trace_out *o = calloc(1, sizeof(*o));
    struct error err;

    CHECK(o);
    if (access("/dev/full", W_OK)) {
        free(o);
        SKIP("no /dev/full");
    }
    CHECK(!trace_out_open(o, "/dev/full", "]", &err));
    trace_out_put(o, "text", 4);
    trace_out_flush(o);
    CHECK_EQ(o->error, ENOSPC);
    trace_out_put(o, "text", 4);
    CHECK_EQ(o->len, 0);
    trace_out_close(o);
    CHECK_EQ(o->error, ENOSPC);
    free(o);
}

int main(void)
{
    RUN(categories_add_up);
    RUN(categories_that_are_none_are_refused);
    RUN(every_category_has_a_name_that_parses);
    RUN(ranges_by_numbers);
    RUN(ranges_by_names);
    RUN(ranges_that_are_none_are_refused);
    RUN(an_access_touches_a_range_with_any_byte);
    RUN(a_symbols_range_ends_at_the_next);
    RUN(quotes_leave_nothing_that_ends_a_string);
    RUN(a_file_ends_with_its_tail_after_every_flush);
    RUN(a_long_output_is_complete);
    RUN(an_output_that_fails_says_so_and_stops);
    return test_status();
}
