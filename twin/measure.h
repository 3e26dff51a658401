/*
 * What the hosts of the twin use: processor time, memory, processes, how often their programs were
 * started again. Looked up in /proc by the network namespace that a process is in, when somebody
 * asks; nothing is looked at meanwhile. What a process used after the last look before its end is
 * not counted.
 */
#pragma once

#include "base/strbuf.h"
#include "model/value.h"
#include "twin/module.h"

struct measure;

struct measure *measure_new(struct twin *twin);
/* Accepts NULL. */
void measure_free(struct measure *measure);

/*
 * {"clock_us", "hosts": [{"name", "role", "resource", "address", "cpu_us", "memory", "processes",
 * "restarts", "requests"}]} of now: cpu_us counts up for as long as the twin runs, requests are
 * those that balancers sent to it, null where none balances it. memory leaves out what is shared.
 */
struct value *measure_describe(struct measure *measure);

/* Calls found() with each host, and the microseconds of processors that its programs have used. */
void measure_hosts(struct measure *measure,
                   void (*found)(void *argument, const struct machine_host *host, int64_t used_us),
                   void *argument);

/* Appends the same in the text format of Prometheus, with the lag of replicas and the ends of
 * certificates. */
void measure_write_metrics(struct measure *measure, struct strbuf *out);

/* --- For tests --- */

/* Of /proc/PID/stat: the clock ticks that it used, and when it began. */
bool measure_parse_stat(const char *text, uint64_t *ret_ticks, uint64_t *ret_begin);
/* A label's value between its quotes: with \, " and newline escaped. */
void measure_write_label(struct strbuf *out, const char *text);
