/*
 * The rules: each is a chain of its own with named counters, and chains of jumps hold the order, so
 * that a change of one rule touches nothing of the others.
 *
 * A new connection is decided by the first rule that fits as it comes in ("incoming"), and then by
 * those for packets that leave ("outgoing"). What began already is looked at by rules that block
 * only, in the original direction ("standing"): a block cuts what its source began at the next
 * packet, and never the answers to what is allowed.
 */
#include "twin/ruleset-private.h"

#include "base/text.h"

#include <stdlib.h>

static void write_ports(struct strbuf *text, const char *field,
                        const struct machine_port_list *ports)
{
    strbuf_addf(text, "%s { ", field);
    for (size_t i = 0; i < ports->n_items; i++)
        strbuf_addf(text, i ? ", %u-%u" : "%u-%u", ports->items[i].first, ports->items[i].last);
    strbuf_add(text, " } ");
}

void ruleset_write_subnet(struct strbuf *text, struct machine_subnet subnet)
{
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(subnet.base, address);
    strbuf_addf(text, "%s/%u", address, subnet.prefix);
}

void ruleset_write_endpoint(struct strbuf *text, const char *field,
                            const struct machine_endpoint *endpoint)
{
    switch (endpoint->kind) {
    case ENDPOINT_ANY:
        return;
    case ENDPOINT_SUBNET:
        strbuf_addf(text, "ip %s ", field);
        ruleset_write_subnet(text, endpoint->subnet);
        strbuf_add_char(text, ' ');
        return;
    case ENDPOINT_SET:
        strbuf_addf(text, "ip %s @set-%s ", field, endpoint->set->name);
        return;
    }
}

void ruleset_write_protocol(struct strbuf *text, enum machine_protocol protocol,
                            const struct machine_port_list *source,
                            const struct machine_port_list *destination)
{
    static const char *const names[PROTOCOL_COUNT] = {
        [PROTOCOL_TCP] = "tcp", [PROTOCOL_UDP] = "udp",  [PROTOCOL_TCP_UDP] = "{ tcp, udp }",
        [PROTOCOL_ESP] = "esp", [PROTOCOL_AH] = "ah",    [PROTOCOL_GRE] = "gre",
        [PROTOCOL_IGMP] = "2",  [PROTOCOL_ICMP] = "icmp"};
    bool has_ports = source->n_items > 0 || destination->n_items > 0;
    if (protocol == PROTOCOL_ANY && has_ports)
        protocol = PROTOCOL_TCP_UDP;
    if (protocol != PROTOCOL_ANY)
        strbuf_addf(text, "meta l4proto %s ", names[protocol]);
    if (source->n_items > 0)
        write_ports(text, "th sport", source);
    if (destination->n_items > 0)
        write_ports(text, "th dport", destination);
}

static void write_icmp_types(struct strbuf *text, uint32_t types)
{
    const char *separator = "icmp type { ";
    for (unsigned int type = 0; type < MACHINE_ICMP_TYPES; type++) {
        if (!(types & (UINT32_C(1) << type)))
            continue;
        strbuf_addf(text, "%s%s", separator, machine_icmp_names[type]);
        separator = ", ";
    }
    if (types)
        strbuf_add(text, " } ");
}

/*
 * nftables counts a burst in nanoseconds of its unit, and takes one above INT64_MAX for none at
 * all. What a unit gives back within a window is less than one, but for bursts so large that it
 * does not matter.
 */
static const char *unit_of(uint32_t burst)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}};
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (burst < INT64_MAX / (units[i].seconds * 1000000000))
            return units[i].name;
    return "second";
}

