/* SPDX-License-Identifier: Apache-2.0 */
/* dev_vsock.c - claims about the virtio socket device and its packets. */
#include "dev/virtio/virtio_vsock.h"

#include "virtio_hand.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CID  7u
#define ROOM 1000u /* bytes of data in a receive buffer */
#define HEAD ((uint32_t)sizeof(struct vsock_header))
#define OUT  (DATA + 0x20000)

struct sock {
    struct hand h;
    struct vsock *vs;
    struct virtio_vsock d;
    char path[64], service[80];
    int listener; /* of service, host port 90 */
    unsigned given, taken, sent;
    uint8_t data[VSOCK_PACKET];
};

static int listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(sa.sun_path, path);
    CHECK_EQ(bind(s, (struct sockaddr *)&sa, sizeof(sa)) || listen(s, 50), 0);
    return s;
}

/* A driver that has n receive buffers, and one for an event. */
static void driver(struct sock *s, unsigned n)
{
    hand_driver(&s->h, &s->d.v, 1, 3);
    s->given = s->taken = s->sent = 0;
    while (n--) {
        hand_desc(&s->h, 0, s->given, DATA + 0x1000 * s->given, HEAD + ROOM,
                  VIRTQ_DESC_WRITE);
        hand_offer(&s->h, 0, (uint16_t)s->given++);
    }
    hand_desc(&s->h, 2, 0, DATA + 0x10000, 4, VIRTQ_DESC_WRITE);
    hand_offer(&s->h, 2, 0);
    hand_bell(&s->h, 2);
}

static void up(struct sock *s)
{
    struct vsock_config cfg = {s->path, NULL, CID};

    memset(s, 0, sizeof(*s));
    hand_up(&s->h);
    snprintf(s->path, sizeof(s->path), "/tmp/rf-vsock-%d", (int)getpid());
    snprintf(s->service, sizeof(s->service), "%s_90", s->path);
    unlink(s->service);
    s->listener = listen_at(s->service);
    CHECK_EQ(vsock_open(&s->vs, &cfg, &s->h.loop, &s->h.err), 0);
    CHECK_EQ(
        virtio_vsock_init(&s->d, 0, &s->h.pci, &s->h.loop, s->vs, &s->h.err),
        0);
    driver(s, 6);
    for (unsigned i = 0; i < sizeof(s->data); i++)
        s->data[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void down(struct sock *s)
{
    s->d.v.pci.dev.ops->fini(&s->d.v.pci.dev);
    vsock_close(s->vs);
    CHECK_EQ(access(s->path, F_OK), -1);
    close(s->listener);
    unlink(s->service);
    s->h.pci.dev.ops->fini(&s->h.pci.dev);
    irqchip_fini(&s->h.chip);
    guest_mem_fini(&s->h.mem);
    loop_fini(&s->h.loop);
}

/* What the host's programs did gets about. */
static void turn(struct sock *s)
{
    hand_wait(&s->h, 1000000);
}

static struct vsock_header packet(uint32_t from, uint32_t to, unsigned op)
{
    return (struct vsock_header){.src_cid = CID,
                                 .dst_cid = VSOCK_CID_HOST,
                                 .src_port = from,
                                 .dst_port = to,
                                 .type = VSOCK_STREAM,
                                 .op = (uint16_t)op,
                                 .buf_alloc = 100000};
}

static void transmit(struct sock *s, const struct vsock_header *h)
{
    unsigned i = s->sent++ % 4 * 2;

    hand_put(&s->h, OUT, h, HEAD);
    hand_put(&s->h, OUT + 0x1000, s->data, h->len);
    hand_desc(&s->h, 1, i, OUT, HEAD, h->len ? VIRTQ_DESC_NEXT : 0);
    hand_desc(&s->h, 1, i + 1, OUT + 0x1000, h->len, 0);
    hand_offer(&s->h, 1, (uint16_t)i);
    hand_bell(&s->h, 1);
}

static void say(struct sock *s, uint32_t from, uint32_t to, unsigned op)
{
    struct vsock_header h = packet(from, to, op);

    transmit(s, &h);
}

static void say_data(struct sock *s, uint32_t from, uint32_t to, uint32_t len)
{
    struct vsock_header h = packet(from, to, VSOCK_RW);

    h.len = len;
    transmit(s, &h);
}

/* The next packet for the guest, or one of operation 0; its buffer is new. */
static struct vsock_header hear(struct sock *s)
{
    struct vsock_header h = {0};
    unsigned at = s->taken % 6;

    if (hand_used(&s->h, 0) == (uint16_t)s->taken)
        return h;
    hand_get(&s->h, DATA + 0x1000 * at, &h, HEAD);
    CHECK_EQ(hand_used_len(&s->h, 0, s->taken), HEAD + h.len);
    s->taken++;
    hand_offer(&s->h, 0, (uint16_t)at);
    hand_bell(&s->h, 0);
    return h;
}

/* A stream of the guest's port 1 with the host's 90: the host's end. */
static int connected(struct sock *s)
{
    struct vsock_header h;
    int fd;

    say(s, 1, 90, VSOCK_REQUEST);
    h = hear(s);
    CHECK_EQ(h.op, VSOCK_RESPONSE);
    CHECK_EQ(h.src_cid, VSOCK_CID_HOST);
    CHECK_EQ(h.dst_cid, CID);
    CHECK_EQ(h.src_port, 90);
    CHECK_EQ(h.dst_port, 1);
    CHECK_EQ(h.buf_alloc, VSOCK_BUF);
    fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK);
    CHECK(fd >= 0);
    return fd;
}

/* All that can be read now; *end: and that was the end. */
static size_t host_reads(int fd, bool *end)
{
    static char buf[4 * VSOCK_BUF];
    size_t got = 0;
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0)
        got += (size_t)n;
    *end = !n;
    return got;
}

