/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.c - 82093AA (Intel order 290566), with the EOI register of later
 * ones (version 0x20).
 *
 * Delivery is a message in MSI's form: the redirection entry holds just the
 * same fields. Level-triggered pins are sent once, until the EOI comes back.
 */
#include "irq/ioapic.h"

#define IOREGSEL 0x00
#define IOWIN    0x10
#define IOEOI    0x40

#define IOAPIC_ID      0x00
#define IOAPIC_VERSION 0x01
#define IOAPIC_ARB     0x02
#define IOAPIC_TABLE   0x10

#define RTE_VECTOR   0xffull
#define RTE_MODE     (7ull << 8)
#define RTE_LOGICAL  BIT64(11)
#define RTE_PENDING  BIT64(12) /* read-only: delivery status */
#define RTE_POLARITY BIT64(13)
#define RTE_REMOTE   BIT64(14) /* read-only: sent, EOI not yet seen */
#define RTE_LEVEL    BIT64(15)
#define RTE_MASK     BIT64(16)
#define RTE_WRITABLE                                                           \
    (RTE_VECTOR | RTE_MODE | RTE_LOGICAL | RTE_POLARITY | RTE_LEVEL |          \
     RTE_MASK | 0xff00000000000000ull)

bool ioapic_message(const struct ioapic *io, unsigned pin, uint64_t *addr,
                    uint32_t *data)
{
    uint64_t e = io->entry[pin];

    *addr = 0xfee00000ull | (e >> 56) << 12;
    *data = (uint32_t)(e & (RTE_VECTOR | RTE_MODE)) | 1u << 14;
    if (e & RTE_LOGICAL)
        *addr |= 4;
    if ((e & RTE_MODE) == 1ull << 8)
        *addr |= 8; /* redirection hint: lowest priority */
    if (e & RTE_LEVEL)
        *data |= 1u << 15;
    return e & RTE_LEVEL;
}

static bool ioapic_send(struct ioapic *io, unsigned pin)
{
    uint64_t addr;
    uint32_t data;

    ioapic_message(io, pin, &addr, &data);
    return io->send(io->send_ctx, addr, data);
}

/* A level-triggered pin that is up and free is sent. */
static void ioapic_service(struct ioapic *io, unsigned pin)
{
    uint64_t *e = &io->entry[pin];
    uint64_t mode = *e & RTE_MODE;

    if (!(io->level & BIT(pin)) || (*e & (RTE_MASK | RTE_REMOTE)) ||
        !(*e & RTE_LEVEL))
        return;
    /* Only fixed and lowest priority know levels: the rest have no EOI. */
    if (mode > 1ull << 8)
        return;
    *e |= RTE_REMOTE;
    if (!ioapic_send(io, pin))
        *e &= ~RTE_REMOTE; /* nobody there, so nobody would EOI */
}

void ioapic_set(struct ioapic *io, unsigned pin, bool level)
{
    bool rise;

    if (pin >= IOAPIC_PINS)
        return;
    rise = level && !(io->level & BIT(pin));
    io->level = level ? io->level | BIT(pin) : io->level & ~BIT(pin);
    if (io->entry[pin] & RTE_LEVEL)
        ioapic_service(io, pin);
    else if (rise && !(io->entry[pin] & RTE_MASK))
        ioapic_send(io, pin);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *e = &io->entry[pin];

        if (!(*e & RTE_REMOTE) || (*e & RTE_VECTOR) != vector)
            continue;
        *e &= ~RTE_REMOTE;
        ioapic_service(io, pin);
    }
}

static uint32_t ioapic_window_read(const struct ioapic *io)
{
    unsigned n = io->index - IOAPIC_TABLE;

    switch (io->index) {
    case IOAPIC_ID:
    case IOAPIC_ARB:
        return (uint32_t)io->id << 24;
    case IOAPIC_VERSION:
        return 0x20 | (IOAPIC_PINS - 1) << 16;
    }
    if (io->index >= IOAPIC_TABLE && n < 2 * IOAPIC_PINS)
        return (uint32_t)(io->entry[n / 2] >> (n & 1 ? 32 : 0));
    return 0;
}

