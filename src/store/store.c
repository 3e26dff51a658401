/* The contract's own side: parameters into rows, rows into what users know, and its assertions. */
#include "store/store.h"

#include "base/text.h"
#include "store/driver.h"
#include "store/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { HASH_PREFIX_MIN = 6, HASH_LENGTH = DIGEST_HEX_SIZE - 1 };

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

/* A parameter; the text is borrowed. */
static struct store_cell text(const char *text)
{
    return (struct store_cell){.is_text = true, .text = (char *)text};
}

static struct store_cell integer(int64_t number)
{
    return (struct store_cell){.number = number};
}

static struct store_cell limit_of(size_t limit)
{
    return integer(limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

#define PARAMETERS(...)                                            \
    (&(const struct store_row){(struct store_cell[]){__VA_ARGS__}, \
                               ARRAY_LENGTH(((struct store_cell[]){__VA_ARGS__}))})

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
    int r = store_query(store, QUERY_FIND_DEPLOYMENT, PARAMETERS(text(name), text(environment)),
                        add_deployment, &found, err);
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
    return query_records(store, QUERY_LOAD_RECORDS, PARAMETERS(text(deployment_uid)), ret_records,
                         err);
}

int store_find_records(struct store *store, const char *deployment_uid, const char *address,
                       struct records *ret_records, struct error *err)
{
    assert(deployment_uid && address && ret_records);
    return query_records(store, QUERY_FIND_RECORDS, PARAMETERS(text(deployment_uid), text(address)),
                         ret_records, err);
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
                         PARAMETERS(text(deployment_uid), text(first), text(behind),
                                    limit_of(n_before), limit_of(limit)),
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
    return store_query(store, QUERY_COUNT_RECORDS, PARAMETERS(text(deployment_uid)), take_count,
                       ret_n, err);
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
    return store_query(store, QUERY_LIST_INSTANCES, PARAMETERS(text(deployment_uid)), add_instance,
                       instances, err);
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
                        PARAMETERS(text(own_uid), text(instance), text(provider_id), text(mark)),
                        take_owner, &owner, err);
    if (r < 0)
        mem_free(owner);
    else
        *ret_owner = owner;
    return r;
}

/* Collects one value of each row. */
struct reading {
    const struct store *store;
    const char *what; /* a row in errors: "a plan" */
    struct value_builder rows;
};

/* The list of what visit makes of the rows of a query. */
CO_FN static int query_values(struct store *store, enum store_query kind,
                              const struct store_row *parameters, store_visit *visit,
                              const char *what, struct value **ret_list, struct error *err)
{
    struct reading reading = {.store = store, .what = what};
    int r = store_query(store, kind, parameters, visit, &reading, err);
    if (r < 0)
        value_builder_done(&reading.rows);
    else
        *ret_list = value_builder_list(&reading.rows);
    return r;
}

/* The body of a row: one JSON cell. */
static int read_body(const struct reading *reading, const struct store_row *row, size_t column,
                     struct value **ret_body, struct error *err)
{
    return store_read_json(row, column, reading->what, reading->store->place, ret_body, err);
}

static struct value *with_integer(const struct value *map, const char *key, int64_t integer)
{
    return value_with(map, key, value_integer(integer));
}

/* The same with a text beside it, where there is one. */
static struct value *with_text(struct value *take_map, const char *key, const char *text)
{
    if (!text)
        return take_map;
    struct value *other = value_with(take_map, key, value_string(text));
    value_unref(take_map);
    return other;
}

/* number, created_at, body */
static int add_bare_revision(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int r = read_body(reading, row, 2, &body, err);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp)
    struct value *numbered = with_integer(body, "number", store_row_number(row, 0));
    value_builder_append(&reading->rows,
                         with_integer(numbered, "created_at", store_row_number(row, 1)));
    return 0;
}

/* Behind these its texts. */
static int add_revision(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    int r = add_bare_revision(argument, row, err);
    if (r < 0)
        return r;
    struct value **last = &reading->rows.items[reading->rows.n_items - 1];
    *last = with_text(*last, "document", store_row_text(row, 3));
    *last = with_text(*last, "given", store_row_text(row, 4));
    return 0;
}

