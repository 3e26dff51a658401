/*
 * A request from its first line to its end, inside the daemon's callbacks: its head is checked, its
 * body gathered, its handler started, and the daemon suspended until there is an answer.
 */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "http/http-private.h"
#include "net/coroutine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BAD_REQUEST = 400,
    TOO_LARGE = 413,
    HEADERS_TOO_LARGE = 431,
    SERVER_ERROR = 500,
    UNAVAILABLE = 503
};

/* So much more of a body that is too large is read and dropped, so that its client can still read
 * why: a connection that is closed with bytes unread takes the answer with it. */
enum { SKIP_LIMIT = 1024 * 1024 };

static void request_free(struct http_request *request)
{
    head_done(&request->head);
    strbuf_done(&request->body);
    strbuf_done(&request->stream.pending);
    mem_free(request->target);
    mem_free(request);
}

void *request_started(void *argument, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *server = argument;
    struct connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    assert(connection && !connection->request);
    struct http_request *request = NEW(struct http_request);
    request->server = server;
    request->connection = connection;
    request->mhd = mhd;
    request->raw_target = target;
    request->target = string_copy(target ? target : "");
    request->is_gone = connection->is_gone;
    memcpy(request->peer, connection->address, sizeof(request->peer));
    connection->request = request;
    int64_t deadline = world_monotonic_clock() + server->settings.header_timeout_us;
    if (deadline < connection->deadline)
        connection_set_deadline(connection, deadline);
    return request;
}

/* --- The head --- */

struct comparison {
    const char *block;
    const struct head *head;
    size_t index;
    bool is_same;
};

static enum MHD_Result compare_field(void *argument, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct comparison *comparison = argument;
    size_t i = comparison->index++;
    (void)kind;
    comparison->is_same = i < comparison->head->n_fields &&
                          name == comparison->block + head_name_offset(comparison->head, i) &&
                          value == comparison->block + head_value_offset(comparison->head, i);
    return comparison->is_same ? MHD_YES : MHD_NO;
}

/* Whether the daemon has found the very headers that we have. */
static bool is_what_the_daemon_read(const struct http_request *request, const char *block)
{
    struct comparison comparison = {.block = block, .head = &request->head, .is_same = true};
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, compare_field, &comparison);
    return comparison.is_same && comparison.index == request->head.n_fields;
}

