/* What follows from rules for what they lead to: limits, entrances, clients of databases. */
#include "twin/desiring.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static int by_precedence(const void *a, const void *b)
{
    const struct machine_rule *left = *(struct machine_rule *const *)a;
    const struct machine_rule *right = *(struct machine_rule *const *)b;
    bool left_allows = left->action == ACTION_ALLOW, right_allows = right->action == ACTION_ALLOW;
    if (left->sequence != right->sequence)
        return left->sequence < right->sequence ? -1 : 1;
    if (left_allows != right_allows)
        return left_allows ? 1 : -1;
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
    bool is_tcp = rule->protocol == PROTOCOL_TCP || rule->protocol == PROTOCOL_TCP_UDP ||
                  rule->protocol == PROTOCOL_ANY;
    if (!is_there || rule->action != ACTION_ALLOW || rule->direction == DIRECTION_OUT || !is_tcp)
        return false;
    for (size_t i = 0; i < rule->ports.n_items; i++) {
        if (rule->ports.items[i].first <= port && port <= rule->ports.items[i].last)
            return true;
    }
    return rule->ports.n_items == 0;
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

static bool lets_anybody_in(const struct machine_rule *rule)
{
    bool is_outside = rule->interfaces.n_items == 0;
    for (size_t i = 0; i < rule->interfaces.n_items; i++)
        is_outside = is_outside || text_equal(rule->interfaces.items[i]->name, MACHINE_OUTSIDE);
    return is_outside && rule->source.kind == ENDPOINT_ANY;
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
        if (lets_anybody_in(rule) && !frontend->is_public)
            add_entrance(desiring, frontend);
        frontend->is_public = frontend->is_public || lets_anybody_in(rule);
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
    desire_translations_in_order(desiring);
    if (machine->n_rules > 0)
        qsort(machine->rules, machine->n_rules, sizeof(struct machine_rule *), by_precedence);
    for (size_t i = 0; i < machine->n_rules; i++) {
        open_frontends(desiring, machine->rules[i]);
        let_clients_in(desiring, machine->rules[i]);
    }
}
