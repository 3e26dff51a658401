#include "apply/run.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/derive.h"

#include <assert.h>
#include <string.h>

/* How long it may take until calls learn that the run is cancelled. */
enum { LOOK_AROUND_US = 50000 };

const struct step *run_step(const struct node *node)
{
    return &node->run->plan->steps[node->index];
}

struct provider *run_provider(struct run *run, const char *instance, struct error *err)
{
    struct provider *provider = NULL;
    const struct apply_context *context = run->context;
    int r = 0;
    if (context->configure)
        r = context->configure(context->argument, instance, &run->outputs, err);
    if (r == 0)
        r = context->find_provider(context->argument, instance, &provider, err);
    return r < 0 ? NULL : provider;
}

bool queue_is_empty(const struct queue *queue)
{
    return queue->first == queue->n_items;
}

void queue_put(struct queue *queue, size_t index)
{
    if (queue_is_empty(queue))
        queue->first = queue->n_items = 0;
    ARRAY_RESERVE(queue->items, queue->n_items, queue->capacity);
    queue->items[queue->n_items++] = index;
}

size_t queue_take(struct queue *queue)
{
    assert(!queue_is_empty(queue));
    return queue->items[queue->first++];
}

bool run_is_internal(struct run *run, const struct node *node)
{
    const struct provider *provider = run_provider(run, run_step(node)->instance, NULL);
    return run_step(node)->kind == STEP_RENAME || run_step(node)->kind == STEP_FORGET ||
           run_step(node)->record_only || (provider && provider_is_internal(provider));
}

/* Calls under way may finish when the run is cancelled, but nobody waits for remote operations that
 * a resume can ask about. */
static void detach(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++)
        if (run->nodes[i].state == NODE_RUNNING && run->nodes[i].handle)
            run->nodes[i].is_detached = true;
}

void run_await_call(struct run *run)
{
    bool was_cancelled = false;
    while (run->n_running > 0 && run->n_ended_commits == 0 && queue_is_empty(&run->done_calls)) {
        if (*run->context->is_cancelled && !was_cancelled)
            detach(run);
        was_cancelled = *run->context->is_cancelled;
        int64_t look_again =
            run->context->cancelled ? -1 : world_monotonic_clock() + LOOK_AROUND_US;
        (void)gate_wait(run->context->loop, run->ended, look_again, NULL);
    }
}

/* What waits for nothing but this any more is ready; so is what waits for a group that is done. */
static void free_from(struct run *run, size_t index)
{
    size_t n;
    size_t n_steps = run->plan->n_steps;
    const size_t *dependents = graph_dependents(run->graph, index, &n);
    for (size_t i = 0; i < n; i++) {
        if (dependents[i] >= n_steps) {
            if (--run->groups[dependents[i] - n_steps].n_waiting == 0)
                free_from(run, dependents[i]); /* no group waits for another */
            continue;
        }
        struct node *dependent = &run->nodes[dependents[i]];
        if (--dependent->n_waiting > 0 || dependent->state != NODE_WAITING)
            continue;
        dependent->state = NODE_READY;
        queue_put(&run->ready, dependent->index);
    }
}

void run_free_dependents(struct run *run, const struct node *done)
{
    free_from(run, done->index);
}

static char *record_key(const char *address, int64_t generation)
{
    return string_format("%s#%lld", address, (long long)generation);
}

struct record *run_find_record(struct run *run, const char *address, int64_t generation)
{
    CLEANUP(mem_freep) char *key = record_key(address, generation);
    return map_get(&run->records, key);
}

static void add_edges(struct run *run, const struct map *groups, const struct string_list *names,
                      size_t after)
{
    for (size_t i = 0; i < names->n_items; i++) {
        const struct node *before = map_get(&run->nodes_by_id, names->items[i]);
        size_t group = (size_t)map_get(groups, names->items[i]);
        if (before)
            graph_add_edge(run->graph, before->index, after);
        else if (group)
            graph_add_edge(run->graph, group, after);
    }
}

static void make_edges(struct run *run)
{
    static const struct map none;
    const struct plan *plan = run->plan;
    struct map groups = {0}; /* id -> number of its hub, which is not 0 where there are steps */
    run->graph = graph_new(plan->n_steps);
    run->groups = NEW_ARRAY(struct node_group, plan->n_groups);
    for (size_t i = 0; i < plan->n_groups; i++)
        map_put(&groups, plan->groups[i].id, (void *)graph_add_hub(run->graph));
    for (size_t i = 0; i < plan->n_groups; i++)
        add_edges(run, &none, &plan->groups[i].depends_on, plan->n_steps + i);
    for (size_t i = 0; i < plan->n_steps; i++)
        add_edges(run, &groups, &plan->steps[i].depends_on, i);
    map_done(&groups);
    graph_freeze(run->graph);
}

static void make_nodes(struct run *run)
{
    const struct plan *plan = run->plan;
    run->nodes = NEW_ARRAY(struct node, plan->n_steps);
    for (size_t i = 0; i < plan->n_steps; i++) {
        run->nodes[i] = (struct node){.run = run, .index = i};
        map_put(&run->nodes_by_id, plan->steps[i].id, &run->nodes[i]);
    }
    make_edges(run);
    for (size_t i = 0; i < plan->n_steps; i++)
        run->nodes[i].n_waiting = graph_dependency_count(run->graph, i);
    for (size_t i = 0; i < plan->n_groups; i++)
        run->groups[i].n_waiting = graph_dependency_count(run->graph, plan->n_steps + i);
}

