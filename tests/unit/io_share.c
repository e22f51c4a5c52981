/* SPDX-License-Identifier: Apache-2.0 */
/* io_share.c - claims about a shared folder, asked as a hostile guest asks. */
#include "io/share/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "test.h"

#define ROOT 1

/* outer/secret is outside, outer/in is the share. */
static char outer[] = "/tmp/ringfence-share-XXXXXX";
static struct share *s;
static struct error err;
static uint8_t in[1 << 16], out[1 << 16];
static uint32_t got; /* bytes of the reply behind the header */
static uint32_t uid, gid;

static char *path(const char *name)
{
    static char p[2][256];
    static int i;

    i = !i;
    snprintf(p[i], sizeof(p[i]), "%s/%s", outer, name);
    return p[i];
}

static void file(const char *name, const char *text)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* What comes out in the host's file, as a string. */
static const char *text_of(const char *name)
{
    static char buf[256];
    int fd = open(path(name), O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

    if (fd >= 0)
        close(fd);
    buf[n < 0 ? 0 : n] = 0;
    return n < 0 ? "(none)" : buf;
}

/*
 * One request: arguments, then up to two strings. The answer's error; body
 * in `out`. The vectors are cut in odd places.
 */
static int ask(uint32_t op, uint64_t node, const void *arg, size_t len,
               const char *a, const char *b)
{
    struct fuse_in_header h = {
        .opcode = op, .unique = 7, .nodeid = node, .uid = uid, .gid = gid};
    struct fuse_out_header r;
    struct iovec vi[3], vo[3];
    struct share_msg m = {vi, vo, 3, 3, 0, sizeof(out)};
    size_t at = sizeof(h);
    uint32_t n;

    memset(out, 0xee, sizeof(out));
    if (len)
        memcpy(in + at, arg, len);
    at += len;
    if (a)
        at += (size_t)sprintf((char *)in + at, "%s", a) + 1;
    if (b)
        at += (size_t)sprintf((char *)in + at, "%s", b) + 1;
    h.len = (uint32_t)at;
    memcpy(in, &h, sizeof(h));
    vi[0] = (struct iovec){in, 11};
    vi[1] = (struct iovec){in + 11, 40};
    vi[2] = (struct iovec){in + 51, at > 51 ? at - 51 : 0};
    vo[0] = (struct iovec){out, 13};
    vo[1] = (struct iovec){out + 13, 100};
    vo[2] = (struct iovec){out + 113, sizeof(out) - 113};
    m.out_len = at;
    n = share_serve(s, &m);
    memcpy(&r, out, sizeof(r));
    if (n)
        CHECK(r.unique == 7 && r.len == n && n >= sizeof(r));
    got = n ? n - (uint32_t)sizeof(r) : 0;
    return n ? r.error : 1;
}

#define BODY(type) (*(type *)(out + sizeof(struct fuse_out_header)))

static void start(bool read_only)
{
    struct fuse_init_in init = {.major = 7, .minor = 36, .flags = ~0u};

    CHECK_EQ(share_open(&s, path("in"), read_only, 1, &err), 0);
    CHECK_EQ(ask(FUSE_INIT, 0, &init, 16, NULL, NULL), 0);
    CHECK_EQ(BODY(struct fuse_init_out).major, 7);
}

static void up(bool read_only)
{
    uid = gid = 0;
    strcpy(strrchr(outer, '-'), "-XXXXXX");
    CHECK(mkdtemp(outer) != NULL && !chmod(outer, 0755));
    CHECK(!mkdir(path("in"), 0755) && !mkdir(path("in/dir"), 0755));
    file("secret", "secret");
    file("in/file", "hello");
    CHECK(!symlink("../secret", path("in/link")));
    CHECK(!symlink("..", path("in/up")));
    start(read_only);
}

static void down(void)
{
    char cmd[300];

    CHECK(!strcmp(text_of("secret"), "secret"));
    share_close(s);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", outer);
    CHECK(!system(cmd));
}

/* The node, or a negative error. */
static int64_t lookup(uint64_t dir, const char *name)
{
    int e = ask(FUSE_LOOKUP, dir, NULL, 0, name, NULL);

    if (e)
        return e;
    return BODY(struct fuse_entry_out).nodeid
               ? (int64_t)BODY(struct fuse_entry_out).nodeid
               : -ENOENT;
}

static int64_t open_node(uint64_t node, uint32_t flags)
{
    struct fuse_open_in o = {.flags = flags};
    int e = ask(FUSE_OPEN, node, &o, sizeof(o), NULL, NULL);

    return e ? e : (int64_t)BODY(struct fuse_open_out).fh;
}

static int read_fh(uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
    struct fuse_read_in r = {.fh = fh, .offset = off, .size = size};

    return ask(FUSE_READ, node, &r, sizeof(r), NULL, NULL);
}

static int write_fh(uint64_t node, uint64_t fh, uint64_t off, const char *text)
{
    struct fuse_write_in w = {
        .fh = fh, .offset = off, .size = (uint32_t)strlen(text)};

    return ask(FUSE_WRITE, node, &w, sizeof(w), text, NULL);
}

static void names_do_not_lead_out(void)
{
    static const char *const bad[] = {"..",
                                      ".",
                                      "",
                                      "/",
                                      "/etc",
                                      "../secret",
                                      "dir/../../secret",
                                      "link/",
                                      "up/secret",
                                      "/proc/self/root",
                                      "./file"};
    struct fuse_create_in c = {.flags = O_RDWR, .mode = 0644};
    struct fuse_rename_in mv = {.newdir = ROOT};
    int64_t n;

    up(false);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        CHECK_EQ(lookup(ROOT, bad[i]), -EINVAL);
        CHECK_EQ(ask(FUSE_CREATE, ROOT, &c, sizeof(c), bad[i], NULL), -EINVAL);
        CHECK_EQ(ask(FUSE_UNLINK, ROOT, NULL, 0, bad[i], NULL), -EINVAL);
        CHECK_EQ(ask(FUSE_SYMLINK, ROOT, NULL, 0, bad[i], "x"), -EINVAL);
        CHECK_EQ(ask(FUSE_RENAME, ROOT, &mv, 8, "file", bad[i]), -EINVAL);
        CHECK_EQ(ask(FUSE_RENAME, ROOT, &mv, 8, bad[i], "new"), -EINVAL);
    }
    n = lookup(ROOT, "link");
    CHECK(n > 0);
    CHECK_EQ(BODY(struct fuse_entry_out).attr.mode & S_IFMT, S_IFLNK);
    CHECK_EQ(open_node((uint64_t)n, O_RDWR), -ELOOP);
    CHECK_EQ(ask(FUSE_READLINK, (uint64_t)n, NULL, 0, NULL, NULL), 0);
    CHECK(got == 9 && !memcmp(&BODY(char), "../secret", 9));
    CHECK_EQ(ask(FUSE_CREATE, ROOT, &c, sizeof(c), "link", NULL), -ELOOP);
    n = lookup(ROOT, "up");
    CHECK_EQ(lookup((uint64_t)n, "secret"), -ENOTDIR);
    CHECK_EQ(ask(FUSE_CREATE, (uint64_t)n, &c, sizeof(c), "x", NULL), -ENOTDIR);
    CHECK(access(path("x"), F_OK));
    down();
}

