/* What each method of the protocol answers. */
#include "mcp/methods.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

#include <stdio.h>
#include <string.h>

/* So much of what a client calls itself is kept. */
enum { NAME_LENGTH = 100, VERSION_LENGTH = 40 };

static const char *const legacy_versions[] = {MCP_LEGACY_VERSION, "2025-06-18", "2025-03-26",
                                              "2024-11-05"};

/* --- How it begins --- */

char *mcp_client_name(const struct value *info)
{
    const char *name = value_get_text(info, "name"), *version = value_get_text(info, "version");
    struct strbuf buffer = {0};
    strbuf_add_n(&buffer, name ? name : "", name ? strnlen(name, NAME_LENGTH) : 0);
    if (version) {
        strbuf_add_char(&buffer, ' ');
        strbuf_add_n(&buffer, version, strnlen(version, VERSION_LENGTH));
    }
    char *text = strbuf_take(&buffer);
    text_make_printable(text);
    return text;
}

static const char *agreed_version(const char *wanted)
{
    for (size_t i = 0; wanted && i < ARRAY_LENGTH(legacy_versions); i++)
        if (text_equal(wanted, legacy_versions[i]))
            return wanted;
    return MCP_LEGACY_VERSION;
}

static int initialize(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct mcp_session *session = call->exchange->session;
    const struct value *capabilities = value_get(call->params, "capabilities");
    const char *wanted = value_get_text(call->params, "protocolVersion");
    if (!session)
        return rpc_fail(fault, RPC_METHOD_NOT_FOUND,
                        "there is no initialize in " MCP_MODERN_VERSION);
    if (!wanted)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "initialize needs a protocolVersion");
    mcp_session_done(session);
    *session = (struct mcp_session){
        .is_begun = true,
        .can_elicit = mcp_has_form(capabilities),
        .can_open = value_get(value_get(capabilities, "elicitation"), "url") != NULL,
        .can_sample = value_get(capabilities, "sampling") != NULL,
        .can_list_roots = value_get(capabilities, "roots") != NULL,
        .client = mcp_client_name(value_get(call->params, "clientInfo")),
    };
    snprintf(session->version, sizeof(session->version), "%s", agreed_version(wanted));
    CLEANUP(mem_freep) char *offered = mcp_capabilities_text(call->server->offer, false);
    strbuf_addf(members, "\"protocolVersion\":\"%s\",\"capabilities\":%s,\"serverInfo\":%s",
                session->version, offered,
                mcp_knows_icons(call) ? call->server->portrait : call->server->identity);
    mcp_write_field(members, "instructions", call->server->offer->instructions);
    return 0;
}

static int discover(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    (void)fault;
    strbuf_addf(members, "\"supportedVersions\":[\"" MCP_MODERN_VERSION "\"");
    for (size_t i = 0; i < ARRAY_LENGTH(legacy_versions); i++)
        strbuf_addf(members, ",\"%s\"", legacy_versions[i]);
    strbuf_addf(members, "],\"capabilities\":%s", call->server->capabilities);
    mcp_write_field(members, "instructions", call->server->offer->instructions);
    return 0;
}

static int answer_nothing(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    (void)call, (void)members, (void)fault;
    return 0;
}

/* --- Results --- */

void mcp_add_content(struct mcp_result *result, const char *json)
{
    if (result->content.length)
        strbuf_add_char(&result->content, ',');
    strbuf_add(&result->content, json);
}

void mcp_add_text(struct mcp_result *result, const char *text)
{
    mcp_add_content(result, "{\"type\":\"text\",\"text\":");
    json_write_string(&result->content, text, strlen(text));
    strbuf_add_char(&result->content, '}');
}

void mcp_add_resource_text(struct mcp_result *result, const char *uri, const char *mime_type,
                           const char *text)
{
    mcp_add_content(result, "{");
    mcp_write_field(&result->content, "uri", uri);
    mcp_write_field(&result->content, "mimeType", mime_type);
    mcp_write_field(&result->content, "text", text);
    strbuf_add_char(&result->content, '}');
}

char *mcp_base64(const void *bytes, size_t length)
{
    size_t room = sodium_base64_ENCODED_LEN(length, sodium_base64_VARIANT_ORIGINAL);
    char *text = mem_zeroed(1, room);
    sodium_bin2base64(text, room, bytes, length, sodium_base64_VARIANT_ORIGINAL);
    return text;
}

