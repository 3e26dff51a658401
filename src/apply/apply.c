#include "apply/apply.h"

#include "apply/run.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/world.h"

#include <assert.h>

enum {
    CONCLUDE_US = 30 * 1000 * 1000,
    MAX_INTENTS = 1000, /* in one transaction */
};

static void call_main(void *argument)
{
    struct node *node = argument;
    struct run *run = node->run;
    node_call(node);
    run->n_running--;
    queue_put(&run->done_calls, node->index);
    gate_open(run->context->loop, run->ended);
}

/* Calls the drivers for intents that are durable, as many as there is room for. */
static void start_calls(struct run *run)
{
    while (!queue_is_empty(&run->intended) && run->n_running < RUN_MAX_CALLS) {
        struct node *node = &run->nodes[queue_take(&run->intended)];
        node->state = NODE_RUNNING;
        run->n_running++;
        loop_spawn(run->context->loop, "step", call_main, node);
    }
}

/* Whether it was not skipped yet, and is now. */
static bool skip(struct run *run, struct node *node)
{
    if (node->state >= NODE_INTENDED)
        return false;
    node->state = NODE_SKIPPED;
    run->n_over++;
    return true;
}

/* Whether nothing in the group had failed until now. */
static bool enter_group(struct run *run, size_t group)
{
    bool is_first = !run->groups[group].has_failed;
    run->groups[group].has_failed = true;
    return is_first;
}

/*
 * What waits for a step that failed is not tried, however long the chain behind it is. It is
 * written down in one row. What a cancelled run does not begin is in none: it is all that no row
 * is about, and the last row says how many.
 */
static void skip_dependents(struct run *run, const struct node *failed)
{
    struct queue behind = {0};
    struct skips skips = {0};
    size_t n_steps = run->plan->n_steps;
    queue_put(&behind, failed->index);
    while (!queue_is_empty(&behind)) {
        size_t n;
        const size_t *dependents = graph_dependents(run->graph, queue_take(&behind), &n);
        for (size_t i = 0; i < n; i++) {
            bool is_group = dependents[i] >= n_steps;
            bool is_new = is_group ? enter_group(run, dependents[i] - n_steps)
                                   : skip(run, &run->nodes[dependents[i]]);
            if (is_new)
                queue_put(&behind, dependents[i]);
            if (is_new && !is_group)
                run_note_skip(&skips, &run->plan->steps[dependents[i]]);
        }
    }
    mem_free(behind.items);
    if (*run->context->is_cancelled)
        skips_done(&skips);
    else
        run_add_skips(failed, &skips);
}

/* Writes the results of calls that are over; what they free becomes ready with the same commit. */
static void add_results(struct run *run)
{
    while (!queue_is_empty(&run->done_calls)) {
        struct node *node = &run->nodes[queue_take(&run->done_calls)];
        run_add_result(node);
        if (node->may_stage)
            run_find_staging(node)->n_active--;
        node->may_stage = false;
        if (node->outcome.kind == OUTCOME_STAGED) {
            run_note_staged(node);
            continue;
        }
        run->n_over++;
        bool is_done = node->outcome.kind == OUTCOME_DONE;
        node->state = is_done ? NODE_DONE : NODE_FAILED;
        if (is_done && !TOOTH(DEPENDENTS_FIRST))
            run_free_dependents(run, node);
        else if (!is_done)
            skip_dependents(run, node);
    }
}

/* Of a run that is cancelled. */
static void skip_ready(struct run *run)
{
    while (!queue_is_empty(&run->ready)) {
        struct node *node = &run->nodes[queue_take(&run->ready)];
        (void)skip(run, node);
        skip_dependents(run, node);
    }
}

/*
 * Writes the intents of what is ready. A step without an effect outside is carried out at once: its
 * intent and result are one transaction, together with whatever it frees.
 */
static void add_intents(struct run *run)
{
    size_t n_added = 0;
    if (*run->context->is_cancelled)
        skip_ready(run);
    while (!queue_is_empty(&run->ready) && n_added++ < MAX_INTENTS) {
        struct node *node = &run->nodes[queue_take(&run->ready)];
        struct staging *staging = run_find_staging(node);
        if (staging && (staging->is_intended || staging->is_committing)) {
            queue_put(&staging->held, node->index);
            continue;
        }
        node->state = NODE_INTENDED;
        if (!node_prepare(node)) {
            queue_put(&run->done_calls, node->index);
            add_results(run);
            continue;
        }
        run_add_intent(node);
        if (run_is_internal(run, node)) {
            node_call(node);
            queue_put(&run->done_calls, node->index);
            add_results(run);
        } else {
            node->may_stage = staging != NULL;
            if (staging)
                staging->n_active++;
            queue_put(&run->intended, node->index);
        }
    }
}

/* Intents that no call has begun for yet are taken back when the run is cancelled: nothing was sent
 * for them. */
static void drop_intents(struct run *run)
{
    while (!queue_is_empty(&run->intended)) {
        struct node *node = &run->nodes[queue_take(&run->intended)];
        node->outcome = (struct outcome){.kind = OUTCOME_FAILED,
                                         .code = ERROR_CANCELLED,
                                         .message = string_copy("cancelled before it began")};
        queue_put(&run->done_calls, node->index);
    }
}

