/*
 * The activation of staged changes: one effect with an intent of its own for all that an instance
 * has staged. Staged steps have results but no records, and free nothing, until it is done.
 */
#include "apply/run.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

#include <assert.h>

struct staging *run_find_staging(struct node *node)
{
    struct run *run = node->run;
    const struct step *step = run_step(node);
    if (!step_has_effect(step))
        return NULL;
    struct staging *staging = map_get(&run->stagings, step->instance);
    if (staging)
        return staging;
    const struct provider *provider = run_provider(run, step->instance, NULL);
    if (!provider || !provider_has_commit(provider))
        return NULL;
    staging = NEW(struct staging);
    *staging = (struct staging){.run = run, .instance = string_copy(step->instance)};
    map_put(&run->stagings, step->instance, staging);
    return staging;
}

void run_free_stagings(struct run *run)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&run->stagings, &cursor))) {
        struct staging *staging = entry->value;
        mem_free(staging->instance);
        mem_free(staging->staged.items);
        mem_free(staging->held.items);
        outcome_done(&staging->outcome);
        mem_free(staging);
    }
    map_done(&run->stagings);
    string_list_done(&run->own);
}

void run_note_staged(struct node *node)
{
    struct staging *staging = run_find_staging(node);
    assert(staging);
    node->state = NODE_STAGED;
    queue_put(&staging->staged, node->index);
}

/* --- The call --- */

/* What is staged for any step or record of this deployment is ours. */
static const struct string_list *find_own(struct run *run)
{
    if (run->own.n_items > 0)
        return &run->own;
    for (size_t i = 0; i < run->plan->n_steps; i++)
        string_list_add(&run->own, run->plan->steps[i].uid);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&run->records, &cursor)))
        string_list_add(&run->own, ((const struct record *)entry->value)->uid);
    return &run->own;
}

static void call_commit(struct staging *staging)
{
    static const bool never = false;
    struct run *run = staging->run;
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *nothing = value_list(NULL, 0);
    const struct value *foreign = value_get(run->plan->pending, staging->instance);
    struct activation activation = {find_own(run), foreign ? foreign : nothing};
    struct call call = {
        .loop = run->context->loop,
        .deadline = -1,
        .secrets = run->context->secrets,
        .is_cancelled = &never,
        .is_stopping = run->context->is_cancelled,
    };
    struct provider *provider = run_provider(run, staging->instance, &err);
    if (!provider || provider_commit(provider, &call, &activation, &staging->outcome, &err) < 0)
        outcome_set_error(&staging->outcome, OUTCOME_FAILED, &err);
}

/* Without an answer each step is asked for: it is in force, or it waits still. */
static void ask_for_steps(struct staging *staging)
{
    for (size_t i = staging->staged.first; i < staging->staged.n_items; i++) {
        struct node *node = &staging->run->nodes[staging->staged.items[i]];
        node->is_not_done = !node_probe(node);
    }
}

static void commit_main(void *argument)
{
    struct staging *staging = argument;
    struct run *run = staging->run;
    call_commit(staging);
    if (staging->outcome.kind == OUTCOME_UNKNOWN)
        ask_for_steps(staging);
    run->n_running--;
    run->n_ended_commits++;
    staging->has_ended = true;
    gate_open(run->context->loop, run->ended);
}

void run_start_commits(struct run *run)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&run->stagings, &cursor))) {
        struct staging *staging = entry->value;
        if (!staging->is_intended)
            continue;
        staging->is_intended = false;
        staging->is_committing = true;
        staging->started_at = world_monotonic_clock();
        run->n_running++;
        loop_spawn(run->context->loop, "commit", commit_main, staging);
    }
}

/* --- What is written down --- */

