#include "mcp/rpc.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

#include <stdarg.h>
#include <string.h>

/* What no tool's arguments come near, and a stack holds. */
enum { MAX_DEPTH = 64 };

void rpc_fault_done(struct rpc_fault *fault)
{
    mem_free(fault->message);
    value_unref(fault->data);
    *fault = (struct rpc_fault){0};
}

__attribute__((format(printf, 4, 0))) static int fail(struct rpc_fault *fault, int code,
                                                      struct value *take_data, const char *format,
                                                      va_list arguments)
{
    struct strbuf message = {0};
    strbuf_addv(&message, format, arguments);
    rpc_fault_done(fault);
    *fault = (struct rpc_fault){code, strbuf_take(&message), take_data};
    return -1;
}

int rpc_fail(struct rpc_fault *fault, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(fault, code, NULL, format, arguments);
    va_end(arguments);
    return -1;
}

int rpc_fail_with(struct rpc_fault *fault, int code, struct value *take_data, const char *format,
                  ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(fault, code, take_data, format, arguments);
    va_end(arguments);
    return -1;
}

/* --- Reading --- */

void rpc_message_done(struct rpc_message *message)
{
    value_unref(message->body);
    *message = (struct rpc_message){0};
}

/* Beyond it a whole number of JSON may have been rounded when it was read. */
static const int64_t largest_id = ((int64_t)1 << 53) - 1;

/* Only what can be given back as it came. */
static bool is_id(const struct value *value)
{
    if (!value || value_kind(value) != VALUE_INTEGER)
        return value && value_kind(value) == VALUE_STRING;
    int64_t number = value_to_integer(value);
    return number >= -largest_id && number <= largest_id;
}

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

static int read_response(struct rpc_message *message, struct rpc_fault *fault)
{
    struct value *failure = value_get(message->body, "error");
    message->kind = RPC_RESPONSE;
    message->result = value_get(message->body, "result");
    if (!message->id || (message->result != NULL) == (failure != NULL))
        return rpc_fail(fault, RPC_INVALID_REQUEST,
                        "a message needs a method, or an id with either a result or an error");
    return 0;
}

static int read_call(struct rpc_message *message, struct rpc_fault *fault)
{
    struct value *id = value_get(message->body, "id");
    message->kind = id ? RPC_REQUEST : RPC_NOTIFICATION;
    if (id && !message->id)
        return rpc_fail(fault, RPC_INVALID_REQUEST,
                        "an id is a string or a whole number of at most 2^53 - 1");
    message->params = value_get(message->body, "params");
    if (message->params && !is_map(message->params))
        return rpc_fail(fault, RPC_INVALID_REQUEST, "params is an object where it is there");
    return 0;
}

/* What is JSON and still none that is taken is a request that is wrong: it knows its number. */
static int refuse_text(const char *text, size_t size, const struct error *err,
                       struct rpc_message *message, struct rpc_fault *fault)
{
    message->body = json_find_member(text, size, "id");
    if (!is_id(message->body))
        return rpc_fail(fault, RPC_PARSE_ERROR, "this is no JSON: %s", error_message(err));
    message->id = message->body;
    return rpc_fail(fault, RPC_INVALID_REQUEST,
                    "a message nests at most %d deep, and no text has a "
                    "zero byte in it: %s",
                    MAX_DEPTH, error_message(err));
}

int rpc_read(const char *text, size_t size, struct rpc_message *ret_message,
             struct rpc_fault *fault)
{
    CLEANUP(error_done) struct error err = {0};
    *ret_message = (struct rpc_message){0};
    if (json_read_foreign(text, size, MAX_DEPTH, &ret_message->body, &err) < 0)
        return refuse_text(text, size, &err, ret_message, fault);
    const struct value *body = ret_message->body;
    if (!is_map(body))
        return rpc_fail(fault, RPC_INVALID_REQUEST,
                        "a message is one JSON object; batches went with 2025-06-18");
    struct value *id = value_get(body, "id");
    ret_message->id = is_id(id) ? id : NULL;
    if (!text_equal_or_null(value_get_text(body, "jsonrpc"), "2.0"))
        return rpc_fail(fault, RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
    ret_message->method = value_get_text(body, "method");
    return ret_message->method ? read_call(ret_message, fault) : read_response(ret_message, fault);
}

/* --- Writing --- */

static void begin(struct strbuf *buffer, const struct value *id)
{
    strbuf_add(buffer, "{\"jsonrpc\":\"2.0\",\"id\":");
    if (id)
        json_write(buffer, id);
    else
        strbuf_add(buffer, "null");
}

char *rpc_result_text(const struct value *id, const char *members)
{
    struct strbuf buffer = {0};
    size_t length = strlen(members);
    strbuf_reserve(&buffer, length + 64);
    begin(&buffer, id);
    strbuf_add(&buffer, ",\"result\":{");
    strbuf_add_n(&buffer, members, length);
    strbuf_add(&buffer, "}}");
    return strbuf_take(&buffer);
}

char *rpc_fault_text(const struct value *id, const struct rpc_fault *fault)
{
    struct strbuf buffer = {0};
    begin(&buffer, id);
    strbuf_addf(&buffer, ",\"error\":{\"code\":%d,\"message\":", fault->code);
    json_write_string(&buffer, fault->message, strlen(fault->message));
    if (fault->data) {
        strbuf_add(&buffer, ",\"data\":");
        json_write_foreign(&buffer, fault->data);
    }
    strbuf_add(&buffer, "}}");
    return strbuf_take(&buffer);
}

char *rpc_notification_text(const char *method, const char *params)
{
    return string_format("{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s}", method, params);
}

char *rpc_request_text(const char *id, const char *method, const char *params)
{
    return string_format("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"%s\",\"params\":%s}", id,
                         method, params);
}
