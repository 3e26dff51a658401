/* PostgreSQL and the built-in workload that reads and writes it. */
#include "base/strbuf.h"
#include "base/world.h"
#include "client.h"
#include "harness.h"
#include "loopback.h"
#include "model/json.h"
#include "twin/database-member.h"
#include "twin/database-template.h"
#include "twin/database.h"
#include "twin/postgres.h"
#include "twin/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DATABASE_PORT = 5432, SERVER_PORT = 8083 };

struct platform {
    struct machine *machine;
    struct machine_database database;
    struct machine_workload workload;
    struct machine_subnet clients[1];
    const struct machine_host *database_hosts[1], *hosts[1];
    struct machine_database *databases[1];
    struct machine_workload *workloads[1];
};

static void make_platform(struct loopback *loopback, struct platform *platform)
{
    struct machine *machine = machine_new();
    *platform = (struct platform){.machine = machine};
    machine->generation = 1;
    platform->database_hosts[0] = loopback_host(loopback, machine, "data-0", 11, HOST_DATABASE);
    platform->hosts[0] = loopback_host(loopback, machine, "work-0", 21, HOST_INSTANCE);
    platform->clients[0] = (struct machine_subnet){127u << 24, 8};
    platform->database = (struct machine_database){.name = "data",
                                                   .resource = "uid-data",
                                                   .engine = "postgres",
                                                   .version = "14",
                                                   .hosts = platform->database_hosts,
                                                   .n_hosts = 1,
                                                   .port = DATABASE_PORT,
                                                   .clients = platform->clients,
                                                   .n_clients = 1};
    platform->workload = (struct machine_workload){.name = "work",
                                                   .resource = "uid-stack",
                                                   .image = "work:1",
                                                   .hosts = platform->hosts,
                                                   .n_hosts = 1,
                                                   .port = SERVER_PORT,
                                                   .health_check = "/ready",
                                                   .database = &platform->database};
    platform->databases[0] = &platform->database;
    platform->workloads[0] = &platform->workload;
    machine->databases = platform->databases;
    machine->n_databases = 1;
    machine->workloads = platform->workloads;
    machine->n_workloads = 1;
}

static const struct module_ops *const modules[] = {&database_module, &workload_module};
enum { N_MODULES = 2 };

static CO_FN bool open_modules(struct loopback *loopback, void **opened)
{
    struct error err = {0};
    for (size_t i = 0; i < N_MODULES; i++) {
        if (modules[i]->open(&loopback->twin, &opened[i], &err) < 0) {
            printf("# %s: %s\n", modules[i]->name, error_message(&err));
            return false;
        }
    }
    return true;
}

static CO_FN size_t converge_modules(void **opened, struct machine *machine)
{
    struct problems problems = {0};
    for (size_t i = 0; i < N_MODULES; i++)
        modules[i]->converge(opened[i], machine, &problems);
    size_t n = loopback_print_problems(&problems);
    problems_done(&problems);
    return n;
}

static CO_FN void close_modules(void **opened)
{
    for (size_t i = N_MODULES; i > 0; i--)
        modules[i - 1]->close(opened[i - 1]);
}

/* Connects as a client would, with changes at the end of the conninfo, which win. */
static CO_FN int connect_as(struct loopback *loopback, const struct platform *platform,
                            const char *changes, struct postgres **ret_postgres, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(mem_freep) char *conninfo = NULL;
    int r = database_access_file(&loopback->twin, &platform->database, &path, err);
    if (r == 0)
        r = world_read_file(path, 10000, &conninfo, NULL, err);
    if (r < 0)
        return r;
    assert(conninfo);
    CLEANUP(mem_freep)
    char *changed = string_format("%.*s %s", (int)strcspn(conninfo, "\n"), conninfo, changes);
    return postgres_connect(loopback->twin.loop, changed, world_monotonic_clock() + 3000000,
                            ret_postgres, err);
}

static CO_FN struct client_answer visit(struct loopback *loopback)
{
    char address[MACHINE_ADDRESS_SIZE];
    char url[64];
    machine_address_to_text(loopback->base + 21, address);
    snprintf(url, sizeof(url), "http://%s:%d/", address, SERVER_PORT);
    return client_get(url, NULL, NULL, false);
}

