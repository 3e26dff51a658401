/* The verbs that only look: status, show, output, history. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "service/instances.h"
#include "service/questions.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/service.h"

enum { LOOK_AGAIN_US = 50000 };

static const char *deployment_state(const struct store_deployment *deployment,
                                    const struct store_run *last)
{
    if (deployment->is_destroyed)
        return "destroyed";
    return last ? run_status_to_string(last->status) : "planned";
}

/* The newest run of a deployment; *ret_n is 0 or 1. */
static int load_last_run(struct service *service, const char *uid, struct store_run *ret_run,
                         size_t *ret_n, struct error *err)
{
    struct store_run *runs = NULL;
    int r = store_list_runs(service->store, uid, 1, &runs, ret_n, err);
    if (r == 0 && *ret_n > 0) {
        unbegun_settle(service, &runs[0]);
        *ret_run = runs[0];
    }
    mem_free(runs);
    return r;
}

static int summarise(struct service *service, const struct store_deployment *deployment,
                     struct value **ret_summary, struct error *err)
{
    struct store_run last = {0};
    size_t n_runs = 0;
    size_t n_records = 0;
    CLEANUP(value_unrefp) struct value *revisions = NULL;
    int r = store_count_records(service->store, deployment->uid, &n_records, err);
    if (r == 0)
        r = load_last_run(service, deployment->uid, &last, &n_runs, err);
    if (r == 0)
        r = store_list_revisions(service->store, deployment->uid, 0, 1, &revisions, err);
    if (r == 0) {
        struct value *partial =
            value_count(revisions) > 0 ? value_get(value_at(revisions, 0), "partial") : NULL;
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "name", deployment->name);
        value_builder_set_string(&fields, "environment", deployment->environment);
        value_builder_set_string(&fields, "uid", deployment->uid);
        value_builder_set_string(&fields, "state",
                                 deployment_state(deployment, n_runs ? &last : NULL));
        value_builder_set(&fields, "revision", value_integer(deployment->head_revision));
        if (partial)
            value_builder_set(&fields, "partial", value_ref(partial));
        value_builder_set(&fields, "resources", value_integer((int64_t)n_records));
        value_builder_set(&fields, "updated_at", value_integer(deployment->updated_at));
        *ret_summary = value_builder_map(&fields);
    }
    store_run_done(&last);
    return r;
}

int service_list_deployments(struct service *service, struct value **ret_deployments,
                             struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_list_deployments(service->store, &deployments, &n, err)) < 0)
        return r;
    run_sweep_sockets();
    struct value_builder list = {0};
    for (size_t i = 0; i < n; i++) {
        struct value *summary = NULL;
        if (r == 0)
            r = summarise(service, &deployments[i], &summary, err);
        if (summary)
            value_builder_append(&list, summary);
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_deployments = value_builder_list(&list);
    return r;
}

/* What a provider says of one resource; "health" is unknown when it cannot be asked, never guessed.
 */
static struct value *read_resource(struct questions *questions,
                                   const struct store_deployment *deployment,
                                   const struct record *record)
{
    struct service *service = questions->service;
    struct value_builder fields = {0};
    struct error err = {0};
    struct provider *provider = NULL;
    struct live live = {.is_present = true};
    value_builder_set_string(&fields, "address", record->address);
    value_builder_set_string(&fields, "type", record->type);
    value_builder_set_string(&fields, "instance", record->instance);
    value_builder_set_string(&fields, "origin", record->origin);
    CLEANUP(value_unrefp) struct value *nothing = value_builder_map(&(struct value_builder){0});
    struct target target = {0};
    int r = service_find_target(service, record, deployment->name, nothing, &target, &err);
    if (r == 0)
        r = service_find_provider(service, record->instance, &provider, &err);
    if (r == 0 && !provider_is_internal(provider)) {
        struct call call = questions_call(questions);
        r = provider_read(provider, &call, &target, &live, &err);
    }
    const char *state = r < 0             ? "unknown"
                        : live.is_stopped ? "stopped"
                        : live.is_present ? record_status_to_string(record->status)
                                          : "missing";
    value_builder_set_string(&fields, "state", state);
    if (r < 0)
        value_builder_set_string(&fields, "problem", error_message(&err));
    else if (live.status && value_get_text(live.status, "doubt"))
        value_builder_set_string(&fields, "problem", value_get_text(live.status, "doubt"));
    const struct type_driver *driver =
        target.type && provider ? type_find_driver(target.type, provider->ops->driver) : NULL;
    /* What runs now knows better than what the catalog says of every machine. */
    const char *told = live.status ? value_get_text(live.status, "fidelity") : NULL;
    bool is_as_always = driver && (!told || text_equal(told, driver->fidelity));
    if (driver) {
        value_builder_set_string(&fields, "fidelity", is_as_always ? driver->fidelity : told);
        value_builder_set_string(&fields, "fidelity_note",
                                 is_as_always ? driver->note : value_get_text(live.status, "note"));
    }
    if (live.status)
        value_builder_set(&fields, "status", value_ref(live.status));
    live_done(&live);
    error_done(&err);
    return value_builder_map(&fields);
}

