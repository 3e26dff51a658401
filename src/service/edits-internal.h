/* What the verbs that edit documents share. */
#pragma once

#include "service/edits.h"
#include "service/verbs.h"

/* A deployment by its word, and one of its revisions (0: the head). The caller frees both, also on
 * failure. */
CO_FN int edits_load(struct service *service, const char *word, int64_t number,
                     struct store_deployment *ret_deployment, struct value **ret_revision,
                     struct error *err);
/* The variables that a revision was applied with. */
CO_FN int edits_keep_variables(struct service *service, const struct value *revision,
                               struct value **ret_variables, struct error *err);

/* {document, before, after, revision, writes}, as struct verb_answer has it. */
struct value *edits_describe(const struct edited *edited);

/* A value whose texts say only themselves where expressions may stand. Gives a new reference. */
struct value *edits_escape(struct value *value);
/* Plans from an edited text; refresh is "none" or NULL. The caller keeps edited. */
CO_FN int edits_plan(struct service *service, const struct edited *edited, const char *refresh,
                     struct verb_answer *answer, struct error *err);

/* The rows of the verb table (edit-rows.c, import-verbs.c). */
CO_FN int edits_list(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err);
CO_FN int edits_plan_drift(struct service *service, const struct verb_call *call,
                           struct verb_answer *answer, struct error *err);
CO_FN int edits_plan_import(struct service *service, const struct verb_call *call,
                            struct verb_answer *answer, struct error *err);
CO_FN int edits_plan_set(struct service *service, const struct verb_call *call,
                         struct verb_answer *answer, struct error *err);
CO_FN int edits_plan_undo(struct service *service, const struct verb_call *call,
                          struct verb_answer *answer, struct error *err);
CO_FN int edits_pull(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err);
