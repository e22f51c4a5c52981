/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_mix.h - JSON texts that are nearly right: a valid one, with values in
 * the place of others. What bytes changed at random rarely reach: the tables
 * behind the parser, and what checks the values.
 */
#pragma once

#include "fuzz.h"
#include "oci/json.h"

/*
 * A few changes to `text`, of the kinds that break readers of JSON: numbers at
 * and beyond every edge, other types, strings with anything in them, doubled
 * and renamed members, deep and long lists, pieces of `other` (or of itself).
 * `shape`, or NULL, says which names have a meaning. The length of what is at
 * `out`; 0: the text is no JSON, or there is no room.
 */
size_t json_mix(uint64_t seed, const char *text, size_t len, const char *other,
                size_t other_len, const struct json_shape *shape, char *out,
                size_t room);
/* The same of two files of the corpus: a fuzz_target's sample(). */
size_t json_mix_sample(uint64_t seed, const struct json_shape *shape,
                       uint8_t *buf, size_t room);
/* An error as a user wants it: one printable line with a number. */
bool json_mix_good_line(const struct error *err);
