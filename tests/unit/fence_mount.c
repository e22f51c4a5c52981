/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/mount.h"

#include <errno.h>
#include <linux/mount.h>

#include "test.h"

/* "a,b,c" */
static int parse(struct arena *a, const char *text, struct mount_options *o,
                 struct error *err)
{
    char *copy = arena_strdup(a, text);
    const char *list[64];
    unsigned n = 0;

    while (n < ARRAY_SIZE(list) && copy)
        list[n++] = strsep(&copy, ",");
    return mount_parse(a, list, text[0] ? n : 0, o, err);
}

/* clang-format off */
static const struct {
    const char *text;
    struct mount_options is;
} cases[] = {
    {"", {0}},
    {"defaults", {0}},
    {"ro", {.flags = MS_RDONLY, .attr_set = MOUNT_ATTR_RDONLY}},
    {"ro,rw", {.attr_clear = MOUNT_ATTR_RDONLY}},
    {"rw,ro", {.flags = MS_RDONLY, .attr_set = MOUNT_ATTR_RDONLY}},
    {"nosuid,nodev,noexec", {.flags = MS_NOSUID | MS_NODEV | MS_NOEXEC,
        .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC}},
    {"nosuid,suid", {.attr_clear = MOUNT_ATTR_NOSUID}},
    {"noatime", {.flags = MS_NOATIME, .attr_set = MOUNT_ATTR_NOATIME,
                 .attr_clear = MOUNT_ATTR__ATIME & ~MOUNT_ATTR_NOATIME}},
    {"rro", {.rec_set = MOUNT_ATTR_RDONLY}},
    {"rro,rrw", {.rec_clear = MOUNT_ATTR_RDONLY}},
    {"ro,rro", {.flags = MS_RDONLY, .attr_set = MOUNT_ATTR_RDONLY,
                .rec_set = MOUNT_ATTR_RDONLY}},
    {"bind", {.flags = MS_BIND}},
    {"rbind", {.flags = MS_BIND | MS_REC}},
    {"rbind,rslave", {.flags = MS_BIND | MS_REC,
                      .propagation = MS_SLAVE | MS_REC}},
    {"private,shared", {.propagation = MS_SHARED}},
    {"sync,dirsync", {.flags = MS_SYNCHRONOUS | MS_DIRSYNC}},
    {"sync,async", {0}},
    {"remount", {.flags = MS_REMOUNT}},
    {"tmpcopyup", {.copy_up = true}},
    {"idmap", {.idmap = true}},
    {"ridmap", {.idmap = true, .idmap_recursive = true}},
    {"copy-symlink", {.nofollow = true}},
    {"size=4k", {.data = "size=4k"}},
    {"mode=755,nosuid,size=4k", {.flags = MS_NOSUID,
        .attr_set = MOUNT_ATTR_NOSUID, .data = "mode=755,size=4k"}},
    {"RO", {.data = "RO"}},
    {"ro ", {.data = "ro "}},
};
/* clang-format on */

static bool equal(const struct mount_options *a, const struct mount_options *b)
{
    return a->flags == b->flags && a->attr_set == b->attr_set &&
           a->rec_set == b->rec_set && a->rec_clear == b->rec_clear &&
           a->propagation == b->propagation && a->copy_up == b->copy_up &&
           a->idmap == b->idmap && a->nofollow == b->nofollow &&
           a->idmap_recursive == b->idmap_recursive && !a->data == !b->data &&
           (!a->data || !strcmp(a->data, b->data));
}

static void options_mean_what_fstab_says(void)
{
    struct mount_options o;
    struct arena a = {0};
    struct error err;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        CHECK(!parse(&a, cases[i].text, &o, &err));
        /* A bit that is set and one that is cleared are never the same. */
        CHECK(!(o.attr_set & o.attr_clear & ~MOUNT_ATTR__ATIME));
        if (!equal(&o, &cases[i].is)) {
            fprintf(stderr, "%s: flags %lx, set %llx, clear %llx, data %s\n",
                    cases[i].text, o.flags, (unsigned long long)o.attr_set,
                    (unsigned long long)o.attr_clear, o.data ? o.data : "-");
            test_failed = 1;
        }
    }
    arena_free(&a);
}

static void the_last_of_a_pair_wins_in_any_order(void)
{
    struct mount_options o, on;
    struct arena a = {0};
    struct error err;

    CHECK(!parse(&a, "nosuid,nodev,ro,suid,dev,rw", &o, &err));
    CHECK_EQ(o.flags, 0);
    CHECK_EQ(o.attr_set, 0);
    CHECK_EQ(o.attr_clear,
             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
    CHECK(!parse(&a, "noatime,strictatime,relatime", &o, &err));
    CHECK(!parse(&a, "relatime", &on, &err));
    CHECK_EQ(o.attr_set, on.attr_set);
    arena_free(&a);
}

static void every_name_is_an_option_once(void)
{
    struct mount_options o;
    struct arena a = {0};
    struct error err;
    const char *name;
    unsigned i, k;

    for (i = 0; (name = mount_option_name(i)); i++) {
        CHECK(!mount_parse(&a, &name, 1, &o, &err) && !o.data);
        for (k = 0; k < i; k++)
            CHECK(strcmp(name, mount_option_name(k)));
    }
    CHECK(i > 60);
    CHECK(!mount_option_name(1000) && !mount_option_name(~0u));
    arena_free(&a);
}

static void more_data_than_a_page_is_refused(void)
{
    struct arena a = {0};
    struct mount_options o;
    struct error err = {0};
    char *big = arena_alloc(&a, 5000);
    const char *list[] = {big, "x"};

    memset(big, 'x', 4095);
    CHECK(!mount_parse(&a, list, 1, &o, &err));
    CHECK_EQ(-mount_parse(&a, list, 2, &o, &err), EINVAL);
    CHECK(strstr(err.msg, "4095"));
    arena_free(&a);
}

int main(void)
{
    RUN(options_mean_what_fstab_says);
    RUN(the_last_of_a_pair_wins_in_any_order);
    RUN(every_name_is_an_option_once);
    RUN(more_data_than_a_page_is_refused);
    return test_status();
}