int store_get_revision(struct store *store, const char *deployment_uid, int64_t number,
                       struct value **ret_revision, struct error *err)
{
    assert(deployment_uid && number >= 0 && ret_revision);
    CLEANUP(value_unrefp) struct value *found = NULL;
    int r =
        query_values(store, QUERY_GET_REVISION, PARAMETERS(text(deployment_uid), integer(number)),
                     add_revision, "a revision", &found, err);
    if (r < 0)
        return r;
    assert(value_count(found) <= 1);
    if (value_count(found) == 0 && number == 0)
        return error_set(err, ERROR_NOT_FOUND, "deployment %s has no revision yet", deployment_uid);
    if (value_count(found) == 0)
        return error_set(err, ERROR_NOT_FOUND, "deployment %s has no revision %" PRId64,
                         deployment_uid, number);
    *ret_revision = value_ref(value_at(found, 0));
    return 0;
}

int store_list_revisions(struct store *store, const char *deployment_uid, int64_t below,
                         size_t limit, struct value **ret_revisions, struct error *err)
{
    assert(deployment_uid && below >= 0 && limit <= INT64_MAX && ret_revisions);
    return query_values(store, QUERY_LIST_REVISIONS,
                        PARAMETERS(text(deployment_uid), integer(below), integer((int64_t)limit)),
                        add_bare_revision, "a revision", ret_revisions, err);
}

/* --- Plans and approvals --- */

/* A row that is nothing but its body. */
static int add_body(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    struct value *body = NULL;
    int r = read_body(reading, row, 0, &body, err);
    if (r == 0)
        value_builder_append(&reading->rows, body);
    return r;
}

static int add_step(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    struct value *step = NULL;
    int r = store_read_step(row, 0, reading->store->place, &step, err);
    if (r == 0)
        value_builder_append(&reading->rows, step);
    return r;
}

/* Of a step only what rows about it say: id, kind, address, type and stage. */
static int add_step_head(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    const char *texts[STEP_TEXT_COUNT] = {[STEP_TEXT_BODY] = "{}"};
    struct value *step = NULL;
    if (!store_row_text(row, STEP_TEXT_LABEL))
        return add_step(argument, row, err);
    texts[STEP_TEXT_LABEL] = store_row_text(row, STEP_TEXT_LABEL);
    texts[STEP_TEXT_TYPE] = store_row_text(row, STEP_TEXT_TYPE);
    texts[STEP_TEXT_STAGE] = store_row_text(row, STEP_TEXT_STAGE);
    if (step_from_texts(texts, &step, NULL) < 0)
        return add_step(argument, row, err);
    value_builder_append(&reading->rows, step);
    return 0;
}

static int add_plan(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    int r = add_body(argument, row, err);
    if (r == 0) {
        struct value **last = &reading->rows.items[reading->rows.n_items - 1];
        *last = with_text(*last, "document", store_row_text(row, 1));
    }
    return r;
}

static bool is_hash_prefix(const char *text)
{
    size_t length = strlen(text);
    return length >= HASH_PREFIX_MIN && length <= HASH_LENGTH &&
           strspn(text, "0123456789abcdef") == length;
}

int store_get_plan_head(struct store *store, const char *hash_prefix, struct value **ret_head,
                        struct error *err)
{
    assert(hash_prefix && ret_head);
    if (!is_hash_prefix(hash_prefix))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no plan hash: at least %d of its digits 0-9 and a-f are needed",
                         hash_prefix, HASH_PREFIX_MIN);
    CLEANUP(value_unrefp) struct value *found = NULL;
    int r = query_values(store, QUERY_FIND_PLANS, PARAMETERS(text(hash_prefix)), add_plan, "a plan",
                         &found, err);
    if (r < 0)
        return r;
    if (value_count(found) == 0)
        return error_set(err, ERROR_NOT_FOUND, "the store has no plan %s", hash_prefix);
    if (value_count(found) > 1)
        return error_set(err, ERROR_CONFLICT,
                         "several plans have a hash that begins with %s; give more of its digits",
                         hash_prefix);
    *ret_head = value_ref(value_at(found, 0));
    return 0;
}

int store_get_plan(struct store *store, const char *hash_prefix, struct value **ret_plan,
                   struct error *err)
{
    CLEANUP(value_unrefp) struct value *head = NULL;
    CLEANUP(value_unrefp) struct value *steps = NULL;
    assert(ret_plan);
    int r = store_get_plan_head(store, hash_prefix, &head, err);
    if (r < 0)
        return r;
    if (value_get(head, "steps")) {
        *ret_plan = take_ptr(head);
        return 0;
    }
    r = query_values(store, QUERY_READ_STEPS, PARAMETERS(text(hash_prefix)), add_step, "a step",
                     &steps, err);
    if (r == 0)
        *ret_plan = value_with(head, "steps", value_ref(steps));
    return r;
}