/* What is asked of all records, and their answers. */
struct looking {
    const struct store_deployment *deployment; /* borrowed */
    const struct records *records;             /* borrowed */
    struct value **answers;                    /* owned: for each record */
};

static CO_FN int ask_resource(struct questions *questions, void *argument, size_t index,
                              struct error *err)
{
    struct looking *looking = argument;
    (void)err;
    looking->answers[index] =
        read_resource(questions, looking->deployment, looking->records->items[index]);
    return 0;
}

/* All at the same time, and the answers in the order of the records. */
static CO_FN struct value *read_resources(struct service *service,
                                          const struct store_deployment *deployment,
                                          const struct records *records)
{
    struct questions questions = {.service = service};
    struct looking looking = {.deployment = deployment, .records = records};
    struct value_builder list = {0};
    looking.answers = NEW_ARRAY(struct value *, records->n_items);
    for (size_t i = 0; i < records->n_items; i++) {
        struct provider *provider = NULL;
        bool is_internal =
            service_find_provider(service, records->items[i]->instance, &provider, NULL) == 0 &&
            provider_is_internal(provider);
        if (is_internal)
            looking.answers[i] = read_resource(&questions, deployment, records->items[i]);
        else
            questions_add(&questions, records->items[i]->instance, ask_resource, &looking, i);
    }
    (void)questions_ask(&questions, NULL); /* what cannot be read says so itself */
    for (size_t i = 0; i < records->n_items; i++)
        value_builder_append(&list, looking.answers[i]);
    mem_free(looking.answers);
    return value_builder_list(&list);
}

/* One driver's own words about what it serves: access points, health. Each system is asked once. */
static void add_sections(struct service *service, const struct records *records,
                         struct value_builder *sections)
{
    struct string_list uids = {0};
    struct map asked = {0};
    for (size_t i = 0; i < records->n_items; i++)
        string_list_add(&uids, records->items[i]->uid);
    for (size_t i = 0; i < records->n_items; i++) {
        struct provider *provider = NULL;
        if (service_find_provider(service, records->items[i]->instance, &provider, NULL) < 0 ||
            provider_is_internal(provider) || map_has(&asked, provider->ops->driver))
            continue;
        map_put(&asked, provider->ops->driver, NULL);
        struct call call = service_read_call(service);
        CLEANUP(value_unrefp) struct value *list = NULL;
        if (provider_describe(provider, &call, &uids, &list, NULL) < 0 || !list)
            continue;
        for (size_t k = 0; k < value_count(list); k++)
            value_builder_append(sections, value_ref(value_at(list, k)));
    }
    map_done(&asked);
    string_list_done(&uids);
}

int service_status(struct service *service, const char *word, struct value **ret_status,
                   struct error *err)
{
    struct store_deployment deployment = {0};
    struct records records = {0};
    CLEANUP(value_unrefp) struct value *summary = NULL;
    CLEANUP(value_unrefp) struct value *left = NULL;
    int r = service_find_deployment(service, word, &deployment, err);
    if (r < 0)
        return r;
    run_sweep_sockets();
    r = summarise(service, &deployment, &summary, err);
    if (r == 0)
        r = store_list_remains(service->store, deployment.uid, &left, err);
    if (r == 0)
        r = store_load_records(service->store, deployment.uid, &records, err);
    if (r == 0)
        r = instances_configure_all(service, &records, err);
    if (r == 0) {
        struct value *resources = read_resources(service, &deployment, &records);
        struct value_builder sections = {0};
        add_sections(service, &records, &sections);
        struct value_builder fields = {0};
        value_builder_set(&fields, "deployment", value_ref(summary));
        value_builder_set(&fields, "resources", resources);
        value_builder_set(&fields, "sections", value_builder_list(&sections));
        value_builder_set(&fields, "left", value_ref(left));
        value_builder_set(&fields, "outputs", value_ref(deployment.outputs));
        *ret_status = value_builder_map(&fields);
    }
    records_done(&records);
    store_deployment_done(&deployment);
    return r;
}

static bool is_settled(const struct value *sections)
{
    for (size_t i = 0; i < value_count(sections); i++)
        if (!value_get_bool(value_at(sections, i), "settled", true))
            return false;
    return true;
}

