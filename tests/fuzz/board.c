/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.c - every port and register of the board, in any order and width,
 * with time passing between: PCI's configuration space, BARs that move,
 * MSI-X tables, local APICs, the terminal.
 */
#include "world.h"

static struct world w;

static void one(struct fuzz *f)
{
    struct state_writer *s;
    size_t len;

    world_up(&w);
    while (!fuzz_done(f))
        world_poke(&w, f);
    world_drain(&w);
    /* What a guest has done to the board can be saved, and loaded again. */
    s = world_save(&w);
    state_writer_bytes(s, &len);
    FUZZ_CHECK(!world_load(&w, state_writer_bytes(s, &len), len));
    state_writer_free(s);
    world_drain(&w);
    world_down(&w);
}

static const struct fuzz_target target = {
    .name = "board",
    .corpus = "board",
    .max_len = 3000,
    .runs = 2500,
    .one = one,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
