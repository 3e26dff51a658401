#include "store/sqlite/connection.h"

#include "base/strbuf.h"
#include "base/teeth.h"
#include "store/sqlite/pages.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CELLS_MAX = 20 };

#define DEPLOYMENT_LIST                                                                    \
    "uid, name, environment, incarnation, is_destroyed, outputs, created_at, updated_at, " \
    "accounts, records_version, head_revision, epoch FROM deployments "

#define RECORD_LIST                                                                      \
    "?1, address, generation, type, instance, uid, provider_id, status, spec, outputs, " \
    "depends_on, protect, origin, created_at, updated_at, bound, live FROM records "

/* As enum step_text. */
#define STEP_LIST                                                                               \
    "steps.body, label, reason, type, instance, uid, origin, stage, after, before, resources, " \
    "depends_on "

#define RUN_LIST                                                                                                      \
    "runs.uid, deployments.uid, plans.hash, principal, words, status, runs.epoch, started_at, "                       \
    "ended_at, message, client, chain, chained, unchained FROM runs JOIN deployments ON deployments.id = deployment " \
    "JOIN plans ON plans.id = plan "

/* Whether a row of deployments is of the newest incarnation. */
#define IS_NEWEST(row)                                                                \
    "NOT EXISTS (SELECT 1 FROM deployments AS newer WHERE newer.name = " row ".name " \
    "AND newer.environment = " row ".environment AND newer.incarnation > " row ".incarnation)"

#define DEPLOYMENT_ID "(SELECT id FROM deployments WHERE uid = ?1)"

/* Parameters and columns are as driver.h says. */
static const char *const query_texts[] = {
    [QUERY_FIND_DEPLOYMENT] =
        "SELECT " DEPLOYMENT_LIST
        "WHERE name = ?1 AND environment = ?2 ORDER BY incarnation DESC LIMIT 1",
    [QUERY_LIST_DEPLOYMENTS] = "SELECT " DEPLOYMENT_LIST
                               "AS listed WHERE " IS_NEWEST("listed") " ORDER BY name, environment",
    [QUERY_LOAD_RECORDS] =
        "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID " ORDER BY address, generation",
    [QUERY_FIND_RECORDS] = "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID
                           " AND address = ?2 ORDER BY generation",
    [QUERY_LIST_RECORDS] = "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID
                           " AND address >= ?2 AND address < ?3 "
                           "ORDER BY address, generation LIMIT ?5 OFFSET ?4",
    [QUERY_COUNT_RECORDS] = "SELECT count(*) FROM records WHERE deployment = " DEPLOYMENT_ID,
    [QUERY_LIST_INSTANCES] =
        "SELECT DISTINCT instance FROM records WHERE deployment = " DEPLOYMENT_ID,
    [QUERY_FIND_OWNER] =
        "SELECT address, name, environment FROM records "
        "JOIN deployments AS owner ON owner.id = deployment "
        "WHERE (provider_id = ?3 OR records.uid = ?4) AND instance = ?2 AND owner.uid <> ?1 "
        "AND NOT is_destroyed AND " IS_NEWEST(
            "owner") " ORDER BY name, environment, address, generation LIMIT 1",
    [QUERY_LIST_REMAINS] =
        "SELECT created_at, body FROM remains WHERE deployment = " DEPLOYMENT_ID " ORDER BY id",
    [QUERY_HAS_FORGOTTEN] = "SELECT 1 FROM forgotten WHERE deployment = " DEPLOYMENT_ID " LIMIT 1",
    [QUERY_FIND_FORGOTTEN] = "SELECT type, instance, uid, provider_id, generation FROM forgotten "
                             "WHERE deployment = " DEPLOYMENT_ID " AND address = ?2 "
                             "AND has_document <= ?3 ORDER BY run DESC, generation DESC LIMIT 1",
    [QUERY_GET_REVISION] =
        "SELECT number, revisions.created_at, body, document, given FROM revisions "
        "JOIN deployments ON deployments.id = deployment "
        "WHERE uid = ?1 AND number = iif(?2 = 0, head_revision, ?2)",
    [QUERY_LIST_REVISIONS] = "SELECT number, created_at, body FROM revisions "
                             "WHERE deployment = " DEPLOYMENT_ID " AND (?2 = 0 OR number < ?2) "
                             "ORDER BY number DESC LIMIT ?3",
    [QUERY_READ_STEPS] =
        "SELECT " STEP_LIST "FROM plans CROSS JOIN steps ON steps.id >= plans.id << 32 "
        "AND steps.id < (plans.id + 1) << 32 "
        "WHERE plans.hash >= ?1 AND plans.hash < ?1 || 'g' ORDER BY steps.id",
    [QUERY_LIST_STEPS] =
        "SELECT " STEP_LIST
        "FROM steps WHERE id >= (SELECT plan << 32 | ?2 FROM runs WHERE uid = ?1) "
        "AND id < (SELECT (plan << 32 | ?2) + ?3 FROM runs WHERE uid = ?1) ORDER BY id",
    [QUERY_FIND_PLANS] =
        "SELECT body, document FROM plans WHERE hash >= ?1 AND hash < ?1 || 'g' LIMIT 2",
    [QUERY_LIST_MAKERS] = "SELECT body FROM makers "
                          "WHERE plan = (SELECT id FROM plans WHERE hash = ?1) ORDER BY id",
    [QUERY_LIST_APPROVALS] = "SELECT body FROM approvals "
                             "WHERE plan = (SELECT id FROM plans WHERE hash = ?1) ORDER BY id",
    [QUERY_FIND_SECRET] =
        "SELECT sealed FROM secrets WHERE deployment_uid = ?1 AND name = ?2 AND form = ?3",
    [QUERY_LIST_SECRETS] =
        "SELECT name, form, created_at FROM secrets WHERE deployment_uid = ?1 ORDER BY id",
    [QUERY_GET_RUN] = "SELECT " RUN_LIST "WHERE runs.uid = ?1",
    [QUERY_LIST_RUNS] =
        "SELECT " RUN_LIST "WHERE deployment = " DEPLOYMENT_ID " ORDER BY runs.id DESC LIMIT ?2",
    [QUERY_LIST_ALL_RUNS] = "SELECT " RUN_LIST "ORDER BY runs.id DESC LIMIT ?1",
    [QUERY_READ_JOURNAL] = "SELECT seq, ?1, time, kind, body, step FROM journal "
                           "WHERE run = (SELECT id FROM runs WHERE uid = ?1) AND seq > ?2 "
                           "ORDER BY seq LIMIT ?3",
    [QUERY_READ_AUDIT] = "SELECT number, time, kind, body, rows, head, digest FROM audit "
                         "WHERE number > ?1 ORDER BY number LIMIT ?2",
    [QUERY_LAST_AUDIT] = "SELECT ifnull(max(number), 0) FROM audit",
};

