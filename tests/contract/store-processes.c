/*
 * What the store in a folder promises to several processes that use it at the same time, and to
 * those who come after one that was killed.
 */
#include "contract/store-folder.h"

#include "base/digest.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>

enum {
    N_WRITERS = 4,
    N_WRITTEN = 40, /* by each */

    N_MAKERS = 8,
    N_ENTRIES = 20000, /* more than a killed child writes */
    N_AT_ONCE = 8,
};

static int n_kills(void)
{
    return thinning() == 1 ? 30 : 5;
}

/* --- Two at a time --- */

static struct store *other_store;

static void see_each_other(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct store *stores[] = {store, other_store};
    for (int i = 0; i < 20; i++) {
        CLEANUP(mem_freep) char *address = string_format("more[%d]", i);
        add_record(batch, address, 1, "{}");
        int64_t before[2], after = 0;
        for (size_t k = 0; k < ARRAY_LENGTH(stores); k++)
            CHECK(store_get_version(stores[k], &before[k], NULL) == 0);
        CHECK(store_commit(stores[i % 2], batch, NULL, NULL) == 0);
        for (size_t k = 0; k < ARRAY_LENGTH(stores); k++) {
            CHECK(store_get_version(stores[k], &after, NULL) == 0);
            CHECK(after != before[k]);
            struct records records = {0};
            CHECK(store_load_records(stores[k], DEPLOYMENT, &records, NULL) == 0);
            size_t n = records.n_items;
            records_done(&records);
            CHECK(n == N_FILLED + (size_t)i + 1);
        }
    }
}

FOLDER_TEST(two_that_have_it_open_see_each_others_commits)
{
    CHECK(open_store());
    CHECK(store_open_sqlite(loop, folder, false, &other_store, NULL) == 0);
    bool is_same = text_equal(store_id(store), store_id(other_store));
    int end = run_on_loop(see_each_other);
    store_close(other_store);
    close_store();
    CHECK(is_same && end == 0);
}

