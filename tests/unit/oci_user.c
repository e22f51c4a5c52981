/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by names, from files that a container has written. */
#include "oci/user.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

struct box {
    char top[32];
    int root;
};

static void put(struct box *b, const char *name, const char *text)
{
    int fd;

    unlinkat(b->root, name, 0);
    fd = openat(b->root, name, O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void box_make(struct box *b, const char *passwd, const char *group)
{
    strcpy(b->top, "/tmp/oci_user-XXXXXX");
    CHECK(mkdtemp(b->top) != NULL);
    b->root = open(b->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(!mkdirat(b->root, "etc", 0755));
    if (passwd)
        put(b, "etc/passwd", passwd);
    if (group)
        put(b, "etc/group", group);
}

static void box_end(struct box *b)
{
    unlinkat(b->root, "etc/passwd", 0);
    unlinkat(b->root, "etc/group", 0);
    unlinkat(b->root, "etc", AT_REMOVEDIR);
    close(b->root);
    rmdir(b->top);
}

static void is(struct box *b, const char *text, uint32_t uid, uint32_t gid)
{
    struct spec_user u = {.uid = 77, .gid = 88};
    struct error err = {0};
    int e = user_find(b->root, text, &u, &err);

    if (e || u.uid != uid || u.gid != gid) {
        fprintf(stderr, "\"%s\": %s, %u:%u\n", text, e ? err.msg : "", u.uid,
                u.gid);
        test_failed = 1;
    }
}

static void is_not(struct box *b, const char *text, const char *why)
{
    struct spec_user u = {0};
    struct error err = {0};

    if (!user_find(b->root, text, &u, &err) ||
        strncmp(err.msg, why, strlen(why))) {
        fprintf(stderr, "\"%s\": \"%s\", %u:%u\n", text, err.msg, u.uid, u.gid);
        test_failed = 1;
    }
}

static const char passwd[] = "root:x:0:0:r:/root:/bin/sh\n"
                             "bad\n"
                             "worse:x:y:1::/:\n"
                             "me:x:7:8:,,,:/home:/bin/sh\n"
                             "nogroup:x:9\n"
                             "12:x:13:14::/:\n"
                             "last:x:4294967294:5::/:";

static void names_and_numbers(void)
{
    struct box b;

    box_make(&b, passwd, "root:x:0:\nours:x:9:me\nnone:x:\n");
    is(&b, "me", 7, 8);
    is(&b, "me:ours", 7, 9);
    is(&b, "me:3", 7, 3);
    is(&b, "7", 7, 8);
    is(&b, "12", 12, 0); /* a number, not the user of that name */
    is(&b, "1000", 1000, 0);
    is(&b, "1000:1001", 1000, 1001);
    is(&b, "nogroup", 9, 0);
    is(&b, "last", 4294967294, 5);
    is(&b, "root", 0, 0);
    is_not(&b, "none", "user \"none\": ");
    is_not(&b, "bad", "user \"bad\": ");
    is_not(&b, "worse", "user \"worse\": ");
    is_not(&b, "me:theirs", "group \"theirs\": ");
    is_not(&b, "me:none", "group \"none\": ");
    box_end(&b);
}

/* What strtoul() would take, and what would wrap to 0 or to "no change". */
static void numbers_that_are_none(void)
{
    static const char *const texts[] = {
        "-1",
        "+0",
        " 0",
        "0x0",
        "4294967295",
        "4294967296",
        "-18446744073709551616",
        "-18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "0 ",
        "",
    };
    struct box b;

    box_make(&b, passwd, "root:x:0:\n");
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        char group[64];

        is_not(&b, texts[i], "user ");
        snprintf(group, sizeof(group), "me:%s", texts[i]);
        is_not(&b, group, "group ");
    }
    box_end(&b);
}

static void no_files_only_numbers(void)
{
    struct box b;

    box_make(&b, NULL, NULL);
    is(&b, "5", 5, 0);
    is(&b, "5:6", 5, 6);
    is_not(&b, "root", "user \"root\": ");
    is_not(&b, "5:root", "group \"root\": ");
    box_end(&b);
}

/* A comment of a user's must not make a user. */
static void the_rest_of_a_long_line_is_no_line(void)
{
    static char text[5000] = "me:x:7:8:";
    static const char trick[] = "trick:x:0:0::/:\n";
    struct box b;

    for (size_t n = strlen(text); n < 2047; n++)
        text[n] = 'x';
    strcpy(text + 2047, trick);
    strcat(text, "after:x:3:4::/:\n");
    box_make(&b, text, "");
    is_not(&b, "trick", "user \"trick\": ");
    is(&b, "me", 7, 8);
    is(&b, "after", 3, 4);
    box_end(&b);
}

static void files_that_are_links_pipes_or_folders(void)
{
    struct box b;

    box_make(&b, NULL, NULL);
    /* The host's own has a root; the container's, by its root, has not. */
    CHECK(!symlinkat("../../../../../../etc/passwd", b.root, "etc/passwd"));
    is_not(&b, "root", "user \"root\": ");
    CHECK(!unlinkat(b.root, "etc/passwd", 0));
    CHECK(!mkfifoat(b.root, "etc/passwd", 0644)); /* nobody writes to it */
    is_not(&b, "root", "user \"root\": ");
    CHECK(!unlinkat(b.root, "etc/passwd", 0));
    CHECK(!mkdirat(b.root, "etc/passwd", 0755));
    is_not(&b, "root", "user \"root\": ");
    CHECK(!unlinkat(b.root, "etc/passwd", AT_REMOVEDIR));
    box_end(&b);
}

/* Only of its own line, that is: the next one is looked at. */
static void a_nul_is_the_end_of_a_line(void)
{
    static const char text[] = "a:x:1:1:\0\nb:x:2:2::/:\nc\0:x:3:3\n";
    struct user_line l;
    FILE *f = fmemopen((void *)text, sizeof(text) - 1, "r");

    CHECK(f && user_line_find(f, "b", 0, &l) && l.third == 2);
    rewind(f);
    CHECK(!user_line_find(f, "c", 0, &l));
    fclose(f);
}

/* A sparse one may have a TiB without a newline. */
static void a_file_of_any_size_is_read_in_no_time(void)
{
    struct box b;
    int fd;

    box_make(&b, "root:x:0:0:root:/:\n", NULL);
    fd = openat(b.root, "etc/passwd", O_WRONLY);
    CHECK(fd >= 0 && (!ftruncate(fd, 1ll << 40) || !ftruncate(fd, 1 << 30)));
    close(fd);
    is_not(&b, "nobody", "user \"nobody\": ");
    is(&b, "root", 0, 0);
    box_end(&b);
}

int main(void)
{
    RUN(a_nul_is_the_end_of_a_line);
    RUN(a_file_of_any_size_is_read_in_no_time);
    RUN(names_and_numbers);
    RUN(numbers_that_are_none);
    RUN(no_files_only_numbers);
    RUN(the_rest_of_a_long_line_is_no_line);
    RUN(files_that_are_links_pipes_or_folders);
    return test_status();
}
