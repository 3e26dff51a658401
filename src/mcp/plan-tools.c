/* The tools that make, show, approve and apply plans. */
#include "mcp/tools-internal.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "render/plan-view.h"
#include "render/render.h"
#include "service/marks.h"

#include <inttypes.h>
#include <string.h>

enum { STEPS_OF_A_PAGE = 50 };

/*
 * The faults of a document, or notes about it, with excerpts: what a model needs to mend it. Those
 * of a failure become part of its message, since some clients show no more than that.
 */
static void add_diagnostics(const struct verb_answer *answer, const char *file, int r,
                            struct mcp_result *result, struct error *err)
{
    struct strbuf text = {0};
    if (answer->diagnostics.n_items == 0)
        return;
    diagnostics_write(&answer->diagnostics, file, answer->text, &text);
    if (r < 0) {
        CLEANUP(mem_freep) char *message = string_copy(error_message(err));
        error_set(err, err->code, "%s:\n%s", message, strbuf_text(&text));
    } else {
        tools_add_text(result, strbuf_text(&text));
    }
    strbuf_done(&text);
}

/* Settings as texts, whatever they were given as. */
static struct value *texts_of(const struct value *settings)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(settings); i++) {
        const struct value *item = value_at(settings, i);
        CLEANUP(mem_freep)
        char *text =
            value_kind(item) == VALUE_STRING ? string_copy(value_text(item)) : json_text(item);
        value_builder_set_string(&fields, value_key_at(settings, i), text);
    }
    return value_builder_map(&fields);
}

/* --- Plans --- */

/* link: where others approve it; NULL: the caller does. */
static void write_next(const struct plan *plan, const char *link, struct strbuf *text)
{
    if (!plan_has_effects(plan)) {
        strbuf_add(text, "\nNothing to do.\n");
        return;
    }
    if (link) {
        strbuf_addf(text,
                    "\nNothing was changed. Next: give an approver this link, where they see the "
                    "plan and decide; it proves nothing by itself and is good for one decision:\n"
                    "%s\nOnce it is approved, plan_apply with plan=\"%.12s\".\n",
                    link, plan->hash);
        return;
    }
    strbuf_addf(text,
                "\nNothing was changed. Next: show this plan to the person who decides; once they "
                "agree, plan_approve with plan=\"%.12s\"%s, then plan_apply with the same.\n",
                plan->hash,
                service_needs_name(plan) ? " and confirm=the deployment's name as they typed it"
                                         : "");
}

static struct value *step_to_value(const struct step *step)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "id", step->id);
    value_builder_set_string(&fields, "kind", step_kind_to_string(step->kind));
    value_builder_set_string(&fields, "address", step->address);
    value_builder_set_string(&fields, "type", step->type);
    value_builder_set_string(&fields, "instance", step->instance);
    value_builder_set_string(&fields, "reason", step_reason_sentence(step->reason));
    value_builder_set(&fields, "irreversible", value_bool(step->irreversible));
    return value_builder_map(&fields);
}

static struct value *plan_in_short(const struct plan *plan, const struct plan_view *view)
{
    struct value_builder fields = {0}, steps = {0}, counts = {0};
    struct plan_choice choice;
    plan_view_choose(plan, view, &choice);
    for (size_t i = 0; i < choice.n_steps && i < STEPS_OF_A_PAGE; i++)
        value_builder_append(&steps, step_to_value(&plan->steps[choice.steps[i]]));
    for (int kind = 0; kind < STEP_KIND_COUNT; kind++)
        if (plan->counts[kind])
            value_builder_set(&counts, step_kind_to_string((enum step_kind)kind),
                              value_integer((int64_t)plan->counts[kind]));
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set_string(&fields, "deployment", plan->deployment);
    value_builder_set_string(&fields, "environment", plan->environment);
    value_builder_set(&fields, "changes", value_bool(plan_has_effects(plan)));
    value_builder_set(&fields, "needs_name", value_bool(service_needs_name(plan)));
    value_builder_set(&fields, "counts", value_builder_map(&counts));
    value_builder_set(&fields, "steps", value_builder_list(&steps));
    value_builder_set(&fields, "steps_in_all", value_integer((int64_t)choice.n_chosen));
    plan_choice_done(&choice);
    return value_builder_map(&fields);
}

