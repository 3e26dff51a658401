/*
 * What was there before anybody planned it, and what was let go: which things people have said that
 * a resource is to be. Nothing else is ever taken over, changed or deleted, and none of it is lost.
 */
#pragma once

#include "model/plan.h"
#include "sim/remote.h"

void estate_begin(void);
void estate_done(void);

/* Somebody says {address: id}. */
void estate_asked(const struct value *adopt);
/* A plan is about to be approved: it may adopt only what somebody named, or what was let go. */
void estate_planned(const struct plan *plan);
/* The store said that a step of a plan is done. */
void estate_step_is_done(const char *plan_hash, const char *step_id);

/* Whether a thing that somebody else made may be changed; with a uid, deleted as that resource. */
bool estate_may_touch(const struct remote *remote, const struct object *object, const char *uid);
/* Whether a plan was to forget it. */
bool estate_was_let_go(const struct remote *remote, const struct object *object);
/* Whether a resource was to take it over as it is: of what its document never said nothing is known
 * then. */
bool estate_was_adopted(const struct remote *remote, const struct object *object);
/* At the end: a thing without a record was never taken over, or was let go and is not wanted. */
void estate_check_unknown(const struct remote *remote, const struct object *object);
