/* Runs whose systems are others now: what they did there can be told only there. The verb give-up
 * lets go of it, and says for good where it may be left. */
#include "service/allowed.h"
#include "service/give-up.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "service/instances.h"
#include "service/settling.h"

#include <assert.h>
#include <string.h>

enum { PAGE = 1000 };

/* --- Who the systems are --- */

static int add_account(struct service *service, const struct plan *plan, size_t index,
                       struct value_builder *accounts, struct error *err)
{
    const char *instance = value_key_at(plan->identities, index);
    const struct value *planned = value_at(plan->identities, index);
    struct provider *provider;
    CLEANUP(mem_freep) char *identity = NULL;
    if (value_kind(planned) != VALUE_STRING)
        return 0; /* the plan itself makes it */
    int r = service_find_provider(service, instance, &provider, err);
    struct call call = service_read_call(service);
    if (r == 0)
        r = provider_identify(provider, &call, &identity, err);
    if (r < 0)
        return r;
    assert(identity);
    if (text_equal(value_text(planned), identity))
        return 0;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "instance", instance);
    value_builder_set_string(&fields, "planned", value_text(planned));
    value_builder_set_string(&fields, "found", identity);
    value_builder_append(accounts, value_builder_map(&fields));
    return 0;
}

/* With what is recorded now; a run goes on from there. */
static int configure_instances(struct service *service, const struct plan *plan, struct error *err)
{
    struct records records = {0};
    bool is_needed = false;
    for (size_t i = 0; i < plan->n_steps; i++)
        is_needed = is_needed || instances_has_roots(service, plan->steps[i].instance);
    if (!is_needed)
        return 0;
    int r = store_load_records(service->store, plan->deployment_uid, &records, err);
    for (size_t i = 0; r == 0 && i < value_count(plan->identities); i++)
        r = instances_configure_from(service, value_key_at(plan->identities, i), &records, err);
    records_done(&records);
    return r;
}

int give_up_list_accounts(struct service *service, const struct plan *plan,
                          struct value **ret_accounts, struct error *err)
{
    struct value_builder accounts = {0};
    int r = configure_instances(service, plan, err);
    for (size_t i = 0; r == 0 && i < value_count(plan->identities); i++)
        r = add_account(service, plan, i, &accounts, err);
    if (r < 0)
        value_builder_done(&accounts);
    else
        *ret_accounts = value_builder_list(&accounts);
    return r;
}

/* A plan made for one system never applies to another. */
int service_check_identities(struct service *service, const struct plan *plan,
                             const struct store_run *run, struct error *err)
{
    CLEANUP(value_unrefp) struct value *accounts = NULL;
    int r = give_up_list_accounts(service, plan, &accounts, err);
    if (r < 0 || value_count(accounts) == 0)
        return r;
    const char *instance = value_get_text(value_at(accounts, 0), "instance");
    const char *planned = value_get_text(value_at(accounts, 0), "planned");
    const char *found = value_get_text(value_at(accounts, 0), "found");
    if (run->epoch == 0)
        return error_set(err, ERROR_STALE, "%s is %s now, but the plan was made for %s; plan again",
                         instance, found, planned);
    return error_set(err, ERROR_STALE,
                     "%s is %s now, but the run %.8s began when it was %s, and only there can be "
                     "told what became of it. Nothing was changed. Lead %s back to %s, by the site "
                     "or its credentials, and \"parley resume %s\" goes on; or \"parley give-up "
                     "%s\" names what may be left there, and lets go of it",
                     instance, found, run->id, planned, instance, planned, plan->deployment,
                     plan->deployment);
}

/* --- What a run may have left there --- */

/* What the journal says last of each step: NULL nothing, else "open", "partly" or "done". */
static void note_row(const char **states, size_t n_steps, const struct value *row)
{
    int64_t place = value_get_integer(row, "place", -1);
    const char *kind = value_get_text(row, "kind");
    const char *outcome = value_get_text(row, "outcome");
    if (place < 0 || (size_t)place >= n_steps || !kind)
        return;
    if (text_equal(kind, "intent"))
        states[place] = "open";
    else if (text_equal(kind, "result") && outcome)
        states[place] = text_equal(outcome, "done")     ? "done"
                        : text_equal(outcome, "partly") ? "partly"
                        : text_equal(outcome, "failed") ? NULL
                                                        : "open";
}

