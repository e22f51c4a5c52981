/* SPDX-License-Identifier: Apache-2.0 */
/* dev_firmware.c - claims about what only a machine with firmware has. */
#include "dev/debugcon.h"
#include "dev/fw_cfg.h"
#include "dev/pci/pci.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct board_up {
    struct guest_mem mem;
    struct fw_cfg cfg;
    struct error err;
};

static void up(struct board_up *b)
{
    memset(b, 0, sizeof(*b));
    CHECK_EQ(guest_mem_init(&b->mem, 2 * MiB, &lock, &b->err), 0);
    CHECK_EQ(fw_cfg_init(&b->cfg, &b->mem, &b->err), 0);
}

static void down(struct board_up *b)
{
    b->cfg.dev.ops->fini(&b->cfg.dev);
    guest_mem_fini(&b->mem);
}

static void select_item(struct board_up *b, unsigned key)
{
    io_write(&b->mem, IO_PORT, FW_CFG_PORT, 2, key);
}

static void by_port(struct board_up *b, void *to, size_t len)
{
    uint8_t *p = to;

    while (len--)
        *p++ = (uint8_t)io_read(&b->mem, IO_PORT, FW_CFG_PORT + 1, 1);
}

/* The control word that the guest finds afterwards. */
static uint32_t by_dma(struct board_up *b, uint32_t control, uint64_t address,
                       uint32_t len)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } a = {htobe32(control), htobe32(len), htobe64(address)};

    CHECK_EQ(guest_mem_write(&b->mem, 0x1000, &a, sizeof(a)), 0);
    io_write(&b->mem, IO_PORT, FW_CFG_DMA_PORT, 4, 0);
    io_write(&b->mem, IO_PORT, FW_CFG_DMA_PORT + 4, 4, htobe32(0x1000));
    CHECK_EQ(guest_mem_read(&b->mem, 0x1000, &control, 4), 0);
    return be32toh(control);
}

static void items_are_read_byte_by_byte(void)
{
    struct board_up b;
    uint8_t buf[8];

    up(&b);
    select_item(&b, FW_CFG_SIGNATURE);
    by_port(&b, buf, 6);
    CHECK(!memcmp(buf, "QEMU\0\0", 6)); /* zeroes behind the end */
    select_item(&b, FW_CFG_ID);
    by_port(&b, buf, 4);
    CHECK_EQ(buf[0], 3); /* ports and DMA */
    select_item(&b, 0x1234);
    by_port(&b, buf, 1);
    CHECK_EQ(buf[0], 0);
    down(&b);
}

static void files_are_in_the_directory(void)
{
    struct board_up b;
    uint8_t dir[4 + 2 * 64];

    up(&b);
    CHECK_EQ(fw_cfg_add_file(&b.cfg, "etc/one", "1", 1, &b.err), 0);
    CHECK_EQ(fw_cfg_add_file(&b.cfg, "etc/two", "two", 3, &b.err), 0);
    select_item(&b, FW_CFG_FILE_DIR);
    by_port(&b, dir, sizeof(dir));
    CHECK_EQ(dir[3], 2);
    CHECK_EQ(dir[4 + 64 + 3], 3);
    CHECK_EQ(dir[4 + 64 + 5], FW_CFG_FILE_FIRST + 1);
    CHECK(!strcmp((char *)dir + 4 + 64 + 8, "etc/two"));
    select_item(&b, FW_CFG_FILE_FIRST + 1);
    by_port(&b, dir, 4);
    CHECK(!memcmp(dir, "two", 4));
    down(&b);
}

static void dma_reads_and_skips(void)
{
    struct board_up b;
    char buf[8];

    up(&b);
    CHECK_EQ(io_read(&b.mem, IO_PORT, FW_CFG_DMA_PORT, 4), 0x554d4551);
    CHECK_EQ(fw_cfg_add_file(&b.cfg, "etc/file", "0123456789", 10, &b.err), 0);
    CHECK_EQ(by_dma(&b, FW_CFG_FILE_FIRST << 16 | 8 | 4, 0, 6), 0);
    memset(b.mem.ram + 0x2000, 0xff, 8);
    CHECK_EQ(by_dma(&b, 2, 0x2000, 7), 0);
    CHECK_EQ(guest_mem_read(&b.mem, 0x2000, buf, 8), 0);
    CHECK(!memcmp(buf, "6789\0\0\0\xff", 8));
    down(&b);
}

static void bad_dma_is_told_and_does_nothing(void)
{
    struct board_up b;

    up(&b);
    CHECK_EQ(by_dma(&b, 2, 2 * MiB - 4, 5), 1);
    CHECK_EQ(by_dma(&b, 2, UINT64_MAX, 5), 1);
    CHECK_EQ(by_dma(&b, 2, 0, UINT32_MAX), 1);
    CHECK_EQ(by_dma(&b, 16, 0x2000, 4), 1); /* nothing can be written */
    CHECK_EQ(by_dma(&b, 8 | 4, 0, UINT32_MAX), 0);
    CHECK_EQ(by_dma(&b, 4, 0, UINT32_MAX), 0);
    CHECK_EQ(b.cfg.at, UINT32_MAX);
    CHECK_EQ(by_dma(&b, 2, 0x2000, 4), 0);
    /* A structure that is not in memory: nobody can be told. */
    io_write(&b.mem, IO_PORT, FW_CFG_DMA_PORT, 4, UINT32_MAX);
    io_write(&b.mem, IO_PORT, FW_CFG_DMA_PORT + 4, 4, UINT32_MAX);
    io_write(&b.mem, IO_PORT, FW_CFG_DMA_PORT + 4, 4, htobe32(2 * MiB - 8));
    down(&b);
}

