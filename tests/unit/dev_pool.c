/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_pool.c - claims about devices that serve 64 requests at a time: a driver
 * that gives them as many, or more (for which a disk's table has no room), has
 * its next ones served, too. With VIRTIO_F_EVENT_IDX it kicks only where the
 * device asked to be told.
 */
#define HAND_SIZE 128u
#include "virtio_hand.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_fs.h"
#include "io/share/share.h"

#define EVENT_IDX BIT64(29)
#define POOL      64
#define BLK_FLUSH 4
#define FORGET    2 /* FUSE's: no answer */

struct pooled {
    struct hand h;
    unsigned queue, descs; /* what a request takes of the table */
    uint16_t kicked;       /* the driver's index, when it last looked */
    char path[32];
    struct disk disk;
    struct virtio_blk blk;
    struct share *share;
    struct virtio_fs fs;
};

static void blk_up(struct pooled *p)
{
    memset(p, 0, sizeof(*p));
    hand_up(&p->h);
    strcpy(p->path, "/tmp/rf-pool-XXXXXX");
    close(mkstemp(p->path));
    CHECK_EQ(truncate(p->path, 1 << 20), 0);
    CHECK_EQ(disk_open(&p->disk, p->path, false, &p->h.err), 0);
    CHECK_EQ(virtio_blk_init(&p->blk, 0, &p->h.pci, &p->h.loop, &p->disk, "d",
                             1, &p->h.err),
             0);
    p->descs = 2;
    hand_driver(&p->h, &p->blk.v, EVENT_IDX, 1);
}

static void fs_up(struct pooled *p)
{
    memset(p, 0, sizeof(*p));
    hand_up(&p->h);
    strcpy(p->path, "/tmp/rf-pool-XXXXXX");
    CHECK(mkdtemp(p->path) != NULL);
    CHECK_EQ(share_open(&p->share, p->path, false, 1, &p->h.err), 0);
    CHECK_EQ(virtio_fs_init(&p->fs, 0, &p->h.pci, &p->h.loop, p->share, "tag",
                            &p->h.err),
             0);
    p->queue = 1;
    p->descs = 1;
    hand_driver(&p->h, &p->fs.v, EVENT_IDX, 2);
}

static void down(struct pooled *p)
{
    hand_down(&p->h);
    if (p->share) {
        share_close(p->share);
        rmdir(p->path);
    } else {
        disk_close(&p->disk);
        unlink(p->path);
    }
}

/* A flush of the disk, or a FORGET of a node that is not there. */
static void request(struct pooled *p)
{
    static const uint32_t flush[4] = {BLK_FLUSH};
    static const uint32_t forget[12] = {48, FORGET, 0, 0, 99, 0,
                                        0,  0,      0, 0, 1,  0};
    unsigned n = p->h.avail[p->queue];
    uint16_t at = (uint16_t)(n * p->descs % HAND_SIZE);

    if (p->share) {
        hand_put(&p->h, DATA, forget, sizeof(forget));
        hand_desc(&p->h, 1, at, DATA, sizeof(forget), 0);
    } else {
        hand_put(&p->h, DATA, flush, sizeof(flush));
        hand_desc(&p->h, 0, at, DATA, sizeof(flush), VIRTQ_DESC_NEXT);
        hand_desc(&p->h, 0, at + 1, DATA + 0x1000, 1, VIRTQ_DESC_WRITE);
    }
    hand_offer(&p->h, p->queue, at);
}

/* Rings if the device asked for one of those offered since [2.7.10]. */
static void kick(struct pooled *p)
{
    uint16_t now = p->h.avail[p->queue], event;

    hand_get(&p->h, USED(p->queue) + 4 + 8 * HAND_SIZE, &event, 2);
    if ((uint16_t)(now - event - 1) < (uint16_t)(now - p->kicked))
        hand_bell(&p->h, p->queue);
    p->kicked = now;
}

static void give(struct pooled *p, unsigned n)
{
    for (n = MIN(n, HAND_SIZE / p->descs); n; n--)
        request(p);
    kick(p);
}

static void all_are_served(struct pooled *p)
{
    uint16_t all = p->h.avail[p->queue];

    for (int i = 0; i < 2000 && hand_used(&p->h, p->queue) != all; i++)
        hand_wait(&p->h, 1000000);
    CHECK_EQ(hand_used(&p->h, p->queue), all);
}

static void more_than_the_pool_holds(struct pooled *p)
{
    static const unsigned turns[] = {POOL, 1, POOL, POOL - 1, 1, POOL + 1,
                                     100,  1, 127,  POOL,     2};

    for (unsigned i = 0; i < ARRAY_SIZE(turns); i++) {
        give(p, turns[i]);
        all_are_served(p);
    }
}

/* What was left for want of a place is not forgotten by it. */
static void saved_in_the_middle(struct pooled *p)
{
    struct state_writer *w = state_writer_new();
    struct device *d = &p->h.v->pci.dev;

    give(p, HAND_SIZE); /* its kick takes the lock */
    loop_lock(&p->h.loop);
    d->ops->save(d, w);
    loop_unlock(&p->h.loop);
    state_writer_free(w);
    all_are_served(p);
    give(p, 1);
    all_are_served(p);
}

static void a_disk_hears_of_all(void)
{
    struct pooled p;

    blk_up(&p);
    more_than_the_pool_holds(&p);
    saved_in_the_middle(&p);
    down(&p);
}

static void a_share_hears_of_all(void)
{
    struct pooled p;

    fs_up(&p);
    more_than_the_pool_holds(&p);
    saved_in_the_middle(&p);
    down(&p);
}

int main(void)
{
    RUN(a_disk_hears_of_all);
    RUN(a_share_hears_of_all);
    return test_status();
}
