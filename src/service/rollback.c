/* The way back of a run: a plan to the revision before it. */
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "service/revisions.h"
#include "service/service.h"

#include <assert.h>

/* What a rollback goes back to. */
struct target_revision {
    int64_t number;    /* 0: to nothing at all */
    char *document;    /* owned; NULL then */
    struct plan *plan; /* owned: the plan that made it; NULL when the store has it no more */
};

static void target_revision_done(struct target_revision *target)
{
    mem_free(target->document);
    plan_free(target->plan);
}

static int read_revision(struct service *service, const char *deployment,
                         const char *deployment_uid, int64_t number, struct target_revision *target,
                         struct error *err)
{
    CLEANUP(value_unrefp) struct value *revision = NULL;
    int r = store_get_revision(service->store, deployment_uid, number, &revision, err);
    if (r < 0 || (r = revision_check_whole(revision, deployment, err)) < 0)
        return r;
    const char *plan = value_get_text(revision, "plan");
    target->number = value_get_integer(revision, "number", 0);
    target->document = string_copy(value_get_text(revision, "document"));
    return plan ? service_get_plan(service, plan, &target->plan, err) : 0;
}

/* A destroy and a forget make no revision: before it was what is the newest one still. */
static int find_before(struct service *service, const struct store_run *run,
                       const struct plan *plan, struct target_revision *target, struct error *err)
{
    CLEANUP(value_unrefp) struct value *head = NULL;
    if (plan->is_destroy || !plan->document)
        return read_revision(service, plan->deployment, run->deployment_uid, 0, target, err);
    int r = store_get_revision(service->store, run->deployment_uid, 0, &head, err);
    if (r < 0)
        return r;
    int64_t number = value_get_integer(head, "number", 0);
    if (!text_equal_or_null(value_get_text(head, "run"), run->id))
        return error_set(err, ERROR_CONFLICT,
                         "revision %lld of %s is not of the run %.8s; there is no way back of that "
                         "run alone any more",
                         (long long)number, plan->deployment, run->id);
    if (number == 1)
        return 0;
    return read_revision(service, plan->deployment, run->deployment_uid, number - 1, target, err);
}

/* To the document of that revision with its variables; without one, to nothing at all. */
static struct plan_request request_of(const struct target_revision *target, const char *word,
                                      const char *path)
{
    return (struct plan_request){
        .source = {.path = path,
                   .text = target->document,
                   .variables = target->plan ? target->plan->variables : NULL},
        .deployment = target->document ? NULL : word,
        /* What the run itself did is meant to be undone; what others did is not. */
        .origin = target->document ? "undo" : NULL,
        .base = target->number + 1,
        .back_to = &target->number,
        .refresh = PLAN_REFRESH_FULL,
    };
}

static int find_target(struct service *service, const char *word, struct plan **ret_forward,
                       struct target_revision *target, struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    CLEANUP(store_run_done) struct store_run run = {0};
    int r = service_find_deployment(service, word, &deployment, err);
    if (r == 0)
        r = service_find_last_run(service, deployment.uid, &run, err);
    if (r == 0 && !run.id)
        r = error_set(err, ERROR_NOT_FOUND, "no run of %s has begun: there is no way back",
                      deployment.name);
    if (r < 0 || (r = service_get_plan(service, run.plan_hash, ret_forward, err)) < 0)
        return r;
    assert(*ret_forward);
    return find_before(service, &run, *ret_forward, target, err);
}

int service_plan_rollback(struct service *service, const char *deployment, struct plan **ret_plan,
                          char **ret_text, struct diagnostics *diagnostics, struct error *err)
{
    CLEANUP(plan_freep) struct plan *forward = NULL;
    CLEANUP(target_revision_done) struct target_revision target = {0};
    int r = find_target(service, deployment, &forward, &target, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *word = string_format("%s@%s", forward->deployment, forward->environment);
    CLEANUP(mem_freep)
    char *path = string_format("revision %lld of %s", (long long)target.number, word);
    struct plan_request request = request_of(&target, word, path);
    return service_plan(service, &request, ret_plan, ret_text, diagnostics, err);
}
