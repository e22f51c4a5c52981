/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.h - what this runtime knows.         [runtime-spec, features.md]
 */
#pragma once

#include "base/arena.h"

/* As JSON, in the arena. */
char *features_text(struct arena *a);
