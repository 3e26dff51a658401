/* What the outcome of a step makes of the records: they go into the commit of its result. */
#include "apply/run.h"

#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

static struct record *new_record(const struct node *node)
{
    const struct step *step = run_step(node);
    struct record *record = record_new();
    record->address = string_copy(step->address);
    record->type = string_copy(step->type);
    record->instance = string_copy(step->instance);
    record->uid = string_copy(step->uid);
    record->generation = step->generation;
    record->origin = string_copy(step->origin);
    record->created_at = world_wall_clock();
    return record;
}

/* The record as it was, or a new one: what an effect is written onto. */
static struct record *base_record(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->address, step->generation);
    return known ? record_copy(known) : new_record(node);
}

static void set_value(struct value **field, struct value *take_value)
{
    value_unref(*field);
    *field = take_value;
}

/* What was known of the group that the resource belongs to is known no more. */
static void note_uid(struct run *run, const char *address, const char *uid)
{
    const char *known = map_get(&run->uids, address);
    if (text_equal_or_null(known, uid))
        return;
    mem_free(map_put(&run->uids, address, string_copy(uid)));
    CLEANUP(mem_freep) char *name = string_copy_n(address, strcspn(address, "["));
    value_unref(map_remove(&run->bindings, name));
}

static void keep_record(struct run *run, struct record *take_record)
{
    store_batch_put_record(run->batch, run->plan->deployment_uid, take_record);
    CLEANUP(mem_freep)
    char *key = string_format("%s#%lld", take_record->address, (long long)take_record->generation);
    if (take_record->status != RECORD_DEPOSED) {
        outputs_set(&run->outputs, take_record->address, value_ref(take_record->outputs));
        note_uid(run, take_record->address, take_record->uid);
    }
    record_free(map_put(&run->records, key, take_record));
}

static void drop_record(struct run *run, const char *address, int64_t generation)
{
    CLEANUP(mem_freep) char *key = string_format("%s#%lld", address, (long long)generation);
    struct record *record = map_remove(&run->records, key);
    if (!record)
        return;
    store_batch_remove_record(run->batch, run->plan->deployment_uid, address, generation);
    record_free(record);
}

/* It may be wanted again: then this says where it is. */
static void forget_record(struct run *run, const char *address, int64_t generation)
{
    const struct record *record = run_find_record(run, address, generation);
    if (record)
        store_batch_add_forgotten(run->batch, run->row->id, record, run->plan->document != NULL);
    drop_record(run, address, generation);
}

/* The generation that this one replaces waits for its delete from now on: a step that depends on
 * the create. */
static void depose_older(struct node *node)
{
    struct run *run = node->run;
    size_t n;
    const size_t *dependents = graph_dependents(run->graph, node->index, &n);
    for (size_t i = 0; i < n; i++) {
        if (dependents[i] >= run->plan->n_steps)
            continue;
        const struct step *other = &run->plan->steps[dependents[i]];
        bool is_older = other->kind == STEP_DELETE && other->replaces &&
                        text_equal(other->address, run_step(node)->address);
        const struct record *known =
            is_older ? run_find_record(run, other->address, other->generation) : NULL;
        if (!known)
            continue;
        if (TOOTH(FORGET_DEPOSED)) {
            drop_record(run, other->address, other->generation);
            continue;
        }
        struct record *deposed = record_copy(known);
        deposed->status = RECORD_DEPOSED;
        keep_record(run, deposed);
    }
}

/* What was removed outside has no delete of its own: its record goes when it is made anew. */
static void forget_gone(struct node *node)
{
    const struct step *step = run_step(node);
    int64_t generation = (intptr_t)map_get(&node->run->generations, step->address);
    if (generation > 0 && generation < step->generation)
        drop_record(node->run, step->address, generation);
}

static void add_uid(struct run *run, const char *address, struct value_builder *uids)
{
    const char *uid = map_get(&run->uids, address);
    if (uid)
        value_builder_append(uids, value_string(uid));
}

