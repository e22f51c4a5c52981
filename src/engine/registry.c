/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c - the one list of engines, in the order that auto tries them.
 */
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/interp/interp.h"
#include "engine/kvm/kvm.h"

const struct engine_ops *const engines[] = {
    &engine_kvm,  &engine_interp,
    &engine_trap, &engine_interp_plain, /* the last: auto never gets to it */
    NULL,
};

_Static_assert(ENGINE_EXITS <= STATS_LEFT, "room to count each");

void engine_kick(struct vcpu *cpu)
{
    vcpu_attn_set(cpu, ATTN_KICK);
}

const char *engine_exit_name(enum engine_exit exit)
{
    static const char *const names[ENGINE_EXITS] = {
        [ENGINE_HALTED] = "halted",     [ENGINE_KICKED] = "kicked",
        [ENGINE_SHUTDOWN] = "shutdown", [ENGINE_DEBUG] = "debugger",
        [ENGINE_LIMIT] = "limit",
    };

    return names[exit];
}

const struct engine_ops *engine_find(const char *name)
{
    for (unsigned i = 0; engines[i]; i++)
        if (!strcmp(engines[i]->name, name))
            return engines[i];
    return NULL;
}

/* What is not on this host at all is nothing to be told each time. */
static bool helpable(int code)
{
    return code != ENOENT && code != ENODEV && code != ENXIO;
}

static int usable(const struct engine_ops *e, bool seen, bool *missed,
                  struct error *err)
{
    if (seen && e->opaque)
        return error_set(err, ENOTSUP, "its instructions are not seen");
    if (e->probe(err)) {
        *missed = *missed || helpable(err->code);
        return -err->code;
    }
    return e->prefer ? e->prefer(err) : 0;
}

const struct engine_ops *engine_auto(bool seen, char *why, size_t len,
                                     bool *missed)
{
    struct error err = {0};
    size_t used = 0;

    why[0] = '\0';
    *missed = false;
    for (unsigned i = 0; engines[i]; i++) {
        if (!usable(engines[i], seen, missed, &err)) {
            snprintf(why + used, len - used, "%s%s", engines[i]->name,
                     engines[i] == &engine_interp
                         ? "; trap is faster where user code computes"
                         : "");
            return engines[i];
        }
        used += (size_t)snprintf(why + used, len - used, "not %s (%s); ",
                                 engines[i]->name, err.msg);
        used = MIN(used, len - 1);
    }
    return NULL;
}
