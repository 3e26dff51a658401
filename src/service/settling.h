/* What became of the steps of a dead run is found out and written down. Private to service/. */
#pragma once

#include "apply/apply.h"
#include "service/service.h"

/* What apply works with: the service's, nobody who is told of it and nobody who cancels it. */
struct apply_context service_apply_context(struct service *service);
/* As service_settle(); with may_stay_open it is no failure that steps cannot be told. */
CO_FN int settling_newest(struct service *service, const char *deployment_uid, bool may_stay_open,
                          struct error *err);