static void setattr_of_a_link_is_of_the_link(void)
{
    struct fuse_setattr_in a = {.valid = FATTR_MTIME, .mtime = 1000};
    struct stat st;
    int64_t n;

    up(false);
    n = lookup(ROOT, "link");
    CHECK_EQ(ask(FUSE_SETATTR, (uint64_t)n, &a, sizeof(a), NULL, NULL), 0);
    CHECK(!lstat(path("in/link"), &st) && st.st_mtime == 1000);
    CHECK(!stat(path("secret"), &st) && st.st_mtime != 1000);
    a.valid = FATTR_SIZE;
    CHECK(ask(FUSE_SETATTR, (uint64_t)n, &a, sizeof(a), NULL, NULL) < 0);
    a.valid = FATTR_MODE;
    a.mode = 0777;
    ask(FUSE_SETATTR, (uint64_t)n, &a, sizeof(a), NULL, NULL);
    CHECK(!stat(path("secret"), &st) && (st.st_mode & 0777) == 0644);
    down();
}

static void devices_and_fifos_are_not_opened(void)
{
    struct fuse_mknod_in mk = {.mode = S_IFCHR | 0666, .rdev = makedev(1, 3)};
    int64_t n;

    up(false);
    CHECK(!mkfifo(path("in/fifo"), 0666));
    n = lookup(ROOT, "fifo");
    CHECK(n > 0);
    CHECK_EQ(open_node((uint64_t)n, O_RDWR), -ENXIO);
    CHECK_EQ(ask(FUSE_MKNOD, ROOT, &mk, sizeof(mk), "null", NULL), -EPERM);
    mk.mode = S_IFBLK | 0666;
    CHECK_EQ(ask(FUSE_MKNOD, ROOT, &mk, sizeof(mk), "sda", NULL), -EPERM);
    mk.mode = S_IFSOCK | 0666;
    CHECK_EQ(ask(FUSE_MKNOD, ROOT, &mk, sizeof(mk), "sock", NULL), 0);
    CHECK_EQ(open_node(BODY(struct fuse_entry_out).nodeid, O_RDWR), -ENXIO);
    down();
}

