/* The verb plan. */
#include "base/memory.h"
#include "base/text.h"
#include "document/document.h"
#include "model/outputs.h"
#include "service/credentials.h"
#include "service/edits.h"
#include "service/instances.h"
#include "service/planning.h"
#include "service/reads.h"
#include "service/secrets.h"
#include "service/service.h"
#include "service/settling.h"

#include <string.h>

static void observation_done(struct observation *observation)
{
    value_unref(observation->spec);
    value_unref(observation->outputs);
    mem_free(observation->provider_id);
}

static void planning_done(struct planning *planning)
{
    for (size_t i = 0; planning->observations && i < planning->records.n_items; i++)
        observation_done(&planning->observations[i]);
    mem_free(planning->observations);
    records_done(&planning->records);
    store_deployment_done(&planning->deployment);
    loaded_document_done(&planning->loaded);
    value_unref(planning->identities);
    value_unref(planning->pending);
    value_unref(planning->parents);
    lineage_done(&planning->lineage);
    map_done(&planning->expired);
    adoptions_done(&planning->adoptions);
    map_done(&planning->released);
    string_list_done(&planning->forget);
    value_unref(planning->action.before);
    value_unref(planning->action.after);
    string_list_done(&planning->targets);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&planning->roots, &cursor))) {
        string_list_done(entry->value);
        mem_free(entry->value);
    }
    map_done(&planning->roots);
    map_done(&planning->gone);
    map_done(&planning->marked);
    diagnostics_done(&planning->notes);
    mem_free(planning->uid);
}

static int find_deployment(struct planning *planning, const char *name, const char *environment,
                           struct error *err)
{
    struct store *store = planning->service->store;
    int r = store_find_deployment(store, name, environment, &planning->deployment, err);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return r;
    bool is_new = r < 0 || planning->deployment.is_destroyed;
    planning->incarnation =
        r < 0 ? 1 : planning->deployment.incarnation + planning->deployment.is_destroyed;
    if (r < 0)
        error_done(err);
    if (is_new) {
        planning->uid =
            service_derive_uid(planning->service, name, environment, planning->incarnation);
        planning->revision = 1;
        store_deployment_done(&planning->deployment);
        return 0;
    }
    planning->uid = string_copy(planning->deployment.uid);
    return 0;
}

static int load_state(struct planning *planning, bool may_stay_open, struct error *err)
{
    struct service *service = planning->service;
    if (!planning->deployment.uid)
        return 0;
    int r = settling_newest(service, planning->uid, may_stay_open, err);
    if (r < 0)
        return r;
    /* Settling may have changed records: what counts is what stands there now. */
    CLEANUP(mem_freep) char *name = string_copy(planning->deployment.name);
    CLEANUP(mem_freep) char *environment = string_copy(planning->deployment.environment);
    store_deployment_done(&planning->deployment);
    r = store_find_deployment(service->store, name, environment, &planning->deployment, err);
    if (r < 0)
        return r;
    planning->revision = planning->deployment.head_revision + 1;
    return store_load_records(service->store, planning->uid, &planning->records, err);
}

