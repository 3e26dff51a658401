/* Rules, and what follows from them. */
#include "twin/desiring.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define VLAN "opnsense:network:vlan"
#define ALIAS "opnsense:firewall:alias"

static int read_literal(struct desiring *desiring, const char *field, const char *text,
                        struct machine_endpoint *ret_endpoint)
{
    struct machine_endpoint endpoint = {.kind = ENDPOINT_SUBNET};
    if (!text)
        return desiring_fault(desiring, ERROR_INVALID, "%s is missing", field);
    if (text_equal(text, "any")) {
        endpoint.kind = ENDPOINT_ANY;
    } else if (!machine_subnet_from_text(text, &endpoint.subnet)) {
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s is \"%s\": neither any nor an IPv4 address or network", field,
                              text);
    } else if (endpoint.subnet.prefix == 0) {
        endpoint.kind = ENDPOINT_ANY;
    }
    *ret_endpoint = endpoint;
    return 0;
}

static int read_endpoint(struct desiring *desiring, const char *field,
                         struct machine_endpoint *ret_endpoint)
{
    void *built = NULL;
    const char *text = NULL;
    int r = spec_reference(desiring, field, VLAN " " ALIAS, false, &built);
    if (r < 0)
        return r;
    if (!built) {
        r = spec_text(desiring, desiring_spec(desiring), field, NULL, &text);
        return r < 0 ? r : read_literal(desiring, field, text, ret_endpoint);
    }
    if (text_equal(spec_reference_type(desiring, field), ALIAS)) {
        *ret_endpoint = (struct machine_endpoint){.kind = ENDPOINT_SET, .set = built};
        return 0;
    }
    const struct machine_network *network = built;
    *ret_endpoint = (struct machine_endpoint){
        .kind = ENDPOINT_SUBNET, .subnet = {network->base, network->prefix}, .network = network};
    return 0;
}

/* 443, "443" or "8000-8100". */
static bool read_port(const struct value *value, struct machine_ports *ret_ports)
{
    int64_t first, last;
    if (value_kind(value) == VALUE_INTEGER) {
        first = last = value_to_integer(value);
    } else if (value_kind(value) == VALUE_STRING) {
        const char *text = value_text(value), *dash = strchr(text, '-');
        CLEANUP(mem_freep)
        char *start = string_copy_n(text, dash ? (size_t)(dash - text) : strlen(text));
        if (!text_to_integer(start, &first))
            return false;
        last = first;
        if (dash && !text_to_integer(dash + 1, &last))
            return false;
    } else {
        return false;
    }
    if (first < 1 || last > 65535 || first > last)
        return false;
    *ret_ports = (struct machine_ports){(uint16_t)first, (uint16_t)last};
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct machine_ports *left = a, *right = b;
    return left->first != right->first ? left->first - right->first : left->last - right->last;
}

/* Ranges that touch or overlap become one: nftables wants them apart. */
static void merge_ports(struct machine_rule *rule)
{
    size_t n = 0;
    qsort(rule->ports, rule->n_ports, sizeof(*rule->ports), by_first);
    for (size_t i = 0; i < rule->n_ports; i++) {
        struct machine_ports next = rule->ports[i];
        if (n > 0 && next.first <= rule->ports[n - 1].last + 1) {
            if (next.last > rule->ports[n - 1].last)
                rule->ports[n - 1].last = next.last;
        } else {
            rule->ports[n++] = next;
        }
    }
    rule->n_ports = n;
}

static int read_ports(struct desiring *desiring, struct machine_rule *rule)
{
    const struct value *port = value_get(desiring_spec(desiring), "port");
    if (value_is_null(port))
        return 0;
    bool is_list = value_kind(port) == VALUE_LIST || value_kind(port) == VALUE_SET;
    size_t n = is_list ? value_count(port) : 1;
    rule->ports = machine_memory(desiring->machine, n, sizeof(*rule->ports));
    for (size_t i = 0; i < n; i++) {
        if (!read_port(is_list ? value_at(port, i) : port, &rule->ports[i]))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "port is not one from 1 to 65535 nor a range such as "
                                  "8000-8100");
    }
    rule->n_ports = n;
    merge_ports(rule);
    if (rule->protocol == PROTOCOL_ICMP && n > 0)
        return desiring_fault(desiring, ERROR_INVALID, "icmp has no ports");
    return 0;
}

