/* Port forwards and addresses of what goes outside. */
#include "twin/desiring.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define INSTANCES "aws:ec2:instances"
#define GROUP "aws:autoscaling:group"
#define FRONTEND "opnsense:haproxy:frontend"
#define CLUSTER "aws:rds:cluster"
/* The router's own address at the interface outside. */
#define WAN_ADDRESS "wanip"

static int read_address(struct desiring *desiring, const char *field, const char *fallback,
                        uint32_t *ret_ip)
{
    const char *text = NULL;
    int r = spec_text(desiring, desiring_spec(desiring), field, fallback, &text);
    if (r < 0)
        return r;
    if (!text)
        return desiring_fault(desiring, ERROR_INVALID, "%s is missing", field);
    if (text_equal(text, WAN_ADDRESS)) {
        *ret_ip = machine_find_network(desiring->machine, MACHINE_OUTSIDE)->gateway;
        return 0;
    }
    if (!machine_address_from_text(text, ret_ip))
        return desiring_fault(desiring, ERROR_INVALID, "%s is \"%s\", which is no IPv4 address",
                              field, text);
    return 0;
}

/* The one address of what a reference became. */
static int read_referred(struct desiring *desiring, const void *built, uint32_t *ret_ip)
{
    const char *type = spec_reference_type(desiring, "target");
    if (text_equal(type, FRONTEND)) {
        *ret_ip = ((const struct machine_frontend *)built)->host->ip;
        return 0;
    }
    if (text_equal(type, CLUSTER)) {
        *ret_ip = ((const struct machine_database *)built)->ip;
        return 0;
    }
    const struct host_list *list = built;
    if (list->n_hosts != 1)
        return desiring_fault(desiring, ERROR_INVALID,
                              "target has %zu hosts; name one of them by its address, or put a "
                              "frontend before them",
                              list->n_hosts);
    *ret_ip = list->hosts[0]->ip;
    return 0;
}

static int read_target(struct desiring *desiring, uint32_t *ret_ip)
{
    void *built = NULL;
    int r = spec_reference(desiring, "target", INSTANCES " " GROUP " " FRONTEND " " CLUSTER, false,
                           &built);
    if (r < 0)
        return r;
    return built ? read_referred(desiring, built, ret_ip)
                 : read_address(desiring, "target", NULL, ret_ip);
}

static int read_forwarded_ports(struct desiring *desiring, struct machine_forward *forward)
{
    static const struct spec_range ports = {1, 65535, 0};
    struct machine_port_list *list = &forward->ports;
    int64_t target_port = 0;
    int r = desiring_ports(desiring, "port", list);
    if (r == 0)
        r = spec_integer(desiring, desiring_spec(desiring), "targetPort", &ports, &target_port);
    if (r < 0)
        return r;
    if (list->n_items == 0)
        return desiring_fault(desiring, ERROR_INVALID, "port is missing");
    bool is_single = list->n_items == 1 && list->items[0].first == list->items[0].last;
    if (target_port != 0 && !is_single)
        return desiring_fault(desiring, ERROR_INVALID,
                              "targetPort needs a single port; several keep their numbers");
    forward->target_port = (uint16_t)target_port;
    return 0;
}

/* Leads from the machine that the twin runs on to the port outside. */
static void add_entrance(struct desiring *desiring, const struct machine_forward *forward)
{
    struct machine *machine = desiring->machine;
    const struct machine_network *outside = machine_find_network(machine, MACHINE_OUTSIDE);
    uint16_t port = forward->ports.items[0].first;
    bool is_outside = false;
    for (size_t i = 0; i < forward->interfaces.n_items; i++)
        is_outside = is_outside || forward->interfaces.items[i] == outside;
    if (!is_outside || forward->address != outside->gateway || forward->protocol == PROTOCOL_UDP ||
        forward->source.kind != ENDPOINT_ANY)
        return;
    struct machine_entrance *entrance = machine_memory(machine, 1, sizeof(*entrance));
    *entrance =
        (struct machine_entrance){.resource = forward->resource,
                                  .name = forward->name,
                                  .from = MACHINE_OUTSIDE,
                                  .address = outside->gateway_text,
                                  .port = port,
                                  .preferred = (uint16_t)(port < 1024 ? port + 8000 : port)};
    MACHINE_ADD(machine, machine->entrances, machine->n_entrances, entrance);
}

