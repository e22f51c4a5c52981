/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_pm.c - ACPI PM1 blocks and PM timer.          [ACPI 6.5, 4.8.3]
 */
#include "dev/acpi_pm.h"

#include <string.h>

enum { STS_TMR = 1, STS_PWRBTN = 0x100, STS_WAK = 0x8000 };
enum { CNT_SCI_EN = 1, CNT_SLP_TYP = 7 << 10, CNT_SLP_EN = 1 << 13 };

#define STS_OTHERS (0x10 | 0x20 | 0x200 | 0x400)
#define STS_ALL    (STS_TMR | STS_PWRBTN | STS_WAK | STS_OTHERS)
#define EN_ALL     (STS_TMR | 0x20 | STS_PWRBTN | 0x200 | 0x400)
#define NS_PER_SEC 1000000000ull

static uint64_t pm_ticks(const struct acpi_pm *pm)
{
    return (uint64_t)((unsigned __int128)clock_now(pm->clock) * ACPI_PM_HZ /
                      NS_PER_SEC);
}

static void pm_update(struct acpi_pm *pm)
{
    irq_set(&pm->sci, pm->status & pm->enable & EN_ALL);
}

/* TMR_STS follows bit 31 of the timer, but only runs when asked for. */
static void pm_arm(struct acpi_pm *pm)
{
    uint64_t next;

    if (!(pm->enable & STS_TMR)) {
        timer_cancel(&pm->overflow);
        return;
    }
    next = ((pm_ticks(pm) >> 31) + 1) << 31;
    timer_arm(&pm->overflow,
              (uint64_t)((unsigned __int128)next * NS_PER_SEC / ACPI_PM_HZ) +
                  1);
}

static void overflow_fired(struct timer *t)
{
    struct acpi_pm *pm = container_of(t, struct acpi_pm, overflow);

    pm->status |= STS_TMR;
    pm_arm(pm);
    pm_update(pm);
}

static uint64_t pm_read(void *dev, uint64_t off, unsigned width)
{
    struct acpi_pm *pm = dev;
    uint16_t reg[4] = {pm->status, pm->enable, pm->control, 0};
    uint32_t ticks = (uint32_t)pm_ticks(pm);
    uint8_t image[ACPI_PM_LEN];
    uint64_t v = 0;

    memcpy(image, reg, 8);
    memcpy(image + 8, &ticks, 4);
    memcpy(&v, image + off, width);
    return v;
}

static void pm_byte(struct acpi_pm *pm, unsigned off, uint8_t val)
{
    unsigned shift = 8 * (off & 1);
    uint16_t keep = (uint16_t) ~(0xff << shift);
    uint16_t v = (uint16_t)(val << shift);

    switch (off & ~1u) {
    case 0:
        pm->status &= (uint16_t)~v;
        break;
    case 2:
        pm->enable = ((pm->enable & keep) | v) & EN_ALL;
        break;
    case 4:
        pm->control = ((pm->control & keep) | v) | CNT_SCI_EN;
        break;
    }
}

static void pm_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct acpi_pm *pm = dev;
    bool sleep;

    for (unsigned i = 0; i < width; i++)
        pm_byte(pm, (unsigned)off + i, (uint8_t)(val >> (8 * i)));
    sleep = pm->control & CNT_SLP_EN;
    pm->control &= (uint16_t)~CNT_SLP_EN; /* reads as 0 */
    pm_arm(pm);
    pm_update(pm);
    if (sleep && (pm->control & CNT_SLP_TYP) >> 10 == ACPI_S5_SLP_TYP)
        board_shutdown(pm->board);
}

static const struct io_ops pm_io = {pm_read, pm_write, 0, 4};

bool acpi_pm_listens(const struct acpi_pm *pm)
{
    return pm->enable & STS_PWRBTN;
}

bool acpi_pm_power_button(struct acpi_pm *pm)
{
    pm->status |= STS_PWRBTN;
    pm_update(pm);
    return acpi_pm_listens(pm);
}

static struct acpi_pm *pm_of(struct device *d)
{
    return container_of(d, struct acpi_pm, dev);
}

static void acpi_pm_reset(struct device *d)
{
    struct acpi_pm *pm = pm_of(d);

    pm->status = pm->enable = 0;
    pm->control = CNT_SCI_EN;
    timer_cancel(&pm->overflow);
    pm_update(pm);
}

static void acpi_pm_save(struct device *d, struct state_writer *w)
{
    struct acpi_pm *pm = pm_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "status", pm->status);
    state_put(w, "enable", pm->enable);
    state_put(w, "control", pm->control);
    state_end(w);
}

static int acpi_pm_load(struct device *d, struct state_reader *r,
                        struct error *err)
{
    struct acpi_pm *pm = pm_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    pm->status = (uint16_t)state_get_max(r, "status", 0xffff) & STS_ALL;
    pm->enable = (uint16_t)state_get_max(r, "enable", 0xffff) & EN_ALL;
    pm->control = (uint16_t)state_get_max(r, "control", 0xffff) | CNT_SCI_EN;
    if (state_result(r, err))
        return -err->code;
    pm_arm(pm);
    pm_update(pm);
    return 0;
}

static void acpi_pm_fini(struct device *d)
{
    struct acpi_pm *pm = pm_of(d);

    timer_cancel(&pm->overflow);
    io_remove(pm->mem, IO_PORT, &pm->regs);
}

static const struct device_ops acpi_pm_ops = {
    "acpi_pm", acpi_pm_reset, acpi_pm_save, acpi_pm_load, acpi_pm_fini,
};

int acpi_pm_init(struct acpi_pm *pm, struct guest_mem *mem, struct loop *loop,
                 struct irq_line sci, const struct board *board,
                 struct error *err)
{
    *pm = (struct acpi_pm){
        .dev = {&acpi_pm_ops, 0},
        .mem = mem,
        .regs = {"ACPI PM", ACPI_PM_BASE, ACPI_PM_LEN, &pm_io, pm},
        .sci = sci,
        .board = board,
        .clock = loop->clock,
    };
    timer_init(&pm->overflow, loop, overflow_fired);
    acpi_pm_reset(&pm->dev);
    return io_add(mem, IO_PORT, &pm->regs, err);
}
