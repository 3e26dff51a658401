#include "twin/log.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LAST_LINE_SIZE = 301, READ_SIZE = 16 * 1024 };

struct log {
    struct loop *loop;
    char *path;     /* owned, as the next */
    char *old_path; /* of the file before */
    int64_t limit;
    int64_t size; /* of the file */
    int fd;       /* -1: it could not be opened again */
    int pipe;     /* -1: no program prints */
    struct watch *watch;
    struct strbuf line; /* what has come of a line so far */
    char last_line[LAST_LINE_SIZE];
};

/* --- The file --- */

static int open_file(struct log *log, struct error *err)
{
    struct stat status;
    int r = world_open_append(log->path, 0600, &log->fd, err);
    log->size = r == 0 && fstat(log->fd, &status) == 0 ? (int64_t)status.st_size : 0;
    return r;
}

static void turn_over(struct log *log)
{
    close_descriptor(log->fd);
    log->fd = -1;
    rename(log->path, log->old_path);
    open_file(log, NULL);
}

/* Whole lines. What a full disk does not take is lost: the programs go on. */
static void write_lines(struct log *log, const struct strbuf *lines)
{
    const char *text = strbuf_text(lines);
    size_t left = lines->length;
    if (log->size > 0 && log->size + (int64_t)left > log->limit)
        turn_over(log);
    if (log->fd < 0 && open_file(log, NULL) < 0)
        return;
    while (left > 0) {
        ssize_t n = write(log->fd, text, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
        log->size += n;
    }
}

/* --- Lines --- */

/* "2026-11-21T22:16:28.123456Z " */
static void format_time(char ret_text[WORLD_TIME_SIZE + 8])
{
    char seconds[WORLD_TIME_SIZE];
    int64_t now = world_wall_clock();
    world_format_time(now, seconds);
    seconds[strlen(seconds) - 1] = '\0';
    snprintf(ret_text, WORLD_TIME_SIZE + 8, "%s.%06dZ ", seconds, (int)(now % 1000000));
}

static void keep_last(struct log *log, const char *text, size_t length)
{
    snprintf(log->last_line, sizeof(log->last_line), "%.*s", (int)length, text);
    text_make_printable(log->last_line);
}

static void end_line(struct log *log, const char *time, struct strbuf *out)
{
    const char *text = strbuf_text(&log->line);
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\r')
        length--;
    strbuf_addf(out, "%s%.*s\n", time, (int)length, text);
    if (length > 0)
        keep_last(log, text, length);
    strbuf_clear(&log->line);
}

void log_add(struct log *log, const char *text, size_t size)
{
    char time[WORLD_TIME_SIZE + 8];
    CLEANUP(strbuf_done) struct strbuf out = {0};
    format_time(time);
    for (size_t i = 0; i < size;) {
        const char *end = memchr(text + i, '\n', size - i);
        size_t length = end ? (size_t)(end - text) - i : size - i;
        size_t room = LOG_LINE_LIMIT - log->line.length;
        bool is_whole = end && length <= room;
        if (length > room)
            length = room;
        for (size_t k = i; k < i + length; k++)
            strbuf_add_char(&log->line, (char)(text[k] ? text[k] : '?'));
        i += length + is_whole;
        if (is_whole || log->line.length == LOG_LINE_LIMIT)
            end_line(log, time, &out);
        if (out.length >= READ_SIZE) {
            write_lines(log, &out);
            strbuf_clear(&out);
        }
    }
    write_lines(log, &out);
}

/* --- The pipe --- */

static void let_go(struct log *log)
{
    loop_unwatch(log->watch);
    log->watch = NULL;
    close_descriptor(log->pipe);
    log->pipe = -1;
}

/* Reads once; false when there is nothing to read now. */
static bool read_some(struct log *log)
{
    char text[READ_SIZE];
    ssize_t n = read(log->pipe, text, sizeof(text));
    if (n > 0)
        log_add(log, text, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        let_go(log);
    return n > 0;
}

static void readable(void *argument, int events)
{
    (void)events;
    read_some(argument);
}

void log_drain(struct log *log)
{
    while (log->pipe >= 0 && read_some(log)) {
    }
    if (log->line.length > 0) {
        char time[WORLD_TIME_SIZE + 8];
        CLEANUP(strbuf_done) struct strbuf out = {0};
        format_time(time);
        end_line(log, time, &out);
        write_lines(log, &out);
    }
}

int log_attach(struct log *log, int *ret_fd, struct error *err)
{
    int ends[2];
    log_drain(log);
    if (log->pipe >= 0)
        let_go(log);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make the pipe of %s", log->path);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    log->pipe = ends[0];
    log->watch = loop_watch(log->loop, ends[0], LOOP_READABLE, readable, log);
    *ret_fd = ends[1];
    return 0;
}

const char *log_last_line(const struct log *log)
{
    return log->last_line;
}

int log_open(struct loop *loop, const char *folder, const char *name, int64_t limit,
             struct log **ret_log, struct error *err)
{
    struct log *log = NEW(struct log);
    log->loop = loop;
    log->path = string_format("%s/%s.log", folder, name);
    log->old_path = string_format("%s.old", log->path);
    log->limit = limit;
    log->fd = log->pipe = -1;
    int r = open_file(log, err);
    if (r < 0)
        log_close(log);
    else
        *ret_log = log;
    return r;
}

void log_close(struct log *take_log)
{
    if (!take_log)
        return;
    log_drain(take_log);
    if (take_log->pipe >= 0)
        let_go(take_log);
    close_descriptor(take_log->fd);
    strbuf_done(&take_log->line);
    mem_free(take_log->path);
    mem_free(take_log->old_path);
    mem_free(take_log);
}
