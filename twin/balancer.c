/*
 * The module of balancers: one HAProxy for each host that the machine makes a balancer. What can be
 * changed while it runs (servers, limits, paths of health checks, certificates) goes through its
 * socket, with its files kept equal; all else is a reload, which loses no connection.
 */
#include "twin/balancer.h"

#include "twin/balancer-private.h"
#include "twin/certificate.h"

#include "base/text.h"
#include "base/world.h"

#include <string.h>
#include <sys/resource.h>

enum { START_TIME = 5 * 1000 * 1000 }; /* microseconds */

/* --- Life of a balancer --- */

static void clear_wanted(struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->config.n_frontends; i++) {
        mem_free(balancer->certificate_files[i]);
        mem_free(balancer->certificate_bundles[i]);
    }
    mem_free(balancer->certificate_files);
    mem_free(balancer->certificate_bundles);
    mem_free(balancer->frontends);
    mem_free(balancer->kept);
    balancer->kept = NULL;
    balancer->certificate_files = NULL;
    balancer->certificate_bundles = NULL;
    balancer->frontends = NULL;
    balancer->config = (struct balancer_config){0};
}

static void plan_done(struct balancer_plan *plan)
{
    mem_free(plan->structure);
    mem_free(plan->text);
    mem_free(plan->values);
    balancer_certificates_done(&plan->certificates);
    balancer_servers_done(&plan->servers);
    *plan = (struct balancer_plan){0};
}

static void balancer_free(struct balancer *balancer)
{
    clear_wanted(balancer);
    balancer_forget_served(balancer);
    plan_done(&balancer->runs);
    balancer_statistics_done(&balancer->control.statistics);
    mem_free(balancer->host);
    mem_free(balancer->config_folder);
    mem_free(balancer->socket_folder);
    mem_free(balancer->config_file);
    mem_free(balancer->draft_file);
    mem_free(balancer->values_file);
    mem_free(balancer->state_file);
    mem_free(balancer->socket);
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
    balancer->values_file = string_format("%s/values", balancer->config_folder);
    balancer->state_file = string_format("%s/servers", balancer->config_folder);
    balancer->socket_folder = string_format("%s/%s", module->socket_folder, file);
    balancer->socket = string_format("%s/admin", balancer->socket_folder);
    balancer->control.loop = module->twin->loop;
    balancer->control.socket = balancer->socket;
    balancer->control.holds = &module->holds;
    return balancer;
}

static struct balancer *find_balancer(struct balancers *module, const char *host)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->host, host))
            return module->items[i];
    return NULL;
}

/* --- What is wanted --- */

static int find_certificate(const struct balancer *balancer,
                            const struct machine_frontend *frontend, char **ret_file,
                            char **ret_bundle, struct error *err)
{
    CLEANUP(mem_freep) char *bundle = NULL;
    CLEANUP(mem_freep) char *name = service_file_name(frontend->resource);
    if (!frontend->certificate)
        return 0;
    int r = certificate_bundle_file(balancer->module->twin, frontend->certificate, &bundle, err);
    if (r < 0)
        return r;
    if (!world_file_exists(bundle))
        return error_set(err, ERROR_UNAVAILABLE, "frontend %s: its certificate %s is not there",
                         frontend->name, frontend->certificate->name);
    *ret_file = string_format("%s/%s.pem", balancer->config_folder, name);
    *ret_bundle = take_ptr(bundle);
    return 0;
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
    balancer->certificate_files = NEW_ARRAY(char *, wanted->n_frontends);
    balancer->certificate_bundles = NEW_ARRAY(char *, wanted->n_frontends);
    for (size_t i = 0; i < wanted->n_frontends; i++) {
        const struct machine_frontend *frontend = wanted->frontends[i];
        struct error err = {0};
        int r = balancer_check_frontend(frontend, &err);
        if (r == 0)
            r = find_certificate(balancer, frontend, &balancer->certificate_files[n],
                                 &balancer->certificate_bundles[n], &err);
        if (r < 0)
            problems_add(problems, frontend->resource, &err);
        else
            balancer->frontends[n++] = frontend;
    }
    balancer_keep(balancer, n);
    balancer->config = (struct balancer_config){
        .host = wanted->host,
        .frontends = balancer->frontends,
        .kept = balancer->kept,
        .certificate_files = (const char *const *)balancer->certificate_files,
        .certificate_bundles = (const char *const *)balancer->certificate_bundles,
        .n_frontends = n,
        .socket = balancer->socket,
        .state_file = balancer->state_file,
        .values_file = balancer->values_file,
        .limits_file = balancer_limits_file(balancer->module->limits),
        .limiter_socket = balancer_limits_socket(balancer->module->limits),
        .max_connections = balancer_max_connections(descriptors.rlim_max),
    };
}

/* --- Converging --- */

static struct balancer_plan make_plan(const struct balancer *balancer)
{
    struct strbuf structure = {0}, text = {0}, values = {0};
    balancer_write_config(&structure, &balancer->config, false);
    balancer_write_config(&text, &balancer->config, true);
    balancer_write_values(&values, &balancer->config);
    return (struct balancer_plan){
        .structure = strbuf_take(&structure),
        .text = strbuf_take(&text),
        .values = strbuf_take(&values),
        .certificates = balancer_certificates_of(&balancer->config),
        .servers = balancer_servers_of(&balancer->config),
    };
}

