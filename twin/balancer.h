/* The module of balancers: HAProxy in front of what runs on hosts. */
#pragma once

#include "twin/module.h"

/*
 * For who restarts what runs on a port of a host: between these two no request is sent there, as
 * far as there are others that can take it. Both wait.
 */
CO_FN void balancer_drain(struct twin *twin, const char *host, uint16_t port);
CO_FN void balancer_resume(struct twin *twin, const char *host, uint16_t port);