/* A change that finds no row and changes none was refused, but for those that may do nothing. */
static const char *const change_texts[] = {
    [CHANGE_CHECK_EPOCH] =
        "SELECT 1 WHERE ifnull((SELECT epoch FROM deployments WHERE uid = ?1), 0) = ?2",
    [CHANGE_CHECK_VERSION] =
        "SELECT 1 WHERE ifnull((SELECT records_version FROM deployments WHERE uid = ?1), 0) = ?2",
    [CHANGE_CHECK_RUN] = "SELECT 1 FROM runs WHERE uid = ?1 AND status = ?2",
    [CHANGE_CHECK_ADOPTABLE] =
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM records JOIN deployments ON deployments.id = "
        "deployment WHERE provider_id = ?3 AND instance = ?2 AND deployments.uid <> ?1) "
        "AND NOT EXISTS (SELECT 1 FROM runs JOIN deployments ON deployments.id = deployment "
        "CROSS JOIN steps ON steps.id >= runs.plan << 32 AND steps.id < (runs.plan + 1) << 32 "
        "WHERE status = 'running' AND deployments.uid <> ?1 "
        "AND (substr(label, 1, 6) = 'adopt ' OR steps.body ->> 'kind' = 'adopt') "
        "AND ifnull(steps.instance, steps.body ->> 'instance') = ?2 "
        "AND steps.body ->> 'provider_id' = ?3)",
    [CHANGE_CHECK_APPROVALS] =
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM (SELECT body FROM approvals WHERE plan = "
        "(SELECT id FROM plans WHERE hash = ?1) ORDER BY id LIMIT -1 OFFSET ?2) "
        "WHERE body ->> 'decision' IS NOT NULL)",
    [CHANGE_CHECK_LINK] = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM approvals WHERE plan = "
                          "(SELECT id FROM plans WHERE hash = ?1) AND body ->> 'link' = ?2)",
    [CHANGE_TAKE_EPOCH] = "UPDATE deployments SET epoch = ?2 WHERE uid = ?1 AND epoch = ?2 - 1",
    [CHANGE_PUT_DEPLOYMENT] =
        "INSERT INTO deployments (uid, name, environment, incarnation, is_destroyed, outputs, "
        "created_at, updated_at, accounts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [CHANGE_GROW_VERSION] =
        "UPDATE deployments SET records_version = records_version + 1 WHERE uid = ?1",
    [CHANGE_GROW_HEAD] = "UPDATE deployments SET head_revision = head_revision + 1 WHERE uid = ?1",
    [CHANGE_ADD_REVISION] =
        "INSERT INTO revisions (deployment, number, created_at, body, document, given) "
        "SELECT id, head_revision, ?2, ?3, ?4, ?5 FROM deployments WHERE uid = ?1",
    [CHANGE_PUT_PLAN] = "INSERT INTO plans (hash, deployment_uid, created_at, body, document) "
                        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (hash) DO NOTHING",
    /* Its first parameter is the number of the plan's row. */
    [CHANGE_ADD_STEPS] = "INSERT INTO steps (id, plan, body, label, reason, type, "
                         "instance, uid, origin, stage, after, before, resources, depends_on) "
                         "VALUES (?1 << 32 | ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                         "?13, ?14) ON CONFLICT (id) DO NOTHING",
    /* The same. */
    [CHANGE_ADD_MAKER] = "INSERT INTO makers (plan, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [CHANGE_ADD_APPROVAL] =
        "INSERT INTO approvals (plan, body) SELECT id, ?2 FROM plans WHERE hash = ?1",
    [CHANGE_PUT_SECRET] =
        "INSERT INTO secrets (deployment_uid, name, form, created_at, sealed) "
        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (deployment_uid, name, form) DO NOTHING",
    [CHANGE_REMOVE_SECRETS] = "DELETE FROM secrets WHERE deployment_uid = ?1",
    [CHANGE_PUT_RUN] =
        "INSERT INTO runs (uid, deployment, plan, principal, words, status, epoch, started_at, "
        "ended_at, message, client, chain) "
        "VALUES (?1, (SELECT id FROM deployments WHERE uid = ?2), "
        "(SELECT id FROM plans WHERE hash = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?1)",
    [CHANGE_PUT_RECORD] =
        "INSERT INTO records (deployment, address, generation, type, instance, uid, provider_id, "
        "status, spec, outputs, depends_on, protect, origin, created_at, updated_at, bound, live) "
        "SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17 "
        "FROM deployments WHERE uid = ?1 ON CONFLICT (deployment, address, generation) "
        "DO UPDATE SET type = ?4, instance = ?5, uid = ?6, provider_id = ?7, status = ?8, "
        "spec = ?9, outputs = ?10, depends_on = ?11, protect = ?12, origin = ?13, "
        "created_at = ?14, updated_at = ?15, bound = ?16, live = ?17",
    [CHANGE_REMOVE_RECORD] = "DELETE FROM records WHERE deployment = " DEPLOYMENT_ID
                             " AND address = ?2 AND generation = ?3",
    [CHANGE_ADD_REMAINS] = "INSERT INTO remains (deployment, created_at, body) "
                           "SELECT id, ?2, ?3 FROM deployments WHERE uid = ?1",
    [CHANGE_ADD_FORGOTTEN] =
        "INSERT INTO forgotten (deployment, run, has_document, address, type, instance, uid, "
        "provider_id, generation) "
        "SELECT deployment, id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM runs WHERE uid = ?1",
    /* Its first parameter is the number of the run's row. */
    [CHANGE_JOURNAL] = "INSERT INTO journal (run, time, kind, body, step) "
                       "VALUES (?1, ?2, ?3, ?4, ?5)",
    /* All of it is computed: number and digest follow from the entry before. */
    [CHANGE_AUDIT] = "INSERT INTO audit (number, time, kind, body, rows, head, digest) "
                     "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
};

