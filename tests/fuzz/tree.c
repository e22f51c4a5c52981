/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char outer[64];

const char *tree_path(const char *name)
{
    static char p[128];

    snprintf(p, sizeof(p), "%s/%s", outer, name);
    return p;
}

static void file(const char *name, const char *text)
{
    int fd = open(tree_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    FUZZ_CHECK(fd >= 0 && write(fd, text, strlen(text)) > 0);
    close(fd);
}

static int remove_one(const char *p, const struct stat *st, int type,
                      struct FTW *w)
{
    (void)st;
    (void)type;
    (void)w;
    return remove(p);
}

void tree_down(void)
{
    if (outer[0])
        nftw(outer, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    outer[0] = 0;
}

void tree_up(unsigned file_max)
{
    struct rlimit small = {file_max, file_max};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    snprintf(outer, sizeof(outer), "%s/rf-fuzz-share-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    FUZZ_CHECK(mkdtemp(outer) != NULL);
    FUZZ_CHECK(!mkdir(tree_path("in"), 0755) &&
               !mkdir(tree_path("in/d"), 0755));
    FUZZ_CHECK(!mkdir(tree_path("next"), 0755));
    file("secret", TREE_SECRET);
    file("next/secret", TREE_SECRET);
    file("in/f", "inside");
    file("in/d/f", "inside");
    FUZZ_CHECK(!symlink("../secret", tree_path("in/l")));
    FUZZ_CHECK(!symlink("../next", tree_path("in/m")));
    FUZZ_CHECK(!mkfifo(tree_path("in/p"), 0666));
}

/* Exactly what was put there, unchanged. */
void tree_check(void)
{
    static const char *const secret[] = {"secret", "next/secret"};
    char buf[64] = {0};
    struct dirent *e;
    unsigned count = 0;
    struct stat st;
    DIR *d;

    for (unsigned i = 0; i < 2; i++) {
        int fd = open(tree_path(secret[i]), O_RDONLY | O_NOFOLLOW);

        FUZZ_CHECK(fd >= 0 &&
                   read(fd, buf, sizeof(buf)) == strlen(TREE_SECRET));
        FUZZ_CHECK(!strcmp(buf, TREE_SECRET));
        FUZZ_CHECK(!fstat(fd, &st) && st.st_nlink == 1 &&
                   (st.st_mode & 07777) == 0644 && st.st_uid == geteuid());
        close(fd);
    }
    for (unsigned i = 0; i < 2; i++) {
        d = opendir(i ? tree_path("next") : outer);
        FUZZ_CHECK(d != NULL);
        while ((e = readdir(d)))
            count++;
        closedir(d);
    }
    FUZZ_CHECK(count == 5 + 3);
    FUZZ_CHECK(!lstat(tree_path("in"), &st) && S_ISDIR(st.st_mode));
}
