#include "twin/events.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/converge.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct events {
    struct twin *twin;
    char *path;     /* owned, as the next */
    char *old_path; /* of those before */
};

/* As logs have it, so that both can be read side by side. */
static struct value *time_of_now(void)
{
    char seconds[WORLD_TIME_SIZE];
    int64_t now = world_wall_clock();
    world_format_time(now, seconds);
    CLEANUP(mem_freep)
    char *text = string_format("%.19s.%06dZ", seconds, (int)(now % 1000000));
    return value_string(text);
}

static void append_line(const struct events *events, const struct value *event)
{
    CLEANUP(mem_freep) char *json = json_text(event);
    CLEANUP(mem_freep) char *line = string_format("%s\n", json);
    CLEANUP(close_descriptorp) int fd = -1;
    struct stat status;
    size_t length = strlen(line);
    if (stat(events->path, &status) == 0 && status.st_size + (off_t)length > EVENTS_LIMIT)
        rename(events->path, events->old_path);
    if (world_open_append(events->path, 0600, &fd, NULL) == 0)
        (void)!write(fd, line, length);
}

/* Of a database's server: "primary" or "replica"; NULL of all else, and while nobody can tell. */
static const char *role_of(const struct events *events, const struct process *process)
{
    struct converge *converge = events->twin->converge;
    const char *name = process_host(process);
    const struct machine_host *host =
        name ? machine_find_host(converge_machine(converge), name) : NULL;
    if (!host || host->role != HOST_DATABASE || !text_equal(process_name(process), name))
        return NULL;
    CLEANUP(value_unrefp) struct value *described = converge_describe(converge, host->resource);
    const char *primary = value_get_text(value_get(described, "status"), "primary");
    return !primary ? NULL : text_equal(primary, name) ? "primary" : "replica";
}

static void note_turn(void *argument, const struct process *process, enum process_turn turn)
{
    const struct events *events = argument;
    struct value_builder fields = {0};
    const char *problem = process_problem(process);
    value_builder_set(&fields, "time", time_of_now());
    value_builder_set_string(&fields, "kind", turn == PROCESS_BROKE ? "broke" : "resumed");
    value_builder_set_string(&fields, "program", process_name(process));
    value_builder_set_string(&fields, "host", process_host(process));
    const char *role = role_of(events, process);
    if (role)
        value_builder_set_string(&fields, "role", role);
    value_builder_set(&fields, "resources",
                      converge_find_resources(events->twin->converge, process_name(process)));
    value_builder_set(&fields, "restarts", value_integer(process_restarts(process)));
    if (turn == PROCESS_BROKE)
        value_builder_set_string(&fields, "message", problem);
    CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
    append_line(events, event);
}

static struct value *resources_of(const struct events *events, const struct event *event)
{
    struct value_builder uids = {0};
    if (!event->resource)
        return converge_find_resources(events->twin->converge, event->program);
    value_builder_append(&uids, value_string(event->resource));
    return value_builder_list(&uids);
}

void events_note(struct events *events, const struct event *event)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "time", time_of_now());
    value_builder_set_string(&fields, "kind", event->kind);
    value_builder_set_string(&fields, "program", event->program);
    if (event->host)
        value_builder_set_string(&fields, "host", event->host);
    value_builder_set(&fields, "resources", resources_of(events, event));
    value_builder_set_string(&fields, "message", event->message);
    CLEANUP(value_unrefp) struct value *line = value_builder_map(&fields);
    append_line(events, line);
}

struct events *events_new(struct twin *twin, const char *folder)
{
    struct events *events = NEW(struct events);
    events->twin = twin;
    events->path = string_format("%s/events.json", folder);
    events->old_path = string_format("%s.old", events->path);
    processes_watch(twin->processes, note_turn, events);
    return events;
}

void events_free(struct events *events)
{
    if (!events)
        return;
    processes_watch(events->twin->processes, NULL, NULL);
    mem_free(events->path);
    mem_free(events->old_path);
    mem_free(events);
}
