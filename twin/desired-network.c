/* Networks. */
#include "twin/desiring.h"

#include "base/digest.h"
#include "base/text.h"

#include <ctype.h>
#include <net/if.h>
#include <string.h>

#define OUTSIDE_HOST 10
#define SECOND ((int64_t)1000 * 1000)

/* dnsmasq makes no shorter ones. */
enum { FIRST_SERVER = 2, LEAST_LEASE = 120, MOST_LEASE = 366 * 86400 };

static struct machine_network *add_network(struct desiring *desiring, const char *name,
                                           struct machine_subnet subnet)
{
    struct machine *machine = desiring->machine;
    struct machine_network *network = machine_memory(machine, 1, sizeof(*network));
    char base[MACHINE_ADDRESS_SIZE], gateway[MACHINE_ADDRESS_SIZE];
    char hash[DIGEST_HEX_SIZE];
    machine_address_to_text(subnet.base, base);
    machine_address_to_text(subnet.base + 1, gateway);
    digest_hex(name, strlen(name), hash);
    network->name = desiring_text(desiring, name);
    /* A dot, which names had once, has a meaning of its own in names of interfaces. */
    if (strlen(name) + strlen("br-") < IF_NAMESIZE && !strchr(name, '.'))
        network->bridge = machine_text(machine, "br-%s", name);
    else
        network->bridge = machine_text(machine, "br-%.*s-%.6s", 5, name, hash);
    network->base = subnet.base;
    network->prefix = subnet.prefix;
    network->gateway = subnet.base + 1;
    network->subnet = machine_text(machine, "%s/%u", base, subnet.prefix);
    network->gateway_text = desiring_text(desiring, gateway);
    MACHINE_ADD(machine, machine->networks, machine->n_networks, network);
    return network;
}

void desire_outside(struct desiring *desiring)
{
    struct machine_subnet subnet = {0};
    machine_subnet_from_text(MACHINE_OUTSIDE_SUBNET, &subnet);
    const struct machine_network *network = add_network(desiring, MACHINE_OUTSIDE, subnet);
    struct machine *machine = desiring->machine;
    struct machine_host *host = machine_memory(machine, 1, sizeof(*host));
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(subnet.base + OUTSIDE_HOST, address);
    *host = (struct machine_host){.name = MACHINE_OUTSIDE,
                                  .network = network,
                                  .ip = subnet.base + OUTSIDE_HOST,
                                  .address = desiring_text(desiring, address),
                                  .role = HOST_OUTSIDE};
    MACHINE_ADD(machine, machine->hosts, machine->n_hosts, host);
}

static bool overlap(struct machine_subnet a, struct machine_subnet b)
{
    return machine_subnet_contains(a, b) || machine_subnet_contains(b, a);
}

static int check_subnet(struct desiring *desiring, const char *text,
                        struct machine_subnet *ret_subnet)
{
    static const char *const special[] = {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
                                          "224.0.0.0/3"};
    struct machine_subnet subnet, taken;
    if (!machine_subnet_from_text(text, &subnet))
        return desiring_fault(desiring, ERROR_INVALID,
                              "subnet %s is not an IPv4 network such as 10.200.0.0/24", text);
    if (subnet.prefix < 8 || subnet.prefix > 29)
        return desiring_fault(desiring, ERROR_INVALID,
                              "subnet %s: the twin serves sizes from /8 to /29", text);
    for (size_t i = 0; i < ARRAY_LENGTH(special); i++) {
        if (machine_subnet_from_text(special[i], &taken) && overlap(subnet, taken))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "subnet %s lies in %s, which has a meaning of its own", text,
                                  special[i]);
    }
    for (size_t i = 0; i < desiring->machine->n_networks; i++) {
        const struct machine_network *other = desiring->machine->networks[i];
        taken = (struct machine_subnet){other->base, other->prefix};
        if (overlap(subnet, taken))
            return desiring_fault(desiring, ERROR_CONFLICT,
                                  "subnet %s overlaps %s of the network %s on this twin", text,
                                  other->subnet, other->name);
    }
    *ret_subnet = subnet;
    return 0;
}

