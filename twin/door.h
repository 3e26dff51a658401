/* Answers on the twin's socket. What a request means is converge's business. */
#pragma once

#include "twin/converge.h"

struct door;

struct door_events {
    /* Everything is to end: after "down", with the last resource, or when nothing is held and
     * nobody has been connected for some seconds. Called once. */
    void (*ended)(void *argument, bool wipe);
    void *argument;
};

struct door *door_new(struct twin *twin, const struct door_events *events);
/* Takes a connection over; its peer is known to be the twin's own user. */
void door_accept(struct door *door, int take_fd);
/* Closes all connections, once their answers are on their way. Accepts NULL. */
CO_FN void door_free(struct door *door);
