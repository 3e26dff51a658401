/* The table of the tools, and how they ask verbs. */
#include "mcp/tools.h"

#include "base/memory.h"
#include "base/text.h"
#include "mcp/output-schemas.h"
#include "mcp/resources.h"
#include "mcp/tools-internal.h"

/* --- Services and verbs --- */

int tools_take_service(struct mcp_call *call, struct service **ret_service, struct error *err)
{
    const struct mcp_caller *caller = call->exchange->caller;
    struct caller who = *caller->who;
    CLEANUP(mem_freep)
    char *client = *call->client ? string_format("mcp: %s", call->client) : string_copy("mcp");
    CLEANUP(mem_freep)
    char *words = string_format("mcp %s", call->tool ? call->tool->name : call->method);
    who.client = client;
    return pool_take(caller->pool, &who, words, ret_service, err);
}

void tools_give_service(struct mcp_call *call, struct service *service)
{
    const struct mcp_caller *caller = call->exchange->caller;
    if (service)
        pool_give(caller->pool, service);
}

/* Reading what is there may last: the client hears of it. */
static void tell_reading(void *argument, const struct value *event)
{
    struct mcp_call *call = argument;
    if (text_equal_or_null(value_get_text(event, "kind"), "reading"))
        mcp_progress(call, (double)value_get_integer(event, "read", 0),
                     (double)value_get_integer(event, "of", 0), "reading what is there");
}

int tools_ask(struct mcp_call *call, struct service *service, const char *verb,
              struct value *take_input, struct verb_answer *ret_answer, struct error *err)
{
    CLEANUP(value_unrefp) struct value *input = take_input;
    struct verb_call asked = {.input = input, .sink = tell_reading, .argument = call};
    return verb_run(service, verb_find(verb), &asked, ret_answer, err);
}

void tools_copy_field(const struct mcp_call *call, const char *from, const char *to,
                      struct value_builder *input)
{
    struct value *value = value_get(call->arguments, from);
    if (value)
        value_builder_set(input, to, value_ref(value));
}

struct value *tools_without_nulls(const struct value *map)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(map); i++)
        if (!value_is_null(value_at(map, i)))
            value_builder_set(&fields, value_key_at(map, i), value_ref(value_at(map, i)));
    return value_builder_map(&fields);
}

/* --- The table --- */

/* clang-format off */
#define DEPLOYMENT \
    {.name = "deployment", .is_required = true, .description = "NAME[@ENVIRONMENT]."}
#define ANY_DEPLOYMENT \
    {.name = "deployment", .description = "NAME[@ENVIRONMENT]; without it, all."}
#define PLAN \
    {.name = "plan", .is_required = true, .description = "Its hash, or the first 8 digits or more."}
#define REFRESH \
    {.name = "refresh", .choices = "full|changed|none", .default_value = "\"full\"", \
     .description = "What is read of what exists: all, what changes, nothing."}
#define PAGE \
    {.name = "page", .kind = MCP_INTEGER, .lowest = 1, .highest = 99999, .default_value = "1", .description = "From 1."}

static const struct mcp_input any_deployment_inputs[] = {ANY_DEPLOYMENT, {0}};
static const struct mcp_input status_inputs[] = {ANY_DEPLOYMENT, PAGE, {0}};
static const struct mcp_input history_inputs[] = {DEPLOYMENT, PAGE, {0}};
static const struct mcp_input resource_inputs[] = {DEPLOYMENT,
    {.name = "address", .description = "Only this one: web, or web[0] of a counted one."}, PAGE, {0}};
static const struct mcp_input type_inputs[] = {
    {.name = "type", .description = "Such as opnsense:network:vlan; without it, the list of all."}, {0}};
static const struct mcp_input log_inputs[] = {
    {.name = "name", .is_required = true, .description = "A deployment, a resource, an instance, or one program of it."},
    {.name = "since", .description = "Since then: 10m, 2h, or a time such as 2026-11-21T22:16Z."},
    {.name = "match", .description = "Only lines with this text."},
    {.name = "tail", .kind = MCP_INTEGER, .lowest = 1, .highest = TOOLS_MOST_LOG_LINES, .default_value = "100", .description = "At most so many of the newest lines."}, {0}};
