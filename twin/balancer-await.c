/* What of a balancer's servers is waited for. */
#include "twin/balancer-private.h"

#include "base/text.h"
#include "base/world.h"

enum {
    CHECK_TIME = 3 * 1000 * 1000, /* microseconds, until the first check of each server has ended */
    UP_TIME = 10 * 1000 * 1000,   /* until new servers pass their checks */
    POLL_PAUSE = 5 * 1000
};

static bool has_workload(const struct machine *machine, const struct machine_host *host,
                         uint16_t port)
{
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; workload->port == port && k < workload->n_hosts; k++)
            if (workload->hosts[k] == host)
                return true;
    }
    return false;
}

/* The servers that run a workload, so that they ought to pass their checks. */
struct expectation {
    struct balancer *balancer;
    struct strbuf names;
    size_t n_missing;   /* those that do not pass them now */
    size_t n_unchecked; /* those of which nothing is known yet */
};

static void expect_servers(void *argument, const struct machine_backend *backend)
{
    struct expectation *expectation = argument;
    struct balancer *balancer = expectation->balancer;
    CLEANUP(mem_freep) char *name = balancer_backend_name(&balancer->config, backend);
    for (size_t i = 0; i < backend->n_servers; i++) {
        const struct machine_host *host = backend->servers[i];
        const struct balancer_line *line =
            balancer_find_line(&balancer->control.statistics, name, host->name);
        uint16_t port = balancer_server_port(&balancer->config, backend);
        if (!has_workload(balancer->module->machine, host, port) ||
            balancer_is_held(&balancer->module->holds, host->name, port))
            continue;
        strbuf_addf(&expectation->names, "%s/%s %s:%u\n", name, host->name, host->address,
                    backend->port);
        expectation->n_missing += !line || !balancer_line_is_sound(line);
        expectation->n_unchecked += !line || !balancer_line_is_checked(line);
    }
}

static struct expectation expect(struct balancer *balancer)
{
    struct expectation expectation = {.balancer = balancer};
    balancer_each_backend(&balancer->config, expect_servers, &expectation);
    return expectation;
}

CO_FN void balancer_await_checks(struct balancer *balancer)
{
    int64_t deadline = world_monotonic_clock() + CHECK_TIME;
    for (;;) {
        balancer_control_look(&balancer->control, NULL);
        struct expectation expectation = expect(balancer);
        strbuf_done(&expectation.names);
        if (expectation.n_unchecked == 0 || world_monotonic_clock() >= deadline)
            return;
        loop_sleep(balancer->module->twin->loop, POLL_PAUSE);
    }
}

CO_FN void balancer_await_servers(struct balancer *balancer)
{
    int64_t deadline = world_monotonic_clock() + UP_TIME;
    struct expectation expectation = expect(balancer);
    while (expectation.n_missing > 0 && world_monotonic_clock() < deadline &&
           !text_equal_or_null(balancer->awaited, strbuf_text(&expectation.names))) {
        loop_sleep(balancer->module->twin->loop, POLL_PAUSE);
        balancer_control_look(&balancer->control, NULL);
        strbuf_done(&expectation.names);
        expectation = expect(balancer);
    }
    mem_free(balancer->awaited);
    balancer->awaited = strbuf_take(&expectation.names);
}
