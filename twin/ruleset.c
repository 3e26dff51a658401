/* The parts of the firewall's table, and the commands that lead from one table to another. */
#include "twin/ruleset.h"

#include "base/map.h"
#include "base/text.h"
#include "twin/ruleset-private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void part_list_add(struct part_list *list, char *take_name, char *take_content)
{
    ARRAY_RESERVE(list->parts, list->n_parts, list->capacity);
    struct part *part = &list->parts[list->n_parts++];
    part->name = take_name;
    part->hook = "";
    part->content = take_content;
}

void part_list_add_base(struct part_list *list, const char *name, const char *hook,
                        char *take_content)
{
    part_list_add(list, string_copy(name), take_content);
    list->parts[list->n_parts - 1].hook = hook;
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
    part_list_add(&ruleset->counters, take_name, string_copy(""));
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
    part_list_add(&ruleset->chains, string_copy("origin"), strbuf_take(&body));
}

static void compile_base(struct ruleset *ruleset)
{
    add_counter(ruleset, string_copy("denied"));
    part_list_add(&ruleset->chains, string_copy("denying"),
                  string_copy("add rule " TABLE " denying limit rate 10/second log prefix "
                              "\"denied \" group 5\n"
                              "add rule " TABLE " denying counter name \"denied\" drop\n"));
    part_list_add(&ruleset->chains, string_copy("forward"),
                  string_copy("add rule " TABLE " forward jump origin\n"
                              "add rule " TABLE
                              " forward ct state established,related ct direction "
                              "original jump standing\n"
                              "add rule " TABLE " forward ct state vmap { established : accept, "
                              "related : accept, invalid : drop }\n"
                              "add rule " TABLE " forward jump incoming\n"
                              "add rule " TABLE " forward jump denying\n"));
    part_list_add(&ruleset->chains, string_copy("leaving"),
                  string_copy("add rule " TABLE " leaving ct direction original jump outgoing\n"));
}

/*
 * What is for the router itself: it answers questions for names where it says that it does, and
 * echoes. Origins count here, too: else who lies about his own would have it send the answer where
 * no rule lets him send anything.
 */
static void compile_input(struct ruleset *ruleset, const struct machine *machine)
{
    const struct machine_network *outside = machine_find_network(machine, MACHINE_OUTSIDE);
    struct strbuf body = {0};
    strbuf_add(&body, "add rule " TABLE " input iifname \"lo\" accept\n"
                      "add rule " TABLE " input jump origin\n"
                      "add rule " TABLE " input ct state vmap { established : accept, related : "
                      "accept, invalid : drop }\n"
                      "add rule " TABLE " input icmp type echo-request accept\n");
    if (outside)
        strbuf_addf(&body,
                    "add rule " TABLE " input ip daddr %s meta l4proto udp th dport 53 accept\n",
                    outside->gateway_text);
    strbuf_add(&body, "add rule " TABLE " input jump denying\n");
    part_list_add(&ruleset->chains, string_copy("input"), strbuf_take(&body));
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
    part_list_add(&ruleset->sets, string_copy(elements.set),
                  string_copy("{ type ipv4_addr; flags interval; }"));
}

struct ruleset *ruleset_compile(const struct machine *machine, const struct machine *held)
{
    struct ruleset *ruleset = NEW(struct ruleset);
    compile_base(ruleset);
    compile_input(ruleset, machine);
    compile_origins(ruleset, machine);
    for (size_t i = 0; i < machine->n_sets; i++)
        compile_set(ruleset, machine->sets[i]);
    ruleset_compile_rules(ruleset, machine, held);
    ruleset_compile_nat(ruleset, machine);
    return ruleset;
}

bool ruleset_keeps(const struct ruleset *ruleset)
{
    return ruleset->has_kept;
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
            strbuf_addf(commands, "add chain " TABLE " %s%s\n", to->parts[i].name,
                        to->parts[i].hook);
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
                         "add chain " TABLE " leaving { type filter hook forward priority 10; "
                         "policy accept; }\n"
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

/* Room for changes; those that earlier calls have given are skipped. */
struct room {
    struct element_change *changes;
    size_t n_changes, capacity;
    size_t skip;
};

/* Adds those of the elements that the other list lacks, as far as the room goes. */
static void add_difference(struct room *room, bool is_added, const struct elements *all,
                           const struct elements *without)
{
    for (size_t i = 0, other = 0; i < all->n_subnets && room->n_changes < room->capacity; i++) {
        while (without && other < without->n_subnets &&
               compare_subnets(&without->subnets[other], &all->subnets[i]) < 0)
            other++;
        if (without && other < without->n_subnets &&
            compare_subnets(&without->subnets[other], &all->subnets[i]) == 0)
            continue;
        if (room->skip > 0) {
            room->skip--;
            continue;
        }
        room->changes[room->n_changes++] =
            (struct element_change){all->set, is_added, all->subnets[i]};
    }
}

size_t ruleset_next_elements(const struct ruleset *from, const struct ruleset *to, size_t *cursor,
                             struct element_change *changes, size_t n_changes)
{
    struct room room = {.changes = changes, .capacity = n_changes, .skip = *cursor};
    /* A network that grew contains its old self: what goes must be gone before it comes. */
    for (size_t i = 0; from && i < from->n_elements; i++) {
        const struct elements *now = find_elements(to, from->elements[i].set);
        if (now)
            add_difference(&room, false, &from->elements[i], now);
    }
    for (size_t i = 0; i < to->n_elements; i++)
        add_difference(&room, true, &to->elements[i], find_elements(from, to->elements[i].set));
    *cursor += room.n_changes;
    return room.n_changes;
}

void ruleset_forget_elements(struct ruleset *ruleset, struct strbuf *commands)
{
    for (size_t i = 0; i < ruleset->n_elements; i++) {
        strbuf_addf(commands, "flush set " TABLE " %s\n", ruleset->elements[i].set);
        ruleset->elements[i].n_subnets = 0;
    }
}
