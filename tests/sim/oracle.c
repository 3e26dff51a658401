#include "sim/oracle.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "sim/canaries.h"
#include "sim/estate.h"
#include "sim/file.h"
#include "sim/story.h"
#include "store/audit.h"

#include <inttypes.h>
#include <string.h>

static struct {
    struct map rows;      /* "RUN KIND STEP" of every acknowledged row of a journal -> how many */
    struct map perhaps;   /* the same of those whose process died over them */
    struct map approvals; /* plan hash -> owned expiry */
    struct map used;     /* plan hash, where a run has begun by its approvals and none came since */
    struct map versions; /* plan hash -> owned version of the records it was made from */
    struct map plans;    /* run -> owned hash of its plan */
    struct map steps;    /* "PLAN PLACE" -> owned id of that step */
    struct map groups;   /* "PLAN ID" -> owned list of the ids that a group of steps stands for */
    struct map made;     /* "REMOTE UID" -> how many are there */
    struct map reverted; /* numbers of revisions that an approved plan takes back */
    int64_t seen;        /* the newest revision that somebody wrote a file against */
    size_t n_approving;  /* who are about to: that may be durable before they know */
    int holder;          /* the process that took the lease last */
} oracle;

/* How long after the store said so a run may take the lease for its own. */
#define LEASE_LIMIT (30 * SECOND)

static void free_numbers(struct map *map)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(map, &cursor)))
        mem_free(entry->value);
    map_done(map);
}

void oracle_begin(void)
{
    memset(&oracle, 0, sizeof(oracle));
}

void oracle_done(void)
{
    map_done(&oracle.rows);
    map_done(&oracle.perhaps);
    free_numbers(&oracle.approvals);
    free_numbers(&oracle.plans);
    free_numbers(&oracle.steps);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&oracle.groups, &cursor)))
        value_unref(entry->value);
    map_done(&oracle.groups);
    free_numbers(&oracle.versions);
    map_done(&oracle.used);
    map_done(&oracle.made);
    map_done(&oracle.reverted);
}

/* --- The store's side --- */

bool batch_has_row(const struct store_batch *batch, const char *kind)
{
    for (size_t i = 0; i < batch->n_changes; i++)
        if (batch->changes[i].kind == CHANGE_JOURNAL &&
            text_equal(store_row_text(&batch->changes[i].row, 2), kind))
            return true;
    return false;
}

/* The id of the step that a row of a journal is about; NULL: of none. */
static const char *step_of_row(const struct store_row *row, const struct value *body)
{
    const char *plan = map_get(&oracle.plans, store_row_text(row, 0));
    if (row->cells[4].is_text || !plan)
        return value_get_text(body, "step");
    CLEANUP(mem_freep) char *key = string_format("%s %" PRId64, plan, store_row_number(row, 4));
    return map_get(&oracle.steps, key);
}

/* Names a row of a journal by what matters of it. */
static char *row_key(const char *run, const char *kind, const char *step, const struct value *body)
{
    const char *outcome = value_get_text(body, "outcome");
    return string_format("%s %s %s%s%s", run, kind, step ? step : "", outcome ? " " : "",
                         outcome ? outcome : "");
}

static void count(struct map *map, const char *key, intptr_t by)
{
    map_put(map, key, (void *)((intptr_t)map_get(map, key) + by));
}

/* Of a batch or, without the number in front, of a query. */
static void count_row(struct map *rows, const struct store_row *row)
{
    CLEANUP(value_unrefp) struct value *body = NULL;
    const char *text = store_row_text(row, JOURNAL_COLUMN_BODY - 1);
    (void)json_read(text, strlen(text), &body, NULL);
    CLEANUP(mem_freep)
    char *key =
        row_key(store_row_text(row, 0), store_row_text(row, 2), step_of_row(row, body), body);
    count(rows, key, 1);
}

static void count_rows(const struct store_batch *batch, struct map *rows)
{
    for (size_t i = 0; i < batch->n_changes; i++)
        if (batch->changes[i].kind == CHANGE_JOURNAL)
            count_row(rows, &batch->changes[i].row);
}

