/* The files of Grafana as text. Pure: it reads no file and starts nothing. */
#pragma once

#include "base/strbuf.h"
#include "twin/machine.h"

/* Where they lie and what Grafana keeps; all borrowed. No path has a line break. */
struct dashboards_files {
    const char *provisioning; /* folder of datasources/ and dashboards/, which only we write */
    const char *boards;       /* folder of the dashboards themselves */
    const char *data;         /* folder of Grafana's own */
    const char *secret;       /* seeds what would else be known to everybody */
};

/* The name of the one dashboard's file in the folder of boards. */
#define DASHBOARDS_BOARD "deployment.json"

/*
 * grafana.ini. Whoever reaches its port may look and do nothing else: nobody can log in. Nothing is
 * asked of the outside world, neither news nor plugins.
 */
void dashboards_write_settings(struct strbuf *out, const struct machine_dashboards *dashboards,
                               const struct dashboards_files *files);
/* datasources/: the Prometheus of its monitor. */
void dashboards_write_source(struct strbuf *out, const struct machine_dashboards *dashboards);
/* dashboards/: where the dashboards lie. */
void dashboards_write_provider(struct strbuf *out, const struct dashboards_files *files);
/* The dashboard, of what the monitor measures. */
void dashboards_write_board(struct strbuf *out, const struct machine_dashboards *dashboards);
