/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_vsock.c - `--vsock PATH[,cid=N]` and `--port NAME=unix:PATH`: what the
 * guest and programs of the host can talk through without a network.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int cid_parse(const char *text, const char *cid, uint32_t *to,
                     struct error *err)
{
    unsigned long long n;
    char *end;

    errno = 0;
    n = strtoull(cid, &end, 10);
    if (*cid < '0' || *cid > '9' || *end || errno || n < VSOCK_CID_FIRST ||
        n > VSOCK_CID_LAST)
        return error_set(err, EINVAL,
                         "--vsock %s: give a cid from %u to %u; lower ones "
                         "are the host's",
                         text, VSOCK_CID_FIRST, VSOCK_CID_LAST);
    *to = (uint32_t)n;
    return 0;
}

int boot_vsock(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct vsock_config *c = &a->cfg.vsock;
    const char *cid;

    if (c->cid)
        return error_set(err, EINVAL, "--vsock %s: one is enough", v);
    if (strlen(v) >= sizeof(a->vsock_path))
        return error_set(err, EINVAL, "--vsock %s: too long", v);
    strcpy(a->vsock_path, v);
    c->cid = VSOCK_CID_FIRST;
    if (boot_word_take(a->vsock_path, &cid, "cid=") &&
        cid_parse(v, cid, &c->cid, err))
        return -err->code;
    if (!a->vsock_path[0])
        return error_set(err, EINVAL, "--vsock %s: give PATH or PATH,cid=N", v);
    c->path = a->vsock_path;
    return 0;
}

int boot_port(void *ctx, const char *v, struct error *err)
{
    struct machine_config *c = &((struct boot_args *)ctx)->cfg;
    unsigned i;

    if (c->ports == MACHINE_PORTS_MAX)
        return error_set(err, EINVAL, "--port %s: at most %d ports", v,
                         MACHINE_PORTS_MAX);
    if (port_config_parse(&c->port[c->ports], v, err))
        return error_prefix(err, "--port %s", v);
    for (i = 0; i < c->ports; i++)
        if (!strcmp(c->port[i].name, c->port[c->ports].name))
            return error_set(err, EINVAL,
                             "--port %s: there is one of this name", v);
    c->ports++;
    return 0;
}

/* Those given lead elsewhere now; the guest sees the same. */
int boot_restore_ports(struct machine_config *c,
                       const struct machine_config *given, bool fork,
                       struct error *err)
{
    unsigned i, k;

    for (i = 0; fork && i < c->ports; i++)
        if (!*c->port[i].base)
            memcpy(c->port[i].base, c->port[i].path, sizeof(c->port[i].base));
    for (k = 0; k < given->ports; k++) {
        const struct port_config *g = &given->port[k];

        for (i = 0; i < c->ports; i++)
            if (!strcmp(c->port[i].name, g->name))
                break;
        if (i == c->ports)
            return error_set(err, EINVAL, "has no port %s; leave it out",
                             g->name);
        c->port[i].kind = g->kind;
        memcpy(c->port[i].path, g->path, sizeof(g->path));
    }
    return 0;
}

int boot_restore_vsock(struct machine_config *c,
                       const struct machine_config *given, bool fork,
                       struct error *err)
{
    struct vsock_config *v = &c->vsock;

    if (given->vsock.cid && !v->cid)
        return error_set(err, EINVAL, "has no vsock; leave --vsock out");
    if (fork && !v->base)
        v->base = v->path;
    if (!given->vsock.cid)
        return 0;
    v->path = given->vsock.path;
    v->cid = given->vsock.cid;
    if (!fork)
        v->base = NULL;
    return 0;
}