/* What the store says was adopted. */
static void note_done_steps(const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->n_changes; i++) {
        const struct store_row *row = &batch->changes[i].row;
        if (batch->changes[i].kind != CHANGE_JOURNAL || row->cells[4].is_text ||
            !text_equal(store_row_text(row, 2), "result") ||
            !strstr(store_row_text(row, 3), "\"outcome\":\"done\""))
            continue;
        const char *plan = map_get(&oracle.plans, store_row_text(row, 0));
        const char *step = plan ? step_of_row(row, NULL) : NULL;
        if (step)
            estate_step_is_done(plan, step);
    }
}

static void note_runs(const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->n_changes; i++) {
        const struct store_row *row = &batch->changes[i].row;
        if (batch->changes[i].kind == CHANGE_PUT_RUN)
            mem_free(map_put(&oracle.plans, store_row_text(row, RUN_COLUMN_ID),
                             string_copy(store_row_text(row, RUN_COLUMN_PLAN_HASH))));
    }
}

static bool has_journal(const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->n_changes; i++)
        if (batch->changes[i].kind == CHANGE_JOURNAL)
            return true;
    return false;
}

/* Who writes into a journal has the lease, and knows from the answer that it has it still. */
void oracle_committed(struct process *process, const struct store_batch *batch, int64_t begun_at)
{
    bool is_taking = batch_has_row(batch, "started") || batch_has_row(batch, "resumed");
    if (is_taking)
        oracle_lease_taken(process);
    if (has_journal(batch) && process->id != oracle.holder)
        sim_violation("a run wrote into its journal after another had taken the lease");
    if (process->id == oracle.holder)
        process->proved_at = begun_at;
    note_runs(batch);
    count_rows(batch, &oracle.rows);
    note_done_steps(batch);
}

void oracle_interrupted(const struct store_batch *batch)
{
    count_rows(batch, &oracle.perhaps);
}

/* Whether a row is durable, as far as a process that lives now can know. */
static bool is_durable(const char *key)
{
    return map_has(&oracle.rows, key) || map_has(&oracle.perhaps, key);
}

/* --- Approvals --- */

void oracle_approval_begins(void)
{
    oracle.n_approving++;
}

void oracle_approved(const char *plan_hash, int64_t expires_at)
{
    int64_t *expiry = NEW(int64_t);
    const int64_t *former = map_get(&oracle.approvals, plan_hash);
    oracle.n_approving--;
    map_remove(&oracle.used, plan_hash);
    *expiry = former && *former > expires_at ? *former : expires_at;
    mem_free(map_put(&oracle.approvals, plan_hash, expiry));
}

/* What the steps of a plan are called, by their places, and what its groups stand for. */
static void note_steps(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        CLEANUP(mem_freep) char *key = string_format("%s %zu", plan->hash, i);
        mem_free(map_put(&oracle.steps, key, string_copy(plan->steps[i].id)));
    }
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct step_group *group = &plan->groups[i];
        CLEANUP(mem_freep) char *key = string_format("%s %s", plan->hash, group->id);
        struct value_builder ids = {0};
        for (size_t k = 0; k < group->depends_on.n_items; k++)
            value_builder_append(&ids, value_string(group->depends_on.items[k]));
        value_unref(map_put(&oracle.groups, key, value_builder_list(&ids)));
    }
}

void oracle_planned(const struct plan *plan)
{
    int64_t *version = NEW(int64_t);
    *version = plan->records_version;
    mem_free(map_put(&oracle.versions, plan->hash, version));
    note_steps(plan);
    estate_planned(plan);
}

void oracle_lease_taken(const struct process *process)
{
    oracle.holder = process->id;
}

