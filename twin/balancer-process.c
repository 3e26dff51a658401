/* A balancer's HAProxy: its files, its start and its reload. */
#include "twin/balancer-private.h"

#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHECK_TIME = 5 * 1000 * 1000, /* microseconds */
    RELOAD_TIME = 5 * 1000 * 1000,
    SIGNAL_TIME = 250 * 1000, /* after which one that was lost is sent again */
    COMMAND_LIMIT = 64 * 1024,
    POLL_PAUSE = 5 * 1000,
    LOOK_TIME = 50 * 1000, /* after which it is seen that a first start fails */
    CHECK_OUTPUT = 64 * 1024
};

/* --- Files --- */

/* The lists of what it is shown; they borrow. */
struct balancer_view {
    const char *read[5];
    const char *written[2];
};

static struct cage_files balancer_files(const struct balancer *balancer,
                                        struct balancer_view *ret_view)
{
    const struct balancers *module = balancer->module;
    *ret_view = (struct balancer_view){
        .read = {balancer->config_folder, balancer_limits_file(module->limits),
                 balancer_limits_folder(module->limits), module->certificate_folder},
        .written = {balancer->socket_folder}};
    return (struct cage_files){.read = ret_view->read, .written = ret_view->written};
}

static int make_folders(const struct balancer *balancer, struct error *err)
{
    int r = service_make_folder(balancer->config_folder, err);
    if (r == 0 && mkdir(balancer->socket_folder, 0700) < 0 && errno != EEXIST)
        r = error_set_errno(err, errno, "make the folder of balancer %s", balancer->host);
    return r < 0 ? r : twin_give(balancer->socket_folder, PROCESS_NOBODY, err);
}

static CO_FN int check_file(struct balancer *balancer, const char *file, struct error *err)
{
    struct balancers *module = balancer->module;
    CLEANUP(mem_freep) char *name = string_format("%s.check", balancer->host);
    const char *arguments[] = {module->program, "-c", "-f", file, NULL};
    struct balancer_view view;
    struct process_spec spec = {
        .name = name,
        .host = balancer->host,
        .files = balancer_files(balancer, &view),
        .arguments = arguments,
        .user = PROCESS_NOBODY,
        .complaint = "[ALERT]",
    };
    return process_run(module->twin->processes, &spec, CHECK_OUTPUT,
                       world_monotonic_clock() + CHECK_TIME, NULL, err);
}

int balancer_put_file(struct balancer *balancer, const struct balancer_plan *plan,
                      struct error *err)
{
    return service_write(balancer->config_file, plan->text, NULL, err);
}

CO_FN int balancer_replace_files(struct balancer *balancer, const struct balancer_plan *plan,
                                 struct error *err)
{
    int r = make_folders(balancer, err);
    if (r == 0)
        r = service_write(balancer->values_file, plan->values, NULL, err);
    if (r == 0)
        r = balancer_certificates_place(&plan->certificates, err);
    if (r == 0)
        r = service_write(balancer->draft_file, plan->text, NULL, err);
    balancer->is_unchecked = !balancer->process && !world_file_exists(balancer->config_file);
    if (r == 0 && !balancer->is_unchecked)
        r = check_file(balancer, balancer->draft_file, err);
    if (r < 0 && balancer->runs.values) {
        balancer_put_file(balancer, &balancer->runs, NULL);
        service_write(balancer->values_file, balancer->runs.values, NULL, NULL);
        balancer_certificates_place(&balancer->runs.certificates, NULL);
    }
    if (r < 0)
        return error_wrap(err, r, "the configuration of balancer %s", balancer->host);
    if (rename(balancer->draft_file, balancer->config_file) < 0)
        return error_set_errno(err, errno, "replace %s", balancer->config_file);
    return 0;
}

CO_FN int balancer_write_states(struct balancer *balancer, const struct balancer_servers *servers,
                                struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf states = {0};
    if (balancer->process)
        balancer_control_look(&balancer->control, NULL);
    balancer_servers_write_states(&states, &balancer->control, &balancer->runs.servers, servers);
    return service_write(balancer->state_file, strbuf_text(&states), NULL, err);
}

/* --- Start and reload --- */

static CO_FN int probe(void *argument, struct error *err)
{
    struct balancer *balancer = argument;
    return balancer_control_look(&balancer->control, err);
}

