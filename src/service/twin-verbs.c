/* The verbs about this machine's twin as a whole. */
#include "base/memory.h"
#include "base/text.h"
#include "provider/twin/client.h"
#include "service/service.h"

/* Requests and processor time are told as rates over this. */
enum { TOP_PERIOD_US = 1000 * 1000 };

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

/* --- What its hosts use --- */

static const struct value *host_called(const struct value *answer, const char *name)
{
    const struct value *hosts = value_get(answer, "hosts");
    for (size_t i = 0; !value_is_null(hosts) && i < value_count(hosts); i++)
        if (text_equal_or_null(value_get_text(value_at(hosts, i), "name"), name))
            return value_at(hosts, i);
    return NULL;
}

/* By how much a count has grown each second; one that began anew in between has no rate. */
static struct value *rate_of(const struct value *before, const struct value *now, const char *field,
                             double unit, double seconds)
{
    if (!before || value_is_null(value_get(before, field)) || value_is_null(value_get(now, field)))
        return value_null();
    int64_t grown = value_get_integer(now, field, 0) - value_get_integer(before, field, 0);
    return grown < 0 || seconds <= 0 ? value_null() : value_decimal((double)grown * unit / seconds);
}

static struct value *describe_use(const struct value *before, const struct value *now,
                                  double seconds)
{
    static const char *const kept[] = {"name",   "role",      "resource", "address",
                                       "memory", "processes", "restarts"};
    struct value_builder fields = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
        if (value_get(now, kept[i]))
            value_builder_set(&fields, kept[i], value_ref(value_get(now, kept[i])));
    value_builder_set(&fields, "cpu", rate_of(before, now, "cpu_us", 1e-6, seconds));
    value_builder_set(&fields, "requests", rate_of(before, now, "requests", 1, seconds));
    return value_builder_map(&fields);
}

int service_twin_top(struct service *service, struct value **ret_top, struct error *err)
{
    CLEANUP(value_unrefp) struct value *before = NULL;
    CLEANUP(value_unrefp) struct value *now = NULL;
    struct value_builder request = twin_request("measure"), again = twin_request("measure");
    int r = ask(service, &request, &before, err);
    if (r == 0)
        loop_sleep(service->loop, TOP_PERIOD_US);
    if (r == 0)
        r = ask(service, &again, &now, err);
    else
        value_builder_done(&again);
    if (r < 0)
        return r;
    struct value_builder hosts = {0}, fields = {0};
    double seconds =
        (double)(value_get_integer(now, "clock_us", 0) - value_get_integer(before, "clock_us", 0)) /
        1e6;
    const struct value *list = value_get(now, "hosts");
    for (size_t i = 0; !value_is_null(list) && i < value_count(list); i++) {
        const struct value *host = value_at(list, i);
        value_builder_append(
            &hosts, describe_use(host_called(before, value_get_text(host, "name")), host, seconds));
    }
    value_builder_set(&fields, "hosts", value_builder_list(&hosts));
    *ret_top = value_builder_map(&fields);
    return 0;
}

int service_twin_down(struct service *service, struct error *err)
{
    struct twin_home home = {0};
    struct call call = service_read_call(service);
    int r = twin_home_init(&home, service->home, err);
    if (r == 0)
        r = twin_end(&home, &call, err);
    if (r == -ERROR_NOT_FOUND)
        r = error_set(err, ERROR_NOT_FOUND, "no twin runs for %s", service->home);
    twin_home_done(&home);
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
    struct call call = service_read_call(service);
    if (r == 0)
        r = twin_try(&call, diagnostics, err);
    provider_free(provider);
    return r;
}
