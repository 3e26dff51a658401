#include "mcp/resources.h"

#include "base/memory.h"
#include "base/text.h"
#include "mcp/tools.h"
#include "model/json.h"
#include "render/plan-view.h"

#include <string.h>

/* --- Resources: parley://KIND/NAME --- */

/* What stands behind the last slash. */
static const char *name_in(const char *uri)
{
    const char *slash = strrchr(uri, '/');
    return slash ? slash + 1 : uri;
}

/* Which verb answers for which kind, and as what. */
static const struct source {
    const char *prefix, *verb, *field, *part;
    int mark; /* of what it is made of; -1: of the site and its catalog alone */
} sources[] = {
    {"parley://deployments", "deployment_status", NULL, NULL, MARK_DEPLOYMENTS},
    {"parley://deployment/", "resource_show", "deployment", NULL, MARK_RECORDS},
    {"parley://document/", "document_pull", "deployment", "after", MARK_DOCUMENT},
    {"parley://plan/", "plan_show", "plan", NULL, MARK_PLAN},
    {"parley://run/", "run_show", "run", NULL, MARK_RUN},
    {"parley://types", "type_show", NULL, NULL, -1},
    {"parley://type/", "type_show", "type", NULL, -1},
    {"parley://audit", "audit_list", NULL, NULL, MARK_AUDIT},
};

static const struct source *find_source(const char *uri)
{
    for (size_t i = 0; i < ARRAY_LENGTH(sources); i++)
        if (sources[i].field ? text_starts_with(uri, sources[i].prefix)
                             : text_equal(uri, sources[i].prefix))
            return &sources[i];
    return NULL;
}

bool resources_find_mark(const char *uri, enum mark_kind *ret_kind, const char **ret_name)
{
    const struct source *source = find_source(uri);
    if (!source || source->mark < 0)
        return false;
    *ret_kind = (enum mark_kind)source->mark;
    *ret_name = source->field ? name_in(uri) : NULL;
    return true;
}

static void add_answer(struct verb_answer *answer, const struct source *source, const char *uri,
                       struct mcp_result *result)
{
    const struct value *value = verb_answer_value(answer);
    const char *text = source->part ? value_get_text(value, source->part) : NULL;
    CLEANUP(strbuf_done) struct strbuf json = {0};
    if (!text)
        json_write_foreign(&json, value);
    mcp_add_resource_text(result, uri, text ? "application/yaml" : "application/json",
                          text ? text : strbuf_text(&json));
}

static int read_source(struct mcp_call *call, const char *uri, struct mcp_result *result,
                       struct error *err)
{
    const struct source *source = find_source(uri);
    struct service *service = NULL;
    struct verb_answer answer = {0};
    struct value_builder input = {0};
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    if (source->field)
        value_builder_set_string(&input, source->field, name_in(uri));
    r = tools_ask(call, service, source->verb, value_builder_map(&input), &answer, err);
    if (r == 0) {
        add_answer(&answer, source, uri, result);
    } else if (r == -ERROR_NOT_FOUND && !source->field) {
        /* Where nothing was ever deployed a list of all has nothing in it. */
        error_done(err);
        mcp_add_resource_text(result, uri, "application/json", "[]");
        r = 0;
    }
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}

/* clang-format off */
static const struct mcp_resource resources[] = {
    {"parley://deployments", "deployments", "Deployments", "All deployments with their state.", "application/json", false, read_source},
    {"parley://types", "types", "Resource types", "All resource types of the catalog.", "application/json", false, read_source},
    {"parley://audit", "audit", "Audit log", "The newest 200 entries of the audit log.", "application/json", false, read_source},
    {"parley://deployment/{name}", "deployment", "Records of a deployment", "What is recorded of each resource.", "application/json", true, read_source},
    {"parley://document/{name}", "document", "Document of a deployment", "The newest applied document.", "application/yaml", true, read_source},
    {"parley://plan/{hash}", "plan", "Plan", "A plan with all its steps.", "application/json", true, read_source},
    {"parley://run/{id}", "run", "Run", "A run with its journal.", "application/json", true, read_source},
    {"parley://type/{type}", "type", "Resource type", "All about one resource type.", "application/json", true, read_source},
};
/* clang-format on */

/* --- Those of the deployments that exist --- */

