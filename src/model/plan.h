/*
 * A plan: what a run will do, step by step, with the state it was made from. Immutable once hashed;
 * plan/ makes it, a person approves its hash, apply/ carries it out.
 */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/resource.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_FORMAT_VERSION 1

enum step_kind {
    STEP_CREATE,
    STEP_UPDATE,
    STEP_DELETE,
    STEP_RENAME, /* the record moves to another address; nothing happens outside */
    STEP_START,  /* a stopped target (a twin whose supervisor is gone) is started again */
    STEP_FORGET, /* the record goes; nothing happens outside */
    STEP_ADOPT,  /* what is there already gets a record; nothing happens outside */
    STEP_ACT,    /* a named action on a resource, whose spec stays as it is */
    STEP_KEEP,   /* counted only: neither stored nor hashed */
    STEP_KIND_COUNT
};
const char *step_kind_to_string(enum step_kind kind);
enum step_kind step_kind_from_string(const char *text);

/* Why a step is in the plan. Code and the sentence for people. */
#define STEP_REASONS(X)                                                                  \
    X(NEW, "new", "does not exist yet")                                                  \
    X(CHANGED, "changed", "the document changed")                                        \
    X(DRIFTED, "drifted", "it was changed outside of Parley")                            \
    X(GONE, "gone", "it was removed outside of Parley")                                  \
    X(FOUND, "found", "it is gone, and another thing carries its marker")                \
    X(PARTLY, "partly", "an earlier run finished it only in part")                       \
    X(REMOVED, "removed", "the document no longer has it")                               \
    X(DESTROY, "destroy", "the deployment is destroyed")                                 \
    X(REPLACED, "replaced", "a property changed that cannot change in place")            \
    X(MOVED, "moved", "what it refers to is another one now")                            \
    X(DEPOSED, "deposed", "its replacement is in place")                                 \
    X(EXPIRED, "expired", "its time (lifecycle.expires) is over")                        \
    X(RENAMED, "renamed", "the document names it anew")                                  \
    X(STOPPED, "stopped", "the target is stopped")                                       \
    X(FORGOTTEN, "forgotten", "it was asked to be forgotten; what is there stays there") \
    X(RELEASED, "released", "what adopted it is taken back; what is there stays there")  \
    X(IMPORTED, "imported", "it is there already and was asked to be adopted")           \
    X(OURS, "ours", "it is there already, made for this deployment")                     \
    X(ASKED, "asked", "it was asked for")                                                \
    X(SAME, "same", "it is as it should be")

enum step_reason {
#define STEP_REASON_ENUM(name, wire, sentence) STEP_REASON_##name,
    STEP_REASONS(STEP_REASON_ENUM)
#undef STEP_REASON_ENUM
        STEP_REASON_COUNT
};
const char *step_reason_to_string(enum step_reason reason);
const char *step_reason_sentence(enum step_reason reason);
enum step_reason step_reason_from_string(const char *text);

/* The stages for people, in their order; a type's catalog entry says which it is of (its phase). */
enum stage {
    STAGE_NETWORK,
    STAGE_SECURITY,
    STAGE_INFRASTRUCTURE,
    STAGE_APPLICATION,
    STAGE_MONITORING,
    STAGE_COUNT
};
const char *stage_to_string(enum stage stage); /* "network" */
const char *stage_title(enum stage stage);     /* "Network Foundation" */
enum stage stage_from_string(const char *text);