/* What is there already and is to be ours, and what was ours only by an adoption that goes back. */
static int find_adoptions(struct planning *planning, const struct plan_request *request,
                          struct diagnostics *diagnostics, struct error *err)
{
    struct adoptions *adoptions = &planning->adoptions;
    const struct document *document = planning->loaded.document;
    struct adoption_scene scene = {
        .service = planning->service,
        .deployment = document ? document_name(document) : request->deployment,
        .uid = planning->uid,
        .revision = planning->revision,
        .wanted = &planning->loaded.wanted,
        .records = &planning->records,
        .accounts = planning->deployment.accounts,
        .identities = planning->identities,
    };
    bool is_undo = request->origin && text_equal(request->origin, "undo");
    int r = 0;
    if (request->adopt)
        r = adoptions_find_asked(&scene, request->adopt, adoptions, err);
    if (r == 0 && planning->deployment.uid && request->refresh && !request->only_adopts)
        r = adoptions_find_forgotten(&scene, is_undo, adoptions, err);
    if (r == 0 && request->back_to)
        r = adoptions_list_since(planning->service, planning->uid, *request->back_to,
                                 &planning->released, err);
    bool has_faults = diagnostics_has_errors(&adoptions->faults);
    for (size_t i = 0; i < adoptions->faults.n_items; i++) {
        const struct diagnostic *item = &adoptions->faults.items[i];
        struct position position = {item->file, item->line, item->column};
        if (item->severity == DIAGNOSTIC_ERROR)
            diagnostics_add(diagnostics, item->code, position, item->help, "%s", item->detail);
        else
            diagnostics_note(&planning->notes, item->severity, item->code, position, item->help,
                             "%s", item->detail);
    }
    return r == 0 && has_faults ? error_set(err, ERROR_INVALID, "not everything can be adopted")
                                : r;
}

/* Notes go with the plan; errors stay with the caller and keep it from being approved. */
static void move_notes(struct diagnostics *from, struct plan *plan, struct diagnostics *faults)
{
    for (size_t i = 0; i < from->n_items; i++) {
        const struct diagnostic *item = &from->items[i];
        struct position position = {item->file, item->line, item->column};
        if (item->severity == DIAGNOSTIC_ERROR)
            diagnostics_add(faults, item->code, position, item->help, "%s", item->detail);
        else
            diagnostics_note(&plan->notes, item->severity, item->code, position, item->help, "%s",
                             item->detail);
    }
}

static void write_step(const void *argument, size_t place, struct strbuf *buffer,
                       const char *ret_texts[STEP_TEXT_COUNT])
{
    plan_step_texts(argument, place, buffer, ret_texts);
}

void planning_put_plan(const struct service *service, struct store_batch *batch,
                       const struct plan *plan)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "principal", service->caller.principal);
    value_builder_set_string(&fields, "client", service->caller.client);
    CLEANUP(value_unrefp) struct value *maker = value_builder_map(&fields);
    CLEANUP(mem_freep) char *head = plan_head_text(plan);
    store_batch_put_plan(batch, plan->hash, plan->deployment_uid, head, plan->document);
    store_batch_add_steps(
        batch, plan->hash,
        &(struct store_steps){.n_steps = plan->n_steps, .argument = plan, .write = write_step});
    store_batch_add_maker(batch, plan->hash, maker);
}

static int store_plan(struct service *service, const struct plan *plan, struct error *err)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    planning_put_plan(service, batch, plan);
    return store_commit(service->store, batch, NULL, err);
}

/* The revisions that the document was made from. */
static struct value *list_parents(const struct planning *planning)
{
    struct value_builder parents = {0};
    if (planning->deployment.head_revision > 0)
        value_builder_append(&parents, value_integer(planning->deployment.head_revision));
    if (planning->lineage.base > 0 && planning->lineage.base < planning->deployment.head_revision)
        value_builder_append(&parents, value_integer(planning->lineage.base));
    return value_builder_list(&parents);
}

