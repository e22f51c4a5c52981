/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem_int.h - what the files of guest memory share.
 */
#pragma once

#include "mem/guest_mem.h"

/* RAM was mapped: in huge pages, if it is to be. */
void guest_mem_advise(const struct guest_mem *m);