/* Whether one of a deployment's instances is a system that can say something of its resources. */
static CO_FN int has_systems(struct service *service, const char *uid, bool *ret_has,
                             struct error *err)
{
    struct string_list instances = {0};
    int r = store_list_instances(service->store, uid, &instances, err);
    *ret_has = false;
    for (size_t i = 0; i < instances.n_items; i++) {
        struct provider *provider = NULL;
        if (service_find_provider(service, instances.items[i], &provider, NULL) == 0 &&
            !provider_is_internal(provider))
            *ret_has = true;
    }
    string_list_done(&instances);
    return r;
}

static CO_FN int read_sections(struct service *service, const char *word,
                               struct value **ret_sections, struct error *err)
{
    struct store_deployment deployment = {0};
    struct records records = {0};
    struct value_builder sections = {0};
    bool has_some = false;
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = has_systems(service, deployment.uid, &has_some, err);
    if (r == 0 && has_some)
        r = store_load_records(service->store, deployment.uid, &records, err);
    if (r == 0)
        r = instances_configure_all(service, &records, err);
    if (r == 0) {
        add_sections(service, &records, &sections);
        *ret_sections = value_builder_list(&sections);
    }
    records_done(&records);
    store_deployment_done(&deployment);
    return r;
}

int service_await_sections(struct service *service, const char *word, int64_t patience_us,
                           struct value **ret_sections, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + patience_us;
    for (;;) {
        CLEANUP(value_unrefp) struct value *sections = NULL;
        int r = read_sections(service, word, &sections, err);
        if (r < 0)
            return r;
        if (is_settled(sections) || world_monotonic_clock() >= deadline) {
            *ret_sections = take_ptr(sections);
            return 0;
        }
        loop_sleep(service->loop, LOOK_AGAIN_US);
    }
}

/* A name that no resource has by itself stands for the instances that are counted under it. */
static CO_FN int find_shown(struct service *service, const char *uid, const char *address,
                            size_t page, struct records *records, struct error *err)
{
    int r = address ? store_find_records(service->store, uid, address, records, err) : 0;
    if (r < 0 || records->n_items > 0 || (address && strchr(address, '[')))
        return r;
    if (!address && page == 0)
        return store_load_records(service->store, uid, records, err);
    size_t n_before = page > 0 ? (page - 1) * SERVICE_PAGE_ROWS : 0;
    return store_list_records(service->store, uid, address, n_before,
                              page > 0 ? SERVICE_PAGE_ROWS : SIZE_MAX, records, err);
}

int service_show(struct service *service, const char *word, const char *address, size_t page,
                 struct value **ret_records, struct error *err)
{
    struct store_deployment deployment = {0};
    struct records records = {0};
    struct value_builder list = {0};
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = find_shown(service, deployment.uid, address, page, &records, err);
    for (size_t i = 0; i < records.n_items; i++)
        value_builder_append(&list, record_to_value(records.items[i]));
    if (r == 0 && address && list.n_items == 0 && page <= 1)
        r = error_set(err, ERROR_NOT_FOUND, "%s has no resource \"%s\"", deployment.name, address);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_records = value_builder_list(&list);
    records_done(&records);
    store_deployment_done(&deployment);
    return r;
}

int service_outputs(struct service *service, const char *word, struct value **ret_outputs,
                    struct error *err)
{
    struct store_deployment deployment = {0};
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        *ret_outputs = value_ref(deployment.outputs);
    store_deployment_done(&deployment);
    return r;
}

/* Those of a page: the rows before it are read again, which costs as much as it is old. */
static int list_revisions(struct service *service, const char *uid, size_t page,
                          struct value **ret_revisions, struct error *err)
{
    CLEANUP(value_unrefp) struct value *all = NULL;
    struct value_builder list = {0};
    int r = store_list_revisions(service->store, uid, 0, page * SERVICE_PAGE_ROWS, &all, err);
    if (r < 0)
        return r;
    for (size_t i = (page - 1) * SERVICE_PAGE_ROWS; i < value_count(all); i++)
        value_builder_append(&list, value_ref(value_at(all, i)));
    *ret_revisions = value_builder_list(&list);
    return 0;
}

int service_history(struct service *service, const char *word, size_t page,
                    struct value **ret_history, struct error *err)
{
    struct store_deployment deployment = {0};
    CLEANUP(value_unrefp) struct value *revisions = NULL;
    CLEANUP(value_unrefp) struct value *runs = NULL;
    CLEANUP(value_unrefp) struct value *events = NULL;
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = service_list_runs(service, word, page, &runs, err);
    if (r == 0)
        r = list_revisions(service, deployment.uid, page, &revisions, err);
    if (r == 0)
        r = service_list_events(service, word, &events, err);
    store_deployment_done(&deployment);
    if (r < 0)
        return r;
    struct value_builder fields = {0};
    value_builder_set(&fields, "revisions", value_ref(revisions));
    value_builder_set(&fields, "runs", value_ref(runs));
    value_builder_set(&fields, "events", value_ref(events));
    *ret_history = value_builder_map(&fields);
    return 0;
}
