/* How a batch changes the tables, and how it goes back when one of its changes may not be. */
#include "store/memory/memory.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"
#include "store/rows.h"

#include <inttypes.h>
#include <string.h>

void memory_row_free(struct store_row *row)
{
    if (!row)
        return;
    for (size_t i = 0; i < row->n_cells; i++)
        mem_free(row->cells[i].text);
    mem_free(row->cells);
    mem_free(row);
}

/* A row that begins like another and has n_more numbers, all 0, at its end. */
static struct store_row *row_copy(const struct store_row *from, size_t n_more)
{
    struct store_row *row = NEW(struct store_row);
    row->n_cells = from->n_cells + n_more;
    row->cells = NEW_ARRAY(struct store_cell, row->n_cells);
    for (size_t i = 0; i < from->n_cells; i++) {
        row->cells[i] = from->cells[i];
        row->cells[i].is_borrowed = false;
        if (from->cells[i].text)
            row->cells[i].text = string_copy(from->cells[i].text);
    }
    return row;
}

static struct store_cell text_cell(const char *text)
{
    return (struct store_cell){.is_text = true, .text = text ? string_copy(text) : NULL};
}

static const struct store_row *find_row(struct memory_store *memory, enum table table,
                                        const char *key)
{
    return map_get(&memory->tables[table], key);
}

/* take_row is NULL to remove. */
static void set_row(struct memory_store *memory, enum table table, const char *key,
                    struct store_row *take_row)
{
    struct map *map = &memory->tables[table];
    struct store_row *old = take_row ? map_put(map, key, take_row) : map_remove(map, key);
    ARRAY_RESERVE(memory->undos, memory->n_undos, memory->capacity);
    memory->undos[memory->n_undos++] = (struct undo){table, string_copy(key), old};
}

/* Ends a batch: its changes stay, or go back the way they came. */
static void end_batch(struct memory_store *memory, bool is_kept)
{
    while (memory->n_undos > 0) {
        struct undo *undo = &memory->undos[--memory->n_undos];
        struct map *map = &memory->tables[undo->table];
        struct store_row *gone = undo->row;
        if (!is_kept)
            gone = undo->row ? map_put(map, undo->key, undo->row) : map_remove(map, undo->key);
        memory_row_free(gone);
        mem_free(undo->key);
    }
}

/* --- Changes. Each returns whether it may be. --- */

static int64_t deployment_number(struct memory_store *memory, const char *uid, size_t column)
{
    const struct store_row *deployment = find_row(memory, TABLE_DEPLOYMENTS, uid);
    return deployment ? store_row_number(deployment, column) : 0;
}

static bool set_deployment_number(struct memory_store *memory, const char *uid, size_t column,
                                  int64_t number)
{
    const struct store_row *deployment = find_row(memory, TABLE_DEPLOYMENTS, uid);
    if (!deployment)
        return false;
    struct store_row *changed = row_copy(deployment, 0);
    changed->cells[column].number = number;
    set_row(memory, TABLE_DEPLOYMENTS, uid, changed);
    return true;
}

static bool check_epoch(struct memory_store *memory, const struct store_row *row)
{
    return deployment_number(memory, store_row_text(row, 0), DEPLOYMENT_COLUMN_EPOCH) ==
           store_row_number(row, 1);
}

static bool check_version(struct memory_store *memory, const struct store_row *row)
{
    return deployment_number(memory, store_row_text(row, 0), DEPLOYMENT_COLUMN_RECORDS_VERSION) ==
           store_row_number(row, 1);
}

/* Whether the plan of a run has a step that adopts it. */
static bool adopts(struct memory_store *memory, const struct store_row *run,
                   const struct store_row *wanted)
{
    for (int64_t number = 0;; number++) {
        CLEANUP(value_unrefp) struct value *step = NULL;
        CLEANUP(mem_freep)
        char *key = memory_step_key(store_row_text(run, RUN_COLUMN_PLAN_HASH), number);
        const struct store_row *row = find_row(memory, TABLE_STEPS, key);
        if (!row)
            return false;
        if (store_read_step(row, 2, "memory", &step, NULL) == 0 &&
            text_equal_or_null(value_get_text(step, "kind"), "adopt") &&
            text_equal_or_null(value_get_text(step, "instance"), store_row_text(wanted, 1)) &&
            text_equal_or_null(value_get_text(step, "provider_id"), store_row_text(wanted, 2)))
            return true;
    }
}