/* Whether it was carried out already, and then what shows how that went. */
CO_FN static bool write_done(struct service *service, const struct plan *plan, struct strbuf *text)
{
    struct store_run run = {0};
    bool is_done = service_find_run_of(service, plan, &run, NULL) == 0 && run.epoch > 0;
    if (is_done)
        strbuf_addf(text,
                    "\nThis plan was carried out already. Next: run_show with run=\"%.8s\" says "
                    "how that went.\n",
                    run.id);
    store_run_done(&run);
    return is_done;
}

CO_FN static void add_plan(const struct mcp_call *call, struct service *service,
                           const struct plan *plan, const struct plan_view *view,
                           struct mcp_result *result)
{
    struct strbuf text = {0};
    CLEANUP(mem_freep) char *link = tools_link_for_others(call, service, plan);
    render_plan(plan, view, &text);
    if (!write_done(service, plan, &text))
        write_next(plan, link, &text);
    tools_add_text(result, strbuf_text(&text));
    strbuf_done(&text);
    result->structured = plan_in_short(plan, view);
}

/* Asks a verb that gives a plan, and shows it. */
static int ask_plan(struct mcp_call *call, const char *verb, struct value *take_input,
                    struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    struct verb_answer answer = {0};
    struct plan_view view = {0};
    CLEANUP(value_unrefp) struct value *input = take_input;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = tools_ask(call, service, verb, value_ref(input), &answer, err);
    if (r == 0)
        add_plan(call, service, answer.plan, &view, result);
    add_diagnostics(&answer, value_get_text(input, "document"), r, result, err);
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}

/* The document as a text, or its file where the client may name one. */
static int read_document(const struct mcp_call *call, struct value_builder *input,
                         struct error *err)
{
    const struct mcp_caller *caller = call->exchange->caller;
    struct value *text = value_get(call->arguments, "document");
    struct value *file = value_get(call->arguments, "file");
    if ((text != NULL) == (file != NULL))
        return error_set(err, ERROR_INVALID,
                         "give either document, the YAML text itself, or file, its path");
    if (file && !caller->may_read_files)
        return error_set(err, ERROR_DENIED,
                         "this server reads no files for others: give the YAML text as document");
    value_builder_set(input, "document", file ? value_ref(file) : value_string("document.yaml"));
    if (text)
        value_builder_set(input, "text", value_ref(text));
    return 0;
}

int tool_plan_create(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value_builder input = {0};
    const struct value *variables = value_get(call->arguments, "variables");
    int r = read_document(call, &input, err);
    if (r < 0) {
        value_builder_done(&input);
        return r;
    }
    tools_copy_field(call, "targets", "targets", &input);
    tools_copy_field(call, "refresh", "refresh", &input);
    if (variables)
        value_builder_set(&input, "variables", texts_of(variables));
    return ask_plan(call, "plan_make", value_builder_map(&input), result, err);
}

int tool_plan_edit(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value_builder input = {0}, settings = {0};
    CLEANUP(value_unrefp) struct value *wanted = NULL;
    const struct value *given = value_get(call->arguments, "set");
    if (given)
        wanted = texts_of(given);
    for (size_t i = 0; wanted && i < value_count(wanted); i++) {
        CLEANUP(mem_freep)
        char *text =
            string_format("%s=%s", value_key_at(wanted, i), value_text(value_at(wanted, i)));
        value_builder_append(&settings, value_string(text));
    }
    value_builder_set(&input, "settings", value_builder_list(&settings));
    tools_copy_field(call, "unset", "unset", &input);
    tools_copy_field(call, "deployment", "deployment", &input);
    return ask_plan(call, "plan_set", value_builder_map(&input), result, err);
}

/* The fields that tool and verb call the same. */
int tool_plan_by_verb(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    static const char *const verbs[] = {"plan_destroy", "plan_undo", "plan_import", "plan_act"};
    return ask_plan(call, verbs[call->tool->tag],
                    value_ref((struct value *)(uintptr_t)call->arguments), result, err);
}

static int read_view(const struct mcp_call *call, struct plan_view *view, char **ret_page,
                     struct error *err)
{
    int64_t page = value_get_integer(call->arguments, "page", 0);
    *ret_page = page > 0 ? string_format("%" PRId64, page) : NULL;
    struct plan_view_words words = {
        .page = *ret_page,
        .type = value_get_text(call->arguments, "type"),
        .only = value_get_text(call->arguments, "only"),
    };
    return plan_view_read(&words, view, err);
}

