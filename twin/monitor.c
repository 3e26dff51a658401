/*
 * The module of monitors: Prometheus and Alertmanager on a host of their own watch the whole
 * machine; the supervisor itself receives the alerts.
 */
#include "twin/module.h"
#include "twin/monitor-alerts.h"
#include "twin/monitor-config.h"
#include "twin/network.h"
#include "twin/service.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ASK_TIME = 3 * 1000 * 1000, /* microseconds */
    START_TIME = 20 * 1000 * 1000,
    CHECK_NICENESS = 10, /* nobody waits for the monitor to answer a request */
    NICENESS = 5,
    CHECK_TIME = 10 * 1000 * 1000,
    ARRIVE_TIME = 10 * 1000 * 1000,
    POLL_PAUSE = 50 * 1000,
    ANSWER_LIMIT = 4 * 1024 * 1024,
    OUTPUT_LIMIT = 64 * 1024,
    RECEIVER_CONNECTIONS = 16,
    RECEIVER_IDLE = 60 * 1000 * 1000
};

struct programs {
    char *prometheus; /* owned, as all; NULL until they were found */
    char *promtool;
    char *alertmanager;
    char *amtool;
};

struct monitor {
    struct monitors *module;
    const struct machine_monitor *wanted; /* borrowed from the module's machine */
    char *resource;                       /* owned, as all texts */
    char *host;
    char *config;   /* folder of files that only we write */
    char *draft;    /* the same, before they are checked */
    char *storage;  /* folder of the children's */
    char *settings; /* all files, to see when they change */
    char *retention;
    struct process *prometheus; /* owned, as the next two */
    struct process *alertmanager;
    struct http_server *receiver;
    struct monitor_alerts alerts;
    int64_t tested;                 /* when a test alert last arrived; 0: never */
    size_t n_up, n_down, n_unknown; /* targets, as of the last look */
    size_t n_rules, n_broken_rules, n_firing;
};

struct monitors {
    struct twin *twin;
    struct programs programs;
    char *config_folder;
    char *storage_folder;
    struct machine *machine; /* a reference */
    struct monitor **items;  /* owned */
    size_t n_items;
    size_t capacity;
};

/* --- Asking --- */

/* Asks one of the two servers; the answer is JSON, or dropped when ret_value is NULL. */
static CO_FN int ask(struct monitor *monitor, uint16_t port, struct http_exchange *exchange,
                     struct value **ret_value, struct error *err)
{
    struct twin *twin = monitor->module->twin;
    exchange->host = monitor->wanted->host->address;
    exchange->limit = ANSWER_LIMIT;
    int r = service_ask(twin, monitor->wanted->host, port, exchange,
                        world_monotonic_clock() + ASK_TIME, err);
    if (r == 0 && exchange->code != 200)
        r = error_set(err, ERROR_UNAVAILABLE, "%s answers %d: %.200s", exchange->target,
                      exchange->code, strbuf_text(&exchange->answer));
    if (r == 0 && ret_value)
        r = json_read(strbuf_text(&exchange->answer), exchange->answer.length, ret_value, err);
    http_exchange_done(exchange);
    return r;
}

static CO_FN int get(struct monitor *monitor, uint16_t port, const char *target,
                     struct value **ret_value, struct error *err)
{
    struct http_exchange exchange = {.method = "GET", .target = target};
    return ask(monitor, port, &exchange, ret_value, err);
}

static CO_FN int look_at_targets(struct monitor *monitor, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    int r = get(monitor, MONITOR_PROMETHEUS_PORT, "/api/v1/targets?state=active", &answer, err);
    if (r < 0)
        return r;
    const struct value *targets = value_get(value_get(answer, "data"), "activeTargets");
    size_t n_up = 0, n_down = 0, n = value_is_null(targets) ? 0 : value_count(targets);
    for (size_t i = 0; i < n; i++) {
        const char *health = value_get_text(value_at(targets, i), "health");
        n_up += text_equal_or_null(health, "up");
        n_down += text_equal_or_null(health, "down");
    }
    monitor->n_up = n_up;
    monitor->n_down = n_down;
    monitor->n_unknown = n - n_up - n_down;
    return 0;
}

struct rule_count {
    size_t n_rules, n_broken, n_firing;
};

