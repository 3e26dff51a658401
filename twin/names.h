/*
 * Answers to questions for the names of what stands on the twin (RFC 1035). Pure.
 *
 * Known are, with or without ".twin.internal": hosts; resources and services that have hosts, by
 * all of their addresses; databases by the address that follows the primary; the domains of
 * certificates by the frontends that show them, also "*.shop.example". Addresses lead back to the
 * names of hosts. Everything else does not exist here: the twin has no way to ask the outside.
 */
#pragma once

#include "twin/machine.h"

#define NAMES_DOMAIN "twin.internal"
#define NAMES_PORT 53

/* The longest message that any resolver takes. */
#define NAMES_MESSAGE 512

/*
 * Answers a message of size bytes; returns the size of the answer, 0 when it deserves none. Where
 * there are more addresses than a message takes, which ones come first turns with the turn.
 */
size_t names_answer(const struct machine *machine, const uint8_t *message, size_t size,
                    unsigned int turn, uint8_t ret_answer[NAMES_MESSAGE]);