static bool closed(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void a_driver_finds_its_number(void)
{
    static struct sock s;

    up(&s);
    CHECK_EQ(hand_read(&s.h, 0x2000, 4), CID);
    CHECK_EQ(hand_read(&s.h, 0x2004, 4), 0);
    down(&s);
}

static void what_is_no_connection_is_refused(void)
{
    static struct sock s;
    struct vsock_header h = packet(1, 91, VSOCK_REQUEST), r;

    up(&s);
    transmit(&s, &h); /* nobody listens there */
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RST);
    CHECK_EQ(r.src_port, 91);
    CHECK_EQ(r.dst_port, 1);
    say_data(&s, 1, 90, 100); /* not connected */
    CHECK_EQ(hear(&s).op, VSOCK_RST);
    h = packet(1, 90, VSOCK_REQUEST);
    h.type = 2; /* no stream */
    transmit(&s, &h);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RST);
    CHECK_EQ(r.type, 2);
    h = packet(1, 90, VSOCK_REQUEST);
    h.dst_cid = 99; /* another guest */
    transmit(&s, &h);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RST);
    CHECK_EQ(r.src_cid, 99);
    h = packet(1, 90, VSOCK_REQUEST);
    h.src_cid = CID + 1; /* not who it is */
    transmit(&s, &h);
    say(&s, 1, 90, VSOCK_RST); /* which nobody answers */
    CHECK_EQ(hear(&s).op, 0);
    CHECK_EQ(s.vs->conns, 0);
    CHECK(!hand_broken(&s.h));
    down(&s);
}

static void bytes_go_both_ways(void)
{
    static struct sock s;
    struct vsock_header h;
    uint8_t got[600];
    int fd;

    up(&s);
    fd = connected(&s);
    say_data(&s, 1, 90, 600);
    CHECK_EQ(read(fd, got, sizeof(got)), 600);
    CHECK(!memcmp(got, s.data, 600));
    CHECK_EQ(write(fd, "answer", 6), 6);
    turn(&s);
    h = hear(&s);
    CHECK_EQ(h.op, VSOCK_RW);
    CHECK_EQ(h.len, 6);
    CHECK_EQ(h.fwd_cnt, 600);
    hand_get(&s.h, DATA + 0x1000 * ((s.taken - 1) % 6) + HEAD, got, 6);
    CHECK(!memcmp(got, "answer", 6));
    close(fd);
    down(&s);
}

