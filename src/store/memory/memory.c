/*
 * The store that is gone with the process, for tests. It never waits and never fails for want of a
 * disk. Queries walk whole tables where the order of a map is enough.
 */
#include "store/memory/memory.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a table that a query found, borrowed. */
struct found {
    const struct store_row **rows; /* owned */
    size_t n_rows;
    size_t capacity;
};

static void found_done(struct found *found)
{
    mem_free(found->rows);
}

/* Adds all rows of a table that have this text in this column; a NULL text takes every row. */
static void find_all(struct memory_store *memory, enum table table, size_t column, const char *text,
                     struct found *found)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&memory->tables[table], &cursor));) {
        const struct store_row *row = entry->value;
        if (text && !text_equal(store_row_text(row, column), text))
            continue;
        ARRAY_RESERVE(found->rows, found->n_rows, found->capacity);
        found->rows[found->n_rows++] = row;
    }
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_records(const void *a, const void *b)
{
    const struct store_row *left = *(const struct store_row *const *)a;
    const struct store_row *right = *(const struct store_row *const *)b;
    int order = strcmp(store_row_text(left, RECORD_COLUMN_ADDRESS),
                       store_row_text(right, RECORD_COLUMN_ADDRESS));
    return order != 0 ? order
                      : compare_numbers(store_row_number(left, RECORD_COLUMN_GENERATION),
                                        store_row_number(right, RECORD_COLUMN_GENERATION));
}

static bool is_same_deployment(const struct store_row *a, const struct store_row *b)
{
    return text_equal(store_row_text(a, DEPLOYMENT_COLUMN_NAME),
                      store_row_text(b, DEPLOYMENT_COLUMN_NAME)) &&
           text_equal(store_row_text(a, DEPLOYMENT_COLUMN_ENVIRONMENT),
                      store_row_text(b, DEPLOYMENT_COLUMN_ENVIRONMENT));
}

/* By name and environment, the newest incarnation first. */
static int compare_deployments(const void *a, const void *b)
{
    const struct store_row *left = *(const struct store_row *const *)a;
    const struct store_row *right = *(const struct store_row *const *)b;
    int order = strcmp(store_row_text(left, DEPLOYMENT_COLUMN_NAME),
                       store_row_text(right, DEPLOYMENT_COLUMN_NAME));
    if (order == 0)
        order = strcmp(store_row_text(left, DEPLOYMENT_COLUMN_ENVIRONMENT),
                       store_row_text(right, DEPLOYMENT_COLUMN_ENVIRONMENT));
    return order != 0 ? order
                      : compare_numbers(store_row_number(right, DEPLOYMENT_COLUMN_INCARNATION),
                                        store_row_number(left, DEPLOYMENT_COLUMN_INCARNATION));
}

static void sort(struct found *found, int (*compare)(const void *a, const void *b))
{
    if (found->n_rows > 0)
        qsort(found->rows, found->n_rows, sizeof(struct store_row *), compare);
}

/* Leaves the newest incarnation of each. */
static void sort_newest(struct found *found)
{
    sort(found, compare_deployments);
    size_t n_kept = 0;
    for (size_t i = 0; i < found->n_rows; i++)
        if (n_kept == 0 || !is_same_deployment(found->rows[n_kept - 1], found->rows[i]))
            found->rows[n_kept++] = found->rows[i];
    found->n_rows = n_kept;
}

static void add_found(struct memory_store *memory, enum table table, const char *key,
                      struct found *found)
{
    const struct store_row *row = map_get(&memory->tables[table], key);
    if (!row)
        return;
    ARRAY_RESERVE(found->rows, found->n_rows, found->capacity);
    found->rows[found->n_rows++] = row;
}

/* --- One function for each query; parameters and rows are as driver.h says --- */

static void find_deployment(struct memory_store *memory, const struct store_row *parameters,
                            struct found *found)
{
    find_all(memory, TABLE_DEPLOYMENTS, DEPLOYMENT_COLUMN_NAME, store_row_text(parameters, 0),
             found);
    size_t n_kept = 0;
    for (size_t i = 0; i < found->n_rows; i++)
        if (text_equal(store_row_text(found->rows[i], DEPLOYMENT_COLUMN_ENVIRONMENT),
                       store_row_text(parameters, 1)))
            found->rows[n_kept++] = found->rows[i];
    found->n_rows = n_kept;
    sort_newest(found);
}

