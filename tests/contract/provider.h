/*
 * What the tests of providers share: a scratch home, an instance, and each verb as a call that runs
 * the loop until it has ended, so that tests read top to bottom and CHECK outside of coroutines.
 */
#pragma once

#include "harness.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/provider.h"

#include <ftw.h>
#include <unistd.h>

/* One instance in a home of its own. */
struct rig {
    struct loop *loop;
    char home[64];
    struct provider *provider;
    struct call call;
    bool is_cancelled;
    int64_t patience_us; /* of each request; negative: as long as the driver's own limit */
    struct value *no_references;
    struct strbuf handles; /* what was journalled, a line each */
};

enum request_verb { IDENTIFY, READ, APPLY, PROBE, PROPOSE, DESCRIBE, PENDING, COMMIT, LIST };

/* A request and what came of it. request_done() frees the latter. */
struct request {
    enum request_verb verb;
    struct rig *rig;
    struct target target;
    struct step step;
    struct value *after;          /* borrowed */
    int64_t began_at;             /* of the attempt that a probe asks about */
    int64_t sent_by;              /* the same by the monotonic clock */
    const char *handle;           /* the same; borrowed */
    const struct value *approved; /* of a commit: foreign edits; NULL: none. Borrowed */
    const char *cursor;           /* of a list; borrowed */
    size_t limit;                 /* of a list */
    const char *not_own; /* of a commit and of pending: an own uid that is left out; NULL: none */
    int r;
    bool has_ended;
    struct error err;
    char *identity;
    struct live live;
    struct outcome outcome;
    enum probe_kind probe;
    struct diagnostics diagnostics;
    struct value *sections;
    struct value *foreign;
    struct value *proposed;
    struct page page;
};

static inline struct value *from_json(const char *text)
{
    struct error err = {0};
    struct value *value = NULL;
    if (json_read(text, strlen(text), &value, &err) < 0)
        printf("# %s: %s\n", text, error_message(&err));
    error_done(&err);
    return value;
}

