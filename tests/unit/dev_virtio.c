/* SPDX-License-Identifier: Apache-2.0 */
/* dev_virtio.c - claims about PCI, MSI-X, virtqueues and the virtio disk. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_console.h"
#include "irq/irqchip.h"

#include "test.h"

struct bench {
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct irqchip chip;
    struct pci_host pci;
    struct board board;
    struct error err;
    struct timer stop;
    bool intr;
    char path[64];
    struct disk disk;
    struct virtio_blk blk;
};

static void cpu_intr(void *cpu, bool pending)
{
    *(bool *)cpu = pending;
}

static void cpu_none(void *cpu)
{
    (void)cpu;
}

static void cpu_sipi(void *cpu, uint8_t vector)
{
    (void)cpu;
    (void)vector;
}

static const struct lapic_cpu_ops cpu_ops = {
    .intr = cpu_intr,
    .nmi = cpu_none,
    .init = cpu_none,
    .sipi = cpu_sipi,
};

static void stop_fire(struct timer *t)
{
    loop_stop(t->loop);
}

static void up(struct bench *b)
{
    struct irq_line intx[8];

    memset(b, 0, sizeof(*b));
    clock_start(&b->clock, 0);
    CHECK_EQ(loop_init(&b->loop, &b->clock, &b->err), 0);
    timer_init(&b->stop, &b->loop, stop_fire);
    CHECK_EQ(guest_mem_init(&b->mem, 2 * MiB, &b->loop.lock, &b->err), 0);
    CHECK_EQ(irqchip_init(&b->chip, &b->mem, &b->loop, 1, &b->err), 0);
    irqchip_connect(&b->chip, 0, &cpu_ops, &b->intr);
    irqchip_reset(&b->chip);
    lapic_mmio_write(&b->chip.lapic[0], 0xf0, 0x1ff);
    for (unsigned i = 0; i < 8; i++)
        intx[i] = irqchip_line(&b->chip, PCI_INTX_BASE + i);
    CHECK_EQ(
        pci_host_init(&b->pci, &b->mem, &b->chip, intx, &b->board, &b->err), 0);
}

static void down(struct bench *b)
{
    b->pci.dev.ops->fini(&b->pci.dev);
    irqchip_fini(&b->chip);
    guest_mem_fini(&b->mem);
    loop_fini(&b->loop);
}

static enum disk_aio aio;

static void blk_up(struct bench *b, bool read_only)
{
    int fd;

    up(b);
    strcpy(b->path, "/tmp/rf-blk-XXXXXX");
    fd = mkstemp(b->path);
    CHECK_EQ(ftruncate(fd, 1 << 20), 0);
    close(fd);
    CHECK_EQ(disk_open(&b->disk, b->path, read_only, &b->err), 0);
    b->disk.aio = aio;
    CHECK_EQ(virtio_blk_init(&b->blk, 0, &b->pci, &b->loop, &b->disk, "disk0",
                             1, &b->err),
             0);
}

static void blk_down(struct bench *b)
{
    b->blk.v.pci.dev.ops->fini(&b->blk.v.pci.dev);
    disk_close(&b->disk);
    unlink(b->path);
    down(b);
}

static uint64_t rd(struct bench *b, uint64_t a, unsigned w)
{
    return io_read(&b->mem, IO_MMIO, a, w);
}

static void wr(struct bench *b, uint64_t a, unsigned w, uint64_t v)
{
    io_write(&b->mem, IO_MMIO, a, w, v);
}

static void config_space_by_ports_and_ecam_agree(void)
{
    struct bench b;

    blk_up(&b, false);
    io_write(&b.mem, IO_PORT, 0xcf8, 4, 0x80000800);
    CHECK_EQ(io_read(&b.mem, IO_PORT, 0xcfc, 4), 0x10421af4);
    CHECK_EQ(io_read(&b.mem, IO_PORT, 0xcfe, 2), 0x1042);
    CHECK_EQ(rd(&b, PCI_ECAM_BASE + 0x8000, 4), 0x10421af4);
    CHECK_EQ(rd(&b, PCI_ECAM_BASE + 0x8100, 4), 0);
    CHECK_EQ(rd(&b, PCI_ECAM_BASE + 0x10000, 4), 0xffffffff);
    CHECK_EQ(rd(&b, PCI_ECAM_BASE + (1 << 20), 4), 0xffffffff);
    wr(&b, PCI_ECAM_BASE + 0x8000, 4, 0);
    CHECK_EQ(rd(&b, PCI_ECAM_BASE + 0x8000, 4), 0x10421af4);
    blk_down(&b);
}

static void bars_are_sized_and_moved(void)
{
    struct bench b;
    uint64_t cfg = PCI_ECAM_BASE + 0x8000, bar;

    blk_up(&b, false);
    bar = rd(&b, cfg + 0x10, 8);
    CHECK_EQ(bar & 15, 4);
    bar &= ~15ull;
    CHECK_EQ(rd(&b, bar + 0x12, 2), 1); /* num_queues */
    wr(&b, cfg + 0x10, 8, UINT64_MAX);
    CHECK_EQ(rd(&b, cfg + 0x10, 8), 0xffffffffffffc004);
    CHECK_EQ(rd(&b, bar + 0x12, 2), 0xffff);
    wr(&b, cfg + 0x10, 8, PCI_MMIO32_BASE + 0x100000);
    CHECK_EQ(rd(&b, PCI_MMIO32_BASE + 0x100012, 2), 1);
    wr(&b, cfg + 0x10, 8, 0x100000); /* over RAM: nobody answers */
    CHECK(!b.blk.v.pci.bar[0].mapped);
    wr(&b, cfg + 0x10, 8, bar);
    wr(&b, cfg + 4, 2, 0);
    CHECK_EQ(rd(&b, bar + 0x12, 2), 0xffff);
    wr(&b, cfg + 4, 2, 6);
    CHECK_EQ(rd(&b, bar + 0x12, 2), 1);
    blk_down(&b);
}

