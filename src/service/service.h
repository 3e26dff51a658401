/*
 * The service: one function for each verb, which every door calls. A door decodes a request, calls
 * a verb and encodes the answer; what it means is decided here. Values go in and come out; JSON
 * text and pictures are the doors'.
 */
#pragma once

#include "auth/caller.h"
#include "base/error.h"
#include "base/map.h"
#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/plan.h"
#include "model/value.h"
#include "net/loop.h"
#include "provider/provider.h"
#include "secret/secret.h"
#include "service/site.h"
#include "store/store.h"

#include <stdbool.h>
#include <sys/types.h>

struct service;

/*
 * How a run gets a process of its own, and what is there instead of a socket while it is carried
 * out: for a simulated world, which has neither. log is as a child would get it: its lock is the
 * run's as long as it lives. begin() may keep cancel, and call it on the run's
 * loop, until end().
 */
struct run_host {
    int (*start)(struct service *service, const char *run_id, bool is_resume, int log,
                 struct error *err);
    void (*begin)(struct service *service, void (*cancel)(void *argument), void *argument);
    void (*end)(struct service *service);
};

struct service {
    struct loop *loop;       /* borrowed */
    char *home;              /* owned: the state folder, absolute */
    char *site_path;         /* owned, absolute; NULL when there is no site file */
    struct site *site;       /* owned */
    struct catalog *catalog; /* owned */
    struct store *store;     /* owned; NULL until service_need_store() */
    struct map providers;    /* instance name -> owned struct provider */
    struct map
        configured;       /* of those that resources configure -> owned settings, see instances.h */
    struct caller caller; /* who asks */
    char *words;          /* owned: the command as it was given */
    pid_t run_process;    /* the run that this door started last; 0: none, or its end was seen */
    int run_end;          /* how that one ended, as of waitpid(); -1: not known */
    struct secret_key *secret_key;   /* owned; NULL until secrets are needed, as the next */
    struct secrets *secrets;         /* owned */
    struct map secret_sources;       /* source -> owned digest, of those that were read */
    struct map credentials;          /* name -> owned digest, of those of the site that were read */
    struct map secret_digests;       /* expression -> owned digest, while they are recalled */
    bool recalls_secrets;            /* digests are those of before: no source is read */
    const struct run_host *run_host; /* borrowed; NULL: a child of ours, with a socket */
};

struct service_options {
    const char
        *home; /* NULL: $PARLEY_HOME, else $XDG_STATE_HOME/parley, else ~/.local/state/parley */
    const char *site; /* NULL: $PARLEY_SITE, ./parley.yaml, $XDG_CONFIG_HOME/parley/parley.yaml,
                         else none */
    const char *words;
};

/*
 * Reads site and catalog; their faults go to diagnostics and make it fail with ERROR_INVALID. Opens
 * no store and touches no provider.
 */
int service_open(struct loop *loop, const struct service_options *options,
                 struct service **ret_service, struct diagnostics *diagnostics, struct error *err);
void service_close(struct service *service); /* accepts NULL */

/*
 * Who asks from now on, in which words; both are copied. A service that was just opened has the
 * user of its process at its own terminal, with every role.
 */
void service_set_caller(struct service *service, const struct caller *caller, const char *words);

/* Opens the store; makes it when create. ERROR_NOT_FOUND says that nothing was ever deployed from
 * this home. */
CO_FN int service_need_store(struct service *service, bool create, struct error *err);
/* The same for who reads before it writes: a new store is made with what is written first. */
CO_FN int service_begin_store(struct service *service, struct error *err);

/* The provider of an instance, made when first asked for: then its credentials are read. Borrowed.
 */
CO_FN int service_find_provider(struct service *service, const char *instance,
                                struct provider **ret_provider, struct error *err);
/* The type of something recorded or planned; ERROR_NOT_FOUND when the catalog lost it. Borrowed. */
int service_find_type(const struct service *service, const char *type, const char *address,
                      const struct resource_type **ret_type, struct error *err);
/*
 * What a read asks about: the thing that a record stands for. All of it is borrowed. references is
 * an empty map: nothing is changed. ERROR_NOT_FOUND when the catalog lost its type.
 */
int service_find_target(const struct service *service, const struct record *record,
                        const char *deployment, struct value *references, struct target *ret_target,
                        struct error *err);