/* A first start that did not succeed: was it the file? Then neither of both stays. */
static CO_FN int judge_start(struct balancer *balancer, int r, struct error *err)
{
    struct error fault = {0};
    if (check_file(balancer, balancer->config_file, &fault) == 0)
        return r;
    process_stop(balancer->process);
    balancer->process = NULL;
    unlink(balancer->config_file);
    error_done(err);
    r = error_move(err, &fault);
    return error_wrap(err, r, "the configuration of balancer %s", balancer->host);
}

CO_FN int balancer_await_ready(struct balancer *balancer, int64_t deadline, struct error *err)
{
    for (;;) {
        int64_t now = world_monotonic_clock();
        int64_t until =
            balancer->is_unchecked && now + LOOK_TIME < deadline ? now + LOOK_TIME : deadline;
        int r = process_wait_ready(balancer->process, until, err);
        if (r == 0)
            balancer->is_unchecked = false;
        if (r == 0 || !balancer->is_unchecked)
            return r;
        if (until == deadline || process_state(balancer->process) != PROCESS_STARTING)
            return judge_start(balancer, r, err);
        error_done(err);
    }
}

CO_FN int balancer_start(struct balancer *balancer, struct error *err)
{
    struct balancers *module = balancer->module;
    const char *arguments[] = {module->program, "-W", "-db", "-f", balancer->config_file, NULL};
    struct balancer_view view;
    struct process_spec spec = {.name = balancer->host,
                                .host = balancer->host,
                                .files = balancer_files(balancer, &view),
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = balancer};
    return process_start(module->twin->processes, &spec, &balancer->process, err);
}

/* The process id of the worker that answers on the socket; 0 when none does. */
static CO_FN int64_t worker_pid(struct balancer *balancer)
{
    CLEANUP(mem_freep) char *answer = NULL;
    if (balancer_control_ask(&balancer->control, "show info", &answer, NULL) < 0)
        return 0;
    const char *line = strstr(answer, "\nPid: ");
    int64_t pid = 0;
    if (line) {
        line += strlen("\nPid: ");
        CLEANUP(mem_freep) char *number = string_copy_n(line, strcspn(line, "\n"));
        text_to_integer(number, &pid);
    }
    return pid;
}

/*
 * The old worker ends when its last connection does, which may take long. Until it closes its
 * listeners both take connections, and some are served as it was before.
 */
static CO_FN void await_hand_over(struct balancer *balancer, int64_t before, int64_t deadline)
{
    CLEANUP(mem_freep) char *proc = process_own_proc(balancer->process);
    while (before > 0 && proc && balancer_worker_listens(proc, (pid_t)before) &&
           world_monotonic_clock() < deadline)
        loop_sleep(balancer->module->twin->loop, POLL_PAUSE);
}

/* How the master was started: it starts itself anew for each reload, with its former workers among
 * its arguments. The caller frees it; NULL when it cannot be told. */
static char *command_of(const struct balancer *balancer, size_t *ret_size)
{
    CLEANUP(mem_freep)
    char *path = string_format("/proc/%d/cmdline", (int)process_pid(balancer->process));
    char *command = NULL;
    return world_read_file(path, COMMAND_LIMIT, &command, ret_size, NULL) == 0 ? command : NULL;
}

static bool is_reloading(const struct balancer *balancer, const char *before, size_t size)
{
    size_t size_now = 0;
    CLEANUP(mem_freep) char *now = command_of(balancer, &size_now);
    return before && now && (size != size_now || memcmp(before, now, size) != 0);
}

/* HAProxy loses the signal while its master still starts, that is, shortly after another reload. */
CO_FN int balancer_reload(struct balancer *balancer, struct error *err)
{
    int64_t before = worker_pid(balancer), next = 0;
    int64_t deadline = world_monotonic_clock() + RELOAD_TIME;
    size_t size = 0;
    CLEANUP(mem_freep) char *command = command_of(balancer, &size);
    for (int64_t clock; (clock = world_monotonic_clock()) < deadline;) {
        if (clock >= next && !is_reloading(balancer, command, size)) {
            process_signal(balancer->process, SIGUSR2);
            next = clock + SIGNAL_TIME;
        }
        int64_t now = worker_pid(balancer);
        if (now != 0 && now != before) {
            await_hand_over(balancer, before, deadline);
            return 0;
        }
        loop_sleep(balancer->module->twin->loop, POLL_PAUSE);
    }
    return error_set(err, ERROR_TIMEOUT, "balancer %s does not take its new configuration",
                     balancer->host);
}
