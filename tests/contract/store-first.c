/*
 * What a store that was begun promises, which is made with its first commit: nobody sees one
 * before, and all who began it have the same one.
 */
#include "contract/store-folder.h"

#include "base/digest.h"

#include <sys/stat.h>

static struct store *other_store;

/* Adds a record, so that there is something to see. */
static int commit_to(struct store *target, const char *address, struct error *err)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 1);
    add_record(batch, address, 1, "{}");
    return store_commit(target, batch, NULL, err);
}

static size_t count_in(struct store *target)
{
    size_t n = 0;
    CHECK(store_count_records(target, DEPLOYMENT, &n, NULL) == 0);
    return n;
}

static bool has_database(void)
{
    return world_file_exists(path_of("parley.db")) || world_file_exists(path_of("parley.db.new"));
}

/* --- Before the first commit --- */

STORE_TEST(nobody_sees_a_store_before_its_first_commit)
{
    struct content content = {0};
    content_to_fill = &content;
    read_content();
    bool is_empty = content.code == ERROR_NONE && !strstr(strbuf_text(&content.text), "web");
    strbuf_done(&content.text);
    CHECK(is_empty);
    CHECK(count_in(store) == 0);
    int64_t version = -1;
    CHECK(store_get_version(store, &version, NULL) == 0);
    CHECK(store_open_sqlite(loop, folder, false, &other_store, NULL) == -ERROR_NOT_FOUND);
    CHECK(!has_database());
    CHECK(commit_to(store, "one", NULL) == 0);
    int64_t after = -1;
    CHECK(store_get_version(store, &after, NULL) == 0 && after != version);
    CHECK(has_database() && count_in(store) == 1);
}

static void commit_by_turns(void)
{
    CHECK_TEXT(store_id(other_store), store_id(store));
    CHECK(commit_to(store, "one", NULL) == 0);
    CHECK(count_in(other_store) == 1);
    CHECK(commit_to(other_store, "two", NULL) == 0);
    CHECK(count_in(store) == 2);
}

TEST(two_who_begin_a_store_have_the_same)
{
    make_folder();
    bool is_open = open_store() && store_begin_sqlite(loop, folder, &other_store, NULL) == 0;
    int end = is_open ? run_on_loop(commit_by_turns) : 1;
    store_close(other_store);
    close_store();
    remove_folder();
    CHECK(end == 0);
}

STORE_TEST(who_makes_a_store_at_once_makes_the_one_that_was_begun)
{
    CHECK(store_open_sqlite(loop, folder, true, &other_store, NULL) == 0);
    bool is_same = text_equal(store_id(other_store), store_id(store));
    int r = commit_to(store, "one", NULL);
    size_t n = count_in(other_store);
    store_close(other_store);
    CHECK(is_same && r == 0 && n == 1);
}

/* --- A first commit that fails --- */

STORE_TEST(a_first_commit_that_is_refused_makes_no_store)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_version(batch, DEPLOYMENT, 7);
    CHECK(store_commit(store, batch, NULL, NULL) == -ERROR_STALE);
    CHECK(!has_database() && count_in(store) == 0);
    CHECK(commit_to(store, "one", NULL) == 0 && count_in(store) == 1);
}

STORE_TEST(a_first_commit_that_cannot_be_written_says_so_and_is_tried_again)
{
    struct error err = {0};
    CHECK(mkdir(path_of("parley.db.new"), 0700) == 0);
    int r = commit_to(store, "one", &err);
    bool is_told = r < 0 && strstr(error_message(&err), path_of("parley.db.new"));
    error_done(&err);
    CHECK(is_told && count_in(store) == 0);
    CHECK(rmdir(path_of("parley.db.new")) == 0);
    CHECK(commit_to(store, "one", NULL) == 0 && count_in(store) == 1);
}

/* --- What else may lie in the folder --- */

STORE_TEST(its_id_stays_whatever_becomes_of_the_file_that_says_it)
{
    CHECK(unlink(path_of("parley.id.new")) == 0);
    CHECK(commit_to(store, "one", NULL) == 0 && count_in(store) == 1);
    CHECK(store_open_sqlite(loop, folder, false, &other_store, NULL) == 0);
    bool is_same = text_equal(store_id(other_store), store_id(store));
    store_close(other_store);
    CHECK(is_same);
}

STORE_TEST(another_store_that_came_meanwhile_is_not_written)
{
    CHECK(unlink(path_of("parley.id.new")) == 0);
    CHECK(store_open_sqlite(loop, folder, true, &other_store, NULL) == 0);
    int r = commit_to(store, "one", NULL);
    size_t n = count_in(other_store);
    struct records records = {0};
    int read = store_load_records(store, DEPLOYMENT, &records, NULL);
    records_done(&records);
    store_close(other_store);
    CHECK(r == -ERROR_CONFLICT && read == -ERROR_CONFLICT && n == 0);
}

TEST(what_a_crash_left_of_the_id_that_was_agreed_on_is_not_taken)
{
    static const char *const left[] = {
        "",
        "\n",
        "d0000000-0000-8000-8000-00000000000",
        "D0000000-0000-8000-8000-000000000001\n",
        "d0000000-0000-8000-8000-0000000000','\n",
        "d0000000-0000-8000-8000-000000000001\nmore",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(left); i++) {
        make_folder();
        CHECK(world_write_file(path_of("parley.id.new"), left[i], strlen(left[i]), 0600, false,
                               NULL) == 0);
        bool is_open = open_store();
        bool is_other = is_open && strlen(store_id(store)) == UUID_TEXT_SIZE - 1 &&
                        strncmp(store_id(store), left[i], UUID_TEXT_SIZE - 2) != 0;
        close_store();
        remove_folder();
        CHECK(is_other);
    }
}
