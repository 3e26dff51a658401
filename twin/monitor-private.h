/* What the files of the monitors share. For monitor*.c only. */
#pragma once

#include "twin/module.h"
#include "twin/monitor-alerts.h"
#include "twin/monitor-config.h"

struct programs {
    char *prometheus; /* owned, as all; NULL until they were found */
    char *promtool;
    char *alertmanager;
    char *amtool;
};

/* Programs of Debian's that a monitor runs beside its own where they are installed. */
enum monitor_exporter { MONITOR_NODE, MONITOR_BLACKBOX, MONITOR_EXPORTER_COUNT };

/* Which of them is asked whether it answers. */
struct monitor_probe {
    struct monitor *monitor;
    enum monitor_exporter exporter;
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
    struct process *exporters[MONITOR_EXPORTER_COUNT]; /* owned; NULL where one is not installed */
    struct monitor_probe probes[MONITOR_EXPORTER_COUNT];
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

/* --- monitor-ask.c: the two servers are asked --- */
/* As struct process_spec wants them; the argument is the monitor. Once Prometheus is ready, each
 * look also counts its targets and rules. */
CO_FN int monitor_probe_prometheus(void *argument, struct error *err);
CO_FN int monitor_probe_alertmanager(void *argument, struct error *err);
/* Sends a test alert and waits until it has arrived at the supervisor. */
CO_FN int monitor_test_alerting(struct monitor *monitor, struct error *err);

/* --- monitor-exporters.c: what Debian has to measure with --- */
bool monitor_has_exporter(enum monitor_exporter exporter);
/* The jobs of those that are there, to be added to prometheus.yml. */
void monitor_write_exporters(struct strbuf *out, const struct machine_monitor *monitor,
                             const bool has_exporter[MONITOR_EXPORTER_COUNT]);
void monitor_write_blackbox(struct strbuf *out);
/* Starts those that are installed and do not run, and waits until they answer, but not for long. */
CO_FN void monitor_start_exporters(struct monitor *monitor);
/* Of all its programs. */
unsigned int monitor_count_restarts(const struct monitor *monitor);

/* --- monitor-process.c: files and processes --- */
/* Writes all files of one of the monitor's folders and adds their texts to all, by which a change
 * is seen. */
int monitor_write_all(struct monitor *monitor, const char *folder, struct strbuf *all,
                      struct error *err);
/* Only the lists of targets; Prometheus sees a new one by itself. */
int monitor_write_targets(struct monitor *monitor, const char *folder, struct error *err);
/* Lets promtool and amtool judge the draft. */
CO_FN int monitor_check_draft(struct monitor *monitor, struct error *err);
int monitor_make_storage(struct monitor *monitor, struct error *err);
/* Starts what does not run; what runs reads its files again when they changed, but for the
 * retention, which Prometheus takes only when it starts. Waits until both are ready. */
CO_FN int monitor_bring_up(struct monitor *monitor, bool changed, struct error *err);
CO_FN void monitor_stop_processes(struct monitor *monitor);
