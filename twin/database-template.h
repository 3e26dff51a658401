/*
 * A template: the data that a cluster begins with, which is kept in the user's cache for the next
 * one. It is used only where nobody else can have touched it and nothing of it is missing; it is
 * never changed, so that several can copy it at once. Beside it lie spares, copies that were made
 * when there was time: each is taken by one member of one cluster, by moving it.
 */
#pragma once

#include "twin/database-data.h"

#include <stdbool.h>
#include <stddef.h>

enum { DATABASE_SPARES = 3 }; /* at most */

/*
 * The folder whose data is to be copied, or NULL: there is none, no cache is wanted, or it could be
 * somebody else's work or is not whole. The caller frees it.
 */
char *database_template_find(const struct database_maker *maker);

/*
 * Moves a spare to data, a path that does not exist yet, in the maker's folder. False when there is
 * none that can be trusted, or none that can be moved: the cache lies in another file system, or
 * the state folder in a place that the twin hides from itself. What is in it is synced, its new
 * place is not.
 */
bool database_template_take(const struct database_maker *maker, const char *data);

/* Removes what an earlier life that was killed has left of one in the making. */
void database_template_clean(const struct database_maker *maker);

struct template_job;

/*
 * Makes one where there is none, and so many spares, beside all else and when others have had their
 * turn, unless another process does so already. That it cannot be kept is no failure: the next
 * cluster takes longer. NULL when no cache is wanted.
 */
struct template_job *database_template_make(const struct database_maker *maker, size_t n_spares);
bool template_job_has_ended(const struct template_job *job);
/* Waits for its end, which it hastens. Accepts NULL. */
CO_FN void template_job_free(struct template_job *job);