static void msix_masking_keeps_what_is_pending(void)
{
    struct bench b;
    struct pci_func *f = &b.blk.v.pci;
    uint64_t table;

    blk_up(&b, false);
    table = f->bar[2].region.base;
    pci_config_write(f, f->msix.cap + 2, 2, 0x8000);
    wr(&b, table, 8, 0xfee00000);
    wr(&b, table + 8, 4, 0x51);
    pci_msix_send(f, 0);
    CHECK(!b.intr);
    CHECK_EQ(rd(&b, table + MSIX_PBA, 8), 1);
    wr(&b, table + 12, 4, 0);
    CHECK(b.intr);
    CHECK_EQ(lapic_ack(&b.chip.lapic[0]), 0x51);
    CHECK_EQ(rd(&b, table + MSIX_PBA, 8), 0);
    lapic_mmio_write(&b.chip.lapic[0], 0xb0, 0);
    pci_config_write(f, f->msix.cap + 2, 2, 0xc000);
    pci_msix_send(f, 0);
    CHECK(!b.intr);
    pci_config_write(f, f->msix.cap + 2, 2, 0x8000);
    CHECK(b.intr);
    pci_msix_send(f, 63);
    wr(&b, table + 0x7f8, 8, UINT64_MAX);
    blk_down(&b);
}

#define DESC  0x10000ull
#define AVAIL 0x11000ull
#define USED  0x12000ull
#define DATA  0x20000ull

static void put(struct bench *b, gpa_t at, const void *p, size_t n)
{
    CHECK_EQ(guest_mem_write(&b->mem, at, p, n), 0);
}

static void desc_put(struct bench *b, gpa_t table, unsigned i, uint64_t addr,
                     uint32_t len, uint16_t flags, uint16_t next)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = {addr, len, flags, next};

    put(b, table + 16 * i, &d, 16);
}

/* Offers chain `head`, as the idx-th in all. */
static void offer(struct bench *b, uint16_t head, uint16_t idx, unsigned size)
{
    put(b, AVAIL + 4 + 2 * ((idx - 1u) % size), &head, 2);
    put(b, AVAIL + 2, &idx, 2);
}

static void queue_up(struct bench *b, struct virtq *q)
{
    virtq_init(q, &b->mem, 8);
    q->desc = DESC;
    q->avail = AVAIL;
    q->used = USED;
    q->indirect = true;
    CHECK_EQ(virtq_enable(q), 0);
}

static void chains_are_walked_indirect_ones_too(void)
{
    struct bench b;
    struct virtq q;
    static struct virtq_chain c;

    up(&b);
    queue_up(&b, &q);
    CHECK_EQ(virtq_pop(&q, &c), 0);
    desc_put(&b, DESC, 3, DATA, 16, 1, 5);
    desc_put(&b, DESC, 5, DATA + 64, 32, 2, 0);
    offer(&b, 3, 1, 8);
    CHECK_EQ(virtq_pop(&q, &c), 1);
    CHECK_EQ(c.head, 3);
    CHECK_EQ(c.out_len, 16);
    CHECK_EQ(c.in_len, 32);
    virtq_push(&q, 3, 7);
    CHECK(virtq_should_signal(&q));
    CHECK(!virtq_should_signal(&q));
    desc_put(&b, DESC, 0, DATA + 0x1000, 48, 4, 0);
    for (unsigned i = 0; i < 3; i++)
        desc_put(&b, DATA + 0x1000, i, DATA + 64 * i, 10, i < 2 ? 1 : 2,
                 (uint16_t)(i + 1));
    offer(&b, 0, 2, 8);
    CHECK_EQ(virtq_pop(&q, &c), 1);
    CHECK_EQ(c.out_n, 2);
    CHECK_EQ(c.in_len, 10);
    down(&b);
}

