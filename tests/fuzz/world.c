/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <endian.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void cpu_intr(void *cpu, bool pending)
{
    (void)cpu;
    (void)pending;
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

static uint64_t cpu_tsc(void *cpu)
{
    const struct world *w = cpu;

    return clock_now(&w->clock) * 2;
}

static uint64_t cpu_tsc_to_ns(void *cpu, uint64_t delta)
{
    (void)cpu;
    return delta / 2;
}

static const struct lapic_cpu_ops cpu_ops = {
    .intr = cpu_intr,
    .nmi = cpu_none,
    .init = cpu_none,
    .sipi = cpu_sipi,
    .tsc = cpu_tsc,
    .tsc_to_ns = cpu_tsc_to_ns,
};

static size_t serial_write(struct chardev *c, const uint8_t *b, size_t len)
{
    struct world *w = container_of(c, struct world, serial);
    size_t n = MIN(len, w->takes);

    (void)b;
    w->takes -= (unsigned)n;
    return n;
}

static size_t terminal_write(struct chardev *c, const uint8_t *b, size_t len)
{
    struct world *w = container_of(c, struct world, terminal);
    size_t n = MIN(len, w->takes);
    unsigned sum = 0;

    /* Every byte is read, for the sanitizer's eyes. */
    for (size_t i = 0; i < n; i++)
        sum += b[i];
    w->takes -= (unsigned)n;
    return sum == 0xffffffff ? 0 : n;
}

static size_t far_write(struct chardev *c, const uint8_t *b, size_t len)
{
    struct virtio_console_port *p = c->client_ctx;

    return terminal_write(&container_of(p->con, struct world, vcon)->terminal,
                          b, len);
}

static const struct chardev_ops far_ops = {.write = far_write};
static const struct chardev_ops serial_ops = {.write = serial_write};
static const struct chardev_ops terminal_ops = {.write = terminal_write};

/* The header has been checked: a back-end relies on it. */
static void cable_send(struct net *n, const struct net_header *h,
                       uint8_t *frame, size_t len)
{
    unsigned sum = 0;

    if (h->flags & NET_NEEDS_CSUM)
        net_finish_csum(h, frame, len);
    for (size_t i = 0; i < len; i++)
        sum += frame[i];
    n->dropped += sum == 0xffffffff;
}

static const struct net_ops cable_ops = {.send = cable_send};

static void turned(struct timer *t)
{
    loop_stop(t->loop);
}

void world_fence(struct guest_mem *m)
{
    uint8_t *at[2] = {m->ram - PAGE_SIZE, m->ram + m->ram_size};

    /* Where something is already, that is a fence of a kind too. */
    for (unsigned i = 0; i < 2; i++)
        if (mmap(at[i], PAGE_SIZE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                 0) == MAP_FAILED)
            continue;
}

static void world_disk(struct world *w)
{
    struct error err;
    char path[64];

    w->disk_fd = memfd_create("disk", MFD_CLOEXEC);
    FUZZ_CHECK(w->disk_fd >= 0 && !ftruncate(w->disk_fd, WORLD_DISK));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", w->disk_fd);
    FUZZ_CHECK(!disk_open(&w->disk, path, false, &err));
}

#define LINE(n) irqchip_line(&w->chip, (n))

static void world_chips(struct world *w)
{
    static const char path[] = "what a file of firmware's might hold";
    struct error err;

    FUZZ_CHECK(!i8254_init(&w->i8254, &w->mem, &w->loop, LINE(0), &err));
    FUZZ_CHECK(!mc146818_init(&w->rtc, &w->mem, &w->loop, LINE(8),
                              1700000000000000000ll, &err));
    FUZZ_CHECK(!i8042_init(&w->i8042, &w->mem, &w->board, &err));
    FUZZ_CHECK(!port92_init(&w->port92, &w->mem, &w->board, &err));
    FUZZ_CHECK(
        !acpi_pm_init(&w->pm, &w->mem, &w->loop, LINE(9), &w->board, &err));
    FUZZ_CHECK(!debug_exit_init(&w->debug_exit, &w->mem, &w->board, &err));
    FUZZ_CHECK(!pvpanic_init(&w->pvpanic, &w->mem, cpu_none, w, &err));
    FUZZ_CHECK(!fw_cfg_init(&w->fw_cfg, &w->mem, &err));
    FUZZ_CHECK(
        !fw_cfg_add_file(&w->fw_cfg, "etc/file", path, sizeof(path), &err));
    FUZZ_CHECK(!debugcon_init(&w->debugcon, &w->mem, &err));
    w->serial.ops = &serial_ops;
    w->terminal =
        (struct chardev){.ops = &terminal_ops, .cols = 80, .rows = 24};
    FUZZ_CHECK(!ns16550_init(&w->com1, 0, &w->mem, &w->loop, 0x3f8, LINE(4),
                             &w->serial, &err));
}

static int listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(sa.sun_path, path);
    unlink(path);
    FUZZ_CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&sa, sizeof(sa)) &&
               !listen(fd, 16));
    return fd;
}

