/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - a hostile driver of every device: rings and chains of all kinds
 * and places, features and configuration in any order, doorbells at any time,
 * resets with requests in flight, BARs that move and vectors that are junk.
 * Mostly the messages make sense, so that it gets behind the first checks.
 * RAM's fences, the disk's size and what is beside the share stay as they were.
 */
#include "world.h"

#include <linux/fuse.h>
#include <sys/stat.h>

#include "dev/virtio/virtio_fs.h"
#include "io/vsock_int.h"
#include "message.h"
#include "tree.h"

#define COMMON 0x0000u
#define NOTIFY 0x3000u

static struct world w;

#define DEVICES 7u
#define QUEUES  8u /* of one, at most */

struct driver {
    struct virtio *v;
    unsigned which;
    struct fuzz *f;
    unsigned wild; /* 0..3: how much of it is not what a driver does */
    uint16_t idx[DEVICES][QUEUES]; /* lies are welcome */
};

/* What is shared, on top of the world's devices. */
static struct virtio_fs fs;
static struct share *share;

static void put(gpa_t at, const void *p, size_t n)
{
    if (guest_mem_write(&w.mem, at, p, n))
        return; /* out of RAM on purpose */
}

static void reg(struct virtio *v, unsigned off, unsigned width, uint64_t val)
{
    io_write(&w.mem, IO_MMIO, v->pci.bar[0].region.base + off, width, val);
}

static void device(struct driver *d, unsigned i)
{
    struct virtio *all[DEVICES] = {&w.vcon.v, &w.blk.v,     &w.vnet.v,
                                   &w.rng.v,  &w.balloon.v, &w.vsock.v,
                                   &fs.v};

    d->which = i % DEVICES;
    d->v = all[d->which];
}

static struct virtq *queue(struct driver *d, unsigned q)
{
    return &d->v->q[q % d->v->queues];
}

/* Somewhere that rings should not be. */
static gpa_t ring_bad(struct driver *d, unsigned q)
{
    const struct virtq *vq = queue(d, q);

    switch (fuzz8(d->f) % 8) {
    case 0: /* across the end of RAM */
        return WORLD_RAM - (fuzz16(d->f) & 0xfff0);
    case 1: /* registers: its own, and the APICs */
        return d->v->pci.bar[0].region.base;
    case 2:
        return 0xfee00000;
    case 3: /* over its others */
        return vq->avail + fuzz8(d->f) * 4u;
    case 4:
        return vq->used + fuzz8(d->f) * 4u;
    case 5:
        return vq->desc + fuzz8(d->f) * 16u;
    case 6:
        return PCI_ECAM_BASE + fuzz16(d->f) * 16u;
    default:
        return fuzz_number(d->f);
    }
}

/* Rings are far apart; now and then somewhere else. */
static gpa_t ring_at(struct driver *d, unsigned q, unsigned part)
{
    if (fuzz8(d->f) < 12 * d->wild)
        return ring_bad(d, q);
    return 0x10000 + d->which * 0x30000 + q * 0x6000ull + part * 0x2000;
}

static void negotiate(struct driver *d)
{
    uint8_t how = d->wild ? fuzz8(d->f) : 1;

    reg(d->v, COMMON + 0x14, 1, 0);
    reg(d->v, COMMON + 0x14, 1, 3);
    reg(d->v, COMMON + 0x08, 4, 0);
    reg(d->v, COMMON + 0x0c, 4,
        how & 1 ? d->v->offered : fuzz32(d->f) & (uint32_t)d->v->offered);
    reg(d->v, COMMON + 0x08, 4, 1);
    reg(d->v, COMMON + 0x0c, 4, how & 2 ? fuzz8(d->f) : 1);
    reg(d->v, COMMON + 0x14, 1, 11);
}

static void queue_up(struct driver *d, unsigned q)
{
    static const uint16_t sizes[] = {1, 2, 8, 128};

    reg(d->v, COMMON + 0x16, 2, q);
    reg(d->v, COMMON + 0x18, 2, d->wild ? sizes[fuzz8(d->f) & 3] : 128);
    for (unsigned part = 0; part < 3; part++) {
        gpa_t at = ring_at(d, q, part);

        reg(d->v, COMMON + 0x20 + 8 * part, 4, at);
        reg(d->v, COMMON + 0x24 + 8 * part, 4, at >> 32);
    }
    reg(d->v, COMMON + 0x1c, 2, 1);
    d->idx[d->which][q % QUEUES] = 0;
}

