/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_export.c - samples for programs: JSON, and Prometheus's text format
 * (version 0.0.4). What a machine said of itself was made printable before.
 */
#include "cmd/top_int.h"

#include <json-c/json.h>
#include <string.h>
#include <time.h>

/* --- JSON --- */

static struct json_object *object(struct json_object *o, const char *key)
{
    struct json_object *sub = json_object_new_object();

    json_object_object_add(o, key, sub);
    return sub;
}

static void put(struct json_object *o, const char *key, uint64_t n)
{
    json_object_object_add(o, key, json_object_new_uint64(n));
}

static void put_real(struct json_object *o, const char *key, double n)
{
    char text[32];

    snprintf(text, sizeof(text), "%.6g", n);
    json_object_object_add(o, key, json_object_new_double_s(n, text));
}

static void put_text(struct json_object *o, const char *key, const char *s)
{
    json_object_object_add(o, key, json_object_new_string(s));
}

static void put_sums(struct json_object *o, const struct top_sample *s)
{
    struct json_object *sub;

    put(o, "cpus", s->cpus);
    put(o, "uptime_ms", s->uptime_ms);
    put(o, "guest_ms", s->guest_ms);
    put(o, "instructions", s->insns);
    put(o, "exits", s->exits);
    sub = object(o, "cpu_ns");
    put(sub, "guest", s->vcpus_ns);
    put(sub, "stubs", s->stubs_ns);
    put(sub, "monitor", s->monitor_ns);
    sub = object(o, "memory");
    put(sub, "guest", s->memory);
    put(sub, "resident", s->resident);
    put(sub, "monitor", s->monitor);
    put(sub, "stubs", s->stubs);
    sub = object(o, "disk");
    put(sub, "requests", s->disk_requests);
    put(sub, "read_bytes", s->disk_read);
    put(sub, "written_bytes", s->disk_written);
    sub = object(o, "net");
    put(sub, "frames", s->net_frames);
    put(sub, "received_bytes", s->net_received);
    put(sub, "sent_bytes", s->net_sent);
}

static void put_counts(struct json_object *o, const struct top_sample *s)
{
    struct json_object *all = object(o, "counts"), *group;

    for (unsigned i = 0; i < s->counts; i++) {
        if (!json_object_object_get_ex(all, s->count[i].group, &group))
            group = object(all, s->count[i].group);
        put(group, s->count[i].name, s->count[i].n);
    }
}

static void put_rates(struct json_object *o, const struct top_item *it)
{
    struct top_rate r = top_rate_of(it);

    if (r.seconds == 0)
        return;
    o = object(o, "rate");
    put_real(o, "seconds", r.seconds);
    put_real(o, "guest_cpus", r.vcpus);
    put_real(o, "stub_cpus", r.stubs);
    put_real(o, "monitor_cpus", r.monitor);
    put_real(o, "exits", r.exits);
    put_real(o, "instructions", r.insns);
    put_real(o, "disk_bytes", r.disk_bytes);
    put_real(o, "disk_requests", r.disk_requests);
    put_real(o, "net_bytes", r.net_bytes);
    put_real(o, "net_frames", r.net_frames);
}

static struct json_object *item_json(const struct top_item *it)
{
    struct json_object *o = json_object_new_object();

    put_text(o, "kind", it->container ? "container" : "vm");
    put_text(o, "name", it->name);
    put_text(o, "state", top_state_name(it));
    put(o, "uid", it->uid);
    put(o, "pid", it->pid);
    if (it->note[0])
        put_text(o, "note", it->note);
    if (!it->samples)
        return o;
    put_text(o, "engine", it->engine);
    put_sums(o, &it->now);
    put_rates(o, it);
    put_counts(o, &it->now);
    return o;
}

