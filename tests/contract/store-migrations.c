/*
 * A store that the first program made grows into what a new one is: new ones are made at once, not
 * by all that changed since.
 */
#include "contract/store-sql.h"

/* The tables as they were first. This never changes. */
static const char first_tables[] = "CREATE TABLE store ("
                                   "  id TEXT NOT NULL,"
                                   "  created_at INTEGER NOT NULL"
                                   ") STRICT;"
                                   "CREATE TABLE deployments ("
                                   "  id INTEGER PRIMARY KEY,"
                                   "  uid TEXT NOT NULL UNIQUE,"
                                   "  name TEXT NOT NULL,"
                                   "  environment TEXT NOT NULL,"
                                   "  incarnation INTEGER NOT NULL,"
                                   "  is_destroyed INTEGER NOT NULL,"
                                   "  outputs TEXT NOT NULL,"
                                   "  created_at INTEGER NOT NULL,"
                                   "  updated_at INTEGER NOT NULL,"
                                   "  records_version INTEGER NOT NULL DEFAULT 0,"
                                   "  head_revision INTEGER NOT NULL DEFAULT 0,"
                                   "  epoch INTEGER NOT NULL DEFAULT 0,"
                                   "  UNIQUE (name, environment, incarnation)"
                                   ") STRICT;"
                                   "CREATE TABLE revisions ("
                                   "  deployment INTEGER NOT NULL REFERENCES deployments,"
                                   "  number INTEGER NOT NULL,"
                                   "  created_at INTEGER NOT NULL,"
                                   "  body TEXT NOT NULL,"
                                   "  PRIMARY KEY (deployment, number)"
                                   ") STRICT;"
                                   "CREATE TABLE plans ("
                                   "  id INTEGER PRIMARY KEY,"
                                   "  hash TEXT NOT NULL UNIQUE,"
                                   "  deployment_uid TEXT NOT NULL,"
                                   "  created_at INTEGER NOT NULL,"
                                   "  body TEXT NOT NULL"
                                   ") STRICT;"
                                   "CREATE TABLE approvals ("
                                   "  id INTEGER PRIMARY KEY,"
                                   "  plan INTEGER NOT NULL REFERENCES plans,"
                                   "  body TEXT NOT NULL"
                                   ") STRICT;"
                                   "CREATE INDEX approvals_of_plan ON approvals (plan);"
                                   "CREATE TABLE runs ("
                                   "  id INTEGER PRIMARY KEY,"
                                   "  uid TEXT NOT NULL UNIQUE,"
                                   "  deployment INTEGER NOT NULL REFERENCES deployments,"
                                   "  plan INTEGER NOT NULL REFERENCES plans,"
                                   "  principal TEXT,"
                                   "  words TEXT,"
                                   "  status TEXT NOT NULL,"
                                   "  epoch INTEGER NOT NULL,"
                                   "  started_at INTEGER NOT NULL,"
                                   "  ended_at INTEGER NOT NULL,"
                                   "  message TEXT"
                                   ") STRICT;"
                                   "CREATE INDEX runs_of_deployment ON runs (deployment);"
                                   "CREATE TABLE records ("
                                   "  deployment INTEGER NOT NULL REFERENCES deployments,"
                                   "  address TEXT NOT NULL,"
                                   "  generation INTEGER NOT NULL,"
                                   "  type TEXT NOT NULL,"
                                   "  instance TEXT NOT NULL,"
                                   "  uid TEXT NOT NULL,"
                                   "  provider_id TEXT,"
                                   "  status TEXT NOT NULL,"
                                   "  spec TEXT NOT NULL,"
                                   "  outputs TEXT NOT NULL,"
                                   "  depends_on TEXT NOT NULL,"
                                   "  protect INTEGER NOT NULL,"
                                   "  origin TEXT,"
                                   "  created_at INTEGER NOT NULL,"
                                   "  updated_at INTEGER NOT NULL,"
                                   "  PRIMARY KEY (deployment, address, generation)"
                                   ") STRICT;"
                                   "CREATE TABLE journal ("
                                   "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
                                   "  run INTEGER NOT NULL REFERENCES runs,"
                                   "  time INTEGER NOT NULL,"
                                   "  kind TEXT NOT NULL,"
                                   "  body TEXT NOT NULL"
                                   ") STRICT;"
                                   "CREATE INDEX journal_of_run ON journal (run);";

