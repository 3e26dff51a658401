/* Changes of the store's rows, within the transaction under way. */
#include "store/sqlite/connection-private.h"

#include "base/strbuf.h"
#include "store/sqlite/statements.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* Runs a change that nothing forbids. */
static int run_with(struct connection *connection, sqlite3_stmt *statement,
                    const struct store_row *row, struct error *err)
{
    int r = connection_bind(connection, statement, row, err);
    errno = 0;
    if (r == 0 && sqlite3_step(statement) != SQLITE_DONE)
        r = connection_fault(connection, err);
    connection_release(statement);
    return r;
}

/* The run's row takes over what its journal has become. */
static int put_chain(struct connection *connection, struct error *err)
{
    struct journal_chain *chain = &connection->chain;
    if (chain->n_new == 0)
        return 0;
    int r = connection_prepare(connection, put_chain_text, &connection->put_chain, err);
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
    int r = connection_prepare(connection, find_chain_text, &connection->find_chain, err);
    if (r < 0)
        return r;
    sqlite3_stmt *statement = connection->find_chain;
    r = connection_bind(connection, statement, &(struct store_row){&run, 1}, err);
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
    connection_release(statement);
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
        return connection_bind(connection, statement, &change->row, err);
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
    return connection_bind(connection, statement, &row, err);
}

static int find_plan(struct connection *connection, const struct store_change *change,
                     int64_t *ret_id, struct error *err)
{
    int r = connection_prepare(connection, find_plan_text, &connection->find_plan, err);
    if (r < 0)
        return r;
    r = connection_bind(connection, connection->find_plan, &change->row, err);
    int rc = r == 0 ? sqlite3_step(connection->find_plan) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        *ret_id = sqlite3_column_int64(connection->find_plan, 0);
    else if (r == 0)
        r = rc == SQLITE_DONE ? store_refuse_change(change, err)
                              : connection_fault(connection, err);
    connection_release(connection->find_plan);
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
        r = connection_prepare(connection, change_texts[CHANGE_ADD_STEPS], statement, err);
    for (size_t i = 0; r == 0 && i < change->steps->n_steps; i++) {
        struct store_cell cells[STEP_COLUMN_COUNT];
        store_write_step(change, i, &buffer, cells);
        cells[STEP_COLUMN_PLAN] = (struct store_cell){.number = plan};
        r = connection_bind(connection, *statement, &(struct store_row){cells, ARRAY_LENGTH(cells)},
                            err);
        errno = 0;
        if (r == 0 && sqlite3_step(*statement) != SQLITE_DONE)
            r = connection_fault(connection, err);
        sqlite3_reset(*statement);
    }
    if (*statement)
        connection_release(*statement);
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
        r = connection_prepare(connection, change_texts[CHANGE_ADD_MAKER], statement, err);
    if (r == 0)
        r = run_with(connection, *statement, &(struct store_row){cells, ARRAY_LENGTH(cells)}, err);
    return r;
}

/* The newest entry; before the first one, what that follows from: the store's id. */
static int find_last_audit(struct connection *connection, int64_t *ret_number,
                           char ret_digest[DIGEST_HEX_SIZE], struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    int r = connection_prepare(connection, last_audit_text, &connection->last_audit, err);
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
    connection_release(statement);
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
        r = connection_prepare(connection, change_texts[CHANGE_AUDIT],
                               &connection->changes[CHANGE_AUDIT], err);
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
    int r = connection_prepare(connection, update_texts[change->kind], statement, err);
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
    r = connection_prepare(connection, change_texts[change->kind], statement, err);
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
    connection_release(*statement);
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