static void vsock_paths(char path[64], char service[2][80])
{
    snprintf(path, 64, "/tmp/rf-fuzz-vsock-%d", (int)getpid());
    for (unsigned i = 0; i < 2; i++)
        snprintf(service[i], 80, "%s_%u", path, 5 + i);
}

static void world_vsock(struct world *w)
{
    char path[64], service[2][80];
    struct vsock_config cfg = {path, NULL, 3};
    struct error err;

    vsock_paths(path, service);
    for (unsigned i = 0; i < 2; i++)
        w->service[i] = listen_at(service[i]);
    for (unsigned i = 0; i < WORLD_HOSTS; i++)
        w->host[i] = -1;
    FUZZ_CHECK(!vsock_open(&w->vs, &cfg, &w->loop, &err));
    w->vs->conns_max = 12;
    FUZZ_CHECK(
        !virtio_vsock_init(&w->vsock, 0, &w->pci, &w->loop, w->vs, &err));
}

static void world_vsock_down(struct world *w)
{
    char path[64], service[2][80];

    vsock_close(w->vs);
    vsock_paths(path, service);
    for (unsigned i = 0; i < 2; i++) {
        close(w->service[i]);
        unlink(service[i]);
    }
    for (unsigned i = 0; i < WORLD_HOSTS; i++)
        if (w->host[i] >= 0)
            close(w->host[i]);
}

static void world_pci(struct world *w)
{
    const struct virtio_console_named named[WORLD_PORTS] = {
        {"one", &w->far[0]}, {"two", &w->far[1]}};
    struct irq_line intx[8];
    struct error err;
    uint64_t seed = 1;

    for (unsigned i = 0; i < 8; i++)
        intx[i] = LINE(PCI_INTX_BASE + i);
    FUZZ_CHECK(
        !pci_host_init(&w->pci, &w->mem, &w->chip, intx, &w->board, &err));
    for (unsigned i = 0; i < WORLD_PORTS; i++)
        w->far[i] = (struct chardev){.ops = &far_ops, .away = i};
    FUZZ_CHECK(!virtio_console_init(&w->vcon, 0, &w->pci, &w->terminal, named,
                                    WORLD_PORTS, &err));
    FUZZ_CHECK(!virtio_blk_init(&w->blk, 0, &w->pci, &w->loop, &w->disk, "fuzz",
                                2, &err));
    w->net.ops = &cable_ops;
    w->net.able = NET_ABLE_MASK;
    w->net.mtu = 1500;
    w->net.mac[0] = 0x52;
    FUZZ_CHECK(!virtio_net_init(&w->vnet, 0, &w->pci, &w->loop, &w->net, &err));
    FUZZ_CHECK(!virtio_rng_init(&w->rng, 0, &w->pci, &w->loop, &seed, &err));
    FUZZ_CHECK(!virtio_balloon_init(&w->balloon, 0, &w->pci, &err));
    world_vsock(w);
}