/* Whether a child finds the index of the log locked by us: else it would empty it. */
static bool is_index_locked(void)
{
    CLEANUP(mem_freep) char *index = string_format("%s/parley.db-shm", folder);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(index, O_RDWR | O_CLOEXEC);
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Locks are the process's: closing any descriptor of the file would take them from all stores. */
FOLDER_TEST(one_that_is_opened_and_closed_beside_another_leaves_its_locks)
{
    CHECK(open_store());
    bool is_locked = is_index_locked();
    CHECK(store_open_sqlite(loop, folder, false, &other_store, NULL) == 0);
    bool is_locked_beside = is_index_locked();
    store_close(other_store);
    bool is_locked_after = is_index_locked();
    close_store();
    CHECK(is_locked);
    CHECK(is_locked_beside);
    CHECK(is_locked_after);
}

/* --- Makers --- */

/* The names of the files in the folder, each with a space behind it, in no order. */
static char *list_files(void)
{
    struct strbuf names = {0};
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.')
            strbuf_addf(&names, "%s ", entry->d_name);
    if (entries)
        closedir(entries);
    return strbuf_take(&names);
}

/* A store that nobody has open is its database and its marker. */
static bool is_tidy(void)
{
    CLEANUP(mem_freep) char *names = list_files();
    bool is_pair =
        text_equal(names, "parley.db parley.id ") || text_equal(names, "parley.id parley.db ");
    if (!is_pair)
        printf("# in the folder: %s\n", names);
    return is_pair;
}

static void note_making(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *fields = from_json("{}");
    store_batch_audit(batch, "made", fields);
    CHECK(commits(batch, NULL));
}

static int make_one(void *argument)
{
    char *id = argument;
    if (!open_store())
        return 1;
    snprintf(id, UUID_TEXT_SIZE, "%s", store_id(store));
    int end = run_on_loop(note_making);
    close_store();
    return end;
}

static int n_made;

static void count_makings(void)
{
    CLEANUP(value_unrefp) struct value *entries = NULL;
    CHECK(store_read_audit(store, 0, 10000, &entries, NULL) == 0);
    n_made = (int)value_count(entries);
}

/* How many noted that they made the store. */
static int n_makings(void)
{
    n_made = -1;
    if (open_store())
        (void)run_on_loop(count_makings);
    close_store();
    return n_made;
}

TEST(many_that_make_a_store_at_the_same_time_make_one)
{
    char(*ids)[UUID_TEXT_SIZE] = shared_memory(sizeof(char[N_MAKERS][UUID_TEXT_SIZE]));
    CHECK(ids);
    int n_faults = 0;
    for (int round = 0; round < 5; round++) {
        pid_t children[N_MAKERS];
        make_folder();
        for (int i = 0; i < N_MAKERS; i++)
            children[i] = start_child(make_one, ids[i]);
        for (int i = 0; i < N_MAKERS; i++)
            n_faults += end_of(children[i]) != 0;
        for (int i = 1; i < N_MAKERS; i++)
            n_faults += strlen(ids[i]) != UUID_TEXT_SIZE - 1 || !text_equal(ids[i], ids[0]);
        /* Two that close at once leave the write-ahead log to the next one who does. */
        n_faults += end_of(start_child(make_one, ids[0])) != 0 || !is_tidy();
        n_faults += n_makings() != N_MAKERS + 1;
        remove_folder();
    }
    munmap(ids, sizeof(char[N_MAKERS][UUID_TEXT_SIZE]));
    CHECK(n_faults == 0);
}

/* In a child that may be killed at any time from *has_begun on. */
static int make_unnamed(void *argument)
{
    *(volatile int *)argument = 1;
    char id[UUID_TEXT_SIZE];
    return make_one(id);
}

/* Kills it after delay_us and returns how long it ran until then or its own end. */
static int64_t make_and_kill(int64_t delay_us)
{
    volatile int *has_begun = shared_memory(sizeof(int));
    pid_t child = start_child(make_unnamed, (void *)has_begun);
    while (has_begun && !*has_begun)
        usleep(50);
    int64_t start = world_monotonic_clock();
    bool has_ended = false;
    while (!has_ended && world_monotonic_clock() < start + delay_us) {
        usleep(50);
        has_ended = waitpid(child, NULL, WNOHANG) == child;
    }
    int64_t end = world_monotonic_clock();
    if (!has_ended) {
        kill(child, SIGKILL);
        (void)end_of(child);
    }
    munmap((void *)has_begun, sizeof(int));
    return end - start;
}

static bool is_made_after_a_kill(int64_t delay_us)
{
    make_folder();
    (void)make_and_kill(delay_us);
    enum error_code code = open_error(false, NULL);
    /* One that was begun is there with its first commit or not at all. */
    int n_before = code == ERROR_NONE ? n_makings() : 1;
    CLEANUP(mem_freep) char *message = NULL;
    enum error_code again = open_error(true, &message);
    bool is_fine = (code == ERROR_NONE || code == ERROR_NOT_FOUND) && again == ERROR_NONE &&
                   n_before >= is_begun() && is_tidy();
    if (!is_fine)
        printf("# after %d us: %s, then %s (%s)\n", (int)delay_us, error_code_to_string(code),
               error_code_to_string(again), message);
    remove_folder();
    return is_fine;
}

TEST(a_maker_that_is_killed_leaves_nothing_that_is_in_the_way)
{
    make_folder();
    int64_t whole_us = make_and_kill(10000000);
    remove_folder();
    int n_faults = 0;
    for (int i = 0; i < n_kills(); i++)
        n_faults += !is_made_after_a_kill(whole_us * i / n_kills());
    printf("# killed %d times within %d us\n", n_kills(), (int)whole_us);
    CHECK(n_faults == 0);
}

/* --- Writers --- */

/* Takes the epoch as a run does: again and again until nobody was faster. */
static bool take_epoch(struct store_batch *batch)
{
    for (;;) {
        CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
        store_batch_take_epoch(batch, DEPLOYMENT, deployment.epoch + 1);
        int r = store_commit(store, batch, NULL, NULL);
        if (r != -ERROR_STALE)
            return r == 0;
    }
}

static int writer_number;

static void write_some(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < N_WRITTEN; i++) {
        CHECK(take_epoch(batch));
        CLEANUP(mem_freep) char *address = string_format("w%d[%d]", writer_number, i);
        add_record(batch, address, 1, "{}");
        add_journal(batch, RUN, "{}");
        CHECK(commits(batch, NULL));
    }
}