static void files_are_written_and_read(void)
{
    struct fuse_create_in c = {.flags = O_RDWR, .mode = 0640};
    struct fuse_setattr_in a = {.valid = FATTR_SIZE, .size = 3};
    struct fuse_release_in r = {0};
    struct stat st;
    uint64_t n, fh;

    up(false);
    CHECK_EQ(ask(FUSE_CREATE, ROOT, &c, sizeof(c), "new", NULL), 0);
    n = BODY(struct fuse_entry_out).nodeid;
    fh = (&BODY(struct fuse_entry_out))[1].nodeid; /* fuse_open_out */
    CHECK(!stat(path("in/new"), &st) && (st.st_mode & 07777) == 0640);
    CHECK_EQ(write_fh(n, fh, 0, "abcdef"), 0);
    CHECK_EQ(BODY(struct fuse_write_out).size, 6);
    CHECK(!strcmp(text_of("in/new"), "abcdef"));
    CHECK_EQ(read_fh(n, fh, 2, 100), 0);
    CHECK(got == 4 && !memcmp(&BODY(char), "cdef", 4));
    CHECK_EQ(ask(FUSE_SETATTR, n, &a, sizeof(a), NULL, NULL), 0);
    CHECK_EQ(BODY(struct fuse_attr_out).attr.size, 3);
    /* still there when its name is not */
    CHECK_EQ(ask(FUSE_UNLINK, ROOT, NULL, 0, "new", NULL), 0);
    CHECK_EQ(read_fh(n, fh, 0, 100), 0);
    CHECK_EQ(got, 3);
    CHECK_EQ(lookup(ROOT, "new"), -ENOENT);
    r.fh = fh;
    CHECK_EQ(ask(FUSE_RELEASE, n, &r, sizeof(r), NULL, NULL), 0);
    CHECK_EQ(read_fh(n, fh, 0, 100), -EBADF);
    down();
}

static void read_only_is_kept_by_the_server(void)
{
    struct fuse_create_in c = {.flags = O_RDWR, .mode = 0640};
    struct fuse_setattr_in a = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_setxattr_in x = {.size = 1};
    struct fuse_fallocate_in f = {.length = 4096};
    struct fuse_link_in l;
    uint64_t n, fh;

    up(true);
    n = (uint64_t)lookup(ROOT, "file");
    l.oldnodeid = n;
    CHECK_EQ(open_node(n, O_WRONLY), -EROFS);
    CHECK_EQ(open_node(n, O_RDWR), -EROFS);
    fh = (uint64_t)open_node(n, O_RDONLY | O_TRUNC);
    CHECK_EQ(read_fh(n, fh, 0, 100), 0);
    CHECK_EQ(got, 5);
    f.fh = fh;
    CHECK_EQ(write_fh(n, fh, 0, "x"), -EROFS);
    CHECK_EQ(ask(FUSE_FALLOCATE, n, &f, sizeof(f), NULL, NULL), -EROFS);
    CHECK_EQ(ask(FUSE_SETATTR, n, &a, sizeof(a), NULL, NULL), -EROFS);
    CHECK_EQ(ask(FUSE_CREATE, ROOT, &c, sizeof(c), "x", NULL), -EROFS);
    CHECK_EQ(ask(FUSE_MKDIR, ROOT, &c, 8, "x", NULL), -EROFS);
    CHECK_EQ(ask(FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), -EROFS);
    CHECK_EQ(ask(FUSE_RMDIR, ROOT, NULL, 0, "dir", NULL), -EROFS);
    CHECK_EQ(ask(FUSE_RENAME, ROOT, &(uint64_t){ROOT}, 8, "file", "x"), -EROFS);
    CHECK_EQ(ask(FUSE_LINK, ROOT, &l, sizeof(l), "x", NULL), -EROFS);
    CHECK_EQ(ask(FUSE_SYMLINK, ROOT, NULL, 0, "x", "y"), -EROFS);
    CHECK_EQ(ask(FUSE_SETXATTR, n, &x, 8, "user.a", "b"), -EROFS);
    CHECK(!strcmp(text_of("in/file"), "hello"));
    down();
}

