/* Answers that come piece by piece. The daemon fetches what is pending when it can send it, and is
 * suspended while there is nothing. */
#include "base/memory.h"
#include "base/world.h"
#include "http/http-private.h"

#include <assert.h>
#include <string.h>

static size_t n_pending(const struct http_stream *stream)
{
    return stream->pending.length - stream->n_fetched;
}

/* Its client has to read something until then. */
static void expect_progress(struct http_request *request)
{
    connection_set_deadline(request->connection,
                            world_monotonic_clock() + request->server->settings.stall_timeout_us);
}

/*
 * The socket is shut down, and the byte that cannot be sent any more ends the connection:
 * libmicrohttpd 0.9.75 forgets to clean up behind MHD_CONTENT_READER_END_WITH_ERROR.
 */
static ssize_t break_off(struct http_request *request, char *ret_bytes)
{
    connection_cut(request->connection);
    *ret_bytes = '\0';
    return 1;
}

/* MHD_ContentReaderCallback: what was fetched before has been sent. */
static ssize_t fetch(void *argument, uint64_t position, char *ret_bytes, size_t size)
{
    struct http_request *request = argument;
    struct http_stream *stream = &request->stream;
    size_t n = n_pending(stream);
    (void)position;
    if (n == 0 && stream->is_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0 && !request->is_handled)
        return break_off(request, ret_bytes);
    if (n == 0) {
        request->connection->deadline = INT64_MAX;
        request->is_suspended = true;
        MHD_suspend_connection(request->mhd);
        return 0;
    }
    n = n < size ? n : size;
    memcpy(ret_bytes, stream->pending.text + stream->n_fetched, n);
    stream->n_fetched += n;
    expect_progress(request);
    gate_open(request->server->loop, &stream->drained);
    return (ssize_t)n;
}

enum { BLOCK = 16 * 1024 };

struct MHD_Response *stream_whole(struct http_request *request, const void *bytes, size_t length)
{
    strbuf_add_n(&request->stream.pending, bytes, length);
    request->stream.is_ended = true;
    return MHD_create_response_from_callback(length, BLOCK, fetch, request, NULL);
}

void http_stream_begin(struct http_request *request, unsigned int status,
                       const struct http_header *headers)
{
    assert(!request->is_answered && status >= 200 && status <= 999);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, fetch, request, NULL);
    request_answer(request, status, headers, response);
}

/* What has been fetched makes room; each byte is moved once at most for each that was fetched. */
static void add_pending(struct http_stream *stream, const char *bytes, size_t length)
{
    size_t n = n_pending(stream);
    if (stream->n_fetched >= n && stream->n_fetched > 0) {
        memmove(stream->pending.text, stream->pending.text + stream->n_fetched, n);
        stream->pending.length = n;
        stream->n_fetched = 0;
    }
    strbuf_add_n(&stream->pending, bytes, length);
}

int http_stream_write(struct http_request *request, const void *bytes, size_t length,
                      struct error *err)
{
    struct http_stream *stream = &request->stream;
    const char *at = bytes, *end = at + length;
    assert(request->is_answered && !stream->is_ended);
    while (!request->is_gone && request->mhd && at < end) {
        size_t room = request->server->settings.max_buffered - n_pending(stream);
        size_t n = (size_t)(end - at) < room ? (size_t)(end - at) : room;
        if (n == 0) {
            gate_wait(request->server->loop, &stream->drained, -1, NULL);
            continue;
        }
        add_pending(stream, at, n);
        at += n;
        if (request->is_suspended && request->state == REQUEST_SENDING)
            expect_progress(request);
        request_resume(request);
    }
    if (request->is_gone)
        return error_set(err, ERROR_UNAVAILABLE,
                         "the client has closed the connection or does not read");
    return 0;
}

void http_stream_end(struct http_request *request)
{
    request->stream.is_ended = true;
    request_resume(request);
}
