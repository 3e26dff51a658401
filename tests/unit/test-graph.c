#include "base/memory.h"
#include "graph/graph.h"
#include "harness.h"

static struct graph *make_graph(size_t n_nodes, const size_t edges[][2], size_t n_edges)
{
    struct graph *graph = graph_new(n_nodes);
    for (size_t i = 0; i < n_edges; i++)
        graph_add_edge(graph, edges[i][0], edges[i][1]);
    graph_freeze(graph);
    return graph;
}

TEST(every_node_comes_after_what_it_waits_for_and_else_in_its_own_order)
{
    static const size_t edges[][2] = {{4, 0}, {4, 1}, {2, 1}, {3, 2}};
    static const size_t want[] = {3, 2, 4, 0, 1};
    struct graph *graph = make_graph(5, edges, ARRAY_LENGTH(edges));
    size_t order[5];
    CHECK(graph_order(graph, order) == 5);
    for (size_t i = 0; i < 5; i++)
        CHECK(order[i] == want[i]);
    CHECK(graph_find_circle(graph, order) == 0);
    CHECK(graph_dependency_count(graph, 1) == 2);
    size_t n;
    CHECK(graph_dependents(graph, 4, &n)[1] == 1 && n == 2);
    graph_free(graph);
}

TEST(a_circle_is_reported_in_its_order)
{
    static const size_t edges[][2] = {{0, 1}, {1, 5}, {5, 3}, {3, 1}, {3, 4}, {2, 4}};
    static const size_t want[] = {1, 5, 3};
    struct graph *graph = make_graph(6, edges, ARRAY_LENGTH(edges));
    size_t circle[6];
    CHECK(graph_order(graph, circle) == 2);
    CHECK(graph_find_circle(graph, circle) == 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(circle[i] == want[i]);
    graph_free(graph);
}

TEST(a_node_that_waits_for_itself_is_a_circle)
{
    static const size_t edges[][2] = {{1, 1}};
    struct graph *graph = make_graph(2, edges, 1);
    size_t circle[2];
    CHECK(graph_find_circle(graph, circle) == 1 && circle[0] == 1);
    graph_free(graph);
}

TEST(an_edge_given_twice_changes_nothing)
{
    static const size_t edges[][2] = {{1, 0}, {1, 0}};
    struct graph *graph = make_graph(2, edges, 2);
    size_t order[2];
    CHECK(graph_order(graph, order) == 2 && order[0] == 1 && order[1] == 0);
    graph_free(graph);
}

/* Nodes 0 to 2 are on a circle by two wishes, of which neither holds; that from 3 to 0 does. */
TEST(a_wish_holds_unless_it_is_part_of_a_circle)
{
    static const size_t want[] = {2, 3, 0, 1};
    struct graph *graph = graph_new(4);
    graph_add_edge(graph, 0, 1);
    graph_add_wish(graph, 1, 2);
    graph_add_wish(graph, 2, 0);
    graph_add_wish(graph, 3, 0);
    graph_freeze(graph);
    size_t order[4];
    size_t before;
    size_t after;
    CHECK(graph_order(graph, order) == 4);
    for (size_t i = 0; i < 4; i++)
        CHECK(order[i] == want[i]);
    CHECK(graph_get_left_out(graph, 0, &before, &after) && before == 1 && after == 2);
    CHECK(graph_get_left_out(graph, 1, &before, &after) && before == 2 && after == 0);
    CHECK(!graph_get_left_out(graph, 2, &before, &after));
    graph_free(graph);
}

TEST(a_circle_without_wishes_stays_one_and_wishes_elsewhere_hold)
{
    struct graph *graph = graph_new(4);
    graph_add_edge(graph, 0, 1);
    graph_add_edge(graph, 1, 0);
    graph_add_wish(graph, 3, 2);
    graph_freeze(graph);
    size_t nodes[4];
    size_t before;
    size_t after;
    CHECK(graph_order(graph, nodes) == 2 && nodes[0] == 3 && nodes[1] == 2);
    CHECK(graph_find_circle(graph, nodes) == 2);
    CHECK(!graph_get_left_out(graph, 0, &before, &after));
    graph_free(graph);
}

/* Whatever the wishes, an order is found where there is one without them, and only what is on a
 * circle is left out. */
TEST(wishes_never_make_an_order_impossible)
{
    enum { N = 30, N_ROUNDS = 300 };
    srand(7);
    for (int round = 0; round < N_ROUNDS; round++) {
        struct graph *graph = graph_new(N);
        struct graph *without = graph_new(N);
        for (int i = 0; i < 40; i++) {
            size_t a = (size_t)rand() % N;
            size_t b = (size_t)rand() % N;
            if (a < b) {
                graph_add_edge(graph, a, b);
                graph_add_edge(without, a, b);
            } else if (a != b && i % 2) {
                graph_add_wish(graph, a, b);
            }
        }
        graph_freeze(graph);
        size_t order[N];
        size_t place[N];
        size_t before;
        size_t after;
        CHECK(graph_order(graph, order) == N);
        for (size_t i = 0; i < N; i++)
            place[order[i]] = i;
        /* Each that was left out contradicts what holds, by itself or with others left out. */
        for (size_t i = 0; graph_get_left_out(graph, i, &before, &after); i++)
            graph_add_edge(without, before, after);
        graph_freeze(without);
        for (size_t i = 0; graph_get_left_out(graph, i, &before, &after); i++)
            CHECK(graph_find_circle(without, order) > 0);
        for (size_t node = 0; node < N; node++) {
            size_t n;
            const size_t *dependents = graph_dependents(graph, node, &n);
            for (size_t i = 0; i < n; i++)
                CHECK(place[node] < place[dependents[i]]);
        }
        graph_free(graph);
        graph_free(without);
    }
}

/* All of 0..2 before all of 3..5 and 1, 4, 6 in a chain, once by edges and once by a hub. */
static struct graph *make_layers(bool has_hub, bool has_circle)
{
    struct graph *graph = graph_new(7);
    size_t hub = has_hub ? graph_add_hub(graph) : 0;
    for (size_t i = 0; i < 3; i++) {
        if (has_hub) {
            graph_add_edge(graph, i, hub);
            graph_add_edge(graph, hub, 3 + i);
        }
        for (size_t k = 3; !has_hub && k < 6; k++)
            graph_add_edge(graph, i, k);
    }
    graph_add_edge(graph, 6, 1);
    if (has_circle)
        graph_add_edge(graph, 4, 6);
    graph_freeze(graph);
    return graph;
}

TEST(a_hub_orders_as_the_edges_that_it_stands_for)
{
    size_t plain_order[7], hub_order[7];
    struct graph *plain = make_layers(false, false);
    struct graph *with_hub = make_layers(true, false);
    CHECK(graph_order(plain, plain_order) == 7 && graph_order(with_hub, hub_order) == 7);
    for (size_t i = 0; i < 7; i++)
        CHECK(plain_order[i] == hub_order[i]);
    CHECK(graph_dependency_count(with_hub, 7) == 3 && graph_dependency_count(with_hub, 4) == 1);
    graph_free(plain);
    graph_free(with_hub);
}

TEST(a_circle_through_a_hub_is_told_without_it)
{
    static const size_t want[] = {1, 4, 6};
    size_t circle[7];
    struct graph *graph = make_layers(true, true);
    CHECK(graph_order(graph, circle) < 7);
    CHECK(graph_find_circle(graph, circle) == 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(circle[i] == want[i]);
    graph_free(graph);
}

TEST(a_hub_that_waits_for_nothing_keeps_nobody_waiting)
{
    size_t order[2];
    struct graph *graph = graph_new(2);
    size_t hub = graph_add_hub(graph);
    graph_add_edge(graph, hub, 0);
    graph_add_edge(graph, 1, 0);
    graph_freeze(graph);
    CHECK(graph_order(graph, order) == 2 && order[0] == 1 && order[1] == 0);
    graph_free(graph);
}

TEST(an_empty_graph_has_an_empty_order)
{
    struct graph *graph = make_graph(0, NULL, 0);
    CHECK(graph_order(graph, NULL) == 0);
    CHECK(graph_find_circle(graph, NULL) == 0);
    graph_free(graph);
}

TEST(a_hundred_thousand_nodes_that_wait_for_one_are_ordered)
{
    enum { N = 100000 };
    struct graph *graph = graph_new(N);
    for (size_t i = 0; i + 1 < N; i++)
        graph_add_edge(graph, N - 1, i);
    graph_freeze(graph);
    size_t *order = NEW_ARRAY(size_t, N);
    CHECK(graph_order(graph, order) == N);
    CHECK(order[0] == N - 1 && order[N - 1] == N - 2);
    mem_free(order);
    graph_free(graph);
}
