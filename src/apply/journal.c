/* What a run writes down, and in which order: nothing is told of before it is durable. */
#include "apply/run.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/redact.h"

#include <assert.h>
#include <string.h>

/* take_body is what is told of the row, once it is durable. */
static void note(struct run *run, const struct node *node, const char *kind,
                 struct value *take_body)
{
    ARRAY_RESERVE(run->journal, run->n_journal, run->journal_capacity);
    run->journal[run->n_journal++] = (struct journal_row){node, kind, take_body};
}

void run_journal(struct run *run, const char *kind, struct value *take_body)
{
    store_batch_journal(run->batch, run->row->id, kind, take_body);
    note(run, NULL, kind, take_body);
}

/* What is kept of a step is its place in the plan, which says the rest. */
static void journal_step(struct node *node, const char *kind, struct value *take_body)
{
    struct run *run = node->run;
    store_batch_journal_step(run->batch, run->row->id, kind, node->index, take_body);
    note(run, node, kind, take_body);
}

static void set_step_fields(struct value_builder *body, const struct step *step)
{
    value_builder_set_string(body, "step", step->id);
    value_builder_set_string(body, "step_kind", step_kind_to_string(step->kind));
    value_builder_set_string(body, "address", step->address);
    value_builder_set_string(body, "type", step->type);
    value_builder_set_string(body, "stage", stage_to_string(step->stage));
}

/* Tells one event as its readers get it (DESIGN section 14); seq is 0 when it is in no journal. */
static void tell(struct run *run, const struct journal_row *row, int64_t seq)
{
    struct value_builder fields = {0};
    if (!run->context->event)
        return;
    for (size_t i = 0; i < value_count(row->body); i++)
        value_builder_set(&fields, value_key_at(row->body, i), value_ref(value_at(row->body, i)));
    if (row->node)
        set_step_fields(&fields, run_step(row->node));
    value_builder_set_string(&fields, "kind", row->kind);
    value_builder_set(&fields, "format", value_integer(1));
    value_builder_set_string(&fields, "run", run->row->id);
    value_builder_set(&fields, "time", value_integer(world_wall_clock()));
    if (seq > 0)
        value_builder_set(&fields, "seq", value_integer(seq));
    CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
    run->context->event(run->context->event_argument, event);
}

static void forget_rows(struct journal_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++)
        value_unref(rows[i].body);
    mem_free(rows);
}

void run_forget_journal(struct run *run)
{
    forget_rows(take_ptr(run->journal), run->n_journal);
    run->n_journal = run->journal_capacity = 0;
}

int run_commit(struct run *run, struct error *err)
{
    /* Calls that are over meanwhile write rows of the commit after this one. */
    struct journal_row *rows = take_ptr(run->journal);
    size_t n_rows = run->n_journal;
    run->n_journal = run->journal_capacity = 0;
    int64_t last_seq = 0;
    int64_t now = world_monotonic_clock();
    /* The lease's own commit takes the epoch; every later one proves that it is still ours. */
    int r = store_commit(run->context->store, run->batch, &last_seq, err);
    if (r == 0) {
        run->lease_checked_at = now;
        int64_t seq = last_seq - (int64_t)n_rows;
        for (size_t i = 0; i < n_rows; i++)
            tell(run, &rows[i], ++seq);
        store_batch_check_epoch(run->batch, run->plan->deployment_uid, run->row->epoch);
    }
    forget_rows(rows, n_rows);
    return r;
}

/* A token that is still known stays the same, so that an attempt that arrives late makes nothing
 * more. */
static void renew_token(struct node *node)
{
    const struct step *step = run_step(node);
    const struct resource_type *type = catalog_find(node->run->context->catalog, step->type);
    if (step->kind != STEP_CREATE || !type || !text_equal(type->repeat, "token"))
        return;
    if (node->token && node->began_at < node->token_at + type->token_us)
        return;
    char token[UUID_TEXT_SIZE];
    uuid_random(token);
    mem_free(node->token);
    node->token = string_copy(token);
    node->token_at = node->began_at;
}

void run_add_intent(struct node *node)
{
    struct value_builder body = {0};
    node->began_at = world_wall_clock();
    renew_token(node);
    if (node->token)
        value_builder_set_string(&body, "token", node->token);
    /* Where the plan has unknowns the intent keeps what they became; else the plan's step says it.
     */
    if (node->after && run_step(node)->after && value_has_unknown(run_step(node)->after))
        value_builder_set(&body, "after", value_ref(node->after));
    journal_step(node, "intent", value_builder_map(&body));
}

int run_commit_handle(struct node *node, struct error *err)
{
    struct run *run = node->run;
    struct value_builder body = {0};
    value_builder_set_string(&body, "handle", node->handle);
    CLEANUP(value_unrefp) struct value *row = value_builder_map(&body);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_epoch(batch, run->plan->deployment_uid, run->row->epoch);
    store_batch_journal_step(batch, run->row->id, "handle", node->index, row);
    int64_t seq = 0;
    int r = store_commit(run->context->store, batch, &seq, err);
    if (r < 0)
        return r;
    tell(run, &(struct journal_row){node, "handle", row}, seq);
    return 0;
}

