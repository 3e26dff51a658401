#include "mcp/pool.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "net/child.h"

#include <string.h>

enum {
    MOST_SERVICES = 32, /* at work */
    MOST_WAITING = 128, /* beside them; each has three descriptors */
    LOOK_AGAIN_US = 1000 * 1000,
    SITE_LIMIT = 16 * 1024 * 1024
};

/* A service that somebody has taken. */
struct taken {
    struct service *service;
    uint64_t n_changes; /* of the pool, when it was taken */
};

struct pool {
    struct loop *loop;
    struct service_options options;
    struct service *free[MOST_SERVICES]; /* owned */
    size_t n_free;
    struct taken out[MOST_SERVICES + MOST_WAITING];
    size_t n_out, n_opening;
    size_t n_waiting;   /* of those that are out */
    uint64_t n_changes; /* how often another site was seen than the services had read */
    struct gate given;
    pid_t *runs; /* owned: processes of runs that were started, until their end is seen */
    size_t n_runs, runs_capacity;
    bool is_looking; /* whether they have ended */
    char *site;      /* owned: the text of the site file that the free ones have read; NULL: none */
    int64_t looked_at;
    uint64_t n_sites;
};

struct pool *pool_new(struct loop *loop, const struct service_options *options)
{
    struct pool *pool = NEW(struct pool);
    pool->loop = loop;
    pool->options = *options;
    return pool;
}

static void close_free(struct pool *pool)
{
    while (pool->n_free > 0)
        service_close(pool->free[--pool->n_free]);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    close_free(pool);
    mem_free(pool->site);
    mem_free(pool->runs);
    mem_free(pool);
}

/* --- Runs that were started --- */

static void remember_run(struct pool *pool, pid_t pid)
{
    ARRAY_RESERVE(pool->runs, pool->n_runs, pool->runs_capacity);
    pool->runs[pool->n_runs++] = pid;
}

/* A service would take any run that it follows for the one that it started. */
static void take_run_over(struct pool *pool, struct service *service)
{
    if (service->run_process > 0)
        remember_run(pool, service->run_process);
    service->run_process = 0;
}

/* Those that have ended leave nothing behind. Looking may wait: who comes meanwhile does not look,
 * and what is started meanwhile is behind what is looked at. */
static void see_ends(struct pool *pool)
{
    size_t n = pool->is_looking ? 0 : pool->n_runs;
    pool->is_looking = n > 0 || pool->is_looking;
    for (size_t i = 0; i < n; i++) {
        int status;
        pid_t pid = pool->runs[0];
        memmove(pool->runs, pool->runs + 1, --pool->n_runs * sizeof(*pool->runs));
        int64_t now = world_monotonic_clock();
        if (child_wait(pool->loop, pid, now, &status, NULL) == -ERROR_TIMEOUT)
            remember_run(pool, pid);
    }
    if (n > 0)
        pool->is_looking = false;
}

/* --- Services --- */

/* Lets go of services that have read another site than there is now. */
static void look_at_site(struct pool *pool)
{
    int64_t now = world_monotonic_clock();
    if (pool->n_free == 0 || now - pool->looked_at < LOOK_AGAIN_US)
        return;
    CLEANUP(mem_freep) char *text = NULL;
    size_t size;
    const char *path = pool->free[0]->site_path;
    pool->looked_at = now;
    if (path && world_read_file(path, SITE_LIMIT, &text, &size, NULL) < 0)
        text = string_copy("");
    if (text_equal_or_null(text, pool->site))
        return;
    close_free(pool);
    pool->n_changes++;
    pool->n_sites += pool->site != NULL;
    mem_free(pool->site);
    pool->site = take_ptr(text);
}

static int explain(const struct diagnostics *diagnostics, int r, struct error *err)
{
    struct strbuf text = {0};
    if (diagnostics->n_errors == 0)
        return r;
    diagnostics_write(diagnostics, NULL, NULL, &text);
    r = error_set(err, ERROR_INVALID, "the site has faults:\n%s", strbuf_text(&text));
    strbuf_done(&text);
    return r;
}

