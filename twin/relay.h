/*
 * Carries bytes between pairs of connections on the loop, by callbacks: a coroutine each would be
 * too much for thousands of them. Knows nothing of what the bytes mean.
 */
#pragma once

#include "base/error.h"
#include "net/loop.h"

#include <stddef.h>

struct relay_spec {
    size_t max_connections; /* more wait to be accepted */
    int64_t idle_us;        /* a pair that carries nothing for so long is closed */
    int64_t connect_us;     /* time for the other side to answer */
    /* Gives a non-blocking socket whose connection to the other side is under way. */
    int (*open_other)(void *argument, int *ret_fd, struct error *err);
    void *argument; /* borrowed, outlives the relay */
};

struct relay;

/* Accepts on a listening, non-blocking descriptor. */
struct relay *relay_new(struct loop *loop, int take_fd, const struct relay_spec *spec);
/* Closes all connections. Accepts NULL. */
void relay_free(struct relay *relay);

/* How many pairs there are now, and how many there ever were. */
size_t relay_count(const struct relay *relay);
uint64_t relay_total(const struct relay *relay);
