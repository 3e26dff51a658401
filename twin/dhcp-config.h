/* The configuration of a network's DHCP server. Pure. Numbers, hardware addresses and the paths
 * of our own files alone stand in it: no other text of a document can. */
#pragma once

#include "base/strbuf.h"
#include "twin/machine.h"

/* By what a client tells the server which host it is, as udhcpc takes it: option 61 in hex. */
char *dhcp_client_option(const struct machine_host *host);

/*
 * Appends what dnsmasq reads: one pool, and a reservation for each address of the network that the
 * twin has given, so that a lease is always the address that plan and status tell.
 */
void dhcp_write_config(struct strbuf *out, const struct machine *machine,
                       const struct machine_network *network, const char *leases);
