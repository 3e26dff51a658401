/*
 * Bytes of a client, sent to a server as they are. What its handler gets is compared with what a
 * strict reader of the same bytes understands: never another request, another header or another
 * body, and nothing behind a request that the strict reader refuses. In the end nothing is left.
 *
 * The first byte says how the rest is cut: 0 sends it at once, n in pieces of n bytes.
 */
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "http/http-private.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_BODY = 4096, MAX_HEADERS = 2048, MAX_REQUESTS = 256, MAX_FIELDS = MAX_HEADERS / 4 };

/* --- The strict reader; knows nothing of the server's. --- */

struct text {
    const char *at;
    size_t length;
};

struct expected {
    struct text method, target, body;
    struct text names[MAX_FIELDS], values[MAX_FIELDS];
    size_t n_fields;
    bool is_chunked; /* and the last one; its body is not looked at */
};

static struct expected expected[MAX_REQUESTS];
static size_t n_expected;

/* The next line without its CR LF, if it has one and no other CR, LF or NUL. NUL LF counts as well:
 * nothing is left to see of the difference, and no strict reader lets it pass. */
static bool next_line(struct text *rest, struct text *ret_line)
{
    for (size_t i = 0; i + 1 < rest->length; i++) {
        if ((rest->at[i] == '\r' || rest->at[i] == '\0') && rest->at[i + 1] == '\n') {
            *ret_line = (struct text){rest->at, i};
            rest->at += i + 2;
            rest->length -= i + 2;
            return true;
        }
        /* The same with LF and a line of a colon or a NUL alone, which ends the headers. */
        if (rest->at[i] == '\n' && rest->length - i >= 4 &&
            (rest->at[i + 1] == ':' || !rest->at[i + 1]) && rest->at[i + 2] == '\r' &&
            rest->at[i + 3] == '\n') {
            *ret_line = (struct text){rest->at, i};
            rest->at += i + 2;
            rest->length -= i + 2;
            return true;
        }
        if (!rest->at[i] || rest->at[i] == '\r' || rest->at[i] == '\n')
            return false;
    }
    return false;
}

/* Takes what is before the first c, which goes as well. */
static bool take_until(struct text *rest, char c, struct text *ret_part)
{
    const char *found = memchr(rest->at, c, rest->length);
    if (!found)
        return false;
    *ret_part = (struct text){rest->at, (size_t)(found - rest->at)};
    rest->length -= ret_part->length + 1;
    rest->at = found + 1;
    return true;
}

static bool is_of(struct text text, const char *characters)
{
    bool is_right = text.length > 0;
    for (size_t i = 0; i < text.length; i++)
        is_right = is_right && text.at[i] && strchr(characters, text.at[i]);
    return is_right;
}