static int open_service(struct pool *pool, struct service **ret_service, struct error *err)
{
    struct diagnostics diagnostics = {0};
    int r = service_open(pool->loop, &pool->options, ret_service, &diagnostics, err);
    if (r < 0)
        r = explain(&diagnostics, r, err);
    diagnostics_done(&diagnostics);
    return r;
}

int pool_find_owner(struct pool *pool, struct caller *ret_caller, char **ret_home,
                    struct error *err)
{
    struct service *service = NULL;
    int r = open_service(pool, &service, err);
    if (r < 0)
        return r;
    caller_copy(ret_caller, &service->caller);
    if (ret_home)
        *ret_home = string_copy(service->home);
    service_close(service);
    return 0;
}

int pool_find_server(struct pool *pool, struct site_server *ret_server, struct error *err)
{
    struct service *service = NULL;
    int r = open_service(pool, &service, err);
    if (r < 0)
        return r;
    site_server_copy(ret_server, site_server(service->site));
    service_close(service);
    return 0;
}

/* Taken are only so many, and only waiting makes room for more: out has room for both. */
static bool is_busy(const struct pool *pool)
{
    return pool->n_out - pool->n_waiting + pool->n_opening >= MOST_SERVICES;
}

int pool_take(struct pool *pool, const struct caller *caller, const char *words,
              struct service **ret_service, struct error *err)
{
    see_ends(pool);
    while (is_busy(pool))
        gate_wait(pool->loop, &pool->given, -1, NULL);
    look_at_site(pool);
    int r = 0;
    uint64_t n_changes = pool->n_changes;
    pool->n_opening++;
    if (pool->n_free > 0)
        *ret_service = pool->free[--pool->n_free];
    else
        r = open_service(pool, ret_service, err);
    pool->n_opening--;
    if (r < 0) {
        gate_open(pool->loop, &pool->given);
        return r;
    }
    pool->out[pool->n_out++] = (struct taken){*ret_service, n_changes};
    service_set_caller(*ret_service, caller, words);
    return 0;
}

bool pool_begin_wait(struct pool *pool)
{
    if (pool->n_waiting == MOST_WAITING)
        return false;
    pool->n_waiting++;
    gate_open(pool->loop, &pool->given);
    return true;
}

void pool_end_wait(struct pool *pool)
{
    pool->n_waiting--;
}

int pool_derive_key(struct pool *pool, const char *purpose, unsigned char ret_key[SECRET_KEY_SIZE],
                    struct error *err)
{
    struct service *service = NULL;
    int r = open_service(pool, &service, err);
    if (r == 0)
        r = service_derive_key(service, purpose, ret_key, err);
    service_close(service);
    return r;
}

/* One is there so that what it has read can be compared. */
static bool have_one(struct pool *pool)
{
    struct service *service = NULL;
    if (pool->n_free > 0)
        return true;
    if (open_service(pool, &service, NULL) < 0)
        return false;
    pool->free[pool->n_free++] = service;
    return true;
}

uint64_t pool_site_version(struct pool *pool)
{
    (void)have_one(pool);
    look_at_site(pool);
    return pool->n_sites;
}

bool pool_allows(struct pool *pool, const struct caller *caller, const struct verb *verb)
{
    look_at_site(pool);
    if (!have_one(pool))
        return false;
    return verb_check_allowed(verb, caller, pool->free[0]->site, NULL) == 0;
}

/* Texts of secrets, and what was read of credentials, are not kept for the next caller. */
static bool has_secrets(const struct service *service)
{
    return service->secrets || service->secret_sources.n_live || service->credentials.n_live;
}

/* Takes it off the list; false when the site has changed since it was taken. */
static bool take_back(struct pool *pool, const struct service *service)
{
    size_t i = 0;
    while (pool->out[i].service != service)
        i++;
    bool is_current = pool->out[i].n_changes == pool->n_changes;
    pool->out[i] = pool->out[--pool->n_out];
    return is_current;
}

void pool_give(struct pool *pool, struct service *service)
{
    bool is_current = take_back(pool, service);
    take_run_over(pool, service);
    /* While all were out another one may have been opened to look at the site. */
    if (!is_current || pool->n_free == MOST_SERVICES || has_secrets(service))
        service_close(service);
    else
        pool->free[pool->n_free++] = service;
    gate_open(pool->loop, &pool->given);
}
