/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_int.h - what the files of fence/cgroup*.c share: directories and
 * files below a hierarchy, limits and their errors, conversions. Functions
 * that take no `struct error` return a bare -errno, for callers who know what
 * it means.
 */
#pragma once

#include <errno.h>

#include "fence/cgroup.h"
#include "fence/cgroup_stats.h"

/* --- cgroup_host.c --- */

/* On v2 these need no controller. */
#define CGROUP_V2_ALWAYS                                                       \
    (BIT(CGROUP_FREEZER) | BIT(CGROUP_DEVICES) | BIT(CGROUP_CPUACCT))

/* The controllers among the words of a text, between any of `ends`. */
uint32_t cgroup_words_parse(const char *text, const char *ends);
/* The same for a v2 file like cgroup.controllers. */
uint32_t cgroup_names_parse(const char *text);

/*
 * From the text of /proc/self/cgroup alone: each hierarchy is where everybody
 * mounts it, /sys/fs/cgroup/NAMES, as is_there() confirms. False: one of them
 * is not, so ask mountinfo. `places` has room for their names.
 */
bool cgroup_host_usual(struct cgroup_host *host, char *own, char *places,
                       bool (*is_there)(const char *place, bool v2));

/* --- cgroup_mounts.c --- */

/* Adds the hierarchies that mountinfo's text has and a path leads to. */
void cgroup_mounts_parse(struct cgroup_host *host, char *text);
/* False: it is known. It may be mounted more than once: the first will do. */
bool cgroup_mount_add(struct cgroup_host *host, bool v2, uint32_t controllers,
                      const char *mount, const char *root);
/* Is path `dir` itself, or below? Any path is below "/". */
bool cgroup_path_below(const char *path, const char *dir);

/* --- cgroup_dir.c --- */

/*
 * A directory below `dir`, with no way out: no "..", no link, no other mount.
 * -errno.
 */
int cgroup_dir_open(int dir, const char *path);
/* t->root, t->fd: opened unless they are. The latter: -ENOENT. */
int cgroup_root_open(struct cgroup_tree *t, struct error *err);
int cgroup_tree_open(struct cgroup_tree *t);
void cgroup_tree_close(struct cgroup_tree *t);

int cgroup_file_write(int dir, const char *file, const char *text);
/* Up to size - 1 bytes, ended by NUL, without the last newline; the length. */
ssize_t cgroup_file_read(int dir, const char *file, char *buf, size_t size);
/* All of it, whatever the length; the caller frees *text. */
int cgroup_file_load(int dir, const char *file, char **text);
/* A file of one number; "max" is UINT64_MAX. */
int cgroup_file_number(int dir, const char *file, uint64_t *value);
/* The number behind a name in a text of "name number" lines. */
bool cgroup_text_number(const char *text, const char *name, uint64_t *value);

/* Calls `fn` for each directory below `dir`, deepest first; its sum of
 * results below 0 is the first failure. */
int cgroup_dir_walk(int dir,
                    int (*fn)(int parent, const char *name, int fd, void *ctx),
                    void *ctx);

/* --- cgroup_create.c --- */

/* Turns on `controllers` for the directory t->fd, from the root down. */
void cgroup_v2_enable(struct cgroup_tree *t, uint32_t controllers);

/* --- cgroup_remove.c --- */

/* Waits a little, and twice as long the next time. False: time is up. */
bool cgroup_wait(unsigned *us, unsigned *budget_us);

/* --- cgroup_set.c: one limit, one line if it fails --- */

/* `json` is the place in config.json: "linux.resources.memory.limit". */
int cgroup_set(struct cgroup *cg, enum cgroup_controller c, const char *json,
               const char *file, const char *value,
               struct error *err) must_check;
int cgroup_set_number(struct cgroup *cg, enum cgroup_controller c,
                      const char *json, const char *file, int64_t value,
                      struct error *err) must_check;