/* A call without a journal, for reads: a minute of time. */
struct call service_read_call(struct service *service);

/*
 * The deployment that a word on the command line means: NAME or NAME@ENVIRONMENT; without the
 * latter it must fit one environment only. The caller frees it with store_deployment_done().
 */
CO_FN int service_find_deployment(struct service *service, const char *word,
                                  struct store_deployment *ret_deployment, struct error *err);

/* A key of the home for a purpose, always the same: of the home's own, which is made when there is
 * none. */
int service_derive_key(const struct service *service, const char *purpose,
                       unsigned char ret_key[SECRET_KEY_SIZE], struct error *err);

/* The uid that a deployment has, or will have. The caller frees it. */
char *service_derive_uid(const struct service *service, const char *name, const char *environment,
                         int64_t incarnation);

/* --- Documents (document-verbs.c) --- */

struct document;
/* What a document is read from. All borrowed. */
struct document_source {
    const char *path;              /* names it in messages, and is read when text is NULL */
    bool is_from_elsewhere;        /* its author is at another machine: no secret of ours is read */
    const char *text;              /* the document itself, or NULL */
    const struct value *variables; /* map of --var settings, or NULL */
    bool reads_secrets;            /* from their sources; else they have no digests */
    const struct value *secrets;   /* as the plan of the newest revision had them: they are taken
                                      for the same, and no source is read; or NULL */
};
/* A document that was read, expanded and checked. */
struct loaded_document {
    struct document *document; /* owned */
    struct wanted wanted;      /* owned */
    struct value *variables;   /* owned, as used */
    struct value *secrets;     /* owned map of name -> {digest, source}; NULL: not read */
    struct value *reads;       /* owned map of what was read of other deployments, see reads.h */
    char *text;                /* owned */
};
void loaded_document_done(struct loaded_document *loaded);
/*
 * Reads, applies patterns, expands, checks. All faults go to diagnostics; ERROR_INVALID when there
 * are errors among them, and then loaded->text is set, for excerpts, when the file could be read.
 */
CO_FN int service_load_document(struct service *service, const struct document_source *source,
                                struct loaded_document *ret_loaded, struct diagnostics *diagnostics,
                                struct error *err);

/*
 * Takes out of wanted what has reached its lifecycle.expires, and puts its addresses into expired.
 * This is where time becomes a decision. What needs such a thing is a fault.
 */
int service_drop_expired(struct loaded_document *loaded, struct map *expired,
                         struct diagnostics *diagnostics, struct error *err);

/* The expanded document as YAML; everything that was added says where it comes from. The caller
 * frees it. */
char *service_expand(const struct loaded_document *loaded);

/* --- Plans (plan-verbs.c) --- */

/* What a plan reads of what is recorded; for the rest the records stand. */
enum plan_refresh {
    PLAN_REFRESH_NONE,
    PLAN_REFRESH_FULL,
    /* What the document changes, and what depends on that: cost follows the change. What somebody
     * changed outside elsewhere is not noticed. */
    PLAN_REFRESH_CHANGED,
    PLAN_REFRESH_COUNT
};
const char *plan_refresh_to_string(enum plan_refresh refresh);
/* NULL is full; ERROR_INVALID names the words there are. */
int plan_refresh_from_string(const char *text, enum plan_refresh *ret_refresh, struct error *err);

struct plan_request {
    struct document_source source;
    const char *deployment; /* for a destroy, forget or action: the word that names it; else NULL */
    const struct value *forget; /* list of the addresses whose records are let go; NULL: none */
    /* Of an action on what a deployment has; all NULL where there is none. */
    struct {
        const char *address;
        const char *name;   /* "promote" */
        const char *member; /* the part of the resource that it is about, as its status names it */
    } action;
    const struct value *targets; /* list of the addresses that the plan is limited to; NULL: none */
    const char *origin;          /* "words" or "undo": what source.text was made by; NULL: a file */
    int64_t base;                /* with origin: the revision that the text was made from */
    enum plan_refresh refresh;
    /* {address: id} of what is there already and is to become these resources; NULL: nothing. */
    const struct value *adopt;
    bool only_adopts; /* plans nothing else */
    /* The revisions after this one are taken back, and what they adopted is let go, not deleted;
     * NULL: none are. */
    const int64_t *back_to;
    void (*trace)(void *argument, const char *pass, const struct plan *plan); /* may be NULL */
    /* Called now and then while many records are read, with how many are; may be NULL. */
    void (*reading)(void *argument, size_t n_read, size_t n_records);
    void *trace_argument;
};
/*
 * Makes a plan and stores it. A dead run of the deployment is settled first. Faults go to
 * diagnostics and make it fail with ERROR_INVALID; *ret_plan is then NULL. *ret_text (may be NULL):
 * the document's text, for excerpts, also on failure.
 */
