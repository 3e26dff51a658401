#include "twin/database-template.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MARK_LIMIT = 256,
    KEY_LENGTH = 16,
    TURN_TIME = 2 * 1000 * 1000 /* microseconds; so long others go first */
};

/* --- Where templates are kept --- */

/* NULL when none is wanted, or there is no place for it. The caller frees it. */
static char *cache_folder(void)
{
    const char *own = getenv("PARLEY_CACHE");
    const char *shared = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (own)
        return own[0] == '/' ? string_copy(own) : NULL;
    if (shared && shared[0] == '/')
        return string_format("%s/parley", shared);
    return home && home[0] == '/' && world_file_exists(home)
               ? string_format("%s/.cache/parley", home)
               : NULL;
}

static char *template_folder(const struct database_maker *maker, const char *cache)
{
    CLEANUP(mem_freep) char *text = database_data_describe(maker);
    char digest[DIGEST_HEX_SIZE];
    if (!text)
        return NULL;
    digest_hex(text, strlen(text), digest);
    return string_format("%s/postgresql-%.*s", cache, KEY_LENGTH, digest);
}

/* A folder of that user's, which others can do no more with than the mask leaves. */
static bool is_folder_of(const char *path, uid_t user, mode_t forbidden)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == user &&
           !(status.st_mode & forbidden);
}

static bool children_own(const struct database_maker *maker, const char *path)
{
    struct stat status;
    return stat(maker->folder, &status) == 0 && is_folder_of(path, status.st_uid, 077);
}

/* What a walk through a template has found; nftw() hands nothing on. */
static struct {
    uint64_t n_files;
    uint64_t n_bytes;
    uid_t owner;
} seen;

static int count_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)path;
    (void)walk;
    bool is_plain = kind == FTW_F && S_ISREG(status->st_mode) && status->st_nlink == 1;
    if ((!is_plain && kind != FTW_D) || status->st_uid != seen.owner)
        return -1;
    seen.n_files += is_plain;
    seen.n_bytes += is_plain ? (uint64_t)status->st_size : 0;
    return 0;
}

/*
 * What tells that nothing of it is missing, say by somebody who cleans up what is old. The id of
 * this start of the machine is in it: a template is not synced, since a sync under way cannot be
 * ended and the twin must be able to. NULL when there is anything in it that is not the children's.
 * The caller frees it.
 */
static char *count(const struct database_maker *maker, const char *folder)
{
    CLEANUP(mem_freep) char *data = string_format("%s/data", folder);
    CLEANUP(mem_freep) char *boot = NULL;
    struct stat status;
    if (stat(maker->folder, &status) < 0 ||
        world_read_file("/proc/sys/kernel/random/boot_id", MARK_LIMIT, &boot, NULL, NULL) < 0)
        return NULL;
    seen.n_files = seen.n_bytes = 0;
    seen.owner = status.st_uid;
    if (nftw(data, count_entry, 16, FTW_PHYS) != 0)
        return NULL;
    return string_format("%" PRIu64 " files, %" PRIu64 " bytes, since the start %s", seen.n_files,
                         seen.n_bytes, boot);
}

static bool is_whole(const struct database_maker *maker, const char *folder)
{
    CLEANUP(mem_freep) char *mark = string_format("%s/complete", folder);
    CLEANUP(mem_freep) char *expected = NULL;
    if (world_read_file(mark, MARK_LIMIT, &expected, NULL, NULL) < 0)
        return false;
    CLEANUP(mem_freep) char *counted = count(maker, folder);
    return counted && text_equal(counted, expected);
}

char *database_template_find(const struct database_maker *maker)
{
    CLEANUP(mem_freep) char *cache = cache_folder();
    CLEANUP(mem_freep) char *folder = cache ? template_folder(maker, cache) : NULL;
    if (!folder || !is_folder_of(cache, geteuid(), 022) || !children_own(maker, folder) ||
        !is_whole(maker, folder))
        return NULL;
    return take_ptr(folder);
}

/* --- Spares --- */

static char *spare_folder(const char *template, size_t index)
{
    return string_format("%s/spare-%zu", template, index);
}

/* The path of something in the maker's folder by which it can be moved there: the folder is a mount
 * of its own, and nothing moves from one mount to another. NULL when there is no such path. */
static char *movable_path(const struct database_maker *maker, const char *path)
{
    CLEANUP(mem_freep)
    char *folder = string_format("%s%s", maker->twin->shown_folder, strrchr(maker->folder, '/'));
    return service_is_same_folder(folder, maker->folder)
               ? string_format("%s%s", folder, path + strlen(maker->folder))
               : NULL;
}

/* Looked at in its new place, where nobody else takes it. */
static bool take_spare(const struct database_maker *maker, const char *spare, const char *data)
{
    CLEANUP(mem_freep) char *source = string_format("%s/data", spare);
    CLEANUP(mem_freep) char *mark = string_format("%s/complete", spare);
    CLEANUP(mem_freep) char *target = movable_path(maker, data);
    CLEANUP(mem_freep) char *expected = NULL;
    if (!target || !children_own(maker, spare) ||
        world_read_file(mark, MARK_LIMIT, &expected, NULL, NULL) < 0 || rename(source, target) < 0)
        return false;
    CLEANUP(mem_freep) char *folder = string_copy_n(data, (size_t)(strrchr(data, '/') - data));
    CLEANUP(mem_freep) char *counted = count(maker, folder);
    if (counted && text_equal(counted, expected))
        return true;
    service_remove_folder(data);
    return false;
}