/* What a plan is made from: all borrowed from planning and request. */
static struct plan_input input_of(const struct planning *planning,
                                  const struct plan_request *request)
{
    const struct document *document = planning->loaded.document;
    const char *environment =
        request->deployment ? planning->deployment.environment : document_environment(document);
    return (struct plan_input){
        .parents = planning->parents,
        .given = planning->lineage.given,
        .source = request->origin,
        .catalog = planning->service->catalog,
        .wanted = &planning->loaded.wanted,
        .records = &planning->records,
        .observations = planning->observations,
        .deployment = request->deployment ? planning->deployment.name : document_name(document),
        .environment = environment,
        .deployment_uid = planning->uid,
        .incarnation = planning->incarnation,
        .records_version = planning->deployment.records_version,
        .revision = planning->revision,
        .document = planning->loaded.text,
        .variables = planning->loaded.variables,
        .outputs = planning->deployment.outputs,
        .identities = planning->identities,
        .reads = planning->loaded.reads,
        .pending = planning->pending,
        .secrets = planning->loaded.secrets,
        .complete_secrets = secrets_complete_values,
        .secrets_argument = planning->service,
        .forget = request->forget ? &planning->forget : NULL,
        .action = request->action.name ? &planning->action : NULL,
        .targets = request->targets ? &planning->targets : NULL,
        .expired = &planning->expired,
        .adoptions = &planning->adoptions.found,
        .only_adopts = request->only_adopts,
        .roots = &planning->roots,
        .released = &planning->released,
        .is_destroy = request->deployment && !request->forget && !request->action.name,
        .is_production = site_is_production(planning->service->site, environment),
        .trace = request->trace,
        .trace_argument = request->trace_argument,
    };
}

/* What they were made for stays where it is, and has them: only a destroy removes them. */
static int note_kept_secrets(struct planning *planning, const struct plan *plan, struct error *err)
{
    const char *name = plan->deployment;
    CLEANUP(value_unrefp) struct value *kept = NULL;
    if (plan->n_steps < planning->records.n_items)
        return 0;
    int r = store_list_secrets(planning->service->store, planning->uid, &kept, err);
    if (r == 0 && value_count(kept) > 0)
        diagnostics_note(&planning->notes, DIAGNOSTIC_NOTE, DIAGNOSTIC_SECRET_KEPT,
                         (struct position){0}, NULL,
                         "What is forgotten stays there with the secrets that were generated for "
                         "%s, and the store keeps them: \"parley secret reveal %s SECRET\" shows "
                         "one, \"parley destroy %s\" removes them.",
                         name, name, name);
    return r;
}

/* Where the system lets nobody lock memory, their texts are there as others are. */
static void note_unlocked_secrets(struct planning *planning, const struct plan *plan)
{
    bool has_secrets = (plan->secrets && value_count(plan->secrets) > 0) ||
                       (plan->credentials && value_count(plan->credentials) > 0);
    if (has_secrets && !mem_can_lock())
        diagnostics_note(&planning->notes, DIAGNOSTIC_WARNING, DIAGNOSTIC_SECRET_UNLOCKED,
                         (struct position){0}, "raise it, or encrypt the swap",
                         "The texts of secrets may be swapped out to disk: the limit on locked "
                         "memory (ulimit -l) lets this process keep none of it.");
}

static int make_plan(struct planning *planning, const struct plan_request *request,
                     struct plan **ret_plan, struct diagnostics *diagnostics, struct error *err)
{
    struct plan_input input = input_of(planning, request);
    CLEANUP(value_unrefp) struct value *credentials = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = credentials_digest(planning->service, planning->identities, &credentials, err);
    if (r < 0)
        return r;
    input.credentials = credentials;
    r = plan_make(&input, &plan, diagnostics, err);
    if (r < 0)
        return r;
    struct diagnostics found = {0};
    planning_forget_identities(planning, plan);
    r = planning_propose(planning, plan, &found, err);
    if (r == 0)
        r = reads_check_users(planning->service, plan, diagnostics, err);
    if (r == 0 && request->forget)
        r = note_kept_secrets(planning, plan, err);
    move_notes(&found, plan, diagnostics);
    diagnostics_done(&found);
    note_unlocked_secrets(planning, plan);
    move_notes(&planning->notes, plan, diagnostics);
    if (!request->forget && !request->action.name)
        plan->knowledge = planning_tell_knowledge(planning, request->refresh);
    if (request->origin && text_equal(request->origin, "undo"))
        edits_note_losses(planning->service, plan);
    if (r == 0 && plan->document)
        r = lineage_mark(&planning->lineage, plan->document, plan, err);
    if (r < 0)
        return r;
    if (diagnostics_has_errors(diagnostics))
        return error_set(err, ERROR_INVALID, "the plan for %s has faults", plan->deployment);
    r = store_plan(planning->service, plan, err);
    if (r < 0)
        return r;
    *ret_plan = take_ptr(plan);
    return 0;
}

