/* The pass that says which step waits for which, and puts the steps into an order that fits. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

static const struct index_list *find_pairs(const struct draft *draft, const char *address,
                                           struct index_list *one, size_t *item)
{
    return draft_find(&draft->pairs_by_address, &draft->pairs_by_name, address, one, item);
}

static const struct index_list *find_records(const struct draft *draft, const char *address,
                                             struct index_list *one, size_t *item)
{
    return draft_find(&draft->records_by_address, &draft->records_by_name, address, one, item);
}

static void add_edge(struct graph *graph, size_t before, size_t after)
{
    if (before != NONE && after != NONE && before != after)
        graph_add_edge(graph, before, after);
}

/* Within a replacement: which half comes first. Its own rename comes before everything. */
static void link_halves(struct graph *graph, const struct pair *pair)
{
    if (pair->remove != NONE && pair->create_before_destroy)
        add_edge(graph, pair->put, pair->remove);
    else
        add_edge(graph, pair->remove, pair->put);
    add_edge(graph, pair->rename, pair->put);
    add_edge(graph, pair->rename, pair->remove);
}

/* What a resource is made of must be there before it; what it leaves may go only after it has
 * moved. */
static void link_pair(const struct draft *draft, struct graph *graph, const struct pair *pair)
{
    link_halves(graph, pair);
    for (size_t k = 0; k < pair->wanted->depends_on.n_items; k++) {
        struct index_list one;
        size_t item;
        const struct index_list *found =
            find_pairs(draft, pair->wanted->depends_on.items[k], &one, &item);
        for (size_t i = 0; i < found->n_items; i++) {
            const struct pair *other = &draft->pairs[found->items[i]];
            add_edge(graph, other->put, pair->put);
            if (other->create_before_destroy)
                add_edge(graph, pair->put, other->remove);
        }
    }
}

/*
 * What a record depended on goes only after the record itself has gone, or, when it lives on, has
 * been updated away from it. A dependency that is replaced destroy-first is gone before the update:
 * that edge stands in link_pair().
 */
static void link_record(const struct draft *draft, struct graph *graph, size_t index)
{
    const struct record *record = draft_record(draft, index);
    const struct pair *pair =
        draft->pair_of[index] == NONE ? NULL : &draft->pairs[draft->pair_of[index]];
    size_t own_removal = draft->removals[index];
    for (size_t k = 0; k < record->depends_on.n_items; k++) {
        struct index_list one;
        size_t item;
        const struct index_list *found =
            find_records(draft, record->depends_on.items[k], &one, &item);
        for (size_t i = 0; i < found->n_items; i++) {
            size_t other = found->items[i];
            bool is_replaced = draft->pair_of[other] != NONE;
            if (own_removal != NONE)
                add_edge(graph, own_removal, draft->removals[other]);
            else if (pair && !is_replaced)
                add_edge(graph, pair->put, draft->removals[other]);
        }
    }
}

/* A system is started before any other effect on it. */
static void link_starts(const struct draft *draft, struct graph *graph)
{
    const struct plan *plan = draft->plan;
    const struct value *identities = draft->input->identities;
    for (size_t s = 0; s < plan->n_steps && plan->steps[s].kind == STEP_START; s++) {
        const char *started = value_get_text(identities, plan->steps[s].instance);
        for (size_t i = 0; i < plan->n_steps; i++) {
            const char *identity = value_get_text(identities, plan->steps[i].instance);
            if (plan->steps[i].kind != STEP_START && text_equal_or_null(identity, started))
                graph_add_edge(graph, s, i);
        }
    }
}

/* "TYPE INSTANCE VALUES" of a claim that must be unique, or NULL when the resource does not make
 * it. */
static char *claim_key(const struct resource_type *type, const struct step *step,
                       const struct value *spec, const struct value *properties)
{
    struct strbuf key = {0};
    strbuf_addf(&key, "%s %s", type->name, step->instance);
    for (size_t i = 0; i < value_count(properties); i++) {
        const char *name = value_text(value_at(properties, i));
        const struct value *value = value_get(spec, name);
        if (!value || value_has_unknown(value)) {
            strbuf_done(&key);
            return NULL;
        }
        CLEANUP(mem_freep) char *text = json_text(value);
        strbuf_addf(&key, " %s=%s", name, text);
    }
    return strbuf_take(&key);
}

