/*
 * The firewall's rules as nftables text. Each rule is a chain of its own with named counters, and
 * two chains of jumps hold the order: so a change of one rule touches nothing of the others.
 *
 * What blocks stands before what is established, in the original direction only: a block cuts what
 * its source began at the next packet, and never the answers to what is allowed.
 */
#include "twin/ruleset.h"

#include "base/map.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "inet parley"

/* One thing in the table that has a name. */
struct part {
    char *name;
    char *content; /* what defines it; parts of one name are equal when this is */
};

struct part_list {
    struct part *parts; /* owned */
    size_t n_parts, capacity;
};

/* The elements of one set, none of which contains another, sorted. */
struct elements {
    char *set;
    struct machine_subnet *subnets;
    size_t n_subnets;
};

struct ruleset {
    struct part_list counters;
    struct part_list sets;
    struct part_list chains;
    struct elements *elements; /* owned; of the sets that are aliases */
    size_t n_elements, elements_capacity;
};

static void add_part(struct part_list *list, char *take_name, char *take_content)
{
    ARRAY_RESERVE(list->parts, list->n_parts, list->capacity);
    struct part *part = &list->parts[list->n_parts++];
    part->name = take_name;
    part->content = take_content;
}

static void part_list_done(struct part_list *list)
{
    for (size_t i = 0; i < list->n_parts; i++) {
        mem_free(list->parts[i].name);
        mem_free(list->parts[i].content);
    }
    mem_free(list->parts);
}

void ruleset_free(struct ruleset *ruleset)
{
    if (!ruleset)
        return;
    part_list_done(&ruleset->counters);
    part_list_done(&ruleset->sets);
    part_list_done(&ruleset->chains);
    for (size_t i = 0; i < ruleset->n_elements; i++) {
        mem_free(ruleset->elements[i].set);
        mem_free(ruleset->elements[i].subnets);
    }
    mem_free(ruleset->elements);
    mem_free(ruleset);
}

void ruleset_counter_names(const char *rule, char **ret_decided, char **ret_limited)
{
    *ret_decided = string_format("decided-%s", rule);
    *ret_limited = string_format("limited-%s", rule);
}

static void add_counter(struct ruleset *ruleset, char *take_name)
{
    add_part(&ruleset->counters, take_name, string_copy(""));
}

static void write_subnet(struct strbuf *text, struct machine_subnet subnet)
{
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(subnet.base, address);
    strbuf_addf(text, "%s/%u", address, subnet.prefix);
}

static void write_endpoint(struct strbuf *text, const char *field,
                           const struct machine_endpoint *endpoint)
{
    switch (endpoint->kind) {
    case ENDPOINT_ANY:
        return;
    case ENDPOINT_SUBNET:
        strbuf_addf(text, "ip %s ", field);
        write_subnet(text, endpoint->subnet);
        strbuf_add_char(text, ' ');
        return;
    case ENDPOINT_SET:
        strbuf_addf(text, "ip %s @set-%s ", field, endpoint->set->name);
        return;
    }
}

static void write_ports(struct strbuf *text, const struct machine_rule *rule)
{
    for (size_t i = 0; i < rule->n_ports; i++)
        strbuf_addf(text, i ? ", %u-%u" : "%u-%u", rule->ports[i].first, rule->ports[i].last);
}

static void write_protocol(struct strbuf *text, const struct machine_rule *rule)
{
    static const char *const names[] = {[PROTOCOL_TCP] = "tcp", [PROTOCOL_UDP] = "udp"};
    if (rule->protocol == PROTOCOL_ICMP) {
        strbuf_add(text, "meta l4proto icmp ");
    } else if (rule->protocol == PROTOCOL_ANY && rule->n_ports > 0) {
        strbuf_add(text, "meta l4proto { tcp, udp } th dport { ");
        write_ports(text, rule);
        strbuf_add(text, " } ");
    } else if (rule->protocol != PROTOCOL_ANY && rule->n_ports > 0) {
        strbuf_addf(text, "%s dport { ", names[rule->protocol]);
        write_ports(text, rule);
        strbuf_add(text, " } ");
    } else if (rule->protocol != PROTOCOL_ANY) {
        strbuf_addf(text, "meta l4proto %s ", names[rule->protocol]);
    }
}

