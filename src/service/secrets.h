/*
 * Secrets of documents, from their sources to a run's process. Their texts are in service->secrets
 * and nowhere else; what is read once is kept for the process, so that a plan and its run have the
 * same. Private to service/.
 */
#pragma once

#include "document/document.h"
#include "service/service.h"

/* Those of this process, under the key of the home, which is made when there is none. */
int secrets_open(struct service *service, struct error *err);
/* Frees all of them, with the service. */
void secrets_close(struct service *service);

/* Which deployment's secrets, and where relative paths begin. Borrowed. */
struct secret_place {
    const char *deployment_uid;
    const char *folder;
};

/*
 * Reads all secrets of a document and names them. *ret_secrets is a map of name -> {digest, source}
 * for the plan; the caller unrefs it. What cannot be had is a fault, and then *ret_secrets is NULL.
 */
CO_FN int secrets_read(struct service *service, struct document *document,
                       const struct secret_place *place, struct value **ret_secrets,
                       struct diagnostics *diagnostics, struct error *err);

/* Reads and names those of a plan. ERROR_STALE names one that is another than it was. */
CO_FN int secrets_gather(struct service *service, const struct plan *plan, struct error *err);

/*
 * Takes the variables that the newest revision of a deployment names out of the environment: a plan
 * that needs no secret, such as a destroy, starts a run, too. What cannot be had does not matter.
 */
CO_FN void secrets_clear_environment(struct service *service, const char *deployment_uid);

/* What a run's process reads the texts of a plan from, as its stdin; -1 when there are none. */
int secrets_hand_over(struct service *service, const struct plan *plan, int *ret_descriptor,
                      struct error *err);
/* The other side: takes what was handed over, once, and names it. */
int secrets_take_over(struct service *service, const struct plan *plan, struct error *err);

/* Those that are known, for a call to a provider: with no texts they can still tell equal from
 * different. NULL when this home never had any. */
struct secrets *secrets_known(struct service *service);

/*
 * From now on the digests of a deployment's secrets are those that its records have, and that
 * secrets, a plan's, say; what is in neither has none. secrets_read() ends it.
 */
CO_FN int secrets_recall(struct service *service, const struct value *secrets,
                         const char *deployment_uid, struct error *err);

/* What was read now, with handles where the record has them, as it has them when they are the same.
 * The caller unrefs it. */
struct value *secrets_recognise(struct service *service, struct value *live,
                                const struct value *recorded);

/* The digest of what an expression of secrets gives. The caller frees it. */
int secrets_find_digest(struct service *service, const char *expression, char **ret_digest,
                        struct error *err);
/* A value whose secrets have their digests, for plan_input. argument is the service. */
int secrets_complete_values(void *argument, struct value *value, struct value **ret_value,
                            struct error *err);