struct visiting {
    const struct store *store;
    store_visit_step *visit;
    void *argument;
};

static int visit_step(void *argument, const struct store_row *row, struct error *err)
{
    const struct visiting *visiting = argument;
    const char *texts[STEP_TEXT_COUNT];
    for (size_t i = 0; i < STEP_TEXT_COUNT; i++)
        texts[i] = store_row_text(row, i);
    if (!texts[STEP_TEXT_BODY])
        return error_set(err, ERROR_CORRUPT, "%s: a step has no body", visiting->store->place);
    int r = visiting->visit(visiting->argument, texts, err);
    return r < 0 ? error_wrap(err, r, "%s", visiting->store->place) : 0;
}

int store_read_steps(struct store *store, const char *hash, store_visit_step *visit, void *argument,
                     struct error *err)
{
    assert(hash && visit);
    struct visiting visiting = {store, visit, argument};
    return store_query(store, QUERY_READ_STEPS, PARAMETERS(text(hash)), visit_step, &visiting, err);
}

int store_list_makers(struct store *store, const char *plan_hash, struct value **ret_makers,
                      struct error *err)
{
    assert(plan_hash && ret_makers);
    return query_values(store, QUERY_LIST_MAKERS, PARAMETERS(text(plan_hash)), add_body,
                        "the maker of a plan", ret_makers, err);
}

int store_list_approvals(struct store *store, const char *plan_hash, struct value **ret_approvals,
                         struct error *err)
{
    assert(plan_hash && ret_approvals);
    return query_values(store, QUERY_LIST_APPROVALS, PARAMETERS(text(plan_hash)), add_body,
                        "an approval", ret_approvals, err);
}

static int take_sealed(void *argument, const struct store_row *row, struct error *err)
{
    char **ret_sealed = argument;
    (void)err;
    mem_free(*ret_sealed);
    *ret_sealed = string_copy(store_row_text(row, 0));
    return 0;
}

int store_find_secret(struct store *store, const char *deployment_uid, const char *name,
                      const char *form, char **ret_sealed, struct error *err)
{
    assert(deployment_uid && name && form && ret_sealed);
    CLEANUP(mem_freep) char *sealed = NULL;
    int r = store_query(store, QUERY_FIND_SECRET,
                        PARAMETERS(text(deployment_uid), text(name), text(form)), take_sealed,
                        &sealed, err);
    if (r < 0)
        return r;
    if (!sealed)
        return error_set(err, ERROR_NOT_FOUND, "the store has no secret %s", name);
    *ret_sealed = take_ptr(sealed);
    return 0;
}

static int add_secret(void *argument, const struct store_row *row, struct error *err)
{
    struct value_builder *list = argument;
    struct value_builder fields = {0};
    (void)err;
    value_builder_set_string(&fields, "name", store_row_text(row, 0));
    value_builder_set_string(&fields, "form", store_row_text(row, 1));
    value_builder_set(&fields, "created_at", value_integer(store_row_number(row, 2)));
    value_builder_append(list, value_builder_map(&fields));
    return 0;
}

int store_list_secrets(struct store *store, const char *deployment_uid, struct value **ret_secrets,
                       struct error *err)
{
    assert(deployment_uid && ret_secrets);
    struct value_builder list = {0};
    int r = store_query(store, QUERY_LIST_SECRETS, PARAMETERS(text(deployment_uid)), add_secret,
                        &list, err);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_secrets = value_builder_list(&list);
    return r;
}

/* --- What was forgotten --- */

void store_forgotten_done(struct store_forgotten *forgotten)
{
    mem_free(forgotten->type);
    mem_free(forgotten->instance);
    mem_free(forgotten->uid);
    mem_free(forgotten->provider_id);
    *forgotten = (struct store_forgotten){0};
}

static int note_row(void *argument, const struct store_row *row, struct error *err)
{
    bool *ret_has = argument;
    (void)row;
    (void)err;
    *ret_has = true;
    return 0;
}

int store_has_forgotten(struct store *store, const char *deployment_uid, bool *ret_has,
                        struct error *err)
{
    assert(deployment_uid && ret_has);
    *ret_has = false;
    return store_query(store, QUERY_HAS_FORGOTTEN, PARAMETERS(text(deployment_uid)), note_row,
                       ret_has, err);
}

