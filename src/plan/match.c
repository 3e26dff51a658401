/* The first passes: who is who, and in which order. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"

void draft_index(struct map *lists, const char *key, size_t index)
{
    struct index_list *list = map_get(lists, key);
    if (!list) {
        list = NEW(struct index_list);
        map_put(lists, key, list);
    }
    ARRAY_RESERVE(list->items, list->n_items, list->capacity);
    list->items[list->n_items++] = index;
}

const struct index_list *draft_find(const struct map *by_address, const struct map *by_name,
                                    const char *address, struct index_list *one, size_t *one_item)
{
    size_t index = (size_t)map_get(by_address, address);
    const struct index_list *group = map_get(by_name, address);
    *one = (struct index_list){one_item, 0, 0};
    if (!index)
        return group ? group : one;
    *one_item = index - 1;
    one->n_items = 1;
    return one;
}

static void index_records(struct draft *draft)
{
    const struct records *records = draft->input->records;
    draft->removals = NEW_ARRAY(size_t, records->n_items);
    draft->pair_of = NEW_ARRAY(size_t, records->n_items);
    for (size_t i = 0; i < records->n_items; i++) {
        draft->removals[i] = NONE;
        draft->pair_of[i] = NONE;
        const struct record *record = records->items[i];
        if (record->status == RECORD_DEPOSED)
            continue;
        map_put_borrowed(&draft->records_by_address, record->address, (void *)(i + 1));
        CLEANUP(mem_freep) char *name = NULL;
        struct value *key = NULL;
        if (address_parse(record->address, &name, &key, NULL) == 0 && key)
            draft_index(&draft->records_by_name, name, i);
        value_unref(key);
    }
}

/* The record of an address that nobody continues yet, or NONE. */
static size_t free_record(const struct draft *draft, const char *address)
{
    size_t index = (size_t)map_get(&draft->records_by_address, address);
    return index && draft->pair_of[index - 1] == NONE ? index - 1 : NONE;
}

/* The record of a name under the same key, or under the one that converts into it: x and x[0]. */
static size_t find_named(const struct draft *draft, const char *name, const struct value *key)
{
    CLEANUP(value_unrefp) struct value *zero = value_integer(0);
    CLEANUP(mem_freep) char *address = address_format(name, key);
    size_t record = free_record(draft, address);
    if (record != NONE || (key && !value_equal(key, zero)))
        return record;
    CLEANUP(mem_freep) char *converted = address_format(name, key ? NULL : zero);
    return free_record(draft, converted);
}

/* A record of another address that this resource continues: it was converted or renamed, or both.
 */
static size_t find_former(const struct draft *draft, const struct resource *wanted)
{
    size_t record = find_named(draft, wanted->name, wanted->key);
    for (size_t i = 0; record == NONE && i < wanted->formerly.n_items; i++)
        record = find_named(draft, wanted->formerly.items[i], wanted->key);
    return record;
}

static void match_pair(struct draft *draft, size_t index)
{
    struct pair *pair = &draft->pairs[index];
    if (pair->wanted->existing)
        return;
    pair->record = free_record(draft, pair->wanted->address);
    if (pair->record != NONE)
        draft->pair_of[pair->record] = index;
}

/* Those of the same address come first, so that a name in use is never taken for a former one. */
static void match_former(struct draft *draft, size_t index)
{
    struct pair *pair = &draft->pairs[index];
    if (pair->record != NONE || pair->wanted->existing)
        return;
    pair->record = find_former(draft, pair->wanted);
    if (pair->record == NONE)
        return;
    const struct record *record = draft_record(draft, pair->record);
    if (!text_equal(record->type, pair->wanted->type) ||
        !text_equal(record->instance, pair->wanted->instance)) {
        pair->record = NONE;
        return;
    }
    draft->pair_of[pair->record] = index;
    pair->former = record->address;
}