struct step {
    char *id; /* owned, "KIND ADDRESS#GENERATION" */
    enum step_kind kind;
    enum step_reason reason;
    char *address;     /* owned; for a rename the new one */
    char *former;      /* owned: for a rename the old address, else NULL */
    char *type;        /* owned; "" for a start, which is about a whole system */
    char *instance;    /* owned */
    char *uid;         /* owned; "" for a start */
    char *provider_id; /* owned; NULL while there is none */
    char *origin;      /* owned */
    int64_t generation;
    enum stage stage;
    bool replaces;         /* half of a replacement */
    bool protect;          /* what the record will say */
    bool irreversible;     /* what it removes cannot be brought back by an undo */
    bool record_only;      /* of an update: nothing happens outside, the record follows */
    struct value *before;  /* owned spec; NULL when there is nothing yet; of an adoption what
                              is there, and must be so still when it is carried out; of an action
                              {primary, role, state}: what the system said of its member */
    struct value *after;   /* owned spec with unknowns; NULL when deleting; of an adoption what
                              is wanted of it, which an update after it sees to, or none; of an
                              action {action, member}: its name, and what it is about */
    struct value *live;    /* owned spec: of a record-only update what is there, where that is not
                              as after says; NULL otherwise */
    struct value *changed; /* owned list of paths that differ, of an update, an adoption and
                              of the create of a replacement; NULL otherwise */
    /* Owned map of path -> value: where the system's own dry run says that it will have something
     * else than after says, or something that after does not say; NULL: nowhere. */
    struct value *proposed;
    struct value *filled; /* owned map of path -> origin: what a pattern filled in of what the step
                              makes or changes, of a resource of another origin; NULL: nothing */
    struct string_list defaulted;  /* those of them that go back to their default */
    struct string_list resources;  /* addresses the resource depends on: goes into its record */
    struct string_list depends_on; /* ids of steps, and of groups, that must be done before */
    struct value *reverts; /* owned list of {revision, who, when, words}: revisions of others, or
                              after the base, that it undoes; NULL: none */
    double seconds;        /* how long it will take; shown, not hashed */
    char *note;            /* owned: a stand-in, a limit of the target; may be NULL */
};

/*
 * Steps that many others wait for, named once: a thousand steps that each wait for a thousand
 * others are two thousand names. "all of NAME" are those that make a counted resource what it is to
 * be, "users of NAME" those that remove what depends on it.
 */
struct step_group {
    char *id;                      /* owned; stands in the depends_on of steps */
    struct string_list depends_on; /* ids of its steps */
};

/* What has more members than this is a group. */
enum { PLAN_GROUP_MIN = 8 };

/* Whether it changes anything outside of Parley. */
bool step_has_effect(const struct step *step);

struct plan {
    char hash[65];        /* of the canonical form; "" before plan_seal() */
    char *deployment;     /* owned name */
    char *environment;    /* owned */
    char *deployment_uid; /* owned */
    int64_t incarnation;
    int64_t records_version; /* the deployment's record set this was made from */
    char *document;          /* owned text of the document; NULL for a destroy */
    char *document_digest;   /* owned */
    char *given;           /* owned: the file's own text, where document is a merge of it with later
                              revisions; else NULL */
    char *source;          /* owned: what the document came from, "file", "words" or "undo" */
    struct value *parents; /* owned list: numbers of the revisions the document was made from */
    char *catalog_digest;  /* owned */
    bool is_destroy;
    bool is_production;
    struct value *identities; /* owned map of instance -> who it really is */
    struct value *variables;  /* owned map of the variables as used */
    /* Owned map of address -> {uid, spec, outputs} of what exists already and is only referred to.
     */
    struct value *existing;
    /*
     * Owned map of instance -> list of texts: what others have staged there, and what an activation
     * of this plan's changes would activate with them. Only instances where there is something.
     */
    struct value *pending;
    /* Owned map of what was read of other deployments, "NAME@ENVIRONMENT" -> {uid, revision,
     * records_version, values}; NULL or empty: nothing. */
    struct value *reads;
    /* Owned map of name -> {digest, source} of the document's secrets; NULL or empty: none. */
    struct value *secrets;
    /* Owned map of name -> digest of the site's secrets that its instances are let in with; NULL or
     * empty: none. */
    struct value *credentials;
    /* Owned map {refresh: "full"|"changed"|"none", read, calls, unread, oldest}: how many recorded
     * resources were read for it, with how many calls, how many were not, and the oldest time at
     * which what is known of those was so. Shown, not hashed; NULL: not told. */
    struct value *knowledge;
    /* Owned map {targets: [address], left_out: {KIND: steps}} of a plan that is limited to targets
     * and what they need; NULL: of a whole one. */
    struct value *partial;
    bool changes_outputs;  /* they are others than the deployment has, or will be */
    struct value *outputs; /* owned map of the deployment's outputs, with unknowns; may be NULL */
    struct step *steps;    /* owned, in an order that depends_on allows */
    size_t n_steps;
    size_t capacity;
    struct step_group *groups; /* owned */
    size_t n_groups;
    size_t groups_capacity;
    size_t counts[STEP_KIND_COUNT]; /* keep included */
    struct diagnostics notes;       /* stand-ins and warnings: shown, not hashed */
};

