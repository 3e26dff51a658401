#include "twin/workload-visits.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/postgres.h"

#include <stdio.h>
#include <string.h>

enum {
    CONNINFO_LIMIT = 4096,
    CONNECT_TIME = 1500 * 1000, /* microseconds */
    QUERY_TIME = 15 * 1000 * 1000,
    STUCK_TIME = 10 * 1000 * 1000, /* a commit waits for two disks; what takes longer is stuck */
    PAUSE_TIME = 100 * 1000        /* after a failed connection, before the next one */
};

/* Waiters that one round trip serves. */
struct batch {
    unsigned int references;
    int64_t n_visits; /* 0: only a look whether the database answers */
    struct gate done_gate;
    bool is_done;
    struct visits_count count;
    struct error err; /* how it failed, if it did */
};

struct visits {
    struct loop *loop;
    const char *conninfo_file;
    const char *name;
    struct postgres *postgres; /* owned; NULL while there is no connection */
    struct batch *next;        /* owned; collects visits while another batch is under way */
    struct gate work;          /* opened when next is there */
    struct gate ended;
    int64_t started; /* when the batch under way began; 0: none is */
    int64_t last_failure;
    bool is_closing;
    bool is_running;
};

static const char create_table[] =
    "begin; select pg_advisory_xact_lock(7261736); "
    "create table if not exists workload_visits (name text primary key, visits bigint not null); "
    "commit";

/* The sums are those of the moment before, since one statement sees one state of the table. */
static const char add_visits[] =
    "with before as (select count(*) filter (where name <> $1) as others, "
    "coalesce(sum(visits), 0) as visits from workload_visits), "
    "written as (insert into workload_visits as kept values ($1, $2::bigint) "
    "on conflict (name) do update set visits = kept.visits + excluded.visits) "
    "select (visits + $2::bigint)::bigint, others + 1 from before";

static void batch_unref(struct batch *batch)
{
    if (--batch->references > 0)
        return;
    error_done(&batch->err);
    mem_free(batch);
}

/* --- The writer: one coroutine, one connection --- */

static CO_FN int read_conninfo(struct visits *visits, char **ret_conninfo, struct error *err)
{
    int r = world_read_file(visits->conninfo_file, CONNINFO_LIMIT, ret_conninfo, NULL, err);
    return r < 0 ? error_set(err, ERROR_UNAVAILABLE, "there is no database yet") : 0;
}

static CO_FN int connect_new(struct visits *visits, struct error *err)
{
    CLEANUP(mem_freep) char *conninfo = NULL;
    CLEANUP(postgres_freep) struct postgres *postgres = NULL;
    int64_t deadline = world_monotonic_clock() + CONNECT_TIME;
    int r = read_conninfo(visits, &conninfo, err);
    if (r < 0)
        return r;
    r = postgres_connect(visits->loop, conninfo, deadline, &postgres, err);
    mem_wipe(conninfo, strlen(conninfo));
    if (r == 0)
        r = postgres_execute(postgres, create_table, deadline, err);
    if (r < 0)
        return r;
    visits->postgres = take_ptr(postgres);
    return 0;
}

static CO_FN int ensure_connection(struct visits *visits, struct error *err)
{
    if (visits->postgres && !postgres_is_usable(visits->postgres)) {
        postgres_free(visits->postgres);
        visits->postgres = NULL;
    }
    if (visits->postgres)
        return 0;
    if (visits->last_failure && world_monotonic_clock() - visits->last_failure < PAUSE_TIME)
        return error_set(err, ERROR_UNAVAILABLE, "the database did not answer a moment ago");
    int r = connect_new(visits, err);
    visits->last_failure = r < 0 ? world_monotonic_clock() : 0;
    return r;
}