static void made_up_numbers_are_refused(void)
{
    struct fuse_forget_in f = {.nlookup = UINT64_MAX};
    struct fuse_getattr_in a = {0};

    up(false);
    CHECK_EQ(ask(FUSE_GETATTR, 99, &a, sizeof(a), NULL, NULL), -ESTALE);
    CHECK_EQ(ask(FUSE_GETATTR, 0, &a, sizeof(a), NULL, NULL), -ESTALE);
    CHECK_EQ(lookup(UINT64_MAX, "x"), -ESTALE);
    CHECK_EQ(read_fh(ROOT, 0, 0, 10), -EBADF);
    CHECK_EQ(read_fh(ROOT, UINT64_MAX, 0, 10), -EBADF);
    CHECK_EQ(ask(FUSE_FORGET, ROOT, &f, sizeof(f), NULL, NULL), 1);
    CHECK_EQ(ask(FUSE_FORGET, 99, &f, sizeof(f), NULL, NULL), 1);
    CHECK_EQ(ask(FUSE_GETATTR, ROOT, &a, sizeof(a), NULL, NULL), 0);
    CHECK_EQ(ask(FUSE_GETATTR, ROOT, &a, 3, NULL, NULL), -EINVAL);
    CHECK_EQ(ask(9999, ROOT, &a, 3, NULL, NULL), -ENOSYS);
    CHECK_EQ(ask(0, ROOT, &a, 3, NULL, NULL), -ENOSYS);
    CHECK_EQ(ask(FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
    CHECK_EQ(ask(FUSE_GETATTR, ROOT, &a, sizeof(a), NULL, NULL), -EIO);
    down();
}

static void nodes_go_with_their_last_lookup(void)
{
    struct fuse_forget_in f = {.nlookup = 1};
    struct fuse_getattr_in a = {0};
    uint64_t n;

    up(false);
    n = (uint64_t)lookup(ROOT, "file");
    CHECK_EQ(lookup(ROOT, "file"), n);
    ask(FUSE_FORGET, n, &f, sizeof(f), NULL, NULL);
    CHECK_EQ(ask(FUSE_GETATTR, n, &a, sizeof(a), NULL, NULL), 0);
    ask(FUSE_FORGET, n, &f, sizeof(f), NULL, NULL);
    CHECK_EQ(ask(FUSE_GETATTR, n, &a, sizeof(a), NULL, NULL), -ESTALE);
    CHECK((uint64_t)lookup(ROOT, "file") != n);
    down();
}

/* The share as it is, in a state file; then a fresh one, of `state`. */
static struct state_writer *saved(void)
{
    struct state_writer *w = state_writer_new();

    share_save(s, w, 0);
    return w;
}

static int restored(struct state_writer *w)
{
    size_t len;
    const uint8_t *p = state_writer_bytes(w, &len);
    struct state_reader *r = state_reader_new(p, len, &err);
    int rc;

    share_close(s);
    CHECK_EQ(share_open(&s, path("in"), false, 1, &err), 0);
    rc = share_load(s, r, 0, &err);
    state_reader_free(r);
    return rc;
}

static void what_the_guest_knows_survives_a_state_file(void)
{
    struct fuse_read_in list = {.size = 4096};
    int64_t dir, file_, open_, gone, gone_fh, lost;
    struct state_writer *w;
    struct fuse_open_in o = {0};

    up(false);
    dir = lookup(ROOT, "dir");
    file("in/dir/deep", "deep");
    lost = lookup((uint64_t)dir, "deep");
    file_ = lookup(ROOT, "file");
    open_ = open_node((uint64_t)file_, O_RDWR);
    file("in/gone", "gone");
    gone = lookup(ROOT, "gone");
    gone_fh = open_node((uint64_t)gone, O_RDONLY);
    CHECK_EQ(ask(FUSE_UNLINK, ROOT, NULL, 0, "gone", NULL), 0);
    CHECK_EQ(ask(FUSE_OPENDIR, ROOT, &o, sizeof(o), NULL, NULL), 0);
    list.fh = BODY(struct fuse_open_out).fh;
    w = saved();
    CHECK(!unlink(path("in/dir/deep")));
    file("in/dir/deep2", "other");
    CHECK(!rename(path("in/dir/deep2"), path("in/dir/deep")));
    CHECK_EQ(restored(w), 0);
    state_writer_free(w);
    /* the same numbers are the same things, without a word of INIT */
    CHECK_EQ(read_fh((uint64_t)file_, (uint64_t)open_, 0, 100), 0);
    CHECK(got == 5 && !memcmp(&BODY(char), "hello", 5));
    CHECK_EQ(write_fh((uint64_t)file_, (uint64_t)open_, 5, " you"), 0);
    CHECK(!strcmp(text_of("in/file"), "hello you"));
    CHECK_EQ(lookup(ROOT, "dir"), dir);
    CHECK_EQ(ask(FUSE_READDIR, ROOT, &list, sizeof(list), NULL, NULL), 0);
    CHECK(got > 0);
    /* what is another file, or none, is stale, and that alone */
    CHECK_EQ(open_node((uint64_t)lost, O_RDONLY), -ESTALE);
    CHECK(lookup((uint64_t)dir, "deep") > lost);
    CHECK_EQ(open_node((uint64_t)gone, O_RDONLY), -ESTALE);
    CHECK_EQ(read_fh((uint64_t)gone, (uint64_t)gone_fh, 0, 9), -ESTALE);
    CHECK_EQ(read_fh((uint64_t)gone, (uint64_t)gone_fh + 1, 0, 9), -EBADF);
    down();
}

static void a_child_has_what_has_no_name(void)
{
    struct state_writer *w;
    struct state_reader *r;
    const uint8_t *p;
    int64_t n, fh;
    int status = 1;
    size_t len;
    pid_t pid;

    up(false);
    file("in/gone", "gone");
    n = lookup(ROOT, "gone");
    fh = open_node((uint64_t)n, O_RDONLY);
    CHECK_EQ(ask(FUSE_UNLINK, ROOT, NULL, 0, "gone", NULL), 0);
    share_fork_begin(s);
    w = saved();
    p = state_writer_bytes(w, &len);
    r = state_reader_new(p, len, &err);
    pid = fork();
    if (!pid) {
        CHECK_EQ(share_open(&s, path("in"), false, 1, &err), 0);
        share_fork_child(s);
        CHECK_EQ(share_load(s, r, 0, &err), 0);
        CHECK_EQ(read_fh((uint64_t)n, (uint64_t)fh, 0, 9), 0);
        CHECK(got == 4 && !memcmp(&BODY(char), "gone", 4));
        CHECK(open_node((uint64_t)n, O_RDONLY) > 0);
        _exit(test_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && !status);
    share_fork_spawned(s);
    state_reader_free(r);
    state_writer_free(w);
    down();
}

/* Every byte of it may be another, and its checksum right. */
static void a_saved_share_is_not_trusted(void)
{
    struct state_writer *good, *w;
    struct state_item item;
    struct state_cursor c;
    struct state_reader *r;
    const uint8_t *bytes;
    unsigned taken = 0;
    size_t len;

    up(false);
    CHECK(open_node((uint64_t)lookup(ROOT, "file"), O_RDWR) > 0);
    CHECK(lookup((uint64_t)lookup(ROOT, "dir"), "none") < 0);
    good = saved();
    bytes = state_writer_bytes(good, &len);
    r = state_reader_new(bytes, len, &err);
    srand(1);
    for (int i = 0; i < 1500; i++) {
        w = state_writer_new();
        state_begin(w, "share", 0, 1);
        state_first(r, &c);
        while (state_next(&c, &item)) {
            uint8_t buf[4096];

            if (!item.blob) {
                state_put(w, item.name, item.value);
                continue;
            }
            memcpy(buf, item.bytes, item.len);
            for (int k = rand() % 4; item.len && k; k--)
                buf[(size_t)rand() % item.len] = (uint8_t)rand();
            state_put_blob(w, item.name, buf, item.len);
        }
        state_end(w);
        taken += !restored(w);
        for (uint64_t id = 1; id < 8; id++) {
            lookup(id, "file");
            read_fh(id, 1ull << 32, 0, 100);
            open_node(id, O_RDWR);
            ask(FUSE_UNLINK, id, NULL, 0, "secret", NULL);
        }
        state_writer_free(w);
    }
    CHECK(taken > 100 && taken < 1400);
    state_reader_free(r);
    state_writer_free(good);
    down();
}

/* More files than descriptors; all of them stay usable, and themselves. */
static void few_descriptors_are_enough(void)
{
    struct rlimit was, few = {200, 200};
    struct fuse_getattr_in a = {0};
    struct fuse_rename_in mv;
    uint64_t node[400], ino[400], d, sub;
    char name[32];

    getrlimit(RLIMIT_NOFILE, &was);
    few.rlim_max = was.rlim_max;
    up(false);
    share_close(s);
    few.rlim_max = 200; /* for good: this test comes last */
    CHECK(!setrlimit(RLIMIT_NOFILE, &few));
    start(false);
    d = (uint64_t)lookup(ROOT, "dir");
    CHECK(!mkdir(path("in/dir/sub"), 0700));
    sub = (uint64_t)lookup(d, "sub");
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "in/dir/sub/%d", i);
        file(name, name);
        snprintf(name, sizeof(name), "%d", i);
        node[i] = (uint64_t)lookup(sub, name);
        ino[i] = BODY(struct fuse_entry_out).attr.ino;
    }
    for (int i = 0; i < 400; i += 7) {
        CHECK_EQ(ask(FUSE_GETATTR, node[i], &a, sizeof(a), NULL, NULL), 0);
        CHECK_EQ(BODY(struct fuse_attr_out).attr.ino, ino[i]);
    }
    /* moved by the guest: found where it went; removed: still there */
    mv.newdir = ROOT;
    CHECK_EQ(ask(FUSE_RENAME, d, &mv, 8, "sub", "moved"), 0);
    CHECK_EQ(ask(FUSE_UNLINK, sub, NULL, 0, "5", NULL), 0);
    for (int i = 399; i >= 0; i--)
        CHECK_EQ(ask(FUSE_GETATTR, node[i], &a, sizeof(a), NULL, NULL), 0);
    /* replaced by the host: not the same file */
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "in/moved/%d", i + 300);
        file("in/other", "other");
        CHECK(!rename(path("in/other"), path(name)));
    }
    for (int i = 200; i < 300; i++)
        CHECK_EQ(ask(FUSE_GETATTR, node[i], &a, sizeof(a), NULL, NULL), 0);
    CHECK_EQ(ask(FUSE_GETATTR, node[399], &a, sizeof(a), NULL, NULL), -ESTALE);
    CHECK((uint64_t)lookup(sub, "399") != node[399]);
    down();
}