/* Where a buffer is: mostly RAM, sometimes its edge or beyond. */
static uint64_t buffer_at(struct driver *d)
{
    struct fuzz *f = d->f;
    uint8_t how = d->wild ? fuzz8(f) : 0;

    if (how < 200)
        return 0x200000 + (fuzz16(f) << 4);
    if (how < 220)
        return WORLD_RAM - fuzz8(f);
    if (how < 235)
        return 0x10000 + fuzz16(f); /* the rings themselves */
    return fuzz_number(f);
}

static uint32_t buffer_len(struct fuzz *f)
{
    static const uint32_t usual[] = {1, 16, 32, 512, 1024, 4096, 0, 513};
    uint8_t how = fuzz8(f);

    return how < 220 ? usual[how & 7] : (uint32_t)fuzz_number(f);
}

static void desc_put(struct driver *d, gpa_t table, unsigned i, bool loop)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } e;
    uint8_t how = fuzz8(d->f);

    e.addr = buffer_at(d);
    e.len = buffer_len(d->f);
    e.flags = how & 3;
    if (how >= 240)
        e.flags = VIRTQ_DESC_INDIRECT;
    else if (how >= 232)
        e.flags = fuzz16(d->f);
    e.next = (uint16_t)(how & 4 && loop ? fuzz8(d->f) : i + 1);
    put(table + 16 * i, &e, sizeof(e));
}

/* A block request that makes sense, in three descriptors. */
static void request_put(struct driver *d, gpa_t table, unsigned i)
{
    static const uint32_t types[] = {0, 1, 4, 8, 11, 13, 0, 1};
    struct {
        uint32_t type, reserved;
        uint64_t sector;
        uint64_t range_sector;
        uint32_t sectors, flags;
    } head = {types[fuzz8(d->f) & 7], 0, fuzz16(d->f) & 0xfff};
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } e[3];
    bool ranged = head.type >= 11, in = head.type == 0 || head.type == 8;
    gpa_t at = 0x180000 + (fuzz8(d->f) << 8);

    head.range_sector = fuzz16(d->f) & 0xfff;
    head.sectors = fuzz8(d->f);
    head.flags = fuzz8(d->f) & 1;
    put(at, &head, sizeof(head));
    e[0].addr = at;
    e[0].len = 16;
    e[1].addr = ranged ? at + 16 : buffer_at(d);
    e[1].len = ranged ? 16 : head.type == 4 ? 0 : 512u * (fuzz8(d->f) & 15);
    e[2].addr = at + 0x80;
    e[2].len = 1;
    e[0].flags = e[1].flags = VIRTQ_DESC_NEXT;
    e[1].flags |= in ? VIRTQ_DESC_WRITE : 0;
    e[2].flags = VIRTQ_DESC_WRITE;
    e[0].next = (uint16_t)(i + 1);
    e[1].next = (uint16_t)(i + 2);
    e[2].next = 0;
    put(table + 16 * i, e, sizeof(e));
}

/* A message of the device's kind, in two pieces, and one for the answer. */
static void message_put(struct driver *d, unsigned q, unsigned i)
{
    static uint8_t m[MESSAGE_MAX];
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } e[3];
    gpa_t at = 0x170000 + (fuzz8(d->f) << 10);
    uint32_t more, in;
    uint32_t len = (uint32_t)message_make(d->f, d->v, q, m, &more, &in);
    uint32_t cut = more ? len : MIN(fuzz16(d->f) & 0x3ff, len);

    put(at, m, len);
    e[0].addr = at;
    e[0].len = cut;
    e[0].next = (uint16_t)(i + 1);
    e[1].addr = more ? 0x200000 : at + cut;
    e[1].len = more ? more : len - cut;
    e[1].next = (uint16_t)(i + 2);
    e[2].addr = buffer_at(d);
    e[2].len = in;
    e[2].next = 0;
    e[0].flags = VIRTQ_DESC_NEXT;
    e[1].flags = in ? VIRTQ_DESC_NEXT : 0;
    e[2].flags = VIRTQ_DESC_WRITE;
    if (!len) /* only an answer */
        e[0] = e[2];
    put(queue(d, q)->desc + 16 * i, e, sizeof(e));
}

static void chain_put(struct driver *d, unsigned q, unsigned i)
{
    if (d->v == &w.blk.v)
        request_put(d, queue(d, q)->desc, i);
    else
        message_put(d, q, i);
}

