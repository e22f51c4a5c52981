/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_state.c - what the runtime reads back between two commands, and from its
 * other half. The first byte says what it is:
 *
 *     {  state.json of the container "c"
 *     [  a checkpoint's descriptors.json
 *     M  a message between the two sides of a start
 *     C  what CRIU answers
 *     P  a user's name, a newline, and a passwd or group of a container
 *
 * Damage is an error. What is taken leads to no process but the one that
 * started when the file says, and to no cgroup but one below a hierarchy.
 */
#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "json_mix.h"
#include "oci/criu.h"
#include "oci/json_value.h"
#include "oci/state_int.h"
#include "oci/sync.h"
#include "oci/user.h"

/* --- state.json --- */

static bool climbs(const char *path)
{
    return strstr(path, "/../") || strstr(path, "//") ||
           (strlen(path) >= 3 && !strcmp(path + strlen(path) - 3, "/.."));
}

static void check_cgroups(const struct state *s)
{
    const struct state_cgroup *t = s->cgroups.items;
    struct cgroup cg = {.layout = s->cgroup_layout};
    struct error err = {0};

    for (unsigned i = 0; i < s->cgroups.count; i++) {
        const char *left = t[i].path;

        FUZZ_CHECK(t[i].path[0] == '/' && t[i].path[1] && !climbs(t[i].path));
        /* cgroup_remove() takes so many names off its end, and one stays. */
        for (unsigned n = 0; n < t[i].made; n++) {
            left = strchr(left, '/');
            FUZZ_CHECK(left);
            left++;
        }
        FUZZ_CHECK(!cgroup_add(&cg, t[i].controllers, t[i].v2, t[i].mount,
                               t[i].path, &err));
        FUZZ_CHECK(!strcmp(cg.tree[i].path, t[i].path));
    }
    cgroup_close(&cg);
}

/* Whoever has that number now. */
static void check_process(struct container *c)
{
    pid_t pids[] = {c->state.pid, getpid(), 1};

    for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
        int fd;

        c->state.pid = pids[i];
        fd = oci_state_pidfd(c);
        FUZZ_CHECK(fd < 0 ||
                   (c->state.pid_time &&
                    oci_state_start_time(c->state.pid) == c->state.pid_time));
        FUZZ_CHECK((fd >= 0) == oci_state_alive(c));
        if (fd >= 0)
            close(fd);
    }
    c->state.pid = pids[0];
}

static void check_texts(struct container *c)
{
    char *text = state_to_json(&c->arena, &c->state, "c"), *again;
    struct error err = {0};
    struct state s;

    FUZZ_CHECK(!state_parse(&c->arena, text, strlen(text), "c", &s, &err));
    again = state_to_json(&c->arena, &s, "c");
    FUZZ_CHECK(!strcmp(text, again));
    text = oci_state_text(c, STATE_CREATED);
    FUZZ_CHECK(json_parse(&c->arena, text, strlen(text), "state", &err));
}

static void one_state(const char *text, size_t len)
{
    struct container c = {.id = "c", .dir = -1, .root_fd = -1};
    struct error err = {0}, again = {0};
    int e = state_parse(&c.arena, text, len, "c", &c.state, &err);

    FUZZ_CHECK(arena_size(&c.arena) <= 2 * JSON_ARENA_MAX(len));
    if (e) {
        FUZZ_CHECK(e == -err.code && json_mix_good_line(&err));
        FUZZ_CHECK(strstr(err.msg, ": ") ||
                   !strncmp(err.msg, "must be an object", 17));
        FUZZ_CHECK(state_parse(&c.arena, text, len, "c", &c.state, &again) ==
                       e &&
                   !strcmp(err.msg, again.msg));
    } else {
        const struct state *s = &c.state;

        FUZZ_CHECK(!strcmp(s->id, "c") && s->pid >= 0 && s->pid != 1);
        FUZZ_CHECK(s->bundle[0] == '/' && s->rootfs[0] == '/');
        check_cgroups(s);
        check_texts(&c);
        check_process(&c);
    }
    arena_free(&c.arena);
}

/* --- the others --- */

static void one_descriptors(const char *text, size_t len)
{
    struct error err = {0};
    struct arena a = {0};
    const char *pipe[3];
    int e = checkpoint_pipes(&a, text, len, pipe, &err);

    if (e)
        FUZZ_CHECK(e == -err.code && json_mix_good_line(&err));
    for (unsigned i = 0; i < 3 && !e; i++)
        FUZZ_CHECK(!pipe[i] ||
                   (!strncmp(pipe[i], "pipe:[", 6) && strlen(pipe[i]) < 40));
    arena_free(&a);
}

static void one_message(const char *data, size_t len)
{
    struct sync_message m = {0};

    len = MIN(len, sizeof(m));
    memcpy(&m, data, len);
    sync_understand(&m, (ssize_t)len);
    FUZZ_CHECK(m.kind >= SYNC_END && m.kind <= SYNC_START);
    FUZZ_CHECK((m.kind == SYNC_END) == !len);
    FUZZ_CHECK(memchr(m.text, 0, sizeof(m.text)));
    FUZZ_CHECK(m.kind != SYNC_PID || m.value > 1);
    FUZZ_CHECK(m.kind != SYNC_ERROR ||
               (m.code > 0 && m.code < 4096 && m.text[0]));
}

static void one_answer(const char *data, size_t len)
{
    struct criu_answer a = {.fd = -1};

    criu_answer_parse(&a, (const uint8_t *)data, len);
    FUZZ_CHECK(memchr(a.script, 0, sizeof(a.script)) &&
               !strchr(a.script, '\n'));
    FUZZ_CHECK(memchr(a.message, 0, sizeof(a.message)) &&
               !strchr(a.message, '\n'));
}

/* The same answer, found another way: by the whole text. */
static bool plain_find(const char *text, size_t len, const char *name,
                       uint32_t *id)
{
    while (len) {
        const char *end = memchr(text, '\n', len);
        size_t n = end ? (size_t)(end - text) : len;
        char line[2048], *second, *third;

        memcpy(line, text, MIN(n, sizeof(line) - 1));
        line[MIN(n, sizeof(line) - 1)] = 0;
        second = strchr(line, ':');
        third = second ? strchr(second + 1, ':') : NULL;
        if (third) {
            unsigned long long v = strtoull(third + 1, NULL, 10);
            size_t digits = strspn(third + 1, "0123456789");

            *second = 0;
            if (!strcmp(line, name) && digits && v < UINT32_MAX &&
                (third[1 + digits] == ':' || !third[1 + digits])) {
                *id = (uint32_t)v;
                return true;
            }
        }
        n += end != NULL;
        text += n;
        len -= n;
    }
    return false;
}

static void one_passwd(const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) : 0;
    struct user_line l = {0};
    char name[100];
    uint32_t id = 0;
    bool found;
    FILE *f;

    if (!end || n >= sizeof(name) || len == n + 1)
        return;
    memcpy(name, data, n);
    name[n] = 0;
    f = fmemopen((void *)(end + 1), len - n - 1, "r");
    FUZZ_CHECK(f);
    found = user_line_find(f, name, 0, &l);
    FUZZ_CHECK(found == plain_find(end + 1, len - n - 1, name, &id));
    if (found) {
        FUZZ_CHECK(l.third == id && l.third != UINT32_MAX);
        FUZZ_CHECK(!l.sixth ||
                   (l.sixth > l.text && l.sixth < l.text + sizeof(l.text)));
        rewind(f);
        FUZZ_CHECK(user_line_find(f, NULL, id, &l) && l.third == id);
    }
    fclose(f);
}

