/*
 * Credentials: the settings by which instances let us in. The site says where the secrets in them
 * come from; their texts are in service->secrets, and drivers get handles. Private to service/.
 */
#pragma once

#include "model/yaml.h"
#include "service/service.h"

/* Whose secrets the site's generated ones are: no deployment's. */
extern const char credentials_uid[];

/*
 * Tells what is wrong with the settings of an instance, a pair of the site, as far as secrets go:
 * one where it would be shown, one that the site does not have, one that is written down (a
 * warning). sources is a map of those that the site has.
 */
void credentials_check(const struct yaml_tree *tree, const struct yaml_pair *instance,
                       const struct provider_ops *driver, const struct value *sources,
                       struct diagnostics *diagnostics);

/* Takes those that come from the environment out of it, so that no child gets them. What cannot be
 * had is told when it is needed. */
CO_FN void credentials_clear_environment(struct service *service);

/*
 * The settings of an instance, which resources may have configured, with a handle for each
 * credential; what it needs is read. The caller unrefs *ret_config, which is NULL without settings.
 */
CO_FN int credentials_fill(struct service *service, const char *instance,
                           const struct value *config, struct value **ret_config,
                           struct error *err);

/* The digests, name -> text, of the site's secrets that these instances (a map's keys) use, for a
 * plan; they are read. The caller unrefs the map. */
CO_FN int credentials_digest(struct service *service, const struct value *instances,
                             struct value **ret_digests, struct error *err);
/* Reads those of a plan. ERROR_STALE names one that is another than it was. */
CO_FN int credentials_gather(struct service *service, const struct plan *plan, struct error *err);

/* The digest of one that was read; NULL when it was not. Borrowed. */
const char *credentials_find(const struct service *service, const char *name);
/* One that was handed to this process; ERROR_STALE when it is another than the plan has. */
int credentials_take(struct service *service, const struct plan *plan, const char *name,
                     const char *digest, struct error *err);
void credentials_done(struct service *service);
