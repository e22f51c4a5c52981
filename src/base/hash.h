/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - a fast 64-bit hash, to tell contents apart; not against malice.
 */
#pragma once

#include "base/util.h"

/* Chains: hash64(h, ...) of the parts, each with the result before it. */
uint64_t hash64(uint64_t seed, const void *buf, size_t len);