static void broken(struct bench *b, const char *what)
{
    static struct virtq_chain c;
    struct virtq q;

    queue_up(b, &q);
    if (virtq_pop(&q, &c) != -22 || !q.broken) {
        fprintf(stderr, "not refused: %s\n", what);
        test_failed = 1;
    }
    CHECK_EQ(virtq_waiting(&q), 0);
    virtq_push(&q, 0, 0);
}

static void hostile_rings_break_the_queue_and_nothing_else(void)
{
    struct bench b;

    up(&b);
    desc_put(&b, DESC, 0, DATA, 16, 1, 1);
    desc_put(&b, DESC, 1, DATA, 16, 1, 0);
    offer(&b, 0, 1, 8);
    broken(&b, "loop");
    desc_put(&b, DESC, 1, DATA, 16, 1, 8);
    broken(&b, "link out of the table");
    desc_put(&b, DESC, 1, 2 * MiB - 8, 16, 0, 0);
    broken(&b, "buffer across the end of RAM");
    desc_put(&b, DESC, 1, UINT64_MAX - 7, 16, 0, 0);
    broken(&b, "buffer that wraps");
    desc_put(&b, DESC, 1, 0xfee00000, 16, 0, 0);
    broken(&b, "buffer in a device");
    desc_put(&b, DESC, 0, DATA, 16, 3, 1);
    desc_put(&b, DESC, 1, DATA, 16, 0, 0);
    broken(&b, "read after write");
    desc_put(&b, DESC, 0, DATA, 17, 4, 0);
    broken(&b, "odd indirect table");
    desc_put(&b, DESC, 0, DATA, 16 * 9, 4, 0);
    broken(&b, "indirect table larger than the queue");
    desc_put(&b, DESC, 0, DATA, 16, 4, 0);
    desc_put(&b, DATA, 0, DATA, 16, 4, 0);
    broken(&b, "nested indirect");
    offer(&b, 8, 1, 8);
    broken(&b, "head out of the table");
    offer(&b, 0, 9, 8);
    broken(&b, "index that ran away");
    down(&b);
}

static void rings_must_be_ram_and_aligned(void)
{
    struct bench b;
    struct virtq q;

    up(&b);
    queue_up(&b, &q);
    q.used = 2 * MiB - 4;
    CHECK(virtq_enable(&q) != 0);
    q.used = USED + 1;
    CHECK(virtq_enable(&q) != 0);
    q.used = USED;
    q.desc = UINT64_MAX & ~15ull;
    CHECK(virtq_enable(&q) != 0);
    down(&b);
}

/* A driver in thirty lines. */
struct driver {
    struct bench *b;
    uint64_t bar;
    uint16_t idx;
};

static void driver_up(struct driver *d, struct bench *b, struct virtio *v)
{
    *d = (struct driver){b, v->pci.bar[0].region.base, 0};
    wr(b, d->bar + 0x14, 1, 0);
    wr(b, d->bar + 0x14, 1, 3);
    wr(b, d->bar + 0x08, 4, 0);
    wr(b, d->bar + 0x0c, 4, rd(b, d->bar + 0x04, 4) & 1 << 9);
    wr(b, d->bar + 0x08, 4, 1);
    wr(b, d->bar + 0x0c, 4, 1);
    wr(b, d->bar + 0x14, 1, 11);
    CHECK_EQ(rd(b, d->bar + 0x14, 1), 11);
    wr(b, d->bar + 0x16, 2, 0);
    wr(b, d->bar + 0x18, 2, 8);
    wr(b, d->bar + 0x20, 8, DESC);
    wr(b, d->bar + 0x28, 8, AVAIL);
    wr(b, d->bar + 0x30, 8, USED);
    wr(b, d->bar + 0x1c, 2, 1);
    wr(b, d->bar + 0x14, 1, 15);
}

