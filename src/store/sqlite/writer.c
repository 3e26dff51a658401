#include "store/sqlite/writer.h"

#include "base/world.h"
#include "store/sqlite/make.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

/* A batch or SQL that waits: on the stack of its coroutine. The writer has it from queue to answer.
 */
struct request {
    const struct store_batch *batch; /* borrowed; NULL: sql */
    const char *sql;                 /* borrowed */
    struct coroutine *waiter;
    struct request *next;
    int64_t last_seq;
    int r;
    struct error err;
    bool is_answered; /* only the loop's thread looks at it */
};

struct writer {
    struct loop *loop;
    const struct store_files *files; /* borrowed */
    const char *unmade;        /* borrowed: the id of the store that is still to be made; NULL */
    bool is_inline;            /* in a simulated world: there is no thread, and the loop writes */
    struct timer *turn;        /* then: when it does; NULL while nothing is queued */
    struct connection *shared; /* borrowed: the reader's, which then writes, too; NULL: own does */
    struct connection own;     /* the thread's alone while it runs; closed before the first batch */
    uint64_t *n_syncs;         /* the loop's */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct request *first;
    struct request **last;
    bool is_ending;
};

/* What was in the queue at one time, on its way back to the loop. */
struct group {
    struct writer *writer;
    struct request *first;
    uint64_t n_syncs;
};

/* --- On the writer's thread --- */

/* A change met what it must not: that is the batch's own affair. All else is the store's. */
static bool is_refusal(int r)
{
    return r == -ERROR_STALE || r == -ERROR_NOT_FOUND || r == -ERROR_EXISTS;
}

/* The changes of one batch, or none of them: its refusal stays with it and is no failure. */
static int write_batch(struct connection *connection, struct request *request, bool is_alone,
                       struct error *err)
{
    /* Alone, the transaction is all that needs undoing; a savepoint would keep old pages. */
    int r = is_alone ? 0 : connection_run(connection, "SAVEPOINT batch", err);
    if (r == 0 && request->batch)
        r = connection_change(connection, request->batch, &request->last_seq, err);
    else if (r == 0)
        r = connection_run(connection, request->sql, err);
    if (is_refusal(r)) {
        request->r = error_move(&request->err, err);
        r = is_alone ? 0 : connection_run(connection, "ROLLBACK TO batch", err);
    }
    if (r < 0 || is_alone)
        return r;
    return connection_run(connection, "RELEASE batch", err);
}

/* All batches of a list in one transaction; when that fails none of them is carried out. */
static int write_list(struct connection *connection, struct request *first, bool *ret_is_synced,
                      struct error *err)
{
    size_t n_kept = 0;
    int r = connection_run(connection, "BEGIN IMMEDIATE", err);
    for (struct request *request = first; r == 0 && request; request = request->next) {
        r = write_batch(connection, request, first->next == NULL, err);
        n_kept += request->r == 0;
    }
    if (r == 0 && n_kept > 0)
        r = connection_run(connection, "COMMIT", err);
    if (!sqlite3_get_autocommit(connection->database))
        (void)connection_run(connection, "ROLLBACK", NULL);
    *ret_is_synced = r == 0 && n_kept > 0;
    return r;
}

static void answer_same(struct request *first, int r, const struct error *err)
{
    for (struct request *request = first; request; request = request->next)
        request->r = error_set(&request->err, (enum error_code) - r, "%s", error_message(err));
}

/* Gives every request its answer and returns how many syncs that took. */
static uint64_t write_requests(struct connection *connection, struct request *first)
{
    struct error err = {0};
    bool is_synced;
    int r = write_list(connection, first, &is_synced, &err);
    if (r == 0)
        return is_synced;
    if (r != -ERROR_LIMIT || !first->next) {
        answer_same(first, r, &err);
        error_done(&err);
        return 0;
    }
    error_done(&err);
    /* One that finds no room must not keep the others from theirs. */
    uint64_t n_syncs = 0;
    for (struct request *request = first; request;) {
        struct request *next = request->next;
        request->next = NULL;
        request->r = 0;
        request->last_seq = 0;
        error_done(&request->err);
        n_syncs += write_requests(connection, request);
        request->next = next;
        request = next;
    }
    return n_syncs;
}

/* The index of a million records fits: they come in no order. */
static int set_cache(struct connection *connection, struct error *err)
{
    return connection_run(connection, "PRAGMA cache_size = -32768", err);
}

static int open_own(struct writer *writer, struct error *err)
{
    CLEANUP(connection_done) struct connection connection = {0};
    int r = connection_open(&connection, writer->files->database, PATIENCE_MS, err);
    if (r == 0)
        r = set_cache(&connection, err);
    if (r == 0 && writer->unmade)
        r = store_files_check_same(writer->files, &connection, writer->unmade, err);
    if (r < 0)
        return r;
    writer->own = connection;
    writer->unmade = NULL;
    connection = (struct connection){0};
    return 0;
}

/* The reader does not wait for other processes, who writes does. */
static uint64_t write_shared(struct connection *shared, struct request *first)
{
    sqlite3_busy_timeout(shared->database, PATIENCE_MS);
    uint64_t n_syncs = write_requests(shared, first);
    sqlite3_busy_timeout(shared->database, 0);
    return n_syncs;
}

/* --- The first batch, with which a store is made --- */

struct beginning {
    struct request *first;
    bool is_answered; /* the requests have their answers */
    bool is_kept;     /* one of them was carried out */
};

