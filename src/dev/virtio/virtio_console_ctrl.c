/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console_ctrl.c - the control queues: which ports there are, what they
 * are called, and whether anybody is at their ends.     [virtio 1.2 5.3.6.2]
 *
 * What is due is a set of bits for each port, not a list: a driver without
 * buffers costs nothing. A host's end that goes and comes again is told as
 * both, so that the guest notices.
 */
#include "dev/virtio/virtio_console_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"

enum {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME,
};

struct control {
    uint32_t id;
    uint16_t event, value;
};

static_assert(sizeof(struct control) == 8, "virtio_console_control");

/* --- to the driver --- */

struct message {
    struct control c;
    uint8_t more[64]; /* a name, or a size */
    size_t len;       /* of it */
};

static void message_name(const struct virtio_console_port *p, struct message *m)
{
    m->len = MIN(strlen(p->name), sizeof(m->more));
    memcpy(m->more, p->name, m->len);
}

/* Linux before 6.15, and before 2025 in older branches, mixes them up. */
static void message_size(const struct virtio_console_port *p, struct message *m)
{
    uint16_t size[2] = {p->con->cols, p->con->rows};

    m->len = sizeof(size);
    memcpy(m->more, size, sizeof(size));
}

/* The first thing that is due, taken from the set. */
static void message_take(struct virtio_console_port *p, struct message *m)
{
    static const uint16_t events[] = {PORT_ADD,  CONSOLE_PORT, PORT_NAME,
                                      PORT_OPEN, PORT_OPEN,    RESIZE};
    unsigned bit = (unsigned)__builtin_ctz(p->due);

    p->due &= ~BIT(bit);
    *m = (struct message){.c = {(uint32_t)(p - p->con->port), events[bit], 1}};
    switch (BIT(bit)) {
    case CONSOLE_SAY_CLOSE:
        m->c.value = 0;
        p->told = false;
        break;
    case CONSOLE_SAY_OPEN:
        p->told = true;
        break;
    case CONSOLE_SAY_NAME:
        message_name(p, m);
        break;
    case CONSOLE_SAY_SIZE:
        message_size(p, m);
        break;
    }
}

static struct virtio_console_port *port_due(struct virtio_console *c)
{
    for (unsigned i = 0; i < c->ports; i++)
        if (c->port[i].due)
            return &c->port[i];
    return NULL;
}

/* False: there is no buffer now. */
static bool message_send(struct virtio_console_port *p)
{
    struct virtio_console *c = p->con;
    struct virtq *q = &c->v.q[CONSOLE_CTRL_RX];
    struct message m;
    int r = virtq_pop(q, &c->in);

    if (!r)
        return false;
    if (r > 0)
        message_take(p, &m);
    if (r < 0 || c->in.in_len < sizeof(m.c) + m.len) {
        virtio_broken(&c->v, "bad control receive queue");
        return false;
    }
    virtq_buf_write(q, &c->in, 0, &m.c, sizeof(m.c));
    virtq_buf_write(q, &c->in, sizeof(m.c), m.more, m.len);
    virtq_push(q, c->in.head, (uint32_t)(sizeof(m.c) + m.len));
    return true;
}

/* What the host sends was held back until the guest knows whose it is. */
static void ports_go_on(struct virtio_console *c)
{
    for (unsigned i = 1; i < c->ports; i++)
        if (c->port[i].guest_open && !c->port[i].due)
            chardev_can_accept(c->port[i].chr);
}

void virtio_console_ctrl_flush(struct virtio_console *c)
{
    struct virtio_console_port *p;
    bool sent = false;

    if (!virtio_running(&c->v) || !(c->v.agreed & CONSOLE_F_MULTIPORT))
        return;
    while ((p = port_due(c))) {
        if (message_send(p))
            sent = true;
        else if (!virtq_want_kicks(&c->v.q[CONSOLE_CTRL_RX], true))
            break;
    }
    virtio_signal(&c->v, CONSOLE_CTRL_RX);
    if (sent)
        ports_go_on(c);
}

void virtio_console_say(struct virtio_console_port *p, unsigned what)
{
    p->due |= what;
    virtio_console_ctrl_flush(p->con);
}

void virtio_console_connected(void *port, bool on)
{
    struct virtio_console_port *p = port;

    if (!on) {
        p->due &= ~(unsigned)CONSOLE_SAY_OPEN;
        virtio_console_transmit(p); /* to nobody */
    }
    if (p->ready)
        virtio_console_say(p, on ? CONSOLE_SAY_OPEN : CONSOLE_SAY_CLOSE);
}

/* --- from the driver --- */

static void port_ready(struct virtio_console_port *p)
{
    bool first = p == p->con->port;
    bool here = !p->chr || !p->chr->away;

    p->ready = true;
    virtio_console_say(p, (first ? CONSOLE_SAY_CONSOLE : CONSOLE_SAY_NAME) |
                              (here ? CONSOLE_SAY_OPEN : 0));
}

static void port_opened(struct virtio_console_port *p, bool on)
{
    if (p == p->con->port) {
        if (on && p->con->cols && p->con->rows)
            virtio_console_say(p, CONSOLE_SAY_SIZE);
        return;
    }
    if (p->guest_open == on)
        return;
    p->guest_open = on;
    chardev_opened(p->chr, on);
    if (on)
        chardev_can_accept(p->chr);
}

static void control_take(struct virtio_console *c, const struct control *m)
{
    if (m->event == DEVICE_READY) {
        for (unsigned i = 0; m->value == 1 && i < c->ports; i++)
            c->port[i].due |= CONSOLE_SAY_ADD;
        virtio_console_ctrl_flush(c);
        return;
    }
    if (m->id >= c->ports) {
        log_guest("virtio-console: message %u about port %u", m->event, m->id);
        return;
    }
    if (m->event == PORT_READY && m->value == 1)
        port_ready(&c->port[m->id]);
    else if (m->event == PORT_OPEN && c->port[m->id].ready)
        port_opened(&c->port[m->id], m->value);
}

static int control_chain(struct virtio *v, unsigned q)
{
    struct virtio_console *c = container_of(v, struct virtio_console, v);
    struct control m;

    (void)q;
    if (virtq_buf_read(&c->in, 0, &m, sizeof(m)) == sizeof(m))
        control_take(c, &m); /* may use c->in */
    return 0;
}

void virtio_console_ctrl(struct virtio_console *c)
{
    virtio_serve(&c->v, CONSOLE_CTRL_TX, &c->in, control_chain);
}
