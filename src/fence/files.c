/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - Landlock. It restricts what may be done by name later on; what
 * is open stays open. Files may be read and written as before: a snapshot
 * may go anywhere, on demand of whoever owns the machine.
 */
#include "fence/fence.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* Of <linux/landlock.h>, which on old distributions has not all of it. */
#define RULE_PATH_BENEATH 1
#define VERSION           1u /* a flag */
#define FS_EXECUTE        BIT64(0)
#define FS_REFER          BIT64(13)
#define NET_BIND_TCP      BIT64(0)
#define NET_CONNECT_TCP   BIT64(1)
#define SCOPE_SIGNAL      BIT64(1)

/* Versions of the interface. */
#define HAS_REFER 2
#define HAS_NET   4
#define HAS_SCOPE 6

struct ruleset {
    uint64_t fs, net, scope;
};

struct beneath {
    uint64_t access;
    int32_t fd;
} __attribute__((packed));

_Static_assert(sizeof(struct beneath) == 12, "the kernel's");

static int allow_fd(int set, int fd, uint64_t access)
{
    struct beneath b = {access, fd};

    return fd < 0 ||
                   syscall(SYS_landlock_add_rule, set, RULE_PATH_BENEATH, &b, 0)
               ? -errno
               : 0;
}

static int allow(int set, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC), rc = allow_fd(set, fd, access);

    if (fd >= 0)
        close(fd);
    return rc;
}

/* The dynamic linker that the program names; false: it needs none. */
static bool interpreter(const char *program, char *path, size_t len)
{
    int fd = open(program, O_RDONLY | O_CLOEXEC);
    bool found = false;
    Elf64_Ehdr e;
    Elf64_Phdr p;
    ssize_t n;

    if (fd < 0)
        return false;
    if (pread(fd, &e, sizeof(e), 0) != sizeof(e))
        e.e_phnum = 0;
    for (unsigned i = 0; i < e.e_phnum && !found; i++) {
        off_t at = (off_t)(e.e_phoff + i * sizeof(p));

        if (pread(fd, &p, sizeof(p), at) != sizeof(p))
            break;
        if (p.p_type != PT_INTERP || p.p_filesz >= len)
            continue;
        n = pread(fd, path, p.p_filesz, (off_t)p.p_offset);
        if (n != (ssize_t)p.p_filesz)
            break;
        path[n] = '\0';
        found = true;
    }
    close(fd);
    return found;
}

/* A fork's child is this program again. */
static int allow_self(int set)
{
    char path[256];
    int rc = allow(set, "/proc/self/exe", FS_EXECUTE);

    if (!rc && interpreter("/proc/self/exe", path, sizeof(path)))
        rc = allow(set, path, FS_EXECUTE);
    return rc;
}

/* Moving from folder to folder needs a right of its own. */
static int rules(int set, bool programs)
{
    int rc = allow(set, "/", FS_REFER);

    if (!rc && !programs)
        rc = allow_self(set);
    return rc;
}

int fence_files(bool programs, bool tcp, struct error *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION);
    struct ruleset r = {.fs = FS_REFER | (programs ? 0 : FS_EXECUTE)};
    int set, rc;

    if (!fence_on())
        return 0;
    if (version < HAS_REFER) {
        log_debug("fence: this kernel has no Landlock, or an old one");
        return 0;
    }
    if (version >= HAS_NET && !tcp)
        r.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (version >= HAS_SCOPE && !programs)
        r.scope = SCOPE_SIGNAL;
    set = (int)syscall(SYS_landlock_create_ruleset, &r,
                       version >= HAS_SCOPE ? 24
                       : version >= HAS_NET ? 16
                                            : 8,
                       0);
    if (set < 0)
        return error_set(err, errno, "landlock: %s", strerror(errno));
    rc = rules(set, programs);
    if (!rc && syscall(SYS_landlock_restrict_self, set, 0))
        rc = -errno;
    close(set);
    if (rc == -E2BIG) { /* a fork of a fork of ...: it is inherited already */
        log_debug("fence: sixteen layers of Landlock already");
        return 0;
    }
    return rc ? error_set(err, -rc, "landlock: %s; --no-fence does without it",
                          strerror(-rc))
              : 0;
}
