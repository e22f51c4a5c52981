/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json and what the two sides of a start tell each other: damaged ones
 * are told, and nobody is killed for them.
 */
#include <errno.h>
#include <unistd.h>

#include "oci/criu.h"
#include "oci/state_int.h"
#include "oci/sync.h"
#include "test.h"

static const char whole[] =
    "{\"ociVersion\": \"1.2.1\", \"id\": \"c\", \"bundle\": \"/b\","
    " \"rootfs\": \"/b/rootfs\", \"created\": \"now\", \"owner\": \"root\","
    " \"pid\": 70, \"pidTime\": 123, \"cgroupLayout\": 3, \"cgroups\": ["
    "{\"controllers\": 8, \"made\": 2, \"v2\": false,"
    " \"mount\": \"/sys/fs/cgroup/memory\", \"path\": \"/a/c\"},"
    "{\"controllers\": 304, \"made\": 1, \"v2\": true,"
    " \"mount\": \"/sys/fs/cgroup/unified\", \"path\": \"/c\"}],"
    " \"annotations\": {\"k\": \"v\"}}";

/* `whole` with one piece of it replaced. */
static char *changed(struct arena *a, const char *from, const char *to)
{
    const char *at = strstr(whole, from);

    CHECK(at);
    return at ? arena_printf(a, "%.*s%s%s", (int)(at - whole), whole, to,
                             at + strlen(from))
              : NULL;
}

static void refused(const char *from, const char *to, const char *why)
{
    struct error err = {0};
    struct arena a = {0};
    char *text = changed(&a, from, to);
    struct state s;

    CHECK_EQ(-state_parse(&a, text, strlen(text), "c", &s, &err), EINVAL);
    if (strncmp(err.msg, why, strlen(why))) {
        fprintf(stderr, "%s: \"%s\", not \"%s\"\n", to, err.msg, why);
        test_failed = 1;
    }
    arena_free(&a);
}

static void a_state_comes_back_as_it_was(void)
{
    struct error err = {0};
    struct arena a = {0};
    struct state s, t;
    char *text, *again;

    CHECK(!state_parse(&a, whole, strlen(whole), "c", &s, &err));
    CHECK(s.pid == 70 && s.pid_time == 123 && s.cgroups.count == 2);
    text = state_to_json(&a, &s, "c");
    CHECK(!state_parse(&a, text, strlen(text), "c", &t, &err));
    again = state_to_json(&a, &t, "c");
    CHECK(!strcmp(text, again));
    arena_free(&a);
}

static void what_cannot_be_is_no_state(void)
{
    refused("\"id\": \"c\"", "\"id\": \"d\"", "id: \"d\" is not the name");
    refused("\"pid\": 70", "\"pid\": -70", "pid: -70 is no container's");
    refused("\"pid\": 70", "\"pid\": 1", "pid: 1 is no container's");
    refused("\"pid\": 70", "\"pid\": 0", "pidTime: there is no process");
    refused("\"pid\": 70", "\"pid\": 4294967366", "pid: 4294967366 is out of");
    refused("\"pid\": 70", "\"pid\": 7e1", "pid: must be a whole number");
    refused("\"pid\": 70, ", "", "pid: is missing");
    refused("/b/rootfs", "b/rootfs", "rootfs: ");
    refused("\"/b\"", "\"\"", "bundle: ");
    refused("Layout\": 3", "Layout\": 4", "cgroupLayout: ");
    refused("Layout\": 3", "Layout\": 0", "cgroups: has more");
    refused("Layout\": 3", "Layout\": 1", "cgroups[1].v2: ");
    refused("Layout\": 3", "Layout\": 2", "cgroups[0].v2: ");
    refused("s\": 8", "s\": 32768", "cgroups[0].controllers: ");
    refused("false", "true", "cgroups[1]: stands there twice");
    refused("/sys/fs/cgroup/memory", "memory", "cgroups[0].mount: ");
}