struct plan *plan_new(void);
void plan_free(struct plan *plan); /* accepts NULL */
DEFINE_CLEANUP(struct plan *, plan_free)
/* Makes room for so many more steps. */
void plan_reserve_steps(struct plan *plan, size_t n_more);
/* A new, empty step at the end; borrowed until the next one is added. */
struct step *plan_add_step(struct plan *plan);
/* Drops those that are not kept, one for each step. */
void plan_keep_steps(struct plan *plan, const bool *kept);
void plan_keep_groups(struct plan *plan, const bool *kept);
/* Takes over what is in the list, and leaves it empty. */
void plan_add_group(struct plan *plan, const char *id, struct string_list *take_depends_on);
/* Linear in the number of steps; use a map for many. */
struct step *plan_find_step(const struct plan *plan, const char *id);

/* How many steps it has, by its counts: also one whose steps were not read. */
size_t plan_count_steps(const struct plan *plan);
/* Seconds along the longest chain of steps. */
double plan_critical_seconds(const struct plan *plan);

/* Fills in counts and hash: SHA-256 of plan_to_value() without hash, notes and durations, as
 * canonical JSON. */
void plan_seal(struct plan *plan);

/* The plan as it is saved, stored and answered to --json (DESIGN section 17), and back; a wrong
 * hash is refused. */
struct value *plan_to_value(const struct plan *plan);
/* The same as canonical JSON. The caller frees it. */
char *plan_text(const struct plan *plan);
/* The same in parts, as the store keeps it: all but the document and the steps. plan_from_value()
 * takes it with them. The caller frees it. */
char *plan_head_text(const struct plan *plan);

/*
 * A step as the store keeps it: what most steps have are texts of their own, which are read without
 * a parser; the rest is JSON, without what says nothing. Where there is no LABEL, BODY has it all.
 */
enum step_text {
    STEP_TEXT_BODY,   /* JSON map of all that has no text of its own; "{}" where that is nothing */
    STEP_TEXT_LABEL,  /* the id, which says kind, address and generation, too */
    STEP_TEXT_REASON, /* from here on NULL says that there is none */
    STEP_TEXT_TYPE,
    STEP_TEXT_INSTANCE,
    STEP_TEXT_UID,
    STEP_TEXT_ORIGIN,
    STEP_TEXT_STAGE,
    STEP_TEXT_AFTER,      /* JSON */
    STEP_TEXT_BEFORE,     /* JSON */
    STEP_TEXT_RESOURCES,  /* an item a line */
    STEP_TEXT_DEPENDS_ON, /* an item a line */
    STEP_TEXT_COUNT
};
/*
 * The texts of step number i, which lie in the plan or in buffer, whose content they replace. They
 * live as long as both are left alone. No value's count is touched, so that another thread may ask
 * while the plan stays as it is.
 */
void plan_step_texts(const struct plan *plan, size_t i, struct strbuf *buffer,
                     const char *ret_texts[STEP_TEXT_COUNT]);
/* The step as one of the items that plan_from_value() takes. */
int step_from_texts(const char *const texts[STEP_TEXT_COUNT], struct value **ret_step,
                    struct error *err);
int plan_from_value(const struct value *value, struct plan **ret_plan, struct error *err);
/* A plan without its steps, under the hash it states: nothing is compared, so that nothing may be
 * done by it. */
int plan_read_head(const struct value *value, struct plan **ret_plan, struct error *err);
/* Adds the step of these texts behind those that it has. ERROR_CORRUPT when they are none. */
int plan_read_step(struct plan *plan, const char *const texts[STEP_TEXT_COUNT], struct error *err);
/* Seals a plan that was read in parts; ERROR_CORRUPT when it does not have the hash it stated. */
int plan_check_hash(struct plan *plan, struct error *err);
/* As plan_from_value() whatever hash it states: the plan has that of its content. For tests of what
 * is behind it. */
int plan_read_unsealed(const struct value *value, struct plan **ret_plan, struct error *err);

/*
 * Whether resolved is what was approved: equal to after wherever that was known (DESIGN section 5).
 * On ERROR_STALE the message names the path that differs.
 */
int step_check_refinement(const struct step *step, const struct value *resolved, struct error *err);