static int write_beginning(void *argument, struct connection *connection, struct error *err)
{
    struct beginning *beginning = argument;
    int r = set_cache(connection, err);
    if (r < 0)
        return r;
    beginning->is_answered = true;
    beginning->is_kept = write_requests(connection, beginning->first) > 0;
    return beginning->is_kept ? 0 : error_set(err, ERROR_STALE, "nothing of it was kept");
}

/* Does nothing where somebody else has made the store by now. */
static int begin_store(struct writer *writer, struct beginning *beginning, struct error *err)
{
    int r = make_store(writer->files, writer->unmade, write_beginning, beginning, err);
    if (beginning->is_answered && !beginning->is_kept) {
        error_done(err); /* each was told its own */
        return 0;
    }
    if (r == 0 && beginning->is_answered)
        writer->unmade = NULL;
    return r;
}

/* As write_requests(); one that cannot open its connection tries so again with the next batch. */
static uint64_t write_all(struct writer *writer, struct request *first)
{
    struct error err = {0};
    struct beginning beginning = {.first = first};
    int r = writer->unmade ? begin_store(writer, &beginning, &err) : 0;
    if (r == 0 && beginning.is_answered)
        return beginning.is_kept;
    if (r == 0 && writer->shared && writer->shared->database)
        return write_shared(writer->shared, first);
    if (r == 0 && !writer->own.database)
        r = open_own(writer, &err);
    if (r == 0)
        return write_requests(&writer->own, first);
    answer_same(first, r, &err);
    error_done(&err);
    return 0;
}

/* Waits for requests and takes them all; NULL when it is time to end. */
static struct request *take_requests(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->is_ending)
        pthread_cond_wait(&writer->changed, &writer->lock);
    struct request *first = writer->first;
    writer->first = NULL;
    writer->last = &writer->first;
    pthread_mutex_unlock(&writer->lock);
    return first;
}

static void answer(void *argument);

static void *run_writer(void *argument)
{
    struct writer *writer = argument;
    for (struct request *first; (first = take_requests(writer));) {
        struct group *group = NEW(struct group);
        *group = (struct group){.writer = writer, .first = first};
        group->n_syncs = write_all(writer, first);
        loop_call_from_thread(writer->loop, answer, group);
    }
    return NULL;
}

/* --- On the loop's thread --- */

static void answer(void *argument)
{
    struct group *group = argument;
    struct writer *writer = group->writer;
    *writer->n_syncs += group->n_syncs;
    for (struct request *request = group->first; request;) {
        struct request *next = request->next;
        request->is_answered = true;
        loop_wake(writer->loop, request->waiter);
        loop_expect(writer->loop, -1);
        request = next;
    }
    mem_free(group);
}

/* What was queued in one turn of the loop becomes one transaction, as if the thread had been quick.
 */
static void write_inline(void *argument)
{
    struct writer *writer = argument;
    struct group *group = NEW(struct group);
    *group = (struct group){.writer = writer, .first = writer->first};
    writer->turn = NULL;
    writer->first = NULL;
    writer->last = &writer->first;
    group->n_syncs = write_all(writer, group->first);
    answer(group);
}

static int start_thread(struct writer *writer, struct error *err)
{
    if (writer->is_inline || writer->has_thread)
        return 0;
    int failure = loop_start_thread(&writer->thread, run_writer, writer);
    if (failure)
        return error_set_errno(err, failure, "start the thread that writes the store");
    writer->has_thread = true;
    return 0;
}

static void enqueue(struct writer *writer, struct request *request)
{
    if (writer->is_inline && !writer->turn)
        writer->turn = loop_timer(writer->loop, 0, write_inline, writer);
    pthread_mutex_lock(&writer->lock);
    *writer->last = request;
    writer->last = &request->next;
    pthread_cond_signal(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
}

CO_FN static int write_and_wait(struct writer *writer, struct request *request, struct error *err)
{
    request->waiter = coroutine_self();
    assert(request->waiter);
    int r = start_thread(writer, err);
    if (r < 0)
        return r;
    loop_expect(writer->loop, 1);
    enqueue(writer, request);
    while (!request->is_answered)
        coroutine_yield();
    return request->r < 0 ? error_move(err, &request->err) : 0;
}

int writer_commit(struct writer *writer, const struct store_batch *batch, int64_t *ret_last_seq,
                  struct error *err)
{
    struct request request = {.batch = batch};
    int r = write_and_wait(writer, &request, err);
    if (r == 0)
        *ret_last_seq = request.last_seq;
    return r;
}

int writer_run(struct writer *writer, const char *sql, struct error *err)
{
    struct request request = {.sql = sql};
    return write_and_wait(writer, &request, err);
}

struct writer *writer_new(struct loop *loop, const struct store_files *files,
                          struct connection *shared, uint64_t *n_syncs)
{
    struct writer *writer = NEW(struct writer);
    writer->loop = loop;
    writer->files = files;
    writer->shared = shared;
    writer->n_syncs = n_syncs;
    writer->last = &writer->first;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->changed, NULL);
    writer->is_inline = world_is_simulated();
    assert(writer->is_inline || !shared);
    return writer;
}

void writer_make_store(struct writer *writer, const char *id)
{
    assert(!writer->has_thread && !writer->first);
    writer->unmade = id;
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->lock);
    assert(!writer->first);
    writer->is_ending = true;
    pthread_cond_signal(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    if (writer->has_thread)
        pthread_join(writer->thread, NULL);
    connection_done(&writer->own);
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    mem_free(writer);
}
