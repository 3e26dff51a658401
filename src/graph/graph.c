#include "graph/graph.h"

#include "base/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

struct edge {
    size_t before;
    size_t after;
};

/* Edges are collected in a list, then frozen into one array of dependents with an offset for each
 * node. */
struct graph {
    size_t n_nodes;
    struct edge *edges; /* owned; NULL once frozen */
    size_t n_edges;
    size_t capacity;
    size_t *offsets;    /* owned; n_nodes + 1 */
    size_t *dependents; /* owned; n_edges */
    size_t *counts;     /* owned; edges that lead to each node */
};

struct graph *graph_new(size_t n_nodes)
{
    struct graph *graph = NEW(struct graph);
    graph->n_nodes = n_nodes;
    return graph;
}

void graph_free(struct graph *graph)
{
    if (!graph)
        return;
    mem_free(graph->edges);
    mem_free(graph->offsets);
    mem_free(graph->dependents);
    mem_free(graph->counts);
    mem_free(graph);
}

void graph_add_edge(struct graph *graph, size_t before, size_t after)
{
    assert(!graph->offsets && before < graph->n_nodes && after < graph->n_nodes);
    ARRAY_RESERVE(graph->edges, graph->n_edges, graph->capacity);
    graph->edges[graph->n_edges++] = (struct edge){before, after};
}

void graph_freeze(struct graph *graph)
{
    assert(!graph->offsets);
    size_t n_nodes = graph->n_nodes;
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
    mem_free(take_ptr(graph->edges));
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

/* Kahn's algorithm; waiting (n_nodes, zero-filled on return for all that were placed) is scratch of
 * the caller. */
static size_t place_nodes(const struct graph *graph, size_t *ret_order, size_t *waiting)
{
    size_t *heap = NEW_ARRAY(size_t, graph->n_nodes);
    size_t n_heap = 0;
    size_t n_placed = 0;
    for (size_t node = 0; node < graph->n_nodes; node++) {
        waiting[node] = graph->counts[node];
        if (waiting[node] == 0)
            heap_push(heap, &n_heap, node);
    }
    while (n_heap > 0) {
        size_t node = heap_pop(heap, &n_heap);
        ret_order[n_placed++] = node;
        size_t n;
        const size_t *dependents = graph_dependents(graph, node, &n);
        for (size_t i = 0; i < n; i++)
            if (--waiting[dependents[i]] == 0)
                heap_push(heap, &n_heap, dependents[i]);
    }
    mem_free(heap);
    return n_placed;
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
    if (place_nodes(graph, ret_circle, waiting) < graph->n_nodes) {
        find_blockers(graph, waiting, blockers);
        size_t node = 0;
        while (waiting[node] == 0)
            node++;
        /* Walking back n_nodes times surely ends on a circle. */
        for (size_t i = 0; i < graph->n_nodes; i++)
            node = blockers[node];
        size_t start = node;
        do {
            ret_circle[n++] = node;
            node = blockers[node];
        } while (node != start);
        turn_circle(ret_circle, n);
    }
    mem_free(waiting);
    mem_free(blockers);
    return n;
}
