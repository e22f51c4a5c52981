/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_top.c - what `ringfence top` asks of a machine, again and again.
 *
 * So nobody is stopped for it: counters that vCPUs write are read while they
 * run (words of 64 bits, whole on x86), the devices' belong to the device lock,
 * which the event thread has. What the host's kernel knows of a process, memory
 * and the stubs' time, whoever asks reads there.
 */
#include "machine/ctl_int.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inspect/stats.h"

static void put(struct json_object *o, const char *key, uint64_t n)
{
    json_object_object_add(o, key, json_object_new_uint64(n));
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of the vCPUs' threads, and of the whole process with them. */
static void put_times(const struct machine *m, struct json_object *o)
{
    uint64_t guest = 0;
    clockid_t id;

    for (unsigned i = 0; i < m->cfg->cpus; i++)
        if (m->cpu[i].started && !pthread_getcpuclockid(m->cpu[i].thread, &id))
            guest += clock_ns(id);
    put(o, "vcpus_ns", guest);
    put(o, "process_ns", clock_ns(CLOCK_PROCESS_CPUTIME_ID));
}

/* Shared RAM is what its file has; of a private one the inode is told. */
static void put_memory(const struct machine *m, struct json_object *o)
{
    struct stat st;

    put(o, "memory", m->cfg->memory);
    if (fstat(m->mem.memfd, &st))
        return;
    put(o, "ram_inode", st.st_ino);
    json_object_object_add(o, "ram_private",
                           json_object_new_boolean(m->mem.private));
    if (!m->mem.private)
        put(o, "resident", (uint64_t)st.st_blocks * 512);
}

static void put_disks(const struct machine *m, struct json_object *o)
{
    struct json_object *all = json_object_new_array(), *d;

    for (unsigned i = 0; i < m->cfg->disks; i++) {
        const struct virtio_blk_count *n = m->blk[i].count;

        d = json_object_new_object();
        put(d, "reads", n[DISK_READ].requests);
        put(d, "read_bytes", n[DISK_READ].bytes);
        put(d, "writes", n[DISK_WRITE].requests);
        put(d, "written_bytes", n[DISK_WRITE].bytes);
        put(d, "flushes", n[DISK_FLUSH].requests);
        put(d, "discards", n[DISK_DISCARD].requests + n[DISK_ZERO].requests);
        json_object_array_add(all, d);
    }
    json_object_object_add(o, "disks", all);
}

static void put_nets(const struct machine *m, struct json_object *o)
{
    struct json_object *all = json_object_new_array(), *d;

    for (unsigned i = 0; i < m->cfg->nets; i++) {
        const struct virtio_net *n = &m->vnet[i];

        d = json_object_new_object();
        put(d, "received", n->rx.frames);
        put(d, "received_bytes", n->rx.bytes);
        put(d, "sent", n->tx.frames);
        put(d, "sent_bytes", n->tx.bytes);
        put(d, "dropped", m->net[i] ? m->net[i]->dropped : 0);
        json_object_array_add(all, d);
    }
    json_object_object_add(o, "nets", all);
}

static void put_row(void *ctx, const char *group, const char *name,
                    uint64_t count)
{
    struct json_object *o;

    if (!json_object_object_get_ex(ctx, group, &o)) {
        o = json_object_new_object();
        json_object_object_add(ctx, group, o);
    }
    put(o, name, count);
}

void ctl_counters(struct ctl_client *c, struct json_object *req)
{
    struct machine *m = c->ctl->m;
    struct json_object *o = json_object_new_object();
    struct json_object *counts = json_object_new_object();
    struct vcpu *cpus[GUEST_VCPUS_MAX];

    (void)req;
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        cpus[i] = &m->cpu[i].cpu;
    json_object_object_add(o, "name", json_object_new_string(m->name));
    json_object_object_add(o, "state", json_object_new_string(ctl_state(m)));
    json_object_object_add(o, "engine",
                           json_object_new_string(m->engine->name));
    put(o, "pid", (uint64_t)getpid());
    put(o, "cpus", m->cfg->cpus);
    put(o, "now_ns", clock_host_now());
    put(o, "uptime_ms", (clock_host_now() - c->ctl->started) / 1000000);
    put(o, "guest_ms", clock_now(&m->clock) / 1000000);
    put_times(m, o);
    put_memory(m, o);
    put_disks(m, o);
    put_nets(m, o);
    put(o, "instructions", stats_peek(cpus, m->cfg->cpus, put_row, counts));
    json_object_object_add(o, "counts", counts);
    ctl_answer(c, o);
}
