/* What is offered, as the lists have it, and arguments against what a tool takes. */
#include "base/memory.h"
#include "base/text.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <inttypes.h>
#include <string.h>

/* --- Texts --- */

static void write_name(struct strbuf *buffer, const char *name)
{
    if (buffer->length && !strchr("{[", buffer->text[buffer->length - 1]))
        strbuf_add_char(buffer, ',');
    if (name) {
        json_write_string(buffer, name, strlen(name));
        strbuf_add_char(buffer, ':');
    }
}

void mcp_write_field(struct strbuf *buffer, const char *name, const char *text_or_null)
{
    if (!text_or_null)
        return;
    write_name(buffer, name);
    json_write_string(buffer, text_or_null, strlen(text_or_null));
}

static void write_raw(struct strbuf *buffer, const char *name, const char *json_or_null)
{
    if (!json_or_null)
        return;
    write_name(buffer, name);
    strbuf_add(buffer, json_or_null);
}

static void write_flag(struct strbuf *buffer, const char *name, bool flag)
{
    write_raw(buffer, name, flag ? "true" : "false");
}

/* --- Tools --- */

static const char *const kind_texts[] = {
    [MCP_TEXT] = "\"type\":\"string\"",
    [MCP_INTEGER] = "\"type\":\"integer\"",
    [MCP_FLAG] = "\"type\":\"boolean\"",
    [MCP_TEXTS] = "\"type\":\"array\",\"items\":{\"type\":\"string\"}",
    [MCP_SETTINGS] =
        ("\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"type\":\"string\"},"
         "{\"type\":\"number\"},{\"type\":\"boolean\"}]}"),
};

static void write_choices(struct strbuf *buffer, const char *choices)
{
    write_name(buffer, "enum");
    strbuf_add_char(buffer, '[');
    for (const char *at = choices; *at; at += strspn(at, "|")) {
        size_t length = strcspn(at, "|");
        write_name(buffer, NULL);
        json_write_string(buffer, at, length);
        at += length;
    }
    strbuf_add_char(buffer, ']');
}

static void write_input(struct strbuf *buffer, const struct mcp_input *input)
{
    write_name(buffer, input->name);
    strbuf_addf(buffer, "{%s", kind_texts[input->kind]);
    mcp_write_field(buffer, "description", input->description);
    if (input->choices)
        write_choices(buffer, input->choices);
    if (input->kind == MCP_INTEGER && input->highest > input->lowest)
        strbuf_addf(buffer, ",\"minimum\":%" PRId64 ",\"maximum\":%" PRId64, input->lowest,
                    input->highest);
    write_raw(buffer, "default", input->default_value);
    strbuf_add_char(buffer, '}');
}

static void write_input_schema(struct strbuf *buffer, const struct mcp_input *inputs)
{
    size_t n_required = 0;
    strbuf_add(buffer, "{\"type\":\"object\",\"properties\":{");
    for (const struct mcp_input *input = inputs; input->name; input++)
        write_input(buffer, input);
    strbuf_add_char(buffer, '}');
    for (const struct mcp_input *input = inputs; input->name; input++)
        if (input->is_required) {
            strbuf_add(buffer, n_required++ ? "," : ",\"required\":[");
            json_write_string(buffer, input->name, strlen(input->name));
        }
    strbuf_add(buffer, n_required ? "],\"additionalProperties\":false}"
                                  : ",\"additionalProperties\":false}");
}