static const struct mcp_input create_inputs[] = {
    {.name = "document", .description = "The deployment document as YAML text. type_show says what resource types take."},
    {.name = "file", .description = "Its path instead, where server and client share a machine and user."},
    {.name = "variables", .kind = MCP_SETTINGS, .description = "The document's variables, by name."},
    {.name = "targets", .kind = MCP_TEXTS, .description = "Only these resources and what they need."},
    REFRESH, {0}};
static const struct mcp_input edit_inputs[] = {
    {.name = "set", .kind = MCP_SETTINGS, .description = "New values by path, NAME.PROPERTY or var.NAME: {\"web.count\": 3}."},
    {.name = "unset", .kind = MCP_TEXTS, .description = "Paths to take out, each NAME.PROPERTY."},
    {.name = "deployment", .description = "The deployment, where several have such a resource."}, {0}};
static const struct mcp_input destroy_inputs[] = {DEPLOYMENT, REFRESH, {0}};
static const struct mcp_input undo_inputs[] = {DEPLOYMENT,
    {.name = "revision", .description = "Its number; without it, the one before the newest."}, {0}};
static const struct mcp_input import_inputs[] = {DEPLOYMENT,
    {.name = "address", .is_required = true, .description = "What the document calls it."},
    {.name = "id", .is_required = true, .description = "What the system calls it."},
    {.name = "type", .description = "Adds a resource of this type to the document, filled with what is found."},
    {.name = "instance", .description = "With type: the provider instance where it is."}, {0}};
static const struct mcp_input act_inputs[] = {DEPLOYMENT,
    {.name = "address", .is_required = true, .description = "The resource."},
    {.name = "action", .is_required = true, .description = "promote, promote-with-loss, fence, drain, rejoin or resume."},
    {.name = "member", .is_required = true, .description = "The part it is done to, as the resource's status names it."}, {0}};
static const struct mcp_input plan_show_inputs[] = {PLAN, PAGE,
    {.name = "type", .description = "Only steps of this resource type."},
    {.name = "only", .description = "Only steps of these kinds, with commas between: create,update,delete,rename,start,forget,adopt."},
    {.name = "full", .kind = MCP_FLAG, .default_value = "false", .description = "Adds all of the plan to the structured result."}, {0}};
static const struct mcp_input approve_inputs[] = {PLAN,
    {.name = "confirm", .description = "The deployment's name as the person who agrees typed it. Do not fill it in for them."}, {0}};
static const struct mcp_input apply_inputs[] = {PLAN, {0}};
static const struct mcp_input run_inputs[] = {
    {.name = "run", .is_required = true, .description = "Its id, or the first 6 digits or more."},
    {.name = "wait_seconds", .kind = MCP_INTEGER, .highest = 300, .default_value = "0", .description = "Waits so long for its end, telling progress. 50 suits most clients."}, {0}};
static const struct mcp_input control_inputs[] = {
    {.name = "action", .is_required = true, .choices = "cancel|resume", .description = "cancel: stop once what is under way has ended. resume: go on."},
    {.name = "run", .description = "For cancel: id of the run."},
    {.name = "deployment", .description = "For resume: whose newest unfinished run goes on."}, {0}};
static const struct mcp_input document_inputs[] = {DEPLOYMENT, {0}};

