/* SPDX-License-Identifier: Apache-2.0 */
/* dev_small.c - claims about the source of random numbers and the balloon. */
#include "dev/virtio/virtio_balloon.h"
#include "dev/virtio/virtio_rng.h"

#include "virtio_hand.h"

#include <sys/stat.h>

#define F_STATS     BIT64(1)
#define F_REPORTING BIT64(5)

static void rng_up(struct hand *h, struct virtio_rng *r, const uint64_t *seed)
{
    memset(r, 0, sizeof(*r));
    hand_up(h);
    CHECK_EQ(virtio_rng_init(r, 0, &h->pci, &h->loop, seed, &h->err), 0);
    hand_driver(h, &r->v, 0, 1);
}

static void ask(struct hand *h, uint32_t len)
{
    hand_desc(h, 0, 0, DATA, len, VIRTQ_DESC_WRITE);
    hand_offer(h, 0, 0);
    hand_bell(h, 0);
}

static void a_seed_gives_the_same_numbers(void)
{
    static struct virtio_rng r;
    uint64_t seed = 5, a[8], b[8];
    struct hand h;

    rng_up(&h, &r, &seed);
    ask(&h, sizeof(a));
    hand_get(&h, DATA, a, sizeof(a));
    CHECK_EQ(hand_used_len(&h, 0, 0), sizeof(a));
    hand_down(&h);
    rng_up(&h, &r, &seed);
    ask(&h, 32);
    hand_reload(&h);
    hand_get(&h, DATA, b, 32);
    ask(&h, 32);
    hand_get(&h, DATA, b + 4, 32);
    CHECK(!memcmp(a, b, sizeof(a)));
    CHECK(a[0] != a[1]);
    hand_down(&h);
}

static void the_hosts_numbers_differ(void)
{
    static struct virtio_rng r;
    uint8_t a[64], b[64];
    struct hand h;

    rng_up(&h, &r, NULL);
    ask(&h, 64);
    hand_get(&h, DATA, a, 64);
    ask(&h, 64);
    hand_get(&h, DATA, b, 64);
    CHECK(memcmp(a, b, 64) != 0);
    hand_down(&h);
}

static void numbers_are_rationed(void)
{
    static struct virtio_rng r;
    struct hand h;

    rng_up(&h, &r, NULL);
    ask(&h, 1 << 20);
    CHECK(hand_used_len(&h, 0, 0) <= VIRTIO_RNG_RATE / 10);
    ask(&h, 16); /* waits */
    CHECK_EQ(hand_used(&h, 0), 1);
    hand_write(&h, 0x14, 1, 0); /* a reset brings no more */
    hand_driver(&h, &r.v, 0, 1);
    ask(&h, 16);
    CHECK_EQ(hand_used(&h, 0), 0);
    hand_wait(&h, 100000000);
    CHECK_EQ(hand_used(&h, 0), 1);
    CHECK_EQ(hand_used_len(&h, 0, 0), 16);
    hand_down(&h);
}

static void balloon_up(struct hand *h, struct virtio_balloon *b)
{
    memset(b, 0, sizeof(*b));
    hand_up(h);
    CHECK_EQ(virtio_balloon_init(b, 0, &h->pci, &h->err), 0);
    hand_driver(h, &b->v, F_STATS | F_REPORTING, 4);
}