static void folders_are_listed_in_pieces(void)
{
    struct fuse_open_in o = {0};
    struct fuse_read_in r = {.size = 300};
    unsigned seen = 0, pieces = 0;
    char name[32];
    uint64_t d;

    up(false);
    d = (uint64_t)lookup(ROOT, "dir");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "in/dir/f\n\xff%d", i);
        file(name, "");
    }
    CHECK_EQ(ask(FUSE_OPENDIR, d, &o, sizeof(o), NULL, NULL), 0);
    r.fh = BODY(struct fuse_open_out).fh;
    do {
        CHECK_EQ(ask(FUSE_READDIR, d, &r, sizeof(r), NULL, NULL), 0);
        CHECK(got <= 300);
        for (uint32_t at = 0; at < got; seen++) {
            struct fuse_dirent *e = (void *)(&BODY(char) + at);

            r.offset = e->off;
            at += (uint32_t)FUSE_DIRENT_SIZE(e);
        }
        pieces++;
    } while (got && pieces < 200);
    CHECK_EQ(seen, 102);
    CHECK(pieces > 10);
    r.offset = 0;
    r.size = 4096;
    CHECK_EQ(ask(FUSE_READDIRPLUS, d, &r, sizeof(r), NULL, NULL), 0);
    CHECK(got > 1000);
    CHECK_EQ(ask(FUSE_READDIR, d, &r, sizeof(r) - 1, NULL, NULL), -EINVAL);
    r.fh++;
    CHECK_EQ(ask(FUSE_READDIR, d, &r, sizeof(r), NULL, NULL), -EBADF);
    down();
}

