/* SPDX-License-Identifier: Apache-2.0 */
/* dev_net.c - claims about the network card and what --net says. */
#include "dev/virtio/virtio_net.h"

#include "virtio_hand.h"

#include <arpa/inet.h>

#define F_CSUM       BIT64(0)
#define F_GUEST_CSUM BIT64(1)
#define F_HOST_TSO4  BIT64(11)
#define F_MRG_RXBUF  BIT64(15)
#define F_CTRL_VQ    BIT64(17)
#define F_CTRL_RX    BIT64(18)
#define F_EVENT_IDX  BIT64(29)

static const uint8_t our_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

/* A card whose cable ends in `sent`. */
struct card {
    struct hand h;
    struct net net;
    struct virtio_net d;
    unsigned sends;
    struct net_header header;
    uint8_t sent[2048];
    size_t sent_len;
    uint8_t frame[4096];
};

static void card_send(struct net *n, const struct net_header *h, uint8_t *frame,
                      size_t len)
{
    struct card *c = container_of(n, struct card, net);

    c->sends++;
    c->header = *h;
    c->sent_len = len;
    memcpy(c->sent, frame, MIN(len, sizeof(c->sent)));
}

static const struct net_ops card_ops = {.send = card_send};

static void card_up(struct card *c, uint64_t features)
{
    memset(c, 0, sizeof(*c));
    hand_up(&c->h);
    c->net.ops = &card_ops;
    c->net.able = NET_TAKES_CSUM | NET_TAKES_TCP4 | NET_GIVES_CSUM;
    c->net.mtu = 1500;
    memcpy(c->net.mac, our_mac, 6);
    CHECK_EQ(
        virtio_net_init(&c->d, 0, &c->h.pci, &c->h.loop, &c->net, &c->h.err),
        0);
    hand_driver(&c->h, &c->d.v, features, 3);
    memcpy(c->frame, our_mac, 6);
    for (unsigned i = 6; i < sizeof(c->frame); i++)
        c->frame[i] = (uint8_t)(i * 3);
}

static void arrives(struct card *c, size_t len)
{
    struct net_header h = {.flags = NET_CSUM_VALID};

    loop_lock(&c->h.loop);
    net_receive(&c->net, &h, c->frame, len);
    loop_unlock(&c->h.loop);
}

/* Receive buffer i, of len bytes. */
static void buffer(struct card *c, unsigned i, uint32_t len)
{
    hand_desc(&c->h, 0, i, DATA + 0x1000 * i, len, VIRTQ_DESC_WRITE);
    hand_offer(&c->h, 0, (uint16_t)i);
}

static void configuration_says_who_and_how_large(void)
{
    static struct card c;
    uint8_t mac[6];

    card_up(&c, 0);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)hand_read(&c.h, 0x2000 + i, 1);
    CHECK(!memcmp(mac, our_mac, 6));
    CHECK_EQ(hand_read(&c.h, 0x2006, 2), 1);
    CHECK_EQ(hand_read(&c.h, 0x2008, 2), 1);
    CHECK_EQ(hand_read(&c.h, 0x200a, 2), 1500);
    hand_down(&c.h);
}

static void a_frame_in_several_buffers_is_seen_at_once(void)
{
    static struct card c;
    struct net_header h;
    uint8_t got[1000];

    card_up(&c, F_MRG_RXBUF | F_GUEST_CSUM);
    buffer(&c, 0, 412);
    buffer(&c, 1, 300);
    arrives(&c, 1000);
    CHECK_EQ(hand_used(&c.h, 0), 0);
    buffer(&c, 2, 512);
    hand_bell(&c.h, 0);
    CHECK_EQ(hand_used(&c.h, 0), 3);
    hand_get(&c.h, DATA, &h, sizeof(h));
    CHECK_EQ(h.buffers, 3);
    CHECK_EQ(h.flags, NET_CSUM_VALID);
    CHECK_EQ(hand_used_len(&c.h, 0, 0), 412);
    CHECK_EQ(hand_used_len(&c.h, 0, 1), 300);
    CHECK_EQ(hand_used_len(&c.h, 0, 2), 300);
    hand_get(&c.h, DATA + 12, got, 400);
    hand_get(&c.h, DATA + 0x1000, got + 400, 300);
    hand_get(&c.h, DATA + 0x2000, got + 700, 300);
    CHECK(!memcmp(got, c.frame, 1000));
    hand_down(&c.h);
}