static uint64_t in_use(struct hand *h)
{
    struct stat st;

    CHECK_EQ(fstat(h->mem.memfd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

#define FULL 0x200000ull

static void fill(struct hand *h)
{
    memset(h->mem.ram + FULL, 0x55, 1 * MiB);
}

static void what_goes_into_the_balloon_leaves_the_host(void)
{
    static struct virtio_balloon b;
    uint32_t pfn[] = {0x200, 0x201, 0x202, 0x210, 0xfffff, 0x3ff, UINT32_MAX};
    struct hand h;
    uint64_t before;
    uint8_t byte;

    balloon_up(&h, &b);
    fill(&h);
    hand_put(&h, DATA, pfn, sizeof(pfn));
    before = in_use(&h);
    hand_desc(&h, 0, 0, DATA, sizeof(pfn), 0);
    hand_offer(&h, 0, 0);
    hand_bell(&h, 0);
    CHECK_EQ(hand_used(&h, 0), 1);
    CHECK_EQ(before - in_use(&h), 4 * 4096);
    hand_get(&h, FULL + 0x3000, &byte, 1);
    CHECK_EQ(byte, 0x55);
    hand_get(&h, FULL + 0x2000, &byte, 1);
    CHECK_EQ(byte, 0);
    CHECK(!hand_broken(&h));
    hand_down(&h);
}

static void reported_pages_leave_whole_ones_alone(void)
{
    static struct virtio_balloon b;
    struct hand h;
    uint64_t before;
    uint8_t byte;

    balloon_up(&h, &b);
    fill(&h);
    before = in_use(&h);
    hand_desc(&h, 3, 0, FULL + 0x800, 0x10000, VIRTQ_DESC_WRITE);
    hand_offer(&h, 3, 0);
    hand_bell(&h, 3);
    CHECK_EQ(before - in_use(&h), 15 * 4096);
    hand_get(&h, FULL + 0xfff, &byte, 1);
    CHECK_EQ(byte, 0x55);
    hand_get(&h, FULL + 0x10000, &byte, 1);
    CHECK_EQ(byte, 0x55);
    hand_down(&h);
}

static void target_and_statistics_go_their_ways(void)
{
    static struct virtio_balloon b;
    struct __attribute__((packed)) {
        uint16_t tag;
        uint64_t val;
    } stats[] = {{4, 1000}, {5, 2000}, {77, 1}};
    struct hand h;

    balloon_up(&h, &b);
    virtio_balloon_set(&b, 1 * MiB);
    CHECK_EQ(hand_read(&h, 0x2000, 4), 256);
    hand_write(&h, 0x2004, 4, 200);
    CHECK_EQ(b.actual, 200);
    virtio_balloon_set(&b, UINT64_MAX);
    CHECK_EQ(hand_read(&h, 0x2000, 4), HAND_RAM / 4096);
    hand_put(&h, DATA, stats, sizeof(stats));
    hand_desc(&h, 2, 0, DATA, sizeof(stats), 0);
    hand_offer(&h, 2, 0);
    hand_bell(&h, 2);
    CHECK_EQ(b.stat[4], 1000);
    CHECK_EQ(b.stat_valid, 0x30);
    CHECK_EQ(hand_used(&h, 2), 0); /* held until it is asked for */
    hand_reload(&h);
    virtio_balloon_ask(&b);
    CHECK_EQ(hand_used(&h, 2), 1);
    virtio_balloon_ask(&b);
    CHECK_EQ(hand_used(&h, 2), 1);
    hand_down(&h);
}

static void statistics_from_before_driver_ok_are_seen(void)
{
    static struct virtio_balloon b;
    struct hand h;
    uint8_t stats[10] = {5, 0, 9};

    balloon_up(&h, &b);
    hand_put(&h, DATA, stats, sizeof(stats));
    hand_desc(&h, 2, 0, DATA, sizeof(stats), 0);
    hand_offer(&h, 2, 0);
    b.v.status &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    hand_bell(&h, 2); /* too early */
    CHECK_EQ(b.stat_valid, 0);
    hand_write(&h, 0x14, 1, 15);
    CHECK_EQ(b.stat[5], 9);
    hand_down(&h);
}

int main(void)
{
    RUN(a_seed_gives_the_same_numbers);
    RUN(the_hosts_numbers_differ);
    RUN(numbers_are_rationed);
    RUN(what_goes_into_the_balloon_leaves_the_host);
    RUN(reported_pages_leave_whole_ones_alone);
    RUN(target_and_statistics_go_their_ways);
    RUN(statistics_from_before_driver_ok_are_seen);
    return test_status();
}