static int find_plan(struct mcp_call *call, struct service *service, struct plan **ret_plan,
                     struct error *err)
{
    const char *hash = value_get_text(call->arguments, "plan");
    if (strlen(hash) < 8)
        return error_set(err, ERROR_INVALID,
                         "plan takes at least 8 digits of a plan's hash, not \"%s\"", hash);
    return service_get_plan(service, hash, ret_plan, err);
}

int tool_plan_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(mem_freep) char *page = NULL;
    struct plan_view view;
    int r = read_view(call, &view, &page, err);
    if (r < 0 || (r = tools_take_service(call, &service, err)) < 0)
        return r;
    r = find_plan(call, service, &plan, err);
    if (r == 0)
        add_plan(call, service, plan, &view, result);
    if (r == 0 && value_get_bool(call->arguments, "full", false)) {
        CLEANUP(value_unrefp) struct value *short_one = result->structured;
        result->structured = value_with(short_one, "full", plan_view_to_value(plan, &view));
    }
    tools_give_service(call, service);
    return r;
}

/* --- Approving and applying --- */

/* A client that can ask its user is asked to: that is no proof of a person, and is not said to be.
 */
static int ask_consent(struct mcp_call *call, const struct plan *plan, const char **ret_name,
                       struct error *err)
{
    struct value *answer = NULL;
    struct strbuf params = {0};
    if (*ret_name || !mcp_can_ask(call, "elicitation/create"))
        return 0;
    CLEANUP(mem_freep)
    char *message = string_format("Carry out plan %.12s of %s? %s", plan->hash, plan->deployment,
                                  service_needs_name(plan)
                                      ? "It destroys what cannot be brought back: type the "
                                        "deployment's name to agree."
                                      : "Type the deployment's name to agree.");
    strbuf_add(&params, "{\"message\":");
    json_write_string(&params, message, strlen(message));
    strbuf_add(&params,
               ",\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":"
               "\"string\",\"title\":\"Name of the deployment\"}},\"required\":[\"name\"]}}");
    struct value_builder state = {0};
    value_builder_set_string(&state, "plan", plan->hash);
    mcp_keep_state(call, value_builder_map(&state));
    int r = mcp_ask(call, "consent", "elicitation/create", strbuf_text(&params), &answer, err);
    strbuf_done(&params);
    if (r != 0)
        return r;
    const char *name = value_get_text(value_get(answer, "content"), "name");
    if (!text_equal_or_null(value_get_text(answer, "action"), "accept") ||
        !text_equal_or_null(name, plan->deployment))
        return error_set(
            err, ERROR_APPROVAL_NEEDED,
            "nobody agreed: the client's user did not accept with the name %s. Nothing "
            "was approved",
            plan->deployment);
    *ret_name = name;
    return 0;
}

/* What was recorded, and what it proves. */
static int add_approval(struct service *service, const struct plan *plan, struct mcp_result *result,
                        struct error *err)
{
    struct strbuf text = {0};
    CLEANUP(value_unrefp) struct value *shown = NULL;
    int r = service_show_approvals(service, plan->hash, &shown, err);
    if (r < 0)
        return r;
    /* What was refused before is not in the schema, and in the text. */
    result->structured = value_with(shown, "refusals", NULL);
    strbuf_addf(&text, "Plan %.12s of %s is approved by %s.\n", plan->hash, plan->deployment,
                service->caller.principal);
    render_approvals(shown, &text);
    strbuf_addf(&text, "Next: plan_apply with plan=\"%.12s\".\n", plan->hash);
    mcp_add_text(result, strbuf_text(&text));
    strbuf_done(&text);
    return 0;
}

/* Whether somebody approved it meanwhile, as a service of its own sees it: one that waits is not
 * kept from others. */
static int look_whether_approved(struct mcp_call *call, void *argument, struct error *err)
{
    const struct plan *plan = argument;
    struct service *service = NULL;
    int r = tools_take_service(call, &service, err);
    if (r == 0)
        r = tools_check_approved(service, plan, err);
    tools_give_service(call, service);
    return r;
}

