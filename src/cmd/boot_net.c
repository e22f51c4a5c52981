/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_net.c - options for networks and small devices. A machine has none
 * unless asked: it is a fence first.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <string.h>

int boot_net(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct machine_config *c = &a->cfg;
    bool none = !strcmp(v, "none");

    if (a->net_none || (none && c->nets))
        return error_set(err, EINVAL, "--net %s: --net none stands alone", v);
    a->net_none = none;
    if (none)
        return 0;
    if (c->nets == MACHINE_NETS_MAX)
        return error_set(err, EINVAL, "--net %s: at most %d networks", v,
                         MACHINE_NETS_MAX);
    if (net_config_parse(&c->net[c->nets], v, err))
        return error_prefix(err, "--net %s", v);
    c->nets++;
    return 0;
}

int boot_publish(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;

    if (a->publishes == NET_FORWARDS_MAX)
        return error_set(err, EINVAL, "--publish %s: at most %d", v,
                         NET_FORWARDS_MAX);
    a->publish[a->publishes++] = v;
    return 0;
}

int boot_rng(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct boot_args *)ctx)->cfg.rng = true;
    return 0;
}

int boot_balloon(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct boot_args *)ctx)->cfg.balloon = true;
    return 0;
}

/* --publish is for the first user network, which comes with it. */
static int publish_all(struct boot_args *a, struct error *err)
{
    struct machine_config *c = &a->cfg;
    unsigned i, n;

    if (!a->publishes)
        return 0;
    if (!c->nets && !a->net_none)
        c->net[c->nets++] = (struct net_config){.kind = NET_USER};
    for (n = 0; n < c->nets && c->net[n].kind != NET_USER; n++)
        continue;
    if (n == c->nets)
        return error_set(err, EINVAL,
                         "--publish needs a user network; add --net user");
    for (i = 0; i < a->publishes; i++)
        if (net_config_publish(&c->net[n], a->publish[i], err))
            return error_prefix(err, "--publish");
    return 0;
}

int boot_check_nets(struct boot_args *a, struct error *err)
{
    const struct machine_config *c = &a->cfg;

    if (publish_all(a, err))
        return -err->code;
    if (c->nets && c->lockstep && !c->replay)
        return error_set(err, EINVAL,
                         "--net: machines that are compared would each have a "
                         "network of its own; compare a --replay");
    return 0;
}

/* The guest's side is the snapshot's; where it leads may be given anew. */
int boot_restore_nets(struct machine_config *c,
                      const struct machine_config *given, struct error *err)
{
    unsigned i;

    if (given->nets && given->nets != c->nets)
        return error_set(err, EINVAL,
                         "has %u networks; give --net for each, or not at all",
                         c->nets);
    for (i = 0; i < given->nets; i++) {
        struct net_config saved = c->net[i];

        c->net[i] = given->net[i];
        memcpy(c->net[i].mac, saved.mac, sizeof(saved.mac));
        c->net[i].mac_given = c->net[i].fixed = true;
        c->net[i].mtu = saved.mtu;
        c->net[i].able = saved.able;
    }
    return 0;
}

int boot_publish_anew(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct boot_args *)ctx)->publish_anew = true;
    return 0;
}

/*
 * A fork's parent still has its addresses, the ports and the tap. The child's
 * user network works, and nothing leads into it; or with `publish` other ports
 * that are free.
 */
void boot_fork_nets(struct machine_config *c, bool publish)
{
    unsigned i, k;

    for (i = 0; i < c->nets; i++) {
        c->net[i].mac_given = false;
        if (!publish)
            c->net[i].forwards = 0;
        for (k = 0; k < c->net[i].forwards; k++)
            c->net[i].forward[k].host_port = 0;
        if (c->net[i].kind == NET_TAP)
            c->net[i].kind = NET_NOWHERE;
    }
}
