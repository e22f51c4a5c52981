/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg.h - what the monitor has to tell firmware: numbered items and named
 * files, read through ports or by DMA.       [QEMU docs/specs/fw_cfg.rst]
 *
 * Only a machine that runs firmware has it. Nothing in it can be written by
 * the guest; items are added before the guest runs, and are the same each time
 * the machine is built from the same configuration, so only the reader's place
 * in them is saved.
 */
#pragma once

#include "dev/device.h"
#include "mem/guest_mem.h"

#define FW_CFG_PORT     0x510
#define FW_CFG_DMA_PORT 0x514

/* Items with a number of their own; files get theirs from 0x20 on. */
#define FW_CFG_SIGNATURE  0x00
#define FW_CFG_ID         0x01
#define FW_CFG_RAM_SIZE   0x03
#define FW_CFG_NOGRAPHIC  0x04
#define FW_CFG_CPUS       0x05
#define FW_CFG_BOOT_MENU  0x0e
#define FW_CFG_MAX_CPUS   0x0f
#define FW_CFG_FILE_DIR   0x19
#define FW_CFG_FILE_FIRST 0x20

#define FW_CFG_ITEMS_MAX 40
#define FW_CFG_NAME_MAX  56         /* with its NUL */
#define FW_CFG_DMA_MAX   (16 * MiB) /* that one transfer may ask for */

struct fw_cfg_item {
    uint16_t key;
    uint32_t len;
    uint8_t *data; /* ours */
};

struct fw_cfg {
    struct device dev;
    struct guest_mem *mem;
    struct io_region ports, dma;
    struct fw_cfg_item item[FW_CFG_ITEMS_MAX];
    unsigned items, files;
    uint16_t key; /* selected */
    uint32_t at;  /* where in it */
    uint32_t dma_high;
};

int fw_cfg_init(struct fw_cfg *f, struct guest_mem *mem,
                struct error *err) must_check;
/* The data are copied. Numbers are those above, each once. */
int fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len,
               struct error *err) must_check;
int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data,
                    uint32_t len, struct error *err) must_check;