/* The tree, open; else the reason in err. */
struct cgroup_tree *cgroup_set_tree(struct cgroup *cg, enum cgroup_controller c,
                                    const char *json, struct error *err);

/*
 * Writes whose order depends on what is set already: each is tried until no
 * more of them succeed.
 */
struct cgroup_setting {
    const char *json, *file;
    char value[48];
    int rc; /* 0: done */
};
int cgroup_settle(struct cgroup *cg, enum cgroup_controller c,
                  struct cgroup_setting *list, unsigned count,
                  struct error *err) must_check;

/* --- cgroup_v1.c, cgroup_v2.c: limits of the controllers there --- */

int cgroup_memory_v1(struct cgroup *cg, const struct cgroup_limits_memory *m,
                     bool update, struct error *err) must_check;
int cgroup_memory_v2(struct cgroup *cg, const struct cgroup_limits_memory *m,
                     bool update, struct error *err) must_check;
int cgroup_cpu_v1(struct cgroup *cg, const struct cgroup_limits_cpu *l,
                  struct error *err) must_check;
int cgroup_cpu_v2(struct cgroup *cg, const struct cgroup_limits_cpu *l,
                  struct error *err) must_check;
int cgroup_io_v1(struct cgroup *cg, const struct cgroup_limits_io *io,
                 struct error *err) must_check;
int cgroup_io_v2(struct cgroup *cg, const struct cgroup_limits_io *io,
                 struct error *err) must_check;
/* Unlimited in a file of v1 that takes -1, in one of v2. */
bool cgroup_on_v2(struct cgroup *cg, enum cgroup_controller c);

/* --- cgroup_convert.c --- */

/* cpu.shares 2 to 262144 to cpu.weight 1 to 10000, 1024 to 100. */
uint64_t cgroup_weight_of_shares(uint64_t shares);
/* blkio weight 10 to 1000 to io.weight 1 to 10000. */
uint64_t cgroup_io_weight(unsigned weight);
/*
 * memory.swap.max of a limit on memory and swap together: INT64_MAX: "max";
 * -1: leave it. False, with the reason: they do not go together.
 */
bool cgroup_swap_alone(const struct cgroup_limits_memory *m, int64_t *swap,
                       const char **why);
/* "1.2M", for messages. */
void cgroup_bytes_text(uint64_t bytes, char buf[16]);

/* --- cgroup_device.c, cgroup_bpf.c --- */

struct bpf_insn;

/* mknod, read, write: the kernel's BPF_DEVCG_ACC_*. */
#define CGROUP_ACCESS_ALL 7

/* The most instructions for `rules` rules. */
#define CGROUP_DEVICE_INSNS(rules) (10 + 5 * (rules))

/* "rwm" as bits, NULL and "" as all; -1: it has another letter. */
int cgroup_device_access(const char *access);
/* Is it about all devices and all kinds of access? */
bool cgroup_device_everything(const struct cgroup_device_rule *rule);
/* The rules with the defaults behind them; the caller frees. NULL: none. */
struct cgroup_device_rule *cgroup_device_rules(const struct cgroup_limits *l,
                                               unsigned *count,
                                               struct error *err);
/* What devices.allow and devices.deny take; returns which of them. */
const char *cgroup_device_line(const struct cgroup_device_rule *rule, char *buf,
                               size_t size);
int cgroup_devices_apply(struct cgroup *cg, const struct cgroup_limits *l,
                         struct error *err) must_check;
/* The program that answers as the rules do; returns its length. */
unsigned cgroup_device_program(const struct cgroup_device_rule *rule,
                               unsigned rules, struct bpf_insn *insn);
/* Puts it in the place of those that the cgroup has. */
int cgroup_program_load(int dir, const struct cgroup_device_rule *rule,
                        unsigned rules);

/* --- cgroup_stats.c, cgroup_stats_io.c --- */

void cgroup_pressure_read(int dir, const char *file, struct cgroup_pressure *p);
void cgroup_stats_io(struct cgroup *cg, struct cgroup_stats_io *s);
