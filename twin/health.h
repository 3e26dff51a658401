/*
 * Whether a program of a host is well, as a command that runs beside it tells, again and again: in
 * the same cage and network and as the same user. Knows of nobody who acts on it.
 *
 * While the program starts its failures count only when the start's time has passed; so many in a
 * row as the check says, and it is unhealthy, until the first success. A program that is started
 * anew begins anew here, too. A command that cannot be run tells nothing: the health is
 * "unchecked".
 */
#pragma once

#include "twin/machine.h"
#include "twin/process.h"

enum health_state {
    HEALTH_STARTING,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
    HEALTH_UNCHECKED,
    HEALTH_STATE_COUNT
};
const char *health_state_to_string(enum health_state state);

struct health;

/* All borrowed and copied, but for the files, subject, turned and argument, which outlive it. */
struct health_spec {
    const struct machine_check *check; /* with a command */
    struct process_spec program; /* of what is run: name, host, files, user, environment, quota */
    const struct process *subject;
    /* Called at each change; it may wait. */
    CO_FN void (*turned)(void *argument, enum health_state before, enum health_state now);
    void *argument;
};

/* Begins to ask. Freed with health_stop(). */
struct health *health_start(struct loop *loop, struct processes *processes,
                            const struct health_spec *spec);
/* Ends a command that runs, waits for it and frees all. Accepts NULL. */
CO_FN void health_stop(struct health *take_health);

enum health_state health_state(const struct health *health);
/* What the last command that failed said, or why it cannot be run; "" when all is well. */
const char *health_problem(const struct health *health);
/* Waits while it starts, up to the deadline; returns what it is then. */
CO_FN enum health_state health_await(struct health *health, int64_t deadline);