/* What is changed when it is there; else change_texts adds it. One statement for both takes SQLite
 * several times as long to prepare, and every process prepares its own. */
static const char *const update_texts[CHANGE_KIND_COUNT] = {
    [CHANGE_PUT_DEPLOYMENT] =
        ("UPDATE deployments SET is_destroyed = ?5, outputs = ?6, created_at = ?7, updated_at = ?8, "
         "accounts = ?9 WHERE uid = ?1 AND name = ?2 AND environment = ?3 AND incarnation = ?4"),
    [CHANGE_PUT_RUN] =
        ("UPDATE runs SET principal = ?4, words = ?5, status = ?6, epoch = ?7, started_at = ?8, "
         "ended_at = ?9, message = ?10, client = ?11 WHERE uid = ?1"),
};

/* The chain of a run's journal: read before the first row of a batch, written behind the last. */
static const char find_chain_text[] = "SELECT id, chain, chained FROM runs WHERE uid = ?1";
static const char put_chain_text[] =
    "UPDATE runs SET chain = ?2, chained = chained + ?3 WHERE id = ?1";

static const char last_audit_text[] =
    "SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1";

static const char find_plan_text[] = "SELECT id FROM plans WHERE hash = ?1";

static bool may_do_nothing(enum store_change_kind kind)
{
    return kind == CHANGE_PUT_PLAN || kind == CHANGE_PUT_SECRET || kind == CHANGE_REMOVE_SECRETS;
}

