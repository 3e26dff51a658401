#include "store/sqlite/schema.h"

#include "base/strbuf.h"

#include <inttypes.h>

/*
 * The tables of a new store. Uids, hashes and JSON are texts; everything inside is linked by
 * integers. SQLite parses all of it whenever the store is opened: no space stands in it that is not
 * needed.
 */
static const char newest[] =
    "CREATE TABLE store("
    "id TEXT NOT NULL,"
    "created_at INTEGER NOT NULL"
    ")STRICT;"
    "CREATE TABLE deployments("
    "id INTEGER PRIMARY KEY,"
    "uid TEXT NOT NULL UNIQUE,"
    "name TEXT NOT NULL,"
    "environment TEXT NOT NULL,"
    "incarnation INTEGER NOT NULL,"
    "is_destroyed INTEGER NOT NULL,"
    "outputs TEXT NOT NULL,"
    "created_at INTEGER NOT NULL,"
    "updated_at INTEGER NOT NULL,"
    "records_version INTEGER NOT NULL DEFAULT 0,"
    "head_revision INTEGER NOT NULL DEFAULT 0,"
    "epoch INTEGER NOT NULL DEFAULT 0,"
    /* Who its instances were when something was last changed there. */
    "accounts TEXT NOT NULL DEFAULT '{}',"
    "UNIQUE(name,environment,incarnation)"
    ")STRICT;"
    "CREATE TABLE revisions("
    "deployment INTEGER NOT NULL REFERENCES deployments,"
    "number INTEGER NOT NULL,"
    "created_at INTEGER NOT NULL,"
    "body TEXT NOT NULL,"
    /* The largest texts are no part of what is read to know about them. */
    "document TEXT,"
    "given TEXT,"
    "PRIMARY KEY(deployment,number)"
    ")STRICT;"
    /* Plans come before their deployment is made, hence its uid. */
    "CREATE TABLE plans("
    "id INTEGER PRIMARY KEY,"
    "hash TEXT NOT NULL UNIQUE,"
    "deployment_uid TEXT NOT NULL,"
    "created_at INTEGER NOT NULL,"
    "body TEXT NOT NULL,"
    "document TEXT"
    ")STRICT;"
    "CREATE TABLE makers("
    "id INTEGER PRIMARY KEY,"
    "plan INTEGER NOT NULL REFERENCES plans,"
    "body TEXT NOT NULL,"
    "UNIQUE(plan,body)"
    ")STRICT;"
    "CREATE TABLE approvals("
    "id INTEGER PRIMARY KEY,"
    "plan INTEGER NOT NULL REFERENCES plans,"
    "body TEXT NOT NULL"
    ")STRICT;"
    "CREATE INDEX approvals_of_plan ON approvals(plan);"
    "CREATE TABLE runs("
    "id INTEGER PRIMARY KEY,"
    "uid TEXT NOT NULL UNIQUE,"
    "deployment INTEGER NOT NULL REFERENCES deployments,"
    "plan INTEGER NOT NULL REFERENCES plans,"
    "principal TEXT,"
    "words TEXT,"
    "status TEXT NOT NULL,"
    "epoch INTEGER NOT NULL,"
    "started_at INTEGER NOT NULL,"
    "ended_at INTEGER NOT NULL,"
    "message TEXT,"
    /* The chains (audit.h). What older programs wrote into a journal is counted and has none. */
    "chain TEXT NOT NULL DEFAULT '',"
    "chained INTEGER NOT NULL DEFAULT 0,"
    "unchained INTEGER NOT NULL DEFAULT 0,"
    "client TEXT"
    ")STRICT;"
    "CREATE INDEX runs_of_deployment ON runs(deployment);"
    "CREATE TABLE records("
    "deployment INTEGER NOT NULL REFERENCES deployments,"
    "address TEXT NOT NULL,"
    "generation INTEGER NOT NULL,"
    "type TEXT NOT NULL,"
    "instance TEXT NOT NULL,"
    "uid TEXT NOT NULL,"
    "provider_id TEXT,"
    "status TEXT NOT NULL,"
    "spec TEXT NOT NULL,"
    "outputs TEXT NOT NULL,"
    "depends_on TEXT NOT NULL,"
    "protect INTEGER NOT NULL,"
    "origin TEXT,"
    "created_at INTEGER NOT NULL,"
    "updated_at INTEGER NOT NULL,"
    /* What its references are bound to; and what was there after it was applied, where that is not
     * as spec says. */
    "bound TEXT NOT NULL DEFAULT 'null',"
    "live TEXT NOT NULL DEFAULT 'null',"
    "PRIMARY KEY(deployment,address,generation)"
    ")STRICT;"
    "CREATE TABLE journal("
    "seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "run INTEGER NOT NULL REFERENCES runs,"
    "time INTEGER NOT NULL,"
    "kind TEXT NOT NULL,"
    "body TEXT NOT NULL,"
    /* Of the run's plan; older rows say it themselves. */
    "step INTEGER"
    ")STRICT;"
    "CREATE INDEX journal_of_run ON journal(run);"
    "CREATE TABLE audit("
    "number INTEGER PRIMARY KEY,"
    "time INTEGER NOT NULL,"
    "kind TEXT NOT NULL,"
    "body TEXT NOT NULL,"
    "rows INTEGER NOT NULL,"
    "head TEXT,"
    "digest TEXT NOT NULL"
    ")STRICT;"
    /* Secrets that we made, encrypted. They come with the first plan, before their deployment. */
    "CREATE TABLE secrets("
    "id INTEGER PRIMARY KEY,"
    "deployment_uid TEXT NOT NULL,"
    "name TEXT NOT NULL,"
    "form TEXT NOT NULL,"
    "created_at INTEGER NOT NULL,"
    "sealed TEXT NOT NULL,"
    "UNIQUE(deployment_uid,name,form)"
    ")STRICT;"
    /* The id is plan << 32 | number, so that they need no index. What most steps have is read
     * without a parser (enum step_text); in the bodies of older plans they stand inside. */
    "CREATE TABLE steps("
    "id INTEGER PRIMARY KEY,"
    "plan INTEGER NOT NULL REFERENCES plans,"
    "body TEXT NOT NULL,"
    "label TEXT,"
    "reason TEXT,"
    "type TEXT,"
    "instance TEXT,"
    "uid TEXT,"
    "origin TEXT,"
    "stage TEXT,"
    "after TEXT,"
    "before TEXT,"
    "resources TEXT,"
    "depends_on TEXT"
    ")STRICT;"
    /* What was given up, and may be left where nobody looks any more. */
    "CREATE TABLE remains("
    "id INTEGER PRIMARY KEY,"
    "deployment INTEGER NOT NULL REFERENCES deployments,"
    "created_at INTEGER NOT NULL,"
    "body TEXT NOT NULL"
    ")STRICT;"
    "CREATE INDEX remains_of_deployment ON remains(deployment);"
    /* What was let go, by its address. */
    "CREATE TABLE forgotten("
    "id INTEGER PRIMARY KEY,"
    "deployment INTEGER NOT NULL REFERENCES deployments,"
    "run INTEGER NOT NULL REFERENCES runs,"
    "has_document INTEGER NOT NULL,"
    "address TEXT NOT NULL,"
    "type TEXT NOT NULL,"
    "instance TEXT NOT NULL,"
    "uid TEXT NOT NULL,"
    "provider_id TEXT,"
    "generation INTEGER NOT NULL"
    ")STRICT;"
    "CREATE INDEX forgotten_of_deployment ON forgotten(deployment,address,run);";

