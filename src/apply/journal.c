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
    run_record_effect(node);
}

void run_note_skip(struct skips *skips, const struct step *step)
{
    struct value_builder names = {0};
    if (skips->n++ >= RUN_NAMED_SKIPS)
        return;
    set_step_fields(&names, step);
    value_builder_append(&skips->first, value_builder_map(&names));
}

void skips_done(struct skips *skips)
{
    value_builder_done(&skips->first);
    *skips = (struct skips){0};
}

void run_add_skips(const struct node *failed, struct skips *skips)
{
    struct value_builder body = {0};
    if (skips->n == 0)
        return;
    value_builder_set_string(&body, "because", run_step(failed)->id);
    value_builder_set(&body, "count", value_integer((int64_t)skips->n));
    value_builder_set(&body, "first", value_builder_list(&skips->first));
    run_journal(failed->run, "skipped", value_builder_map(&body));
    skips_done(skips);
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

void run_put_deployment(struct run *run, struct value *outputs, bool is_destroyed)
{
    const struct plan *plan = run->plan;
    struct store_deployment deployment = {
        .uid = plan->deployment_uid,
        .name = plan->deployment,
        .environment = plan->environment,
        .incarnation = plan->incarnation,
        .is_destroyed = is_destroyed,
        .outputs = outputs,
        .accounts = run->accounts,
        .created_at = run->created_at,
        .updated_at = world_wall_clock(),
    };
    store_batch_put_deployment(run->batch, &deployment);
}

/* What the whole deployment offers, now that everything is known. */
static void add_outputs(struct run *run)
{
    const struct plan *plan = run->plan;
    CLEANUP(value_unrefp) struct value *outputs = resolve_outputs(run);
    run_put_deployment(run, outputs, plan->is_destroy);
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