void oracle_reverts_approved(const struct plan *plan)
{
    oracle.seen = sim->known_revision;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct value *reverts = plan->steps[i].reverts;
        for (size_t k = 0; reverts && k < value_count(reverts); k++) {
            CLEANUP(mem_freep)
            char *number =
                string_format("%" PRId64, value_get_integer(value_at(reverts, k), "revision", 0));
            map_put(&oracle.reverted, number, &oracle);
        }
    }
}

void oracle_run_started(const struct process *process, int64_t records_version)
{
    found.is_settled = false; /* whatever a door found before */
    const char *plan = map_get(&oracle.plans, process->run_id);
    const int64_t *version = plan ? map_get(&oracle.versions, plan) : NULL;
    if (plan)
        map_put(&oracle.used, plan, &oracle);
    if (version && *version != records_version)
        sim_violation("a run began on other records than its plan was made from");
}

bool oracle_is_used(const char *plan_hash)
{
    return oracle.n_approving == 0 && map_has(&oracle.used, plan_hash);
}

void oracle_run_begins(struct process *process)
{
    process->began_at = world_wall_clock();
}

void oracle_forget(struct process *process)
{
    (void)process;
}

/* --- The providers' side --- */

static void check_intent(const struct process *process, const struct step *step)
{
    CLEANUP(mem_freep) char *key = string_format("%s intent %s", process->run_id, step->id);
    if (!is_durable(key))
        sim_violation("%s was sent without a durable intent", step->id);
}

/* Somebody said yes to the plan, and that yes held when the run's process began. */
static void check_approval(const struct process *process, const struct step *step)
{
    const char *plan = map_get(&oracle.plans, process->run_id);
    const int64_t *expiry = plan ? map_get(&oracle.approvals, plan) : NULL;
    if (!expiry)
        sim_violation("%s was sent and nobody has approved its plan", step->id);
    else if (!process->is_resume && *expiry <= process->began_at)
        sim_violation("%s was sent by an approval that was over", step->id);
}

static void check_done(const struct process *process, const struct step *step, const char *before)
{
    CLEANUP(mem_freep) char *key = string_format("%s result %s done", process->run_id, before);
    if (!is_durable(key))
        sim_violation("%s was sent before %s was durably done", step->id, before);
}

/* What a step waits for is durably done, in this run or none. */
static void check_order(const struct process *process, const struct step *step)
{
    const char *plan = map_get(&oracle.plans, process->run_id);
    for (size_t i = 0; i < step->depends_on.n_items; i++) {
        const char *before = step->depends_on.items[i];
        CLEANUP(mem_freep) char *key = string_format("%s %s", plan ? plan : "", before);
        const struct value *group = map_get(&oracle.groups, key);
        if (!group)
            check_done(process, step, before);
        for (size_t k = 0; group && k < value_count(group); k++)
            check_done(process, step, value_text(value_at(group, k)));
    }
}

void oracle_call_begins(const struct process *process, const struct step *step)
{
    if (process->is_dead)
        return;
    if (process->id != oracle.holder)
        sim_violation("%s was begun by a run after another had taken the lease", step->id);
    else if (sim->now > process->proved_at + LEASE_LIMIT)
        sim_violation("%s was begun %d s after the lease was looked at", step->id,
                      (int)((sim->now - process->proved_at) / SECOND));
}

void oracle_sent(const struct process *process, const struct remote *remote,
                 const struct target *target, const struct step *step)
{
    (void)remote;
    check_intent(process, step);
    check_order(process, step);
    check_approval(process, step);
    if (!text_equal(target->uid, step->uid))
        sim_violation("%s was sent with the marker of something else", step->id);
}

static char *made_key(const struct remote *remote, const char *uid)
{
    return string_format("%s%s %s", remote->name, remote->former ? " (new)" : "", uid);
}

void oracle_made(const struct remote *remote, const struct object *object)
{
    CLEANUP(mem_freep) char *key = made_key(remote, object->uid);
    count(&oracle.made, key, 1);
    if ((intptr_t)map_get(&oracle.made, key) > 1)
        sim_violation("%s was made twice at %s", object->address, remote->name);
}

