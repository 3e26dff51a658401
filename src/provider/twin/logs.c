#include "provider/twin/logs.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <string.h>

enum { SOURCES_FORMAT = 1, SOURCES_LIMIT = 8 << 20, READ_SIZE = 16 * 1024, EVENTS_LIMIT = 4 << 20 };

/* --- What there is --- */

static int read_sources(const struct twin_home *home, struct value **ret_sources, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/logs/sources.json", home->folder);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *file = NULL;
    size_t size = 0;
    int r = world_read_file(path, SOURCES_LIMIT, &text, &size, err);
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        *ret_sources = value_builder_map(&(struct value_builder){0});
        return 0;
    }
    if (r == 0 && json_read(text, size, &file, NULL) < 0)
        r = error_set(err, ERROR_CORRUPT, "%s is no JSON", path);
    if (r < 0)
        return r;
    struct value *sources = value_kind(file) == VALUE_MAP ? value_get(file, "sources") : NULL;
    if (sources && value_get_integer(file, "format", 0) > SOURCES_FORMAT)
        return error_set(err, ERROR_UNSUPPORTED, "%s was written by a newer program", path);
    if (!sources || value_kind(sources) != VALUE_MAP)
        return error_set(err, ERROR_CORRUPT, "%s has no map of sources", path);
    *ret_sources = value_ref(sources);
    return 0;
}

static void add_uids(struct value_builder *uids, const struct value *list)
{
    for (size_t i = 0;
         !value_is_null(list) && value_kind(list) == VALUE_LIST && i < value_count(list); i++)
        if (value_kind(value_at(list, i)) == VALUE_STRING)
            value_builder_append(uids, value_ref(value_at(list, i)));
}

struct listing {
    const struct value *sources;
    struct value_builder programs;
};

static int found_file(void *argument, const char *name, struct error *err)
{
    struct listing *listing = argument;
    struct value_builder uids = {0};
    (void)err;
    if (!text_ends_with(name, ".log"))
        return 0;
    CLEANUP(mem_freep) char *program = string_copy_n(name, strlen(name) - strlen(".log"));
    CLEANUP(mem_freep) char *host = string_copy_n(program, strcspn(program, "."));
    add_uids(&uids, value_get(listing->sources, program));
    if (!text_equal(host, program))
        add_uids(&uids, value_get(listing->sources, host));
    value_builder_set(&listing->programs, program, value_builder_list(&uids));
    return 0;
}

int twin_logs_list(const struct twin_home *home, struct value **ret_programs, struct error *err)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/logs", home->folder);
    CLEANUP(value_unrefp) struct value *sources = NULL;
    int r = read_sources(home, &sources, err);
    if (r < 0)
        return r;
    struct listing listing = {.sources = sources};
    r = world_list_folder(folder, found_file, &listing, err);
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        r = 0;
    }
    if (r < 0)
        value_builder_done(&listing.programs);
    else
        *ret_programs = value_builder_map(&listing.programs);
    return r;
}

/* --- One log --- */

struct twin_log {
    char *path;        /* owned, as the next */
    char *old_path;    /* what was before */
    bool has_read_old; /* that file, as it was when one was open last */
    int fd;            /* -1: none is open */
    int64_t offset;
    struct strbuf ahead; /* read already */
    size_t at;           /* where in it the next line begins */
    char *line;          /* owned: that was given last */
};

struct twin_log *twin_log_open(const struct twin_home *home, const char *program)
{
    struct twin_log *log = NEW(struct twin_log);
    log->path = string_format("%s/logs/%s.log", home->folder, program);
    log->old_path = string_format("%s.old", log->path);
    log->fd = -1;
    return log;
}

void twin_log_close(struct twin_log *log)
{
    if (!log)
        return;
    close_descriptor(log->fd);
    strbuf_done(&log->ahead);
    mem_free(log->path);
    mem_free(log->old_path);
    mem_free(log->line);
    mem_free(log);
}