/* A document without more in it than a text: the merge of a file with later revisions. */
static int load_merged(struct planning *planning, const struct plan_request *request,
                       const char *text, struct diagnostics *diagnostics, struct error *err)
{
    struct document_source source = request->source;
    source.reads_secrets = true;
    CLEANUP(mem_freep)
    char *path =
        string_format("%s (with revision %lld)", source.path, (long long)planning->lineage.head);
    source.path = path;
    source.text = text;
    loaded_document_done(&planning->loaded);
    return service_load_document(planning->service, &source, &planning->loaded, diagnostics, err);
}

/* What came after the document's base is kept, and what it takes back of it is marked later. */
static int look_back(struct planning *planning, const struct plan_request *request,
                     struct diagnostics *diagnostics, struct error *err)
{
    CLEANUP(mem_freep) char *merged = NULL;
    if (request->deployment || !planning->deployment.uid)
        return 0;
    int r = lineage_open(planning->service, planning->uid, &planning->lineage, err);
    if (r < 0)
        return r;
    if (request->origin && text_equal(request->origin, "words") &&
        request->base != planning->lineage.head)
        return error_set(err, ERROR_STALE,
                         "%s was changed while this edit was made, which must not take that back: "
                         "say it again",
                         planning->deployment.name);
    if (request->origin) {
        planning->lineage.base = request->base;
        return 0;
    }
    r = lineage_merge(&planning->lineage, request->source.path, planning->loaded.text, &merged,
                      &planning->notes, err);
    for (size_t i = 0; r < 0 && i < planning->notes.n_items; i++) {
        const struct diagnostic *fault = &planning->notes.items[i];
        diagnostics_add(diagnostics, fault->code,
                        (struct position){fault->file, fault->line, fault->column}, fault->help,
                        "%s", fault->detail);
    }
    return r == 0 && merged ? load_merged(planning, request, merged, diagnostics, err) : r;
}

/* Finds the deployment: by the word of a destroy, or by what the document says. */
static int begin(struct planning *planning, const struct plan_request *request,
                 struct diagnostics *diagnostics, struct error *err)
{
    struct service *service = planning->service;
    if (!request->deployment) {
        struct document_source source = request->source;
        source.reads_secrets = true;
        int r = service_load_document(service, &source, &planning->loaded, diagnostics, err);
        if (r < 0 || (r = service_begin_store(service, err)) < 0)
            return r;
        return find_deployment(planning, document_name(planning->loaded.document),
                               document_environment(planning->loaded.document), err);
    }
    struct store_deployment named = {0};
    int r = service_find_deployment(service, request->deployment, &named, err);
    if (r < 0)
        return r;
    bool is_gone = named.is_destroyed;
    r = is_gone ? error_set(err, ERROR_NOT_FOUND, "%s is destroyed already", named.name)
                : find_deployment(planning, named.name, named.environment, err);
    store_deployment_done(&named);
    return r;
}

static bool has_records(const struct records *records, const char *address)
{
    size_t length = strlen(address);
    for (size_t i = 0; i < records->n_items; i++)
        if (text_starts_with(records->items[i]->address, address) &&
            strchr("[", records->items[i]->address[length]))
            return true;
    return false;
}

