/* The verbs about runs: start, resume, follow, list, show, cancel; and the run's own process. */
#include "apply/apply.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "model/outputs.h"
#include "net/channel.h"
#include "net/child.h"
#include "service/adoptions.h"
#include "service/instances.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/secrets.h"
#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SECOND = 1000000,
    MAX_LINE = 16 << 20,
    CONNECT_SECONDS = 10,
    GONE_SECONDS = 3,
    SEND_SECONDS = 5,
    PAGE = 1000,
    MAX_RUNS = 200,
};

/* --- Starting --- */

/* Whether somebody approved this very plan, and not too long ago; *ret_until is when the longest
 * approval ends. */
static int check_approved(struct service *service, const struct plan *plan, int64_t *ret_until,
                          struct error *err)
{
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    int r = store_list_approvals(service->store, plan->hash, &approvals, err);
    if (r < 0)
        return r;
    int64_t now = world_wall_clock();
    bool is_expired = value_count(approvals) > 0;
    *ret_until = 0;
    for (size_t i = 0; i < value_count(approvals); i++) {
        int64_t until = value_get_integer(value_at(approvals, i), "expires_at", 0);
        *ret_until = until > *ret_until ? until : *ret_until;
    }
    if (*ret_until > now || (TOOTH(EXPIRED_APPROVAL) && is_expired))
        return 0;
    return error_set(err, ERROR_APPROVAL_NEEDED, "the plan %.12s %s", plan->hash,
                     is_expired ? "was approved, but too long ago: approve it again"
                                : "is not approved");
}

/* What was approved is what is done: by a yes to this hash, and with the types as they were judged
 * by. */
