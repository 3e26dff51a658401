/* How a plan gets to an approver: a link to the page of the server, in an answer or, where the
 * client opens addresses for its user (elicitation in the mode url), through the client. */
#include "mcp/tools-internal.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

enum { SECOND_US = 1000 * 1000, LOOK_US = 500 * 1000, WAIT_SECONDS = 240 };

static bool may_approve(const struct mcp_caller *caller)
{
    return (caller->who->roles & (ROLE(ROLE_APPROVER) | ROLE(ROLE_ADMIN) | ROLE(ROLE_OWNER))) != 0;
}

static bool has_approval(const struct value *shown)
{
    const struct value *approvals = value_get(shown, "approvals");
    for (size_t i = 0; i < value_count(approvals); i++)
        if (value_get_bool(value_at(approvals, i), "counts", false))
            return true;
    return false;
}

int tools_check_approved(struct service *service, const struct plan *plan, struct error *err)
{
    CLEANUP(value_unrefp) struct value *shown = NULL;
    int r = service_show_approvals(service, plan->hash, &shown, err);
    if (r == 0 && !has_approval(shown))
        r = error_set(err, ERROR_APPROVAL_NEEDED, "the plan %.12s is not approved", plan->hash);
    return r;
}

char *tools_make_link(const struct mcp_call *call, struct service *service, const struct plan *plan,
                      const char *principal)
{
    const struct mcp_caller *caller = call->exchange->caller;
    CLEANUP(value_unrefp) struct value *shown = NULL;
    if (!caller || !caller->page || !call->exchange->base || !plan_has_effects(plan) ||
        service_show_approvals(service, plan->hash, &shown, NULL) < 0 || has_approval(shown))
        return NULL;
    const struct value *demanded = value_get(shown, "demanded");
    if (text_equal_or_null(value_get_text(demanded, "level"), "signed"))
        return NULL;
    int64_t lasts = value_get_integer(demanded, "lasts_seconds", 0);
    return page_make_link(caller->page, call->exchange->base, plan->hash, principal,
                          world_wall_clock() + lasts * SECOND_US);
}

char *tools_link_for_others(const struct mcp_call *call, struct service *service,
                            const struct plan *plan)
{
    const struct mcp_caller *caller = call->exchange->caller;
    return caller && !may_approve(caller) ? tools_make_link(call, service, plan, NULL) : NULL;
}

/* --- Through the client --- */

static char *write_params(const struct mcp_call *call, const struct plan *plan, const char *link)
{
    struct value_builder fields = {0};
    CLEANUP(mem_freep)
    char *message = string_format("Plan %.12s of %s waits for an approver. The page of the Parley "
                                  "server shows it, once the approver signed in there.",
                                  plan->hash, plan->deployment);
    value_builder_set_string(&fields, "mode", "url");
    value_builder_set_string(&fields, "message", message);
    value_builder_set_string(&fields, "url", link);
    if (!call->is_modern) {
        char id[UUID_TEXT_SIZE];
        uuid_random(id);
        value_builder_set_string(&fields, "elicitationId", id);
    }
    CLEANUP(value_unrefp) struct value *params = value_builder_map(&fields);
    return json_text(params);
}

int tools_open_link(struct mcp_call *call, const struct plan *plan, const char *link,
                    struct error *err)
{
    struct value *answer = NULL;
    if (!link || !mcp_can_open(call))
        return -ERROR_APPROVAL_NEEDED;
    CLEANUP(mem_freep) char *params = write_params(call, plan, link);
    int r = mcp_ask(call, "approver", "elicitation/create", params, &answer, err);
    if (r != 0)
        return r;
    return text_equal_or_null(value_get_text(answer, "action"), "accept") ? 0
                                                                          : -ERROR_APPROVAL_NEEDED;
}

int tools_await_approver(struct mcp_call *call,
                         int (*attempt)(struct mcp_call *call, void *argument, struct error *err),
                         void *argument, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + (int64_t)WAIT_SECONDS * SECOND_US;
    for (double round = 1;; round++) {
        struct error fault = {0};
        int r = attempt(call, argument, &fault);
        if (r != -ERROR_APPROVAL_NEEDED || call->is_cancelled ||
            world_monotonic_clock() >= deadline)
            return r < 0 ? error_move(err, &fault) : r;
        error_done(&fault);
        mcp_progress(call, round, 0, "waits for an approver");
        gate_wait(call->loop, &call->woken, world_monotonic_clock() + LOOK_US, NULL);
    }
}