static void ioapic_changed(struct ioapic *io)
{
    if (io->changed)
        io->changed(io->send_ctx);
}

static void ioapic_entry_write(struct ioapic *io, unsigned n, uint32_t val)
{
    uint64_t *e = &io->entry[n / 2];
    uint64_t v = n & 1 ? (*e & 0xffffffffull) | (uint64_t)val << 32
                       : (*e & ~0xffffffffull) | val;

    *e = (v & RTE_WRITABLE) | (*e & (RTE_REMOTE | RTE_PENDING));
    /*
     * Linux without the EOI register turns an entry to edge and back to
     * clear the remote IRR; the chip does that.
     */
    if (!(*e & RTE_LEVEL))
        *e &= ~RTE_REMOTE;
    ioapic_changed(io);
    ioapic_service(io, n / 2);
}

static uint64_t ioapic_read(void *dev, uint64_t off, unsigned width)
{
    struct ioapic *io = dev;

    (void)width;
    switch (off & ~3ull) {
    case IOREGSEL:
        return io->index;
    case IOWIN:
        return ioapic_window_read(io);
    }
    return 0;
}

static void ioapic_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct ioapic *io = dev;

    (void)width;
    switch (off & ~3ull) {
    case IOREGSEL:
        io->index = (uint8_t)val;
        break;
    case IOWIN:
        if (io->index == IOAPIC_ID)
            io->id = val >> 24 & 15;
        else if (io->index >= IOAPIC_TABLE &&
                 io->index < IOAPIC_TABLE + 2 * IOAPIC_PINS)
            ioapic_entry_write(io, io->index - IOAPIC_TABLE, (uint32_t)val);
        break;
    case IOEOI:
        ioapic_eoi(io, (uint8_t)val);
        break;
    }
}

static const struct io_ops ioapic_ops = {ioapic_read, ioapic_write, 4, 4};

int ioapic_init(struct ioapic *io, struct guest_mem *mem,
                bool (*send)(void *ctx, uint64_t addr, uint32_t data),
                void *ctx, struct error *err)
{
    *io = (struct ioapic){.send = send, .send_ctx = ctx, .mem = mem};
    io->regs =
        (struct io_region){"IOAPIC", IOAPIC_BASE, PAGE_SIZE, &ioapic_ops, io};
    ioapic_reset(io);
    return io_add(mem, IO_MMIO, &io->regs, err);
}

void ioapic_fini(struct ioapic *io)
{
    io_remove(io->mem, IO_MMIO, &io->regs);
}

void ioapic_reset(struct ioapic *io)
{
    io->id = io->index = 0;
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        io->entry[i] = RTE_MASK;
}

void ioapic_save(struct ioapic *io, struct state_writer *w)
{
    state_begin(w, "ioapic", 0, 1);
    state_put(w, "id", io->id);
    state_put(w, "index", io->index);
    state_put(w, "level", io->level);
    state_put_blob(w, "entry", io->entry, sizeof(io->entry));
    state_end(w);
}

int ioapic_load(struct ioapic *io, struct state_reader *r, struct error *err)
{
    if (state_open(r, "ioapic", 0, 1)) {
        io->id = (uint8_t)state_get_max(r, "id", 15);
        io->index = (uint8_t)state_get_max(r, "index", 255);
        io->level = (uint32_t)state_get_max(r, "level", BIT(IOAPIC_PINS) - 1);
        state_get_blob(r, "entry", io->entry, sizeof(io->entry));
        for (unsigned i = 0; i < IOAPIC_PINS; i++)
            io->entry[i] &= RTE_WRITABLE | RTE_REMOTE;
    }
    return state_result(r, err);
}
