/* The verbs about the store itself: check, repair, snapshot, restore. */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "service/allowed.h"
#include "service/service.h"
#include "store/state.h"

#include <string.h>

int service_state_check(struct service *service, struct value **ret_report, struct error *err)
{
    CLEANUP(value_unrefp) struct value *report = NULL;
    int r = store_examine(service->home, &report, err);
    if (r == 0)
        *ret_report = value_with(report, "home", value_string(service->home));
    return r;
}

CO_FN static int audit_repair(struct service *service, const struct value *report,
                              struct error *err)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(report); i++)
        value_builder_set(&fields, value_key_at(report, i), value_ref(value_at(report, i)));
    return service_audit(service, "repair", &fields, err);
}

int service_state_repair(struct service *service, struct value **ret_report, struct error *err)
{
    CLEANUP(value_unrefp) struct value *report = NULL;
    int r = store_repair(service->home, &report, err);
    /* Whoever finds a gap in the chains learns here where it comes from. */
    if (r == 0 && value_get_text(report, "kept"))
        r = audit_repair(service, report, err);
    if (r == 0)
        *ret_report = take_ptr(report);
    return r;
}

int service_state_snapshot(struct service *service, const char *path, char **ret_path,
                           struct error *err)
{
    char time[WORLD_TIME_SIZE];
    world_format_time(world_wall_clock(), time);
    CLEANUP(mem_freep) char *folder = string_format("%s/snapshots", service->home);
    CLEANUP(mem_freep)
    char *chosen = path ? string_copy(path) : string_format("%s/%s.parley", folder, time);
    int r = path ? 0 : world_make_folder(folder, 0700, err);
    if (r == 0)
        r = store_snapshot(service->home, chosen, err);
    if (r == 0)
        *ret_path = take_ptr(chosen);
    return r;
}

/* --- Restore --- */

/* What a restore is planned from. */
struct restoring {
    struct service *service;
    char *folder;               /* owned: where the snapshot is unpacked */
    struct store *snapshot;     /* owned */
    bool has_store;             /* the present store can be read: only what it lacks comes back */
    struct value_builder parts; /* of the plan: a map for each deployment */
    struct store_batch *batch;  /* owned: what a store that can be read is given */
    size_t n_back;              /* records that come back */
};

static void restoring_done(struct restoring *restoring)
{
    store_close(restoring->snapshot);
    if (restoring->folder)
        store_remove_unpacked(restoring->folder);
    mem_free(restoring->folder);
    value_builder_done(&restoring->parts);
    store_batch_free(restoring->batch);
}

static int open_snapshot(struct restoring *restoring, const char *path, struct error *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_random(id);
    restoring->folder = string_format("%s/unpacked-%.8s", restoring->service->home, id);
    int r = store_unpack(path, restoring->folder, err);
    return r < 0 ? r
                 : store_open_sqlite(restoring->service->loop, restoring->folder, false,
                                     &restoring->snapshot, err);
}

/* One that is missing or damaged has nothing to say; one of another snapshot is no way back. */
static int open_present(struct restoring *restoring, struct error *err)
{
    struct service *service = restoring->service;
    CLEANUP(value_unrefp) struct value *report = NULL;
    struct error fault = {0};
    int r = store_examine(service->home, &report, &fault);
    bool is_whole = r == 0 && value_count(value_get(report, "faults")) == 0;
    bool is_gone = r == -ERROR_NOT_FOUND || r == 0;
    if (!is_gone)
        return error_move(err, &fault);
    error_done(&fault);
    if (!is_whole)
        return 0;
    restoring->has_store = true;
    r = service_need_store(service, false, err);
    if (r == 0 && !text_equal(store_id(service->store), store_id(restoring->snapshot)))
        r = error_set(err, ERROR_CONFLICT,
                      "the snapshot is of the store %s, but %s has %s; use another --home",
                      store_id(restoring->snapshot), service->home, store_id(service->store));
    return r;
}

static bool is_as_recorded(const struct resource_type *type, const struct record *record,
                           const struct value *live)
{
    return schema_equal(&type->schema, record->live ? record->live : record->spec, live);
}