static void one(struct fuzz *f)
{
    size_t len = f->len;
    char *text;

    if (!len)
        return;
    text = malloc(len); /* nothing behind its end */
    FUZZ_CHECK(text);
    memcpy(text, f->data, len);
    if (text[0] == '[')
        one_descriptors(text, len);
    else if (text[0] == 'M')
        one_message(text + 1, len - 1);
    else if (text[0] == 'C')
        one_answer(text + 1, len - 1);
    else if (text[0] == 'P')
        one_passwd(text + 1, len - 1);
    else
        one_state(text, len);
    free(text);
}

static size_t sample(uint64_t seed, uint8_t *buf, size_t room)
{
    uint64_t s = seed;
    const uint8_t *file;
    size_t len;

    if (fuzz_next(&s) % 4)
        return json_mix_sample(seed, NULL, buf, room);
    file = fuzz_corpus_file(fuzz_next(&s), &len);
    FUZZ_CHECK(file);
    memcpy(buf, file, len);
    for (unsigned n = fuzz_next(&s) % 8; n; n--)
        buf[fuzz_next(&s) % len] = (uint8_t)fuzz_next(&s);
    return len;
}

static const struct fuzz_target target = {
    .name = "oci_state",
    .corpus = "oci_state",
    .max_len = 600,
    .runs = 8000,
    .one = one,
    .sample = sample,
    .mixed = true,
};

int main(int argc, char **argv)
{
    log_set_level(LOG_ERROR);
    return fuzz_main(argc, argv, &target);
}
