/* What the door that starts a run and the run's process both check (run-start.c). Private to
 * service/. */
#pragma once

#include "service/service.h"

/* Whether somebody approved this very plan, and not too long ago; *ret_until is when the longest
 * approval ends. ERROR_APPROVAL_NEEDED without. */
CO_FN int run_check_approved(struct service *service, const struct plan *plan, int64_t *ret_until,
                             struct error *err);
/* The same, and what was judged still holds: the types and the identities to be adopted. */
CO_FN int run_check_plan(struct service *service, const struct plan *plan, int64_t *ret_until,
                         struct error *err);
