/* The MCP door: what `parley mcp` and `parley serve` run. */
#pragma once

#include "service/service.h"

/*
 * Serves the client that started us over standard input and output, until it closes its end. Who
 * asks is the user of this process.
 */
CO_FN int door_serve_stdio(struct loop *loop, const struct service_options *options,
                           struct error *err);
