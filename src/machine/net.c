/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c - the machine's networks: their back-ends, their cards, and in a
 * deterministic machine the way of a frame in between.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/log.h"
#include "machine/machine_int.h"

/* A frame as an event; its bytes follow. */
struct net_event {
    uint32_t card;
    struct net_header header;
};

/*
 * Without mac=: the same for a machine with the same name, or the same seed,
 * so that it is the same one for whoever knows it by its address.
 */
static void net_make_mac(const struct machine *m, unsigned i, uint8_t mac[6])
{
    const struct machine_config *cfg = m->cfg;
    uint64_t h = cfg->seed;

    if (cfg->name)
        h = hash64(0, cfg->name, strlen(cfg->name));
    else if (!cfg->deterministic && !cfg->seeded &&
             getrandom(&h, sizeof(h), 0) < 0)
        log_debug("no random MAC address");
    h = hash64(h, &i, sizeof(i));
    memcpy(mac, (const uint8_t[]){0x52, 0x54, 0x00}, 3);
    memcpy(mac + 3, &h, 3);
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
    if (net_open(&m->net[i], c, &m->loop, err))
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

static void net_defer(void *ctx, struct net *n, const struct net_header *h,
                      const uint8_t *frame, size_t len)
{
    struct machine *m = ctx;
    uint8_t buf[sizeof(struct net_event) + NET_FRAME_MAX];
    struct net_event ev = {.header = *h};

    if (len > NET_FRAME_MAX)
        return;
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