/* Calls visit for each claim that the spec of a step makes. */
static void walk_claims(const struct draft *draft, size_t index, const struct value *spec,
                        void (*visit)(struct map *claims, struct graph *graph, const char *key,
                                      size_t index),
                        struct map *claims, struct graph *graph)
{
    const struct step *step = &draft->plan->steps[index];
    const struct resource_type *type = catalog_find(draft->input->catalog, step->type);
    if (!type || !type->unique || !spec)
        return;
    for (size_t i = 0; i < value_count(type->unique); i++) {
        CLEANUP(mem_freep) char *key = claim_key(type, step, spec, value_at(type->unique, i));
        if (key)
            visit(claims, graph, key, index);
    }
}

static void note_release(struct map *claims, struct graph *graph, const char *key, size_t index)
{
    (void)graph;
    map_put(claims, key, (void *)(index + 1));
}

static void wait_for_release(struct map *claims, struct graph *graph, const char *key, size_t index)
{
    size_t release = (size_t)map_get(claims, key);
    if (release && release - 1 != index)
        graph_add_edge(graph, release - 1, index);
}

/* What is claimed anew (a VLAN's tag) waits for the step that lets go of it. */
static void link_claims(const struct draft *draft, struct graph *graph)
{
    struct map released = {0};
    const struct plan *plan = draft->plan;
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_DELETE)
            walk_claims(draft, i, plan->steps[i].before, note_release, &released, graph);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_CREATE || plan->steps[i].kind == STEP_UPDATE)
            walk_claims(draft, i, plan->steps[i].after, wait_for_release, &released, graph);
    map_done(&released);
}

static void report_circle(struct draft *draft, struct graph *graph)
{
    size_t *circle = NEW_ARRAY(size_t, draft->plan->n_steps);
    size_t n = graph_find_circle(graph, circle);
    struct strbuf path = {0};
    for (size_t i = 0; i <= n; i++)
        strbuf_addf(&path, "%s%s", i ? " -> " : "", draft->plan->steps[circle[i % n]].id);
    diagnostics_add(
        draft->diagnostics, DIAGNOSTIC_CYCLE, (struct position){0},
        "apply the change in two parts, or give the new resource other values where they must be unique",
        "No order of steps works, each waits for the one before: %s.", strbuf_text(&path));
    strbuf_done(&path);
    mem_free(circle);
}

static void name_dependencies(struct plan *plan, const struct graph *graph)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        size_t n;
        const size_t *dependents = graph_dependents(graph, i, &n);
        for (size_t k = 0; k < n; k++) {
            struct string_list *list = &plan->steps[dependents[k]].depends_on;
            bool is_last =
                list->n_items > 0 && text_equal(list->items[list->n_items - 1], plan->steps[i].id);
            if (!is_last)
                string_list_add(list, plan->steps[i].id);
        }
    }
}

static void sort_steps(struct plan *plan, const size_t *order)
{
    struct step *sorted = NEW_ARRAY(struct step, plan->n_steps);
    for (size_t i = 0; i < plan->n_steps; i++)
        sorted[i] = plan->steps[order[i]];
    mem_free(plan->steps);
    plan->steps = sorted;
    plan->capacity = plan->n_steps;
}

/* Says which step waits for which, and sorts them. A circle is a fault and leaves the steps as they
 * are. */
int draft_link(struct draft *draft, struct error *err)
{
    (void)err;
    struct plan *plan = draft->plan;
    struct graph *graph = graph_new(plan->n_steps);
    for (size_t i = 0; i < draft->n_pairs; i++)
        link_pair(draft, graph, &draft->pairs[i]);
    for (size_t i = 0; i < draft->input->records->n_items; i++)
        link_record(draft, graph, i);
    link_starts(draft, graph);
    link_claims(draft, graph);
    graph_freeze(graph);
    size_t *order = NEW_ARRAY(size_t, plan->n_steps);
    if (graph_order(graph, order) < plan->n_steps) {
        report_circle(draft, graph);
    } else {
        name_dependencies(plan, graph);
        sort_steps(plan, order);
    }
    mem_free(order);
    graph_free(graph);
    return 0;
}
