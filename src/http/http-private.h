/* What the files of the room share; nobody else includes this. */
#pragma once

#include "base/strbuf.h"
#include "http/head.h"
#include "http/late.h"
#include "http/server.h"
#include "net/loop.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { MAX_LISTENERS = 2 };

struct listener {
    struct http_server *server;
    int fd; /* owned */
    struct watch *watch;
};

struct http_server {
    struct loop *loop;
    struct http_settings settings; /* certificate and key are forgotten */
    bool is_tls;
    bool is_stopping;
    uint16_t port;
    struct listener listeners[MAX_LISTENERS];
    size_t n_listeners;
    struct MHD_Daemon *daemon;
    struct watch *daemon_watch;
    bool is_run_planned;
    struct timer *accept_timer; /* no descriptor was free */
    int hangup_fd;              /* owned: an epoll that sees only that clients close */
    struct watch *hangup_watch;
    struct timer *deadline_timer;
    int64_t armed_deadline; /* when it rings; no connection's deadline is before it */
    struct connection *first;
    struct http_counts counts;
    struct gate changed; /* opens when a connection or a handler has ended */
};

/* A client; lives from accept to close. */
struct connection {
    struct http_server *server;
    struct MHD_Connection *mhd;
    int fd; /* the daemon's */
    char address[INET6_ADDRSTRLEN];
    struct http_request *request; /* the one under way; NULL between them */
    int64_t deadline;             /* INT64_MAX: none */
    int64_t since;                /* when it began to wait for a request */
    bool is_gone;
    struct connection *next;
    struct connection **link;
};

enum request_state {
    REQUEST_STARTED, /* its first line has been read */
    REQUEST_BODY,    /* its head is right */
    REQUEST_RUNNING, /* its handler has begun */
    REQUEST_SENDING, /* its answer is the daemon's */
};

struct http_stream {
    struct strbuf pending;
    size_t n_fetched; /* bytes of it that the daemon has */
    bool is_ended;
    struct gate drained; /* opens when the daemon has fetched some, or the client is gone */
};

struct http_request {
    struct http_server *server;
    struct connection *connection; /* NULL when the daemon has no more to do with it */
    struct MHD_Connection *mhd;    /* the same */
    enum request_state state;
    const char *raw_target; /* where it stands in the daemon's memory; only to compare */
    char *target;           /* owned; path and query */
    char *query;
    struct head head;
    char peer[INET6_ADDRSTRLEN];
    struct strbuf body;
    size_t n_skipped;     /* bytes of a body that is too large */
    unsigned int refused; /* the status it gets without being handled; 0 */
    bool is_last;         /* of its connection */
    bool is_handled;      /* its coroutine has not ended */
    bool is_suspended;    /* the daemon waits for our resume */
    bool is_gone;
    bool is_answered;
    void (*gone)(void *argument);
    void *gone_argument;
    unsigned int status;
    struct http_stream stream;
    struct MHD_Response *response; /* owned until it is the daemon's */
};

/* --- connection.c --- */

/* Lets the daemon do what there is to do. */
void server_run_daemon(struct http_server *server);
/* The same in the next turn of the loop. */
void server_plan_run(struct http_server *server);
/* Listens on fd (taken). */
void server_add_listener(struct http_server *server, int take_fd);
void server_remove_listeners(struct http_server *server);
/* MHD_NotifyConnectionCallback. */
void connection_notify(void *server, struct MHD_Connection *mhd, void **context,
                       enum MHD_ConnectionNotificationCode code);
/* From now on it is cut then, unless another deadline is set. */
void connection_set_deadline(struct connection *connection, int64_t deadline);
/* It waits for a request from now on. */
void connection_wait(struct connection *connection, int64_t timeout_us);
/* Ends it: the daemon finds it closed. */
void connection_cut(struct connection *connection);
void server_see_hangups(struct http_server *server);
void server_see_deadlines(struct http_server *server);

/* --- request.c --- */

/* MHD's callbacks: the first line, each piece of a request, its end. */
void *request_started(void *argument, const char *target, struct MHD_Connection *mhd);
enum MHD_Result request_continued(void *argument, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context);
void request_completed(void *argument, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode code);
/* Its client is gone: tells the handler. */
void request_lose(struct http_request *request);

/* --- answer.c --- */

/* The daemon takes the answer: at once or, when it waits for it, in its next turn. */
void request_resume(struct http_request *request);
/* Hands the answer to the daemon, inside its callback. */
enum MHD_Result request_send(struct http_request *request);
/* Sets the answer (response taken); 500 when a header has a line break. */
void request_answer(struct http_request *request, unsigned int status,
                    const struct http_header *headers, struct MHD_Response *take_response);
/* An answer of our own: a status and its name. */
void request_answer_plainly(struct http_request *request, unsigned int status);

/* --- stream.c --- */

/* A response of a copy of these bytes, which the daemon fetches in pieces. */
struct MHD_Response *stream_whole(struct http_request *request, const void *bytes, size_t length);