static void offer(struct driver *d, unsigned q, unsigned head)
{
    const struct virtq *vq = queue(d, q);
    uint16_t *idx = &d->idx[d->which][q % QUEUES], h = (uint16_t)head;

    if (d->wild && fuzz8(d->f) < 4)
        h = fuzz16(d->f);
    put(vq->avail + 4 + 2 * (*idx % MAX(vq->size, 1)), &h, 2);
    ++*idx;
    if (d->wild && fuzz8(d->f) < 3)
        *idx = fuzz16(d->f);
    put(vq->avail + 2, idx, 2);
}

static void bell(struct driver *d, unsigned q)
{
    reg(d->v, NOTIFY + 4 * q, 2, q);
}

/* The driver's wish to be told: flags, and an index that may jump. */
static void wish(struct driver *d, unsigned q)
{
    const struct virtq *vq = queue(d, q);
    uint16_t v = fuzz8(d->f) < 128 ? fuzz8(d->f) : fuzz16(d->f);

    put(vq->avail, &v, 2);
    put(vq->avail + 4 + 2 * vq->size, &v, 2);
}

static uint64_t config_of(const struct driver *d)
{
    return PCI_ECAM_BASE + 0x8000ull * d->v->pci.slot;
}

/* Over RAM, over each other, over what is no memory. */
static void bar_move(struct driver *d)
{
    static const uint64_t places[] = {0,          0x100000,          0xfee00000,
                                      0xfec00000, 0xe0000000,        0xd0000000,
                                      0xfffff000, WORLD_RAM - 0x1000};
    unsigned bar = fuzz8(d->f) % 6;
    uint64_t at = places[fuzz8(d->f) % ARRAY_SIZE(places)];

    if (fuzz8(d->f) < 64)
        at = fuzz_number(d->f);
    io_write(&w.mem, IO_MMIO, config_of(d) + 0x10 + 4 * bar, 4, at);
    if (fuzz8(d->f) & 1)
        io_write(&w.mem, IO_MMIO, config_of(d) + 4, 2, fuzz8(d->f) & 7);
}

/* The table's entries, its pending bits, and the vectors of queues. */
static void vectors(struct driver *d, unsigned q)
{
    uint64_t table = d->v->pci.bar[2].region.base;

    io_write(&w.mem, IO_MMIO, table + fuzz16(d->f) % 0x1000,
             BIT(fuzz8(d->f) & 3), fuzz_number(d->f));
    reg(d->v, COMMON + 0x16, 2, q);
    reg(d->v, COMMON + 0x1a, 2, fuzz8(d->f) & 15);
    if (fuzz8(d->f) & 1)
        io_write(&w.mem, IO_MMIO, config_of(d) + d->v->pci.msix.cap + 2, 2,
                 (uint64_t)fuzz8(d->f) << 14);
}

static void exchange(struct driver *d, unsigned q)
{
    unsigned i = fuzz8(d->f) % 40 * 3;

    chain_put(d, q, i % MAX(queue(d, q)->size, 1));
    offer(d, q, i % MAX(queue(d, q)->size, 1));
    if (fuzz8(d->f) & 7)
        bell(d, q);
}

/* Mostly requests; else what only a hostile driver does, or an odd one. */
static void step(struct driver *d)
{
    struct fuzz *f = d->f;
    unsigned q = fuzz8(f) % d->v->queues;

    if (fuzz8(f) >= 16 + 64 * d->wild) {
        exchange(d, q);
        return;
    }
    switch (fuzz8(f) & 15) {
    case 0:
        negotiate(d);
        break;
    case 1:
    case 2:
        queue_up(d, q);
        reg(d->v, COMMON + 0x14, 1, 15);
        break;
    case 3:
    case 4:
        desc_put(d, queue(d, q)->desc, fuzz8(f) & 127, true);
        break;
    case 5: /* an indirect table's entry */
        desc_put(d, buffer_at(d), fuzz8(f) & 15, true);
        break;
    case 6:
    case 7:
        offer(d, q, fuzz8(f) % MAX(queue(d, q)->size, 1));
        bell(d, q);
        break;
    case 8:
        reg(d->v, fuzz16(f) & 0x3fff, BIT(fuzz8(f) & 3), fuzz_number(f));
        break;
    case 9:
        io_read(&w.mem, IO_MMIO,
                d->v->pci.bar[0].region.base + (fuzz16(f) & 0x3fff),
                BIT(fuzz8(f) & 3));
        break;
    case 10:
        world_poke(&w, f);
        break;
    case 11:
        wish(d, q);
        break;
    case 12:
        bar_move(d);
        break;
    case 13:
        vectors(d, q);
        break;
    case 14:
        reg(d->v, 0x2000 + fuzz8(f) % 64u, BIT(fuzz8(f) & 3), fuzz_number(f));
        break;
    default:
        io_read(&w.mem, IO_MMIO,
                d->v->pci.bar[0].region.base + 0x2000 + fuzz8(f) % 64u,
                BIT(fuzz8(f) & 3));
    }
}

