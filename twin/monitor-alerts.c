#include "twin/monitor-alerts.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/service.h"

#include <string.h>

/* As many as status shows. */
enum { SHOWN = 10 };

static void alert_done(struct monitor_alert *alert)
{
    mem_free(alert->name);
    mem_free(alert->severity);
    mem_free(alert->host);
    mem_free(alert->mark);
}

void monitor_alerts_done(struct monitor_alerts *alerts)
{
    for (size_t i = 0; i < alerts->n_items; i++)
        alert_done(&alerts->items[i]);
    alerts->n_items = 0;
}

static char *label_of(const struct value *alert, const char *name)
{
    const char *text = value_get_text(value_get(alert, "labels"), name);
    return string_copy(text ? text : "");
}

static void add_alert(struct monitor_alerts *alerts, const struct value *alert)
{
    if (alerts->n_items == MONITOR_ALERTS_LIMIT) {
        alert_done(&alerts->items[0]);
        alerts->n_items--;
        memmove(alerts->items, alerts->items + 1, alerts->n_items * sizeof(alerts->items[0]));
    }
    alerts->items[alerts->n_items++] = (struct monitor_alert){
        .name = label_of(alert, "alertname"),
        .severity = label_of(alert, "severity"),
        .host = label_of(alert, "host"),
        .mark = label_of(alert, "mark"),
        .is_resolved = text_equal_or_null(value_get_text(alert, "status"), "resolved"),
        .arrived = world_wall_clock(),
    };
    alerts->n_total++;
    if (alerts->loop)
        gate_open(alerts->loop, &alerts->arrived);
}

int monitor_alerts_take(struct monitor_alerts *alerts, const char *json, size_t size,
                        struct error *err)
{
    CLEANUP(value_unrefp) struct value *message = NULL;
    int r = json_read(json, size, &message, err);
    if (r < 0)
        return r;
    const struct value *list = value_get(message, "alerts");
    if (value_is_null(list) || value_kind(list) != VALUE_LIST)
        return error_set(err, ERROR_INVALID, "there is no list of alerts in the message");
    for (size_t i = 0; i < value_count(list); i++)
        add_alert(alerts, value_at(list, i));
    return 0;
}

void monitor_alerts_answer(void *argument, const struct http_request *request,
                           struct http_answer *ret_answer)
{
    CLEANUP(error_done) struct error err = {0};
    if (!text_equal(request->method, "POST") || !text_equal(request->path, "/alerts")) {
        ret_answer->code = 404;
    } else if (monitor_alerts_take(argument, request->body, request->body_size, &err) < 0) {
        ret_answer->code = 400;
        strbuf_addf(&ret_answer->body, "%s\n", error_message(&err));
    }
}

const struct monitor_alert *monitor_alerts_find(const struct monitor_alerts *alerts,
                                                const char *mark)
{
    for (size_t i = 0; i < alerts->n_items; i++)
        if (text_equal(alerts->items[i].mark, mark))
            return &alerts->items[i];
    return NULL;
}

struct value *monitor_alerts_describe(const struct monitor_alerts *alerts)
{
    struct value_builder list = {0};
    for (size_t i = alerts->n_items; i > 0 && list.n_items < SHOWN; i--) {
        const struct monitor_alert *alert = &alerts->items[i - 1];
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "name", alert->name);
        value_builder_set_string(&fields, "severity", alert->severity);
        if (*alert->host)
            value_builder_set_string(&fields, "host", alert->host);
        value_builder_set_string(&fields, "status", alert->is_resolved ? "resolved" : "firing");
        value_builder_set(&fields, "arrived", service_time(alert->arrived));
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}
