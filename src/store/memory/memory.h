/* The memory driver's own: rows in maps, one for each table. */
#pragma once

#include "base/map.h"
#include "store/driver.h"

enum table {
    TABLE_DEPLOYMENTS, /* by uid */
    TABLE_NAMES,       /* by name, environment and incarnation -> (uid) */
    TABLE_REVISIONS,   /* by deployment uid and number */
    TABLE_PLANS,       /* by hash */
    TABLE_STEPS,       /* by plan hash and number */
    TABLE_MAKERS,      /* by their plan and body */
    TABLE_APPROVALS,   /* by their count */
    TABLE_RUNS,        /* by id */
    TABLE_RECORDS,     /* by deployment uid, address and generation */
    TABLE_JOURNAL,     /* by seq */
    TABLE_AUDIT,       /* by number */
    TABLE_SECRETS,     /* by deployment uid, name and form */
    TABLE_REMAINS,     /* by their count */
    TABLE_FORGOTTEN,   /* by their count */
    TABLE_COUNT
};

/* What stood in a table before a change of the batch under way. */
struct undo {
    enum table table;
    char *key;             /* owned */
    struct store_row *row; /* owned; NULL: nothing */
};

struct memory_store {
    struct store store;
    struct map tables[TABLE_COUNT]; /* of struct store_row, owned */
    struct undo *undos;             /* owned; of the batch under way */
    size_t n_undos;
    size_t capacity;
    int64_t last_seq;
    int64_t n_approvals;
    int64_t n_audits;
    int64_t n_remains;
    int64_t n_forgotten;
    char audit_head[DIGEST_HEX_SIZE]; /* the newest entry's digest, or the store's id */
};

/* Accepts NULL. */
void memory_row_free(struct store_row *row);

/* The caller frees these. */
char *memory_secret_key(const struct store_row *row);
char *memory_step_key(const char *plan_hash, int64_t number);
char *memory_revision_key(const char *deployment_uid, int64_t number);

/* store_ops.commit */
CO_FN int memory_commit(struct store *store, const struct store_batch *batch, int64_t *ret_last_seq,
                        struct error *err);
