#include "twin/balancer-socket.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 4 * 1024 * 1024 };

static int connect_socket(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, ERROR_INVALID, "the path %s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    CLEANUP(close_descriptorp)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, ERROR_UNAVAILABLE, "nobody answers at %s: %s", path, strerror(errno));
    *ret_fd = take_descriptor(&fd);
    return 0;
}

int balancer_probe_socket(const char *path, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = -1;
    return connect_socket(path, &fd, err);
}

static CO_FN int collect(struct loop *loop, int fd, int64_t deadline, struct strbuf *answer,
                         struct error *err)
{
    char bytes[16 * 1024];
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n == 0)
            return 0;
        if (n > 0) {
            strbuf_add_n(answer, bytes, (size_t)n);
            if (answer->length > ANSWER_LIMIT)
                return error_set(err, ERROR_LIMIT, "HAProxy answers too much");
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return error_set(err, ERROR_UNAVAILABLE, "HAProxy does not answer: %s",
                             strerror(errno));
        int r = loop_wait_fd(loop, fd, LOOP_READABLE, deadline, err);
        if (r < 0)
            return error_wrap(err, r, "HAProxy does not answer");
    }
}

int balancer_command(struct loop *loop, const char *socket, const char *command, int64_t deadline,
                     char **ret_answer, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = -1;
    CLEANUP(strbuf_done) struct strbuf answer = {0};
    CLEANUP(strbuf_wipe) struct strbuf line = {0};
    int r = connect_socket(socket, &fd, err);
    if (r < 0)
        return r;
    strbuf_addf(&line, "%s\n", command);
    /* A command is short: a new socket's buffer takes it as a whole. */
    if (send(fd, line.text, line.length, MSG_NOSIGNAL) != (ssize_t)line.length)
        return error_set(err, ERROR_UNAVAILABLE, "HAProxy takes no command: %s", strerror(errno));
    r = collect(loop, fd, deadline, &answer, err);
    if (r < 0)
        return r;
    while (answer.length > 0 && answer.text[answer.length - 1] == '\n')
        answer.text[--answer.length] = '\0';
    *ret_answer = strbuf_take(&answer);
    return 0;
}

/* --- show stat --- */

enum column {
    COLUMN_PROXY,
    COLUMN_SERVER,
    COLUMN_STATUS,
    COLUMN_SESSIONS,
    COLUMN_TOTAL_SESSIONS,
    COLUMN_REQUESTS,
    COLUMN_DENIED,
    COLUMN_ERRORS,
    COLUMN_CHECK,
    COLUMN_COUNT
};

static const char *const column_names[COLUMN_COUNT] = {
    [COLUMN_PROXY] = "pxname",  [COLUMN_SERVER] = "svname",       [COLUMN_STATUS] = "status",
    [COLUMN_SESSIONS] = "scur", [COLUMN_TOTAL_SESSIONS] = "stot", [COLUMN_REQUESTS] = "req_tot",
    [COLUMN_DENIED] = "dreq",   [COLUMN_ERRORS] = "hrsp_5xx",     [COLUMN_CHECK] = "check_status"};

/* A field between quotes, in which a doubled one stands for itself; returns what follows it. */
static const char *quoted_field(const char *c, struct strbuf *field)
{
    for (c++; *c && *c != '\n'; c++) {
        if (*c == '"' && *++c != '"')
            break;
        strbuf_add_char(field, *c);
    }
    return c;
}

/* Takes the next field of a line off *rest, which becomes NULL with the last. */
static bool next_field(const char **rest, struct strbuf *field)
{
    const char *c = *rest;
    strbuf_clear(field);
    if (!c)
        return false;
    if (*c == '"')
        c = quoted_field(c, field);
    size_t length = strcspn(c, ",\n");
    strbuf_add_n(field, c, length);
    *rest = c[length] == ',' ? c + length + 1 : NULL;
    return true;
}

/* Which position each column has; false when one is missing. */
static bool find_columns(const char *header, size_t ret_positions[COLUMN_COUNT])
{
    CLEANUP(strbuf_done) struct strbuf field = {0};
    size_t n_found = 0;
    for (size_t position = 0; next_field(&header, &field); position++) {
        for (size_t i = 0; i < COLUMN_COUNT; i++) {
            if (text_equal(strbuf_text(&field), column_names[i])) {
                ret_positions[i] = position;
                n_found++;
            }
        }
    }
    return n_found == COLUMN_COUNT;
}

