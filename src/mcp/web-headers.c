#include "mcp/web-headers.h"

#include "base/memory.h"
#include "base/text.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <string.h>

/* --- Who may come --- */

/* The name in "name:port", "[::1]:port" or without a port; the caller frees it. */
static char *name_of(const char *authority)
{
    const char *end = *authority == '[' ? strchr(authority, ']') : NULL;
    size_t length = end ? (size_t)(end - authority) + 1 : strcspn(authority, ":");
    return string_copy_n(authority, length);
}

static bool is_listed(const char *const *list, const char *text)
{
    for (; list && *list; list++)
        if (strcasecmp(*list, text) == 0)
            return true;
    return false;
}

static bool is_this_machine(const char *name)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]", NULL};
    return is_listed(names, name);
}

static bool is_origin_good(const char *origin, const char *const *origins)
{
    const char *authority = strstr(origin, "://");
    if (is_listed(origins, origin))
        return true;
    if (!authority)
        return false;
    CLEANUP(mem_freep) char *name = name_of(authority + 3);
    return is_this_machine(name);
}

const char *web_check_host(const struct http_request *request, const char *const *hosts)
{
    const char *host = http_request_header(request, "Host");
    CLEANUP(mem_freep) char *name = host ? name_of(host) : NULL;
    if (!name || !(is_this_machine(name) || is_listed(hosts, name)))
        return "this server is not reached by that name: only by those of this machine, and those "
               "that its operator lists";
    return NULL;
}

const char *web_check_origin(const struct http_request *request, const char *const *hosts,
                             const char *const *origins)
{
    const char *origin = http_request_header(request, "Origin");
    const char *why = web_check_host(request, hosts);
    if (why)
        return why;
    if (origin && !is_origin_good(origin, origins))
        return "pages of that origin may not ask this server";
    return NULL;
}

static bool has_type(const char *header, const char *type)
{
    size_t length = strlen(type);
    for (const char *at = header; at; at = strchr(at, ',')) {
        at += strspn(at, ", \t");
        if (strncasecmp(at, type, length) == 0 && strchr(",; \t", at[length]))
            return true;
    }
    return false;
}

const char *web_check_content(const struct http_request *request)
{
    const char *type = http_request_header(request, "Content-Type");
    const char *accept = http_request_header(request, "Accept");
    if (!type || !has_type(type, "application/json"))
        return "Content-Type must be application/json";
    if (accept && !has_type(accept, "application/json") && !has_type(accept, "application/*") &&
        !has_type(accept, "*/*"))
        return "Accept must name application/json and text/event-stream";
    return NULL;
}

/* --- What it says of its message --- */

bool web_is_modern(const struct http_request *request, const struct rpc_message *message)
{
    const char *version = http_request_header(request, "MCP-Protocol-Version");
    return text_equal_or_null(version, MCP_MODERN_VERSION) || mcp_is_modern(message);
}

static int mismatch(struct rpc_fault *fault, const char *header, const char *wanted)
{
    return rpc_fail(fault, MCP_HEADER_MISMATCH, "the header %s must be there once and say %.200s",
                    header, wanted);
}

/* "=?base64?TEXT?=" stands for what a header cannot carry. The caller frees it; NULL: it is none.
 */
