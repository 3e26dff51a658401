/*
 * The store: what Parley remembers. Two drivers, SQLite and memory, fulfil this contract; one suite
 * holds them to it (tests/contract/store*.c).
 *
 * Reads see every commit that was answered before them. All changes go through store_commit(): a
 * batch is one transaction, durable when it returns; batches of several coroutines may share one
 * sync. "Missing" is never read as "empty": a folder whose store file is gone although its marker
 * is there fails with ERROR_CORRUPT, and so does whatever else is damaged; nothing is guessed.
 *
 * Values are kept as canonical JSON: a set comes back as a list. Whatever takes a struct error may
 * also fail with ERROR_CORRUPT, ERROR_BUSY (other processes kept the store for 30 seconds) or
 * ERROR_UNAVAILABLE (it can no longer be read or written).
 */
#pragma once

#include "base/error.h"
#include "model/plan.h"
#include "model/record.h"
#include "model/value.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

/*
 * Opens (and makes, when create) the SQLite store in a folder: FOLDER/parley.db, WAL,
 * synchronous=FULL, and the marker FOLDER/parley.id. A folder made here has mode 0700, one that is
 * there keeps its own; the files have 0600. Any number of processes may have it open, and a process
 * that forks opens it afterwards.
 *
 * ERROR_NOT_FOUND when there is none and create is false; ERROR_DENIED when folder or file may not
 * be written by us; ERROR_LIMIT when there is no room; ERROR_CORRUPT when the file is missing, is
 * no store or is damaged; ERROR_UNSUPPORTED when it was written by a newer program; older ones are
 * migrated forward. Each names the path and says what to do.
 */
int store_open_sqlite(struct loop *loop, const char *folder, bool create, struct store **ret_store,
                      struct error *err);
/*
 * The same with create, but where there is no store yet nobody sees one before its first commit,
 * which it is made with: that one waits for the disk half as often. Until then it is empty, and its
 * id is the one that any store made here will have. What keeps it from being made, the commit may
 * be the first to find; ERROR_CONFLICT when a store with another id came to the folder meanwhile.
 */
int store_begin_sqlite(struct loop *loop, const char *folder, struct store **ret_store,
                       struct error *err);
/* From now on a store in a folder is read and written over one connection, where there is only one
 * thread, or no longer. Only on a simulated machine. */
void store_share_connections(bool is_on);
/* A store that is gone with the process, for tests. */
struct store *store_open_memory(struct loop *loop);
/* Accepts NULL. No call may be under way. */
void store_close(struct store *store);

/* The store's own id, a UUID made with it. Borrowed. */
const char *store_id(const struct store *store);

/* --- Deployments --- */

struct store_deployment {
    char *uid; /* owned, and so are all pointers here */
    char *name;
    char *environment;
    int64_t incarnation;     /* counts how often a deployment of this name was made anew */
    int64_t records_version; /* grows with every commit that changes a record */
    int64_t head_revision;   /* number of the newest revision, 0 before the first */
    int64_t epoch;           /* of the newest run that took the lease, 0 before the first */
    bool is_destroyed;
    struct value *outputs; /* map, never NULL */
    /* Map of instance -> who that was for the run that last changed something there; NULL: {}, but
     * never in what is read. */
    struct value *accounts;
    int64_t created_at;
    int64_t updated_at;
};
/* The accounts with who an instance is by now; of one that was somebody else, that it was, for
 * good. Consumes accounts. */
struct value *store_note_account(struct value *take_accounts, const char *instance,
                                 struct value *identity);
/* Whether an instance was ever noted as somebody else than it is by now. */
bool store_had_other_account(const struct value *accounts, const char *instance);
void store_deployment_done(struct store_deployment *deployment);

/* The newest incarnation. ERROR_NOT_FOUND when there never was one. */
CO_FN int store_find_deployment(struct store *store, const char *name, const char *environment,
                                struct store_deployment *ret_deployment, struct error *err);
/* The newest incarnation of each (name, environment), sorted by these bytes; as an array the caller
 * frees item by item. */
CO_FN int store_list_deployments(struct store *store, struct store_deployment **ret_deployments,
                                 size_t *ret_n, struct error *err);

