/* The module of balancers: HAProxy in front of what runs on hosts. */
#pragma once

#include "twin/module.h"

/*
 * For who restarts what runs on a port of a host: between these two no request is sent there, as
 * far as there are others that can take it. Both wait.
 */
CO_FN void balancer_drain(struct twin *twin, const char *host, uint16_t port);
CO_FN void balancer_resume(struct twin *twin, const char *host, uint16_t port);

/* Why nothing new is sent to a server, whoever else is there or not. */
enum balancer_reason {
    BALANCER_UNHEALTHY = 1 << 0,
    BALANCER_DRAINED = 1 << 1,
};
/*
 * From now on no balancer, also no later one, sends new requests to a port of a host (0: to none of
 * its ports), until it is let in again for each of the reasons. Those under way go on. Both wait.
 */
CO_FN void balancer_hold(struct twin *twin, const char *host, uint16_t port,
                         enum balancer_reason reason);
CO_FN void balancer_let_in(struct twin *twin, const char *host, uint16_t port,
                           enum balancer_reason reason);
/* As balancer_let_in(), for what is gone: nobody is told. */
void balancer_forget(struct twin *twin, const char *host, uint16_t port,
                     enum balancer_reason reason);
