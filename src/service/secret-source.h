/*
 * Sources of secrets, as document_read_secrets() gives them: what is read once is kept for the
 * process, so that a plan and its run have the same. Private to service/.
 */
#pragma once

#include "service/service.h"

/* The source as it is kept: a file is the same whatever folder somebody asks from. The caller
 * unrefs *ret_source. */
int source_settle(const struct value *source, const char *folder, struct value **ret_source,
                  struct error *err);

/*
 * The digest of a secret, read when that was not done before by this process; secrets_open() was
 * called. What is generated belongs to uid: a deployment's. The caller frees *ret_digest.
 */
CO_FN int source_find_digest(struct service *service, const char *uid, const char *name,
                             const struct value *source, char **ret_digest, struct error *err);