static int read_states(struct service *service, const char *run_id, const char **states,
                       size_t n_steps, struct error *err)
{
    int64_t seq = 0;
    for (size_t n = PAGE; n == PAGE;) {
        CLEANUP(value_unrefp) struct value *rows = NULL;
        int r = store_replay_journal(service->store, run_id, seq, PAGE, &rows, err);
        if (r < 0)
            return r;
        n = value_count(rows);
        for (size_t i = 0; i < n; i++)
            note_row(states, n_steps, value_at(rows, i));
        if (n > 0)
            seq = value_get_integer(value_at(rows, n - 1), "seq", seq);
    }
    return 0;
}

/* The system's own name for it, where one is known. */
static const char *find_id(const struct records *records, const struct step *step)
{
    for (size_t i = 0; i < records->n_items && step->kind == STEP_CREATE; i++)
        if (text_equal(records->items[i]->address, step->address) &&
            records->items[i]->generation == step->generation)
            return records->items[i]->provider_id;
    return step->provider_id;
}

static bool is_of_accounts(const struct value *accounts, const char *instance)
{
    for (size_t i = 0; i < value_count(accounts); i++)
        if (text_equal(value_get_text(value_at(accounts, i), "instance"), instance))
            return true;
    return false;
}

static struct value *describe_effect(const struct step *step, const char *state, const char *id)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "step", step->id);
    value_builder_set_string(&fields, "kind", step_kind_to_string(step->kind));
    value_builder_set_string(&fields, "address", step->address);
    value_builder_set_string(&fields, "type", step->type);
    value_builder_set_string(&fields, "instance", step->instance);
    value_builder_set_string(&fields, "state", state);
    value_builder_set_string(&fields, "id", id);
    return value_builder_map(&fields);
}

static int list_effects(struct service *service, const struct plan *plan, const char *run_id,
                        const struct value *accounts, struct value **ret_effects, struct error *err)
{
    struct records records = {0};
    struct value_builder effects = {0};
    const char **states = NEW_ARRAY(const char *, plan->n_steps);
    int r = read_states(service, run_id, states, plan->n_steps, err);
    if (r == 0)
        r = store_load_records(service->store, plan->deployment_uid, &records, err);
    for (size_t i = 0; r == 0 && i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        if (states[i] && step_has_effect(step) && is_of_accounts(accounts, step->instance))
            value_builder_append(&effects,
                                 describe_effect(step, states[i], find_id(&records, step)));
    }
    if (r == 0)
        *ret_effects = value_builder_list(&effects);
    else
        value_builder_done(&effects);
    records_done(&records);
    mem_free(states);
    return r;
}

/* --- The verbs --- */

/* A run that is to be given up, with what is to be known of it. Zero-initialise it. */
struct giving_up {
    struct store_deployment deployment;
    struct store_run run;
    struct plan *plan;
    struct value *left; /* owned map */
};

static void giving_up_done(struct giving_up *giving_up)
{
    store_deployment_done(&giving_up->deployment);
    store_run_done(&giving_up->run);
    plan_free(giving_up->plan);
    value_unref(giving_up->left);
}

/* With the digest of all that. */
static struct value *seal(struct value *take_left)
{
    char digest[DIGEST_HEX_SIZE];
    CLEANUP(value_unrefp) struct value *left = take_left;
    CLEANUP(mem_freep) char *text = json_text(left);
    digest_hex(text, strlen(text), digest);
    return value_with(left, "digest", value_string(digest));
}

