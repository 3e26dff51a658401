/* What the site says of an account of the fake: its character, and that of single resources. */
#pragma once

#include "base/error.h"
#include "model/value.h"

#include <stdbool.h>
#include <stdint.h>

/* How it behaves while nothing fails; docs/site.md says what the settings mean. */
struct fake_character {
    int64_t latency_us;
    int64_t settling_us; /* how long something new is not found */
    bool is_asynchronous;
    bool is_staged;
    bool is_normalising;
};

struct fake_exception {
    char *name; /* owned: of the resource, or its address */
    struct fake_character character;
};

/* Zero-initialise it. */
struct fake_settings {
    char *account; /* owned; NULL: the instance's name */
    struct fake_character character;
    struct value *credential; /* owned: a text or the handle of one; NULL: none is shown */
    struct value *defaults;   /* owned map: what each resource has besides; NULL: nothing */
    int64_t token_us;         /* how long a token is known */
    struct fake_exception *exceptions; /* owned */
    size_t n_exceptions;
};
void fake_settings_done(struct fake_settings *settings);

/* config may be NULL. The key "fail" is left to failure.h. */
int fake_settings_read(const struct value *config, struct fake_settings *settings,
                       struct error *err);
/* That of a resource; of the account when address is "". */
const struct fake_character *fake_settings_find(const struct fake_settings *settings,
                                                const char *address);

/* Whether address is name, or an instance of a counted resource of that name. */
bool fake_fits_name(const char *name, const char *address);
/* "20ms", "2s", "1h"; key names it in the fault. */
int fake_read_duration(const char *key, const struct value *value, int64_t *ret_us,
                       struct error *err);
