#include "store/sqlite/salvage.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "store/sqlite/examine.h"

#include <string.h>

/* How many rows behind the last one that can be read are tried. */
enum { TRIES_MAX = 200000 };

struct salvage {
    struct connection *from;
    struct connection *to;
    const char *table;
    sqlite3_stmt *select; /* all columns of the rows from a rowid on */
    sqlite3_stmt *insert;
    int64_t next; /* rowid */
    struct value_builder *lost;
};

static void lose(struct salvage *salvage, char *take_text)
{
    value_builder_append(salvage->lost, value_string(take_text));
    mem_free(take_text);
}

/* The columns of the table, "a, b" or "?, ?". */
static int list_columns(struct salvage *salvage, struct strbuf *names, struct strbuf *marks,
                        struct error *err)
{
    CLEANUP(mem_freep)
    char *sql = string_format("SELECT name FROM pragma_table_info('%s')", salvage->table);
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(salvage->to->database, sql, -1, &statement, NULL);
    while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        const char *separator = names->length > 0 ? ", " : "";
        strbuf_addf(names, "%s%s", separator, (const char *)sqlite3_column_text(statement, 0));
        strbuf_addf(marks, "%s?", separator);
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_OK ? 0 : connection_fault(salvage->to, err);
}

static int prepare(struct salvage *salvage, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf names = {0};
    CLEANUP(strbuf_done) struct strbuf marks = {0};
    int r = list_columns(salvage, &names, &marks, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *select =
        string_format("SELECT %s, rowid FROM %s NOT INDEXED WHERE rowid >= ? ORDER BY rowid",
                      strbuf_text(&names), salvage->table);
    CLEANUP(mem_freep)
    char *insert = string_format("INSERT INTO %s (%s) VALUES (%s)", salvage->table,
                                 strbuf_text(&names), strbuf_text(&marks));
    if (sqlite3_prepare_v2(salvage->from->database, select, -1, &salvage->select, NULL) !=
        SQLITE_OK)
        return connection_fault(salvage->from, err);
    if (sqlite3_prepare_v2(salvage->to->database, insert, -1, &salvage->insert, NULL) != SQLITE_OK)
        return connection_fault(salvage->to, err);
    return 0;
}

/* No text of ours holds a NUL: a page that was lost does. */
static bool is_whole_row(sqlite3_stmt *select)
{
    for (int i = 0; i < sqlite3_column_count(select); i++) {
        if (sqlite3_column_type(select, i) != SQLITE_TEXT)
            continue;
        const char *text = (const char *)sqlite3_column_text(select, i);
        if (!text || strlen(text) != (size_t)sqlite3_column_bytes(select, i))
            return false;
    }
    return true;
}

/* Takes the row over on which select stands. */
static int take_row(struct salvage *salvage, struct error *err)
{
    int n = sqlite3_column_count(salvage->select) - 1;
    int64_t rowid = sqlite3_column_int64(salvage->select, n);
    salvage->next = rowid + 1;
    int rc = SQLITE_CONSTRAINT;
    if (is_whole_row(salvage->select)) {
        for (int i = 0; i < n; i++)
            sqlite3_bind_value(salvage->insert, i + 1, sqlite3_column_value(salvage->select, i));
        rc = sqlite3_step(salvage->insert);
        sqlite3_reset(salvage->insert);
    }
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        lose(salvage, string_format("%s: row %lld is not whole", salvage->table, (long long)rowid));
        return 0;
    }
    return rc == SQLITE_DONE ? 0 : connection_fault(salvage->to, err);
}

/* Takes rows over from next on. False when one cannot be read, which may be next or a later one. */
static int take_rows(struct salvage *salvage, bool *ret_is_end, struct error *err)
{
    int rc;
    int r = 0;
    sqlite3_bind_int64(salvage->select, 1, salvage->next);
    while (r == 0 && (rc = sqlite3_step(salvage->select)) == SQLITE_ROW)
        r = take_row(salvage, err);
    sqlite3_reset(salvage->select);
    *ret_is_end = r == 0 && rc == SQLITE_DONE;
    return r;
}