static int take_forgotten(void *argument, const struct store_row *row, struct error *err)
{
    enum { FIRST = FORGOTTEN_COLUMN_TYPE };
    struct store_forgotten *forgotten = argument;
    const char *id = store_row_text(row, FORGOTTEN_COLUMN_PROVIDER_ID - FIRST);
    (void)err;
    *forgotten = (struct store_forgotten){
        .type = string_copy(store_row_text(row, FORGOTTEN_COLUMN_TYPE - FIRST)),
        .instance = string_copy(store_row_text(row, FORGOTTEN_COLUMN_INSTANCE - FIRST)),
        .uid = string_copy(store_row_text(row, FORGOTTEN_COLUMN_UID - FIRST)),
        .provider_id = id ? string_copy(id) : NULL,
        .generation = store_row_number(row, FORGOTTEN_COLUMN_GENERATION - FIRST),
    };
    return 0;
}

int store_find_forgotten(struct store *store, const char *deployment_uid, const char *address,
                         bool with_documents, struct store_forgotten *ret_forgotten,
                         struct error *err)
{
    assert(deployment_uid && address && ret_forgotten);
    struct store_forgotten found = {0};
    int r = store_query(store, QUERY_FIND_FORGOTTEN,
                        PARAMETERS(text(deployment_uid), text(address), integer(with_documents)),
                        take_forgotten, &found, err);
    if (r == 0 && !found.uid)
        return error_set(err, ERROR_NOT_FOUND, "nothing was forgotten under %s", address);
    if (r == 0)
        *ret_forgotten = found;
    return r;
}

/* --- What is left elsewhere --- */

static int add_remains(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int r = read_body(reading, row, 1, &body, err);
    if (r == 0)
        value_builder_append(&reading->rows, value_with(body, "created_at",
                                                        value_integer(store_row_number(row, 0))));
    return r;
}

int store_list_remains(struct store *store, const char *deployment_uid, struct value **ret_remains,
                       struct error *err)
{
    assert(deployment_uid && ret_remains);
    return query_values(store, QUERY_LIST_REMAINS, PARAMETERS(text(deployment_uid)), add_remains,
                        "what is left", ret_remains, err);
}

/* --- Runs and their journals --- */

struct runs {
    const struct store *store;
    struct store_run *items;
    size_t n_items;
    size_t capacity;
};

static int add_run(void *argument, const struct store_row *row, struct error *err)
{
    struct runs *found = argument;
    struct store_run run = {0};
    int r = store_read_run(row, found->store->place, &run, err);
    if (r < 0) {
        store_run_done(&run);
        return r;
    }
    ARRAY_RESERVE(found->items, found->n_items, found->capacity);
    found->items[found->n_items++] = run;
    return 0;
}

static void runs_done(struct runs *found)
{
    for (size_t i = 0; i < found->n_items; i++)
        store_run_done(&found->items[i]);
    mem_free(found->items);
}

int store_get_run(struct store *store, const char *id, struct store_run *ret_run, struct error *err)
{
    assert(id && ret_run);
    CLEANUP(runs_done) struct runs found = {.store = store};
    int r = store_query(store, QUERY_GET_RUN, PARAMETERS(text(id)), add_run, &found, err);
    if (r < 0)
        return r;
    assert(found.n_items <= 1);
    if (found.n_items == 0)
        return error_set(err, ERROR_NOT_FOUND, "the store has no run %s", id);
    *ret_run = found.items[0];
    found.n_items = 0;
    return 0;
}

int store_list_runs(struct store *store, const char *deployment_uid, size_t limit,
                    struct store_run **ret_runs, size_t *ret_n, struct error *err)
{
    assert(ret_runs && ret_n);
    CLEANUP(runs_done) struct runs found = {.store = store};
    int r = deployment_uid ? store_query(store, QUERY_LIST_RUNS,
                                         PARAMETERS(text(deployment_uid), limit_of(limit)), add_run,
                                         &found, err)
                           : store_query(store, QUERY_LIST_ALL_RUNS, PARAMETERS(limit_of(limit)),
                                         add_run, &found, err);
    if (r < 0)
        return r;
    assert(found.n_items <= limit);
    *ret_runs = take_ptr(found.items);
    *ret_n = found.n_items;
    found.n_items = 0;
    return 0;
}

