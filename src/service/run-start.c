/* Runs are started and resumed: each in a process of its own. */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "net/child.h"
#include "service/adoptions.h"
#include "service/allowed.h"
#include "service/approvals.h"
#include "service/credentials.h"
#include "service/give-up.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/runs-internal.h"
#include "service/secrets.h"
#include "service/service.h"

#include <errno.h>
#include <unistd.h>

enum { MAX_RUNS = 200 };

static bool is_of_this_catalog(const struct service *service, const struct plan *plan)
{
    return text_equal(plan->catalog_digest, catalog_digest(service->catalog));
}

int run_check_resumed(struct service *service, const struct plan *plan, const char *run,
                      struct standing *ret_standing, struct error *err)
{
    if (!is_of_this_catalog(service, plan))
        return error_set(err, ERROR_STALE,
                         "the catalog has changed since the plan %.12s was made, so its run does "
                         "not go on, and nothing was changed. Plan again: what is open is looked "
                         "at first, and what is done stays done. Or bring the former catalog "
                         "back, and resume",
                         plan->hash);
    return approvals_check(service, plan, run, ret_standing, err);
}

int run_check_plan(struct service *service, const struct plan *plan, struct standing *ret_standing,
                   struct error *err)
{
    if (!is_of_this_catalog(service, plan))
        return error_set(err, ERROR_STALE,
                         "the catalog has changed since the plan %.12s was made; plan again",
                         plan->hash);
    int r = adoptions_check_free(service, plan, err);
    return r < 0 ? r : approvals_check(service, plan, NULL, ret_standing, err);
}

/* The state folder is handed on; a site that was given or found must be found by the run, too. */
static int start_process(struct service *service, const struct plan *plan, const char *run_id,
                         bool is_resume, int log, struct error *err)
{
    CLEANUP(close_descriptorp) int input = -1;
    if (service->run_host)
        return service->run_host->start(service, run_id, is_resume, log, err);
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0)
        return error_set_errno(err, errno, "find our own program");
    program[length] = '\0';
    const char *arguments[10] = {program, "--home", service->home, "run", "exec", run_id};
    size_t n = 6;
    if (is_resume)
        arguments[n++] = "--resume";
    if (service->site_path) {
        arguments[n++] = "--site";
        arguments[n++] = service->site_path;
    }
    int r = secrets_hand_over(service, plan, &input, err);
    if (r < 0)
        return r;
    struct child_spec spec = {
        .arguments = arguments, .input = input, .output = log, .errors = log, .own_session = true};
    service->run_end = -1;
    return child_start(&spec, &service->run_process, err);
}

/* The first run of a deployment brings its row: everything else hangs on that. */
static int add_new_deployment(struct service *service, const struct plan *plan,
                              struct store_batch *batch, struct error *err)
{
    struct store_deployment known = {0};
    int r = store_find_deployment(service->store, plan->deployment, plan->environment, &known, err);
    bool is_known = r == 0 && text_equal(known.uid, plan->deployment_uid);
    store_deployment_done(&known);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return r;
    if (r < 0 && err)
        error_done(err);
    if (is_known)
        return 0;
    CLEANUP(value_unrefp) struct value *outputs = value_builder_map(&(struct value_builder){0});
    struct store_deployment deployment = {
        .uid = plan->deployment_uid,
        .name = plan->deployment,
        .environment = plan->environment,
        .incarnation = plan->incarnation,
        .outputs = outputs,
        .created_at = world_wall_clock(),
        .updated_at = world_wall_clock(),
    };
    store_batch_put_deployment(batch, &deployment);
    return 0;
}

/* All that is handed over: the document's and the site's. */
static CO_FN int gather_secrets(struct service *service, const struct plan *plan, struct error *err)
{
    int r = secrets_gather(service, plan, err);
    if (r < 0)
        return r;
    secrets_clear_environment(service, plan->deployment_uid);
    return credentials_gather(service, plan, err);
}

/* A plan that nobody approved is refused as one who may not is: the audit chain has it. */
static CO_FN int check_start(struct service *service, const struct plan *plan,
                             struct standing *ret_standing, struct error *err)
{
    struct error denial = {0};
    int r = service_need_store(service, true, err);
    if (r < 0 || (r = allowed_check_plan(service, VERB_APPLY, plan, err)) < 0)
        return r;
    r = run_check_plan(service, plan, ret_standing, &denial);
    if (r != -ERROR_APPROVAL_NEEDED)
        return r < 0 ? error_move(err, &denial) : 0;
    CLEANUP(mem_freep) char *what = string_format("to carry out the plan %.12s", plan->hash);
    return allowed_refuse(service, VERB_APPLY, what, &denial, err);
}