void mcp_add_resource_bytes(struct mcp_result *result, const char *uri, const char *mime_type,
                            const void *bytes, size_t length)
{
    CLEANUP(mem_freep) char *text = mcp_base64(bytes, length);
    mcp_add_content(result, "{");
    mcp_write_field(&result->content, "uri", uri);
    mcp_write_field(&result->content, "mimeType", mime_type);
    mcp_write_field(&result->content, "blob", text);
    strbuf_add_char(&result->content, '}');
}

void mcp_add_prompt_text(struct mcp_result *result, const char *text)
{
    mcp_add_content(result, "{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":");
    json_write_string(&result->content, text, strlen(text));
    strbuf_add(&result->content, "}}");
}

void mcp_result_done(struct mcp_result *result)
{
    strbuf_done(&result->content);
    value_unref(result->structured);
}

/* What went wrong, and what to do: in the first text, since some clients show no more than that. */
static void add_failure(const struct mcp_call *call, struct mcp_result *result,
                        const struct error *err)
{
    const struct mcp_offer *offer = call->server->offer;
    struct mcp_result failed = {.is_error = true, .is_fault = result->is_fault};
    struct strbuf text = {0};
    strbuf_addf(&text, "%s\nWhat to do: %s. (error: %s)\n", error_message(err),
                error_code_advice(err->code), error_code_to_string(err->code));
    if (offer->advise)
        offer->advise(call, err, &text);
    mcp_add_text(&failed, strbuf_text(&text));
    strbuf_done(&text);
    if (result->content.length)
        mcp_add_content(&failed, strbuf_text(&result->content));
    mcp_result_done(result);
    *result = failed;
}

/* --- tools/call --- */

void mcp_write_tool_result(const struct mcp_result *result, struct strbuf *members)
{
    strbuf_add(members, "\"content\":[");
    strbuf_add_n(members, strbuf_text(&result->content), result->content.length);
    strbuf_add_char(members, ']');
    if (result->structured && !result->is_error) {
        strbuf_add(members, ",\"structuredContent\":");
        json_write_foreign(members, result->structured);
    }
    strbuf_add(members, result->is_error ? ",\"isError\":true" : ",\"isError\":false");
}

int mcp_run_tool(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct mcp_result result = {0};
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(mem_freep) char *faults = NULL;
    int r;
    if (call->tool->inputs && !mcp_check_arguments(call->tool, call->arguments, &faults))
        r = error_set(&err, ERROR_INVALID, "the arguments of %s do not fit:\n%s", call->tool->name,
                      faults);
    else
        r = call->tool->call(call, &result, &err);
    if (r < 0)
        add_failure(call, &result, &err);
    if (r != MCP_ASKED && call->server->offer->called)
        call->server->offer->called(call, &result);
    if (r < 0 && result.is_fault)
        r = rpc_fail(fault, RPC_INTERNAL_ERROR, "%s", error_message(&err));
    else if (r == 0 && *result.lasting.id)
        mcp_write_lasting(call, &result.lasting, members);
    else if (r != MCP_ASKED)
        mcp_write_tool_result(&result, members);
    if (r < 0 && !result.is_fault)
        r = 0;
    mcp_result_done(&result);
    return r;
}

int mcp_refuse_client(const char *needs, struct rpc_fault *fault)
{
    struct value_builder fields = {0}, required = {0}, extensions = {0}, none = {0};
    bool is_extension = strchr(needs, '/') != NULL;
    value_builder_set(is_extension ? &extensions : &required, needs, value_builder_map(&none));
    if (is_extension)
        value_builder_set(&required, "extensions", value_builder_map(&extensions));
    value_builder_set(&fields, "requiredCapabilities", value_builder_map(&required));
    return rpc_fail_with(fault, MCP_MISSING_CAPABILITY, value_builder_map(&fields),
                         "this needs a client that is capable of %s", needs);
}

static int call_found_tool(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    if (mcp_take_state(call, fault) < 0)
        return -1;
    if (call->tool->tasking && mcp_knows_tasks(call))
        return mcp_call_as_task(call, members, fault);
    int r = mcp_run_tool(call, members, fault);
    if (r == MCP_ASKED)
        mcp_write_asked(call, members);
    return r < 0 ? r : 0;
}

static int refuse_tool(struct mcp_call *call, struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    CLEANUP(error_done) struct error why = {0};
    if (offer->refused)
        offer->refused(call, &why);
    return rpc_fail(fault, RPC_INVALID_PARAMS,
                    "the tool \"%s\" is not for you: %s. tools/list says which are",
                    call->tool->name, error_message(&why));
}

static int call_tool(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    const char *name = value_get_text(call->params, "name");
    struct value *arguments = value_get(call->params, "arguments");
    call->tool = name ? mcp_find_tool(call->server, name) : NULL;
    if (!name)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "tools/call needs the tool's name");
    if (!call->tool)
        return rpc_fail(fault, RPC_INVALID_PARAMS,
                        "there is no tool \"%.100s\": tools/list says which there are", name);
    if (offer->has_tool && !offer->has_tool(call->exchange->caller, call->tool))
        return refuse_tool(call, fault);
    if (call->tool->needs && !mcp_client_can(call, call->tool->needs))
        return mcp_refuse_client(call->tool->needs, fault);
    if (call->tool->tasking == MCP_ONLY_TASK && !mcp_knows_tasks(call))
        return mcp_refuse_client(MCP_TASKS, fault);
    if (mcp_check_task(call, fault) < 0)
        return -1;
    if (arguments && value_kind(arguments) != VALUE_MAP)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "arguments must be an object");
    struct value_builder none = {0};
    CLEANUP(value_unrefp) struct value *empty = arguments ? NULL : value_builder_map(&none);
    call->arguments = arguments ? arguments : empty;
    return call_found_tool(call, members, fault);
}

