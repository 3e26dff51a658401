/*
 * A template: the data that a cluster begins with, which is kept in the user's cache for the next
 * one. It is used only where nobody else can have touched it and nothing of it is missing; it is
 * never changed, so that several can copy it at once.
 */
#pragma once

#include "twin/database-data.h"

/*
 * The folder whose data is to be copied, or NULL: there is none, no cache is wanted, or it could be
 * somebody else's work or is not whole. The caller frees it.
 */
char *database_template_find(const struct database_maker *maker);

/* Removes what an earlier life that was killed has left of one in the making. */
void database_template_clean(const struct database_maker *maker);

struct template_job;

/*
 * Makes one beside all else, unless another process makes it already. That it cannot be kept is no
 * failure: the next cluster takes longer. NULL when no cache is wanted.
 */
struct template_job *database_template_make(const struct database_maker *maker);
/* Waits for its end, which it hastens. Accepts NULL. */
CO_FN void template_job_free(struct template_job *job);