static int run_writer(void *argument)
{
    writer_number = *(int *)argument;
    int end = open_store() ? run_on_loop(write_some) : 1;
    close_store();
    return end;
}

static void check_written(void)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.epoch == 1 + N_WRITERS * N_WRITTEN);
    CHECK(deployment.records_version == 1 + N_WRITERS * N_WRITTEN);
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    size_t n_records = records.n_items;
    records_done(&records);
    CHECK(n_records == N_FILLED + N_WRITERS * N_WRITTEN);
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 10000);
    CHECK(rows && value_count(rows) == N_FILLED + N_WRITERS * N_WRITTEN);
    for (size_t i = 0; i < value_count(rows); i++)
        CHECK(value_get_integer(value_at(rows, i), "seq", 0) == (int64_t)i + 1);
}

FOLDER_TEST(several_writers_lose_nothing_and_never_share_an_epoch)
{
    pid_t children[N_WRITERS];
    int n_faults = 0;
    for (int i = 0; i < N_WRITERS; i++)
        children[i] = start_child(run_writer, &i);
    for (int i = 0; i < N_WRITERS; i++)
        n_faults += end_of(children[i]) != 0;
    CHECK(n_faults == 0 && open_store());
    int end = run_on_loop(check_written);
    close_store();
    CHECK(end == 0);
}

/* --- Readers and writers --- */

static int64_t commit_time;

static void commit_one(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    int64_t start = world_monotonic_clock();
    add_record(batch, "one", 1, "{}");
    CHECK(commits(batch, NULL));
    commit_time = world_monotonic_clock() - start;
}

FOLDER_TEST(who_reads_for_long_keeps_nobody_from_writing)
{
    CHECK(open_store());
    sqlite3 *reader = NULL;
    bool is_reading =
        sqlite3_open(path_of("parley.db"), &reader) == SQLITE_OK &&
        sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM records", NULL, NULL, NULL) == SQLITE_OK;
    int end = run_on_loop(commit_one);
    sqlite3_close(reader);
    close_store();
    CHECK(is_reading && end == 0 && commit_time < 5000000);
}

/* In a child: has the right to write for a while. */
static int write_for_long(void *argument)
{
    volatile int *is_writing = argument;
    sqlite3 *writer = NULL;
    int rc = sqlite3_open(path_of("parley.db"), &writer);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    *is_writing = 1;
    usleep(300000);
    sqlite3_close(writer);
    return rc;
}

static struct store_deployment *seen_meanwhile;
static int64_t read_time;

static void read_meanwhile(void *argument)
{
    (void)argument;
    int64_t start = world_monotonic_clock();
    *seen_meanwhile = find_deployment();
    read_time = world_monotonic_clock() - start;
}

