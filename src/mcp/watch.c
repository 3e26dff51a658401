#include "mcp/watch.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/resources.h"

enum { LOOK_US = 1000 * 1000 };

struct watch {
    struct loop *loop;
    struct pool *pool;
    const struct caller *as;
    struct mcp_server *server;
    struct service *service; /* from the pool; NULL while nobody listens */
    struct map marks;        /* URI -> owned mark as it was last seen */
    char *names;             /* owned: the mark of which deployments there are; NULL: not known */
    int64_t version;         /* of the store, as of the marks */
    uint64_t site;           /* the same of the site */
    bool is_running, is_looking;
    struct gate woken; /* looking has ended, somebody listens no longer, or it has ended */
};

static void forget_marks(struct map *marks)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(marks, &cursor)) != NULL;)
        mem_free(entry->value);
    map_done(marks);
    *marks = (struct map){0};
}

/* --- What is listened to --- */

static void note_uri(void *argument, const char *uri)
{
    struct map *marks = argument;
    if (!map_has(marks, uri))
        map_put(marks, uri, NULL);
}

/* The marks of what is listened to now; what nobody has looked at yet has NULL. */
static void gather_heard(struct watch *watch)
{
    struct map heard = {0};
    size_t cursor = 0;
    mcp_visit_heard(watch->server, note_uri, &heard);
    for (struct map_entry *entry; (entry = map_next(&heard, &cursor)) != NULL;) {
        entry->value = map_get(&watch->marks, entry->key);
        if (entry->value)
            map_put(&watch->marks, entry->key, NULL);
    }
    forget_marks(&watch->marks);
    watch->marks = heard;
}

/* Puts the mark that it has now. Returns whether there was another; what cannot be told is left. */
CO_FN static bool look_at(struct watch *watch, enum mark_kind kind, const char *name, char **mark)
{
    char *now = NULL;
    if (service_find_mark(watch->service, kind, name, &now, NULL) < 0)
        return false;
    bool is_another = *mark && !text_equal(*mark, now);
    mem_free(*mark);
    *mark = now;
    return is_another;
}

CO_FN static void look_at_resource(struct watch *watch, struct map_entry *entry, bool is_new_site)
{
    enum mark_kind kind;
    const char *name;
    char *mark = entry->value;
    bool is_another = resources_find_mark(entry->key, &kind, &name)
                          ? look_at(watch, kind, name, &mark)
                          : is_new_site;
    entry->value = mark;
    if (is_another)
        mcp_announce(watch->server, MCP_RESOURCE_UPDATED, entry->key);
}

/* --- Looking: by one at a time, since it waits --- */

/* False: nobody listens any more. */
CO_FN static bool begin_look(struct watch *watch)
{
    while (watch->is_looking)
        gate_wait(watch->loop, &watch->woken, -1, NULL);
    watch->is_looking = watch->service != NULL;
    return watch->is_looking;
}

static void end_look(struct watch *watch)
{
    watch->is_looking = false;
    gate_open(watch->loop, &watch->woken);
}

CO_FN static void look_at_all(struct watch *watch, bool is_new_site)
{
    size_t cursor = 0;
    gather_heard(watch);
    for (struct map_entry *entry; (entry = map_next(&watch->marks, &cursor)) != NULL;)
        look_at_resource(watch, entry, is_new_site);
    if (look_at(watch, MARK_NAMES, NULL, &watch->names))
        mcp_announce(watch->server, MCP_RESOURCES_CHANGED, NULL);
    if (is_new_site)
        mcp_announce(watch->server, MCP_TOOLS_CHANGED, NULL);
}

CO_FN static void look_for_changes(struct watch *watch)
{
    int64_t version = watch->version;
    uint64_t site = pool_site_version(watch->pool);
    bool is_new_site = site != watch->site;
    if (!begin_look(watch))
        return;
    (void)service_find_version(watch->service, &version, NULL);
    if (version != watch->version || is_new_site) {
        watch->version = version;
        watch->site = site;
        look_at_all(watch, is_new_site);
    }
    end_look(watch);
}

/* What is new is as it is now: only what comes afterwards is a change. */
CO_FN static void look_at_new(struct watch *watch)
{
    size_t cursor = 0;
    if (!begin_look(watch))
        return;
    gather_heard(watch);
    for (struct map_entry *entry; (entry = map_next(&watch->marks, &cursor)) != NULL;)
        if (!entry->value)
            look_at_resource(watch, entry, false);
    end_look(watch);
}

/* --- Its life --- */

/* Whether somebody listens still, once nobody looks any more. */
CO_FN static bool goes_on(struct watch *watch)
{
    while (watch->is_looking && !mcp_is_heard(watch->server))
        gate_wait(watch->loop, &watch->woken, -1, NULL);
    return mcp_is_heard(watch->server);
}

static void run(void *argument)
{
    struct watch *watch = argument;
    while (goes_on(watch)) {
        int64_t next = world_monotonic_clock() + LOOK_US;
        while (mcp_is_heard(watch->server) && world_monotonic_clock() < next)
            gate_wait(watch->loop, &watch->woken, next, NULL);
        if (mcp_is_heard(watch->server))
            look_for_changes(watch);
    }
    pool_give(watch->pool, take_ptr(watch->service));
    forget_marks(&watch->marks);
    mem_free(take_ptr(watch->names));
    watch->is_running = false;
    gate_open(watch->loop, &watch->woken);
}

/* A site with a fault is looked at again by whoever listens next. */
CO_FN static void start(struct watch *watch)
{
    watch->is_running = true;
    watch->is_looking = true;
    if (pool_take(watch->pool, watch->as, "mcp", &watch->service, NULL) < 0) {
        watch->is_running = false;
    } else {
        watch->site = pool_site_version(watch->pool);
        watch->version = 0;
        (void)service_find_version(watch->service, &watch->version, NULL);
        look_at(watch, MARK_NAMES, NULL, &watch->names);
        loop_spawn(watch->loop, "watch", run, watch);
    }
    end_look(watch);
}

static void began(void *argument)
{
    struct watch *watch = argument;
    if (!watch->is_running)
        start(watch);
    if (watch->is_running)
        look_at_new(watch);
}

static void ended(void *argument)
{
    struct watch *watch = argument;
    gate_open(watch->loop, &watch->woken);
}

struct watch *watch_new(struct loop *loop, struct pool *pool, const struct caller *as,
                        struct mcp_server *server)
{
    struct watch *watch = NEW(struct watch);
    *watch = (struct watch){.loop = loop, .pool = pool, .as = as, .server = server};
    mcp_set_watcher(server, &(struct mcp_watcher){began, ended, watch});
    return watch;
}

void watch_end(struct watch *watch)
{
    if (!watch)
        return;
    while (watch->is_running)
        gate_wait(watch->loop, &watch->woken, -1, NULL);
    mem_free(watch);
}
