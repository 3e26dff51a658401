/* A plan while it is carried out. Private to apply/. */
#pragma once

#include "apply/apply.h"
#include "base/map.h"
#include "graph/graph.h"
#include "model/outputs.h"

/* How far a step is. Those below NODE_RUNNING can still be skipped; those from NODE_DONE on are
 * over. */
enum node_state {
    NODE_WAITING,  /* for steps before it */
    NODE_READY,    /* its intent can be written */
    NODE_INTENDED, /* its intent is durable; the call waits for its turn */
    NODE_RUNNING,
    NODE_STAGED, /* the call is over; it waits for a commit */
    NODE_DONE,
    NODE_FAILED,
    NODE_SKIPPED
};

struct node {
    struct run *run;
    size_t index; /* of the step in the plan */
    enum node_state state;
    size_t n_waiting;    /* steps before it that are not done */
    struct value *after; /* owned: the step's spec with everything known */
    char *token;         /* owned: of a create that repeats by one, journalled; else NULL */
    int64_t token_at;    /* world_wall_clock() of its first intent */
    char *handle;        /* owned: of the remote operation, or NULL */
    struct outcome outcome;
    bool is_detached; /* the call need not wait any longer: its handle is durable, and the run is
                         cancelled */
    bool may_stage;   /* counted in its staging: the call may still stage something */
    bool is_not_done; /* what a probe found of an open intent */
    bool is_given_up; /* nobody is asked of its open intent */
    int64_t began_at; /* world_wall_clock() of the intent */
    int64_t sent_by;  /* world_monotonic_clock() after which its call cannot have been sent */
    int64_t started_at;
};

/* Steps that others wait for together: a hub of the graph, behind the nodes of the steps. */
struct node_group {
    size_t n_waiting; /* of its steps, those that are not done */
    bool has_failed;  /* one of them, or it was skipped */
};

/* Calls at the same time, over all providers. */
enum { RUN_MAX_CALLS = 64 };

/* Steps in the order in which they came to a state. Zero-initialise it. */
struct queue {
    size_t *items; /* owned; indices of steps */
    size_t n_items;
    size_t capacity;
    size_t first; /* those before it were taken */
};
bool queue_is_empty(const struct queue *queue);
void queue_put(struct queue *queue, size_t index);
size_t queue_take(struct queue *queue);

/* The changes of an instance that wait for its activation. */
struct staging {
    struct run *run;
    char *instance;      /* owned */
    size_t n_active;     /* steps whose calls may still stage something */
    struct queue staged; /* steps whose calls are over */
    struct queue held;   /* steps that are ready, but must not begin while a commit runs */
    bool is_intended;    /* the commit's intent is durable after the next commit of the store */
    bool is_committing;
    bool has_ended; /* the commit's call is over, its result not written */
    struct outcome outcome;
    int64_t started_at;
};

/* What waits for a step that failed. Zero-initialise it. */
struct skips {
    size_t n;
    struct value_builder first; /* a list of the first RUN_NAMED_SKIPS of them, by name */
};

/* How many of the steps behind one failure its row names; the others are those that the plan has
 * behind them. A door that tells of each step has no more. */
enum { RUN_NAMED_SKIPS = 200 };

/* A row of the journal as it is told. */
struct journal_row {
    const struct node *node; /* borrowed; NULL: it is about no step of the plan */
    const char *kind;        /* static */
    struct value *body;      /* owned */
};

struct run {
    const struct apply_context *context;
    const struct plan *plan;
    struct store_run *row;
    struct graph *graph;
    struct node *nodes;        /* owned; one for each step */
    struct node_group *groups; /* owned; one for each group of the plan */
    struct queue ready;        /* their intents can be written */
    struct queue
        intended; /* their intents are durable after the next commit, or already; no call yet */
    struct queue done_calls; /* their calls are over, their results not written */
    struct map nodes_by_id;  /* step id -> struct node, borrowed */
    struct outputs outputs;  /* of all resources that it needs, as far as they exist */
    struct map bindings;     /* name of a counted resource -> owned record_binding() of it */
    struct map uids;         /* address -> owned uid of its newest generation */
    struct map records;      /* "ADDRESS#GENERATION" -> owned record */
    struct map generations;  /* address -> number of the newest generation that was there before */
    struct journal_row *journal; /* owned: of the next commit, to be told of once it is durable */
    size_t n_journal;
    size_t journal_capacity;
    struct store_batch *batch; /* owned: the next commit */
    struct map stagings;       /* instance -> owned struct staging */
    struct string_list own;    /* uids of all steps and records; filled for the first commit */
    size_t n_ended_commits;    /* whose results are not written */
    struct gate *ended;    /* borrowed: opened when a call ends, and when the run is cancelled */
    struct gate own_ended; /* that one, where nobody says that it is cancelled */
    size_t n_running;
    size_t n_over; /* nodes that are done, failed or skipped */
    int lease_fd;
    char *lease_path;            /* owned */
    int64_t lease_checked_at;    /* world_monotonic_clock(), before the newest commit that found our
                                    epoch to be the newest */
    int64_t created_at;          /* of the deployment */
    struct value *known_outputs; /* owned: the deployment's, from before this run */
    struct value *accounts;      /* owned: the deployment's, with this run's */
};

