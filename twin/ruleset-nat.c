/*
 * Translated addresses: where the port of an outside address leads, and as whom those inside go
 * out. Each is a chain of its own, as rules are; what a port forward lets in itself comes behind
 * all rules, so that what blocks has had its say.
 */
#include "twin/ruleset-private.h"

/* A port can be changed only where the rule itself has said of which protocol: so the match comes
 * again. */
static void add_body(struct ruleset *ruleset, const char *name, const struct strbuf *match,
                     bool is_logged, const char *action)
{
    struct strbuf body = {0};
    char *decided, *limited;
    ruleset_counter_names(name, &decided, &limited);
    if (is_logged)
        strbuf_addf(&body,
                    "add rule " TABLE " nat-%s limit rate 10/second log prefix \"%s \" group 5\n",
                    name, name);
    strbuf_addf(&body, "add rule " TABLE " nat-%s %scounter name \"%s\" %s\n", name,
                strbuf_text(match), decided, action);
    part_list_add(&ruleset->counters, decided, string_copy(""));
    part_list_add(&ruleset->chains, string_format("nat-%s", name), strbuf_take(&body));
    mem_free(limited);
}

static void write_forward(struct ruleset *ruleset, const struct machine_forward *forward,
                          struct strbuf *order)
{
    static const struct machine_port_list no_ports;
    char address[MACHINE_ADDRESS_SIZE], target[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(forward->address, address);
    machine_address_to_text(forward->target, target);
    strbuf_add(order, "add rule " TABLE " prerouting ");
    ruleset_write_interfaces(order, "iifname", &forward->interfaces);
    ruleset_write_endpoint(order, "saddr", &forward->source);
    strbuf_addf(order, "ip daddr %s ", address);
    ruleset_write_protocol(order, forward->protocol, &no_ports, &forward->ports);
    strbuf_addf(order, "jump nat-%s\n", forward->name);
    CLEANUP(mem_freep)
    char *action = forward->target_port
                       ? string_format("dnat ip to %s:%u", target, forward->target_port)
                       : string_format("dnat ip to %s", target);
    struct strbuf match = {0};
    ruleset_write_protocol(&match, forward->protocol, &no_ports, &no_ports);
    add_body(ruleset, forward->name, &match, forward->log, action);
    strbuf_done(&match);
}

void ruleset_write_let_in(const struct machine *machine, struct strbuf *incoming)
{
    static const struct machine_port_list no_ports;
    for (size_t i = 0; i < machine->n_forwards; i++) {
        const struct machine_forward *forward = machine->forwards[i];
        char address[MACHINE_ADDRESS_SIZE];
        if (!forward->is_let_in)
            continue;
        machine_address_to_text(forward->address, address);
        strbuf_add(incoming, "add rule " TABLE " incoming ");
        ruleset_write_interfaces(incoming, "iifname", &forward->interfaces);
        ruleset_write_endpoint(incoming, "saddr", &forward->source);
        ruleset_write_protocol(incoming, forward->protocol, &no_ports, &no_ports);
        strbuf_addf(incoming, "ct status dnat ct original ip daddr %s ct original proto-dst { ",
                    address);
        for (size_t k = 0; k < forward->ports.n_items; k++)
            strbuf_addf(incoming, k ? ", %u-%u" : "%u-%u", forward->ports.items[k].first,
                        forward->ports.items[k].last);
        strbuf_add(incoming, " } accept\n");
    }
}

static void write_outbound(struct ruleset *ruleset, const struct machine_outbound *outbound,
                           struct strbuf *order)
{
    char target[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(outbound->target, target);
    strbuf_add(order, "add rule " TABLE " postrouting ");
    ruleset_write_interfaces(order, "oifname", &outbound->interfaces);
    ruleset_write_endpoint(order, "saddr", &outbound->source);
    ruleset_write_endpoint(order, "daddr", &outbound->destination);
    strbuf_addf(order, "jump nat-%s\n", outbound->name);
    CLEANUP(mem_freep)
    char *action =
        outbound->is_exempt ? string_copy("accept") : string_format("snat ip to %s", target);
    add_body(ruleset, outbound->name, &(struct strbuf){0}, false, action);
}

/* Kernels without translation serve those who need none. */
void ruleset_compile_nat(struct ruleset *ruleset, const struct machine *machine)
{
    struct strbuf before = {0}, after = {0};
    for (size_t i = 0; i < machine->n_forwards; i++)
        write_forward(ruleset, machine->forwards[i], &before);
    for (size_t i = 0; i < machine->n_outbounds; i++)
        write_outbound(ruleset, machine->outbounds[i], &after);
    if (machine->n_forwards > 0)
        part_list_add_base(&ruleset->chains, "prerouting",
                           " { type nat hook prerouting priority dstnat; policy accept; }",
                           strbuf_take(&before));
    if (machine->n_outbounds > 0)
        part_list_add_base(&ruleset->chains, "postrouting",
                           " { type nat hook postrouting priority srcnat; policy accept; }",
                           strbuf_take(&after));
    strbuf_done(&before);
    strbuf_done(&after);
}
