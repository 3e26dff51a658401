/* The pass that says which step waits for which, and puts the steps into an order that fits. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"

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

static void add_wish(struct graph *graph, size_t before, size_t after)
{
    if (before != NONE && after != NONE && before != after)
        graph_add_wish(graph, before, after);
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
    add_edge(graph, pair->adopt, pair->put);
}

/* The edges of a plan while they are found. */
struct linking {
    const struct draft *draft;
    struct graph *graph;
    struct map hubs;        /* id of a group -> number of its hub */
    struct string_list ids; /* of the hubs, in their order */
};

/* Few edges are written out; many to the same steps go through a group (plan.h). */
static bool is_group(const struct index_list *found)
{
    return found->n_items > PLAN_GROUP_MIN;
}

/* The hub of a group; *ret_is_new: its members are to be added. */
static size_t find_hub(struct linking *linking, const char *what, const char *name,
                       bool *ret_is_new)
{
    CLEANUP(mem_freep) char *id = string_format("%s %s", what, name);
    size_t hub = (size_t)map_get(&linking->hubs, id);
    *ret_is_new = hub == 0;
    if (hub)
        return hub;
    hub = graph_add_hub(linking->graph);
    map_put(&linking->hubs, id, (void *)hub);
    string_list_add(&linking->ids, id);
    return hub;
}

static void link_group(struct linking *linking, const char *name, const struct index_list *members,
                       size_t user)
{
    bool is_new;
    size_t hub = find_hub(linking, "all of", name, &is_new);
    for (size_t i = 0; is_new && i < members->n_items; i++) {
        const struct pair *other = &linking->draft->pairs[members->items[i]];
        add_edge(linking->graph, other->rename, hub);
        add_edge(linking->graph, other->put, hub);
    }
    graph_add_edge(linking->graph, hub, user);
}

/* What a resource is made of must be there before it; what it leaves may go only after it has
 * moved. */
static void link_pair(struct linking *linking, const struct pair *pair)
{
    const struct draft *draft = linking->draft;
    link_halves(linking->graph, pair);
    for (size_t k = 0; k < pair->wanted->depends_on.n_items && pair->put != NONE; k++) {
        const char *name = pair->wanted->depends_on.items[k];
        struct index_list one;
        size_t item;
        const struct index_list *found = find_pairs(draft, name, &one, &item);
        if (is_group(found)) {
            link_group(linking, name, found, pair->put);
            continue;
        }
        for (size_t i = 0; i < found->n_items; i++) {
            const struct pair *other = &draft->pairs[found->items[i]];
            add_edge(linking->graph, other->rename, pair->put);
            add_edge(linking->graph, other->put, pair->put);
        }
    }
}

/* All that used a counted resource is gone before any of it goes. */
static void link_group_removal(struct linking *linking, const char *name,
                               const struct index_list *members, size_t user)
{
    bool is_new;
    size_t hub = find_hub(linking, "users of", name, &is_new);
    for (size_t i = 0; is_new && i < members->n_items; i++)
        add_edge(linking->graph, hub, linking->draft->removals[members->items[i]]);
    graph_add_edge(linking->graph, user, hub);
}

/*
 * What a record depended on goes only after the record itself has gone, or, when it lives on, has
 * been updated away from it: but that must give way where the update itself waits for what can only
 * be made once the dependency has gone. A dependency that is replaced destroy-first is gone before
 * the update: that edge stands in link_pair().
 */
static void link_record(struct linking *linking, size_t index)
{
    const struct draft *draft = linking->draft;
    const struct record *record = draft_record(draft, index);
    const struct pair *pair =
        draft->pair_of[index] == NONE ? NULL : &draft->pairs[draft->pair_of[index]];
    size_t own_removal = draft->removals[index];
    bool has_step = own_removal != NONE || (pair && pair->put != NONE);
    for (size_t k = 0; k < record->depends_on.n_items && has_step; k++) {
        const char *name = record->depends_on.items[k];
        struct index_list one;
        size_t item;
        const struct index_list *found = find_records(draft, name, &one, &item);
        if (own_removal != NONE && is_group(found)) {
            link_group_removal(linking, name, found, own_removal);
            continue;
        }
        for (size_t i = 0; i < found->n_items; i++) {
            size_t other = found->items[i];
            bool is_replaced = draft->pair_of[other] != NONE;
            if (own_removal != NONE)
                add_edge(linking->graph, own_removal, draft->removals[other]);
            else if (pair &&
                     (!is_replaced || draft->pairs[draft->pair_of[other]].create_before_destroy))
                add_wish(linking->graph, pair->put, draft->removals[other]);
        }
    }
}

/* Calls for each older generation of an address that waits for its delete. first maps the address
 * to the first of them + 1; records are sorted. */
static void link_older(const struct draft *draft, struct graph *graph, const struct map *first,
                       const char *address, size_t before, bool is_rename)
{
    const struct records *records = draft->input->records;
    for (size_t i = (size_t)map_get(first, address); i > 0 && i <= records->n_items; i++) {
        const struct record *record = records->items[i - 1];
        if (!text_equal(record->address, address))
            return;
        if (record->status != RECORD_DEPOSED)
            continue;
        if (is_rename)
            add_edge(graph, draft->removals[i - 1], before);
        else
            add_wish(graph, before, draft->removals[i - 1]);
    }
}

