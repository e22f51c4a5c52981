/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static void names_and_numbers_agree(void)
{
    char name[64];
    unsigned i, cap;

    for (i = 0; i <= CAP_LAST_CAP; i++) {
        CHECK(caps_name(i) && !strncmp(caps_name(i), "CAP_", 4));
        CHECK(caps_find(caps_name(i), &cap) && cap == i);
        CHECK(caps_find(caps_name(i) + 4, &cap) && cap == i);
        snprintf(name, sizeof(name), "%s", caps_name(i));
        for (char *p = name; *p; p++)
            *p |= *p >= 'A' && *p <= 'Z' ? 0x20 : 0;
        CHECK(caps_find(name, &cap) && cap == i);
    }
    CHECK(!caps_name(CAP_LAST_CAP + 1) && !caps_name(~0u));
    CHECK(!caps_find("", &cap) && !caps_find("CAP_", &cap));
    CHECK(!caps_find("CAP_CAP_KILL", &cap) && !caps_find("KILLS", &cap));
    CHECK(caps_find("CAP_SYS_ADMIN", &cap) && cap == CAP_SYS_ADMIN);
}

static void the_kernels_are_a_row_from_the_first(void)
{
    uint64_t all = caps_of_kernel();

    CHECK(all && !(all & (all + 1)));
    CHECK(all & BIT64(CAP_AUDIT_READ));
}

/* The child's answer: what it has after fn, in a process of its own. */
static void in_a_child(void (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (!pid) {
        test_failed = 0;
        fn();
        fflush(stderr);
        _exit(test_failed);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* All five sets; these two have to be asked for one by one. */
static void read_all(struct caps_sets *now)
{
    struct error err;

    *now = (struct caps_sets){0};
    CHECK(!caps_get(now, &err));
    for (unsigned i = 0; caps_name(i); i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            now->bounding |= BIT64(i);
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            now->ambient |= BIT64(i);
    }
}

static void shrink(void)
{
    uint64_t some = BIT64(CAP_KILL) | BIT64(CAP_CHOWN) | BIT64(CAP_SETPCAP);
    struct caps_sets c, now;
    struct error err;

    CHECK(!caps_set_bounding(some, &err));
    c = (struct caps_sets){.effective = BIT64(CAP_KILL),
                           .permitted = some,
                           .inheritable = BIT64(CAP_KILL),
                           .ambient = BIT64(CAP_KILL) | BIT64(CAP_CHOWN)};
    CHECK(!caps_set(&c, &err));
    read_all(&now);
    CHECK_EQ(now.bounding, some);
    CHECK_EQ(now.effective, c.effective);
    CHECK_EQ(now.permitted, c.permitted);
    CHECK_EQ(now.inheritable, c.inheritable);
    CHECK_EQ(now.ambient, BIT64(CAP_KILL)); /* chown is not inheritable */
}

static void what_is_gone_is_gone(void)
{
    struct caps_sets none = {0}, c = {.permitted = BIT64(CAP_KILL)}, now;
    struct error err;

    CHECK(!caps_set(&none, &err));
    CHECK(caps_set(&c, &err) < 0 && strstr(err.msg, "cannot set capabilities"));
    CHECK(caps_set_bounding(0, &err) < 0 && strstr(err.msg, "CAP_CHOWN"));
    read_all(&now);
    CHECK_EQ(now.permitted | now.effective | now.ambient, 0);
}

static void sets_are_set_and_read(void)
{
    if (geteuid())
        SKIP("needs root");
    in_a_child(shrink);
}

static void no_way_back(void)
{
    if (geteuid())
        SKIP("needs root");
    in_a_child(what_is_gone_is_gone);
}

int main(void)
{
    RUN(names_and_numbers_agree);
    RUN(the_kernels_are_a_row_from_the_first);
    RUN(sets_are_set_and_read);
    RUN(no_way_back);
    return test_status();
}
