/* The supervisor's own receiver of alerts: what Alertmanager sends to it is remembered. */
#pragma once

#include "base/error.h"
#include "model/value.h"
#include "twin/http-server.h"

#include <stddef.h>
#include <stdint.h>

/* So many are kept; older ones are forgotten. */
enum { MONITOR_ALERTS_LIMIT = 100 };

struct monitor_alert {
    char *name; /* owned, as all texts; "" where it has none */
    char *severity;
    char *host; /* the label "host": what it is about */
    char *mark; /* the label "mark", by which a test alert is known */
    bool is_resolved;
    int64_t arrived; /* wall clock */
};

/* Zero-initialise it. */
struct monitor_alerts {
    struct monitor_alert items[MONITOR_ALERTS_LIMIT]; /* oldest first */
    size_t n_items;
    uint64_t n_total;
    struct gate arrived; /* opened with each */
    struct loop *loop;   /* borrowed; NULL: nobody waits */
};
void monitor_alerts_done(struct monitor_alerts *alerts);

/* Takes what Alertmanager's webhook sends. ERROR_INVALID when it is something else. */
int monitor_alerts_take(struct monitor_alerts *alerts, const char *json, size_t size,
                        struct error *err);
/* As struct http_service wants it; argument is the alerts. */
CO_FN void monitor_alerts_answer(void *argument, const struct http_request *request,
                                 struct http_answer *ret_answer);
/* NULL when none with that mark has arrived. */
const struct monitor_alert *monitor_alerts_find(const struct monitor_alerts *alerts,
                                                const char *mark);
/* The last few, newest first, as a list of maps. */
struct value *monitor_alerts_describe(const struct monitor_alerts *alerts);