void oracle_changed(const struct remote *remote, const struct object *object,
                    const struct value *spec)
{
    (void)spec;
    if (object->is_namesake)
        sim_violation("%s, a namesake in another account, was changed", object->id);
    if (object->is_strange && !estate_may_touch(remote, object, NULL))
        sim_violation("%s, which somebody else made, was changed", object->id);
}

void oracle_ended(const struct remote *remote, const struct object *object, const char *uid)
{
    CLEANUP(mem_freep) char *key = made_key(remote, object->uid);
    if (object->is_namesake)
        sim_violation("%s, a namesake in another account, was deleted", object->id);
    if (object->is_strange) {
        if (!estate_may_touch(remote, object, uid))
            sim_violation("%s, which somebody else made, was deleted", object->id);
        return;
    }
    count(&oracle.made, key, -1);
    if (!text_equal(object->uid, uid))
        sim_violation("%s (%s) was deleted in place of another generation", object->address,
                      object->id);
}

void oracle_meddled(const struct remote *remote, const struct object *object, bool is_removed)
{
    CLEANUP(mem_freep) char *key = made_key(remote, object->uid);
    if (is_removed)
        count(&oracle.made, key, -1);
}

/* --- What is told --- */

void oracle_note_output(const struct process *process, const char *text)
{
    (void)process;
    if (text && canaries_find(text))
        sim_violation("a secret was told: %s", text);
}

/* --- At the end --- */

static int count_stored_row(void *argument, const struct store_row *row, struct error *err)
{
    struct store_row written = {row->cells + JOURNAL_COLUMN_RUN, row->n_cells - JOURNAL_COLUMN_RUN};
    (void)err;
    count_row(argument, &written);
    oracle_note_output(NULL, store_row_text(row, JOURNAL_COLUMN_BODY));
    return 0;
}

static CO_FN void read_rows(struct store *store, const char *run, struct map *rows)
{
    enum { MANY = 100000 };
    struct error err = {0};
    struct store_cell cells[] = {
        {.is_text = true, .text = (char *)run}, {.number = 0}, {.number = MANY}};
    struct store_row parameters = {cells, ARRAY_LENGTH(cells)};
    if (store->ops->read(store, QUERY_READ_JOURNAL, &parameters, count_stored_row, rows, &err) < 0)
        sim_violation("the journal of %s cannot be read: %s", run, error_message(&err));
    error_done(&err);
}

/* Every row that the store acknowledged is still there. */
static CO_FN void check_rows(struct store *store, const char *uid, struct map *rows)
{
    struct store_run *runs = NULL;
    size_t n = 0;
    struct error err = {0};
    if (store_list_runs(store, uid, 10000, &runs, &n, &err) < 0)
        sim_violation("the runs cannot be listed: %s", error_message(&err));
    error_done(&err);
    for (size_t i = 0; i < n; i++) {
        read_rows(store, runs[i].id, rows);
        store_run_done(&runs[i]);
    }
    mem_free(runs);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&oracle.rows, &cursor)))
        if ((intptr_t)map_get(rows, entry->key) < (intptr_t)entry->value)
            sim_violation("an acknowledged row of the journal is gone: %s", entry->key);
}

/* By our marker; what somebody else made has none. */
static bool is_record_of(const struct record *record, const struct remote *remote,
                         const struct object *object)
{
    if (!object->is_strange)
        return text_equal(record->uid, object->uid);
    return text_equal(record->instance, remote->instance) &&
           text_equal_or_null(record->provider_id, object->id);
}

static const struct record *find_record(const struct records *records, const struct remote *remote,
                                        const struct object *object)
{
    for (size_t i = 0; i < records->n_items; i++)
        if (is_record_of(records->items[i], remote, object))
            return records->items[i];
    return NULL;
}

static CO_FN int load_records(struct store *store, const char *uid, struct records *records)
{
    struct error err = {0};
    int r = store_load_records(store, uid, records, &err);
    if (r < 0)
        sim_violation("the records cannot be read: %s", error_message(&err));
    error_done(&err);
    return r;
}

