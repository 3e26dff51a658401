/*
 * The module of monitors: Prometheus and Alertmanager on a host of their own watch the whole
 * machine; the supervisor itself receives the alerts.
 */
#include "twin/monitor-private.h"
#include "twin/service.h"

#include "base/text.h"
#include "base/world.h"

/* --- A monitor --- */

static CO_FN int converge_monitor(struct monitor *monitor, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf settings = {0};
    CLEANUP(strbuf_done) struct strbuf ignored = {0};
    int r = monitor_make_storage(monitor, err);
    if (r == 0)
        r = monitor_write_all(monitor, monitor->draft, &settings, err);
    if (r < 0)
        return r;
    bool changed = !text_equal_or_null(monitor->settings, strbuf_text(&settings));
    if (changed)
        r = monitor_check_draft(monitor, err);
    if (r == 0)
        r = monitor_write_all(monitor, monitor->config, &ignored, err);
    if (r == 0)
        r = monitor_bring_up(monitor, changed, err);
    if (r == 0 && (changed || !monitor->tested))
        r = monitor_test_alerting(monitor, err);
    if (r < 0)
        return r;
    mem_free(monitor->settings);
    monitor->settings = strbuf_take(&settings);
    mem_free(monitor->retention);
    monitor->retention = string_copy(monitor->wanted->retention);
    return 0;
}

static struct monitor *monitor_new(struct monitors *module, const struct machine_monitor *wanted)
{
    CLEANUP(mem_freep) char *file = service_file_name(wanted->resource);
    struct monitor *monitor = NEW(struct monitor);
    monitor->module = module;
    monitor->resource = string_copy(wanted->resource);
    monitor->host = string_copy(wanted->host->name);
    monitor->config = string_format("%s/%s", module->config_folder, file);
    monitor->draft = string_format("%s/%s.draft", module->config_folder, file);
    monitor->storage = string_format("%s/%s", module->storage_folder, file);
    monitor->retention = string_copy("");
    return monitor;
}

static CO_FN void monitor_free(struct monitor *monitor)
{
    monitor_stop_processes(monitor);
    http_server_free(monitor->receiver, world_monotonic_clock());
    monitor_alerts_done(&monitor->alerts);
    mem_free(monitor->resource);
    mem_free(monitor->host);
    mem_free(monitor->config);
    mem_free(monitor->draft);
    mem_free(monitor->storage);
    mem_free(monitor->settings);
    mem_free(monitor->retention);
    mem_free(monitor);
}

static CO_FN void drop_monitor(struct monitors *module, size_t index)
{
    struct monitor *monitor = module->items[index];
    module->items[index] = module->items[--module->n_items];
    monitor_stop_processes(monitor);
    service_remove_folder(monitor->config);
    service_remove_folder(monitor->draft);
    if (!twin_has_resource(module->twin, monitor->resource))
        service_remove_folder(monitor->storage);
    monitor_free(monitor);
}

/* --- The module --- */

static struct monitor *find_monitor(const struct monitors *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource))
            return module->items[i];
    return NULL;
}

static bool is_wanted(const struct machine *machine, const struct monitor *monitor)
{
    for (size_t i = 0; i < machine->n_monitors; i++)
        if (text_equal(machine->monitors[i]->resource, monitor->resource) &&
            text_equal(machine->monitors[i]->host->name, monitor->host))
            return true;
    return false;
}

static CO_FN void adjust_list(struct monitors *module)
{
    for (size_t i = module->n_items; i > 0; i--)
        if (!is_wanted(module->machine, module->items[i - 1]))
            drop_monitor(module, i - 1);
    for (size_t i = 0; i < module->machine->n_monitors; i++) {
        const struct machine_monitor *wanted = module->machine->monitors[i];
        struct monitor *monitor = find_monitor(module, wanted->resource);
        if (!monitor) {
            monitor = monitor_new(module, wanted);
            ARRAY_RESERVE(module->items, module->n_items, module->capacity);
            module->items[module->n_items++] = monitor;
        }
        monitor->wanted = wanted;
    }
}

static int find_programs(struct programs *programs, struct error *err)
{
    static const char package[] = "prometheus", alertmanager[] = "prometheus-alertmanager";
    int r = 0;
    if (!programs->prometheus)
        r = service_find_program("prometheus", package, &programs->prometheus, err);
    if (r == 0 && !programs->promtool)
        r = service_find_program("promtool", package, &programs->promtool, err);
    if (r == 0 && !programs->alertmanager)
        r = service_find_program("prometheus-alertmanager", alertmanager, &programs->alertmanager,
                                 err);
    if (r == 0 && !programs->amtool)
        r = service_find_program("amtool", alertmanager, &programs->amtool, err);
    return r;
}

static CO_FN void converge_monitors(void *argument, struct machine *wanted,
                                    struct problems *problems)
{
    struct monitors *module = argument;
    struct machine *before = module->machine;
    module->machine = machine_ref(wanted);
    adjust_list(module);
    machine_unref(before);
    for (size_t i = 0; i < wanted->n_monitors; i++) {
        struct error err = {0};
        struct monitor *monitor = find_monitor(module, wanted->monitors[i]->resource);
        int r = find_programs(&module->programs, &err);
        if (r == 0)
            r = converge_monitor(monitor, &err);
        if (r < 0)
            problems_add(problems, monitor->resource, &err);
    }
}