static bool check_adoptable(struct memory_store *memory, const struct store_row *row)
{
    const char *uid = store_row_text(row, 0);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&memory->tables[TABLE_RECORDS], &cursor))) {
        const struct store_row *record = entry->value;
        if (!text_equal(store_row_text(record, RECORD_COLUMN_DEPLOYMENT), uid) &&
            text_equal(store_row_text(record, RECORD_COLUMN_INSTANCE), store_row_text(row, 1)) &&
            text_equal_or_null(store_row_text(record, RECORD_COLUMN_PROVIDER_ID),
                               store_row_text(row, 2)))
            return false;
    }
    cursor = 0;
    while ((entry = map_next(&memory->tables[TABLE_RUNS], &cursor))) {
        const struct store_row *run = entry->value;
        const char *status = store_row_text(run, RUN_COLUMN_STATUS);
        if (!text_equal(store_row_text(run, RUN_COLUMN_DEPLOYMENT), uid) &&
            text_equal(status, run_status_to_string(RUN_RUNNING)) && adopts(memory, run, row))
            return false;
    }
    return true;
}

static bool check_run(struct memory_store *memory, const struct store_row *row)
{
    const struct store_row *run = find_row(memory, TABLE_RUNS, store_row_text(row, 0));
    return run && text_equal(store_row_text(run, RUN_COLUMN_STATUS), store_row_text(row, 1));
}

/* Whether one of the plan's decisions has the field, with this text if one is given; but for the
 * first ones, which are skipped. */
static bool has_decision(struct memory_store *memory, const char *plan, int64_t n_skipped,
                         const char *field, const char *text)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&memory->tables[TABLE_APPROVALS], &cursor));) {
        CLEANUP(value_unrefp) struct value *body = NULL;
        const struct store_row *row = entry->value;
        const char *json = store_row_text(row, 1);
        if (!text_equal(store_row_text(row, 0), plan) || n_skipped-- > 0 ||
            json_read(json, strlen(json), &body, NULL) < 0)
            continue;
        const char *found = value_get_text(body, field);
        if (found && (!text || text_equal(found, text)))
            return true;
    }
    return false;
}

static bool check_approvals(struct memory_store *memory, const struct store_row *row)
{
    return !has_decision(memory, store_row_text(row, 0), store_row_number(row, 1), "decision",
                         NULL);
}

static bool check_link(struct memory_store *memory, const struct store_row *row)
{
    return !has_decision(memory, store_row_text(row, 0), 0, "link", store_row_text(row, 1));
}

static bool take_epoch(struct memory_store *memory, const struct store_row *row)
{
    const char *uid = store_row_text(row, 0);
    int64_t epoch = store_row_number(row, 1);
    return deployment_number(memory, uid, DEPLOYMENT_COLUMN_EPOCH) == epoch - 1 &&
           set_deployment_number(memory, uid, DEPLOYMENT_COLUMN_EPOCH, epoch);
}

/* One more than it was; the change's first cell is the uid. */
static bool grow(struct memory_store *memory, const struct store_row *row, size_t column)
{
    const char *uid = store_row_text(row, 0);
    return set_deployment_number(memory, uid, column, deployment_number(memory, uid, column) + 1);
}

static bool grow_version(struct memory_store *memory, const struct store_row *row)
{
    return grow(memory, row, DEPLOYMENT_COLUMN_RECORDS_VERSION);
}

static bool grow_head(struct memory_store *memory, const struct store_row *row)
{
    return grow(memory, row, DEPLOYMENT_COLUMN_HEAD_REVISION);
}

/* Whoever has a name, environment and incarnation has them for good. */
static bool claim_name(struct memory_store *memory, const struct store_row *row)
{
    CLEANUP(mem_freep)
    char *key = string_format("%s\n%s\n%" PRId64, store_row_text(row, DEPLOYMENT_COLUMN_NAME),
                              store_row_text(row, DEPLOYMENT_COLUMN_ENVIRONMENT),
                              store_row_number(row, DEPLOYMENT_COLUMN_INCARNATION));
    const char *uid = store_row_text(row, DEPLOYMENT_COLUMN_UID);
    const struct store_row *holder = find_row(memory, TABLE_NAMES, key);
    if (holder)
        return text_equal(store_row_text(holder, 0), uid);
    if (find_row(memory, TABLE_DEPLOYMENTS, uid))
        return false;
    set_row(memory, TABLE_NAMES, key, row_copy(&(struct store_row){row->cells, 1}, 0));
    return true;
}