static void a_slow_host_costs_one_buffer(void)
{
    static struct sock s;
    struct vsock_header h;
    uint32_t sent = 0;
    bool end;
    int fd, small = 4096;

    up(&s);
    fd = connected(&s);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    /* As much as the credit allows, whatever the socket has taken. */
    for (unsigned fwd = 0; sent < 8 * VSOCK_BUF; sent += 0x1000) {
        while ((h = hear(&s)).op) {
            CHECK_EQ(h.op, VSOCK_CREDIT_UPDATE);
            fwd = h.fwd_cnt;
        }
        if (sent + 0x1000 - fwd > VSOCK_BUF)
            break;
        say_data(&s, 1, 90, 0x1000);
    }
    CHECK(sent < 8 * VSOCK_BUF);
    CHECK_EQ(s.vs->conns, 1);
    /* It reads: there is credit again, and all of it comes. */
    size_t got = host_reads(fd, &end);

    for (int i = 0; i < 100 && got < sent; i++) {
        turn(&s);
        got += host_reads(fd, &end);
    }
    CHECK_EQ(got, sent);
    CHECK(!end);
    CHECK_EQ(hear(&s).op, VSOCK_CREDIT_UPDATE);
    close(fd);
    down(&s);
}

static void who_sends_without_credit_is_cut_off(void)
{
    static struct sock s;
    unsigned op = 0;
    int fd;

    up(&s);
    fd = connected(&s);
    for (unsigned i = 0; i < 600 && op != VSOCK_RST; i++) {
        say_data(&s, 1, 90, 0x1000);
        op = hear(&s).op;
    }
    CHECK_EQ(op, VSOCK_RST);
    CHECK_EQ(s.vs->conns, 0);
    CHECK(closed(fd));
    close(fd);
    down(&s);
}

static void the_guests_credit_is_kept(void)
{
    static struct sock s;
    struct vsock_header h = packet(1, 90, VSOCK_CREDIT_UPDATE), r;
    int fd;

    up(&s);
    fd = connected(&s);
    h.buf_alloc = 10;
    transmit(&s, &h);
    CHECK_EQ(write(fd, "0123456789abcdef", 16), 16);
    turn(&s);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RW);
    CHECK_EQ(r.len, 10);
    CHECK_EQ(hear(&s).op, VSOCK_CREDIT_REQUEST);
    CHECK_EQ(hear(&s).op, 0); /* asked once */
    h.fwd_cnt = 4;
    transmit(&s, &h);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RW);
    CHECK_EQ(r.len, 4);
    h.fwd_cnt = 0x80000000; /* more than there ever was: no room */
    transmit(&s, &h);
    r = hear(&s);
    CHECK(r.op == VSOCK_CREDIT_REQUEST || !r.op);
    h.fwd_cnt = 14;
    transmit(&s, &h);
    while ((r = hear(&s)).op == VSOCK_CREDIT_REQUEST)
        continue;
    CHECK_EQ(r.len, 2);
    close(fd);
    down(&s);
}

static void half_a_shutdown_is_half_an_end(void)
{
    static struct sock s;
    struct vsock_header h = packet(1, 90, VSOCK_SHUTDOWN), r;
    bool end;
    int fd;

    up(&s);
    fd = connected(&s);
    say_data(&s, 1, 90, 100);
    h.flags = VSOCK_SHUT_SND;
    transmit(&s, &h);
    CHECK_EQ(host_reads(fd, &end), 100);
    CHECK(end);
    CHECK_EQ(write(fd, "more", 4), 4);
    turn(&s);
    CHECK_EQ(hear(&s).op, VSOCK_RW);
    shutdown(fd, SHUT_WR); /* now both directions are done */
    turn(&s);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_SHUTDOWN);
    CHECK(r.flags & VSOCK_SHUT_SND);
    h.flags = VSOCK_SHUT;
    transmit(&s, &h);
    while ((r = hear(&s)).op == VSOCK_SHUTDOWN)
        continue;
    CHECK_EQ(r.op, VSOCK_RST);
    CHECK_EQ(s.vs->conns, 0);
    close(fd);
    down(&s);
}

static void what_was_sent_before_the_end_arrives(void)
{
    static struct sock s;
    struct vsock_header h = packet(1, 90, VSOCK_SHUTDOWN);
    size_t got = 0;
    bool end = false;
    int fd, small = 4096;

    up(&s);
    fd = connected(&s);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (unsigned i = 0; i < 4; i++)
        say_data(&s, 1, 90, 0x4000);
    h.flags = VSOCK_SHUT;
    transmit(&s, &h);
    for (int i = 0; i < 100 && !end; i++) {
        got += host_reads(fd, &end);
        turn(&s);
    }
    CHECK_EQ(got, 0x10000);
    CHECK(end);
    close(fd);
    down(&s);
}

