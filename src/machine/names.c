/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int name_check(const char *name, struct error *err)
{
    size_t len = strlen(name), i;

    if (!len || len > NAME_LEN_MAX || *name == '.' || *name == '-')
        goto bad;
    for (i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            goto bad;
    return 0;
bad:
    return error_set(err, EINVAL,
                     "%s: not a name; use up to %d letters, digits, `.', `_' "
                     "and `-'",
                     name, NAME_LEN_MAX);
}

static int folder_make(const char *path, struct error *err)
{
    struct stat st;

    if (mkdir(path, 0700) && errno != EEXIST)
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    if (lstat(path, &st))
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return error_set(err, EPERM,
                         "%s: must be a folder of yours with mode 0700; "
                         "remove it",
                         path);
    return 0;
}

int names_folder(char *path, size_t len, bool make, struct error *err)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    int n;

    if (run && *run == '/')
        n = snprintf(path, len, "%s/ringfence", run);
    else if (!geteuid())
        n = snprintf(path, len, "/run/ringfence");
    else
        n = snprintf(path, len, "/tmp/ringfence-%u", (unsigned)geteuid());
    if (n < 0 || (size_t)n >= len)
        return error_set(err, ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
    return make ? folder_make(path, err) : 0;
}

int name_address(struct sockaddr_un *sa, const char *name, struct error *err)
{
    char folder[sizeof(sa->sun_path)];
    int n;

    if (name_check(name, err) ||
        names_folder(folder, sizeof(folder), false, err))
        return -err->code;
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/%s.sock", folder,
                 name);
    if (n < 0 || (size_t)n >= sizeof(sa->sun_path))
        return error_set(err, ENAMETOOLONG,
                         "%s/%s.sock: too long for a socket; set "
                         "XDG_RUNTIME_DIR",
                         folder, name);
    return 0;
}
