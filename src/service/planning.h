/*
 * What a plan is made from, while it is gathered: the document, what is recorded, who the systems
 * are, what is there. Private to service/.
 */
#pragma once

#include "plan/plan.h"
#include "service/adoptions.h"
#include "service/revisions.h"
#include "service/service.h"

struct planning {
    struct service *service;
    struct loaded_document loaded;
    struct store_deployment deployment; /* uid NULL while there is none */
    char *uid;                          /* owned: of the deployment, also of one to be made */
    int64_t incarnation;
    int64_t revision;
    struct records records;
    struct observation *observations; /* owned */
    struct value *identities;         /* owned */
    struct value *parents;            /* owned list of the revisions it is made from */
    struct value *pending;            /* owned map of instance -> what others have staged there */
    struct map expired;               /* addresses whose time is over */
    struct lineage lineage;
    struct adoptions adoptions;         /* what is there without a record */
    struct map gone;                    /* names of what was read and is not there */
    struct map marked;                  /* instances on which something was found with our mark */
    struct map roots;                   /* instance -> owned struct string_list */
    struct string_list forget;          /* addresses */
    struct planned_action action;       /* owned values; address NULL: none */
    struct string_list targets;         /* addresses */
    struct map released;                /* uids of what was adopted by what is taken back */
    struct diagnostics notes;           /* what the merge with later revisions has to say */
    const struct plan_request *request; /* borrowed */
    int64_t told_at;                    /* world_monotonic_clock() when reading was told of last */
    struct {
        size_t n_read;  /* records */
        size_t n_calls; /* for them; each once, however often the system put it off */
    } knowledge;
};

/* --- plan-verbs.c --- */

/* Stores a plan, its steps and that the caller made it; the plan is borrowed for the life of the
 * batch. */
void planning_put_plan(const struct service *service, struct store_batch *batch,
                       const struct plan *plan);

/* --- planning-instances.c: instances that resources configure --- */

/* Notes what each such instance hangs on, lets what is on it come after that, and configures those
 * that can be by what is recorded. ERROR_INVALID when one cannot be: then diagnostics say why. */
int planning_configure_instances(struct planning *planning, struct diagnostics *diagnostics,
                                 struct error *err);
/* Who a system is that this plan makes, or makes anew, is known only afterwards. */
void planning_forget_identities(const struct planning *planning, struct plan *plan);
/* Whether the plan knows who the system is; also of one that it says nothing of. */
bool planning_knows_system(const struct plan *plan, const char *instance);
/* What was on a system that is gone is gone with it: nobody can be asked. */
bool planning_is_gone_with_root(const struct planning *planning, const struct record *record);
/* Remembers what was read and is not there. */
void planning_note_gone(struct planning *planning, const struct record *record,
                        const struct observation *seen);

/* --- planning-action.c --- */
/* Looks at what an action is to be done to, and says what there is to be approved. */
CO_FN int planning_find_action(struct planning *planning, struct error *err);

/* --- planning-observe.c --- */

/* Who an instance was when something was last changed there, where it says that it is another now;
 * NULL: it is the same, or does not say. Borrowed from the planning. */
const char *planning_former_account(const struct planning *planning, const char *instance);

/*
 * Reads what is recorded, or only what is chosen (one for each record; NULL: all), and not what was
 * read before. Where nothing is found of all that was chosen of an instance, the rest of it is
 * chosen, too. ERROR_CONFLICT when all of an instance is gone at once, or when it says that it is
 * another than it was and nothing there is known to be ours.
 */
CO_FN int planning_observe(struct planning *planning, bool *chosen, struct error *err);

/* --- planning-changed.c --- */

/* Reads what a plan from this input changes, what depends on that, and so on with what the reads
 * bring to light. */
CO_FN int planning_observe_changed(struct planning *planning, const struct plan_input *input,
                                   struct error *err);
/* What was read and how old the rest is, as in struct plan. The caller unrefs it. */
struct value *planning_tell_knowledge(const struct planning *planning, enum plan_refresh refresh);

/* --- planning-reads.c: what the systems are asked --- */

/* Asks every instance that the plan touches who it really is. */
CO_FN int planning_identify(struct planning *planning, struct error *err);
/* What others have staged where our changes need an activation: it would activate that, too. */
CO_FN int planning_find_pending(struct planning *planning, struct error *err);
/* What each target cannot do, or only stands in for, is said before anybody approves. */
CO_FN int planning_propose(struct planning *planning, struct plan *plan,
                           struct diagnostics *diagnostics, struct error *err);