static CO_FN void count_visits(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    void *opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, strstr(visit(loopback).body, "\"database\":{\"rows\":1,\"visits\":1}"));
    HOLDS(outcome, strstr(visit(loopback).body, "\"database\":{\"rows\":1,\"visits\":2}"));
    /* A second life finds what the first one wrote. */
    close_modules(opened);
    HOLDS(outcome, visit(loopback).code == 0);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, strstr(visit(loopback).body, "\"database\":{\"rows\":1,\"visits\":3}"));
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(visits_are_written_and_survive_a_new_start)
{
    struct outcome outcome = {0};
    loopback_run(count_visits, &outcome);
    CHECK(outcome.is_good);
}

static CO_FN void keep_others_out(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    void *opened[N_MODULES];
    struct postgres *postgres = NULL;
    CLEANUP(error_done) struct error err = {0};
    make_platform(loopback, &platform);
    platform.clients[0] = (struct machine_subnet){10u << 24, 8};
    platform.machine->n_workloads = 0;
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, connect_as(loopback, &platform, "", &postgres, &err) == -ERROR_UNAVAILABLE);
    printf("# %s\n", error_message(&err));
    HOLDS(outcome, strstr(err.message, "no pg_hba.conf entry"));
    /* Let in by a change while it runs. */
    platform.clients[0] = (struct machine_subnet){127u << 24, 8};
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    loop_sleep(loopback->twin.loop, 300000);
    HOLDS(outcome,
          connect_as(loopback, &platform, "password=wrong", &postgres, &err) == -ERROR_UNAVAILABLE);
    HOLDS(outcome, strstr(err.message, "password authentication failed"));
    HOLDS(outcome, connect_as(loopback, &platform, "user=postgres dbname=postgres", &postgres,
                              &err) == -ERROR_UNAVAILABLE);
    HOLDS(outcome, connect_as(loopback, &platform, "", &postgres, &err) == 0);
    postgres_free(postgres);
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(only_allowed_subnets_and_the_right_password_get_in)
{
    struct outcome outcome = {0};
    loopback_run(keep_others_out, &outcome);
    CHECK(outcome.is_good);
}

static CO_FN void destroy(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    void *opened[N_MODULES];
    make_platform(loopback, &platform);
    CLEANUP(mem_freep)
    char *data = string_format("%s/database/data-0/data/PG_VERSION", loopback->folder);
    CLEANUP(mem_freep)
    char *secret = string_format("%s/secrets/uid-data.application", loopback->folder);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, world_file_exists(data) && world_file_exists(secret));
    platform.machine->n_databases = 0;
    platform.machine->n_workloads = 0;
    loopback_has_resource = true;
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, world_file_exists(data) && world_file_exists(secret));
    platform.machine->n_databases = 1;
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    platform.machine->n_databases = 0;
    loopback_has_resource = false;
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, !world_file_exists(data) && !world_file_exists(secret));
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(only_a_destroyed_cluster_loses_its_data)
{
    struct outcome outcome = {0};
    loopback_run(destroy, &outcome);
    CHECK(outcome.is_good);
}

/* --- A template in the cache --- */

enum { TEMPLATE_TIME = 60 * 1000 * 1000, IDENTIFIER_SIZE = 8 };

static CO_FN char *await_template(struct loopback *loopback, const struct database_maker *maker)
{
    int64_t deadline = world_monotonic_clock() + TEMPLATE_TIME;
    char *template = NULL;
    while (!(template = database_template_find(maker)) && world_monotonic_clock() < deadline)
        loop_sleep(loopback->twin.loop, 20000);
    return template;
}

/* initdb gives each cluster an identifier of its own: the first bytes of this file. */
static bool descends_from(const char *data, const char *template)
{
    CLEANUP(mem_freep) char *own = string_format("%s/global/pg_control", data);
    CLEANUP(mem_freep) char *other = string_format("%s/data/global/pg_control", template);
    CLEANUP(mem_freep) char *left = NULL;
    CLEANUP(mem_freep) char *right = NULL;
    return world_read_file(own, 100000, &left, NULL, NULL) == 0 &&
           world_read_file(other, 100000, &right, NULL, NULL) == 0 &&
           memcmp(left, right, IDENTIFIER_SIZE) == 0;
}

