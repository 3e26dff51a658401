/* A directed graph over the nodes 0..n-1. Knows nothing of what they stand for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct graph;

struct graph *graph_new(size_t n_nodes);
void graph_free(struct graph *graph); /* accepts NULL */

/*
 * Adds a node of no meaning of its own and returns its number, which is n or more: what waits for
 * it waits for all that it waits for, so that m nodes that wait for n others are m + n edges. It is
 * in no order and no circle, and no edge leads from one to another.
 */
size_t graph_add_hub(struct graph *graph);

/* after can only be done when before is done. The same edge twice counts once in effect. */
void graph_add_edge(struct graph *graph, size_t before, size_t after);

/* The same where it can be: such an edge is left out when it is part of a circle. */
void graph_add_wish(struct graph *graph, size_t before, size_t after);

/*
 * Ends the building: no edge is added after it. Linear in nodes and edges. The functions below need
 * it.
 */
void graph_freeze(struct graph *graph);

/* Wish number i of those left out, in the order they were added; false when there are no more. */
bool graph_get_left_out(const struct graph *graph, size_t i, size_t *ret_before, size_t *ret_after);

/* The nodes, hubs among them, that wait for node, as an array of *ret_n, borrowed until
 * graph_free(). */
const size_t *graph_dependents(const struct graph *graph, size_t node, size_t *ret_n);
/* How many edges lead to node or hub: what it waits for. */
size_t graph_dependency_count(const struct graph *graph, size_t node);

/*
 * An order in which every node comes after all that it waits for, and else in the order of their
 * numbers as far as that goes: always the same for the same graph. ret_order has room for n_nodes.
 * Returns how many were placed: less than n_nodes when there is a circle.
 */
size_t graph_order(const struct graph *graph, size_t *ret_order);

/*
 * The nodes of one circle, in its order, each once: the smallest-numbered node on it comes first.
 * ret_circle has room for n_nodes. Returns their number, 0 when there is none.
 */
size_t graph_find_circle(const struct graph *graph, size_t *ret_circle);
