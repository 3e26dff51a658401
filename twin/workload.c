/*
 * The module of workloads: each service of a stack runs on each of its hosts. The image cannot be
 * had here, so the built-in workload (workload-program.c) stands in for it, and status says so.
 */
#include "twin/balancer.h"
#include "twin/cgroup.h"
#include "twin/database.h"
#include "twin/sandbox.h"
#include "twin/service.h"
#include "twin/workload-environment.h"
#include "twin/workload-private.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <stdio.h>
#include <string.h>

enum {
    READY_TIME = 10 * 1000 * 1000, /* microseconds */
    HEALTHY_TIME = 60 * 1000 * 1000,
    PROBE_TIME = 3 * 1000 * 1000,
    ARGUMENTS_LIMIT = 24
};

/* The arguments of one instance, and what they point to. */
struct command {
    const char *arguments[ARGUMENTS_LIMIT];
    size_t n_arguments;
    char *listen, *upstream, *database; /* owned */
    struct value *environment;          /* owned map */
    char *access;                       /* owned; the folder of database, or NULL */
};

static void command_done(struct command *command)
{
    mem_free(command->listen);
    mem_free(command->upstream);
    mem_free(command->database);
    value_unref(command->environment);
    mem_free(command->access);
}

static void add_argument(struct command *command, const char *option, const char *value)
{
    command->arguments[command->n_arguments++] = option;
    if (value)
        command->arguments[command->n_arguments++] = value;
}

static int make_command(struct twin *twin, const struct machine_workload *workload,
                        const struct machine_host *host, struct command *command, struct error *err)
{
    add_argument(command, twin->program, "workload");
    command->listen = string_format("%s:%u", host->address, workload->port);
    add_argument(command, "--listen", command->listen);
    add_argument(command, "--name", host->name);
    add_argument(command, "--tier", workload->name);
    if (*workload->image)
        add_argument(command, "--image", workload->image);
    if (workload->health_check)
        add_argument(command, "--health", workload->health_check);
    if (workload->upstream) {
        command->upstream =
            string_format("%s:%u", workload->upstream_host->address, workload->upstream->port);
        add_argument(command, "--upstream", command->upstream);
    }
    if (workload->database) {
        int r = database_access_file(twin, workload->database, &command->database, err);
        if (r < 0)
            return r;
        add_argument(command, "--database", command->database);
        command->access = string_copy_n(
            command->database, (size_t)(strrchr(command->database, '/') - command->database));
    }
    command->environment = workload_environment(workload);
    if (workload->n_variables > 0)
        add_argument(command, "--environment", NULL);
    return 0;
}

static char *command_text(const struct machine_workload *workload, const struct command *command)
{
    struct strbuf text = {0};
    /* Only what it was started in can be changed later. */
    if (cgroup_is_needed(&workload->quota))
        strbuf_add(&text, "limited\n");
    if (workload->built)
        strbuf_addf(&text, "image %s\n", workload->built->id);
    for (size_t i = 0; i < command->n_arguments; i++)
        strbuf_addf(&text, "%s\n", command->arguments[i]);
    workload_mounts_describe(workload, &text);
    json_write(&text, command->environment);
    return strbuf_take(&text);
}

/* --- Instances --- */

static void instance_free(struct instance *instance)
{
    mem_free(instance->name);
    mem_free(instance->resource);
    mem_free(instance->command);
    mem_free((char *)(uintptr_t)instance->host.name);
    mem_free((char *)(uintptr_t)instance->host.address);
    mem_free(instance->upstream);
    mem_free(instance->probed);
    mem_free(instance->health_check);
    mem_free(instance->check);
    workload_mounts_free(instance->mounts);
    value_unref(instance->environment);
    image_run_free(instance->image);
    mem_free(instance);
}

static struct instance *instance_new(struct twin *twin, const struct machine_workload *workload,
                                     const struct machine_host *host)
{
    struct instance *instance = NEW(struct instance);
    instance->twin = twin;
    instance->name = string_format("%s.%s", host->name, workload->name);
    instance->resource = string_copy(workload->resource);
    instance->host = (struct machine_host){.name = string_copy(host->name),
                                           .address = string_copy(host->address),
                                           .ip = host->ip,
                                           .role = host->role};
    instance->port = workload->port;
    instance->probed = string_copy(workload->health_check ? workload->health_check : "/metrics");
    instance->health_check = workload->health_check ? string_copy(workload->health_check) : NULL;
    return instance;
}

