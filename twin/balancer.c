/*
 * The module of balancers: one HAProxy for each host that the machine makes a balancer. What can be
 * changed while it runs (servers) goes through its socket, with the file kept equal; all else is a
 * reload, which loses no connection.
 */
#include "twin/balancer.h"

#include "twin/balancer-config.h"
#include "twin/balancer-limits.h"
#include "twin/balancer-servers.h"
#include "twin/balancer-worker.h"
#include "twin/certificate.h"
#include "twin/module.h"
#include "twin/service.h"

#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    START_TIME = 5 * 1000 * 1000, /* microseconds */
    RELOAD_TIME = 5 * 1000 * 1000,
    CHECK_TIME = 3 * 1000 * 1000, /* until the first check of each server has ended */
    UP_TIME = 10 * 1000 * 1000,   /* until new servers pass their checks */
    POLL_PAUSE = 5 * 1000,
    CHECK_OUTPUT = 64 * 1024
};

/* A frontend and its backend, as they are offered and asked; owned. */
struct served {
    char *frontend; /* uid, as the next one */
    char *backend;
    uint16_t port;
    uint16_t former_port; /* at which it stands, too; 0: none */
    uint16_t server_port;
    char *health_check; /* NULL: none */
};

struct balancer {
    struct balancers *module;
    char *host;          /* owned; its name */
    char *config_folder; /* owned, as the paths below; what only we write */
    char *config_file;
    char *draft_file;
    char *state_file;
    char *socket_folder;
    char *socket;
    struct process *process;         /* owned; NULL while it was not started */
    char *structure;                 /* owned; the configuration that runs, without servers */
    char *text;                      /* owned; all of it */
    struct balancer_servers servers; /* those that run */
    char *awaited;                   /* owned; the servers with a workload that it has waited for */
    struct balancer_control control;

    struct served *served; /* owned; what those who come find here */
    size_t n_served;

    /* What is wanted, borrowed from the module's machine; the arrays are owned. */
    struct balancer_config config;
    struct balancer_kept *kept;
    const struct machine_frontend **frontends;
    char **lists;
};

struct balancers {
    struct twin *twin;
    char *program;            /* owned; NULL until HAProxy was found */
    char *config_folder;      /* owned; only we write there */
    char *socket_folder;      /* owned; the children's */
    char *certificate_folder; /* owned */
    struct balancer_limits *limits;
    struct machine *machine; /* a reference; what the balancers point into */
    struct balancer **items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* --- Life of a balancer --- */

static void clear_wanted(struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->config.n_frontends; i++)
        mem_free(balancer->lists[i]);
    mem_free(balancer->lists);
    mem_free(balancer->frontends);
    mem_free(balancer->kept);
    balancer->kept = NULL;
    balancer->lists = NULL;
    balancer->frontends = NULL;
    balancer->config = (struct balancer_config){0};
}

static void forget_served(struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->n_served; i++) {
        mem_free(balancer->served[i].frontend);
        mem_free(balancer->served[i].backend);
        mem_free(balancer->served[i].health_check);
    }
    mem_free(balancer->served);
    balancer->served = NULL;
    balancer->n_served = 0;
}

static void balancer_free(struct balancer *balancer)
{
    clear_wanted(balancer);
    forget_served(balancer);
    balancer_servers_done(&balancer->servers);
    balancer_statistics_done(&balancer->control.statistics);
    mem_free(balancer->host);
    mem_free(balancer->config_folder);
    mem_free(balancer->socket_folder);
    mem_free(balancer->config_file);
    mem_free(balancer->draft_file);
    mem_free(balancer->state_file);
    mem_free(balancer->socket);
    mem_free(balancer->structure);
    mem_free(balancer->text);
    mem_free(balancer->awaited);
    mem_free(balancer);
}

static struct balancer *balancer_new(struct balancers *module, const char *host)
{
    CLEANUP(mem_freep) char *file = service_file_name(host);
    struct balancer *balancer = NEW(struct balancer);
    balancer->module = module;
    balancer->host = string_copy(host);
    balancer->config_folder = string_format("%s/%s", module->config_folder, file);
    balancer->config_file = string_format("%s/haproxy.cfg", balancer->config_folder);
    balancer->draft_file = string_format("%s/haproxy.draft", balancer->config_folder);
    balancer->state_file = string_format("%s/servers", balancer->config_folder);
    balancer->socket_folder = string_format("%s/%s", module->socket_folder, file);
    balancer->socket = string_format("%s/admin", balancer->socket_folder);
    balancer->control.loop = module->twin->loop;
    balancer->control.socket = balancer->socket;
    return balancer;
}

