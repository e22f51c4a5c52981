/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_mounts.c - the hierarchies of /proc/self/mountinfo: mounted anywhere,
 * in any grouping, some of them hidden behind later mounts.
 */
#include "fence/cgroup_int.h"

#include <stdlib.h>
#include <string.h>

/* Cuts the next word off *s. NULL: there is none. */
static char *word_next(char **s)
{
    char *word = strsep(s, " ");

    return word && *word ? word : NULL;
}

/* "\040" is a blank, and so on, in place. */
static void octal_undo(char *s)
{
    char *to = s;

    for (; *s; s++, to++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
            s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to = *s;
        }
    }
    *to = '\0';
}

bool cgroup_path_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    if (len == 1)
        return true;
    return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

static bool tree_known(const struct cgroup_host *host, bool v2,
                       uint32_t controllers)
{
    for (unsigned i = 0; i < host->count; i++)
        if (v2 ? host->tree[i].v2
               : !host->tree[i].v2 && (host->tree[i].controllers & controllers))
            return true;
    return false;
}

bool cgroup_mount_add(struct cgroup_host *host, bool v2, uint32_t controllers,
                      const char *mount, const char *root)
{
    struct cgroup_mount m = {controllers, v2, mount, root, "/"};

    if ((!v2 && !controllers) || host->count == CGROUP_TREES ||
        tree_known(host, v2, controllers))
        return false;
    host->tree[host->count++] = m;
    return true;
}

/* One line of mountinfo, as far as it matters. */
struct line {
    int id, parent;
    const char *root, *place, *type;
    char *super;
};

/* "36 35 98:0 /root /place opts [tags] - type source super,opts" [proc(5)] */
static bool line_parse(struct line *l, char *text)
{
    char *tail = strstr(text, " - "), *id, *parent, *root, *place;

    if (!tail)
        return false;
    *tail = '\0';
    tail += 3;
    id = word_next(&text);
    parent = word_next(&text);
    word_next(&text);
    root = word_next(&text);
    place = word_next(&text);
    l->type = word_next(&tail);
    word_next(&tail);
    l->super = tail;
    if (!id || !parent || !root || !place || !l->type || !tail)
        return false;
    octal_undo(root);
    octal_undo(place);
    l->id = atoi(id);
    l->parent = atoi(parent);
    l->root = root;
    l->place = place;
    return true;
}

static const struct line *line_find(const struct line *list, unsigned count,
                                    int id)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i].id == id)
            return &list[i];
    return NULL;
}

/*
 * Whoever follows the path to a mount's place must come by all mounts that it
 * hangs on. Another child of one of these, mounted at or above the place of
 * the next, leads elsewhere; so does one mounted on top of the last. (Lines
 * are in no helpful order: the root of a host that began in an initramfs
 * comes late.)
 */
static bool line_hidden(const struct line *list, unsigned count,
                        const struct line *l)
{
    const struct line *at = l;

    for (unsigned depth = 0; at && at->id != at->parent && depth < count;
         depth++) {
        for (unsigned i = 0; i < count; i++)
            if (list[i].parent == at->parent && &list[i] != at &&
                list[i].id != at->parent &&
                cgroup_path_below(at->place, list[i].place))
                return true;
        at = line_find(list, count, at->parent);
    }
    for (unsigned i = 0; i < count; i++)
        if (list[i].parent == l->id && &list[i] != l &&
            !strcmp(list[i].place, l->place))
            return true;
    return false;
}

static void lines_look(struct cgroup_host *host, const struct line *list,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct line *l = &list[i];
        bool v2 = !strcmp(l->type, "cgroup2");

        if ((v2 || !strcmp(l->type, "cgroup")) && !line_hidden(list, count, l))
            (void)cgroup_mount_add(host, v2,
                                   v2 ? CGROUP_V2_ALWAYS
                                      : cgroup_words_parse(l->super, ","),
                                   l->place, l->root);
    }
}

void cgroup_mounts_parse(struct cgroup_host *host, char *text)
{
    unsigned room = 1, count = 0;
    struct line *list;
    char *line;

    for (const char *at = text; (at = strchr(at, '\n')); at++)
        room++;
    list = calloc(room, sizeof(*list));
    while (list && count < room && (line = strsep(&text, "\n")))
        count += line_parse(&list[count], line);
    if (list)
        lines_look(host, list, count);
    free(list);
}
