/*
 * What is there already and is to become a resource of a deployment: by its id, as somebody asked,
 * or because a record of it was forgotten. Never by name alone. Private to service/.
 */
#pragma once

#include "model/record.h"
#include "plan/plan.h"
#include "service/service.h"

/* What a plan knows of its deployment when it looks for such things; all borrowed. */
struct adoption_scene {
    struct service *service;
    const char *deployment; /* its name */
    const char *uid;        /* its uid, also while it is new */
    int64_t revision;       /* that the plan will make */
    const struct wanted *wanted;
    const struct records *records;
    const struct value *accounts;   /* of the deployment, as they are recorded; NULL: none */
    const struct value *identities; /* who its instances are now */
};

/* Zero-initialise it. */
struct adoptions {
    struct map found;          /* address -> owned struct found, which begins with an adoption */
    struct diagnostics faults; /* and warnings */
};
void adoptions_done(struct adoptions *adoptions);

/*
 * Reads what a map {address: id} names. What cannot be adopted goes to faults, all at once: it is
 * absent, of another type, known already here or in another deployment; then the rest is still
 * there. Fails when that cannot be told.
 */
CO_FN int adoptions_find_asked(const struct adoption_scene *scene, const struct value *asked,
                               struct adoptions *adoptions, struct error *err);
/*
 * Reads what wanted resources were before they were forgotten, and adds what is there still. That
 * is what plans without a document let go, and what those of revisions did, too, when
 * with_revisions.
 */
CO_FN int adoptions_find_forgotten(const struct adoption_scene *scene, bool with_revisions,
                                   struct adoptions *adoptions, struct error *err);

/* Adds the uids of what was adopted after a revision of a deployment. */
CO_FN int adoptions_list_since(struct service *service, const char *deployment_uid,
                               int64_t revision, struct map *uids, struct error *err);
/* Whether another deployment has recorded meanwhile what a plan adopts: ERROR_CONFLICT then. */
CO_FN int adoptions_check_free(struct service *service, const struct plan *plan, struct error *err);
