/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats_io.c - what a container has read and written, by device: lines
 * of "8:0 Read 4096" in v1's files, "8:0 rbytes=4096 ..." in v2's io.stat.
 */
#include "fence/cgroup_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence/cgroup_int.h"

/* More devices than this are cut off. */
#define ENTRIES_MAX 4096

static void entry_add(struct cgroup_stats_io *s, enum cgroup_io_list list,
                      unsigned major, unsigned minor, const char *op,
                      uint64_t value)
{
    unsigned n = s->list[list].count;
    struct cgroup_io_entry *more, *e;

    if (n == ENTRIES_MAX)
        return;
    more = realloc(s->list[list].entry, (n + 1) * sizeof(*more));
    if (!more)
        return;
    s->list[list].entry = more;
    s->list[list].count++;
    e = &more[n];
    e->major = major;
    e->minor = minor;
    e->value = value;
    snprintf(e->op, sizeof(e->op), "%.15s", op);
}

/* --- v1 --- */

/* The first that is there: with BFQ, with CFQ, and what throttling counts. */
static const char *const v1_file[CGROUP_IO_LISTS][3] = {
    [CGROUP_IO_BYTES] = {"blkio.bfq.io_service_bytes_recursive",
                         "blkio.io_service_bytes_recursive",
                         "blkio.throttle.io_service_bytes_recursive"},
    [CGROUP_IO_SERVICED] = {"blkio.bfq.io_serviced_recursive",
                            "blkio.io_serviced_recursive",
                            "blkio.throttle.io_serviced_recursive"},
    [CGROUP_IO_QUEUED] = {"blkio.bfq.io_queued_recursive",
                          "blkio.io_queued_recursive"},
    [CGROUP_IO_SERVICE_TIME] = {"blkio.bfq.io_service_time_recursive",
                                "blkio.io_service_time_recursive"},
    [CGROUP_IO_WAIT_TIME] = {"blkio.bfq.io_wait_time_recursive",
                             "blkio.io_wait_time_recursive"},
    [CGROUP_IO_MERGED] = {"blkio.bfq.io_merged_recursive",
                          "blkio.io_merged_recursive"},
    [CGROUP_IO_TIME] = {"blkio.bfq.time_recursive", "blkio.time_recursive"},
    [CGROUP_IO_SECTORS] = {"blkio.bfq.sectors_recursive",
                           "blkio.sectors_recursive"},
};

/* Lines of all devices, then "Total N", which counts as none. */
static void v1_parse(struct cgroup_stats_io *s, enum cgroup_io_list list,
                     const char *text)
{
    unsigned major, minor;
    unsigned long long v;
    char op[16];

    for (; text && *text; text = strchr(text, '\n')) {
        text += *text == '\n';
        if (sscanf(text, "%u:%u %15[A-Za-z] %llu", &major, &minor, op, &v) == 4)
            entry_add(s, list, major, minor, op, v);
        else if (sscanf(text, "%u:%u %llu", &major, &minor, &v) == 3)
            entry_add(s, list, major, minor, "", v);
    }
}

/* Without the scheduler its files are there, but know no device. */
static void v1_list(int dir, struct cgroup_stats_io *s,
                    enum cgroup_io_list list)
{
    for (unsigned i = 0; i < 3 && v1_file[list][i] && !s->list[list].count;
         i++) {
        char *text;

        if (cgroup_file_load(dir, v1_file[list][i], &text))
            continue;
        v1_parse(s, list, text);
        free(text);
    }
}

/* --- v2 --- */

static const struct {
    const char *key, *op;
    enum cgroup_io_list list;
} v2_key[] = {
    {"rbytes", "Read", CGROUP_IO_BYTES},
    {"wbytes", "Write", CGROUP_IO_BYTES},
    {"rios", "Read", CGROUP_IO_SERVICED},
    {"wios", "Write", CGROUP_IO_SERVICED},
};

/* The words of one line, behind the device's numbers. */
static void v2_words(struct cgroup_stats_io *s, unsigned major, unsigned minor,
                     char *words)
{
    char *word;

    while ((word = strsep(&words, " "))) {
        char *value = strchr(word, '=');

        if (!value)
            continue;
        *value++ = '\0';
        for (unsigned i = 0; i < ARRAY_SIZE(v2_key); i++)
            if (!strcmp(word, v2_key[i].key))
                entry_add(s, v2_key[i].list, major, minor, v2_key[i].op,
                          strtoull(value, NULL, 10));
    }
}

static void v2_read(int dir, struct cgroup_stats_io *s)
{
    char *text, *rest, *line;
    unsigned major, minor;
    int used;

    if (cgroup_file_load(dir, "io.stat", &text))
        return;
    rest = text;
    while ((line = strsep(&rest, "\n")))
        if (sscanf(line, "%u:%u %n", &major, &minor, &used) == 2)
            v2_words(s, major, minor, line + used);
    free(text);
}

void cgroup_stats_io(struct cgroup *cg, struct cgroup_stats_io *s)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_IO);

    if (!t || cgroup_tree_open(t))
        return;
    if (!t->v2) {
        for (unsigned i = 0; i < CGROUP_IO_LISTS; i++)
            v1_list(t->fd, s, i);
        return;
    }
    v2_read(t->fd, s);
    cgroup_pressure_read(t->fd, "io.pressure", &s->pressure);
}