/* A number that HAProxy leaves out where it has none. */
static int64_t number_of(const char *text)
{
    int64_t number;
    return text_to_integer(text, &number) ? number : 0;
}

static void take_column(struct balancer_line *line, enum column column, const char *text)
{
    switch (column) {
    case COLUMN_PROXY:
        line->proxy = string_copy(text);
        break;
    case COLUMN_SERVER:
        line->server = string_copy(text);
        break;
    case COLUMN_STATUS:
        line->status = string_copy(text);
        break;
    case COLUMN_CHECK:
        line->check = string_copy(text);
        break;
    case COLUMN_SESSIONS:
        line->sessions = number_of(text);
        break;
    case COLUMN_TOTAL_SESSIONS:
        line->total_sessions = number_of(text);
        break;
    case COLUMN_REQUESTS:
        line->requests = number_of(text);
        break;
    case COLUMN_DENIED:
        line->denied = number_of(text);
        break;
    default:
        line->errors = number_of(text);
    }
}

static void line_done(struct balancer_line *line)
{
    mem_free(line->proxy);
    mem_free(line->server);
    mem_free(line->status);
    mem_free(line->check);
}

/* Whether the line had all columns. */
static bool parse_line(const char *text, const size_t positions[COLUMN_COUNT],
                       struct balancer_line *ret_line)
{
    CLEANUP(strbuf_done) struct strbuf field = {0};
    struct balancer_line line = {0};
    size_t n_found = 0;
    for (size_t position = 0; next_field(&text, &field); position++) {
        for (size_t i = 0; i < COLUMN_COUNT; i++) {
            if (positions[i] == position) {
                take_column(&line, (enum column)i, strbuf_text(&field));
                n_found++;
            }
        }
    }
    if (n_found < COLUMN_COUNT) {
        line_done(&line);
        return false;
    }
    *ret_line = line;
    return true;
}

void balancer_statistics_done(struct balancer_statistics *statistics)
{
    for (size_t i = 0; i < statistics->n_lines; i++)
        line_done(&statistics->lines[i]);
    mem_free(statistics->lines);
    *statistics = (struct balancer_statistics){0};
}

int balancer_parse_statistics(const char *text, struct balancer_statistics *ret_statistics,
                              struct error *err)
{
    struct balancer_statistics statistics = {0};
    size_t positions[COLUMN_COUNT];
    if (!text_starts_with(text, "# ") || !find_columns(text + 2, positions))
        return error_set(err, ERROR_CORRUPT, "HAProxy tells its statistics in an unknown form");
    for (const char *line = strchr(text, '\n'); line && line[1]; line = strchr(line, '\n')) {
        line++;
        if (*line == '\n')
            continue;
        ARRAY_RESERVE(statistics.lines, statistics.n_lines, statistics.capacity);
        if (!parse_line(line, positions, &statistics.lines[statistics.n_lines])) {
            balancer_statistics_done(&statistics);
            return error_set(err, ERROR_CORRUPT, "HAProxy's statistics are cut off");
        }
        statistics.n_lines++;
    }
    *ret_statistics = statistics;
    return 0;
}

const struct balancer_line *balancer_find_line(const struct balancer_statistics *statistics,
                                               const char *proxy, const char *server)
{
    for (size_t i = 0; i < statistics->n_lines; i++)
        if (text_equal(statistics->lines[i].proxy, proxy) &&
            text_equal(statistics->lines[i].server, server))
            return &statistics->lines[i];
    return NULL;
}

bool balancer_line_is_up(const struct balancer_line *line)
{
    return text_starts_with(line->status, "UP") || text_equal(line->status, "no check");
}

/* "* " stands before the last result while the next check is on its way. */
static const char *last_check(const struct balancer_line *line)
{
    return text_starts_with(line->check, "* ") ? line->check + 2 : line->check;
}

bool balancer_line_is_checked(const struct balancer_line *line)
{
    const char *check = last_check(line);
    return *check && !text_equal(check, "INI") && !text_equal(check, "UNK");
}

bool balancer_line_is_sound(const struct balancer_line *line)
{
    const char *check = last_check(line);
    return balancer_line_is_up(line) && strlen(check) >= 4 && text_starts_with(check + 2, "OK");
}
