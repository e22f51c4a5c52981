/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "test.h"

static void what_is_given_is_zeroed_aligned_and_apart(void)
{
    static const size_t sizes[] = {1, 16, 17, 100, 16384, 40000, 3};
    struct arena a = {0};
    unsigned char *p[ARRAY_SIZE(sizes)];
    size_t i, j;

    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        p[i] = arena_alloc(&a, sizes[i]);
        CHECK_EQ((uintptr_t)p[i] % 16, 0);
        for (j = 0; j < sizes[i]; j++)
            CHECK_EQ(p[i][j], 0);
        memset(p[i], (int)i + 1, sizes[i]);
    }
    for (i = 0; i < ARRAY_SIZE(sizes); i++)
        for (j = 0; j < sizes[i]; j++)
            CHECK_EQ(p[i][j], i + 1);
    arena_free(&a);
    CHECK(!a.last);
}

static void nothing_is_something_too(void)
{
    struct arena a = {0};

    CHECK(arena_alloc(&a, 0) != NULL);
    CHECK(!strcmp(arena_strdup(&a, ""), ""));
    arena_free(&a);
    arena_free(&a);
}

static void texts_of_any_length(void)
{
    static char big[50000];
    struct arena a = {0};
    char *copy, *made;

    memset(big, 'x', sizeof(big) - 1);
    copy = arena_strdup(&a, big);
    made = arena_printf(&a, "%s-%d", big, 7);
    CHECK(copy != big && !strcmp(copy, big));
    CHECK_EQ(strlen(made), sizeof(big) + 1);
    CHECK(!strcmp(made + sizeof(big) - 1, "-7"));
    arena_free(&a);
}

static void it_can_be_used_again(void)
{
    struct arena a = {0};

    arena_strdup(&a, "one");
    arena_free(&a);
    CHECK(!strcmp(arena_strdup(&a, "two"), "two"));
    arena_free(&a);
}

int main(void)
{
    RUN(what_is_given_is_zeroed_aligned_and_apart);
    RUN(nothing_is_something_too);
    RUN(texts_of_any_length);
    RUN(it_can_be_used_again);
    return test_status();
}
