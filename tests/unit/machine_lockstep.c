/* SPDX-License-Identifier: Apache-2.0 */
/* machine_lockstep.c - claims about what lock-step compares, and its wire. */
#include "machine/lockstep.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/compare_int.h"
#include "test.h"
#include "x86/cpuid.h"
#include "x86/flags.h"

static struct cpu_model model;
static struct vcpu cpu;
static struct compare cmp;

static uint64_t no_tpr(void *ctx)
{
    (void)ctx;
    return 9;
}

static const struct vcpu_intr_ops intr_ops = {.tpr_get = no_tpr};

static void setup(void)
{
    static const struct clock stands = {.stands = 1};
    struct error err;

    memset(&cpu, 0, sizeof(cpu));
    CHECK_EQ(cpu_model_parse(&model, "x86-64-v2", &err), 0);
    cpu.model = &model;
    cpu.intr = &intr_ops;
    cpu.clock = &stands;
    vcpu_reset(&cpu, false);
}

/* --- states --- */

static struct state_writer *vcpu_state(void)
{
    struct state_writer *w = state_writer_new();

    lockstep_put_vcpu(&cpu, w);
    return w;
}

/* What the two machines look like; `of` takes the writer. */
static void shot_of(struct shot *shot, struct state_writer *w)
{
    size_t len;
    const uint8_t *p = state_writer_bytes(w, &len);

    free(shot->state);
    shot->state = malloc(len);
    shot->len = len;
    memcpy(shot->state, p, len);
    state_writer_free(w);
}

static const struct difference *only_difference(struct differences *l)
{
    struct error err;

    CHECK_EQ(differences_find(&cmp, false, l, &err), 0);
    CHECK_EQ(l->total, 1);
    CHECK_EQ(l->count, 1);
    return l->count ? &l->d[0] : NULL;
}

static void each_register_has_a_name_of_its_own(void)
{
    struct state_writer *w;
    struct state_reader *r;
    struct state_cursor c, d;
    struct state_item it, other;
    struct error err;
    const uint8_t *p;
    unsigned n = 0, twice = 0;
    size_t len;

    setup();
    w = vcpu_state();
    p = state_writer_bytes(w, &len);
    r = state_reader_new(p, len, &err);
    for (state_first(r, &c); state_next(&c, &it); n++)
        for (state_first(r, &d); state_next(&d, &other);)
            twice += !strcmp(it.name, other.name);
    CHECK(n > 150);
    CHECK_EQ(twice, n);
    CHECK_EQ(state_open(r, "vcpu", 0, 1), 1);
    CHECK_EQ(state_get(r, "cr8"), 9);
    CHECK_EQ(state_result(r, &err), 0);
    state_reader_free(r);
    state_writer_free(w);
}

static void lazy_and_explicit_flags_are_the_same(void)
{
    setup();
    flags_lazy(&cpu, CC_RES, 4, 0, 0);
    shot_of(&cmp.side[0].now, vcpu_state());
    flags_sync(&cpu);
    shot_of(&cmp.side[1].now, vcpu_state());
    CHECK(!shots_differ(&cmp));
}

static void the_register_that_differs_is_named(void)
{
    struct differences l;
    const struct difference *d;

    setup();
    shot_of(&cmp.side[0].now, vcpu_state());
    cpu.fpu.ymm[7][31] = 0x80;
    shot_of(&cmp.side[1].now, vcpu_state());
    CHECK(shots_differ(&cmp));
    d = only_difference(&l);
    if (d) {
        CHECK(!strcmp(d->name, "ymm7"));
        CHECK(!strncmp(d->value[0], "0x00000000", 10));
        CHECK(!strncmp(d->value[1], "0x80000000", 10));
    }
    differences_free(&l);

    setup();
    cpu.rflags |= FLAG_ZF | FLAG_IF;
    shot_of(&cmp.side[1].now, vcpu_state());
    d = only_difference(&l);
    if (d) {
        CHECK(!strcmp(d->name, "rflags"));
        CHECK(!strcmp(d->value[1], "0x0000000000000242  ZF IF"));
    }
    differences_free(&l);
}

static struct state_writer *device_state(const char *first, uint64_t v,
                                         const char *second, unsigned version)
{
    struct state_writer *w = state_writer_new();

    state_begin(w, "chip", 2, version);
    state_put(w, first, v);
    if (second)
        state_put(w, second, 7);
    state_end(w);
    return w;
}

