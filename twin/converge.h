/*
 * The twin's one loop: manifest -> desired machine -> difference -> act. It owns the manifest and
 * the modules. Changes that arrive together are made durable, and acted on, together.
 */
#pragma once

#include "model/value.h"
#include "twin/manifest.h"
#include "twin/module.h"
#include "twin/problems.h"

struct converge;

/*
 * Takes the manifest over and begins to make it real. twin->converge must be set to the result
 * before the loop runs. ERROR when the network or the firewall cannot be used at all.
 */
int converge_new(struct twin *twin, struct manifest *take_manifest, struct converge **ret_converge,
                 struct error *err);
/* Stops everything that runs. Nobody may be waiting in the calls below. Accepts NULL. */
CO_FN void converge_free(struct converge *converge);

/*
 * Makes a resource that was checked durable, then real, and returns when it is. On failure the
 * manifest is as before, and so is the machine as far as possible. A resource that is there
 * already, equal, is only waited for.
 */
CO_FN int converge_put(struct converge *converge, struct value *take_resource, struct error *err);
/* Removes one; ERROR_CONFLICT while another refers to it. One that is not there is no error. */
CO_FN int converge_delete(struct converge *converge, const char *uid, struct error *err);
/* Changes the number of hosts of a group, whatever else is asked of it meanwhile, and returns when
 * the change is durable. Nothing happens to one that is gone. */
CO_FN int converge_scale(struct converge *converge, const char *uid, unsigned int n_hosts,
                         struct error *err);
/*
 * Carries an action out, see struct module_ops, and returns when it is done. ERROR_NOT_FOUND when
 * there is no such resource, ERROR_UNSUPPORTED when it has no actions.
 */
CO_FN int converge_act(struct converge *converge, const struct module_action *action,
                       struct error *err);
/* Waits until everything asked for so far is dealt with; problems gets what is not well. */
CO_FN void converge_commit(struct converge *converge, struct problems *problems);

/*
 * Between these two what a change takes away and others may still use stays: the changes to come
 * may lead them elsewhere. Several may hold; the last release returns when all of it is gone.
 */
void converge_hold(struct converge *converge);
CO_FN void converge_release(struct converge *converge);

/*
 * What is known of a resource now: {"present": false}, or {"present": true, "name", "type", "spec",
 * "status": {"state", "fidelity", ...}, "outputs"}. Never waits.
 */
struct value *converge_describe(struct converge *converge, const char *uid);

const struct manifest *converge_manifest(const struct converge *converge);
/* The desired machine of now. */
const struct machine *converge_machine(const struct converge *converge);
/* The uids of what a program serves, or served; the caller unrefs the list. */
struct value *converge_find_resources(const struct converge *converge, const char *program);
/* Whether all modules have dealt with the desired machine of now. */
bool converge_is_settled(const struct converge *converge);
/* Whether there are no resources, and no changes on their way. */
bool converge_is_empty(const struct converge *converge);
