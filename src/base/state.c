/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - writing and reading state files.
 *
 *     file:    "RFSTATE\0", u32 format, sections
 *     section: u32 "SECT", str name, u32 instance, u32 version, u32 length,
 *              fields (length bytes in all), u32 CRC-32 of all before
 *     field:   u8 1, str name, u64 value | u8 2, str name, u32 length, bytes
 *     str:     u8 length, bytes
 *
 * All little-endian. The reader checks the structure of the whole file and
 * every checksum before it gives out anything, so lookups need no checks.
 */
#include "base/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define STATE_FORMAT  1
#define STATE_SECTION 0x54434553u /* "SECT" */

static const char state_magic[8] = "RFSTATE";

enum { FIELD_INT = 1, FIELD_BLOB = 2 };

struct state_writer {
    uint8_t *buf;
    size_t len, room;
    size_t section; /* where the open one begins; 0: none is open */
    size_t length;  /* where its length goes */
    bool failed;    /* out of memory */
};

struct state_reader {
    const uint8_t *buf;
    size_t len;
    const uint8_t *fields, *fields_end; /* of the current section */
    char section[256];
    struct error err; /* sticky; code 0: none */
};

/* CRC-32 (IEEE 802.3), four bits at a time. */
static uint32_t state_crc(const uint8_t *p, size_t len)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = ~0u;

    while (len--) {
        crc ^= *p++;
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

static uint64_t load_le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void store_le(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Room for len more bytes, or NULL. */
static uint8_t *writer_grow(struct state_writer *w, size_t len)
{
    uint8_t *at;

    if (w->failed)
        return NULL;
    if (len > w->room - w->len) {
        size_t room = MAX(w->room * 2, w->len + len);
        uint8_t *p = realloc(w->buf, room);

        if (!p) {
            w->failed = true;
            return NULL;
        }
        w->buf = p;
        w->room = room;
    }
    at = w->buf + w->len;
    w->len += len;
    return at;
}

static void put_int(struct state_writer *w, uint64_t v, unsigned bytes)
{
    uint8_t *p = writer_grow(w, bytes);

    if (p)
        store_le(p, v, bytes);
}

static void put_bytes(struct state_writer *w, const void *b, size_t len)
{
    uint8_t *p = writer_grow(w, len);

    if (p && len)
        memcpy(p, b, len);
}

static void put_str(struct state_writer *w, const char *s)
{
    size_t len = strlen(s);

    rf_assert(len < 256);
    put_int(w, len, 1);
    put_bytes(w, s, len);
}

struct state_writer *state_writer_new(void)
{
    struct state_writer *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    put_bytes(w, state_magic, sizeof(state_magic));
    put_int(w, STATE_FORMAT, 4);
    return w;
}

void state_writer_free(struct state_writer *w)
{
    if (!w)
        return;
    free(w->buf);
    free(w);
}

const uint8_t *state_writer_bytes(struct state_writer *w, size_t *len)
{
    rf_assert(!w->section);
    *len = w->len;
    return w->failed ? NULL : w->buf;
}

void state_begin(struct state_writer *w, const char *section, unsigned instance,
                 unsigned version)
{
    rf_assert(!w->section && version);
    w->section = w->len;
    put_int(w, STATE_SECTION, 4);
    put_str(w, section);
    put_int(w, instance, 4);
    put_int(w, version, 4);
    w->length = w->len;
    put_int(w, 0, 4);
}

void state_end(struct state_writer *w)
{
    rf_assert(w->section);
    if (!w->failed) {
        store_le(w->buf + w->length, w->len - w->length - 4, 4);
        put_int(w, state_crc(w->buf + w->section, w->len - w->section), 4);
    }
    w->section = 0;
}

void state_put(struct state_writer *w, const char *field, uint64_t v)
{
    rf_assert(w->section);
    put_int(w, FIELD_INT, 1);
    put_str(w, field);
    put_int(w, v, 8);
}

void state_put_blob(struct state_writer *w, const char *field, const void *p,
                    size_t len)
{
    rf_assert(w->section && len <= UINT32_MAX);
    put_int(w, FIELD_BLOB, 1);
    put_str(w, field);
    put_int(w, len, 4);
    put_bytes(w, p, len);
}

/* A piece of the file that is being taken apart from the front. */
struct piece {
    const uint8_t *p, *end;
};

static const uint8_t *take(struct piece *c, uint64_t len)
{
    const uint8_t *at = c->p;

    if (len > (uint64_t)(c->end - c->p))
        return NULL;
    c->p += len;
    return at;
}

static bool take_int(struct piece *c, unsigned bytes, uint64_t *v)
{
    const uint8_t *p = take(c, bytes);

    if (!p)
        return false;
    *v = load_le(p, bytes);
    return true;
}

static bool take_str(struct piece *c, struct piece *s)
{
    uint64_t len;

    if (!take_int(c, 1, &len) || !(s->p = take(c, len)))
        return false;
    s->end = s->p + len;
    return true;
}

static bool piece_is(const struct piece *s, const char *str)
{
    size_t len = strlen(str);

    return (size_t)(s->end - s->p) == len && !memcmp(s->p, str, len);
}

struct field {
    uint64_t kind;
    struct piece name, body;
};

static bool take_field(struct piece *c, struct field *f)
{
    uint64_t len = 8;

    if (!take_int(c, 1, &f->kind) || !take_str(c, &f->name))
        return false;
    if (f->kind == FIELD_BLOB) {
        if (!take_int(c, 4, &len))
            return false;
    } else if (f->kind != FIELD_INT) {
        return false;
    }
    if (!(f->body.p = take(c, len)))
        return false;
    f->body.end = f->body.p + len;
    return true;
}

struct section {
    const uint8_t *start;
    struct piece name, fields;
    uint64_t instance, version;
};

static bool take_section(struct piece *c, struct section *s)
{
    uint64_t tag, len;

    s->start = c->p;
    if (!take_int(c, 4, &tag) || tag != STATE_SECTION ||
        !take_str(c, &s->name) || !take_int(c, 4, &s->instance) ||
        !take_int(c, 4, &s->version) || !take_int(c, 4, &len) ||
        !(s->fields.p = take(c, len)))
        return false;
    s->fields.end = s->fields.p + len;
    return take(c, 4) != NULL; /* the checksum */
}

/* Is the whole of it sound? */
static bool section_valid(const struct section *s)
{
    struct piece c = s->fields;
    struct field f;

    if (!s->version ||
        load_le(s->fields.end, 4) !=
            state_crc(s->start, (size_t)(s->fields.end - s->start)))
        return false;
    while (c.p < c.end)
        if (!take_field(&c, &f))
            return false;
    return true;
}

static struct piece reader_sections(const struct state_reader *r)
{
    return (struct piece){r->buf + sizeof(state_magic) + 4, r->buf + r->len};
}

static int reader_check(const struct state_reader *r, struct error *err)
{
    struct piece c = {r->buf, r->buf + r->len};
    const uint8_t *magic = take(&c, sizeof(state_magic));
    struct section s;
    uint64_t format;

    if (!magic || memcmp(magic, state_magic, sizeof(state_magic)) ||
        !take_int(&c, 4, &format))
        return error_set(err, EINVAL, "this is not a state file");
    if (format != STATE_FORMAT)
        return error_set(err, EINVAL, "state file of unknown format %u",
                         (unsigned)format);
    while (c.p < c.end) {
        size_t at = (size_t)(c.p - r->buf);

        if (!take_section(&c, &s) || !section_valid(&s))
            return error_set(err, EINVAL, "state file is damaged at offset %zu",
                             at);
    }
    return 0;
}

struct state_reader *state_reader_new(const void *buf, size_t len,
                                      struct error *err)
{
    struct state_reader *r = calloc(1, sizeof(*r));

    if (!r) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    r->buf = buf;
    r->len = len;
    if (reader_check(r, err)) {
        free(r);
        return NULL;
    }
    return r;
}

void state_reader_free(struct state_reader *r)
{
    free(r);
}

/* Only the first error is kept. */
static void printf_like(2, 3)
    reader_fail(struct state_reader *r, const char *fmt, ...)
{
    char msg[256];
    va_list ap;

    if (r->err.code)
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    error_set(&r->err, EINVAL, "state file: %s: %s",
              r->section[0] ? r->section : "(no section)", msg);
}

unsigned state_open(struct state_reader *r, const char *section,
                    unsigned instance, unsigned max_version)
{
    struct piece c = reader_sections(r);
    struct section s;

    snprintf(r->section, sizeof(r->section), "%s %u", section, instance);
    r->fields = r->fields_end = NULL;
    while (c.p < c.end && take_section(&c, &s)) {
        if (s.instance != instance || !piece_is(&s.name, section))
            continue;
        if (s.version > max_version) {
            reader_fail(r, "version %u is too new", (unsigned)s.version);
            return 0;
        }
        r->fields = s.fields.p;
        r->fields_end = s.fields.end;
        return (unsigned)s.version;
    }
    reader_fail(r, "missing");
    return 0;
}

static bool reader_find(struct state_reader *r, const char *name, unsigned kind,
                        struct field *f)
{
    struct piece c = {r->fields, r->fields_end};

    while (c.p < c.end && take_field(&c, f))
        if (f->kind == kind && piece_is(&f->name, name))
            return true;
    reader_fail(r, "no field '%s'", name);
    return false;
}

uint64_t state_get(struct state_reader *r, const char *field)
{
    struct field f;

    return reader_find(r, field, FIELD_INT, &f) ? load_le(f.body.p, 8) : 0;
}

uint64_t state_get_max(struct state_reader *r, const char *field, uint64_t max)
{
    uint64_t v = state_get(r, field);

    if (v <= max)
        return v;
    reader_fail(r, "field '%s' is out of range", field);
    return 0;
}

void state_get_blob(struct state_reader *r, const char *field, void *p,
                    size_t len)
{
    struct field f;

    if (reader_find(r, field, FIELD_BLOB, &f)) {
        if ((size_t)(f.body.end - f.body.p) == len) {
            memcpy(p, f.body.p, len);
            return;
        }
        reader_fail(r, "field '%s' has the wrong length", field);
    }
    memset(p, 0, len);
}

int state_result(struct state_reader *r, struct error *err)
{
    if (!r->err.code)
        return 0;
    *err = r->err;
    return -err->code;
}

/* --- going through all of it --- */

static void piece_name(const struct piece *s, char *buf, size_t room)
{
    size_t len = MIN((size_t)(s->end - s->p), room - 1);

    memcpy(buf, s->p, len);
    buf[len] = '\0';
}

void state_first(const struct state_reader *r, struct state_cursor *c)
{
    struct piece all = reader_sections(r);

    *c = (struct state_cursor){.next = all.p, .end = all.end};
}

static bool next_section(struct state_cursor *c)
{
    struct piece all = {c->next, c->end};
    struct section s;

    if (all.p >= all.end || !take_section(&all, &s))
        return false;
    c->next = all.p;
    c->fields = s.fields.p;
    c->fields_end = s.fields.end;
    piece_name(&s.name, c->section.section, sizeof(c->section.section));
    c->section.instance = (unsigned)s.instance;
    c->section.version = (unsigned)s.version;
    return true;
}

bool state_next(struct state_cursor *c, struct state_item *item)
{
    struct piece fields;
    struct field f;

    while (c->fields == c->fields_end)
        if (!next_section(c))
            return false;
    fields = (struct piece){c->fields, c->fields_end};
    if (!take_field(&fields, &f))
        return false; /* the reader has checked: cannot be */
    c->fields = fields.p;
    *item = c->section;
    piece_name(&f.name, item->name, sizeof(item->name));
    item->blob = f.kind == FIELD_BLOB;
    item->bytes = f.body.p;
    item->len = (size_t)(f.body.end - f.body.p);
    item->value = item->blob ? 0 : load_le(f.body.p, 8);
    return true;
}
