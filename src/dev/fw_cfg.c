/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg.c - see fw_cfg.h. What lies behind an item's end, and an item that
 * is not there, read as zeroes.
 */
#include "dev/fw_cfg.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ID_PORTS 1u
#define ID_DMA   2u

enum {
    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
};

/* In guest memory; all big-endian. */
struct dma_access {
    uint32_t control, length;
    uint64_t address;
};
static_assert(sizeof(struct dma_access) == 16, "the guest's structure");

/* In the directory; big-endian. */
struct dir_entry {
    uint32_t size;
    uint16_t key, reserved;
    char name[FW_CFG_NAME_MAX];
};
static_assert(sizeof(struct dir_entry) == 64, "the guest's structure");

static struct fw_cfg_item *item_find(struct fw_cfg *f, unsigned key)
{
    for (unsigned i = 0; i < f->items; i++)
        if (f->item[i].key == key)
            return &f->item[i];
    return NULL;
}

static void item_select(struct fw_cfg *f, unsigned key)
{
    f->key = (uint16_t)key;
    f->at = 0;
}

/* The next len bytes, and on. */
static void item_read(struct fw_cfg *f, uint8_t *to, uint32_t len)
{
    const struct fw_cfg_item *it = item_find(f, f->key);
    uint32_t have = it && f->at < it->len ? MIN(it->len - f->at, len) : 0;

    if (have)
        memcpy(to, it->data + f->at, have);
    memset(to + have, 0, len - have);
    f->at += MIN(len, UINT32_MAX - f->at);
}

/* --- ports --- */

static uint64_t ports_read(void *dev, uint64_t off, unsigned width)
{
    uint8_t v = 0;

    if (off == 1 && width == 1)
        item_read(dev, &v, 1);
    return v;
}

static void ports_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    if (off == 0 && width == 2)
        item_select(dev, (unsigned)val);
}

/* --- DMA --- */

static bool dma_read(struct fw_cfg *f, gpa_t gpa, uint32_t len)
{
    uint8_t *to = guest_mem_ptr(f->mem, gpa, len);

    if (!to)
        return false;
    item_read(f, to, len);
    guest_mem_written(f->mem, gpa, len);
    return true;
}

static bool dma_do(struct fw_cfg *f, const struct dma_access *a)
{
    uint32_t control = be32toh(a->control), len = be32toh(a->length);

    if (control & DMA_SELECT)
        item_select(f, control >> 16);
    if (control & DMA_READ)
        return len <= FW_CFG_DMA_MAX && dma_read(f, be64toh(a->address), len);
    if (control & DMA_WRITE)
        return false; /* nothing here can be written */
    if (control & DMA_SKIP)
        f->at += MIN(len, UINT32_MAX - f->at);
    return true;
}

/* The structure is copied once; the guest sees the answer in its first word. */
static void dma_run(struct fw_cfg *f, gpa_t gpa)
{
    struct dma_access a;
    uint32_t answer;

    f->dma_high = 0;
    if (guest_mem_read(f->mem, gpa, &a, sizeof(a))) {
        log_guest("fw_cfg: DMA from 0x%llx, which is not memory",
                  (unsigned long long)gpa);
        return;
    }
    answer = dma_do(f, &a) ? 0 : htobe32(DMA_ERROR);
    if (guest_mem_write(f->mem, gpa, &answer, sizeof(answer)))
        return; /* it was read from there */
}

static uint64_t dma_port_read(void *dev, uint64_t off, unsigned width)
{
    static const char signature[8] = "QEMU CFG";
    uint64_t v = 0;

    (void)dev;
    memcpy(&v, signature + off, width);
    return v;
}

static void dma_port_write(void *dev, uint64_t off, unsigned width,
                           uint64_t val)
{
    struct fw_cfg *f = dev;
    uint32_t word = be32toh((uint32_t)val);

    if (width != 4)
        return;
    if (off == 0)
        f->dma_high = word;
    else if (off == 4)
        dma_run(f, (gpa_t)f->dma_high << 32 | word);
}

static const struct io_ops ports_io = {ports_read, ports_write, 0, 2};
static const struct io_ops dma_io = {dma_port_read, dma_port_write, 0, 4};

