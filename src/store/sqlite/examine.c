#include "store/sqlite/examine.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "store/sqlite/log.h"
#include "store/sqlite/pages.h"
#include "store/sqlite/schema.h"
#include "store/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAULTS_MAX = 100, READ_TRIES = 3, READ_PAUSE_MS = 5, PATIENCE_MS = 30000 };

const char *const examined_tables[] = {
    "store", "deployments", "revisions", "plans", "makers",  "steps",   "approvals",
    "runs",  "records",     "journal",   "audit", "secrets", "remains", "forgotten",
};
const size_t n_examined_tables = ARRAY_LENGTH(examined_tables);

/* Where JSON stands. */
static const struct json_column {
    const char *table;
    const char *column;
    bool may_be_null;
} json_columns[] = {
    {"deployments", "outputs", false}, {"revisions", "body", false},
    {"plans", "body", false},          {"steps", "body", false},
    {"makers", "body", false},         {"approvals", "body", false},
    {"records", "spec", false},        {"records", "outputs", false},
    {"records", "depends_on", false},  {"records", "bound", false},
    {"records", "live", false},        {"journal", "body", false},
    {"audit", "body", false},          {"remains", "body", false},
    {"steps", "after", true},          {"steps", "before", true},
};

/* Rows that refer to what is not there: a question whose answers are faults. */
static const char *const contradictions[] = {
    "SELECT 'deployment ' || uid || ' states revision ' || head_revision || ', which is not there' "
    "FROM deployments WHERE head_revision > 0 AND NOT EXISTS (SELECT 1 FROM revisions "
    "WHERE revisions.deployment = deployments.id AND number = head_revision)",
    "SELECT 'run ' || uid || ' has the unknown status ' || quote(status) FROM runs WHERE status "
    "NOT IN ('pending', 'running', 'done', 'failed', 'partly', 'cancelled')",
    "SELECT 'a row of ' || \"table\" || ' refers to one of ' || parent || ' that is not there' "
    "FROM pragma_foreign_key_check",
};

void examination_done(struct examination *examination)
{
    value_builder_done(&examination->faults);
    value_builder_done(&examination->rows);
}

void examination_add(struct examination *examination, char *take_text)
{
    size_t n = examination->faults.n_items;
    if (n < FAULTS_MAX)
        value_builder_append(&examination->faults, value_string(take_text));
    else if (n == FAULTS_MAX)
        value_builder_append(&examination->faults, value_string("and more"));
    mem_free(take_text);
}

/* --- Pages --- */

/* Somebody may be writing it just now: then it is whole the next time. */
static bool is_damaged(int fd, off_t offset)
{
    unsigned char page[PAGES_SIZE];
    for (int i = 0; i < READ_TRIES; i++) {
        int64_t n = files_read_at(fd, page, sizeof(page), offset);
        if (n == 0 || (n == (int64_t)sizeof(page) && pages_is_whole(page, offset)))
            return false;
        sqlite3_sleep(READ_PAUSE_MS);
    }
    return true;
}

int examine_pages(const char *path, struct examination *examination, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDONLY, 0);
    struct stat status;
    int r = fd < 0 ? fd : files_look_at_open(fd, &status);
    if (r < 0)
        return store_files_error(r, "read", path, err);
    for (off_t offset = 0; offset < status.st_size; offset += PAGES_SIZE)
        if (is_damaged(fd, offset))
            examination_add(examination, string_format("page %lld of %s is damaged",
                                                       (long long)offset / PAGES_SIZE + 1, path));
    return 0;
}

/* --- Content --- */

/* Adds the connection's newest failure. */
static void add_failure(struct examination *examination, struct connection *connection,
                        const char *what)
{
    examination_add(examination, string_format("%s cannot be read: %s", what,
                                               sqlite3_errmsg(connection->database)));
}

/* Each answer of a question but "ok" is a fault. */
static void ask_for_faults(struct connection *connection, const char *sql, const char *what,
                           struct examination *examination)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(statement, 0);
            if (text && !text_equal(text, "ok"))
                examination_add(examination, string_copy(text));
        }
    sqlite3_finalize(statement);
    if (rc != SQLITE_DONE)
        add_failure(examination, connection, what);
}

static void check_json(sqlite3_stmt *statement, const struct json_column *column,
                       struct examination *examination)
{
    if (column->may_be_null && sqlite3_column_type(statement, 1) == SQLITE_NULL)
        return;
    const char *text = (const char *)sqlite3_column_text(statement, 1);
    CLEANUP(value_unrefp) struct value *value = NULL;
    if (text && json_read(text, strlen(text), &value, NULL) == 0)
        return;
    examination_add(examination, string_format("row %lld of %s: %s is no JSON",
                                               (long long)sqlite3_column_int64(statement, 0),
                                               column->table, column->column));
}

