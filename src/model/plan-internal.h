/* What the files of a plan share among themselves: the fields of a step as JSON. */
#pragma once

#include "base/strbuf.h"
#include "model/plan.h"

enum step_form {
    STEP_FORM_APPROVED, /* what is hashed: everything but durations and notes */
    STEP_FORM_WHOLE,    /* what is answered to --json (DESIGN section 17) */
    STEP_FORM_STORED,   /* the whole without what says nothing: null, false, 0, no items */
    STEP_FORM_REST,     /* of that what has no column of its own in the store */
};

/* Appends the step as canonical JSON. */
void step_write(struct strbuf *text, const struct step *step, enum step_form form);
/* The whole step; the caller unrefs it. */
struct value *step_to_value(const struct step *step);
/* Into an empty step, with all checks; number, from 1, is for faults. The step is the caller's to
 * free also when that fails. */
int step_from_value(const struct value *value, size_t number, struct step *step, struct error *err);
/* Whether it has the states that its kind promises. */
int step_check_states(const struct step *step, size_t number, struct error *err);
void step_done(struct step *step);
