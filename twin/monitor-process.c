/* The files of a monitor, its processes, and the receiver of its alerts. */
#include "twin/monitor-private.h"
#include "twin/network.h"
#include "twin/service.h"

#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    START_TIME = 20 * 1000 * 1000, /* microseconds */
    CHECK_NICENESS = 10,           /* nobody waits for the monitor to answer a request */
    NICENESS = 5,
    CHECK_TIME = 10 * 1000 * 1000,
    OUTPUT_LIMIT = 64 * 1024,
    RECEIVER_CONNECTIONS = 16,
    RECEIVER_IDLE = 60 * 1000 * 1000
};

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

int monitor_write_targets(struct monitor *monitor, const char *folder, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf balancers = {0};
    CLEANUP(strbuf_done) struct strbuf workloads = {0};
    CLEANUP(strbuf_done) struct strbuf all = {0};
    monitor_write_balancers(&balancers, monitor->module->machine);
    monitor_write_workloads(&workloads, monitor->module->machine);
    int r = write_one(folder, "balancers.json", &balancers, &all, err);
    if (r == 0)
        r = write_one(folder, "workloads.json", &workloads, &all, err);
    strbuf_clear(&workloads);
    monitor_write_doors(&workloads, monitor->module->machine);
    return r < 0 ? r : write_one(folder, "doors.json", &workloads, &all, err);
}

/* With the exporters that are installed, and what one of them needs. */
static int write_prometheus(struct monitor *monitor, const char *folder, struct strbuf *all,
                            struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf text = {0};
    CLEANUP(strbuf_done) struct strbuf blackbox = {0};
    bool has_exporter[MONITOR_EXPORTER_COUNT];
    for (int i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        has_exporter[i] = monitor_has_exporter((enum monitor_exporter)i);
    monitor_write_prometheus(&text, monitor->wanted);
    monitor_write_exporters(&text, monitor->wanted, has_exporter);
    monitor_write_blackbox(&blackbox);
    int r = write_one(folder, "blackbox.yml", &blackbox, all, err);
    return r < 0 ? r : write_one(folder, "prometheus.yml", &text, all, err);
}

int monitor_write_all(struct monitor *monitor, const char *folder, struct strbuf *all,
                      struct error *err)
{
    int r = service_make_folder(folder, err);
    if (r < 0)
        return r;
    r = write_rendered(monitor, folder, "rules.yml", monitor_write_rules, all, err);
    if (r == 0)
        r = monitor_write_targets(monitor, folder, err);
    if (r == 0)
        r = write_prometheus(monitor, folder, all, err);
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
    const char *const read[] = {monitor->draft, NULL};
    struct process_spec spec = {.name = name,
                                .host = NULL,
                                .files.read = read,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = CHECK_NICENESS};
    return process_run(monitor->module->twin->processes, &spec, OUTPUT_LIMIT,
                       world_monotonic_clock() + CHECK_TIME, &output, err);
}

int monitor_check_draft(struct monitor *monitor, struct error *err)
{
    static const char *const check_rules[] = {"check", "rules"};
    static const char *const check_config[] = {"check", "config"};
    static const char *const check_alertmanager[] = {"check-config", NULL};
    const struct programs *programs = &monitor->module->programs;
    struct error problem = {0};
    /* The rules are looked at, too; alone only to tell whether it is they that are wrong. */
    int r = check(monitor, programs->promtool, check_config, "prometheus.yml", &problem);
    if (r < 0 && check(monitor, programs->promtool, check_rules, "rules.yml", err) < 0) {
        error_done(&problem);
        return error_wrap(err, r, "the rules of monitor %s", monitor->wanted->name);
    }
    if (r < 0)
        return error_move(err, &problem);
    return check(monitor, programs->amtool, check_alertmanager, "alertmanager.yml", err);
}

/* --- Processes --- */

int monitor_make_storage(struct monitor *monitor, struct error *err)
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
    const char *const read[] = {monitor->config, NULL};
    const char *const written[] = {monitor->storage, NULL};
    struct process_spec spec = {.name = name,
                                .host = monitor->host,
                                .files = {.read = read, .written = written},
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = monitor_probe_prometheus,
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
    const char *const read[] = {monitor->config, NULL};
    const char *const written[] = {monitor->storage, NULL};
    struct process_spec spec = {.name = name,
                                .host = monitor->host,
                                .files = {.read = read, .written = written},
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = monitor_probe_alertmanager,
                                .argument = monitor};
    return process_start(monitor->module->twin->processes, &spec, &monitor->alertmanager, err);
}

static CO_FN void answer(void *argument, const struct http_request *request,
                         struct http_answer *ret_answer)
{
    struct monitor *monitor = argument;
    struct twin *twin = monitor->module->twin;
    if (!text_equal(request->method, "GET") || !text_equal(request->path, "/metrics")) {
        monitor_alerts_answer(&monitor->alerts, request, ret_answer);
        return;
    }
    ret_answer->content_type = "text/plain; version=0.0.4";
    if (twin->tell_measures)
        twin->tell_measures(twin->measure, &ret_answer->body);
}

/* The supervisor listens in the monitoring host, where Alertmanager is. */
static int start_receiver(struct monitor *monitor, struct error *err)
{
    struct twin *twin = monitor->module->twin;
    struct http_service service = {.answer = answer,
                                   .argument = monitor,
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
    struct process **process = index == 0   ? &monitor->prometheus
                               : index == 1 ? &monitor->alertmanager
                                            : &monitor->exporters[index - 2];
    process_stop(*process);
    *process = NULL;
}

void monitor_stop_processes(struct monitor *monitor)
{
    service_in_parallel(monitor->module->twin->loop, 2 + MONITOR_EXPORTER_COUNT, stop_one, monitor);
}

int monitor_bring_up(struct monitor *monitor, bool changed, struct error *err)
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
    if (r == 0 && !monitor->alertmanager)
        r = start_alertmanager(monitor, err);
    /* Before who measures them: its first look at each finds it there. */
    if (r == 0)
        monitor_start_exporters(monitor);
    if (r == 0 && !monitor->prometheus)
        r = start_prometheus(monitor, err);
    int64_t deadline = world_monotonic_clock() + START_TIME;
    if (r == 0)
        r = process_wait_ready(monitor->prometheus, deadline, err);
    if (r == 0)
        r = process_wait_ready(monitor->alertmanager, deadline, err);
    return r;
}
