/* Changes as plain rows. A batch is filled on the loop's thread, where values may be touched. */
#include "store/store.h"

#include "base/teeth.h"
#include "base/world.h"
#include "model/json.h"
#include "store/driver.h"

#include <assert.h>
#include <inttypes.h>

struct store_batch *store_batch_new(void)
{
    return NEW(struct store_batch);
}

void store_batch_clear(struct store_batch *batch)
{
    for (size_t i = 0; i < batch->n_changes; i++) {
        struct store_row *row = &batch->changes[i].row;
        for (size_t column = 0; column < row->n_cells; column++)
            if (!row->cells[column].is_borrowed)
                mem_free(row->cells[column].text);
        mem_free(row->cells);
        mem_free(batch->changes[i].steps);
    }
    mem_free(batch->changes);
    map_done(&batch->grown);
    *batch = (struct store_batch){0};
}

void store_batch_free(struct store_batch *batch)
{
    if (!batch)
        return;
    store_batch_clear(batch);
    mem_free(batch);
}

static struct store_cell number(int64_t number)
{
    return (struct store_cell){.number = number};
}

static struct store_cell text(const char *text)
{
    assert(text);
    return (struct store_cell){.is_text = true, .text = string_copy(text)};
}

static struct store_cell text_or_null(const char *text)
{
    return (struct store_cell){.is_text = true, .text = text ? string_copy(text) : NULL};
}

static struct store_cell borrowed(const char *text)
{
    return (struct store_cell){.is_text = true, .is_borrowed = true, .text = (char *)text};
}

static struct store_cell json(const struct value *value)
{
    assert(value);
    return (struct store_cell){.is_text = true, .text = json_text(value)};
}

/* Adds a change of a kind with the cells that follow. */
#define ADD_CHANGE(batch, kind, ...)                               \
    do {                                                           \
        const struct store_cell cells_[] = {__VA_ARGS__};          \
        add_change((batch), (kind), cells_, ARRAY_LENGTH(cells_)); \
    } while (0)

static void add_change(struct store_batch *batch, enum store_change_kind kind,
                       const struct store_cell *take_cells, size_t n_cells)
{
    ARRAY_RESERVE(batch->changes, batch->n_changes, batch->capacity);
    batch->changes[batch->n_changes++] = (struct store_change){
        .kind = kind,
        .row = {mem_copy(take_cells, n_cells * sizeof(take_cells[0])), n_cells},
    };
}

void store_batch_check_epoch(struct store_batch *batch, const char *deployment_uid, int64_t epoch)
{
    if (!TOOTH(NO_EPOCH))
        ADD_CHANGE(batch, CHANGE_CHECK_EPOCH, text(deployment_uid), number(epoch));
}

void store_batch_check_version(struct store_batch *batch, const char *deployment_uid,
                               int64_t version)
{
    ADD_CHANGE(batch, CHANGE_CHECK_VERSION, text(deployment_uid), number(version));
}

void store_batch_check_run(struct store_batch *batch, const char *run_id, enum run_status status)
{
    ADD_CHANGE(batch, CHANGE_CHECK_RUN, text(run_id), text(run_status_to_string(status)));
}

void store_batch_check_approvals(struct store_batch *batch, const char *plan_hash, size_t n_seen)
{
    ADD_CHANGE(batch, CHANGE_CHECK_APPROVALS, text(plan_hash), number((int64_t)n_seen));
}

void store_batch_check_link(struct store_batch *batch, const char *plan_hash, const char *link)
{
    ADD_CHANGE(batch, CHANGE_CHECK_LINK, text(plan_hash), text(link));
}

void store_batch_check_adoptable(struct store_batch *batch, const char *deployment_uid,
                                 const char *instance, const char *provider_id)
{
    ADD_CHANGE(batch, CHANGE_CHECK_ADOPTABLE, text(deployment_uid), text(instance),
               text(provider_id));
}

void store_batch_take_epoch(struct store_batch *batch, const char *deployment_uid, int64_t epoch)
{
    assert(epoch > 0);
    ADD_CHANGE(batch, CHANGE_TAKE_EPOCH, text(deployment_uid), number(epoch));
}

void store_batch_put_deployment(struct store_batch *batch,
                                const struct store_deployment *deployment)
{
    static const char none[] = "{}";
    const struct value *accounts = deployment->accounts;
    assert(value_kind(deployment->outputs) == VALUE_MAP);
    assert(!accounts || value_kind(accounts) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_PUT_DEPLOYMENT, text(deployment->uid), text(deployment->name),
               text(deployment->environment), number(deployment->incarnation),
               number(deployment->is_destroyed), json(deployment->outputs),
               number(deployment->created_at), number(deployment->updated_at),
               accounts ? json(accounts) : text(none));
}

