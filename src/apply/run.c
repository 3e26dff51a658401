#include "apply/run.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/derive.h"

#include <assert.h>
#include <string.h>

enum {
    SECOND = 1000000,
    /* How long it may take until calls learn that the run is cancelled. */
    LOOK_AROUND_US = 50000,
};

/* How long the lease is taken for ours after the store said so, and how much of that a call leaves
 * for its way out. */
static const int64_t lease_term = INT64_C(30) * SECOND;
static const int64_t lease_margin = INT64_C(5) * SECOND;

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
    if (address_parse(address, &name, &key, NULL) < 0)
        return;
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

char *apply_lease_path(const char *home, const char *deployment_uid)
{
    return string_format("%s/leases/%s.lock", home, deployment_uid);
}

static int take_lock(struct run *run, struct error *err)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/leases", run->context->home);
    run->lease_path = apply_lease_path(run->context->home, run->plan->deployment_uid);
    int r = world_make_folder(folder, 0700, err);
    if (r < 0)
        return r;
    r = world_lock_file(run->lease_path, &run->lease_fd, err);
    if (r == -ERROR_BUSY)
        return error_set(
            err, ERROR_BUSY,
            "another run of %s is under way; follow it with \"parley run list\", or cancel it",
            run->plan->deployment);
    return r;
}

bool apply_may_be_open(const struct store_run *run)
{
    return run->epoch > 0 && (run->status == RUN_RUNNING || run->message);
}

/* Moves the run of an epoch out of a list, if it is there. */
static bool take_run_of(struct store_run *runs, size_t n, int64_t epoch, struct store_run *ret_run)
{
    bool is_found = false;
    for (size_t i = 0; i < n; i++) {
        if (runs[i].epoch == epoch && !is_found) {
            *ret_run = runs[i];
            is_found = true;
        } else {
            store_run_done(&runs[i]);
        }
    }
    mem_free(runs);
    return is_found;
}

int apply_find_last_run(struct store *store, const char *deployment_uid, int64_t epoch,
                        struct store_run *ret_run, struct error *err)
{
    size_t n = 0;
    for (size_t limit = 8; epoch > 0 && n < limit; limit *= 8) {
        struct store_run *runs = NULL;
        int r = store_list_runs(store, deployment_uid, limit, &runs, &n, err);
        if (r < 0 || take_run_of(runs, n, epoch, ret_run))
            return r;
        if (n < limit)
            break;
        n = 0;
    }
    return error_set(err, ERROR_NOT_FOUND, "no run of the deployment ever began");
}

/* What the run before this one left open must be settled first: this plan may do it once more. */
static int check_none_open(struct run *run, int64_t epoch, struct error *err)
{
    struct store_run last = {0};
    int r = apply_find_last_run(run->context->store, run->plan->deployment_uid, epoch, &last, err);
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        return 0;
    }
    /* One that was settled has left its doubts in the records, which the plan has read. */
    if (r == 0 && last.status == RUN_RUNNING)
        r = error_set(err, ERROR_STALE,
                      "the run %.8s of %s ended early after this plan was made, and what it did is "
                      "not known yet; plan again, which finds that out, or resume it",
                      last.id, run->plan->deployment);
    store_run_done(&last);
    return r;
}

/*
 * A document says all that is wanted: one that was made before the newest revision does not know
 * it, and would take it back, also where nothing came of that revision yet and no record tells of
 * it. What this very plan has brought in an earlier run is the same document.
 */
static int check_head(const struct run *run, int64_t head, struct error *err)
{
    const struct plan *plan = run->plan;
    int64_t known =
        value_count(plan->parents) > 0 ? value_to_integer(value_at(plan->parents, 0)) : 0;
    CLEANUP(value_unrefp) struct value *newest = NULL;
    if (!plan->document || known == head)
        return 0;
    int r = store_get_revision(run->context->store, plan->deployment_uid, head, &newest, err);
    if (r < 0 || text_equal_or_null(value_get_text(newest, "plan"), plan->hash))
        return r;
    return error_set(err, ERROR_STALE,
                     "revision %lld of %s came after this plan was made; plan again",
                     (long long)head, plan->deployment);
}