static void a_host_that_goes_ends_it(void)
{
    static struct sock s;
    struct vsock_header r;
    int fd;

    up(&s);
    fd = connected(&s);
    CHECK_EQ(write(fd, "last", 4), 4);
    close(fd);
    turn(&s);
    while ((r = hear(&s)).op == VSOCK_SHUTDOWN)
        CHECK_EQ(r.flags, VSOCK_SHUT_RCV);
    CHECK_EQ(r.op, VSOCK_RW);
    CHECK_EQ(r.len, 4);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_SHUTDOWN);
    CHECK_EQ(r.flags, VSOCK_SHUT);
    say_data(&s, 1, 90, 100); /* was under way */
    CHECK_EQ(hear(&s).op, 0);
    /* A guest that does not answer is told so. */
    s.h.clock.base_ns -= 9000000000ull;
    turn(&s);
    CHECK_EQ(hear(&s).op, VSOCK_RST);
    CHECK_EQ(s.vs->conns, 0);
    down(&s);
}

/* A program of the host's that has said `text`. */
static int program(struct sock *s, const char *text)
{
    int fd = unix_connect(s->path);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    turn(s);
    return fd;
}

static void a_program_reaches_the_guest(void)
{
    static struct sock s;
    struct vsock_header h, r;
    char line[32] = {0}, expect[32];
    int fd;

    up(&s);
    fd = program(&s, "CONNECT 55\nearly");
    h = hear(&s);
    CHECK_EQ(h.op, VSOCK_REQUEST);
    CHECK_EQ(h.dst_port, 55);
    CHECK_EQ(read(fd, line, sizeof(line)), -1); /* not yet */
    say(&s, 55, h.src_port, VSOCK_RESPONSE);
    snprintf(expect, sizeof(expect), "OK %u\n", h.src_port);
    CHECK_EQ(read(fd, line, sizeof(line)), strlen(expect));
    CHECK(!strcmp(line, expect));
    turn(&s);
    r = hear(&s);
    CHECK_EQ(r.op, VSOCK_RW); /* what stood behind the line */
    CHECK_EQ(r.len, 5);
    close(fd);
    down(&s);
}

static void a_guest_that_refuses_closes(void)
{
    static struct sock s;
    struct vsock_header h;
    char c;
    int fd, late, strange;

    up(&s);
    fd = program(&s, "CONNECT 55\n");
    h = hear(&s);
    say(&s, 55, h.src_port, VSOCK_RST);
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
    fd = program(&s, "connect 56\n"); /* one that was not asked */
    h = hear(&s);
    CHECK_EQ(h.dst_port, 56);
    say_data(&s, 56, h.src_port, 10);
    CHECK_EQ(hear(&s).op, VSOCK_RST);
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
    late = program(&s, "CONNECT 55\n");
    strange = program(&s, "CONNECT -1\n");
    CHECK_EQ(read(strange, &c, 1), 0);
    close(strange);
    strange = program(&s, "CONN"); /* and does not go on */
    s.h.clock.base_ns -= 6000000000ull;
    turn(&s);
    CHECK_EQ(read(late, &c, 1), 0);
    CHECK_EQ(s.vs->conns, 1);
    close(late);
    close(strange);
    turn(&s);
    CHECK_EQ(s.vs->conns, 0);
    down(&s);
}

static void there_are_only_so_many(void)
{
    static struct sock s;
    int fd[4], more;

    up(&s);
    s.vs->conns_max = 4;
    for (unsigned i = 0; i < 3; i++) {
        say(&s, i, 90, VSOCK_REQUEST);
        CHECK_EQ(hear(&s).op, VSOCK_RESPONSE);
        fd[i] = accept(s.listener, NULL, NULL);
    }
    fd[3] = program(&s, "CONN");
    more = program(&s, "CONNECT 5\n"); /* waits */
    CHECK_EQ(s.vs->conns, 4);
    say(&s, 9, 90, VSOCK_REQUEST);
    CHECK_EQ(hear(&s).op, VSOCK_RST);
    say(&s, 0, 90, VSOCK_RST);
    turn(&s);
    CHECK_EQ(hear(&s).op, VSOCK_REQUEST); /* for who waited */
    for (unsigned i = 0; i < 4; i++)
        close(fd[i]);
    close(more);
    down(&s);
}

