/*
 * Applying: carries an approved plan out, journalled before and after each effect, so that a run
 * killed at any instruction can be settled and resumed (DESIGN section 6). Decides nothing: the
 * plan says what, the drivers how.
 */
#pragma once

#include "base/error.h"
#include "catalog/catalog.h"
#include "model/outputs.h"
#include "model/plan.h"
#include "model/value.h"
#include "net/loop.h"
#include "provider/provider.h"
#include "store/store.h"

#include <stdbool.h>

/* What a dead run did at systems that are others now, and that somebody gives up. All borrowed. */
struct apply_given_up {
    const struct string_list *instances; /* their steps are asked of nobody */
    const struct value *entry; /* goes with the run's end into what is left, and into the audit */
};

/* What a run works with; all borrowed for the call. */
struct apply_context {
    struct loop *loop;
    struct store *store;
    const struct catalog *catalog;
    const char *home; /* where the leases' lock files lie */
    /* The provider of an instance; ERROR_NOT_FOUND for one that the site does not have. Borrowed.
     */
    int (*find_provider)(void *argument, const char *instance, struct provider **ret_provider,
                         struct error *err);
    /* Configures an instance that resources configure with what they have by now; does nothing for
     * others. May be NULL. */
    int (*configure)(void *argument, const char *instance, struct outputs *outputs,
                     struct error *err);
    bool (*is_configured)(void *argument,
                          const char *instance); /* whether it is one; with the above */
    /*
     * Told of everything that happens: durable events have a seq and were committed before,
     * progress has none. Borrowed. May be NULL.
     */
    void (*event)(void *event_argument, const struct value *event);
    void *event_argument;
    void *argument;           /* of the others */
    struct secrets *secrets;  /* those that the plan needs, by name; NULL: none */
    const bool *is_cancelled; /* no new step begins once it is true */
    /* Opened by whoever sets is_cancelled; borrowed. NULL: the run looks now and then. */
    struct gate *cancelled;
    /* world_wall_clock() from which on the approval no longer lets a run begin or be resumed,
     * though one that has begun goes on; 0: never. */
    int64_t approved_until;
    /* With it: how much of store_list_approvals() was looked at; what was refused or used since
     * lets no run begin or be resumed. Whoever begins uses them up. */
    size_t n_approvals_seen;
    const struct apply_given_up *given_up; /* NULL: nothing; for apply_settle() */
};

/*
 * Takes the lease, checks that the records are those the plan was made from, and carries it out.
 * row is the pending run as the store has it; its status, epoch and times are kept up to date there
 * and in *row. Returns 0 when the run came to an end, whatever that was: row->status says it.
 * Fails, and has changed nothing, with ERROR_BUSY when another run holds the lease and ERROR_STALE
 * when the records have moved on,
 * or the run was ended before it began. ERROR_APPROVAL_NEEDED when the approval has expired.
 */
CO_FN int apply_plan(const struct apply_context *context, const struct plan *plan,
                     struct store_run *row, struct error *err);

/*
 * Goes on with a run that ended early: settles what is open, tries what failed and does the rest of
 * its plan. As apply_plan() otherwise. ERROR_STALE when another run of the deployment came after
 * it.
 */
CO_FN int apply_resume(const struct apply_context *context, const struct plan *plan,
                       struct store_run *row, struct error *err);

/*
 * Finds out what became of each effect that a dead run began, writes that down and ends the run (as
 * failed, in part or done). Changes nothing outside. ERROR_BUSY while the run is alive. *ret_n_open
 * (may be NULL) is how many could not be told.
 */
CO_FN int apply_settle(const struct apply_context *context, const struct plan *plan,
                       struct store_run *row, size_t *ret_n_open, struct error *err);

/*
 * The run that had the lease of a deployment last, which need not be the one that was put last:
 * that is the run of the deployment's epoch. ERROR_NOT_FOUND when none ever had it (epoch 0). The
 * caller frees it with store_run_done().
 */
CO_FN int apply_find_last_run(struct store *store, const char *deployment_uid, int64_t epoch,
                              struct store_run *ret_run, struct error *err);
/* Whether it may have had effects that nobody has written down: it runs, it died, or it ended
 * without an answer. */
bool apply_may_be_open(const struct store_run *run);

/* The lock file of a deployment's lease. The caller frees it. */
char *apply_lease_path(const char *home, const char *deployment_uid);