static void append_resource(const char *kind, const char *name, const char *what,
                            const char *mime_type, struct value_builder *list)
{
    struct value_builder fields = {0};
    CLEANUP(mem_freep) char *uri = string_format("parley://%s/%s", kind, name);
    CLEANUP(mem_freep) char *title = string_format("%s of %s", what, name);
    value_builder_set_string(&fields, "uri", uri);
    value_builder_set_string(&fields, "name", name);
    value_builder_set_string(&fields, "title", title);
    value_builder_set_string(&fields, "mimeType", mime_type);
    value_builder_append(list, value_builder_map(&fields));
}

/* One that is gone has no records, and its documents are history. */
static void append_deployment(const struct value *deployment, struct value_builder *list)
{
    const char *environment = value_get_text(deployment, "environment");
    CLEANUP(mem_freep)
    char *name = string_format("%s@%s", value_get_text(deployment, "name"), environment);
    if (text_equal(value_get_text(deployment, "state"), "destroyed"))
        return;
    append_resource("deployment", name, "Records", "application/json", list);
    if (value_get_integer(deployment, "revision", 0) > 0)
        append_resource("document", name, "Document", "application/yaml", list);
}

static int list_resources(struct mcp_call *call, struct value_builder *list, struct error *err)
{
    struct service *service = NULL;
    struct verb_answer answer = {0};
    struct value_builder none = {0};
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = tools_ask(call, service, "deployment_status", value_builder_map(&none), &answer, err);
    for (size_t i = 0; r == 0 && i < value_count(answer.value); i++)
        append_deployment(value_at(answer.value, i), list);
    verb_answer_done(&answer);
    tools_give_service(call, service);
    /* Where nothing was ever deployed there is no store yet. */
    return r == -ERROR_NOT_FOUND ? 0 : r;
}

/* --- Prompts --- */

static const char *argument(const struct mcp_call *call, const char *name)
{
    const char *text = value_get_text(call->arguments, name);
    return text ? text : "";
}

static const char document_form[] =
    "A document has this form:\n\n"
    "deployment:\n"
    "  name: shop\n"
    "  environment: staging\n"
    "  variables: { size: small }\n"
    "  patterns: [three-tier-architecture]\n"
    "  resources:\n"
    "    - type: opnsense:network:vlan\n"
    "      name: web-tier\n"
    "      properties: { tag: 200, subnet: 10.200.0.0/24 }\n"
    "    - type: opnsense:firewall:rule\n"
    "      name: allow-https\n"
    "      properties: { source: any, destination: web-tier, port: 443, action: pass }\n"
    "  outputs: { net: \"${web-tier.outputs.id}\" }\n\n"
    "Names are [a-z][a-z0-9-]*. Resources refer to each other by name in properties that the type "
    "marks as references, else as ${name.outputs.attribute}.\n";

static int deploy(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *text = string_format(
        "Deploy with Parley: %s\n\n%s\n1. type_show for the list of types, then for each that you "
        "use.\n2. Write the document; plan_create with its text. Mend the faults that come back.\n"
        "3. Show me the plan: what is created, changed and removed, and what cannot be undone. Wait "
        "for my yes.\n4. plan_approve, plan_apply, then run_show with wait_seconds=50 until it "
        "ended.\n5. deployment_status, and tell me how to reach it.\n",
        argument(call, "what"), document_form);
    mcp_add_prompt_text(result, text);
    return 0;
}

static int review(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *text = string_format(
        "Review Parley's plan %s with plan_show (all pages). Say what it creates, changes, replaces "
        "and removes, in order of risk; what cannot be brought back by an undo; what opens a path "
        "from outside; and what you would ask before approving. Do not approve it.\n",
        argument(call, "plan"));
    mcp_add_prompt_text(result, text);
    return 0;
}

static int troubleshoot(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *text = string_format(
        "Find out what is wrong with the deployment %s: %s\n\nRead deployment_status, "
        "deployment_drift, deployment_history and log_show of what looks sick (since the last run). "
        "Name the most likely cause with its evidence, then the smallest plan that mends it "
        "(plan_edit, plan_undo or plan_act), and show that plan. Change nothing without my yes.\n",
        argument(call, "deployment"), argument(call, "symptom"));
    mcp_add_prompt_text(result, text);
    return 0;
}

static int change(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *text = string_format(
        "Change the deployment %s: %s\n\nRead document_show and deployment_status. Single values go "
        "with plan_edit; more than that is an edit of the document's text for plan_create, which "
        "keeps comments and order. Show me the plan and wait for my yes; then plan_approve, "
        "plan_apply, run_show until it ended.\n",
        argument(call, "deployment"), argument(call, "change"));
    mcp_add_prompt_text(result, text);
    return 0;
}

