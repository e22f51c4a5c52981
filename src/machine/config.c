/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/net.h"
#include "mem/guest_mem.h"

#define TEXT_MAX 65536u

/* 2: who unpacks the kernel; it was the guest before. */
#define CONFIG_VERSION 2

static void put_text(struct state_writer *w, const char *name, const char *text)
{
    size_t len = text ? strlen(text) + 1 : 0;
    char field[32];

    snprintf(field, sizeof(field), "%s_len", name);
    state_put(w, field, len);
    if (len)
        state_put_blob(w, name, text, len);
}

static void put_path(struct state_writer *w, const char *name, const char *path)
{
    char *full = path ? realpath(path, NULL) : NULL;

    put_text(w, name, full ? full : path);
    free(full);
}

/* NULL where there was none. */
static char *get_text(struct state_reader *r, const char *name)
{
    char field[32], *text;
    size_t len;

    snprintf(field, sizeof(field), "%s_len", name);
    len = state_get_max(r, field, TEXT_MAX);
    text = len ? calloc(1, len) : NULL;
    if (text) {
        state_get_blob(r, name, text, len);
        text[len - 1] = 0;
    }
    return text;
}

static void put_net(struct state_writer *w, unsigned i,
                    const struct net_config *c)
{
    state_begin(w, "network", i, 1);
    state_put(w, "kind", c->kind);
    state_put_blob(w, "mac", c->mac, sizeof(c->mac));
    state_put(w, "mtu", c->mtu);
    state_put(w, "able", c->able);
    state_put_blob(w, "name", c->name, sizeof(c->name));
    state_put(w, "restricted", c->restricted);
    state_put(w, "no_ipv6", c->no_ipv6);
    state_put(w, "net", c->net.s_addr);
    state_put(w, "mask", c->mask.s_addr);
    state_put(w, "dns", c->dns.s_addr);
    state_put(w, "forwards", c->forwards);
    state_put_blob(w, "forward", c->forward,
                   c->forwards * sizeof(c->forward[0]));
    state_end(w);
}

static void get_net(struct state_reader *r, unsigned i, struct net_config *c)
{
    *c = (struct net_config){.mac_given = true, .fixed = true};
    state_open(r, "network", i, 1);
    c->kind = (enum net_kind)state_get_max(r, "kind", NET_TAP);
    state_get_blob(r, "mac", c->mac, sizeof(c->mac));
    c->mtu = (uint16_t)state_get_max(r, "mtu", UINT16_MAX);
    c->able = (unsigned)state_get_max(r, "able", NET_ABLE_MASK);
    state_get_blob(r, "name", c->name, sizeof(c->name));
    c->name[sizeof(c->name) - 1] = 0;
    c->restricted = state_get_max(r, "restricted", 1);
    c->no_ipv6 = state_get_max(r, "no_ipv6", 1);
    c->net.s_addr = (in_addr_t)state_get_max(r, "net", UINT32_MAX);
    c->mask.s_addr = (in_addr_t)state_get_max(r, "mask", UINT32_MAX);
    c->dns.s_addr = (in_addr_t)state_get_max(r, "dns", UINT32_MAX);
    c->forwards = (unsigned)state_get_max(r, "forwards", NET_FORWARDS_MAX);
    state_get_blob(r, "forward", c->forward,
                   c->forwards * sizeof(c->forward[0]));
}

static void put_shares(struct state_writer *w, const struct machine_config *cfg)
{
    char name[24];
    unsigned i;

    state_put(w, "shares", cfg->shares);
    for (i = 0; i < cfg->shares; i++) {
        snprintf(name, sizeof(name), "share%u", i);
        put_path(w, name, cfg->share[i].path);
        snprintf(name, sizeof(name), "share%u_tag", i);
        put_text(w, name, cfg->share[i].tag);
        snprintf(name, sizeof(name), "share%u_ro", i);
        state_put(w, name, cfg->share[i].read_only);
    }
}

static void get_shares(struct state_reader *r, struct machine_config *cfg,
                       struct config_text *text)
{
    char name[24];
    unsigned i;