static bool put_deployment(struct memory_store *memory, const struct store_row *row)
{
    if (!claim_name(memory, row))
        return false;
    const char *uid = store_row_text(row, DEPLOYMENT_COLUMN_UID);
    const struct store_row *old = find_row(memory, TABLE_DEPLOYMENTS, uid);
    struct store_row *put = row_copy(row, DEPLOYMENT_COLUMN_COUNT - row->n_cells);
    for (size_t i = row->n_cells; old && i < put->n_cells; i++)
        put->cells[i] = old->cells[i];
    set_row(memory, TABLE_DEPLOYMENTS, uid, put);
    return true;
}

char *memory_revision_key(const char *uid, int64_t number)
{
    return string_format("%s\n%" PRId64, uid, number);
}

static bool add_revision(struct memory_store *memory, const struct store_row *row)
{
    const char *uid = store_row_text(row, 0);
    int64_t number = deployment_number(memory, uid, DEPLOYMENT_COLUMN_HEAD_REVISION);
    if (number == 0)
        return false;
    struct store_row *numbered = row_copy(row, 0);
    mem_free(numbered->cells[0].text);
    numbered->cells[0] = (struct store_cell){.number = number};
    CLEANUP(mem_freep) char *key = memory_revision_key(uid, number);
    set_row(memory, TABLE_REVISIONS, key, numbered);
    return true;
}

static bool put_plan(struct memory_store *memory, const struct store_row *row)
{
    const char *hash = store_row_text(row, 0);
    if (!find_row(memory, TABLE_PLANS, hash))
        set_row(memory, TABLE_PLANS, hash, row_copy(row, 0));
    return true;
}

char *memory_step_key(const char *plan_hash, int64_t number)
{
    return string_format("%s\n%" PRId64, plan_hash, number);
}

static bool add_steps(struct memory_store *memory, const struct store_change *change)
{
    const char *hash = store_row_text(&change->row, 0);
    CLEANUP(strbuf_done) struct strbuf buffer = {0};
    if (!find_row(memory, TABLE_PLANS, hash))
        return false;
    for (size_t i = 0; i < change->steps->n_steps; i++) {
        struct store_cell cells[STEP_COLUMN_COUNT];
        store_write_step(change, i, &buffer, cells);
        CLEANUP(mem_freep) char *key = memory_step_key(hash, cells[STEP_COLUMN_NUMBER].number);
        if (!find_row(memory, TABLE_STEPS, key))
            set_row(memory, TABLE_STEPS, key,
                    row_copy(&(struct store_row){cells, ARRAY_LENGTH(cells)}, 0));
    }
    return true;
}

static bool add_maker(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_PLANS, store_row_text(row, 0)))
        return false;
    CLEANUP(mem_freep)
    char *key = string_format("%s\n%s", store_row_text(row, 0), store_row_text(row, 1));
    if (!find_row(memory, TABLE_MAKERS, key))
        set_row(memory, TABLE_MAKERS, key, row_copy(row, 0));
    return true;
}

static bool add_approval(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_PLANS, store_row_text(row, 0)))
        return false;
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, memory->n_approvals++);
    set_row(memory, TABLE_APPROVALS, key, row_copy(row, 0));
    return true;
}

/* The first three columns of a secret, also of the question for it. */
char *memory_secret_key(const struct store_row *row)
{
    return string_format("%s\n%s\n%s", store_row_text(row, 0), store_row_text(row, 1),
                         store_row_text(row, 2));
}

static bool put_secret(struct memory_store *memory, const struct store_row *row)
{
    CLEANUP(mem_freep) char *key = memory_secret_key(row);
    if (!find_row(memory, TABLE_SECRETS, key))
        set_row(memory, TABLE_SECRETS, key, row_copy(row, 0));
    return true;
}