static void one_build_knows_what_another_does_not(void)
{
    struct differences l;

    shot_of(&cmp.side[0].now, device_state("a", 1, NULL, 1));
    shot_of(&cmp.side[1].now, device_state("a", 1, "b", 1));
    CHECK(shots_differ(&cmp)); /* not within one build */
    CHECK(only_difference(&l) && !strcmp(l.d[0].name, "device chip 2: b") &&
          !strcmp(l.d[0].value[0], "not there"));
    differences_free(&l);
    cmp.side[1].exe = "/elsewhere/ringfence";
    CHECK(!shots_differ(&cmp));
    shot_of(&cmp.side[0].now, device_state("b", 7, "a", 1)); /* other order */
    shot_of(&cmp.side[1].now, device_state("a", 7, "b", 1));
    CHECK(!shots_differ(&cmp));
    shot_of(&cmp.side[1].now, device_state("a", 8, "b", 2)); /* other meaning */
    CHECK(!shots_differ(&cmp));
    shot_of(&cmp.side[1].now, device_state("a", 8, "b", 1));
    CHECK(shots_differ(&cmp));
    cmp.side[1].exe = NULL;
}

static void a_broken_state_is_an_error_and_a_difference(void)
{
    struct differences l;
    struct error err;

    shot_of(&cmp.side[0].now, device_state("a", 1, NULL, 1));
    shot_of(&cmp.side[1].now, device_state("a", 1, NULL, 1));
    cmp.side[1].now.state[cmp.side[1].now.len - 1] ^= 1;
    CHECK(shots_differ(&cmp));
    CHECK(differences_find(&cmp, false, &l, &err) < 0);
    CHECK(strstr(err.msg, "damaged"));
    differences_free(&l);
}

/* --- the wire --- */

#define BIG (3u << 20)

static void *send_big(void *arg)
{
    uint8_t *p = malloc(BIG);

    memset(p, 0x5a, BIG);
    CHECK_EQ(lockstep_send(*(int *)arg, LOCKSTEP_DATA, p, BIG), 0);
    free(p);
    return NULL;
}

static void long_messages_arrive_whole(void)
{
    struct lockstep_head head;
    pthread_t thread;
    uint8_t *p = malloc(BIG), byte;
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pthread_create(&thread, NULL, send_big, &pair[0]);
    CHECK_EQ(lockstep_receive(pair[1], &head, sizeof(head)), 0);
    CHECK_EQ(head.type, LOCKSTEP_DATA);
    CHECK_EQ(head.len, BIG);
    CHECK_EQ(lockstep_receive(pair[1], p, BIG), 0);
    CHECK_EQ(p[BIG - 1], 0x5a);
    pthread_join(thread, NULL);
    close(pair[0]);
    CHECK_EQ(lockstep_receive(pair[1], &byte, 1), -EPIPE);
    CHECK_EQ(lockstep_send(pair[1], LOCKSTEP_DATA, NULL,
                           (size_t)LOCKSTEP_BYTES_MAX + 1),
             -EMSGSIZE);
    CHECK_EQ(lockstep_send(pair[1], LOCKSTEP_DATA, p, 8), -EPIPE);
    close(pair[1]);
    free(p);
}

/* --- sides --- */

static void sides_are_taken_apart(void)
{
    struct error err;
    struct side s;

    side_init(&s, 'A');
    CHECK_EQ(side_parse(&s, "interp", &err), 0);
    CHECK(!strcmp(s.engine, "interp") && !s.exe && !s.cpu);
    side_free(&s);
    side_init(&s, 'A');
    CHECK_EQ(side_parse(&s, "exe=/a/b,warp,cpu=x86-64-v2,-aes,-sse3", &err), 0);
    CHECK(!strcmp(s.engine, "warp") && !strcmp(s.exe, "/a/b"));
    CHECK(!strcmp(s.cpu, "x86-64-v2,-aes,-sse3"));
    side_free(&s);
    side_init(&s, 'A');
    CHECK(side_parse(&s, "intrp", &err) < 0);
    CHECK(strstr(err.msg, "did you mean interp"));
    side_free(&s);
    side_init(&s, 'A');
    CHECK(side_parse(&s, "interp,,cpu=x", &err) < 0);
    side_free(&s);
}

int main(void)
{
    RUN(each_register_has_a_name_of_its_own);
    RUN(lazy_and_explicit_flags_are_the_same);
    RUN(the_register_that_differs_is_named);
    RUN(one_build_knows_what_another_does_not);
    RUN(a_broken_state_is_an_error_and_a_difference);
    RUN(long_messages_arrive_whole);
    RUN(sides_are_taken_apart);
    free(cmp.side[0].now.state);
    free(cmp.side[1].now.state);
    return test_status();
}