static char *decode_value(const char *value)
{
    static const char prefix[] = "=?base64?", suffix[] = "?=";
    size_t length = strlen(value), before = sizeof(prefix) - 1, after = sizeof(suffix) - 1,
           size = 0;
    if (!text_starts_with(value, prefix) || !text_ends_with(value, suffix) ||
        length < before + after)
        return string_copy(value);
    char *decoded = mem_zeroed(1, length);
    if (sodium_base642bin((unsigned char *)decoded, length - 1, value + before,
                          length - before - after, NULL, &size, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        text_is_utf8(decoded, size))
        return decoded;
    mem_free(decoded);
    return NULL;
}

static int check_one(const struct http_request *request, const char *header, const char *wanted,
                     struct rpc_fault *fault)
{
    const char *value = http_request_header(request, header);
    CLEANUP(mem_freep) char *decoded = value ? decode_value(value) : NULL;
    if (!decoded || http_request_header_count(request, header) != 1 || !text_equal(decoded, wanted))
        return mismatch(fault, header, wanted);
    return 0;
}

/* What Mcp-Name must say, by the method; NULL: nothing. */
static const char *name_in(const struct rpc_message *message)
{
    const char *method = message->method;
    if (text_equal(method, "tools/call") || text_equal(method, "prompts/get"))
        return value_get_text(message->params, "name");
    if (text_equal(method, "resources/read"))
        return value_get_text(message->params, "uri");
    if (text_equal(method, "tasks/get") || text_equal(method, "tasks/update") ||
        text_equal(method, "tasks/cancel"))
        return value_get_text(message->params, "taskId");
    return NULL;
}

/* --- Arguments that a header repeats (x-mcp-header) --- */

/* What stands in the header for an argument; the caller frees it. NULL: no header stands for it. */
static char *mirrored_text(const struct value *argument)
{
    if (!argument)
        return NULL;
    switch (value_kind(argument)) {
    case VALUE_STRING:
        return string_copy(value_text(argument));
    case VALUE_INTEGER:
    case VALUE_BOOL:
        return json_text(argument);
    default:
        return NULL;
    }
}

static int check_argument(const struct http_request *request, const char *name,
                          const struct value *argument, struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *header = string_format("Mcp-Param-%s", name);
    CLEANUP(mem_freep) char *text = mirrored_text(argument);
    if (text)
        return check_one(request, header, text, fault);
    if (http_request_header_count(request, header) == 0)
        return 0;
    return rpc_fail(fault, MCP_HEADER_MISMATCH,
                    "the header %s is there, and the argument that it repeats is not", header);
}

static int check_arguments(const struct http_request *request, const struct value *schema,
                           const struct value *arguments, struct rpc_fault *fault)
{
    const struct value *properties = value_get(schema, "properties");
    for (size_t i = 0; properties && i < value_count(properties); i++) {
        const struct value *property = value_at(properties, i);
        const struct value *argument = value_get(arguments, value_key_at(properties, i));
        const char *name = value_get_text(property, "x-mcp-header");
        if (name && check_argument(request, name, argument, fault) < 0)
            return -1;
        if (check_arguments(request, property, argument, fault) < 0)
            return -1;
    }
    return 0;
}

static int check_modern(const struct mcp_server *server, const struct http_request *request,
                        const struct rpc_message *message, struct rpc_fault *fault)
{
    const struct value *meta = value_get(message->params, "_meta");
    const char *version = value_get_text(meta, META_VERSION);
    if (!message->method)
        return rpc_fail(fault, RPC_INVALID_REQUEST, "a client of this era sends no responses");
    if (version && check_one(request, "MCP-Protocol-Version", version, fault) < 0)
        return -1;
    if (check_one(request, "Mcp-Method", message->method, fault) < 0)
        return -1;
    const char *name = name_in(message);
    if (!name)
        return 0;
    if (check_one(request, "Mcp-Name", name, fault) < 0)
        return -1;
    const struct value *schema =
        text_equal(message->method, "tools/call") ? mcp_schema_of(server, name) : NULL;
    return check_arguments(request, schema, value_get(message->params, "arguments"), fault);
}

/* Any that was ever spoken, since clients mix them up; not one that nobody knows. */
static int check_legacy(const struct http_request *request, struct rpc_fault *fault)
{
    const char *version = http_request_header(request, "MCP-Protocol-Version");
    static const char *const known[] = {"2024-10-07", "2024-11-05",       "2025-03-26",
                                        "2025-06-18", MCP_LEGACY_VERSION, NULL};
    if (!version || is_listed(known, version))
        return 0;
    return mcp_refuse_version(version, fault);
}

int web_check_headers(const struct mcp_server *server, const struct http_request *request,
                      const struct rpc_message *message, bool is_modern, struct rpc_fault *fault)
{
    return is_modern ? check_modern(server, request, message, fault) : check_legacy(request, fault);
}
