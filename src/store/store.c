/* The contract's own side: parameters into rows, rows into what users know, and its assertions. */
#include "store/store.h"

#include "base/text.h"
#include "store/driver.h"
#include "store/rows.h"
#include "store/store-private.h"

#include <assert.h>
#include <string.h>

const char *store_id(const struct store *store)
{
    return store->id;
}

void store_free(struct store *store)
{
    mem_free(store->place);
    mem_free(store);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    assert(store->n_calls == 0);
    store->ops->close(store);
}

uint64_t store_count_reads(const struct store *store)
{
    return store->n_reads;
}

void store_count_syncs(const struct store *store, uint64_t *ret_commits, uint64_t *ret_syncs)
{
    *ret_commits = store->n_commits;
    *ret_syncs = store->n_syncs;
}

int store_query(struct store *store, enum store_query query, const struct store_row *parameters,
                store_visit *visit, void *argument, struct error *err)
{
    store->n_calls++;
    store->n_reads++;
    int r = store->ops->read(store, query, parameters, visit, argument, err);
    store->n_calls--;
    assert(r <= 0);
    return r;
}

/* --- Values of rows --- */

int store_query_values(struct store *store, enum store_query kind,
                       const struct store_row *parameters, store_visit *visit, const char *what,
                       struct value **ret_list, struct error *err)
{
    struct reading reading = {.store = store, .what = what};
    int r = store_query(store, kind, parameters, visit, &reading, err);
    if (r < 0)
        value_builder_done(&reading.rows);
    else
        *ret_list = value_builder_list(&reading.rows);
    return r;
}

int store_read_body(const struct reading *reading, const struct store_row *row, size_t column,
                    struct value **ret_body, struct error *err)
{
    return store_read_json(row, column, reading->what, reading->store->place, ret_body, err);
}

int store_add_body(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    struct value *body = NULL;
    int r = store_read_body(reading, row, 0, &body, err);
    if (r == 0)
        value_builder_append(&reading->rows, body);
    return r;
}

int store_add_step(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    struct value *step = NULL;
    int r = store_read_step(row, 0, reading->store->place, &step, err);
    if (r == 0)
        value_builder_append(&reading->rows, step);
    return r;
}

/* --- Deployments --- */

struct deployments {
    const struct store *store;
    struct store_deployment *items;
    size_t n_items;
    size_t capacity;
};

static int add_deployment(void *argument, const struct store_row *row, struct error *err)
{
    struct deployments *found = argument;
    struct store_deployment deployment = {0};
    int r = store_read_deployment(row, found->store->place, &deployment, err);
    if (r < 0) {
        store_deployment_done(&deployment);
        return r;
    }
    ARRAY_RESERVE(found->items, found->n_items, found->capacity);
    found->items[found->n_items++] = deployment;
    return 0;
}

static void deployments_done(struct deployments *found)
{
    for (size_t i = 0; i < found->n_items; i++)
        store_deployment_done(&found->items[i]);
    mem_free(found->items);
}

int store_find_deployment(struct store *store, const char *name, const char *environment,
                          struct store_deployment *ret_deployment, struct error *err)
{
    assert(name && environment && ret_deployment);
    CLEANUP(deployments_done) struct deployments found = {.store = store};
    int r = store_query(store, QUERY_FIND_DEPLOYMENT,
                        PARAMETERS(cell_text(name), cell_text(environment)), add_deployment, &found,
                        err);
    if (r < 0)
        return r;
    assert(found.n_items <= 1);
    if (found.n_items == 0)
        return error_set(err, ERROR_NOT_FOUND, "there is no deployment %s in environment %s", name,
                         environment);
    *ret_deployment = found.items[0];
    found.n_items = 0;
    return 0;
}

int store_list_deployments(struct store *store, struct store_deployment **ret_deployments,
                           size_t *ret_n, struct error *err)
{
    assert(ret_deployments && ret_n);
    CLEANUP(deployments_done) struct deployments found = {.store = store};
    int r = store_query(store, QUERY_LIST_DEPLOYMENTS, &(struct store_row){0}, add_deployment,
                        &found, err);
    if (r < 0)
        return r;
    *ret_deployments = take_ptr(found.items);
    *ret_n = found.n_items;
    found.n_items = 0;
    return 0;
}

/* --- What a deployment has --- */

struct loading {
    const struct store *store;
    struct records records;
};

static int add_record(void *argument, const struct store_row *row, struct error *err)
{
    struct loading *loading = argument;
    CLEANUP(record_freep) struct record *record = NEW(struct record);
    int r = store_read_record(row, loading->store->place, record, err);
    if (r < 0)
        return r;
    records_add(&loading->records, record);
    assert(loading->records.items[loading->records.n_items - 1] == record);
    record = NULL;
    return 0;
}

