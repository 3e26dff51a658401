#include "service/run-remains.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"

static char *log_path(struct service *service, const char *run_id)
{
    return string_format("%s/logs/run-%.13s.log", service->home, run_id);
}

int run_open_log(struct service *service, const char *run_id, int *ret_fd, struct error *err)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/logs", service->home);
    CLEANUP(mem_freep) char *path = log_path(service, run_id);
    int r = world_make_folder(folder, 0700, err);
    return r < 0 ? r : world_lock_file(path, ret_fd, err);
}

int run_open_log_again(struct service *service, const char *run_id, int *ret_fd, struct error *err)
{
    CLEANUP(mem_freep) char *path = log_path(service, run_id);
    return world_open_append(path, 0600, ret_fd, err);
}

bool run_is_held(struct service *service, const char *run_id)
{
    CLEANUP(mem_freep) char *path = log_path(service, run_id);
    return world_file_is_locked(path);
}

void unbegun_end(struct service *service, struct store_run *run, const struct error *err)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    if (run->status != RUN_PENDING)
        return;
    store_batch_check_run(batch, run->id, RUN_PENDING);
    run->status = RUN_FAILED;
    run->ended_at = world_wall_clock();
    mem_free(run->message);
    run->message = string_copy(error_message(err));
    store_batch_put_run(batch, run);
    (void)store_commit(service->store, batch, NULL, NULL);
}

/* Once nobody holds it nobody will change the row, so what it says after that look is final. */
void unbegun_settle(struct service *service, struct store_run *run)
{
    CLEANUP(error_done) struct error err = {0};
    struct store_run now = {0};
    if (run->status != RUN_PENDING || run_is_held(service, run->id) ||
        store_get_run(service->store, run->id, &now, NULL) < 0)
        return;
    error_set(&err, ERROR_UNAVAILABLE,
              "its process was killed before it began; nothing was changed by it");
    unbegun_end(service, &now, &err);
    store_run_done(run);
    *run = now;
}

void unbegun_settle_newest(struct service *service, const char *deployment_uid)
{
    struct store_run *runs = NULL;
    size_t n = 0;
    if (store_list_runs(service->store, deployment_uid, 1, &runs, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        unbegun_settle(service, &runs[i]);
        store_run_done(&runs[i]);
    }
    mem_free(runs);
}
