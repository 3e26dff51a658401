#include "graph/graph.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

struct edge {
    size_t before;
    size_t after;
    bool is_wish;
};

/* Edges are collected in a list, then frozen into one array of dependents with an offset for each
 * node. */
struct graph {
    size_t n_own; /* nodes that are no hubs: those come first */
    size_t n_nodes;
    struct edge *edges; /* owned; NULL once frozen */
    size_t n_edges;
    size_t capacity;
    size_t *offsets;    /* owned; n_nodes + 1 */
    size_t *dependents; /* owned; n_edges */
    size_t *counts;     /* owned; edges that lead to each node */
    size_t n_wishes;
    struct edge *left_out; /* owned */
    size_t n_left_out;
};

struct graph *graph_new(size_t n_nodes)
{
    struct graph *graph = NEW(struct graph);
    graph->n_own = n_nodes;
    graph->n_nodes = n_nodes;
    return graph;
}

size_t graph_add_hub(struct graph *graph)
{
    assert(!graph->offsets);
    return graph->n_nodes++;
}

void graph_free(struct graph *graph)
{
    if (!graph)
        return;
    mem_free(graph->edges);
    mem_free(graph->offsets);
    mem_free(graph->dependents);
    mem_free(graph->counts);
    mem_free(graph->left_out);
    mem_free(graph);
}

static void add_edge(struct graph *graph, struct edge edge)
{
    assert(!graph->offsets && edge.before < graph->n_nodes && edge.after < graph->n_nodes);
    assert(edge.before < graph->n_own || edge.after < graph->n_own);
    ARRAY_RESERVE(graph->edges, graph->n_edges, graph->capacity);
    graph->edges[graph->n_edges++] = edge;
}

void graph_add_edge(struct graph *graph, size_t before, size_t after)
{
    add_edge(graph, (struct edge){before, after, false});
}

void graph_add_wish(struct graph *graph, size_t before, size_t after)
{
    add_edge(graph, (struct edge){before, after, true});
    graph->n_wishes++;
}

/* Makes the arrays of the list, in the place of those that were there. */
static void make_arrays(struct graph *graph)
{
    size_t n_nodes = graph->n_nodes;
    mem_free(graph->offsets);
    mem_free(graph->counts);
    mem_free(graph->dependents);
    graph->offsets = NEW_ARRAY(size_t, n_nodes + 2);
    graph->counts = NEW_ARRAY(size_t, n_nodes);
    graph->dependents = NEW_ARRAY(size_t, graph->n_edges);
    /* offsets[i + 2] first counts, then, summed up, is where node i + 1 is filled from; it ends one
     * place lower. */
    for (size_t i = 0; i < graph->n_edges; i++) {
        graph->offsets[graph->edges[i].before + 2]++;
        graph->counts[graph->edges[i].after]++;
    }
    for (size_t i = 2; i < n_nodes + 2; i++)
        graph->offsets[i] += graph->offsets[i - 1];
    for (size_t i = 0; i < graph->n_edges; i++)
        graph->dependents[graph->offsets[graph->edges[i].before + 1]++] = graph->edges[i].after;
}

const size_t *graph_dependents(const struct graph *graph, size_t node, size_t *ret_n)
{
    assert(graph->offsets && node < graph->n_nodes);
    *ret_n = graph->offsets[node + 1] - graph->offsets[node];
    return graph->dependents + graph->offsets[node];
}

size_t graph_dependency_count(const struct graph *graph, size_t node)
{
    assert(graph->counts && node < graph->n_nodes);
    return graph->counts[node];
}

/* A binary heap of node numbers, so that the smallest ready node is placed next. */
static void heap_push(size_t *heap, size_t *n_heap, size_t node)
{
    size_t at = (*n_heap)++;
    while (at > 0 && heap[(at - 1) / 2] > node) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = node;
}

static size_t heap_pop(size_t *heap, size_t *n_heap)
{
    size_t smallest = heap[0];
    size_t moved = heap[--*n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= *n_heap)
            break;
        if (child + 1 < *n_heap && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= moved)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
    return smallest;
}