char *mcp_tool_text(const struct mcp_tool *tool)
{
    struct strbuf buffer = {0};
    strbuf_add_char(&buffer, '{');
    mcp_write_field(&buffer, "name", tool->name);
    mcp_write_field(&buffer, "title", tool->title);
    mcp_write_field(&buffer, "description", tool->description);
    write_name(&buffer, "inputSchema");
    if (tool->inputs)
        write_input_schema(&buffer, tool->inputs);
    else
        strbuf_add(&buffer, tool->input_schema);
    write_raw(&buffer, "outputSchema", tool->output_schema);
    strbuf_add(&buffer, ",\"annotations\":{");
    write_flag(&buffer, "readOnlyHint", tool->is_read_only);
    write_flag(&buffer, "destructiveHint", tool->is_destructive);
    write_flag(&buffer, "idempotentHint", tool->is_idempotent);
    write_flag(&buffer, "openWorldHint", tool->is_open_world);
    strbuf_add_char(&buffer, '}');
    if (tool->is_lasting)
        strbuf_add(&buffer, ",\"execution\":{\"taskSupport\":\"optional\"}");
    write_raw(&buffer, "_meta", tool->meta);
    strbuf_add_char(&buffer, '}');
    return strbuf_take(&buffer);
}

/* --- Lists --- */

int mcp_list_tools(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    if (mcp_refuse_cursor(call, fault) < 0)
        return -1;
    strbuf_add(members, "\"tools\":[");
    for (size_t i = 0; i < offer->n_tools; i++)
        if (!offer->has_tool || offer->has_tool(call->exchange->caller, &offer->tools[i]))
            write_raw(members, NULL, call->server->tool_texts[i]);
    strbuf_add_char(members, ']');
    return 0;
}

static void write_resources(const struct mcp_call *call, bool templates, struct strbuf *members)
{
    const struct mcp_offer *offer = call->server->offer;
    for (size_t i = 0; i < offer->n_resources; i++) {
        const struct mcp_resource *resource = &offer->resources[i];
        if (resource->is_template != templates)
            continue;
        write_raw(members, NULL, "{");
        mcp_write_field(members, templates ? "uriTemplate" : "uri", resource->uri);
        mcp_write_field(members, "name", resource->name);
        mcp_write_field(members, "title", resource->title);
        mcp_write_field(members, "description", resource->description);
        mcp_write_field(members, "mimeType", resource->mime_type);
        if (mcp_knows_icons(call))
            mcp_write_icon(offer, resource->name, members);
        strbuf_add_char(members, '}');
    }
}

/* Those that are always there come first, and do not count for the page. */
int mcp_list_resources(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *after = NULL;
    if (mcp_read_cursor(call, &after, fault) < 0)
        return -1;
    strbuf_add(members, "\"resources\":[");
    if (!after)
        write_resources(call, false, members);
    return mcp_list_present(call, after, members, fault);
}

int mcp_list_templates(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    if (mcp_refuse_cursor(call, fault) < 0)
        return -1;
    strbuf_add(members, "\"resourceTemplates\":[");
    write_resources(call, true, members);
    strbuf_add_char(members, ']');
    return 0;
}

static void write_arguments(struct strbuf *members, const struct mcp_argument *arguments)
{
    write_raw(members, "arguments", "[");
    for (const struct mcp_argument *argument = arguments; argument->name; argument++) {
        write_raw(members, NULL, "{");
        mcp_write_field(members, "name", argument->name);
        mcp_write_field(members, "description", argument->description);
        write_flag(members, "required", argument->is_required);
        strbuf_add_char(members, '}');
    }
    strbuf_add_char(members, ']');
}

int mcp_list_prompts(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    if (mcp_refuse_cursor(call, fault) < 0)
        return -1;
    strbuf_add(members, "\"prompts\":[");
    for (size_t i = 0; i < offer->n_prompts; i++) {
        const struct mcp_prompt *prompt = &offer->prompts[i];
        write_raw(members, NULL, "{");
        mcp_write_field(members, "name", prompt->name);
        mcp_write_field(members, "title", prompt->title);
        mcp_write_field(members, "description", prompt->description);
        if (prompt->arguments)
            write_arguments(members, prompt->arguments);
        if (mcp_knows_icons(call))
            mcp_write_icon(offer, prompt->name, members);
        strbuf_add_char(members, '}');
    }
    strbuf_add_char(members, ']');
    return 0;
}