/* All that the parser knows of the tables, but for the order in which they were made. */
static const char shape[] =
    "SELECT group_concat(line, char(10)) FROM ("
    "SELECT t.name || ' ' || t.type || ' strict ' || t.strict || ' rowid ' || (1 - t.wr) AS line "
    "  FROM pragma_table_list AS t WHERE t.schema = 'main' "
    "UNION ALL SELECT t.name || ' column ' || c.cid || ' ' || c.name || ' ' || c.type || ' ' || "
    "  c.\"notnull\" || ' ' || ifnull(c.dflt_value, '-') || ' ' || c.pk || ' ' || c.hidden "
    "  FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c WHERE t.schema = 'main' "
    "UNION ALL SELECT t.name || ' index ' || i.name || ' ' || i.\"unique\" || ' ' || i.origin || "
    "  ' ' || i.partial || ' ' || x.seqno || ' ' || ifnull(x.name, '-') || ' ' || x.\"desc\" || "
    "  ' ' || x.coll || ' ' || x.key "
    "  FROM pragma_table_list AS t, pragma_index_list(t.name) AS i, "
    "  pragma_index_xinfo(i.name) AS x WHERE t.schema = 'main' "
    "UNION ALL SELECT t.name || ' refers ' || f.\"table\" || ' ' || f.\"from\" || ' ' || "
    "  ifnull(f.\"to\", '-') || ' ' || f.on_update || ' ' || f.on_delete "
    "  FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f WHERE t.schema = 'main' "
    "UNION ALL SELECT 'version ' || user_version FROM pragma_user_version "
    "ORDER BY line)";

/* The one text that sql gives; "" without one. The caller frees it. */
static char *ask(const char *sql)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    if (sqlite3_open_v2(path_of("parley.db"), &database, SQLITE_OPEN_READWRITE, "parley-pages") ==
            SQLITE_OK &&
        sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        text = string_copy((const char *)sqlite3_column_text(statement, 0));
    else
        printf("# %s: %s\n", sql, sqlite3_errmsg(database));
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return text ? text : string_copy("");
}

/* Leaves the file as the first program had it, under the id that the store has. */
static bool make_first(void)
{
    CLEANUP(mem_freep) char *id = ask("SELECT id FROM store");
    CLEANUP(mem_freep)
    char *drops = ask("SELECT group_concat('DROP TABLE ' || name, '; ') FROM sqlite_schema "
                      "WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    CLEANUP(mem_freep)
    char *sql =
        string_format("PRAGMA foreign_keys = OFF; %s; %s INSERT INTO store VALUES ('%s', 1);"
                      "PRAGMA user_version = 1;",
                      drops, first_tables, id);
    return run_sql(sql);
}

FOLDER_TEST(a_store_of_the_first_version_grows_into_what_a_new_one_is)
{
    CLEANUP(mem_freep) char *newest = ask(shape);
    CHECK(strstr(newest, "forgotten index forgotten_of_deployment"));
    CHECK(strstr(newest, "journal refers runs") && strstr(newest, "makers refers plans"));
    CHECK(make_first());
    CLEANUP(mem_freep) char *oldest = ask(shape);
    CHECK(strstr(oldest, "version 1") && !strstr(oldest, "forgotten"));
    CHECK(open_store());
    close_store();
    CLEANUP(mem_freep) char *grown = ask(shape);
    CHECK_TEXT(grown, newest);
}

/* Those by which is found who has a thing come where somebody asks, in old stores as in new ones.
 */
FOLDER_TEST(a_store_that_had_indexes_from_the_start_has_them_no_longer)
{
    CLEANUP(mem_freep) char *newest = ask(shape);
    CHECK(!strstr(newest, "records_of_thing") && !strstr(newest, "records_of_mark"));
    CHECK(run_sql("CREATE INDEX records_of_thing ON records(provider_id) "
                  "WHERE provider_id IS NOT NULL;"
                  "CREATE INDEX records_of_mark ON records(uid);"
                  "DROP TABLE makers; ALTER TABLE runs DROP COLUMN client;"
                  "ALTER TABLE deployments DROP COLUMN accounts;"
                  "PRAGMA user_version = 12;"));
    CHECK(open_store());
    close_store();
    CLEANUP(mem_freep) char *grown = ask(shape);
    CHECK_TEXT(grown, newest);
}

FOLDER_TEST(a_store_of_the_first_version_can_be_used_at_once)
{
    CHECK(make_first());
    CHECK(open_store());
    int end = run_on_loop(fill_store);
    close_store();
    CHECK(end == 0);
    struct content content = look();
    CHECK(content.code == ERROR_NONE && strstr(strbuf_text(&content.text), "content of box 59"));
    strbuf_done(&content.text);
}
