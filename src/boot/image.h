/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - a file, or bytes in memory, whose parts are read with bounds
 * checked.
 */
#pragma once

#include "mem/guest_mem.h"

struct image {
    const char *path, *what; /* the caller's; `what' is for errors */
    int fd;                  /* -1: none */
    const uint8_t *bytes;    /* the caller's, instead of a file; or NULL */
    uint64_t size;           /* when it was opened */
};

/* A regular, readable, non-empty file. `what` names it in errors. */
int image_open(struct image *img, const char *what, const char *path,
               struct error *err) must_check;
void image_close(struct image *img);
/* -ENODATA beyond the end; all of len bytes otherwise. */
int image_read(const struct image *img, uint64_t off, void *buf, uint64_t len,
               struct error *err) must_check;
/* As image_read(), into RAM; -EFAULT where there is none. */
int image_load(const struct image *img, uint64_t off, struct guest_mem *m,
               gpa_t gpa, uint64_t len, struct error *err) must_check;
