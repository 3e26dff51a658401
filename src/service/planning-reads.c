#include "base/memory.h"
#include "service/instances.h"
#include "service/planning.h"
#include "service/secrets.h"

static int add_identity(struct planning *planning, struct value_builder *identities,
                        const char *instance, struct error *err)
{
    struct service *service = planning->service;
    struct provider *provider;
    if (!instances_is_ready(service, instance))
        return 0;
    int r = service_find_provider(service, instance, &provider, err);
    if (r < 0 || provider_is_internal(provider))
        return r;
    struct call call = service_read_call(service);
    CLEANUP(mem_freep) char *identity = NULL;
    r = provider_identify(provider, &call, &identity, err);
    if (r == 0)
        value_builder_set_string(identities, instance, identity);
    return r;
}

int planning_identify(struct planning *planning, struct error *err)
{
    struct value_builder identities = {0};
    struct map seen = {0};
    const struct wanted *wanted = &planning->loaded.wanted;
    int r = 0;
    for (size_t i = 0; r == 0 && i < wanted->n_items + planning->records.n_items; i++) {
        const char *instance = i < wanted->n_items
                                   ? wanted->items[i].instance
                                   : planning->records.items[i - wanted->n_items]->instance;
        if (map_has(&seen, instance))
            continue;
        map_put(&seen, instance, NULL);
        r = add_identity(planning, &identities, instance, err);
    }
    map_done(&seen);
    planning->identities = value_builder_map(&identities);
    return r;
}

static int observe_record(struct planning *planning, const struct record *record,
                          struct observation *ret_observation, struct error *err)
{
    struct service *service = planning->service;
    struct provider *provider;
    int r = service_find_provider(service, record->instance, &provider, err);
    if (r < 0 || provider_is_internal(provider))
        return r;
    const struct resource_type *type;
    r = service_find_type(service, record->type, record->address, &type, err);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    struct target target = {
        .type = type,
        .uid = record->uid,
        .address = record->address,
        .deployment = planning->deployment.name,
        .provider_id = record->provider_id,
        .generation = record->generation,
        .changed_at = record->updated_at,
        .references = references,
    };
    struct call call = service_read_call(service);
    struct live live = {0};
    r = provider_read(provider, &call, &target, &live, err);
    if (r == -ERROR_UNAVAILABLE && record->status == RECORD_UNKNOWN) {
        error_done(err);
        return 0; /* nobody can tell still: the plan says what to do */
    }
    if (r < 0)
        return error_wrap(err, r, "read %s", record->address);
    *ret_observation = (struct observation){
        .is_known = true,
        .is_present = live.is_present,
        .is_stopped = live.is_stopped,
        .spec = live.spec ? secrets_recognise(service, live.spec, record->spec) : NULL,
        .outputs = live.outputs ? secrets_recognise(service, live.outputs, record->outputs) : NULL,
        .provider_id = take_ptr(live.provider_id),
    };
    live_done(&live);
    return 0;
}

/* How much of one instance was read and found gone. */
struct tally {
    size_t n_read, n_gone;
};

static void count_gone(const struct planning *planning, struct map *tallies)
{
    for (size_t i = 0; i < planning->records.n_items; i++) {
        const char *instance = planning->records.items[i]->instance;
        struct tally *tally = map_get(tallies, instance);
        if (!planning->observations[i].is_known ||
            planning_is_gone_with_root(planning, planning->records.items[i]))
            continue;
        if (!tally) {
            tally = NEW(struct tally);
            map_put(tallies, instance, tally);
        }
        tally->n_read++;
        tally->n_gone += !planning->observations[i].is_present;
    }
}

/* All of an instance's records gone at once means another or an empty system, never a plan to make
 * everything again. */
