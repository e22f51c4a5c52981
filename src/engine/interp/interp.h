/* SPDX-License-Identifier: Apache-2.0 */
/* interp.h - the interpreter as an engine, and without its fast paths. */
#pragma once

#include "engine/engine.h"

extern const struct engine_ops engine_interp;
extern const struct engine_ops engine_interp_plain;
/* With engine/direct/ for user code. */
extern const struct engine_ops engine_trap;
