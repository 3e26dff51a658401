/* What a monitor's servers see, and whether an alert arrives. */
#include "twin/monitor-private.h"
#include "twin/service.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

enum {
    ASK_TIME = 3 * 1000 * 1000, /* microseconds */
    ARRIVE_TIME = 10 * 1000 * 1000,
    ANSWER_LIMIT = 4 * 1024 * 1024
};

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
int monitor_probe_prometheus(void *argument, struct error *err)
{
    struct monitor *monitor = argument;
    int r = get(monitor, MONITOR_PROMETHEUS_PORT, "/-/ready", NULL, err);
    if (r == 0 && process_state(monitor->prometheus) == PROCESS_READY)
        r = look_at_targets(monitor, err);
    if (r == 0 && process_state(monitor->prometheus) == PROCESS_READY)
        r = look_at_rules(monitor, err);
    return r;
}

int monitor_probe_alertmanager(void *argument, struct error *err)
{
    return get(argument, MONITOR_ALERTMANAGER_PORT, "/-/ready", NULL, err);
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

int monitor_test_alerting(struct monitor *monitor, struct error *err)
{
    char mark[UUID_TEXT_SIZE];
    uuid_random(mark);
    int r = send_test_alert(monitor, mark, err);
    return r < 0 ? r : await_alert(monitor, mark, err);
}