static uint8_t request(struct driver *d, uint32_t type, uint64_t sector,
                       uint32_t len, bool in)
{
    struct bench *b = d->b;
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } head = {type, 0, sector};
    uint8_t status = 0xaa;
    uint16_t used = 0;

    put(b, DATA, &head, 16);
    put(b, DATA + 16, &status, 1);
    desc_put(b, DESC, 0, DATA, 16, 1, len ? 1 : 2);
    desc_put(b, DESC, 1, DATA + 0x1000, len, in ? 3 : 1, 2);
    desc_put(b, DESC, 2, DATA + 16, 1, 2, 0);
    d->idx++;
    offer(b, 0, d->idx, 8);
    wr(b, d->bar + 0x3000, 2, 0);
    for (int i = 0; i < 200 && used != d->idx; i++) {
        timer_arm(&b->stop, clock_now(&b->clock) + 1000000);
        loop_run(&b->loop);
        CHECK_EQ(guest_mem_read(&b->mem, USED + 2, &used, 2), 0);
    }
    CHECK_EQ(used, d->idx);
    CHECK_EQ(guest_mem_read(&b->mem, DATA + 16, &status, 1), 0);
    return status;
}

static void disk_reads_what_was_written(void)
{
    struct bench b;
    struct driver d;
    char buf[1024], back[1024];
    int fd;

    blk_up(&b, false);
    driver_up(&d, &b, &b.blk.v);
    CHECK_EQ(rd(&b, d.bar + 0x2000, 8), 2048);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 7);
    put(&b, DATA + 0x1000, buf, sizeof(buf));
    CHECK_EQ(request(&d, 1, 5, 1024, false), 0);
    CHECK_EQ(request(&d, 4, 0, 0, false), 0);
    fd = open(b.path, O_RDONLY);
    CHECK_EQ(pread(fd, back, 1024, 5 * 512), 1024);
    CHECK(!memcmp(buf, back, 1024));
    close(fd);
    memset(back, 0, sizeof(back));
    put(&b, DATA + 0x1000, back, sizeof(back));
    CHECK_EQ(request(&d, 0, 5, 1024, true), 0);
    CHECK_EQ(guest_mem_read(&b.mem, DATA + 0x1000, back, 1024), 0);
    CHECK(!memcmp(buf, back, 1024));
    CHECK_EQ(request(&d, 8, 0, 20, true), 0);
    CHECK_EQ(guest_mem_read(&b.mem, DATA + 0x1000, back, 20), 0);
    CHECK(!strcmp(back, "disk0"));
    blk_down(&b);
}

static void disk_zeroes_and_discards(void)
{
    struct bench b;
    struct driver d;
    struct {
        uint64_t sector;
        uint32_t n, flags;
    } range = {4, 2, 1};
    uint8_t data[512], zero[512] = {0};

    blk_up(&b, false);
    driver_up(&d, &b, &b.blk.v);
    memset(data, 0x55, sizeof(data));
    put(&b, DATA + 0x1000, data, 512);
    CHECK_EQ(request(&d, 1, 5, 512, false), 0);
    put(&b, DATA + 0x1000, &range, 16);
    CHECK_EQ(request(&d, 13, 0, 16, false), 0);
    CHECK_EQ(request(&d, 0, 5, 512, true), 0);
    CHECK_EQ(guest_mem_read(&b.mem, DATA + 0x1000, data, 512), 0);
    CHECK(!memcmp(data, zero, 512));
    range.sector = UINT64_MAX;
    put(&b, DATA + 0x1000, &range, 16);
    CHECK_EQ(request(&d, 13, 0, 16, false), 1);
    blk_down(&b);
}

static void disk_refuses_what_is_out_of_bounds(void)
{
    struct bench b;
    struct driver d;

    blk_up(&b, true);
    driver_up(&d, &b, &b.blk.v);
    CHECK_EQ(request(&d, 0, 2047, 1024, true), 1);
    CHECK_EQ(request(&d, 0, UINT64_MAX, 512, true), 1);
    CHECK_EQ(request(&d, 0, 0, 100, true), 1);
    CHECK_EQ(request(&d, 1, 0, 512, false), 1); /* read-only */
    CHECK_EQ(request(&d, 99, 0, 512, true), 2);
    CHECK_EQ(request(&d, 0, 2047, 512, true), 0);
    blk_down(&b);
}

static void bad_chain_asks_for_a_reset_and_gets_it(void)
{
    struct bench b;
    struct driver d;

    blk_up(&b, false);
    driver_up(&d, &b, &b.blk.v);
    desc_put(&b, DESC, 0, DATA, 16, 1, 0);
    offer(&b, 0, 1, 8);
    wr(&b, d.bar + 0x3000, 2, 0);
    CHECK_EQ(rd(&b, d.bar + 0x14, 1), 15 | 64);
    wr(&b, d.bar + 0x14, 1, 0);
    CHECK_EQ(rd(&b, d.bar + 0x14, 1), 0);
    put(&b, AVAIL + 2, "\0", 2);
    put(&b, USED + 2, "\0", 2);
    driver_up(&d, &b, &b.blk.v);
    CHECK_EQ(request(&d, 0, 0, 512, true), 0);
    blk_down(&b);
}