static bool remove_secrets(struct memory_store *memory, const struct store_row *row)
{
    struct string_list keys = {0};
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&memory->tables[TABLE_SECRETS], &cursor)))
        if (text_equal(store_row_text(entry->value, 0), store_row_text(row, 0)))
            string_list_add(&keys, entry->key);
    for (size_t i = 0; i < keys.n_items; i++)
        set_row(memory, TABLE_SECRETS, keys.items[i], NULL);
    string_list_done(&keys);
    return true;
}

static bool add_remains(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_DEPLOYMENTS, store_row_text(row, 0)))
        return false;
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, memory->n_remains++);
    set_row(memory, TABLE_REMAINS, key, row_copy(row, 0));
    return true;
}

static bool add_forgotten(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_RUNS, store_row_text(row, FORGOTTEN_COLUMN_RUN)))
        return false;
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, memory->n_forgotten++);
    set_row(memory, TABLE_FORGOTTEN, key, row_copy(row, 0));
    return true;
}

static bool put_run(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_DEPLOYMENTS, store_row_text(row, RUN_COLUMN_DEPLOYMENT)) ||
        !find_row(memory, TABLE_PLANS, store_row_text(row, RUN_COLUMN_PLAN_HASH)))
        return false;
    const char *id = store_row_text(row, RUN_COLUMN_ID);
    const struct store_row *old = find_row(memory, TABLE_RUNS, id);
    struct store_row *put = row_copy(row, RUN_COLUMN_COUNT - row->n_cells);
    put->cells[RUN_COLUMN_CHAIN] = text_cell(old ? store_row_text(old, RUN_COLUMN_CHAIN) : id);
    if (old)
        put->cells[RUN_COLUMN_CHAINED] = old->cells[RUN_COLUMN_CHAINED];
    set_row(memory, TABLE_RUNS, id, put);
    return true;
}

/* The first three columns of a record, also of the change that removes it. */
static char *record_key(const struct store_row *row)
{
    return string_format("%s\n%s\n%" PRId64, store_row_text(row, RECORD_COLUMN_DEPLOYMENT),
                         store_row_text(row, RECORD_COLUMN_ADDRESS),
                         store_row_number(row, RECORD_COLUMN_GENERATION));
}

static bool put_record(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_DEPLOYMENTS, store_row_text(row, RECORD_COLUMN_DEPLOYMENT)))
        return false;
    CLEANUP(mem_freep) char *key = record_key(row);
    set_row(memory, TABLE_RECORDS, key, row_copy(row, 0));
    return true;
}

static bool remove_record(struct memory_store *memory, const struct store_row *row)
{
    CLEANUP(mem_freep) char *key = record_key(row);
    if (!find_row(memory, TABLE_RECORDS, key))
        return false;
    set_row(memory, TABLE_RECORDS, key, NULL);
    return true;
}

/* A journal row's run remembers it. */
static void add_to_chain(struct memory_store *memory, const char *run_id,
                         const struct store_row *journal_row)
{
    struct store_row *run = row_copy(find_row(memory, TABLE_RUNS, run_id), 0);
    struct store_row parts = {journal_row->cells + 1, journal_row->n_cells - 1};
    char digest[DIGEST_HEX_SIZE];
    store_chain(store_row_text(run, RUN_COLUMN_CHAIN), &parts, digest);
    mem_free(run->cells[RUN_COLUMN_CHAIN].text);
    run->cells[RUN_COLUMN_CHAIN].text = string_copy(digest);
    run->cells[RUN_COLUMN_CHAINED].number++;
    set_row(memory, TABLE_RUNS, run_id, run);
}

static bool add_audit(struct memory_store *memory, const struct store_row *row)
{
    const char *run_id = store_row_text(row, 3);
    const struct store_row *run = run_id ? find_row(memory, TABLE_RUNS, run_id) : NULL;
    struct store_row *entry = NEW(struct store_row);
    entry->n_cells = AUDIT_COLUMN_COUNT;
    entry->cells = NEW_ARRAY(struct store_cell, AUDIT_COLUMN_COUNT);
    struct store_cell *cells = entry->cells;
    cells[AUDIT_COLUMN_NUMBER].number = ++memory->n_audits;
    cells[AUDIT_COLUMN_TIME].number = store_row_number(row, 0);
    cells[AUDIT_COLUMN_KIND] = text_cell(store_row_text(row, 1));
    cells[AUDIT_COLUMN_BODY] = text_cell(store_row_text(row, 2));
    cells[AUDIT_COLUMN_ROWS].number = run ? store_row_number(run, RUN_COLUMN_CHAINED) : 0;
    cells[AUDIT_COLUMN_HEAD] = text_cell(run ? store_row_text(run, RUN_COLUMN_CHAIN) : NULL);
    struct store_row parts = {cells + AUDIT_COLUMN_TIME, AUDIT_COLUMN_DIGEST - AUDIT_COLUMN_TIME};
    store_chain(memory->audit_head, &parts, memory->audit_head);
    cells[AUDIT_COLUMN_DIGEST] = text_cell(memory->audit_head);
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, memory->n_audits);
    set_row(memory, TABLE_AUDIT, key, entry);
    return true;
}

