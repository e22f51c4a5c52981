/* SPDX-License-Identifier: Apache-2.0 */
/* dev_console.c - claims about the console's named ports. */
#include "dev/virtio/virtio_console.h"

#include "virtio_hand.h"

#define F_SIZE      BIT64(0)
#define F_MULTIPORT BIT64(1)

#define CTRL_RX 2
#define CTRL_TX 3
#define PORT_RX 4 /* of port 1 */
#define PORT_TX 5

#define OUT (DATA + 0x10000)

enum { READY, ADD, REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, OPEN, NAME };

struct control {
    uint32_t id;
    uint16_t event, value;
};

/* A console with one named port, whose host's end is `far`. */
struct con {
    struct hand h;
    struct chardev screen, far;
    struct virtio_console c;
    char heard[64];
    size_t room; /* that `far` has */
    bool opened;
    unsigned taken, sent;
};

static size_t far_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    struct con *c = container_of(chr, struct con, far);
    size_t n = MIN(len, c->room);

    strncat(c->heard, (const char *)buf, n);
    c->room -= n;
    return n;
}

static void far_opened(struct chardev *chr, bool on)
{
    container_of(chr, struct con, far)->opened = on;
}

static const struct chardev_ops far_ops = {.write = far_write,
                                           .opened = far_opened};

/* Buffers for control messages; four of the queue's eight. */
static void driver(struct con *c)
{
    hand_driver(&c->h, &c->c.v, F_SIZE | F_MULTIPORT, 6);
    c->taken = c->sent = 0;
    for (unsigned i = 0; i < 4; i++) {
        hand_desc(&c->h, CTRL_RX, i, DATA + 0x100 * i, 80, VIRTQ_DESC_WRITE);
        hand_offer(&c->h, CTRL_RX, (uint16_t)i);
    }
}

static void up(struct con *c)
{
    struct virtio_console_named named = {"org.test", &c->far};

    memset(c, 0, sizeof(*c));
    hand_up(&c->h);
    c->screen = (struct chardev){.cols = 80, .rows = 25};
    c->far = (struct chardev){.ops = &far_ops, .away = true};
    c->room = sizeof(c->heard) - 1;
    CHECK_EQ(virtio_console_init(&c->c, 0, &c->h.pci, &c->screen, &named, 1,
                                 &c->h.err),
             0);
    driver(c);
}

/* The next message, and how many bytes it has more; event 99: there is none. */
static struct control hear(struct con *c, void *more, size_t *len)
{
    struct control m = {0, 99, 0};
    unsigned at = c->taken % 4;

    if (hand_used(&c->h, CTRL_RX) == (uint16_t)c->taken)
        return m;
    hand_get(&c->h, DATA + 0x100 * at, &m, sizeof(m));
    *len = hand_used_len(&c->h, CTRL_RX, c->taken) - sizeof(m);
    hand_get(&c->h, DATA + 0x100 * at + sizeof(m), more, *len);
    c->taken++;
    hand_offer(&c->h, CTRL_RX, (uint16_t)at);
    hand_bell(&c->h, CTRL_RX);
    return m;
}

static bool heard(struct con *c, uint32_t id, uint16_t event, uint16_t value)
{
    uint8_t more[80];
    size_t len;
    struct control m = hear(c, more, &len);

    if (m.id == id && m.event == event && m.value == value)
        return true;
    fprintf(stderr, "port %u, event %u, value %u\n", m.id, m.event, m.value);
    return false;
}

static bool silent(struct con *c)
{
    return hand_used(&c->h, CTRL_RX) == (uint16_t)c->taken;
}

static void say(struct con *c, uint32_t id, uint16_t event, uint16_t value)
{
    struct control m = {id, event, value};
    unsigned i = c->sent++ % 8;

    hand_put(&c->h, OUT, &m, sizeof(m));
    hand_desc(&c->h, CTRL_TX, i, OUT, sizeof(m), 0);
    hand_offer(&c->h, CTRL_TX, (uint16_t)i);
    hand_bell(&c->h, CTRL_TX);
}