bool database_template_take(const struct database_maker *maker, const char *data)
{
    CLEANUP(mem_freep) char *cache = cache_folder();
    CLEANUP(mem_freep) char *template = cache ? template_folder(maker, cache) : NULL;
    if (!template || !is_folder_of(cache, geteuid(), 022) || !children_own(maker, template))
        return false;
    for (size_t i = 0; i < DATABASE_SPARES; i++) {
        CLEANUP(mem_freep) char *spare = spare_folder(template, i);
        if (take_spare(maker, spare, data))
            return true;
    }
    return false;
}

/* --- Making them --- */

struct template_job {
    struct database_maker maker;
    struct process *running;
    size_t n_spares;
    char *cache; /* owned, as the next two */
    char *draft; /* in the cache; it becomes the template */
    char *made;  /* in the state folder: children cannot reach the cache */
    int lock;
    bool is_ending;
    bool is_running;
    struct gate ending;
    struct gate ended;
};

/* No host's name has a dot in it. */
static char *made_folder(const struct database_maker *maker)
{
    return string_format("%s/.template", maker->folder);
}

void database_template_clean(const struct database_maker *maker)
{
    CLEANUP(mem_freep) char *made = made_folder(maker);
    service_remove_folder(made);
}

/* Under the lock, so that whatever is in its place was left by somebody who died. */
static bool make_folder(const char *path)
{
    service_remove_folder(path);
    return mkdir(path, 0700) == 0 && twin_give(path, PROCESS_POSTGRES, NULL) == 0;
}

static bool open_cache(struct template_job *job)
{
    CLEANUP(mem_freep) char *lock = string_format("%s/lock", job->cache);
    return world_make_folder(job->cache, 0700, NULL) == 0 &&
           is_folder_of(job->cache, geteuid(), 022) && world_lock_file(lock, &job->lock, NULL) == 0;
}

/* Whatever is in its place is not whole: were it so, and ours, it would have been used. */
static bool place_draft(const struct template_job *job, const char *draft, const char *place)
{
    CLEANUP(mem_freep) char *mark = string_format("%s/complete", draft);
    CLEANUP(mem_freep) char *counted = count(&job->maker, draft);
    if (!counted || world_write_file(mark, counted, strlen(counted), 0600, false, NULL) < 0)
        return false;
    service_remove_folder(place);
    return rename(draft, place) == 0;
}

static CO_FN bool make_draft(struct template_job *job)
{
    CLEANUP(mem_freep) char *data = string_format("%s/data", job->made);
    const struct database_maker *maker = &job->maker;
    bool is_made = make_folder(job->draft) && make_folder(job->made) &&
                   database_data_create(maker, data, NULL) == 0 &&
                   database_data_copy_into(maker, job->made, job->draft, NULL) == 0;
    service_remove_folder(job->made);
    return is_made;
}

/* The template, which is made when there is none; NULL when it cannot be. The caller frees it. */
static CO_FN char *ensure_template(struct template_job *job)
{
    CLEANUP(mem_freep) char *there = database_template_find(&job->maker);
    if (there)
        return take_ptr(there);
    CLEANUP(mem_freep) char *place = template_folder(&job->maker, job->cache);
    if (place && make_draft(job) && place_draft(job, job->draft, place))
        return take_ptr(place);
    service_remove_folder(job->draft);
    return NULL;
}

/* Who copies it has the template for its folder, and reaches nothing of the cache but that. */
static CO_FN bool ensure_spare(struct template_job *job, const char *template, size_t index)
{
    CLEANUP(mem_freep) char *spare = spare_folder(template, index);
    CLEANUP(mem_freep) char *draft = string_format("%s/draft", template);
    if (is_whole(&job->maker, spare))
        return true;
    bool is_made = make_folder(draft) &&
                   database_data_copy(&job->maker, template, "draft/data", NULL) == 0 &&
                   database_data_sync_files(&job->maker, template, "draft/data", NULL) == 0 &&
                   place_draft(job, draft, spare);
    if (!is_made)
        service_remove_folder(draft);
    return is_made;
}

static CO_FN void make_all(struct template_job *job)
{
    CLEANUP(mem_freep) char *template = ensure_template(job);
    bool is_well = template != NULL;
    for (size_t i = 0; is_well && i < job->n_spares && i < DATABASE_SPARES; i++)
        is_well = ensure_spare(job, template, i);
}

static CO_FN void make_template(void *argument)
{
    struct template_job *job = argument;
    struct loop *loop = job->maker.twin->loop;
    gate_wait(loop, &job->ending, world_monotonic_clock() + TURN_TIME, NULL);
    if (!job->is_ending && open_cache(job))
        make_all(job);
    close_descriptor(job->lock);
    job->lock = -1;
    job->is_running = false;
    gate_open(loop, &job->ended);
}

struct template_job *database_template_make(const struct database_maker *maker, size_t n_spares)
{
    char *cache = cache_folder();
    if (!cache)
        return NULL;
    struct template_job *job = NEW(struct template_job);
    job->maker = *maker;
    job->maker.running = &job->running;
    job->maker.is_ending = &job->is_ending;
    job->n_spares = n_spares;
    job->cache = cache;
    job->draft = string_format("%s/draft", cache);
    job->made = made_folder(maker);
    job->lock = -1;
    job->is_running = true;
    loop_spawn(maker->twin->loop, "template", make_template, job);
    return job;
}

bool template_job_has_ended(const struct template_job *job)
{
    return !job->is_running;
}

CO_FN void template_job_free(struct template_job *job)
{
    if (!job)
        return;
    job->is_ending = true;
    gate_open(job->maker.twin->loop, &job->ending);
    if (job->running)
        process_signal(job->running, SIGKILL);
    while (job->is_running)
        gate_wait(job->maker.twin->loop, &job->ended, -1, NULL);
    mem_free(job->cache);
    mem_free(job->draft);
    mem_free(job->made);
    mem_free(job);
}
