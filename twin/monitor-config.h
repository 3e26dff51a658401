/* The files of Prometheus and Alertmanager as text. Pure: it reads no file and starts nothing. */
#pragma once

#include "base/strbuf.h"
#include "twin/machine.h"

enum {
    MONITOR_PROMETHEUS_PORT = 9090,
    MONITOR_ALERTMANAGER_PORT = 9093,
    MONITOR_RECEIVER_PORT = 9095 /* where the supervisor takes alerts, and tells measurements */
};

/*
 * prometheus.yml. It names rules.yml and the target files balancers.json and workloads.json, which
 * lie beside it.
 */
void monitor_write_prometheus(struct strbuf *out, const struct machine_monitor *monitor);
/* rules.yml: the recording rules first, since alerts use them. */
void monitor_write_rules(struct strbuf *out, const struct machine_monitor *monitor);
/* alertmanager.yml: every alert goes to the supervisor, at once. */
void monitor_write_alertmanager(struct strbuf *out, const struct machine_monitor *monitor);

/* What is watched: lists of targets with labels, as Prometheus reads them from files. */
void monitor_write_balancers(struct strbuf *out, const struct machine *machine);
void monitor_write_workloads(struct strbuf *out, const struct machine *machine);
void monitor_write_doors(struct strbuf *out, const struct machine *machine);
