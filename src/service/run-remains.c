#include "service/run-remains.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { LOG_LIMIT = 16 << 20 };

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

/* What the run's process said of its end: the error that it printed last; NULL when it said none.
 */
static char *read_last_words(struct service *service, const char *run_id)
{
    static const char start[] = "parley: ";
    CLEANUP(mem_freep) char *path = log_path(service, run_id);
    CLEANUP(mem_freep) char *text = NULL;
    const char *last = NULL;
    if (world_read_file(path, LOG_LIMIT, &text, NULL, NULL) < 0)
        return NULL;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (text_starts_with(line, start))
            last = line + strlen(start);
    return last ? string_copy_n(last, strcspn(last, "\n")) : NULL;
}

/* The code of the error with which the run's process ended, when this door saw that. */
static enum error_code code_of_end(int end)
{
    int code = end >= 0 && WIFEXITED(end) ? WEXITSTATUS(end) - RUN_EXIT : 0;
    return code > 0 && code < ERROR_CODE_COUNT ? (enum error_code)code : ERROR_UNAVAILABLE;
}

/* On a full disk nobody can leave words. */
static char *explain_end(struct service *service, const char *run_id)
{
    char *words = read_last_words(service, run_id);
    int end = service->run_end;
    if (words)
        return words;
    if (end >= 0 && WIFSIGNALED(end))
        return string_format("its process was ended by signal %d", WTERMSIG(end));
    if (code_of_end(end) == ERROR_LIMIT)
        return string_format("there is no more room in %s; make room there", service->home);
    return string_copy("its process is gone");
}

int run_tell_death(struct service *service, const char *run_id, struct error *err)
{
    CLEANUP(mem_freep) char *why = explain_end(service, run_id);
    CLEANUP(mem_freep) char *path = log_path(service, run_id);
    return error_set(err, code_of_end(service->run_end),
                     "the run %.8s ended early: %s; what it did is in its journal, and "
                     "\"parley resume\" goes on with it (its log is %s)",
                     run_id, why, path);
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
