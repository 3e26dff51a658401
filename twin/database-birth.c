/* The data of a cluster that has none: taken from the cache, copied, or made, and then made
 * durable. */
#include "twin/database-private.h"

#include "base/text.h"
#include "twin/database-template.h"
#include "twin/service.h"

#include <errno.h>
#include <sys/stat.h>

int database_make_archive(struct cluster *cluster, struct error *err)
{
    if (cluster->archive || !cluster->wanted->has_backup)
        return 0;
    CLEANUP(mem_freep) char *file = service_file_name(cluster->resource);
    cluster->archive = string_format("%s/archive-%s", cluster->module->data_folder, file);
    if (mkdir(cluster->archive, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the archive of the write-ahead log");
    return twin_give(cluster->archive, PROCESS_POSTGRES, err);
}

struct database_maker database_maker_of(const struct databases *module)
{
    return (struct database_maker){
        .twin = module->twin, .programs = &module->programs, .folder = module->data_folder};
}

/*
 * Beside the start of the servers, their data is made durable: nothing was synced while it was
 * made. Nobody is told of the cluster before that is done, and a life that ends before makes the
 * data anew.
 */
struct keeping {
    struct cluster *cluster;
    struct error err;
    bool is_running;
    struct gate ended;
};

static CO_FN void keep_data(void *argument)
{
    struct keeping *keeping = argument;
    struct cluster *cluster = keeping->cluster;
    struct database_maker maker = database_maker_of(cluster->module);
    int r = database_data_sync(&maker, maker.folder, &keeping->err);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_keep(cluster->members[i], &keeping->err);
    keeping->is_running = false;
    gate_open(cluster->module->twin->loop, &keeping->ended);
}

void database_begin_keeping(struct cluster *cluster)
{
    bool is_some_made = false;
    for (size_t i = 0; i < cluster->n_members; i++)
        is_some_made |= cluster->members[i]->is_made;
    if (cluster->keeping || !is_some_made)
        return;
    struct keeping *keeping = NEW(struct keeping);
    keeping->cluster = cluster;
    keeping->is_running = true;
    cluster->keeping = keeping;
    loop_spawn(cluster->module->twin->loop, "keep", keep_data, keeping);
}

int database_end_keeping(struct cluster *cluster, struct error *err)
{
    struct keeping *keeping = cluster->keeping;
    if (!keeping)
        return 0;
    while (keeping->is_running)
        gate_wait(cluster->module->twin->loop, &keeping->ended, -1, NULL);
    cluster->keeping = NULL;
    int r = keeping->err.code ? error_move(err, &keeping->err) : 0;
    mem_free(keeping);
    return r;
}

int database_await_kept(struct cluster *cluster, struct error *err)
{
    database_begin_keeping(cluster);
    return database_end_keeping(cluster, err);
}

struct copying {
    struct cluster *cluster;
    const char *from; /* the folder whose data all members are copies of */
    struct error err; /* of the first that failed */
};

static CO_FN int copy_data(struct copying *copying, struct database_member *member,
                           struct error *err)
{
    struct database_maker maker = database_maker_of(copying->cluster->module);
    return database_member_copy(member, &maker, copying->from,
                                member != database_primary(copying->cluster), err);
}

static CO_FN void copy_member(void *argument, size_t index)
{
    struct copying *copying = argument;
    struct database_member *member = copying->cluster->members[index];
    struct error err = {0};
    if (text_equal(copying->from, member->paths.folder))
        return;
    if (copy_data(copying, member, &err) < 0 && !copying->err.code)
        error_move(&copying->err, &err);
    error_done(&err);
}

static CO_FN int copy_members(struct cluster *cluster, const char *from, struct error *err)
{
    struct copying copying = {.cluster = cluster, .from = from};
    service_in_parallel(cluster->module->twin->loop, cluster->n_members, copy_member, &copying);
    return copying.err.code ? error_move(err, &copying.err) : 0;
}

/* Commits wait for replicas from the first one on: nobody was told of the primary before. */
static int confirm_commits(struct cluster *cluster, bool durable, struct error *err)
{
    CLEANUP(mem_freep) char *names = database_wanted_standby_names(cluster);
    return *names ? database_member_confirm(database_primary(cluster), names, durable, err) : 0;
}

/* A replica whose copy fails is made from the running primary later, see make_follow(). */
static CO_FN void copy_state(void *argument, size_t index)
{
    struct copying *copying = argument;
    struct database_maker maker = database_maker_of(copying->cluster->module);
    struct database_member *member = copying->cluster->members[index];
    if (member != database_primary(copying->cluster))
        database_member_copy_state(member, &maker, copying->from, NULL);
}

static CO_FN void copy_databases(void *argument, size_t index)
{
    struct copying *copying = argument;
    struct database_maker maker = database_maker_of(copying->cluster->module);
    struct database_member *member = copying->cluster->members[index];
    if (member->is_begun)
        database_member_copy_databases(member, &maker, copying->from, NULL);
    member->is_begun = false;
}

/* The primary starts as soon as its replicas know where its log begins. */
static CO_FN int create_members(struct cluster *cluster, struct error *err)
{
    struct loop *loop = cluster->module->twin->loop;
    struct database_maker maker = database_maker_of(cluster->module);
    struct database_member *primary = database_primary(cluster);
    struct copying copying = {.cluster = cluster, .from = primary->paths.folder};
    int r = database_member_begin(primary, &maker, err);
    if (r < 0)
        return r;
    service_in_parallel(loop, cluster->n_members, copy_state, &copying);
    r = confirm_commits(cluster, false, err);
    if (r == 0)
        r = database_member_launch(primary, err);
    if (r == 0)
        service_in_parallel(loop, cluster->n_members, copy_databases, &copying);
    return r;
}

/* Whether there was data for each of them in the cache; that is durable, but for where it lies. */
static bool take_members(struct cluster *cluster)
{
    struct database_maker maker = database_maker_of(cluster->module);
    int r = 0;
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_take(cluster->members[i], &maker,
                                 cluster->members[i] != database_primary(cluster), NULL);
    if (r == 0)
        r = confirm_commits(cluster, true, NULL);
    if (r == 0)
        r = service_sync_folder(maker.folder, NULL);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_keep(cluster->members[i], NULL);
    return r == 0;
}

/* Nothing of the cluster was ever started: all members begin as the same data. */
static CO_FN int make_data(struct cluster *cluster, struct error *err)
{
    struct databases *module = cluster->module;
    struct database_maker maker = database_maker_of(module);
    if (module->n_spares_wanted < cluster->n_members)
        module->n_spares_wanted = cluster->n_members;
    if (take_members(cluster))
        return 0;
    CLEANUP(mem_freep) char *template = database_template_find(&maker);
    int r = template ? copy_members(cluster, template, NULL) : -ERROR_NOT_FOUND;
    return r < 0 ? create_members(cluster, err) : confirm_commits(cluster, false, err);
}

int database_ensure_data(struct cluster *cluster, struct error *err)
{
    if (database_member_has_data(database_primary(cluster)))
        return 0;
    for (size_t i = 0; i < cluster->n_members; i++)
        if (database_member_has_data(cluster->members[i]))
            return error_set(err, ERROR_CORRUPT,
                             "the data of the primary %s is gone, that of %s is there; promote it, "
                             "or destroy the cluster",
                             cluster->primary->name, cluster->members[i]->name);
    return make_data(cluster, err);
}
