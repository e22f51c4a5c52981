/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_find.c - which machines there are: the sockets in the user's own folder,
 * or, for all users, those that the kernel lists by their paths.
 */
#include "cmd/top_int.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SUFFIX     ".sock"
#define ACCEPTS    0x10000u /* __SO_ACCEPTCON, in /proc/net/unix */
#define LINES_MAX  100000u
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)

static struct top_item *item_at(const struct top *t, const char *path)
{
    for (unsigned i = 0; i < t->items; i++)
        if (!strcmp(t->item[i]->at.sun_path, path))
            return t->item[i];
    return NULL;
}

/* The name of the machine whose socket that is. False: it is none. */
static bool socket_name(const char *path, char name[NAME_LEN_MAX + 1])
{
    const char *base = strrchr(path, '/');
    size_t len = base ? strlen(++base) : 0;
    struct error err;

    if (len <= SUFFIX_LEN || len - SUFFIX_LEN > NAME_LEN_MAX ||
        strcmp(base + len - SUFFIX_LEN, SUFFIX))
        return false;
    memcpy(name, base, len - SUFFIX_LEN);
    name[len - SUFFIX_LEN] = '\0';
    return !name_check(name, &err);
}

static void found(struct top *t, const char *path)
{
    char name[NAME_LEN_MAX + 1];
    struct top_item *it = item_at(t, path);
    struct stat st;

    if (!it) {
        if (t->items == TOP_ITEMS_MAX ||
            strlen(path) >= sizeof(it->at.sun_path) || !socket_name(path, name))
            return;
        it = calloc(1, sizeof(*it));
        if (!it)
            return;
        it->at.sun_family = AF_UNIX;
        strcpy(it->at.sun_path, path);
        strcpy(it->name, name);
        it->link.fd = -1;
        if (!stat(path, &st))
            it->uid = st.st_uid;
        t->item[t->items++] = it;
    }
    it->found = true;
}

static void find_own(struct top *t)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)], path[512];
    struct error err;
    struct dirent *e;
    DIR *d;

    if (names_folder(folder, sizeof(folder), false, &err) ||
        !(d = opendir(folder)))
        return;
    while ((e = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        found(t, path);
    }
    closedir(d);
}

/* .../ringfence/NAME.sock or .../ringfence-UID/NAME.sock */
static bool in_our_folder(const char *path)
{
    const char *end = strrchr(path, '/'), *start = end;

    if (*path != '/' || end == path)
        return false;
    while (start > path && start[-1] != '/')
        start--;
    return !strncmp(start, "ringfence/", 10) ||
           !strncmp(start, "ringfence-", 10);
}

/* Num: RefCount Protocol Flags Type St Inode Path */
static void find_all(struct top *t)
{
    FILE *f = fopen("/proc/net/unix", "re");
    char line[512], path[256];
    unsigned flags, n = 0;

    while (f && n++ < LINES_MAX && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*x %*x %x %*x %*x %*u %255[^\n]", &flags,
                   path) == 2 &&
            (flags & ACCEPTS) && in_our_folder(path))
            found(t, path);
    if (f)
        fclose(f);
}

static void item_free(struct top_item *it)
{
    top_link_close(&it->link);
    free(it->link.buf);
    free(it);
}

/* Those that never said a word are not missed. */
static bool forget(struct top_item *it)
{
    if (it->link.fd >= 0)
        return false;
    if (!it->found && it->state != TOP_GONE) {
        it->state = TOP_GONE;
        it->gone_ns = clock_host_now();
    }
    if (it->state != TOP_GONE)
        return false;
    return !it->samples || clock_host_now() - it->gone_ns > TOP_GONE_NS;
}

void top_begin(struct top *t)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < t->items; i++)
        t->item[i]->found = false;
    top_find_containers(t); /* first: sockets may be many that nobody has */
    find_own(t);
    if (t->all)
        find_all(t);
    for (unsigned i = 0; i < t->items; i++) {
        if (t->item[i]->container && t->item[i]->found)
            top_container_ask(t->item[i]);
        else if (t->item[i]->found || t->item[i]->link.fd >= 0)
            top_ask(t->item[i]);
        if (forget(t->item[i]))
            item_free(t->item[i]);
        else
            t->item[kept++] = t->item[i];
    }
    t->items = kept;
}

void top_free(struct top *t)
{
    while (t->items)
        item_free(t->item[--t->items]);
}
