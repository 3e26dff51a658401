/* Computes the outputs of the engine's own resources. Has no state and knows no outside. */
#include "provider/core/core.h"

#include "base/text.h"

static int core_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    (void)provider;
    (void)home;
    if (config && value_count(config) > 0)
        return error_set(err, ERROR_INVALID, "the driver core has no setting \"%s\"; remove it",
                         value_key_at(config, 0));
    return 0;
}

static void core_close(struct provider *provider)
{
    (void)provider;
}

static int core_apply(struct provider *provider, struct call *call, const struct target *target,
                      const struct step *step, struct value *after, struct outcome *ret_outcome,
                      struct error *err)
{
    (void)provider;
    (void)call;
    if (step->kind == STEP_START)
        return error_set(err, ERROR_UNSUPPORTED, "there is nothing to start");
    if (!text_equal(target->type->name, "core:data:value"))
        return error_set(err, ERROR_UNSUPPORTED, "the driver core serves core:data:value, not %s",
                         target->type->name);
    *ret_outcome = (struct outcome){.kind = OUTCOME_DONE};
    if (step->kind == STEP_DELETE)
        return 0;
    struct value *value = value_get(after, "value");
    struct value_builder outputs = {0};
    value_builder_set(&outputs, "value", value ? value_ref(value) : value_null());
    value_builder_set_string(&outputs, "id", target->uid);
    ret_outcome->outputs = value_builder_map(&outputs);
    return 0;
}

const struct provider_ops core_provider_ops = {
    .driver = "core",
    .instance_size = sizeof(struct provider),
    .is_internal = true,
    .configure = core_configure,
    .close = core_close,
    .apply = core_apply,
};
