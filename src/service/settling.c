#include "service/settling.h"

#include "model/outputs.h"
#include "service/instances.h"
#include "service/secrets.h"

static int find_provider(void *argument, const char *instance, struct provider **ret_provider,
                         struct error *err)
{
    return service_find_provider(argument, instance, ret_provider, err);
}

static int configure_instance(void *argument, const char *instance, struct outputs *outputs,
                              struct error *err)
{
    return instances_configure(argument, instance, outputs_lookup, outputs, err);
}

static bool is_configured_instance(void *argument, const char *instance)
{
    return instances_has_roots(argument, instance);
}

struct apply_context service_apply_context(struct service *service)
{
    static const bool never = false;
    return (struct apply_context){
        .loop = service->loop,
        .store = service->store,
        .catalog = service->catalog,
        .home = service->home,
        .find_provider = find_provider,
        .configure = configure_instance,
        .is_configured = is_configured_instance,
        .argument = service,
        .secrets = secrets_known(service),
        .is_cancelled = &never,
    };
}

static int settle_run(struct service *service, struct store_run *run, bool may_stay_open,
                      struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = service_get_plan(service, run->plan_hash, &plan, err);
    if (r < 0)
        return r;
    /* What another system does not have was not therefore left undone. */
    r = service_check_identities(service, plan, run, err);
    if (r < 0)
        return error_wrap(err, r, "settle the run %.8s, which ended early", run->id);
    struct apply_context context = service_apply_context(service);
    size_t n_open = 0;
    r = apply_settle(&context, plan, run, &n_open, err);
    if (r < 0)
        return error_wrap(err, r, "settle the run %.8s, which ended early", run->id);
    /* What stays open has a record that says so. */
    if (n_open > 0 && !may_stay_open)
        return error_set(
            err, ERROR_UNAVAILABLE,
            "the run %.8s ended early and %zu of its steps cannot be told to have happened or not; "
            "see \"parley run show %.8s\", look for what they were to make, remove it where it is "
            "there, and \"parley forget\" it",
            run->id, n_open, run->id);
    return 0;
}

int settling_newest(struct service *service, const char *deployment_uid, bool may_stay_open,
                    struct error *err)
{
    struct store_run run = {0};
    int r = service_find_last_run(service, deployment_uid, &run, err);
    if (r == 0 && run.id && apply_may_be_open(&run))
        r = settle_run(service, &run, may_stay_open, err);
    store_run_done(&run);
    return r;
}

int service_settle(struct service *service, const char *deployment_uid, struct error *err)
{
    return settling_newest(service, deployment_uid, false, err);
}
