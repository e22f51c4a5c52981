/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fence/path.h"

/* <sys/mount.h> clashes with <linux/mount.h> in Debian 12's headers. */
int mount(const char *source, const char *target, const char *type,
          unsigned long flags, const void *data);

#define ATIME MOUNT_ATTR__ATIME

/* An option: bits of mount(2), and the same as an attribute. */
struct option {
    const char *name;
    unsigned long set, clear;
    uint64_t attr_set, attr_clear;
    bool recursive;
};

/* clang-format off */
#define PAIR(on, off, ms, attr)                                                \
    {on, ms, 0, attr, 0, false}, {off, 0, ms, 0, attr, false}
#define REC(on, off, attr)                                                     \
    {on, 0, 0, attr, 0, true}, {off, 0, 0, 0, attr, true}
#define FLAG(on, off, ms)                                                      \
    {on, ms, 0, 0, 0, false}, {off, 0, ms, 0, 0, false}

static const struct option options[] = {
    {"defaults", 0, 0, 0, 0, false},
    PAIR("ro", "rw", MS_RDONLY, MOUNT_ATTR_RDONLY),
    PAIR("nosuid", "suid", MS_NOSUID, MOUNT_ATTR_NOSUID),
    PAIR("nodev", "dev", MS_NODEV, MOUNT_ATTR_NODEV),
    PAIR("noexec", "exec", MS_NOEXEC, MOUNT_ATTR_NOEXEC),
    PAIR("nosymfollow", "symfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
    PAIR("nodiratime", "diratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    {"noatime", MS_NOATIME, 0, MOUNT_ATTR_NOATIME, ATIME, false},
    {"atime", 0, MS_NOATIME, MOUNT_ATTR_RELATIME, ATIME, false},
    {"relatime", MS_RELATIME, 0, MOUNT_ATTR_RELATIME, ATIME, false},
    {"norelatime", 0, MS_RELATIME, 0, 0, false},
    {"strictatime", MS_STRICTATIME, 0, MOUNT_ATTR_STRICTATIME, ATIME, false},
    {"nostrictatime", 0, MS_STRICTATIME, 0, 0, false},
    REC("rro", "rrw", MOUNT_ATTR_RDONLY),
    REC("rnosuid", "rsuid", MOUNT_ATTR_NOSUID),
    REC("rnodev", "rdev", MOUNT_ATTR_NODEV),
    REC("rnoexec", "rexec", MOUNT_ATTR_NOEXEC),
    REC("rnosymfollow", "rsymfollow", MOUNT_ATTR_NOSYMFOLLOW),
    REC("rnodiratime", "rdiratime", MOUNT_ATTR_NODIRATIME),
    {"rnoatime", 0, 0, MOUNT_ATTR_NOATIME, ATIME, true},
    {"ratime", 0, 0, MOUNT_ATTR_RELATIME, ATIME, true},
    {"rrelatime", 0, 0, MOUNT_ATTR_RELATIME, ATIME, true},
    {"rnorelatime", 0, 0, MOUNT_ATTR_STRICTATIME, ATIME, true},
    {"rstrictatime", 0, 0, MOUNT_ATTR_STRICTATIME, ATIME, true},
    {"rnostrictatime", 0, 0, MOUNT_ATTR_RELATIME, ATIME, true},
    FLAG("sync", "async", MS_SYNCHRONOUS),
    FLAG("mand", "nomand", MS_MANDLOCK),
    FLAG("lazytime", "nolazytime", MS_LAZYTIME),
    FLAG("iversion", "noiversion", MS_I_VERSION),
    FLAG("silent", "loud", MS_SILENT),
    {"dirsync", MS_DIRSYNC, 0, 0, 0, false},
    {"remount", MS_REMOUNT, 0, 0, 0, false},
    {"bind", MS_BIND, 0, 0, 0, false},
    {"rbind", MS_BIND | MS_REC, 0, 0, 0, false},
};

static const struct {
    const char *name;
    unsigned long flags;
} propagations[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

static const struct {
    const char *name;
    size_t at; /* of a bool in struct mount_options */
} extensions[] = {
    {"tmpcopyup", offsetof(struct mount_options, copy_up)},
    {"idmap", offsetof(struct mount_options, idmap)},
    {"ridmap", offsetof(struct mount_options, idmap_recursive)},
    {"src-nofollow", offsetof(struct mount_options, nofollow)},
    {"dest-nofollow", offsetof(struct mount_options, dest_nofollow)},
    {"copy-symlink", offsetof(struct mount_options, nofollow)},
};
/* clang-format on */

static void attr_add(uint64_t *set, uint64_t *clear, const struct option *o)
{
    *set = (*set & ~o->attr_clear) | o->attr_set;
    *clear = (*clear & ~o->attr_set) | o->attr_clear;
}

static bool option_apply(struct mount_options *m, const char *name)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(options); i++) {
        const struct option *o = &options[i];

        if (strcmp(o->name, name))
            continue;
        m->flags = (m->flags & ~o->clear) | o->set;
        if (o->recursive)
            attr_add(&m->rec_set, &m->rec_clear, o);
        else
            attr_add(&m->attr_set, &m->attr_clear, o);
        return true;
    }
    for (i = 0; i < ARRAY_SIZE(propagations); i++)
        if (!strcmp(propagations[i].name, name)) {
            m->propagation = propagations[i].flags;
            return true;
        }
    for (i = 0; i < ARRAY_SIZE(extensions); i++)
        if (!strcmp(extensions[i].name, name)) {
            *((bool *)((char *)m + extensions[i].at)) = true;
            return true;
        }
    return false;
}

const char *mount_option_name(unsigned i)
{
    if (i < ARRAY_SIZE(options))
        return options[i].name;
    i -= ARRAY_SIZE(options);
    if (i < ARRAY_SIZE(propagations))
        return propagations[i].name;
    i -= ARRAY_SIZE(propagations);
    return i < ARRAY_SIZE(extensions) ? extensions[i].name : NULL;
}

int mount_parse(struct arena *a, const char *const *list, unsigned count,
                struct mount_options *out, struct error *err)
{
    unsigned i;

    memset(out, 0, sizeof(*out));
    for (i = 0; i < count; i++) {
        if (option_apply(out, list[i]))
            continue;
        out->data =
            out->data ? arena_printf(a, "%s,%s", out->data, list[i]) : list[i];
    }
    if (out->data && strlen(out->data) >= 4096)
        return error_set(err, EINVAL,
                         "options for the file system have more than 4095 "
                         "characters");
    /* ridmap is idmap, for all that is below, too. */
    out->idmap |= out->idmap_recursive;
    return 0;
}

int mount_copy(int dir, const char *source, bool recursive, bool nofollow,
               struct error *err)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    int fd;

    if (recursive)
        flags |= AT_RECURSIVE;
    if (nofollow)
        flags |= AT_SYMLINK_NOFOLLOW;
    if (!source[0])
        flags |= AT_EMPTY_PATH;
    fd = (int)syscall(SYS_open_tree, dir, source, flags);
    if (fd < 0)
        return error_set(err, errno, "cannot bind %s: %s", source,
                         errno == ENOSYS ? "needs Linux 5.12"
                                         : strerror(errno));
    return fd;
}

