/* Servers that get no new requests, whichever balancer has them and however often it reloads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct balancer_hold {
    char *host;           /* owned */
    uint16_t port;        /* 0: all of them */
    unsigned int reasons; /* of enum balancer_reason; not 0 */
};

/* Zero-initialise it. */
struct balancer_holds {
    struct balancer_hold *items; /* owned */
    size_t n_items;
    size_t capacity;
};
void balancer_holds_done(struct balancer_holds *holds);

/* holds may be NULL: then nobody is held. */
bool balancer_is_held(const struct balancer_holds *holds, const char *host, uint16_t port);
void balancer_holds_add(struct balancer_holds *holds, const char *host, uint16_t port,
                        unsigned int reason);
/* Whether it is held no more, and was. */
bool balancer_holds_remove(struct balancer_holds *holds, const char *host, uint16_t port,
                           unsigned int reason);