int service_start_run(struct service *service, const struct plan *plan, char **ret_run_id,
                      struct error *err)
{
    CLEANUP(close_descriptorp) int log = -1;
    struct standing standing;
    int r = check_start(service, plan, &standing, err);
    if (r < 0 || (r = gather_secrets(service, plan, err)) < 0)
        return r;
    run_sweep_sockets();
    unbegun_settle_newest(service, plan->deployment_uid);
    char id[UUID_TEXT_SIZE];
    uuid_random(id);
    struct store_run run = {
        .id = id,
        .deployment_uid = plan->deployment_uid,
        .plan_hash = (char *)plan->hash,
        .principal = service->caller.principal,
        .words = service->words,
        .client = service->caller.client,
        .status = RUN_PENDING,
        .started_at = world_wall_clock(),
    };
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    r = add_new_deployment(service, plan, batch, err);
    if (r < 0 || (r = run_open_log(service, id, &log, err)) < 0)
        return r;
    store_batch_put_run(batch, &run);
    r = store_commit(service->store, batch, NULL, err);
    if (r < 0 || (r = start_process(service, plan, id, false, log, err)) < 0)
        return r;
    *ret_run_id = string_copy(id);
    return 0;
}

/* What never began has nothing to go on with, and its plan may be stale by now. */
static bool is_resumable(const struct store_run *run)
{
    if (run->epoch == 0)
        return false;
    return run->status == RUN_RUNNING || run->status == RUN_FAILED || run->status == RUN_PARTLY ||
           run->status == RUN_CANCELLED;
}

int service_find_last_run(struct service *service, const char *deployment_uid,
                          struct store_run *ret_run, struct error *err)
{
    struct store_run *runs = NULL;
    size_t n = 0;
    int r = store_list_runs(service->store, deployment_uid, MAX_RUNS, &runs, &n, err);
    for (size_t i = 0; i < n; i++) {
        /* Not always the one that was put last. */
        if (runs[i].epoch > ret_run->epoch) {
            store_run_done(ret_run);
            *ret_run = runs[i];
        } else {
            store_run_done(&runs[i]);
        }
    }
    mem_free(runs);
    return r;
}

/* The newest run of the deployment that the word names, when it did not come to its end. */
static int find_resumable(struct service *service, const char *word, char **ret_run_id,
                          struct error *err)
{
    struct store_deployment deployment = {0};
    int r = service_find_deployment(service, word, &deployment, err);
    if (r < 0)
        return r;
    struct store_run *runs = NULL;
    size_t n = 0;
    r = store_list_runs(service->store, deployment.uid, 1, &runs, &n, err);
    if (r == 0 && n > 0)
        unbegun_settle(service, &runs[0]);
    if (r == 0 && n > 0 && is_resumable(&runs[0]))
        r = give_up_check(service, deployment.uid, runs[0].id, err);
    if (r == 0 && n > 0 && is_resumable(&runs[0]))
        *ret_run_id = string_copy(runs[0].id);
    else if (r == 0 && n > 0 && runs[0].epoch == 0)
        r = error_set(err, ERROR_NOT_FOUND,
                      "the last run of %s never began: there is nothing to resume; ask again for "
                      "what it was to do",
                      deployment.name);
    else if (r == 0)
        r = error_set(err, ERROR_NOT_FOUND,
                      "the last run of %s came to its end: there is nothing to resume",
                      deployment.name);
    for (size_t i = 0; i < n; i++)
        store_run_done(&runs[i]);
    mem_free(runs);
    store_deployment_done(&deployment);
    return r;
}

int service_get_run_head(struct service *service, const char *run_id, struct plan **ret_plan,
                         struct error *err)
{
    struct store_run run = {0};
    CLEANUP(value_unrefp) struct value *head = NULL;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_get_run(service->store, run_id, &run, err)) < 0)
        return r;
    r = store_get_plan_head(service->store, run.plan_hash, &head, err);
    if (r == 0)
        r = plan_read_head(head, ret_plan, err);
    store_run_done(&run);
    return r;
}

int service_resume_run(struct service *service, const char *word, char **ret_run_id,
                       struct error *err)
{
    CLEANUP(mem_freep) char *run_id = NULL;
    CLEANUP(close_descriptorp) int log = -1;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    struct standing standing;
    int r = allowed_check(service, VERB_APPLY, "to resume a run", err);
    if (r == 0)
        r = find_resumable(service, word, &run_id, err);
    if (r == 0)
        r = service_get_run_head(service, run_id, &plan, err);
    if (r == 0)
        r = run_check_resumed(service, plan, run_id, &standing, err);
    if (r == 0)
        r = gather_secrets(service, plan, err);
    if (r < 0 || (r = run_open_log_again(service, run_id, &log, err)) < 0 ||
        (r = start_process(service, plan, run_id, true, log, err)) < 0)
        return r;
    *ret_run_id = take_ptr(run_id);
    return 0;
}

int service_get_resumable(struct service *service, const char *word, struct plan **ret_plan,
                          struct error *err)
{
    CLEANUP(mem_freep) char *run_id = NULL;
    int r = find_resumable(service, word, &run_id, err);
    return r < 0 ? r : service_get_run_plan(service, run_id, ret_plan, err);
}

int service_get_run_plan(struct service *service, const char *run_id, struct plan **ret_plan,
                         struct error *err)
{
    struct store_run run = {0};
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_get_run(service->store, run_id, &run, err)) < 0)
        return r;
    r = service_get_plan(service, run.plan_hash, ret_plan, err);
    store_run_done(&run);
    return r;
}
