/* What the twin's programs printed: of a deployment, a resource or an instance, in order of time.
 */
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "catalog/literal.h"
#include "provider/twin/logs.h"
#include "service/service.h"

#include <string.h>

enum {
    LOOK_AGAIN_US = 100 * 1000,
    LOOK_FOR_NEW_US = 1000 * 1000,
    SHOWN_NAMES = 20,
    MOST_EVENTS = 10000,
    TIME_SIZE = TWIN_LOG_TIME_LENGTH + 1,
};

/* A log that is read, with the line that is told next. */
struct source {
    char *program; /* owned */
    struct twin_log *log;
    struct twin_log_line line;
    char time[TIME_SIZE]; /* of the line, or of the one before where it has none */
    bool has_line;
};

struct reading {
    struct service *service;
    const struct log_request *request;
    struct twin_home home;
    char since[TIME_SIZE];
    struct source *sources; /* owned */
    size_t n_sources;
    size_t capacity;
    struct map known;  /* programs that were looked at */
    int64_t next_look; /* for others */
    bool is_known;     /* the name: to the store, whatever has a log already */
    int64_t n_lines;
};

static void reading_done(struct reading *reading)
{
    for (size_t i = 0; i < reading->n_sources; i++) {
        mem_free(reading->sources[i].program);
        twin_log_close(reading->sources[i].log);
    }
    mem_free(reading->sources);
    map_done(&reading->known);
    twin_home_done(&reading->home);
}

/* --- Since when --- */

/* As the logs have it: "2026-11-21T22:16:28.123456Z". */
static void format_time(int64_t wall_clock, char ret_text[TIME_SIZE])
{
    char seconds[WORLD_TIME_SIZE];
    world_format_time(wall_clock, seconds);
    CLEANUP(mem_freep)
    char *text = string_format("%.19s.%06dZ", seconds, (int)(wall_clock % 1000000));
    memcpy(ret_text, text, TIME_SIZE);
}

/* A day, or a time of it as precise as anybody likes. */
static bool is_time(const char *text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddd";
    static const size_t lengths[] = {10, 16, 19};
    size_t length = strcspn(text, "Z");
    bool is_whole = length > 20 && length < sizeof(form);
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        is_whole = is_whole || length == lengths[i];
    for (size_t i = 0; is_whole && i < length; i++)
        is_whole = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
    return is_whole && (text[length] == '\0' || (length > 10 && text_equal(text + length, "Z")));
}

/* A prefix of a time sorts before all that begin with it. */
static int read_since(const char *text, char ret_since[TIME_SIZE], struct error *err)
{
    ret_since[0] = '\0';
    if (!text)
        return 0;
    CLEANUP(value_unrefp) struct value *duration = literal_duration(text);
    if (duration) {
        double seconds = literal_duration_seconds(value_text(duration));
        int64_t now = world_wall_clock();
        format_time(seconds * 1e6 < (double)now ? now - (int64_t)(seconds * 1e6) : 0, ret_since);
        return 0;
    }
    if (!is_time(text))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is neither a duration, like 10m, nor a time in UTC, like "
                         "2026-11-21 or 2026-11-21T22:16:28Z",
                         text);
    size_t length = strcspn(text, "Z");
    memcpy(ret_since, text, length);
    ret_since[length] = '\0';
    return 0;
}

/* --- Which logs --- */

/* The uids that a name means among the records: of a whole deployment, or of resources with that
 * address in any. */
static int add_uids_of(struct service *service, const char *name,
                       const struct store_deployment *deployment, struct map *uids,
                       struct error *err)
{
    struct records records = {0};
    int r = store_load_records(service->store, deployment->uid, &records, err);
    CLEANUP(mem_freep)
    char *full = string_format("%s@%s", deployment->name, deployment->environment);
    bool is_all = text_equal(name, deployment->name) || text_equal(name, full);
    for (size_t i = 0; r == 0 && i < records.n_items; i++)
        if (is_all || text_equal(name, records.items[i]->address))
            map_put(uids, records.items[i]->uid, uids);
    records_done(&records);
    return r;
}

static int find_uids(struct service *service, const char *name, struct map *uids, struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    struct error missing = {0};
    int r = service_need_store(service, false, &missing);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&missing);
        return 0;
    }
    if (r < 0)
        return error_move(err, &missing);
    r = store_list_deployments(service->store, &deployments, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = add_uids_of(service, name, &deployments[i], uids, err);
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    return r;
}

static bool is_meant(const char *name, const char *program, const struct value *its_uids,
                     const struct map *uids)
{
    size_t length = strlen(name);
    if (text_starts_with(program, name) && (program[length] == '\0' || program[length] == '.'))
        return true;
    for (size_t i = 0; i < value_count(its_uids); i++)
        if (map_has(uids, value_text(value_at(its_uids, i))))
            return true;
    return false;
}

/* Opens those that are meant and were not there before. */
static int open_sources(struct reading *reading, struct value **ret_programs, struct error *err)
{
    struct map uids = {0};
    struct value *programs = NULL;
    int r = find_uids(reading->service, reading->request->name, &uids, err);
    reading->is_known = uids.n_live > 0;
    if (r == 0)
        r = twin_logs_list(&reading->home, &programs, err);
    for (size_t i = 0; r == 0 && i < value_count(programs); i++) {
        const char *program = value_key_at(programs, i);
        if (map_has(&reading->known, program) ||
            !is_meant(reading->request->name, program, value_at(programs, i), &uids))
            continue;
        map_put(&reading->known, program, reading);
        ARRAY_RESERVE(reading->sources, reading->n_sources, reading->capacity);
        reading->sources[reading->n_sources++] = (struct source){
            .program = string_copy(program), .log = twin_log_open(&reading->home, program)};
    }
    map_done(&uids);
    *ret_programs = programs;
    return r;
}

