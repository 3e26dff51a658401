/* How an instance may be called: reading its limits, and waiting for a call's turn. Private to the
 * room. */
#pragma once

#include "provider/provider.h"

/*
 * Takes the setting "limits" out of a configuration and lays it over the driver's. *ret_config is
 * the rest and the caller's to unref, NULL when nothing is left. ERROR_INVALID names a wrong key.
 */
int limits_take(struct provider *provider, const struct value *config, struct value **ret_config,
                struct error *err);
void limits_done(struct provider *provider);

/* One call of a wrapper, from its first attempt to its last. */
struct calling {
    struct provider *provider;
    const struct call *asked; /* as the wrapper got it */
    enum provider_verb verb;
    const struct resource_type *type; /* NULL when the call is about none */
    struct call given;                /* as the driver gets it */
    bool has_group;
    size_t group; /* in provider->groups */
    int64_t n_attempts;
};

/*
 * Waits for the call's turn. Who waits looks at is_cancelled when a call ends and now and then.
 * Fails when the call was cancelled or its time ran out: then there is nothing to end.
 */
CO_FN int calling_begin(struct calling *calling, struct error *err);
void calling_end(struct calling *calling);
/* After a failure, once ended: whether the system put the call off and it is to be made again; then
 * err is emptied. */
bool calling_is_put_off(struct calling *calling, struct error *err);
/* Waits until something may have changed on the other side; false when there is no time for that.
 */
CO_FN bool calling_wait(struct calling *calling, int64_t delay_us);
