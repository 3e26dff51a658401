/* Revisions, plans and what belongs to them, read from their rows. */
#include "store/rows.h"
#include "store/store-private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { HASH_PREFIX_MIN = 6, HASH_LENGTH = DIGEST_HEX_SIZE - 1 };

/* --- Revisions --- */

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
    int r = store_read_body(reading, row, 2, &body, err);
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
    int r = store_query_values(store, QUERY_GET_REVISION,
                               PARAMETERS(cell_text(deployment_uid), cell_integer(number)),
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
    return store_query_values(
        store, QUERY_LIST_REVISIONS,
        PARAMETERS(cell_text(deployment_uid), cell_integer(below), cell_integer((int64_t)limit)),
        add_bare_revision, "a revision", ret_revisions, err);
}

/* --- Plans and approvals --- */

static int add_plan(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    int r = store_add_body(argument, row, err);
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
    int r = store_query_values(store, QUERY_FIND_PLANS, PARAMETERS(cell_text(hash_prefix)),
                               add_plan, "a plan", &found, err);
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
    r = store_query_values(store, QUERY_READ_STEPS, PARAMETERS(cell_text(hash_prefix)),
                           store_add_step, "a step", &steps, err);
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
    return store_query(store, QUERY_READ_STEPS, PARAMETERS(cell_text(hash)), visit_step, &visiting,
                       err);
}

int store_list_makers(struct store *store, const char *plan_hash, struct value **ret_makers,
                      struct error *err)
{
    assert(plan_hash && ret_makers);
    return store_query_values(store, QUERY_LIST_MAKERS, PARAMETERS(cell_text(plan_hash)),
                              store_add_body, "the maker of a plan", ret_makers, err);
}

int store_list_approvals(struct store *store, const char *plan_hash, struct value **ret_approvals,
                         struct error *err)
{
    assert(plan_hash && ret_approvals);
    return store_query_values(store, QUERY_LIST_APPROVALS, PARAMETERS(cell_text(plan_hash)),
                              store_add_body, "an approval", ret_approvals, err);
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
                        PARAMETERS(cell_text(deployment_uid), cell_text(name), cell_text(form)),
                        take_sealed, &sealed, err);
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
    int r = store_query(store, QUERY_LIST_SECRETS, PARAMETERS(cell_text(deployment_uid)),
                        add_secret, &list, err);
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
    return store_query(store, QUERY_HAS_FORGOTTEN, PARAMETERS(cell_text(deployment_uid)), note_row,
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
    int r = store_query(
        store, QUERY_FIND_FORGOTTEN,
        PARAMETERS(cell_text(deployment_uid), cell_text(address), cell_integer(with_documents)),
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
    int r = store_read_body(reading, row, 1, &body, err);
    if (r == 0)
        value_builder_append(&reading->rows, value_with(body, "created_at",
                                                        value_integer(store_row_number(row, 0))));
    return r;
}

int store_list_remains(struct store *store, const char *deployment_uid, struct value **ret_remains,
                       struct error *err)
{
    assert(deployment_uid && ret_remains);
    return store_query_values(store, QUERY_LIST_REMAINS, PARAMETERS(cell_text(deployment_uid)),
                              add_remains, "what is left", ret_remains, err);
}
