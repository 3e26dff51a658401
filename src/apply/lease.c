/* The lease of a deployment: who has its lock file and its newest epoch runs, and nobody else. */
#include "apply/run.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

enum { SECOND = 1000000 };

/* How long the lease is taken for ours after the store said so, and how much of that a call leaves
 * for its way out. */
static const int64_t lease_term = INT64_C(30) * SECOND;
static const int64_t lease_margin = INT64_C(5) * SECOND;

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

/* It started when it was asked for: who looks at it before that moment and after it sees one time.
 */
static void begin_row(struct store_run *row, int64_t epoch)
{
    row->epoch = epoch;
    row->status = RUN_RUNNING;
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
        run_put_deployment(run, run->known_outputs, false);
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
    begin_row(run->row, epoch + 1);
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
