/*
 * A server over HTTP: Streamable HTTP of both eras (2026-07-28, basic/transports/http; 2025-11-25,
 * basic/transports), on one path that takes POST. No session is kept here: what a legacy client
 * said of itself lies sealed in its session id, which so survives a restart.
 */
#pragma once

#include "http/server.h"
#include "mcp/server.h"

/* Who shows this token; false: nobody that is known. What *ret_caller is given is freed with
 * web_settings.release. */
struct web_identity {
    const char *principal;
    void *caller; /* as the tools know them */
};

struct web_settings {
    struct http_settings http; /* handle and argument are set here */
    const char *path;          /* NULL: "/mcp" */
    /* More names by which clients may reach us, and origins whose pages may ask; NULL-terminated,
     * or NULL. Those of this machine always may while it is served without TLS. */
    const char *const *hosts, *const *origins;
    const char *url; /* by which people reach us; NULL: as their client did */
    /*
     * Who asks: token is what Authorization: Bearer carried, NULL without one. False: nobody, which
     * is answered with 401. identity lives until release().
     */
    bool (*authenticate)(void *argument, const char *token, struct web_identity *ret_identity);
    void (*release)(void *argument, struct web_identity *identity);
    /*
     * Whether one more request may come now: 0, or how many microseconds to wait. identity NULL: of
     * nobody that is known, from the address peer; shows_token: it tried one. May be NULL.
     */
    int64_t (*admit)(void *argument, const struct web_identity *identity, const char *peer,
                     bool shows_token);
    /* Answers a request to another path, which came to a name of ours; false: nothing is there. May
     * be NULL. */
    CO_FN bool (*answer_other)(void *argument, struct http_request *request);
    void *argument;
};

struct web;
/* settings are borrowed while it serves. */
int web_start(struct loop *loop, struct mcp_server *server, const struct web_settings *settings,
              struct web **ret_web, struct error *err);
uint16_t web_port(const struct web *web);
/* Ends it: what only waits is cancelled, the rest may finish for some seconds. */
CO_FN void web_stop(struct web *web);
