/* The few rtnetlink requests that the twin's network needs. Knows numbers, no names of ours. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A socket stays bound to the network namespace it was opened in. Zero-initialised is not open. */
struct netlink {
    int fd;
    uint32_t sequence;
};

/* Opens it in the namespace that the thread is in. */
int netlink_open(struct netlink *netlink, struct error *err);
void netlink_close(struct netlink *netlink);

/*
 * Makes a bridge that forwards at once, and takes it up. index is ours to choose, unused so far.
 * Its hardware address is made of the gateway's: else it would be the lowest of its links', and
 * change whenever a link comes or goes, while hosts go on sending to the one before for many
 * seconds.
 */
int netlink_add_bridge(struct netlink *netlink, const char *name, int index, uint32_t gateway,
                       struct error *err);
/* Makes a pair: this end at the bridge and up; the other is "eth0", index 2, in that namespace. */
int netlink_add_pair(struct netlink *netlink, const char *name, int index, int bridge,
                     int peer_namespace, struct error *err);
/* A link that is gone already is no error. */
int netlink_delete_link(struct netlink *netlink, int index, struct error *err);
int netlink_set_up(struct netlink *netlink, int index, struct error *err);

/* Adding what is there and deleting what is not are no errors. */
int netlink_add_address(struct netlink *netlink, int index, uint32_t ip, unsigned int prefix,
                        struct error *err);
int netlink_delete_address(struct netlink *netlink, int index, uint32_t ip, unsigned int prefix,
                           struct error *err);
int netlink_add_default_route(struct netlink *netlink, int index, uint32_t gateway,
                              struct error *err);
int netlink_forget_neighbour(struct netlink *netlink, int index, uint32_t ip, struct error *err);

/*
 * Reads what came on such a socket. Returns whether it is the kernel's answer to the request of
 * that sequence; then *ret_result is 0 or the negative errno of it, -EPROTO when that is none.
 */
bool netlink_read_answer(const void *message, size_t size, uint32_t sequence, int *ret_result);