static const struct mcp_argument deploy_arguments[] = {
    {"what", "What should exist, in your words.", true}, {0}};
static const struct mcp_argument review_arguments[] = {{"plan", "Hash of the plan.", true}, {0}};
static const struct mcp_argument trouble_arguments[] = {
    {"deployment", "The deployment.", true}, {"symptom", "What you see.", false}, {0}};
static const struct mcp_argument change_arguments[] = {
    {"deployment", "The deployment.", true}, {"change", "What should be otherwise.", true}, {0}};

static const struct mcp_prompt prompts[] = {
    {"deploy", "Deploy something new", "From words to a platform that stands, by way of a plan.",
     deploy_arguments, deploy},
    {"change", "Change a deployment", "Scale, limit, open, close, replace: by way of a plan.",
     change_arguments, change},
    {"review-plan", "Review a plan", "What a plan does and what is risky about it.",
     review_arguments, review},
    {"troubleshoot", "Troubleshoot", "Find out what is wrong with a deployment.", trouble_arguments,
     troubleshoot},
};

/* --- Pictures --- */

static const struct mcp_icon icons[] = {
    {"parley", "M1 2h14v10H8l-4 3v-3H1zM4 5v2h8V5zM4 8v2h5V8z"},
    {"deployments", "M1 2h14v3H1zM1 7h14v3H1zM1 12h14v3H1z"},
    {"deployment", "M1 2h14v3H1zM1 7h14v3H1zM1 12h14v3H1z"},
    {"types", "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z"},
    {"type", "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z"},
    {"audit", "M2 3h2v2H2zM6 3h8v2H6zM2 7h2v2H2zM6 7h8v2H6zM2 11h2v2H2zM6 11h8v2H6z"},
    {"document", "M3 1h7l3 3v11H3zM5 6v2h6V6zM5 10v2h6v-2z"},
    {"plan", "M1 7h8V3l6 5-6 5V9H1z"},
    {"run", "M4 2l9 6-9 6z"},
    {"deploy", "M8 1l6 6h-4v8H6V7H2z"},
    {"change", "M2 11l8-8 3 3-8 8H2z"},
    {"review-plan", "M4 1h5l3 3v5l-1 1 4 4-1 1-4-4-1 1H4L1 9V4zM5 3L3 5v3l2 2h3l2-2V5L8 3z"},
    {"troubleshoot", "M8 1l7 14H1zM7 6v4h2V6zM7 11v2h2v-2z"},
};

/* --- Completion: names that begin as what was typed --- */

static void complete_from(struct mcp_call *call, const char *verb, const char *field,
                          const char *typed, struct value_builder *values)
{
    enum { MOST_VALUES = 100 };
    struct service *service = NULL;
    struct verb_answer answer = {0};
    struct value_builder none = {0};
    size_t n = 0;
    if (tools_take_service(call, &service, NULL) < 0)
        return;
    if (tools_ask(call, service, verb, value_builder_map(&none), &answer, NULL) == 0) {
        for (size_t i = 0; i < value_count(answer.value) && n < MOST_VALUES; i++) {
            const char *name = value_get_text(value_at(answer.value, i), field);
            if (!name || !text_starts_with(name, typed))
                continue;
            value_builder_append(values, value_string(name));
            n++;
        }
    }
    verb_answer_done(&answer);
    tools_give_service(call, service);
}

static void complete(struct mcp_call *call, const char *name, const char *field, const char *typed,
                     struct value_builder *values)
{
    bool is_deployment = text_equal(field, "deployment") ||
                         (text_equal(field, "name") && text_starts_with(name, "parley://"));
    if (is_deployment)
        complete_from(call, "deployment_status", "name", typed, values);
    else if (text_equal(field, "type"))
        complete_from(call, "type_show", "name", typed, values);
    else if (text_equal(field, "id"))
        complete_from(call, "run_list", "id", typed, values);
}

void resources_fill(struct mcp_offer *offer)
{
    offer->resources = resources;
    offer->n_resources = ARRAY_LENGTH(resources);
    offer->list_resources = list_resources;
    offer->prompts = prompts;
    offer->n_prompts = ARRAY_LENGTH(prompts);
    offer->icons = icons;
    offer->n_icons = ARRAY_LENGTH(icons);
    offer->complete = complete;
}
