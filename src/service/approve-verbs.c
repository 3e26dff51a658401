/* The verb approve: somebody's yes to a plan, and what that needs. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "service/allowed.h"
#include "service/approvals.h"
#include "service/planning.h"
#include "service/service.h"

bool service_needs_name(const struct plan *plan)
{
    if (plan->is_destroy && plan->is_production)
        return true;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        if (step->kind == STEP_DELETE && step->irreversible && plan->is_production)
            return true;
    }
    return false;
}

/* What was decided by a link is so once, whoever tries it again and however fast. */
static void check_link(struct store_batch *batch, const struct plan *plan, const char *link)
{
    if (link)
        store_batch_check_link(batch, plan->hash, link);
}

/* With the plan, when that came from elsewhere and the store does not have it. */
CO_FN static int store_approval(struct service *service, const struct plan *plan,
                                const struct value *approval, struct error *err)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct error fault = {0};
    check_link(batch, plan, value_get_text(approval, "link"));
    store_batch_add_approval(batch, plan->hash, approval);
    int r = store_commit(service->store, batch, NULL, &fault);
    if (r != -ERROR_NOT_FOUND)
        return r < 0 ? error_move(err, &fault) : 0;
    error_done(&fault);
    planning_put_plan(service, batch, plan);
    store_batch_add_approval(batch, plan->hash, approval);
    return store_commit(service->store, batch, NULL, err);
}

/* What is stored: what the signature says, or the caller's own yes. */
static struct value *new_approval(const struct service *service, const struct plan *plan,
                                  const struct consent *consent)
{
    struct value_builder fields = {0};
    int64_t now = world_wall_clock();
    enum approval_level level = approvals_own_level(service);
    if (consent->signature) {
        level = APPROVAL_SIGNED;
        for (size_t i = 0; i < value_count(consent->signature); i++)
            value_builder_set(&fields, value_key_at(consent->signature, i),
                              value_ref(value_at(consent->signature, i)));
    } else {
        value_builder_set_string(&fields, "principal", service->caller.principal);
        value_builder_set(&fields, "created_at", value_integer(now));
        value_builder_set(&fields, "expires_at",
                          value_integer(now + approvals_demand(service, plan).lasts));
    }
    value_builder_set_string(&fields, "client", service->caller.client);
    value_builder_set_string(&fields, "deployment", plan->deployment_uid);
    value_builder_set_string(&fields, "words", service->words);
    value_builder_set_string(&fields, "level", approval_level_to_string(level));
    if (consent->link)
        value_builder_set_string(&fields, "link", consent->link);
    return value_builder_map(&fields);
}

/* A link that was used is refused, and that is in the audit chain. */
CO_FN static int refuse_used(struct service *service, const struct plan *plan, int r,
                             struct error *fault, struct error *err)
{
    if (r != -ERROR_EXISTS)
        return r < 0 ? error_move(err, fault) : r;
    CLEANUP(mem_freep) char *what = string_format("to decide on the plan %.12s", plan->hash);
    return allowed_refuse(service, VERB_APPROVE, what, fault, err);
}

int service_approve(struct service *service, const struct plan *plan, const struct consent *consent,
                    struct error *err)
{
    int r = allowed_check_plan(service, VERB_APPROVE, plan, err);
    if (r < 0 || (r = service_check_reverts(plan, consent, err)) < 0)
        return r;
    if (service_needs_name(plan) && !text_equal_or_null(consent->name, plan->deployment))
        return error_set(
            err, ERROR_APPROVAL_NEEDED,
            "this destroys what belongs to the production deployment %s: its name must be typed, or "
            "given with --confirm %s",
            plan->deployment, plan->deployment);
    r = service_need_store(service, true, err);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp) struct value *approval = new_approval(service, plan, consent);
    if ((r = approvals_check_new(service, plan, approval, err)) < 0)
        return r;
    struct error fault = {0};
    r = store_approval(service, plan, approval, &fault);
    return refuse_used(service, plan, r, &fault, err);
}

int service_check_approver(struct service *service, const struct plan *plan, struct error *err)
{
    return allowed_check_plan(service, VERB_APPROVE, plan, err);
}

int service_link_is_used(struct service *service, const struct plan *plan, const char *link,
                         bool *ret_is_used, struct error *err)
{
    CLEANUP(value_unrefp) struct value *decisions = NULL;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_list_approvals(service->store, plan->hash, &decisions, err)) < 0)
        return r;
    *ret_is_used = false;
    for (size_t i = 0; i < value_count(decisions); i++)
        if (text_equal_or_null(value_get_text(value_at(decisions, i), "link"), link))
            *ret_is_used = true;
    return 0;
}

/* The run that uses the plan's approvals now; NULL: none. The caller frees it. */
CO_FN static char *find_user(struct service *service, const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *decisions = NULL;
    const char *user = NULL;
    if (store_list_approvals(service->store, plan->hash, &decisions, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < value_count(decisions); i++)
        if (value_get(value_at(decisions, i), "run"))
            user = value_get_text(value_at(decisions, i), "run");
    return user ? string_copy(user) : NULL;
}

int service_refuse(struct service *service, const struct plan *plan, const char *link,
                   char **ret_run, struct error *err)
{
    struct value_builder fields = {0};
    struct error fault = {0};
    int r = allowed_check_plan(service, VERB_APPROVE, plan, err);
    if (r < 0 || (r = service_need_store(service, true, err)) < 0)
        return r;
    value_builder_set_string(&fields, "principal", service->caller.principal);
    value_builder_set_string(&fields, "client", service->caller.client);
    value_builder_set_string(&fields, "deployment", plan->deployment_uid);
    value_builder_set_string(&fields, "words", service->words);
    value_builder_set(&fields, "created_at", value_integer(world_wall_clock()));
    if (link)
        value_builder_set_string(&fields, "link", link);
    CLEANUP(value_unrefp) struct value *refusal = value_builder_map(&fields);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    check_link(batch, plan, link);
    store_batch_add_refusal(batch, plan->hash, refusal);
    r = store_commit(service->store, batch, NULL, &fault);
    if (r < 0)
        return refuse_used(service, plan, r, &fault, err);
    *ret_run = find_user(service, plan);
    return 0;
}