static bool is_target(const char *target)
{
    for (const char *at = target; *at; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
            return false;
    return *target != '\0';
}

/* The status that refuses the head; 0 when it is right. */
static unsigned int read_head(struct http_request *request, const char *method, const char *version)
{
    size_t size =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    bool is_1_1 = text_equal(version, "HTTP/1.1");
    if (size > request->server->settings.max_headers)
        return HEADERS_TOO_LARGE;
    if ((!is_1_1 && !text_equal(version, "HTTP/1.0")) || !is_target(request->target) ||
        request->raw_target != method + strlen(method) + 1 ||
        version != request->raw_target + strlen(request->target) + 1 ||
        !head_read(&request->head, method, size, (size_t)(version - method)) ||
        !is_what_the_daemon_read(request, method))
        return BAD_REQUEST;
    return head_check(&request->head, is_1_1);
}

static enum MHD_Result refuse_at_once(struct http_request *request, unsigned int status)
{
    request->is_last = true;
    request_answer_plainly(request, status);
    return request_send(request);
}

/* What the client says the body's length is; 0 when it does not. */
static uint64_t announced_length(const struct http_request *request)
{
    const char *length = head_find(&request->head, "Content-Length");
    return length ? strtoull(length, NULL, 10) : 0;
}

static enum MHD_Result begin(struct http_request *request, const char *method, const char *version)
{
    const struct http_settings *settings = &request->server->settings;
    unsigned int status = read_head(request, method, version);
    if (status)
        return refuse_at_once(request, status);
    request->query = strchr(request->target, '?');
    if (request->query)
        *request->query++ = '\0';
    bool is_chunked = head_is_chunked(&request->head);
    uint64_t length = announced_length(request);
    if (length > settings->max_body && length - settings->max_body > SKIP_LIMIT)
        return refuse_at_once(request, TOO_LARGE);
    if (length > settings->max_body)
        request->refused = TOO_LARGE;
    /* The daemon takes chunks that another reader would cut elsewhere: what follows is not read. */
    request->is_last = is_chunked;
    request->state = REQUEST_BODY;
    if (length > 0 || is_chunked)
        connection_set_deadline(request->connection,
                                world_monotonic_clock() + settings->body_timeout_us);
    return MHD_YES;
}

/* --- The body --- */

static void gather(struct http_request *request, const char *upload, size_t size)
{
    size_t limit = request->server->settings.max_body;
    if (!request->refused && size > limit - request->body.length) {
        request->refused = TOO_LARGE;
        strbuf_done(&request->body);
    }
    if (!request->refused) {
        strbuf_add_n(&request->body, upload, size);
        return;
    }
    request->n_skipped += size;
    if (request->n_skipped > limit + SKIP_LIMIT)
        connection_cut(request->connection);
}

/* --- The handler --- */

static void handle(void *argument)
{
    struct http_request *request = argument;
    struct http_server *server = request->server;
    server->settings.handle(server->settings.argument, request);
    if (!request->is_answered)
        request_answer_plainly(request, SERVER_ERROR);
    request->is_handled = false;
    request->gone = NULL;
    request_resume(request);
    server->counts.n_requests--;
    gate_open(server->loop, &server->changed);
    if (!request->mhd)
        request_free(request);
}

/* The daemon's frames stay on the loop's stack while the coroutine runs its first stretch on its
 * own: it comes back here when it waits, and many never do. */
static void run(struct http_request *request)
{
    struct http_server *server = request->server;
    request->state = REQUEST_RUNNING;
    if (server->counts.n_requests >= server->settings.max_requests) {
        request_answer_plainly(request, UNAVAILABLE);
        return;
    }
    request->is_handled = true;
    server->counts.n_requests++;
    request->connection->deadline = INT64_MAX;
    coroutine_resume(coroutine_new("request", handle, request));
}

enum MHD_Result request_continued(void *argument, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct http_request *request = *context;
    (void)argument;
    (void)url;
    if (request->state == REQUEST_STARTED)
        return begin(request, method, version);
    if (*upload_size > 0) {
        size_t size = *upload_size;
        *upload_size = 0;
        gather(request, upload, size);
        return MHD_YES;
    }
    if (request->refused)
        request_answer_plainly(request, request->refused);
    else if (request->state == REQUEST_BODY)
        run(request);
    if (request->response)
        return request_send(request);
    request->is_suspended = true;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

void request_lose(struct http_request *request)
{
    if (request->is_gone)
        return;
    request->is_gone = true;
    gate_open(request->server->loop, &request->stream.drained);
    void (*gone)(void *argument) = request->gone;
    request->gone = NULL;
    if (gone)
        gone(request->gone_argument);
}

void request_completed(void *argument, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *context;
    struct http_server *server = argument;
    (void)mhd;
    if (!request)
        return;
    *context = NULL;
    request->connection->request = NULL;
    connection_wait(request->connection, server->settings.idle_timeout_us);
    request->connection = NULL;
    request->mhd = NULL;
    if (request->response && request->state != REQUEST_SENDING)
        MHD_destroy_response(request->response);
    request->response = NULL;
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        request_lose(request);
    gate_open(server->loop, &request->stream.drained);
    if (!request->is_handled)
        request_free(request);
}

/* --- What handlers ask --- */

const char *http_request_method(const struct http_request *request)
{
    return request->head.method;
}

const char *http_request_path(const struct http_request *request)
{
    return request->target;
}

const char *http_request_query(const struct http_request *request)
{
    return request->query;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return head_find(&request->head, name);
}

size_t http_request_header_count(const struct http_request *request, const char *name)
{
    return head_count(&request->head, name);
}

const char *http_request_body(const struct http_request *request)
{
    return strbuf_text(&request->body);
}

size_t http_request_body_length(const struct http_request *request)
{
    return request->body.length;
}

const char *http_request_peer(const struct http_request *request)
{
    return request->peer;
}

bool http_request_is_tls(const struct http_request *request)
{
    return request->server->is_tls;
}

bool http_request_is_gone(const struct http_request *request)
{
    return request->is_gone;
}

void http_request_on_gone(struct http_request *request, void (*gone)(void *argument),
                          void *argument)
{
    request->gone = request->is_gone ? NULL : gone;
    request->gone_argument = argument;
    if (request->is_gone && gone)
        gone(argument);
}
