/* One connection to PostgreSQL on the loop: libpq's asynchronous calls read as if they blocked. */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "net/loop.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

struct postgres;

/*
 * Connects as the conninfo says; it names addresses or socket folders, never host names.
 * ERROR_UNAVAILABLE when nobody answers or the server refuses; ERROR_TIMEOUT past the deadline. No
 * password is in a message.
 */
CO_FN int postgres_connect(struct loop *loop, const char *conninfo, int64_t deadline,
                           struct postgres **ret_postgres, struct error *err);
/* Accepts NULL. */
void postgres_free(struct postgres *postgres);
DEFINE_CLEANUP(struct postgres *, postgres_free)

/* Whether the connection is of use: nothing failed on it and the server has not closed it. */
bool postgres_is_usable(struct postgres *postgres);

/*
 * Runs one statement. parameters are texts or NULL for null. The caller frees *ret_result (may be
 * NULL) with PQclear(). ERROR_CONFLICT when the server refuses the statement; ERROR_UNAVAILABLE or
 * ERROR_TIMEOUT when it is not known what became of it: the connection is of no use then.
 */
CO_FN int postgres_query(struct postgres *postgres, const char *statement,
                         const char *const *parameters, size_t n_parameters, int64_t deadline,
                         PGresult **ret_result, struct error *err);
/* Runs several statements, separated by semicolons, as one transaction; their rows are dropped. */
CO_FN int postgres_execute(struct postgres *postgres, const char *statements, int64_t deadline,
                           struct error *err);

/* What a server keeps of a password, and by which it cannot be told: SCRAM-SHA-256. It takes some
 * milliseconds and needs no server. The caller frees *ret_verifier. */
int postgres_make_verifier(const char *role, const char *password, char **ret_verifier,
                           struct error *err);

static inline void postgres_clear_resultp(PGresult **result)
{
    PQclear(*result);
}
