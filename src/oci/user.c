/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fence/path.h"

#define LINES_MAX 100000
#define BYTES_MAX (16 * MiB) /* a sparse file may have many more */

static bool number(const char *text, uint32_t *value)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);

    /* strtoull() takes signs and spaces, too. */
    if (text[0] < '0' || text[0] > '9' || *end || v > UINT32_MAX - 1)
        return false;
    *value = (uint32_t)v;
    return true;
}

static FILE *open_in(int root, const char *path)
{
    int fd = path_open_in(root, path, O_RDONLY | O_NONBLOCK);
    struct stat st;
    FILE *f;

    if (fd < 0)
        return NULL;
    f = !fstat(fd, &st) && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (!f)
        close(fd);
    return f;
}

/*
 * The next line, as far as there is room. The rest of one that is too long is
 * no line of its own: what a user may write into a comment there must not make
 * an entry. False: the end, or more than such a file has.
 */
static bool next_line(FILE *f, char *line, size_t size, size_t *budget)
{
    size_t n = 0;
    int c;

    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        if (!(*budget)--)
            return false;
        if (n + 1 < size)
            line[n++] = (char)c;
    }
    line[n] = 0;
    return n || c != EOF;
}

bool user_line_find(FILE *f, const char *name, uint32_t id, struct user_line *l)
{
    size_t budget = BYTES_MAX;
    unsigned lines = 0;
    bool found = false;

    while (!found && lines++ < LINES_MAX &&
           next_line(f, l->text, sizeof(l->text), &budget)) {
        char *rest = l->text, *field[6];
        unsigned n = 0;

        while (n < 6 && (field[n] = strsep(&rest, ":")))
            n++;
        found = n >= 3 && number(field[2], &l->third) &&
                (name ? !strcmp(field[0], name) : l->third == id);
        if (n < 4 || !number(field[3], &l->fourth))
            l->fourth = 0;
        l->sixth = n < 6 ? NULL : field[5];
    }
    return found;
}

static bool find_line(int root, const char *path, const char *name, uint32_t id,
                      struct user_line *l)
{
    FILE *f = open_in(root, path);
    bool found = f && user_line_find(f, name, id, l);

    if (f)
        fclose(f);
    return found;
}

int user_find(int root, const char *text, struct spec_user *u,
              struct error *err)
{
    char *copy = strdup(text), *group;
    struct user_line line = {0};
    int e = 0;

    if (!copy)
        return error_set(err, ENOMEM, "no memory");
    group = strchr(copy, ':');
    if (group)
        *group++ = 0;
    u->gid = 0;
    if (number(copy, &u->uid)) {
        if (find_line(root, "/etc/passwd", NULL, u->uid, &line))
            u->gid = line.fourth;
    } else if (find_line(root, "/etc/passwd", copy, 0, &line)) {
        u->uid = line.third;
        u->gid = line.fourth;
    } else {
        e = error_set(err, ENOENT,
                      "user \"%.80s\": /etc/passwd of the "
                      "container has none",
                      copy);
    }
    if (!e && group && !number(group, &u->gid)) {
        if (find_line(root, "/etc/group", group, 0, &line))
            u->gid = line.third;
        else
            e = error_set(err, ENOENT,
                          "group \"%.80s\": /etc/group of the "
                          "container has none",
                          group);
    }
    free(copy);
    return e;
}

const char *user_home(struct arena *a, int root, uint32_t uid)
{
    struct user_line line;

    if (!find_line(root, "/etc/passwd", NULL, uid, &line) || !line.sixth ||
        line.sixth[0] != '/')
        return NULL;
    return arena_strdup(a, line.sixth);
}
