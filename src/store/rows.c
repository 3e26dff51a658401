#include "store/rows.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

#include <assert.h>
#include <string.h>

static const char *const run_status_names[] = {
    [RUN_PENDING] = "pending", [RUN_RUNNING] = "running", [RUN_DONE] = "done",
    [RUN_FAILED] = "failed",   [RUN_PARTLY] = "partly",   [RUN_CANCELLED] = "cancelled",
};

const char *run_status_to_string(enum run_status status)
{
    assert(status < RUN_STATUS_COUNT);
    return run_status_names[status];
}

enum run_status run_status_from_string(const char *text)
{
    enum run_status status = 0;
    while (status < RUN_STATUS_COUNT && !text_equal(run_status_names[status], text))
        status++;
    return status;
}

void store_deployment_done(struct store_deployment *deployment)
{
    mem_free(deployment->uid);
    mem_free(deployment->name);
    mem_free(deployment->environment);
    value_unref(deployment->outputs);
    value_unref(deployment->accounts);
    *deployment = (struct store_deployment){0};
}

/* No instance has a blank in its name. */
static char *former_key(const char *instance)
{
    return string_format("%s before", instance);
}

bool store_had_other_account(const struct value *accounts, const char *instance)
{
    CLEANUP(mem_freep) char *key = former_key(instance);
    return value_get(accounts, key) != NULL;
}

struct value *store_note_account(struct value *take_accounts, const char *instance,
                                 struct value *identity)
{
    struct value *was = value_get(take_accounts, instance);
    struct value *accounts = value_with(take_accounts, instance, value_ref(identity));
    if (was && !value_equal(was, identity)) {
        CLEANUP(mem_freep) char *key = former_key(instance);
        struct value *bare = accounts;
        accounts = value_with(bare, key, value_ref(was));
        value_unref(bare);
    }
    value_unref(take_accounts);
    return accounts;
}

void store_run_done(struct store_run *run)
{
    mem_free(run->id);
    mem_free(run->deployment_uid);
    mem_free(run->plan_hash);
    mem_free(run->principal);
    mem_free(run->words);
    mem_free(run->client);
    mem_free(run->message);
    mem_free(run->chain);
    *run = (struct store_run){0};
}

const char *store_row_text(const struct store_row *row, size_t column)
{
    assert(column < row->n_cells && row->cells[column].is_text);
    return row->cells[column].text;
}

int64_t store_row_number(const struct store_row *row, size_t column)
{
    assert(column < row->n_cells && !row->cells[column].is_text);
    return row->cells[column].number;
}

static char *copy_text(const struct store_row *row, size_t column)
{
    const char *text = store_row_text(row, column);
    return text ? string_copy(text) : NULL;
}

/* What most cells of a record hold needs no parser. */
static struct value *read_plain(const char *text)
{
    struct value_builder none = {0};
    if (text_equal(text, "null"))
        return value_null();
    if (text_equal(text, "{}"))
        return value_builder_map(&none);
    return text_equal(text, "[]") ? value_builder_list(&none) : NULL;
}

int store_read_json(const struct store_row *row, size_t column, const char *what, const char *place,
                    struct value **ret_value, struct error *err)
{
    const char *text = store_row_text(row, column);
    struct error fault = {0};
    struct value *plain = text ? read_plain(text) : NULL;
    if (plain) {
        *ret_value = plain;
        return 0;
    }
    if (text && json_read(text, strlen(text), ret_value, &fault) == 0)
        return 0;
    int r = error_set(err, ERROR_CORRUPT, "%s: %s cannot be read: %s", place, what,
                      error_message(&fault));
    error_done(&fault);
    return r;
}

int store_read_step(const struct store_row *row, size_t first, const char *place,
                    struct value **ret_step, struct error *err)
{
    const char *texts[STEP_TEXT_COUNT];
    struct error fault = {0};
    for (size_t i = 0; i < STEP_TEXT_COUNT; i++)
        texts[i] = store_row_text(row, first + i);
    if (texts[STEP_TEXT_BODY] && step_from_texts(texts, ret_step, &fault) == 0)
        return 0;
    int r = error_set(err, ERROR_CORRUPT, "%s: a step cannot be read: %s", place,
                      error_message(&fault));
    error_done(&fault);
    return r;
}

/* As store_read_json, for what must be a map. */
static int read_map(const struct store_row *row, size_t column, const char *what, const char *place,
                    struct value **ret_map, struct error *err)
{
    CLEANUP(value_unrefp) struct value *map = NULL;
    int r = store_read_json(row, column, what, place, &map, err);
    if (r < 0)
        return r;
    if (value_kind(map) != VALUE_MAP)
        return error_set(err, ERROR_CORRUPT, "%s: %s is no map", place, what);
    *ret_map = take_ptr(map);
    return 0;
}

