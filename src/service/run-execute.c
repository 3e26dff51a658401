/* The run's own process. */
#include "apply/apply.h"
#include "base/memory.h"
#include "base/text.h"
#include "service/allowed.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/runs-internal.h"
#include "service/secrets.h"
#include "service/service.h"
#include "service/settling.h"

#include <unistd.h>

struct execution {
    struct service *service;
    struct run_server *server; /* owned */
    bool is_cancelled;
    struct gate cancelled;
};

static void cancel_run(void *argument)
{
    struct execution *execution = argument;
    execution->is_cancelled = true;
    gate_open(execution->service->loop, &execution->cancelled);
}

static void abort_run(void)
{
    _exit(130);
}

static void tell(void *argument, const struct value *event)
{
    struct execution *execution = argument;
    if (execution->server)
        run_server_tell(execution->server, event);
}

static int carry_out(struct execution *execution, struct store_run *run, bool is_resume,
                     struct error *err)
{
    struct service *service = execution->service;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = service_get_plan(service, run->plan_hash, &plan, err);
    struct standing standing = {0};
    if (r == 0)
        r = allowed_check_caps(service->site, plan, err);
    if (r == 0)
        r = is_resume ? run_check_resumed(service, plan, run->id, &standing, err)
                      : run_check_plan(service, plan, &standing, err);
    if (r < 0 || (r = secrets_take_over(service, plan, err)) < 0 ||
        (r = service_check_identities(service, plan, run, err)) < 0)
        return r;
    struct apply_context context = service_apply_context(service);
    context.event = tell;
    context.event_argument = execution;
    context.is_cancelled = &execution->is_cancelled;
    context.cancelled = &execution->cancelled;
    context.approved_until = standing.until;
    context.n_approvals_seen = standing.n_seen;
    return is_resume ? apply_resume(&context, plan, run, err)
                     : apply_plan(&context, plan, run, err);
}

/* From here on those who ask for the run reach it. */
static int open_doors(struct execution *execution, const char *run_id, struct error *err)
{
    struct service *service = execution->service;
    struct run_asked asked = {.cancel = cancel_run, .argument = execution, .abort = abort_run};
    if (!service->run_host)
        return run_server_open(service->loop, run_id, &asked, &execution->server, err);
    service->run_host->begin(service, cancel_run, execution);
    return 0;
}

static void close_doors(struct execution *execution)
{
    if (execution->service->run_host)
        execution->service->run_host->end(execution->service);
    else
        run_server_close(execution->server);
}

int service_execute_run(struct service *service, const char *run_id, bool is_resume,
                        struct error *err)
{
    struct execution execution = {.service = service};
    struct store_run run = {0};
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_get_run(service->store, run_id, &run, err)) < 0)
        return r;
    if (!is_resume && run.status != RUN_PENDING)
        r = error_set(err, ERROR_INVALID, "the run %.8s has begun already; resume it instead",
                      run_id);
    if (r == 0)
        r = open_doors(&execution, run_id, err);
    if (r == 0) {
        r = carry_out(&execution, &run, is_resume, err);
        if (r < 0)
            unbegun_end(service, &run, err);
        close_doors(&execution);
    }
    store_run_done(&run);
    return r;
}
