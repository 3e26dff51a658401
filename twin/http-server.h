/* A small HTTP/1.1 server on the loop: a coroutine for each connection, limits on everything. */
#pragma once

#include "twin/http.h"

/* Borrowed for the time of one call. */
struct http_request {
    const char *method;
    const char *path;  /* as sent, without the query */
    const char *query; /* "" when there is none */
    const char *body;  /* ends with a NUL that body_size leaves out */
    size_t body_size;
};

struct http_answer {
    int code;
    const char *content_type; /* borrowed until it is sent; a literal */
    struct strbuf body;       /* freed by the server */
};

struct http_service {
    /* Fills the answer, which is 200 and empty before. Several may run at once. */
    CO_FN void (*answer)(void *argument, const struct http_request *request,
                         struct http_answer *ret_answer);
    void *argument;         /* borrowed, outlives the server */
    size_t max_connections; /* more wait to be accepted */
    int64_t idle_us;        /* a connection that asks nothing for so long is closed */
};

struct http_server;

/* Serves on a listening, non-blocking descriptor. */
struct http_server *http_server_new(struct loop *loop, int take_fd,
                                    const struct http_service *service);
/*
 * Accepts no more, closes idle connections, lets requests under way end until the deadline, cuts
 * the rest off and frees it. Accepts NULL.
 */
CO_FN void http_server_free(struct http_server *server, int64_t deadline);

/* Makes a descriptor listen: a bound address is the caller's. Non-blocking and close-on-exec. */
int http_listen(uint32_t ip, uint16_t port, int *ret_fd, struct error *err);
