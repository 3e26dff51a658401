/* What the headers of a request must say, of both eras. Private to web.c. */
#pragma once

#include "http/server.h"
#include "mcp/server.h"

/* Whether a request is to a name that must not reach us: as below. */
const char *web_check_host(const struct http_request *request, const char *const *hosts);
/*
 * Whether a request comes from a page or to a name that must not reach us: NULL when it may, else
 * why not. Against DNS rebinding: a page's own name leads to this machine.
 */
const char *web_check_origin(const struct http_request *request, const char *const *hosts,
                             const char *const *origins);
/* Whether it is JSON and takes an answer: NULL, else why not. */
const char *web_check_content(const struct http_request *request);
/* Whether header or message say that it is of the modern era. */
bool web_is_modern(const struct http_request *request, const struct rpc_message *message);
/* Headers against the message (2026-07-28: they must be there, and say the same). */
int web_check_headers(const struct mcp_server *server, const struct http_request *request,
                      const struct rpc_message *message, bool is_modern, struct rpc_fault *fault);
