/* The verb drift: what is there is not what was applied, with both ways out of it. */
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "service/drift.h"
#include "service/edits-internal.h"

#include <string.h>

/* The deployment's document as it was applied last, to be planned again. */
struct applied {
    char *label;             /* owned: what messages call it */
    char *text;              /* owned */
    struct value *variables; /* owned; NULL: not known any more */
    struct value *secrets;   /* owned; the same */
};

static void applied_done(struct applied *applied)
{
    mem_free(applied->label);
    mem_free(applied->text);
    value_unref(applied->variables);
    value_unref(applied->secrets);
}

/* The values of its variables stand in the plan that brought the revision. */
static int load_applied(struct service *service, const struct store_deployment *deployment,
                        struct applied *applied, struct error *err)
{
    CLEANUP(value_unrefp) struct value *revision = NULL;
    CLEANUP(value_unrefp) struct value *head = NULL;
    int r = store_get_revision(service->store, deployment->uid, 0, &revision, err);
    if (r < 0)
        return r;
    const char *text = value_get_text(revision, "document");
    const char *hash = value_get_text(revision, "plan");
    if (!text)
        return error_set(err, ERROR_NOT_FOUND, "revision %lld of %s has no document",
                         (long long)deployment->head_revision, deployment->name);
    applied->text = string_copy(text);
    applied->label =
        string_format("%s, revision %lld", deployment->name, (long long)deployment->head_revision);
    if (!hash || store_get_plan_head(service->store, hash, &head, NULL) < 0)
        return 0;
    struct value *variables = value_get(head, "variables");
    struct value *secrets = value_get(head, "secrets");
    applied->variables = variables ? value_ref(variables) : NULL;
    applied->secrets = secrets ? value_ref(secrets) : NULL;
    return 0;
}

/* --- What differs --- */

/* The generation that a replacement removes says what was there. */
static struct value *find_before(const struct plan *plan, const struct step *step)
{
    for (size_t i = 0; !step->before && i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_DELETE && plan->steps[i].replaces &&
            text_equal(plan->steps[i].address, step->address))
            return plan->steps[i].before;
    return step->before;
}

static struct value *or_null(struct value *value)
{
    return value ? value_ref(value) : value_null();
}

static struct value *list_differences(const struct plan *plan, const struct step *step)
{
    struct value_builder list = {0};
    struct value *before = find_before(plan, step);
    for (size_t i = 0; step->changed && i < value_count(step->changed); i++) {
        const char *path = value_text(value_at(step->changed, i));
        struct value *live = before ? value_at_path(before, path) : NULL;
        struct value *recorded = step->after ? value_at_path(step->after, path) : NULL;
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "property", path);
        value_builder_set(&fields, "live", or_null(live));
        value_builder_set(&fields, "recorded", or_null(recorded));
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

static bool is_drift(const struct step *step)
{
    return step->reason == STEP_REASON_DRIFTED || step->reason == STEP_REASON_GONE;
}

static struct value *describe_step(const struct plan *plan, const struct step *step)
{
    struct value_builder fields = {0};
    bool is_gone = step->reason == STEP_REASON_GONE;
    value_builder_set_string(&fields, "address", step->address);
    value_builder_set_string(&fields, "type", step->type);
    value_builder_set_string(&fields, "instance", step->instance);
    value_builder_set_string(&fields, "origin", step->origin);
    value_builder_set_string(&fields, "state", is_gone ? "gone" : "changed");
    value_builder_set(&fields, "differences", list_differences(plan, step));
    return value_builder_map(&fields);
}

/* --- Into the document --- */

struct adoption {
    struct value_builder settings; /* "web.port=80" */
    struct value_builder unsets;   /* "web.port" */
    struct value_builder removals; /* "web" */
    struct value_builder by_hand;  /* sentences */
};

static void add_sentence(struct value_builder *list, char *take_sentence)
{
    value_builder_append(list, value_string(take_sentence));
    mem_free(take_sentence);
}

static void adopt_differences(struct adoption *adoption, const char *address,
                              const struct value *differences)
{
    for (size_t i = 0; i < value_count(differences); i++) {
        const struct value *difference = value_at(differences, i);
        const char *property = value_get_text(difference, "property");
        const struct value *live = value_get(difference, "live");
        if (value_is_null(live)) {
            add_sentence(&adoption->unsets, string_format("%s.%s", address, property));
            continue;
        }
        if (value_has_secret(live)) {
            add_sentence(&adoption->by_hand,
                         string_format("%s.%s is a secret: change it where it comes from", address,
                                       property));
            continue;
        }
        CLEANUP(value_unrefp) struct value *escaped = edits_escape((struct value *)live);
        CLEANUP(mem_freep) char *text = json_text(escaped);
        add_sentence(&adoption->settings, string_format("%s.%s=%s", address, property, text));
    }
}

/* What no edit of one value says is told in words. */
static void adopt_resource(struct adoption *adoption, const struct value *resource)
{
    const char *address = value_get_text(resource, "address");
    const char *origin = value_get_text(resource, "origin");
    if (!text_equal_or_null(origin, "document"))
        add_sentence(&adoption->by_hand,
                     string_format("%s comes from %s: write it into the document to say otherwise",
                                   address, origin ? origin : "elsewhere"));
    else if (strchr(address, '['))
        add_sentence(&adoption->by_hand,
                     string_format("%s is one of several from one entry: it cannot differ from the "
                                   "others without an entry of its own",
                                   address));
    else if (text_equal_or_null(value_get_text(resource, "state"), "gone"))
        value_builder_append(&adoption->removals, value_string(address));
    else
        adopt_differences(adoption, address, value_get(resource, "differences"));
}

static struct value *describe_adoption(const struct value *resources)
{
    struct adoption adoption = {0};
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(resources); i++)
        adopt_resource(&adoption, value_at(resources, i));
    value_builder_set(&fields, "settings", value_builder_list(&adoption.settings));
    value_builder_set(&fields, "unsets", value_builder_list(&adoption.unsets));
    value_builder_set(&fields, "removals", value_builder_list(&adoption.removals));
    value_builder_set(&fields, "by_hand", value_builder_list(&adoption.by_hand));
    return value_builder_map(&fields);
}

