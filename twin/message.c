/* Messages on the twin's socket: reading and checking them, without doing anything. */
#include "twin/message.h"

#include "base/text.h"
#include "model/json.h"
#include "twin/manifest.h"

#include <assert.h>
#include <string.h>

static const char *const verb_names[VERB_COUNT] = {
    [VERB_PUT] = "put",         [VERB_DELETE] = "delete", [VERB_GET] = "get",
    [VERB_LIST] = "list",       [VERB_COMMIT] = "commit", [VERB_HOLD] = "hold",
    [VERB_RELEASE] = "release", [VERB_STATUS] = "status", [VERB_ACT] = "act",
    [VERB_MEASURE] = "measure", [VERB_ENTER] = "enter",   [VERB_DOWN] = "down",
};

const char *message_verb_to_string(enum message_verb verb)
{
    assert(verb < VERB_COUNT);
    return verb_names[verb];
}

void request_done(struct request *request)
{
    value_unref(request->resource);
    mem_free(request->uid);
    mem_free(request->host);
    mem_free(request->action);
    mem_free(request->member);
    *request = (struct request){0};
}

static bool is_deeper(const struct value *value, unsigned int depth)
{
    enum value_kind kind = value_kind(value);
    if (kind != VALUE_LIST && kind != VALUE_MAP)
        return false;
    if (depth == 0)
        return true;
    for (size_t i = 0; i < value_count(value); i++) {
        if (is_deeper(value_at(value, i), depth - 1))
            return true;
    }
    return false;
}

static int read_verb(const struct value *message, enum message_verb *ret_verb, struct error *err)
{
    const char *name = value_get_text(message, "verb");
    if (!name)
        return error_set(err, ERROR_INVALID, "the request has no verb");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (text_equal(verb_names[i], name)) {
            *ret_verb = (enum message_verb)i;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID, "there is no such verb");
}

static int read_text(const struct value *message, const char *name, size_t longest, char **ret_text,
                     struct error *err)
{
    const char *text = value_get_text(message, name);
    if (!text || !*text || strlen(text) > longest)
        return error_set(err, ERROR_INVALID, "%s is not a text of 1 to %zu bytes", name, longest);
    *ret_text = string_copy(text);
    return 0;
}

static int read_uid(const struct value *message, struct request *request, struct error *err)
{
    return read_text(message, "uid", 128, &request->uid, err);
}

static int read_action(const struct value *message, struct request *request, struct error *err)
{
    int r = read_uid(message, request, err);
    if (r == 0)
        r = read_text(message, "action", 64, &request->action, err);
    return r < 0 ? r : read_text(message, "member", 255, &request->member, err);
}

static int read_resource(const struct value *message, struct request *request, struct error *err)
{
    struct value *resource = value_get(message, "resource");
    int r = manifest_check_resource(resource, err);
    if (r == 0 && value_get(resource, "operational"))
        r = error_set(err, ERROR_INVALID, "what is operational is the twin's own");
    if (r == 0)
        request->resource = value_ref(resource);
    return r;
}

static int read_wipe(const struct value *message, struct request *request, struct error *err)
{
    const struct value *wipe = value_get(message, "wipe");
    if (wipe && value_kind(wipe) != VALUE_BOOL)
        return error_set(err, ERROR_INVALID, "wipe is neither true nor false");
    request->wipe = wipe && value_to_bool(wipe);
    return 0;
}

static int read_host(const struct value *message, struct request *request, struct error *err)
{
    return read_text(message, "host", 255, &request->host, err);
}

static int read_fields(const struct value *message, struct request *request, struct error *err)
{
    switch (request->verb) {
    case VERB_PUT:
        return read_resource(message, request, err);
    case VERB_DELETE:
    case VERB_GET:
        return read_uid(message, request, err);
    case VERB_ACT:
        return read_action(message, request, err);
    case VERB_ENTER:
        return read_host(message, request, err);
    case VERB_DOWN:
        return read_wipe(message, request, err);
    default:
        return 0;
    }
}

int request_read(const char *line, size_t length, struct request *ret_request, struct error *err)
{
    CLEANUP(value_unrefp) struct value *message = NULL;
    struct request request = {0};
    *ret_request = request;
    int r = json_read(line, length, &message, err);
    if (r < 0)
        return r;
    if (value_kind(message) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "a request is a map");
    const struct value *id = value_get(message, "id");
    if (!id || value_kind(id) != VALUE_INTEGER)
        return error_set(err, ERROR_INVALID, "the request has no id, a whole number");
    ret_request->id = request.id = value_to_integer(id);
    if (is_deeper(message, MESSAGE_DEPTH))
        return error_set(err, ERROR_LIMIT, "the request is nested deeper than %d", MESSAGE_DEPTH);
    r = read_verb(message, &request.verb, err);
    if (r == 0)
        r = read_fields(message, &request, err);
    if (r < 0)
        request_done(&request);
    else
        *ret_request = request;
    return r;
}

char *answer_write(int64_t id, struct value_builder *fields)
{
    value_builder_set(fields, "id", value_integer(id));
    value_builder_set(fields, "ok", value_bool(true));
    CLEANUP(value_unrefp) struct value *answer = value_builder_map(fields);
    return json_text(answer);
}

char *answer_write_error(int64_t id, const struct error *err)
{
    struct value_builder fields = {0}, problem = {0};
    value_builder_set_string(&problem, "code", error_code_to_string(err->code));
    value_builder_set_string(&problem, "message", error_message(err));
    value_builder_set(&fields, "id", value_integer(id));
    value_builder_set(&fields, "ok", value_bool(false));
    value_builder_set(&fields, "error", value_builder_map(&problem));
    CLEANUP(value_unrefp) struct value *answer = value_builder_map(&fields);
    return json_text(answer);
}