/* --- What a deployment has --- */

/*
 * None when the store does not know the deployment (yet). Another process may commit between two
 * reads: who needs records and their version reads the deployment first, so that a commit in
 * between makes store_batch_check_version() fail rather than hold.
 */
CO_FN int store_load_records(struct store *store, const char *deployment_uid,
                             struct records *ret_records, struct error *err);
/* Those of one address, oldest generation first: none when there is no such resource. */
CO_FN int store_find_records(struct store *store, const char *deployment_uid, const char *address,
                             struct records *ret_records, struct error *err);
/* Some of them, in the order of store_load_records(): of the instances of a counted resource (name;
 * NULL: of all resources), those behind the first n_before, at most limit. */
CO_FN int store_list_records(struct store *store, const char *deployment_uid, const char *name,
                             size_t n_before, size_t limit, struct records *ret_records,
                             struct error *err);
/* How many there are. */
CO_FN int store_count_records(struct store *store, const char *deployment_uid, size_t *ret_n,
                              struct error *err);
/* Adds the instances that they are on, each once. */
CO_FN int store_list_instances(struct store *store, const char *deployment_uid,
                               struct string_list *instances, struct error *err);
/*
 * Which other deployment has a thing at an instance: one that is not destroyed and has a record of
 * this id there, or of this uid, which is the mark that the thing carries (NULL for none).
 * *ret_owner says "ADDRESS of NAME@ENVIRONMENT", the first by name, and is NULL when nobody has it.
 * Reads no other records. The caller frees it.
 */
CO_FN int store_find_owner(struct store *store, const char *own_uid, const char *instance,
                           const char *provider_id, const char *mark, char **ret_owner,
                           struct error *err);
/*
 * Revision number, 0 for the head; ERROR_NOT_FOUND when there is none. *ret_revision is a map
 * of what store_batch_add_revision() was given, number and created_at; the caller unrefs it.
 */
CO_FN int store_get_revision(struct store *store, const char *deployment_uid, int64_t number,
                             struct value **ret_revision, struct error *err);

/*
 * The revisions of a deployment, newest first, at most limit, without their texts: as
 * store_get_revision(), but for document and given. Those below number only, unless it is 0. Empty
 * for a deployment that is not there. The caller unrefs the list.
 */
CO_FN int store_list_revisions(struct store *store, const char *deployment_uid, int64_t below,
                               size_t limit, struct value **ret_revisions, struct error *err);

/* --- Plans and approvals --- */

/*
 * By a prefix of its hash, at least 6 digits. *ret_plan is the plan's value (plan_from_value()).
 * ERROR_NOT_FOUND, ERROR_CONFLICT when several begin so, ERROR_INVALID when it is no such prefix.
 */
CO_FN int store_get_plan(struct store *store, const char *hash_prefix, struct value **ret_plan,
                         struct error *err);
/*
 * Calls visit for each step of the one plan with this hash, in their order; none where they stand
 * in the head. Its texts are borrowed for the call, which must not wait; a negative return ends it.
 */
typedef int store_visit_step(void *argument, const char *const texts[STEP_TEXT_COUNT],
                             struct error *err);
CO_FN int store_read_steps(struct store *store, const char *hash, store_visit_step *visit,
                           void *argument, struct error *err);
/* The same without reading its steps, whose hash can then not be compared: for what it was made
 * from. In plans of older programs they stand in it all the same. */
CO_FN int store_get_plan_head(struct store *store, const char *hash_prefix, struct value **ret_head,
                              struct error *err);
/* Who made a plan, oldest first: a list of {principal, client}, each once. Plans of older programs
 * have none. An empty one also for a plan the store does not know. */
CO_FN int store_list_makers(struct store *store, const char *plan_hash, struct value **ret_makers,
                            struct error *err);
/*
 * What was decided about a plan, oldest first: a list of approvals {principal, client, deployment
 * (its uid), words, level, created_at, expires_at}; of refusals, which have decision "refused" in
 * place of level and expires_at; and of {decision: "used", run, created_at}, where a run began by
 * those before it. An empty one also for a plan the store does not know.
 */
CO_FN int store_list_approvals(struct store *store, const char *plan_hash,
                               struct value **ret_approvals, struct error *err);