/* With some buffers there but too few, the bell must ring for the next. */
static void too_few_buffers_ask_for_one_more(void)
{
    static struct card c;
    uint16_t event;

    card_up(&c, F_MRG_RXBUF | F_EVENT_IDX);
    buffer(&c, 0, 100);
    buffer(&c, 1, 100);
    arrives(&c, 500);
    hand_get(&c.h, USED(0) + 4 + 8 * HAND_SIZE, &event, 2);
    CHECK_EQ(event, 2);
    hand_down(&c.h);
}

static void a_frame_that_never_fits_is_dropped_alone(void)
{
    static struct card c;

    card_up(&c, 0); /* one buffer a frame */
    buffer(&c, 0, 200);
    arrives(&c, 1000);
    CHECK_EQ(c.net.dropped, 1);
    CHECK_EQ(hand_used(&c.h, 0), 0);
    arrives(&c, 100);
    CHECK_EQ(hand_used(&c.h, 0), 1);
    CHECK_EQ(hand_used_len(&c.h, 0, 0), 112);
    hand_down(&c.h);
}

static void a_ring_of_tiny_buffers_drops_too(void)
{
    static struct card c;

    card_up(&c, F_MRG_RXBUF);
    for (unsigned i = 0; i < HAND_SIZE; i++)
        buffer(&c, i, 16);
    arrives(&c, 1000);
    CHECK_EQ(c.net.dropped, 1);
    arrives(&c, 14);
    CHECK_EQ(hand_used(&c.h, 0), 2);
    CHECK(!hand_broken(&c.h));
    hand_down(&c.h);
}

static void what_waits_is_bounded_and_in_order(void)
{
    static struct card c;
    uint8_t b;

    card_up(&c, F_MRG_RXBUF);
    for (unsigned i = 0; i < 1000; i++) {
        c.frame[20] = (uint8_t)i;
        arrives(&c, 4000);
    }
    CHECK(c.net.dropped > 800 && c.net.dropped < 900);
    for (unsigned i = 0; i < 5; i++) {
        buffer(&c, i, 4096);
        hand_bell(&c.h, 0);
        CHECK_EQ(hand_used(&c.h, 0), i + 1);
        hand_get(&c.h, DATA + 0x1000 * i + 12 + 20, &b, 1);
        CHECK_EQ(b, i);
    }
    hand_down(&c.h);
}

static void waiting_frames_survive_a_snapshot(void)
{
    static struct card c;
    uint8_t got[500];

    card_up(&c, F_MRG_RXBUF);
    arrives(&c, 500);
    hand_reload(&c.h);
    buffer(&c, 0, 1000);
    hand_bell(&c.h, 0);
    CHECK_EQ(hand_used(&c.h, 0), 1);
    hand_get(&c.h, DATA + 12, got, 500);
    CHECK(!memcmp(got, c.frame, 500));
    hand_down(&c.h);
}

/* A frame of len bytes behind a header, in one chain. */
static void card_tx(struct card *c, const struct net_header *h, uint32_t len)
{
    hand_put(&c->h, DATA, h, sizeof(*h));
    hand_put(&c->h, DATA + 0x1000, c->frame, MIN(len, sizeof(c->frame)));
    hand_desc(&c->h, 1, 0, DATA, sizeof(*h), VIRTQ_DESC_NEXT);
    hand_desc(&c->h, 1, 1, DATA + 0x1000, len, 0);
    hand_offer(&c->h, 1, 0);
    hand_bell(&c->h, 1);
    CHECK_EQ(hand_used(&c->h, 1), c->h.avail[1]);
}