static void examine_json(struct connection *connection, const struct json_column *column,
                         struct examination *examination)
{
    CLEANUP(mem_freep)
    char *sql = string_format("SELECT rowid, %s FROM %s", column->column, column->table);
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
            check_json(statement, column, examination);
    sqlite3_finalize(statement);
    if (rc != SQLITE_DONE)
        add_failure(examination, connection, column->table);
}

static void count_rows(struct connection *connection, struct examination *examination)
{
    for (size_t i = 0; i < n_examined_tables; i++) {
        CLEANUP(mem_freep)
        char *sql = string_format("SELECT count(*) FROM %s NOT INDEXED", examined_tables[i]);
        int64_t n = 0;
        if (connection_ask_number(connection, sql, &n, NULL) == 0)
            value_builder_set(&examination->rows, examined_tables[i], value_integer(n));
        else
            add_failure(examination, connection, examined_tables[i]);
    }
}

/* A fault of a step before SQLite's own look, which would only repeat it. */
static bool take_fault(struct examination *examination, int r, struct error *take_fault)
{
    if (r < 0)
        examination_add(examination, string_copy(error_message(take_fault)));
    error_done(take_fault);
    return r < 0;
}

int examine_content(const struct store_files *files, struct connection *connection,
                    struct examination *examination, struct error *err)
{
    struct error fault = {0};
    int64_t version = 0;
    if (take_fault(examination, store_files_check_application(files, connection, &fault), &fault))
        return 0;
    int r = schema_read_version(connection, &version, &fault);
    if (r == -ERROR_UNSUPPORTED)
        return error_move(err, &fault);
    if (take_fault(examination, r, &fault))
        return 0;
    (void)take_fault(examination, store_files_read_id(files, connection, examination->id, &fault),
                     &fault);
    ask_for_faults(connection, "PRAGMA integrity_check", "the file", examination);
    for (size_t i = 0; i < ARRAY_LENGTH(contradictions); i++)
        ask_for_faults(connection, contradictions[i], "a table", examination);
    for (size_t i = 0; i < ARRAY_LENGTH(json_columns); i++)
        examine_json(connection, &json_columns[i], examination);
    count_rows(connection, examination);
    return 0;
}

/* --- The store --- */

static int examine_database(const struct store_files *files, struct examination *examination,
                            struct error *err)
{
    struct error fault = {0};
    struct stat status;
    if (files_look_at(files->database, &status) < 0) {
        int r = store_files_check_missing(files, &fault);
        if (r == 0)
            return error_set(err, ERROR_NOT_FOUND, "there is no store in %s yet", files->folder);
        (void)take_fault(examination, r, &fault);
        return 0;
    }
    bool is_log_damaged = log_is_damaged(files->log);
    if (is_log_damaged)
        examination_add(
            examination,
            string_format("%s is damaged, and the newest changes are in it", files->log));
    int r = examine_pages(files->database, examination, err);
    /* SQLite would take what it can read of such a log for all of it. */
    if (r < 0 || is_log_damaged)
        return r;
    CLEANUP(connection_done) struct connection connection = {0};
    r = connection_open(&connection, files->database, PATIENCE_MS, &fault);
    if (r == 0) {
        sqlite3_db_config(connection.database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        r = connection_run(&connection, "PRAGMA query_only = ON", &fault);
    }
    if (take_fault(examination, r, &fault))
        return 0;
    return examine_content(files, &connection, examination, err);
}

static void examine_marker(const struct store_files *files, struct examination *examination)
{
    struct error fault = {0};
    if (examination->id[0] && world_file_exists(files->marker))
        (void)take_fault(examination, store_files_check_marker(files, examination->id, &fault),
                         &fault);
}

int store_examine(const char *folder, struct value **ret_report, struct error *err)
{
    CLEANUP(store_files_done) struct store_files files;
    CLEANUP(examination_done) struct examination examination = {0};
    store_files_init(&files, folder);
    int r = examine_database(&files, &examination, err);
    if (r < 0)
        return r;
    examine_marker(&files, &examination);
    struct value_builder report = {0};
    value_builder_set(&report, "id",
                      examination.id[0] ? value_string(examination.id) : value_null());
    value_builder_set(&report, "rows", value_builder_map(&examination.rows));
    value_builder_set(&report, "faults", value_builder_list(&examination.faults));
    *ret_report = value_builder_map(&report);
    return 0;
}