static inline int keep_handle(void *argument, const char *handle, struct error *err)
{
    (void)err;
    struct rig *rig = argument;
    strbuf_addf(&rig->handles, "%s\n", handle);
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *status, int kind,
                               struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

/* Another instance on the same home, as another process would have it. config is JSON or NULL. */
static inline int rig_open(struct rig *rig, const char *driver, const char *config,
                           struct error *err)
{
    CLEANUP(value_unrefp) struct value *settings = config ? from_json(config) : NULL;
    provider_free(rig->provider);
    rig->provider = NULL;
    return provider_new(rig->loop, "acme.default", driver, settings, rig->home, &rig->provider,
                        err);
}

static inline void rig_init(struct rig *rig, const char *driver, const char *config)
{
    *rig = (struct rig){.patience_us = -1};
    struct value_builder nothing = {0};
    rig->no_references = value_builder_map(&nothing);
    snprintf(rig->home, sizeof(rig->home), "%s/parley-test-XXXXXX", temporary_folder());
    if (!mkdtemp(rig->home))
        abort();
    rig->loop = loop_new();
    rig->call = (struct call){
        .loop = rig->loop,
        .deadline = -1,
        .is_cancelled = &rig->is_cancelled,
        .journal_handle = keep_handle,
        .argument = rig,
    };
    struct error err = {0};
    if (rig_open(rig, driver, config, &err) < 0)
        printf("# %s\n", error_message(&err));
    error_done(&err);
}

static inline void rig_done(struct rig *rig)
{
    provider_free(rig->provider);
    loop_free(rig->loop);
    coroutine_pool_done();
    value_unref(rig->no_references);
    strbuf_done(&rig->handles);
    nftw(rig->home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void request_run(void *argument)
{
    struct request *request = argument;
    struct provider *provider = request->rig->provider;
    struct call call = request->rig->call;
    struct attempt attempt = {.step = &request->step,
                              .after = request->after,
                              .handle = request->handle,
                              .began_at = request->began_at,
                              .sent_by = request->sent_by,
                              .token_at = request->began_at};
    char *uid = (char *)request->target.uid;
    bool is_own = !request->not_own || strcmp(request->not_own, uid ? uid : "") != 0;
    struct string_list uids = {.items = &uid, .n_items = uid && is_own ? 1 : 0};
    CLEANUP(value_unrefp) struct value *nothing = value_list(NULL, 0);
    struct listing listing = {request->target.type, request->cursor, request->limit};
    struct activation activation = {&uids, request->approved ? request->approved : nothing};
    if (request->rig->patience_us >= 0)
        call.deadline = world_monotonic_clock() + request->rig->patience_us;
    switch (request->verb) {
    case IDENTIFY:
        request->r = provider_identify(provider, &call, &request->identity, &request->err);
        break;
    case READ:
        request->r =
            provider_read(provider, &call, &request->target, &request->live, &request->err);
        break;
    case APPLY:
        request->r = provider_apply(provider, &call, &request->target, &request->step,
                                    request->after, &request->outcome, &request->err);
        break;
    case PROBE:
        request->r = provider_probe(provider, &call, &request->target, &attempt, &request->probe,
                                    &request->outcome, &request->err);
        break;
    case PROPOSE:
        request->r = provider_propose(provider, &call, &request->target, &request->step,
                                      &request->proposed, &request->diagnostics, &request->err);
        break;
    case DESCRIBE:
        request->r = provider_describe(provider, &call, &uids, &request->sections, &request->err);
        break;
    case PENDING:
        request->r = provider_pending(provider, &call, &uids, &request->foreign, &request->err);
        break;
    case LIST:
        request->r = provider_list(provider, &call, &listing, &request->page, &request->err);
        break;
    case COMMIT:
        request->r =
            provider_commit(provider, &call, &activation, &request->outcome, &request->err);
        break;
    }
    request->has_ended = true;
}

static inline void request_done(struct request *request)
{
    error_done(&request->err);
    mem_free(request->identity);
    live_done(&request->live);
    outcome_done(&request->outcome);
    diagnostics_done(&request->diagnostics);
    value_unref(request->sections);
    value_unref(request->foreign);
    value_unref(request->proposed);
    page_done(&request->page);
    *request = (struct request){0};
}

static inline void request_send(struct request *request)
{
    loop_spawn(request->rig->loop, "request", request_run, request);
}

/* Frees what an earlier use left in it. */
static inline void request_renew(struct request *request)
{
    struct request fresh = {
        .verb = request->verb,
        .rig = request->rig,
        .target = request->target,
        .step = request->step,
        .after = request->after,
        .began_at = request->began_at,
        .sent_by = request->sent_by,
        .handle = request->handle,
        .approved = request->approved,
        .not_own = request->not_own,
        .cursor = request->cursor,
        .limit = request->limit,
    };
    request_done(request);
    *request = fresh;
}

/* Sends it and waits for its end. */
static inline void request_make(struct request *request)
{
    request_renew(request);
    request_send(request);
    loop_run(request->rig->loop);
}

/* A request about one resource. */
static inline struct request request_of(struct rig *rig, const struct resource_type *type,
                                        const char *address)
{
    return (struct request){
        .rig = rig,
        .target =
            {
                .type = type,
                .uid = address,
                .address = address,
                .deployment = "shop",
                .generation = 1,
                .references = rig->no_references,
            },
    };
}

static inline void request_apply(struct request *request, enum step_kind kind, struct value *after)
{
    request->verb = APPLY;
    request->step.kind = kind;
    request->after = after;
    request_make(request);
}

static inline void request_read(struct request *request)
{
    request->verb = READ;
    request_make(request);
}

/* What became of the step that was applied last, as a fresh process would ask. */
static inline void request_probe(struct request *request)
{
    request->verb = PROBE;
    request_make(request);
}
