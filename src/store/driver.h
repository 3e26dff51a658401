/*
 * What a driver of the store fulfils. A driver keeps rows of numbers and texts and knows nothing of
 * values, records or JSON: store.c makes rows of them and back, so that all drivers keep the same.
 */
#pragma once

#include "base/digest.h"
#include "base/map.h"
#include "store/store.h"

/* A number or a text; a text may be NULL. Whose the text is, is said where the row is. */
struct store_cell {
    bool is_text;
    bool is_borrowed; /* a large text that is the caller's in a row that owns its others */
    char *text;
    int64_t number;
};

struct store_row {
    struct store_cell *cells;
    size_t n_cells;
};

/* The columns of the tables that are read as a whole, in the order of their cells. */
enum {
    DEPLOYMENT_COLUMN_UID,
    DEPLOYMENT_COLUMN_NAME,
    DEPLOYMENT_COLUMN_ENVIRONMENT,
    DEPLOYMENT_COLUMN_INCARNATION,
    DEPLOYMENT_COLUMN_IS_DESTROYED,
    DEPLOYMENT_COLUMN_OUTPUTS, /* JSON */
    DEPLOYMENT_COLUMN_CREATED_AT,
    DEPLOYMENT_COLUMN_UPDATED_AT,
    DEPLOYMENT_COLUMN_ACCOUNTS, /* JSON */
    /* What follows is counted by the store and not part of CHANGE_PUT_DEPLOYMENT. */
    DEPLOYMENT_COLUMN_RECORDS_VERSION,
    DEPLOYMENT_COLUMN_HEAD_REVISION,
    DEPLOYMENT_COLUMN_EPOCH,
    DEPLOYMENT_COLUMN_COUNT
};

enum {
    RECORD_COLUMN_DEPLOYMENT,
    RECORD_COLUMN_ADDRESS,
    RECORD_COLUMN_GENERATION,
    RECORD_COLUMN_TYPE,
    RECORD_COLUMN_INSTANCE,
    RECORD_COLUMN_UID,
    RECORD_COLUMN_PROVIDER_ID,
    RECORD_COLUMN_STATUS,
    RECORD_COLUMN_SPEC,       /* JSON */
    RECORD_COLUMN_OUTPUTS,    /* JSON */
    RECORD_COLUMN_DEPENDS_ON, /* JSON */
    RECORD_COLUMN_PROTECT,
    RECORD_COLUMN_ORIGIN,
    RECORD_COLUMN_CREATED_AT,
    RECORD_COLUMN_UPDATED_AT,
    RECORD_COLUMN_BOUND, /* JSON */
    RECORD_COLUMN_LIVE,  /* JSON */
    RECORD_COLUMN_COUNT
};

enum {
    RUN_COLUMN_ID,
    RUN_COLUMN_DEPLOYMENT,
    RUN_COLUMN_PLAN_HASH,
    RUN_COLUMN_PRINCIPAL,
    RUN_COLUMN_WORDS,
    RUN_COLUMN_STATUS,
    RUN_COLUMN_EPOCH,
    RUN_COLUMN_STARTED_AT,
    RUN_COLUMN_ENDED_AT,
    RUN_COLUMN_MESSAGE,
    RUN_COLUMN_CLIENT,
    /* What follows is counted by the store and not part of CHANGE_PUT_RUN. */
    RUN_COLUMN_CHAIN,
    RUN_COLUMN_CHAINED,
    RUN_COLUMN_UNCHAINED,
    RUN_COLUMN_COUNT
};

enum {
    JOURNAL_COLUMN_SEQ,
    JOURNAL_COLUMN_RUN,
    JOURNAL_COLUMN_TIME,
    JOURNAL_COLUMN_KIND,
    JOURNAL_COLUMN_BODY, /* JSON */
    JOURNAL_COLUMN_STEP, /* the number of the plan's step it is about; a NULL text: of none */
    JOURNAL_COLUMN_COUNT
};

enum {
    STEP_COLUMN_PLAN, /* the hash */
    STEP_COLUMN_NUMBER,
    STEP_COLUMN_TEXTS, /* STEP_TEXT_* */
    STEP_COLUMN_COUNT = STEP_COLUMN_TEXTS + STEP_TEXT_COUNT
};

enum {
    FORGOTTEN_COLUMN_RUN,
    FORGOTTEN_COLUMN_HAS_DOCUMENT,
    FORGOTTEN_COLUMN_ADDRESS,
    FORGOTTEN_COLUMN_TYPE,
    FORGOTTEN_COLUMN_INSTANCE,
    FORGOTTEN_COLUMN_UID,
    FORGOTTEN_COLUMN_PROVIDER_ID,
    FORGOTTEN_COLUMN_GENERATION,
    FORGOTTEN_COLUMN_COUNT
};

