/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols_file.c - symbols from System.map (or what nm or /proc/kallsyms
 * print, which looks the same) and from ELF's .symtab.
 *
 * Files are hostile: every offset is checked against the file's size, and
 * what does not fit is an error or passed over. Only the two tables of an
 * ELF file are read: a vmlinux can have a gigabyte of other things.
 */
#include "inspect/symbols_int.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define FILE_PART_MAX (512 * MiB) /* of a table that is read */

struct source {
    const char *path;
    int fd;
    uint64_t size;
};

static int bad_file(const struct source *f, struct error *err, const char *why)
{
    return error_set(err, EINVAL,
                     "symbols %s: %s; give a System.map, a vmlinux with "
                     "symbols, or a copy of /proc/kallsyms",
                     f->path, why);
}

/* len bytes at off, and a 0 behind them, to be freed; NULL with *err. */
static char *read_part(const struct source *f, uint64_t off, uint64_t len,
                       struct error *err)
{
    uint64_t end;
    char *buf;
    int rc;

    if (__builtin_add_overflow(off, len, &end) || end > f->size ||
        len > FILE_PART_MAX) {
        bad_file(f, err, "truncated, or too big");
        return NULL;
    }
    buf = malloc(len + 1);
    if (!buf) {
        error_set(err, ENOMEM, "symbols %s: out of memory", f->path);
        return NULL;
    }
    rc = fd_read_at(f->fd, buf, len, off);
    if (rc) {
        error_set(err, -rc, "symbols %s: cannot read: %s", f->path,
                  rc == -ENODATA ? "it has shrunk" : strerror(-rc));
        free(buf);
        return NULL;
    }
    buf[len] = 0;
    return buf;
}

static int too_many(const struct source *f, struct error *err)
{
    return error_set(err, ENOMEM,
                     "symbols %s: more symbols than there is room for",
                     f->path);
}

/* --- text: ADDRESS TYPE NAME [MODULE], a line each --- */

/* False: not such a line. Undefined symbols and absolute numbers: no name. */
static bool map_line(const char *p, const char *end, uint64_t *addr, char *type,
                     const char **name, size_t *len)
{
    const char *digits = p;
    uint64_t v = 0;

    for (; p < end && p - digits < 16; p++) {
        int c = *p | 0x20;

        if (*p >= '0' && *p <= '9')
            v = v << 4 | (unsigned)(*p - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (unsigned)(c - 'a' + 10);
        else
            break;
    }
    if (p == digits || end - p < 4 || p[0] != ' ' || p[2] != ' ')
        return false;
    *addr = v;
    *type = p[1];
    *name = p += 3;
    while (p < end && (unsigned char)*p > ' ')
        p++;
    *len = (size_t)(p - *name);
    return true;
}

/* A line that is none ends it: this is some other file. */
static int map_lines(struct symbols *s, const struct source *f, char *text,
                     struct error *err)
{
    const char *p = text, *last = text + f->size, *name;
    uint64_t addr, any = 0;
    size_t len;
    char type;

    while (p < last) {
        const char *end = memchr(p, '\n', (size_t)(last - p));

        if (!end)
            end = last;
        if (end > p) {
            if (!map_line(p, end, &addr, &type, &name, &len))
                return bad_file(f, err, "not a table of symbols");
            any |= addr;
            if (!strchr("aAuUN", type) &&
                symbols_add(s, addr, name, len, strchr("wWvV", type) != NULL))
                return too_many(f, err);
        }
        p = end + 1;
    }
    if (s->count && !any)
        return bad_file(f, err, "all addresses are 0 (copied without root?)");
    return 0;
}

static int load_map(struct symbols *s, const struct source *f,
                    struct error *err)
{
    char *text = read_part(f, 0, f->size, err);
    int rc;

    if (!text)
        return -err->code;
    rc = map_lines(s, f, text, err);
    free(text);
    return rc;
}

/* --- ELF --- */

/* A section's header, of either class. */
struct section {
    uint32_t type, link;
    uint64_t off, size;
};

struct elf_sym {
    uint32_t name;
    uint8_t info;
    uint16_t shndx;
    uint64_t value;
};

static struct section section_get(const char *headers, unsigned i, bool wide)
{
    Elf64_Shdr a;
    Elf32_Shdr b;

    if (wide) {
        memcpy(&a, headers + i * sizeof(a), sizeof(a));
        return (struct section){a.sh_type, a.sh_link, a.sh_offset, a.sh_size};
    }
    memcpy(&b, headers + i * sizeof(b), sizeof(b));
    return (struct section){b.sh_type, b.sh_link, b.sh_offset, b.sh_size};
}

static struct elf_sym sym_get(const char *table, uint64_t i, bool wide)
{
    Elf64_Sym a;
    Elf32_Sym b;

    if (wide) {
        memcpy(&a, table + i * sizeof(a), sizeof(a));
        return (struct elf_sym){a.st_name, a.st_info, a.st_shndx, a.st_value};
    }
    memcpy(&b, table + i * sizeof(b), sizeof(b));
    return (struct elf_sym){b.st_name, b.st_info, b.st_shndx, b.st_value};
}

static bool sym_wanted(const struct elf_sym *y, uint64_t names_len)
{
    unsigned type = ELF64_ST_TYPE(y->info);

    return y->name < names_len && y->shndx != SHN_UNDEF &&
           y->shndx != SHN_ABS && type <= STT_FUNC;
}

static int elf_symbols(struct symbols *s, const struct source *f,
                       const struct section *tab, const struct section *str,
                       bool wide, struct error *err)
{
    size_t unit = wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    char *table = read_part(f, tab->off, tab->size, err), *names;
    int rc = 0;

    if (!table)
        return -err->code;
    names = read_part(f, str->off, str->size, err);
    if (!names) {
        free(table);
        return -err->code;
    }
    for (uint64_t i = 0; i < tab->size / unit && !rc; i++) {
        struct elf_sym y = sym_get(table, i, wide);
        const char *name = names + y.name; /* read_part() ended them with 0 */
        bool weak = ELF64_ST_BIND(y.info) == STB_WEAK ||
                    ELF64_ST_TYPE(y.info) == STT_NOTYPE;

        if (sym_wanted(&y, str->size) && name[0] != '.' && name[0] != '$' &&
            symbols_add(s, y.value, name, strlen(name), weak))
            rc = too_many(f, err);
    }
    free(table);
    free(names);
    return rc;
}

/* The table of symbols among the sections, or the dynamic one's. */
static int elf_sections(struct symbols *s, const struct source *f,
                        const char *headers, unsigned count, bool wide,
                        struct error *err)
{
    static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};

    for (unsigned t = 0; t < ARRAY_SIZE(types); t++)
        for (unsigned i = 0; i < count; i++) {
            struct section tab = section_get(headers, i, wide), str;

            if (tab.type != types[t] || tab.link >= count)
                continue;
            str = section_get(headers, tab.link, wide);
            return elf_symbols(s, f, &tab, &str, wide, err);
        }
    return bad_file(f, err, "an ELF file without symbols (stripped)");
}