static void add_audit(struct store_batch *batch, const char *kind, const struct value *fields,
                      const char *run_id)
{
    assert(value_kind(fields) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_AUDIT, number(world_wall_clock()), text(kind), json(fields),
               text_or_null(run_id));
}

void store_batch_audit(struct store_batch *batch, const char *kind, const struct value *fields)
{
    add_audit(batch, kind, fields, NULL);
}

/* What was decided is in the chain; the document itself is not, but what it must hash to is. */
static void audit_revision(struct store_batch *batch, const char *deployment_uid,
                           const struct value *revision)
{
    static const char *const kept[] = {"principal", "client", "words", "source",
                                       "parents",   "plan",   "run"};
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "deployment", deployment_uid);
    value_builder_set_string(&fields, "document", value_get_text(revision, "digest"));
    value_builder_set_string(&fields, "given", value_get_text(revision, "given_digest"));
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
        if (value_get(revision, kept[i]))
            value_builder_set(&fields, kept[i], value_ref(value_get(revision, kept[i])));
    CLEANUP(value_unrefp) struct value *entry = value_builder_map(&fields);
    add_audit(batch, "revision", entry, NULL);
}

void store_batch_add_revision(struct store_batch *batch, const char *deployment_uid,
                              const struct value *fields)
{
    assert(value_kind(fields) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_GROW_HEAD, text(deployment_uid));
    CLEANUP(value_unrefp) struct value *ungiven = value_with(fields, "given", NULL);
    CLEANUP(value_unrefp) struct value *body = value_with(ungiven, "document", NULL);
    ADD_CHANGE(batch, CHANGE_ADD_REVISION, text(deployment_uid), number(world_wall_clock()),
               json(body), text_or_null(value_get_text(fields, "document")),
               text_or_null(value_get_text(fields, "given")));
    audit_revision(batch, deployment_uid, fields);
}

void store_batch_put_plan(struct store_batch *batch, const char *hash, const char *deployment_uid,
                          const char *plan, const char *document)
{
    ADD_CHANGE(batch, CHANGE_PUT_PLAN, text(hash), text(deployment_uid), number(world_wall_clock()),
               text(plan), borrowed(document));
}

void store_batch_add_steps(struct store_batch *batch, const char *hash,
                           const struct store_steps *steps)
{
    ADD_CHANGE(batch, CHANGE_ADD_STEPS, text(hash));
    batch->changes[batch->n_changes - 1].steps = mem_copy(steps, sizeof(*steps));
}

void store_write_step(const struct store_change *change, size_t i, struct strbuf *buffer,
                      struct store_cell ret_cells[STEP_COLUMN_COUNT])
{
    const struct store_steps *steps = change->steps;
    const char *texts[STEP_TEXT_COUNT];
    assert(change->kind == CHANGE_ADD_STEPS && i < steps->n_steps);
    steps->write(steps->argument, steps->first + i, buffer, texts);
    assert(texts[STEP_TEXT_BODY]);
    ret_cells[STEP_COLUMN_PLAN] = change->row.cells[0];
    ret_cells[STEP_COLUMN_NUMBER] = (struct store_cell){.number = (int64_t)(steps->first + i)};
    for (size_t k = 0; k < STEP_TEXT_COUNT; k++)
        ret_cells[STEP_COLUMN_TEXTS + k] =
            (struct store_cell){.is_text = true, .text = (char *)texts[k]};
}

void store_batch_add_maker(struct store_batch *batch, const char *plan_hash,
                           const struct value *maker)
{
    assert(value_kind(maker) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_ADD_MAKER, text(plan_hash), json(maker));
}

void store_batch_add_approval(struct store_batch *batch, const char *plan_hash,
                              const struct value *approval)
{
    assert(value_kind(approval) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_ADD_APPROVAL, text(plan_hash), json(approval));
    CLEANUP(value_unrefp)
    struct value *entry = value_with(approval, "plan", value_string(plan_hash));
    add_audit(batch, "approval", entry, NULL);
}