/* An approver whose client has no forms, and opens addresses: on the page, which is his alone. */
static int approve_on_page(struct mcp_call *call, struct plan *plan, const char *link,
                           struct error *err)
{
    struct error fault = {0};
    int r = tools_open_link(call, plan, link, &fault);
    if (r == 0)
        r = tools_await_approver(call, look_whether_approved, plan, &fault);
    if (r == -ERROR_APPROVAL_NEEDED)
        error_set(&fault, ERROR_APPROVAL_NEEDED,
                  "nobody has approved the plan %.12s on its page: %s", plan->hash, link);
    return r < 0 ? error_move(err, &fault) : r;
}

static int approve(struct mcp_call *call, struct service *service, const struct plan *plan,
                   struct mcp_result *result, struct error *err)
{
    const char *name = value_get_text(call->arguments, "confirm");
    int r = ask_consent(call, plan, &name, err);
    if (r != 0)
        return r;
    struct consent consent = {.is_seen = true, .name = name};
    r = service_approve(service, plan, &consent, err);
    if (r < 0)
        return r;
    return add_approval(service, plan, result, err);
}

static bool wants_page(const struct mcp_call *call)
{
    return !value_get(call->arguments, "confirm") && mcp_can_open(call) &&
           !mcp_can_ask(call, "elicitation/create");
}

int tool_plan_approve(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(mem_freep) char *link = NULL;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = find_plan(call, service, &plan, err);
    if (r == 0 && wants_page(call))
        link = tools_make_link(call, service, plan, service->caller.principal);
    if (link) {
        tools_give_service(call, service);
        service = NULL;
        r = approve_on_page(call, plan, link, err);
        if (r != 0 || (r = tools_take_service(call, &service, err)) < 0)
            return r;
        r = add_approval(service, plan, result, err);
    } else if (r == 0) {
        r = approve(call, service, plan, result, err);
    }
    tools_give_service(call, service);
    return r;
}

/* A plan that is to begin. */
struct begin {
    struct plan *plan; /* owned */
    char *link; /* owned: to who may approve it; NULL: nobody needs to, or there is no page */
    char *run;  /* owned */
    bool waits; /* was refused, and is looked at again: one refusal is enough */
};

static int begin_run(struct mcp_call *call, void *argument, struct error *err)
{
    struct begin *begin = argument;
    struct service *service = NULL;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    if (!begin->plan)
        r = find_plan(call, service, &begin->plan, err);
    if (r == 0 && begin->waits)
        r = tools_check_approved(service, begin->plan, err);
    if (r == 0)
        r = service_start_run(service, begin->plan, &begin->run, err);
    if (r == -ERROR_APPROVAL_NEEDED && !begin->link)
        begin->link = tools_make_link(call, service, begin->plan, NULL);
    tools_give_service(call, service);
    return r;
}

/* Without an approval, the client opens the page for its user if it can; else the link is said. */
static int begin_approved(struct mcp_call *call, struct begin *begin, struct error *err)
{
    struct error fault = {0};
    int r = begin_run(call, begin, &fault);
    if (r == -ERROR_APPROVAL_NEEDED && begin->link) {
        int opened = tools_open_link(call, begin->plan, begin->link, NULL);
        if (opened == MCP_ASKED) {
            error_done(&fault);
            return opened;
        }
        if (opened == 0) {
            error_done(&fault);
            begin->waits = true;
            r = tools_await_approver(call, begin_run, begin, &fault);
        }
    }
    if (r == -ERROR_APPROVAL_NEEDED && begin->link)
        error_set(&fault, ERROR_APPROVAL_NEEDED, "%s. An approver decides on %s",
                  error_message(&fault), begin->link);
    return r < 0 ? error_move(err, &fault) : r;
}

int tool_plan_apply(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct begin begin = {0};
    int r = begin_approved(call, &begin, err);
    if (r == 0) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "run", begin.run);
        value_builder_set_string(&fields, "plan", begin.plan->hash);
        result->structured = value_builder_map(&fields);
        CLEANUP(mem_freep)
        char *text = string_format(
            "Run %s has begun; it goes on whatever becomes of this connection.\n"
            "Next: run_show with run=\"%.8s\" and wait_seconds=50, until it has ended.\n",
            begin.run, begin.run);
        mcp_add_text(result, text);
    }
    plan_free(begin.plan);
    mem_free(begin.link);
    mem_free(begin.run);
    return r;
}