/* What was found counts where nothing is known. */
static void match_found(const struct draft *draft, struct pair *pair)
{
    if (draft->input->adoptions && pair->record == NONE && !pair->wanted->existing)
        pair->found = map_get(draft->input->adoptions, pair->wanted->address);
}

/* Pairs every wanted resource with its record, also under a former name. */
int draft_match(struct draft *draft, struct error *err)
{
    const struct wanted *wanted = draft->input->wanted;
    index_records(draft);
    draft->n_pairs = wanted->n_items;
    draft->pairs = NEW_ARRAY(struct pair, wanted->n_items);
    for (size_t i = 0; i < wanted->n_items; i++) {
        const struct resource *resource = &wanted->items[i];
        struct pair *pair = &draft->pairs[i];
        *pair = (struct pair){.wanted = resource,
                              .record = NONE,
                              .put = NONE,
                              .remove = NONE,
                              .rename = NONE,
                              .adopt = NONE};
        pair->type = catalog_find(draft->input->catalog, resource->type);
        if (!pair->type)
            return error_set(err, ERROR_NOT_FOUND, "%s has the unknown type %s", resource->address,
                             resource->type);
        map_put_borrowed(&draft->pairs_by_address, resource->address, (void *)(i + 1));
        if (resource->key)
            draft_index(&draft->pairs_by_name, resource->name, i);
        outputs_expect(&draft->outputs, resource->name, resource->key);
        match_pair(draft, i);
    }
    for (size_t i = 0; i < wanted->n_items; i++) {
        match_former(draft, i);
        match_found(draft, &draft->pairs[i]);
    }
    return 0;
}

static void report_circle(struct draft *draft, const size_t *circle, size_t n)
{
    struct strbuf path = {0};
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&path, "%s -> ", draft->pairs[circle[i]].wanted->address);
    strbuf_add(&path, draft->pairs[circle[0]].wanted->address);
    diagnostics_add(draft->diagnostics, DIAGNOSTIC_CYCLE, draft->pairs[circle[0]].wanted->position,
                    "break the circle: remove one of these references or dependsOn entries",
                    "Each of these must exist before the next: %s.", strbuf_text(&path));
    strbuf_done(&path);
}

/* What depends on a counted resource waits for all of it: through one hub, however many do. */
static void add_group(struct graph *graph, struct map *hubs, const char *name,
                      const struct index_list *members, size_t user)
{
    size_t hub = (size_t)map_get(hubs, name);
    if (!hub) {
        hub = graph_add_hub(graph);
        map_put(hubs, name, (void *)hub);
        for (size_t i = 0; i < members->n_items; i++)
            graph_add_edge(graph, members->items[i], hub);
    }
    graph_add_edge(graph, hub, user);
}

/* Orders the wanted resources so that each comes after what it depends on. */
int draft_order(struct draft *draft, struct error *err)
{
    struct graph *graph = graph_new(draft->n_pairs);
    struct map hubs = {0};
    for (size_t i = 0; i < draft->n_pairs; i++) {
        const struct string_list *depends_on = &draft->pairs[i].wanted->depends_on;
        for (size_t k = 0; k < depends_on->n_items; k++) {
            struct index_list one;
            size_t item;
            const struct index_list *found = draft_find(
                &draft->pairs_by_address, &draft->pairs_by_name, depends_on->items[k], &one, &item);
            if (found->n_items > 1)
                add_group(graph, &hubs, depends_on->items[k], found, i);
            else if (found->n_items == 1)
                graph_add_edge(graph, found->items[0], i);
        }
    }
    map_done(&hubs);
    graph_freeze(graph);
    draft->order = NEW_ARRAY(size_t, draft->n_pairs);
    int r = 0;
    if (graph_order(graph, draft->order) < draft->n_pairs) {
        size_t *circle = NEW_ARRAY(size_t, draft->n_pairs);
        size_t n = graph_find_circle(graph, circle);
        report_circle(draft, circle, n);
        mem_free(circle);
        r = error_set(err, ERROR_INVALID, "resources depend on each other in a circle");
    }
    graph_free(graph);
    return r;
}
