/*
 * The outputs of a deployment's resources, as far as they are known: what references are resolved
 * with, at plan and again during apply.
 */
#pragma once

#include "base/map.h"
#include "model/expression.h"
#include "model/value.h"

/* Zero-initialise it. */
struct outputs {
    struct map by_address; /* address -> owned map of outputs, or NULL while they are not known */
    struct map groups;     /* name of a counted resource -> owned list of its addresses */
};
void outputs_done(struct outputs *outputs);

/* Says that a resource of this name is there or will be. key is NULL, an integer or a string. */
void outputs_expect(struct outputs *outputs, const char *name, const struct value *key);

/* Sets what a resource has; unknowns in it count as not known yet. take_values is a map. */
void outputs_set(struct outputs *outputs, const char *address, struct value *take_values);

/* NULL while they are not known. Borrowed. */
struct value *outputs_get(const struct outputs *outputs, const char *address);

/*
 * A reference_lookup whose argument is a struct outputs: NAME.attr, NAME[key].attr; a bare NAME of
 * a counted resource gives the list over all of it, secret.NAME a secret without a digest.
 * ERROR_NOT_FOUND for a resource or an output
 * that is not there.
 */
int outputs_lookup(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err);
