/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - a hostile driver: rings and chains of all kinds, features and
 * configuration in any order, doorbells at any time, resets with requests in
 * flight. RAM outside of the buffers stays as it was.
 */
#include "world.h"

#include <sys/stat.h>

#define COMMON 0x0000u
#define NOTIFY 0x3000u

static struct world w;

struct driver {
    struct virtio *v;
    struct fuzz *f;
    uint16_t idx[4]; /* of whichever device: lies are welcome */
};

static void put(gpa_t at, const void *p, size_t n)
{
    if (guest_mem_write(&w.mem, at, p, n))
        return; /* out of RAM on purpose */
}

static void reg(struct virtio *v, unsigned off, unsigned width, uint64_t val)
{
    io_write(&w.mem, IO_MMIO, v->pci.bar[0].region.base + off, width, val);
}

#define DEVICES 5u

static struct virtio *device(unsigned i)
{
    struct virtio *all[DEVICES] = {&w.vcon.v, &w.blk.v, &w.vnet.v, &w.rng.v,
                                   &w.balloon.v};

    return all[i % DEVICES];
}

/* Rings are 64 KiB apart; now and then somewhere else. */
static gpa_t ring_at(struct driver *d, unsigned q, unsigned part)
{
    unsigned which = 0;

    while (device(which) != d->v)
        which++;

    if (fuzz8(d->f) < 8)
        return fuzz_number(d->f);
    return 0x10000 + which * 0x40000 + q * 0x10000ull + part * 0x4000;
}

static void negotiate(struct driver *d)
{
    uint8_t how = fuzz8(d->f);

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
    reg(d->v, COMMON + 0x18, 2, sizes[fuzz8(d->f) & 3]);
    for (unsigned part = 0; part < 3; part++) {
        gpa_t at = ring_at(d, q, part);

        reg(d->v, COMMON + 0x20 + 8 * part, 4, at);
        reg(d->v, COMMON + 0x24 + 8 * part, 4, at >> 32);
    }
    reg(d->v, COMMON + 0x1c, 2, 1);
    d->idx[q & 3] = 0;
}

/* Where a buffer is: mostly RAM, sometimes its edge or beyond. */
static uint64_t buffer_at(struct fuzz *f)
{
    uint8_t how = fuzz8(f);

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

    e.addr = buffer_at(d->f);
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
    e[1].addr = ranged ? at + 16 : buffer_at(d->f);
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

static void offer(struct driver *d, unsigned q)
{
    const struct virtq *vq = &d->v->q[q % d->v->queues];
    uint16_t head = fuzz8(d->f) % (vq->size ? vq->size : 1u);

    if (fuzz8(d->f) < 4)
        head = fuzz16(d->f);
    put(vq->avail + 4 + 2 * (d->idx[q & 3] % MAX(vq->size, 1)), &head, 2);
    d->idx[q & 3]++;
    if (fuzz8(d->f) < 3)
        d->idx[q & 3] = fuzz16(d->f);
    put(vq->avail + 2, &d->idx[q & 3], 2);
}

static void step(struct driver *d)
{
    struct fuzz *f = d->f;
    unsigned q = fuzz8(f) & 3;
    const struct virtq *vq = &d->v->q[q];

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
        desc_put(d, vq->desc, fuzz8(f) & 127, true);
        break;
    case 5: /* an indirect table's entry */
        desc_put(d, buffer_at(f), fuzz8(f) & 15, true);
        break;
    case 6:
    case 7:
    case 8:
        request_put(d, vq->desc, fuzz8(f) % 5);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        offer(d, q);
        if (fuzz8(f) & 3)
            reg(d->v, NOTIFY + 4 * q, 2, q);
        break;
    case 13:
        reg(d->v, fuzz16(f) & 0x3fff, BIT(fuzz8(f) & 3), fuzz_number(f));
        break;
    case 14:
        io_read(&w.mem, IO_MMIO,
                d->v->pci.bar[0].region.base + (fuzz16(f) & 0x3fff),
                BIT(fuzz8(f) & 3));
        break;
    default:
        world_poke(&w, f);
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

static void one(struct fuzz *f)
{
    struct driver d = {&w.blk.v, f, {0}};
    struct stat st;

    world_up(&w);
    w.takes = 4096;
    for (unsigned i = 0; i < DEVICES; i++) {
        d.v = device(i);
        negotiate(&d);
        for (unsigned q = 0; q < 4; q++)
            queue_up(&d, q);
        reg(d.v, COMMON + 0x14, 1, 15);
    }
    while (!fuzz_done(f)) {
        uint8_t who = fuzz8(f);

        d.v = device(who & 7);
        step(&d);
        if (who < 16)
            outside(f);
        if (who >= 240)
            world_drain(&w);
    }
    world_drain(&w);
    FUZZ_CHECK(!fstat(w.disk_fd, &st) && st.st_size == (off_t)WORLD_DISK);
    world_down(&w);
}

static const struct fuzz_target target = {
    .name = "virtio",
    .corpus = "virtio",
    .max_len = 4000,
    .runs = 2500,
    .one = one,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