static void list_deployments(struct memory_store *memory, const struct store_row *parameters,
                             struct found *found)
{
    (void)parameters;
    find_all(memory, TABLE_DEPLOYMENTS, DEPLOYMENT_COLUMN_UID, NULL, found);
    sort_newest(found);
}

static void load_records(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    find_all(memory, TABLE_RECORDS, RECORD_COLUMN_DEPLOYMENT, store_row_text(parameters, 0), found);
    sort(found, compare_records);
}

static void find_records(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    size_t n_kept = 0;
    load_records(memory, parameters, found);
    for (size_t i = 0; i < found->n_rows; i++)
        if (text_equal(store_row_text(found->rows[i], RECORD_COLUMN_ADDRESS),
                       store_row_text(parameters, 1)))
            found->rows[n_kept++] = found->rows[i];
    found->n_rows = n_kept;
}

static void list_records(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    size_t n_passed = 0;
    size_t n_kept = 0;
    load_records(memory, parameters, found);
    for (size_t i = 0; i < found->n_rows; i++) {
        const char *address = store_row_text(found->rows[i], RECORD_COLUMN_ADDRESS);
        if (strcmp(address, store_row_text(parameters, 1)) < 0 ||
            strcmp(address, store_row_text(parameters, 2)) >= 0 ||
            n_kept == (size_t)store_row_number(parameters, 4))
            continue;
        if (n_passed++ >= (size_t)store_row_number(parameters, 3))
            found->rows[n_kept++] = found->rows[i];
    }
    found->n_rows = n_kept;
}

static void get_revision(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    const char *uid = store_row_text(parameters, 0);
    int64_t number = store_row_number(parameters, 1);
    const struct store_row *deployment = map_get(&memory->tables[TABLE_DEPLOYMENTS], uid);
    if (deployment && number == 0)
        number = store_row_number(deployment, DEPLOYMENT_COLUMN_HEAD_REVISION);
    CLEANUP(mem_freep) char *key = memory_revision_key(uid, number);
    add_found(memory, TABLE_REVISIONS, key, found);
}

static void list_revisions(struct memory_store *memory, const struct store_row *parameters,
                           struct found *found)
{
    const char *uid = store_row_text(parameters, 0);
    int64_t below = store_row_number(parameters, 1);
    const struct store_row *deployment = map_get(&memory->tables[TABLE_DEPLOYMENTS], uid);
    int64_t number = deployment ? store_row_number(deployment, DEPLOYMENT_COLUMN_HEAD_REVISION) : 0;
    if (below > 0 && below <= number)
        number = below - 1;
    for (; number > 0 && found->n_rows < (size_t)store_row_number(parameters, 2); number--) {
        CLEANUP(mem_freep) char *key = memory_revision_key(uid, number);
        add_found(memory, TABLE_REVISIONS, key, found);
    }
}

/* Two are enough to tell that a prefix is not. */
static void find_plans(struct memory_store *memory, const struct store_row *parameters,
                       struct found *found)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while (found->n_rows < 2 && (entry = map_next(&memory->tables[TABLE_PLANS], &cursor)))
        if (text_starts_with(entry->key, store_row_text(parameters, 0)))
            add_found(memory, TABLE_PLANS, entry->key, found);
}

static void read_steps(struct memory_store *memory, const struct store_row *parameters,
                       struct found *found)
{
    CLEANUP(found_done) struct found plans = {0};
    size_t n_before;
    int64_t number = 0;
    find_plans(memory, parameters, &plans);
    do {
        const char *hash = plans.n_rows > 0 ? store_row_text(plans.rows[0], 0) : "";
        CLEANUP(mem_freep) char *key = memory_step_key(hash, number++);
        n_before = found->n_rows;
        add_found(memory, TABLE_STEPS, key, found);
    } while (found->n_rows > n_before);
}

static void list_steps(struct memory_store *memory, const struct store_row *parameters,
                       struct found *found)
{
    const struct store_row *run =
        map_get(&memory->tables[TABLE_RUNS], store_row_text(parameters, 0));
    if (!run)
        return;
    int64_t first = store_row_number(parameters, 1);
    for (int64_t number = first; number < first + store_row_number(parameters, 2); number++) {
        CLEANUP(mem_freep)
        char *key = memory_step_key(store_row_text(run, RUN_COLUMN_PLAN_HASH), number);
        add_found(memory, TABLE_STEPS, key, found);
    }
}

