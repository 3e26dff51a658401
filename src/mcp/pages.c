/*
 * Lists that do not fit one answer. A cursor is sealed, so that nobody takes its inside for
 * something to build on: the list that it is of, and the last item that was given. Whatever comes
 * and goes between two pages, what is there all the time is given once.
 */
#include "base/memory.h"
#include "base/text.h"
#include "mcp/internal.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_ITEMS = 50 };

/* --- Cursors --- */

int mcp_read_cursor(struct mcp_call *call, char **ret_after, struct rpc_fault *fault)
{
    const struct value *cursor = value_get(call->params, "cursor");
    const char *sealed = cursor && value_kind(cursor) == VALUE_STRING ? value_text(cursor) : NULL;
    *ret_after = NULL;
    if (!cursor || (sealed && !*sealed))
        return 0;
    CLEANUP(mem_freep) char *text = sealed ? mcp_unseal(call->server, sealed) : NULL;
    size_t length = strlen(call->method);
    if (!text || !text_starts_with(text, call->method) || text[length] != '\n')
        return rpc_fail(fault, RPC_INVALID_PARAMS,
                        "no page of this list has that cursor: begin without one");
    *ret_after = string_copy(text + length + 1);
    return 0;
}

void mcp_write_cursor(const struct mcp_call *call, const char *last, struct strbuf *members)
{
    CLEANUP(mem_freep) char *text = string_format("%s\n%s", call->method, last);
    CLEANUP(mem_freep) char *sealed = mcp_seal(call->server, text);
    mcp_write_field(members, "nextCursor", sealed);
}

int mcp_refuse_cursor(struct mcp_call *call, struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *after = NULL;
    if (mcp_read_cursor(call, &after, fault) < 0)
        return -1;
    return after ? rpc_fail(fault, RPC_INVALID_PARAMS, "this list has one page") : 0;
}

/* --- What exists now, as resources --- */

static const char *uri_of(const struct value *resource)
{
    const char *uri = value_get_text(resource, "uri");
    return uri ? uri : "";
}

static int compare_uris(const void *a, const void *b)
{
    return strcmp(uri_of(*(struct value *const *)a), uri_of(*(struct value *const *)b));
}

/* Writes the page behind `after` (NULL: the first) of n resources by their URIs. */
static void write_page(const struct mcp_call *call, struct value **sorted, size_t n,
                       const char *after, struct strbuf *members)
{
    static const char *const fields[] = {"uri", "name", "title", "description", "mimeType"};
    size_t i = 0, n_written = 0;
    while (after && i < n && strcmp(uri_of(sorted[i]), after) <= 0)
        i++;
    for (; i < n && n_written < PAGE_ITEMS; i++, n_written++) {
        bool is_first = members->text[members->length - 1] == '[';
        strbuf_add(members, is_first ? "{" : ",{");
        for (size_t k = 0; k < ARRAY_LENGTH(fields); k++)
            mcp_write_field(members, fields[k], value_get_text(sorted[i], fields[k]));
        strbuf_add_char(members, '}');
    }
    strbuf_add_char(members, ']');
    if (i < n)
        mcp_write_cursor(call, uri_of(sorted[i - 1]), members);
}

int mcp_list_present(struct mcp_call *call, const char *after, struct strbuf *members,
                     struct rpc_fault *fault)
{
    const struct mcp_offer *offer = call->server->offer;
    struct value_builder builder = {0};
    CLEANUP(error_done) struct error err = {0};
    int r = offer->list_resources ? offer->list_resources(call, &builder, &err) : 0;
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&builder);
    if (r < 0)
        return rpc_fail(fault, RPC_INTERNAL_ERROR, "%s", error_message(&err));
    size_t n = value_count(list);
    struct value **sorted = NEW_ARRAY(struct value *, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = value_at(list, i);
    if (n > 0)
        qsort(sorted, n, sizeof(struct value *), compare_uris);
    write_page(call, sorted, n, after, members);
    mem_free(sorted);
    return 0;
}
