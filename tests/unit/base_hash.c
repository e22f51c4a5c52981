/* SPDX-License-Identifier: Apache-2.0 */
/* base_hash.c - claims about the hash that tells contents apart. */
#include "base/hash.h"

#include "test.h"

static uint8_t page[4096];

static void every_bit_of_a_page_counts(void)
{
    uint64_t zero = hash64(0, page, sizeof(page));
    unsigned same = 0;

    for (unsigned i = 0; i < 8 * sizeof(page); i++) {
        page[i / 8] ^= (uint8_t)(1 << (i & 7));
        same += hash64(0, page, sizeof(page)) == zero;
        page[i / 8] = 0;
    }
    CHECK_EQ(same, 0);
}

static void every_place_counts(void)
{
    for (unsigned far = 1; far < 128; far++) {
        uint64_t one;

        page[0] = 1;
        page[far] = 2;
        one = hash64(0, page, sizeof(page));
        page[0] = 2;
        page[far] = 1;
        CHECK(hash64(0, page, sizeof(page)) != one);
        page[0] = page[far] = 0;
    }
}

static void length_and_seed_count(void)
{
    uint64_t seen[100];

    for (unsigned len = 0; len < 100; len++) {
        seen[len] = hash64(7, page, len);
        CHECK(seen[len] != hash64(8, page, len));
        for (unsigned i = 0; i < len; i++)
            CHECK(seen[i] != seen[len]);
    }
}

/* Others keep it or send it: LOCKSTEP_VERSION changes when this does. */
static void it_is_the_same_in_all_builds(void)
{
    CHECK_EQ(hash64(1, "what two builds have to agree about", 35),
             0x7ab3ae7a27aab3e7);
}

int main(void)
{
    RUN(every_bit_of_a_page_counts);
    RUN(every_place_counts);
    RUN(length_and_seed_count);
    RUN(it_is_the_same_in_all_builds);
    return test_status();
}