/* Nodes while they are placed. */
struct placing {
    const struct graph *graph;
    size_t *waiting; /* for how many each waits */
    size_t *heap;
    size_t n_heap;
};

/* What waits for nothing more is ready; a hub is passed through at once, so that it changes no
 * order. */
static void release(struct placing *placing, size_t node)
{
    const struct graph *graph = placing->graph;
    size_t n = 0;
    if (node < graph->n_own) {
        heap_push(placing->heap, &placing->n_heap, node);
        return;
    }
    const size_t *dependents = graph_dependents(graph, node, &n);
    for (size_t i = 0; i < n; i++)
        if (--placing->waiting[dependents[i]] == 0)
            heap_push(placing->heap, &placing->n_heap, dependents[i]);
}

/* Kahn's algorithm; waiting (n_nodes, zero-filled on return for all that were placed) is scratch of
 * the caller. Hubs are not counted. */
static size_t place_nodes(const struct graph *graph, size_t *ret_order, size_t *waiting)
{
    struct placing placing = {graph, waiting, NEW_ARRAY(size_t, graph->n_own), 0};
    size_t n_placed = 0;
    if (graph->n_nodes > 0)
        memcpy(waiting, graph->counts, graph->n_nodes * sizeof(waiting[0]));
    for (size_t node = 0; node < graph->n_nodes; node++)
        if (graph->counts[node] == 0)
            release(&placing, node);
    while (placing.n_heap > 0) {
        size_t node = heap_pop(placing.heap, &placing.n_heap);
        ret_order[n_placed++] = node;
        size_t n;
        const size_t *dependents = graph_dependents(graph, node, &n);
        for (size_t i = 0; i < n; i++)
            if (--waiting[dependents[i]] == 0)
                release(&placing, dependents[i]);
    }
    mem_free(placing.heap);
    return n_placed;
}

/* --- Circles and wishes --- */

/*
 * Tarjan's search for what leads to each other (SIAM J. Comput. 1, 1972), without recursion: nodes
 * with the same component are on circles with each other.
 */
struct search {
    const struct graph *graph;
    size_t *component; /* of each node; n_nodes while it has none */
    size_t *number;    /* in the order they were reached, from 1; 0: not yet */
    size_t *lowest;    /* the lowest number that can be reached again */
    size_t *next;      /* which dependent is looked at next */
    size_t *path;      /* the nodes that are being looked at */
    size_t *open;      /* those reached whose component is not known */
    size_t n_path;
    size_t n_open;
    size_t n_reached;
};

static void reach(struct search *search, size_t node)
{
    search->number[node] = ++search->n_reached;
    search->lowest[node] = search->n_reached;
    search->path[search->n_path++] = node;
    search->open[search->n_open++] = node;
}

/* All that is open since node was reached, is its component when nothing earlier can be reached. */
static void close_node(struct search *search, size_t node)
{
    search->n_path--;
    if (search->n_path > 0) {
        size_t parent = search->path[search->n_path - 1];
        if (search->lowest[node] < search->lowest[parent])
            search->lowest[parent] = search->lowest[node];
    }
    size_t closed = search->lowest[node] == search->number[node] ? search->graph->n_nodes : node;
    while (closed != node) {
        closed = search->open[--search->n_open];
        search->component[closed] = node;
    }
}

static void search_from(struct search *search, size_t start)
{
    reach(search, start);
    while (search->n_path > 0) {
        size_t node = search->path[search->n_path - 1];
        size_t n;
        const size_t *dependents = graph_dependents(search->graph, node, &n);
        if (search->next[node] == n) {
            close_node(search, node);
            continue;
        }
        size_t other = dependents[search->next[node]++];
        if (search->number[other] == 0)
            reach(search, other);
        else if (search->component[other] == search->graph->n_nodes &&
                 search->number[other] < search->lowest[node])
            search->lowest[node] = search->number[other];
    }
}

