/*
 * What the store in a folder does with files that are missing, foreign or damaged: it says so, and
 * takes nothing for what it is not.
 */
#include "contract/store-folder.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { FILE_LIMIT = 16 * 1024 * 1024 };

static unsigned int mode_of(const char *path)
{
    struct stat status;
    return lstat(path, &status) < 0 ? 0 : status.st_mode & 07777;
}

static bool write_file(const char *path, const char *text)
{
    return world_write_file(path, text, strlen(text), 0600, false, NULL) == 0;
}

/* --- Missing --- */

FOLDER_TEST(a_store_comes_back_as_it_was_closed)
{
    struct content first = look();
    struct content second = look();
    CHECK(first.code == ERROR_NONE && second.code == ERROR_NONE);
    CHECK(strstr(strbuf_text(&first.text), "content of box 59"));
    CHECK_TEXT(strbuf_text(&first.text), strbuf_text(&second.text));
    strbuf_done(&first.text);
    strbuf_done(&second.text);
}

TEST(without_create_no_store_is_made)
{
    make_folder();
    CLEANUP(mem_freep) char *message = NULL;
    enum error_code code = open_error(false, &message);
    bool is_empty = rmdir(folder) == 0;
    remove_folder();
    CHECK(code == ERROR_NOT_FOUND && is_empty && strstr(message, folder));
}

TEST(a_store_is_made_with_its_folders_and_is_for_its_owner_only)
{
    make_folder();
    mode_t mask = umask(0);
    char outer[64];
    memcpy(outer, folder, sizeof(outer));
    snprintf(folder, sizeof(folder), "%.40s/state/home", outer);
    bool is_open = open_store();
    unsigned int modes[] = {mode_of(path_of("")), mode_of(path_of("parley.db")),
                            mode_of(path_of("parley.id")), mode_of(path_of("parley.db-wal")),
                            mode_of(path_of("parley.db-shm"))};
    close_store();
    bool is_tidy = world_file_exists(path_of("parley.id")) &&
                   !world_file_exists(path_of("parley.db-wal")) &&
                   !world_file_exists(path_of("parley.db.new"));
    memcpy(folder, outer, sizeof(folder));
    umask(mask);
    remove_folder();
    CHECK(is_open && is_tidy);
    CHECK(modes[0] == 0700);
    for (size_t i = 1; i < ARRAY_LENGTH(modes); i++)
        CHECK(modes[i] == 0600);
}

/* What is there is told apart from what was never there. */
FOLDER_TEST(a_database_that_is_gone_is_missed)
{
    CHECK(unlink(path_of("parley.db")) == 0);
    for (int create = 0; create <= 1; create++) {
        CLEANUP(mem_freep) char *message = NULL;
        CHECK(open_error(create, &message) == ERROR_CORRUPT);
        CHECK(strstr(message, path_of("parley.db")) && strstr(message, path_of("parley.id")));
        CHECK(!world_file_exists(path_of("parley.db")));
    }
    CHECK(unlink(path_of("parley.id")) == 0 && write_file(path_of("parley.db-wal"), "log"));
    CHECK(open_error(true, NULL) == ERROR_CORRUPT);
    CHECK(unlink(path_of("parley.db-wal")) == 0);
    CHECK(open_error(true, NULL) == ERROR_NONE);
}

FOLDER_TEST(a_marker_that_is_gone_is_made_again)
{
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    CHECK(world_read_file(path_of("parley.id"), 100, &before, NULL, NULL) == 0);
    CHECK(unlink(path_of("parley.id")) == 0);
    CHECK(open_error(false, NULL) == ERROR_NONE);
    CHECK(world_read_file(path_of("parley.id"), 100, &after, NULL, NULL) == 0);
    CHECK_TEXT(after, before);
    CHECK(open_store());
    bool is_id = text_starts_with(after, store_id(store));
    close_store();
    CHECK(is_id);
}

FOLDER_TEST(a_marker_of_another_store_is_a_fault)
{
    struct strbuf large = {0};
    strbuf_add_repeated(&large, 'x', 100000);
    CLEANUP(mem_freep) char *text = strbuf_take(&large);
    const char *const markers[] = {"", "\n", "d0000000-0000-8000-8000-000000000001\n", text};
    for (size_t i = 0; i < ARRAY_LENGTH(markers); i++) {
        CHECK(write_file(path_of("parley.id"), markers[i]));
        CLEANUP(mem_freep) char *message = NULL;
        CHECK(open_error(true, &message) == ERROR_CORRUPT);
        CHECK(strstr(message, path_of("parley.id")));
    }
}