int connection_corrupt(const char *path, const char *what, struct error *err)
{
    return error_set(
        err, ERROR_CORRUPT,
        "%s: %s. Nothing was changed and nothing guessed. \"parley state check\" names all that "
        "is damaged, \"parley state repair\" keeps what is whole, and \"parley state restore\" "
        "brings a snapshot back",
        path, what);
}

static bool is_full(int system_error)
{
    return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

/* SQLite keeps the cause of a failed statement, but not that of a failed commit: that may still be
 * in errno, which is cleared before each. */
static int system_cause(sqlite3 *database)
{
    int cause = errno;
    int kept = sqlite3_system_errno(database);
    return kept != 0 ? kept : cause;
}

int connection_fault(struct connection *connection, struct error *err)
{
    int cause = system_cause(connection->database);
    const char *path = connection->path;
    const char *message = sqlite3_errmsg(connection->database);
    int extended = sqlite3_extended_errcode(connection->database);
    if (extended == SQLITE_IOERR_DATA || extended == SQLITE_IOERR_CORRUPTFS)
        return connection_corrupt(path, "a page's checksum is wrong", err);
    switch (extended & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return connection_corrupt(path, message, err);
    case SQLITE_FULL:
        return error_set(
            err, ERROR_LIMIT,
            "%s: the disk is full, so nothing was written; make room, then run it again", path);
    case SQLITE_TOOBIG:
        return error_set(err, ERROR_LIMIT, "%s: a value is larger than the store can keep", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERROR_BUSY, "%s: other processes did not let go of it", path);
    case SQLITE_NOMEM:
        return error_set(err, ERROR_LIMIT, "%s: out of memory; nothing was changed", path);
    default:
        break;
    }
    bool is_system = (extended & 0xff) == SQLITE_IOERR || (extended & 0xff) == SQLITE_CANTOPEN;
    if (is_system && is_full(cause))
        return error_set(err, ERROR_LIMIT, "%s: there is no more room for it (%s)", path,
                         strerror(cause));
    if (is_system && cause != 0)
        return error_set(err, ERROR_UNAVAILABLE, "%s: %s (%s)", path, message, strerror(cause));
    return error_set(err, ERROR_UNAVAILABLE, "%s: %s", path, message);
}

/* Whatever a damaged or foreign file says, its schema runs nothing of its own. */
static int set_up(struct connection *connection, struct error *err)
{
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    int r = connection_run(connection,
                           "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; "
                           "PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 67108864; "
                           "PRAGMA cell_size_check = ON;",
                           err);
    if (r == 0 && TOOTH(NO_SYNC))
        r = connection_run(connection, "PRAGMA synchronous = OFF", err);
    return r;
}

int connection_open(struct connection *connection, const char *path, int patience_ms,
                    struct error *err)
{
    *connection = (struct connection){.path = path};
    int rc = sqlite3_open_v2(path, &connection->database,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, pages_file_layer());
    if (rc != SQLITE_OK)
        return connection_fault(connection, err);
    sqlite3_extended_result_codes(connection->database, 1);
    sqlite3_busy_timeout(connection->database, patience_ms);
    return set_up(connection, err);
}

void connection_done(struct connection *connection)
{
    for (size_t i = 0; i < QUERY_COUNT; i++)
        sqlite3_finalize(connection->queries[i]);
    for (size_t i = 0; i < CHANGE_KIND_COUNT; i++) {
        sqlite3_finalize(connection->changes[i]);
        sqlite3_finalize(connection->updates[i]);
    }
    sqlite3_finalize(connection->find_chain);
    sqlite3_finalize(connection->put_chain);
    sqlite3_finalize(connection->find_plan);
    sqlite3_finalize(connection->last_audit);
    int rc = sqlite3_close(connection->database);
    assert(rc == SQLITE_OK);
    (void)rc;
    *connection = (struct connection){0};
}

int connection_run(struct connection *connection, const char *sql, struct error *err)
{
    errno = 0;
    if (sqlite3_exec(connection->database, sql, NULL, NULL, NULL) != SQLITE_OK)
        return connection_fault(connection, err);
    return 0;
}

/* The one answer, as the statement that holds it; *ret_statement is NULL when there is none. */
static int ask(struct connection *connection, const char *sql, sqlite3_stmt **ret_statement,
               struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *ret_statement = statement;
        return 0;
    }
    int r = rc == SQLITE_DONE ? 0 : connection_fault(connection, err);
    sqlite3_finalize(statement);
    *ret_statement = NULL;
    return r;
}