static struct balancer *find_balancer(struct balancers *module, const char *host)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->host, host))
            return module->items[i];
    return NULL;
}

static CO_FN int probe(void *argument, struct error *err)
{
    struct balancer *balancer = argument;
    return balancer_control_look(&balancer->control, err);
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

/* --- What is wanted --- */

static int list_of(struct balancer *balancer, const struct machine_frontend *frontend,
                   char **ret_list, struct error *err)
{
    CLEANUP(mem_freep) char *list = NULL;
    if (frontend->certificate) {
        int r = certificate_list_file(balancer->module->twin, frontend->certificate, &list, err);
        if (r < 0)
            return r;
        if (!world_file_exists(list))
            return error_set(err, ERROR_UNAVAILABLE, "frontend %s: its certificate %s is not there",
                             frontend->name, frontend->certificate->name);
    }
    *ret_list = take_ptr(list);
    return 0;
}

/* Whether something else of the balancer is to stand at a port. */
static bool is_taken(const struct balancer *balancer, size_t n_frontends, uint16_t port)
{
    for (size_t i = 0; i < n_frontends; i++)
        if (balancer->frontends[i]->port == port)
            return true;
    return false;
}

/* What of a frontend that was served stays as it was, should anything stay now. */
static struct balancer_kept compare(const struct balancer *balancer, size_t n_frontends,
                                    const struct machine_frontend *frontend)
{
    struct balancer_kept kept = {0};
    const struct machine_backend *backend = frontend->backend;
    for (size_t i = 0; i < balancer->n_served; i++) {
        const struct served *served = &balancer->served[i];
        uint16_t port = served->port != frontend->port ? served->port : served->former_port;
        if (text_equal(served->frontend, frontend->resource) &&
            !is_taken(balancer, n_frontends, port))
            kept.port = port;
        if (!text_equal(served->backend, backend->resource))
            continue;
        if (served->server_port != backend->port)
            kept.server_port = served->server_port;
        if (served->health_check && backend->health_check &&
            !text_equal(served->health_check, backend->health_check))
            kept.health_check = served->health_check;
    }
    return kept;
}

/* Who comes to a port, and what answers at one or under a path, may be changed only after this. */
static void keep(struct balancer *balancer, size_t n_frontends)
{
    balancer->kept = NEW_ARRAY(struct balancer_kept, n_frontends);
    for (size_t i = 0; i < n_frontends; i++) {
        struct balancer_kept kept = compare(balancer, n_frontends, balancer->frontends[i]);
        if ((kept.port || kept.server_port || kept.health_check) &&
            twin_keeps(balancer->module->twin))
            balancer->kept[i] = kept;
    }
}

/* Takes over the frontends that HAProxy can serve; the others are problems of their own. */
static void set_wanted(struct balancer *balancer, const struct machine_balancer *wanted,
                       struct problems *problems)
{
    struct rlimit descriptors = {0};
    size_t n = 0;
    clear_wanted(balancer);
    getrlimit(RLIMIT_NOFILE, &descriptors);
    balancer->frontends = NEW_ARRAY(const struct machine_frontend *, wanted->n_frontends);
    balancer->lists = NEW_ARRAY(char *, wanted->n_frontends);
    for (size_t i = 0; i < wanted->n_frontends; i++) {
        const struct machine_frontend *frontend = wanted->frontends[i];
        struct error err = {0};
        int r = balancer_check_frontend(frontend, &err);
        if (r == 0)
            r = list_of(balancer, frontend, &balancer->lists[n], &err);
        if (r < 0)
            problems_add(problems, frontend->resource, &err);
        else
            balancer->frontends[n++] = frontend;
    }
    keep(balancer, n);
    balancer->config = (struct balancer_config){
        .host = wanted->host,
        .frontends = balancer->frontends,
        .kept = balancer->kept,
        .certificate_lists = (const char *const *)balancer->lists,
        .n_frontends = n,
        .socket = balancer->socket,
        .state_file = balancer->state_file,
        .limits_file = balancer_limits_file(balancer->module->limits),
        .limiter_socket = balancer_limits_socket(balancer->module->limits),
        .max_connections = balancer_max_connections(descriptors.rlim_max),
    };
}

/* A certificate that was issued anew has the same path; HAProxy must read it again all the same. */
static void add_certificate_times(struct strbuf *out, const struct balancer_config *config)
{
    for (size_t i = 0; i < config->n_frontends; i++) {
        struct stat status;
        const char *list = config->certificate_lists[i];
        if (!list)
            continue;
        CLEANUP(mem_freep)
        char *bundle = string_format("%.*s.pem", (int)(strlen(list) - strlen(".list")), list);
        if (stat(bundle, &status) == 0)
            strbuf_addf(out, "# %s %lld.%09ld\n", bundle, (long long)status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
    }
}

/* --- Files, start, reload --- */

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
    return (struct cage_files){ret_view->read, ret_view->written};
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
                       world_monotonic_clock() + START_TIME, NULL, err);
}