/* --- Secrets that we made --- */

/*
 * A secret of a deployment as it was put: encrypted. form says what was asked for, so that another
 * form is another secret. ERROR_NOT_FOUND when there is none. The caller frees *ret_sealed.
 */
CO_FN int store_find_secret(struct store *store, const char *deployment_uid, const char *name,
                            const char *form, char **ret_sealed, struct error *err);

/* Those of a deployment, oldest first: a list of {name, form, created_at}. The caller unrefs it. */
CO_FN int store_list_secrets(struct store *store, const char *deployment_uid,
                             struct value **ret_secrets, struct error *err);

/* --- What was forgotten --- */

/* What a record said that was let go; all but the address is of then. */
struct store_forgotten {
    char *type; /* owned, and so are all pointers here */
    char *instance;
    char *uid;
    char *provider_id; /* NULL: it had none */
    int64_t generation;
};
void store_forgotten_done(struct store_forgotten *forgotten);

/* Whether a deployment ever let go of anything. */
CO_FN int store_has_forgotten(struct store *store, const char *deployment_uid, bool *ret_has,
                              struct error *err);
/*
 * What was let go last under an address: by the run that was put last of those that did, its newest
 * generation. Without with_documents only by runs whose plans had no document. ERROR_NOT_FOUND when
 * there is none. The caller frees it with store_forgotten_done().
 */
CO_FN int store_find_forgotten(struct store *store, const char *deployment_uid, const char *address,
                               bool with_documents, struct store_forgotten *ret_forgotten,
                               struct error *err);

/* --- What is left elsewhere --- */

/* What was given up of a deployment, oldest first: a list of the maps that were added, each with
 * its created_at. The caller unrefs it. */
CO_FN int store_list_remains(struct store *store, const char *deployment_uid,
                             struct value **ret_remains, struct error *err);

/* --- Runs and their journals --- */

enum run_status {
    RUN_PENDING,
    RUN_RUNNING,
    RUN_DONE,
    RUN_FAILED,
    RUN_PARTLY,
    RUN_CANCELLED,
    RUN_STATUS_COUNT
};
const char *run_status_to_string(enum run_status status);
enum run_status run_status_from_string(const char *text);

struct store_run {
    char *id; /* owned, and so are all pointers here; a UUID */
    char *deployment_uid;
    char *plan_hash;
    char *principal;
    char *words;  /* the command or request behind it */
    char *client; /* the program it was asked with; NULL in runs of older programs */
    enum run_status status;
    int64_t epoch; /* 0 until it took the lease */
    int64_t started_at;
    int64_t ended_at; /* 0 while it is under way */
    char *message;    /* why it never began, or what is open after its end; NULL */
    /* What follows is the store's and ignored by store_batch_put_run(). */
    char *chain;         /* the digest of its journal's newest row (audit.h) */
    int64_t n_chained;   /* how many rows of its journal that covers */
    int64_t n_unchained; /* how many rows before them an older program wrote, which had no chain */
};
void store_run_done(struct store_run *run);

/* ERROR_NOT_FOUND when there is none. */
CO_FN int store_get_run(struct store *store, const char *id, struct store_run *ret_run,
                        struct error *err);
/* The runs of a deployment (NULL: of all) in the order they were first put, newest first, at most
 * limit. The caller frees the array item by item. */
CO_FN int store_list_runs(struct store *store, const char *deployment_uid, size_t limit,
                          struct store_run **ret_runs, size_t *ret_n, struct error *err);

/*
 * The journal of a run after seq, oldest first, at most limit rows: a list of {seq, run, time,
 * kind, ...fields of the row's body}; a field of the body that has one of these names is lost. kind
 * is "intent", "handle", "result" or another durable event. A row about a step of the run's plan
 * has {step, step_kind, address, type, stage} of it, too. ERROR_NOT_FOUND without the run.
 */
CO_FN int store_read_journal(struct store *store, const char *run_id, int64_t after_seq,
                             size_t limit, struct value **ret_rows, struct error *err);
/* The same as it is kept: of its step a row has only place, its number in the plan. Rows of older
 * programs have the other fields instead. For who has the plan. */
