/* Which approvals of a plan count: by what the site demands. Private to service/. */
#pragma once

#include "service/service.h"

/* What the site demands for a plan; without its steps, what it demands whatever they are. */
struct demand approvals_demand(const struct service *service, const struct plan *plan);

/* What speaks for a plan. */
struct standing {
    int64_t until; /* when the longest of its approvals ends */
    size_t n_seen; /* how many of its decisions were looked at */
};
/*
 * Whether a plan has an approval that counts for a run: nobody refused the plan since, and no other
 * run began by it. run: its id, or NULL for one that is to begin. ERROR_APPROVAL_NEEDED says why
 * one does not count, what is demanded, by which line of the site, and how to get it.
 */
CO_FN int approvals_check(struct service *service, const struct plan *plan, const char *run,
                          struct standing *ret_standing, struct error *err);

/* The level of what the caller says by itself, without a signature. */
enum approval_level approvals_own_level(const struct service *service);
/* Whether an approval would count once it is stored. ERROR_APPROVAL_NEEDED as above. */
CO_FN int approvals_check_new(struct service *service, const struct plan *plan,
                              const struct value *approval, struct error *err);