static void find_components(const struct graph *graph, size_t *ret_component)
{
    size_t *scratch = NEW_ARRAY(size_t, 5 * graph->n_nodes);
    struct search search = {
        .graph = graph,
        .component = ret_component,
        .number = scratch,
        .lowest = scratch + graph->n_nodes,
        .next = scratch + 2 * graph->n_nodes,
        .path = scratch + 3 * graph->n_nodes,
        .open = scratch + 4 * graph->n_nodes,
    };
    for (size_t node = 0; node < graph->n_nodes; node++)
        ret_component[node] = graph->n_nodes;
    for (size_t node = 0; node < graph->n_nodes; node++)
        if (search.number[node] == 0)
            search_from(&search, node);
    mem_free(scratch);
}

/* Takes the wishes that are on a circle out of the list. */
static void leave_out_wishes(struct graph *graph)
{
    size_t *component = NEW_ARRAY(size_t, graph->n_nodes);
    size_t n_kept = 0;
    find_components(graph, component);
    graph->left_out = NEW_ARRAY(struct edge, graph->n_wishes);
    for (size_t i = 0; i < graph->n_edges; i++) {
        struct edge edge = graph->edges[i];
        if (edge.is_wish && component[edge.before] == component[edge.after])
            graph->left_out[graph->n_left_out++] = edge;
        else
            graph->edges[n_kept++] = edge;
    }
    graph->n_edges = n_kept;
    mem_free(component);
}

void graph_freeze(struct graph *graph)
{
    assert(!graph->offsets);
    size_t *order = NEW_ARRAY(size_t, graph->n_nodes);
    make_arrays(graph);
    if (graph->n_wishes > 0 && graph_order(graph, order) < graph->n_own) {
        leave_out_wishes(graph);
        make_arrays(graph);
    }
    mem_free(order);
    mem_free(take_ptr(graph->edges));
}

bool graph_get_left_out(const struct graph *graph, size_t i, size_t *ret_before, size_t *ret_after)
{
    if (i >= graph->n_left_out)
        return false;
    *ret_before = graph->left_out[i].before;
    *ret_after = graph->left_out[i].after;
    return true;
}

size_t graph_order(const struct graph *graph, size_t *ret_order)
{
    assert(graph->offsets);
    size_t *waiting = NEW_ARRAY(size_t, graph->n_nodes);
    size_t n_placed = place_nodes(graph, ret_order, waiting);
    mem_free(waiting);
    return n_placed;
}

/* For each node that was not placed, one that it waits for and that was not placed either. */
static void find_blockers(const struct graph *graph, const size_t *waiting, size_t *blockers)
{
    for (size_t node = graph->n_nodes; node-- > 0;) {
        if (waiting[node] == 0)
            continue;
        size_t n;
        const size_t *dependents = graph_dependents(graph, node, &n);
        for (size_t i = 0; i < n; i++)
            blockers[dependents[i]] = node;
    }
}

/* Turns a circle found against the edges into one along them that starts at its smallest node. */
static void turn_circle(size_t *circle, size_t n)
{
    size_t *turned = NEW_ARRAY(size_t, n);
    size_t first = 0;
    for (size_t i = 1; i < n; i++)
        if (circle[i] < circle[first])
            first = i;
    for (size_t i = 0; i < n; i++)
        turned[i] = circle[(first + n - i) % n];
    memcpy(circle, turned, n * sizeof(circle[0]));
    mem_free(turned);
}

size_t graph_find_circle(const struct graph *graph, size_t *ret_circle)
{
    size_t *waiting = NEW_ARRAY(size_t, graph->n_nodes);
    size_t *blockers = NEW_ARRAY(size_t, graph->n_nodes);
    size_t n = 0;
    if (place_nodes(graph, ret_circle, waiting) < graph->n_own) {
        find_blockers(graph, waiting, blockers);
        size_t node = 0;
        while (waiting[node] == 0)
            node++;
        /* Walking back n_nodes times surely ends on a circle. */
        for (size_t i = 0; i < graph->n_nodes; i++)
            node = blockers[node];
        size_t start = node;
        do {
            if (node < graph->n_own)
                ret_circle[n++] = node;
            node = blockers[node];
        } while (node != start);
        turn_circle(ret_circle, n);
    }
    mem_free(waiting);
    mem_free(blockers);
    return n;
}