void world_up(struct world *w)
{
    struct error err;

    memset(w, 0, sizeof(*w));
    clock_start(&w->clock, 0);
    FUZZ_CHECK(!loop_init(&w->loop, &w->clock, &err));
    timer_init(&w->turn, &w->loop, turned);
    FUZZ_CHECK(!guest_mem_init(&w->mem, WORLD_RAM, &w->loop.lock, &err));
    world_fence(&w->mem);
    FUZZ_CHECK(!irqchip_init(&w->chip, &w->mem, &w->loop, WORLD_CPUS, &err));
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        irqchip_connect(&w->chip, i, &cpu_ops, w);
    world_disk(w);
    world_chips(w);
    world_pci(w);
    struct device *all[] = {
        &w->i8254.dev,       &w->rtc.dev,
        &w->i8042.dev,       &w->port92.dev,
        &w->pm.dev,          &w->debug_exit.dev,
        &w->pvpanic.dev,     &w->com1.dev,
        &w->pci.dev,         &w->vcon.v.pci.dev,
        &w->blk.v.pci.dev,   &w->vnet.v.pci.dev,
        &w->rng.v.pci.dev,   &w->balloon.v.pci.dev,
        &w->vsock.v.pci.dev, &w->fw_cfg.dev,
        &w->debugcon.dev,
    };
    memcpy(w->device, all, sizeof(all));
    w->devices = ARRAY_SIZE(all);
    world_reset(w);
}

void world_down(struct world *w)
{
    loop_lock(&w->loop);
    while (w->devices) {
        struct device *d = w->device[--w->devices];

        d->ops->fini(d);
    }
    world_vsock_down(w);
    loop_unlock(&w->loop);
    irqchip_fini(&w->chip);
    guest_mem_fini(&w->mem);
    disk_close(&w->disk);
    close(w->disk_fd);
    timer_cancel(&w->turn);
    loop_fini(&w->loop);
}

void world_reset(struct world *w)
{
    loop_lock(&w->loop);
    irqchip_reset(&w->chip);
    for (unsigned i = 0; i < w->devices; i++)
        if (w->device[i]->ops->reset)
            w->device[i]->ops->reset(w->device[i]);
    loop_unlock(&w->loop);
}

void world_wait(struct world *w, uint64_t ns)
{
    /* No machine runs for more than 36 years. */
    if (clock_now(&w->clock) + ns < BIT64(60))
        w->clock.base_ns -= ns;
    loop_lock(&w->loop);
    timer_arm(&w->turn, 0);
    loop_unlock(&w->loop);
    loop_run(&w->loop);
}

void world_drain(struct world *w)
{
    bool busy;

    do {
        world_wait(w, 0);
        loop_lock(&w->loop);
        busy = disk_queue_busy(&w->blk.io);
        loop_unlock(&w->loop);
    } while (busy);
}

struct state_writer *world_save(struct world *w)
{
    struct state_writer *s = state_writer_new();

    FUZZ_CHECK(s != NULL);
    loop_lock(&w->loop);
    irqchip_save(&w->chip, s);
    for (unsigned i = 0; i < w->devices; i++)
        if (w->device[i]->ops->save)
            w->device[i]->ops->save(w->device[i], s);
    loop_unlock(&w->loop);
    return s;
}

int world_load(struct world *w, const uint8_t *buf, size_t len)
{
    struct error err = {0};
    struct state_reader *r = state_reader_new(buf, len, &err);
    int rc = 0;

    if (!r) {
        FUZZ_CHECK(err.code && err.msg[0]);
        return -err.code;
    }
    loop_lock(&w->loop);
    rc = irqchip_load(&w->chip, r, &err);
    for (unsigned i = 0; !rc && i < w->devices; i++)
        if (w->device[i]->ops->load)
            rc = w->device[i]->ops->load(w->device[i], r, &err);
    if (!rc)
        rc = state_result(r, &err);
    loop_unlock(&w->loop);
    FUZZ_CHECK(!rc || (err.code && err.msg[0]));
    state_reader_free(r);
    return rc;
}

static void poke_region(struct world *w, struct fuzz *f, enum io_kind kind)
{
    unsigned width = BIT(fuzz8(f) & 3), at = fuzz8(f);
    const struct io_map *map = &w->mem.io[kind];
    const struct io_region *r;
    uint64_t addr;

    if (!map->count)
        return;
    r = map->regions[at % map->count];
    addr = r->base + (r->len > 256 ? fuzz16(f) : fuzz8(f)) % r->len;
    /* Sometimes across the edge of the region. */
    if (at >= 250)
        addr = r->base + r->len - 1;
    if (fuzz8(f) & 1)
        io_read(&w->mem, kind, addr, width);
    else
        io_write(&w->mem, kind, addr, width, fuzz_number(f));
}