int connection_ask_number(struct connection *connection, const char *sql, int64_t *ret_number,
                          struct error *err)
{
    sqlite3_stmt *statement;
    int r = ask(connection, sql, &statement, err);
    if (r < 0)
        return r;
    *ret_number = statement ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return 0;
}

int connection_ask_text(struct connection *connection, const char *sql, char **ret_text,
                        struct error *err)
{
    sqlite3_stmt *statement;
    int r = ask(connection, sql, &statement, err);
    if (r < 0)
        return r;
    const char *text = statement ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    *ret_text = text ? string_copy(text) : NULL;
    sqlite3_finalize(statement);
    return 0;
}

static int prepare(struct connection *connection, const char *sql, sqlite3_stmt **statement,
                   struct error *err)
{
    if (!*statement && sqlite3_prepare_v3(connection->database, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                          statement, NULL) != SQLITE_OK)
        return connection_fault(connection, err);
    return 0;
}

/* The texts of the row must live until the statement is reset. */
static int bind_row(struct connection *connection, sqlite3_stmt *statement,
                    const struct store_row *row, struct error *err)
{
    assert((size_t)sqlite3_bind_parameter_count(statement) == row->n_cells);
    for (size_t i = 0; i < row->n_cells; i++) {
        const struct store_cell *cell = &row->cells[i];
        int column = (int)i + 1;
        int rc = !cell->is_text ? sqlite3_bind_int64(statement, column, cell->number)
                 : !cell->text
                     ? sqlite3_bind_null(statement, column)
                     : sqlite3_bind_text64(statement, column, cell->text, strlen(cell->text),
                                           SQLITE_STATIC, SQLITE_UTF8);
        if (rc != SQLITE_OK)
            return connection_fault(connection, err);
    }
    return 0;
}

static void release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* No text of ours holds a NUL: a page that was lost does. A connection is used by one thread at a
 * time, so that a cell is looked up once, and asked without the locks of sqlite3_column_*(). */