/* --- Arguments --- */

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; *at; at += strspn(at, "|")) {
        size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, text, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static bool are_all(const struct value *items, unsigned int kinds)
{
    for (size_t i = 0; i < value_count(items); i++)
        if (!(kinds & 1u << value_kind(value_at(items, i))))
            return false;
    return true;
}

static void check_text(const struct mcp_input *input, const struct value *value,
                       struct strbuf *faults)
{
    if (value_kind(value) != VALUE_STRING)
        strbuf_addf(faults, "%s: must be a text\n", input->name);
    else if (input->choices && !is_choice(input->choices, value_text(value)))
        strbuf_addf(faults, "%s: must be one of %s\n", input->name, input->choices);
}

static void check_integer(const struct mcp_input *input, const struct value *value,
                          struct strbuf *faults)
{
    bool is_bounded = input->highest > input->lowest;
    if (value_kind(value) != VALUE_INTEGER)
        strbuf_addf(faults, "%s: must be a whole number\n", input->name);
    else if (is_bounded &&
             (value_to_integer(value) < input->lowest || value_to_integer(value) > input->highest))
        strbuf_addf(faults, "%s: must be from %" PRId64 " to %" PRId64 "\n", input->name,
                    input->lowest, input->highest);
}

static void check_input(const struct mcp_input *input, const struct value *value,
                        struct strbuf *faults)
{
    const unsigned int scalars =
        1u << VALUE_STRING | 1u << VALUE_INTEGER | 1u << VALUE_DECIMAL | 1u << VALUE_BOOL;
    switch (input->kind) {
    case MCP_TEXT:
        check_text(input, value, faults);
        break;
    case MCP_INTEGER:
        check_integer(input, value, faults);
        break;
    case MCP_FLAG:
        if (value_kind(value) != VALUE_BOOL)
            strbuf_addf(faults, "%s: must be true or false\n", input->name);
        break;
    case MCP_TEXTS:
        if (value_kind(value) != VALUE_LIST || !are_all(value, 1u << VALUE_STRING))
            strbuf_addf(faults, "%s: must be a list of texts\n", input->name);
        break;
    case MCP_SETTINGS:
        if (value_kind(value) != VALUE_MAP || !are_all(value, scalars))
            strbuf_addf(faults, "%s: must be an object of texts, numbers, true or false\n",
                        input->name);
        break;
    }
}

static const struct mcp_input *find_input(const struct mcp_input *inputs, const char *name)
{
    for (; inputs->name; inputs++)
        if (text_equal(inputs->name, name))
            return inputs;
    return NULL;
}

static void write_names(const struct mcp_input *inputs, struct strbuf *faults)
{
    for (const struct mcp_input *input = inputs; input->name; input++)
        strbuf_addf(faults, "%s%s", input == inputs ? "" : ", ", input->name);
}

bool mcp_check_arguments(const struct mcp_tool *tool, const struct value *arguments,
                         char **ret_faults)
{
    struct strbuf faults = {0};
    for (const struct mcp_input *input = tool->inputs; input->name; input++)
        if (input->is_required && !value_get(arguments, input->name))
            strbuf_addf(&faults, "%s: is missing: %s\n", input->name, input->description);
    for (size_t i = 0; i < value_count(arguments); i++) {
        const struct mcp_input *input = find_input(tool->inputs, value_key_at(arguments, i));
        if (input) {
            check_input(input, value_at(arguments, i), &faults);
            continue;
        }
        strbuf_addf(&faults,
                    "%s: is none of its arguments, which are: ", value_key_at(arguments, i));
        write_names(tool->inputs, &faults);
        strbuf_add_char(&faults, '\n');
    }
    bool fits = faults.length == 0;
    *ret_faults = fits ? NULL : strbuf_take(&faults);
    return fits;
}
