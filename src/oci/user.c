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
 * The next line. The rest of one that is too long is no line of its own: what
 * a user may write into a comment there must not make an entry.
 */
static bool next_line(FILE *f, char *line, int size)
{
    int c;

    if (!fgets(line, size, f))
        return false;
    if (!strchr(line, '\n'))
        while ((c = getc(f)) != EOF && c != '\n')
            ;
    return true;
}

/* A line of passwd or group, as far as we want it. */
struct entry {
    uint32_t third, fourth; /* the ids; fourth is 0 if it is none */
    char *sixth;            /* into line; NULL: it has fewer fields */
    char line[2048];
};

/* The one whose first field is `name`, or whose third is `id` if that is NULL.
 */
static bool find_line(int root, const char *path, const char *name, uint32_t id,
                      struct entry *e)
{
    FILE *f = open_in(root, path);
    unsigned lines = 0;
    bool found = false;

    while (f && !found && lines++ < LINES_MAX &&
           next_line(f, e->line, sizeof(e->line))) {
        char *rest = e->line, *field[6];
        unsigned n = 0;

        while (n < 6 && (field[n] = strsep(&rest, ":\n")))
            n++;
        found = n >= 3 && number(field[2], &e->third) &&
                (name ? !strcmp(field[0], name) : e->third == id);
        if (n < 4 || !number(field[3], &e->fourth))
            e->fourth = 0;
        e->sixth = n < 6 ? NULL : field[5];
    }
    if (f)
        fclose(f);
    return found;
}

int user_find(int root, const char *text, struct spec_user *u,
              struct error *err)
{
    char *copy = strdup(text), *group;
    struct entry line = {0};
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
    struct entry line;

    if (!find_line(root, "/etc/passwd", NULL, uid, &line) || !line.sixth ||
        line.sixth[0] != '/')
        return NULL;
    return arena_strdup(a, line.sixth);
}
