/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the one format in which everything saves and loads itself.
 *
 * A state file is: magic, format version, then sections. A section is a name
 * ("mc146818", "vcpu"), an instance number, its own version, and named fields
 * (unsigned integers and byte blobs), then a CRC of itself. A reader asks for
 * fields by name, in any order; a missing field, a wrong length or a broken
 * checksum is an error with one clear line, kept in the reader (sticky), so
 * load functions read all they want and check once.
 */
#pragma once

#include "base/error.h"

struct state_writer; /* grows in memory */
struct state_reader; /* over a caller-owned, immutable buffer */

struct state_writer *state_writer_new(void); /* NULL: out of memory */
void state_writer_free(struct state_writer *w);
/* The finished bytes, owned by the writer. NULL if memory ran out. */
const uint8_t *state_writer_bytes(struct state_writer *w, size_t *len);

void state_begin(struct state_writer *w, const char *section, unsigned instance,
                 unsigned version);
void state_end(struct state_writer *w);
void state_put(struct state_writer *w, const char *field, uint64_t v);
void state_put_blob(struct state_writer *w, const char *field, const void *p,
                    size_t len);

struct state_reader *state_reader_new(const void *buf, size_t len,
                                      struct error *err);
void state_reader_free(struct state_reader *r);
/*
 * Makes a section current. Returns its version, or 0 after setting the sticky
 * error when it is absent or newer than max_version.
 */
unsigned state_open(struct state_reader *r, const char *section,
                    unsigned instance, unsigned max_version);
uint64_t state_get(struct state_reader *r, const char *field);
/* As state_get(), but a value above max is the sticky error, and 0. */
uint64_t state_get_max(struct state_reader *r, const char *field, uint64_t max);
void state_get_blob(struct state_reader *r, const char *field, void *p,
                    size_t len);
/* 0, or the first thing that went wrong. */
int state_result(struct state_reader *r, struct error *err) must_check;

/*
 * For who shows or compares states without knowing what is in them: all
 * fields, in the order in which they were written.
 */
struct state_item {
    char section[64]; /* longer names are cut */
    unsigned instance, version;
    char name[64];
    bool blob;
    uint64_t value;       /* unless it is a blob */
    const uint8_t *bytes; /* the blob, in the reader's buffer */
    size_t len;
};

struct state_cursor {
    const uint8_t *next, *end;          /* sections to come */
    const uint8_t *fields, *fields_end; /* of the current one */
    struct state_item section;
};

void state_first(const struct state_reader *r, struct state_cursor *c);
/* False: that was the last. */
bool state_next(struct state_cursor *c, struct state_item *item);
