/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_hand.h - a board with a PCI bus, and a virtio driver by hand: queues
 * of eight descriptors, if the test says nothing else, rings where it can see
 * them.
 */
#pragma once

#include <string.h>

#include "dev/virtio/virtio.h"
#include "irq/irqchip.h"

#include "test.h"

#define HAND_RAM  (4 * MiB)
#ifndef HAND_SIZE
#define HAND_SIZE 8u
#endif
#define RING(q)   (0x10000ull + 0x4000 * (q))
#define AVAIL(q)  (RING(q) + 0x1000)
#define USED(q)   (RING(q) + 0x2000)
#define DATA      0x80000ull

struct hand {
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct irqchip chip;
    struct pci_host pci;
    struct board board;
    struct error err;
    struct timer stop;
    struct virtio *v;
    uint16_t avail[8]; /* by queue */
};

static inline void hand_intr(void *cpu, bool pending)
{
    (void)cpu;
    (void)pending;
}

static inline void hand_none(void *cpu)
{
    (void)cpu;
}

static inline void hand_sipi(void *cpu, uint8_t vector)
{
    (void)cpu;
    (void)vector;
}

static inline void hand_stop(struct timer *t)
{
    loop_stop(t->loop);
}

static inline void hand_up(struct hand *h)
{
    static const struct lapic_cpu_ops ops = {
        .intr = hand_intr,
        .nmi = hand_none,
        .init = hand_none,
        .sipi = hand_sipi,
    };
    struct irq_line intx[8];

    memset(h, 0, sizeof(*h));
    clock_start(&h->clock, 0);
    CHECK_EQ(loop_init(&h->loop, &h->clock, &h->err), 0);
    timer_init(&h->stop, &h->loop, hand_stop);
    CHECK_EQ(guest_mem_init(&h->mem, HAND_RAM, &h->loop.lock, &h->err), 0);
    CHECK_EQ(irqchip_init(&h->chip, &h->mem, &h->loop, 1, &h->err), 0);
    irqchip_connect(&h->chip, 0, &ops, h);
    irqchip_reset(&h->chip);
    for (unsigned i = 0; i < 8; i++)
        intx[i] = irqchip_line(&h->chip, PCI_INTX_BASE + i);
    CHECK_EQ(
        pci_host_init(&h->pci, &h->mem, &h->chip, intx, &h->board, &h->err), 0);
}

static inline void hand_down(struct hand *h)
{
    h->v->pci.dev.ops->fini(&h->v->pci.dev);
    h->pci.dev.ops->fini(&h->pci.dev);
    irqchip_fini(&h->chip);
    guest_mem_fini(&h->mem);
    loop_fini(&h->loop);
}

static inline uint64_t hand_read(struct hand *h, unsigned off, unsigned width)
{
    return io_read(&h->mem, IO_MMIO, h->v->pci.bar[0].region.base + off, width);
}

static inline void hand_write(struct hand *h, unsigned off, unsigned width,
                              uint64_t val)
{
    io_write(&h->mem, IO_MMIO, h->v->pci.bar[0].region.base + off, width, val);
}

/* Resets the device, agrees on features, and sets up its first n queues. */
static inline void hand_driver(struct hand *h, struct virtio *v,
                               uint64_t features, unsigned n)
{
    static const uint8_t zero[0x4000];

    h->v = v;
    memset(h->avail, 0, sizeof(h->avail));
    hand_write(h, 0x14, 1, 0);
    hand_write(h, 0x14, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        hand_write(h, 0x08, 4, i);
        hand_write(h, 0x0c, 4, (features | BIT64(32)) >> (32 * i));
    }
    hand_write(h, 0x14, 1, 11);
    CHECK_EQ(hand_read(h, 0x14, 1), 11);
    for (unsigned q = 0; q < n; q++) {
        CHECK_EQ(guest_mem_write(&h->mem, RING(q), zero, sizeof(zero)), 0);
        hand_write(h, 0x16, 2, q);
        hand_write(h, 0x18, 2, HAND_SIZE);
        hand_write(h, 0x20, 8, RING(q));
        hand_write(h, 0x28, 8, AVAIL(q));
        hand_write(h, 0x30, 8, USED(q));
        hand_write(h, 0x1c, 2, 1);
    }
    hand_write(h, 0x14, 1, 15);
}

static inline void hand_put(struct hand *h, gpa_t at, const void *p, size_t n)
{
    CHECK_EQ(guest_mem_write(&h->mem, at, p, n), 0);
}

static inline void hand_get(struct hand *h, gpa_t at, void *p, size_t n)
{
    CHECK_EQ(guest_mem_read(&h->mem, at, p, n), 0);
}

/* flags: VIRTQ_DESC_*; a chain goes on with the next descriptor. */
static inline void hand_desc(struct hand *h, unsigned q, unsigned i,
                             uint64_t addr, uint32_t len, uint16_t flags)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = {addr, len, flags, (uint16_t)(i + 1)};

    hand_put(h, RING(q) + 16 * i, &d, 16);
}

static inline void hand_offer(struct hand *h, unsigned q, uint16_t head)
{
    hand_put(h, AVAIL(q) + 4 + 2 * (h->avail[q] % HAND_SIZE), &head, 2);
    h->avail[q]++;
    hand_put(h, AVAIL(q) + 2, &h->avail[q], 2);
}

static inline void hand_bell(struct hand *h, unsigned q)
{
    hand_write(h, 0x3000 + 4 * q, 2, q);
}

static inline uint16_t hand_used(struct hand *h, unsigned q)
{
    uint16_t n;

    hand_get(h, USED(q) + 2, &n, 2);
    return n;
}

/* The length in the i-th element of the used ring. */
static inline uint32_t hand_used_len(struct hand *h, unsigned q, unsigned i)
{
    uint32_t n;

    hand_get(h, USED(q) + 4 + 8 * (i % HAND_SIZE) + 4, &n, 4);
    return n;
}

/* The event thread's work, for so long. */
static inline void hand_wait(struct hand *h, uint64_t ns)
{
    loop_lock(&h->loop);
    timer_arm(&h->stop, clock_now(&h->clock) + ns);
    loop_unlock(&h->loop);
    loop_run(&h->loop);
}

static inline bool hand_broken(struct hand *h)
{
    return hand_read(h, 0x14, 1) & VIRTIO_STATUS_NEEDS_RESET;
}

/* Saves v and loads it again. */
static inline void hand_reload(struct hand *h)
{
    struct state_writer *w = state_writer_new();
    struct device *d = &h->v->pci.dev;
    struct state_reader *r;
    const uint8_t *bytes;
    size_t len;

    loop_lock(&h->loop);
    d->ops->save(d, w);
    bytes = state_writer_bytes(w, &len);
    d->ops->reset(d);
    r = state_reader_new(bytes, len, &h->err);
    CHECK(r != NULL);
    if (r)
        CHECK_EQ(d->ops->load(d, r, &h->err), 0);
    loop_unlock(&h->loop);
    state_reader_free(r);
    state_writer_free(w);
}
