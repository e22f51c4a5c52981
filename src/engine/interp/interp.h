/* SPDX-License-Identifier: Apache-2.0 */
/* interp.h - the interpreter engine. */
#pragma once

#include "engine/engine.h"

extern const struct engine_ops engine_interp;
