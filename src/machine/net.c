/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c - the machine's networks: their back-ends, their cards, and in a
 * deterministic machine the way of a frame in between.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/log.h"
#include "machine/machine_int.h"
#include "machine/snapshot.h"

#define NET_QUEUED_MAX (4 * MiB)

/* A frame as an event; its bytes follow. */
struct net_event {
    uint32_t card;
    struct net_header header;
};

#define PICK_TRIES 16

/*
 * Without mac=: the same for a machine with the same name, or the same seed,
 * so that it is the same one for whoever knows it by its address. A fork's
 * children are many: all bytes but the first, which says that it is made up,
 * are their name's.
 */
static void net_make_mac(const struct machine *m, unsigned i, uint8_t mac[6])
{
    const struct machine_config *cfg = m->cfg;
    bool child = cfg->restore && snapshot_forked(cfg->restore);
    uint64_t h = cfg->seed;

    if (cfg->name)
        h = hash64(0, cfg->name, strlen(cfg->name));
    else if (!cfg->deterministic && !cfg->seeded &&
             getrandom(&h, sizeof(h), 0) < 0)
        log_debug("no random MAC address");
    h = hash64(h, &i, sizeof(i));
    memcpy(mac, (const uint8_t[]){0x52, 0x54, 0x00}, 3);
    if (child)
        memcpy(mac + 1, &h, 5);
    else
        memcpy(mac + 3, &h, 3);
}

/* The machine's name, as far as it can be a host's. */
static void net_make_host(const struct machine *m, char host[NET_HOST_LEN])
{
    const char *name = m->cfg->name ? m->cfg->name : "";
    unsigned i;

    for (i = 0; name[i] && i < NET_HOST_LEN - 1; i++)
        host[i] = name[i] == '.' || name[i] == '_' ? '-' : name[i];
    host[i] = 0;
}

/* Somebody may be faster in taking a port that was free. */
static int net_open_free(struct machine *m, unsigned i, struct error *err)
{
    const struct net_config asked = m->net_cfg[i];
    int rc, tries = PICK_TRIES;

    do {
        m->net_cfg[i] = asked;
        if (!net_ports_pick(&m->net_cfg[i]))
            tries = 1;
        rc = net_open(&m->net[i], &m->net_cfg[i], &m->loop, err);
    } while (rc == -EADDRINUSE && --tries);
    return rc;
}

static int net_one(struct machine *m, unsigned i, struct error *err)
{
    struct net_config *c = &m->net_cfg[i];

    *c = m->cfg->net[i];
    if (m->cfg->replay)
        c->kind = NET_NOWHERE;
    if (!c->mac_given)
        net_make_mac(m, i, c->mac);
    c->mac_given = true;
    net_make_host(m, c->host);
    if (net_open_free(m, i, err))
        return error_prefix(err, "--net");
    c->able = m->net[i]->able;
    c->mtu = m->net[i]->mtu;
    log_debug("network %u: %02x:%02x:%02x:%02x:%02x:%02x", i, c->mac[0],
              c->mac[1], c->mac[2], c->mac[3], c->mac[4], c->mac[5]);
    return 0;
}

int machine_nets_init(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->nets; i++) {
        if (net_one(m, i, err)) {
            while (i--)
                net_close(m->net[i]);
            return -err->code;
        }
    }
    return 0;
}

void machine_nets_fini(struct machine *m)
{
    unsigned i;

    loop_lock(&m->loop);
    for (i = 0; i < m->cfg->nets; i++)
        net_close(m->net[i]);
    loop_unlock(&m->loop);
}

/* --- deterministic machines --- */

/*
 * A network drops what its guest is too slow for. So does this one: whoever
 * sends must not decide how much memory it takes.
 */
static void net_defer(void *ctx, struct net *n, const struct net_header *h,
                      const uint8_t *frame, size_t len)
{
    struct machine *m = ctx;
    uint8_t buf[sizeof(struct net_event) + NET_FRAME_MAX];
    struct net_event ev = {.header = *h};

    if (len > NET_FRAME_MAX || det_queued(m) > NET_QUEUED_MAX) {
        n->dropped++;
        return;
    }
    while (m->net[ev.card] != n)
        ev.card++;
    memcpy(buf, &ev, sizeof(ev));
    memcpy(buf + sizeof(ev), frame, len);
    det_event(m, RECORD_PACKET, buf, sizeof(ev) + len);
}

void machine_net_packet(struct machine *m, const void *data, size_t len)
{
    struct net_event ev;

    if (len < sizeof(ev))
        return;
    memcpy(&ev, data, sizeof(ev));
    if (ev.card < m->cfg->nets)
        net_input(m->net[ev.card], &ev.header,
                  (const uint8_t *)data + sizeof(ev), len - sizeof(ev));
}

bool machine_net_live(const struct machine *m)
{
    return m->cfg->nets && !m->cfg->replay;
}

/* --- cards --- */

int machine_net_cards(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->nets; i++) {
        if (virtio_net_init(&m->vnet[i], i, &m->pci, &m->loop, m->net[i], err))
            return -err->code;
        if (m->det) {
            m->net[i]->defer = net_defer;
            m->net[i]->defer_ctx = m;
        }
        machine_device(m, &m->vnet[i].v.pci.dev);
    }
    return 0;
}
