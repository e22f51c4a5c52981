/* SPDX-License-Identifier: Apache-2.0 */
/* base_state.c - claims about the state format. */
#include "base/state.h"

#include <stdlib.h>

#include "test.h"

static struct state_writer *sample(void)
{
    struct state_writer *w = state_writer_new();

    state_begin(w, "uart", 0, 2);
    state_put(w, "ier", 5);
    state_put_blob(w, "rx", "hello", 5);
    state_end(w);
    state_begin(w, "uart", 1, 1);
    state_put(w, "ier", UINT64_MAX);
    state_put_blob(w, "rx", "", 0);
    state_end(w);
    return w;
}

static void what_was_written_is_read_in_any_order(void)
{
    struct state_writer *w = sample();
    struct error err;
    size_t len;
    const uint8_t *b = state_writer_bytes(w, &len);
    struct state_reader *r = state_reader_new(b, len, &err);
    char rx[5];

    CHECK(r);
    CHECK_EQ(state_open(r, "uart", 1, 2), 1);
    CHECK_EQ(state_get(r, "ier"), UINT64_MAX);
    CHECK_EQ(state_open(r, "uart", 0, 2), 2);
    state_get_blob(r, "rx", rx, 5);
    CHECK(!memcmp(rx, "hello", 5));
    CHECK_EQ(state_get(r, "ier"), 5);
    CHECK_EQ(state_result(r, &err), 0);
    state_reader_free(r);
    state_writer_free(w);
}

static void all_fields_are_gone_through_in_order(void)
{
    static const char *const want[] = {"uart 0 2 ier", "uart 0 2 rx",
                                       "uart 1 1 ier", "uart 1 1 rx"};
    struct state_writer *w = sample();
    struct state_cursor c;
    struct state_item it;
    struct error err;
    unsigned n = 0;
    size_t len;
    const uint8_t *b = state_writer_bytes(w, &len);
    struct state_reader *r = state_reader_new(b, len, &err);
    char text[200];

    for (state_first(r, &c); state_next(&c, &it); n++) {
        snprintf(text, sizeof(text), "%s %u %u %s", it.section, it.instance,
                 it.version, it.name);
        CHECK(n < 4 && !strcmp(text, want[n]));
        CHECK_EQ(it.blob, n & 1);
        if (n == 1)
            CHECK(it.len == 5 && !memcmp(it.bytes, "hello", 5));
        if (n == 2)
            CHECK_EQ(it.value, UINT64_MAX);
    }
    CHECK_EQ(n, 4);
    CHECK(!state_next(&c, &it));
    state_reader_free(r);
    state_writer_free(w);
}

static void errors_stick_and_name_their_place(void)
{
    struct state_writer *w = sample();
    struct error err;
    size_t len;
    const uint8_t *b = state_writer_bytes(w, &len);
    struct state_reader *r = state_reader_new(b, len, &err);
    char rx[4];

    CHECK_EQ(state_open(r, "uart", 0, 2), 2);
    CHECK_EQ(state_get_max(r, "ier", 4), 0);
    state_get_blob(r, "rx", rx, 4);
    state_get(r, "none");
    CHECK(state_result(r, &err) < 0);
    CHECK(strstr(err.msg, "uart 0") && strstr(err.msg, "'ier'"));
    state_reader_free(r);
    r = state_reader_new(b, len, &err);
    CHECK_EQ(state_open(r, "uart", 0, 1), 0);
    CHECK(state_result(r, &err) < 0);
    state_reader_free(r);
    r = state_reader_new(b, len, &err);
    CHECK_EQ(state_open(r, "uart", 7, 9), 0);
    CHECK_EQ(state_get(r, "ier"), 0);
    CHECK(state_result(r, &err) < 0);
    state_reader_free(r);
    state_writer_free(w);
}

static void every_flipped_bit_is_noticed(void)
{
    struct state_writer *w = sample();
    struct error err;
    size_t len;
    const uint8_t *b = state_writer_bytes(w, &len);
    uint8_t *copy = malloc(len);

    for (size_t bit = 0; bit < len * 8; bit++) {
        struct state_reader *r;

        memcpy(copy, b, len);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        r = state_reader_new(copy, len, &err);
        CHECK(!r);
        state_reader_free(r);
    }
    free(copy);
    state_writer_free(w);
}

static void a_truncated_file_is_refused_or_ends_at_a_section(void)
{
    struct state_writer *w = sample();
    struct error err;
    size_t len;
    const uint8_t *b = state_writer_bytes(w, &len);
    unsigned taken = 0;

    for (size_t n = 0; n < len; n++) {
        uint8_t *copy = malloc(n ? n : 1); /* its end is asan's to watch */
        struct state_reader *r;

        memcpy(copy, b, n);
        r = state_reader_new(copy, n, &err);
        taken += r != NULL;
        if (r && !state_open(r, "uart", 1, 2))
            CHECK(state_result(r, &err) < 0);
        state_reader_free(r);
        free(copy);
    }
    CHECK_EQ(taken, 2); /* after the header, after the first section */
    state_writer_free(w);
}

int main(void)
{
    RUN(what_was_written_is_read_in_any_order);
    RUN(all_fields_are_gone_through_in_order);
    RUN(errors_stick_and_name_their_place);
    RUN(every_flipped_bit_is_noticed);
    RUN(a_truncated_file_is_refused_or_ends_at_a_section);
    return test_status();
}