static int check_not_all_gone(const struct planning *planning, struct error *err)
{
    struct map tallies = {0};
    int r = 0;
    size_t cursor = 0;
    struct map_entry *entry;
    count_gone(planning, &tallies);
    while ((entry = map_next(&tallies, &cursor))) {
        const struct tally *tally = entry->value;
        if (r == 0 && tally->n_read > 1 && tally->n_gone == tally->n_read)
            r = error_set(
                err, ERROR_CONFLICT,
                "%s: none of the %zu recorded resources is there any more: this looks like another "
                "or an emptied system, so nothing is planned; plan with --refresh=none to go by the "
                "records",
                entry->key, tally->n_read);
        mem_free(entry->value);
    }
    map_done(&tallies);
    return r;
}

/* Those on instances that are configured by resources, or the others. */
static int observe_those(struct planning *planning, bool has_roots, struct error *err)
{
    for (size_t i = 0; i < planning->records.n_items; i++) {
        const struct record *record = planning->records.items[i];
        struct observation *seen = &planning->observations[i];
        if (instances_has_roots(planning->service, record->instance) != has_roots)
            continue;
        if (has_roots && planning_is_gone_with_root(planning, record)) {
            *seen = (struct observation){.is_known = true};
            continue;
        }
        int r = observe_record(planning, record, seen, err);
        if (r < 0)
            return r;
        planning_note_gone(planning, record, seen);
    }
    return 0;
}

int planning_observe(struct planning *planning, struct error *err)
{
    planning->observations = NEW_ARRAY(struct observation, planning->records.n_items);
    /* First what may configure instances. */
    int r = observe_those(planning, false, err);
    if (r == 0)
        r = observe_those(planning, true, err);
    return r < 0 ? r : check_not_all_gone(planning, err);
}

static int add_pending(struct planning *planning, const char *instance,
                       const struct string_list *own, struct value_builder *pending,
                       struct error *err)
{
    struct provider *provider;
    struct value *foreign = NULL;
    int r = service_find_provider(planning->service, instance, &provider, err);
    if (r < 0 || !provider_has_commit(provider))
        return r;
    struct call call = service_read_call(planning->service);
    r = provider_pending(provider, &call, own, &foreign, err);
    if (r == 0)
        value_builder_set(pending, instance, foreign);
    return r;
}

int planning_find_pending(struct planning *planning, struct error *err)
{
    struct value_builder pending = {0};
    struct string_list own = {0};
    int r = 0;
    for (size_t i = 0; i < planning->records.n_items; i++)
        string_list_add(&own, planning->records.items[i]->uid);
    for (size_t i = 0; r == 0 && i < value_count(planning->identities); i++)
        r = add_pending(planning, value_key_at(planning->identities, i), &own, &pending, err);
    string_list_done(&own);
    planning->pending = value_builder_map(&pending);
    return r;
}

int planning_propose(struct planning *planning, struct plan *plan, struct diagnostics *diagnostics,
                     struct error *err)
{
    struct service *service = planning->service;
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    bool is_changed = false;
    for (size_t i = 0; i < plan->n_steps; i++) {
        struct step *step = &plan->steps[i];
        struct provider *provider;
        const struct resource_type *type;
        CLEANUP(value_unrefp) struct value *after = NULL;
        if (step->kind == STEP_START || step->kind == STEP_FORGET || step->kind == STEP_ADOPT ||
            step->record_only || !planning_knows_system(plan, step->instance))
            continue;
        int r = service_find_provider(service, step->instance, &provider, err);
        if (r < 0 || (r = service_find_type(service, step->type, step->address, &type, err)) < 0)
            return r;
        struct target target = {
            .type = type,
            .uid = step->uid,
            .address = step->address,
            .deployment = plan->deployment,
            .provider_id = step->provider_id,
            .generation = step->generation,
            .references = references,
        };
        struct call call = service_read_call(service);
        r = provider_propose(provider, &call, &target, step, &after, diagnostics, err);
        if (r < 0)
            return error_wrap(err, r, "check %s", step->address);
        if (after)
            plan_note_proposal(service->catalog, step, after);
        is_changed = is_changed || after;
    }
    if (is_changed)
        plan_seal(plan);
    return 0;
}
