/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.c - for --stats boot: what tells how far a boot has got.
 *
 * The first code of a kernel and of a program are seen by those engines that
 * decode it. What any guest on any engine can do is write a line to port 0xe9:
 * a step by that name. From a shell of its root:
 * `echo init | dd of=/dev/port bs=1 seek=233`, where the kernel has that file.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <stdlib.h>

#include "inspect/stats.h"
#include "inspect/stats_boot.h"

#define MARK_PORT 0xe9

struct boot_marks {
    struct boot_times *times;
    struct console_viewer viewer;
    struct io_region port;
    char line[64];
    size_t len;
};

static void seen(struct vcpu *cpu, unsigned what)
{
    struct machine_cpu *mc = container_of(cpu, struct machine_cpu, cpu);

    boot_step(mc->m->marks->times,
              what == VCPU_FIRST_USER ? BOOT_STEP_USER : BOOT_STEP_KERNEL);
}

/* All output comes by: only the first of it counts. */
static void console_out(struct console_viewer *v, const uint8_t *buf,
                        size_t len)
{
    (void)buf;
    if (len)
        boot_step(container_of(v, struct boot_marks, viewer)->times,
                  BOOT_STEP_CONSOLE);
}

static uint64_t port_read(void *dev, uint64_t off, unsigned width)
{
    (void)dev;
    (void)off;
    (void)width;
    return MARK_PORT; /* somebody listens, as Bochs and QEMU say it */
}

static void port_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct boot_marks *b = dev;

    (void)off;
    (void)width;
    if ((char)val != '\n')
        b->line[b->len++] = (char)val;
    if ((char)val == '\n' || b->len == sizeof(b->line)) {
        boot_mark(b->times, b->line, b->len);
        b->len = 0;
    }
}

static const struct io_ops port_ops = {port_read, port_write, 0, 1};

int machine_marks_init(struct machine *m, struct error *err)
{
    struct boot_times *times = stats_boot(m->stats);
    struct boot_marks *b;

    if (!times)
        return 0;
    b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(err, ENOMEM, "out of memory");
    *b = (struct boot_marks){
        .times = times,
        .viewer = {.out = console_out},
        .port = {"boot marks", MARK_PORT, 1, &port_ops, b},
    };
    if (io_add(&m->mem, IO_PORT, &b->port, err)) {
        free(b);
        return -err->code;
    }
    m->marks = b;
    for (unsigned i = 0; i < m->cfg->cpus; i++) {
        m->cpu[i].cpu.first_seen = VCPU_FIRST_KERNEL | VCPU_FIRST_USER;
        m->cpu[i].cpu.on_first = seen;
    }
    loop_lock(&m->loop);
    console_attach(&m->console, &b->viewer);
    loop_unlock(&m->loop);
    return 0;
}

void machine_marks_fini(struct machine *m)
{
    if (!m->marks)
        return;
    loop_lock(&m->loop);
    console_detach(&m->console, &m->marks->viewer);
    loop_unlock(&m->loop);
    io_remove(&m->mem, IO_PORT, &m->marks->port);
    free(m->marks);
    m->marks = NULL;
}