static void expect_address(struct run *run, const char *address)
{
    CLEANUP(mem_freep) char *name = NULL;
    struct value *key = NULL;
    if (!strchr(address, '['))
        outputs_expect(&run->outputs, address, NULL);
    else if (address_parse(address, &name, &key, NULL) == 0)
        outputs_expect(&run->outputs, name, key);
    value_unref(key);
}

static void take_record(struct run *run, struct record *take_record, bool stays)
{
    CLEANUP(mem_freep) char *key = record_key(take_record->address, take_record->generation);
    if (take_record->status != RECORD_DEPOSED && stays) {
        expect_address(run, take_record->address);
        outputs_set(&run->outputs, take_record->address, value_ref(take_record->outputs));
        mem_free(map_put(&run->uids, take_record->address, string_copy(take_record->uid)));
        map_put(&run->generations, take_record->address, (void *)(intptr_t)take_record->generation);
    }
    record_free(map_put(&run->records, key, take_record));
}

/* What exists already, as the plan found it. */
static void take_existing(struct run *run)
{
    const struct value *existing = run->plan->existing;
    for (size_t i = 0; i < value_count(existing); i++) {
        const char *address = value_key_at(existing, i);
        const struct value *found = value_at(existing, i);
        const char *uid = value_get_text(found, "uid");
        struct value *outputs = value_get(found, "outputs");
        expect_address(run, address);
        if (outputs)
            outputs_set(&run->outputs, address, value_ref(outputs));
        if (uid)
            mem_free(map_put(&run->uids, address, string_copy(uid)));
    }
}

/* What this plan removes for good is nothing that others can refer to. */
static void note_removals(const struct plan *plan, struct map *removed)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_DELETE && !plan->steps[i].replaces)
            map_put(removed, plan->steps[i].address, (void *)&plan->steps[i]);
}

static int load_records(struct run *run, struct error *err)
{
    struct records records = {0};
    struct string_list names = {0};
    int r = run_list_needed(run, &names)
                ? run_load_needed(run, &names, &records, err)
                : store_load_records(run->context->store, run->plan->deployment_uid, &records, err);
    string_list_done(&names);
    if (r < 0)
        return r;
    struct map removed = {0};
    note_removals(run->plan, &removed);
    for (size_t i = 0; i < records.n_items; i++) {
        const struct step *removal = map_get(&removed, records.items[i]->address);
        take_record(run, records.items[i],
                    !removal || removal->generation != records.items[i]->generation);
    }
    map_done(&removed);
    records.n_items = 0;
    records_done(&records);
    take_existing(run);
    for (size_t i = 0; i < run->plan->n_steps; i++)
        if (run->plan->steps[i].kind == STEP_CREATE || run->plan->steps[i].kind == STEP_RENAME ||
            run->plan->steps[i].kind == STEP_ADOPT)
            expect_address(run, run->plan->steps[i].address);
    return 0;
}

int run_init(struct run *run, const struct apply_context *context, const struct plan *plan,
             struct store_run *row, struct error *err)
{
    *run = (struct run){.context = context, .plan = plan, .row = row, .lease_fd = -1};
    run->ended = context->cancelled ? context->cancelled : &run->own_ended;
    run->created_at = world_wall_clock();
    run->known_outputs = value_builder_map(&(struct value_builder){0});
    run->accounts = value_builder_map(&(struct value_builder){0});
    run->batch = store_batch_new();
    make_nodes(run);
    return load_records(run, err);
}

static int find_digest(void *argument, const char *expression, char **ret_digest, struct error *err)
{
    return secrets_digest_expression(argument, expression, ret_digest, err);
}

int run_resolve(struct run *run, struct value *value, struct value **ret_value, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resolved = NULL;
    int r = expression_resolve(value, outputs_lookup, &run->outputs, &resolved, err);
    if (r < 0)
        return r;
    if (value_has_secret(resolved) && run->context->secrets)
        return secrets_complete(resolved, find_digest, run->context->secrets, ret_value, err);
    *ret_value = take_ptr(resolved);
    return 0;
}

static void free_values(struct map *map, void (*free_value)(void *value))
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(map, &cursor)))
        free_value(entry->value);
    map_done(map);
}

static void free_value(void *value)
{
    value_unref(value);
}

static void free_record(void *record)
{
    record_free(record);
}

void run_done(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        value_unref(run->nodes[i].after);
        mem_free(run->nodes[i].handle);
        mem_free(run->nodes[i].token);
        outcome_done(&run->nodes[i].outcome);
    }
    mem_free(run->nodes);
    mem_free(run->groups);
    mem_free(run->ready.items);
    mem_free(run->intended.items);
    mem_free(run->done_calls.items);
    graph_free(run->graph);
    run_free_stagings(run);
    map_done(&run->nodes_by_id);
    map_done(&run->generations);
    free_values(&run->uids, mem_free);
    free_values(&run->bindings, free_value);
    free_values(&run->records, free_record);
    outputs_done(&run->outputs);
    run_forget_journal(run);
    value_unref(run->known_outputs);
    value_unref(run->accounts);
    store_batch_free(run->batch);
    close_descriptor(run->lease_fd);
    mem_free(run->lease_path);
}
