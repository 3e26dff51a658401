/* Who may do what: roles, and the caps of the site. Private to service/. */
#pragma once

#include "service/verbs.h"

/*
 * Whether the service's caller may do something to a plan: approve it, or have it carried out.
 * ERROR_DENIED says what refuses it; with no-destroy in the site, that is also any step that takes
 * something away. A refusal is in the audit chain.
 */
CO_FN int allowed_check_plan(struct service *service, enum verb_effect effect,
                             const struct plan *plan, struct error *err);
/* The same of anything else, which what names for the message. */
CO_FN int allowed_check(struct service *service, enum verb_effect effect, const char *what,
                        struct error *err);
/* The caps alone, whoever asks: for a run, which was started by somebody who might. */
int allowed_check_caps(const struct site *site, const struct plan *plan, struct error *err);

/* Writes a refusal into the audit chain, unless it was to read, and moves it into err. */
CO_FN int allowed_refuse(struct service *service, enum verb_effect effect, const char *what,
                         struct error *denial, struct error *err);