/* A fixed window: the element is made by the first connection and gone at the window's end. */
static void write_limit(struct ruleset *ruleset, const struct machine_rule *rule,
                        const char *counter, struct strbuf *body)
{
    char *set = string_format("window-%s-%u", rule->name, rule->limit.window_s);
    strbuf_addf(body,
                "add rule " TABLE " rule-%s add @%s { ip saddr limit rate over 1/%s burst "
                "%u packets } counter name \"%s\" drop\n",
                rule->name, set, unit_of(rule->limit.count), rule->limit.count, counter);
    part_list_add(
        &ruleset->sets, set,
        string_format("{ type ipv4_addr; flags dynamic,timeout; timeout %us; size 65536; }",
                      rule->limit.window_s));
}

static const char *verdict(const struct machine_rule *rule)
{
    switch (rule->action) {
    case ACTION_ALLOW:
        return "accept";
    case ACTION_BLOCK:
        return "drop";
    case ACTION_REJECT:
        return "reject";
    }
    abort();
}

static void compile_rule(struct ruleset *ruleset, const struct machine_rule *rule)
{
    struct strbuf body = {0};
    char *decided, *limited;
    ruleset_counter_names(rule->name, &decided, &limited);
    if (rule->limit.count > 0)
        write_limit(ruleset, rule, limited, &body);
    if (rule->log)
        strbuf_addf(&body,
                    "add rule " TABLE " rule-%s limit rate 10/second log prefix \"%s \" "
                    "group 5\n",
                    rule->name, rule->name);
    /* The kernel sends only so many answers by ICMP: who asks by TCP gets one of its own. */
    if (rule->action == ACTION_REJECT &&
        (rule->protocol == PROTOCOL_ANY || rule->protocol == PROTOCOL_TCP ||
         rule->protocol == PROTOCOL_TCP_UDP))
        strbuf_addf(&body,
                    "add rule " TABLE " rule-%s meta l4proto tcp counter name \"%s\" "
                    "reject with tcp reset\n",
                    rule->name, decided);
    strbuf_addf(&body, "add rule " TABLE " rule-%s counter name \"%s\" %s\n", rule->name, decided,
                verdict(rule));
    part_list_add(&ruleset->counters, decided, string_copy(""));
    if (rule->limit.count > 0)
        part_list_add(&ruleset->counters, limited, string_copy(""));
    else
        mem_free(limited);
    part_list_add(&ruleset->chains, string_format("rule-%s", rule->name), strbuf_take(&body));
}

void ruleset_write_interfaces(struct strbuf *text, const char *field,
                              const struct machine_interface_list *interfaces)
{
    if (interfaces->n_items == 0)
        return;
    strbuf_addf(text, "%s { ", field);
    for (size_t i = 0; i < interfaces->n_items; i++)
        strbuf_addf(text, i ? ", \"%s\"" : "\"%s\"", interfaces->items[i]->bridge);
    strbuf_add(text, " } ");
}

/* Times are numbers, and nftables is told that we live in UTC. */
static void write_window(struct strbuf *text, const struct machine_window *window)
{
    const char *separator = "meta day { ";
    for (unsigned int day = 0; day < 7; day++) {
        if (!(window->days & (1u << day)))
            continue;
        strbuf_addf(text, "%s%u", separator, day);
        separator = ", ";
    }
    strbuf_addf(text, " } meta hour %u-%u ", window->first_s, window->last_s);
}

/* One line of an order: where the rule fits, verdict follows; a line for each part of its schedule.
 */
static void write_line(struct strbuf *text, const char *chain, const struct machine_rule *rule,
                       const char *line_verdict)
{
    bool is_outgoing = text_equal(chain, "outgoing");
    size_t n_windows = rule->schedule ? rule->schedule->n_windows : 1;
    for (size_t i = 0; i < n_windows; i++) {
        strbuf_addf(text, "add rule " TABLE " %s ", chain);
        ruleset_write_interfaces(text, is_outgoing ? "oifname" : "iifname", &rule->interfaces);
        ruleset_write_endpoint(text, "saddr", &rule->source);
        ruleset_write_endpoint(text, "daddr", &rule->destination);
        ruleset_write_protocol(text, rule->protocol, &rule->source_ports, &rule->ports);
        write_icmp_types(text, rule->icmp_types);
        if (rule->schedule)
            write_window(text, &rule->schedule->windows[i]);
        if (rule->expires > 0)
            strbuf_addf(text, "meta time < %lld ", (long long)rule->expires);
        strbuf_addf(text, "%s\n", line_verdict);
    }
}