static int read_limit(struct desiring *desiring, struct machine_limit *ret_limit)
{
    static const struct {
        const char *unit;
        uint32_t window_s;
    } units[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};
    const char *text = NULL;
    int r = spec_text(desiring, desiring_spec(desiring), "rateLimit", NULL, &text);
    if (r < 0 || !text)
        return r;
    const char *slash = strchr(text, '/');
    CLEANUP(mem_freep)
    char *number = string_copy_n(text, slash ? (size_t)(slash - text) : strlen(text));
    int64_t count = 0;
    for (size_t i = 0; slash && i < ARRAY_LENGTH(units); i++) {
        if (!text_equal(slash + 1, units[i].unit) || !text_to_integer(number, &count))
            continue;
        if (count < 1 || count > 1000000000)
            break;
        *ret_limit = (struct machine_limit){(uint32_t)count, units[i].window_s};
        return 0;
    }
    return desiring_fault(desiring, ERROR_INVALID,
                          "rateLimit is \"%s\"; it must be like 1000/minute", text);
}

static int read_verdict(struct desiring *desiring, struct machine_rule *rule)
{
    static const char *const actions[] = {"allow", "block", "reject", "pass"};
    static const char *const protocols[] = {"tcp", "udp", "icmp", "any"};
    static const struct spec_range sequences = {INT64_MIN, INT64_MAX, 0};
    size_t action = 0, protocol = 0;
    int r = spec_choice(desiring, "action", actions, ARRAY_LENGTH(actions), &action);
    if (r == 0)
        r = spec_choice(desiring, "protocol", protocols, ARRAY_LENGTH(protocols), &protocol);
    if (r == 0)
        r = spec_bool(desiring, "log", false, &rule->log);
    if (r == 0)
        r = spec_integer(desiring, desiring_spec(desiring), "sequence", &sequences,
                         &rule->sequence);
    if (r < 0)
        return r;
    rule->action = action == 3 ? ACTION_ALLOW : (enum machine_action)action;
    rule->protocol = (enum machine_protocol)protocol;
    if (value_is_null(value_get(desiring_spec(desiring), "action")))
        return desiring_fault(desiring, ERROR_INVALID, "action is missing");
    return 0;
}

int desire_rule(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_rule *rule = machine_memory(machine, 1, sizeof(*rule));
    int r = read_verdict(desiring, rule);
    if (r == 0)
        r = read_endpoint(desiring, "source", &rule->source);
    if (r == 0)
        r = read_endpoint(desiring, "destination", &rule->destination);
    if (r == 0)
        r = read_ports(desiring, rule);
    if (r == 0)
        r = read_limit(desiring, &rule->limit);
    if (r < 0)
        return r;
    rule->name = desiring_label(desiring);
    rule->resource = desiring_text(desiring, resource_uid(desiring->resource));
    MACHINE_ADD(machine, machine->rules, machine->n_rules, rule);
    desiring_built(desiring, rule);
    return 0;
}

static int by_precedence(const void *a, const void *b)
{
    const struct machine_rule *left = *(struct machine_rule *const *)a;
    const struct machine_rule *right = *(struct machine_rule *const *)b;
    bool left_allows = left->action == ACTION_ALLOW, right_allows = right->action == ACTION_ALLOW;
    if (left_allows != right_allows)
        return left_allows ? 1 : -1;
    if (left->sequence != right->sequence)
        return left->sequence < right->sequence ? -1 : 1;
    return strcmp(left->name, right->name);
}

