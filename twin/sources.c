#include "twin/sources.h"

#include "base/map.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/balancer-limits.h"
#include "twin/firewall-log.h"

#include <string.h>

enum { FILE_LIMIT = 8 << 20, MOST_SOURCES = 10000 };

/* --- What a machine has --- */

/* Lists that are built side by side, in the order of their first uid. */
struct collection {
    struct map lists; /* source -> owned struct value_builder * */
};

static void add(struct collection *collection, const char *source, const char *uid)
{
    struct value_builder *list = map_get(&collection->lists, source);
    if (!uid)
        return;
    if (!list) {
        list = NEW(struct value_builder);
        map_put(&collection->lists, source, list);
    }
    for (size_t i = 0; i < list->n_items; i++)
        if (text_equal(value_text(list->items[i]), uid))
            return;
    value_builder_append(list, value_string(uid));
}

/* A balancer serves its frontends, and those what is behind them. The limiter serves those that
 * have a limit. */
static void add_balancers(struct collection *collection, const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_frontends; i++) {
        const struct machine_frontend *frontend = machine->frontends[i];
        add(collection, frontend->host->name, frontend->resource);
        if (frontend->backend)
            add(collection, frontend->host->name, frontend->backend->resource);
        if (frontend->limit.count > 0)
            add(collection, BALANCER_LIMITER, frontend->resource);
    }
}

static void add_workloads(struct collection *collection, const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; k < workload->n_hosts; k++) {
            CLEANUP(mem_freep)
            char *source = string_format("%s.%s", workload->hosts[k]->name, workload->name);
            add(collection, source, workload->resource);
            CLEANUP(mem_freep) char *check = string_format("%s.health", source);
            if (workload->check.command)
                add(collection, check, workload->resource);
        }
    }
}

static void add_dashboards(struct collection *collection, const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_dashboards; i++) {
        const struct machine_dashboards *dashboards = machine->dashboards[i];
        CLEANUP(mem_freep)
        char *source =
            string_format("%s.grafana-%u", dashboards->monitor->host->name, dashboards->port);
        add(collection, source, dashboards->resource);
    }
}

/* What the firewall logs belongs to the rules that say so. */
static void add_rules(struct collection *collection, const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_rules; i++) {
        if (machine->rules[i]->log)
            add(collection, FIREWALL_LOG, machine->rules[i]->resource);
    }
    for (size_t i = 0; i < machine->n_forwards; i++) {
        if (machine->forwards[i]->log)
            add(collection, FIREWALL_LOG, machine->forwards[i]->resource);
    }
}

struct value *sources_describe(const struct machine *machine)
{
    struct collection collection = {0};
    struct value_builder sources = {0};
    for (size_t i = 0; i < machine->n_hosts; i++)
        add(&collection, machine->hosts[i]->name, machine->hosts[i]->resource);
    add_balancers(&collection, machine);
    add_workloads(&collection, machine);
    add_dashboards(&collection, machine);
    add_rules(&collection, machine);
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&collection.lists, &cursor));) {
        value_builder_set(&sources, entry->key, value_builder_list(entry->value));
        mem_free(entry->value);
    }
    map_done(&collection.lists);
    return value_builder_map(&sources);
}

/* --- What was --- */

struct value *sources_merge(const struct value *before, struct value *take_now)
{
    CLEANUP(value_unrefp) struct value *now = take_now;
    struct value_builder all = {0};
    size_t n_before = before ? value_count(before) : 0;
    if (n_before > MOST_SOURCES)
        n_before = 0;
    for (size_t i = 0; i < n_before; i++)
        if (!value_get(now, value_key_at(before, i)))
            value_builder_set(&all, value_key_at(before, i), value_ref(value_at(before, i)));
    for (size_t i = 0; i < value_count(now); i++)
        value_builder_set(&all, value_key_at(now, i), value_ref(value_at(now, i)));
    return value_builder_map(&all);
}

static void append_all(struct value_builder *uids, const struct value *list)
{
    for (size_t i = 0; !value_is_null(list) && i < value_count(list); i++)
        value_builder_append(uids, value_ref(value_at(list, i)));
}

struct value *sources_find(const struct value *sources, const char *program)
{
    struct value_builder uids = {0};
    CLEANUP(mem_freep) char *host = string_copy_n(program, strcspn(program, "."));
    if (sources)
        append_all(&uids, value_get(sources, program));
    if (sources && !text_equal(host, program))
        append_all(&uids, value_get(sources, host));
    return value_builder_list(&uids);
}

/* --- The file --- */

struct value *sources_load(const char *folder)
{
    CLEANUP(mem_freep) char *path = string_format("%s/sources.json", folder);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *file = NULL;
    size_t size = 0;
    if (world_read_file(path, FILE_LIMIT, &text, &size, NULL) < 0 ||
        json_read(text, size, &file, NULL) < 0 || value_kind(file) != VALUE_MAP ||
        value_get_integer(file, "format", 0) != SOURCES_FORMAT)
        return NULL;
    struct value *sources = value_get(file, "sources");
    return sources && value_kind(sources) == VALUE_MAP ? value_ref(sources) : NULL;
}

void sources_save(const char *folder, struct value *sources)
{
    CLEANUP(mem_freep) char *path = string_format("%s/sources.json", folder);
    struct value_builder fields = {0};
    value_builder_set(&fields, "format", value_integer(SOURCES_FORMAT));
    value_builder_set(&fields, "sources", value_ref(sources));
    CLEANUP(value_unrefp) struct value *file = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(file);
    world_write_file(path, text, strlen(text), 0600, false, NULL);
}
