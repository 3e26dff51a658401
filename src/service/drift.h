/* Drift: what is there differs from what was applied. Part of service.h for the doors. */
#pragma once

#include "service/service.h"

/*
 * Reads everything that one deployment has (word NULL: each of them) and says where it is not as it
 * was applied, with both ways out: a stored plan that puts it back, and what to say to the document
 * so that it follows. A list of
 *
 *   {deployment, environment, revision, drifted, resources: [{address, type, instance, origin,
 * state: "changed" | "gone", differences: [{property, live, recorded}]}], put_back: {plan, steps,
 * other_steps}, adopt: {settings: ["web.port=80"], unsets: ["web.port"], removals: ["web"],
 * by_hand: [sentence]}}
 *
 * without the ways out where nothing differs, and with only {..., problem} where it cannot be told.
 * What a document never set is not managed and does not count, nor does what it ignores.
 */
CO_FN int service_drift(struct service *service, const char *word, struct value **ret_drift,
                        struct error *err);
