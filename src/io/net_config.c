/* SPDX-License-Identifier: Apache-2.0 */
#include "io/net_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_LEN 256

/* A piece of the text, ended where the next one begins. */
static bool word_take(const char **text, char *word, char until)
{
    size_t n = strcspn(*text, (char[]){until, 0});

    if (n >= WORD_LEN)
        return false;
    memcpy(word, *text, n);
    word[n] = 0;
    *text += n + ((*text)[n] == until);
    return true;
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    *port = (uint16_t)v;
    return *text >= '0' && *text <= '9' && !*end && v && v <= 0xffff;
}

/* The host's: 0 is one that is free. */
static bool parse_host_port(const char *text, uint16_t *port)
{
    *port = 0;
    return !strcmp(text, "0") || parse_port(text, port);
}

/* Empty: any. */
static bool parse_address(const char *text, struct in_addr *addr)
{
    addr->s_addr = 0;
    return !*text || inet_pton(AF_INET, text, addr) == 1;
}

static int forward_add(struct net_config *c, const struct net_forward *f,
                       struct error *err)
{
    if (c->forwards == NET_FORWARDS_MAX)
        return error_set(err, EINVAL, "at most %d forwarded ports",
                         NET_FORWARDS_MAX);
    c->forward[c->forwards++] = *f;
    return 0;
}

/* tcp:[HOSTADDR]:PORT-[GUESTADDR]:PORT */
static int set_hostfwd(struct net_config *c, const char *v, struct error *err)
{
    char proto[WORD_LEN], haddr[WORD_LEN], hport[WORD_LEN], gaddr[WORD_LEN];
    struct net_forward f = {0};
    const char *rest = v;

    if (word_take(&rest, proto, ':') && word_take(&rest, haddr, ':') &&
        word_take(&rest, hport, '-') && word_take(&rest, gaddr, ':') &&
        (!strcmp(proto, "tcp") || !strcmp(proto, "udp")) &&
        parse_address(haddr, &f.host) && parse_host_port(hport, &f.host_port) &&
        parse_address(gaddr, &f.guest) && parse_port(rest, &f.guest_port)) {
        f.udp = *proto == 'u';
        return forward_add(c, &f, err);
    }
    return error_set(err, EINVAL,
                     "hostfwd=%s: give tcp:[ADDRESS]:PORT-:PORT, or udp:, the "
                     "host's port first",
                     v);
}

/* tcp:ADDRESS:PORT-cmd:COMMAND */
static int set_guestfwd(struct net_config *c, const char *v, struct error *err)
{
    char proto[WORD_LEN], addr[WORD_LEN], port[WORD_LEN];
    struct net_command *k = &c->command[c->commands];
    const char *rest = v;

    if (c->commands == NET_COMMANDS_MAX)
        return error_set(err, EINVAL, "at most %d of guestfwd",
                         NET_COMMANDS_MAX);
    if (!word_take(&rest, proto, ':') || !word_take(&rest, addr, ':') ||
        !word_take(&rest, port, '-') || strcmp(proto, "tcp") || !*addr ||
        !parse_address(addr, &k->addr) || !parse_port(port, &k->port) ||
        strncmp(rest, "cmd:", 4) || !rest[4] ||
        strlen(rest + 4) >= sizeof(k->line))
        return error_set(err, EINVAL,
                         "guestfwd=%s: give tcp:ADDRESS:PORT-cmd:COMMAND, as "
                         "the last option",
                         v);
    strcpy(k->line, rest + 4);
    c->commands++;
    return 0;
}

static int set_mac(struct net_config *c, const char *v, struct error *err)
{
    unsigned b[6];
    int end = 0;

    if (sscanf(v, "%2x:%2x:%2x:%2x:%2x:%2x%n", b, b + 1, b + 2, b + 3, b + 4,
               b + 5, &end) != 6 ||
        v[end] || strlen(v) != 17)
        return error_set(err, EINVAL,
                         "mac=%s: give six bytes like 52:54:00:12:34:56", v);
    if (b[0] & 1)
        return error_set(err, EINVAL,
                         "mac=%s: that is a group's address; the first byte "
                         "must be even",
                         v);
    for (int i = 0; i < 6; i++)
        c->mac[i] = (uint8_t)b[i];
    c->mac_given = true;
    return 0;
}

static int set_mtu(struct net_config *c, const char *v, struct error *err)
{
    if (!parse_port(v, &c->mtu) || c->mtu < NET_MTU_MIN || c->mtu > NET_MTU_MAX)
        return error_set(err, EINVAL, "mtu=%s: give a number from %u to %u", v,
                         NET_MTU_MIN, NET_MTU_MAX);
    return 0;
}

static int set_dns(struct net_config *c, const char *v, struct error *err)
{
    if (!*v || !parse_address(v, &c->dns))
        return error_set(err, EINVAL, "dns=%s: give an IPv4 address", v);
    return 0;
}

