/* The MCP door: what `parley mcp` and `parley serve` run. */
#pragma once

#include "service/service.h"

/*
 * Serves the client that started us over standard input and output, until it closes its end. Who
 * asks is the user of this process.
 */
CO_FN int door_serve_stdio(struct loop *loop, const struct service_options *options,
                           struct error *err);

/* Where and whom to serve over HTTP; all borrowed. */
struct door_place {
    const char *listen; /* "127.0.0.1:7420"; NULL: that */
    const char *tokens; /* the file of auth/tokens.h; NULL: tokens.yaml in the state folder */
    const char *certificate, *key; /* files in PEM; both NULL: without TLS, on this machine alone */
    const char *host;              /* a name by which clients may reach us; NULL: none but ours */
    int64_t rate; /* requests of a principal in a minute; 0: what is usual, negative: no limit */
};
/*
 * Serves over HTTP until SIGINT or SIGTERM. ERROR_INVALID for what would not be safe: without
 * tokens, or elsewhere than on this machine without TLS.
 */
CO_FN int door_serve_web(struct loop *loop, const struct service_options *options,
                         const struct door_place *place, struct error *err);
