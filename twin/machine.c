/* Memory, look-up and addresses of the desired machine. */
#include "twin/machine.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

const char *const machine_icmp_names[MACHINE_ICMP_TYPES] = {
    [0] = "echo-reply",           [3] = "destination-unreachable",
    [4] = "source-quench",        [5] = "redirect",
    [8] = "echo-request",         [9] = "router-advertisement",
    [10] = "router-solicitation", [11] = "time-exceeded",
    [12] = "parameter-problem",   [13] = "timestamp-request",
    [14] = "timestamp-reply",     [15] = "info-request",
    [16] = "info-reply",          [17] = "address-mask-request",
    [18] = "address-mask-reply",
};

static const char *const role_names[HOST_ROLE_COUNT] = {
    [HOST_OUTSIDE] = "outside",   [HOST_INSTANCE] = "instance", [HOST_BALANCER] = "balancer",
    [HOST_DATABASE] = "database", [HOST_MONITOR] = "monitor",   [HOST_DHCP] = "dhcp",
};

const char *machine_role_to_string(enum machine_role role)
{
    assert(role < HOST_ROLE_COUNT);
    return role_names[role];
}

bool machine_host_is_leased(const struct machine_host *host)
{
    return host->role == HOST_INSTANCE && host->network->dhcp.lease_s > 0;
}

struct machine *machine_new(void)
{
    struct machine *machine = NEW(struct machine);
    machine->references = 1;
    return machine;
}

struct machine *machine_ref(struct machine *machine)
{
    machine->references++;
    return machine;
}

void machine_unref(struct machine *machine)
{
    if (!machine || --machine->references > 0)
        return;
    for (size_t i = 0; i < machine->n_blocks; i++)
        mem_free(machine->blocks[i]);
    mem_free(machine->blocks);
    mem_free(machine);
}

static void *own(struct machine *machine, void *take_block)
{
    ARRAY_RESERVE(machine->blocks, machine->n_blocks, machine->blocks_capacity);
    machine->blocks[machine->n_blocks++] = take_block;
    return take_block;
}

void *machine_memory(struct machine *machine, size_t count, size_t size)
{
    return own(machine, mem_zeroed(count ? count : 1, size));
}

void *machine_grow(struct machine *machine, const void *list, size_t size, size_t new_size)
{
    char *grown = machine_memory(machine, new_size, 1);
    if (size > 0)
        memcpy(grown, list, size);
    return grown;
}

const char *machine_text(struct machine *machine, const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    return own(machine, strbuf_take(&text));
}

const struct machine_host *machine_find_host(const struct machine *machine, const char *name)
{
    for (size_t i = 0; i < machine->n_hosts; i++) {
        if (text_equal(machine->hosts[i]->name, name))
            return machine->hosts[i];
    }
    return NULL;
}

const struct machine_network *machine_find_network(const struct machine *machine, const char *name)
{
    for (size_t i = 0; i < machine->n_networks; i++) {
        if (text_equal(machine->networks[i]->name, name))
            return machine->networks[i];
    }
    return NULL;
}

const struct machine_database *machine_find_database(const struct machine *machine,
                                                     const char *resource)
{
    for (size_t i = 0; i < machine->n_databases; i++) {
        if (text_equal(machine->databases[i]->resource, resource))
            return machine->databases[i];
    }
    return NULL;
}

const struct machine_dashboards *machine_find_dashboards(const struct machine *machine,
                                                         const char *resource)
{
    for (size_t i = 0; i < machine->n_dashboards; i++) {
        if (text_equal(machine->dashboards[i]->resource, resource))
            return machine->dashboards[i];
    }
    return NULL;
}

void machine_address_to_text(uint32_t ip, char ret_text[MACHINE_ADDRESS_SIZE])
{
    struct in_addr address = {.s_addr = htonl(ip)};
    inet_ntop(AF_INET, &address, ret_text, MACHINE_ADDRESS_SIZE);
}

bool machine_address_from_text(const char *text, uint32_t *ret_ip)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    *ret_ip = ntohl(address.s_addr);
    return true;
}

bool machine_subnet_from_text(const char *text, struct machine_subnet *ret_subnet)
{
    const char *slash = strchr(text, '/');
    int64_t prefix = 32;
    if (slash && (!text_to_integer(slash + 1, &prefix) || prefix < 0 || prefix > 32))
        return false;
    CLEANUP(mem_freep)
    char *address = string_copy_n(text, slash ? (size_t)(slash - text) : strlen(text));
    uint32_t base;
    if (!machine_address_from_text(address, &base))
        return false;
    if (base & ~machine_prefix_mask((unsigned int)prefix))
        return false;
    *ret_subnet = (struct machine_subnet){.base = base, .prefix = (unsigned int)prefix};
    return true;
}

uint32_t machine_prefix_mask(unsigned int prefix)
{
    assert(prefix <= 32);
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

bool machine_subnet_contains(struct machine_subnet outer, struct machine_subnet inner)
{
    return outer.prefix <= inner.prefix &&
           (inner.base & machine_prefix_mask(outer.prefix)) == outer.base;
}

const struct machine_reservation *machine_find_reservation(const struct machine_network *network,
                                                           const char *name)
{
    for (size_t i = 0; i < network->dhcp.n_reservations; i++)
        if (text_equal_or_null(network->dhcp.reservations[i].name, name))
            return &network->dhcp.reservations[i];
    return NULL;
}
