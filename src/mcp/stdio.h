/* A server on a pair of streams: one JSON-RPC message a line. */
#pragma once

#include "mcp/server.h"

/*
 * Serves the client at the other end until it closes its end; then what is under way is cancelled.
 * like says who that is. Requests are carried out side by side, at most 64; more wait unread.
 */
CO_FN int mcp_serve_stdio(struct mcp_server *server, struct loop *loop,
                          const struct mcp_exchange *like, int take_input, int take_output,
                          struct error *err);
