/* What the files of document/ share. */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "document/declaration.h"
#include "document/document.h"
#include "model/yaml.h"

/* A property that a pattern filled in. */
struct fill {
    const char *path;
    const char *origin;
    struct fill *next;
};

enum repetition { REPETITION_NONE, REPETITION_COUNT, REPETITION_KEYS };

/* Lives in the document's arena; its texts in the tree or the arena. */
struct declaration {
    const struct yaml_node *node;       /* the whole entry, a map */
    const struct yaml_node *properties; /* with what was filled in; NULL without any */
    const char *name;                   /* "" when it is missing or no name */
    const char *type;                   /* as written; "" when it is missing */
    const char *origin;
    struct fill *fills; /* the newest first */
    size_t index;       /* in the document */

    /* What expansion found out. */
    const struct resource_type *resource_type; /* NULL: unknown */
    enum repetition repetition;
    struct value *keys; /* owned: the map that forEach: stands for; NULL without */
    bool is_expanded;
    size_t first; /* of its resources in the list of wanted ones */
    size_t n_resources;
};

struct document {
    const struct document_limits *limits; /* borrowed */
    struct yaml_tree *tree;
    struct arena arena;
    const struct yaml_node *deployment; /* a map; NULL when there is none */
    const char *name;
    const char *environment;
    const char *version; /* NULL without */
    int64_t revision;
    struct value *policies;              /* owned; NULL without */
    struct value *variables;             /* owned map: as used */
    struct value *secrets;               /* owned map; NULL before document_read_secrets() */
    struct pattern_request *patterns;    /* owned; with: of each is owned, too */
    const struct yaml_node **with_nodes; /* owned; NULL where a pattern has none */
    size_t n_patterns;
    size_t pattern_capacity;
    struct declaration **declarations; /* owned array */
    size_t n_declarations;
    size_t declaration_capacity;
    struct map by_name; /* the first of each name */
};

/* --- Shape: which keys there are, and of which kind (shape.c) --- */

#define KIND(name) (1u << VALUE_##name)
#define KIND_ANY (~0u)

struct key_rule {
    const char *key;
    const struct key_rule *inner; /* the keys of its own map; NULL when they are not told */
    size_t n_inner;
    unsigned int kinds; /* what its value may be: KIND(STRING) | KIND(LIST) */
    bool is_required;
    bool takes_any; /* its own map may have any key */
};

/*
 * Tells every key of a map that has no rule, every value of the wrong kind and every required key
 * that is missing. what names the map: "a resource". A null counts as missing.
 */
void shape_check(const struct document *document, const struct yaml_node *map, const char *what,
                 const struct key_rule *rules, size_t n_rules, struct diagnostics *diagnostics);
/* The value of a key when it is of one of these kinds, else NULL. */
const struct yaml_node *shape_get(const struct yaml_node *map, const char *key, unsigned int kinds);
/* Tells that a node is of the wrong kind: what "must be" wanted. */
void shape_wrong_kind(const struct document *document, const struct yaml_node *node,
                      const char *what, unsigned int kinds, struct diagnostics *diagnostics);
/* Whether a text can be a variable's or output's name. */
bool shape_is_identifier(const char *text);

/* --- Declarations (read-declaration.c) --- */

/* Reads one entry under resources: and adds it, or tells why not and returns NULL. */
struct declaration *declaration_read(struct document *document, const struct yaml_node *node,
                                     const char *origin, struct diagnostics *diagnostics);

/* Where the value of a key of the declaration stands, or else the declaration itself. */
struct position declaration_key_position(const struct document *document,
                                         const struct declaration *declaration, const char *key);
/* Appends what stands under a key as a text or a list of texts, as written. */
void declaration_texts(const struct yaml_node *map, const char *key, struct string_list *list);

/* --- Variables (variables.c) --- */

/* Evaluates the variables: of the document, then the with: of its patterns. */
void variables_read(struct document *document, struct diagnostics *diagnostics);
void patterns_evaluate(struct document *document);

/* --- Secrets (secrets.c) --- */

/* Tells what is wrong with the secrets: of the document as far as no variable is needed for it. */
void secrets_check(const struct document *document, struct diagnostics *diagnostics);

/* --- Evaluation (scope.c) --- */

enum scope_phase {
    SCOPE_VARIABLES, /* nothing can be referred to */
    SCOPE_SECRETS,   /* only variables and the deployment can be */
    SCOPE_PATTERNS,  /* only variables are known; all else stays unknown */
    SCOPE_EXPAND,    /* all is known that can be known before apply */
};

/* A use of one resource by another. */
struct link {
    const struct declaration *from;
    const struct declaration *to;
    unsigned int line, column;
};

/* Where names lead to while something is evaluated. Borrows everything but what is marked. */
struct scope {
    enum scope_phase phase;
    struct document *document;
    const struct wanted *wanted;
    struct diagnostics *diagnostics; /* NULL: faults are not told */
    const struct declaration *self;  /* NULL outside of a resource */
    struct value *each_key;
    struct value *each_value;
    struct value *count_index;
    bool is_rehearsal;            /* each and count are not known, and nothing is wrong with that */
    const struct yaml_node *node; /* what is being evaluated */
    struct string_list *depends_on; /* gets the address of each resource used; may be NULL */
    struct expansion *expansion;    /* gets a link for each; may be NULL */
    enum diagnostic_code code;      /* of the last look-up that failed */
    char *help;                     /* owned; of the same */
};

/*
 * Evaluates all texts in a node. What has a fault is told and becomes an unknown, so that nothing
 * else is said about it. The caller unrefs the result.
 */
struct value *scope_evaluate(struct scope *scope, const struct yaml_node *node);

/* Whether a value is known not to hold a secret; told when it does or will. what is where it
 * stands: "count". */
bool scope_refuse_secret(struct scope *scope, const struct yaml_node *node,
                         const struct value *value, const char *what);

/* Tells that there is no resource of this name, with the nearest one. */
void scope_unknown_name(struct scope *scope, struct position position, const char *what,
                        const char *name);
/*
 * Finds the resource that "web", "web[0]" or "web[\"a\"]" names, and notes that it is used. NULL
 * and told when there is none; what says where the name stands.
 */
const struct declaration *scope_use(struct scope *scope, const char *address, const char *what,
                                    struct position position);

/* --- Expansion (expand.c, repeat.c, expand-one.c, spec.c, links.c, unique.c) --- */

struct expansion {
    struct document *document;
    const struct document_context *context;
    struct wanted *wanted;
    struct diagnostics *diagnostics;
    struct link *links; /* owned: in the order of their declarations */
    size_t n_links;
    size_t link_capacity;
    size_t n_values;     /* of all specs so far */
    struct map keywords; /* of all types in use: keyword -> type */
};

/* Makes the resources of a declaration, in the order of count: or forEach:; none without a type. */
void expand_declaration(struct expansion *expansion, struct declaration *declaration);
/* Adds one resource to wanted. repeated_by is what count: or forEach: uses. */
void expand_one(struct scope *scope, const struct declaration *declaration, struct value *key,
                const struct string_list *repeated_by, struct wanted *wanted);
/* The canonical spec of scope->self; its references go to scope->depends_on. The caller unrefs it.
 */
struct value *spec_make(struct scope *scope, const struct declaration *declaration);

/* An order of the declarations in which each comes after those that its expressions refer to. */
void links_order(const struct document *document, size_t *ret_order);
/* Tells every circle of links. */
void links_check_circles(const struct expansion *expansion);
/* Tells resources that claim what only one can have. */
void unique_check(const struct expansion *expansion);