/* The fields of a row's body and what the store knows of it, which wins over equal names. */
static int add_journal_row(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int r = read_body(reading, row, JOURNAL_COLUMN_BODY, &body, err);
    if (r < 0)
        return r;
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(body); i++)
        value_builder_set(&fields, value_key_at(body, i), value_ref(value_at(body, i)));
    value_builder_set(&fields, "seq", value_integer(store_row_number(row, JOURNAL_COLUMN_SEQ)));
    value_builder_set(&fields, "time", value_integer(store_row_number(row, JOURNAL_COLUMN_TIME)));
    value_builder_set(&fields, "kind", value_string(store_row_text(row, JOURNAL_COLUMN_KIND)));
    value_builder_set(&fields, "run", value_string(store_row_text(row, JOURNAL_COLUMN_RUN)));
    if (!row->cells[JOURNAL_COLUMN_STEP].is_text)
        value_builder_set(&fields, "place",
                          value_integer(store_row_number(row, JOURNAL_COLUMN_STEP)));
    value_builder_append(&reading->rows, value_builder_map(&fields));
    return 0;
}

CO_FN static int check_run(struct store *store, const char *run_id, struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(store, run_id, &run, err);
    store_run_done(&run);
    return r;
}

int store_replay_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                         struct value **ret_rows, struct error *err)
{
    assert(run_id && after_seq >= 0 && ret_rows);
    CLEANUP(value_unrefp) struct value *rows = NULL;
    int r = query_values(store, QUERY_READ_JOURNAL,
                         PARAMETERS(text(run_id), integer(after_seq), limit_of(limit)),
                         add_journal_row, "a journal row", &rows, err);
    if (r == 0 && value_count(rows) == 0)
        r = check_run(store, run_id, err);
    if (r < 0)
        return r;
    assert(value_count(rows) <= limit);
    *ret_rows = take_ptr(rows);
    return 0;
}

CO_FN static int read_run_plan(struct store *store, const char *run_id, struct value **ret_plan,
                               struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(store, run_id, &run, err);
    if (r == 0)
        r = store_get_plan(store, run.plan_hash, ret_plan, err);
    store_run_done(&run);
    return r;
}

/* Steps of a run's plan that follow each other. */
struct step_heads {
    int64_t first;
    struct value *steps; /* owned; NULL is none */
};

static void step_heads_done(struct step_heads *heads)
{
    value_unref(heads->steps);
}

static struct value *head_at(const struct step_heads *heads, int64_t place)
{
    bool is_in = heads->steps && place >= heads->first &&
                 place - heads->first < (int64_t)value_count(heads->steps);
    return is_in ? value_at(heads->steps, (size_t)(place - heads->first)) : NULL;
}

/* Where they are not all there, what there is has no places that could be counted: then none. */
CO_FN static int read_heads(struct store *store, const char *run_id, int64_t first, int64_t n,
                            struct step_heads *heads, struct error *err)
{
    CLEANUP(value_unrefp) struct value *found = NULL;
    int r =
        query_values(store, QUERY_LIST_STEPS, PARAMETERS(text(run_id), integer(first), integer(n)),
                     add_step_head, "a step", &found, err);
    if (r < 0 || (int64_t)value_count(found) != n)
        return r;
    value_unref(heads->steps);
    *heads = (struct step_heads){first, take_ptr(found)};
    return 0;
}

/* Rows that follow each other are mostly of steps that do, too: these are read at once, unless
 * more than half of them would be for nothing. */
CO_FN static int read_heads_of(struct store *store, const char *run_id, const struct value *rows,
                               struct step_heads *heads, struct error *err)
{
    int64_t first = INT64_MAX;
    int64_t last = -1;
    for (size_t i = 0; i < value_count(rows); i++) {
        int64_t place = value_get_integer(value_at(rows, i), "place", -1);
        first = place >= 0 && place < first ? place : first;
        last = place > last ? place : last;
    }
    bool is_dense = last > first && last - first < (int64_t)value_count(rows);
    return is_dense ? read_heads(store, run_id, first, last - first + 1, heads, err) : 0;
}

/* A step of a run's plan. In plans of older programs they stand inside: that is read once for all
 * that are looked for. */
