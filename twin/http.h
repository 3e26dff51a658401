/*
 * HTTP/1.1 messages (RFC 9112) on one connection, both sides: what the twin's small servers and
 * clients share. Strict in what it takes: what two readers could understand differently is refused.
 */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_HEAD_LIMIT = 16 * 1024,
    HTTP_BODY_LIMIT = 1024 * 1024,
    HTTP_METHOD_SIZE = 16,
    HTTP_TYPE_SIZE = 64
};

/* A connection and the bytes that came but were not used yet. Zero-initialise it, fd -1. */
struct http_stream {
    struct loop *loop; /* borrowed */
    int fd;            /* owned */
    struct strbuf in;
    size_t used; /* bytes of in that belong to earlier messages */
};
void http_stream_init(struct http_stream *stream, struct loop *loop, int take_fd);
void http_stream_done(struct http_stream *stream);

/* The first lines of a message. */
struct http_head {
    char method[HTTP_METHOD_SIZE];     /* of a request */
    char *target;                      /* owned; of a request */
    int code;                          /* of an answer */
    char content_type[HTTP_TYPE_SIZE]; /* "" when there is none, or a longer one */
    bool is_end;                       /* the other side closed; there is no message */
    bool keeps_open;                   /* whether another message may follow */
    bool expects_continue;
    bool is_chunked;
    bool has_length;
    uint64_t length;
};
void http_head_done(struct http_head *head);
/* All lines of a head of size bytes, which ends with an empty one. A head that is refused may be
 * filled in in part; the errors are those of http_read_request(). */
int http_parse_head(struct http_head *head, const char *text, size_t size, bool is_request,
                    struct error *err);

/*
 * Reads a request's head, or sets is_end when the connection ended before its first byte. A refused
 * one is ERROR_INVALID (400), ERROR_LIMIT (431), ERROR_UNSUPPORTED (501 or 505), ERROR_TIMEOUT.
 */
CO_FN int http_read_request(struct http_stream *stream, int64_t deadline,
                            struct http_head *ret_head, struct error *err);
/* Reads an answer's head. ERROR_UNAVAILABLE when the connection ends before it is complete. */
CO_FN int http_read_answer(struct http_stream *stream, int64_t deadline, struct http_head *ret_head,
                           struct error *err);
/*
 * Reads what follows a head; at most limit bytes, else ERROR_LIMIT. body may be NULL: it is
 * skipped. An answer without a length ends with the connection; a request without one has none.
 */
CO_FN int http_read_body(struct http_stream *stream, const struct http_head *head, size_t limit,
                         int64_t deadline, struct strbuf *body, struct error *err);
CO_FN int http_write(struct http_stream *stream, const char *bytes, size_t size, int64_t deadline,
                     struct error *err);

/* Connects a non-blocking socket, which stays the caller's, to an IPv4 address in host order. */
CO_FN int http_connect(struct loop *loop, int fd, uint32_t ip, uint16_t port, int64_t deadline,
                       struct error *err);

/* A request of ours and what came back. */
struct http_exchange {
    const char *method; /* borrowed, as all of the request */
    const char *target;
    const char *host;
    const char *content_type; /* NULL without a body */
    const char *body;         /* NULL: none */
    size_t limit;             /* of the answer's body */

    int code;
    char answer_type[HTTP_TYPE_SIZE];
    struct strbuf answer; /* owned */
    bool keeps_open;      /* whether the stream can be used again */
};
void http_exchange_done(struct http_exchange *exchange);
/* Fails only when there is no complete answer; its code is the caller's to judge. */
CO_FN int http_exchange(struct http_stream *stream, struct http_exchange *exchange,
                        int64_t deadline, struct error *err);

/* "OK" for 200; "Unknown" for a code that the twin does not use. */
const char *http_reason(int code);
