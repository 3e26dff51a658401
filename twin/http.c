#include "twin/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 16 * 1024, CHUNK_LINE_LIMIT = 256 };

void http_stream_init(struct http_stream *stream, struct loop *loop, int take_fd)
{
    *stream = (struct http_stream){.loop = loop, .fd = take_fd};
}

void http_stream_done(struct http_stream *stream)
{
    close_descriptor(stream->fd);
    strbuf_done(&stream->in);
    stream->fd = -1;
}

void http_head_done(struct http_head *head)
{
    mem_free(head->target);
    *head = (struct http_head){0};
}

const char *http_reason(int code)
{
    switch (code) {
    case 100:
        return "Continue";
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Unknown";
    }
}

/* --- Bytes --- */

static const char *unused(const struct http_stream *stream)
{
    return strbuf_text(&stream->in) + stream->used;
}

static size_t n_unused(const struct http_stream *stream)
{
    return stream->in.length - stream->used;
}

/* Drops the bytes of messages that are done with. */
static void compact(struct http_stream *stream)
{
    size_t rest = n_unused(stream);
    if (stream->used == 0)
        return;
    memmove(stream->in.text, stream->in.text + stream->used, rest);
    stream->in.length = rest;
    stream->in.text[rest] = '\0';
    stream->used = 0;
}

/* Waits for more bytes; *ret_end when there will be none. */
static CO_FN int fill(struct http_stream *stream, int64_t deadline, bool *ret_end,
                      struct error *err)
{
    char bytes[READ_SIZE];
    for (;;) {
        ssize_t n = recv(stream->fd, bytes, sizeof(bytes), 0);
        if (n > 0)
            strbuf_add_n(&stream->in, bytes, (size_t)n);
        if (n >= 0) {
            *ret_end = n == 0;
            return 0;
        }
        if (errno == EINTR)
            continue;
        if (errno == ECONNRESET) {
            *ret_end = true;
            return 0;
        }
        if (errno != EAGAIN)
            return error_set_errno(err, errno, "receive");
        int r = loop_wait_fd(stream->loop, stream->fd, LOOP_READABLE, deadline, err);
        if (r < 0)
            return r;
    }
}

