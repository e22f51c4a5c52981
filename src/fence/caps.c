/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

bool caps_find(const char *name, unsigned *cap)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcasecmp(name, names[i]) || !strcasecmp(name, names[i] + 4)) {
            *cap = i;
            return true;
        }
    return false;
}

const char *caps_name(unsigned cap)
{
    return cap < ARRAY_SIZE(names) ? names[cap] : NULL;
}

uint64_t caps_of_kernel(void)
{
    unsigned n = ARRAY_SIZE(names);

    /* A number beyond the kernel's last is EINVAL. */
    while (n && prctl(PR_CAPBSET_READ, n - 1, 0, 0, 0) < 0)
        n--;
    return n ? ~0ull >> (64 - n) : 0;
}

static uint64_t joined(const struct __user_cap_data_struct d[2], size_t at)
{
    uint32_t low, high;

    memcpy(&low, (const char *)&d[0] + at, sizeof(low));
    memcpy(&high, (const char *)&d[1] + at, sizeof(high));
    return low | (uint64_t)high << 32;
}

int caps_get(struct caps_sets *sets, struct error *err)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];

    if (syscall(SYS_capget, &h, d))
        return error_set(err, errno, "capget: %s", strerror(errno));
    sets->effective =
        joined(d, offsetof(struct __user_cap_data_struct, effective));
    sets->permitted =
        joined(d, offsetof(struct __user_cap_data_struct, permitted));
    sets->inheritable =
        joined(d, offsetof(struct __user_cap_data_struct, inheritable));
    return 0;
}

int caps_set_bounding(uint64_t bounding, struct error *err)
{
    uint64_t drop = caps_of_kernel() & ~bounding;
    unsigned i;

    for (i = 0; drop >> i; i++)
        if ((drop & BIT64(i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) &&
            (errno != EPERM || prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1))
            return error_set(err, errno,
                             "cannot drop %s from the bounding set: %s",
                             caps_name(i), strerror(errno));
    return 0;
}

static int raise_ambient(uint64_t ambient, struct error *err)
{
    unsigned i;

    for (i = 0; ambient >> i; i++)
        if ((ambient & BIT64(i)) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0))
            return error_set(err, errno,
                             "cannot raise %s in the ambient set: %s",
                             caps_name(i), strerror(errno));
    return 0;
}

int caps_set(const struct caps_sets *s, struct error *err)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    uint64_t possible = s->permitted & s->inheritable;
    unsigned i;

    for (i = 0; i < 2; i++) {
        d[i].effective = (uint32_t)(s->effective >> 32 * i);
        d[i].permitted = (uint32_t)(s->permitted >> 32 * i);
        d[i].inheritable = (uint32_t)(s->inheritable >> 32 * i);
    }
    if (syscall(SYS_capset, &h, d))
        return error_set(err, errno, "cannot set capabilities: %s",
                         strerror(errno));
    if (s->ambient & ~possible)
        log_debug("ambient capabilities that are not permitted and "
                  "inheritable are left out");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return raise_ambient(s->ambient & possible, err);
}