/* Room for the gateway, the name server, and the guest at .15. */
static int set_net(struct net_config *c, const char *v, struct error *err)
{
    const char *rest = v;
    char addr[WORD_LEN], *end;
    unsigned long bits;

    if (!word_take(&rest, addr, '/') || !*addr || !parse_address(addr, &c->net))
        bits = 0;
    else
        bits = strtoul(rest, &end, 10);
    if (bits < 8 || bits > 27 || *rest < '0' || *rest > '9' || *end)
        return error_set(err, EINVAL,
                         "net=%s: give an IPv4 network of /8 to /27, like "
                         "10.0.2.0/24",
                         v);
    c->mask.s_addr = htonl(~0u << (32 - bits));
    c->net.s_addr &= c->mask.s_addr;
    return 0;
}

static int set_switch(bool *on, const char *name, const char *v,
                      struct error *err)
{
    if (!*v || !strcmp(v, "on") || !strcmp(v, "yes") || !strcmp(v, "y"))
        *on = true;
    else if (!strcmp(v, "off") || !strcmp(v, "no") || !strcmp(v, "n"))
        *on = false;
    else
        return error_set(err, EINVAL, "%s=%s: give on or off", name, v);
    return 0;
}

static int set_restrict(struct net_config *c, const char *v, struct error *err)
{
    return set_switch(&c->restricted, "restrict", v, err);
}

static int set_ipv6(struct net_config *c, const char *v, struct error *err)
{
    bool on;

    if (set_switch(&on, "ipv6", v, err))
        return -err->code;
    c->no_ipv6 = !on;
    return 0;
}

static const struct net_option {
    const char *name;
    bool user;  /* for the user network alone */
    bool whole; /* takes the rest of the text, commas and all */
    int (*set)(struct net_config *c, const char *v, struct error *err);
} net_options[] = {
    {"mac", false, false, set_mac},
    {"mtu", false, false, set_mtu},
    {"hostfwd", true, false, set_hostfwd},
    {"restrict", true, false, set_restrict},
    {"dns", true, false, set_dns},
    {"net", true, false, set_net},
    {"ipv6", true, false, set_ipv6},
    {"guestfwd", true, true, set_guestfwd},
};

static const struct net_option *option_find(const struct net_config *c,
                                            const char *text)
{
    size_t n = strcspn(text, "=,");

    for (unsigned i = 0; i < sizeof(net_options) / sizeof(*net_options); i++) {
        const struct net_option *o = &net_options[i];

        if (strlen(o->name) == n && !memcmp(o->name, text, n) &&
            (!o->user || c->kind == NET_USER))
            return o;
    }
    return NULL;
}

static int option_parse(struct net_config *c, const char **text,
                        struct error *err)
{
    const struct net_option *o = option_find(c, *text);
    char word[WORD_LEN];

    if (!o)
        return error_set(err, EINVAL,
                         "%.*s: no option of %s; there are mac, mtu%s",
                         (int)strcspn(*text, "=,"), *text,
                         c->kind == NET_USER ? "the user network" : "a tap",
                         c->kind == NET_USER ? ", hostfwd, guestfwd, restrict, "
                                               "dns, net, ipv6"
                                             : "");
    *text += strlen(o->name);
    *text += **text == '=';
    if (o->whole) {
        const char *v = *text;

        *text += strlen(*text);
        return o->set(c, v, err);
    }
    if (!word_take(text, word, ','))
        return error_set(err, EINVAL, "%s: too long", o->name);
    return o->set(c, word, err);
}

static int parse_kind(struct net_config *c, const char **text,
                      struct error *err)
{
    char word[WORD_LEN] = "";

    if (!word_take(text, word, ','))
        *word = 0;
    if (!strcmp(word, "user")) {
        c->kind = NET_USER;
        return 0;
    }
    if (strncmp(word, "tap:", 4))
        return error_set(err, EINVAL,
                         "give user, tap:NAME or none, then options");
    if (!word[4] || strlen(word + 4) >= NET_NAME_LEN || strchr(word + 4, '/') ||
        strchr(word + 4, '%'))
        return error_set(err, EINVAL,
                         "tap:NAME: give the name of a network interface");
    c->kind = NET_TAP;
    strcpy(c->name, word + 4);
    return 0;
}

int net_config_parse(struct net_config *c, const char *text, struct error *err)
{
    *c = (struct net_config){0};
    if (parse_kind(c, &text, err))
        return -err->code;
    while (*text)
        if (option_parse(c, &text, err))
            return -err->code;
    return 0;
}

int net_config_publish(struct net_config *c, const char *text,
                       struct error *err)
{
    char word[WORD_LEN], part[3][WORD_LEN];
    struct net_forward f = {0};
    const char *rest = text, *slash, *p;
    int n = 0;

    if (!word_take(&rest, word, '/'))
        *word = 0;
    slash = rest;
    for (p = word; *p && n < 3; n++)
        if (!word_take(&p, part[n], ':'))
            break;
    if (n >= 2 && !*p && parse_port(part[n - 1], &f.guest_port) &&
        parse_host_port(part[n - 2], &f.host_port) &&
        (n == 2 || parse_address(part[0], &f.host)) &&
        (!*slash || !strcmp(slash, "tcp") || !strcmp(slash, "udp"))) {
        f.udp = *slash == 'u';
        return forward_add(c, &f, err);
    }
    return error_set(err, EINVAL,
                     "%s: give HOSTPORT:GUESTPORT, like 8080:80; "
                     "ADDRESS: before and /udp behind it may be left out",
                     text);
}