/* A fixed window: the element is made by the first connection and gone at the window's end. */
static void write_limit(struct ruleset *ruleset, const struct machine_rule *rule,
                        const char *counter, struct strbuf *body)
{
    char *set = string_format("window-%s-%u", rule->name, rule->limit.window_s);
    strbuf_addf(body,
                "add rule " TABLE " rule-%s add @%s { ip saddr limit rate over 1/day burst "
                "%u packets } counter name \"%s\" drop\n",
                rule->name, set, rule->limit.count, counter);
    add_part(&ruleset->sets, set,
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
        return rule->protocol == PROTOCOL_TCP ? "reject with tcp reset" : "reject";
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
    strbuf_addf(&body, "add rule " TABLE " rule-%s counter name \"%s\" %s\n", rule->name, decided,
                verdict(rule));
    add_counter(ruleset, decided);
    if (rule->limit.count > 0)
        add_counter(ruleset, limited);
    else
        mem_free(limited);
    add_part(&ruleset->chains, string_format("rule-%s", rule->name), strbuf_take(&body));
}

static void write_jump(struct strbuf *text, const struct machine_rule *rule)
{
    bool is_allowed = rule->action == ACTION_ALLOW;
    strbuf_addf(text, "add rule " TABLE " %s ", is_allowed ? "allowing" : "blocking");
    write_endpoint(text, "saddr", &rule->source);
    write_endpoint(text, "daddr", &rule->destination);
    write_protocol(text, rule);
    strbuf_addf(text, "jump rule-%s\n", rule->name);
}

static void compile_rules(struct ruleset *ruleset, const struct machine *machine)
{
    struct strbuf blocking = {0}, allowing = {0};
    for (size_t i = 0; i < machine->n_rules; i++) {
        const struct machine_rule *rule = machine->rules[i];
        compile_rule(ruleset, rule);
        write_jump(rule->action == ACTION_ALLOW ? &allowing : &blocking, rule);
    }
    add_part(&ruleset->chains, string_copy("blocking"), strbuf_take(&blocking));
    add_part(&ruleset->chains, string_copy("allowing"), strbuf_take(&allowing));
}

/* Nobody speaks with an address of another network than the one he is in. */
static void compile_origins(struct ruleset *ruleset, const struct machine *machine)
{
    struct strbuf body = {0};
    for (size_t i = 0; i < machine->n_networks; i++) {
        const struct machine_network *network = machine->networks[i];
        bool is_outside = text_equal(network->name, MACHINE_OUTSIDE);
        if (!is_outside)
            strbuf_addf(&body,
                        "add rule " TABLE " origin iifname \"%s\" ip saddr != %s counter name "
                        "\"spoofed\" drop\n",
                        network->bridge, network->subnet);
        else
            strbuf_addf(&body,
                        "add rule " TABLE " origin iifname \"%s\" fib saddr . iif oif missing "
                        "counter name \"spoofed\" drop\n",
                        network->bridge);
    }
    add_counter(ruleset, string_copy("spoofed"));
    add_part(&ruleset->chains, string_copy("origin"), strbuf_take(&body));
}

static void compile_base(struct ruleset *ruleset)
{
    add_counter(ruleset, string_copy("denied"));
    add_part(&ruleset->chains, string_copy("denying"),
             string_copy("add rule " TABLE " denying limit rate 10/second log prefix "
                         "\"denied \" group 5\n"
                         "add rule " TABLE " denying counter name \"denied\" drop\n"));
    add_part(&ruleset->chains, string_copy("forward"),
             string_copy("add rule " TABLE " forward jump origin\n"
                         "add rule " TABLE " forward ct direction original jump blocking\n"
                         "add rule " TABLE " forward ct state vmap { established : accept, "
                         "related : accept, invalid : drop }\n"
                         "add rule " TABLE " forward jump allowing\n"
                         "add rule " TABLE " forward jump denying\n"));
    add_part(&ruleset->chains, string_copy("input"),
             string_copy("add rule " TABLE " input iifname \"lo\" accept\n"
                         "add rule " TABLE " input ct state vmap { established : accept, "
                         "related : accept, invalid : drop }\n"
                         "add rule " TABLE " input icmp type echo-request accept\n"
                         "add rule " TABLE " input jump denying\n"));
}

static int compare_subnets(const void *a, const void *b)
{
    const struct machine_subnet *left = a, *right = b;
    if (left->base != right->base)
        return left->base < right->base ? -1 : 1;
    return (left->prefix > right->prefix) - (left->prefix < right->prefix);
}

/* CIDRs either lie apart or one contains the other: of the latter only the larger is kept. */
static void compile_set(struct ruleset *ruleset, const struct machine_set *set)
{
    struct elements elements = {.set = string_format("set-%s", set->name)};
    elements.subnets = NEW_ARRAY(struct machine_subnet, set->n_subnets + 1);
    if (set->n_subnets > 0)
        memcpy(elements.subnets, set->subnets, set->n_subnets * sizeof(*set->subnets));
    qsort(elements.subnets, set->n_subnets, sizeof(*elements.subnets), compare_subnets);
    for (size_t i = 0; i < set->n_subnets; i++) {
        struct machine_subnet subnet = elements.subnets[i];
        if (elements.n_subnets == 0 ||
            !machine_subnet_contains(elements.subnets[elements.n_subnets - 1], subnet))
            elements.subnets[elements.n_subnets++] = subnet;
    }
    ARRAY_RESERVE(ruleset->elements, ruleset->n_elements, ruleset->elements_capacity);
    ruleset->elements[ruleset->n_elements++] = elements;
    add_part(&ruleset->sets, string_copy(elements.set),
             string_copy("{ type ipv4_addr; flags interval; }"));
}

struct ruleset *ruleset_compile(const struct machine *machine)
{
    struct ruleset *ruleset = NEW(struct ruleset);
    compile_base(ruleset);
    compile_origins(ruleset, machine);
    for (size_t i = 0; i < machine->n_sets; i++)
        compile_set(ruleset, machine->sets[i]);
    compile_rules(ruleset, machine);
    return ruleset;
}

static void index_parts(const struct part_list *list, struct map *map)
{
    for (size_t i = 0; list && i < list->n_parts; i++)
        map_put(map, list->parts[i].name, &list->parts[i]);
}

static void write_new(const char *kind, const struct part_list *to, const struct map *from,
                      struct strbuf *commands)
{
    for (size_t i = 0; i < to->n_parts; i++) {
        if (!map_has(from, to->parts[i].name))
            strbuf_addf(commands, "add %s " TABLE " %s %s\n", kind, to->parts[i].name,
                        to->parts[i].content);
    }
}

static void write_gone(const char *kind, const struct part_list *from, const struct map *to,
                       struct strbuf *commands)
{
    for (size_t i = 0; from && i < from->n_parts; i++) {
        if (!map_has(to, from->parts[i].name))
            strbuf_addf(commands, "delete %s " TABLE " %s\n", kind, from->parts[i].name);
    }
}

static void write_chains(const struct part_list *from, const struct part_list *to,
                         const struct map *from_map, const struct map *to_map,
                         struct strbuf *commands)
{
    for (size_t i = 0; i < to->n_parts; i++) {
        if (!map_has(from_map, to->parts[i].name))
            strbuf_addf(commands, "add chain " TABLE " %s\n", to->parts[i].name);
    }
    /* What refers to a chain that goes is emptied before that chain is deleted. */
    for (size_t i = 0; from && i < from->n_parts; i++) {
        const struct part *new = map_get(to_map, from->parts[i].name);
        if (!new || !text_equal(new->content, from->parts[i].content))
            strbuf_addf(commands, "flush chain " TABLE " %s\n", from->parts[i].name);
    }
    for (size_t i = 0; i < to->n_parts; i++) {
        const struct part *old = map_get(from_map, to->parts[i].name);
        if (!old || !text_equal(old->content, to->parts[i].content))
            strbuf_add(commands, to->parts[i].content);
    }
    write_gone("chain", from, to_map, commands);
}

static void write_table(struct strbuf *commands)
{
    strbuf_add(commands, "add table " TABLE "\n"
                         "add chain " TABLE " forward { type filter hook forward priority filter; "
                         "policy drop; }\n"
                         "add chain " TABLE " input { type filter hook input priority filter; "
                         "policy drop; }\n");
}

void ruleset_write_changes(const struct ruleset *from, const struct ruleset *to,
                           struct strbuf *commands)
{
    struct map maps[6] = {0};
    if (!from)
        write_table(commands);
    index_parts(from ? &from->counters : NULL, &maps[0]);
    index_parts(&to->counters, &maps[1]);
    index_parts(from ? &from->sets : NULL, &maps[2]);
    index_parts(&to->sets, &maps[3]);
    index_parts(from ? &from->chains : NULL, &maps[4]);
    index_parts(&to->chains, &maps[5]);
    write_new("counter", &to->counters, &maps[0], commands);
    write_new("set", &to->sets, &maps[2], commands);
    write_chains(from ? &from->chains : NULL, &to->chains, &maps[4], &maps[5], commands);
    write_gone("set", from ? &from->sets : NULL, &maps[3], commands);
    write_gone("counter", from ? &from->counters : NULL, &maps[1], commands);
    for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
        map_done(&maps[i]);
}

static const struct elements *find_elements(const struct ruleset *ruleset, const char *set)
{
    for (size_t i = 0; ruleset && i < ruleset->n_elements; i++) {
        if (text_equal(ruleset->elements[i].set, set))
            return &ruleset->elements[i];
    }
    return NULL;
}

/* Writes those of the elements that the other list lacks, as far as the chunk goes. */
struct chunk {
    struct strbuf *commands;
    size_t skip; /* elements that earlier chunks have written */
    size_t left;
    bool is_empty;
};

static void write_difference(const char *command, const struct elements *all,
                             const struct elements *without, struct chunk *chunk)
{
    bool has_begun = false;
    for (size_t i = 0, other = 0; i < all->n_subnets && chunk->left > 0; i++) {
        while (without && other < without->n_subnets &&
               compare_subnets(&without->subnets[other], &all->subnets[i]) < 0)
            other++;
        if (without && other < without->n_subnets &&
            compare_subnets(&without->subnets[other], &all->subnets[i]) == 0)
            continue;
        if (chunk->skip > 0) {
            chunk->skip--;
            continue;
        }
        if (!has_begun)
            strbuf_addf(chunk->commands, "%s element " TABLE " %s { ", command, all->set);
        else
            strbuf_add(chunk->commands, ", ");
        write_subnet(chunk->commands, all->subnets[i]);
        has_begun = true;
        chunk->is_empty = false;
        chunk->left--;
    }
    if (has_begun)
        strbuf_add(chunk->commands, " }\n");
}

bool ruleset_write_elements(const struct ruleset *from, const struct ruleset *to, size_t *cursor,
                            struct strbuf *commands)
{
    struct chunk chunk = {commands, *cursor, RULESET_CHUNK, true};
    /* A network that grew contains its old self: what goes must be gone before it comes. */
    for (size_t i = 0; from && i < from->n_elements; i++) {
        const struct elements *now = find_elements(to, from->elements[i].set);
        if (now)
            write_difference("delete", &from->elements[i], now, &chunk);
    }
    for (size_t i = 0; i < to->n_elements; i++)
        write_difference("add", &to->elements[i], find_elements(from, to->elements[i].set), &chunk);
    *cursor += RULESET_CHUNK - chunk.left;
    return !chunk.is_empty;
}

void ruleset_forget_elements(struct ruleset *ruleset, struct strbuf *commands)
{
    for (size_t i = 0; i < ruleset->n_elements; i++) {
        strbuf_addf(commands, "flush set " TABLE " %s\n", ruleset->elements[i].set);
        ruleset->elements[i].n_subnets = 0;
    }
}
