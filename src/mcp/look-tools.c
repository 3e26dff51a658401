/* The tools that only look. */
#include "mcp/tools-internal.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "render/render.h"

#include <inttypes.h>

enum { LOG_LINES = 100 };

/* A page is a number here and a text there. */
static void copy_page(const struct mcp_call *call, struct value_builder *input)
{
    int64_t page = value_get_integer(call->arguments, "page", 0);
    if (page > 0) {
        CLEANUP(mem_freep) char *text = string_format("%" PRId64, page);
        value_builder_set_string(input, "page", text);
    }
}

/* What only asks one verb and shows its answer. */
static const struct look {
    const char *verb;
    void (*render)(const struct value *answer, struct strbuf *buffer);
    const char *list;  /* what an answer that is a list is called in the structured result */
    bool is_one_of_it; /* what is no list is one item of it */
} looks[] = {
    {"deployment_status", render_status, "deployments", false},
    {"deployment_history", render_history, "history", false},
    {"deployment_drift", NULL, "deployments", false},
    {"resource_show", render_value, "resources", true},
    {"type_show", render_types, "types", true},
    {"audit_list", render_audit, "entries", false},
};

static void add_look(const struct look *look, struct value *answer, struct mcp_result *result)
{
    struct strbuf text = {0};
    if (look->render)
        look->render(answer, &text);
    else
        json_write(&text, answer);
    tools_add_text(result, text.length ? strbuf_text(&text) : "There is nothing.");
    strbuf_done(&text);
    bool is_list = value_kind(answer) == VALUE_LIST;
    if (!is_list && !look->is_one_of_it) {
        result->structured = value_ref(answer);
        return;
    }
    struct value_builder fields = {0}, one = {0};
    if (!is_list)
        value_builder_append(&one, value_ref(answer));
    value_builder_set(&fields, look->list, is_list ? value_ref(answer) : value_builder_list(&one));
    result->structured = value_builder_map(&fields);
}

int tool_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    const struct look *look = &looks[call->tool->tag];
    struct service *service = NULL;
    struct verb_answer answer = {0};
    CLEANUP(value_unrefp) struct value *without_page = value_with(call->arguments, "page", NULL);
    struct value_builder page = {0};
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    copy_page(call, &page);
    CLEANUP(value_unrefp) struct value *number = value_builder_map(&page);
    struct value *text = value_get(number, "page");
    r = tools_ask(call, service, look->verb,
                  text ? value_with(without_page, "page", value_ref(text))
                       : value_ref(without_page),
                  &answer, err);
    if (r == 0)
        add_look(look, answer.value, result);
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}

int tool_document_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    struct verb_answer answer = {0};
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = tools_ask(call, service, "document_pull",
                  value_ref((struct value *)(uintptr_t)call->arguments), &answer, err);
    if (r == 0) {
        struct value_builder fields = {0};
        value_builder_set(&fields, "document", value_ref(value_get(answer.value, "after")));
        value_builder_set(&fields, "revision", value_ref(value_get(answer.value, "revision")));
        result->structured = value_builder_map(&fields);
        mcp_add_text(result, value_get_text(answer.value, "after"));
    }
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}

/* The newest lines of a log. */
struct lines {
    struct value **items; /* owned, a ring */
    size_t n_kept, next, limit, n_all;
};

static void take_line(void *argument, const struct value *event)
{
    struct lines *lines = argument;
    lines->n_all++;
    value_unref(lines->items[lines->next]);
    lines->items[lines->next] = value_ref((struct value *)(uintptr_t)event);
    lines->next = (lines->next + 1) % lines->limit;
    if (lines->n_kept < lines->limit)
        lines->n_kept++;
}

static void add_lines(const struct lines *lines, struct mcp_result *result)
{
    struct strbuf text = {0};
    struct value_builder fields = {0}, list = {0};
    size_t first = lines->n_kept < lines->limit ? 0 : lines->next;
    if (lines->n_all > lines->n_kept)
        strbuf_addf(&text, "The newest %zu of %zu lines; tail, since and match show others.\n",
                    lines->n_kept, lines->n_all);
    for (size_t i = 0; i < lines->n_kept; i++) {
        struct value *line = lines->items[(first + i) % lines->limit];
        render_time(line, "time", &text);
        strbuf_addf(&text, " %s: %s\n", value_get_text(line, "source"),
                    value_get_text(line, "text"));
        value_builder_append(&list, value_ref(line));
    }
    mcp_add_text(result, text.length ? strbuf_text(&text) : "No line fits.");
    strbuf_done(&text);
    value_builder_set(&fields, "lines", value_builder_list(&list));
    value_builder_set(&fields, "lines_in_all", value_integer((int64_t)lines->n_all));
    result->structured = value_builder_map(&fields);
}

int tool_log_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    CLEANUP(value_unrefp) struct value *answer = NULL;
    struct lines lines = {.limit = (size_t)value_get_integer(call->arguments, "tail", LOG_LINES)};
    struct log_request request = {
        .name = value_get_text(call->arguments, "name"),
        .since = value_get_text(call->arguments, "since"),
        .match = value_get_text(call->arguments, "match"),
        .sink = take_line,
        .argument = &lines,
    };
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    lines.items = NEW_ARRAY(struct value *, lines.limit);
    r = service_show_logs(service, &request, &answer, err);
    if (r == 0)
        add_lines(&lines, result);
    for (size_t i = 0; i < lines.limit; i++)
        value_unref(lines.items[i]);
    mem_free(lines.items);
    tools_give_service(call, service);
    return r;
}
