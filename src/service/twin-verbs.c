/* The verbs about this machine's twin as a whole. */
#include "base/memory.h"
#include "base/text.h"
#include "provider/twin/client.h"
#include "service/service.h"

static int ask(struct service *service, struct value_builder *request, struct value **ret_answer,
               struct error *err)
{
    struct twin_home home = {0};
    struct twin_answer answer = {0};
    CLEANUP(value_unrefp) struct value *value = value_builder_map(request);
    struct call call = service_read_call(service);
    int r = twin_home_init(&home, service->home, err);
    if (r == 0)
        r = twin_ask(&home, &call, value, &answer, err);
    if (r == -ERROR_NOT_FOUND)
        r = error_set(err, ERROR_NOT_FOUND, "no twin runs for %s", service->home);
    if (r == 0)
        *ret_answer = value_ref(answer.value);
    twin_answer_done(&answer);
    twin_home_done(&home);
    return r;
}

int service_twin_status(struct service *service, struct value **ret_status, struct error *err)
{
    struct value_builder request = twin_request("status");
    return ask(service, &request, ret_status, err);
}

int service_twin_down(struct service *service, struct error *err)
{
    struct value_builder request = twin_request("down");
    value_builder_set(&request, "wipe", value_bool(false));
    struct value *answer = NULL;
    int r = ask(service, &request, &answer, err);
    value_unref(answer);
    return r;
}

int service_twin_find(struct service *service, char **ret_program, char **ret_socket,
                      struct error *err)
{
    struct twin_home home = {0};
    int r = twin_home_init(&home, service->home, err);
    if (r < 0)
        return r;
    *ret_program = twin_program();
    *ret_socket = string_copy(home.socket);
    twin_home_done(&home);
    return 0;
}

/* Asks the driver about a resource of this type that nobody wants, so that it says what would stand
 * in its way. */
static int examine(struct service *service, struct provider *provider,
                   const struct resource_type *type, struct diagnostics *diagnostics,
                   struct error *err)
{
    CLEANUP(value_unrefp) struct value *nothing = value_builder_map(&(struct value_builder){0});
    struct step step = {
        .kind = STEP_CREATE,
        .address = type->name,
        .type = type->name,
        .instance = provider->name,
        .after = nothing,
    };
    struct target target = {
        .type = type, .uid = "", .address = type->name, .deployment = "", .references = nothing};
    struct call call = service_read_call(service);
    CLEANUP(value_unrefp) struct value *after = NULL;
    return provider_propose(provider, &call, &target, &step, &after, diagnostics, err);
}

int service_twin_doctor(struct service *service, struct diagnostics *diagnostics, struct error *err)
{
    struct provider *provider = NULL;
    int r = provider_new(service->loop, "twin.doctor", "twin", NULL, service->home, &provider, err);
    for (size_t i = 0; r == 0 && i < catalog_count(service->catalog); i++) {
        const struct resource_type *type = catalog_at(service->catalog, i);
        if (type_find_driver(type, "twin"))
            r = examine(service, provider, type, diagnostics, err);
    }
    provider_free(provider);
    return r;
}