static bool has_password(const char *folder)
{
    CLEANUP(mem_freep) char *command = string_format("grep -rqs SCRAM-SHA-256 %s", folder);
    int status = system(command); /* NOLINT(cert-env33-c): a fixed command in a folder of ours */
    return status == 0;
}

/* The template as the cache has it now, or not. */
static bool is_usable(const struct database_maker *maker)
{
    CLEANUP(mem_freep) char *template = database_template_find(maker);
    return template != NULL;
}

static void distrust(struct outcome *outcome, const struct database_maker *maker, const char *cache,
                     const char *template)
{
    CLEANUP(mem_freep) char *file = string_format("%s/data/PG_VERSION", template);
    HOLDS(outcome, chmod(cache, 0777) == 0 && !is_usable(maker));
    HOLDS(outcome, chmod(cache, 0700) == 0 && is_usable(maker));
    HOLDS(outcome, chmod(template, 0755) == 0 && !is_usable(maker));
    HOLDS(outcome, chmod(template, 0700) == 0 && is_usable(maker));
    setenv("PARLEY_CACHE", "", true);
    HOLDS(outcome, !is_usable(maker));
    setenv("PARLEY_CACHE", cache, true);
    HOLDS(outcome, unlink(file) == 0 && !is_usable(maker));
}

static CO_FN void begin_from_template(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    void *opened[N_MODULES];
    struct database_programs programs = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/database", loopback->folder);
    CLEANUP(mem_freep) char *data = string_format("%s/data-0/data", folder);
    CLEANUP(mem_freep) char *cache = string_format("%s/cache/below", loopback->folder);
    struct database_maker maker = {
        .twin = &loopback->twin, .programs = &programs, .folder = folder};
    setenv("PARLEY_CACHE", cache, true);
    make_platform(loopback, &platform);
    HOLDS(outcome, database_find_programs(&programs, NULL) == 0);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, !is_usable(&maker));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    CLEANUP(mem_freep) char *template = await_template(loopback, &maker);
    HOLDS(outcome, template);
    HOLDS(outcome, has_password(data) && !has_password(cache));
    HOLDS(outcome, !descends_from(data, template));
    close_modules(opened);
    /* Another life with nothing in its folder. */
    service_remove_folder(folder);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    HOLDS(outcome, descends_from(data, template));
    HOLDS(outcome, strstr(visit(loopback).body, "\"database\":{\"rows\":1,\"visits\":1}"));
    HOLDS(outcome, has_password(data) && !has_password(cache));
    distrust(outcome, &maker, cache, template);
    close_modules(opened);
    setenv("PARLEY_CACHE", "", true);
    machine_unref(platform.machine);
    database_programs_done(&programs);
}

/* --- Spares --- */

static ino_t inode_of(const char *folder, const char *below)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, below);
    struct stat status;
    return stat(path, &status) == 0 ? status.st_ino : 0;
}

/* Its inode when it is whole, 0 when it is not there in time. */
static CO_FN ino_t await_spare(struct loopback *loopback, const char *template)
{
    CLEANUP(mem_freep) char *spare = string_format("%s/spare-0", template);
    int64_t deadline = world_monotonic_clock() + TEMPLATE_TIME;
    while (inode_of(spare, "data/PG_VERSION") == 0 && world_monotonic_clock() < deadline)
        loop_sleep(loopback->twin.loop, 20000);
    return inode_of(spare, "data/PG_VERSION");
}

static CO_FN bool begin_anew(struct loopback *loopback, struct platform *platform, void **opened,
                             const char *folder)
{
    close_modules(opened);
    service_remove_folder(folder);
    return open_modules(loopback, opened) && converge_modules(opened, platform->machine) == 0 &&
           strstr(visit(loopback).body, "\"database\":{\"rows\":1,\"visits\":1}") != NULL;
}

