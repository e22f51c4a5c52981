/* SPDX-License-Identifier: Apache-2.0 */
/* boot_kernel.c - options for what is booted: modules, or firmware. */
#include "cmd/boot_int.h"

#include <errno.h>
#include <string.h>

int boot_firmware_file(void *ctx, const char *v, struct error *err)
{
    (void)err;
    ((struct boot_args *)ctx)->cfg.firmware = v;
    return 0;
}

int boot_unpack_by(void *ctx, const char *v, struct error *err)
{
    static const char *const names[] = {
        [BOOT_UNPACK_GUEST] = "guest",
        [BOOT_UNPACK_HOST] = "host",
        [BOOT_UNPACK_AUTO] = "auto",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(v, names[i])) {
            ((struct boot_args *)ctx)->cfg.unpack = i;
            return 0;
        }
    }
    return error_set(err, EINVAL, "--unpack %s: give auto, host or guest", v);
}

/* FILE[,TEXT]: the text may have commas, the file's name none. */
int boot_module(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct machine_config *c = &a->cfg;
    char *path = a->module_path[c->modules], *comma;

    if (c->modules == MACHINE_MODULES_MAX)
        return error_set(err, EINVAL, "--module %s: at most %d modules", v,
                         MACHINE_MODULES_MAX);
    if (!*v || *v == ',' || strlen(v) >= sizeof(a->module_path[0]))
        return error_set(err, EINVAL, "--module %s: give FILE or FILE,TEXT", v);
    strcpy(path, v);
    comma = strchr(path, ',');
    if (comma)
        *comma++ = 0;
    c->module[c->modules].path = path;
    c->module[c->modules].text = comma;
    c->modules++;
    return 0;
}

/* Firmware or a kernel; what belongs to the latter does not go with both. */
int boot_check_kernel(struct boot_args *a, struct error *err)
{
    struct machine_config *c = &a->cfg;

    if (!c->firmware)
        return c->kernel
                   ? 0
                   : error_set(err, EINVAL, "no kernel; give --kernel FILE");
    if (a->replay || a->snapshot)
        return 0;
    if (c->kernel || c->initrd || c->modules || strcmp(c->append, BOOT_APPEND))
        return error_set(err, EINVAL,
                         "--firmware %s: it boots from a disk; leave out "
                         "--kernel, --initrd, --module and --append",
                         c->firmware);
    c->append = NULL;
    return 0;
}
