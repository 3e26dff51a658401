/*
 * Images with a context: a Docker Engine of this machine builds them where there is one and we are
 * root, who alone can give instances their files; else something stands in for them. What is asked
 * of the engine, a child asks (`parley-twin image`, twin/image-program.h).
 *
 * The engine is that of the document's "engine", else of the site's, else of DOCKER_HOST, else
 * /var/run/docker.sock. An image carries the labels parley.uid, by which it is found again after a
 * crash, and parley.recipe, what it was made from. The plan promises the engine in its step
 * ("proposed"): such a step never becomes a stand-in later.
 */
#pragma once

#include "provider/twin/twin.h"

bool twin_is_image(const struct target *target);

/* A setting as in a document: unix:///PATH. */
int twin_image_check_engine(const char *engine, struct error *err);

/* Tells what serves it. *ret_after is set when an engine will build it. */
CO_FN void twin_image_propose(struct twin_provider *twin, struct call *call,
                              const struct target *target, const struct step *step,
                              struct value **ret_after, struct diagnostics *diagnostics);

/* What an engine has built of it before, from the manifest: the caller unrefs it. NULL: nothing. */
struct value *twin_image_find(struct twin_provider *twin, const char *uid);
/*
 * For a create or update: has the image built when the plan says so. *ret_built is what the
 * supervisor is told of it, of a stand-in only why; the caller unrefs it. False when it
 * failed: then the outcome says how.
 */
CO_FN bool twin_image_build(struct twin_provider *twin, struct call *call,
                            const struct target *target, const struct step *step,
                            struct value *after, struct value **ret_built,
                            struct outcome *ret_outcome);
/* Removes what was built of it from its engine, but for what is used now (NULL: nothing). */
CO_FN int twin_image_remove(struct twin_provider *twin, struct call *call, const char *uid,
                            const struct value *built, const struct value *used, struct error *err);
/*
 * After a read of the twin: whether the engine has it still; or, where the twin has nothing, what a
 * run that was cut short has left there. Fails when the latter cannot be told.
 */
CO_FN int twin_image_look(struct twin_provider *twin, struct call *call,
                          const struct target *target, struct live *live, struct error *err);