static void frames_are_sent_and_bad_ones_are_not(void)
{
    static struct card c;
    struct net_header h = {0};

    card_up(&c, F_CSUM | F_HOST_TSO4);
    card_tx(&c, &h, 100);
    CHECK_EQ(c.sends, 1);
    CHECK_EQ(c.sent_len, 100);
    CHECK(!memcmp(c.sent, c.frame, 100));
    card_tx(&c, &h, 13);      /* no Ethernet header */
    card_tx(&c, &h, 0x20000); /* longer than any */
    h.flags = NET_NEEDS_CSUM;
    h.csum_start = 90;
    h.csum_offset = 9;
    card_tx(&c, &h, 100); /* the checksum is behind its end */
    h.csum_start = h.csum_offset = 0xffff;
    card_tx(&c, &h, 100);
    h = (struct net_header){.gso_type = NET_GSO_TCP4, .gso_size = 1000};
    card_tx(&c, &h, 100); /* segments without checksums */
    h = (struct net_header){NET_NEEDS_CSUM, 5, 54, 1000, 34, 16, 0};
    card_tx(&c, &h, 100); /* no such segments */
    h.gso_type = NET_GSO_TCP6;
    card_tx(&c, &h, 100); /* not offered */
    CHECK_EQ(c.sends, 1);
    CHECK_EQ(c.net.dropped, 7);
    h.gso_type = NET_GSO_TCP4;
    card_tx(&c, &h, 100);
    CHECK_EQ(c.sends, 2);
    CHECK_EQ(c.header.gso_size, 1000);
    CHECK(!hand_broken(&c.h));
    hand_down(&c.h);
}

static void a_bad_chain_needs_a_reset_and_gets_it(void)
{
    static struct card c;
    struct net_header h = {0};

    card_up(&c, 0);
    hand_desc(&c.h, 1, 0, HAND_RAM - 4, 12, 0);
    hand_offer(&c.h, 1, 0);
    hand_bell(&c.h, 1);
    CHECK(hand_broken(&c.h));
    arrives(&c, 100); /* nobody home */
    hand_driver(&c.h, &c.d.v, 0, 3);
    card_tx(&c, &h, 100);
    CHECK_EQ(c.sends, 1);
    hand_down(&c.h);
}

static uint8_t control(struct card *c, const void *cmd, uint32_t len)
{
    uint8_t ack = 0xaa;

    hand_put(&c->h, DATA + 0x8000, cmd, len);
    hand_desc(&c->h, 2, 0, DATA + 0x8000, len, VIRTQ_DESC_NEXT);
    hand_desc(&c->h, 2, 1, DATA + 0x9000, 1, VIRTQ_DESC_WRITE);
    hand_offer(&c->h, 2, 0);
    hand_bell(&c->h, 2);
    hand_get(&c->h, DATA + 0x9000, &ack, 1);
    return ack;
}

static unsigned passes(struct card *c, const char *to)
{
    unsigned before = hand_used(&c->h, 0);

    memcpy(c->frame, to, 6);
    arrives(c, 60);
    return hand_used(&c->h, 0) - before;
}

static void the_filter_is_the_drivers(void)
{
    static const uint8_t table[] = {1, 0, 1, 0, 0, 0, 2, 4, 4, 4, 4,
                                    4, 1, 0, 0, 0, 3, 5, 5, 5, 5, 5};
    static struct card c;

    card_up(&c, F_CTRL_VQ | F_CTRL_RX);
    for (unsigned i = 0; i < HAND_SIZE; i++)
        buffer(&c, i, 512);
    CHECK_EQ(passes(&c, "\x52\x54\0\x1\x2\x3"), 1);
    CHECK_EQ(passes(&c, "\xff\xff\xff\xff\xff\xff"), 1);
    CHECK_EQ(passes(&c, "\x02\x04\x04\x04\x04\x04"), 0);
    CHECK_EQ(passes(&c, "\x03\x05\x05\x05\x05\x05"), 0);
    CHECK_EQ(control(&c, table, sizeof(table)), 0);
    CHECK_EQ(passes(&c, "\x02\x04\x04\x04\x04\x04"), 1);
    CHECK_EQ(passes(&c, "\x03\x05\x05\x05\x05\x05"), 1);
    CHECK_EQ(passes(&c, "\x02\x04\x04\x04\x04\x05"), 0);
    CHECK_EQ(control(&c, table, 8), 1);                  /* cut */
    CHECK_EQ(control(&c, "\1\0\xff\xff\xff\xff", 6), 1); /* a lie */
    CHECK_EQ(passes(&c, "\x02\x04\x04\x04\x04\x04"), 1);
    CHECK_EQ(control(&c, "\0\0\1", 3), 0); /* promiscuous */
    CHECK_EQ(passes(&c, "\x02\x04\x04\x04\x04\x05"), 1);
    CHECK_EQ(control(&c, "\x77\0\1", 3), 1);
    CHECK_EQ(control(&c, "\0", 1), 1);
    CHECK(!hand_broken(&c.h));
    hand_down(&c.h);
}

