/* Prometheus and Alertmanager: rules are evaluated, alerts arrive. */
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "client.h"
#include "harness.h"
#include "loopback.h"
#include "model/json.h"
#include "net/program.h"
#include "twin/balancer-config.h"
#include "twin/http-server.h"

#include <unistd.h>

struct platform {
    struct machine *machine;
    struct machine_monitor monitor;
    struct machine_monitor *monitors[1];
    struct machine_balancer balancer;
    struct machine_balancer *balancers[1];
    struct machine_alert alerts[1];
    struct machine_recording recordings[1];
};

static void make_platform(struct loopback *loopback, struct platform *platform)
{
    struct machine *machine = machine_new();
    *platform = (struct platform){.machine = machine};
    machine->generation = 1;
    platform->alerts[0] = (struct machine_alert){"HighErrorRate", "error_rate > 0.05", "critical",
                                                 "0s", "More than \"5%\" fail: {{ $value }}"};
    platform->recordings[0] = (struct machine_recording){
        "error_rate", "sum(rate(haproxy_frontend_http_responses_total{code=\"5xx\"}[30s])) / "
                      "clamp_min(sum(rate(haproxy_frontend_http_responses_total[30s])), 1)"};
    platform->monitor = (struct machine_monitor){
        .name = "watch",
        .resource = "uid-watch",
        .host = loopback_host(loopback, machine, "watch", 30, HOST_MONITOR),
        .scrape_interval = "1s",
        .retention = "1d",
        .alerts = platform->alerts,
        .n_alerts = 1,
        .recordings = platform->recordings,
        .n_recordings = 1};
    platform->balancer.host = loopback_host(loopback, machine, "front", 10, HOST_BALANCER);
    platform->monitors[0] = &platform->monitor;
    platform->balancers[0] = &platform->balancer;
    machine->monitors = platform->monitors;
    machine->n_monitors = 1;
    machine->balancers = platform->balancers;
    machine->n_balancers = 1;
}

static char *status_of(void *module)
{
    struct value_builder status = {0}, outputs = {0};
    monitor_module.report(module, "uid-watch", &status, &outputs);
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&status);
    value_builder_done(&outputs);
    return json_text(map);
}

static CO_FN bool await_status(struct loopback *loopback, void *module, const char *text)
{
    int64_t deadline = world_monotonic_clock() + 40000000;
    for (;;) {
        CLEANUP(mem_freep) char *status = status_of(module);
        if (strstr(status, text))
            return true;
        if (world_monotonic_clock() > deadline) {
            printf("# %s\n", status);
            return false;
        }
        loop_sleep(loopback->twin.loop, 100000);
    }
}

/* Stands where a balancer tells its metrics: half of all answers fail. */
static CO_FN void tell_metrics(void *argument, const struct http_request *request,
                               struct http_answer *answer)
{
    long *n = argument;
    (void)request;
    *n += 100;
    strbuf_addf(&answer->body,
                "haproxy_frontend_http_responses_total{proxy=\"front\",code=\"2xx\"} %ld\n"
                "haproxy_frontend_http_responses_total{proxy=\"front\",code=\"5xx\"} %ld\n",
                *n, *n);
}

static CO_FN void evaluate(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct problems problems = {0};
    long n_answers = 0;
    struct http_service service = {tell_metrics, &n_answers, 4, 10000000};
    void *module;
    int fd = -1;
    make_platform(loopback, &platform);
    HOLDS(outcome, http_listen(loopback->base + 10, BALANCER_METRICS_PORT, &fd, NULL) == 0);
    struct http_server *metrics = http_server_new(loopback->twin.loop, fd, &service);
    HOLDS(outcome, monitor_module.open(&loopback->twin, &module, NULL) == 0);
    monitor_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, loopback_print_problems(&problems) == 0);
    CLEANUP(mem_freep) char *status = status_of(module);
    printf("# %s\n", status);
    HOLDS(outcome, strstr(status, "\"name\":\"TestAlert\""));
    HOLDS(outcome, strstr(status, "\"test_alert_arrived\""));
    HOLDS(
        outcome,
        await_status(loopback, module,
                     "\"name\":\"HighErrorRate\",\"severity\":\"critical\",\"status\":\"firing\""));
    HOLDS(outcome, await_status(loopback, module, "\"loaded\":2"));
    /* Prometheus, Alertmanager, the supervisor, the balancer, and the exporters that are installed.
     */
    int n_targets = 4 + program_find("prometheus-node-exporter", NULL) +
                    program_find("prometheus-blackbox-exporter", NULL);
    CLEANUP(mem_freep)
    char *all_up = string_format("{\"down\":0,\"unknown\":0,\"up\":%d}", n_targets);
    CLEANUP(mem_freep)
    char *one_down = string_format("{\"down\":1,\"unknown\":0,\"up\":%d}", n_targets - 1);
    HOLDS(outcome, await_status(loopback, module, all_up));
    http_server_free(metrics, world_monotonic_clock());
    HOLDS(outcome, await_status(loopback, module, one_down));
    HOLDS(outcome, await_status(loopback, module, "\"state\":\"degraded\""));
    monitor_module.close(module);
    problems_done(&problems);
    machine_unref(platform.machine);
}

TEST(an_error_rate_above_the_rule_fires_an_alert_that_arrives)
{
    struct outcome outcome = {0};
    loopback_run(evaluate, &outcome);
    CHECK(outcome.is_good);
}

static CO_FN void change_rules(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct problems problems = {0};
    void *module;
    make_platform(loopback, &platform);
    HOLDS(outcome, monitor_module.open(&loopback->twin, &module, NULL) == 0);
    monitor_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, loopback_print_problems(&problems) == 0);
    platform.alerts[0].expression = "error_rate >> 5";
    monitor_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, problems.n_items == 1);
    printf("# %s\n", error_message(&problems.items[0].err));
    HOLDS(outcome, strstr(problems.items[0].err.message, "the rules of monitor watch"));
    problems_done(&problems);
    /* What ran goes on with the rules that it had. */
    HOLDS(outcome, await_status(loopback, module, "\"loaded\":2"));
    platform.alerts[0].expression = "vector(1)";
    platform.monitor.n_recordings = 0;
    monitor_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, loopback_print_problems(&problems) == 0);
    HOLDS(outcome, await_status(loopback, module, "\"firing\":1,\"loaded\":1"));
    platform.machine->n_monitors = 0;
    monitor_module.converge(module, platform.machine, &problems);
    CLEANUP(mem_freep) char *storage = string_format("%s/monitor/uid-watch", loopback->folder);
    HOLDS(outcome, !world_file_exists(storage));
    monitor_module.close(module);
    problems_done(&problems);
    machine_unref(platform.machine);
}

TEST(bad_rules_are_refused_and_good_ones_take_over)
{
    struct outcome outcome = {0};
    loopback_run(change_rules, &outcome);
    CHECK(outcome.is_good);
}