/* What comes from the other side: a frame, a wish for memory. */
static void outside(struct fuzz *f)
{
    static uint8_t frame[NET_FRAME_MAX];
    struct net_header h = {.flags = fuzz8(f), .gso_type = fuzz8(f)};

    loop_lock(&w.loop);
    frame[0] = fuzz8(f);
    net_input(&w.net, &h, frame, fuzz16(f) >> (fuzz8(f) & 15));
    if (fuzz8(f) & 1)
        virtio_balloon_set(&w.balloon, fuzz_number(f));
    else
        virtio_balloon_ask(&w.balloon);
    loop_unlock(&w.loop);
}

/* Until nobody has anything under way. */
static void drain(void)
{
    bool busy;

    do {
        world_drain(&w);
        pthread_mutex_lock(&fs.lock);
        busy = fs.busy || fs.todo || fs.done;
        pthread_mutex_unlock(&fs.lock);
    } while (busy);
}

/* No stream keeps more than it may, whatever credit the guest claims. */
static void streams_check(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(w.vs->bucket); i++) {
        for (struct vsock_conn *c = w.vs->bucket[i]; c; c = c->next, n++)
            FUZZ_CHECK(c->rx_cnt - c->fwd_cnt <= VSOCK_BUF);
    }
    FUZZ_CHECK(n == w.vs->conns && n <= w.vs->conns_max);
}

static void up(void)
{
    struct error err;

    tree_up(WORLD_RAM); /* RAM is a file, too */
    world_up(&w);
    w.takes = 4096;
    FUZZ_CHECK(!share_open(&share, tree_path(TREE_SHARED), false, 1, &err));
    FUZZ_CHECK(!virtio_fs_init(&fs, 0, &w.pci, &w.loop, share, "fuzz", &err));
    w.device[w.devices++] = &fs.v.pci.dev;
}

static void down(void)
{
    struct stat st;

    FUZZ_CHECK(!fstat(w.disk_fd, &st) && st.st_size == (off_t)WORLD_DISK);
    world_down(&w);
    share_close(share);
    tree_check();
    tree_down();
}

/* What a driver says first, and without which it gets nowhere. */
static void begin(struct driver *d)
{
    static const uint8_t init[] = {56, 0, 0, 0, FUSE_INIT, 0, 0, 0};
    static const uint8_t ready[] = {0, 0, 0, 0, 0, 0, 1, 0};
    bool share_it = d->v == &fs.v;
    unsigned q = share_it ? 1 : 3;
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } e[2] = {{0x170000, share_it ? 56 : 8, share_it, 1},
              {0x171000, 256, VIRTQ_DESC_WRITE, 0}};
    uint32_t major = 7;

    if (!share_it && d->v != &w.vcon.v)
        return;
    put(0x170000, share_it ? init : ready, 8);
    put(0x170000 + 40, &major, 4);
    put(queue(d, q)->desc, e, sizeof(e));
    offer(d, q, 0);
    bell(d, q);
    drain();
}

/*
 * The first byte: one device alone, which goes deeper, or all of them, which
 * meet.
 */
static void one(struct fuzz *f)
{
    static struct driver d;
    unsigned only = fuzz8(f) % (2 * DEVICES), wild = fuzz8(f) & 3;

    up();
    memset(&d, 0, sizeof(d));
    d.f = f;
    for (unsigned i = 0; i < DEVICES; i++) {
        device(&d, i);
        negotiate(&d);
        for (unsigned q = 0; q < d.v->queues; q++)
            queue_up(&d, q);
        reg(d.v, COMMON + 0x14, 1, 15);
        begin(&d);
    }
    d.wild = wild;
    while (!fuzz_done(f)) {
        uint8_t who = fuzz8(f);

        device(&d, only < DEVICES ? only : who);
        step(&d);
        if (who < 16)
            outside(f);
        if (who & 1)
            world_outside(&w, f);
        streams_check();
        if (who >= 240)
            drain();
    }
    drain();
    down();
}

static const struct fuzz_target target = {
    .name = "virtio",
    .corpus = "virtio",
    .max_len = 6000,
    .runs = 1000,
    .one = one,
};

int main(int argc, char **argv)
{
    atexit(tree_down);
    return fuzz_main(argc, argv, &target);
}
