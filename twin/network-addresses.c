/* Which addresses hosts have, and lose, while they stand; and who has to hear of it. */
#include "twin/network-private.h"

#include "base/text.h"

static int add_virtual(struct network *network, const char *host, uint32_t ip, struct error *err)
{
    struct netlink netlink;
    int r = network_open_netlink(network, host, &netlink, err);
    if (r < 0)
        return r;
    r = netlink_add_address(&netlink, HOST_INDEX, ip, 32, err);
    netlink_close(&netlink);
    return r;
}

void network_delete_address(struct network *network, const char *host, uint32_t ip,
                            unsigned int prefix)
{
    struct netlink netlink;
    if (network_open_netlink(network, host, &netlink, NULL) < 0)
        return;
    netlink_delete_address(&netlink, HOST_INDEX, ip, prefix, NULL);
    netlink_close(&netlink);
}

void network_forget_neighbours(struct network *network, uint32_t ip, const char *bridge)
{
    struct bridge *there = network_find_bridge(network, bridge);
    if (there)
        netlink_forget_neighbour(&network->netlink, there->index, ip, NULL);
    for (size_t i = 0; i < network->n_hosts; i++) {
        struct netlink netlink;
        if (!text_equal(network->hosts[i].bridge, bridge) ||
            network_open_netlink(network, network->hosts[i].name, &netlink, NULL) < 0)
            continue;
        netlink_forget_neighbour(&netlink, HOST_INDEX, ip, NULL);
        netlink_close(&netlink);
    }
}

int network_restore_addresses(struct network *network, const char *host, struct error *err)
{
    for (size_t i = 0; i < network->n_addresses; i++) {
        if (!text_equal_or_null(network->addresses[i].host, host))
            continue;
        int r = add_virtual(network, host, network->addresses[i].ip, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int network_give_address(struct network *network, const struct machine_host *wanted,
                         struct error *err)
{
    struct attached_host *there = network_find_host(network, wanted->name);
    struct netlink netlink;
    if (!there)
        return error_set(err, ERROR_NOT_FOUND, "there is no host %s", wanted->name);
    if (there->has_address)
        return 0;
    int r = network_open_netlink(network, wanted->name, &netlink, err);
    if (r < 0)
        return r;
    r = netlink_add_address(&netlink, HOST_INDEX, wanted->ip, wanted->network->prefix, err);
    if (r == 0)
        r = netlink_add_default_route(&netlink, HOST_INDEX, wanted->network->gateway, err);
    netlink_close(&netlink);
    there->has_address = r == 0;
    return r;
}

void network_take_address(struct network *network, const struct machine_host *wanted)
{
    struct attached_host *there = network_find_host(network, wanted->name);
    if (!there || !there->has_address)
        return;
    network_delete_address(network, there->name, there->ip, there->prefix);
    there->has_address = false;
}

static struct virtual_address *find_address(struct network *network, uint32_t ip)
{
    for (size_t i = 0; i < network->n_addresses; i++) {
        if (network->addresses[i].ip == ip)
            return &network->addresses[i];
    }
    ARRAY_RESERVE(network->addresses, network->n_addresses, network->addresses_capacity);
    struct virtual_address *address = &network->addresses[network->n_addresses++];
    *address = (struct virtual_address){.ip = ip};
    return address;
}

/*
 * The new owner has the address, and the others have forgotten the old one, before the old one
 * loses it: in the other order packets vanish and clients wait a second to try again.
 */
int network_move_address(struct network *network, uint32_t ip, const char *host, struct error *err)
{
    struct virtual_address *address = find_address(network, ip);
    if (host) {
        int r = add_virtual(network, host, ip, err);
        if (r < 0)
            return r;
    }
    if (!address->host || !text_equal_or_null(address->host, host)) {
        const struct attached_host *owner = host ? network_find_host(network, host) : NULL;
        if (owner)
            network_forget_neighbours(network, ip, owner->bridge);
        if (address->host)
            network_delete_address(network, address->host, ip, 32);
    }
    mem_free(address->host);
    address->host = host ? string_copy(host) : NULL;
    if (!host)
        *address = network->addresses[--network->n_addresses];
    return 0;
}
