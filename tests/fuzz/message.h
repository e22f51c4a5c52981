/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what a driver says to a device of each kind, so that it makes
 * some sense: random bytes alone are refused at the first look.
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "fuzz.h"

#define MESSAGE_MAX 1024u

/*
 * For queue q of v: bytes for the device to read, into m; how many. *more: so
 * many follow, of any kind. *in: how much it may write after them.
 */
size_t message_make(struct fuzz *f, const struct virtio *v, unsigned q,
                    uint8_t m[MESSAGE_MAX], uint32_t *more, uint32_t *in);
