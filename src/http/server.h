/*
 * An HTTP/1.1 server on the loop, on libmicrohttpd: connections, limits, deadlines, requests,
 * answers. It knows nothing of what they mean. Each request is one coroutine that may wait.
 *
 * What two readers could understand differently is refused with 400 and ends the connection: a
 * Content-Length or a Host that comes twice, a Content-Length beside a Transfer-Encoding, a folded
 * header, a line that ends without CR, control characters. A request with a chunked body is the
 * last of its connection. Methods are passed on as they are.
 *
 * A client that is slow to send or to read is ended by deadlines for the whole of a header, a body,
 * an answer; silence alone is not waited for. Header and body of requests that run, connections and
 * coroutines are bounded, so memory is.
 */
#pragma once

#include "base/error.h"
#include "net/coroutine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http_server;
struct http_request;

struct http_header {
    const char *name;
    const char *value;
};

/* What stands where 0 or NULL is given. */
enum {
    HTTP_MAX_BODY = 1024 * 1024,
    HTTP_MAX_HEADERS = 16 * 1024,
    HTTP_MAX_CONNECTIONS = 1024,
    HTTP_MAX_REQUESTS = 256,
    HTTP_MAX_BUFFERED = 256 * 1024,
    HTTP_HEADER_SECONDS = 10,
    HTTP_BODY_SECONDS = 30,
    HTTP_IDLE_SECONDS = 60,
    HTTP_STALL_SECONDS = 30
};

struct http_settings {
    const char *address;     /* a numeric one; NULL: 127.0.0.1, and ::1 where there is IPv6 */
    uint16_t port;           /* 0: one that is free */
    const char *certificate; /* PEM text of the chain and its key; both NULL: plain HTTP */
    const char *key;
    size_t max_body;           /* 413 above */
    size_t max_headers;        /* with the request line; 431 above */
    size_t max_connections;    /* one more takes the place of who waits longest, or gets 503 */
    size_t max_per_address;    /* the same, among those of one address; 0: no limit but the other */
    size_t max_requests;       /* that run at once; 503 above */
    size_t max_buffered;       /* of a stream; who writes more waits for the client */
    int64_t header_timeout_us; /* from the connection, or a request's first line, to its last header
                                */
    int64_t body_timeout_us;   /* for the whole body */
    int64_t idle_timeout_us;   /* from an answer to the end of the next request's headers */
    int64_t stall_timeout_us;  /* for a client that reads nothing */
    /*
     * Answers a request, in a coroutine of its own. It begins inside the server's callback: until
     * it waits for the first time it must not be long. Whoever returns without an answer leaves
     * 500. The request is gone when this returns.
     */
    CO_FN void (*handle)(void *argument, struct http_request *request);
    void *argument;
};

/*
 * Listens; settings are copied but for certificate and key, which are read here. ERROR_INVALID for
 * an address or a certificate that is none, ERROR_BUSY for a port that is taken.
 */
int http_server_start(struct loop *loop, const struct http_settings *settings,
                      struct http_server **ret_server, struct error *err);
uint16_t http_server_port(const struct http_server *server);

/*
 * Listens no more, closes connections without a request, and lets the others finish until the
 * deadline (negative: none); then their clients are cut off and the handlers told so. Returns when
 * the last handler has returned, and frees the server. No handler may call it.
 */
CO_FN void http_server_stop(struct http_server *server, int64_t deadline);

/* How many there are now. */
struct http_counts {
    size_t n_connections;
    size_t n_requests;  /* whose handler runs */
    uint64_t n_wakeups; /* how often the loop called the server, ever */
    uint64_t n_cut;     /* connections ended by a deadline, ever */
    uint64_t n_refused; /* connections refused or evicted for a limit, ever */
};
struct http_counts http_server_count(const struct http_server *server);

/* --- A request; its texts live until handle() returns. --- */

const char *http_request_method(const struct http_request *request);
/* As it came, percent signs and all, without the query: "/mcp"; "*" or "http://..." are possible.
 */
const char *http_request_path(const struct http_request *request);
/* What follows the first question mark; NULL when there is none. */
const char *http_request_query(const struct http_request *request);
/* The value without blanks around it, NULL when there is none; of several the first. Names are
 * case-insensitive. */
const char *http_request_header(const struct http_request *request, const char *name);
/* How often a header came: who must be able to believe it wants to see 1. */
size_t http_request_header_count(const struct http_request *request, const char *name);
/* All of it; a NUL follows, which the length leaves out. */
const char *http_request_body(const struct http_request *request);
size_t http_request_body_length(const struct http_request *request);
/* The client's numeric address. */
const char *http_request_peer(const struct http_request *request);
bool http_request_is_tls(const struct http_request *request);

/* Whether the client has closed the connection, or only its half of it: nobody waits for the
 * answer, as far as one can know. */
bool http_request_is_gone(const struct http_request *request);
/* Calls gone(argument) once when that happens, from the loop; at once when it has happened.
 * gone NULL: not any more. */
void http_request_on_gone(struct http_request *request, void (*gone)(void *argument),
                          void *argument);

/* --- The answer: once for each request. --- */

/*
 * Answers with a copy of the body. headers ends with a name NULL, or is NULL; Content-Length, Date
 * and Connection are added. A header with a line break in it makes the answer 500. A client that
 * is gone gets it if it can.
 */
void http_answer(struct http_request *request, unsigned int status,
                 const struct http_header *headers, const void *body, size_t length);

/*
 * Or begins a stream: its head goes out at once, the body is what is written, until its end. With
 * HTTP/1.1 it comes in chunks, with 1.0 it ends with the connection. A handler that returns without
 * the end breaks the connection off, so that the client sees that something is missing.
 */
void http_stream_begin(struct http_request *request, unsigned int status,
                       const struct http_header *headers);
/*
 * Sends a copy of the bytes as soon as the client takes them; waits while settings.max_buffered are
 * on their way. ERROR_UNAVAILABLE when the client is gone, or was cut off because it read nothing
 * for settings.stall_timeout_us.
 */
CO_FN int http_stream_write(struct http_request *request, const void *bytes, size_t length,
                            struct error *err);
void http_stream_end(struct http_request *request);