FOLDER_TEST(what_a_crash_left_while_a_store_was_made_is_in_nobodys_way)
{
    CHECK(unlink(path_of("parley.db")) == 0 && unlink(path_of("parley.id")) == 0);
    CHECK(write_file(path_of("parley.db.new"), "half a database"));
    CHECK(open_error(false, NULL) == ERROR_NOT_FOUND);
    CHECK(open_error(true, NULL) == ERROR_NONE);
    CHECK(!world_file_exists(path_of("parley.db.new")));
}

/* --- Foreign --- */

FOLDER_TEST(a_file_that_is_no_database_is_a_fault_and_stays_as_it_is)
{
    static const char *const contents[] = {
        "",
        "x",
        "SQLite format 3",
        "this is a text that somebody put here, long enough to have all that the head of a database has, and more",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(contents); i++) {
        CHECK(write_file(path_of("parley.db"), contents[i]));
        CLEANUP(mem_freep) char *message = NULL;
        CHECK(open_error(true, &message) == ERROR_CORRUPT);
        CHECK(strstr(message, path_of("parley.db")) && strstr(message, "state repair"));
        CLEANUP(mem_freep) char *after = NULL;
        CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &after, NULL, NULL) == 0);
        CHECK_TEXT(after, contents[i]);
    }
}

FOLDER_TEST(what_is_no_file_is_a_fault)
{
    CHECK(unlink(path_of("parley.db")) == 0 && mkdir(path_of("parley.db"), 0700) == 0);
    CHECK(open_error(true, NULL) == ERROR_CORRUPT);
    CHECK(rmdir(path_of("parley.db")) == 0 && symlink("elsewhere", path_of("parley.db")) == 0);
    CHECK(open_error(true, NULL) == ERROR_CORRUPT);
}

/* With SQLite's own file layer. */
static bool run_sql(const char *path, const char *sql)
{
    sqlite3 *database = NULL;
    int rc = sqlite3_open(path, &database);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(database, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        printf("# %s\n", sqlite3_errmsg(database));
    sqlite3_close(database);
    return rc == SQLITE_OK;
}

FOLDER_TEST(a_database_of_another_program_is_a_fault)
{
    CHECK(unlink(path_of("parley.db")) == 0);
    CHECK(run_sql(path_of("parley.db"), "CREATE TABLE deployments (id INTEGER PRIMARY KEY)"));
    CLEANUP(mem_freep) char *message = NULL;
    CHECK(open_error(true, &message) == ERROR_CORRUPT);
    CHECK(strstr(message, path_of("parley.db")));
}

FOLDER_TEST(what_another_program_wrote_into_the_database_is_noticed)
{
    CHECK(run_sql(path_of("parley.db"), "UPDATE records SET provider_id = 'i-forged'"));
    struct content content = look();
    bool is_forged = strstr(strbuf_text(&content.text), "forged") != NULL;
    strbuf_done(&content.text);
    CHECK(content.code == ERROR_CORRUPT && !is_forged);
}

/* The version stands in the file's head, at byte 60: the page's checksum has to be made anew, as
 * only a program of ours does it. */
FOLDER_TEST(a_store_of_a_newer_program_is_refused_and_stays_as_it_is)
{
    sqlite3 *database = NULL;
    CHECK(sqlite3_open_v2(path_of("parley.db"), &database, SQLITE_OPEN_READWRITE, "parley-pages") ==
          SQLITE_OK);
    int rc = sqlite3_exec(database, "PRAGMA user_version = 99", NULL, NULL, NULL);
    sqlite3_close(database);
    CHECK(rc == SQLITE_OK);
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    CLEANUP(mem_freep) char *message = NULL;
    size_t size = 0;
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &before, &size, NULL) == 0);
    CHECK(open_error(true, &message) == ERROR_UNSUPPORTED);
    CHECK(strstr(message, "99") && strstr(message, path_of("parley.db")));
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &after, NULL, NULL) == 0);
    CHECK(memcmp(before, after, size) == 0);
}

/* --- Damaged --- */

/* What a damaged store may do: fail as corrupt, or have everything as it was. */
static bool is_reported_or_harmless(const struct content *want, const char *what, size_t place)
{
    struct content content = look();
    bool is_fine = content.code == ERROR_CORRUPT ||
                   (content.code == ERROR_NONE &&
                    strcmp(strbuf_text(&content.text), strbuf_text(&want->text)) == 0);
    if (!is_fine)
        printf("# %s at %zu: %s\n", what, place, error_code_to_string(content.code));
    strbuf_done(&content.text);
    return is_fine;
}