static const struct mcp_tool tools[] = {
    {.name = "deployment_status", .title = "Status of deployments", .is_read_only = true, .is_idempotent = true, .is_open_world = true,
     .description = "What exists now: all deployments with their state, or one with every resource read live from its system (health, addresses, outputs), 50 a page.",
     .inputs = status_inputs, .output_schema = STATUS_OUTPUT, .call = tool_show, .tag = 0},
    {.name = "deployment_history", .title = "History of a deployment", .is_read_only = true, .is_idempotent = true,
     .description = "Revisions and runs of a deployment, newest first: who changed what, when, in which words, and how it ended.",
     .inputs = history_inputs, .output_schema = HISTORY_OUTPUT, .call = tool_show, .tag = 1},
    {.name = "deployment_drift", .title = "Drift", .is_read_only = true, .is_idempotent = true, .is_open_world = true,
     .description = "What was changed outside of Parley since it was applied, and the plans that put it back or follow it.",
     .inputs = any_deployment_inputs, .output_schema = DRIFT_OUTPUT, .call = tool_show, .tag = 2},
    {.name = "document_show", .title = "Document of a deployment", .is_read_only = true, .is_idempotent = true,
     .description = "The newest applied document as YAML: where an edit of more than single values begins.",
     .inputs = document_inputs, .output_schema = DOCUMENT_OUTPUT, .call = tool_document_show},
    {.name = "resource_show", .title = "Records of resources", .is_read_only = true, .is_idempotent = true,
     .description = "What is recorded of a deployment's resources, 50 a page, or of one: spec, outputs, dependencies, ids.",
     .inputs = resource_inputs, .output_schema = RESOURCE_OUTPUT, .call = tool_show, .tag = 3},
    {.name = "type_show", .title = "Resource types", .is_read_only = true, .is_idempotent = true,
     .description = "The types that documents can use, or all about one: properties, defaults, outputs, drivers. Call it before writing a document.",
     .inputs = type_inputs, .output_schema = TYPE_OUTPUT, .call = tool_show, .tag = 4},
    {.name = "log_show", .title = "Logs", .is_read_only = true, .is_idempotent = true,
     .description = "What the programs of a deployment, a resource or an instance printed, the newest lines.",
     .inputs = log_inputs, .output_schema = LOG_OUTPUT, .call = tool_log_show},
    {.name = "audit_show", .title = "Audit log", .is_read_only = true, .is_idempotent = true,
     .description = "Who planned, approved, ran and was refused what, the newest 200 entries of the chained audit log.",
     .inputs = any_deployment_inputs, .output_schema = AUDIT_OUTPUT, .call = tool_show, .tag = 5},
    {.name = "plan_create", .title = "Plan a deployment", .is_open_world = true,
     .description = "Plans what must be done so that everything in a deployment document exists as it says (infrastructure of all systems in one plan). Changes nothing; faults come back with line, reason and remedy.",
     .inputs = create_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_create},
    {.name = "plan_edit", .title = "Plan an edit", .is_open_world = true,
     .description = "Plans a change of single values of what is deployed: scale, limit, port, image, size. Changes nothing.",
     .inputs = edit_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_edit},
    {.name = "plan_destroy", .title = "Plan a removal", .is_open_world = true,
     .description = "Plans the removal of a deployment. Changes nothing; the plan names what cannot be brought back.",
     .inputs = destroy_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_by_verb, .tag = 0},
    {.name = "plan_undo", .title = "Plan an undo", .is_open_world = true,
     .description = "Plans the way back of a deployment to an earlier revision. Changes nothing.",
     .inputs = undo_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_by_verb, .tag = 1},
    {.name = "plan_import", .title = "Plan an import", .is_open_world = true,
     .description = "Plans taking over something that exists already, which stays as it is. Changes nothing.",
     .inputs = import_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_by_verb, .tag = 2},
    {.name = "plan_act", .title = "Plan an action", .is_open_world = true,
     .description = "Plans an operation on a member of a resource that is no change of the document. Changes nothing.",
     .inputs = act_inputs, .output_schema = PLAN_OUTPUT, .call = tool_plan_by_verb, .tag = 3},
    {.name = "plan_show", .title = "Show a plan", .is_read_only = true, .is_idempotent = true,
     .description = "A plan made before: all of it, one page, or only steps of a type or kind.",
     .inputs = plan_show_inputs, .output_schema = PLAN_SHOW_OUTPUT, .call = tool_plan_show},
    {.name = "plan_approve", .title = "Approve a plan", .is_idempotent = true,
     .description = "Records the yes of a person to one plan by its hash. Only after the person has seen the plan and said yes: approving is theirs, not yours.",
     .inputs = approve_inputs, .output_schema = APPROVE_OUTPUT, .call = tool_plan_approve},
    {.name = "plan_apply", .title = "Apply a plan", .is_destructive = true, .is_open_world = true,
     .description = "Carries out an approved plan. Returns at once with a run, which goes on even if this server ends; follow it with run_show.",
     .inputs = apply_inputs, .output_schema = RUN_OUTPUT, .call = tool_plan_apply},
    {.name = "run_show", .title = "Show or await a run", .is_read_only = true, .is_idempotent = true,
     .description = "How far a run is or how it ended, step by step; with wait_seconds it waits for the end.",
     .inputs = run_inputs, .output_schema = RUN_SHOW_OUTPUT, .call = tool_run_show, .is_lasting = true},
    {.name = "run_control", .title = "Cancel or resume a run", .is_destructive = true, .is_idempotent = true, .is_open_world = true,
     .description = "Asks a run to stop, or goes on with one that ended early.",
     .inputs = control_inputs, .output_schema = RUN_OUTPUT, .call = tool_run_control},
};
/* clang-format on */