/* --- items --- */

int fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len,
               struct error *err)
{
    struct fw_cfg_item *it = &f->item[f->items];

    rf_assert(f->items < FW_CFG_ITEMS_MAX && !item_find(f, key));
    it->key = key;
    it->len = len;
    it->data = malloc(len ? len : 1);
    if (!it->data)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(it->data, data, len);
    f->items++;
    return 0;
}

/* The directory is the first item: a count, then an entry for each file. */
static int dir_add(struct fw_cfg *f, const char *name, uint16_t key,
                   uint32_t len, struct error *err)
{
    struct fw_cfg_item *dir = item_find(f, FW_CFG_FILE_DIR);
    uint8_t *data = realloc(dir->data, dir->len + sizeof(struct dir_entry));
    struct dir_entry e = {.size = htobe32(len), .key = htobe16(key)};
    uint32_t count = htobe32(f->files + 1);

    if (!data)
        return error_set(err, ENOMEM, "out of memory");
    rf_assert(strlen(name) < sizeof(e.name));
    strcpy(e.name, name);
    memcpy(data, &count, sizeof(count));
    memcpy(data + dir->len, &e, sizeof(e));
    dir->data = data;
    dir->len += sizeof(e);
    f->files++;
    return 0;
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data,
                    uint32_t len, struct error *err)
{
    uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + f->files);

    if (fw_cfg_add(f, key, data, len, err))
        return -err->code;
    return dir_add(f, name, key, len, err);
}

/* --- device --- */

static struct fw_cfg *fw_cfg_of(struct device *d)
{
    return container_of(d, struct fw_cfg, dev);
}

static void fw_cfg_reset(struct device *d)
{
    item_select(fw_cfg_of(d), FW_CFG_SIGNATURE);
    fw_cfg_of(d)->dma_high = 0;
}

static void fw_cfg_save(struct device *d, struct state_writer *w)
{
    struct fw_cfg *f = fw_cfg_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "key", f->key);
    state_put(w, "at", f->at);
    state_put(w, "dma_high", f->dma_high);
    state_end(w);
}

static int fw_cfg_load(struct device *d, struct state_reader *r,
                       struct error *err)
{
    struct fw_cfg *f = fw_cfg_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    f->key = (uint16_t)state_get_max(r, "key", UINT16_MAX);
    f->at = (uint32_t)state_get_max(r, "at", UINT32_MAX);
    f->dma_high = (uint32_t)state_get_max(r, "dma_high", UINT32_MAX);
    return state_result(r, err);
}

static void fw_cfg_fini(struct device *d)
{
    struct fw_cfg *f = fw_cfg_of(d);

    io_remove(f->mem, IO_PORT, &f->ports);
    io_remove(f->mem, IO_PORT, &f->dma);
    while (f->items)
        free(f->item[--f->items].data);
}

static const struct device_ops fw_cfg_ops = {
    "fw_cfg", fw_cfg_reset, fw_cfg_save, fw_cfg_load, fw_cfg_fini,
};

static int fw_cfg_own(struct fw_cfg *f, struct error *err)
{
    uint32_t id = htole32(ID_PORTS | ID_DMA), files = 0;

    if (fw_cfg_add(f, FW_CFG_FILE_DIR, &files, sizeof(files), err) ||
        fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4, err) ||
        fw_cfg_add(f, FW_CFG_ID, &id, sizeof(id), err))
        return -err->code;
    return 0;
}

int fw_cfg_init(struct fw_cfg *f, struct guest_mem *mem, struct error *err)
{
    *f = (struct fw_cfg){
        .dev = {&fw_cfg_ops, 0},
        .mem = mem,
        .ports = {"fw_cfg", FW_CFG_PORT, 2, &ports_io, f},
        .dma = {"fw_cfg DMA", FW_CFG_DMA_PORT, 8, &dma_io, f},
    };
    if (io_add(mem, IO_PORT, &f->ports, err))
        return -err->code;
    if (!io_add(mem, IO_PORT, &f->dma, err) && !fw_cfg_own(f, err))
        return 0;
    fw_cfg_fini(&f->dev);
    return -err->code;
}