/* Which generations its references lead to now: others than these later mean that it must be
 * pointed there. */
static struct value *find_binding(struct run *run, const char *name)
{
    struct value *known = map_get(&run->bindings, name);
    const struct string_list *group = map_get(&run->outputs.groups, name);
    struct value_builder uids = {0};
    if (known)
        return value_ref(known);
    if (!group)
        add_uid(run, name, &uids);
    for (size_t k = 0; group && k < group->n_items; k++)
        add_uid(run, group->items[k], &uids);
    struct value *binding = record_binding(&uids);
    if (group)
        map_put(&run->bindings, name, value_ref(binding));
    return binding;
}

static struct value *list_bindings(struct run *run, const struct string_list *depends_on)
{
    struct value_builder bound = {0};
    for (size_t i = 0; i < depends_on->n_items; i++)
        value_builder_set(&bound, depends_on->items[i], find_binding(run, depends_on->items[i]));
    return value_builder_map(&bound);
}

/* What is there of what was asked for, where the system keeps it in its own way; else NULL. */
static struct value *find_live(const struct node *node)
{
    const struct step *step = run_step(node);
    struct value *live = step->record_only ? step->live : node->outcome.live;
    const struct resource_type *type = catalog_find(node->run->context->catalog, step->type);
    if (!live || !type || node->outcome.kind != OUTCOME_DONE ||
        schema_equal(&type->schema, node->after, live))
        return NULL;
    return type_managed_part(type, node->after, live);
}

/* A create or update as it stands now: the outcome's part of it when it was not carried out in
 * full. */
static void record_put(struct node *node)
{
    const struct step *step = run_step(node);
    bool is_whole = node->outcome.kind == OUTCOME_DONE;
    if (step->kind == STEP_CREATE && step->replaces)
        depose_older(node);
    /* What is replaced because it was made in part is there, and has a delete of its own. */
    if (step->kind == STEP_CREATE && !step->replaces &&
        (step->reason == STEP_REASON_GONE || step->reason == STEP_REASON_PARTLY))
        forget_gone(node);
    struct record *record = base_record(node);
    struct value *spec = !is_whole && node->outcome.live ? node->outcome.live : node->after;
    set_value(&record->spec, value_ref(spec));
    set_value(&record->live, find_live(node));
    if (node->outcome.outputs)
        set_value(&record->outputs, value_ref(node->outcome.outputs));
    const char *id = node->outcome.provider_id ? node->outcome.provider_id : step->provider_id;
    if (id) {
        mem_free(record->provider_id);
        record->provider_id = string_copy(id);
    }
    string_list_done(&record->depends_on);
    string_list_copy(&record->depends_on, &step->resources);
    set_value(&record->bound, list_bindings(node->run, &step->resources));
    record->protect = step->protect;
    record->status = is_whole ? RECORD_CREATED : RECORD_PARTLY;
    record->updated_at = world_wall_clock();
    keep_record(node->run, record);
}

/* The same bindings under a new name. */
static struct value *rename_binding(const struct value *bound, const char *former,
                                    const char *address)
{
    struct value *uids = value_get(bound, former);
    if (!uids)
        return bound ? value_ref((struct value *)bound) : NULL;
    CLEANUP(value_unrefp) struct value *without = value_with(bound, former, NULL);
    return value_with(without, address, value_ref(uids));
}

/* Records name what they depend on by address: a new one reaches all of them. The bare name stands
 * for the single resource as well as for all of a counted one. */
static void rename_dependencies(struct run *run, const char *former, const char *address)
{
    size_t cursor = 0;
    struct map_entry *entry;
    size_t length = strcspn(former, "[");
    if (!former[length] && text_starts_with(address, former) && address[length] == '[')
        return;
    while ((entry = map_next(&run->records, &cursor))) {
        const struct record *user = entry->value;
        if (!string_list_has(&user->depends_on, former))
            continue;
        struct record *moved = record_copy(user);
        string_list_done(&moved->depends_on);
        for (size_t i = 0; i < user->depends_on.n_items; i++) {
            const char *item = user->depends_on.items[i];
            string_list_add(&moved->depends_on, text_equal(item, former) ? address : item);
        }
        set_value(&moved->bound, rename_binding(user->bound, former, address));
        keep_record(run, moved);
    }
}