static bool is_same_plan(const struct balancer_plan *a, const struct balancer_plan *b)
{
    return text_equal_or_null(a->text, b->text) && text_equal_or_null(a->values, b->values) &&
           balancer_certificates_are_same(&a->certificates, &b->certificates);
}

/* New servers are asked at the new path, and whoever comes meets the new certificate. */
static CO_FN int change_live(struct balancer *balancer, const struct balancer_plan *wanted)
{
    struct balancer_control *control = &balancer->control;
    const struct balancer_plan *runs = &balancer->runs;
    if (!text_equal_or_null(runs->structure, wanted->structure) ||
        process_state(balancer->process) != PROCESS_READY)
        return -ERROR_UNSUPPORTED;
    int r = balancer_change_certificates(control, &runs->certificates, &wanted->certificates, NULL);
    if (r == 0)
        r = balancer_change_values(control, balancer->values_file, runs->values, wanted->values,
                                   NULL);
    return r < 0 ? r : balancer_servers_change(control, &runs->servers, &wanted->servers, NULL);
}

/* What cannot be told is read from the files, by a reload. */
static CO_FN int bring_about(struct balancer *balancer, const struct balancer_plan *wanted,
                             struct error *err)
{
    if (!balancer->process)
        return balancer_start(balancer, err);
    if (change_live(balancer, wanted) == 0)
        return 0;
    int r = balancer_reload(balancer, err);
    if (r == 0)
        balancer_await_checks(balancer);
    return r;
}

/* Whether all that differs is who the servers are and where. */
static bool differs_by_servers(const struct balancer *balancer, const struct balancer_plan *wanted)
{
    const struct balancer_plan *runs = &balancer->runs;
    return process_state(balancer->process) == PROCESS_READY &&
           text_equal_or_null(runs->structure, wanted->structure) &&
           text_equal_or_null(runs->values, wanted->values) &&
           balancer_certificates_are_same(&runs->certificates, &wanted->certificates);
}

/*
 * The HAProxy that runs takes each new server with the words that its file has for it, or refuses
 * it: another one, to check the file, would say nothing more. False when it refused, or cannot be
 * asked.
 */
static CO_FN bool change_servers(struct balancer *balancer, const struct balancer_plan *wanted)
{
    return differs_by_servers(balancer, wanted) &&
           balancer_write_states(balancer, &wanted->servers, NULL) == 0 &&
           balancer_put_file(balancer, wanted, NULL) == 0 && change_live(balancer, wanted) == 0;
}

static bool has_limit(const struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->config.n_frontends; i++)
        if (balancer->config.frontends[i]->limit.count > 0)
            return true;
    return false;
}

/* The files first, and then what runs. */
static CO_FN int change_all(struct balancer *balancer, const struct balancer_plan *wanted,
                            int64_t deadline, struct error *err)
{
    int r = 0;
    /* It begins while the file is checked; nothing is let in before it counts. */
    if (has_limit(balancer))
        r = balancer_limits_launch(balancer->module->limits, err);
    if (r == 0)
        r = balancer_replace_files(balancer, wanted, err);
    if (r == 0)
        r = balancer_write_states(balancer, &wanted->servers, err);
    if (r == 0 && has_limit(balancer))
        r = balancer_limits_await(balancer->module->limits, deadline, err);
    return r < 0 ? r : bring_about(balancer, wanted, err);
}

static CO_FN int converge_balancer(struct balancer *balancer, struct error *err)
{
    CLEANUP(plan_done) struct balancer_plan wanted = make_plan(balancer);
    int64_t deadline = world_monotonic_clock() + START_TIME;
    if (balancer->process && is_same_plan(&balancer->runs, &wanted))
        return balancer_await_ready(balancer, deadline, err);
    int r = 0;
    if (!balancer->process || !change_servers(balancer, &wanted))
        r = change_all(balancer, &wanted, deadline, err);
    if (r == 0)
        r = balancer_await_ready(balancer, deadline, err);
    if (r < 0)
        return r;
    balancer_certificates_remove(&balancer->runs.certificates, &wanted.certificates);
    plan_done(&balancer->runs);
    balancer->runs = wanted;
    wanted = (struct balancer_plan){0};
    balancer_note_served(balancer);
    return 0;
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
        balancer_await_servers(balancer);
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
    balancer_forget_drained(module);
    struct convergence convergence = {module, problems};
    service_in_parallel(module->twin->loop, wanted->n_balancers, converge_one, &convergence);
    /* A worker that was replaced may ask it for as long as it has connections. */
    if (wanted->n_balancers == 0)
        balancer_limits_stop(module->limits);
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
    balancer_load_drained(module);
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
    balancer_holds_done(&module->holds);
    string_list_done(&module->drained);
    string_list_done(&module->draining);
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
    .report = balancer_report,
    .act = balancer_act,
    .close = close_balancers,
};