static CO_FN void take_spares(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    void *opened[N_MODULES];
    struct database_programs programs = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/database", loopback->folder);
    CLEANUP(mem_freep) char *data = string_format("%s/data-0/data", folder);
    CLEANUP(mem_freep) char *cache = string_format("%s/cache", loopback->folder);
    struct database_maker maker = {
        .twin = &loopback->twin, .programs = &programs, .folder = folder};
    setenv("PARLEY_CACHE", cache, true);
    loopback->twin.shown_folder = loopback->folder;
    make_platform(loopback, &platform);
    HOLDS(outcome, database_find_programs(&programs, NULL) == 0);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(opened, platform.machine) == 0);
    CLEANUP(mem_freep) char *template = await_template(loopback, &maker);
    HOLDS(outcome, template);
    /* It is moved, not copied, and another one is made in its place. */
    for (size_t i = 0; i < 2; i++) {
        ino_t spare = await_spare(loopback, template);
        HOLDS(outcome, spare != 0);
        HOLDS(outcome, begin_anew(loopback, &platform, opened, folder));
        HOLDS(outcome, inode_of(data, "PG_VERSION") == spare);
        HOLDS(outcome, !has_password(cache));
    }
    /* One that lacks a file is none. */
    ino_t spare = await_spare(loopback, template);
    CLEANUP(mem_freep)
    char *file = string_format("%s/spare-0/data/global/pg_filenode.map", template);
    HOLDS(outcome, unlink(file) == 0);
    HOLDS(outcome, begin_anew(loopback, &platform, opened, folder));
    HOLDS(outcome, inode_of(data, "PG_VERSION") != spare);
    close_modules(opened);
    setenv("PARLEY_CACHE", "", true);
    machine_unref(platform.machine);
    database_programs_done(&programs);
}

/* --- Copies --- */

static bool make_empty(const char *folder)
{
    return mkdir(folder, 0700) == 0 && twin_give(folder, PROCESS_POSTGRES, NULL) == 0;
}

static bool is_same(const char *left, const char *right)
{
    CLEANUP(mem_freep) char *command = string_format("diff -r %s %s", left, right);
    int status = system(command); /* NOLINT(cert-env33-c): a fixed command in a folder of ours */
    return status == 0;
}

static CO_FN void copy_in_two_steps(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    void *opened[N_MODULES];
    struct database_programs programs = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/database", loopback->folder);
    CLEANUP(mem_freep) char *from = string_format("%s/one", folder);
    CLEANUP(mem_freep) char *data = string_format("%s/data", from);
    CLEANUP(mem_freep) char *copy = string_format("%s/two", folder);
    struct database_maker maker = {
        .twin = &loopback->twin, .programs = &programs, .folder = folder};
    HOLDS(outcome, database_find_programs(&programs, NULL) == 0);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, make_empty(from) && make_empty(copy));
    HOLDS(outcome, database_data_begin(&maker, data, NULL) == 0);
    HOLDS(outcome, database_data_copy_state(&maker, from, copy, NULL) == 0);
    /* What tells where the log ends is in the first step, and no page of a table. */
    HOLDS(outcome, inode_of(copy, "global/pg_control") != 0);
    HOLDS(outcome, inode_of(copy, "base") == 0);
    HOLDS(outcome, database_data_copy_databases(&maker, from, copy, NULL) == 0);
    HOLDS(outcome, is_same(data, copy));
    close_modules(opened);
    database_programs_done(&programs);
}

TEST(a_copy_in_two_steps_is_whole)
{
    struct outcome outcome = {0};
    loopback_run(copy_in_two_steps, &outcome);
    CHECK(outcome.is_good);
}

TEST(a_spare_is_moved_into_place_where_it_is_whole)
{
    struct outcome outcome = {0};
    loopback_run(take_spares, &outcome);
    CHECK(outcome.is_good);
}

TEST(a_template_has_no_password_and_is_used_only_where_it_is_whole_and_ours)
{
    struct outcome outcome = {0};
    loopback_run(begin_from_template, &outcome);
    CHECK(outcome.is_good);
}