static void no_cgroup_but_a_containers(void)
{
    static const char *const paths[] = {"",    "/",      "a/c",   "/a/../..",
                                        "/..", "/a/./c", "//a/c", "/a/c/"};
    char text[5000] = "/";

    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
        refused("/a/c", paths[i], "cgroups[0].path: ");
    memset(text + 1, 'x', 300);
    refused("/a/c", text, "cgroups[0].path: ");
    for (unsigned i = 0; i < 4600; i++)
        text[i] = i % 100 ? 'x' : '/';
    refused("/a/c", text, "cgroups[0].path: ");
    refused("made\": 2", "made\": 3", "cgroups[0].made: 3 is more than");
    refused("made\": 1", "made\": 4294967295", "cgroups[1].made: ");
}

static struct sync_message understood(enum sync_kind kind, int value, int code,
                                      const char *text, ssize_t n)
{
    struct sync_message m = {.kind = kind, .value = value, .code = code};

    strcpy(m.text, text);
    sync_understand(&m, n);
    return m;
}

/* A number of 0 would be success, and -1 everybody. */
static void messages_that_nobody_sends_are_errors(void)
{
    const ssize_t all = sizeof(struct sync_message);
    struct sync_message m;

    m = understood(SYNC_PID, 70, 0, "", offsetof(struct sync_message, text));
    CHECK(m.kind == SYNC_PID && m.value == 70);
    m = understood(SYNC_ERROR, 0, ENOENT, "no", all);
    CHECK(m.kind == SYNC_ERROR && m.code == ENOENT && !strcmp(m.text, "no"));
    CHECK(understood(SYNC_READY, 0, 0, "", 0).kind == SYNC_END);
    CHECK(understood(SYNC_READY, 0, 0, "", -ECONNRESET).kind == SYNC_END);
    CHECK_EQ(understood(SYNC_ERROR, 0, 0, "no", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_ERROR, 0, -2, "no", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_ERROR, 0, ENOENT, "", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_ERROR, 0, ENOENT, "no", 12).code, EPROTO);
    CHECK_EQ(understood(SYNC_PID, -1, 0, "", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_PID, 1, 0, "", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_END, 0, 0, "", all).code, EPROTO);
    CHECK_EQ(understood((enum sync_kind)77, 0, 0, "", all).code, EPROTO);
    CHECK_EQ(understood(SYNC_READY, 0, 0, "", 3).code, EPROTO);
}

/* Who ends with something unread resets the connection; its word counts. */
static void the_last_word_of_one_that_heard_nothing(void)
{
    struct error said = {.code = ENOENT, .msg = "no such program"}, err = {0};
    int pair[2];

    CHECK(!sync_pair(pair, &err));
    CHECK(sync_send(pair[0], SYNC_GO, 0, -1));
    sync_send_error(pair[1], &said);
    close(pair[1]);
    CHECK_EQ(-sync_expect(pair[0], SYNC_READY, NULL, &err), ENOENT);
    CHECK(!strcmp(err.msg, "no such program"));
    CHECK_EQ(-sync_expect(pair[0], SYNC_READY, NULL, &err), EPIPE);
    close(pair[0]);
}

static int pipes_of(const char *text, char *seen)
{
    struct error err = {0};
    struct arena a = {0};
    const char *pipe[3];
    int e = checkpoint_pipes(&a, text, strlen(text), pipe, &err);

    for (int i = 0; i < 3; i++)
        seen[i] = !e && pipe[i] ? 'p' : '-';
    arena_free(&a);
    return e;
}

static void descriptors_of_a_checkpoint(void)
{
    char seen[4] = "";

    CHECK(!pipes_of("[\"pipe:[12]\", \"/dev/null\", \"pipe:[x]\"]", seen));
    CHECK(!strcmp(seen, "p--"));
    CHECK_EQ(-pipes_of("[\"pipe:[12]\", \"/dev/null\"]", seen), EINVAL);
    CHECK_EQ(-pipes_of("[\"pipe:[12]\", \"/dev/null\", 3]", seen), EINVAL);
    CHECK_EQ(-pipes_of("{}", seen), EINVAL);
    CHECK_EQ(-pipes_of("[\"pipe:[12]\", \"/dev/nu", seen), EINVAL);
}

int main(void)
{
    RUN(a_state_comes_back_as_it_was);
    RUN(what_cannot_be_is_no_state);
    RUN(no_cgroup_but_a_containers);
    RUN(messages_that_nobody_sends_are_errors);
    RUN(the_last_word_of_one_that_heard_nothing);
    RUN(descriptors_of_a_checkpoint);
    return test_status();
}