CO_FN static int query_records(struct store *store, enum store_query query,
                               const struct store_row *parameters, struct records *ret_records,
                               struct error *err)
{
    struct loading loading = {.store = store};
    int r = store_query(store, query, parameters, add_record, &loading, err);
    if (r < 0)
        records_done(&loading.records);
    else
        *ret_records = loading.records;
    return r;
}

int store_load_records(struct store *store, const char *deployment_uid, struct records *ret_records,
                       struct error *err)
{
    assert(deployment_uid && ret_records);
    return query_records(store, QUERY_LOAD_RECORDS, PARAMETERS(cell_text(deployment_uid)),
                         ret_records, err);
}

int store_find_records(struct store *store, const char *deployment_uid, const char *address,
                       struct records *ret_records, struct error *err)
{
    assert(deployment_uid && address && ret_records);
    return query_records(store, QUERY_FIND_RECORDS,
                         PARAMETERS(cell_text(deployment_uid), cell_text(address)), ret_records,
                         err);
}

int store_list_records(struct store *store, const char *deployment_uid, const char *name,
                       size_t n_before, size_t limit, struct records *ret_records,
                       struct error *err)
{
    assert(deployment_uid && ret_records);
    /* '\\' follows '[', and '{' the letters with which names begin. */
    CLEANUP(mem_freep) char *first = string_format("%s%s", name ? name : "", name ? "[" : "");
    CLEANUP(mem_freep) char *behind = name ? string_format("%s\\", name) : string_copy("{");
    return query_records(store, QUERY_LIST_RECORDS,
                         PARAMETERS(cell_text(deployment_uid), cell_text(first), cell_text(behind),
                                    cell_limit(n_before), cell_limit(limit)),
                         ret_records, err);
}

static int take_count(void *argument, const struct store_row *row, struct error *err)
{
    (void)err;
    *(size_t *)argument = (size_t)store_row_number(row, 0);
    return 0;
}

int store_count_records(struct store *store, const char *deployment_uid, size_t *ret_n,
                        struct error *err)
{
    assert(deployment_uid && ret_n);
    *ret_n = 0;
    return store_query(store, QUERY_COUNT_RECORDS, PARAMETERS(cell_text(deployment_uid)),
                       take_count, ret_n, err);
}

static int add_instance(void *argument, const struct store_row *row, struct error *err)
{
    (void)err;
    string_list_add(argument, store_row_text(row, 0));
    return 0;
}

int store_list_instances(struct store *store, const char *deployment_uid,
                         struct string_list *instances, struct error *err)
{
    assert(deployment_uid && instances);
    return store_query(store, QUERY_LIST_INSTANCES, PARAMETERS(cell_text(deployment_uid)),
                       add_instance, instances, err);
}

static int take_owner(void *argument, const struct store_row *row, struct error *err)
{
    (void)err;
    *(char **)argument = string_format("%s of %s@%s", store_row_text(row, 0),
                                       store_row_text(row, 1), store_row_text(row, 2));
    return 0;
}

int store_find_owner(struct store *store, const char *own_uid, const char *instance,
                     const char *provider_id, const char *mark, char **ret_owner, struct error *err)
{
    assert(own_uid && instance && provider_id && ret_owner);
    char *owner = NULL;
    int r = store_query(store, QUERY_FIND_OWNER,
                        PARAMETERS(cell_text(own_uid), cell_text(instance), cell_text(provider_id),
                                   cell_text(mark)),
                        take_owner, &owner, err);
    if (r < 0)
        mem_free(owner);
    else
        *ret_owner = owner;
    return r;
}

/* --- Changes --- */

int store_commit(struct store *store, struct store_batch *batch, int64_t *ret_last_seq,
                 struct error *err)
{
    assert(batch && coroutine_self());
    int64_t last_seq = 0;
    int r = 0;
    if (batch->n_changes > 0) {
        store->n_calls++;
        store->n_commits++;
        r = store->ops->commit(store, batch, &last_seq, err);
        store->n_calls--;
    }
    assert(r <= 0 && (r < 0 || last_seq >= 0));
    store_batch_clear(batch);
    if (r == 0 && ret_last_seq)
        *ret_last_seq = last_seq;
    return r;
}

int store_get_version(struct store *store, int64_t *ret_version, struct error *err)
{
    int64_t version = 0;
    store->n_calls++;
    int r = store->ops->version ? store->ops->version(store, &version, err) : 0;
    store->n_calls--;
    /* Both only grow. */
    if (r == 0)
        *ret_version = version + (int64_t)store->n_commits;
    return r;
}