static void answers_without_buffers_are_bounded(void)
{
    static struct sock s;
    unsigned n = 0;

    up(&s);
    driver(&s, 0);
    for (unsigned i = 0; i < 500; i++)
        say(&s, i, 91, VSOCK_REQUEST);
    CHECK_EQ(s.vs->rst_len, ARRAY_SIZE(s.vs->rst));
    for (unsigned i = 0; i < 6; i++) {
        hand_desc(&s.h, 0, i, DATA + 0x1000 * i, HEAD + ROOM, VIRTQ_DESC_WRITE);
        hand_offer(&s.h, 0, (uint16_t)i);
    }
    hand_bell(&s.h, 0);
    while (hear(&s).op == VSOCK_RST)
        n++;
    CHECK_EQ(n, ARRAY_SIZE(s.vs->rst));
    down(&s);
}

static void a_reset_closes_everything(void)
{
    static struct sock s;
    int fd;

    up(&s);
    fd = connected(&s);
    driver(&s, 6);
    CHECK_EQ(s.vs->conns, 0);
    CHECK(closed(fd));
    close(fd);
    fd = connected(&s);
    say_data(&s, 1, 90, 10);
    close(fd);
    down(&s);
}

static void a_restored_guest_is_told_first(void)
{
    static struct sock s;
    uint32_t event = 77;
    int fd, other;

    up(&s);
    fd = connected(&s);
    hand_reload(&s.h);
    CHECK(closed(fd));
    CHECK_EQ(hand_used(&s.h, 2), 1);
    hand_get(&s.h, DATA + 0x10000, &event, 4);
    CHECK_EQ(event, 0);
    other = program(&s, "CONNECT 5\n");
    CHECK_EQ(hear(&s).op, 0); /* it might still end it with the others */
    hand_offer(&s.h, 2, 0);
    hand_bell(&s.h, 2);
    CHECK_EQ(hear(&s).op, VSOCK_REQUEST);
    close(fd);
    close(other);
    down(&s);
}

static void a_bad_ring_needs_a_reset(void)
{
    static struct sock s;
    struct vsock_header h = packet(1, 90, VSOCK_RW);

    up(&s);
    h.len = 0xffffffff; /* a packet that lies is only dropped */
    hand_put(&s.h, OUT, &h, HEAD);
    for (unsigned i = 0; i < 3; i++) {
        hand_desc(&s.h, 1, i, OUT, i ? HEAD : HEAD - 1, 0);
        hand_offer(&s.h, 1, (uint16_t)i);
        hand_bell(&s.h, 1);
    }
    CHECK_EQ(hand_used(&s.h, 1), 3);
    CHECK(!hand_broken(&s.h));
    driver(&s, 0);
    hand_desc(&s.h, 0, 0, DATA, HEAD, VIRTQ_DESC_WRITE);
    hand_offer(&s.h, 0, 0);
    say(&s, 1, 91, VSOCK_REQUEST);
    CHECK(hand_broken(&s.h)); /* a buffer that holds no packet */
    down(&s);
}

int main(void)
{
    RUN(a_driver_finds_its_number);
    RUN(what_is_no_connection_is_refused);
    RUN(bytes_go_both_ways);
    RUN(a_slow_host_costs_one_buffer);
    RUN(who_sends_without_credit_is_cut_off);
    RUN(the_guests_credit_is_kept);
    RUN(half_a_shutdown_is_half_an_end);
    RUN(what_was_sent_before_the_end_arrives);
    RUN(a_host_that_goes_ends_it);
    RUN(a_program_reaches_the_guest);
    RUN(a_guest_that_refuses_closes);
    RUN(there_are_only_so_many);
    RUN(answers_without_buffers_are_bounded);
    RUN(a_reset_closes_everything);
    RUN(a_restored_guest_is_told_first);
    RUN(a_bad_ring_needs_a_reset);
    return test_status();
}
