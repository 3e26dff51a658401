/*
 * What every driver of the store promises of who has a thing (store.h): it is found by its id and
 * by its mark, and records of others are not read for it. PARLEY_TEST_SUBJECT says which driver is
 * held to it.
 */
#include "contract/store.h"

#include "base/digest.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define OWN "d0000000-0000-8000-8000-000000000009"
#define SHOP "d0000000-0000-8000-8000-000000000002"
#define BLOG "d0000000-0000-8000-8000-000000000003"
#define MARK "22222222-2222-8333-8444-555555555555"
#define OTHER_MARK "33333333-2222-8333-8444-555555555555"

static void put_thing(struct store_batch *batch, const char *deployment, const char *address,
                      const char *instance, const char *id, const char *mark)
{
    CLEANUP(record_freep) struct record *record = record_new();
    record->address = string_copy(address);
    record->type = string_copy("acme:thing:box");
    record->instance = string_copy(instance);
    record->uid = string_copy(mark);
    record->provider_id = id ? string_copy(id) : NULL;
    record->spec = from_json("{}");
    record->generation = 1;
    store_batch_put_record(batch, deployment, record);
}

/* What OWN is told; "-" is nobody. */
static bool is_owner(const char *instance, const char *id, const char *mark, const char *want)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *owner = NULL;
    bool is_answer = is_done(store_find_owner(store, OWN, instance, id, mark, &owner, &err), &err);
    if (!owner)
        owner = string_copy("-");
    if (strcmp(owner, want) != 0)
        printf("# %s on %s: %s, not %s\n", id, instance, owner, want);
    return is_answer && strcmp(owner, want) == 0;
}

STORE_TEST(who_has_a_thing_is_found_by_its_id_or_by_its_mark)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, OWN, "own", 1);
    add_deployment(batch, SHOP, "shop", 1);
    put_thing(batch, SHOP, "web", "aws.west", "x", MARK);
    put_thing(batch, SHOP, "app", "aws.west", NULL, OTHER_MARK);
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", NULL, "web of shop@default"));
    CHECK(is_owner("aws.west", "x", MARK, "web of shop@default"));
    CHECK(is_owner("aws.west", "y", MARK, "web of shop@default"));
    CHECK(is_owner("aws.west", "y", OTHER_MARK, "app of shop@default"));
    CHECK(is_owner("aws.west", "y", NULL, "-"));
    CHECK(is_owner("aws.east", "x", MARK, "-"));
    store_batch_remove_record(batch, SHOP, "web", 1);
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", MARK, "-"));
}

STORE_TEST(what_changes_its_id_is_found_by_the_new_one_only)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, SHOP, "shop", 1);
    put_thing(batch, SHOP, "web", "aws.west", "x", MARK);
    CHECK(commits(batch, NULL));
    put_thing(batch, SHOP, "web", "aws.west", "z", OTHER_MARK);
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", MARK, "-"));
    CHECK(is_owner("aws.west", "z", NULL, "web of shop@default"));
    CHECK(is_owner("aws.west", "x", OTHER_MARK, "web of shop@default"));
}

STORE_TEST(of_several_that_have_a_thing_the_first_by_name_is_told)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, OWN, "a", 1);
    add_deployment(batch, SHOP, "shop", 1);
    add_deployment(batch, BLOG, "blog", 1);
    put_thing(batch, OWN, "mine", "aws.west", "x", MARK);
    put_thing(batch, SHOP, "a", "aws.west", "x", MARK);
    put_thing(batch, BLOG, "web", "aws.west", "x", MARK);
    put_thing(batch, BLOG, "app", "aws.west", "y", MARK);
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", NULL, "web of blog@default"));
    CHECK(is_owner("aws.west", "x", MARK, "app of blog@default"));
}

STORE_TEST(what_is_destroyed_or_was_before_has_nothing)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *outputs = from_json("{}");
    add_deployment(batch, SHOP, "shop", 1);
    put_thing(batch, SHOP, "web", "aws.west", "x", MARK);
    add_deployment(batch, BLOG, "blog", 1);
    put_thing(batch, BLOG, "web", "aws.west", "y", MARK);
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", NULL, "web of shop@default"));
    add_deployment(batch, DEPLOYMENT, "shop", 2);
    store_batch_put_deployment(batch, &(struct store_deployment){.uid = (char[]){BLOG},
                                                                 .name = (char[]){"blog"},
                                                                 .environment = (char[]){"default"},
                                                                 .incarnation = 1,
                                                                 .is_destroyed = true,
                                                                 .outputs = outputs});
    CHECK(commits(batch, NULL));
    CHECK(is_owner("aws.west", "x", NULL, "-"));
    CHECK(is_owner("aws.west", "y", MARK, "-"));
}

/* --- What it costs --- */

/* What SQLite's machine has done since it was asked last. */
static atomic_long n_steps;

static int count_steps(unsigned kind, void *argument, void *statement, void *nanoseconds)
{
    (void)kind;
    (void)argument;
    (void)nanoseconds;
    n_steps += sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    return 0;
}

/* As sqlite3_auto_extension() calls it. */
static int watch(sqlite3 *database, char **ret_message, const void *routines)
{
    (void)ret_message;
    (void)routines;
    return sqlite3_trace_v2(database, SQLITE_TRACE_PROFILE, count_steps, NULL);
}

static void put_things(const char *prefix, int n)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < n; i++) {
        char id[32];
        char mark[UUID_TEXT_SIZE];
        snprintf(id, sizeof(id), "%s%d", prefix, i);
        snprintf(mark, sizeof(mark), "%s0000000-0000-8000-8000-%012d", prefix, i);
        put_thing(batch, SHOP, id, "aws.west", id, mark);
    }
    CHECK(commits(batch, NULL));
}

/* Steps of the look-up and of the commit that depends on it. */
static long count_looks(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    long before = n_steps;
    CHECK(is_owner("aws.west", "a1", NULL, "a1 of shop@default"));
    CHECK(is_owner("aws.west", "y", "a0000000-0000-8000-8000-000000000002", "a2 of shop@default"));
    CHECK(is_owner("aws.west", "y", MARK, "-"));
    store_batch_check_adoptable(batch, OWN, "aws.west", "y");
    CHECK(commits(batch, NULL));
    return n_steps - before;
}

/* Opened anew, so that what is counted is known from the first statement on. */
STORE_TEST(records_of_others_are_not_read_for_it)
{
    if (!is_sqlite())
        return; /* the store in memory walks over its tables */
    struct store *counted = NULL;
    struct store *uncounted = store;
    struct error err = {0};
    CHECK(sqlite3_auto_extension((void (*)(void))watch) == SQLITE_OK);
    bool is_open = is_done(store_open_sqlite(loop, folder, true, &counted, &err), &err);
    CHECK(is_open);
    if (is_open) {
        store = counted;
        CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
        add_deployment(batch, SHOP, "shop", 1);
        CHECK(commits(batch, NULL));
        put_things("a", 10);
        (void)count_looks();
        long few = count_looks();
        put_things("b", 1000);
        long many = count_looks();
        printf("# %ld steps beside 10 records, %ld beside 1,010\n", few, many);
        CHECK(few > 0 && many == few);
        store = uncounted;
        store_close(counted);
    }
    sqlite3_reset_auto_extension();
}