static int read_row(struct connection *connection, sqlite3_stmt *statement, struct store_row *row,
                    struct error *err)
{
    row->n_cells = (size_t)sqlite3_column_count(statement);
    assert(row->n_cells <= CELLS_MAX);
    for (size_t i = 0; i < row->n_cells; i++) {
        sqlite3_value *value = sqlite3_column_value(statement, (int)i);
        struct store_cell *cell = &row->cells[i];
        *cell = (struct store_cell){.is_text = sqlite3_value_type(value) != SQLITE_INTEGER};
        if (!cell->is_text)
            cell->number = sqlite3_value_int64(value);
        else
            cell->text = (char *)sqlite3_value_text(value);
        if (cell->text && strlen(cell->text) != (size_t)sqlite3_value_bytes(value))
            return connection_corrupt(connection->path, "part of a text is missing", err);
    }
    return 0;
}

int connection_query(struct connection *connection, enum store_query query,
                     const struct store_row *parameters, store_visit *visit, void *argument,
                     struct error *err)
{
    sqlite3_stmt **statement = &connection->queries[query];
    int r = prepare(connection, query_texts[query], statement, err);
    if (r < 0)
        return r;
    r = bind_row(connection, *statement, parameters, err);
    struct store_cell cells[CELLS_MAX];
    struct store_row row = {.cells = cells};
    int rc = SQLITE_ROW;
    while (r == 0 && (rc = sqlite3_step(*statement)) == SQLITE_ROW) {
        r = read_row(connection, *statement, &row, err);
        if (r == 0)
            r = visit(argument, &row, err);
    }
    if (r == 0 && rc != SQLITE_DONE)
        r = connection_fault(connection, err);
    release(*statement);
    return r;
}

/* --- Changes --- */

/* Runs a change that nothing forbids. */
static int run_with(struct connection *connection, sqlite3_stmt *statement,
                    const struct store_row *row, struct error *err)
{
    int r = bind_row(connection, statement, row, err);
    errno = 0;
    if (r == 0 && sqlite3_step(statement) != SQLITE_DONE)
        r = connection_fault(connection, err);
    release(statement);
    return r;
}

/* The run's row takes over what its journal has become. */
static int put_chain(struct connection *connection, struct error *err)
{
    struct journal_chain *chain = &connection->chain;
    if (chain->n_new == 0)
        return 0;
    int r = prepare(connection, put_chain_text, &connection->put_chain, err);
    if (r < 0)
        return r;
    struct store_cell cells[] = {{.number = chain->run_row},
                                 {.is_text = true, .text = chain->digest},
                                 {.number = chain->n_new}};
    r = run_with(connection, connection->put_chain, &(struct store_row){cells, ARRAY_LENGTH(cells)},
                 err);
    chain->n_new = 0;
    return r;
}

/* Reads what a run's row says of its journal; leaves run empty where there is no such run. */
static int read_chain(struct connection *connection, struct store_cell run,
                      struct journal_chain *ret_chain, int64_t *ret_n_rows, struct error *err)
{
    int r = prepare(connection, find_chain_text, &connection->find_chain, err);
    if (r < 0)
        return r;
    sqlite3_stmt *statement = connection->find_chain;
    r = bind_row(connection, statement, &(struct store_row){&run, 1}, err);
    int rc = r == 0 ? sqlite3_step(statement) : SQLITE_DONE;
    const char *digest = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 1) : NULL;
    *ret_chain = (struct journal_chain){0};
    if (digest) {
        ret_chain->run_row = sqlite3_column_int64(statement, 0);
        *ret_n_rows = sqlite3_column_int64(statement, 2);
        snprintf(ret_chain->run, sizeof(ret_chain->run), "%s", run.text);
        snprintf(ret_chain->digest, sizeof(ret_chain->digest), "%s", digest);
    } else if (r == 0 && rc != SQLITE_DONE) {
        r = connection_fault(connection, err);
    }
    release(statement);
    return r;
}

/* Turns to the journal of a run; refused when it is not there. */
static int find_chain(struct connection *connection, const struct store_change *change,
                      struct error *err)
{
    struct journal_chain *chain = &connection->chain;
    struct store_cell run = change->row.cells[JOURNAL_COLUMN_RUN - 1];
    int64_t n_rows;
    if (strcmp(chain->run, run.text) == 0)
        return 0;
    int r = put_chain(connection, err);
    if (r == 0)
        r = read_chain(connection, run, chain, &n_rows, err);
    return r == 0 && chain->run[0] == '\0' ? store_refuse_change(change, err) : r;
}

