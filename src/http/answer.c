/* Answers. */
#include "base/memory.h"
#include "base/world.h"
#include "http/http-private.h"

#include <assert.h>
#include <string.h>

enum { SERVER_ERROR = 500 };

/* What is longer is given to the daemon in pieces: then a client that reads is told from one that
 * does not. */
enum { LONG_ANSWER = 64 * 1024 };

void request_resume(struct http_request *request)
{
    if (!request->is_suspended)
        return;
    request->is_suspended = false;
    MHD_resume_connection(request->mhd);
    server_plan_run(request->server);
}

enum MHD_Result request_send(struct http_request *request)
{
    struct http_server *server = request->server;
    struct MHD_Response *response = request->response;
    if (request->is_last || server->is_stopping)
        MHD_add_response_header(response, "Connection", "close");
    request->state = REQUEST_SENDING;
    connection_set_deadline(request->connection,
                            world_monotonic_clock() + server->settings.stall_timeout_us);
    enum MHD_Result result = MHD_queue_response(request->mhd, request->status, response);
    MHD_destroy_response(response);
    return result;
}

static bool add_headers(struct MHD_Response *response, const struct http_header *headers)
{
    for (; headers && headers->name; headers++)
        if (MHD_add_response_header(response, headers->name, headers->value) != MHD_YES)
            return false;
    return true;
}

static void set_response(struct http_request *request, unsigned int status,
                         struct MHD_Response *response)
{
    request->is_answered = true;
    if (!request->mhd) {
        MHD_destroy_response(response);
        return;
    }
    request->status = status;
    request->response = response;
    request_resume(request);
}

static struct MHD_Response *new_response(const void *body, size_t length)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    return response;
}

void request_answer_plainly(struct http_request *request, unsigned int status)
{
    struct MHD_Response *response = new_response("", 0);
    if (status == 503)
        MHD_add_response_header(response, "Retry-After", "1");
    set_response(request, status, response);
}

void request_answer(struct http_request *request, unsigned int status,
                    const struct http_header *headers, struct MHD_Response *take_response)
{
    if (add_headers(take_response, headers)) {
        set_response(request, status, take_response);
    } else {
        MHD_destroy_response(take_response);
        request_answer_plainly(request, SERVER_ERROR);
    }
}

void http_answer(struct http_request *request, unsigned int status,
                 const struct http_header *headers, const void *body, size_t length)
{
    assert(!request->is_answered && status >= 200 && status <= 999);
    struct MHD_Response *response = length > LONG_ANSWER ? stream_whole(request, body, length)
                                                         : new_response(length ? body : "", length);
    request_answer(request, status, headers, response);
}