static int load_elf(struct symbols *s, const struct source *f,
                    struct error *err)
{
    union {
        unsigned char ident[EI_NIDENT];
        Elf64_Ehdr e64;
        Elf32_Ehdr e32;
    } h;
    char *part = read_part(f, 0, sizeof(h), err);
    unsigned count, unit;
    uint64_t off;
    bool wide;
    int rc;

    if (!part)
        return -err->code;
    memcpy(&h, part, sizeof(h));
    free(part);
    wide = h.ident[EI_CLASS] == ELFCLASS64;
    off = wide ? h.e64.e_shoff : h.e32.e_shoff;
    count = wide ? h.e64.e_shnum : h.e32.e_shnum;
    unit = wide ? h.e64.e_shentsize : h.e32.e_shentsize;
    if (h.ident[EI_DATA] != ELFDATA2LSB ||
        unit != (wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)))
        return bad_file(f, err, "not an ELF file for x86");
    part = read_part(f, off, (uint64_t)count * unit, err);
    if (!part)
        return -err->code;
    rc = elf_sections(s, f, part, count, wide, err);
    free(part);
    return rc;
}

static int load_any(struct symbols *s, const struct source *f,
                    struct error *err)
{
    char magic[SELFMAG] = {0};
    int rc;

    if (pread(f->fd, magic, sizeof(magic), 0) < 0)
        return error_set(err, errno, "symbols %s: cannot read: %s", f->path,
                         strerror(errno));
    rc = memcmp(magic, ELFMAG, SELFMAG) ? load_map(s, f, err)
                                        : load_elf(s, f, err);
    if (rc)
        return rc;
    return symbols_finish(s, true) ? 0 : bad_file(f, err, "no symbols in it");
}

/*
 * /proc/kallsyms has no size of its own; a pipe cannot be read twice: both
 * are told apart from what has, a plain file.
 */
static int source_open(struct source *f, const char *path, struct error *err)
{
    struct stat st;

    *f = (struct source){.path = path};
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return error_set(err, errno, "symbols %s: %s", path, strerror(errno));
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode)) {
        close(f->fd);
        return bad_file(f, err, "not a plain file");
    }
    f->size = (uint64_t)st.st_size;
    return 0;
}

int symbols_load(struct symbols **out, const char *path, struct error *err)
{
    struct symbols *s;
    struct source f;
    int rc;

    *out = NULL;
    if (source_open(&f, path, err))
        return -err->code;
    s = symbols_new();
    rc = s ? load_any(s, &f, err) : error_set(err, ENOMEM, "out of memory");
    close(f.fd);
    if (rc)
        symbols_free(s);
    else
        *out = s;
    return rc;
}