static void the_place_in_an_item_is_saved(void)
{
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    struct board_up b;
    const void *bytes;
    uint8_t buf[2];
    size_t len;

    up(&b);
    select_item(&b, FW_CFG_SIGNATURE);
    by_port(&b, buf, 1);
    b.cfg.dev.ops->save(&b.cfg.dev, w);
    b.cfg.dev.ops->reset(&b.cfg.dev);
    bytes = state_writer_bytes(w, &len);
    r = state_reader_new(bytes, len, &b.err);
    CHECK_EQ(b.cfg.dev.ops->load(&b.cfg.dev, r, &b.err), 0);
    by_port(&b, buf, 2);
    CHECK(!memcmp(buf, "EM", 2));
    state_reader_free(r);
    state_writer_free(w);
    down(&b);
}

static void debugcon_answers(void)
{
    struct debugcon c;
    struct board_up b;
    int i;

    up(&b);
    CHECK_EQ(debugcon_init(&c, &b.mem, &b.err), 0);
    CHECK_EQ(io_read(&b.mem, IO_PORT, DEBUGCON_PORT, 1), 0xe9);
    for (i = 0; i < 1000; i++)
        io_write(&b.mem, IO_PORT, DEBUGCON_PORT, 1, 0x1b);
    CHECK(c.len < sizeof(c.line));
    CHECK(!memchr(c.line, 0x1b, sizeof(c.line)));
    c.dev.ops->fini(&c.dev);
    down(&b);
}

static void rom_ends_at_4_gib_and_stays(void)
{
    uint8_t *rom = aligned_alloc(4096, 8192);
    struct board_up b;

    up(&b);
    for (unsigned i = 0; i < 8192; i++)
        rom[i] = (uint8_t)(i >> 4);
    CHECK_EQ(guest_rom_add(&b.mem, rom, 8192, &b.err), 0);
    CHECK_EQ(io_read(&b.mem, IO_MMIO, 0xfffffff0, 4), 0xffffffff);
    CHECK_EQ(io_read(&b.mem, IO_MMIO, 0xffffe010, 8), 0x0101010101010101);
    io_write(&b.mem, IO_MMIO, 0xffffe010, 8, 0);
    CHECK_EQ(io_read(&b.mem, IO_MMIO, 0xffffe018, 1), 1);
    CHECK(guest_rom_ptr(&b.mem, 0xffffffff) == rom + 8191);
    CHECK(!guest_rom_ptr(&b.mem, 0x100000000));
    CHECK(!guest_rom_ptr(&b.mem, 0xffffdfff));
    guest_rom_remove(&b.mem);
    CHECK(!guest_rom_ptr(&b.mem, 0xffffffff));
    CHECK_EQ(guest_rom_add(&b.mem, rom, 100, &b.err), -EINVAL);
    down(&b);
    free(rom);
}

static uint64_t bar_read(void *dev, uint64_t off, unsigned width)
{
    (void)dev;
    (void)width;
    return off;
}

static void bar_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)dev;
    (void)off;
    (void)width;
    (void)val;
}

static const struct io_ops bar_ops = {bar_read, bar_write, 0, 4};
static const struct device_ops func_ops = {.name = "function"};

static void firmware_places_bars(void)
{
    struct irq_line intx[8] = {0};
    struct pci_func f;
    struct pci_host h;
    struct board_up b;

    up(&b);
    CHECK_EQ(pci_host_init(&h, &b.mem, NULL, intx, NULL, &b.err), 0);
    pci_host_firmware(&h);
    pci_func_init(&f, &func_ops, 0, 0x1234, 1, 0x020000, 0);
    pci_func_bar(&f, 0, 4096, true, &bar_ops, &f);
    CHECK_EQ(pci_add(&h, &f, &b.err), 0);
    /* By this SeaBIOS knows that there is fw_cfg. */
    CHECK_EQ(pci_config_read(&h.bridge, PCI_SUBSYS, 4), 0x11001af4);
    CHECK_EQ(pci_config_read(&f, PCI_COMMAND, 2), 0);
    CHECK_EQ(pci_config_read(&f, PCI_BAR0, 4), 4);
    CHECK_EQ(pci_config_read(&f, PCI_BAR0 + 4, 4), 0);
    pci_config_write(&f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    CHECK(!f.bar[0].mapped); /* not over RAM */
    pci_config_write(&f, PCI_BAR0, 4, 0xfebff000);
    CHECK_EQ(io_read(&b.mem, IO_MMIO, 0xfebff010, 4), 0x10);
    pci_config_write(&f, PCI_BAR0, 4, 0xfec00000);
    CHECK(!f.bar[0].mapped); /* nor over the IOAPIC */
    pci_func_reset(&f);
    CHECK_EQ(pci_config_read(&f, PCI_COMMAND, 2), 0);
    pci_remove(&f);
    h.dev.ops->fini(&h.dev);
    down(&b);
}

int main(void)
{
    RUN(items_are_read_byte_by_byte);
    RUN(files_are_in_the_directory);
    RUN(dma_reads_and_skips);
    RUN(bad_dma_is_told_and_does_nothing);
    RUN(the_place_in_an_item_is_saved);
    RUN(debugcon_answers);
    RUN(rom_ends_at_4_gib_and_stays);
    RUN(firmware_places_bars);
    return test_status();
}
