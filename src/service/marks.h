/*
 * Marks: short texts that are others once what a question answers may be another. They cost a row
 * or two, whatever the answer is long: who tells others of changes compares them.
 */
#pragma once

#include "service/service.h"

enum mark_kind {
    MARK_NAMES,       /* which deployments there are */
    MARK_DEPLOYMENTS, /* the same with their state */
    MARK_RECORDS,     /* the records of a deployment */
    MARK_DOCUMENT,    /* its newest document */
    MARK_PLAN,        /* whether a plan is there, its approvals and runs */
    MARK_RUN,         /* a run and its journal */
    MARK_AUDIT        /* the audit chain */
};

/*
 * name is of the deployment, plan or run, and NULL of the others. What is not there (yet) has the
 * mark "". The caller frees it.
 */
CO_FN int service_find_mark(struct service *service, enum mark_kind kind, const char *name,
                            char **ret_mark, struct error *err);
/* A number that is the same as before while no mark is another; 0 where nothing is stored yet. */
CO_FN int service_find_version(struct service *service, int64_t *ret_version, struct error *err);

/* The newest run of a plan, if any: *ret_run (the caller's, to be freed with store_run_done()) has
 * no id without one. */
CO_FN int service_find_run_of(struct service *service, const struct plan *plan,
                              struct store_run *ret_run, struct error *err);