void oracle_check_store(struct store *store, const char *deployment_uid)
{
    struct map rows = {0};
    check_rows(store, deployment_uid, &rows);
    map_done(&rows);
}

/* A secret is recorded as a handle. */
static bool is_recorded_as(struct value *recorded, struct value *spec)
{
    const struct value *handle = value_get(recorded, "pass");
    bool has_pass = value_get(spec, "pass");
    CLEANUP(value_unrefp) struct value *others = value_with(recorded, "pass", NULL);
    CLEANUP(value_unrefp) struct value *there = value_with(spec, "pass", NULL);
    return has_pass == (handle && value_kind(handle) == VALUE_SECRET) && value_equal(others, there);
}

/* As much of a thing as its record speaks of. */
static struct value *recorded_part(const struct record *record, const struct object *object)
{
    struct value_builder part = {0};
    for (size_t i = 0; i < value_count(object->spec); i++)
        if (value_get(record->spec, value_key_at(object->spec, i)))
            value_builder_set(&part, value_key_at(object->spec, i),
                              value_ref(value_at(object->spec, i)));
    return value_builder_map(&part);
}

static void check_spec(const struct remote *remote, const struct record *record,
                       const struct object *object)
{
    CLEANUP(value_unrefp)
    struct value *spec = estate_was_adopted(remote, object) ? recorded_part(record, object)
                                                            : value_ref(object->spec);
    if (!is_recorded_as(record->spec, spec))
        sim_violation("%s is recorded as it is not", object->address);
    else if (!story_has_right_pass(record, value_get_text(spec, "pass")))
        sim_violation("%s has another secret than it should have", object->address);
}

/* Each thing is recorded, as it is. */
static void check_objects(const struct records *records)
{
    for (size_t i = 0; i < REMOTES; i++) {
        for (const struct object *object = remotes[i].objects; object; object = object->next) {
            const struct record *record = find_record(records, &remotes[i], object);
            if (object->is_namesake && record)
                sim_violation("%s is recorded as %s, a namesake in another account",
                              record->address, object->id);
            else if (object->is_namesake)
                continue;
            else if (!record)
                estate_check_unknown(&remotes[i], object);
            else if (record->provider_id && !text_equal(record->provider_id, object->id))
                sim_violation("%s is recorded as %s and is %s", object->address,
                              record->provider_id, object->id);
            else
                check_spec(&remotes[i], record, object);
        }
    }
}

/* Somebody gave up what was, or may have been, done to it there; or let its record go. */
static bool is_told_of(const struct value *remains, const struct remote *remote,
                       const struct object *object)
{
    for (size_t i = 0; i < value_count(remains); i++) {
        const struct value *effects = value_get(value_at(remains, i), "effects");
        for (size_t k = 0; k < value_count(effects); k++) {
            const struct value *effect = value_at(effects, k);
            const char *id = value_get_text(effect, "id");
            if (text_equal(value_get_text(effect, "instance"), remote->instance) &&
                text_equal(value_get_text(effect, "address"), object->address) &&
                (!id || text_equal(id, object->id)))
                return true;
        }
    }
    return estate_was_let_go(remote, object);
}

/* What stays in accounts that nothing leads to any more was told, for good. */
static CO_FN void check_former(struct store *store, const char *uid)
{
    CLEANUP(value_unrefp) struct value *remains = NULL;
    struct error err = {0};
    if (store_list_remains(store, uid, &remains, &err) < 0)
        sim_violation("what was given up cannot be listed: %s", error_message(&err));
    error_done(&err);
    for (size_t i = 0; i < REMOTES; i++) {
        const struct remote *former = remotes[i].former;
        for (const struct object *object = former ? former->objects : NULL; object;
             object = object->next)
            if (!object->is_strange && !is_told_of(remains, former, object))
                sim_violation("%s (%s) is left in the former account of %s and nobody was told",
                              object->address, object->id, former->name);
    }
}

