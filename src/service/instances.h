/*
 * Instances that resources configure: a setting such as account: "${cluster.outputs.id}" refers to
 * a resource of the deployment that uses the instance. Until that is there the instance is not
 * configured: nothing is asked of it. Private to service/.
 */
#pragma once

#include "model/expression.h"
#include "model/record.h"
#include "service/service.h"

/* Adds the names of the resources that an instance is configured by; none for most. */
int instances_list_roots(const struct service *service, const char *instance,
                         struct string_list *roots, struct error *err);
bool instances_has_roots(const struct service *service, const char *instance);
/* Whether it can be asked: nothing configures it, or what does is there. */
bool instances_is_ready(struct service *service, const char *instance);

/*
 * Configures an instance with what its resources have: a change makes another provider of it. While
 * something is not known it stays as it was. ERROR_BUSY when a call is under way.
 */
int instances_configure(struct service *service, const char *instance, reference_lookup lookup,
                        void *argument, struct error *err);
/* The same with the records of a deployment; what is not known makes it unconfigured. */
int instances_configure_from(struct service *service, const char *instance,
                             const struct records *records, struct error *err);
/* All instances of a deployment's records. */
int instances_configure_all(struct service *service, const struct records *records,
                            struct error *err);
void instances_done(struct service *service);
