/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's walk below a root and our own give the same answers, whatever
 * links and dots there are.
 */
#include "fence/path.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

struct tree {
    char top[32];
    int root; /* top/root; beside it top/secret and top/folder */
};

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *f)
{
    (void)st, (void)type, (void)f;
    return remove(path);
}

static void file_new(int dir, const char *name)
{
    int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);

    CHECK(fd >= 0);
    close(fd);
}

/* clang-format off */
static const struct {
    const char *name, *goal;
} links[] = {
    {"up", ".."},               {"upup", "../../.."},
    {"out", "../secret"},       {"far", "/etc/passwd"},
    {"abs", "/dir/file"},       {"rel", "dir/file"},
    {"todir", "dir"},           {"slash", "dir/"},
    {"chain", "rel"},           {"loop", "loop"},
    {"ping", "pong"},           {"pong", "ping"},
    {"gone", "new"},            {"gone-far", "/deep/er/new"},
    {"dir/back", "../dir/file"}, {"dir/root", "/"},
    {"dir/out", "../../secret"}, {"fileslash", "dir/file/"},
    {"dot", "."},               {"proc", "/proc/self"},
    {"dir/sub/up", "../../../../folder"},
};

static const char *const paths[] = {
    "", "/", ".", "..", "/..", "../..", "dir", "dir/", "/dir//file", "dir/.",
    "dir/file", "dir/file/", "dir/file/.", "dir/file/..", "dir/file/x",
    "dir/sub/../file", "dir/../../secret", "up", "up/", "upup/dir/file",
    "up/secret", "out", "far", "abs", "abs/", "abs/..", "rel", "todir",
    "todir/", "todir/file", "todir/../dir/file", "slash", "slash/file",
    "chain", "loop", "loop/", "ping", "gone", "gone/", "gone-far", "dir/back",
    "dir/root", "dir/root/dir/file", "dir/root/..", "dir/out", "fileslash",
    "dot", "dot/dot/dot/dir", "none", "none/..", "none/x", "dir/none",
    "dir/sub/up", "dir/sub/up/..", "dir/sub/up/../secret", "../../secret",
    "../../../../../../../../etc/passwd", "proc", "proc/exe",
};
/* clang-format on */