int http_write(struct http_stream *stream, const char *bytes, size_t size, int64_t deadline,
               struct error *err)
{
    while (size > 0) {
        ssize_t n = send(stream->fd, bytes, size, MSG_NOSIGNAL);
        if (n >= 0) {
            bytes += n;
            size -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET)
            return error_set(err, ERROR_UNAVAILABLE, "the other side closed the connection");
        if (errno != EAGAIN)
            return error_set_errno(err, errno, "send");
        int r = loop_wait_fd(stream->loop, stream->fd, LOOP_WRITABLE, deadline, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- Heads --- */

/* Waits until a whole head is there; *ret_size is 0 when the connection ended before it began. */
static CO_FN int await_head(struct http_stream *stream, int64_t deadline, size_t *ret_size,
                            struct error *err)
{
    compact(stream);
    for (;;) {
        size_t available = n_unused(stream);
        const char *found = memmem(unused(stream), available, "\r\n\r\n", 4);
        if (found) {
            *ret_size = (size_t)(found - unused(stream)) + 4;
            return 0;
        }
        if (available >= HTTP_HEAD_LIMIT)
            return error_set(err, ERROR_LIMIT, "the head is longer than %d bytes", HTTP_HEAD_LIMIT);
        bool is_end = false;
        int r = fill(stream, deadline, &is_end, err);
        if (r < 0)
            return r;
        if (is_end && available > 0)
            return error_set(err, ERROR_UNAVAILABLE, "the connection ended within a head");
        if (is_end) {
            *ret_size = 0;
            return 0;
        }
    }
}

static CO_FN int read_head(struct http_stream *stream, int64_t deadline, bool is_request,
                           struct http_head *ret_head, struct error *err)
{
    CLEANUP(http_head_done) struct http_head head = {0};
    size_t size = 0;
    int r = await_head(stream, deadline, &size, err);
    if (r < 0)
        return r;
    if (size == 0)
        head.is_end = true;
    else
        r = http_parse_head(&head, unused(stream), size, is_request, err);
    if (r < 0)
        return r;
    stream->used += size;
    *ret_head = head;
    head.target = NULL;
    return 0;
}

int http_read_request(struct http_stream *stream, int64_t deadline, struct http_head *ret_head,
                      struct error *err)
{
    return read_head(stream, deadline, true, ret_head, err);
}

int http_read_answer(struct http_stream *stream, int64_t deadline, struct http_head *ret_head,
                     struct error *err)
{
    do {
        int r = read_head(stream, deadline, false, ret_head, err);
        if (r < 0)
            return r;
        if (ret_head->is_end)
            return error_set(err, ERROR_UNAVAILABLE, "the connection ended without an answer");
    } while (ret_head->code < 200);
    return 0;
}

/* --- Bodies --- */

/* Takes size bytes into body. */
static CO_FN int take_bytes(struct http_stream *stream, uint64_t size, int64_t deadline,
                            struct strbuf *body, struct error *err)
{
    while (size > 0) {
        size_t n = n_unused(stream) < size ? n_unused(stream) : (size_t)size;
        if (n > 0 && body)
            strbuf_add_n(body, unused(stream), n);
        stream->used += n;
        size -= n;
        if (size == 0)
            break;
        compact(stream);
        bool is_end = false;
        int r = fill(stream, deadline, &is_end, err);
        if (r < 0)
            return r;
        if (is_end)
            return error_set(err, ERROR_UNAVAILABLE, "the connection ended within a body");
    }
    return 0;
}

static CO_FN int take_line(struct http_stream *stream, int64_t deadline, char *ret_line,
                           struct error *err)
{
    for (;;) {
        const char *end = memmem(unused(stream), n_unused(stream), "\r\n", 2);
        size_t length = end ? (size_t)(end - unused(stream)) : n_unused(stream);
        if (length >= CHUNK_LINE_LIMIT)
            return error_set(err, ERROR_LIMIT, "a line of a chunked body is too long");
        if (end) {
            memcpy(ret_line, unused(stream), length);
            ret_line[length] = '\0';
            stream->used += length + 2;
            return 0;
        }
        compact(stream);
        bool is_end = false;
        int r = fill(stream, deadline, &is_end, err);
        if (r < 0)
            return r;
        if (is_end)
            return error_set(err, ERROR_UNAVAILABLE, "the connection ended within a body");
    }
}

static int parse_chunk_size(const char *line, uint64_t *ret_size, struct error *err)
{
    size_t n_digits = strspn(line, "0123456789abcdefABCDEF");
    char after = line[n_digits];
    if (n_digits == 0 || n_digits > 8 || (after && after != ';' && after != ' '))
        return error_set(err, ERROR_INVALID, "the size of a chunk is malformed");
    uint64_t size = 0;
    for (size_t i = 0; i < n_digits; i++) {
        char c = (char)(line[i] | 0x20);
        size = size * 16 + (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    *ret_size = size;
    return 0;
}

static CO_FN int take_chunks(struct http_stream *stream, size_t limit, int64_t deadline,
                             struct strbuf *body, struct error *err)
{
    char line[CHUNK_LINE_LIMIT];
    uint64_t total = 0;
    uint64_t size = 0;
    do {
        int r = take_line(stream, deadline, line, err);
        if (r == 0)
            r = parse_chunk_size(line, &size, err);
        if (r < 0)
            return r;
        total += size;
        if (total > limit)
            return error_set(err, ERROR_LIMIT, "the body is longer than %zu bytes", limit);
        r = take_bytes(stream, size, deadline, body, err);
        if (r == 0 && size > 0)
            r = take_line(stream, deadline, line, err);
        if (r < 0)
            return r;
        if (size > 0 && line[0])
            return error_set(err, ERROR_INVALID, "a chunk is longer than its size");
    } while (size > 0);
    /* What follows the last chunk: trailer lines, which nobody here reads, and an empty one. */
    for (unsigned int i = 0; i < 64; i++) {
        int r = take_line(stream, deadline, line, err);
        if (r < 0 || !line[0])
            return r;
    }
    return error_set(err, ERROR_LIMIT, "a chunked body has too many trailer lines");
}

static CO_FN int take_rest(struct http_stream *stream, size_t limit, int64_t deadline,
                           struct strbuf *body, struct error *err)
{
    size_t total = 0;
    for (;;) {
        size_t n = n_unused(stream);
        total += n;
        if (total > limit)
            return error_set(err, ERROR_LIMIT, "the body is longer than %zu bytes", limit);
        if (body)
            strbuf_add_n(body, unused(stream), n);
        stream->used += n;
        compact(stream);
        bool is_end = false;
        int r = fill(stream, deadline, &is_end, err);
        if (r < 0 || is_end)
            return r;
    }
}

int http_read_body(struct http_stream *stream, const struct http_head *head, size_t limit,
                   int64_t deadline, struct strbuf *body, struct error *err)
{
    if (head->is_chunked)
        return take_chunks(stream, limit, deadline, body, err);
    if (head->has_length && head->length > limit)
        return error_set(err, ERROR_LIMIT, "the body is longer than %zu bytes", limit);
    if (head->has_length)
        return take_bytes(stream, head->length, deadline, body, err);
    bool has_none = head->method[0] || head->code == 204 || head->code == 304;
    return has_none ? 0 : take_rest(stream, limit, deadline, body, err);
}

/* --- The client's side --- */

int http_connect(struct loop *loop, int fd, uint32_t ip, uint16_t port, int64_t deadline,
                 struct error *err)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    int problem = 0;
    socklen_t size = sizeof(problem);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != EINPROGRESS)
            problem = errno;
        else if (loop_wait_fd(loop, fd, LOOP_WRITABLE, deadline, err) < 0)
            return -ERROR_TIMEOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0)
            problem = errno;
    }
    if (problem)
        return error_set(err, ERROR_UNAVAILABLE, "connect: %s", strerror(problem));
    return 0;
}

void http_exchange_done(struct http_exchange *exchange)
{
    strbuf_done(&exchange->answer);
}

static void write_request(struct strbuf *out, const struct http_exchange *exchange)
{
    strbuf_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", exchange->method, exchange->target,
                exchange->host);
    if (exchange->body)
        strbuf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", exchange->content_type,
                    strlen(exchange->body));
    strbuf_add(out, "\r\n");
    if (exchange->body)
        strbuf_add(out, exchange->body);
}

int http_exchange(struct http_stream *stream, struct http_exchange *exchange, int64_t deadline,
                  struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf out = {0};
    CLEANUP(http_head_done) struct http_head head = {0};
    write_request(&out, exchange);
    int r = http_write(stream, out.text, out.length, deadline, err);
    if (r == 0)
        r = http_read_answer(stream, deadline, &head, err);
    if (r == 0)
        r = http_read_body(stream, &head, exchange->limit, deadline, &exchange->answer, err);
    if (r < 0)
        return r;
    exchange->code = head.code;
    exchange->keeps_open = head.keeps_open && (head.has_length || head.is_chunked);
    memcpy(exchange->answer_type, head.content_type, HTTP_TYPE_SIZE);
    return 0;
}
