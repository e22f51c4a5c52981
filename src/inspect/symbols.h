/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols.h - names for a guest kernel's addresses.
 *
 * They come from a file (System.map, or an ELF file with a symbol table), or
 * from the running kernel itself: Linux carries its own table (kallsyms) in
 * memory, compressed, and already moved to where KASLR put the kernel. A file
 * has the addresses of the link; symbols_slide() says how far they moved.
 *
 * Guest memory is hostile: a broken table gives no symbols, never a crash.
 */
#pragma once

#include "x86/vcpu.h"

struct symbols; /* sorted by address; immutable but for the slide */

/* Errors name the file and what it should be. */
int symbols_load(struct symbols **s, const char *path,
                 struct error *err) must_check;
/*
 * The table in the memory of the kernel that `cpu` runs; NULL: none found
 * (yet). Reads all RAM that is there: milliseconds, not for each event.
 * The vCPU must be parked, or the caller's own.
 */
struct symbols *symbols_from_guest(struct vcpu *cpu);
void symbols_free(struct symbols *s);

/*
 * Adds the distance between the link's and the run's addresses, as the
 * system-call entry in IA32_LSTAR shows it. Idempotent. False: not known yet.
 */
bool symbols_slide(struct symbols *s, const struct vcpu *cpu);

unsigned symbols_count(const struct symbols *s); /* s may be NULL: 0 */
/* Address of a name. */
bool symbols_find(const struct symbols *s, const char *name, uint64_t *addr);
/* Where the symbol begins that symbols_name() would name. */
bool symbols_start(const struct symbols *s, uint64_t addr, uint64_t *start);
/*
 * "name+0x1c" (or "name") into buf. False, and an empty string: no symbol
 * is near. s may be NULL.
 */
bool symbols_name(const struct symbols *s, uint64_t addr, char *buf,
                  size_t len);