/* As a user without root: owners are in an attribute that nobody else sees. */
static void a_user_has_root_in_the_guest(void)
{
    struct fuse_create_in c = {.flags = O_RDWR, .mode = 0400};
    struct fuse_setattr_in a = {
        .valid = FATTR_UID | FATTR_GID, .uid = 1000, .gid = 1001};
    struct fuse_getxattr_in x = {.size = 100};
    struct fuse_getattr_in g = {0};
    struct stat st;
    uint64_t n;

    up(false);
    share_close(s);
    if (!geteuid()) {
        CHECK(!chown(path("in"), 1234, 1234));
        CHECK(!setegid(1234) && !seteuid(1234));
    }
    start(false);
    CHECK_EQ(ask(FUSE_GETATTR, ROOT, &g, sizeof(g), NULL, NULL), 0);
    CHECK_EQ(BODY(struct fuse_attr_out).attr.uid, 0);
    CHECK_EQ(ask(FUSE_CREATE, ROOT, &c, sizeof(c), "mine", NULL), 0);
    n = BODY(struct fuse_entry_out).nodeid;
    CHECK_EQ(BODY(struct fuse_entry_out).attr.mode, S_IFREG | 0400);
    CHECK(!stat(path("in/mine"), &st) && (st.st_mode & 07777) == 0600);
    if (getxattr(path("in/mine"), "user.containers.override_stat", NULL, 0) <
        0) {
        test_skipped = "no user attributes here";
    } else {
        CHECK_EQ(ask(FUSE_SETATTR, n, &a, sizeof(a), NULL, NULL), 0);
        CHECK_EQ(BODY(struct fuse_attr_out).attr.uid, 1000);
        CHECK_EQ(BODY(struct fuse_attr_out).attr.gid, 1001);
        a.valid = FATTR_MODE;
        a.mode = 04755;
        CHECK_EQ(ask(FUSE_SETATTR, n, &a, sizeof(a), NULL, NULL), 0);
        CHECK_EQ(BODY(struct fuse_attr_out).attr.mode, S_IFREG | 04755);
        CHECK(!stat(path("in/mine"), &st) && (st.st_mode & 07777) == 0755);
        CHECK_EQ(ask(FUSE_GETXATTR, n, &x, sizeof(x),
                     "user.containers.override_stat", NULL),
                 -ENODATA);
        CHECK_EQ(ask(FUSE_SETXATTR, n, &x, 8, "user.containers.override_stat",
                     "0:0:04777"),
                 -EPERM);
        CHECK_EQ(ask(FUSE_LISTXATTR, n, &x, sizeof(x), NULL, NULL), 0);
        CHECK_EQ(got, 0);
        uid = gid = 1000;
        CHECK_EQ(ask(FUSE_MKDIR, ROOT, &(uint64_t){0755}, 8, "d", NULL), 0);
        CHECK_EQ(BODY(struct fuse_entry_out).attr.uid, 1000);
    }
    share_close(s);
    if (seteuid(0) || setegid(0))
        errno = 0; /* was nobody before */
    start(false);
    down();
}

int main(void)
{
    RUN(names_do_not_lead_out);
    RUN(setattr_of_a_link_is_of_the_link);
    RUN(devices_and_fifos_are_not_opened);
    RUN(files_are_written_and_read);
    RUN(read_only_is_kept_by_the_server);
    RUN(made_up_numbers_are_refused);
    RUN(nodes_go_with_their_last_lookup);
    RUN(folders_are_listed_in_pieces);
    RUN(a_user_has_root_in_the_guest);
    RUN(what_the_guest_knows_survives_a_state_file);
    RUN(a_child_has_what_has_no_name);
    RUN(a_saved_share_is_not_trusted);
    RUN(few_descriptors_are_enough);
    return test_status();
}