void store_batch_add_refusal(struct store_batch *batch, const char *plan_hash,
                             const struct value *refusal)
{
    CLEANUP(value_unrefp)
    struct value *row = value_with(refusal, "decision", value_string("refused"));
    ADD_CHANGE(batch, CHANGE_ADD_APPROVAL, text(plan_hash), json(row));
    CLEANUP(value_unrefp)
    struct value *entry = value_with(refusal, "plan", value_string(plan_hash));
    add_audit(batch, "refusal", entry, NULL);
}

void store_batch_use_approvals(struct store_batch *batch, const char *plan_hash, const char *run_id)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "decision", "used");
    value_builder_set_string(&fields, "run", run_id);
    value_builder_set(&fields, "created_at", value_integer(world_wall_clock()));
    CLEANUP(value_unrefp) struct value *row = value_builder_map(&fields);
    ADD_CHANGE(batch, CHANGE_ADD_APPROVAL, text(plan_hash), json(row));
}

static void audit_run(struct store_batch *batch, const struct store_run *run)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "run", run->id);
    value_builder_set_string(&fields, "deployment", run->deployment_uid);
    value_builder_set_string(&fields, "plan", run->plan_hash);
    value_builder_set_string(&fields, "principal", run->principal);
    value_builder_set_string(&fields, "client", run->client);
    value_builder_set_string(&fields, "words", run->words);
    value_builder_set_string(&fields, "status", run_status_to_string(run->status));
    value_builder_set(&fields, "epoch", value_integer(run->epoch));
    value_builder_set_string(&fields, "message", run->message);
    CLEANUP(value_unrefp) struct value *entry = value_builder_map(&fields);
    add_audit(batch, "run", entry, run->id);
}

void store_batch_put_run(struct store_batch *batch, const struct store_run *run)
{
    ADD_CHANGE(batch, CHANGE_PUT_RUN, text(run->id), text(run->deployment_uid),
               text(run->plan_hash), text_or_null(run->principal), text_or_null(run->words),
               text(run_status_to_string(run->status)), number(run->epoch), number(run->started_at),
               number(run->ended_at), text_or_null(run->message), text_or_null(run->client));
    audit_run(batch, run);
}

/* The records of a deployment change: once per batch that is counted. */
static void grow_version(struct store_batch *batch, const char *deployment_uid)
{
    if (map_has(&batch->grown, deployment_uid))
        return;
    map_put(&batch->grown, deployment_uid, batch);
    ADD_CHANGE(batch, CHANGE_GROW_VERSION, text(deployment_uid));
}

void store_batch_put_record(struct store_batch *batch, const char *deployment_uid,
                            const struct record *record)
{
    assert(value_kind(record->outputs) == VALUE_MAP);
    CLEANUP(value_unrefp) struct value *depends_on = string_list_to_value(&record->depends_on);
    CLEANUP(value_unrefp)
    struct value *spec = record->spec ? value_ref(record->spec) : value_null();
    CLEANUP(value_unrefp)
    struct value *bound = record->bound ? value_ref(record->bound) : value_null();
    CLEANUP(value_unrefp)
    struct value *live = record->live ? value_ref(record->live) : value_null();
    grow_version(batch, deployment_uid);
    ADD_CHANGE(batch, CHANGE_PUT_RECORD, text(deployment_uid), text(record->address),
               number(record->generation), text(record->type), text(record->instance),
               text(record->uid), text_or_null(record->provider_id),
               text(record_status_to_string(record->status)), json(spec), json(record->outputs),
               json(depends_on), number(record->protect), text_or_null(record->origin),
               number(record->created_at), number(record->updated_at), json(bound), json(live));
}

void store_batch_put_secret(struct store_batch *batch, const char *deployment_uid, const char *name,
                            const char *form, const char *sealed)
{
    ADD_CHANGE(batch, CHANGE_PUT_SECRET, text(deployment_uid), text(name), text(form),
               number(world_wall_clock()), text(sealed));
}

void store_batch_remove_secrets(struct store_batch *batch, const char *deployment_uid)
{
    ADD_CHANGE(batch, CHANGE_REMOVE_SECRETS, text(deployment_uid));
}

void store_batch_add_remains(struct store_batch *batch, const char *deployment_uid,
                             const struct value *fields)
{
    assert(value_kind(fields) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_ADD_REMAINS, text(deployment_uid), number(world_wall_clock()),
               json(fields));
}

void store_batch_add_forgotten(struct store_batch *batch, const char *run_id,
                               const struct record *record, bool has_document)
{
    ADD_CHANGE(batch, CHANGE_ADD_FORGOTTEN, text(run_id), number(has_document),
               text(record->address), text(record->type), text(record->instance), text(record->uid),
               text_or_null(record->provider_id), number(record->generation));
}

