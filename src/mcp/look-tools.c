/* The tools that only look. */
#include "mcp/tools-internal.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "render/render.h"

#include <inttypes.h>

enum { LOG_LINES = 100 };

/* What only asks one verb and shows its answer. */
static const struct look {
    const char *verb;
    void (*render)(const struct value *answer, struct strbuf *buffer);
    const char *list;  /* what an answer that is a list is called in the structured result */
    bool is_one_of_it; /* what is no list is one item of it */
    bool has_pages;    /* the list has, unless one item is asked for */
    const char *cut;   /* a list within the answer that is cut into pages here */
} looks[] = {
    {"deployment_status", render_status, "deployments", false, false, "resources"},
    {"deployment_history", render_history, "history", false, false, NULL},
    {"deployment_drift", NULL, "deployments", false, false, NULL},
    {"resource_show", render_value, "resources", true, true, NULL},
    {"type_show", render_types, "types", true, false, NULL},
    {"audit_list", render_audit, "entries", false, false, NULL},
};

/* The page that is asked for, or that a list begins with; 0: there are none. */
static int64_t page_of(const struct mcp_call *call, const struct look *look)
{
    bool is_list = look->cut || (look->has_pages && !value_get(call->arguments, "address"));
    return value_get_integer(call->arguments, "page", is_list ? 1 : 0);
}

/* What the verb is asked: a page is a number here and a text there. */
static struct value *make_input(const struct mcp_call *call, const struct look *look)
{
    int64_t page = page_of(call, look);
    CLEANUP(mem_freep) char *text = string_format("%" PRId64, page);
    bool is_asked = page > 0 && !look->cut;
    return value_with(call->arguments, "page", is_asked ? value_string(text) : NULL);
}

/* A full page has another behind it, perhaps. */
static void add_next_page(const struct look *look, const struct value *answer, int64_t page,
                          struct value_builder *fields, struct strbuf *text)
{
    if (!look->has_pages || page < 1 || value_kind(answer) != VALUE_LIST ||
        value_count(answer) < SERVICE_PAGE_ROWS)
        return;
    strbuf_addf(text, "These are %d, page %" PRId64 "; page=%" PRId64 " has those behind them.\n",
                SERVICE_PAGE_ROWS, page, page + 1);
    value_builder_set(fields, "next_page", value_integer(page + 1));
}

/* The answer with one page of its list alone; sets *ret_more when others are behind it. */
static struct value *cut_page(const struct value *answer, const char *list, int64_t page,
                              bool *ret_more)
{
    struct value_builder rows = {0};
    const struct value *all = value_get(answer, list);
    size_t first = (size_t)(page - 1) * SERVICE_PAGE_ROWS, n_all = value_count(all);
    for (size_t i = first; i < n_all && i < first + SERVICE_PAGE_ROWS; i++)
        value_builder_append(&rows, value_ref(value_at(all, i)));
    *ret_more = n_all > first + SERVICE_PAGE_ROWS;
    CLEANUP(value_unrefp)
    struct value *cut = value_with(answer, list, value_builder_list(&rows));
    return value_with(cut, "next_page", *ret_more ? value_integer(page + 1) : NULL);
}

/* The first page's text is about all of them, those of others about what is on them. */
static void add_cut(const struct look *look, const struct value *answer, int64_t page,
                    struct mcp_result *result)
{
    struct strbuf text = {0};
    bool has_more = false;
    CLEANUP(value_unrefp) struct value *cut = cut_page(answer, look->cut, page, &has_more);
    look->render(page > 1 ? cut : answer, &text);
    if (page > 1 || has_more)
        strbuf_addf(&text, "The structured result has %zu of these %zu %s, page %" PRId64,
                    value_count(value_get(cut, look->cut)),
                    value_count(value_get(answer, look->cut)), look->cut, page);
    if (has_more)
        strbuf_addf(&text, "; page=%" PRId64 " has those behind them", page + 1);
    if (page > 1 || has_more)
        strbuf_add(&text, ".\n");
    tools_add_text(result, strbuf_text(&text));
    strbuf_done(&text);
    result->structured = tools_without_nulls(cut);
}

static void add_look(const struct look *look, struct value *answer, int64_t page,
                     struct mcp_result *result)
{
    struct strbuf text = {0};
    struct value_builder fields = {0}, one = {0};
    if (look->cut && value_get(answer, look->cut)) {
        add_cut(look, answer, page, result);
        return;
    }
    if (look->render)
        look->render(answer, &text);
    else
        json_write_foreign(&text, answer);
    add_next_page(look, answer, page, &fields, &text);
    tools_add_text(result, text.length ? strbuf_text(&text) : "There is nothing.");
    strbuf_done(&text);
    bool is_list = value_kind(answer) == VALUE_LIST;
    if (!is_list && !look->is_one_of_it) {
        result->structured = tools_without_nulls(answer);
        return;
    }
    if (!is_list)
        value_builder_append(&one, value_ref(answer));
    value_builder_set(&fields, look->list, is_list ? value_ref(answer) : value_builder_list(&one));
    result->structured = value_builder_map(&fields);
}

/* Where nothing was ever deployed all of it is nothing, and no failure. */
static int add_nothing(const struct mcp_call *call, const struct look *look,
                       struct mcp_result *result, struct error *err)
{
    struct value_builder fields = {0}, none = {0};
    if (err->code != ERROR_NOT_FOUND || value_get(call->arguments, "deployment") ||
        look->is_one_of_it)
        return -(int)err->code;
    CLEANUP(mem_freep)
    char *text = string_format("There is nothing yet: %s.\nNext: plan_create with a document plans "
                               "the first deployment.\n",
                               error_message(err));
    mcp_add_text(result, text);
    value_builder_set(&fields, look->list, value_builder_list(&none));
    result->structured = value_builder_map(&fields);
    error_done(err);
    return 0;
}

int tool_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    const struct look *look = &looks[call->tool->tag];
    struct service *service = NULL;
    struct verb_answer answer = {0};
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = tools_ask(call, service, look->verb, make_input(call, look), &answer, err);
    if (r == 0)
        add_look(look, answer.value, page_of(call, look), result);
    else
        r = add_nothing(call, look, result, err);
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