/*
 * Each makes version N+2 of version N+1, the first there was (PRAGMA user_version; 0 is an empty
 * database). Once released, a migration never changes: the next one does, and newest with it.
 */
static const char *const migrations[] = {
    /* What the references of a record are bound to; nothing is known of older ones. */
    "ALTER TABLE records ADD COLUMN bound TEXT NOT NULL DEFAULT 'null';",
    /* What was there after it was applied, where that is not as spec says. */
    "ALTER TABLE records ADD COLUMN live TEXT NOT NULL DEFAULT 'null';",
    /* The chains (audit.h). What older programs wrote into a journal is counted and has none. */
    "ALTER TABLE runs ADD COLUMN chain TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN chained INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN unchained INTEGER NOT NULL DEFAULT 0;"
    "UPDATE runs SET chain = uid, "
    "  unchained = (SELECT count(*) FROM journal WHERE run = runs.id);"
    "CREATE TABLE audit ("
    "  number INTEGER PRIMARY KEY,"
    "  time INTEGER NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  body TEXT NOT NULL,"
    "  rows INTEGER NOT NULL,"
    "  head TEXT,"
    "  digest TEXT NOT NULL"
    ") STRICT;",
    /* Secrets that we made, encrypted. They come with the first plan, before their deployment. */
    "CREATE TABLE secrets ("
    "  id INTEGER PRIMARY KEY,"
    "  deployment_uid TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  form TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  sealed TEXT NOT NULL,"
    "  UNIQUE (deployment_uid, name, form)"
    ") STRICT;",
    /* Steps are rows, whose id is plan << 32 | number, so that they need no index; in the bodies of
     * older plans they stand inside. */
    "CREATE TABLE steps ("
    "  id INTEGER PRIMARY KEY,"
    "  plan INTEGER NOT NULL REFERENCES plans,"
    "  body TEXT NOT NULL"
    ") STRICT;",
    /* Which step of the run's plan a row is about; older rows say it themselves. */
    "ALTER TABLE journal ADD COLUMN step INTEGER;",
    /* The largest texts are no part of what is read to know about them. Older plans have theirs in
     * their bodies. */
    "ALTER TABLE plans ADD COLUMN document TEXT;"
    "ALTER TABLE revisions ADD COLUMN document TEXT;"
    "ALTER TABLE revisions ADD COLUMN given TEXT;"
    "UPDATE revisions SET document = json_extract(body, '$.document'), "
    "  given = json_extract(body, '$.given'), body = json_remove(body, '$.document', '$.given') "
    "  WHERE json_valid(body);",
    /* What was given up, and may be left where nobody looks any more. */
    "CREATE TABLE remains ("
    "  id INTEGER PRIMARY KEY,"
    "  deployment INTEGER NOT NULL REFERENCES deployments,"
    "  created_at INTEGER NOT NULL,"
    "  body TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX remains_of_deployment ON remains (deployment);",
    /* What most steps have is read without a parser (enum step_text). Older rows have it in body.
     */
    "ALTER TABLE steps ADD COLUMN label TEXT;"
    "ALTER TABLE steps ADD COLUMN reason TEXT;"
    "ALTER TABLE steps ADD COLUMN type TEXT;"
    "ALTER TABLE steps ADD COLUMN instance TEXT;"
    "ALTER TABLE steps ADD COLUMN uid TEXT;"
    "ALTER TABLE steps ADD COLUMN origin TEXT;"
    "ALTER TABLE steps ADD COLUMN stage TEXT;"
    "ALTER TABLE steps ADD COLUMN after TEXT;"
    "ALTER TABLE steps ADD COLUMN before TEXT;"
    "ALTER TABLE steps ADD COLUMN resources TEXT;"
    "ALTER TABLE steps ADD COLUMN depends_on TEXT;",
    /* What was let go, by its address: before, it was looked for in the plans of runs. Older plans
     * have their steps in their bodies. */
    "CREATE TABLE forgotten ("
    "  id INTEGER PRIMARY KEY,"
    "  deployment INTEGER NOT NULL REFERENCES deployments,"
    "  run INTEGER NOT NULL REFERENCES runs,"
    "  has_document INTEGER NOT NULL,"
    "  address TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  instance TEXT NOT NULL,"
    "  uid TEXT NOT NULL,"
    "  provider_id TEXT,"
    "  generation INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX forgotten_of_deployment ON forgotten (deployment, address, run);"
    "INSERT INTO forgotten (deployment, run, has_document, address, type, instance, uid, "
    "  provider_id, generation) "
    "SELECT deployment, run, has_document, "
    "  iif(label IS NULL, body ->> 'address', substr(head, 8, length(head) - 8)), "
    "  ifnull(type, body ->> 'type'), ifnull(instance, body ->> 'instance'), "
    "  ifnull(uid, body ->> 'uid'), body ->> 'provider_id', "
    "  iif(label IS NULL, body ->> 'generation', "
    "    CAST(substr(label, length(head) + 1) AS INTEGER)) FROM ("
    "  SELECT runs.deployment AS deployment, runs.id AS run, plans.document IS NOT NULL OR "
    "    ifnull(iif(json_valid(plans.body), plans.body ->> 'document', NULL), '') <> '' "
    "    AS has_document, steps.body AS body, label, rtrim(label, '0123456789') AS head, "
    "    steps.type AS type, steps.instance AS instance, steps.uid AS uid "
    "  FROM runs JOIN plans ON plans.id = runs.plan "
    "  CROSS JOIN steps ON steps.id >= plans.id << 32 AND steps.id < (plans.id + 1) << 32 "
    "  WHERE status IN ('done', 'partly') AND json_valid(steps.body) "
    "  UNION ALL SELECT runs.deployment, runs.id, plans.document IS NOT NULL OR "
    "    ifnull(iif(json_valid(plans.body), plans.body ->> 'document', NULL), '') <> '', "
    "    each.value, NULL, NULL, NULL, NULL, NULL "
    "  FROM runs JOIN plans ON plans.id = runs.plan "
    "  CROSS JOIN json_each(iif(json_valid(plans.body), plans.body, '{}'), '$.steps') AS each "
    "  WHERE status IN ('done', 'partly')"
    ") WHERE (substr(label, 1, 7) = 'forget ' AND type IS NOT NULL AND instance IS NOT NULL "
    "    AND uid IS NOT NULL) "
    "  OR (label IS NULL AND body ->> 'kind' = 'forget' AND body ->> 'address' IS NOT NULL "
    "    AND body ->> 'type' IS NOT NULL AND body ->> 'instance' IS NOT NULL "
    "    AND body ->> 'uid' IS NOT NULL AND body ->> 'generation' IS NOT NULL);",
    /* Who has a thing, by its own id or by the mark it carries: before, all records were read. */
    "CREATE INDEX records_of_thing ON records (provider_id) "
    "  WHERE provider_id IS NOT NULL;"
    "CREATE INDEX records_of_mark ON records (uid);",
    /* They come where somebody asks (schema_index_owners): every record paid for them. */
    "DROP INDEX records_of_thing;"
    "DROP INDEX records_of_mark;",
    /* Who made a plan, and the program that a run was asked for with. */
    "CREATE TABLE makers ("
    "  id INTEGER PRIMARY KEY,"
    "  plan INTEGER NOT NULL REFERENCES plans,"
    "  body TEXT NOT NULL,"
    "  UNIQUE (plan, body)"
    ") STRICT;"
    "ALTER TABLE runs ADD COLUMN client TEXT;",
    /* Who the instances were when something was last changed there; of older ones it is learnt. */
    "ALTER TABLE deployments ADD COLUMN accounts TEXT NOT NULL DEFAULT '{}';",
};

