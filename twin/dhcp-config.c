#include "twin/dhcp-config.h"

/* The type 0 says that what follows is no hardware address. */
#define CLIENT "00:%02x:%02x:%02x:%02x"
#define BYTES(ip) (ip) >> 24, ((ip) >> 16) & 0xff, ((ip) >> 8) & 0xff, (ip)&0xff

char *dhcp_client_option(const struct machine_host *host)
{
    return string_format("0x3d:00%08x", host->ip);
}

/* What asks for none keeps its address all the same: nobody else is given it. */
static void reserve(struct strbuf *out, uint32_t ip)
{
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, address);
    strbuf_addf(out, "dhcp-host=id:" CLIENT ",%s\n", BYTES(ip), address);
}

static bool is_there(const struct machine *machine, const struct machine_network *network,
                     const char *name)
{
    const struct machine_host *host = machine_find_host(machine, name);
    return host && host->network == network;
}

void dhcp_write_config(struct strbuf *out, const struct machine *machine,
                       const struct machine_network *network, const char *leases)
{
    char first[MACHINE_ADDRESS_SIZE], last[MACHINE_ADDRESS_SIZE], mask[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(network->dhcp.first, first);
    machine_address_to_text(network->dhcp.last, last);
    machine_address_to_text(machine_prefix_mask(network->prefix), mask);
    /* Without asking by ICMP who has an address, and answering by broadcast: it needs no raw
     * sockets then. */
    strbuf_addf(out,
                "port=0\nno-ping\ndhcp-broadcast\ndhcp-authoritative\npid-file=\n"
                "log-facility=-\nbind-interfaces\ninterface=eth0\nexcept-interface=lo\n"
                "dhcp-leasefile=%s\ndhcp-range=%s,%s,%s,%lld\ndhcp-option=option:router,%s\n",
                leases, first, last, mask, (long long)network->dhcp.lease_s, network->gateway_text);
    for (size_t i = 0; i < machine->n_hosts; i++) {
        const struct machine_host *host = machine->hosts[i];
        if (host->network == network)
            reserve(out, host->ip);
    }
    for (size_t i = 0; i < network->dhcp.n_reservations; i++) {
        const struct machine_reservation *reservation = &network->dhcp.reservations[i];
        char address[MACHINE_ADDRESS_SIZE];
        machine_address_to_text(reservation->ip, address);
        if (reservation->mac)
            strbuf_addf(out, "dhcp-host=%s,%s\n", reservation->mac, address);
        else if (!is_there(machine, network, reservation->name))
            reserve(out, reservation->ip);
    }
    for (size_t i = 0; i < machine->n_databases; i++) {
        const struct machine_database *database = machine->databases[i];
        if (database->hosts[0]->network == network)
            reserve(out, database->ip);
    }
}
