/* The store in a folder. Reads run on the loop, over a connection of their own; the writer's thread
 * has the other. */
#include "store/store.h"

#include "base/world.h"
#include "store/driver.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/files.h"
#include "store/sqlite/here.h"
#include "store/sqlite/make.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/writer.h"

#include <assert.h>

enum { PATIENCE_MS = 30000, RETRY_US = 2000 };

static bool shares_connections;

struct sqlite_store {
    struct store store;
    struct store_files files;
    struct connection reader; /* not open while the store is not made */
    bool is_shared;           /* the reader writes, too */
    struct writer *writer;    /* owned */
    bool has_asked_for_owners;
    struct here_file here;
};

/* --- The reader --- */

static int open_reader(struct sqlite_store *sqlite, struct error *err)
{
    struct connection *reader = &sqlite->reader;
    /* Simulated processes are killed without closing anything, and lock nothing. */
    if (!shares_connections)
        here_add(sqlite->files.database, &sqlite->here);
    int r = connection_open(reader, sqlite->files.database, PATIENCE_MS, err);
    if (r == 0 && sqlite->store.id[0])
        r = store_files_check_same(&sqlite->files, reader, sqlite->store.id, err);
    else if (r == 0)
        r = store_files_check(&sqlite->files, reader, sqlite->store.id, err);
    if (r == 0)
        r = store_files_use_log(reader, err);
    if (r == 0 && !sqlite->is_shared)
        r = connection_run(reader, "PRAGMA query_only = ON", err);
    /* From now on a coroutine waits instead of the thread. */
    if (r == 0)
        sqlite3_busy_timeout(reader->database, 0);
    if (r < 0) {
        connection_done(reader);
        here_remove(&sqlite->here);
    }
    return r;
}

/* Somebody may have made by now what was not made when it was opened. */
static int find_reader(struct sqlite_store *sqlite, struct error *err)
{
    if (sqlite->reader.database || !world_file_exists(sqlite->files.database))
        return 0;
    return open_reader(sqlite, err);
}

/* --- What is asked and written --- */

/*
 * Who asks first who has a thing has it indexed; where that cannot be, the answer is the same. The
 * indexes are not looked for each time: nothing takes them away.
 */
CO_FN static void index_owners(struct sqlite_store *sqlite)
{
    struct error err = {0};
    int64_t n = 0;
    if (sqlite->has_asked_for_owners)
        return;
    sqlite->has_asked_for_owners = true;
    int r = connection_ask_number(&sqlite->reader,
                                  "SELECT count(*) FROM sqlite_schema "
                                  "WHERE name IN ('records_of_thing', 'records_of_mark')",
                                  &n, &err);
    if (r == 0 && n < 2)
        (void)writer_run(sqlite->writer, schema_index_owners, &err);
    error_done(&err);
}

/* What a store that is not made yet says. */
static int read_nothing(enum store_query query, store_visit *visit, void *argument,
                        struct error *err)
{
    bool is_count = query == QUERY_COUNT_RECORDS || query == QUERY_LAST_AUDIT;
    struct store_cell none = {.number = 0};
    return is_count ? visit(argument, &(struct store_row){&none, 1}, err) : 0;
}

/* Others keep a reader out only while they bring the log into order after a crash. */
static int sqlite_read(struct store *store, enum store_query query,
                       const struct store_row *parameters, store_visit *visit, void *argument,
                       struct error *err)
{
    struct sqlite_store *sqlite = (struct sqlite_store *)store;
    int64_t deadline = world_monotonic_clock() + (int64_t)PATIENCE_MS * 1000;
    int r = find_reader(sqlite, err);
    if (r < 0 || !sqlite->reader.database)
        return r < 0 ? r : read_nothing(query, visit, argument, err);
    if (query == QUERY_FIND_OWNER)
        index_owners(sqlite);
    for (;;) {
        struct error fault = {0};
        r = connection_query(&sqlite->reader, query, parameters, visit, argument, &fault);
        if (r == 0)
            return 0;
        if (r != -ERROR_BUSY || world_monotonic_clock() >= deadline)
            return error_move(err, &fault);
        error_done(&fault);
        loop_sleep(store->loop, RETRY_US);
    }
}

static int sqlite_commit(struct store *store, const struct store_batch *batch,
                         int64_t *ret_last_seq, struct error *err)
{
    struct sqlite_store *sqlite = (struct sqlite_store *)store;
    int r = find_reader(sqlite, err);
    return r < 0 ? r : writer_commit(sqlite->writer, batch, ret_last_seq, err);
}

static int sqlite_version(struct store *store, int64_t *ret_version, struct error *err)
{
    struct sqlite_store *sqlite = (struct sqlite_store *)store;
    int r = find_reader(sqlite, err);
    if (r == 0 && !sqlite->reader.database)
        *ret_version = 0;
    if (r < 0 || !sqlite->reader.database)
        return r;
    return connection_ask_number(&sqlite->reader, "PRAGMA data_version", ret_version, err);
}

static void sqlite_close(struct store *store)
{
    struct sqlite_store *sqlite = (struct sqlite_store *)store;
    connection_done(&sqlite->reader);
    writer_free(sqlite->writer);
    here_remove(&sqlite->here);
    store_files_done(&sqlite->files);
    store_free(store);
}

static const struct store_ops sqlite_ops = {
    .driver = "sqlite",
    .read = sqlite_read,
    .commit = sqlite_commit,
    .version = sqlite_version,
    .close = sqlite_close,
};

void store_share_connections(bool is_on)
{
    shares_connections = is_on;
}

static struct sqlite_store *new_store(struct loop *loop, const char *folder)
{
    struct sqlite_store *sqlite = NEW(struct sqlite_store);
    sqlite->store.ops = &sqlite_ops;
    sqlite->store.loop = loop;
    store_files_init(&sqlite->files, folder);
    sqlite->store.place = string_copy(sqlite->files.database);
    sqlite->is_shared = shares_connections;
    sqlite->writer = writer_new(loop, &sqlite->files, sqlite->is_shared ? &sqlite->reader : NULL,
                                &sqlite->store.n_syncs);
    return sqlite;
}

static int finish_opening(struct sqlite_store *sqlite, int r, struct store **ret_store)
{
    if (r < 0) {
        sqlite_close(&sqlite->store);
        return r;
    }
    *ret_store = &sqlite->store;
    return 0;
}

int store_open_sqlite(struct loop *loop, const char *folder, bool create, struct store **ret_store,
                      struct error *err)
{
    assert(loop && folder && ret_store);
    struct sqlite_store *sqlite = new_store(loop, folder);
    bool is_there = true;
    int r = create ? store_files_look(&sqlite->files, &is_there, err)
                   : store_files_need(&sqlite->files, err);
    if (r == 0 && !is_there)
        r = make_store(&sqlite->files, NULL, NULL, NULL, err);
    if (r == 0)
        r = open_reader(sqlite, err);
    return finish_opening(sqlite, r, ret_store);
}

int store_begin_sqlite(struct loop *loop, const char *folder, struct store **ret_store,
                       struct error *err)
{
    assert(loop && folder && ret_store);
    struct sqlite_store *sqlite = new_store(loop, folder);
    bool is_there;
    int r = store_files_look(&sqlite->files, &is_there, err);
    if (r == 0 && !is_there)
        r = make_agree(&sqlite->files, &is_there, sqlite->store.id, err);
    if (r == 0 && is_there)
        r = open_reader(sqlite, err);
    else if (r == 0)
        writer_make_store(sqlite->writer, sqlite->store.id);
    return finish_opening(sqlite, r, ret_store);
}