/* The row of a commit's intent or result: it names the steps that it activates. */
static struct value_builder commit_row(const struct staging *staging)
{
    struct value_builder row = {0};
    struct value_builder steps = {0};
    CLEANUP(mem_freep) char *id = string_format("commit %s", staging->instance);
    for (size_t i = staging->staged.first; i < staging->staged.n_items; i++) {
        const struct node *node = &staging->run->nodes[staging->staged.items[i]];
        value_builder_append(&steps, value_string(run_step(node)->id));
    }
    value_builder_set_string(&row, "step", id);
    value_builder_set_string(&row, "activates", staging->instance);
    value_builder_set(&row, "steps", value_builder_list(&steps));
    return row;
}

void run_add_commit_intents(struct run *run)
{
    size_t cursor = 0;
    struct map_entry *entry;
    if (*run->context->is_cancelled) {
        run_leave_staged(run, "the run was cancelled before it was activated");
        return;
    }
    if (!queue_is_empty(&run->ready))
        return;
    while ((entry = map_next(&run->stagings, &cursor))) {
        struct staging *staging = entry->value;
        if (staging->n_active > 0 || staging->is_committing || queue_is_empty(&staging->staged))
            continue;
        struct value_builder row = commit_row(staging);
        run_journal(run, "intent", value_builder_map(&row));
        staging->is_intended = true;
    }
}

/* A staged step that is not in force, and stays staged: what is there is recorded as a part. */
static void leave(struct node *node, enum error_code code, const char *why)
{
    struct outcome *outcome = &node->outcome;
    outcome->kind = OUTCOME_PARTLY;
    value_unref(take_ptr(outcome->outputs));
    if (!outcome->live && node->after)
        outcome->live = value_ref(node->after);
    mem_free(outcome->message);
    outcome->code = code;
    outcome->message = string_format("it is staged, but not active: %s", why);
}

void run_leave_staged(struct run *run, const char *why)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&run->stagings, &cursor))) {
        struct staging *staging = entry->value;
        if (staging->is_intended || staging->is_committing)
            continue;
        while (!queue_is_empty(&staging->staged)) {
            struct node *node = &run->nodes[queue_take(&staging->staged)];
            leave(node, ERROR_CANCELLED, why);
            queue_put(&run->done_calls, node->index);
        }
    }
}

/* What the end of a commit means for one of its steps. */
static void decide_step(const struct staging *staging, struct node *node)
{
    const struct outcome *commit = &staging->outcome;
    if (commit->kind == OUTCOME_DONE)
        node->outcome.kind = OUTCOME_DONE;
    else if (commit->kind == OUTCOME_FAILED)
        leave(node, commit->code, commit->message);
    else if (node->is_not_done)
        outcome_set(&node->outcome, OUTCOME_FAILED, ERROR_UNAVAILABLE,
                    "it was staged and is there no more; resume tries it again");
    else if (node->outcome.kind == OUTCOME_STAGED)
        leave(node, commit->code, commit->message);
}

static void add_commit_result(struct staging *staging)
{
    struct run *run = staging->run;
    struct value_builder row = commit_row(staging);
    const char *kind = outcome_kind_to_string(staging->outcome.kind);
    value_builder_set_string(&row, "outcome", kind);
    if (staging->outcome.message)
        value_builder_set_string(&row, "message", staging->outcome.message);
    value_builder_set(&row, "took_us",
                      value_integer(world_monotonic_clock() - staging->started_at));
    run_journal(run, "result", value_builder_map(&row));
    while (!queue_is_empty(&staging->staged)) {
        struct node *node = &run->nodes[queue_take(&staging->staged)];
        decide_step(staging, node);
        queue_put(&run->done_calls, node->index);
    }
    while (!queue_is_empty(&staging->held))
        queue_put(&run->ready, queue_take(&staging->held));
    outcome_done(&staging->outcome);
    staging->is_committing = false;
    staging->has_ended = false;
}

void run_add_commit_results(struct run *run)
{
    size_t cursor = 0;
    struct map_entry *entry;
    if (run->n_ended_commits == 0)
        return;
    while ((entry = map_next(&run->stagings, &cursor))) {
        struct staging *staging = entry->value;
        if (staging->has_ended)
            add_commit_result(staging);
    }
    run->n_ended_commits = 0;
}