static bool is_token(struct text text)
{
    return is_of(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static bool is_visible(struct text text)
{
    bool is_right = text.length > 0;
    for (size_t i = 0; i < text.length; i++)
        is_right = is_right && text.at[i] > ' ' && text.at[i] < 0x7f;
    return is_right;
}

static bool is_text(struct text text, const char *other)
{
    return text.length == strlen(other) && memcmp(text.at, other, text.length) == 0;
}

static struct text without_blanks(struct text text)
{
    while (text.length && (*text.at == ' ' || *text.at == '\t')) {
        text.at++;
        text.length--;
    }
    while (text.length && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static bool has_control(struct text text)
{
    for (size_t i = 0; i < text.length; i++)
        if (((unsigned char)text.at[i] < ' ' && text.at[i] != '\t') || text.at[i] == 0x7f)
            return true;
    return false;
}

static bool read_fields(struct text *rest, struct expected *request)
{
    struct text line;
    while (request->n_fields < MAX_FIELDS) {
        size_t i = request->n_fields;
        /* And so does this for the empty line. */
        if (rest->length > 1 && rest->at[0] == ':' && rest->at[1] == '\n')
            return i > 0 && take_until(rest, '\n', &line);
        if (!next_line(rest, &line))
            return false;
        if (line.length == 0)
            return true;
        if (!take_until(&line, ':', &request->names[i]) || !is_token(request->names[i]) ||
            has_control(line))
            return false;
        request->values[i] = without_blanks(line);
        request->n_fields++;
    }
    return false;
}

/* How many headers have this name; the last of them. */
static size_t find(const struct expected *request, const char *name, struct text *ret_value)
{
    size_t n = 0;
    for (size_t i = 0; i < request->n_fields; i++) {
        if (request->names[i].length != strlen(name) ||
            strncasecmp(request->names[i].at, name, strlen(name)) != 0)
            continue;
        *ret_value = request->values[i];
        n++;
    }
    return n;
}

static bool read_body(struct text *rest, struct expected *request, bool is_1_1)
{
    struct text value = {0}, length = {0}, encoding = {0};
    size_t n_hosts = find(request, "host", &value);
    size_t n_lengths = find(request, "content-length", &length);
    size_t n_encodings = find(request, "transfer-encoding", &encoding), size = 0;
    if (n_hosts > 1 || (is_1_1 && n_hosts == 0) || n_lengths + n_encodings > 1)
        return false;
    request->is_chunked = n_encodings > 0;
    if (n_encodings)
        return is_1_1 && encoding.length == 7 && strncasecmp(encoding.at, "chunked", 7) == 0;
    if (n_lengths && !is_of(length, "0123456789"))
        return false;
    for (size_t i = 0; i < length.length && size <= rest->length; i++)
        size = size * 10 + (size_t)(length.at[i] - '0');
    if (size > rest->length)
        return false;
    request->body = (struct text){rest->at, size};
    rest->at += size;
    rest->length -= size;
    return true;
}

static bool read_request(struct text *rest, struct expected *request)
{
    struct text line;
    request->n_fields = 0;
    request->body = (struct text){0};
    if (!next_line(rest, &line) || !take_until(&line, ' ', &request->method) ||
        !is_token(request->method) || !take_until(&line, ' ', &request->target) ||
        !is_visible(request->target))
        return false;
    bool is_1_1 = is_text(line, "HTTP/1.1");
    return (is_1_1 || is_text(line, "HTTP/1.0")) && read_fields(rest, request) &&
           read_body(rest, request, is_1_1);
}

/* Empty lines before a request are nothing, whatever ends them. The library takes a line that
 * begins with NUL for one: no strict reader does, but neither could it be the beginning of a
 * request. */
static void skip_empty_lines(struct text *rest)
{
    struct text line;
    while (rest->length && (*rest->at == '\n' || *rest->at == '\0' ||
                            (rest->length > 1 && *rest->at == '\r' && rest->at[1] == '\n')))
        if (!take_until(rest, '\n', &line))
            rest->length = 0;
}

static void read_strictly(struct text rest)
{
    for (n_expected = 0; n_expected < MAX_REQUESTS;) {
        skip_empty_lines(&rest);
        if (!read_request(&rest, &expected[n_expected]))
            return;
        if (expected[n_expected++].is_chunked)
            return;
    }
}

/* --- The server --- */

static struct loop *loop;
static struct http_server *server;
static size_t n_handled;
static struct text input;

static void let_a_turn_pass(void)
{
    loop_wake(loop, coroutine_self());
    coroutine_yield();
}

static void check_request(const struct http_request *request)
{
    /* What is too large gets its 413 without the handler. */
    while (n_handled < n_expected && expected[n_handled].body.length > MAX_BODY)
        n_handled++;
    MUST(n_handled < n_expected);
    const struct expected *wanted = &expected[n_handled++];
    const char *path = http_request_path(request), *query = http_request_query(request);
    MUST(is_text(wanted->method, http_request_method(request)));
    MUST(strncmp(wanted->target.at, path, strlen(path)) == 0);
    MUST(wanted->target.length == strlen(path) + (query ? 1 + strlen(query) : 0));
    MUST(!query || memcmp(wanted->target.at + strlen(path) + 1, query, strlen(query)) == 0);
    MUST(request->head.n_fields == wanted->n_fields);
    for (size_t i = 0; i < wanted->n_fields; i++) {
        MUST(is_text(wanted->names[i], request->head.fields[i].name));
        MUST(is_text(wanted->values[i], request->head.fields[i].value));
    }
    MUST(http_request_body_length(request) <= MAX_BODY);
    MUST(wanted->is_chunked ||
         (http_request_body_length(request) == wanted->body.length &&
          memcmp(http_request_body(request), wanted->body.at, wanted->body.length) == 0));
}

/* The path's second letter says how it is answered. */
static void handle(void *argument, struct http_request *request)
{
    const char *path = http_request_path(request);
    char kind = '\0';
    (void)argument;
    check_request(request);
    if (*path)
        kind = path[1];
    if (kind == 'w' || kind == 'v')
        let_a_turn_pass();
    if (kind == 's' || kind == 'v') {
        http_stream_begin(request, 200, NULL);
        http_stream_write(request, "first", 5, NULL);
        let_a_turn_pass();
        http_stream_write(request, http_request_body(request), http_request_body_length(request),
                          NULL);
        if (http_request_query(request))
            http_stream_end(request);
    } else if (kind != 'n') {
        http_answer(request, 200, NULL, http_request_body(request),
                    http_request_body_length(request));
    }
}

/* Until the server has nothing more to do with what has been sent. */
static void let_it_settle(int fd)
{
    enum { QUIET_TURNS = 3, TURNS_LIMIT = 100000 };
    char piece[4096];
    int quiet = 0;
    for (int i = 0; quiet < QUIET_TURNS; i++) {
        uint64_t before = http_server_count(server).n_wakeups;
        MUST(i < TURNS_LIMIT);
        let_a_turn_pass();
        bool is_busy = http_server_count(server).n_requests > 0;
        while (recv(fd, piece, sizeof(piece), MSG_DONTWAIT) > 0)
            is_busy = true;
        quiet = is_busy || http_server_count(server).n_wakeups != before ? 0 : quiet + 1;
    }
}

static bool is_anything_left(void)
{
    struct http_counts counts = http_server_count(server);
    return counts.n_connections > 0 || counts.n_requests > 0 || coroutine_count() > 1;
}

static void be_client(void *argument)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    int ends[2];
    (void)argument;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    MUST(MHD_add_connection(server->daemon, ends[1], (const struct sockaddr *)&address,
                            sizeof(address)) == MHD_YES);
    size_t piece = (unsigned char)*input.at;
    for (size_t at = 1; at < input.length;) {
        size_t rest = input.length - at, n = piece && piece < rest ? piece : rest;
        ssize_t sent = send(ends[0], input.at + at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            break;
        at += sent > 0 ? (size_t)sent : 0;
        let_it_settle(ends[0]);
    }
    let_it_settle(ends[0]);
    close(ends[0]);
    for (int i = 0; is_anything_left(); i++) {
        MUST(i < 1000);
        let_a_turn_pass();
    }
    loop_stop(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    const struct http_settings settings = {
        .handle = handle, .max_body = MAX_BODY, .max_headers = MAX_HEADERS, .max_buffered = 64};
    if (size == 0)
        return 0;
    if (!loop) {
        loop = loop_new();
        MUST(http_server_start(loop, &settings, &server, NULL) == 0);
    }
    input = (struct text){(const char *)text, size};
    read_strictly((struct text){input.at + 1, size - 1});
    n_handled = 0;
    loop_spawn(loop, "client", be_client, NULL);
    loop_run(loop);
    return 0;
}
