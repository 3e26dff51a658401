/* Signed approvals against the site's approvers. Private to service/. */
#pragma once

#include "service/service.h"

/* Why the signature of a stored approval counts for nothing, into *why; false when it holds. */
bool signed_refuses(const struct service *service, const struct plan *plan,
                    const struct value *approval, struct strbuf *why);