/* An image promises no more than its port, unless the document names a path. */
static CO_FN int probe_port(void *argument, struct error *err)
{
    const struct instance *instance = argument;
    return service_connect(instance->twin, &instance->host, instance->port,
                           world_monotonic_clock() + PROBE_TIME, err);
}

/* A health path may answer with what it likes, as long as it is no failure. */
static CO_FN int probe(void *argument, struct error *err)
{
    struct instance *instance = argument;
    struct http_exchange exchange = {.method = "GET",
                                     .target = instance->probed,
                                     .host = instance->host.address,
                                     .limit = HTTP_BODY_LIMIT};
    int r = service_ask(instance->twin, &instance->host, instance->port, &exchange,
                        world_monotonic_clock() + PROBE_TIME, err);
    if (r == 0 && exchange.code >= 400)
        r = error_set(err, ERROR_UNAVAILABLE, "%s answers %d: %.*s", instance->probed,
                      exchange.code, (int)strcspn(strbuf_text(&exchange.answer), "\n"),
                      strbuf_text(&exchange.answer));
    http_exchange_done(&exchange);
    return r;
}

static int make_input(void *argument, int *ret_descriptor, struct error *err)
{
    const struct instance *instance = argument;
    CLEANUP(mem_freep) char *folder = string_format("%s/given", instance->twin->folder);
    return workload_environment_write(instance->environment, folder, instance->resource,
                                      ret_descriptor, err);
}

static int add_variables(void *argument, struct strbuf *lines, struct error *err)
{
    const struct instance *instance = argument;
    CLEANUP(mem_freep) char *folder = string_format("%s/given", instance->twin->folder);
    return workload_environment_add(instance->environment, folder, instance->resource, lines, err);
}

/* What is run is the image's own affair; that it stays in its cage is not. */
static int use_image(struct instance *instance, const struct machine_image *image,
                     struct process_spec *spec, struct error *err)
{
    struct image_nobody nobody;
    sandbox_nobody(&nobody.user, &nobody.group);
    int r = image_run_make(instance->twin->folder, image, nobody, &instance->image, err);
    if (r < 0)
        return r;
    spec->image = instance->image;
    spec->arguments = (const char *const *)instance->image->arguments;
    spec->environment = (const char *const *)instance->image->environment;
    spec->folder = instance->image->folder;
    spec->add_variables = add_variables;
    spec->make_input = NULL;
    if (!instance->health_check)
        spec->probe = instance->port ? probe_port : NULL;
    return 0;
}

static struct instance *find_instance(const struct workloads *module, const char *resource,
                                      const char *name)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource) &&
            text_equal(module->items[i]->name, name) && !module->items[i]->is_former)
            return module->items[i];
    return NULL;
}

struct instance *workload_instance(const struct workloads *module,
                                   const struct machine_workload *workload,
                                   const struct machine_host *host)
{
    CLEANUP(mem_freep) char *name = string_format("%s.%s", host->name, workload->name);
    return find_instance(module, workload->resource, name);
}

static CO_FN void drop_instance(struct workloads *module, struct instance *instance)
{
    workload_check_no_more(instance);
    process_stop(instance->process);
    size_t i = 0;
    while (module->items[i] != instance)
        i++;
    module->items[i] = module->items[--module->n_items];
    instance_free(instance);
}

/* before: the path of health checks that it answers, too, since balancers may ask for it still; or
 * NULL. */