/* --- What is so --- */

/* Without an exporter all else is watched, but it is not as it should be. */
static bool is_whole(const struct monitor *monitor)
{
    for (size_t i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        if (monitor->exporters[i] && process_state(monitor->exporters[i]) != PROCESS_READY)
            return false;
    return monitor->n_broken_rules == 0 && monitor->n_down == 0;
}

static const char *state_of(const struct monitor *monitor)
{
    if (!monitor->prometheus || !monitor->alertmanager)
        return "failed";
    enum process_state prometheus = process_state(monitor->prometheus);
    enum process_state alertmanager = process_state(monitor->alertmanager);
    if (prometheus == PROCESS_READY && alertmanager == PROCESS_READY)
        return is_whole(monitor) ? "ready" : "degraded";
    return prometheus == PROCESS_STARTING || alertmanager == PROCESS_STARTING ? "starting"
                                                                              : "failed";
}

static void describe_program(const struct process *process, struct value_builder *programs)
{
    struct value_builder fields = {0};
    if (!process)
        return;
    value_builder_set_string(&fields, "name", process_name(process));
    value_builder_set_string(&fields, "state", process_state_to_string(process_state(process)));
    service_report_restarts(&fields, process_restarts(process));
    service_report_problem(&fields, process);
    value_builder_append(programs, value_builder_map(&fields));
}

static struct value *describe_programs(const struct monitor *monitor)
{
    struct value_builder programs = {0};
    describe_program(monitor->prometheus, &programs);
    describe_program(monitor->alertmanager, &programs);
    for (size_t i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        describe_program(monitor->exporters[i], &programs);
    return value_builder_list(&programs);
}

static struct value *describe_targets(const struct monitor *monitor)
{
    struct value_builder targets = {0};
    value_builder_set(&targets, "up", value_integer((int64_t)monitor->n_up));
    value_builder_set(&targets, "down", value_integer((int64_t)monitor->n_down));
    value_builder_set(&targets, "unknown", value_integer((int64_t)monitor->n_unknown));
    return value_builder_map(&targets);
}

static struct value *describe_rules(const struct monitor *monitor)
{
    struct value_builder rules = {0};
    value_builder_set(&rules, "loaded", value_integer((int64_t)monitor->n_rules));
    value_builder_set(&rules, "broken", value_integer((int64_t)monitor->n_broken_rules));
    value_builder_set(&rules, "firing", value_integer((int64_t)monitor->n_firing));
    return value_builder_map(&rules);
}

static void report_monitor(void *argument, const char *resource, struct value_builder *status,
                           struct value_builder *outputs)
{
    const struct monitor *monitor = find_monitor(argument, resource);
    if (!monitor)
        return;
    const char *address = monitor->wanted->host->address;
    CLEANUP(mem_freep) char *url = string_format("http://%s:%d", address, MONITOR_PROMETHEUS_PORT);
    CLEANUP(mem_freep)
    char *alertmanager = string_format("http://%s:%d", address, MONITOR_ALERTMANAGER_PORT);
    value_builder_set_string(status, "state", state_of(monitor));
    service_report_restarts(status, monitor_count_restarts(monitor));
    value_builder_set(status, "programs", describe_programs(monitor));
    value_builder_set(status, "targets", describe_targets(monitor));
    value_builder_set(status, "rules", describe_rules(monitor));
    value_builder_set(status, "alerts", monitor_alerts_describe(&monitor->alerts));
    if (monitor->tested)
        value_builder_set(status, "test_alert_arrived", service_time(monitor->tested));
    value_builder_set_string(outputs, "url", url);
    value_builder_set_string(outputs, "alertmanager", alertmanager);
}

static int open_monitors(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *storage_folder = NULL;
    int r = service_open_folder(twin, "monitor-config", &config_folder, err);
    if (r == 0)
        r = twin_folder(twin, "monitor", PROCESS_NOBODY, &storage_folder, err);
    if (r < 0)
        return r;
    struct monitors *module = NEW(struct monitors);
    module->twin = twin;
    module->config_folder = take_ptr(config_folder);
    module->storage_folder = take_ptr(storage_folder);
    *ret_module = module;
    return 0;
}

static CO_FN void close_monitors(void *argument)
{
    struct monitors *module = argument;
    while (module->n_items > 0)
        monitor_free(module->items[--module->n_items]);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module->programs.prometheus);
    mem_free(module->programs.promtool);
    mem_free(module->programs.alertmanager);
    mem_free(module->programs.amtool);
    mem_free(module->config_folder);
    mem_free(module->storage_folder);
    mem_free(module);
}

const struct module_ops monitor_module = {
    .name = "monitor",
    .open = open_monitors,
    .converge = converge_monitors,
    .report = report_monitor,
    .close = close_monitors,
};
