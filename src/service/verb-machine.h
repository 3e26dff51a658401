/* What carries out the verbs about this machine: its twin and its store. Each is the run of a row
 * in verb-table.c. Private to service/. */
#pragma once

#include "service/verbs.h"

CO_FN int verb_show_twin(struct service *service, const struct verb_call *call,
                         struct verb_answer *answer, struct error *err);
CO_FN int verb_stop_twin(struct service *service, const struct verb_call *call,
                         struct verb_answer *answer, struct error *err);
CO_FN int verb_check_twin(struct service *service, const struct verb_call *call,
                          struct verb_answer *answer, struct error *err);
int verb_make_token(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err);
int verb_list_tokens(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err);
int verb_remove_token(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err);
CO_FN int verb_check_state(struct service *service, const struct verb_call *call,
                           struct verb_answer *answer, struct error *err);
CO_FN int verb_repair_state(struct service *service, const struct verb_call *call,
                            struct verb_answer *answer, struct error *err);
CO_FN int verb_take_snapshot(struct service *service, const struct verb_call *call,
                             struct verb_answer *answer, struct error *err);
CO_FN int verb_plan_restore(struct service *service, const struct verb_call *call,
                            struct verb_answer *answer, struct error *err);
CO_FN int verb_restore_state(struct service *service, const struct verb_call *call,
                             struct verb_answer *answer, struct error *err);
