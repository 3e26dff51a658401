#include "mcp/looks.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

#include <stdio.h>

enum { MOST_ROWS = 1000 };

/* Calls that are alike. */
struct look {
    char *principal, *client, *tool, *about; /* owned */
    int64_t calls, first_at, last_at;
};

struct looks {
    struct loop *loop;
    struct pool *pool;
    const struct caller *as;
    const char *kind;
    int64_t interval;
    struct map rows;   /* key -> owned struct look */
    struct look *last; /* of these, noted last; NULL: none was since they were taken */
    struct timer *timer;
    bool is_writing;
    struct gate written;
};

static void look_free(struct look *look)
{
    mem_free(look->principal);
    mem_free(look->client);
    mem_free(look->tool);
    mem_free(look->about);
    mem_free(look);
}

struct looks *looks_new(struct loop *loop, struct pool *pool, const struct caller *as,
                        const char *kind, int64_t interval)
{
    struct looks *looks = NEW(struct looks);
    *looks =
        (struct looks){.loop = loop, .pool = pool, .as = as, .kind = kind, .interval = interval};
    return looks;
}

size_t looks_count(const struct looks *looks)
{
    return looks->rows.n_live;
}

static struct value *look_to_value(const struct look *look)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "principal", look->principal);
    value_builder_set_string(&fields, "client", look->client);
    value_builder_set_string(&fields, "tool", look->tool);
    if (*look->about)
        value_builder_set_string(&fields, "about", look->about);
    value_builder_set(&fields, "calls", value_integer(look->calls));
    value_builder_set(&fields, "first_at", value_integer(look->first_at));
    value_builder_set(&fields, "last_at", value_integer(look->last_at));
    return value_builder_map(&fields);
}

/* Empties the rows. */
static struct value *take_rows(struct looks *looks)
{
    struct value_builder list = {0};
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&looks->rows, &cursor)) != NULL;) {
        value_builder_append(&list, look_to_value(entry->value));
        look_free(entry->value);
    }
    map_done(&looks->rows);
    looks->rows = (struct map){0};
    looks->last = NULL;
    return value_builder_list(&list);
}

/* Nobody waits for it any more whom it could be told. */
static void complain(size_t n_rows, const struct error *err)
{
    fprintf(stderr, "parley: who looked at what is not in the audit chain (%zu rows): %s\n", n_rows,
            error_message(err));
}

/* Where nothing was ever deployed there was nothing to see, and there is no chain yet. */
static void write_rows(struct looks *looks)
{
    struct service *service = NULL;
    struct value_builder fields = {0};
    CLEANUP(error_done) struct error err = {0};
    size_t n_rows = looks->rows.n_live;
    value_builder_set(&fields, looks->kind, take_rows(looks));
    int r = pool_take(looks->pool, looks->as, "mcp", &service, &err);
    if (r == 0) {
        r = service_audit(service, looks->kind, &fields, &err);
        pool_give(looks->pool, service);
    }
    if (r < 0 && r != -ERROR_NOT_FOUND)
        complain(n_rows, &err);
    value_builder_done(&fields);
}

static void write_main(void *argument)
{
    struct looks *looks = argument;
    write_rows(looks);
    looks->is_writing = false;
    gate_open(looks->loop, &looks->written);
}

static void begin_writing(struct looks *looks)
{
    loop_timer_cancel(looks->timer);
    looks->timer = NULL;
    if (looks->is_writing)
        return;
    looks->is_writing = true;
    loop_spawn(looks->loop, "looks", write_main, looks);
}

static void ring(void *argument)
{
    struct looks *looks = argument;
    looks->timer = NULL;
    begin_writing(looks);
}

static struct look *look_new(const char *principal, const char *client, const char *tool,
                             const char *about)
{
    struct look *look = NEW(struct look);
    *look = (struct look){.principal = string_copy(principal),
                          .client = string_copy(client),
                          .tool = string_copy(tool),
                          .about = string_copy(about),
                          .first_at = world_wall_clock()};
    return look;
}

static bool is_of(const struct look *look, const char *principal, const char *client,
                  const char *tool, const char *about)
{
    return text_equal(look->principal, principal) && text_equal(look->client, client) &&
           text_equal(look->tool, tool) && text_equal(look->about, about);
}

static struct look *find_look(struct looks *looks, const char *principal, const char *client,
                              const char *tool, const char *about)
{
    if (looks->last && is_of(looks->last, principal, client, tool, about))
        return looks->last;
    CLEANUP(mem_freep) char *key = string_format("%s\n%s\n%s\n%s", principal, client, tool, about);
    struct look *look = map_get(&looks->rows, key);
    if (!look) {
        look = look_new(principal, client, tool, about);
        map_put(&looks->rows, key, look);
    }
    return look;
}

void looks_note(struct looks *looks, const char *principal, const char *client, const char *tool,
                const char *about)
{
    struct look *look = find_look(looks, principal, client, tool, about);
    looks->last = look;
    look->calls++;
    look->last_at = world_wall_clock();
    if (looks->rows.n_live >= MOST_ROWS)
        begin_writing(looks);
    else if (!looks->timer)
        looks->timer = loop_timer(looks->loop, looks->interval, ring, looks);
}

void looks_end(struct looks *looks)
{
    loop_timer_cancel(looks->timer);
    while (looks->is_writing)
        gate_wait(looks->loop, &looks->written, -1, NULL);
    if (looks->rows.n_live > 0)
        write_rows(looks);
    map_done(&looks->rows);
    mem_free(looks);
}