static bool overwrite(const char *path, size_t place, const char *content, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = pwrite(fd, content, size, (off_t)place) == (ssize_t)size;
    close(fd);
    return is_written;
}

/* One bit of a byte, another one in each place. */
static void flip(char *byte, size_t place)
{
    *(unsigned char *)byte ^= (unsigned char)(1U << place % 8);
}

/* Each byte of the file's head, then some of each page. */
FOLDER_TEST(a_flipped_bit_is_reported_or_harmless)
{
    CLEANUP(mem_freep) char *bytes = NULL;
    size_t size = 0;
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &bytes, &size, NULL) == 0);
    struct content want = look();
    int n = 0;
    int n_faults = 0;
    for (size_t place = 0; place < size; n++) {
        char flipped = bytes[place];
        flip(&flipped, place);
        CHECK(overwrite(path_of("parley.db"), place, &flipped, 1));
        n_faults += !is_reported_or_harmless(&want, "a flipped bit", place);
        CHECK(overwrite(path_of("parley.db"), place, &bytes[place], 1));
        place += (place < 112 ? 1 : 769) * (size_t)thinning();
    }
    printf("# %d flipped bits in %zu bytes\n", n, size);
    bool is_healed = is_reported_or_harmless(&want, "nothing", 0);
    strbuf_done(&want.text);
    CHECK(n_faults == 0 && is_healed);
}

FOLDER_TEST(a_page_that_is_lost_or_in_the_wrong_place_is_reported_or_harmless)
{
    enum { PAGE = 4096 };
    CLEANUP(mem_freep) char *bytes = NULL;
    size_t size = 0;
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &bytes, &size, NULL) == 0);
    struct content want = look();
    static const char zeros[PAGE];
    int n_faults = 0;
    for (size_t page = 0; page < size / PAGE; page += (size_t)thinning()) {
        CHECK(overwrite(path_of("parley.db"), page * PAGE, zeros, PAGE));
        n_faults += !is_reported_or_harmless(&want, "a lost page", page);
        size_t other = (page + 1) % (size / PAGE);
        CHECK(overwrite(path_of("parley.db"), page * PAGE, bytes + other * PAGE, PAGE));
        n_faults += !is_reported_or_harmless(&want, "a page of elsewhere", page);
        CHECK(overwrite(path_of("parley.db"), page * PAGE, bytes + page * PAGE, PAGE));
    }
    strbuf_done(&want.text);
    CHECK(n_faults == 0);
}

FOLDER_TEST(a_file_that_was_cut_off_is_reported_or_lacks_nothing)
{
    struct stat status;
    struct content want = look();
    CHECK(stat(path_of("parley.db"), &status) == 0);
    int n_faults = 0;
    for (off_t size = status.st_size - 1; size >= 0;
         size -= (off_t)(size < 200 ? 50 : 1111) * thinning()) {
        CHECK(truncate(path_of("parley.db"), size) == 0);
        n_faults += !is_reported_or_harmless(&want, "the end", (size_t)size);
    }
    strbuf_done(&want.text);
    CHECK(n_faults == 0);
}

/* SQLite's index of the log is made anew by the first who comes. */
FOLDER_TEST(what_lies_in_place_of_the_shared_index_is_harmless)
{
    struct content want = look();
    CHECK(write_file(path_of("parley.db-shm"), "this is no index"));
    bool is_harmless = is_reported_or_harmless(&want, "the index", 0);
    CHECK(write_file(path_of("parley.db-shm"), ""));
    is_harmless = is_harmless && is_reported_or_harmless(&want, "the empty index", 0);
    strbuf_done(&want.text);
    CHECK(is_harmless);
}

/* --- A damaged log, as a killed process left it --- */

enum { N_LOGGED = 5, LOG_HEAD_SIZE = 32 };

static int n_logged;

static void commit_logged(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep) char *address = string_format("log[%d]", n_logged);
    add_record(batch, address, 1, "{\"a\":1}");
    add_journal(batch, RUN, "{}");
    CHECK(commits(batch, NULL));
}

