#include "harness.h"
#include "twin/message.h"

#include "base/strbuf.h"

static const char *fault_of(const char *line, int64_t *ret_id)
{
    static char text[256];
    struct request request = {0};
    struct error err = {0};
    int r = request_read(line, strlen(line), &request, &err);
    snprintf(text, sizeof(text), "%s", r < 0 ? error_message(&err) : "no fault");
    *ret_id = request.id;
    request_done(&request);
    error_done(&err);
    return text;
}

TEST(every_verb_is_read_with_its_fields)
{
    struct request request = {0};
    const char *put =
        "{\"id\":3,\"verb\":\"put\",\"resource\":{\"uid\":\"u\",\"name\":\"n\",\"type\":"
        "\"t\",\"spec\":{\"a\":1},\"references\":{\"a\":[\"v\"]},\"generation\":2}}";
    CHECK(request_read(put, strlen(put), &request, NULL) == 0);
    CHECK(request.id == 3 && request.verb == VERB_PUT && request.resource);
    request_done(&request);
    const char *get = "{\"verb\":\"get\",\"id\":4,\"uid\":\"u\"}";
    CHECK(request_read(get, strlen(get), &request, NULL) == 0);
    CHECK(request.verb == VERB_GET);
    CHECK_TEXT(request.uid, "u");
    request_done(&request);
    const char *down = "{\"verb\":\"down\",\"id\":5,\"wipe\":true}";
    CHECK(request_read(down, strlen(down), &request, NULL) == 0);
    CHECK(request.verb == VERB_DOWN && request.wipe);
    request_done(&request);
}

TEST(a_fault_is_told_with_the_id_it_belongs_to)
{
    static const struct {
        const char *line;
        const char *want;
        int64_t id;
    } cases[] = {
        {"[]", "a request is a map", 0},
        {"{\"verb\":\"status\"}", "the request has no id, a whole number", 0},
        {"{\"id\":1.5,\"verb\":\"status\"}", "the request has no id, a whole number", 0},
        {"{\"id\":9}", "the request has no verb", 9},
        {"{\"id\":9,\"verb\":\"fly\"}", "there is no such verb", 9},
        {"{\"id\":9,\"verb\":\"get\"}", "uid is not a text of 1 to 128 bytes", 9},
        {"{\"id\":9,\"verb\":\"put\"}", "a resource is a map", 9},
        {"{\"id\":9,\"verb\":\"put\",\"resource\":{\"uid\":\"u\"}}", "the resource has no name", 9},
        {"{\"id\":9,\"verb\":\"put\",\"resource\":{\"uid\":\"u\",\"name\":\"n\",\"type\":\"t\"}}",
         "the resource has no spec", 9},
        {"{\"id\":9,\"verb\":\"put\",\"resource\":{\"uid\":\"u\",\"name\":\"n\",\"type\":\"t\",\"spec\":"
         "[]}}",
         "spec is a list, not a map", 9},
        {"{\"id\":9,\"verb\":\"put\",\"resource\":{\"uid\":\"u\",\"name\":\"n\",\"type\":\"t\",\"spec\":"
         "{},\"color\":1}}",
         "a resource has no field \"color\"", 9},
        {"{\"id\":9,\"verb\":\"put\",\"resource\":{\"uid\":\"u\\u0001\",\"name\":\"n\",\"type\":\"t\","
         "\"spec\":{}}}",
         "the uid of the resource has a control character", 9},
        {"{\"id\":9,\"verb\":\"down\",\"wipe\":1}", "wipe is neither true nor false", 9},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t id;
        CHECK_TEXT(fault_of(cases[i].line, &id), cases[i].want);
        CHECK(id == cases[i].id);
    }
}

TEST(deep_nesting_is_refused)
{
    struct strbuf line = {0};
    int64_t id;
    strbuf_add(&line, "{\"id\":1,\"verb\":\"status\",\"x\":");
    strbuf_add_repeated(&line, '[', MESSAGE_DEPTH);
    strbuf_add_repeated(&line, ']', MESSAGE_DEPTH);
    strbuf_add_char(&line, '}');
    CHECK_TEXT(fault_of(strbuf_text(&line), &id), "the request is nested deeper than 64");
    CHECK(id == 1);
    strbuf_done(&line);
}

TEST(answers_carry_the_id_of_their_request)
{
    struct value_builder fields = {0};
    struct error err = {0};
    char *line = answer_write(7, &fields);
    CHECK_TEXT(line, "{\"id\":7,\"ok\":true}");
    mem_free(line);
    error_set(&err, ERROR_CONFLICT, "it is used");
    line = answer_write_error(8, &err);
    CHECK_TEXT(
        line,
        "{\"error\":{\"code\":\"conflict\",\"message\":\"it is used\"},\"id\":8,\"ok\":false}");
    mem_free(line);
    error_done(&err);
}
