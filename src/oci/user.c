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

/*
 * The line whose first field is `name`, or whose third is `id` if name is
 * NULL: its third and fourth fields, as numbers.
 */
static bool find_line(int root, const char *path, const char *name, uint32_t id,
                      uint32_t *third, uint32_t *fourth)
{
    FILE *f = open_in(root, path);
    unsigned lines = 0;
    char line[2048];
    bool found = false;

    while (f && !found && lines++ < LINES_MAX &&
           next_line(f, line, sizeof(line))) {
        char *rest = line, *field[4];
        unsigned n = 0;

        while (n < 4 && (field[n] = strsep(&rest, ":\n")))
            n++;
        found = n >= 3 && number(field[2], third) &&
                (name ? !strcmp(field[0], name) : *third == id);
        if (found && fourth && (n < 4 || !number(field[3], fourth)))
            *fourth = 0;
    }
    if (f)
        fclose(f);
    return found;
}

int user_find(int root, const char *text, struct spec_user *u,
              struct error *err)
{
    char *copy = strdup(text), *group;
    uint32_t uid;
    int e = 0;

    if (!copy)
        return error_set(err, ENOMEM, "no memory");
    group = strchr(copy, ':');
    if (group)
        *group++ = 0;
    u->gid = 0;
    if (number(copy, &u->uid))
        find_line(root, "/etc/passwd", NULL, u->uid, &uid, &u->gid);
    else if (!find_line(root, "/etc/passwd", copy, 0, &u->uid, &u->gid))
        e = error_set(err, ENOENT,
                      "user \"%.80s\": /etc/passwd of the "
                      "container has none",
                      copy);
    if (!e && group && !number(group, &u->gid) &&
        !find_line(root, "/etc/group", group, 0, &u->gid, NULL))
        e = error_set(err, ENOENT,
                      "group \"%.80s\": /etc/group of the "
                      "container has none",
                      group);
    free(copy);
    return e;
}
