/*
 * Who finds out, for those who listen, what any process changed in the store: it looks once a
 * second whether anything was committed, and only then at the marks of what is listened to. While
 * nobody listens it does nothing.
 */
#pragma once

#include "mcp/pool.h"
#include "mcp/server.h"

struct watch;
/* Becomes the server's watcher. All is borrowed; as: in whose name it looks. */
struct watch *watch_new(struct loop *loop, struct pool *pool, const struct caller *as,
                        struct mcp_server *server);
/* Nobody may listen any more. Accepts NULL. */
CO_FN void watch_end(struct watch *watch);