CO_FN int service_plan(struct service *service, const struct plan_request *request,
                       struct plan **ret_plan, char **ret_text, struct diagnostics *diagnostics,
                       struct error *err);
/*
 * A plan to where the deployment was before its newest run: the revision before that run's, or
 * nothing when it was the first. As service_plan() otherwise; ERROR_CONFLICT when another revision
 * came after the run.
 */
CO_FN int service_plan_rollback(struct service *service, const char *deployment,
                                struct plan **ret_plan, char **ret_text,
                                struct diagnostics *diagnostics, struct error *err);
/*
 * Looks for what the document says exists already: the one resource of another deployment, of the
 * same type and instance, that fits match: (name, deployment, or properties of its spec). None or
 * several are faults. *reads, a map, is replaced by one that names it.
 */
CO_FN int service_find_existing(struct service *service, const char *own_uid, struct wanted *wanted,
                                struct value **reads, struct diagnostics *diagnostics,
                                struct error *err);
/* A stored plan by a prefix of its hash. */
CO_FN int service_get_plan(struct service *service, const char *hash, struct plan **ret_plan,
                           struct error *err);
/* Whether it changes anything. */
bool plan_has_effects(const struct plan *plan);

/* --- Approvals (approve-verbs.c) --- */

/* A yes, and what it was said to. All borrowed. */
struct consent {
    bool is_seen; /* to this very plan, which was looked at or named by its hash */
    const char
        *reverts;     /* else: the numbers of revisions that may be undone, with commas; or NULL */
    const char *name; /* the deployment's, where it was given; else NULL */
    const struct value *signature; /* what service_sign() gave, or NULL */
    const char *link; /* the id of the link by which it is given, which is good for one decision; or
                         NULL */
};
/* Who signs. All borrowed. */
struct signer {
    const char *key_file;
    const char *passphrase;
    int64_t lasts; /* microseconds; 0: as long as the site says */
};
/*
 * Signs a plan with an approver's key, for service_approve(). ERROR_DENIED when the passphrase is
 * another, the site knows no approver of this key, or others may write the site file. Takes the
 * time that a slow hash of the passphrase takes. The caller unrefs *ret_signed.
 */
CO_FN int service_sign(struct service *service, const struct plan *plan,
                       const struct signer *signer, struct value **ret_signed, struct error *err);
/*
 * Records the yes of this principal to a plan. ERROR_APPROVAL_NEEDED says what is missing: the
 * deployment's name when the plan destroys something of production or a protected deployment; that
 * it was seen, when a step undoes a later revision, or another principal's, that is not named.
 */
CO_FN int service_approve(struct service *service, const struct plan *plan,
                          const struct consent *consent, struct error *err);
/* Whether the caller may decide about a plan at all; a refusal is in the audit chain. */
CO_FN int service_check_approver(struct service *service, const struct plan *plan,
                                 struct error *err);
/* Whether somebody decided about the plan by that link. */
CO_FN int service_link_is_used(struct service *service, const struct plan *plan, const char *link,
                               bool *ret_is_used, struct error *err);
/*
 * Records the no of this principal to a plan: approvals that were given before count no more, and
 * no run begins or is resumed by them. link as in consent. *ret_run, which the caller frees, is the
 * run that began before, if one did: it goes on. ERROR_DENIED for who may not approve, ERROR_EXISTS
 * for a link that was used.
 */
CO_FN int service_refuse(struct service *service, const struct plan *plan, const char *link,
                         char **ret_run, struct error *err);
/*
 * Who made a plan, which approval the site demands for it, and which it has: {plan, demanded:
 * {level, file, line, four_eyes, lasts_seconds}, makers: [{principal, client}], approvals:
 * [{principal, client, words, level, meaning, created_at, expires_at, counts, why}], refusals:
 * [{principal, client, words, created_at}]}, where why says why one does not count for a run that
 * is to begin, and without a refusal there are none.
 */