static bool add_journal_row(struct memory_store *memory, const struct store_row *row)
{
    if (!find_row(memory, TABLE_RUNS, store_row_text(row, 0)))
        return false;
    add_to_chain(memory, store_row_text(row, 0), row);
    int64_t seq = ++memory->last_seq;
    struct store_row *numbered = NEW(struct store_row);
    numbered->n_cells = row->n_cells + 1;
    numbered->cells = NEW_ARRAY(struct store_cell, numbered->n_cells);
    struct store_row *copy = row_copy(row, 0);
    numbered->cells[JOURNAL_COLUMN_SEQ].number = seq;
    memcpy(numbered->cells + 1, copy->cells, copy->n_cells * sizeof(copy->cells[0]));
    mem_free(copy->cells);
    mem_free(copy);
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, seq);
    set_row(memory, TABLE_JOURNAL, key, numbered);
    return true;
}

static bool (*const changes[])(struct memory_store *memory, const struct store_row *row) = {
    [CHANGE_CHECK_RUN] = check_run,
    [CHANGE_CHECK_EPOCH] = check_epoch,
    [CHANGE_CHECK_VERSION] = check_version,
    [CHANGE_CHECK_ADOPTABLE] = check_adoptable,
    [CHANGE_CHECK_APPROVALS] = check_approvals,
    [CHANGE_CHECK_LINK] = check_link,
    [CHANGE_TAKE_EPOCH] = take_epoch,
    [CHANGE_PUT_DEPLOYMENT] = put_deployment,
    [CHANGE_GROW_VERSION] = grow_version,
    [CHANGE_GROW_HEAD] = grow_head,
    [CHANGE_ADD_REVISION] = add_revision,
    [CHANGE_PUT_PLAN] = put_plan,
    [CHANGE_ADD_MAKER] = add_maker,
    [CHANGE_ADD_APPROVAL] = add_approval,
    [CHANGE_PUT_SECRET] = put_secret,
    [CHANGE_REMOVE_SECRETS] = remove_secrets,
    [CHANGE_PUT_RUN] = put_run,
    [CHANGE_PUT_RECORD] = put_record,
    [CHANGE_REMOVE_RECORD] = remove_record,
    [CHANGE_ADD_REMAINS] = add_remains,
    [CHANGE_ADD_FORGOTTEN] = add_forgotten,
    [CHANGE_JOURNAL] = add_journal_row,
    [CHANGE_AUDIT] = add_audit,
};

static bool carry_out(struct memory_store *memory, const struct store_change *change)
{
    return change->kind == CHANGE_ADD_STEPS ? add_steps(memory, change)
                                            : changes[change->kind](memory, &change->row);
}

int memory_commit(struct store *store, const struct store_batch *batch, int64_t *ret_last_seq,
                  struct error *err)
{
    struct memory_store *memory = (struct memory_store *)store;
    int64_t seq_before = memory->last_seq;
    int64_t n_audits_before = memory->n_audits;
    char audit_head_before[DIGEST_HEX_SIZE];
    memcpy(audit_head_before, memory->audit_head, sizeof(audit_head_before));
    for (size_t i = 0; i < batch->n_changes; i++) {
        const struct store_change *change = &batch->changes[i];
        if (!carry_out(memory, change)) {
            end_batch(memory, false);
            memory->last_seq = seq_before;
            memory->n_audits = n_audits_before;
            memcpy(memory->audit_head, audit_head_before, sizeof(audit_head_before));
            return store_refuse_change(change, err);
        }
    }
    end_batch(memory, true);
    store->n_syncs++;
    *ret_last_seq = memory->last_seq > seq_before ? memory->last_seq : 0;
    return 0;
}