static int load(struct service *service, const char *word, struct giving_up *ret, struct error *err)
{
    CLEANUP(value_unrefp) struct value *accounts = NULL;
    CLEANUP(value_unrefp) struct value *effects = NULL;
    int r = service_find_deployment(service, word, &ret->deployment, err);
    if (r == 0)
        r = service_find_last_run(service, ret->deployment.uid, &ret->run, err);
    const char *name = ret->deployment.name;
    if (r == 0 && (!ret->run.id || !apply_may_be_open(&ret->run)))
        return error_set(err, ERROR_NOT_FOUND,
                         "there is nothing to give up: the last run of %s left nothing open", name);
    if (r == 0)
        r = service_get_plan(service, ret->run.plan_hash, &ret->plan, err);
    if (r == 0)
        r = give_up_list_accounts(service, ret->plan, &accounts, err);
    if (r < 0)
        return r;
    if (value_count(accounts) == 0)
        return error_set(err, ERROR_CONFLICT,
                         "there is nothing to give up: the systems are those that the run %.8s "
                         "began with, and \"parley resume %s\" asks them",
                         ret->run.id, name);
    r = list_effects(service, ret->plan, ret->run.id, accounts, &effects, err);
    if (r < 0)
        return r;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "deployment", name);
    value_builder_set_string(&fields, "environment", ret->deployment.environment);
    value_builder_set_string(&fields, "run", ret->run.id);
    value_builder_set(&fields, "accounts", value_ref(accounts));
    value_builder_set(&fields, "effects", value_ref(effects));
    ret->left = seal(value_builder_map(&fields));
    return 0;
}

int service_show_left(struct service *service, const char *word, struct value **ret_left,
                      struct error *err)
{
    struct giving_up giving_up = {0};
    int r = load(service, word, &giving_up, err);
    if (r == 0)
        *ret_left = take_ptr(giving_up.left);
    giving_up_done(&giving_up);
    return r;
}

/* The other steps are settled as ever; these are asked of nobody. */
static int settle(struct service *service, struct giving_up *giving_up, struct error *err)
{
    const struct value *accounts = value_get(giving_up->left, "accounts");
    struct string_list instances = {0};
    struct value_builder entry = {0};
    for (size_t i = 0; i < value_count(accounts); i++)
        string_list_add(&instances, value_get_text(value_at(accounts, i), "instance"));
    value_builder_set_string(&entry, "deployment", giving_up->deployment.uid);
    value_builder_set_string(&entry, "run", giving_up->run.id);
    value_builder_set(&entry, "accounts", value_ref((struct value *)accounts));
    value_builder_set(&entry, "effects", value_ref(value_get(giving_up->left, "effects")));
    value_builder_set_string(&entry, "principal", service->caller.principal);
    value_builder_set_string(&entry, "client", service->caller.client);
    value_builder_set_string(&entry, "words", service->words);
    CLEANUP(value_unrefp) struct value *row = value_builder_map(&entry);
    struct apply_given_up given_up = {.instances = &instances, .entry = row};
    struct apply_context context = service_apply_context(service);
    context.given_up = &given_up;
    int r = apply_settle(&context, giving_up->plan, &giving_up->run, NULL, err);
    string_list_done(&instances);
    return r;
}

int service_give_up(struct service *service, const char *word, const char *run_id,
                    const char *digest, struct value **ret_left, struct error *err)
{
    struct giving_up giving_up = {0};
    int r = allowed_check(service, VERB_ADMINISTER, "to give up a run", err);
    if (r == 0)
        r = load(service, word, &giving_up, err);
    if (r == 0 && !text_equal(giving_up.run.id, run_id))
        r = error_set(err, ERROR_STALE,
                      "the run that is open is %.8s, not the one that was named; look again",
                      giving_up.run.id);
    if (r == 0 && !text_equal(value_get_text(giving_up.left, "digest"), digest))
        r = error_set(err, ERROR_STALE,
                      "what the run %.8s may have left is not what was shown any more, as when an "
                      "instance leads elsewhere since; nothing was changed: look again",
                      giving_up.run.id);
    if (r == 0)
        r = settle(service, &giving_up, err);
    if (r == 0)
        *ret_left = take_ptr(giving_up.left);
    giving_up_done(&giving_up);
    return r;
}

int give_up_check(struct service *service, const char *deployment_uid, const char *run_id,
                  struct error *err)
{
    CLEANUP(value_unrefp) struct value *remains = NULL;
    int r = store_list_remains(service->store, deployment_uid, &remains, err);
    for (size_t i = 0; r == 0 && i < value_count(remains); i++)
        if (text_equal(value_get_text(value_at(remains, i), "run"), run_id))
            r = error_set(err, ERROR_NOT_FOUND,
                          "the run %.8s was given up, so it is not resumed; plan again", run_id);
    return r;
}