CO_FN int service_show_approvals(struct service *service, const char *hash,
                                 struct value **ret_shown, struct error *err);
/* Whether a plan needs nobody's yes any more: the site demands a level above none, and an approval
 * counts. Where it demands none, whoever carries a plan out says so himself. */
CO_FN int service_is_approved(struct service *service, const struct plan *plan,
                              bool *ret_is_approved, struct error *err);
/* Whether a consent covers what the plan undoes, before it is given; as service_approve(). */
int service_check_reverts(const struct plan *plan, const struct consent *consent,
                          struct error *err);
/* Whether approving needs the deployment's name. */
bool service_needs_name(const struct plan *plan);

/* --- Runs (run-start.c, run-execute.c, run-follow.c, run-verbs.c) --- */

/* Whether every instance is still who it was when the plan was made; ERROR_STALE names one that is
 * not, and what to do, which is another thing once the run has begun. */
CO_FN int service_check_identities(struct service *service, const struct plan *plan,
                                   const struct store_run *run, struct error *err);

/* How a run ended, or that it goes on. */
struct run_end {
    enum run_status status;
    char *message; /* owned; may be NULL */
};
/*
 * Starts the run of an approved plan in a process of its own. ERROR_APPROVAL_NEEDED without a valid
 * approval. The caller frees *ret_run_id.
 */
CO_FN int service_start_run(struct service *service, const struct plan *plan, char **ret_run_id,
                            struct error *err);
/*
 * Starts the newest unfinished run of a deployment again, or the run of this id, in a process of
 * its own. ERROR_NOT_FOUND when there is nothing to resume, ERROR_APPROVAL_NEEDED when its approval
 * has expired.
 */
CO_FN int service_resume_run(struct service *service, const char *word, char **ret_run_id,
                             struct error *err);

/* Events of a run, told to a door. Borrowed. */
typedef void (*event_sink)(void *argument, const struct value *event);
/*
 * Follows a run to its end, telling every event once and in order. *cancel_level: 0 follow; 1 ask
 * it to stop; 2 abort it; looked at between events (wake by opening *changed). ERROR_UNAVAILABLE
 * when the run's process died: then it can be resumed.
 */
struct follower {
    const char *run_id;
    int cancel_level;
    bool is_left; /* following ends, and the run goes on */
    struct gate changed;
    /* Steps that begin, and those that end well, may be told together, as {"kind": "tally",
     * "ended": how many}, with "stored": true for what happened before it is followed. */
    bool counts;
    event_sink sink;
    void *argument;
};
CO_FN int service_follow_run(struct service *service, struct follower *follower,
                             enum run_status *ret_status, struct error *err);
/* With this and the code of its error added the process of a run ends that fails. */
enum { RUN_EXIT = 64 };
/* The body of `parley run exec ID [--resume]`: carries the run out in this process. */
CO_FN int service_execute_run(struct service *service, const char *run_id, bool is_resume,
                              struct error *err);

/* --- Logs (log-verbs.c) --- */

/* All borrowed. */
struct log_request {
    const char *name;  /* a deployment, a resource's address, a host, or a program's own name */
    const char *since; /* a duration back from now, or a time; NULL: from the oldest line on */
    const char *match; /* only lines with this text; NULL: all */
    bool follow;       /* goes on for ever with what comes */
    event_sink sink;   /* {"kind": "line", "source", "time", "text"} for each; may be NULL */
    void *argument;
};
/*
 * Tells the lines that the twin's programs printed, in order of time; whether it runs does not
 * matter. *ret_answer is {"lines": COUNT}. ERROR_NOT_FOUND when nothing of that name has a log,
 * unless it is waited for.
 */
CO_FN int service_show_logs(struct service *service, const struct log_request *request,
                            struct value **ret_answer, struct error *err);

/*
 * What happened to programs of the twin, the newest last: of a deployment, a resource's address or
 * an instance, or of all when name is NULL.
 */
CO_FN int service_list_events(struct service *service, const char *name, struct value **ret_events,
                              struct error *err);
/*
 * What the twin's hosts use: {"hosts": [{"name", "role", "resource", "address", "cpu" (share of one
 * processor), "memory", "processes", "restarts", "requests" (a second; null where no balancer sends
 * any)}]}, over a second that this takes.
 */