/* --- Who has which tool --- */

/* The verb whose right a tool needs. */
static const struct verb *verb_of(const struct mcp_tool *tool)
{
    static const struct verb approving = {.name = "plan_approve", .effect = VERB_APPROVE};
    static const struct verb applying = {.name = "plan_apply", .effect = VERB_APPLY};
    static const char *const others[][2] = {
        {"plan_create", "plan_make"},       {"plan_edit", "plan_set"},
        {"document_show", "document_pull"}, {"audit_show", "audit_list"},
        {"run_control", "run_cancel"}, /* resuming has a look of its own */
    };
    if (tool->call == tool_plan_approve)
        return &approving;
    if (tool->call == tool_plan_apply)
        return &applying;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        if (text_equal(others[i][0], tool->name))
            return verb_find(others[i][1]);
    return verb_find(tool->name);
}

static bool has_tool(void *argument, const struct mcp_tool *tool)
{
    const struct mcp_caller *caller = argument;
    return pool_allows(caller->pool, caller->who, verb_of(tool));
}

/* Who asks for what he may not, or what a cap hides, is in the audit chain before he is told. */
static void refused(struct mcp_call *call, struct error *ret_why)
{
    struct service *service = NULL;
    if (tools_take_service(call, &service, ret_why) == 0)
        (void)verb_check(service, verb_of(call->tool), call->tool->name, ret_why);
    tools_give_service(call, service);
}

/* What only reads is noted here, and who made which plan; the rest the service writes down. */
static void called(struct mcp_call *call, const struct mcp_result *result)
{
    static const char *const subjects[] = {"deployment", "plan", "run", "name", "type"};
    const struct mcp_caller *caller = call->exchange->caller;
    bool is_plan = verb_of(call->tool)->effect == VERB_PLAN && !call->tool->is_read_only;
    const char *about = NULL;
    if (is_plan && result->structured)
        about = value_get_text(result->structured, "plan");
    else if (!call->tool->is_read_only)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(subjects) && !about; i++)
        about = value_get_text(call->arguments, subjects[i]);
    looks_note(caller->looks, call->exchange->principal, call->client, call->tool->name,
               about ? about : "");
}

const struct mcp_offer *tools_offer(void)
{
    static struct mcp_offer offer = {
        .name = "parley",
        .title = "Parley",
        .version = PARLEY_VERSION,
        .instructions =
            "Parley runs infrastructure (firewalls, networks, load balancers, databases, clouds, "
            "containers, clusters) from one document through reviewable plans.\n"
            "The road of every change: plan_create from a YAML document (or plan_edit, plan_undo, "
            "plan_import, plan_act, plan_destroy) gives a plan with a hash and changes nothing; show "
            "it to the person and let them decide; plan_approve records their yes; plan_apply starts "
            "a run and returns at once; run_show with wait_seconds=50 follows it to its end, then "
            "deployment_status says what is there.\n"
            "Before writing a document call type_show for the types and their properties; the "
            "prompt deploy has the document's form. Faults come back with line, reason and "
            "remedy: mend and plan again.\n"
            "Never approve for the person. A plan that destroys needs the deployment's name typed by "
            "them. Runs go on when the connection ends; find them with deployment_history. Secrets "
            "are never shown: documents name them as ${secret.NAME}.",
        .tools = tools,
        .n_tools = ARRAY_LENGTH(tools),
        .has_tool = has_tool,
        .refused = refused,
        .called = called,
        .advise = tools_advise,
        .look_at_task = runs_look_at_task,
        .find_task_uri = runs_find_task_uri,
        .list_tasks = runs_list_tasks,
    };
    resources_fill(&offer);
    return &offer;
}