/* What a record says against what is there now: "same", "differs", "gone", or "untold" with why. */
static int compare(struct restoring *restoring, const char *deployment, const struct record *record,
                   struct value_builder *row)
{
    struct service *service = restoring->service;
    struct provider *provider = NULL;
    const struct resource_type *type = NULL;
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    struct live live = {0};
    int r = service_find_provider(service, record->instance, &provider, &err);
    bool is_internal = r == 0 && provider_is_internal(provider);
    if (r == 0 && !is_internal)
        r = service_find_type(service, record->type, record->address, &type, &err);
    if (r == 0 && !is_internal) {
        struct target target = {.type = type,
                                .uid = record->uid,
                                .address = record->address,
                                .deployment = deployment,
                                .provider_id = record->provider_id,
                                .generation = record->generation,
                                .references = references};
        struct call call = service_read_call(service);
        r = provider_read(provider, &call, &target, &live, &err);
    }
    bool is_same = is_internal || (r == 0 && live.is_present && live.spec && record->spec &&
                                   is_as_recorded(type, record, live.spec));
    const char *verdict = r < 0             ? "untold"
                          : is_same         ? "same"
                          : live.is_present ? "differs"
                                            : "gone";
    value_builder_set_string(row, "live", verdict);
    if (r < 0)
        value_builder_set_string(row, "why", error_message(&err));
    bool is_there = is_internal || live.is_present;
    live_done(&live);
    error_done(&err);
    return r < 0 ? r : is_there;
}

/* Without a store every record comes back; else those that are there and that it does not know. */
static const char *decide(const struct restoring *restoring, const struct records *present,
                          const struct store_deployment *known, const struct record *record,
                          int is_there)
{
    if (!restoring->has_store)
        return "restore";
    for (size_t i = 0; i < present->n_items; i++)
        if (text_equal(present->items[i]->uid, record->uid))
            return "keep";
    if (known->uid && known->is_destroyed)
        return is_there > 0 ? "leave" : "forget";
    return is_there > 0 ? "restore" : is_there < 0 ? "leave" : "forget";
}

static bool has_newer(const struct records *present, const struct record *record)
{
    for (size_t i = 0; i < present->n_items; i++)
        if (text_equal(present->items[i]->address, record->address) &&
            present->items[i]->generation >= record->generation)
            return true;
    return false;
}

/* A record whose place has been taken by a newer generation waits for its delete. */
static void bring_back(struct restoring *restoring, const struct store_deployment *deployment,
                       const struct records *present, const struct record *record)
{
    restoring->n_back++;
    if (!restoring->has_store)
        return;
    CLEANUP(record_freep) struct record *copy = record_copy(record);
    if (has_newer(present, record))
        copy->status = RECORD_DEPOSED;
    store_batch_put_record(restoring->batch, deployment->uid, copy);
}

/* The rows of one deployment of the snapshot. */
static int plan_records(struct restoring *restoring, const struct store_deployment *deployment,
                        const struct store_deployment *known, struct value_builder *rows,
                        struct error *err)
{
    struct records records = {0};
    struct records present = {0};
    int r = store_load_records(restoring->snapshot, deployment->uid, &records, err);
    if (r == 0 && known->uid)
        r = store_load_records(restoring->service->store, known->uid, &present, err);
    for (size_t i = 0; r == 0 && i < records.n_items; i++) {
        const struct record *record = records.items[i];
        struct value_builder row = {0};
        value_builder_set_string(&row, "address", record->address);
        value_builder_set_string(&row, "type", record->type);
        value_builder_set_string(&row, "uid", record->uid);
        value_builder_set(&row, "generation", value_integer(record->generation));
        int is_there = compare(restoring, deployment->name, record, &row);
        const char *what = decide(restoring, &present, known, record, is_there);
        value_builder_set_string(&row, "action", what);
        if (text_equal(what, "restore"))
            bring_back(restoring, deployment, &present, record);
        value_builder_append(rows, value_builder_map(&row));
    }
    records_done(&records);
    records_done(&present);
    return r;
}

/* A deployment that the store lost comes back with its newest document. */
static int bring_deployment(struct restoring *restoring, const struct store_deployment *deployment,
                            struct error *err)
{
    CLEANUP(value_unrefp) struct value *revision = NULL;
    store_batch_put_deployment(restoring->batch, deployment);
    if (deployment->head_revision == 0)
        return 0;
    int r = store_get_revision(restoring->snapshot, deployment->uid, 0, &revision, err);
    if (r == 0)
        store_batch_add_revision(restoring->batch, deployment->uid, revision);
    return r;
}

/* Under its uid; a deployment of that name which was made anew is another one. */
static int find_known(struct restoring *restoring, const struct store_deployment *deployment,
                      struct store_deployment *ret_known, struct error *err)
{
    if (!restoring->has_store)
        return 0;
    struct error fault = {0};
    int r = store_find_deployment(restoring->service->store, deployment->name,
                                  deployment->environment, ret_known, &fault);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &fault);
    error_done(&fault);
    return 0;
}