static bool reaches(const struct machine_rule *rule, uint32_t ip, uint16_t port)
{
    struct machine_subnet target = {ip, 32};
    const struct machine_endpoint *to = &rule->destination;
    bool is_there = to->kind == ENDPOINT_ANY ||
                    (to->kind == ENDPOINT_SUBNET && machine_subnet_contains(to->subnet, target));
    for (size_t i = 0; !is_there && to->kind == ENDPOINT_SET && i < to->set->n_subnets; i++)
        is_there = machine_subnet_contains(to->set->subnets[i], target);
    if (!is_there || rule->action != ACTION_ALLOW ||
        (rule->protocol != PROTOCOL_TCP && rule->protocol != PROTOCOL_ANY))
        return false;
    for (size_t i = 0; i < rule->n_ports; i++) {
        if (rule->ports[i].first <= port && port <= rule->ports[i].last)
            return true;
    }
    return rule->n_ports == 0;
}

/* Requests are limited where they are understood; the firewall leaves room for what is not one. */
static void limit_frontend(struct machine_rule *rule, struct machine_frontend *frontend)
{
    struct machine_limit limit = rule->limit;
    if (frontend->limit.count == 0 || (uint64_t)limit.count * frontend->limit.window_s <
                                          (uint64_t)frontend->limit.count * limit.window_s)
        frontend->limit = limit;
}

static void add_entrance(struct desiring *desiring, const struct machine_frontend *frontend)
{
    struct machine *machine = desiring->machine;
    struct machine_entrance *entrance = machine_memory(machine, 1, sizeof(*entrance));
    *entrance = (struct machine_entrance){
        .resource = frontend->resource,
        .name = frontend->name,
        .from = MACHINE_OUTSIDE,
        .domain = frontend->certificate ? frontend->certificate->domains[0] : NULL,
        .address = frontend->host->address,
        .port = frontend->port,
        .preferred = (uint16_t)(frontend->port < 1024 ? frontend->port + 8000 : frontend->port)};
    MACHINE_ADD(machine, machine->entrances, machine->n_entrances, entrance);
}

static void open_frontends(struct desiring *desiring, struct machine_rule *rule)
{
    struct machine *machine = desiring->machine;
    bool is_limited = false;
    for (size_t i = 0; i < machine->n_frontends; i++) {
        struct machine_frontend *frontend = machine->frontends[i];
        if (!reaches(rule, frontend->host->ip, frontend->port))
            continue;
        if (rule->limit.count > 0)
            limit_frontend(rule, frontend);
        is_limited = is_limited || rule->limit.count > 0;
        if (rule->source.kind == ENDPOINT_ANY && !frontend->is_public)
            add_entrance(desiring, frontend);
        frontend->is_public = frontend->is_public || rule->source.kind == ENDPOINT_ANY;
    }
    if (is_limited)
        rule->limit.count *= 2;
}

static void let_clients_in(struct desiring *desiring, const struct machine_rule *rule)
{
    struct machine *machine = desiring->machine;
    static const struct machine_subnet everything = {0, 0};
    for (size_t i = 0; i < machine->n_databases; i++) {
        struct machine_database *database = machine->databases[i];
        if (!reaches(rule, database->ip, database->port))
            continue;
        const struct machine_endpoint *from = &rule->source;
        if (from->kind == ENDPOINT_SET) {
            for (size_t j = 0; j < from->set->n_subnets; j++)
                MACHINE_ADD(machine, database->clients, database->n_clients, from->set->subnets[j]);
        } else {
            MACHINE_ADD(machine, database->clients, database->n_clients,
                        from->kind == ENDPOINT_ANY ? everything : from->subnet);
        }
    }
}

void desire_consequences(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    if (machine->n_rules > 0)
        qsort(machine->rules, machine->n_rules, sizeof(struct machine_rule *), by_precedence);
    for (size_t i = 0; i < machine->n_rules; i++) {
        open_frontends(desiring, machine->rules[i]);
        let_clients_in(desiring, machine->rules[i]);
    }
}
