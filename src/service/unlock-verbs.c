/* The verb unlock: ends the process of a run that hangs, and settles what it left. */
#include "apply/apply.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "net/process.h"
#include "service/allowed.h"
#include "service/run-remains.h"
#include "service/service.h"

enum { SECOND = 1000000, END_SECONDS = 30, FREE_SECONDS = 5, LOOK_AGAIN_US = 10000 };

static struct value *describe(const struct store_deployment *deployment, const char *run_id,
                              int64_t pid)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "deployment", deployment->name);
    value_builder_set_string(&fields, "environment", deployment->environment);
    value_builder_set(&fields, "is_locked", value_bool(pid > 0));
    value_builder_set_string(&fields, "run", run_id);
    if (pid > 0)
        value_builder_set(&fields, "pid", value_integer(pid));
    return value_builder_map(&fields);
}

/* The newest run that is under way by its row; NULL when there is none. The caller frees it. */
static int find_run(struct service *service, const char *deployment_uid, char **ret_run_id,
                    struct error *err)
{
    struct store_run run = {0};
    *ret_run_id = NULL;
    int r = service_find_last_run(service, deployment_uid, &run, err);
    if (r == 0 && run.id && run.status == RUN_RUNNING)
        *ret_run_id = string_copy(run.id);
    store_run_done(&run);
    return r;
}

/* Who has the lease: *ret_descriptor is -1 when nobody has. */
static int find_holder(struct service *service, const char *deployment_uid, pid_t *ret_pid,
                       int *ret_descriptor, struct error *err)
{
    CLEANUP(mem_freep) char *path = apply_lease_path(service->home, deployment_uid);
    *ret_descriptor = -1;
    *ret_pid = 0;
    if (!world_file_is_locked(path))
        return 0;
    int r = process_find_user(path, ret_pid, ret_descriptor, err);
    return r < 0 ? error_wrap(err, r, "the lease is held, but by whom cannot be told") : 0;
}

int service_show_lock(struct service *service, const char *word, struct value **ret_lock,
                      struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    CLEANUP(mem_freep) char *run_id = NULL;
    CLEANUP(close_descriptorp) int holder = -1;
    pid_t pid = 0;
    int r = allowed_check(service, VERB_ADMINISTER, "to end who holds a lease", err);
    if (r == 0)
        r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = find_run(service, deployment.uid, &run_id, err);
    if (r == 0)
        r = find_holder(service, deployment.uid, &pid, &holder, err);
    if (r == 0)
        *ret_lock = describe(&deployment, run_id, pid);
    return r;
}

/* The kernel frees the lock with the process, but maybe a moment after its end was told. */
static int await_free(struct service *service, const char *deployment_uid, struct error *err)
{
    CLEANUP(mem_freep) char *path = apply_lease_path(service->home, deployment_uid);
    int64_t deadline = world_monotonic_clock() + (int64_t)FREE_SECONDS * SECOND;
    while (world_file_is_locked(path)) {
        if (world_monotonic_clock() >= deadline)
            return error_set(err, ERROR_BUSY, "another process has taken the lease meanwhile");
        loop_sleep(service->loop, LOOK_AGAIN_US);
    }
    return 0;
}

static int audit_unlock(struct service *service, const struct store_deployment *deployment,
                        const char *run_id, int64_t pid, struct error *err)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "deployment", deployment->uid);
    value_builder_set_string(&fields, "run", run_id);
    value_builder_set(&fields, "pid", value_integer(pid));
    return service_audit(service, "unlock", &fields, err);
}

int service_unlock(struct service *service, const char *word, int64_t pid, struct value **ret_lock,
                   struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    CLEANUP(mem_freep) char *run_id = NULL;
    CLEANUP(close_descriptorp) int holder = -1;
    pid_t found = 0;
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = find_run(service, deployment.uid, &run_id, err);
    if (r == 0)
        r = find_holder(service, deployment.uid, &found, &holder, err);
    if (r == 0 && found != pid)
        return error_set(err, ERROR_STALE,
                         "the lease of %s is held by another process than was said; look again",
                         deployment.name);
    if (r == 0 && holder >= 0)
        r = process_end(service->loop, holder,
                        world_monotonic_clock() + (int64_t)END_SECONDS * SECOND, err);
    if (r == 0)
        r = await_free(service, deployment.uid, err);
    if (r == 0)
        r = audit_unlock(service, &deployment, run_id, pid, err);
    if (r == 0)
        r = service_settle(service, deployment.uid, err);
    if (r == 0)
        *ret_lock = describe(&deployment, run_id, 0);
    return r;
}