/* In a child: commits, notes how long the log is after each, and waits for its end. */
static int commit_and_wait(void *argument)
{
    volatile size_t *sizes = argument;
    if (!open_store())
        return 1;
    for (n_logged = 0; n_logged < N_LOGGED; n_logged++) {
        struct stat status;
        if (run_on_loop(commit_logged) != 0 || stat(path_of("parley.db-wal"), &status) < 0)
            return 1;
        sizes[n_logged] = (size_t)status.st_size;
    }
    return pause();
}

/* How many of the commits are there; -1 when one is missing before one that is there. */
static int count_logged(const char *text)
{
    int n = 0;
    for (int i = 0; i < N_LOGGED; i++) {
        CLEANUP(mem_freep) char *address = string_format("\"log[%d]\"", i);
        if (!strstr(text, address))
            continue;
        if (i != n)
            return -1;
        n++;
    }
    return n;
}

/* A store that vanished: its files, to be put there again and again. */
struct vanished {
    char *database;
    size_t database_size;
    char *log;
    size_t log_size;
};

static bool put_vanished(const struct vanished *vanished, size_t log_size)
{
    unlink(path_of("parley.db-shm"));
    return world_write_file(path_of("parley.db"), vanished->database, vanished->database_size, 0600,
                            false, NULL) == 0 &&
           world_write_file(path_of("parley.db-wal"), vanished->log, log_size, 0600, false, NULL) ==
               0;
}

/*
 * All must be there, or the damage be told. What hits the newest one looks like a transaction that
 * was under way when the power went, whose last sector lacks that byte: that is nothing to tell of,
 * and those before it are there.
 */
static bool log_is_reported_or_harmless(const size_t *sizes, size_t place)
{
    struct content content = look();
    int n = count_logged(strbuf_text(&content.text));
    strbuf_done(&content.text);
    int hit = 0;
    while (hit < N_LOGGED && sizes[hit] <= place)
        hit++;
    bool is_newest = hit == N_LOGGED - 1;
    bool is_fine = content.code == ERROR_NONE ? n == N_LOGGED || (is_newest && n == N_LOGGED - 1)
                                              : content.code == ERROR_CORRUPT && !is_newest;
    if (!is_fine)
        printf("# the log at %zu, in commit %d of %d: %d are there, %s\n", place, hit, N_LOGGED, n,
               error_code_to_string(content.code));
    return is_fine;
}

FOLDER_TEST(a_damaged_log_is_reported_or_harmless_but_for_the_newest_commit)
{
    size_t *sizes = shared_memory(sizeof(size_t[N_LOGGED]));
    CHECK(sizes);
    pid_t child = start_child(commit_and_wait, sizes);
    for (int i = 0; i < 100000 && !((volatile size_t *)sizes)[N_LOGGED - 1]; i++)
        usleep(200);
    kill(child, SIGKILL);
    CHECK(end_of(child) == 255);
    struct vanished vanished = {0};
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &vanished.database,
                          &vanished.database_size, NULL) == 0);
    CHECK(world_read_file(path_of("parley.db-wal"), FILE_LIMIT, &vanished.log, &vanished.log_size,
                          NULL) == 0);
    CHECK(vanished.log_size == sizes[N_LOGGED - 1]);
    int n_faults = 0;
    int n = 0;
    for (size_t place = 0; place < vanished.log_size; n++) {
        flip(&vanished.log[place], place);
        n_faults += !put_vanished(&vanished, vanished.log_size) ||
                    !log_is_reported_or_harmless(sizes, place);
        flip(&vanished.log[place], place);
        place += (place < LOG_HEAD_SIZE ? 1 : 601) * (size_t)thinning();
    }
    CHECK(put_vanished(&vanished, vanished.log_size));
    struct content whole = look();
    bool is_whole = whole.code == ERROR_NONE && count_logged(strbuf_text(&whole.text)) == N_LOGGED;
    strbuf_done(&whole.text);
    /* A log that ends early is what a crash leaves: all that is whole in it counts. */
    bool is_prefix = true;
    for (int i = 0; i < N_LOGGED - 1 && put_vanished(&vanished, sizes[i] + 100); i++) {
        struct content cut = look();
        is_prefix =
            is_prefix && cut.code == ERROR_NONE && count_logged(strbuf_text(&cut.text)) == i + 1;
        strbuf_done(&cut.text);
    }
    printf("# %d flipped bits in %zu bytes of log\n", n, vanished.log_size);
    mem_free(vanished.database);
    mem_free(vanished.log);
    munmap(sizes, sizeof(size_t[N_LOGGED]));
    CHECK(n_faults == 0 && is_whole && is_prefix);
}