static void record_rename(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->former, step->generation);
    if (!known)
        return;
    struct record *record = record_copy(known);
    mem_free(record->address);
    record->address = string_copy(step->address);
    string_list_done(&record->depends_on);
    string_list_copy(&record->depends_on, &step->resources);
    record->updated_at = world_wall_clock();
    drop_record(node->run, step->former, step->generation);
    keep_record(node->run, record);
    rename_dependencies(node->run, step->former, step->address);
}

/* A delete that was begun: what is left of it waits for the next plan. */
static void record_remains(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->address, step->generation);
    if (!known)
        return;
    struct record *record = record_copy(known);
    if (node->outcome.live) {
        set_value(&record->spec, value_ref(node->outcome.live));
        set_value(&record->live, NULL);
    }
    if (record->status != RECORD_DEPOSED)
        record->status = RECORD_PARTLY;
    record->updated_at = world_wall_clock();
    keep_record(node->run, record);
}

/*
 * Nobody can tell what became of it. A create without an answer is recorded as such: whoever plans
 * next asks for it, and never makes it again on a guess. What was there before is looked at.
 */
static void record_doubt(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->address, step->generation);
    if ((step->kind != STEP_CREATE || !node->after) && (!known || known->status == RECORD_DEPOSED))
        return;
    struct record *record = base_record(node);
    if (step->kind == STEP_CREATE && node->after) {
        if (step->replaces)
            depose_older(node);
        set_value(&record->spec, value_ref(node->after));
        string_list_done(&record->depends_on);
        string_list_copy(&record->depends_on, &step->resources);
        record->protect = step->protect;
        record->status = RECORD_UNKNOWN;
    } else {
        record->status = RECORD_PARTLY;
    }
    record->updated_at = world_wall_clock();
    keep_record(node->run, record);
}

void run_drop_doubt(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->address, step->generation);
    /* That a change of it was not done says nothing of whether it is there. */
    if (step->kind == STEP_CREATE && known && known->status == RECORD_UNKNOWN)
        drop_record(node->run, step->address, step->generation);
}

/* The spec is as it was; what the system says of itself may be something else now. */
static void record_act(struct node *node)
{
    const struct step *step = run_step(node);
    const struct record *known = run_find_record(node->run, step->address, step->generation);
    if (!known)
        return;
    struct record *record = record_copy(known);
    if (node->outcome.outputs)
        set_value(&record->outputs, value_ref(node->outcome.outputs));
    record->updated_at = world_wall_clock();
    keep_record(node->run, record);
}

void run_record_effect(struct node *node)
{
    const struct step *step = run_step(node);
    bool is_done = node->outcome.kind == OUTCOME_DONE;
    bool is_partly = node->outcome.kind == OUTCOME_PARTLY;
    bool is_put =
        step->kind == STEP_CREATE || step->kind == STEP_UPDATE || step->kind == STEP_ADOPT;
    if (is_put && (is_done || is_partly))
        record_put(node);
    else if (step->kind == STEP_ACT && is_done)
        record_act(node);
    else if (step->kind == STEP_ACT)
        return;
    else if (node->is_given_up && step->kind == STEP_CREATE)
        run_drop_doubt(node);
    else if (node->outcome.kind == OUTCOME_UNKNOWN)
        record_doubt(node);
    else if (step->kind == STEP_DELETE && is_done)
        drop_record(node->run, step->address, step->generation);
    else if (step->kind == STEP_DELETE && is_partly)
        record_remains(node);
    else if (step->kind == STEP_FORGET && is_done)
        forget_record(node->run, step->address, step->generation);
    else if (step->kind == STEP_RENAME && is_done)
        record_rename(node);
}
