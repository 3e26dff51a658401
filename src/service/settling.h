/* What became of the steps of a dead run is found out and written down. Private to service/. */
#pragma once

#include "apply/apply.h"
#include "service/service.h"

/* What apply_settle() works with: the service's, and nobody who is told of it. */
struct apply_context settling_context(struct service *service);
/* As service_settle(); with may_stay_open it is no failure that steps cannot be told. */
CO_FN int settling_newest(struct service *service, const char *deployment_uid, bool may_stay_open,
                          struct error *err);