static int read_forward(struct desiring *desiring, struct machine_forward *forward)
{
    static const char *const protocols[] = {
        [PROTOCOL_TCP] = "tcp", [PROTOCOL_UDP] = "udp", [PROTOCOL_TCP_UDP] = "tcp/udp"};
    size_t protocol = 0;
    int r = spec_choice(desiring, "protocol", protocols, ARRAY_LENGTH(protocols), &protocol);
    forward->protocol = (enum machine_protocol)protocol;
    if (r == 0)
        r = desiring_sequence(desiring, &forward->sequence);
    if (r == 0)
        r = desiring_interfaces(desiring, MACHINE_OUTSIDE, &forward->interfaces);
    if (r == 0)
        r = desiring_endpoint(desiring, "source", "any", &forward->source);
    if (r == 0)
        r = read_address(desiring, "destination", WAN_ADDRESS, &forward->address);
    if (r == 0)
        r = read_forwarded_ports(desiring, forward);
    if (r == 0)
        r = read_target(desiring, &forward->target);
    if (r == 0)
        r = spec_bool(desiring, "log", false, &forward->log);
    return r == 0 ? spec_bool(desiring, "pass", true, &forward->is_let_in) : r;
}

int desire_port_forward(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_forward *forward = machine_memory(machine, 1, sizeof(*forward));
    bool is_enabled = true;
    int r = spec_bool(desiring, "enabled", true, &is_enabled);
    if (r == 0)
        r = read_forward(desiring, forward);
    if (r < 0)
        return r;
    forward->name = desiring_label(desiring);
    forward->resource = desiring_text(desiring, resource_uid(desiring->resource));
    if (is_enabled) {
        MACHINE_ADD(machine, machine->forwards, machine->n_forwards, forward);
        add_entrance(desiring, forward);
    }
    desiring_built(desiring, forward);
    return 0;
}

int desire_outbound(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_outbound *outbound = machine_memory(machine, 1, sizeof(*outbound));
    bool is_enabled = true;
    int r = spec_bool(desiring, "enabled", true, &is_enabled);
    if (r == 0)
        r = desiring_sequence(desiring, &outbound->sequence);
    if (r == 0)
        r = desiring_interfaces(desiring, MACHINE_OUTSIDE, &outbound->interfaces);
    if (r == 0)
        r = desiring_endpoint(desiring, "source", "any", &outbound->source);
    if (r == 0)
        r = desiring_endpoint(desiring, "destination", "any", &outbound->destination);
    if (r == 0)
        r = read_address(desiring, "target", WAN_ADDRESS, &outbound->target);
    if (r == 0)
        r = spec_bool(desiring, "noNat", false, &outbound->is_exempt);
    if (r < 0)
        return r;
    outbound->name = desiring_label(desiring);
    outbound->resource = desiring_text(desiring, resource_uid(desiring->resource));
    if (is_enabled)
        MACHINE_ADD(machine, machine->outbounds, machine->n_outbounds, outbound);
    desiring_built(desiring, outbound);
    return 0;
}

static int by_number(int64_t left, int64_t right, const char *left_name, const char *right_name)
{
    if (left != right)
        return left < right ? -1 : 1;
    return strcmp(left_name, right_name);
}

static int compare_forwards(const void *a, const void *b)
{
    const struct machine_forward *left = *(struct machine_forward *const *)a;
    const struct machine_forward *right = *(struct machine_forward *const *)b;
    return by_number(left->sequence, right->sequence, left->name, right->name);
}

static int compare_outbounds(const void *a, const void *b)
{
    const struct machine_outbound *left = *(struct machine_outbound *const *)a;
    const struct machine_outbound *right = *(struct machine_outbound *const *)b;
    return by_number(left->sequence, right->sequence, left->name, right->name);
}

void desire_translations_in_order(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    if (machine->n_forwards > 0)
        qsort(machine->forwards, machine->n_forwards, sizeof(struct machine_forward *),
              compare_forwards);
    if (machine->n_outbounds > 0)
        qsort(machine->outbounds, machine->n_outbounds, sizeof(struct machine_outbound *),
              compare_outbounds);
}