static void list_makers(struct memory_store *memory, const struct store_row *parameters,
                        struct found *found)
{
    find_all(memory, TABLE_MAKERS, 0, store_row_text(parameters, 0), found);
}

static void list_approvals(struct memory_store *memory, const struct store_row *parameters,
                           struct found *found)
{
    find_all(memory, TABLE_APPROVALS, 0, store_row_text(parameters, 0), found);
}

static void find_secret(struct memory_store *memory, const struct store_row *parameters,
                        struct found *found)
{
    CLEANUP(mem_freep) char *key = memory_secret_key(parameters);
    add_found(memory, TABLE_SECRETS, key, found);
}

static void list_secrets(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    find_all(memory, TABLE_SECRETS, 0, store_row_text(parameters, 0), found);
}

static void list_remains(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    find_all(memory, TABLE_REMAINS, 0, store_row_text(parameters, 0), found);
}

/* That of the run that was put last, and of one run the newest generation. */
static void find_forgotten(struct memory_store *memory, const struct store_row *parameters,
                           struct found *found)
{
    const struct store_row *newest = NULL;
    CLEANUP(found_done) struct found all = {0};
    CLEANUP(found_done) struct found runs = {0};
    find_all(memory, TABLE_FORGOTTEN, FORGOTTEN_COLUMN_ADDRESS, store_row_text(parameters, 1),
             &all);
    find_all(memory, TABLE_RUNS, RUN_COLUMN_DEPLOYMENT, store_row_text(parameters, 0), &runs);
    for (size_t i = runs.n_rows; i-- > 0 && !newest;) {
        const char *run = store_row_text(runs.rows[i], RUN_COLUMN_ID);
        for (size_t k = 0; k < all.n_rows; k++) {
            const struct store_row *row = all.rows[k];
            if (text_equal(store_row_text(row, FORGOTTEN_COLUMN_RUN), run) &&
                store_row_number(row, FORGOTTEN_COLUMN_HAS_DOCUMENT) <=
                    store_row_number(parameters, 2) &&
                (!newest || store_row_number(row, FORGOTTEN_COLUMN_GENERATION) >
                                store_row_number(newest, FORGOTTEN_COLUMN_GENERATION)))
                newest = row;
        }
    }
    if (!newest)
        return;
    ARRAY_RESERVE(found->rows, found->n_rows, found->capacity);
    found->rows[found->n_rows++] = newest;
}

static void has_forgotten(struct memory_store *memory, const struct store_row *parameters,
                          struct found *found)
{
    CLEANUP(found_done) struct found all = {0};
    find_all(memory, TABLE_FORGOTTEN, FORGOTTEN_COLUMN_ADDRESS, NULL, &all);
    for (size_t i = 0; i < all.n_rows && found->n_rows == 0; i++) {
        const struct store_row *run =
            map_get(&memory->tables[TABLE_RUNS], store_row_text(all.rows[i], FORGOTTEN_COLUMN_RUN));
        if (!run ||
            !text_equal(store_row_text(run, RUN_COLUMN_DEPLOYMENT), store_row_text(parameters, 0)))
            continue;
        ARRAY_RESERVE(found->rows, found->n_rows, found->capacity);
        found->rows[found->n_rows++] = all.rows[i];
    }
}

static void get_run(struct memory_store *memory, const struct store_row *parameters,
                    struct found *found)
{
    add_found(memory, TABLE_RUNS, store_row_text(parameters, 0), found);
}

/* Runs lie in the order they were first put. */
static void find_runs(struct memory_store *memory, const char *deployment_uid, int64_t limit,
                      struct found *found)
{
    find_all(memory, TABLE_RUNS, RUN_COLUMN_DEPLOYMENT, deployment_uid, found);
    for (size_t i = 0; i < found->n_rows / 2; i++) {
        const struct store_row *kept = found->rows[i];
        found->rows[i] = found->rows[found->n_rows - 1 - i];
        found->rows[found->n_rows - 1 - i] = kept;
    }
    if (found->n_rows > (size_t)limit)
        found->n_rows = (size_t)limit;
}

static void list_runs(struct memory_store *memory, const struct store_row *parameters,
                      struct found *found)
{
    find_runs(memory, store_row_text(parameters, 0), store_row_number(parameters, 1), found);
}

static void list_all_runs(struct memory_store *memory, const struct store_row *parameters,
                          struct found *found)
{
    find_runs(memory, NULL, store_row_number(parameters, 0), found);
}