enum {
    AUDIT_COLUMN_NUMBER,
    AUDIT_COLUMN_TIME,
    AUDIT_COLUMN_KIND,
    AUDIT_COLUMN_BODY, /* JSON */
    AUDIT_COLUMN_ROWS, /* of the run's journal; 0 when it is not about a run */
    AUDIT_COLUMN_HEAD, /* of the run's chain then; NULL when it is not about a run */
    AUDIT_COLUMN_DIGEST,
    AUDIT_COLUMN_COUNT
};

/* What can be asked: (parameters) -> columns of each row; order of the rows. */
enum store_query {
    /* (name, environment) -> DEPLOYMENT_*; the newest incarnation */
    QUERY_FIND_DEPLOYMENT,
    /* () -> DEPLOYMENT_*; the newest incarnation of each, by name and environment */
    QUERY_LIST_DEPLOYMENTS,
    /* (deployment uid) -> RECORD_*; by address and generation */
    QUERY_LOAD_RECORDS,
    /* (deployment uid, address) -> RECORD_*; by generation */
    QUERY_FIND_RECORDS,
    /* (deployment uid, address, address behind the last, rows to pass over, limit) -> RECORD_*; by
     * address and generation */
    QUERY_LIST_RECORDS,
    /* (deployment uid) -> how many records it has */
    QUERY_COUNT_RECORDS,
    /* (deployment uid) -> instance, each that its records have once */
    QUERY_LIST_INSTANCES,
    /* (deployment uid, instance, provider id, mark or NULL) -> address, name and environment of the
     * first record, in the order of QUERY_LIST_DEPLOYMENTS and QUERY_LOAD_RECORDS, that another
     * deployment has of the thing with this id or of this uid; of none that is destroyed */
    QUERY_FIND_OWNER,
    /* (deployment uid) -> created_at, JSON; oldest first */
    QUERY_LIST_REMAINS,
    /* (deployment uid) -> 1, when there is one */
    QUERY_HAS_FORGOTTEN,
    /* (deployment uid, address, with documents) -> FORGOTTEN_* from TYPE on; the newest */
    QUERY_FIND_FORGOTTEN,
    /* (deployment uid, number, 0 for the head) -> number, created_at, JSON, document, given */
    QUERY_GET_REVISION,
    /* (deployment uid, below, 0 for all, limit) -> number, created_at, JSON; newest first */
    QUERY_LIST_REVISIONS,
    /* (prefix of a hash) -> JSON, document; at most two */
    QUERY_FIND_PLANS,
    /* (prefix of the hash of one plan) -> STEP_TEXT_*; by number */
    QUERY_READ_STEPS,
    /* (run id, first number, how many) -> STEP_TEXT_* of those steps of the run's plan; by number
     */
    QUERY_LIST_STEPS,
    /* (plan hash) -> JSON; oldest first */
    QUERY_LIST_MAKERS,
    /* (plan hash) -> JSON; oldest first */
    QUERY_LIST_APPROVALS,
    /* (deployment uid, name, form) -> sealed text */
    QUERY_FIND_SECRET,
    /* (deployment uid) -> name, form, created_at; oldest first */
    QUERY_LIST_SECRETS,
    /* (run id) -> RUN_* */
    QUERY_GET_RUN,
    /* (deployment uid, limit) -> RUN_*; newest first */
    QUERY_LIST_RUNS,
    /* (limit) -> RUN_*; of all deployments, newest first */
    QUERY_LIST_ALL_RUNS,
    /* (run id, after seq, limit) -> JOURNAL_*; oldest first */
    QUERY_READ_JOURNAL,
    /* (after number, limit) -> AUDIT_*; oldest first */
    QUERY_READ_AUDIT,
    /* () -> number of the newest entry, 0 before the first */
    QUERY_LAST_AUDIT,
    QUERY_COUNT
};

/* What a batch is made of: (cells). A change that is refused fails as store_refuse_change() says.
 */