/* Behind the last block there is nothing that could cut what stands. */
static size_t count_standing(const struct machine *machine)
{
    size_t n = machine->n_rules;
    while (n > 0 && (machine->rules[n - 1]->action == ACTION_ALLOW ||
                     machine->rules[n - 1]->direction == DIRECTION_OUT))
        n--;
    return n;
}

static bool has_set(const struct machine *machine, const struct machine_endpoint *endpoint)
{
    if (endpoint->kind != ENDPOINT_SET)
        return true;
    for (size_t i = 0; i < machine->n_sets; i++)
        if (text_equal(machine->sets[i]->name, endpoint->set->name))
            return true;
    return false;
}

static const struct machine_rule *find_rule(const struct machine *machine, const char *name)
{
    for (size_t i = 0; i < machine->n_rules; i++)
        if (text_equal(machine->rules[i]->name, name))
            return machine->rules[i];
    return NULL;
}

/*
 * What a rule has let in until now, behind all that there is now: whatever blocks has had its say,
 * and where there still is a rule of that name it decides, with its limit.
 */
static void write_held(const struct machine *machine, const struct machine_rule *rule,
                       struct strbuf *incoming)
{
    CLEANUP(strbuf_done) struct strbuf before = {0};
    CLEANUP(strbuf_done) struct strbuf now = {0};
    const struct machine_rule *successor = find_rule(machine, rule->name);
    if (rule->action != ACTION_ALLOW || rule->direction == DIRECTION_OUT || rule->schedule ||
        !has_set(machine, &rule->source) || !has_set(machine, &rule->destination) ||
        (!successor && rule->limit.count > 0))
        return;
    CLEANUP(mem_freep)
    char *jump = successor ? string_format("jump rule-%s", rule->name) : string_copy("accept");
    write_line(&before, "incoming", rule, jump);
    if (successor)
        write_line(&now, "incoming", successor, jump);
    if (!text_equal(strbuf_text(&before), strbuf_text(&now)))
        strbuf_add(incoming, strbuf_text(&before));
}

void ruleset_compile_rules(struct ruleset *ruleset, const struct machine *machine,
                           const struct machine *held)
{
    struct strbuf incoming = {0}, outgoing = {0}, standing = {0};
    size_t n_standing = count_standing(machine);
    for (size_t i = 0; i < machine->n_rules; i++) {
        const struct machine_rule *rule = machine->rules[i];
        bool is_allowed = rule->action == ACTION_ALLOW;
        CLEANUP(mem_freep) char *jump = string_format("jump rule-%s", rule->name);
        compile_rule(ruleset, rule);
        if (rule->direction != DIRECTION_OUT) {
            write_line(&incoming, "incoming", rule, jump);
            if (i < n_standing)
                write_line(&standing, "standing", rule, is_allowed ? "return" : jump);
        }
        /* What was counted as it came in is not counted again as it leaves. */
        bool is_counted = rule->direction == DIRECTION_BOTH && is_allowed;
        if (rule->direction != DIRECTION_IN)
            write_line(&outgoing, "outgoing", rule, is_counted ? "accept" : jump);
    }
    ruleset_write_let_in(machine, &incoming);
    size_t length = incoming.length;
    for (size_t i = 0; held && i < held->n_rules; i++)
        write_held(machine, held->rules[i], &incoming);
    ruleset->has_kept = incoming.length > length;
    part_list_add(&ruleset->chains, string_copy("standing"), strbuf_take(&standing));
    part_list_add(&ruleset->chains, string_copy("incoming"), strbuf_take(&incoming));
    part_list_add(&ruleset->chains, string_copy("outgoing"), strbuf_take(&outgoing));
}
