/* Runs whose systems are others now than they began with. Private to service/; the verbs are in
 * service.h. */
#pragma once

#include "service/service.h"

/* Those that are not who the plan was made for: a list of {instance, planned, found}. Fails when
 * one does not say who it is. */
CO_FN int give_up_list_accounts(struct service *service, const struct plan *plan,
                                struct value **ret_accounts, struct error *err);
/* ERROR_NOT_FOUND when the run was given up: nobody goes on with it. */
CO_FN int give_up_check(struct service *service, const char *deployment_uid, const char *run_id,
                        struct error *err);