CO_FN int store_replay_journal(struct store *store, const char *run_id, int64_t after_seq,
                               size_t limit, struct value **ret_rows, struct error *err);
/* Whether a row says no more than that a step begins, or that it ended well (*ret_has_ended). Of
 * the former also without its fields (NULL). */
bool store_is_plain_row(const char *kind, const struct value *fields, bool *ret_has_ended);
/* What a journal says to those who count. Zero-initialise it; the caller unrefs rows. */
struct journal_tally {
    size_t n_rows;      /* how many were looked at */
    size_t n_ended;     /* how many of them say that a step ended well */
    int64_t last_seq;   /* of the last that was looked at; 0 without one */
    struct value *rows; /* those that are not plain, as store_read_journal() gives them */
};
/* As store_read_journal(), but plain rows are only counted: of their steps nothing is read. */
CO_FN int store_tally_journal(struct store *store, const char *run_id, int64_t after_seq,
                              size_t limit, struct journal_tally *ret_tally, struct error *err);

/* --- Changes --- */

/*
 * A batch holds what it was given by value. Its changes are carried out in the order of these
 * calls, each on what those before it left: put a deployment before its run, and a run before its
 * journal. What refers to a deployment, plan or run that is not there then fails with
 * ERROR_NOT_FOUND.
 */
struct store_batch;
struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *batch); /* accepts NULL */
DEFINE_CLEANUP(struct store_batch *, store_batch_free)

/*
 * Conditions: the commit fails with ERROR_STALE, and changes nothing, when one does not hold.
 * check_epoch: the newest epoch of the deployment is this one. check_version: so is its record
 * set's. Both are 0 for a deployment that is not there.
 */
void store_batch_check_epoch(struct store_batch *batch, const char *deployment_uid, int64_t epoch);
void store_batch_check_version(struct store_batch *batch, const char *deployment_uid,
                               int64_t version);
/* The run is there and has this status. */
void store_batch_check_run(struct store_batch *batch, const char *run_id, enum run_status status);
/* Behind the first n_seen of store_list_approvals() nobody refused the plan and no run used its
 * approvals; ERROR_APPROVAL_NEEDED otherwise. Further approvals do not matter. */
void store_batch_check_approvals(struct store_batch *batch, const char *plan_hash, size_t n_seen);
/* No decision about the plan has this in its field "link"; ERROR_EXISTS otherwise. */
void store_batch_check_link(struct store_batch *batch, const char *plan_hash, const char *link);
/* What is there under this id belongs to no other deployment, and no other is about to adopt it;
 * ERROR_EXISTS otherwise. */
void store_batch_check_adoptable(struct store_batch *batch, const char *deployment_uid,
                                 const char *instance, const char *provider_id);
/* The deployment's epoch becomes epoch, which must be one more than it was (else ERROR_STALE). */
void store_batch_take_epoch(struct store_batch *batch, const char *deployment_uid, int64_t epoch);

/* Inserts or replaces by uid; records_version, head_revision and epoch are the store's and ignored
 * here. ERROR_EXISTS when another uid has the name, environment and incarnation, or this uid
 * others. */
void store_batch_put_deployment(struct store_batch *batch,
                                const struct store_deployment *deployment);
/*
 * fields: {document, given, digest, given_digest, principal, words, source, parents, plan, run};
 * its number is the head's plus one. given is the text of the file when document has more than that
 * (a merge with later revisions), else it is not there. parents are the numbers of the revisions
 * that it was made from: the head, and the base of the file where that is another. source is
 * "file", "words" or "undo".
 */
void store_batch_add_revision(struct store_batch *batch, const char *deployment_uid,
                              const struct value *fields);
/*
 * plan: a JSON map; its field "steps", a list, is left out where the steps follow, numbered from 0.
 * document, which may be NULL, is a field of that name when it is read; it is borrowed for the life
 * of the batch. A plan that is stored already is left as it is, and so are its steps.
 */
void store_batch_put_plan(struct store_batch *batch, const char *hash, const char *deployment_uid,
                          const char *plan, const char *document);
/*
 * Steps of a plan. They are asked for one after the other when the batch is carried out, perhaps
 * more than once, and by another thread while the caller of store_commit() waits: so write()
 * changes nothing but its buffer, in which the texts may lie, and argument lives as long as the
 * batch. BODY is never NULL.
 */
