/* What the files of the network share. For network*.c only. */
#pragma once

#include "twin/netlink.h"
#include "twin/network.h"

/* lo, and eth0 of a host; bridges and links of the router are numbered from FIRST_INDEX on. */
enum { LOOPBACK_INDEX = 1, HOST_INDEX = 2, FIRST_INDEX = 10 };

struct bridge {
    char *name;
    uint32_t gateway;
    unsigned int prefix;
    int index;
};

struct attached_host {
    char *name;
    char *bridge;
    uint32_t ip;
    unsigned int prefix;
    int namespace;
    int index; /* of the router's end of its link */
    bool has_address;
};

struct virtual_address {
    uint32_t ip;
    char *host;
};

struct network {
    int router;
    int nowhere; /* a namespace with nothing but lo, and that down; -1 where it could not be made */
    struct netlink netlink;
    int next_index;
    struct bridge *bridges; /* owned lists */
    struct attached_host *hosts;
    struct virtual_address *addresses;
    size_t n_bridges, bridges_capacity;
    size_t n_hosts, hosts_capacity;
    size_t n_addresses, addresses_capacity;
};

/* NULL when there is none. */
struct bridge *network_find_bridge(struct network *network, const char *name);
struct attached_host *network_find_host(const struct network *network, const char *name);
/* After another namespace was entered. It must not fail: everything after it would act in the wrong
 * one. */
void network_enter_router(struct network *network);
/* A socket that stays in the namespace of a host. */
int network_open_netlink(struct network *network, const char *host, struct netlink *ret_netlink,
                         struct error *err);

/* --- network-addresses.c --- */

/* One whose host is gone has gone with it. */
void network_delete_address(struct network *network, const char *host, uint32_t ip,
                            unsigned int prefix);
/* The router, and the hosts of the same network, must ask anew who has the address. */
void network_forget_neighbours(struct network *network, uint32_t ip, const char *bridge);
/* A host that is made anew gets back the virtual addresses that stood on it. */
int network_restore_addresses(struct network *network, const char *host, struct error *err);