static int check_plan(struct service *service, const struct plan *plan, int64_t *ret_until,
                      struct error *err)
{
    if (!text_equal(plan->catalog_digest, catalog_digest(service->catalog)))
        return error_set(err, ERROR_STALE,
                         "the catalog has changed since the plan %.12s was made; plan again",
                         plan->hash);
    int r = adoptions_check_free(service, plan, err);
    return r < 0 ? r : check_approved(service, plan, ret_until, err);
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

int service_start_run(struct service *service, const struct plan *plan, char **ret_run_id,
                      struct error *err)
{
    CLEANUP(close_descriptorp) int log = -1;
    int64_t until;
    int r = service_need_store(service, true, err);
    if (r < 0 || (r = check_plan(service, plan, &until, err)) < 0 ||
        (r = secrets_gather(service, plan, err)) < 0)
        return r;
    run_sweep_sockets();
    unbegun_settle_newest(service, plan->deployment_uid);
    char id[UUID_TEXT_SIZE];
    uuid_random(id);
    struct store_run run = {
        .id = id,
        .deployment_uid = plan->deployment_uid,
        .plan_hash = (char *)plan->hash,
        .principal = service->principal,
        .words = service->words,
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

int service_resume_run(struct service *service, const char *word, char **ret_run_id,
                       struct error *err)
{
    CLEANUP(mem_freep) char *run_id = NULL;
    CLEANUP(close_descriptorp) int log = -1;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int64_t until;
    int r = find_resumable(service, word, &run_id, err);
    if (r == 0)
        r = service_get_run_plan(service, run_id, &plan, err);
    if (r == 0)
        r = check_approved(service, plan, &until, err);
    if (r == 0)
        r = secrets_gather(service, plan, err);
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

/* --- The run's own process --- */

struct execution {
    struct service *service;
    struct run_server *server; /* owned */
    bool is_cancelled;
};

static void abort_run(void)
{
    _exit(130);
}

static int find_provider(void *argument, const char *instance, struct provider **ret_provider,
                         struct error *err)
{
    struct execution *execution = argument;
    return service_find_provider(execution->service, instance, ret_provider, err);
}

static void tell(void *argument, const struct value *event)
{
    struct execution *execution = argument;
    if (execution->server)
        run_server_tell(execution->server, event);
}

static int configure_instance(void *argument, const char *instance, struct outputs *outputs,
                              struct error *err)
{
    const struct execution *execution = argument;
    return instances_configure(execution->service, instance, outputs_lookup, outputs, err);
}

static bool is_configured_instance(void *argument, const char *instance)
{
    const struct execution *execution = argument;
    return instances_has_roots(execution->service, instance);
}

/* With what is recorded now; a run goes on from there. */
static int configure_instances(struct service *service, const struct plan *plan, struct error *err)
{
    struct records records = {0};
    bool is_needed = false;
    for (size_t i = 0; i < plan->n_steps; i++)
        is_needed = is_needed || instances_has_roots(service, plan->steps[i].instance);
    if (!is_needed)
        return 0;
    int r = store_load_records(service->store, plan->deployment_uid, &records, err);
    for (size_t i = 0; r == 0 && i < value_count(plan->identities); i++)
        r = instances_configure_from(service, value_key_at(plan->identities, i), &records, err);
    records_done(&records);
    return r;
}

/* A plan made for one system never applies to another. */
int service_check_identities(struct service *service, const struct plan *plan, struct error *err)
{
    int configured = configure_instances(service, plan, err);
    if (configured < 0)
        return configured;
    for (size_t i = 0; i < value_count(plan->identities); i++) {
        const char *instance = value_key_at(plan->identities, i);
        struct provider *provider;
        CLEANUP(mem_freep) char *identity = NULL;
        if (value_kind(value_at(plan->identities, i)) != VALUE_STRING)
            continue; /* the plan itself makes it */
        int r = service_find_provider(service, instance, &provider, err);
        struct call call = service_read_call(service);
        if (r == 0)
            r = provider_identify(provider, &call, &identity, err);
        if (r < 0)
            return r;
        const char *planned = value_text(value_at(plan->identities, i));
        if (!text_equal(planned, identity))
            return error_set(err, ERROR_STALE,
                             "%s is %s now, but the plan was made for %s; plan again", instance,
                             identity, planned);
    }
    return 0;
}

static int carry_out(struct execution *execution, struct store_run *run, bool is_resume,
                     struct error *err)
{
    struct service *service = execution->service;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = service_get_plan(service, run->plan_hash, &plan, err);
    int64_t until = 0;
    if (r == 0)
        r = is_resume ? check_approved(service, plan, &until, err)
                      : check_plan(service, plan, &until, err);
    if (r < 0 || (r = secrets_take_over(service, plan, err)) < 0 ||
        (r = service_check_identities(service, plan, err)) < 0)
        return r;
    struct apply_context context = {
        .loop = service->loop,
        .store = service->store,
        .catalog = service->catalog,
        .home = service->home,
        .find_provider = find_provider,
        .configure = configure_instance,
        .is_configured = is_configured_instance,
        .event = tell,
        .argument = execution,
        .secrets = secrets_known(service),
        .is_cancelled = &execution->is_cancelled,
        .approved_until = until,
    };
    return is_resume ? apply_resume(&context, plan, run, err)
                     : apply_plan(&context, plan, run, err);
}

/* From here on those who ask for the run reach it. */
static int open_doors(struct execution *execution, const char *run_id, struct error *err)
{
    struct service *service = execution->service;
    if (!service->run_host)
        return run_server_open(service->loop, run_id, &execution->is_cancelled, abort_run,
                               &execution->server, err);
    service->run_host->begin(service, &execution->is_cancelled);
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

/* --- Following --- */

struct following {
    struct service *service;
    struct follower *follower;
    struct channel *channel; /* owned; NULL while there is none */
    int64_t last_seq;
    int asked; /* the cancel level the run was told of */
};

static void pass_on(struct following *following, const struct value *event)
{
    int64_t seq = value_get_integer(event, "seq", 0);
    if (seq > 0 && seq <= following->last_seq)
        return;
    if (seq > 0)
        following->last_seq = seq;
    following->follower->sink(following->follower->argument, event);
}

/* A row of the journal is the event that it was told as. */
static struct value *event_of_row(const struct value *row)
{
    return value_with(row, "format", value_integer(1));
}

/* What the store knows beyond what was told. */
static int pass_on_stored(struct following *following, struct error *err)
{
    for (;;) {
        CLEANUP(value_unrefp) struct value *rows = NULL;
        int r = store_read_journal(following->service->store, following->follower->run_id,
                                   following->last_seq, PAGE, &rows, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < value_count(rows); i++) {
            CLEANUP(value_unrefp) struct value *event = event_of_row(value_at(rows, i));
            pass_on(following, event);
        }
        if (value_count(rows) < PAGE)
            return 0;
    }
}

static int read_status(struct following *following, enum run_status *ret_status,
                       int64_t *ret_ended_at, struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(following->service->store, following->follower->run_id, &run, err);
    if (r < 0)
        return r;
    *ret_status = run.status;
    *ret_ended_at = run.ended_at;
    if (run.ended_at && run.message && run.epoch == 0)
        r = error_set(err, ERROR_STALE, "%s", run.message);
    store_run_done(&run);
    return r;
}

/* Tells the run when the door was asked to cancel. */
static void ask_main(void *argument)
{
    struct following *following = argument;
    struct follower *follower = following->follower;
    while (following->channel) {
        if (follower->cancel_level > following->asked) {
            following->asked = follower->cancel_level;
            const char *line =
                following->asked > 1 ? "{\"ask\":\"abort\"}" : "{\"ask\":\"cancel\"}";
            int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
            (void)channel_send(following->channel, line, strlen(line), deadline, NULL);
            continue;
        }
        (void)gate_wait(following->service->loop, &follower->changed, -1, NULL);
    }
    following->asked = -1;
    gate_open(following->service->loop, &follower->changed);
}

static void receive_events(struct following *following)
{
    for (;;) {
        char *line = NULL;
        size_t length = 0;
        if (channel_receive(following->channel, -1, &line, &length, NULL) < 0 || !line)
            return;
        CLEANUP(value_unrefp) struct value *event = NULL;
        if (json_read(line, length, &event, NULL) == 0)
            pass_on(following, event);
        mem_free(line);
    }
}

/* Follows by the socket while there is one. */
static void follow_socket(struct following *following, const char *path)
{
    struct loop *loop = following->service->loop;
    int64_t deadline = world_monotonic_clock() + (int64_t)CONNECT_SECONDS * SECOND;
    struct channel *channel = NULL;
    if (channel_connect(loop, path, MAX_LINE, deadline, &channel, NULL) < 0)
        return;
    following->channel = channel;
    following->asked = 0;
    loop_spawn(loop, "ask", ask_main, following);
    receive_events(following);
    following->channel = NULL;
    gate_open(loop, &following->follower->changed);
    while (following->asked >= 0)
        (void)gate_wait(loop, &following->follower->changed, -1, NULL);
    channel_free(channel);
}

/* Whether somebody holds the lease of the run's deployment. */
static bool is_lease_held(struct service *service, const char *run_id)
{
    struct store_run run = {0};
    if (store_get_run(service->store, run_id, &run, NULL) < 0)
        return false;
    CLEANUP(mem_freep) char *path = apply_lease_path(service->home, run.deployment_uid);
    store_run_done(&run);
    return world_file_is_locked(path);
}

/* Whether the process that we started still runs; its end is seen once. */
static bool is_our_process_alive(struct service *service)
{
    int status;
    if (service->run_process <= 0)
        return false;
    if (child_wait(service->loop, service->run_process, world_monotonic_clock(), &status, NULL) < 0)
        return true;
    service->run_process = 0;
    service->run_end = status;
    return false;
}

/* A run that was killed cannot remove its socket, nor say that it never began. */
static void clean_up_after(struct service *service, const char *run_id)
{
    struct store_run run = {0};
    run_sweep_sockets();
    if (store_get_run(service->store, run_id, &run, NULL) == 0)
        unbegun_settle(service, &run);
    store_run_done(&run);
}

/*
 * Until the run's end is in the store. A run that we started is dead when its process is; another
 * one when nobody has held its lease for a while, since it may only be about to take it.
 */
int service_follow_run(struct service *service, struct follower *follower,
                       enum run_status *ret_status, struct error *err)
{
    struct following following = {.service = service, .follower = follower};
    CLEANUP(mem_freep) char *path = NULL;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = run_socket_path(follower->run_id, true, &path, err)) < 0)
        return r;
    bool is_ours = service->run_process > 0;
    int64_t last_seen = world_monotonic_clock();
    for (;;) {
        int64_t ended_at = 0;
        bool is_alive = is_our_process_alive(service);
        follow_socket(&following, path);
        if ((r = pass_on_stored(&following, err)) < 0 ||
            (r = read_status(&following, ret_status, &ended_at, err)) < 0)
            return r;
        if (!is_alive && ended_at) {
            clean_up_after(service, follower->run_id);
            return 0;
        }
        if (is_alive || run_is_held(service, follower->run_id) ||
            is_lease_held(service, follower->run_id))
            last_seen = world_monotonic_clock();
        else if (is_ours || world_monotonic_clock() - last_seen > (int64_t)GONE_SECONDS * SECOND) {
            clean_up_after(service, follower->run_id);
            return run_tell_death(service, follower->run_id, err);
        }
        loop_sleep(service->loop, SECOND / 200);
    }
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

/* --- Questions --- */

static struct value *run_to_value(const struct store_run *run)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "id", run->id);
    value_builder_set_string(&fields, "plan", run->plan_hash);
    value_builder_set_string(&fields, "principal", run->principal);
    value_builder_set_string(&fields, "words", run->words);
    value_builder_set_string(&fields, "status", run_status_to_string(run->status));
    value_builder_set(&fields, "started_at", value_integer(run->started_at));
    value_builder_set(&fields, "ended_at", value_integer(run->ended_at));
    value_builder_set_string(&fields, "message", run->message);
    return value_builder_map(&fields);
}

int service_list_runs(struct service *service, const char *word, struct value **ret_runs,
                      struct error *err)
{
    struct store_deployment deployment = {0};
    int r = word ? service_find_deployment(service, word, &deployment, err)
                 : service_need_store(service, false, err);
    if (r < 0)
        return r;
    struct store_run *runs = NULL;
    size_t n = 0;
    r = store_list_runs(service->store, deployment.uid, MAX_RUNS, &runs, &n, err);
    struct value_builder list = {0};
    for (size_t i = 0; i < n; i++) {
        unbegun_settle(service, &runs[i]);
        value_builder_append(&list, run_to_value(&runs[i]));
        store_run_done(&runs[i]);
    }
    mem_free(runs);
    store_deployment_done(&deployment);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_runs = value_builder_list(&list);
    return r;
}

/* The id that a prefix of at least six digits means. */
static int complete_id(struct service *service, const char *prefix, char **ret_id,
                       struct error *err)
{
    CLEANUP(value_unrefp) struct value *runs = NULL;
    int r = service_list_runs(service, NULL, &runs, err);
    if (r < 0)
        return r;
    const char *found = NULL;
    for (size_t i = 0; i < value_count(runs); i++) {
        const char *id = value_get_text(value_at(runs, i), "id");
        if (strlen(prefix) < 6 || !text_starts_with(id, prefix))
            continue;
        if (found)
            return error_set(err, ERROR_CONFLICT, "several runs begin with %s", prefix);
        found = id;
    }
    if (!found)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no run %s among the last %d; \"parley run list\" shows them",
                         prefix, MAX_RUNS);
    *ret_id = string_copy(found);
    return 0;
}

int service_show_run(struct service *service, const char *run_id, struct value **ret_run,
                     struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    struct store_run run = {0};
    int r = complete_id(service, run_id, &id, err);
    if (r < 0 || (r = store_get_run(service->store, id, &run, err)) < 0)
        return r;
    unbegun_settle(service, &run);
    CLEANUP(value_unrefp) struct value *row = run_to_value(&run);
    store_run_done(&run);
    struct value_builder all = {0};
    int64_t seq = 0;
    for (size_t n = PAGE; r == 0 && n == PAGE;) {
        CLEANUP(value_unrefp) struct value *rows = NULL;
        r = store_read_journal(service->store, id, seq, PAGE, &rows, err);
        n = r == 0 ? value_count(rows) : 0;
        for (size_t i = 0; i < n; i++)
            value_builder_append(&all, event_of_row(value_at(rows, i)));
        if (n > 0)
            seq = value_get_integer(value_at(rows, n - 1), "seq", seq);
    }
    struct value *journal = value_builder_list(&all);
    *ret_run = value_with(row, "journal", journal);
    return r;
}

int service_cancel_run(struct service *service, const char *run_id, struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    int r = complete_id(service, run_id, &id, err);
    if (r < 0 || (r = run_socket_path(id, true, &path, err)) < 0)
        return r;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
    r = channel_connect(service->loop, path, MAX_LINE, deadline, &channel, err);
    if (r == -ERROR_NOT_FOUND)
        return error_set(err, ERROR_NOT_FOUND, "the run %.8s is not under way", id);
    static const char line[] = "{\"ask\":\"cancel\"}";
    return r < 0 ? r : channel_send(channel, line, sizeof(line) - 1, deadline, err);
}