static CO_FN int start_instance(struct workloads *module, const struct machine_workload *workload,
                                const struct machine_host *host, const struct command *wanted,
                                const char *before, struct error *err)
{
    struct instance *instance = instance_new(module->twin, workload, host);
    struct command command = *wanted; /* borrowed */
    if (before)
        add_argument(&command, "--health", before);
    const char *const access[] = {command.access, NULL};
    struct process_spec spec = {.name = instance->name,
                                .host = host->name,
                                .files.read = access,
                                .arguments = command.arguments,
                                .user = PROCESS_NOBODY,
                                .quota = workload->quota,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = instance};
    instance->environment = value_ref(command.environment);
    if (value_count(command.environment) > 0)
        spec.make_input = make_input;
    int r = workload_mounts_make(workload, &instance->mounts, err);
    if (r == 0) {
        spec.files.mounts = instance->mounts->items;
        spec.files.n_mounts = instance->mounts->n_items;
    }
    if (r == 0 && workload->built)
        r = use_image(instance, workload->built, &spec, err);
    if (r == 0)
        r = process_start(module->twin->processes, &spec, &instance->process, err);
    if (r < 0) {
        instance_free(instance);
        return r;
    }
    instance->command = command_text(workload, wanted);
    instance->upstream = command.upstream ? string_copy(command.upstream) : NULL;
    ARRAY_RESERVE(module->items, module->n_items, module->capacity);
    module->items[module->n_items++] = instance;
    workload_check(instance, workload);
    return 0;
}

/* --- Converging --- */

bool workload_is_run(const struct machine_workload *workload)
{
    return workload->port != 0 || workload->built;
}

/* Whether a port of a host is free for one that is still asked there. */
static bool is_wanted_at(const struct machine *machine, const struct instance *instance)
{
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; workload->port == instance->port && k < workload->n_hosts; k++)
            if (text_equal(workload->hosts[k]->name, instance->host.name))
                return true;
    }
    return false;
}

static struct workload_patience patience_from_now(void)
{
    int64_t now = world_monotonic_clock();
    return (struct workload_patience){
        .ready_by = now + READY_TIME, .healthy_by = now + HEALTHY_TIME, .is_strict = true};
}

static CO_FN int await_healthy(struct instance *instance, struct error *err)
{
    struct workload_patience patience = patience_from_now();
    return workload_await(instance, &patience, err);
}

static CO_FN int await_needs(struct workloads *module, const struct machine_workload *workload,
                             struct error *err)
{
    struct workload_patience patience = patience_from_now();
    return workload_await_needs(module, workload, &patience, err);
}

/* Starts one in place of another, of which no request is lost if others serve meanwhile. */
static CO_FN int replace_instance(struct workloads *module, const struct machine_workload *workload,
                                  const struct machine_host *host, const struct command *command,
                                  struct error *err)
{
    struct twin *twin = module->twin;
    struct instance *old = workload_instance(module, workload, host);
    CLEANUP(mem_freep) char *before = NULL;
    uint16_t port = old->port;
    if (!text_equal_or_null(old->upstream, command->upstream) || twin_keeps(twin))
        twin_wait_for(twin, MODULE_BALANCER, module->machine->generation);
    if (old->health_check && !text_equal_or_null(old->health_check, workload->health_check))
        before = string_copy(old->health_check);
    balancer_drain(twin, host->name, port);
    drop_instance(module, old);
    int r = start_instance(module, workload, host, command, before, err);
    if (r == 0)
        r = await_healthy(workload_instance(module, workload, host), err);
    balancer_resume(twin, host->name, port);
    if (port != workload->port)
        balancer_resume(twin, host->name, workload->port);
    return r;
}

static CO_FN int ensure_instance(struct workloads *module, const struct machine_workload *workload,
                                 const struct machine_host *host, bool is_replacing,
                                 struct error *err)
{
    CLEANUP(command_done) struct command command = {0};
    int r = make_command(module->twin, workload, host, &command, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *text = command_text(workload, &command);
    struct instance *instance = workload_instance(module, workload, host);
    bool is_same = instance && text_equal(instance->command, text);
    if (is_same)
        workload_check(instance, workload);
    if (is_same)
        return cgroup_is_needed(&workload->quota)
                   ? process_limit(instance->process, &workload->quota, err)
                   : 0;
    if (instance && instance->port != workload->port && !is_wanted_at(module->machine, instance) &&
        twin_keeps(module->twin)) {
        instance->is_former = true;
        instance = NULL;
    }
    if (!instance)
        r = await_needs(module, workload, err);
    if (!instance)
        return r < 0 ? r : start_instance(module, workload, host, &command, NULL, err);
    return is_replacing ? replace_instance(module, workload, host, &command, err) : 0;
}

static void blame(const struct machine_workload *workload, struct problems *problems,
                  struct error *err)
{
    error_wrap(err, -(int)err->code, "service %s", workload->name);
    problems_add(problems, workload->resource, err);
}

/*
 * First what is not there, then, one by one, what runs with other arguments: after the one before
 * it is ready again, so that a change never takes all instances away at once.
 */
static CO_FN void start_all(struct workloads *module, bool is_replacing, struct problems *problems)
{
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; workload_is_run(workload) && k < workload->n_hosts; k++) {
            struct error err = {0};
            if (ensure_instance(module, workload, workload->hosts[k], is_replacing, &err) < 0)
                blame(workload, problems, &err);
        }
    }
}