struct store_steps {
    size_t first; /* the number of the first of them in the plan */
    size_t n_steps;
    const void *argument;
    void (*write)(const void *argument, size_t place, struct strbuf *buffer,
                  const char *ret_texts[STEP_TEXT_COUNT]);
};
void store_batch_add_steps(struct store_batch *batch, const char *hash,
                           const struct store_steps *steps);
/* Adds to the audit chain, and so does a revision. */
/* maker: {principal, client}. One that is there already is not added again. */
void store_batch_add_maker(struct store_batch *batch, const char *plan_hash,
                           const struct value *maker);
void store_batch_add_approval(struct store_batch *batch, const char *plan_hash,
                              const struct value *approval);
/* refusal: as an approval, but for level and expires_at. Adds to the audit chain, as a "refusal".
 */
void store_batch_add_refusal(struct store_batch *batch, const char *plan_hash,
                             const struct value *refusal);
/* From here on the approvals that the plan has are this run's. Its own entry is in the audit chain.
 */
void store_batch_use_approvals(struct store_batch *batch, const char *plan_hash,
                               const char *run_id);
/* Inserts or replaces by id. Its deployment and plan must be there. Adds to the audit chain. */
void store_batch_put_run(struct store_batch *batch, const struct store_run *run);
/*
 * Inserts or replaces by (address, generation), and removes; both make records_version grow by one
 * per commit. Removing what is not there is ERROR_STALE.
 */
void store_batch_put_record(struct store_batch *batch, const char *deployment_uid,
                            const struct record *record);
void store_batch_remove_record(struct store_batch *batch, const char *deployment_uid,
                               const char *address, int64_t generation);
/* One that is there already stays as it is: read it afterwards. The deployment need not be there.
 */
void store_batch_put_secret(struct store_batch *batch, const char *deployment_uid, const char *name,
                            const char *form, const char *sealed);
/* All of a deployment, if any. */
void store_batch_remove_secrets(struct store_batch *batch, const char *deployment_uid);
/* What the record says that a run lets go of; has_document tells of its plan. Adds to what is
 * there, and removes no record. */
void store_batch_add_forgotten(struct store_batch *batch, const char *run_id,
                               const struct record *record, bool has_document);
/* fields: a map of what a run may have left where nobody looks any more. It stays for as long as
 * the deployment's row. */
void store_batch_add_remains(struct store_batch *batch, const char *deployment_uid,
                             const struct value *fields);
/* body: a map. The row's time is now. */
void store_batch_journal(struct store_batch *batch, const char *run_id, const char *kind,
                         const struct value *body);
/* The same about the step with this number, from 0, of the run's plan: what the plan says of it is
 * not said again. */
void store_batch_journal_step(struct store_batch *batch, const char *run_id, const char *kind,
                              size_t step, const struct value *body);

/*
 * Adds an entry to the audit chain (audit.h): kind is a word, fields a map without secrets. What
 * store_batch_add_approval(), _put_run() and _add_revision() do is in it without this.
 */
void store_batch_audit(struct store_batch *batch, const char *kind, const struct value *fields);

/*
 * Carries a batch out and empties it, also on failure. On success *ret_last_seq (may be NULL) is
 * the seq of its last journal row, 0 when it has none; rows of one batch are consecutive up to it,
 * and seq grows over all runs. On failure nothing of it was changed; ERROR_LIMIT when the disk is
 * full, ERROR_UNAVAILABLE when the store cannot be written at all.
 */
CO_FN int store_commit(struct store *store, struct store_batch *batch, int64_t *ret_last_seq,
                       struct error *err);

/*
 * A number that is another once anybody has committed, this process or another; cheap to ask. It
 * means nothing but that, and only for as long as the store is open.
 */
CO_FN int store_get_version(struct store *store, int64_t *ret_version, struct error *err);

/* How many queries were asked, for tests. */
uint64_t store_count_reads(const struct store *store);
/* How many commits asked for and how many syncs were made for them, for tests and benchmarks. */
void store_count_syncs(const struct store *store, uint64_t *ret_commits, uint64_t *ret_syncs);
