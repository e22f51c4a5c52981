/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - hostile state files: what every device saved after a while of
 * use, changed, its checksums made right again, and loaded. Whether or not it
 * was accepted, the board then goes on with what it has.
 */
#include "world.h"

static struct world w;

static void one(struct fuzz *f)
{
    unsigned use = fuzz8(f), changes = 1 + (fuzz8(f) & 7);
    struct state_writer *s;
    const uint8_t *bytes;
    uint8_t *copy;
    size_t len;

    world_up(&w);
    while (use--)
        world_poke(&w, f);
    s = world_save(&w);
    bytes = state_writer_bytes(s, &len);
    FUZZ_CHECK(bytes != NULL);
    copy = malloc(len);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, bytes, len);
    state_writer_free(s);
    world_spoil(copy, len, changes, f);
    if (fuzz8(f) < 6)
        len = fuzz16(f) % len;
    world_load(&w, copy, len);
    free(copy);
    while (!fuzz_done(f))
        world_poke(&w, f);
    world_drain(&w);
    world_down(&w);
}

static const struct fuzz_target target = {
    .name = "state",
    .corpus = "state",
    .max_len = 4000,
    .runs = 2500,
    .one = one,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