    cfg->shares = (unsigned)state_get_max(r, "shares", MACHINE_SHARES_MAX);
    for (i = 0; i < cfg->shares; i++) {
        snprintf(name, sizeof(name), "share%u", i);
        text->share[i] = get_text(r, name);
        cfg->share[i].path = text->share[i] ? text->share[i] : "";
        snprintf(name, sizeof(name), "share%u_tag", i);
        text->tag[i] = get_text(r, name);
        cfg->share[i].tag = text->tag[i] ? text->tag[i] : "";
        snprintf(name, sizeof(name), "share%u_ro", i);
        cfg->share[i].read_only = state_get_max(r, name, 1);
    }
}

static void put_port(struct state_writer *w, unsigned i,
                     const struct port_config *c)
{
    char *full = realpath(c->path, NULL);

    state_begin(w, "port", i, 1);
    state_put(w, "kind", c->kind);
    put_text(w, "name", c->name);
    put_text(w, "path", full ? full : c->path);
    put_text(w, "base", c->base);
    state_end(w);
    free(full);
}

static void get_chars(struct state_reader *r, const char *name, char *to,
                      size_t room)
{
    char *text = get_text(r, name);

    snprintf(to, room, "%s", text ? text : "");
    free(text);
}

static void get_port(struct state_reader *r, unsigned i, struct port_config *c)
{
    *c = (struct port_config){.kind = PORT_NOWHERE};
    state_open(r, "port", i, 1);
    c->kind = (enum port_kind)state_get_max(r, "kind", PORT_FILE);
    get_chars(r, "name", c->name, sizeof(c->name));
    get_chars(r, "path", c->path, sizeof(c->path));
    get_chars(r, "base", c->base, sizeof(c->base));
}

static void put_modules(struct state_writer *w, const struct machine_config *c)
{
    char name[24];
    unsigned i;

    state_put(w, "modules", c->modules);
    for (i = 0; i < c->modules; i++) {
        snprintf(name, sizeof(name), "module%u", i);
        put_path(w, name, c->module[i].path);
        snprintf(name, sizeof(name), "module%u_text", i);
        put_text(w, name, c->module[i].text);
    }
}

static void get_modules(struct state_reader *r, struct machine_config *c,
                        struct config_text *text)
{
    char name[24];
    unsigned i;

    c->modules = (unsigned)state_get_max(r, "modules", MACHINE_MODULES_MAX);
    for (i = 0; i < c->modules; i++) {
        snprintf(name, sizeof(name), "module%u", i);
        text->module[i] = get_text(r, name);
        c->module[i].path = text->module[i] ? text->module[i] : "";
        snprintf(name, sizeof(name), "module%u_text", i);
        c->module[i].text = text->module_text[i] = get_text(r, name);
    }
}

void config_put(struct state_writer *w, const struct machine_config *cfg,
                const struct net_config *nets)
{
    char name[24];
    unsigned i;

    state_begin(w, "machine", 0, CONFIG_VERSION);
    state_put(w, "cpus", cfg->cpus);
    state_put(w, "memory", cfg->memory);
    put_text(w, "append", cfg->append);
    put_text(w, "cpu", cfg->cpu);
    put_path(w, "kernel", cfg->kernel);
    put_path(w, "initrd", cfg->initrd);
    put_path(w, "firmware", cfg->firmware);
    put_modules(w, cfg);
    state_put(w, "unpack", cfg->unpack);
    state_put(w, "no_reboot", cfg->no_reboot);
    state_put(w, "disks", cfg->disks);
    state_put(w, "networks", cfg->nets);
    state_put(w, "rng", cfg->rng);
    state_put(w, "balloon", cfg->balloon);
    put_shares(w, cfg);
    for (i = 0; i < cfg->disks; i++) {
        snprintf(name, sizeof(name), "disk%u", i);
        put_path(w, name, cfg->disk[i].path);
        snprintf(name, sizeof(name), "disk%u_ro", i);
        state_put(w, name, cfg->disk[i].read_only);
        snprintf(name, sizeof(name), "disk%u_qcow2", i);
        state_put(w, name, cfg->disk[i].qcow2);
    }
    state_put(w, "ports", cfg->ports);
    state_put(w, "vsock_cid", cfg->vsock.cid);
    put_path(w, "vsock", cfg->vsock.path);
    put_path(w, "vsock_base", cfg->vsock.base);
    state_end(w);
    for (i = 0; i < cfg->nets; i++)
        put_net(w, i, &nets[i]);
    for (i = 0; i < cfg->ports; i++)
        put_port(w, i, &cfg->port[i]);
}