static void second_user_of_a_disk_is_refused(void)
{
    struct bench b;
    struct disk other;

    blk_up(&b, false);
    CHECK(disk_open(&other, b.path, false, &b.err) < 0);
    CHECK(strstr(b.err.msg, "in use"));
    CHECK(disk_open(&other, b.path, true, &b.err) < 0);
    CHECK(disk_open(&other, "/tmp", false, &b.err) < 0);
    CHECK(strstr(b.err.msg, "directory"));
    CHECK(disk_open(&other, "/nonexistent/disk", false, &b.err) < 0);
    blk_down(&b);
}

static void disk_state_survives_a_round_trip(void)
{
    struct bench b;
    struct driver d;
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    struct device *dev = &b.blk.v.pci.dev;
    size_t len;
    const uint8_t *bytes;

    blk_up(&b, false);
    driver_up(&d, &b, &b.blk.v);
    CHECK_EQ(request(&d, 0, 0, 512, true), 0);
    dev->ops->save(dev, w);
    dev->ops->reset(dev);
    CHECK_EQ(rd(&b, d.bar + 0x14, 1), 0);
    bytes = state_writer_bytes(w, &len);
    r = state_reader_new(bytes, len, &b.err);
    CHECK_EQ(dev->ops->load(dev, r, &b.err), 0);
    CHECK_EQ(request(&d, 0, 1, 512, true), 0);
    state_reader_free(r);
    state_writer_free(w);
    blk_down(&b);
}

static char heard[16];
static size_t heard_room;

static size_t fake_write(struct chardev *c, const uint8_t *buf, size_t len)
{
    size_t n = MIN(len, heard_room);

    (void)c;
    strncat(heard, (const char *)buf, n);
    heard_room -= n;
    return n;
}

static void console_keeps_what_the_terminal_does_not_take(void)
{
    static const struct chardev_ops ops = {.write = fake_write};
    static struct virtio_console con;
    struct chardev chr = {.ops = &ops, .cols = 80, .rows = 25};
    struct bench b;
    struct driver d;
    uint16_t used;

    up(&b);
    heard[0] = 0;
    heard_room = 3;
    CHECK_EQ(virtio_console_init(&con, 0, &b.pci, &chr, NULL, 0, &b.err), 0);
    driver_up(&d, &b, &con.v);
    CHECK_EQ(rd(&b, d.bar + 0x2000, 4), 25 << 16 | 80);
    con.v.q[1] = con.v.q[0]; /* the driver set up one ring: transmit */
    virtq_reset(&con.v.q[0]);
    put(&b, DATA, "hello", 5);
    desc_put(&b, DESC, 0, DATA, 5, 0, 0);
    offer(&b, 0, 1, 8);
    wr(&b, d.bar + 0x3004, 2, 1);
    CHECK(!strcmp(heard, "hel"));
    CHECK_EQ(guest_mem_read(&b.mem, USED + 2, &used, 2), 0);
    CHECK_EQ(used, 0);
    heard_room = 10;
    chardev_writable(&chr);
    CHECK(!strcmp(heard, "hello"));
    CHECK_EQ(guest_mem_read(&b.mem, USED + 2, &used, 2), 0);
    CHECK_EQ(used, 1);
    con.v.pci.dev.ops->fini(&con.v.pci.dev);
    down(&b);
}

int main(void)
{
    RUN(config_space_by_ports_and_ecam_agree);
    RUN(bars_are_sized_and_moved);
    RUN(msix_masking_keeps_what_is_pending);
    RUN(chains_are_walked_indirect_ones_too);
    RUN(hostile_rings_break_the_queue_and_nothing_else);
    RUN(rings_must_be_ram_and_aligned);
    for (aio = DISK_AIO_URING; aio <= DISK_AIO_THREADS; aio++) {
        RUN(disk_reads_what_was_written);
        RUN(disk_zeroes_and_discards);
        RUN(disk_refuses_what_is_out_of_bounds);
        RUN(bad_chain_asks_for_a_reset_and_gets_it);
        RUN(second_user_of_a_disk_is_refused);
        RUN(disk_state_survives_a_round_trip);
    }
    RUN(console_keeps_what_the_terminal_does_not_take);
    return test_status();
}
