#include "twin/postgres.h"

#include "base/strbuf.h"

#include <assert.h>
#include <string.h>

struct postgres {
    struct loop *loop;
    PGconn *connection; /* owned */
    bool is_broken;     /* an answer is still due, or will never come */
};

/* libpq ends its messages with a newline, and some have several lines. */
static int postgres_error(struct error *err, enum error_code code, const char *message)
{
    size_t length = strlen(message);
    while (length > 0 && message[length - 1] == '\n')
        length--;
    CLEANUP(mem_freep) char *text = string_copy_n(message, length);
    for (char *line = strchr(text, '\n'); line; line = strchr(line, '\n'))
        *line = ' ';
    return error_set(err, code, "%s", length ? text : "the server closed the connection");
}

static CO_FN int await_connection(struct postgres *postgres, int64_t deadline, struct error *err)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED)
            return postgres_error(err, ERROR_UNAVAILABLE, PQerrorMessage(postgres->connection));
        int r = loop_wait_fd(postgres->loop, PQsocket(postgres->connection),
                             next == PGRES_POLLING_READING ? LOOP_READABLE : LOOP_WRITABLE,
                             deadline, err);
        if (r < 0)
            return error_wrap(err, r, "connect to the database");
        next = PQconnectPoll(postgres->connection);
    }
    return 0;
}

static void drop_notice(void *argument, const char *message)
{
    (void)argument;
    (void)message;
}

int postgres_connect(struct loop *loop, const char *conninfo, int64_t deadline,
                     struct postgres **ret_postgres, struct error *err)
{
    CLEANUP(postgres_freep) struct postgres *postgres = NEW(struct postgres);
    postgres->loop = loop;
    postgres->connection = PQconnectStart(conninfo);
    if (!postgres->connection)
        return error_set(err, ERROR_SYSTEM, "libpq has no memory for a connection");
    PQsetNoticeProcessor(postgres->connection, drop_notice, NULL);
    if (PQstatus(postgres->connection) == CONNECTION_BAD)
        return postgres_error(err, ERROR_UNAVAILABLE, PQerrorMessage(postgres->connection));
    int r = await_connection(postgres, deadline, err);
    if (r < 0)
        return r;
    PQsetnonblocking(postgres->connection, 1);
    *ret_postgres = take_ptr(postgres);
    return 0;
}

void postgres_free(struct postgres *postgres)
{
    if (!postgres)
        return;
    PQfinish(postgres->connection);
    mem_free(postgres);
}

bool postgres_is_usable(struct postgres *postgres)
{
    return !postgres->is_broken && PQconsumeInput(postgres->connection) &&
           PQstatus(postgres->connection) == CONNECTION_OK;
}

static CO_FN int flush(struct postgres *postgres, int64_t deadline, struct error *err)
{
    int rest;
    while ((rest = PQflush(postgres->connection)) == 1) {
        int r = loop_wait_fd(postgres->loop, PQsocket(postgres->connection),
                             LOOP_READABLE | LOOP_WRITABLE, deadline, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(postgres->connection))
            break;
    }
    if (rest != 0)
        return postgres_error(err, ERROR_UNAVAILABLE, PQerrorMessage(postgres->connection));
    return 0;
}

/* The next result of the statement under way; NULL after the last. */
static CO_FN int next_result(struct postgres *postgres, int64_t deadline, PGresult **ret_result,
                             struct error *err)
{
    while (PQisBusy(postgres->connection)) {
        int r = loop_wait_fd(postgres->loop, PQsocket(postgres->connection), LOOP_READABLE,
                             deadline, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(postgres->connection))
            return postgres_error(err, ERROR_UNAVAILABLE, PQerrorMessage(postgres->connection));
    }
    *ret_result = PQgetResult(postgres->connection);
    return 0;
}

static int judge(struct postgres *postgres, PGresult *result, struct error *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return 0;
    bool is_lost = PQstatus(postgres->connection) != CONNECTION_OK;
    return postgres_error(err, is_lost ? ERROR_UNAVAILABLE : ERROR_CONFLICT,
                          PQresultErrorMessage(result));
}

/* Takes all results of what was sent; gives the last one, and the first error. */
static CO_FN int collect(struct postgres *postgres, int64_t deadline, PGresult **ret_result,
                         struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *last = NULL;
    int first_failure = 0;
    int r = flush(postgres, deadline, err);
    if (r < 0)
        return r;
    for (;;) {
        PGresult *result = NULL;
        r = next_result(postgres, deadline, &result, err);
        if (r < 0)
            return r;
        if (!result)
            break;
        PQclear(last);
        last = result;
        if (first_failure == 0)
            first_failure = judge(postgres, result, err);
    }
    if (first_failure < 0)
        return first_failure;
    if (ret_result)
        *ret_result = take_ptr(last);
    return 0;
}

static CO_FN int finish(struct postgres *postgres, int sent, int64_t deadline,
                        PGresult **ret_result, struct error *err)
{
    if (!sent) {
        postgres->is_broken = true;
        return postgres_error(err, ERROR_UNAVAILABLE, PQerrorMessage(postgres->connection));
    }
    int r = collect(postgres, deadline, ret_result, err);
    if (r < 0 && r != -ERROR_CONFLICT)
        postgres->is_broken = true;
    return r;
}

int postgres_query(struct postgres *postgres, const char *statement, const char *const *parameters,
                   size_t n_parameters, int64_t deadline, PGresult **ret_result, struct error *err)
{
    assert(!postgres->is_broken);
    int sent = PQsendQueryParams(postgres->connection, statement, (int)n_parameters, NULL,
                                 parameters, NULL, NULL, 0);
    return finish(postgres, sent, deadline, ret_result, err);
}

int postgres_execute(struct postgres *postgres, const char *statements, int64_t deadline,
                     struct error *err)
{
    assert(!postgres->is_broken);
    int sent = PQsendQuery(postgres->connection, statements);
    return finish(postgres, sent, deadline, NULL, err);
}

/* The library asks for a connection to say there what went wrong; this one is to nowhere, since
 * what describes it is no description. */
int postgres_make_verifier(const char *role, const char *password, char **ret_verifier,
                           struct error *err)
{
    PGconn *nowhere = PQconnectStart("=");
    char *verifier = PQencryptPasswordConn(nowhere, password, role, "scram-sha-256");
    int r = verifier ? 0 : postgres_error(err, ERROR_SYSTEM, PQerrorMessage(nowhere));
    if (verifier)
        *ret_verifier = string_copy(verifier);
    PQfreemem(verifier);
    PQfinish(nowhere);
    return r;
}