/* A deployment's own row must come before its records. */
static int plan_deployment(struct restoring *restoring, const struct store_deployment *deployment,
                           struct error *err)
{
    struct store_deployment known = {0};
    struct value_builder rows = {0};
    int r = find_known(restoring, deployment, &known, err);
    bool is_another = known.uid && !text_equal(known.uid, deployment->uid);
    if (r == 0 && restoring->has_store && !known.uid && !deployment->is_destroyed)
        r = bring_deployment(restoring, deployment, err);
    if (r == 0 && !is_another && !deployment->is_destroyed)
        r = plan_records(restoring, deployment, &known, &rows, err);
    struct value_builder part = {0};
    value_builder_set_string(&part, "name", deployment->name);
    value_builder_set_string(&part, "environment", deployment->environment);
    value_builder_set_string(&part, "uid", deployment->uid);
    value_builder_set(&part, "is_made_anew", value_bool(is_another));
    value_builder_set(&part, "is_destroyed", value_bool(deployment->is_destroyed));
    value_builder_set(&part, "resources", value_builder_list(&rows));
    value_builder_append(&restoring->parts, value_builder_map(&part));
    store_deployment_done(&known);
    return r;
}

static int plan_deployments(struct restoring *restoring, struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    int r = store_list_deployments(restoring->snapshot, &deployments, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = plan_deployment(restoring, &deployments[i], err);
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    return r;
}

/* The plan as it is shown, with the hash by which it is approved. */
static struct value *seal(struct restoring *restoring, const char *path)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "format_version", value_integer(1));
    value_builder_set_string(&fields, "kind", "restore");
    value_builder_set_string(&fields, "store", store_id(restoring->snapshot));
    value_builder_set_string(&fields, "snapshot", path);
    value_builder_set_string(&fields, "home", restoring->service->home);
    value_builder_set(&fields, "replaces_store", value_bool(!restoring->has_store));
    value_builder_set(&fields, "records", value_integer((int64_t)restoring->n_back));
    value_builder_set(&fields, "deployments", value_builder_list(&restoring->parts));
    CLEANUP(value_unrefp) struct value *plan = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(plan);
    char hash[DIGEST_HEX_SIZE];
    digest_hex(text, strlen(text), hash);
    return value_with(plan, "hash", value_string(hash));
}

static int plan_restore(struct restoring *restoring, const char *path, struct value **ret_plan,
                        struct error *err)
{
    restoring->batch = store_batch_new();
    int r = open_snapshot(restoring, path, err);
    if (r == 0)
        r = open_present(restoring, err);
    if (r == 0)
        r = plan_deployments(restoring, err);
    if (r == 0)
        *ret_plan = seal(restoring, path);
    return r;
}

int service_state_plan_restore(struct service *service, const char *path, struct value **ret_plan,
                               struct error *err)
{
    CLEANUP(restoring_done) struct restoring restoring = {.service = service};
    return plan_restore(&restoring, path, ret_plan, err);
}

/*
 * The records of a store that can be read change in one commit, or none does. The yes, and to what,
 * becomes an entry of the audit chain: in that commit, or the first of the snapshot's own.
 */
static int carry_out(struct restoring *restoring, const char *path, const struct value *plan,
                     char **ret_kept, struct error *err)
{
    struct service *service = restoring->service;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "plan", value_get_text(plan, "hash"));
    value_builder_set_string(&fields, "snapshot", path);
    value_builder_set(&fields, "replaces_store", value_bool(!restoring->has_store));
    value_builder_set(&fields, "records", value_integer((int64_t)restoring->n_back));
    if (restoring->has_store) {
        service_add_audit(service, restoring->batch, "restore", &fields);
        return store_commit(service->store, restoring->batch, NULL, err);
    }
    int r = store_put_back(path, service->home, ret_kept, err);
    if (r == 0)
        return service_audit(service, "restore", &fields, err);
    value_builder_done(&fields);
    return r;
}

int service_state_restore(struct service *service, const char *path, const char *hash,
                          char **ret_kept, struct error *err)
{
    CLEANUP(restoring_done) struct restoring restoring = {.service = service};
    CLEANUP(value_unrefp) struct value *plan = NULL;
    int r = allowed_check(service, VERB_OWN, "to bring back a snapshot", err);
    if (r < 0 || (r = plan_restore(&restoring, path, &plan, err)) < 0)
        return r;
    if (!text_equal(value_get_text(plan, "hash"), hash))
        return error_set(
            err, ERROR_STALE,
            "what is there has changed since this restore was shown; look at it again");
    return carry_out(&restoring, path, plan, ret_kept, err);
}