/* From seq to seq, so that who follows a run does not walk over its past each time. */
static void read_journal(struct memory_store *memory, const struct store_row *parameters,
                         struct found *found)
{
    size_t limit = (size_t)store_row_number(parameters, 2);
    int64_t seq = store_row_number(parameters, 1);
    while (found->n_rows < limit && seq < memory->last_seq) {
        CLEANUP(mem_freep) char *key = string_format("%" PRId64, ++seq);
        add_found(memory, TABLE_JOURNAL, key, found);
        if (!text_equal(store_row_text(found->rows[found->n_rows - 1], JOURNAL_COLUMN_RUN),
                        store_row_text(parameters, 0)))
            found->n_rows--;
    }
}

static void read_audit(struct memory_store *memory, const struct store_row *parameters,
                       struct found *found)
{
    int64_t number = store_row_number(parameters, 0);
    size_t limit = (size_t)store_row_number(parameters, 1);
    while (found->n_rows < limit && number < memory->n_audits) {
        CLEANUP(mem_freep) char *key = string_format("%" PRId64, ++number);
        add_found(memory, TABLE_AUDIT, key, found);
    }
}

static void find_last_audit(struct memory_store *memory, const struct store_row *parameters,
                            struct found *found)
{
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, memory->n_audits);
    (void)parameters;
    add_found(memory, TABLE_AUDIT, key, found);
}

/* What each query finds, and which columns of it are the answer. */
static const struct {
    void (*find)(struct memory_store *memory, const struct store_row *parameters,
                 struct found *found);
    size_t columns[2]; /* first, and the one after the last */
} queries[] = {
    [QUERY_FIND_DEPLOYMENT] = {find_deployment, {0, DEPLOYMENT_COLUMN_COUNT}},
    [QUERY_LIST_DEPLOYMENTS] = {list_deployments, {0, DEPLOYMENT_COLUMN_COUNT}},
    [QUERY_LOAD_RECORDS] = {load_records, {0, RECORD_COLUMN_COUNT}},
    [QUERY_FIND_RECORDS] = {find_records, {0, RECORD_COLUMN_COUNT}},
    [QUERY_LIST_RECORDS] = {list_records, {0, RECORD_COLUMN_COUNT}},
    [QUERY_GET_REVISION] = {get_revision, {0, 5}},
    [QUERY_LIST_REVISIONS] = {list_revisions, {0, 3}},
    [QUERY_FIND_PLANS] = {find_plans, {3, 5}},
    [QUERY_READ_STEPS] = {read_steps, {2, 2 + STEP_TEXT_COUNT}},
    [QUERY_LIST_STEPS] = {list_steps, {2, 2 + STEP_TEXT_COUNT}},
    [QUERY_LIST_MAKERS] = {list_makers, {1, 2}},
    [QUERY_LIST_APPROVALS] = {list_approvals, {1, 2}},
    [QUERY_FIND_SECRET] = {find_secret, {4, 5}},
    [QUERY_LIST_SECRETS] = {list_secrets, {1, 4}},
    [QUERY_LIST_REMAINS] = {list_remains, {1, 3}},
    [QUERY_HAS_FORGOTTEN] = {has_forgotten,
                             {FORGOTTEN_COLUMN_HAS_DOCUMENT, FORGOTTEN_COLUMN_HAS_DOCUMENT + 1}},
    [QUERY_FIND_FORGOTTEN] = {find_forgotten, {FORGOTTEN_COLUMN_TYPE, FORGOTTEN_COLUMN_COUNT}},
    [QUERY_GET_RUN] = {get_run, {0, RUN_COLUMN_COUNT}},
    [QUERY_LIST_RUNS] = {list_runs, {0, RUN_COLUMN_COUNT}},
    [QUERY_LIST_ALL_RUNS] = {list_all_runs, {0, RUN_COLUMN_COUNT}},
    [QUERY_READ_JOURNAL] = {read_journal, {0, JOURNAL_COLUMN_COUNT}},
    [QUERY_READ_AUDIT] = {read_audit, {0, AUDIT_COLUMN_COUNT}},
    [QUERY_LAST_AUDIT] = {find_last_audit, {0, 1}},
};