/* Both ports known to the driver, all that it was told about them heard. */
static void known(struct con *c)
{
    uint8_t more[80];
    size_t len;

    say(c, 0, READY, 1);
    say(c, 0, PORT_READY, 1);
    say(c, 1, PORT_READY, 1);
    while (hear(c, more, &len).event != 99)
        continue;
}

static void ports_introduce_themselves(void)
{
    static struct con c;
    uint8_t more[80];
    struct control m;
    size_t len;

    up(&c);
    CHECK_EQ(hand_read(&c.h, 0x2004, 4), 2);
    CHECK_EQ(hand_read(&c.h, 0x12, 2), 6);
    say(&c, 0, READY, 1);
    CHECK(heard(&c, 0, ADD, 1));
    CHECK(heard(&c, 1, ADD, 1));
    say(&c, 0, PORT_READY, 1);
    CHECK(heard(&c, 0, CONSOLE_PORT, 1));
    CHECK(heard(&c, 0, OPEN, 1));
    say(&c, 1, PORT_READY, 1);
    m = hear(&c, more, &len);
    CHECK_EQ(m.event, NAME);
    CHECK_EQ(len, 8);
    CHECK(!memcmp(more, "org.test", 8));
    CHECK(silent(&c)); /* nobody is there yet */
    hand_down(&c.h);
}

static void the_size_is_a_message(void)
{
    static struct con c;
    uint16_t size[40];
    size_t len;

    up(&c);
    known(&c);
    say(&c, 0, OPEN, 1);
    CHECK_EQ(hear(&c, size, &len).event, RESIZE);
    CHECK_EQ(len, 4);
    CHECK(size[0] == 80 && size[1] == 25);
    loop_lock(&c.h.loop);
    chardev_resize(&c.screen, 100, 30);
    loop_unlock(&c.h.loop);
    CHECK_EQ(hear(&c, size, &len).event, RESIZE);
    CHECK(size[0] == 100 && size[1] == 30);
    hand_down(&c.h);
}

static void connect_far(struct con *c, bool on)
{
    loop_lock(&c->h.loop);
    chardev_connect(&c->far, on);
    loop_unlock(&c->h.loop);
}

static void both_ends_come_and_go(void)
{
    static struct con c;

    up(&c);
    known(&c);
    hand_desc(&c.h, PORT_RX, 0, DATA + 0x8000, 100, VIRTQ_DESC_WRITE);
    hand_offer(&c.h, PORT_RX, 0);
    connect_far(&c, true);
    CHECK(heard(&c, 1, OPEN, 1));
    CHECK_EQ(chardev_room(&c.far), 0); /* nobody reads */
    say(&c, 1, OPEN, 1);
    CHECK(c.opened);
    CHECK_EQ(chardev_room(&c.far), 100);
    connect_far(&c, false);
    connect_far(&c, true); /* both are told, in order */
    CHECK(heard(&c, 1, OPEN, 0));
    CHECK(heard(&c, 1, OPEN, 1));
    say(&c, 1, OPEN, 0);
    CHECK(!c.opened);
    CHECK_EQ(chardev_room(&c.far), 0);
    hand_down(&c.h);
}

static void a_new_end_waits_until_it_is_told(void)
{
    static struct con c;
    uint8_t more[80];
    size_t len;

    up(&c);
    known(&c);
    say(&c, 1, OPEN, 1);
    hand_desc(&c.h, PORT_RX, 0, DATA + 0x8000, 100, VIRTQ_DESC_WRITE);
    hand_offer(&c.h, PORT_RX, 0);
    /* Use up the buffers: what is due then does not pile up. */
    for (unsigned i = 0; i < 50; i++)
        connect_far(&c, i & 1);
    CHECK_EQ(chardev_room(&c.far), 0);
    while (hear(&c, more, &len).event != 99)
        continue;
    CHECK_EQ(chardev_room(&c.far), 100);
    CHECK(!hand_broken(&c.h));
    hand_down(&c.h);
}