static void poke_config(struct world *w, struct fuzz *f)
{
    /* Every device there is, and some that are not. */
    uint64_t at = PCI_ECAM_BASE + (fuzz8(f) % 12) * 0x8000ull + fuzz8(f);
    unsigned width = BIT(fuzz8(f) % 3);

    if (fuzz8(f) & 1)
        io_read(&w->mem, IO_MMIO, at, width);
    else
        io_write(&w->mem, IO_MMIO, at, width, fuzz_number(f));
}

static void poke_lapic(struct world *w, struct fuzz *f)
{
    struct lapic *l = &w->chip.lapic[fuzz8(f) % WORLD_CPUS];
    uint64_t v = fuzz_number(f);
    uint32_t reg = fuzz8(f);

    loop_lock(&w->loop);
    switch (fuzz8(f) % 6) {
    case 0:
        lapic_mmio_read(l, reg << 4);
        break;
    case 1:
        lapic_mmio_write(l, reg << 4, (uint32_t)v);
        break;
    case 2:
        if (lapic_msr_read(l, 0x800 + reg, &v))
            v = 0;
        break;
    case 3:
        if (lapic_msr_write(l,
                            reg < 2   ? 0x1b
                            : reg < 8 ? 0x6e0
                                      : 0x800 + (reg & 0x3f),
                            v))
            v = 0;
        break;
    case 4:
        FUZZ_CHECK(lapic_ack(l) < 256);
        break;
    default:
        lapic_tpr_set(l, v & 15);
        FUZZ_CHECK(lapic_tpr_get(l) <= 15);
    }
    loop_unlock(&w->loop);
}

static void poke_terminal(struct world *w, struct fuzz *f)
{
    struct chardev *c = fuzz8(f) & 1 ? &w->serial : &w->terminal;
    uint8_t text[64];
    size_t n;

    loop_lock(&w->loop);
    switch (fuzz8(f) % 4) {
    case 0:
        n = MIN(chardev_room(c), sizeof(text));
        memset(text, fuzz8(f), sizeof(text));
        if (n)
            chardev_receive(c, text, n);
        break;
    case 1:
        w->takes = fuzz16(f);
        chardev_writable(c);
        break;
    case 2:
        chardev_resize(c, fuzz16(f), fuzz16(f));
        break;
    default:
        chardev_break(c);
    }
    loop_unlock(&w->loop);
}

/* A structure that makes some sense, in RAM or over its edges. */
static void poke_fw_cfg(struct world *w, struct fuzz *f)
{
    uint64_t at = fuzz32(f) % (WORLD_RAM + 64);
    struct {
        uint32_t control, length;
        uint64_t address;
    } a = {
        .control = htobe32((fuzz8(f) % 0x24u) << 16 | (fuzz8(f) & 31)),
        .length = htobe32((uint32_t)fuzz_number(f)),
        .address = htobe64(fuzz32(f) % (WORLD_RAM + 64)),
    };

    if (guest_mem_write(&w->mem, at, &a, sizeof(a)))
        at = fuzz64(f);
    io_write(&w->mem, IO_PORT, FW_CFG_DMA_PORT, 4,
             htobe32((uint32_t)(at >> 32)));
    io_write(&w->mem, IO_PORT, FW_CFG_DMA_PORT + 4, 4, htobe32((uint32_t)at));
}

/* A program that connects, or that the guest has reached. */
static void host_new(struct world *w, struct fuzz *f, int *fd)
{
    static const char *const lines[] = {"CONNECT 1\n", "CONNECT 2\nmore",
                                        "CONN", "CONNECT 4294967295\n"};
    char path[64], service[2][80];
    uint8_t how = fuzz8(f);

    if (how < 128) {
        *fd = accept4(w->service[how & 1], NULL, NULL,
                      SOCK_NONBLOCK | SOCK_CLOEXEC);
        return;
    }
    vsock_paths(path, service);
    *fd = unix_connect(path);
    if (*fd >= 0)
        FUZZ_CHECK(send(*fd, lines[how & 3], strlen(lines[how & 3]),
                        MSG_NOSIGNAL) > 0);
}