/* The server has a host of its own in the network: so it needs no rights in the router. */
static int add_server(struct desiring *desiring, struct machine_network *network)
{
    struct machine *machine = desiring->machine;
    struct machine_subnet subnet = {network->base, network->prefix};
    const char *name = machine_text(machine, "%s-dhcp", network->name);
    CLEANUP(mem_freep) char *key = string_format("dhcp:%s", network->resource);
    char address[MACHINE_ADDRESS_SIZE];
    uint32_t ip = 0;
    if (machine_find_host(machine, name))
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "another resource has a host of the name %s", name);
    if (!assign_address(&desiring->assignments, key, subnet, FIRST_SERVER, &ip))
        return desiring_fault(desiring, ERROR_LIMIT, "the network %s (%s) has no address left",
                              network->name, network->subnet);
    machine_address_to_text(ip, address);
    struct machine_host *host = machine_memory(machine, 1, sizeof(*host));
    *host = (struct machine_host){.name = name,
                                  .resource = network->resource,
                                  .network = network,
                                  .ip = ip,
                                  .address = desiring_text(desiring, address),
                                  .role = HOST_DHCP};
    MACHINE_ADD(machine, machine->hosts, machine->n_hosts, host);
    network->dhcp.server = host;
    return 0;
}

static int read_pool_end(struct desiring *desiring, const struct value *map, const char *field,
                         struct machine_subnet subnet, uint32_t *ret_ip)
{
    const char *text = NULL;
    uint32_t ip, mask = machine_prefix_mask(subnet.prefix);
    int r = spec_text(desiring, map, field, "", &text);
    if (r < 0)
        return r;
    if (!machine_address_from_text(text, &ip) || (ip & mask) != subnet.base ||
        ip <= subnet.base + 1 || ip >= (subnet.base | ~mask))
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s of its dhcp is no address of a host in its subnet", field);
    *ret_ip = ip;
    return 0;
}

enum { MAC_LENGTH = 17, MOST_RESERVATIONS = 256, HOST_NAME_LENGTH = 63 };

/* "02:00:5e:10:00:01" in small letters, or NULL. */
static const char *read_mac(struct desiring *desiring, const char *key)
{
    char mac[MAC_LENGTH + 1];
    if (strlen(key) != MAC_LENGTH)
        return NULL;
    for (size_t i = 0; i <= MAC_LENGTH; i++) {
        mac[i] = (char)tolower((unsigned char)key[i]);
        if (i < MAC_LENGTH && (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdef", mac[i])))
            return NULL;
    }
    return desiring_text(desiring, mac);
}

static bool is_host_name(const char *key)
{
    return strlen(key) <= HOST_NAME_LENGTH && key[0] >= 'a' && key[0] <= 'z' &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(key);
}

/* The key by which the host of that name has its address, if one of the manifest had such a host.
 */
static char *find_key(const struct desiring *desiring, const char *name)
{
    const struct value *labels = value_get(desiring->assignments.old, "labels");
    for (size_t i = 0; !value_is_null(labels) && i < value_count(labels); i++) {
        const struct value *label = value_at(labels, i);
        if (value_kind(label) != VALUE_STRING || !text_starts_with(name, value_text(label)))
            continue;
        const char *rest = name + value_text_length(label);
        if (rest[0] != '-' || !rest[1] || strspn(rest + 1, "0123456789") != strlen(rest + 1))
            continue;
        char *key = string_format("host:%s:%s", value_key_at(labels, i), rest + 1);
        uint32_t ip;
        if (assign_find_old(&desiring->assignments, key, &ip))
            return key;
        mem_free(key);
    }
    return NULL;
}

/* Whoever stands keeps its address, also when that is another's by now. One that stands in another
 * network has none here to keep. */
static int check_free(struct desiring *desiring, struct machine_subnet subnet,
                      const struct machine_reservation *reservation, const char *address)
{
    CLEANUP(mem_freep)
    char *key = reservation->name ? find_key(desiring, reservation->name) : NULL;
    const char *holder = assign_find_holder(&desiring->assignments, reservation->ip);
    uint32_t ip;
    if (key && assign_find_old(&desiring->assignments, key, &ip) && ip != reservation->ip &&
        (ip & machine_prefix_mask(subnet.prefix)) == subnet.base) {
        char has[MACHINE_ADDRESS_SIZE];
        machine_address_to_text(ip, has);
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "%s stands with the address %s, which it keeps; reserve that one, or "
                              "let it go first",
                              reservation->name, has);
    }
    if (holder && !text_equal_or_null(key, holder))
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "%s, which is reserved for %s, is the address of another that stands",
                              address, reservation->name ? reservation->name : reservation->mac);
    return 0;
}