/* --- One deployment --- */

static struct value *describe_plan(const struct plan *plan, size_t n_others)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set(&fields, "steps", value_integer((int64_t)plan->n_steps));
    value_builder_set(&fields, "other_steps", value_integer((int64_t)n_others));
    return value_builder_map(&fields);
}

/* Adds what a plan of the applied document says. */
static void describe_drift(const struct plan *plan, struct value_builder *fields)
{
    struct value_builder list = {0};
    size_t n_others = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        bool is_other_half = step->kind == STEP_DELETE && step->replaces;
        if (is_drift(step))
            value_builder_append(&list, describe_step(plan, step));
        else if (!is_other_half && step->kind != STEP_START)
            n_others++;
    }
    struct value *resources = value_builder_list(&list);
    value_builder_set(fields, "drifted", value_bool(value_count(resources) > 0));
    if (value_count(resources) > 0) {
        value_builder_set(fields, "put_back", describe_plan(plan, n_others));
        value_builder_set(fields, "adopt", describe_adoption(resources));
    }
    value_builder_set(fields, "resources", resources);
}

static int plan_again(struct service *service, const struct store_deployment *deployment,
                      struct plan **ret_plan, struct error *err)
{
    struct applied applied = {0};
    struct diagnostics diagnostics = {0};
    int r = load_applied(service, deployment, &applied, err);
    if (r == 0) {
        struct plan_request request = {.source = {.path = applied.label,
                                                  .text = applied.text,
                                                  .variables = applied.variables,
                                                  .secrets = applied.secrets},
                                       .refresh = PLAN_REFRESH_FULL};
        r = service_plan(service, &request, ret_plan, NULL, &diagnostics, err);
    }
    for (size_t i = 0; r < 0 && i < diagnostics.n_items; i++)
        if (diagnostics.items[i].severity == DIAGNOSTIC_ERROR)
            error_wrap(err, r, "%s", diagnostics.items[i].detail);
    diagnostics_done(&diagnostics);
    applied_done(&applied);
    return r;
}

/* What could not be found out is said of that deployment, and the others are told of. */
static struct value *look_at(struct service *service, const struct store_deployment *deployment)
{
    struct value_builder fields = {0};
    struct error err = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    value_builder_set_string(&fields, "deployment", deployment->name);
    value_builder_set_string(&fields, "environment", deployment->environment);
    value_builder_set(&fields, "revision", value_integer(deployment->head_revision));
    if (plan_again(service, deployment, &plan, &err) < 0)
        value_builder_set_string(&fields, "problem", error_message(&err));
    else
        describe_drift(plan, &fields);
    error_done(&err);
    return value_builder_map(&fields);
}

static bool has_something(const struct store_deployment *deployment)
{
    return !deployment->is_destroyed && deployment->head_revision > 0;
}

int service_drift(struct service *service, const char *word, struct value **ret_drift,
                  struct error *err)
{
    struct store_deployment *deployments = NULL;
    struct value_builder list = {0};
    size_t n = 0;
    int r = service_need_store(service, false, err);
    if (r == 0 && word) {
        deployments = NEW(struct store_deployment);
        n = 1;
        r = service_find_deployment(service, word, deployments, err);
        if (r == 0 && !has_something(deployments))
            r = error_set(err, ERROR_NOT_FOUND, "%s has nothing that could differ: it is %s", word,
                          deployments->is_destroyed ? "destroyed" : "not made yet");
    } else if (r == 0) {
        r = store_list_deployments(service->store, &deployments, &n, err);
    }
    for (size_t i = 0; i < n; i++) {
        if (r == 0 && has_something(&deployments[i]))
            value_builder_append(&list, look_at(service, &deployments[i]));
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_drift = value_builder_list(&list);
    return r;
}