static void host_step(struct world *w, struct fuzz *f)
{
    static char buf[200000];
    int *fd = &w->host[fuzz8(f) % WORLD_HOSTS];
    uint8_t what = fuzz8(f) & 7;
    ssize_t n = 0;

    if (*fd < 0) {
        host_new(w, f, fd);
    } else if (what < 3) {
        n = send(*fd, buf, fuzz8(f) * 64u, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (what < 5) {
        n = recv(*fd, buf, sizeof(buf), MSG_DONTWAIT);
    } else if (what == 5) {
        shutdown(*fd, fuzz8(f) & 1 ? SHUT_WR : SHUT_RD);
    } else if (what == 6 || n < 0) {
        close(*fd);
        *fd = -1;
    }
}

void world_outside(struct world *w, struct fuzz *f)
{
    struct chardev *c = &w->far[fuzz8(f) % WORLD_PORTS];
    uint8_t what = fuzz8(f), text[64] = {0};

    if (what < 140) {
        host_step(w, f);
        world_wait(w, 0);
        return;
    }
    loop_lock(&w->loop);
    if (what < 200)
        chardev_connect(c, what & 1);
    else if (what < 220)
        chardev_writable(c);
    else if (!c->away && chardev_room(c))
        chardev_receive(c, text, MIN(chardev_room(c), sizeof(text)));
    loop_unlock(&w->loop);
}

void world_poke(struct world *w, struct fuzz *f)
{
    uint8_t what = fuzz8(f);

    if (what < 100)
        poke_region(w, f, IO_PORT);
    else if (what < 160)
        poke_region(w, f, IO_MMIO);
    else if (what < 180)
        poke_config(w, f);
    else if (what < 215)
        poke_lapic(w, f);
    else if (what < 230)
        poke_terminal(w, f);
    else if (what < 250)
        world_wait(w, fuzz8(f) & 1 ? fuzz32(f) : fuzz16(f));
    else if (what < 252)
        world_wait(w, fuzz64(f) >> 5);
    else if (what == 252)
        world_reset(w);
    else if (what == 253)
        acpi_pm_power_button(&w->pm);
    else if (what == 254)
        world_outside(w, f);
    else
        poke_fw_cfg(w, f);
}

/* As base/state.c has it. */
static uint32_t crc32_of(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0u;

    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Follows the sections as far as they go and mends their checksums. */
static void mend(uint8_t *buf, size_t len)
{
    size_t at = 12;

    while (at + 17 < len) {
        size_t name = buf[at + 4], body = at + 17 + name, end;

        if (body > len)
            return;
        end = body + get32(buf + body - 4);
        if (end + 4 > len)
            return;
        uint32_t crc = crc32_of(buf + at, end - at);

        for (int i = 0; i < 4; i++)
            buf[end + i] = (uint8_t)(crc >> 8 * i);
        at = end + 4;
    }
}

/*
 * The values of integer fields are where a change goes furthest; at least
 * half of the changes are there.
 */
static void change_field(uint8_t *buf, size_t len, struct fuzz *f)
{
    size_t at = 12 + fuzz16(f) % (len - 12);

    /* 1, length, printable name: very likely an integer field */
    for (; at + 12 < len; at++) {
        size_t n = buf[at + 1];

        if (buf[at] == 1 && n && n < 20 && at + 2 + n + 8 <= len &&
            buf[at + 2] >= 'a' && buf[at + 2] <= 'z' &&
            buf[at + 1 + n] >= '0') {
            uint64_t v = fuzz_number(f);

            memcpy(buf + at + 2 + n, &v, 8);
            return;
        }
    }
}

void world_spoil(uint8_t *buf, size_t len, unsigned changes, struct fuzz *f)
{
    while (changes--) {
        if (fuzz8(f) & 3)
            change_field(buf, len, f);
        else
            buf[fuzz16(f) % len] = fuzz8(f);
    }
    if (fuzz8(f) < 250)
        mend(buf, len);
}