/* --- needed.c --- */

/* The names of the resources whose records the run needs; false when it needs all. */
bool run_list_needed(const struct run *run, struct string_list *names);
CO_FN int run_load_needed(const struct run *run, const struct string_list *names,
                          struct records *ret_records, struct error *err);

/* --- run.c: the state of a run --- */
CO_FN int run_init(struct run *run, const struct apply_context *context, const struct plan *plan,
                   struct store_run *row, struct error *err);
void run_done(struct run *run);
const struct step *run_step(const struct node *node);
/* A value with all that is known by now, and with digests for its secrets. */
int run_resolve(struct run *run, struct value *value, struct value **ret_value, struct error *err);
struct provider *run_provider(struct run *run, const char *instance, struct error *err);
struct record *run_find_record(struct run *run, const char *address, int64_t generation);

/* Whether the step has no effect outside. */
bool run_is_internal(struct run *run, const struct node *node);

/* Waits until a call has ended, unless one has already or none runs. */
CO_FN void run_await_call(struct run *run);

/* A step that waits for nothing any more becomes ready. */
void run_free_dependents(struct run *run, const struct node *done);

/* --- lease.c: whose turn it is --- */
/* Takes the lock and the next epoch; checked tells whether the records must be those the plan was
 * made from. */
CO_FN int run_take_lease(struct run *run, bool is_first, struct error *err);

/*
 * Whether a call may begin: we surely have the lease. What was found out too long ago, as after a
 * pause of the whole process, is found out anew; ERROR_STALE when another run has it.
 */
CO_FN int run_check_lease(struct run *run, struct error *err);

/* --- journal.c: what is written down --- */
/* Adds a row to the next commit. take_body is a map; kind lives as long as the program. */
void run_journal(struct run *run, const char *kind, struct value *take_body);
/* Nothing is told of the next commit any more. */
void run_forget_journal(struct run *run);
/* Makes all that was added durable under our epoch, then tells of it. */
CO_FN int run_commit(struct run *run, struct error *err);
void run_add_intent(struct node *node);
/* A node's handle, in a commit of its own: called in the middle of a call. */
CO_FN int run_commit_handle(struct node *node, struct error *err);
/* Adds the deployment's row as this run makes it; outputs are borrowed. */
void run_put_deployment(struct run *run, struct value *outputs, bool is_destroyed);
/* Adds the result of an ended step and what it makes of the records. The node is over once that is
 * durable. */
void run_add_result(struct node *node);
/* Counts a step, and notes its names where it is one of the first. */
void run_note_skip(struct skips *skips, const struct step *step);
/* Adds one row for all of them, unless there are none, and empties them. */
void run_add_skips(const struct node *failed, struct skips *skips);
void skips_done(struct skips *skips);
/* Sets the run's final status by its nodes and adds the last row. */
void run_add_finish(struct run *run);
void run_tell_progress(struct node *node, const char *message);

/* --- records.c: what an outcome makes of the records --- */
/* Of a step that is over, with the next commit. */
void run_record_effect(struct node *node);
/* Once it surely was not done, the record of a create that nobody could tell of goes with the next
 * commit. */
void run_drop_doubt(struct node *node);

/* --- call.c: one step's call --- */
/*
 * Resolves what the step needs. False when that is not what was approved, or cannot be had: then
 * the outcome says so, and nothing was sent.
 */
bool node_prepare(struct node *node);
/* Calls the driver and leaves the outcome in the node. Never fails: a failure is an outcome. */
CO_FN void node_call(struct node *node);
/* Asks what became of a call; true when node->outcome says it, false when it surely was not carried
 * out. */
CO_FN bool node_probe(struct node *node);

/* --- commit.c: what waits for an activation --- */
/* The staging of the node's instance; NULL when changes there need no commit. Borrowed. */
struct staging *run_find_staging(struct node *node);
void run_note_staged(struct node *node);
/* Adds the results of commits that are over; what they decide of their steps is in done_calls. */
void run_add_commit_results(struct run *run);
/* Adds the intents of commits that nothing more can join. */
void run_add_commit_intents(struct run *run);
/* Begins the commits whose intents are durable. */
void run_start_commits(struct run *run);
/*
 * What is staged and will not be activated by this run is recorded as done in part, so that the
 * next plan finds it: into done_calls with it.
 */
void run_leave_staged(struct run *run, const char *why);
void run_free_stagings(struct run *run);

/* --- settle.c: what an earlier, dead run left --- */
CO_FN int run_read_journal(struct run *run, struct error *err);
CO_FN int run_settle(struct run *run, size_t *ret_n_open, struct error *err);