/* --- Resources, prompts, completion --- */

/* Whether a URI is what a template makes; {name} stands for one part of a path. */
static bool fits_template(const char *template, const char *uri)
{
    while (*template && *uri) {
        if (*template != '{') {
            if (*template ++ != *uri++)
                return false;
            continue;
        }
        size_t length = strcspn(uri, "/");
        template += strcspn(template, "}");
        template += *template == '}';
        if (length == 0)
            return false;
        uri += length;
    }
    return !*template && !*uri;
}

const struct mcp_resource *mcp_find_resource(const struct mcp_offer *offer, const char *uri)
{
    for (size_t i = 0; i < offer->n_resources; i++) {
        const struct mcp_resource *resource = &offer->resources[i];
        if (resource->is_template ? fits_template(resource->uri, uri)
                                  : text_equal(resource->uri, uri))
            return resource;
    }
    return NULL;
}

int mcp_refuse_uri(const char *uri, const char *why, struct rpc_fault *fault)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "uri", uri);
    return rpc_fail_with(fault, RPC_INVALID_PARAMS, value_builder_map(&fields), "%s", why);
}

static int read_resource(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const char *uri = value_get_text(call->params, "uri");
    const struct mcp_resource *resource = uri ? mcp_find_resource(call->server->offer, uri) : NULL;
    struct mcp_result result = {0};
    CLEANUP(error_done) struct error err = {0};
    if (!uri)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "resources/read needs a uri");
    if (!resource)
        return mcp_refuse_uri(uri,
                              "there is no such resource: resources/list and "
                              "resources/templates/list say which there are",
                              fault);
    int r = resource->read(call, uri, &result, &err);
    if (r < 0)
        r = mcp_refuse_uri(uri, error_message(&err), fault);
    else
        strbuf_addf(members, "\"contents\":[%s]", strbuf_text(&result.content));
    mcp_result_done(&result);
    return r;
}

static const struct mcp_prompt *find_prompt(const struct mcp_offer *offer, const char *name)
{
    for (size_t i = 0; i < offer->n_prompts; i++)
        if (text_equal(offer->prompts[i].name, name))
            return &offer->prompts[i];
    return NULL;
}

static int check_prompt_arguments(const struct mcp_prompt *prompt, const struct value *arguments,
                                  struct rpc_fault *fault)
{
    for (const struct mcp_argument *at = prompt->arguments; at && at->name; at++)
        if (at->is_required && !value_get_text(arguments, at->name))
            return rpc_fail(fault, RPC_INVALID_PARAMS, "the prompt %s needs %s: %s", prompt->name,
                            at->name, at->description);
    return 0;
}

static int fail_without_prompt(struct rpc_fault *fault)
{
    return rpc_fail(fault, RPC_INVALID_PARAMS,
                    "there is no such prompt: prompts/list says which there are");
}

