/* What an earlier, dead run left: read from its journal, asked of the drivers, written down. */
#include "apply/run.h"

#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"

#include <assert.h>

enum { PAGE = 1000 };

static void replay_token(struct node *node, const char *token)
{
    if (!token || text_equal_or_null(node->token, token))
        return;
    mem_free(node->token);
    node->token = string_copy(token);
    node->token_at = node->began_at;
}

/* The node that a row is about; rows of older programs name its step. */
static struct node *find_node(struct run *run, const struct value *row)
{
    const char *id = value_get_text(row, "step");
    int64_t place = value_get_integer(row, "place", -1);
    if (place >= 0 && (size_t)place < run->plan->n_steps)
        return &run->nodes[place];
    return id ? map_get(&run->nodes_by_id, id) : NULL;
}

/* A step's own rows, in their order: intent, then maybe handles, then a result. */
static void replay_row(struct run *run, const struct value *row)
{
    const char *kind = value_get_text(row, "kind");
    struct node *node = find_node(run, row);
    if (!node || !kind)
        return;
    const char *outcome = value_get_text(row, "outcome");
    if (text_equal(kind, "intent")) {
        struct value *after = value_get(row, "after");
        value_unref(node->after);
        node->after = after ? value_ref(after) : NULL;
        node->began_at = value_get_integer(row, "time", 0);
        /* Whoever had the lease before us is dead, and may have lived until a moment ago. */
        node->sent_by = world_monotonic_clock();
        replay_token(node, value_get_text(row, "token"));
        node->state = NODE_INTENDED;
    } else if (text_equal(kind, "handle")) {
        mem_free(node->handle);
        node->handle = string_copy(value_get_text(row, "handle"));
    } else if (text_equal(kind, "result") && outcome) {
        bool is_done = outcome_kind_from_string(outcome) == OUTCOME_DONE;
        bool is_open = outcome_kind_from_string(outcome) == OUTCOME_UNKNOWN ||
                       outcome_kind_from_string(outcome) == OUTCOME_STAGED;
        node->state = is_done ? NODE_DONE : is_open ? NODE_INTENDED : NODE_WAITING;
    }
}

/* Lets those that are done free what waits for them. */
static void replay_states(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        if (run->nodes[i].state != NODE_DONE)
            continue;
        run->n_over++;
        run_free_dependents(run, &run->nodes[i]);
    }
}

int run_read_journal(struct run *run, struct error *err)
{
    int64_t seq = 0;
    for (;;) {
        CLEANUP(value_unrefp) struct value *rows = NULL;
        int r = store_replay_journal(run->context->store, run->row->id, seq, PAGE, &rows, err);
        if (r < 0)
            return r;
        size_t n = value_count(rows);
        for (size_t i = 0; i < n; i++)
            replay_row(run, value_at(rows, i));
        if (n < PAGE)
            break;
        seq = value_get_integer(value_at(rows, n - 1), "seq", seq);
    }
    replay_states(run);
    return 0;
}

static void probe_main(void *argument)
{
    struct node *node = argument;
    struct run *run = node->run;
    node->is_not_done = !node_probe(node);
    run->n_running--;
    queue_put(&run->done_calls, node->index);
    gate_open(run->context->loop, run->ended);
}

static void start_probes(struct run *run, struct queue *open)
{
    while (!queue_is_empty(open) && run->n_running < RUN_MAX_CALLS) {
        struct node *node = &run->nodes[queue_take(open)];
        node->state = NODE_RUNNING;
        run->n_running++;
        loop_spawn(run->context->loop, "probe", probe_main, node);
    }
}

/* What a probe found: done, not done, partly, or nobody can tell. */
static void settle_node(struct node *node, size_t *n_open)
{
    struct run *run = node->run;
    node->state = NODE_WAITING;
    if (node->is_not_done) {
        run_drop_doubt(node);
        return;
    }
    run_add_result(node);
    if (node->outcome.kind == OUTCOME_DONE) {
        node->state = NODE_DONE;
        run->n_over++;
        run_free_dependents(run, node);
    } else if (node->outcome.kind == OUTCOME_STAGED) {
        run_note_staged(node);
    } else if (node->outcome.kind == OUTCOME_UNKNOWN) {
        node->state = NODE_FAILED;
        run->n_over++;
        (*n_open)++;
    }
}

static bool is_given_up(const struct run *run, const struct node *node)
{
    const struct apply_given_up *given_up = run->context->given_up;
    return given_up && string_list_has(given_up->instances, run_step(node)->instance);
}

/* The next plan looks at what was there before; what was to be made is made anew. */
static void give_up(struct node *node)
{
    node->is_given_up = true;
    node->outcome = (struct outcome){
        .kind = OUTCOME_UNKNOWN,
        .code = ERROR_STALE,
        .message = string_copy("given up: its system is another now, so nobody can tell"),
    };
    run_add_result(node);
    node->state = NODE_FAILED;
    node->run->n_over++;
}

/* A step without an effect outside has its intent and result in one commit, so that an open one was
 * not done. */
static void collect_open(struct run *run, struct queue *open)
{
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        struct node *node = &run->nodes[i];
        bool is_undone = run_is_internal(run, node) || TOOTH(BLIND_REPEAT);
        if (node->state == NODE_INTENDED && is_undone)
            node->state = NODE_WAITING;
        else if (node->state == NODE_INTENDED && is_given_up(run, node))
            give_up(node);
        else if (node->state == NODE_INTENDED)
            queue_put(open, i);
    }
}

int run_settle(struct run *run, size_t *ret_n_open, struct error *err)
{
    struct queue open = {0};
    int r = 0;
    *ret_n_open = 0;
    collect_open(run, &open);
    /* A probe may also end while another's result is being written. */
    while (r == 0 &&
           (!queue_is_empty(&open) || run->n_running > 0 || !queue_is_empty(&run->done_calls))) {
        start_probes(run, &open);
        run_await_call(run);
        while (!queue_is_empty(&run->done_calls))
            settle_node(&run->nodes[queue_take(&run->done_calls)], ret_n_open);
        if (run->n_journal > 0)
            r = run_commit(run, err);
    }
    mem_free(open.items);
    return r;
}