CO_FN static int find_head(struct store *store, const char *run_id, int64_t place,
                           struct step_heads *heads, struct value **ret_step, struct error *err)
{
    int r = head_at(heads, place) ? 0 : read_heads(store, run_id, place, 1, heads, err);
    if (r == 0 && !head_at(heads, place)) {
        CLEANUP(value_unrefp) struct value *plan = NULL;
        r = read_run_plan(store, run_id, &plan, err);
        value_unref(heads->steps);
        *heads = (struct step_heads){0};
        if (r == 0 && value_get(plan, "steps"))
            heads->steps = value_ref(value_get(plan, "steps"));
    }
    if (r < 0)
        return r;
    struct value *step = head_at(heads, place);
    if (!step)
        return error_set(err, ERROR_CORRUPT, "%s: the plan of run %s has no step %" PRId64,
                         store->place, run_id, place);
    *ret_step = value_ref(step);
    return 0;
}

/* The row with what the plan says of its step, instead of the step's place. */
static struct value *describe_row(const struct value *row, const struct value *step)
{
    static const char *const names[][2] = {
        {"id", "step"},   {"kind", "step_kind"}, {"address", "address"},
        {"type", "type"}, {"stage", "stage"},
    };
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(row); i++)
        if (!text_equal(value_key_at(row, i), "place"))
            value_builder_set(&fields, value_key_at(row, i), value_ref(value_at(row, i)));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        value_builder_set_string(&fields, names[i][1], value_get_text(step, names[i][0]));
    return value_builder_map(&fields);
}

/* Puts what the plan says of their steps into rows of one run. */
CO_FN static int describe_rows(struct store *store, const char *run_id, const struct value *rows,
                               struct value **ret_rows, struct error *err)
{
    CLEANUP(step_heads_done) struct step_heads heads = {0};
    struct value_builder described = {0};
    int r = read_heads_of(store, run_id, rows, &heads, err);
    for (size_t i = 0; r == 0 && i < value_count(rows); i++) {
        struct value *row = value_at(rows, i);
        CLEANUP(value_unrefp) struct value *step = NULL;
        int64_t place = value_get_integer(row, "place", -1);
        if (place >= 0)
            r = find_head(store, run_id, place, &heads, &step, err);
        if (r == 0)
            value_builder_append(&described, step ? describe_row(row, step) : value_ref(row));
    }
    if (r < 0)
        value_builder_done(&described);
    else
        *ret_rows = value_builder_list(&described);
    return r;
}

int store_read_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                       struct value **ret_rows, struct error *err)
{
    CLEANUP(value_unrefp) struct value *rows = NULL;
    int r = store_replay_journal(store, run_id, after_seq, limit, &rows, err);
    return r < 0 ? r : describe_rows(store, run_id, rows, ret_rows, err);
}

bool store_is_plain_row(const char *kind, const struct value *fields, bool *ret_has_ended)
{
    const char *outcome = value_get_text(fields, "outcome");
    *ret_has_ended = text_equal(kind, "result") && text_equal_or_null(outcome, "done") &&
                     !value_get(fields, "activates");
    return *ret_has_ended || text_equal(kind, "intent") || text_equal(kind, "handle");
}

struct tallying {
    struct reading reading;
    struct journal_tally tally;
};

static int tally_row(void *argument, const struct store_row *row, struct error *err)
{
    struct tallying *tallying = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    const char *kind = store_row_text(row, JOURNAL_COLUMN_KIND);
    bool has_ended;
    tallying->tally.n_rows++;
    tallying->tally.last_seq = store_row_number(row, JOURNAL_COLUMN_SEQ);
    if (store_is_plain_row(kind, NULL, &has_ended))
        return 0; /* half of all rows need no parser */
    int r = read_body(&tallying->reading, row, JOURNAL_COLUMN_BODY, &body, err);
    if (r < 0)
        return r;
    if (!store_is_plain_row(kind, body, &has_ended))
        return add_journal_row(&tallying->reading, row, err);
    tallying->tally.n_ended += has_ended;
    return 0;
}

int store_tally_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                        struct journal_tally *ret_tally, struct error *err)
{
    assert(run_id && after_seq >= 0 && ret_tally);
    struct tallying tallying = {.reading = {.store = store, .what = "a journal row"}};
    int r = store_query(store, QUERY_READ_JOURNAL,
                        PARAMETERS(text(run_id), integer(after_seq), limit_of(limit)), tally_row,
                        &tallying, err);
    CLEANUP(value_unrefp) struct value *rows = value_builder_list(&tallying.reading.rows);
    if (r == 0 && tallying.tally.n_rows == 0)
        r = check_run(store, run_id, err);
    if (r == 0)
        r = describe_rows(store, run_id, rows, &tallying.tally.rows, err);
    if (r == 0)
        *ret_tally = tallying.tally;
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