CO_FN int service_twin_top(struct service *service, struct value **ret_top, struct error *err);

/* The plan that a run carries out. */
CO_FN int service_get_run_plan(struct service *service, const char *run_id, struct plan **ret_plan,
                               struct error *err);
/* The same without its steps, and without comparing its hash: the run does that before it does
 * anything. */
CO_FN int service_get_run_head(struct service *service, const char *run_id, struct plan **ret_plan,
                               struct error *err);
/* The runs of a deployment (word NULL: of all) on a page, from 1 on, newest first. */
enum { SERVICE_PAGE_ROWS = 50 };
CO_FN int service_list_runs(struct service *service, const char *word, size_t page,
                            struct value **ret_runs, struct error *err);
/* The id that a prefix of at least six digits means; a whole one is taken as it is. The caller
 * frees it. */
CO_FN int service_complete_run_id(struct service *service, const char *prefix, char **ret_id,
                                  struct error *err);
CO_FN int service_show_run(struct service *service, const char *run_id, struct value **ret_run,
                           struct error *err);
/*
 * What a run that died left open is found out and written down, before anything new is planned.
 * ERROR_BUSY while one is alive, ERROR_UNAVAILABLE when it cannot be told.
 */
CO_FN int service_settle(struct service *service, const char *deployment_uid, struct error *err);
/* The newest run of a deployment that has begun; its id is NULL when there is none. */
CO_FN int service_find_last_run(struct service *service, const char *deployment_uid,
                                struct store_run *ret_run, struct error *err);
/* Who holds a deployment's lease: {deployment, environment, is_locked, run, pid}. */
CO_FN int service_show_lock(struct service *service, const char *word, struct value **ret_lock,
                            struct error *err);
/*
 * Ends the process that service_show_lock() named (0 when there was none; else ERROR_STALE), waits
 * until its lease is free and settles what it left. The answer is as of service_show_lock().
 */
CO_FN int service_unlock(struct service *service, const char *word, int64_t pid,
                         struct value **ret_lock, struct error *err);
/*
 * What the open run of a deployment may have left in accounts that its instances do not lead to any
 * more: {deployment, environment, run, accounts: [{instance, planned, found}], effects: [{step,
 * kind, address, type, instance, state (open, partly or done), id}], digest}. ERROR_NOT_FOUND when
 * no run is open, ERROR_CONFLICT when the accounts are the same.
 */
CO_FN int service_show_left(struct service *service, const char *word, struct value **ret_left,
                            struct error *err);
/*
 * Lets go of that: the run, which service_show_left() named, and all as it showed it, by the digest
 * (else ERROR_STALE), is over and is not
 * resumed; what may be left stays in the store, for status, and in the audit chain. Records of what
 * nobody can tell of a create go; the others stay, and the next plan looks at them.
 */
CO_FN int service_give_up(struct service *service, const char *word, const char *run_id,
                          const char *digest, struct value **ret_left, struct error *err);
/* The plan of the run that service_resume_run() would go on with. */
CO_FN int service_get_resumable(struct service *service, const char *word, struct plan **ret_plan,
                                struct error *err);
CO_FN int service_cancel_run(struct service *service, const char *run_id, struct error *err);

/* --- Questions (query-verbs.c) --- */

/* Deployments (word NULL) or one: {deployments: [{name, environment, resources, status ...}]}. */
CO_FN int service_list_deployments(struct service *service, struct value **ret_deployments,
                                   struct error *err);
/* What is there now, read from the providers: {deployment, resources: [...], sections: [{title,
 * lines}], run}. */
CO_FN int service_status(struct service *service, const char *word, struct value **ret_status,
                         struct error *err);
/* The sections of service_status() alone, once everything is well; after patience_us as they are
 * then. No record is read where no driver has something to say. */
CO_FN int service_await_sections(struct service *service, const char *word, int64_t patience_us,
                                 struct value **ret_sections, struct error *err);
/* The records of one resource, of all instances of a counted one, or all of them when address is
 * NULL; page is 1 for the first SERVICE_PAGE_ROWS of several, 0 for all. */
CO_FN int service_show(struct service *service, const char *word, const char *address, size_t page,
                       struct value **ret_records, struct error *err);
CO_FN int service_outputs(struct service *service, const char *word, struct value **ret_outputs,
                          struct error *err);

