/* One instance of a service: what it is started with, and how it is known to be ready. */
#include "twin/workload-private.h"

#include "twin/cgroup.h"
#include "twin/database.h"
#include "twin/sandbox.h"
#include "twin/service.h"
#include "twin/workload-environment.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <string.h>

enum { PROBE_TIME = 3 * 1000 * 1000 /* microseconds */ };

/* --- What it is started with --- */

void workload_command_done(struct workload_command *command)
{
    mem_free(command->listen);
    mem_free(command->upstream);
    mem_free(command->database);
    value_unref(command->environment);
    mem_free(command->access);
}

static void add_argument(struct workload_command *command, const char *option, const char *value)
{
    command->arguments[command->n_arguments++] = option;
    if (value)
        command->arguments[command->n_arguments++] = value;
}

int workload_command_make(struct twin *twin, const struct machine_workload *workload,
                          const struct machine_host *host, struct workload_command *command,
                          struct error *err)
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

char *workload_command_text(const struct machine_workload *workload,
                            const struct workload_command *command)
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

/* --- Its life --- */

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

static CO_FN void stop(struct instance *instance)
{
    workload_check_no_more(instance);
    process_stop(instance->process);
}

void workload_end(struct instance *take_instance)
{
    stop(take_instance);
    instance_free(take_instance);
}

void workload_drop(struct workloads *module, struct instance *instance)
{
    stop(instance);
    size_t i = 0;
    while (module->items[i] != instance)
        i++;
    module->items[i] = module->items[--module->n_items];
    instance_free(instance);
}

int workload_start(struct workloads *module, const struct machine_workload *workload,
                   const struct machine_host *host, const struct workload_command *wanted,
                   const char *before, struct error *err)
{
    struct instance *instance = instance_new(module->twin, workload, host);
    struct workload_command command = *wanted; /* borrowed */
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
    instance->command = workload_command_text(workload, wanted);
    instance->upstream = command.upstream ? string_copy(command.upstream) : NULL;
    ARRAY_RESERVE(module->items, module->n_items, module->capacity);
    module->items[module->n_items++] = instance;
    workload_check(instance, workload);
    return 0;
}