static int read_ahead(struct twin_log *log, size_t *ret_n, struct error *err)
{
    char bytes[READ_SIZE];
    int r = world_read_part(log->fd, log->offset, sizeof(bytes), bytes, ret_n, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *rest = string_copy_n(strbuf_text(&log->ahead) + log->at, log->ahead.length - log->at);
    strbuf_clear(&log->ahead);
    strbuf_add(&log->ahead, rest);
    log->at = 0;
    for (size_t i = 0; i < *ret_n; i++)
        strbuf_add_char(&log->ahead, (char)(bytes[i] ? bytes[i] : '?'));
    log->offset += (int64_t)*ret_n;
    return 0;
}

/* Opens what comes next: the older file, where that is not the one that was read, since the log
 * began anew twice meanwhile; else the newer one. */
static int open_next(struct twin_log *log, bool *ret_is_open, struct error *err)
{
    int r = -ERROR_NOT_FOUND;
    if (log->fd >= 0)
        log->has_read_old = world_file_is(log->old_path, log->fd);
    close_descriptor(log->fd);
    log->fd = -1;
    log->offset = 0;
    if (!log->has_read_old)
        r = world_open_file(log->old_path, &log->fd, NULL);
    if (r < 0)
        r = world_open_file(log->path, &log->fd, err);
    *ret_is_open = r == 0;
    if (r == -ERROR_NOT_FOUND)
        error_done(err);
    return r == -ERROR_NOT_FOUND ? 0 : r;
}

/* Whether there is more: false at the end of what is there now. */
static int read_more(struct twin_log *log, bool *ret_has_more, struct error *err)
{
    size_t n = 0;
    *ret_has_more = false;
    bool is_open = log->fd >= 0;
    int r = is_open ? 0 : open_next(log, &is_open, err);
    if (r < 0 || !is_open)
        return r;
    /* Looked at before the end is: what was added in between is read then. */
    bool is_over = !world_file_is(log->path, log->fd);
    r = read_ahead(log, &n, err);
    if (r == 0 && n == 0 && is_over)
        r = open_next(log, ret_has_more, err);
    else
        *ret_has_more = r == 0 && n > 0;
    return r;
}

/* As the supervisor writes it; logs of older programs have none. */
static bool begins_with_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ ";
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != form[i])
            return false;
    return true;
}

static void give_line(struct twin_log *log, size_t length, struct twin_log_line *ret_line)
{
    mem_free(log->line);
    log->line = string_copy_n(strbuf_text(&log->ahead) + log->at, length);
    log->at += length + 1;
    text_make_printable(log->line);
    bool has_time = begins_with_time(log->line);
    *ret_line = (struct twin_log_line){"", log->line};
    if (has_time) {
        log->line[TWIN_LOG_TIME_LENGTH] = '\0';
        *ret_line = (struct twin_log_line){log->line, log->line + TWIN_LOG_TIME_LENGTH + 1};
    }
}

int twin_log_next(struct twin_log *log, struct twin_log_line *ret_line, bool *ret_has_line,
                  struct error *err)
{
    *ret_has_line = false;
    for (;;) {
        const char *start = strbuf_text(&log->ahead) + log->at;
        const char *end = strchr(start, '\n');
        bool has_more = false;
        if (end) {
            give_line(log, (size_t)(end - start), ret_line);
            *ret_has_line = true;
            return 0;
        }
        int r = read_more(log, &has_more, err);
        if (r < 0 || !has_more)
            return r;
    }
}

/* --- Events --- */

static bool is_event(const struct value *event)
{
    const struct value *resources =
        value_kind(event) == VALUE_MAP ? value_get(event, "resources") : NULL;
    bool has_texts = !value_is_null(resources) && value_kind(resources) == VALUE_LIST &&
                     value_get_text(event, "time") && value_get_text(event, "kind") &&
                     value_get_text(event, "program");
    for (size_t i = 0; has_texts && i < value_count(resources); i++)
        has_texts = value_kind(value_at(resources, i)) == VALUE_STRING;
    return has_texts;
}

static int add_events(const char *path, struct value_builder *events, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, EVENTS_LIMIT, &text, &size, err);
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        return 0;
    }
    for (const char *line = text; r == 0 && *line;) {
        size_t length = strcspn(line, "\n");
        CLEANUP(value_unrefp) struct value *event = NULL;
        if (json_read(line, length, &event, NULL) == 0 && is_event(event))
            value_builder_append(events, value_ref(event));
        line += length + (line[length] == '\n');
    }
    return r;
}

int twin_events_read(const struct twin_home *home, size_t limit, struct value **ret_events,
                     struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/events.json", home->folder);
    CLEANUP(mem_freep) char *old_path = string_format("%s.old", path);
    struct value_builder all = {0}, newest = {0};
    int r = add_events(old_path, &all, err);
    if (r == 0)
        r = add_events(path, &all, err);
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&all);
    size_t n = value_count(list);
    for (size_t i = n > limit ? n - limit : 0; r == 0 && i < n; i++)
        value_builder_append(&newest, value_ref(value_at(list, i)));
    if (r == 0)
        *ret_events = value_builder_list(&newest);
    return r;
}
