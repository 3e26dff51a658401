/* What the door that starts a run and the run's process both check (run-start.c). Private to
 * service/. */
#pragma once

#include "service/approvals.h"

/* Whether a run may go on with its plan: somebody approved it, and not too long ago, and the types
 * are those it was made with. ERROR_APPROVAL_NEEDED, or ERROR_STALE. */
CO_FN int run_check_resumed(struct service *service, const struct plan *plan, const char *run,
                            struct standing *ret_standing, struct error *err);
/* The same of one that is to begin: also the identities to be adopted are free. */
CO_FN int run_check_plan(struct service *service, const struct plan *plan,
                         struct standing *ret_standing, struct error *err);