static int add_reservation(struct desiring *desiring, struct machine_subnet subnet, const char *key,
                           const struct value *value, struct machine_dhcp *dhcp)
{
    uint32_t mask = machine_prefix_mask(subnet.prefix);
    const char *text = value_kind(value) == VALUE_STRING ? value_text(value) : "";
    struct machine_reservation reservation = {.mac = read_mac(desiring, key)};
    if (!reservation.mac && is_host_name(key))
        reservation.name = desiring_text(desiring, key);
    if (!reservation.mac && !reservation.name)
        return desiring_fault(desiring, ERROR_INVALID,
                              "its dhcp has a reservation for what is neither the name of an "
                              "instance nor a MAC");
    if (!machine_address_from_text(text, &reservation.ip) ||
        (reservation.ip & mask) != subnet.base || reservation.ip <= subnet.base + 1 ||
        reservation.ip >= (subnet.base | ~mask))
        return desiring_fault(desiring, ERROR_INVALID,
                              "what its dhcp reserves for %s is no address of a host in its subnet",
                              key);
    for (size_t i = 0; i < dhcp->n_reservations; i++)
        if (dhcp->reservations[i].ip == reservation.ip ||
            (reservation.mac && text_equal_or_null(dhcp->reservations[i].mac, reservation.mac)))
            return desiring_fault(desiring, ERROR_CONFLICT,
                                  "its dhcp has two reservations of one address, or for one MAC");
    int r = check_free(desiring, subnet, &reservation, text);
    if (r == 0)
        dhcp->reservations[dhcp->n_reservations++] = reservation;
    return r;
}

static int read_reservations(struct desiring *desiring, const struct value *dhcp,
                             struct machine_subnet subnet, struct machine_dhcp *ret_dhcp)
{
    const struct value *map = value_get(dhcp, "reservations");
    int r = 0;
    if (value_is_null(map))
        return 0;
    if (value_kind(map) != VALUE_MAP || value_count(map) > MOST_RESERVATIONS)
        return desiring_fault(desiring, ERROR_INVALID,
                              "the reservations of its dhcp are no map of "
                              "at most 256");
    ret_dhcp->reservations =
        machine_memory(desiring->machine, value_count(map), sizeof(*ret_dhcp->reservations));
    for (size_t i = 0; r == 0 && i < value_count(map); i++)
        r = add_reservation(desiring, subnet, value_key_at(map, i), value_at(map, i), ret_dhcp);
    for (size_t i = 0; r == 0 && i < ret_dhcp->n_reservations; i++)
        assign_reserve(&desiring->assignments, ret_dhcp->reservations[i].ip);
    return r;
}

static int read_dhcp(struct desiring *desiring, struct machine_subnet subnet,
                     struct machine_dhcp *ret_dhcp)
{
    const struct value *map = value_get(desiring_spec(desiring), "dhcp");
    struct machine_dhcp dhcp = {0};
    const char *lease = NULL;
    if (value_is_null(map))
        return 0;
    if (value_kind(map) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "its dhcp is not a map");
    int r = read_pool_end(desiring, map, "from", subnet, &dhcp.first);
    if (r == 0)
        r = read_pool_end(desiring, map, "to", subnet, &dhcp.last);
    if (r == 0)
        r = spec_text(desiring, map, "leaseTime", "1h", &lease);
    if (r < 0)
        return r;
    dhcp.lease_s = desired_duration(lease, -1) / SECOND;
    if (dhcp.lease_s < LEAST_LEASE || dhcp.lease_s > MOST_LEASE || dhcp.first > dhcp.last)
        return desiring_fault(desiring, ERROR_INVALID,
                              "its dhcp has a pool that ends before it begins, or leases that are "
                              "not between two minutes and a year");
    r = read_reservations(desiring, map, subnet, &dhcp);
    if (r == 0)
        *ret_dhcp = dhcp;
    return r;
}

int desire_vlan(struct desiring *desiring)
{
    static const struct spec_range tags = {1, 4094, 0};
    const struct value *spec = desiring_spec(desiring);
    struct machine_subnet subnet = {0};
    struct machine_dhcp dhcp = {0};
    const char *text = NULL;
    int64_t tag = 0;
    int r = spec_text(desiring, spec, "subnet", NULL, &text);
    if (r == 0)
        r = spec_integer(desiring, spec, "tag", &tags, &tag);
    if (r == 0 && !text)
        r = desiring_fault(desiring, ERROR_INVALID, "it has no subnet; the twin needs one");
    if (r == 0)
        r = check_subnet(desiring, text, &subnet);
    if (r == 0)
        r = read_dhcp(desiring, subnet, &dhcp);
    if (r < 0)
        return r;
    struct machine_network *network = add_network(desiring, desiring_label(desiring), subnet);
    network->resource = desiring_text(desiring, resource_uid(desiring->resource));
    network->tag = tag;
    network->dhcp = dhcp;
    r = dhcp.lease_s > 0 ? add_server(desiring, network) : 0;
    if (r < 0) {
        desiring->machine->n_networks--;
        return r;
    }
    desiring_built(desiring, network);
    return 0;
}