static int list_instances(struct memory_store *memory, const struct store_row *parameters,
                          store_visit *visit, void *argument, struct error *err)
{
    CLEANUP(found_done) struct found found = {0};
    struct map seen = {0};
    int r = 0;
    load_records(memory, parameters, &found);
    for (size_t i = 0; r == 0 && i < found.n_rows; i++) {
        struct store_cell *instance = &found.rows[i]->cells[RECORD_COLUMN_INSTANCE];
        if (map_has(&seen, instance->text))
            continue;
        map_put(&seen, instance->text, NULL);
        r = visit(argument, &(struct store_row){instance, 1}, err);
    }
    map_done(&seen);
    return r;
}

/* Whether a record is of the thing that QUERY_FIND_OWNER asks for. */
static bool is_of_thing(const struct store_row *record, const struct store_row *parameters)
{
    const char *mark = store_row_text(parameters, 3);
    return text_equal(store_row_text(record, RECORD_COLUMN_INSTANCE),
                      store_row_text(parameters, 1)) &&
           (text_equal_or_null(store_row_text(record, RECORD_COLUMN_PROVIDER_ID),
                               store_row_text(parameters, 2)) ||
            (mark && text_equal(store_row_text(record, RECORD_COLUMN_UID), mark)));
}

static int find_owner(struct memory_store *memory, const struct store_row *parameters,
                      store_visit *visit, void *argument, struct error *err)
{
    CLEANUP(found_done) struct found deployments = {0};
    list_deployments(memory, parameters, &deployments);
    for (size_t i = 0; i < deployments.n_rows; i++) {
        const struct store_cell *owner = deployments.rows[i]->cells;
        CLEANUP(found_done) struct found records = {0};
        if (owner[DEPLOYMENT_COLUMN_IS_DESTROYED].number ||
            text_equal(owner[DEPLOYMENT_COLUMN_UID].text, store_row_text(parameters, 0)))
            continue;
        load_records(memory, deployments.rows[i], &records);
        for (size_t k = 0; k < records.n_rows; k++) {
            if (!is_of_thing(records.rows[k], parameters))
                continue;
            struct store_cell cells[] = {records.rows[k]->cells[RECORD_COLUMN_ADDRESS],
                                         owner[DEPLOYMENT_COLUMN_NAME],
                                         owner[DEPLOYMENT_COLUMN_ENVIRONMENT]};
            return visit(argument, &(struct store_row){cells, ARRAY_LENGTH(cells)}, err);
        }
    }
    return 0;
}

static int memory_read(struct store *store, enum store_query query,
                       const struct store_row *parameters, store_visit *visit, void *argument,
                       struct error *err)
{
    CLEANUP(found_done) struct found found = {0};
    if (query == QUERY_COUNT_RECORDS) {
        load_records((struct memory_store *)store, parameters, &found);
        struct store_cell count = {.number = (int64_t)found.n_rows};
        return visit(argument, &(struct store_row){&count, 1}, err);
    }
    if (query == QUERY_LIST_INSTANCES)
        return list_instances((struct memory_store *)store, parameters, visit, argument, err);
    if (query == QUERY_FIND_OWNER)
        return find_owner((struct memory_store *)store, parameters, visit, argument, err);
    queries[query].find((struct memory_store *)store, parameters, &found);
    const size_t *columns = queries[query].columns;
    int r = 0;
    for (size_t i = 0; r == 0 && i < found.n_rows; i++) {
        assert(found.rows[i]->n_cells >= columns[1]);
        struct store_row answer = {found.rows[i]->cells + columns[0], columns[1] - columns[0]};
        r = visit(argument, &answer, err);
    }
    return r;
}

static void memory_close(struct store *store)
{
    struct memory_store *memory = (struct memory_store *)store;
    for (enum table table = 0; table < TABLE_COUNT; table++) {
        size_t cursor = 0;
        for (struct map_entry *entry; (entry = map_next(&memory->tables[table], &cursor));)
            memory_row_free(entry->value);
        map_done(&memory->tables[table]);
    }
    mem_free(memory->undos);
    store_free(store);
}

static const struct store_ops memory_ops = {
    .driver = "memory",
    .read = memory_read,
    .commit = memory_commit,
    .close = memory_close,
};

struct store *store_open_memory(struct loop *loop)
{
    struct memory_store *memory = NEW(struct memory_store);
    memory->store = (struct store){
        .ops = &memory_ops, .loop = loop, .place = string_copy("the store in memory")};
    uuid_random(memory->store.id);
    memcpy(memory->audit_head, memory->store.id, sizeof(memory->store.id));
    return &memory->store;
}