static CO_FN void await_all(struct workloads *module, struct problems *problems)
{
    int64_t deadline = world_monotonic_clock() + READY_TIME;
    /* A check that takes longer to tell goes on; status says that it starts. */
    struct workload_patience patience = {.ready_by = deadline, .healthy_by = deadline};
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; k < workload->n_hosts; k++) {
            struct error err = {0};
            struct instance *instance = workload_instance(module, workload, workload->hosts[k]);
            if (instance && workload_await(instance, &patience, &err) < 0)
                blame(workload, problems, &err);
        }
    }
}

static bool is_wanted(const struct workloads *module, const struct instance *instance)
{
    if (instance->is_former)
        return twin_keeps(module->twin);
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; workload_is_run(workload) && k < workload->n_hosts; k++)
            if (workload_instance(module, workload, workload->hosts[k]) == instance)
                return true;
    }
    return false;
}

/* Instances on their way out; they are in the module's list no more. */
struct leaving {
    struct instance **items;
    size_t n_items;
};

static CO_FN void let_go(void *argument, size_t index)
{
    struct leaving *leaving = argument;
    workload_check_no_more(leaving->items[index]);
    process_stop(leaving->items[index]->process);
    instance_free(leaving->items[index]);
}

/* Takes them out of the list, all or only those that the machine does not want, and stops them. */
static CO_FN void stop_instances(struct workloads *module, bool all)
{
    struct leaving leaving = {NEW_ARRAY(struct instance *, module->n_items), 0};
    for (size_t i = module->n_items; i > 0; i--) {
        if (!all && is_wanted(module, module->items[i - 1]))
            continue;
        leaving.items[leaving.n_items++] = module->items[i - 1];
        module->items[i - 1] = module->items[--module->n_items];
    }
    service_in_parallel(module->twin->loop, leaving.n_items, let_go, &leaving);
    mem_free(leaving.items);
}

static bool has_unwanted(const struct workloads *module)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (!is_wanted(module, module->items[i]))
            return true;
    return false;
}

/* The balancer lets go of an instance before it ends, so that no request is lost. */
static CO_FN void stop_unwanted(struct workloads *module)
{
    if (!has_unwanted(module))
        return;
    twin_wait_for(module->twin, MODULE_BALANCER, module->machine->generation);
    stop_instances(module, false);
}

static bool has_leases(const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_networks; i++)
        if (machine->networks[i]->dhcp.lease_s > 0)
            return true;
    return false;
}

static CO_FN void converge_workloads(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct workloads *module = argument;
    machine_unref(module->machine);
    module->machine = machine_ref(wanted);
    if (has_leases(wanted))
        twin_wait_for(module->twin, MODULE_DHCP, wanted->generation);
    start_all(module, false, problems);
    start_all(module, true, problems);
    await_all(module, problems);
    stop_unwanted(module);
    workload_volumes_prune(module->twin);
}

/* --- The module --- */

static int open_workloads(struct twin *twin, void **ret_module, struct error *err)
{
    struct workloads *module = NEW(struct workloads);
    (void)err;
    module->twin = twin;
    *ret_module = module;
    return 0;
}

static CO_FN void close_workloads(void *argument)
{
    struct workloads *module = argument;
    stop_instances(module, true);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module);
}

const struct module_ops workload_module = {
    .name = "workload",
    .open = open_workloads,
    .converge = converge_workloads,
    .report = workload_report,
    .close = close_workloads,
};
