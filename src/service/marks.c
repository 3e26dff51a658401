#include "service/marks.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "store/audit.h"

#include <inttypes.h>

enum { LOOKED_AT = 50 }; /* of a deployment's newest runs, for those of one plan */

/* --- Of all --- */

static int write_state(struct service *service, const struct store_deployment *deployment,
                       struct strbuf *text, struct error *err)
{
    struct store_run *runs = NULL;
    size_t n = 0;
    int r = store_list_runs(service->store, deployment->uid, 1, &runs, &n, err);
    strbuf_addf(text, "%" PRId64 " %" PRId64 " %" PRId64 " ", deployment->records_version,
                deployment->head_revision, deployment->updated_at);
    if (r == 0 && n > 0) {
        strbuf_addf(text, "%s %d\n", runs[0].id, (int)runs[0].status);
        store_run_done(&runs[0]);
    }
    mem_free(runs);
    return r;
}

static int mark_deployments(struct service *service, bool with_state, struct strbuf *text,
                            struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    int r = store_list_deployments(service->store, &deployments, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        strbuf_addf(text, "%s %d\n", deployments[i].uid, (int)deployments[i].is_destroyed);
        if (with_state)
            r = write_state(service, &deployments[i], text, err);
    }
    for (size_t i = 0; i < n; i++)
        store_deployment_done(&deployments[i]);
    mem_free(deployments);
    return r;
}

static int mark_audit(struct service *service, struct strbuf *text, struct error *err)
{
    int64_t number = 0;
    int r = store_last_audit(service->store, &number, err);
    strbuf_addf(text, "%" PRId64, number);
    return r;
}

/* --- Of one --- */

static int mark_deployment(struct service *service, const char *name, bool is_document,
                           struct strbuf *text, struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    int r = service_find_deployment(service, name, &deployment, err);
    if (r == 0)
        strbuf_addf(text, "%s %" PRId64, deployment.uid,
                    is_document ? deployment.head_revision : deployment.records_version);
    return r;
}

/* Writes (text may be NULL) the runs of a plan, and gives the newest (ret_newest may be NULL). */
static int look_at_runs(struct service *service, const char *deployment_uid, const char *hash,
                        struct strbuf *text, struct store_run *ret_newest, struct error *err)
{
    struct store_run *runs = NULL;
    size_t n = 0;
    bool is_found = false;
    int r = store_list_runs(service->store, deployment_uid, LOOKED_AT, &runs, &n, err);
    for (size_t i = 0; i < n; i++) {
        bool is_of_it = text_equal(runs[i].plan_hash, hash);
        if (is_of_it && text)
            strbuf_addf(text, " %s %d", runs[i].id, (int)runs[i].status);
        if (is_of_it && ret_newest && !is_found)
            *ret_newest = runs[i];
        else
            store_run_done(&runs[i]);
        is_found = is_found || is_of_it;
    }
    mem_free(runs);
    return r;
}

int service_find_run_of(struct service *service, const struct plan *plan, struct store_run *ret_run,
                        struct error *err)
{
    *ret_run = (struct store_run){0};
    return look_at_runs(service, plan->deployment_uid, plan->hash, NULL, ret_run, err);
}

static int mark_plan(struct service *service, const char *prefix, struct strbuf *text,
                     struct error *err)
{
    CLEANUP(value_unrefp) struct value *head = NULL;
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = store_get_plan_head(service->store, prefix, &head, err);
    if (r < 0 || (r = plan_read_head(head, &plan, err)) < 0 ||
        (r = store_list_approvals(service->store, plan->hash, &approvals, err)) < 0)
        return r;
    json_write(text, approvals);
    return look_at_runs(service, plan->deployment_uid, plan->hash, text, NULL, err);
}

static int mark_run(struct service *service, const char *prefix, struct strbuf *text,
                    struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    struct store_run run = {0};
    int r = service_complete_run_id(service, prefix, &id, err);
    if (r == 0)
        r = store_get_run(service->store, id, &run, err);
    if (r == 0)
        strbuf_addf(text, "%s %d %" PRId64, run.id, (int)run.status, run.n_chained);
    store_run_done(&run);
    return r;
}

static int write_mark(struct service *service, enum mark_kind kind, const char *name,
                      struct strbuf *text, struct error *err)
{
    switch (kind) {
    case MARK_NAMES:
    case MARK_DEPLOYMENTS:
        return mark_deployments(service, kind == MARK_DEPLOYMENTS, text, err);
    case MARK_RECORDS:
    case MARK_DOCUMENT:
        return mark_deployment(service, name, kind == MARK_DOCUMENT, text, err);
    case MARK_PLAN:
        return mark_plan(service, name, text, err);
    case MARK_RUN:
        return mark_run(service, name, text, err);
    case MARK_AUDIT:
        return mark_audit(service, text, err);
    }
    return 0;
}

/* Whether there is nothing to be seen, which is no fault here. */
static bool is_nothing(int r)
{
    return r == -ERROR_NOT_FOUND || r == -ERROR_CONFLICT || r == -ERROR_INVALID;
}

int service_find_mark(struct service *service, enum mark_kind kind, const char *name,
                      char **ret_mark, struct error *err)
{
    struct strbuf text = {0};
    struct error fault = {0};
    char digest[DIGEST_HEX_SIZE] = "";
    int r = service_need_store(service, false, &fault);
    if (r == 0)
        r = write_mark(service, kind, name, &text, &fault);
    if (r == 0)
        digest_hex(strbuf_text(&text), text.length, digest);
    strbuf_done(&text);
    if (r < 0 && !is_nothing(r))
        return error_move(err, &fault);
    error_done(&fault);
    *ret_mark = string_copy(digest);
    return 0;
}

int service_find_version(struct service *service, int64_t *ret_version, struct error *err)
{
    struct error fault = {0};
    int r = service_need_store(service, false, &fault);
    *ret_version = 0;
    if (r == 0)
        r = store_get_version(service->store, ret_version, &fault);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &fault);
    error_done(&fault);
    return 0;
}