void top_json(const struct top *t, FILE *out, bool pretty)
{
    struct json_object *o = json_object_new_object();
    struct json_object *all = json_object_new_array();
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    put(o, "time_ns",
        (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    for (unsigned i = 0; i < t->items; i++)
        json_object_array_add(all, item_json(t->item[i]));
    json_object_object_add(o, "machines", all);
    fprintf(out, "%s\n",
            json_object_to_json_string_ext(o, pretty ? JSON_C_TO_STRING_PRETTY
                                                     : JSON_C_TO_STRING_PLAIN));
    fflush(out);
    json_object_put(o);
}

/* --- Prometheus --- */

/* A label's value: backslash and quote are escaped; no line ends are left. */
static const char *label(char *to, size_t len, const char *from)
{
    size_t n = 0;

    for (; *from && n + 3 < len; from++) {
        if (*from == '\\' || *from == '"')
            to[n++] = '\\';
        to[n++] = *from;
    }
    to[n] = '\0';
    return to;
}

static const struct metric {
    const char *name, *help;
    bool gauge;
    double scale;
    /* Up to four values, each with a label of its own; one without: NULL. */
    struct {
        const char *label;
        size_t field;
    } value[4];
} metrics[] = {
#define AT(field) offsetof(struct top_sample, field)
    {"vcpus", "Virtual CPUs", true, 1, {{NULL, AT(cpus)}}},
    {"uptime_seconds",
     "Since the machine was started",
     true,
     1e-3,
     {{NULL, AT(uptime_ms)}}},
    {"guest_seconds",
     "That have passed in the guest",
     true,
     1e-3,
     {{NULL, AT(guest_ms)}}},
    {"instructions_total",
     "Guest instructions that the monitor retired",
     false,
     1,
     {{NULL, AT(insns)}}},
    {"cpu_seconds_total",
     "Time on the host's CPUs, by who took it",
     false,
     1e-9,
     {{"part=\"guest\"", AT(vcpus_ns)},
      {"part=\"stubs\"", AT(stubs_ns)},
      {"part=\"monitor\"", AT(monitor_ns)}}},
    {"memory_bytes",
     "Guest RAM, what of it is resident, and what is beside it",
     true,
     1,
     {{"part=\"guest\"", AT(memory)},
      {"part=\"resident\"", AT(resident)},
      {"part=\"monitor\"", AT(monitor)},
      {"part=\"stubs\"", AT(stubs)}}},
    {"disk_requests_total",
     "Requests of all disks",
     false,
     1,
     {{NULL, AT(disk_requests)}}},
    {"disk_bytes_total",
     "Bytes of all disks",
     false,
     1,
     {{"direction=\"read\"", AT(disk_read)},
      {"direction=\"written\"", AT(disk_written)}}},
    {"net_frames_total",
     "Frames of all network cards",
     false,
     1,
     {{NULL, AT(net_frames)}}},
    {"net_bytes_total",
     "Bytes of all network cards",
     false,
     1,
     {{"direction=\"received\"", AT(net_received)},
      {"direction=\"sent\"", AT(net_sent)}}},
#undef AT
};

static void metric_head(FILE *out, const char *name, const char *help,
                        const char *type)
{
    fprintf(out, "# HELP ringfence_%s %s.\n# TYPE ringfence_%s %s\n", name,
            help, name, type);
}

/* Of everybody's machines, two may have the same name. */
static void labels(const struct top *t, FILE *out, const struct top_item *it)
{
    char text[2 * sizeof(it->at.sun_path) + 4], path[sizeof(it->at.sun_path)];

    fprintf(out, "name=\"%s\"", label(text, sizeof(text), it->name));
    if (!t->all)
        return;
    top_printable(path, sizeof(path), it->at.sun_path);
    fprintf(out, ",uid=\"%u\",socket=\"%s\"", it->uid,
            label(text, sizeof(text), path));
}

static void metric_write(const struct top *t, FILE *out, const struct metric *m,
                         const struct top_item *it)
{
    for (size_t i = 0; i < ARRAY_SIZE(m->value); i++) {
        uint64_t n;

        if (i && !m->value[i].label)
            return;
        memcpy(&n, (const char *)&it->now + m->value[i].field, sizeof(n));
        fprintf(out, "ringfence_%s{", m->name);
        labels(t, out, it);
        if (m->value[i].label)
            fprintf(out, ",%s", m->value[i].label);
        fprintf(out, "} %.15g\n", (double)n * m->scale);
    }
}

static void write_up(const struct top *t, FILE *out)
{
    char state[40], engine[40];

    metric_head(out, "up", "1 if the machine answers", "gauge");
    for (unsigned i = 0; i < t->items; i++) {
        fputs("ringfence_up{", out);
        labels(t, out, t->item[i]);
        fprintf(out, "} %d\n", t->item[i]->state == TOP_UP);
    }
    metric_head(out, "info", "What it is; always 1", "gauge");
    for (unsigned i = 0; i < t->items; i++) {
        const struct top_item *it = t->item[i];

        fputs("ringfence_info{", out);
        labels(t, out, it);
        fprintf(out, ",kind=\"%s\",state=\"%s\",engine=\"%s\",pid=\"%u\"} 1\n",
                it->container ? "container" : "vm",
                label(state, sizeof(state), top_state_name(it)),
                label(engine, sizeof(engine), it->engine), it->pid);
    }
}

static void write_counts(const struct top *t, FILE *out)
{
    char group[40], name[90];

    metric_head(out, "events_total",
                "What the vCPUs counted, as ringfence boot --stats has it",
                "counter");
    for (unsigned i = 0; i < t->items; i++) {
        const struct top_sample *s = &t->item[i]->now;

        for (unsigned k = 0; k < s->counts && t->item[i]->state == TOP_UP;
             k++) {
            fputs("ringfence_events_total{", out);
            labels(t, out, t->item[i]);
            fprintf(out, ",group=\"%s\",reason=\"%s\"} %llu\n",
                    label(group, sizeof(group), s->count[k].group),
                    label(name, sizeof(name), s->count[k].name),
                    (unsigned long long)s->count[k].n);
        }
    }
}

void top_prometheus(const struct top *t, FILE *out)
{
    write_up(t, out);
    for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
        metric_head(out, metrics[m].name, metrics[m].help,
                    metrics[m].gauge ? "gauge" : "counter");
        for (unsigned i = 0; i < t->items; i++)
            if (t->item[i]->state == TOP_UP)
                metric_write(t, out, &metrics[m], t->item[i]);
    }
    write_counts(t, out);
    fflush(out);
}