/* What is bound for a change: a journal row names its run by number, and goes into its chain. */
static int bind_change(struct connection *connection, sqlite3_stmt *statement,
                       const struct store_change *change, struct error *err)
{
    if (change->kind != CHANGE_JOURNAL)
        return bind_row(connection, statement, &change->row, err);
    struct journal_chain *chain = &connection->chain;
    struct store_cell cells[CELLS_MAX];
    struct store_row row = {cells, change->row.n_cells};
    assert(row.n_cells <= CELLS_MAX);
    int r = find_chain(connection, change, err);
    if (r < 0)
        return r;
    memcpy(cells, change->row.cells, row.n_cells * sizeof(cells[0]));
    cells[0] = (struct store_cell){.number = chain->run_row};
    struct store_row parts = {change->row.cells + 1, row.n_cells - 1};
    store_chain(chain->digest, &parts, chain->digest);
    chain->n_new++;
    return bind_row(connection, statement, &row, err);
}

static int find_plan(struct connection *connection, const struct store_change *change,
                     int64_t *ret_id, struct error *err)
{
    int r = prepare(connection, find_plan_text, &connection->find_plan, err);
    if (r < 0)
        return r;
    r = bind_row(connection, connection->find_plan, &change->row, err);
    int rc = r == 0 ? sqlite3_step(connection->find_plan) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        *ret_id = sqlite3_column_int64(connection->find_plan, 0);
    else if (r == 0)
        r = rc == SQLITE_DONE ? store_refuse_change(change, err)
                              : connection_fault(connection, err);
    release(connection->find_plan);
    return r;
}

/* Every parameter is set anew for each step, so that nothing needs clearing between them. */
static int add_steps(struct connection *connection, const struct store_change *change,
                     struct error *err)
{
    sqlite3_stmt **statement = &connection->changes[CHANGE_ADD_STEPS];
    CLEANUP(strbuf_done) struct strbuf buffer = {0};
    int64_t plan = 0;
    int r = find_plan(connection, change, &plan, err);
    if (r == 0)
        r = prepare(connection, change_texts[CHANGE_ADD_STEPS], statement, err);
    for (size_t i = 0; r == 0 && i < change->steps->n_steps; i++) {
        struct store_cell cells[STEP_COLUMN_COUNT];
        store_write_step(change, i, &buffer, cells);
        cells[STEP_COLUMN_PLAN] = (struct store_cell){.number = plan};
        r = bind_row(connection, *statement, &(struct store_row){cells, ARRAY_LENGTH(cells)}, err);
        errno = 0;
        if (r == 0 && sqlite3_step(*statement) != SQLITE_DONE)
            r = connection_fault(connection, err);
        sqlite3_reset(*statement);
    }
    if (*statement)
        release(*statement);
    return r;
}

static int add_maker(struct connection *connection, const struct store_change *change,
                     struct error *err)
{
    sqlite3_stmt **statement = &connection->changes[CHANGE_ADD_MAKER];
    struct store_cell cells[] = {{0}, change->row.cells[1]};
    struct store_change plan = {.kind = change->kind, .row = {change->row.cells, 1}};
    int r = find_plan(connection, &plan, &cells[0].number, err);
    if (r == 0)
        r = prepare(connection, change_texts[CHANGE_ADD_MAKER], statement, err);
    if (r == 0)
        r = run_with(connection, *statement, &(struct store_row){cells, ARRAY_LENGTH(cells)}, err);
    return r;
}

/* The newest entry; before the first one, what that follows from: the store's id. */
static int find_last_audit(struct connection *connection, int64_t *ret_number,
                           char ret_digest[DIGEST_HEX_SIZE], struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    int r = prepare(connection, last_audit_text, &connection->last_audit, err);
    if (r < 0)
        return r;
    sqlite3_stmt *statement = connection->last_audit;
    errno = 0;
    int rc = sqlite3_step(statement);
    const char *digest = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 1) : NULL;
    *ret_number = digest ? sqlite3_column_int64(statement, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        r = connection_fault(connection, err);
    else if (!digest)
        r = connection_ask_text(connection, "SELECT id FROM store", &id, err);
    snprintf(ret_digest, DIGEST_HEX_SIZE, "%s", digest ? digest : id ? id : "");
    release(statement);
    return r;
}

