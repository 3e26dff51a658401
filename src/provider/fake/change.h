/* What a change does to the account, in the character of the account. Private to the fake. */
#pragma once

#include "provider/fake/account.h"
#include "provider/fake/failure.h"
#include "provider/fake/settings.h"

/* All borrowed. */
struct fake_change {
    const struct fake_account *account;
    const struct fake_character *character;
    const struct provider *provider;
    const struct target *target;
    const struct step *step;
    struct value *after;
    const struct fake_event *event;
    struct value *credential;     /* that of the call; NULL: none */
    const struct value *defaults; /* what each resource has besides; NULL: nothing */
};

/* Carries out a create, update or delete; when it fails, nothing was changed. */
void fake_carry_out(const struct fake_change *change, struct call *call,
                    struct outcome *ret_outcome);

/* Fills in what a found resource is known by, and what it is like where that is not after. */
void fake_set_made(const struct value *resource, const struct value *after,
                   struct outcome *outcome);
/* What the account makes of a spec: in its own way, with its defaults; unknowns are left as they
 * are. The caller unrefs it. */
struct value *fake_dry_run(const struct fake_character *character, const struct value *defaults,
                           const struct value *after);
/* Whether a resource is written like that. */
bool fake_is_like(const struct fake_character *character, const struct value *defaults,
                  const struct value *spec, const struct value *after);

/* What somebody else does before a call: loses or changes the resource, or stages an edit. */
int fake_meddle(const struct fake_account *account, const struct target *target,
                const struct fake_event *event, struct error *err);