FOLDER_TEST(a_commit_waits_for_another_writer_and_reads_do_not)
{
    int *is_writing = shared_memory(sizeof(int));
    CHECK(is_writing);
    pid_t child = start_child(write_for_long, is_writing);
    while (!*(volatile int *)is_writing)
        usleep(1000);
    CHECK(open_store());
    struct store_deployment deployment = {0};
    seen_meanwhile = &deployment;
    loop_spawn(loop, "read", read_meanwhile, NULL);
    int end = run_on_loop(commit_one);
    bool is_seen = deployment.uid != NULL;
    store_deployment_done(&deployment);
    close_store();
    int status = end_of(child);
    munmap(is_writing, sizeof(int));
    CHECK(status == 0 && end == 0 && is_seen);
    printf("# the commit took %d ms, the read %d ms\n", (int)(commit_time / 1000),
           (int)(read_time / 1000));
    CHECK(read_time < commit_time);
}

/* --- Killed --- */

/* Shared with the child that is killed: which entries it was told are durable. */
struct ledger {
    volatile int n_begun;
    volatile int n_answered;
    volatile char is_answered[N_ENTRIES];
};

static struct ledger *ledger;

/* Entry after entry, each a record and a journal row, until the end comes. */
static void write_entries(void *argument)
{
    (void)argument;
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    while (ledger->n_begun < N_ENTRIES) {
        int i = ledger->n_begun++;
        CLEANUP(mem_freep) char *address = string_format("entry[%d]", i);
        CLEANUP(mem_freep) char *body = string_format("{\"entry\":%d}", i);
        add_record(batch, address, 1, "{}");
        add_journal(batch, RUN, body);
        if (store_commit(store, batch, NULL, NULL) < 0)
            _exit(1);
        ledger->is_answered[i] = 1;
        ledger->n_answered++;
    }
}

static int write_until_killed(void *argument)
{
    (void)argument;
    if (!open_store())
        return 1;
    for (int i = 0; i < N_AT_ONCE; i++)
        loop_spawn(loop, "entries", write_entries, NULL);
    loop_run(loop);
    return 2;
}

/* Every answered entry is there, every other one is there as a whole or not at all. */
static void check_ledger(void)
{
    static char has_record[N_ENTRIES];
    static char has_row[N_ENTRIES];
    memset(has_record, 0, sizeof(has_record));
    memset(has_row, 0, sizeof(has_row));
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    for (size_t i = 0; i < records.n_items; i++) {
        CLEANUP(mem_freep) char *name = NULL;
        CLEANUP(value_unrefp) struct value *key = NULL;
        CHECK(address_parse(records.items[i]->address, &name, &key, NULL) == 0);
        if (text_equal(name, "entry"))
            has_record[value_to_integer(key)]++;
    }
    records_done(&records);
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, SIZE_MAX);
    for (size_t i = 0; rows && i < value_count(rows); i++) {
        int64_t entry = value_get_integer(value_at(rows, i), "entry", -1);
        if (entry >= 0)
            has_row[entry]++;
    }
    for (int i = 0; i < ledger->n_begun; i++) {
        CHECK(has_record[i] == has_row[i] && has_row[i] <= 1);
        CHECK(has_row[i] || !ledger->is_answered[i]);
    }
}

FOLDER_TEST(what_was_answered_before_a_kill_is_there_after_it)
{
    ledger = shared_memory(sizeof(*ledger));
    CHECK(ledger);
    int n_faults = 0;
    for (int i = 0; i < n_kills(); i++) {
        int n_wanted = ledger->n_answered + i % 7;
        pid_t child = start_child(write_until_killed, NULL);
        for (int wait = 0; ledger->n_answered < n_wanted && wait < 50000; wait++)
            usleep(200);
        usleep((useconds_t)(i * 1300 % 7000));
        kill(child, SIGKILL);
        n_faults += end_of(child) != 255;
        int end = open_store() ? run_on_loop(check_ledger) : 1;
        n_faults += end != 0;
        close_store();
    }
    int n_answered = ledger->n_answered;
    printf("# %d kills, %d of %d commits answered\n", n_kills(), n_answered, ledger->n_begun);
    munmap(ledger, sizeof(*ledger));
    CHECK(n_faults == 0 && n_answered > n_kills());
}