/* Behind a place that cannot be read, each rowid is tried in turn. */
static int salvage_table(struct salvage *salvage, struct error *err)
{
    int64_t gap = -1;
    bool is_end = false;
    for (int64_t n_tries = 0; !is_end && n_tries < TRIES_MAX; n_tries++) {
        int64_t before = salvage->next;
        int r = take_rows(salvage, &is_end, err);
        if (r < 0)
            return r;
        bool has_moved = salvage->next > before;
        if ((has_moved || is_end) && gap >= 0 && gap < before) {
            lose(salvage, string_format("%s: rows %lld to %lld, as far as there were any",
                                        salvage->table, (long long)gap, (long long)before - 1));
            gap = -1;
        }
        if (is_end)
            return 0;
        n_tries = has_moved ? 0 : n_tries;
        gap = gap < 0 ? salvage->next : gap;
        salvage->next++;
    }
    lose(salvage, string_format("%s: rows from %lld on, as far as there were any", salvage->table,
                                (long long)gap));
    return 0;
}

/* --- What refers to nothing any more --- */

static int remove_orphans(struct connection *to, const char *table, int64_t *ret_n,
                          struct error *err)
{
    CLEANUP(mem_freep)
    char *sql = string_format("DELETE FROM %s WHERE rowid IN "
                              "(SELECT rowid FROM pragma_foreign_key_check('%s'))",
                              table, table);
    int r = connection_run(to, sql, err);
    *ret_n = r == 0 ? sqlite3_changes64(to->database) : 0;
    return r;
}

static int drop_orphans(struct connection *to, struct value_builder *lost, struct error *err)
{
    /* In the tables' order each comes after what it refers to. */
    for (size_t i = 0; i < n_examined_tables; i++) {
        int64_t n;
        int r = remove_orphans(to, examined_tables[i], &n, err);
        if (r < 0)
            return r;
        CLEANUP(mem_freep)
        char *text = string_format("%s: %lld rows that belong to lost ones", examined_tables[i],
                                   (long long)n);
        if (n > 0)
            value_builder_append(lost, value_string(text));
    }
    return 0;
}

static int lower_heads(struct connection *to, struct value_builder *lost, struct error *err)
{
    static const char heads[] =
        "UPDATE deployments SET head_revision = (SELECT ifnull(max(number), 0) FROM revisions "
        "WHERE deployment = deployments.id) WHERE head_revision <> (SELECT ifnull(max(number), 0) "
        "FROM revisions WHERE deployment = deployments.id)";
    int r = connection_run(to, heads, err);
    int n = r == 0 ? sqlite3_changes(to->database) : 0;
    CLEANUP(mem_freep)
    char *text = string_format("deployments: %d have an older newest revision than before", n);
    if (n > 0)
        value_builder_append(lost, value_string(text));
    return r;
}

int salvage_rows(struct connection *from, struct connection *to, struct value_builder *lost,
                 struct error *err)
{
    int r = connection_run(to, "PRAGMA foreign_keys = OFF; BEGIN", err);
    /* The first table is the store's own row, which the new one has. */
    for (size_t i = 1; r == 0 && i < n_examined_tables; i++) {
        struct salvage salvage = {
            .from = from, .to = to, .table = examined_tables[i], .next = 0, .lost = lost};
        r = prepare(&salvage, err);
        if (r == 0)
            r = salvage_table(&salvage, err);
        sqlite3_finalize(salvage.select);
        sqlite3_finalize(salvage.insert);
    }
    if (r == 0)
        r = drop_orphans(to, lost, err);
    if (r == 0)
        r = lower_heads(to, lost, err);
    return r == 0 ? connection_run(to, "COMMIT; PRAGMA foreign_keys = ON", err) : r;
}