static int add_audit(struct connection *connection, const struct store_change *change,
                     struct error *err)
{
    enum { RUN = 3, N_PARTS = AUDIT_COLUMN_DIGEST - AUDIT_COLUMN_TIME };
    const struct store_cell *given = change->row.cells;
    struct journal_chain of_run = {0};
    struct store_cell cells[AUDIT_COLUMN_COUNT] = {
        [AUDIT_COLUMN_TIME] = given[0],
        [AUDIT_COLUMN_KIND] = given[1],
        [AUDIT_COLUMN_BODY] = given[2],
        [AUDIT_COLUMN_HEAD] = {.is_text = true},
    };
    char digest[DIGEST_HEX_SIZE];
    int r = find_last_audit(connection, &cells[AUDIT_COLUMN_NUMBER].number, digest, err);
    if (r == 0 && given[RUN].text)
        r = read_chain(connection, given[RUN], &of_run, &cells[AUDIT_COLUMN_ROWS].number, err);
    if (r == 0)
        r = prepare(connection, change_texts[CHANGE_AUDIT], &connection->changes[CHANGE_AUDIT],
                    err);
    if (r < 0)
        return r;
    cells[AUDIT_COLUMN_NUMBER].number++;
    if (of_run.run[0])
        cells[AUDIT_COLUMN_HEAD].text = of_run.digest;
    store_chain(digest, &(struct store_row){cells + AUDIT_COLUMN_TIME, N_PARTS}, digest);
    cells[AUDIT_COLUMN_DIGEST] = (struct store_cell){.is_text = true, .text = digest};
    return run_with(connection, connection->changes[CHANGE_AUDIT],
                    &(struct store_row){cells, ARRAY_LENGTH(cells)}, err);
}

/* What is there already; false: it is not. */
static int update_one(struct connection *connection, const struct store_change *change,
                      bool *ret_has_changed, struct error *err)
{
    sqlite3_stmt **statement = &connection->updates[change->kind];
    int r = prepare(connection, update_texts[change->kind], statement, err);
    if (r == 0)
        r = run_with(connection, *statement, &change->row, err);
    if (r == 0)
        *ret_has_changed = sqlite3_changes(connection->database) > 0;
    return r;
}

static int change_one(struct connection *connection, const struct store_change *change,
                      int64_t *ret_seq, struct error *err)
{
    /* These read or write the run's row, chain included. */
    bool needs_chain = change->kind == CHANGE_PUT_RUN || change->kind == CHANGE_AUDIT;
    bool has_updated = false;
    if (change->kind == CHANGE_ADD_STEPS)
        return add_steps(connection, change, err);
    if (change->kind == CHANGE_ADD_MAKER)
        return add_maker(connection, change, err);
    sqlite3_stmt **statement = &connection->changes[change->kind];
    int r = needs_chain ? put_chain(connection, err) : 0;
    if (r == 0 && change->kind == CHANGE_AUDIT)
        return add_audit(connection, change, err);
    if (r == 0 && update_texts[change->kind])
        r = update_one(connection, change, &has_updated, err);
    if (r < 0 || has_updated)
        return r;
    r = prepare(connection, change_texts[change->kind], statement, err);
    if (r < 0)
        return r;
    r = bind_change(connection, *statement, change, err);
    if (r == 0) {
        errno = 0;
        int rc = sqlite3_step(*statement);
        bool has_changed = rc == SQLITE_DONE && !sqlite3_stmt_readonly(*statement) &&
                           sqlite3_changes(connection->database) > 0;
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
            r = store_refuse_change(change, err);
        else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            r = connection_fault(connection, err);
        else if (rc != SQLITE_ROW && !has_changed && !may_do_nothing(change->kind))
            r = store_refuse_change(change, err);
        else if (change->kind == CHANGE_JOURNAL)
            *ret_seq = sqlite3_last_insert_rowid(connection->database);
    }
    release(*statement);
    return r;
}

int connection_change(struct connection *connection, const struct store_batch *batch,
                      int64_t *ret_seq, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < batch->n_changes; i++)
        r = change_one(connection, &batch->changes[i], ret_seq, err);
    if (r == 0)
        r = put_chain(connection, err);
    connection->chain = (struct journal_chain){0};
    return r;
}