static void tree_make(struct tree *t)
{
    strcpy(t->top, "/tmp/fence_path-XXXXXX");
    CHECK(mkdtemp(t->top) != NULL);
    int top = open(t->top, O_PATH | O_DIRECTORY | O_CLOEXEC);

    file_new(top, "secret");
    CHECK(!mkdirat(top, "folder", 0755) && !mkdirat(top, "root", 0755));
    t->root = openat(top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(!mkdirat(t->root, "dir", 0755) && !mkdirat(t->root, "dir/sub", 0755));
    file_new(t->root, "dir/file");
    for (unsigned i = 0; i < ARRAY_SIZE(links); i++)
        CHECK(!symlinkat(links[i].goal, t->root, links[i].name));
    close(top);
}

static void tree_end(struct tree *t)
{
    close(t->root);
    nftw(t->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What was found, as a number: its inode, or -errno. */
static long long found(int fd)
{
    struct stat st;

    if (fd < 0)
        return fd;
    CHECK(!fstat(fd, &st));
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    close(fd);
    return (long long)st.st_ino;
}

static void same(int root, const char *path, int flags)
{
    long long a = found(path_open_in(root, path, flags));
    long long b = found(path_walk_in(root, path, flags));

    if (a != b) {
        fprintf(stderr, "\"%.80s\", flags 0%o: %lld and %lld\n", path, flags, a,
                b);
        test_failed = 1;
    }
}

static void both_walks_find_the_same(void)
{
    static const int flags[] = {
        O_PATH,
        O_PATH | O_NOFOLLOW,
        O_PATH | O_DIRECTORY,
        O_PATH | O_DIRECTORY | O_NOFOLLOW,
        O_RDONLY,
        O_RDONLY | O_NOFOLLOW,
        O_RDONLY | O_DIRECTORY,
        O_WRONLY,
    };
    struct tree t;

    tree_make(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
        for (unsigned k = 0; k < ARRAY_SIZE(flags); k++)
            same(t.root, paths[i], flags[k]);
    tree_end(&t);
}

static void names_and_paths_that_are_too_long(void)
{
    static char path[5000];
    struct tree t;

    tree_make(&t);
    memset(path, 'x', 256);
    same(t.root, path, O_PATH);
    path[255] = '/';
    CHECK(!mkdirat(t.root, path, 0755));
    same(t.root, path, O_PATH);
    path[255] = 'y'; /* not "xxx/y" */
    same(t.root, path, O_PATH);
    memset(path, '/', sizeof(path) - 1);
    same(t.root, path, O_PATH);
    CHECK_EQ(-path_walk_in(t.root, path, O_PATH), ENAMETOOLONG);
    tree_end(&t);
}

static void random_paths_find_the_same(void)
{
    static const char *const part[] = {"..", ".",   "dir",  "sub",   "file",
                                       "up", "",    "root", "todir", "back",
                                       "x",  "out", "dot",  "slash", "upup"};
    uint64_t r = 1;
    struct tree t;

    tree_make(&t);
    for (unsigned i = 0; i < 20000; i++) {
        char path[200] = "";
        unsigned n;

        r = r * 6364136223846793005ull + 1442695040888963407ull;
        for (n = 1 + (r >> 33) % 7; n; n--) {
            r = r * 6364136223846793005ull + 1442695040888963407ull;
            strcat(path, part[(r >> 33) % ARRAY_SIZE(part)]);
            if (n > 1 || r >> 63)
                strcat(path, "/");
        }
        same(t.root, path, i & 1 ? O_PATH : O_PATH | O_NOFOLLOW);
    }
    tree_end(&t);
}

/* procfs as root: its links that lead anywhere are not followed. */
static void magic_links_are_not_followed(void)
{
    static const char *const names[] = {
        "self/exe",  "self/cwd",    "self/root", "self/fd/0", "self/ns/net",
        "self/cwd/", "self/root/.", "mounts",    "self/stat", "net/dev"};
    int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        same(proc, names[i], O_PATH);
    CHECK_EQ(-path_walk_in(proc, "self/root/etc", O_PATH), ELOOP);
    CHECK_EQ(-path_open_in(proc, "self/root/etc", O_PATH), ELOOP);
    close(proc);
}

static void made(struct tree *t, const char *path, bool file, const char *at)
{
    struct stat st, by_name;
    bool is_new = false;
    int fd = path_make_in(t->root, path, file, &is_new);

    if (fd < 0 || !is_new || fstat(fd, &st) ||
        fstatat(t->root, at, &by_name, 0) || st.st_ino != by_name.st_ino ||
        !!S_ISREG(st.st_mode) != file) {
        fprintf(stderr, "%s: %d, new %d\n", path, fd, is_new);
        test_failed = 1;
    }
    close(fd);
    fd = path_make_in(t->root, path, file, &is_new);
    CHECK(fd >= 0 && !is_new);
    close(fd);
}

static void what_is_missing_is_made_inside(void)
{
    struct tree t;

    tree_make(&t);
    made(&t, "/a/b/c", false, "a/b/c");
    made(&t, "f/g/h", true, "f/g/h");
    made(&t, "todir/new", true, "dir/new");
    made(&t, "gone", true, "new");
    made(&t, "gone-far", false, "deep/er/new");
    made(&t, "../../../outer", true, "outer");
    made(&t, "upup/other", false, "other");
    made(&t, "dir/sub/up", false, "folder");
    CHECK_EQ(-path_make_in(t.root, "loop/x", false, NULL), ELOOP);
    CHECK_EQ(-path_make_in(t.root, "dir/file/x", false, NULL), ENOTDIR);
    CHECK_EQ(-path_make_in(t.root, "none/../x/..", false, NULL), ENOENT);
    tree_end(&t);
}

static void nothing_is_made_outside(void)
{
    char path[64];
    struct stat st;
    struct tree t;

    tree_make(&t);
    CHECK(!symlinkat("../../new", t.root, "dir/trap"));
    CHECK(!symlinkat("../folder/x", t.root, "trap"));
    close(path_make_in(t.root, "dir/trap", true, NULL));
    close(path_make_in(t.root, "trap", false, NULL));
    snprintf(path, sizeof(path), "%s/new", t.top);
    CHECK(lstat(path, &st) && errno == ENOENT);
    snprintf(path, sizeof(path), "%s/folder/x", t.top);
    CHECK(lstat(path, &st) && errno == ENOENT);
    tree_end(&t);
}

int main(void)
{
    RUN(both_walks_find_the_same);
    RUN(names_and_paths_that_are_too_long);
    RUN(random_paths_find_the_same);
    RUN(magic_links_are_not_followed);
    RUN(what_is_missing_is_made_inside);
    RUN(nothing_is_made_outside);
    return test_status();
}