static void output(struct con *c, unsigned i, const char *text)
{
    hand_put(&c->h, DATA + 0x9000 + 64 * i, text, strlen(text));
    hand_desc(&c->h, PORT_TX, i, DATA + 0x9000 + 64 * i, (uint32_t)strlen(text),
              0);
    hand_offer(&c->h, PORT_TX, (uint16_t)i);
    hand_bell(&c->h, PORT_TX);
}

static void output_waits_for_its_reader_only(void)
{
    static struct con c;

    up(&c);
    known(&c);
    output(&c, 0, "to nobody");
    CHECK_EQ(hand_used(&c.h, PORT_TX), 1);
    connect_far(&c, true);
    c.room = 3;
    output(&c, 1, "hello");
    output(&c, 2, "again");
    CHECK(!strcmp(c.heard, "hel"));
    CHECK_EQ(hand_used(&c.h, PORT_TX), 1);
    hand_reload(&c.h); /* the rest is part of the state */
    CHECK_EQ(hand_used(&c.h, PORT_TX), 1);
    c.room = 50;
    loop_lock(&c.h.loop);
    chardev_writable(&c.far);
    loop_unlock(&c.h.loop);
    CHECK(!strcmp(c.heard, "helloagain"));
    CHECK_EQ(hand_used(&c.h, PORT_TX), 3);
    c.room = 0;
    output(&c, 3, "never");
    connect_far(&c, false);
    CHECK_EQ(hand_used(&c.h, PORT_TX), 4);
    hand_down(&c.h);
}

static void a_restored_port_has_lost_its_host(void)
{
    static struct con c;

    up(&c);
    known(&c);
    say(&c, 1, OPEN, 1);
    connect_far(&c, true);
    CHECK(heard(&c, 1, OPEN, 1));
    c.far.away = true; /* as a new process finds it */
    c.opened = false;
    hand_reload(&c.h);
    CHECK(c.opened);
    CHECK(heard(&c, 0, RESIZE, 1));
    CHECK(heard(&c, 1, OPEN, 0));
    CHECK(silent(&c));
    hand_down(&c.h);
}

static void strange_messages_are_ignored(void)
{
    static struct con c;
    uint8_t more[80];
    size_t len;

    up(&c);
    say(&c, 1, OPEN, 1); /* before it is known */
    say(&c, 7, PORT_READY, 1);
    say(&c, 0xffffffff, OPEN, 1);
    say(&c, 0, READY, 0);
    say(&c, 0, PORT_READY, 0);
    say(&c, 1, 0xffff, 0xffff);
    CHECK(silent(&c));
    CHECK(!c.opened);
    CHECK(!hand_broken(&c.h));
    known(&c);
    say(&c, 1, OPEN, 1);
    hand_write(&c.h, 0x14, 1, 0); /* a reset closes */
    CHECK(!c.opened);
    /* A buffer too small for what is to be said. */
    hand_driver(&c.h, &c.c.v, F_SIZE | F_MULTIPORT, 6);
    c.sent = c.taken = 0;
    hand_desc(&c.h, CTRL_RX, 0, DATA, 4, VIRTQ_DESC_WRITE);
    hand_offer(&c.h, CTRL_RX, 0);
    say(&c, 0, READY, 1);
    CHECK(hand_broken(&c.h));
    CHECK_EQ(hear(&c, more, &len).event, 99);
    hand_down(&c.h);
}

int main(void)
{
    RUN(ports_introduce_themselves);
    RUN(the_size_is_a_message);
    RUN(both_ends_come_and_go);
    RUN(a_new_end_waits_until_it_is_told);
    RUN(output_waits_for_its_reader_only);
    RUN(a_restored_port_has_lost_its_host);
    RUN(strange_messages_are_ignored);
    return test_status();
}