const char schema_index_owners[] =
    "CREATE INDEX IF NOT EXISTS records_of_thing ON records(provider_id)"
    "WHERE provider_id IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS records_of_mark ON records(uid);";

enum { SCHEMA_VERSION = ARRAY_LENGTH(migrations) + 1 };

int schema_read_version(struct connection *connection, int64_t *ret_version, struct error *err)
{
    int r = connection_ask_number(connection, "PRAGMA user_version", ret_version, err);
    if (r < 0)
        return r;
    if (*ret_version < 0 || *ret_version > SCHEMA_VERSION)
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s was written by a newer program (its tables have version %" PRId64
                         ", this program knows %d); use that program, or another --home",
                         connection->path, *ret_version, SCHEMA_VERSION);
    return 0;
}

int64_t schema_newest_version(void)
{
    return SCHEMA_VERSION;
}

/* Within a transaction, where nobody else can migrate. */
static int migrate(struct connection *connection, struct error *err)
{
    int64_t version;
    int r = schema_read_version(connection, &version, err);
    if (r == 0 && version == 0)
        r = connection_run(connection, newest, err);
    for (; r == 0 && version > 0 && version < SCHEMA_VERSION; version++)
        r = connection_run(connection, migrations[version - 1], err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *set_version = string_format("PRAGMA user_version = %d", SCHEMA_VERSION);
    return connection_run(connection, set_version, err);
}

int schema_migrate(struct connection *connection, struct error *err)
{
    int64_t version;
    int r = schema_read_version(connection, &version, err);
    if (r < 0 || version == SCHEMA_VERSION)
        return r;
    r = connection_run(connection, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    r = migrate(connection, err);
    if (r == 0)
        r = connection_run(connection, "COMMIT", err);
    if (r < 0 && !sqlite3_get_autocommit(connection->database))
        (void)connection_run(connection, "ROLLBACK", NULL);
    return r;
}