static CO_FN int write_visits(struct visits *visits, struct batch *batch, struct error *err)
{
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)batch->n_visits);
    const char *parameters[] = {visits->name, number};
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = postgres_query(visits->postgres, add_visits, parameters, 2,
                           world_monotonic_clock() + QUERY_TIME, &result, err);
    if (r < 0)
        return r;
    if (PQntuples(result) != 1 ||
        !text_to_integer(PQgetvalue(result, 0, 0), &batch->count.visits) ||
        !text_to_integer(PQgetvalue(result, 0, 1), &batch->count.rows))
        return error_set(err, ERROR_CORRUPT, "the database counts in no numbers");
    return 0;
}

static CO_FN void run_batch(struct visits *visits, struct batch *batch)
{
    int r = ensure_connection(visits, &batch->err);
    if (r == 0 && batch->n_visits > 0)
        write_visits(visits, batch, &batch->err);
    else if (r == 0)
        postgres_query(visits->postgres, "select 1", NULL, 0, world_monotonic_clock() + STUCK_TIME,
                       NULL, &batch->err);
}

static CO_FN void run_writer(void *argument)
{
    struct visits *visits = argument;
    while (visits->next || !visits->is_closing) {
        if (!visits->next) {
            gate_wait(visits->loop, &visits->work, -1, NULL);
            continue;
        }
        struct batch *batch = visits->next;
        visits->next = NULL;
        visits->started = world_monotonic_clock();
        run_batch(visits, batch);
        visits->started = 0;
        batch->is_done = true;
        gate_open(visits->loop, &batch->done_gate);
        batch_unref(batch);
    }
    visits->is_running = false;
    gate_open(visits->loop, &visits->ended);
}

/* --- Those who wait for it --- */

struct visits *visits_new(struct loop *loop, const char *conninfo_file, const char *name)
{
    struct visits *visits = NEW(struct visits);
    visits->loop = loop;
    visits->conninfo_file = conninfo_file;
    visits->name = name;
    visits->is_running = true;
    loop_spawn(loop, "visits", run_writer, visits);
    return visits;
}

void visits_free(struct visits *visits)
{
    if (!visits)
        return;
    visits->is_closing = true;
    gate_open(visits->loop, &visits->work);
    while (visits->is_running)
        gate_wait(visits->loop, &visits->ended, -1, NULL);
    postgres_free(visits->postgres);
    mem_free(visits);
}

static struct batch *join_batch(struct visits *visits, int64_t n_visits)
{
    if (!visits->next) {
        visits->next = NEW(struct batch);
        visits->next->references = 1;
        gate_open(visits->loop, &visits->work);
    }
    visits->next->references++;
    visits->next->n_visits += n_visits;
    return visits->next;
}

static CO_FN int await_batch(struct visits *visits, struct batch *batch, int64_t deadline,
                             struct error *err)
{
    while (!batch->is_done) {
        int r = gate_wait(visits->loop, &batch->done_gate, deadline, err);
        if (r < 0)
            return error_wrap(err, r, "the database takes too long");
    }
    if (batch->err.code == ERROR_NONE)
        return 0;
    return error_set(err, batch->err.code, "%s", error_message(&batch->err));
}

int visits_add(struct visits *visits, int64_t deadline, struct visits_count *ret_count,
               struct error *err)
{
    struct batch *batch = join_batch(visits, 1);
    int r = await_batch(visits, batch, deadline, err);
    if (r == 0)
        *ret_count = batch->count;
    batch_unref(batch);
    return r;
}

static bool is_stuck(const struct visits *visits)
{
    return visits->started && world_monotonic_clock() - visits->started > STUCK_TIME;
}

int visits_check(struct visits *visits, int64_t deadline, struct error *err)
{
    if (is_stuck(visits))
        return error_set(err, ERROR_UNAVAILABLE, "a write to the database is stuck");
    struct batch *batch = join_batch(visits, 0);
    int r = await_batch(visits, batch, deadline, err);
    if (r < 0 && !batch->is_done && !is_stuck(visits)) {
        error_done(err);
        r = 0;
    }
    batch_unref(batch);
    return r;
}