/* All that are not there are named at once. */
static int choose_forgotten(struct planning *planning, const struct plan_request *request,
                            struct error *err)
{
    struct strbuf missing = {0};
    int r = 0;
    string_list_from_value(&planning->forget, request->forget);
    for (size_t i = 0; i < planning->forget.n_items; i++)
        if (!has_records(&planning->records, planning->forget.items[i]))
            strbuf_addf(&missing, "%s\"%s\"", missing.length ? ", " : "",
                        planning->forget.items[i]);
    if (missing.length > 0 || planning->forget.n_items == 0)
        r = error_set(err, ERROR_NOT_FOUND, "%s has no resource %s; \"parley show %s\" lists them",
                      request->deployment,
                      missing.length ? strbuf_text(&missing) : "without a name",
                      request->deployment);
    strbuf_done(&missing);
    return r;
}

/* What its refresh says is read; a forget looks at nothing, and an action at what it is about. */
static int observe(struct planning *planning, const struct plan_request *request, struct error *err)
{
    planning->parents = list_parents(planning);
    if (request->action.name)
        return planning_find_action(planning, err);
    if (request->forget || request->refresh == PLAN_REFRESH_NONE)
        return 0;
    if (request->refresh == PLAN_REFRESH_FULL)
        return planning_observe(planning, NULL, err);
    struct plan_input input = input_of(planning, request);
    return planning_observe_changed(planning, &input, err);
}

int service_plan(struct service *service, const struct plan_request *request,
                 struct plan **ret_plan, char **ret_text, struct diagnostics *diagnostics,
                 struct error *err)
{
    struct planning planning = {.service = service, .request = request};
    string_list_from_value(&planning.targets, request->targets);
    int r = begin(&planning, request, diagnostics, err);
    if (r == 0)
        r = load_state(&planning, request->forget != NULL, err);
    if (r == 0 && request->forget)
        r = choose_forgotten(&planning, request, err);
    if (r == 0)
        r = look_back(&planning, request, diagnostics, err);
    if (r == 0)
        r = service_drop_expired(&planning.loaded, &planning.expired, diagnostics, err);
    if (r == 0 && planning.loaded.document)
        document_drop_declarations(planning.loaded.document);
    if (r == 0)
        r = service_find_existing(service, planning.uid, &planning.loaded.wanted,
                                  &planning.loaded.reads, diagnostics, err);
    if (r == 0)
        r = planning_configure_instances(&planning, diagnostics, err);
    if (r == 0)
        r = planning_identify(&planning, err);
    if (r == 0)
        r = planning_find_pending(&planning, err);
    if (r == 0)
        r = observe(&planning, request, err);
    if (r == 0 && !request->forget && !request->action.name)
        r = find_adoptions(&planning, request, diagnostics, err);
    if (r == 0)
        r = make_plan(&planning, request, ret_plan, diagnostics, err);
    if (ret_text)
        *ret_text = take_ptr(planning.loaded.text);
    planning_done(&planning);
    return r;
}

/* Room for so many steps is made before they are read; what a head says of their number is not
 * compared by then. */
enum { MAX_ROOM = 1 << 20 };

static int read_step(void *argument, const char *const texts[STEP_TEXT_COUNT], struct error *err)
{
    return plan_read_step(argument, texts, err);
}

int service_get_plan(struct service *service, const char *hash, struct plan **ret_plan,
                     struct error *err)
{
    CLEANUP(value_unrefp) struct value *head = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_get_plan_head(service->store, hash, &head, err)) < 0)
        return r;
    if (value_get(head, "steps"))
        return plan_from_value(head, ret_plan, err);
    r = plan_read_head(head, &plan, err);
    if (r < 0)
        return r;
    size_t n_steps = plan_count_steps(plan);
    plan_reserve_steps(plan, n_steps < MAX_ROOM ? n_steps : MAX_ROOM);
    r = store_read_steps(service->store, plan->hash, read_step, plan, err);
    if (r == 0)
        r = plan_check_hash(plan, err);
    if (r < 0)
        return r;
    *ret_plan = take_ptr(plan);
    return 0;
}

bool plan_has_effects(const struct plan *plan)
{
    /* A destroy ends the deployment, also one that has no resources. */
    return plan->n_steps > 0 || plan->changes_outputs || plan->is_destroy;
}