void run_tell_progress(struct node *node, const char *message)
{
    struct value_builder body = {0};
    CLEANUP(mem_freep) char *redacted = secrets_redact(node->run->context->secrets, message);
    value_builder_set_string(&body, "message", redacted ? redacted : message);
    CLEANUP(value_unrefp) struct value *row = value_builder_map(&body);
    tell(node->run, &(struct journal_row){node, "progress", row}, 0);
}

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

static void record_effect(struct node *node)
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

void run_add_result(struct node *node)
{
    struct value_builder body = {0};
    value_builder_set_string(&body, "outcome", outcome_kind_to_string(node->outcome.kind));
    if (node->outcome.message)
        value_builder_set_string(&body, "message", node->outcome.message);
    int64_t took = node->started_at ? world_monotonic_clock() - node->started_at : 0;
    value_builder_set(&body, "took_us", value_integer(took));
    journal_step(node, "result", value_builder_map(&body));
    if (TOOTH(TWO_TRANSACTIONS))
        (void)run_commit(node->run, NULL);
    record_effect(node);
}

void run_add_skip(struct node *node, const char *because)
{
    struct value_builder body = {0};
    value_builder_set_string(&body, "because", because);
    journal_step(node, "skipped", value_builder_map(&body));
}

static size_t count_state(const struct run *run, enum node_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < run->plan->n_steps; i++)
        n += run->nodes[i].state == state;
    return n;
}

static enum run_status final_status(const struct run *run)
{
    size_t n_done = count_state(run, NODE_DONE);
    if (n_done == run->plan->n_steps)
        return RUN_DONE;
    if (*run->context->is_cancelled)
        return RUN_CANCELLED;
    /* What was begun, or may have been, is no run that changed nothing. */
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        enum outcome_kind outcome = run->nodes[i].outcome.kind;
        if (outcome == OUTCOME_PARTLY || outcome == OUTCOME_UNKNOWN)
            return RUN_PARTLY;
    }
    return n_done > 0 ? RUN_PARTLY : RUN_FAILED;
}

/* One that cannot be had is left out, and the others stay. */
static struct value *resolve_outputs(struct run *run)
{
    const struct value *planned = run->plan->outputs;
    struct value_builder fields = {0};
    for (size_t i = 0; planned && i < value_count(planned); i++) {
        struct value *resolved = NULL;
        if (run_resolve(run, value_at(planned, i), &resolved, NULL) == 0)
            value_builder_set(&fields, value_key_at(planned, i), resolved);
    }
    return value_builder_map(&fields);
}

/* What the whole deployment offers, now that everything is known. */
static void add_outputs(struct run *run)
{
    const struct plan *plan = run->plan;
    struct store_deployment deployment = {
        .uid = plan->deployment_uid,
        .name = plan->deployment,
        .environment = plan->environment,
        .incarnation = plan->incarnation,
        .is_destroyed = plan->is_destroy,
        .accounts = run->accounts,
        .created_at = run->created_at,
        .updated_at = world_wall_clock(),
    };
    CLEANUP(value_unrefp) struct value *outputs = resolve_outputs(run);
    deployment.outputs = outputs;
    store_batch_put_deployment(run->batch, &deployment);
    /* What was made for it has no use any more. */
    if (plan->is_destroy)
        store_batch_remove_secrets(run->batch, plan->deployment_uid);
}

/* Whoever plans next must ask about these again before anything else. */
static void note_open_steps(struct run *run)
{
    size_t n_open = 0;
    size_t n_detached = 0;
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        const struct node *node = &run->nodes[i];
        if (node->outcome.kind != OUTCOME_UNKNOWN || node->is_given_up)
            continue;
        n_detached += node->is_detached;
        n_open += !node->is_detached;
    }
    mem_free(run->row->message);
    run->row->message = NULL;
    if (n_open > 0)
        run->row->message =
            string_format("%zu steps cannot be told to have happened or not", n_open + n_detached);
    else if (n_detached > 0)
        run->row->message = string_format("%zu steps go on by themselves", n_detached);
}

void run_add_finish(struct run *run)
{
    run->row->status = final_status(run);
    note_open_steps(run);
    run->row->ended_at = world_wall_clock();
    /* A plan without a document that destroys nothing leaves the outputs as they are. */
    if (run->row->status == RUN_DONE && (run->plan->document || run->plan->is_destroy))
        add_outputs(run);
    struct value_builder body = {0};
    value_builder_set_string(&body, "status", run_status_to_string(run->row->status));
    value_builder_set(&body, "done", value_integer((int64_t)count_state(run, NODE_DONE)));
    value_builder_set(&body, "failed", value_integer((int64_t)count_state(run, NODE_FAILED)));
    value_builder_set(&body, "skipped", value_integer((int64_t)count_state(run, NODE_SKIPPED)));
    run_journal(run, "finished", value_builder_map(&body));
    /* Behind the last row: the audit chain takes the journal's head. */
    store_batch_put_run(run->batch, run->row);
}
