/* What a site allows and demands of everybody, with the lines that say so: caps, and which approval
 * a plan needs. */
#pragma once

#include "auth/caller.h"
#include "auth/level.h"
#include "model/diagnostic.h"
#include "model/yaml.h"

/* A level that is demanded, and the line that says so; line 0: nothing is said. */
struct level_rule {
    enum approval_level level;
    unsigned int line;
};

/* What stands under one "approval:". */
struct approval_rules {
    struct level_rule level;
    struct level_rule production; /* of plans for production; only at the top of the site */
    struct level_rule protect;    /* of plans that touch what is protected */
    int64_t lasts;                /* microseconds; 0: nothing is said */
    unsigned int four_eyes;       /* the line that wants another than who made the plan; 0: none */
};

struct environment_rules {
    char *name; /* owned */
    struct approval_rules approval;
};

/* Whose signature counts. */
struct approver {
    char *principal;    /* owned */
    char *key;          /* owned: its public half */
    unsigned int roles; /* a set */
    unsigned int line;
};

struct site_rules {
    char *file;              /* owned: the site file; NULL without one */
    unsigned int read_only;  /* the line that says that nothing is changed; 0: none */
    unsigned int no_destroy; /* the line that says that nothing is taken away; 0: none */
    struct approval_rules approval;
    struct environment_rules *environments; /* owned; those that say something of approvals */
    size_t n_environments;
    size_t capacity;
    struct approver *approvers; /* owned */
    size_t n_approvers;
    size_t approvers_capacity;
};

/* Reads the rules out of what stands under "site:"; *rules is empty. Faults go to diagnostics. */
void site_rules_read(struct site_rules *rules, const struct yaml_tree *tree,
                     const struct yaml_node *body, struct diagnostics *diagnostics);
void site_rules_done(struct site_rules *rules);

/* What a plan's approval must be. */
struct demand {
    struct level_rule level;
    int64_t lasts;          /* at most, microseconds */
    unsigned int four_eyes; /* as in struct approval_rules */
};
/* What an environment says goes before what the top says; a protected resource can only add. */
struct demand site_rules_demand(const struct site_rules *rules, const char *environment,
                                bool is_production, bool touches_protected);
