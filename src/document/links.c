/* Which resources need which: the order of evaluation, and circles. */
#include "base/text.h"
#include "document/document-internal.h"
#include "graph/graph.h"
#include "model/expression.h"

#include <string.h>

/* --- The order of evaluation --- */

struct link_search {
    const struct document *document;
    struct graph *graph; /* made with the first link */
    size_t from;
};

static int add_link(void *argument, const struct reference *reference, struct error *err)
{
    struct link_search *search = argument;
    const struct declaration *target = map_get(&search->document->by_name, reference->root);
    (void)err;
    if (!target)
        return 0;
    if (!search->graph)
        search->graph = graph_new(search->document->n_declarations);
    graph_add_edge(search->graph, target->index, search->from);
    return 0;
}

static void find_links(struct link_search *search, const struct yaml_node *node)
{
    if (node->kind == VALUE_STRING && expression_is_in(node->text))
        expression_references(node->text, add_link, search, NULL, NULL);
    for (size_t i = 0; node->kind == VALUE_LIST && i < node->n_items; i++)
        find_links(search, node->items[i]);
    for (size_t i = 0; node->kind == VALUE_MAP && i < node->n_items; i++)
        find_links(search, node->pairs[i].value);
}

/* What a circle keeps from being placed goes behind, in the document's order. */
static void place_rest(size_t n, size_t n_placed, size_t *order)
{
    bool *is_placed = NEW_ARRAY(bool, n);
    for (size_t i = 0; i < n_placed; i++)
        is_placed[order[i]] = true;
    for (size_t i = 0; i < n; i++)
        if (!is_placed[i])
            order[n_placed++] = i;
    mem_free(is_placed);
}

void links_order(const struct document *document, size_t *ret_order)
{
    size_t n = document->n_declarations;
    struct link_search search = {.document = document};
    for (size_t i = 0; i < n; i++) {
        const struct declaration *declaration = document->declarations[i];
        const struct yaml_node *node = declaration->node;
        search.from = i;
        ret_order[i] = i;
        for (size_t k = 0; k < node->n_items; k++)
            if (!text_equal(node->pairs[k].key, "properties"))
                find_links(&search, node->pairs[k].value);
        if (declaration->properties)
            find_links(&search, declaration->properties);
    }
    if (!search.graph)
        return;
    graph_freeze(search.graph);
    size_t n_placed = graph_order(search.graph, ret_order);
    if (n_placed < n)
        place_rest(n, n_placed, ret_order);
    graph_free(search.graph);
}

/* --- Circles --- */

enum { MAX_CIRCLES = 10, MAX_SHOWN = 12 };

static const struct link *find_link(const struct expansion *expansion, size_t from, size_t to)
{
    for (size_t i = 0; i < expansion->n_links; i++)
        if (expansion->links[i].from->index == from && expansion->links[i].to->index == to)
            return &expansion->links[i];
    return NULL;
}

/* circle[1] needs circle[0], and so on, and circle[0] the last. */
static void tell_circle(const struct expansion *expansion, const size_t *circle, size_t n)
{
    const struct document *document = expansion->document;
    struct strbuf path = {0};
    strbuf_add(&path, document->declarations[circle[0]]->name);
    for (size_t i = n; i-- > 0;) {
        if (n > MAX_SHOWN && i == n - MAX_SHOWN / 2)
            strbuf_addf(&path, " -> ... (%zu more)", n - MAX_SHOWN);
        if (n > MAX_SHOWN && i >= MAX_SHOWN / 2 && i <= n - MAX_SHOWN / 2)
            continue;
        strbuf_addf(&path, " -> %s", document->declarations[circle[i]]->name);
    }
    const struct link *link = find_link(expansion, circle[0], circle[n - 1]);
    struct position position =
        yaml_position(document->tree, document->declarations[circle[0]]->node);
    if (link) {
        position.line = link->line;
        position.column = link->column;
    }
    diagnostics_add(expansion->diagnostics, DIAGNOSTIC_CYCLE, position,
                    "Take one of these references out, or split a resource in two.",
                    "Each needs the next to exist first: %s.", strbuf_text(&path));
    strbuf_done(&path);
}

/* Finds a circle among the declarations that are in none yet; false when there is none. */
static bool check_circle(const struct expansion *expansion, bool *is_told)
{
    size_t n = expansion->document->n_declarations;
    struct graph *graph = graph_new(n);
    for (size_t i = 0; i < expansion->n_links; i++) {
        const struct link *link = &expansion->links[i];
        if (!is_told[link->from->index] && !is_told[link->to->index])
            graph_add_edge(graph, link->to->index, link->from->index);
    }
    graph_freeze(graph);
    size_t *circle = NEW_ARRAY(size_t, n);
    size_t length = graph_find_circle(graph, circle);
    for (size_t i = 0; i < length; i++)
        is_told[circle[i]] = true;
    if (length)
        tell_circle(expansion, circle, length);
    mem_free(circle);
    graph_free(graph);
    return length > 0;
}

void links_check_circles(const struct expansion *expansion)
{
    if (expansion->n_links == 0)
        return;
    bool *is_told = NEW_ARRAY(bool, expansion->document->n_declarations);
    for (int i = 0; i < MAX_CIRCLES && check_circle(expansion, is_told); i++)
        ;
    mem_free(is_told);
}