/* --- Secrets (secret-verbs.c): no verbs but the first, so that no door but a terminal's has them
 * ---
 */

/* Those of a deployment, or (word NULL) of the site: a list of {name, source, digest, made_at (when
 * it was generated), read_at (when it was last read), is_former}, without texts. */
CO_FN int service_list_secrets(struct service *service, const char *word,
                               struct value **ret_secrets, struct error *err);

/* Shows a value with its texts to a person; it is wiped when show() returns, which must not wait.
 */
struct secret_showing {
    int (*show)(void *argument, const struct value *shown, struct error *err);
    void *argument;
};
/*
 * Shows a secret that was generated, once the audit chain has that it is shown.
 * ERROR_UNSUPPORTED names where another comes from. word NULL: one of the site.
 */
CO_FN int service_reveal_secret(struct service *service, const char *word, const char *name,
                                const struct secret_showing *showing, struct error *err);
/* The same of an output; what it is made of is read from its sources. One without a secret in it is
 * only shown. */
CO_FN int service_reveal_output(struct service *service, const char *word, const char *name,
                                const struct secret_showing *showing, struct error *err);

/* --- The audit chain (audit-verbs.c; store/audit.h) --- */

/* Adds an entry of fields, which are emptied, with principal, client and words: to a batch,
 * or at once. */
void service_add_audit(const struct service *service, struct store_batch *batch, const char *kind,
                       struct value_builder *fields);
CO_FN int service_audit(struct service *service, const char *kind, struct value_builder *fields,
                        struct error *err);
/* The newest 200 entries, oldest first: of a deployment, or (word NULL) of all. */
CO_FN int service_show_audit(struct service *service, const char *word, struct value **ret_entries,
                             struct error *err);
/* As store_verify_audit(). */
CO_FN int service_verify_audit(struct service *service, const char *digest,
                               struct value **ret_report, struct error *err);

/* Runs and revisions of a deployment, newest first: those on a page, from 1 on. */
CO_FN int service_history(struct service *service, const char *word, size_t page,
                          struct value **ret_history, struct error *err);

/* --- The store itself (state-verbs.c): none of these needs one that can be opened --- */

/* As store_examine(), with home. */
int service_state_check(struct service *service, struct value **ret_report, struct error *err);
/* As store_repair(). */
CO_FN int service_state_repair(struct service *service, struct value **ret_report,
                               struct error *err);
/* Writes a copy of the store to path, NULL for HOME/snapshots/TIME.parley. The caller frees
 * *ret_path. */
int service_state_snapshot(struct service *service, const char *path, char **ret_path,
                           struct error *err);
/*
 * What bringing a snapshot back would do: what each of its records says against what is there now.
 * A store that can be read keeps all it knows and is given only what it lacks and what is there;
 * one that is damaged or gone is replaced. Nothing outside is changed by it, nor deleted.
 *
 * *ret_plan is a map {kind: "restore", hash, replaces_store, records (how many come back),
 * deployments: [{name, environment, is_made_anew, is_destroyed, resources: [{address, type, live:
 * same|differs|gone|untold, why, action: restore|keep|forget|leave}]}]}.
 */
CO_FN int service_state_plan_restore(struct service *service, const char *path,
                                     struct value **ret_plan, struct error *err);
/* Does it, when the plan still has this hash (else ERROR_STALE). *ret_kept (owned) is where the old
 * store's file is, NULL when it was not replaced. */
CO_FN int service_state_restore(struct service *service, const char *path, const char *hash,
                                char **ret_kept, struct error *err);

/* --- The twin of this machine (twin-verbs.c) --- */

/* What its supervisor says of itself: {pid, identity, state, root, hosts, networks}.
 * ERROR_NOT_FOUND when none runs. */
CO_FN int service_twin_status(struct service *service, struct value **ret_status,
                              struct error *err);
/* Ends it in order; what it had stays in its folder, and the next plan starts it again. */
CO_FN int service_twin_down(struct service *service, struct error *err);
/* Its program and socket, for a command in one of its hosts. The caller frees both. */
int service_twin_find(struct service *service, char **ret_program, char **ret_socket,
                      struct error *err);
/* What is missing on this machine, as diagnostics: errors keep a type from being served, notes are
 * stand-ins. */
CO_FN int service_twin_doctor(struct service *service, struct diagnostics *diagnostics,
                              struct error *err);