static int complain_of_name(const char *name, const struct value *programs, struct error *err)
{
    struct strbuf names = {0};
    size_t n = value_count(programs);
    if (n == 0)
        return error_set(err, ERROR_NOT_FOUND,
                         "there are no logs: nothing ran on a twin of this home");
    for (size_t i = 0; i < n && i < SHOWN_NAMES; i++)
        strbuf_addf(&names, "%s%s", i > 0 ? ", " : "", value_key_at(programs, i));
    int r = error_set(err, ERROR_NOT_FOUND,
                      "no deployment, resource or instance \"%s\" has a log; there are those of "
                      "%s%s",
                      name, strbuf_text(&names), n > SHOWN_NAMES ? " and others" : "");
    strbuf_done(&names);
    return r;
}

/* --- Lines --- */

static bool is_wanted(const struct reading *reading, const struct source *source)
{
    const char *match = reading->request->match;
    return strcmp(source->time, reading->since) >= 0 &&
           (!match || strstr(source->line.text, match));
}

/* Goes on to the next line that is wanted, if there is one now. */
static int advance(const struct reading *reading, struct source *source, struct error *err)
{
    int r;
    do {
        r = twin_log_next(source->log, &source->line, &source->has_line, err);
        if (r == 0 && source->has_line && *source->line.time)
            memcpy(source->time, source->line.time, TIME_SIZE);
    } while (r == 0 && source->has_line && !is_wanted(reading, source));
    return r;
}

static void tell(struct reading *reading, const struct source *source)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "kind", "line");
    value_builder_set_string(&fields, "source", source->program);
    value_builder_set_string(&fields, "time", *source->time ? source->time : NULL);
    value_builder_set_string(&fields, "text", source->line.text);
    CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
    reading->n_lines++;
    if (reading->request->sink)
        reading->request->sink(reading->request->argument, event);
}

/* All that is there now, of all logs together in order of time. */
static int tell_all(struct reading *reading, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < reading->n_sources; i++)
        if (!reading->sources[i].has_line)
            r = advance(reading, &reading->sources[i], err);
    while (r == 0) {
        struct source *first = NULL;
        for (size_t i = 0; i < reading->n_sources; i++) {
            struct source *source = &reading->sources[i];
            if (source->has_line && (!first || strcmp(source->time, first->time) < 0))
                first = source;
        }
        if (!first)
            break;
        tell(reading, first);
        r = advance(reading, first, err);
    }
    return r;
}

/* Which there are costs more to tell than what is new in them. */
static int look_for_new(struct reading *reading, struct error *err)
{
    CLEANUP(value_unrefp) struct value *programs = NULL;
    int64_t now = world_monotonic_clock();
    if (now < reading->next_look)
        return 0;
    reading->next_look = now + LOOK_FOR_NEW_US;
    int r = open_sources(reading, &programs, err);
    bool may_come = reading->request->follow && reading->is_known;
    if (r == 0 && reading->n_sources == 0 && !may_come)
        r = complain_of_name(reading->request->name, programs, err);
    return r;
}

static int read_all(struct reading *reading, struct error *err)
{
    int r = look_for_new(reading, err);
    return r < 0 ? r : tell_all(reading, err);
}

int service_show_logs(struct service *service, const struct log_request *request,
                      struct value **ret_answer, struct error *err)
{
    struct reading reading = {.service = service, .request = request};
    int r = read_since(request->since, reading.since, err);
    if (r == 0)
        r = twin_home_init(&reading.home, service->home, err);
    if (r == 0)
        r = read_all(&reading, err);
    while (r == 0 && request->follow) {
        loop_sleep(service->loop, LOOK_AGAIN_US);
        r = read_all(&reading, err);
    }
    if (r == 0) {
        struct value_builder fields = {0};
        value_builder_set(&fields, "lines", value_integer(reading.n_lines));
        *ret_answer = value_builder_map(&fields);
    }
    reading_done(&reading);
    return r;
}

/* --- Events --- */

static struct value *select_events(const struct value *all, const char *name,
                                   const struct map *uids)
{
    struct value_builder events = {0};
    for (size_t i = 0; i < value_count(all); i++) {
        struct value *event = value_at(all, i);
        if (!name ||
            is_meant(name, value_get_text(event, "program"), value_get(event, "resources"), uids))
            value_builder_append(&events, value_ref(event));
    }
    return value_builder_list(&events);
}

int service_list_events(struct service *service, const char *name, struct value **ret_events,
                        struct error *err)
{
    struct twin_home home = {0};
    struct map uids = {0};
    CLEANUP(value_unrefp) struct value *all = NULL;
    int r = twin_home_init(&home, service->home, err);
    if (r == 0)
        r = twin_events_read(&home, MOST_EVENTS, &all, err);
    /* Whose resources they are is read only where there are some. */
    if (r == 0 && name && value_count(all) > 0)
        r = find_uids(service, name, &uids, err);
    if (r == 0)
        *ret_events = select_events(all, name, &uids);
    map_done(&uids);
    twin_home_done(&home);
    return r;
}