static void checksums_are_finished(void)
{
    /* A UDP datagram of RFC 768's kind, its field the pseudo header's sum. */
    uint8_t f[14 + 20 + 8 + 3] = {0};
    struct net_header h = {
        .flags = NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
    uint32_t sum = 0x0a00 + 0x020f + 0x0a00 + 0x0202 + 17 + 11;

    memcpy(f + 34,
           "\x04\xd2\x16\x2e\x00\x0b\x00\x00"
           "abc",
           11);
    f[40] = (uint8_t)(sum >> 8);
    f[41] = (uint8_t)sum;
    net_finish_csum(&h, f, sizeof(f));
    for (unsigned i = 34; i < 44; i += 2)
        sum += (unsigned)(f[i] << 8 | f[i + 1]);
    sum += (unsigned)f[44] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    CHECK_EQ(sum, 0xffff);
    memset(f, 0, sizeof(f));
    net_finish_csum(&h, f, sizeof(f));
    CHECK_EQ(f[40] << 8 | f[41], 0xffff); /* 0 would mean: none */
}

static void options_say_what_they_mean(void)
{
    static struct net_config c;
    struct error err;

    CHECK_EQ(net_config_parse(
                 &c, "user,hostfwd=tcp::2222-:22,mac=52:54:00:1:2:3", &err),
             -22);
    CHECK_EQ(net_config_parse(&c,
                              "user,hostfwd=tcp::2222-:22,"
                              "hostfwd=udp:127.0.0.1:53-10.0.2.9:5353,"
                              "mac=52:54:00:01:02:03,net=10.9.8.7/16,restrict,"
                              "guestfwd=tcp:10.9.0.100:7-cmd:a,b=c",
                              &err),
             0);
    CHECK_EQ(c.forwards, 2);
    CHECK(!c.forward[0].udp && c.forward[0].host_port == 2222 &&
          c.forward[0].guest_port == 22 && !c.forward[0].host.s_addr);
    CHECK(c.forward[1].udp && c.forward[1].guest_port == 5353 &&
          c.forward[1].host.s_addr == htonl(0x7f000001) &&
          c.forward[1].guest.s_addr == htonl(0x0a000209));
    CHECK(c.mac_given && c.mac[5] == 3 && c.restricted);
    CHECK_EQ(c.net.s_addr, htonl(0x0a090000));
    CHECK_EQ(c.mask.s_addr, htonl(0xffff0000));
    CHECK(!strcmp(c.command[0].line, "a,b=c"));
    CHECK_EQ(net_config_publish(&c, "127.0.0.1:80:8080/udp", &err), 0);
    CHECK(c.forward[2].udp && c.forward[2].host_port == 80 &&
          c.forward[2].guest_port == 8080);
    CHECK_EQ(net_config_publish(&c, "80:8080", &err), 0);
    CHECK(!c.forward[3].udp && !c.forward[3].host.s_addr);
    CHECK_EQ(net_config_publish(&c, "1:2:3:4", &err), -22);
    CHECK_EQ(net_config_publish(&c, "80:0", &err), -22);
    CHECK_EQ(net_config_publish(&c, "80:80/icmp", &err), -22);
    CHECK_EQ(net_config_parse(&c, "tap:0123456789abcdef", &err), -22);
}

int main(void)
{
    RUN(configuration_says_who_and_how_large);
    RUN(a_frame_in_several_buffers_is_seen_at_once);
    RUN(too_few_buffers_ask_for_one_more);
    RUN(a_frame_that_never_fits_is_dropped_alone);
    RUN(a_ring_of_tiny_buffers_drops_too);
    RUN(what_waits_is_bounded_and_in_order);
    RUN(waiting_frames_survive_a_snapshot);
    RUN(frames_are_sent_and_bad_ones_are_not);
    RUN(a_bad_chain_needs_a_reset_and_gets_it);
    RUN(the_filter_is_the_drivers);
    RUN(checksums_are_finished);
    RUN(options_say_what_they_mean);
    return test_status();
}