/* What is let go stays in the account that it is in, and so does what is left of it here. */
static bool only_forgets(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind != STEP_FORGET)
            return false;
    return plan->n_steps > 0;
}

/* Whoever plans next knows by them whether an instance leads where it led. One that a resource
 * configures is known when it is read. */
static void note_accounts(struct run *run, struct value *take_known)
{
    const struct value *identities = run->plan->identities;
    value_unref(run->accounts);
    run->accounts = take_known;
    for (size_t i = 0; !only_forgets(run->plan) && i < value_count(identities); i++) {
        struct value *identity = value_at(identities, i);
        if (value_kind(identity) == VALUE_STRING)
            run->accounts =
                store_note_account(run->accounts, value_key_at(identities, i), identity);
    }
}

/* The deployment's row as this plan makes it; the newest epoch, 0 when it is new. */
static int look_up_epoch(struct run *run, bool is_first, int64_t *ret_epoch, struct error *err)
{
    struct store_deployment deployment = {0};
    int r = store_find_deployment(run->context->store, run->plan->deployment,
                                  run->plan->environment, &deployment, err);
    *ret_epoch = 0;
    note_accounts(run, value_ref(run->accounts));
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        return 0;
    }
    if (r == 0 && text_equal(deployment.uid, run->plan->deployment_uid)) {
        *ret_epoch = deployment.epoch;
        if (is_first)
            r = check_head(run, deployment.head_revision, err);
        run->created_at = deployment.created_at;
        value_unref(run->known_outputs);
        run->known_outputs = value_ref(deployment.outputs);
        note_accounts(run, value_ref(deployment.accounts));
    }
    store_deployment_done(&deployment);
    return r;
}

static void add_deployment(struct run *run)
{
    const struct plan *plan = run->plan;
    struct store_deployment deployment = {
        .uid = plan->deployment_uid,
        .name = plan->deployment,
        .environment = plan->environment,
        .incarnation = plan->incarnation,
        .outputs = run->known_outputs,
        .accounts = run->accounts,
        .created_at = run->created_at,
        .updated_at = world_wall_clock(),
    };
    store_batch_put_deployment(run->batch, &deployment);
}

static void add_revision(struct run *run)
{
    const struct plan *plan = run->plan;
    if (!plan->document)
        return;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "document", plan->document);
    value_builder_set_string(&fields, "digest", plan->document_digest);
    value_builder_set_string(&fields, "principal", run->row->principal);
    value_builder_set_string(&fields, "client", run->row->client);
    value_builder_set_string(&fields, "words", run->row->words);
    if (plan->given) {
        char digest[DIGEST_HEX_SIZE];
        digest_hex(plan->given, strlen(plan->given), digest);
        value_builder_set_string(&fields, "given", plan->given);
        value_builder_set_string(&fields, "given_digest", digest);
    }
    value_builder_set_string(&fields, "source", plan->source);
    value_builder_set(&fields, "parents", value_ref(plan->parents));
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set_string(&fields, "run", run->row->id);
    if (plan->partial)
        value_builder_set(&fields, "partial", value_ref(plan->partial));
    if (plan->reads && value_count(plan->reads) > 0)
        value_builder_set(&fields, "reads", value_ref(plan->reads));
    CLEANUP(value_unrefp) struct value *revision = value_builder_map(&fields);
    store_batch_add_revision(run->batch, plan->deployment_uid, revision);
}

/* What was read of other deployments must be so still. */
static void check_reads(struct run *run)
{
    const struct value *reads = run->plan->reads;
    for (size_t i = 0; reads && i < value_count(reads); i++) {
        const char *uid = value_get_text(value_at(reads, i), "uid");
        if (uid)
            store_batch_check_version(run->batch, uid,
                                      value_get_integer(value_at(reads, i), "records_version", 0));
    }
}