/*
 * An older generation that waits for its delete goes after those that may still lead to it have
 * been pointed away, which gives way as in link_record(), and before a rename gives its address and
 * number to another record. What has no record yet leads to nothing.
 */
static void link_deposed(const struct draft *draft, struct graph *graph)
{
    const struct records *records = draft->input->records;
    struct map first = {0};
    for (size_t i = records->n_items; i-- > 0;)
        if (records->items[i]->status == RECORD_DEPOSED)
            map_put(&first, records->items[i]->address, (void *)(i + 1));
    for (size_t i = 0; i < draft->n_pairs && first.n_live > 0; i++) {
        const struct pair *pair = &draft->pairs[i];
        size_t n_left = pair->record == NONE ? 0 : pair->wanted->depends_on.n_items;
        for (size_t k = 0; k < n_left; k++) {
            struct index_list one;
            size_t item;
            const struct index_list *found =
                find_pairs(draft, pair->wanted->depends_on.items[k], &one, &item);
            for (size_t n = 0; n < found->n_items; n++)
                link_older(draft, graph, &first, draft->pairs[found->items[n]].wanted->address,
                           pair->put, false);
        }
        link_older(draft, graph, &first, pair->wanted->address, pair->rename, true);
    }
    map_done(&first);
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

/* What a user could not leave in time: a system that looks after its users may refuse that. */
static void report_left_out(struct draft *draft, const struct graph *graph)
{
    size_t user;
    size_t removal;
    for (size_t i = 0; graph_get_left_out(graph, i, &user, &removal); i++)
        diagnostics_note(draft->diagnostics, DIAGNOSTIC_WARNING, DIAGNOSTIC_LEFT_TOO_LATE,
                         (struct position){0},
                         "where that fails, apply the change in two parts: first what leaves it, "
                         "then the rest",
                         "No order of steps lets \"%s\" leave \"%s\" before that is deleted; a "
                         "system that deletes nothing that is in use will refuse to.",
                         draft->plan->steps[user].address, draft->plan->steps[removal].address);
}

static void name_dependency(struct string_list *list, const char *id)
{
    if (list->n_items == 0 || !text_equal(list->items[list->n_items - 1], id))
        string_list_add(list, id);
}

/* A group that waits for nothing, as all of it is there already, keeps nobody waiting. */
static void name_group(struct plan *plan, const struct graph *graph, size_t hub, const char *id,
                       struct step_group *group)
{
    size_t n;
    const size_t *dependents = graph_dependents(graph, hub, &n);
    if (group->depends_on.n_items == 0 || n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        name_dependency(&plan->steps[dependents[i]].depends_on, id);
    plan_add_group(plan, id, &group->depends_on);
}

static void name_dependencies(const struct linking *linking)
{
    struct plan *plan = linking->draft->plan;
    struct step_group *groups = NEW_ARRAY(struct step_group, linking->ids.n_items);
    for (size_t i = 0; i < plan->n_steps; i++) {
        size_t n;
        const size_t *dependents = graph_dependents(linking->graph, i, &n);
        for (size_t k = 0; k < n; k++) {
            size_t other = dependents[k];
            name_dependency(other < plan->n_steps ? &plan->steps[other].depends_on
                                                  : &groups[other - plan->n_steps].depends_on,
                            plan->steps[i].id);
        }
    }
    for (size_t i = 0; i < linking->ids.n_items; i++) {
        name_group(plan, linking->graph, plan->n_steps + i, linking->ids.items[i], &groups[i]);
        string_list_done(&groups[i].depends_on);
    }
    mem_free(groups);
}

/* In place, circle by circle: order[i] says which step comes to i, and is used up. */
static void sort_steps(struct plan *plan, size_t *order)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        struct step first = plan->steps[i];
        size_t place = i;
        for (size_t from; (from = order[place]) != i; place = from) {
            plan->steps[place] = plan->steps[from];
            order[place] = place;
        }
        plan->steps[place] = first;
        order[place] = place;
    }
}

/* Says which step waits for which, and sorts them. A circle is a fault and leaves the steps as they
 * are. */
int draft_link(struct draft *draft, struct error *err)
{
    (void)err;
    struct plan *plan = draft->plan;
    struct graph *graph = graph_new(plan->n_steps);
    struct linking linking = {.draft = draft, .graph = graph};
    for (size_t i = 0; i < draft->n_pairs; i++)
        link_pair(&linking, &draft->pairs[i]);
    for (size_t i = 0; i < draft->input->records->n_items; i++)
        link_record(&linking, i);
    link_deposed(draft, graph);
    link_starts(draft, graph);
    draft_link_claims(draft, graph);
    graph_freeze(graph);
    size_t *order = NEW_ARRAY(size_t, plan->n_steps);
    if (graph_order(graph, order) < plan->n_steps) {
        report_circle(draft, graph);
    } else {
        report_left_out(draft, graph);
        name_dependencies(&linking);
        sort_steps(plan, order);
    }
    mem_free(order);
    map_done(&linking.hubs);
    string_list_done(&linking.ids);
    graph_free(graph);
    return 0;
}
