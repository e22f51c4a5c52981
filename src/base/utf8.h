/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - texts that are, or are not, UTF-8.                 [Unicode 3.9]
 */
#pragma once

#include "base/util.h"

/*
 * How many bytes the first character of `left` (at least 1) bytes has; 0: it
 * is none: cut, longer than need be, half of a pair, or beyond the last one.
 */
unsigned utf8_length(const char *text, size_t left);
/* Is all of the text? */
bool utf8_is(const char *text);
/*
 * Question marks in the place of newlines, escapes to a terminal and all that
 * is no UTF-8, as characters are that were cut in two.
 */
void utf8_make_printable(char *text);