int mount_tmpfs(mode_t mode, struct error *err)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), fd = -1;
    char text[16];

    snprintf(text, sizeof(text), "%o", mode);
    if (fs >= 0 &&
        !syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", text, 0) &&
        !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                          MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
    if (fd < 0)
        error_set(err, errno, "cannot make a tmpfs: %s", strerror(errno));
    if (fs >= 0)
        close(fs);
    return fd < 0 ? -err->code : fd;
}

int mount_attr(int mount, uint64_t set, uint64_t clear, bool recursive,
               int userns, struct error *err)
{
    struct mount_attr a = {.attr_set = set, .attr_clr = clear};

    if (userns >= 0) {
        a.attr_set |= MOUNT_ATTR_IDMAP;
        a.userns_fd = (unsigned)userns;
    }
    if (!a.attr_set && !a.attr_clr)
        return 0;
    if (syscall(SYS_mount_setattr, mount, "",
                AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &a, sizeof(a)))
        return error_set(err, errno, "cannot set a mount's attributes%s: %s",
                         userns >= 0 ? " (idmap)" : "",
                         userns >= 0 && errno == EINVAL
                             ? "this file system cannot be id-mapped"
                             : strerror(errno));
    return 0;
}

int mount_follow(int mount, struct error *err)
{
    struct mount_attr a = {.propagation = MS_SLAVE};

    if (syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &a,
                sizeof(a)))
        return error_set(err, errno, "cannot set a mount's propagation: %s",
                         strerror(errno));
    return 0;
}

int mount_put(int mount, int target, struct error *err)
{
    if (syscall(SYS_move_mount, mount, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
        return error_set(err, errno, "cannot mount: %s", strerror(errno));
    return 0;
}

int mount_bind(int dir, const char *source, bool recursive, uint64_t set,
               int target, struct error *err)
{
    int fd = mount_copy(dir, source, recursive, false, err), e;

    if (fd < 0)
        return fd;
    e = mount_attr(fd, set, 0, recursive, -1, err);
    if (!e)
        e = mount_put(fd, target, err);
    close(fd);
    return e;
}

int mount_new(const char *type, const char *source, int target,
              const struct mount_options *o, struct error *err)
{
    struct path_of_fd at = path_of_fd(target);

    if (mount(source ? source : type, at.text, type, o->flags, o->data))
        return error_set(err, errno, "cannot mount %s: %s", type,
                         strerror(errno));
    return 0;
}

int mount_propagation(int at, unsigned long flags, struct error *err)
{
    if (mount(NULL, path_of_fd(at).text, NULL, flags, NULL))
        return error_set(err, errno, "cannot set a mount's propagation: %s",
                         strerror(errno));
    return 0;
}