/* Two deployments may have planned to adopt one thing: the run that begins first does, and one that
 * goes on may find that another has it now. */
static void check_adoptions(struct run *run)
{
    for (size_t i = 0; i < run->plan->n_steps; i++) {
        const struct step *step = &run->plan->steps[i];
        if (step->kind == STEP_ADOPT)
            store_batch_check_adoptable(run->batch, run->plan->deployment_uid, step->instance,
                                        step->provider_id);
    }
}

/* Each run begins by an approval of its own; one that goes on may have another by now. */
static void use_approvals(struct run *run)
{
    if (!run->context->approved_until)
        return;
    store_batch_check_approvals(run->batch, run->plan->hash, run->context->n_approvals_seen);
    if (!TOOTH(APPROVAL_TWICE))
        store_batch_use_approvals(run->batch, run->plan->hash, run->row->id);
}

static void begin_row(struct store_run *row, int64_t epoch, bool is_first)
{
    row->epoch = epoch;
    row->status = RUN_RUNNING;
    if (is_first)
        row->started_at = world_wall_clock();
    row->ended_at = 0;
}

int run_take_lease(struct run *run, bool is_first, struct error *err)
{
    int64_t epoch;
    int r = take_lock(run, err);
    if (r < 0 || (r = look_up_epoch(run, is_first, &epoch, err)) < 0)
        return r;
    if (run->context->approved_until && world_wall_clock() >= run->context->approved_until &&
        !TOOTH(EXPIRED_APPROVAL))
        return error_set(err, ERROR_APPROVAL_NEEDED,
                         "the plan %.12s was approved, but too long ago: approve it again",
                         run->plan->hash);
    if (!is_first && epoch != run->row->epoch)
        return error_set(err, ERROR_STALE, "another run of %s came after this one; plan again",
                         run->plan->deployment);
    if (is_first && (r = check_none_open(run, epoch, err)) < 0)
        return r;
    if (is_first) {
        store_batch_check_run(run->batch, run->row->id, RUN_PENDING);
        add_deployment(run);
        if (!TOOTH(READ_SET_UNCHECKED))
            store_batch_check_version(run->batch, run->plan->deployment_uid,
                                      run->plan->records_version);
        check_reads(run);
        add_revision(run);
    }
    check_adoptions(run);
    use_approvals(run);
    store_batch_take_epoch(run->batch, run->plan->deployment_uid, epoch + 1);
    const struct store_run before = *run->row;
    begin_row(run->row, epoch + 1, is_first);
    store_batch_put_run(run->batch, run->row);
    struct value_builder body = {0};
    value_builder_set_string(&body, "plan", run->plan->hash);
    value_builder_set(&body, "epoch", value_integer(run->row->epoch));
    value_builder_set(&body, "steps", value_integer((int64_t)run->plan->n_steps));
    run_journal(run, is_first ? "started" : "resumed", value_builder_map(&body));
    r = run_commit(run, err);
    if (r < 0)
        *run->row = before;
    if (r == -ERROR_STALE)
        return error_set(err, ERROR_STALE,
                         "the records of %s, or of a deployment that it reads, changed after this "
                         "plan was made; plan again",
                         run->plan->deployment);
    return r;
}

int run_check_lease(struct run *run, struct error *err)
{
    int64_t now = world_monotonic_clock();
    if (TOOTH(LEASE_UNCHECKED))
        return 0;
    while (now >= run->lease_checked_at + lease_term - lease_margin ||
           !world_file_is(run->lease_path, run->lease_fd)) {
        CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
        store_batch_check_epoch(batch, run->plan->deployment_uid, run->row->epoch);
        int r = store_commit(run->context->store, batch, NULL, err);
        if (r == 0 && !world_file_is(run->lease_path, run->lease_fd))
            r = error_set(err, ERROR_STALE,
                          "the lock file of %s is gone, so that nobody knows whose turn it is",
                          run->plan->deployment);
        if (r < 0)
            return r;
        run->lease_checked_at = now;
        now = world_monotonic_clock();
    }
    return 0;
}