static bool exists(const struct record *record)
{
    for (size_t i = 0; i < REMOTES; i++)
        if (text_equal(remotes[i].instance, record->instance))
            return remote_has(&remotes[i], record);
    return true;
}

/* What one editor did stands there, or was taken back by a plan that said so. */
static void check_edit(const struct records *records, const struct value *revision)
{
    const char *words = value_get_text(revision, "words");
    const char *name = words ? words + strlen("set ") : "";
    const char *label = strchr(name, '=');
    int64_t seen = value_get_integer(revision, "number", 0);
    CLEANUP(mem_freep) char *number = string_format("%" PRId64, seen);
    const struct record *record = story_find_record(records, name);
    /* No step takes back what came to nothing: then only the file says that it was seen. */
    bool was_seen = !record && seen <= oracle.seen;
    if (map_has(&oracle.reverted, number) || was_seen || !label)
        return;
    const char *stands = record ? value_get_text(record->spec, "label") : NULL;
    /* A file may say something else once its writer has seen that revision. */
    bool was_known = stands && text_starts_with(stands, SIM_FILE_LABEL) && seen <= oracle.seen;
    if (!was_known && !text_equal_or_null(stands, label + 1))
        sim_violation("revision %s (%s) was taken back, and nobody has approved that", number,
                      words);
}

/* Only the newest edit of each resource counts. */
static CO_FN void check_edits(struct store *store, const char *uid, const struct records *records)
{
    struct error err = {0};
    struct map seen = {0};
    CLEANUP(value_unrefp) struct value *revisions = NULL;
    if (store_list_revisions(store, uid, 0, 1000, &revisions, &err) < 0)
        sim_violation("the revisions cannot be listed: %s", error_message(&err));
    error_done(&err);
    for (size_t i = 0; i < value_count(revisions); i++) {
        const struct value *revision = value_at(revisions, i);
        const char *who = value_get_text(revision, "principal");
        const char *words = value_get_text(revision, "words");
        if (!text_equal_or_null(who, SIM_EDITOR) || !words)
            continue;
        CLEANUP(mem_freep) char *item = string_copy_n(words, strcspn(words, "-.="));
        if (!map_has(&seen, item))
            check_edit(records, revision);
        map_put(&seen, item, &oracle);
    }
    map_done(&seen);
}

/* The chain of what was decided, and those of all journals, have no gap; each acknowledged row is
 * in one. */
static CO_FN void check_audit(struct store *store)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *report = NULL;
    if (store_verify_audit(store, NULL, &report, &err) < 0)
        sim_violation("the audit chain cannot be read: %s", error_message(&err));
    error_done(&err);
    const struct value *faults = value_get(report, "faults");
    if (value_count(faults) > 0)
        sim_violation("the audit chain: %s", value_text(value_at(faults, 0)));
    int64_t n_acknowledged = 0;
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&oracle.rows, &cursor)))
        n_acknowledged += (intptr_t)entry->value;
    if (value_get_integer(report, "rows", 0) < n_acknowledged ||
        value_get_integer(report, "unchained", 0) > 0)
        sim_violation("rows of a journal are in no chain");
}

/* No secret lies on the disk: not in the store, nor in what runs said. */
static void check_canary(void)
{
    const char *path = canaries_find_on_disk();
    if (path)
        sim_violation("a secret lies in %s", path);
}

void oracle_check_converged(struct store *store, const char *deployment_uid)
{
    struct records records = {0};
    oracle_check_store(store, deployment_uid);
    if (load_records(store, deployment_uid, &records) < 0)
        return;
    check_objects(&records);
    check_former(store, deployment_uid);
    for (size_t i = 0; i < records.n_items; i++) {
        const struct record *record = records.items[i];
        if (!exists(record))
            sim_violation("%s is recorded and is not there", record->address);
        if (record->status != RECORD_CREATED)
            sim_violation("%s is %s after all", record->address,
                          record_status_to_string(record->status));
    }
    story_check(&records);
    check_edits(store, deployment_uid, &records);
    check_audit(store);
    check_canary();
    records_done(&records);
}