/* The file is what HAProxy reads when it starts again, so it changes only to what was checked. */
static CO_FN int replace_file(struct balancer *balancer, const char *text, struct error *err)
{
    int r = make_folders(balancer, err);
    if (r == 0)
        r = service_write(balancer->draft_file, text, NULL, err);
    if (r == 0)
        r = check_file(balancer, balancer->draft_file, err);
    if (r < 0)
        return error_wrap(err, r, "the configuration of balancer %s", balancer->host);
    if (rename(balancer->draft_file, balancer->config_file) < 0)
        return error_set_errno(err, errno, "replace %s", balancer->config_file);
    return 0;
}

/* Of use for the next start, also for one after a crash. */
static CO_FN int write_states(struct balancer *balancer, const struct balancer_servers *servers,
                              struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf states = {0};
    if (balancer->process)
        balancer_control_look(&balancer->control, NULL);
    balancer_servers_write_states(&states, &balancer->control, &balancer->servers, servers);
    return service_write(balancer->state_file, strbuf_text(&states), NULL, err);
}

static CO_FN int start(struct balancer *balancer, struct error *err)
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

static CO_FN int reload(struct balancer *balancer, struct error *err)
{
    int64_t before = worker_pid(balancer);
    int64_t deadline = world_monotonic_clock() + RELOAD_TIME;
    process_signal(balancer->process, SIGUSR2);
    while (world_monotonic_clock() < deadline) {
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
        if (!has_workload(balancer->module->machine, host, port))
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

/* A new worker of HAProxy's knows of no server how it is, also of those that were there before. */
static CO_FN void await_checks(struct balancer *balancer)
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

/*
 * What is new shall answer when it is said to be there. Each is waited for once: a workload that
 * fails later, or never comes up, is not the balancer's problem.
 */
static CO_FN void await_servers(struct balancer *balancer)
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

/* --- Converging --- */

/* take_structure, take_text and take_servers are what runs from now on. */
static void remember(struct balancer *balancer, char **take_structure, char **take_text,
                     struct balancer_servers *take_servers)
{
    mem_free(balancer->structure);
    mem_free(balancer->text);
    balancer_servers_done(&balancer->servers);
    balancer->structure = take_ptr(*take_structure);
    balancer->text = take_ptr(*take_text);
    balancer->servers = *take_servers;
    *take_servers = (struct balancer_servers){0};
}

static void note_served(struct balancer *balancer)
{
    const struct balancer_config *config = &balancer->config;
    struct served *served = NEW_ARRAY(struct served, config->n_frontends);
    for (size_t i = 0; i < config->n_frontends; i++) {
        const struct machine_frontend *frontend = config->frontends[i];
        const char *health_check = balancer_health_check(config, frontend->backend);
        served[i] = (struct served){
            .frontend = string_copy(frontend->resource),
            .backend = string_copy(frontend->backend->resource),
            .port = frontend->port,
            .former_port = config->kept[i].port,
            .server_port = balancer_server_port(config, frontend->backend),
            .health_check = health_check ? string_copy(health_check) : NULL,
        };
    }
    forget_served(balancer);
    balancer->served = served;
    balancer->n_served = config->n_frontends;
    for (size_t i = 0; i < config->n_frontends; i++)
        if (balancer->kept[i].health_check)
            balancer->kept[i].health_check = served[i].health_check;
}

static CO_FN int bring_about(struct balancer *balancer, const char *structure,
                             const struct balancer_servers *servers, struct error *err)
{
    if (!balancer->process)
        return start(balancer, err);
    bool is_same_structure = text_equal_or_null(balancer->structure, structure);
    if (is_same_structure && process_state(balancer->process) == PROCESS_READY &&
        balancer_servers_change(&balancer->control, &balancer->servers, servers, NULL) == 0)
        return 0;
    int r = reload(balancer, err);
    if (r == 0)
        await_checks(balancer);
    return r;
}

static bool has_limit(const struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->config.n_frontends; i++)
        if (balancer->config.frontends[i]->limit.count > 0)
            return true;
    return false;
}

static CO_FN int converge_balancer(struct balancer *balancer, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf structure_buffer = {0};
    CLEANUP(strbuf_done) struct strbuf text_buffer = {0};
    CLEANUP(balancer_servers_done)
    struct balancer_servers servers = balancer_servers_of(&balancer->config);
    balancer_write_config(&structure_buffer, &balancer->config, false);
    add_certificate_times(&structure_buffer, &balancer->config);
    balancer_write_config(&text_buffer, &balancer->config, true);
    CLEANUP(mem_freep) char *structure = strbuf_take(&structure_buffer);
    CLEANUP(mem_freep) char *text = strbuf_take(&text_buffer);
    int64_t deadline = world_monotonic_clock() + START_TIME;
    if (balancer->process && text_equal_or_null(balancer->text, text) &&
        text_equal_or_null(balancer->structure, structure))
        return process_wait_ready(balancer->process, deadline, err);
    int r = 0;
    /* It begins while the file is checked; nothing is let in before it counts. */
    if (has_limit(balancer))
        r = balancer_limits_launch(balancer->module->limits, err);
    if (r == 0)
        r = replace_file(balancer, text, err);
    if (r == 0)
        r = write_states(balancer, &servers, err);
    if (r == 0 && has_limit(balancer))
        r = balancer_limits_await(balancer->module->limits, deadline, err);
    if (r == 0)
        r = bring_about(balancer, structure, &servers, err);
    if (r == 0)
        r = process_wait_ready(balancer->process, deadline, err);
    if (r == 0)
        remember(balancer, &structure, &text, &servers);
    if (r == 0)
        note_served(balancer);
    return r;
}

/* Where servers are told something: a copy, since balancers may come and go meanwhile. */
struct visit {
    char **sockets; /* owned */
    struct balancer_servers *servers;
    size_t n_items;
};

static struct visit visit_of(const struct balancers *module)
{
    struct visit visit = {NEW_ARRAY(char *, module->n_items),
                          NEW_ARRAY(struct balancer_servers, module->n_items), 0};
    for (size_t i = 0; i < module->n_items; i++) {
        const struct balancer *balancer = module->items[i];
        if (!balancer->process)
            continue;
        visit.sockets[visit.n_items] = string_copy(balancer->socket);
        visit.servers[visit.n_items++] = balancer_servers_copy(&balancer->servers);
    }
    return visit;
}

static void visit_done(struct visit *visit)
{
    for (size_t i = 0; i < visit->n_items; i++) {
        mem_free(visit->sockets[i]);
        balancer_servers_done(&visit->servers[i]);
    }
    mem_free(visit->sockets);
    mem_free(visit->servers);
}

static CO_FN void visit_servers(struct twin *twin, const char *host, uint16_t port,
                                CO_FN void (*tell)(struct balancer_control *,
                                                   const struct balancer_servers *, const char *,
                                                   uint16_t))
{
    struct visit visit = visit_of(twin->balancers);
    for (size_t i = 0; i < visit.n_items; i++) {
        struct balancer_control control = {.loop = twin->loop, .socket = visit.sockets[i]};
        tell(&control, &visit.servers[i], host, port);
        balancer_statistics_done(&control.statistics);
    }
    visit_done(&visit);
}

CO_FN void balancer_drain(struct twin *twin, const char *host, uint16_t port)
{
    visit_servers(twin, host, port, balancer_servers_drain);
}

CO_FN void balancer_resume(struct twin *twin, const char *host, uint16_t port)
{
    visit_servers(twin, host, port, balancer_servers_resume);
}

static CO_FN void remove_balancer(struct balancers *module, size_t index)
{
    struct balancer *balancer = module->items[index];
    process_stop(balancer->process);
    service_remove_folder(balancer->config_folder);
    service_remove_folder(balancer->socket_folder);
    balancer_free(balancer);
    module->items[index] = module->items[--module->n_items];
}

static bool is_wanted(const struct machine *machine, const char *host)
{
    for (size_t i = 0; i < machine->n_balancers; i++)
        if (text_equal(machine->balancers[i]->host->name, host))
            return true;
    return false;
}

/* Makes the list of balancers that of the machine; none of the new ones runs yet. */
static CO_FN void adjust_list(struct balancers *module, struct problems *problems)
{
    for (size_t i = module->n_items; i > 0; i--)
        if (!is_wanted(module->machine, module->items[i - 1]->host))
            remove_balancer(module, i - 1);
    for (size_t i = 0; i < module->machine->n_balancers; i++) {
        const struct machine_balancer *wanted = module->machine->balancers[i];
        struct balancer *balancer = find_balancer(module, wanted->host->name);
        if (!balancer) {
            balancer = balancer_new(module, wanted->host->name);
            ARRAY_RESERVE(module->items, module->n_items, module->capacity);
            module->items[module->n_items++] = balancer;
        }
        set_wanted(balancer, wanted, problems);
    }
}

static void blame(const struct machine_balancer *balancer, const struct error *why,
                  struct problems *problems)
{
    for (size_t i = 0; i < balancer->n_frontends; i++) {
        struct error err = {0};
        error_set(&err, why->code, "%s", error_message(why));
        problems_add(problems, balancer->frontends[i]->resource, &err);
    }
}

struct convergence {
    struct balancers *module;
    struct problems *problems;
};

static CO_FN void converge_one(void *argument, size_t index)
{
    struct convergence *convergence = argument;
    const struct machine_balancer *wanted = convergence->module->machine->balancers[index];
    CLEANUP(error_done) struct error err = {0};
    struct balancer *balancer = find_balancer(convergence->module, wanted->host->name);
    if (converge_balancer(balancer, &err) < 0)
        blame(wanted, &err, convergence->problems);
    else
        await_servers(balancer);
}

static CO_FN void converge_balancers(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct balancers *module = argument;
    CLEANUP(error_done) struct error err = {0};
    struct machine *before = module->machine;
    int r = 0;
    if (wanted->n_balancers > 0 && !module->program)
        r = service_find_program("haproxy", "haproxy", &module->program, &err);
    if (r < 0) {
        for (size_t i = 0; i < wanted->n_balancers; i++)
            blame(wanted->balancers[i], &err, problems);
        return;
    }
    twin_wait_for(module->twin, MODULE_CERTIFICATE, wanted->generation);
    module->machine = machine_ref(wanted);
    adjust_list(module, problems);
    machine_unref(before);
    struct convergence convergence = {module, problems};
    service_in_parallel(module->twin->loop, wanted->n_balancers, converge_one, &convergence);
    /* A worker that was replaced may ask it for as long as it has connections. */
    if (wanted->n_balancers == 0)
        balancer_limits_stop(module->limits);
}

/* --- What is so --- */

static const char *state_of_process(const struct balancer *balancer)
{
    enum process_state state = balancer->process ? process_state(balancer->process) : PROCESS_ENDED;
    return state == PROCESS_READY ? "ready" : state == PROCESS_STARTING ? "starting" : "failed";
}

static void report_frontend(const struct balancer *balancer, size_t index,
                            struct value_builder *status, struct value_builder *outputs)
{
    const struct machine_frontend *frontend = balancer->config.frontends[index];
    const char *address = balancer->config.host->address;
    CLEANUP(mem_freep) char *name = balancer_frontend_name(&balancer->config, index);
    const struct balancer_line *line =
        balancer_find_line(&balancer->control.statistics, name, "FRONTEND");
    bool is_kept = frontend->limit.count == 0 || balancer_limits_are_kept(balancer->module->limits);
    value_builder_set_string(status, "state", is_kept ? state_of_process(balancer) : "starting");
    service_report_restarts(status, process_restarts(balancer->process));
    if (line) {
        value_builder_set(status, "requests", value_integer(line->requests));
        value_builder_set(status, "denied", value_integer(line->denied));
        value_builder_set(status, "errors", value_integer(line->errors));
    }
    bool has_certificate = frontend->certificate != NULL;
    bool is_usual = frontend->port == (has_certificate ? 443 : 80);
    CLEANUP(mem_freep) char *port = string_format(":%u", frontend->port);
    CLEANUP(mem_freep)
    char *url = string_format("%s://%s%s", has_certificate ? "https" : "http",
                              has_certificate ? frontend->certificate->domains[0] : address,
                              is_usual ? "" : port);
    value_builder_set_string(outputs, "address", address);
    value_builder_set(outputs, "port", value_integer(frontend->port));
    value_builder_set_string(outputs, "url", url);
}

static void report_server(const struct balancer_line *line, const struct machine_host *host,
                          struct value_builder *servers)
{
    struct value_builder server = {0};
    value_builder_set_string(&server, "name", host->name);
    value_builder_set_string(&server, "address", host->address);
    value_builder_set_string(&server, "status", line ? line->status : "unknown");
    value_builder_set(&server, "sessions", value_integer(line ? line->sessions : 0));
    value_builder_set(&server, "requests", value_integer(line ? line->total_sessions : 0));
    value_builder_append(servers, value_builder_map(&server));
}

static void report_backend(const struct balancer *balancer, const struct machine_backend *backend,
                           struct value_builder *status)
{
    CLEANUP(mem_freep) char *name = balancer_backend_name(&balancer->config, backend);
    struct value_builder servers = {0};
    size_t n_up = 0;
    for (size_t i = 0; i < backend->n_servers; i++) {
        const struct balancer_line *line =
            balancer_find_line(&balancer->control.statistics, name, backend->servers[i]->name);
        n_up += line && balancer_line_is_up(line) && balancer_line_is_checked(line);
        report_server(line, backend->servers[i], &servers);
    }
    const char *state = state_of_process(balancer);
    if (text_equal(state, "ready") && n_up < backend->n_servers)
        state = n_up > 0 ? "degraded" : "failed";
    value_builder_set_string(status, "state", state);
    value_builder_set(status, "up", value_integer((int64_t)n_up));
    value_builder_set(status, "servers", value_builder_list(&servers));
}

static void report_balancer(void *argument, const char *resource, struct value_builder *status,
                            struct value_builder *outputs)
{
    const struct balancers *module = argument;
    for (size_t i = 0; i < module->n_items; i++) {
        const struct balancer *balancer = module->items[i];
        for (size_t k = 0; k < balancer->config.n_frontends; k++) {
            const struct machine_frontend *frontend = balancer->config.frontends[k];
            if (text_equal(frontend->resource, resource)) {
                report_frontend(balancer, k, status, outputs);
                return;
            }
            if (text_equal(frontend->backend->resource, resource)) {
                report_backend(balancer, frontend->backend, status);
                return;
            }
        }
    }
}

/* --- The module --- */

static int open_balancers(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *socket_folder = NULL;
    CLEANUP(mem_freep) char *certificate_folder = NULL;
    int r = service_open_folder(twin, "balancer-config", &config_folder, err);
    if (r == 0)
        r = twin_folder(twin, "balancer", PROCESS_NOBODY, &socket_folder, err);
    if (r == 0)
        r = service_open_folder(twin, "certificates", &certificate_folder, err);
    if (r < 0)
        return r;
    struct balancer_limits *limits;
    r = balancer_limits_new(twin, config_folder, &limits, err);
    if (r < 0)
        return r;
    struct balancers *module = NEW(struct balancers);
    module->twin = twin;
    module->limits = limits;
    module->config_folder = take_ptr(config_folder);
    module->socket_folder = take_ptr(socket_folder);
    module->certificate_folder = take_ptr(certificate_folder);
    twin->balancers = module;
    *ret_module = module;
    return 0;
}

static CO_FN void stop_one(void *argument, size_t index)
{
    struct balancers *module = argument;
    process_stop(module->items[index]->process);
    module->items[index]->process = NULL;
}

static CO_FN void close_balancers(void *argument)
{
    struct balancers *module = argument;
    service_in_parallel(module->twin->loop, module->n_items, stop_one, module);
    while (module->n_items > 0)
        remove_balancer(module, module->n_items - 1);
    balancer_limits_free(module->limits);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module->program);
    mem_free(module->config_folder);
    mem_free(module->socket_folder);
    mem_free(module->certificate_folder);
    mem_free(module);
}

const struct module_ops balancer_module = {
    .name = "balancer",
    .open = open_balancers,
    .converge = converge_balancers,
    .report = report_balancer,
    .close = close_balancers,
};