int store_read_deployment(const struct store_row *row, const char *place,
                          struct store_deployment *ret_deployment, struct error *err)
{
    assert(row->n_cells == DEPLOYMENT_COLUMN_COUNT);
    *ret_deployment = (struct store_deployment){
        .uid = copy_text(row, DEPLOYMENT_COLUMN_UID),
        .name = copy_text(row, DEPLOYMENT_COLUMN_NAME),
        .environment = copy_text(row, DEPLOYMENT_COLUMN_ENVIRONMENT),
        .incarnation = store_row_number(row, DEPLOYMENT_COLUMN_INCARNATION),
        .records_version = store_row_number(row, DEPLOYMENT_COLUMN_RECORDS_VERSION),
        .head_revision = store_row_number(row, DEPLOYMENT_COLUMN_HEAD_REVISION),
        .epoch = store_row_number(row, DEPLOYMENT_COLUMN_EPOCH),
        .is_destroyed = store_row_number(row, DEPLOYMENT_COLUMN_IS_DESTROYED) != 0,
        .created_at = store_row_number(row, DEPLOYMENT_COLUMN_CREATED_AT),
        .updated_at = store_row_number(row, DEPLOYMENT_COLUMN_UPDATED_AT),
    };
    int r = read_map(row, DEPLOYMENT_COLUMN_OUTPUTS, "a deployment's outputs", place,
                     &ret_deployment->outputs, err);
    return r < 0 ? r
                 : read_map(row, DEPLOYMENT_COLUMN_ACCOUNTS, "a deployment's accounts", place,
                            &ret_deployment->accounts, err);
}

static int read_depends_on(const struct store_row *row, const char *place,
                           struct string_list *ret_list, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = store_read_json(row, RECORD_COLUMN_DEPENDS_ON, "a record's dependencies", place, &list,
                            err);
    if (r < 0)
        return r;
    if (value_kind(list) != VALUE_LIST)
        return error_set(err, ERROR_CORRUPT, "%s: a record's dependencies are no list", place);
    string_list_from_value(ret_list, list);
    return 0;
}

int store_read_record(const struct store_row *row, const char *place, struct record *ret_record,
                      struct error *err)
{
    assert(row->n_cells == RECORD_COLUMN_COUNT);
    *ret_record = (struct record){
        .address = copy_text(row, RECORD_COLUMN_ADDRESS),
        .type = copy_text(row, RECORD_COLUMN_TYPE),
        .instance = copy_text(row, RECORD_COLUMN_INSTANCE),
        .uid = copy_text(row, RECORD_COLUMN_UID),
        .provider_id = copy_text(row, RECORD_COLUMN_PROVIDER_ID),
        .generation = store_row_number(row, RECORD_COLUMN_GENERATION),
        .status = record_status_from_string(store_row_text(row, RECORD_COLUMN_STATUS)),
        .protect = store_row_number(row, RECORD_COLUMN_PROTECT) != 0,
        .origin = copy_text(row, RECORD_COLUMN_ORIGIN),
        .created_at = store_row_number(row, RECORD_COLUMN_CREATED_AT),
        .updated_at = store_row_number(row, RECORD_COLUMN_UPDATED_AT),
    };
    if (ret_record->status == RECORD_STATUS_COUNT)
        return error_set(err, ERROR_CORRUPT, "%s: the record of %s has the unknown status \"%s\"",
                         place, ret_record->address, store_row_text(row, RECORD_COLUMN_STATUS));
    int r =
        store_read_json(row, RECORD_COLUMN_SPEC, "a record's spec", place, &ret_record->spec, err);
    if (r == 0)
        r = read_map(row, RECORD_COLUMN_OUTPUTS, "a record's outputs", place, &ret_record->outputs,
                     err);
    if (r == 0)
        r = read_depends_on(row, place, &ret_record->depends_on, err);
    if (r == 0)
        r = store_read_json(row, RECORD_COLUMN_BOUND, "a record's bindings", place,
                            &ret_record->bound, err);
    if (r == 0)
        r = store_read_json(row, RECORD_COLUMN_LIVE, "what was there of a record", place,
                            &ret_record->live, err);
    if (r == 0 && value_is_null(ret_record->spec))
        value_unref(take_ptr(ret_record->spec));
    if (r == 0 && value_is_null(ret_record->bound))
        value_unref(take_ptr(ret_record->bound));
    if (r == 0 && value_is_null(ret_record->live))
        value_unref(take_ptr(ret_record->live));
    return r;
}

int store_read_run(const struct store_row *row, const char *place, struct store_run *ret_run,
                   struct error *err)
{
    assert(row->n_cells == RUN_COLUMN_COUNT);
    *ret_run = (struct store_run){
        .id = copy_text(row, RUN_COLUMN_ID),
        .deployment_uid = copy_text(row, RUN_COLUMN_DEPLOYMENT),
        .plan_hash = copy_text(row, RUN_COLUMN_PLAN_HASH),
        .principal = copy_text(row, RUN_COLUMN_PRINCIPAL),
        .words = copy_text(row, RUN_COLUMN_WORDS),
        .status = run_status_from_string(store_row_text(row, RUN_COLUMN_STATUS)),
        .epoch = store_row_number(row, RUN_COLUMN_EPOCH),
        .started_at = store_row_number(row, RUN_COLUMN_STARTED_AT),
        .ended_at = store_row_number(row, RUN_COLUMN_ENDED_AT),
        .message = copy_text(row, RUN_COLUMN_MESSAGE),
        .client = copy_text(row, RUN_COLUMN_CLIENT),
        .chain = copy_text(row, RUN_COLUMN_CHAIN),
        .n_chained = store_row_number(row, RUN_COLUMN_CHAINED),
        .n_unchained = store_row_number(row, RUN_COLUMN_UNCHAINED),
    };
    if (ret_run->status == RUN_STATUS_COUNT)
        return error_set(err, ERROR_CORRUPT, "%s: run %s has the unknown status \"%s\"", place,
                         ret_run->id, store_row_text(row, RUN_COLUMN_STATUS));
    return 0;
}