/* What nothing holds back any more; the rest waits for the steps before it. */
static void collect_ready(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        struct node *node = &run->nodes[i];
        if (node->state != NODE_WAITING || node->n_waiting > 0)
            continue;
        node->state = NODE_READY;
        queue_put(&run->ready, i);
    }
}

/* Steps that nobody can tell of stop their branch; see run_settle(). */
static void skip_open(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++)
        if (run->nodes[i].state == NODE_FAILED)
            skip_dependents(run, &run->nodes[i]);
}

/* Broken on purpose: what waits for a step begins while its result is not written. */
static int free_dependents_first(struct run *run, struct error *err)
{
    for (size_t i = run->done_calls.first; i < run->done_calls.n_items; i++) {
        const struct node *node = &run->nodes[run->done_calls.items[i]];
        if (node->outcome.kind == OUTCOME_DONE)
            run_free_dependents(run, node);
    }
    add_intents(run);
    int r = run_commit(run, err);
    if (r == 0)
        start_calls(run);
    return r;
}

/* Results, what they free and the next intents are one transaction; then the calls begin. */
static int carry_out(struct run *run, struct error *err)
{
    int r;
    collect_ready(run);
    skip_open(run);
    while (run->n_over < run->plan->n_steps) {
        if (*run->context->is_cancelled)
            drop_intents(run);
        if (TOOTH(DEPENDENTS_FIRST) && (r = free_dependents_first(run, err)) < 0)
            return r;
        run_add_commit_results(run);
        add_results(run);
        add_intents(run);
        run_add_commit_intents(run);
        if (TOOTH(EFFECT_FIRST))
            start_calls(run);
        if ((r = run_commit(run, err)) < 0)
            return r;
        start_calls(run);
        run_start_commits(run);
        run_await_call(run);
    }
    return 0;
}

/* The store refused: nobody may begin anything, and the calls under way are waited for. */
static void await_calls(struct run *run)
{
    while (run->n_running > 0)
        (void)gate_wait(run->context->loop, run->ended, -1, NULL);
}

/* Each provider hears that this run has no more steps for it. */
static CO_FN void conclude(struct run *run)
{
    static const bool never = false;
    struct map told = {0};
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        const struct step *step = &run->plan->steps[i];
        if (!step_has_effect(step) || map_has(&told, step->instance))
            continue;
        map_put(&told, step->instance, run);
        struct call call = {.loop = run->context->loop,
                            .deadline = world_monotonic_clock() + CONCLUDE_US,
                            .secrets = run->context->secrets,
                            .is_cancelled = &never,
                            .is_stopping = run->context->is_cancelled};
        struct provider *provider = run_provider(run, step->instance, NULL);
        if (provider)
            provider_conclude(provider, &call);
    }
    map_done(&told);
}

static int finish(struct run *run, struct error *err)
{
    const struct apply_given_up *given_up = run->context->given_up;
    conclude(run);
    run_add_finish(run);
    if (given_up) {
        store_batch_add_remains(run->batch, run->plan->deployment_uid, given_up->entry);
        store_batch_audit(run->batch, "give-up", given_up->entry);
    }
    return run_commit(run, err);
}

int apply_plan(const struct apply_context *context, const struct plan *plan, struct store_run *row,
               struct error *err)
{
    struct run run;
    int r = run_init(&run, context, plan, row, err);
    if (r == 0 && (r = run_take_lease(&run, true, err)) == 0) {
        r = carry_out(&run, err);
        if (r == 0)
            r = finish(&run, err);
        await_calls(&run);
    }
    run_done(&run);
    return r;
}

int apply_resume(const struct apply_context *context, const struct plan *plan,
                 struct store_run *row, struct error *err)
{
    struct run run;
    size_t n_open = 0;
    int r = run_init(&run, context, plan, row, err);
    if (r == 0 && (r = run_take_lease(&run, false, err)) == 0) {
        r = run_read_journal(&run, err);
        if (r == 0)
            r = run_settle(&run, &n_open, err);
        if (r == 0)
            r = carry_out(&run, err);
        if (r == 0)
            r = finish(&run, err);
        await_calls(&run);
    }
    run_done(&run);
    return r;
}

int apply_settle(const struct apply_context *context, const struct plan *plan,
                 struct store_run *row, size_t *ret_n_open, struct error *err)
{
    struct run run;
    size_t n_open = 0;
    int r = run_init(&run, context, plan, row, err);
    if (r == 0 && (r = run_take_lease(&run, false, err)) == 0) {
        r = run_read_journal(&run, err);
        if (r == 0)
            r = run_settle(&run, &n_open, err);
        run_leave_staged(&run, "the run ended before it was activated");
        add_results(&run);
        if (r == 0)
            r = finish(&run, err);
        await_calls(&run);
    }
    run_done(&run);
    if (r == 0 && ret_n_open)
        *ret_n_open = n_open;
    return r;
}