enum store_change_kind {
    /* (uid, epoch): refused unless the deployment's epoch, 0 where there is none, is this */
    CHANGE_CHECK_EPOCH,
    /* (uid, version): the same of its records_version */
    CHANGE_CHECK_VERSION,
    /* (run id, status): refused unless the run is there and has it */
    CHANGE_CHECK_RUN,
    /* (uid, instance, provider id): refused when another deployment has a record of it, or a run of
     * another that is under way is to adopt it */
    CHANGE_CHECK_ADOPTABLE,
    /* (plan hash, n): refused when there is a decision other than a yes behind the plan's first n
     */
    CHANGE_CHECK_APPROVALS,
    /* (plan hash, link): refused when a decision about the plan was made by it */
    CHANGE_CHECK_LINK,
    /* (uid, epoch): refused unless the deployment is there and its epoch was one less */
    CHANGE_TAKE_EPOCH,
    /* (DEPLOYMENT_* up to UPDATED_AT): refused when another uid has this name, environment and
     * incarnation, or this uid another */
    CHANGE_PUT_DEPLOYMENT,
    /* (uid): its records_version grows by one; refused without the deployment */
    CHANGE_GROW_VERSION,
    /* (uid): its head_revision grows by one; refused without the deployment */
    CHANGE_GROW_HEAD,
    /* (uid, created_at, JSON, document, given): its number is head_revision; refused without the
       deployment */
    CHANGE_ADD_REVISION,
    /* (hash, uid, created_at, JSON, document): does nothing when the hash is there */
    CHANGE_PUT_PLAN,
    /* (plan hash), with steps: leaves those that are there; refused without the plan */
    CHANGE_ADD_STEPS,
    /* (plan hash, JSON): refused without the plan; does nothing when it is there */
    CHANGE_ADD_MAKER,
    /* (plan hash, JSON): refused without the plan */
    CHANGE_ADD_APPROVAL,
    /* (uid, name, form, created_at, sealed text): does nothing when one is there */
    CHANGE_PUT_SECRET,
    /* (uid): does nothing when none is there */
    CHANGE_REMOVE_SECRETS,
    /* (RUN_*): refused without its deployment or its plan, which it keeps */
    CHANGE_PUT_RUN,
    /* (RECORD_*): refused without the deployment */
    CHANGE_PUT_RECORD,
    /* (uid, address, generation): refused when it is not there */
    CHANGE_REMOVE_RECORD,
    /* (uid, created_at, JSON): refused without the deployment */
    CHANGE_ADD_REMAINS,
    /* (FORGOTTEN_*): refused without the run */
    CHANGE_ADD_FORGOTTEN,
    /* (run id, time, kind, JSON, number of a step or a NULL text): goes into the run's chain, too;
     * refused without the run */
    CHANGE_JOURNAL,
    /* (time, kind, JSON, run id or NULL): becomes the newest entry of the audit chain */
    CHANGE_AUDIT,
    CHANGE_KIND_COUNT
};

struct store_change {
    enum store_change_kind kind;
    struct store_row row;      /* owned, and so are its texts but for borrowed ones */
    struct store_steps *steps; /* owned; NULL but for CHANGE_ADD_STEPS */
};

/* The row of one of the steps of a change, from 0: its texts are the change's or lie in buffer, and
 * live until that is used again. */
void store_write_step(const struct store_change *change, size_t i, struct strbuf *buffer,
                      struct store_cell ret_cells[STEP_COLUMN_COUNT]);

/*
 * Changes in the order they were asked for. Plain data: another thread may read it while nobody
 * changes it.
 */
struct store_batch {
    struct store_change *changes; /* owned */
    size_t n_changes;
    size_t capacity;
    struct map grown; /* the uids that have their GROW_VERSION already */
};

/* Empties a batch, so that it can be filled again. */
void store_batch_clear(struct store_batch *batch);

/*
 * Called for each row that a query finds; row and its texts are borrowed for the call. A negative
 * return ends the query with it. Must not wait.
 */
typedef int store_visit(void *argument, const struct store_row *row, struct error *err);

struct store_ops {
    const char *driver;

    /* Calls visit for each row of a query, in its order. All rows are of one moment. */
    CO_FN int (*read)(struct store *store, enum store_query query,
                      const struct store_row *parameters, store_visit *visit, void *argument,
                      struct error *err);

    /*
     * Carries out the changes of a batch, which has some, in their order: all or nothing, durable
     * when it returns. *ret_last_seq is as in store_commit(). The batch stays the caller's.
     */
    CO_FN int (*commit)(struct store *store, const struct store_batch *batch, int64_t *ret_last_seq,
                        struct error *err);

    /* A number that is another once another process has committed; NULL: there is no other. */
    CO_FN int (*version)(struct store *store, int64_t *ret_version, struct error *err);

    /* Frees all of the driver and the store itself. No call is under way. */
    void (*close)(struct store *store);
};

/* The first member of each driver's own. */
struct store {
    const struct store_ops *ops; /* borrowed */
    struct loop *loop;           /* borrowed */
    char *place;                 /* owned: where it is, in words for errors */
    char id[UUID_TEXT_SIZE];
    size_t n_calls; /* under way */
    uint64_t n_reads;
    uint64_t n_commits;
    uint64_t n_syncs; /* counted by the driver */
};

/*
 * The next digest of a chain: the SHA-256, in hexadecimal digits, of the digest before it and the
 * parts of what is added, each with a line feed behind it; a NULL text is left out. No part holds a
 * line feed. ret_digest may be before.
 */
void store_chain(const char *before, const struct store_row *parts,
                 char ret_digest[DIGEST_HEX_SIZE]);

/* Asks the driver; as store_ops.read. */
CO_FN int store_query(struct store *store, enum store_query query,
                      const struct store_row *parameters, store_visit *visit, void *argument,
                      struct error *err);

/* For close(): frees what struct store owns, and the store. */
void store_free(struct store *store);

/* A cell of a row; NULL for a NULL text. */
const char *store_row_text(const struct store_row *row, size_t column);
int64_t store_row_number(const struct store_row *row, size_t column);

/* The error of a change that was refused, in words for people. */
int store_refuse_change(const struct store_change *change, struct error *err);