void store_batch_remove_record(struct store_batch *batch, const char *deployment_uid,
                               const char *address, int64_t generation)
{
    grow_version(batch, deployment_uid);
    ADD_CHANGE(batch, CHANGE_REMOVE_RECORD, text(deployment_uid), text(address),
               number(generation));
}

void store_batch_journal(struct store_batch *batch, const char *run_id, const char *kind,
                         const struct value *body)
{
    assert(value_kind(body) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_JOURNAL, text(run_id), number(world_wall_clock()), text(kind),
               json(body), text_or_null(NULL));
}

void store_batch_journal_step(struct store_batch *batch, const char *run_id, const char *kind,
                              size_t step, const struct value *body)
{
    assert(value_kind(body) == VALUE_MAP);
    ADD_CHANGE(batch, CHANGE_JOURNAL, text(run_id), number(world_wall_clock()), text(kind),
               json(body), number((int64_t)step));
}

int store_refuse_change(const struct store_change *change, struct error *err)
{
    const struct store_row *row = &change->row;
    const char *key = store_row_text(row, 0);
    switch (change->kind) {
    case CHANGE_CHECK_EPOCH:
    case CHANGE_TAKE_EPOCH:
        return error_set(err, ERROR_STALE,
                         "another run has the lease of deployment %s: its epoch does not allow "
                         "%" PRId64,
                         key, store_row_number(row, 1));
    case CHANGE_CHECK_RUN:
        return error_set(err, ERROR_STALE, "the run %s is not %s any more", key,
                         store_row_text(row, 1));
    case CHANGE_CHECK_VERSION:
        return error_set(err, ERROR_STALE,
                         "the records of deployment %s have changed since version %" PRId64, key,
                         store_row_number(row, 1));
    case CHANGE_CHECK_APPROVALS:
        return error_set(err, ERROR_APPROVAL_NEEDED,
                         "the approval of the plan %.12s was taken back, or used by another run, "
                         "in the meantime: have it approved again",
                         key);
    case CHANGE_CHECK_LINK:
        return error_set(err, ERROR_EXISTS, "the link to the plan %.12s was used already", key);
    case CHANGE_CHECK_ADOPTABLE:
        return error_set(
            err, ERROR_EXISTS,
            "%s on %s belongs to another deployment by now, or a run of another, which "
            "is under way, is to adopt it: plan again when that is over",
            store_row_text(row, 2), store_row_text(row, 1));
    case CHANGE_PUT_DEPLOYMENT:
        return error_set(err, ERROR_EXISTS,
                         "deployment %s (%s in %s, incarnation %" PRId64
                         ") is in the store as another",
                         key, store_row_text(row, DEPLOYMENT_COLUMN_NAME),
                         store_row_text(row, DEPLOYMENT_COLUMN_ENVIRONMENT),
                         store_row_number(row, DEPLOYMENT_COLUMN_INCARNATION));
    case CHANGE_ADD_MAKER:
    case CHANGE_ADD_APPROVAL:
    case CHANGE_ADD_STEPS:
        return error_set(err, ERROR_NOT_FOUND, "the store has no plan %s", key);
    case CHANGE_PUT_RUN:
        return error_set(err, ERROR_NOT_FOUND, "the store lacks deployment %s or plan %s of run %s",
                         store_row_text(row, RUN_COLUMN_DEPLOYMENT),
                         store_row_text(row, RUN_COLUMN_PLAN_HASH), key);
    case CHANGE_REMOVE_RECORD:
        return error_set(err, ERROR_STALE,
                         "the record of %s, generation %" PRId64 ", is not in the store",
                         store_row_text(row, RECORD_COLUMN_ADDRESS),
                         store_row_number(row, RECORD_COLUMN_GENERATION));
    case CHANGE_JOURNAL:
    case CHANGE_ADD_FORGOTTEN:
        return error_set(err, ERROR_NOT_FOUND, "the store has no run %s", key);
    case CHANGE_GROW_VERSION:
    case CHANGE_GROW_HEAD:
    case CHANGE_ADD_REVISION:
    case CHANGE_PUT_PLAN:
    case CHANGE_PUT_SECRET:
    case CHANGE_REMOVE_SECRETS:
    case CHANGE_PUT_RECORD:
    case CHANGE_ADD_REMAINS:
    case CHANGE_AUDIT:
    case CHANGE_KIND_COUNT:
        break;
    }
    return error_set(err, ERROR_NOT_FOUND, "the store has no deployment %s", key);
}
