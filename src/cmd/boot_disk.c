/* SPDX-License-Identifier: Apache-2.0 */
/* boot_disk.c - the option --disk. */
#include "cmd/boot_int.h"

#include <errno.h>
#include <string.h>

#include "io/disk.h"

struct disk_words {
    const char *format, *aio;
    bool ro;
};

/* A name may have commas: only what stands at the end and is a word of ours. */
static void words_take(char *path, struct disk_words *w)
{
    const char *value;

    for (;;) {
        if (boot_word_take(path, &value, "ro") ||
            boot_word_take(path, &value, "readonly"))
            w->ro = true;
        else if (boot_word_take(path, &value, "format="))
            w->format = value;
        else if (boot_word_take(path, &value, "aio="))
            w->aio = value;
        else if (!boot_word_take(path, &value, "rw"))
            return;
    }
}

/* FILE[,ro][,format=raw|qcow2][,aio=io_uring|threads] */
int boot_disk(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct machine_config *c = &a->cfg;
    char *path = a->disk_path[c->disks];
    struct disk_words w = {0};

    if (c->disks == MACHINE_DISKS_MAX)
        return error_set(err, EINVAL, "--disk %s: at most %d disks", v,
                         MACHINE_DISKS_MAX);
    if (strlen(v) >= sizeof(a->disk_path[0]))
        return error_set(err, EINVAL, "--disk %s: give FILE or FILE,ro", v);
    strcpy(path, v);
    words_take(path, &w);
    if (!*path)
        return error_set(err, EINVAL, "--disk %s: give FILE or FILE,ro", v);
    if (w.format && strcmp(w.format, "raw") && strcmp(w.format, "qcow2"))
        return error_set(err, EINVAL, "--disk %s: formats are raw and qcow2",
                         v);
    if (w.aio && strcmp(w.aio, "io_uring") && strcmp(w.aio, "threads"))
        return error_set(err, EINVAL, "--disk %s: aio is io_uring or threads",
                         v);
    c->disk[c->disks].path = path;
    c->disk[c->disks].read_only = w.ro;
    c->disk[c->disks].qcow2 =
        w.format ? !strcmp(w.format, "qcow2") : disk_named_qcow2(path);
    if (w.aio)
        c->disk[c->disks].aio =
            *w.aio == 'i' ? DISK_AIO_URING : DISK_AIO_THREADS;
    c->disks++;
    return 0;
}
