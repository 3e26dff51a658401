/*
 * Bridges, namespaces, interfaces, addresses and routes of the desired machine, by rtnetlink. Knows
 * hosts and networks, no resources and no rules.
 */
#pragma once

#include "base/error.h"
#include "twin/machine.h"

struct network;

/* What the namespace between all networks is called, among the names of hosts. */
#define NETWORK_ROUTER "router"

/* Makes the router's namespace. Called once, by pid 1 of the sandbox. */
int network_new(struct network **ret_network, struct error *err);
/* Frees the memory; what was built ends with pid 1. Accepts NULL. */
void network_free(struct network *network);
DEFINE_CLEANUP(struct network *, network_free)

/*
 * Adds and changes what the machine wants; what did not change is not touched. A host that changed
 * its address or network is made anew; what ran in it is killed. Hosts and networks that the
 * machine does not have stay until network_prune(). On failure the machine stands in part; a second
 * call continues.
 */
int network_extend(struct network *network, const struct machine *wanted, struct error *err);
/* Sets the address of a host that is leased one, and its way out, or takes the address from it.
 * Idempotent. */
int network_give_address(struct network *network, const struct machine_host *wanted,
                         struct error *err);
void network_take_address(struct network *network, const struct machine_host *wanted);
/* Removes what the machine does not have, and kills what still runs there. */
void network_prune(struct network *network, const struct machine *wanted);

/*
 * The namespace of a host, or of "router"; NULL: one that leads nowhere, shared by all that need
 * no network. -1 when there is none. Borrowed.
 */
int network_namespace(const struct network *network, const char *host);

/* Makes a socket that lives in a host's namespace, non-blocking and close-on-exec. */
int network_socket(struct network *network, const char *host, int domain, int type, int *ret_fd,
                   struct error *err);

/*
 * Puts a virtual address on a host and takes it from the one that had it, in the order that loses
 * no packet. host NULL takes it away. Idempotent; survives network_extend().
 */
int network_move_address(struct network *network, uint32_t ip, const char *host, struct error *err);
