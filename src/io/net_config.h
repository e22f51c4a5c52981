/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_config.h - what --net and --publish say, without pointers: it can be
 * kept in a snapshot as it is.
 */
#pragma once

#include <netinet/in.h>

#include "base/error.h"

#define NET_FORWARDS_MAX 32
#define NET_COMMANDS_MAX 4
#define NET_COMMAND_LEN  1024
#define NET_NAME_LEN     16 /* IFNAMSIZ */
#define NET_HOST_LEN     64 /* of a name in DNS */
#define NET_MTU_MIN      576u
#define NET_MTU_MAX      65520u

enum net_kind {
    NET_NOWHERE, /* frames vanish: in a replay */
    NET_USER,
    NET_TAP,
};

/* A port of the host's that leads to one of the guest's. */
struct net_forward {
    struct in_addr host, guest; /* 0: any address; the guest's first */
    uint16_t host_port;         /* 0: one that is free */
    uint16_t guest_port;
    uint8_t udp;
};

/* An address in the guest's network behind which a command answers. */
struct net_command {
    struct in_addr addr;
    uint16_t port;
    char line[NET_COMMAND_LEN];
};

struct net_config {
    enum net_kind kind;
    bool mac_given;
    uint8_t mac[6];
    uint16_t mtu;            /* 0: the back-end's own */
    char name[NET_NAME_LEN]; /* of a tap */
    /* The user network. */
    char host[NET_HOST_LEN]; /* what DHCP calls the guest; "": ringfence */
    bool restricted, no_ipv6;
    struct in_addr net, mask; /* 0: 10.0.2.0/24 */
    struct in_addr dns;       /* 0: the network's .3 */
    struct net_forward forward[NET_FORWARDS_MAX];
    unsigned forwards;
    struct net_command command[NET_COMMANDS_MAX];
    unsigned commands;
    /* A machine that is brought back: what the device must offer again. */
    bool fixed;
    unsigned able;
};

/*
 * "user[,OPTION]..." or "tap:NAME[,OPTION]...". "none" is the caller's
 * business.
 */
int net_config_parse(struct net_config *c, const char *text,
                     struct error *err) must_check;
/* "[ADDRESS:]HOST:GUEST[/udp]", as podman has it. */
int net_config_publish(struct net_config *c, const char *text,
                       struct error *err) must_check;
