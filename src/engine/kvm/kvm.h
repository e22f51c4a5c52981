/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - the host's hardware virtualization as an engine; see doc/kvm.md. */
#pragma once

#include "engine/engine.h"

extern const struct engine_ops engine_kvm;
