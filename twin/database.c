/*
 * The module of databases: for each cluster of the machine a PostgreSQL primary and the replicas
 * that stream from it. Which host is the primary is operational state, kept in the state folder.
 */
#include "twin/database.h"

#include "twin/database-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/database-template.h"
#include "twin/service.h"

static const struct machine_database *find_wanted(const struct machine *machine,
                                                  const char *resource)
{
    for (size_t i = 0; i < machine->n_databases; i++)
        if (text_equal(machine->databases[i]->resource, resource))
            return machine->databases[i];
    return NULL;
}

struct cluster *database_find_cluster(const struct databases *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource))
            return module->items[i];
    return NULL;
}

static void adjust_list(struct databases *module)
{
    for (size_t i = 0; i < module->machine->n_databases; i++) {
        const struct machine_database *wanted = module->machine->databases[i];
        struct cluster *cluster = database_find_cluster(module, wanted->resource);
        if (!cluster) {
            cluster = NEW(struct cluster);
            cluster->module = module;
            cluster->resource = string_copy(wanted->resource);
            ARRAY_RESERVE(module->items, module->n_items, module->capacity);
            module->items[module->n_items++] = cluster;
        }
        cluster->wanted = wanted;
        cluster->primary = NULL;
    }
}

static CO_FN void drop_unwanted(struct databases *module)
{
    for (size_t i = module->n_items; i > 0; i--)
        if (!find_wanted(module->machine, module->items[i - 1]->resource))
            database_drop_cluster(module, i - 1);
}

struct convergence {
    struct databases *module;
    struct problems *problems;
};

static CO_FN void converge_one(void *argument, size_t index)
{
    struct convergence *convergence = argument;
    const struct machine_database *wanted = convergence->module->machine->databases[index];
    struct error err = {0};
    int r = database_converge_cluster(database_find_cluster(convergence->module, wanted->resource),
                                      &err);
    if (r < 0) {
        error_wrap(&err, r, "database %s", wanted->name);
        problems_add(convergence->problems, wanted->resource, &err);
    }
}

/* For the next cluster, when what is wanted now runs. */
static CO_FN void ensure_template(struct databases *module)
{
    struct database_maker maker = database_maker_of(module);
    if (module->n_spares_wanted == 0 || (module->job && !template_job_has_ended(module->job)))
        return;
    template_job_free(module->job);
    module->job = database_template_make(&maker, module->n_spares_wanted);
    module->n_spares_wanted = 0;
}

void database_begin(struct databases *module, bool is_action)
{
    module->n_impatient += is_action;
    while (module->is_busy)
        gate_wait(module->twin->loop, &module->freed, -1, NULL);
    module->n_impatient -= is_action;
    module->is_busy = true;
}

void database_end(struct databases *module)
{
    module->is_busy = false;
    gate_open(module->twin->loop, &module->freed);
}

bool database_must_hurry(const struct databases *module)
{
    return module->n_impatient > 0;
}

static CO_FN void converge_databases(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct databases *module = argument;
    CLEANUP(error_done) struct error err = {0};
    if (wanted->n_databases > 0 && !module->programs.postgres &&
        database_find_programs(&module->programs, &err) < 0) {
        for (size_t i = 0; i < wanted->n_databases; i++) {
            struct error copy = {0};
            error_set(&copy, err.code, "%s", error_message(&err));
            problems_add(problems, wanted->databases[i]->resource, &copy);
        }
        return;
    }
    database_begin(module, false);
    struct machine *before = module->machine;
    module->machine = machine_ref(wanted);
    adjust_list(module);
    bool is_some_unwanted = module->n_items > wanted->n_databases;
    struct convergence convergence = {module, problems};
    service_in_parallel(module->twin->loop, wanted->n_databases, converge_one, &convergence);
    ensure_template(module);
    if (is_some_unwanted) {
        /* Workloads that use it end first. */
        twin_wait_for(module->twin, MODULE_WORKLOAD, wanted->generation);
        drop_unwanted(module);
    }
    machine_unref(before);
    database_end(module);
}

static int open_databases(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *data_folder = NULL;
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *secret_folder = string_format("%s/secrets", twin->folder);
    int r = twin_folder(twin, "database", PROCESS_POSTGRES, &data_folder, err);
    if (r == 0)
        r = service_open_folder(twin, "database-config", &config_folder, err);
    if (r == 0)
        r = world_make_folder(secret_folder, 0700, err);
    if (r < 0)
        return r;
    struct databases *module = NEW(struct databases);
    module->twin = twin;
    module->data_folder = take_ptr(data_folder);
    module->config_folder = take_ptr(config_folder);
    module->secret_folder = take_ptr(secret_folder);
    module->given_folder = string_format("%s/given", twin->folder);
    struct database_maker maker = database_maker_of(module);
    database_template_clean(&maker);
    *ret_module = module;
    return 0;
}

static CO_FN void close_databases(void *argument)
{
    struct databases *module = argument;
    template_job_free(module->job);
    while (module->n_items > 0)
        database_cluster_free(module->items[--module->n_items]);
    mem_free(module->items);
    machine_unref(module->machine);
    database_programs_done(&module->programs);
    mem_free(module->data_folder);
    mem_free(module->config_folder);
    mem_free(module->secret_folder);
    mem_free(module->given_folder);
    mem_free(module);
}

const struct module_ops database_module = {
    .name = "database",
    .open = open_databases,
    .converge = converge_databases,
    .report = database_report,
    .act = database_act,
    .close = close_databases,
};