static void count_rules(const struct value *rules, struct rule_count *count)
{
    for (size_t i = 0; !value_is_null(rules) && i < value_count(rules); i++) {
        const struct value *rule = value_at(rules, i);
        count->n_rules++;
        count->n_broken += text_equal_or_null(value_get_text(rule, "health"), "err");
        count->n_firing += text_equal_or_null(value_get_text(rule, "state"), "firing");
    }
}

static CO_FN int look_at_rules(struct monitor *monitor, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    struct rule_count count = {0};
    int r = get(monitor, MONITOR_PROMETHEUS_PORT, "/api/v1/rules", &answer, err);
    if (r < 0)
        return r;
    const struct value *groups = value_get(value_get(answer, "data"), "groups");
    for (size_t i = 0; !value_is_null(groups) && i < value_count(groups); i++)
        count_rules(value_get(value_at(groups, i), "rules"), &count);
    monitor->n_rules = count.n_rules;
    monitor->n_broken_rules = count.n_broken;
    monitor->n_firing = count.n_firing;
    return 0;
}

/* Once it is ready, each look also tells what it sees. */
static CO_FN int probe_prometheus(void *argument, struct error *err)
{
    struct monitor *monitor = argument;
    int r = get(monitor, MONITOR_PROMETHEUS_PORT, "/-/ready", NULL, err);
    if (r == 0 && process_state(monitor->prometheus) == PROCESS_READY)
        r = look_at_targets(monitor, err);
    if (r == 0 && process_state(monitor->prometheus) == PROCESS_READY)
        r = look_at_rules(monitor, err);
    return r;
}

static CO_FN int probe_alertmanager(void *argument, struct error *err)
{
    return get(argument, MONITOR_ALERTMANAGER_PORT, "/-/ready", NULL, err);
}

/* --- Files --- */

/* Writes one file, and adds its text to all, by which a change is seen. */
static int write_one(const char *folder, const char *name, const struct strbuf *text,
                     struct strbuf *all, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    strbuf_add(all, strbuf_text(text));
    return service_write(path, strbuf_text(text), NULL, err);
}

static int write_rendered(struct monitor *monitor, const char *folder, const char *name,
                          void (*write)(struct strbuf *out, const struct machine_monitor *monitor),
                          struct strbuf *all, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf text = {0};
    write(&text, monitor->wanted);
    return write_one(folder, name, &text, all, err);
}

/* Prometheus sees a new list of targets by itself. */
static int write_targets(struct monitor *monitor, const char *folder, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf balancers = {0};
    CLEANUP(strbuf_done) struct strbuf workloads = {0};
    CLEANUP(strbuf_done) struct strbuf all = {0};
    monitor_write_balancers(&balancers, monitor->module->machine);
    monitor_write_workloads(&workloads, monitor->module->machine);
    int r = write_one(folder, "balancers.json", &balancers, &all, err);
    return r < 0 ? r : write_one(folder, "workloads.json", &workloads, &all, err);
}

static int write_all(struct monitor *monitor, const char *folder, struct strbuf *all,
                     struct error *err)
{
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the folder of monitor %s", monitor->host);
    if (chmod(folder, 0755) < 0)
        return error_set_errno(err, errno, "let children read %s", folder);
    int r = write_rendered(monitor, folder, "rules.yml", monitor_write_rules, all, err);
    if (r == 0)
        r = write_targets(monitor, folder, err);
    if (r == 0)
        r = write_rendered(monitor, folder, "prometheus.yml", monitor_write_prometheus, all, err);
    if (r == 0)
        r = write_rendered(monitor, folder, "alertmanager.yml", monitor_write_alertmanager, all,
                           err);
    return r;
}

static CO_FN int check(struct monitor *monitor, const char *program, const char *const *what,
                       const char *file, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", monitor->draft, file);
    CLEANUP(mem_freep) char *name = string_format("%s.check", monitor->host);
    CLEANUP(mem_freep) char *output = NULL;
    const char *arguments[] = {program, what[0], what[1] ? what[1] : path, what[1] ? path : NULL,
                               NULL};
    struct process_spec spec = {.name = name,
                                .host = NULL,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = CHECK_NICENESS};
    return process_run(monitor->module->twin->processes, &spec, OUTPUT_LIMIT,
                       world_monotonic_clock() + CHECK_TIME, &output, err);
}