void config_get(struct state_reader *r, struct machine_config *cfg,
                struct config_text *text)
{
    unsigned i, version = state_open(r, "machine", 0, CONFIG_VERSION);
    char name[24];

    cfg->cpus = (unsigned)state_get_max(r, "cpus", GUEST_VCPUS_MAX);
    cfg->memory = align_down(state_get(r, "memory"), PAGE_SIZE);
    cfg->append = text->append = get_text(r, "append");
    cfg->cpu = text->cpu = get_text(r, "cpu");
    cfg->kernel = text->kernel = get_text(r, "kernel");
    cfg->initrd = text->initrd = get_text(r, "initrd");
    cfg->firmware = text->firmware = get_text(r, "firmware");
    get_modules(r, cfg, text);
    cfg->unpack = BOOT_UNPACK_GUEST;
    if (version > 1)
        cfg->unpack =
            (enum boot_unpack)state_get_max(r, "unpack", BOOT_UNPACK_AUTO);
    cfg->no_reboot = state_get_max(r, "no_reboot", 1);
    cfg->disks = (unsigned)state_get_max(r, "disks", MACHINE_DISKS_MAX);
    for (i = 0; i < cfg->disks; i++) {
        snprintf(name, sizeof(name), "disk%u", i);
        cfg->disk[i].path = text->disk[i] = get_text(r, name);
        if (!cfg->disk[i].path)
            cfg->disk[i].path = "";
        snprintf(name, sizeof(name), "disk%u_ro", i);
        cfg->disk[i].read_only = state_get_max(r, name, 1);
        snprintf(name, sizeof(name), "disk%u_qcow2", i);
        cfg->disk[i].qcow2 = state_get_max(r, name, 1);
    }
    get_shares(r, cfg, text);
    cfg->nets = (unsigned)state_get_max(r, "networks", MACHINE_NETS_MAX);
    cfg->rng = state_get_max(r, "rng", 1);
    cfg->balloon = state_get_max(r, "balloon", 1);
    cfg->ports = (unsigned)state_get_max(r, "ports", MACHINE_PORTS_MAX);
    cfg->vsock.cid = (uint32_t)state_get_max(r, "vsock_cid", VSOCK_CID_LAST);
    cfg->vsock.path = text->vsock = get_text(r, "vsock");
    cfg->vsock.base = text->vsock_base = get_text(r, "vsock_base");
    if (cfg->vsock.cid < VSOCK_CID_FIRST || !cfg->vsock.path)
        cfg->vsock.cid = 0;
    for (i = 0; i < cfg->nets; i++)
        get_net(r, i, &cfg->net[i]);
    for (i = 0; i < cfg->ports; i++)
        get_port(r, i, &cfg->port[i]);
}

void config_text_free(struct config_text *text)
{
    unsigned i;

    free(text->kernel);
    free(text->initrd);
    free(text->firmware);
    for (i = 0; i < MACHINE_MODULES_MAX; i++) {
        free(text->module[i]);
        free(text->module_text[i]);
    }
    free(text->append);
    free(text->cpu);
    free(text->vsock);
    free(text->vsock_base);
    for (i = 0; i < MACHINE_DISKS_MAX; i++)
        free(text->disk[i]);
    for (i = 0; i < MACHINE_SHARES_MAX; i++) {
        free(text->share[i]);
        free(text->tag[i]);
    }
    *text = (struct config_text){0};
}