static int get_prompt(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const char *name = value_get_text(call->params, "name");
    const struct mcp_prompt *prompt = name ? find_prompt(call->server->offer, name) : NULL;
    struct mcp_result result = {0};
    CLEANUP(error_done) struct error err = {0};
    call->arguments = value_get(call->params, "arguments");
    if (!prompt)
        return fail_without_prompt(fault);
    if (check_prompt_arguments(prompt, call->arguments, fault) < 0 ||
        mcp_take_state(call, fault) < 0)
        return -1;
    int r = prompt->get(call, &result, &err);
    if (r == MCP_ASKED) {
        mcp_write_asked(call, members);
        r = 0;
    } else if (r < 0) {
        rpc_fail(fault, RPC_INVALID_PARAMS, "%s", error_message(&err));
    } else {
        mcp_write_field(members, "description",
                        result.description ? result.description : prompt->description);
        strbuf_addf(members, "%s\"messages\":[%s]", members->length ? "," : "",
                    strbuf_text(&result.content));
    }
    mcp_result_done(&result);
    return r;
}

static int complete(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    const struct value *reference = value_get(call->params, "ref");
    const struct value *argument = value_get(call->params, "argument");
    const char *name = value_get_text(reference, "name"), *uri = value_get_text(reference, "uri");
    const char *field = value_get_text(argument, "name"),
               *typed = value_get_text(argument, "value");
    struct value_builder values = {0};
    if ((!name && !uri) || !field || !typed)
        return rpc_fail(
            fault, RPC_INVALID_PARAMS,
            "completion/complete needs ref with name or uri, and argument with name and value");
    if (name && !find_prompt(offer, name))
        return fail_without_prompt(fault);
    if (offer->complete)
        offer->complete(call, name ? name : uri, field, typed, &values);
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&values);
    strbuf_addf(members,
                "\"completion\":{\"hasMore\":false,\"total\":%zu,\"values\":", value_count(list));
    json_write(members, list);
    strbuf_add_char(members, '}');
    return 0;
}

/* --- The methods --- */

static const struct method methods[] = {
    {"tools/call", METHOD_MODERN | METHOD_LEGACY, call_tool},
    {"tools/list", METHOD_MODERN | METHOD_LEGACY | METHOD_KEPT, mcp_list_tools},
    {"server/discover", METHOD_MODERN | METHOD_KEPT | METHOD_INTRODUCES, discover},
    {"initialize", METHOD_LEGACY | METHOD_BEGINS, initialize},
    {"ping", METHOD_LEGACY, answer_nothing},
    {"resources/list", METHOD_MODERN | METHOD_LEGACY | METHOD_LOOKED_AT, mcp_list_resources},
    {"resources/templates/list", METHOD_MODERN | METHOD_LEGACY | METHOD_KEPT, mcp_list_templates},
    {"resources/read", METHOD_MODERN | METHOD_LEGACY | METHOD_LOOKED_AT, read_resource},
    {"resources/subscribe", METHOD_LEGACY, mcp_subscribe},
    {"resources/unsubscribe", METHOD_LEGACY, mcp_unsubscribe},
    {"prompts/list", METHOD_MODERN | METHOD_LEGACY | METHOD_KEPT, mcp_list_prompts},
    {"prompts/get", METHOD_MODERN | METHOD_LEGACY, get_prompt},
    {"completion/complete", METHOD_MODERN | METHOD_LEGACY, complete},
    {"logging/setLevel", METHOD_LEGACY, answer_nothing},
    {"tasks/get", METHOD_MODERN | METHOD_LEGACY, mcp_get_lasting},
    {"tasks/result", METHOD_LEGACY, mcp_await_lasting},
    {"tasks/list", METHOD_LEGACY, mcp_list_lasting},
    {"tasks/update", METHOD_MODERN, mcp_update_task},
    {"tasks/cancel", METHOD_MODERN | METHOD_LEGACY, mcp_cancel_lasting},
    {"subscriptions/listen", METHOD_MODERN | METHOD_LISTENS, mcp_listen},
};

const struct method *mcp_find_method(const char *name, bool is_modern)
{
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
        if (text_equal(methods[i].name, name))
            return methods[i].flags & (is_modern ? METHOD_MODERN : METHOD_LEGACY) ? &methods[i]
                                                                                  : NULL;
    return NULL;
}

int mcp_refuse_version(const char *wanted, struct rpc_fault *fault)
{
    struct value_builder fields = {0}, supported = {0};
    value_builder_append(&supported, value_string(MCP_MODERN_VERSION));
    for (size_t i = 0; i < ARRAY_LENGTH(legacy_versions); i++)
        value_builder_append(&supported, value_string(legacy_versions[i]));
    value_builder_set(&fields, "supported", value_builder_list(&supported));
    value_builder_set_string(&fields, "requested", wanted);
    return rpc_fail_with(fault, MCP_UNSUPPORTED_VERSION, value_builder_map(&fields),
                         "this server does not speak %.40s", wanted);
}