static CO_FN int check_draft(struct monitor *monitor, struct error *err)
{
    static const char *const check_rules[] = {"check", "rules"};
    static const char *const check_config[] = {"check", "config"};
    static const char *const check_alertmanager[] = {"check-config", NULL};
    const struct programs *programs = &monitor->module->programs;
    int r = check(monitor, programs->promtool, check_rules, "rules.yml", err);
    if (r < 0)
        return error_wrap(err, r, "the rules of monitor %s", monitor->wanted->name);
    r = check(monitor, programs->promtool, check_config, "prometheus.yml", err);
    if (r == 0)
        r = check(monitor, programs->amtool, check_alertmanager, "alertmanager.yml", err);
    return r;
}

/* --- Processes --- */

static int make_storage(struct monitor *monitor, struct error *err)
{
    if (mkdir(monitor->storage, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the storage of monitor %s", monitor->host);
    return twin_give(monitor->storage, PROCESS_NOBODY, err);
}

static int start_prometheus(struct monitor *monitor, struct error *err)
{
    CLEANUP(mem_freep) char *name = string_format("%s.prometheus", monitor->host);
    CLEANUP(mem_freep)
    char *config = string_format("--config.file=%s/prometheus.yml", monitor->config);
    CLEANUP(mem_freep)
    char *storage = string_format("--storage.tsdb.path=%s/prometheus", monitor->storage);
    CLEANUP(mem_freep)
    char *retention = string_format("--storage.tsdb.retention.time=%s", monitor->wanted->retention);
    CLEANUP(mem_freep)
    char *listen = string_format("--web.listen-address=%s:%d", monitor->wanted->host->address,
                                 MONITOR_PROMETHEUS_PORT);
    const char *arguments[] = {monitor->module->programs.prometheus,
                               config,
                               storage,
                               retention,
                               listen,
                               "--log.level=warn",
                               NULL};
    struct process_spec spec = {.name = name,
                                .host = monitor->host,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = probe_prometheus,
                                .argument = monitor};
    return process_start(monitor->module->twin->processes, &spec, &monitor->prometheus, err);
}

static int start_alertmanager(struct monitor *monitor, struct error *err)
{
    CLEANUP(mem_freep) char *name = string_format("%s.alertmanager", monitor->host);
    CLEANUP(mem_freep)
    char *config = string_format("--config.file=%s/alertmanager.yml", monitor->config);
    CLEANUP(mem_freep)
    char *storage = string_format("--storage.path=%s/alertmanager", monitor->storage);
    CLEANUP(mem_freep)
    char *listen = string_format("--web.listen-address=%s:%d", monitor->wanted->host->address,
                                 MONITOR_ALERTMANAGER_PORT);
    const char *arguments[] = {monitor->module->programs.alertmanager,
                               config,
                               storage,
                               listen,
                               "--cluster.listen-address=",
                               "--log.level=warn",
                               NULL};
    struct process_spec spec = {.name = name,
                                .host = monitor->host,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = probe_alertmanager,
                                .argument = monitor};
    return process_start(monitor->module->twin->processes, &spec, &monitor->alertmanager, err);
}

/* The supervisor listens in the monitoring host, where Alertmanager is. */
static int start_receiver(struct monitor *monitor, struct error *err)
{
    struct twin *twin = monitor->module->twin;
    struct http_service service = {.answer = monitor_alerts_answer,
                                   .argument = &monitor->alerts,
                                   .max_connections = RECEIVER_CONNECTIONS,
                                   .idle_us = RECEIVER_IDLE};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(MONITOR_RECEIVER_PORT),
                                  .sin_addr.s_addr = htonl(monitor->wanted->host->ip)};
    int yes = 1;
    CLEANUP(close_descriptorp) int fd = -1;
    int r = network_socket(twin->network, monitor->host, AF_INET, SOCK_STREAM, &fd, err);
    if (r < 0)
        return r;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
        return error_set_errno(err, errno, "listen for alerts on %s", monitor->host);
    monitor->alerts.loop = twin->loop;
    monitor->receiver = http_server_new(twin->loop, take_descriptor(&fd), &service);
    return 0;
}

static CO_FN void stop_one(void *argument, size_t index)
{
    struct monitor *monitor = argument;
    struct process **process = index == 0 ? &monitor->prometheus : &monitor->alertmanager;
    process_stop(*process);
    *process = NULL;
}

static CO_FN void stop_processes(struct monitor *monitor)
{
    service_in_parallel(monitor->module->twin->loop, 2, stop_one, monitor);
}

/* Starts what does not run; what runs reads its files again, but for the retention, which it takes
 * only when it starts. */
static CO_FN int bring_up(struct monitor *monitor, bool changed, struct error *err)
{
    int r = 0;
    if (monitor->prometheus && !text_equal(monitor->retention, monitor->wanted->retention)) {
        process_stop(monitor->prometheus);
        monitor->prometheus = NULL;
    }
    if (changed && monitor->prometheus)
        process_signal(monitor->prometheus, SIGHUP);
    if (changed && monitor->alertmanager)
        process_signal(monitor->alertmanager, SIGHUP);
    if (!monitor->receiver)
        r = start_receiver(monitor, err);
    if (r == 0 && !monitor->prometheus)
        r = start_prometheus(monitor, err);
    if (r == 0 && !monitor->alertmanager)
        r = start_alertmanager(monitor, err);
    int64_t deadline = world_monotonic_clock() + START_TIME;
    if (r == 0)
        r = process_wait_ready(monitor->prometheus, deadline, err);
    if (r == 0)
        r = process_wait_ready(monitor->alertmanager, deadline, err);
    return r;
}

/* --- A test alert --- */

static CO_FN int send_test_alert(struct monitor *monitor, const char *mark, struct error *err)
{
    char end[WORLD_TIME_SIZE];
    world_format_time(world_wall_clock() + ARRIVE_TIME, end);
    CLEANUP(mem_freep)
    char *body = string_format("[{\"labels\":{\"alertname\":\"TestAlert\",\"severity\":\"none\","
                               "\"mark\":\"%s\"},\"annotations\":{\"description\":\"Shows that "
                               "alerts arrive.\"},\"endsAt\":\"%s\"}]",
                               mark, end);
    struct http_exchange exchange = {.method = "POST",
                                     .target = "/api/v2/alerts",
                                     .content_type = "application/json",
                                     .body = body};
    return ask(monitor, MONITOR_ALERTMANAGER_PORT, &exchange, NULL, err);
}

static CO_FN int await_alert(struct monitor *monitor, const char *mark, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + ARRIVE_TIME;
    while (!monitor_alerts_find(&monitor->alerts, mark)) {
        int r = gate_wait(monitor->module->twin->loop, &monitor->alerts.arrived, deadline, err);
        if (r < 0)
            return error_wrap(err, r, "a test alert does not arrive");
    }
    monitor->tested = world_wall_clock();
    return 0;
}

static CO_FN int test_alerting(struct monitor *monitor, struct error *err)
{
    char mark[UUID_TEXT_SIZE];
    uuid_random(mark);
    int r = send_test_alert(monitor, mark, err);
    return r < 0 ? r : await_alert(monitor, mark, err);
}

/* --- A monitor --- */

static CO_FN int converge_monitor(struct monitor *monitor, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf settings = {0};
    CLEANUP(strbuf_done) struct strbuf ignored = {0};
    int r = make_storage(monitor, err);
    if (r == 0)
        r = write_all(monitor, monitor->draft, &settings, err);
    if (r < 0)
        return r;
    bool changed = !text_equal_or_null(monitor->settings, strbuf_text(&settings));
    if (changed)
        r = check_draft(monitor, err);
    if (r == 0)
        r = write_all(monitor, monitor->config, &ignored, err);
    if (r == 0)
        r = bring_up(monitor, changed, err);
    if (r == 0 && (changed || !monitor->tested))
        r = test_alerting(monitor, err);
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
    stop_processes(monitor);
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
    stop_processes(monitor);
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

static const char *state_of(const struct monitor *monitor)
{
    if (!monitor->prometheus || !monitor->alertmanager)
        return "failed";
    enum process_state prometheus = process_state(monitor->prometheus);
    enum process_state alertmanager = process_state(monitor->alertmanager);
    if (prometheus == PROCESS_READY && alertmanager == PROCESS_READY)
        return monitor->n_broken_rules > 0 || monitor->n_down > 0 ? "degraded" : "ready";
    return prometheus == PROCESS_STARTING || alertmanager == PROCESS_STARTING ? "starting"
                                                                              : "failed";
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
    service_report_restarts(status, process_restarts(monitor->prometheus) +
                                        process_restarts(monitor->alertmanager));
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
