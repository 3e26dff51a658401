/*
 * A deployment document: YAML read into declarations, checked against the catalog, expanded into
 * what it wants. Nothing here knows the store or a provider.
 *
 * The order of use: document_read(), document_set_variables(), document_read_secrets(),
 * pattern_apply() (which uses declaration.h), document_expand().
 */
#pragma once

#include "base/error.h"
#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/resource.h"
#include "model/yaml.h"

#include <stdbool.h>

#define DOCUMENT_FORMAT 1
/* How large a document may be, and what it expands to; more is a yaml-limit fault. */
struct document_limits {
    struct yaml_limits yaml;
    size_t resources;
    size_t values; /* that all specs hold together, written out */
};
/* The default ones of YAML, 2 million resources, 20 million values. */
extern const struct document_limits document_default_limits;

struct document;

/*
 * Reads the text of a document. file names it in positions and is copied. Faults are added to
 * diagnostics, all at once; the document is given even then, as far as it could be understood, so
 * that later stages can find more; *ret_document is NULL only when it is no YAML at all.
 */
void document_read(const char *file, const char *text, size_t size, struct document **ret_document,
                   struct diagnostics *diagnostics);
/* As document_read() within other limits, which are borrowed for the document's life. */
void document_read_within(const char *file, const char *text, size_t size,
                          const struct document_limits *limits, struct document **ret_document,
                          struct diagnostics *diagnostics);
/*
 * As document_read() of a file's content, which the caller frees (*ret_text, NULL when it could not
 * be had). A file that is too large is a fault in diagnostics; one that cannot be read is an error.
 */
int document_read_file(const char *path, char **ret_text, struct document **ret_document,
                       struct diagnostics *diagnostics, struct error *err);
void document_free(struct document *document); /* accepts NULL */
DEFINE_CLEANUP(struct document *, document_free)

/*
 * Frees what only expansion needs, which is most of a large document: its nodes, declarations and
 * patterns. What is borrowed from it stays good (resources' positions), and so do the four below,
 * variables and policies.
 */
void document_drop_declarations(struct document *document);

/* Borrowed; the name is "" when it is missing, the environment "default", the version NULL. */
const char *document_name(const struct document *document);
const char *document_environment(const struct document *document);
const char *document_version(const struct document *document);
/* The revision it names as its base; 0: none. */
int64_t document_revision(const struct document *document);
/* Where outputs: stands, or else the document's beginning. */
struct position document_outputs_position(const struct document *document);
/* What stands under policies:, as it is, borrowed; NULL: nothing. */
struct value *document_policies(const struct document *document);

/*
 * Puts values in place of the document's own variables; a name that the document does not declare
 * is left out, so that a site's variables can be given to every document. A text becomes a bool, a
 * number, a list or a map when the document's own value is one; a fault when it cannot.
 */
void document_set_variables(struct document *document, const struct value *variables,
                            struct diagnostics *diagnostics);
bool document_has_variable(const struct document *document, const char *name);
/* The variables as used, a map; for the plan. Borrowed. */
struct value *document_variables(const struct document *document);

/*
 * Where the secrets come from: a map of name -> {environment: NAME}, {file: PATH}, {command: [WORD,
 * ...]} or {generated: {length, alphabet}}, with the variables as set. One with a fault is told and
 * left out. Borrowed.
 */
const struct value *document_read_secrets(struct document *document,
                                          struct diagnostics *diagnostics);
/*
 * The same of what stands under secrets: in another file, such as a site, which has no variables.
 * secrets may be NULL. The caller unrefs the map.
 */
struct value *document_read_sources(const struct yaml_tree *tree, const struct yaml_node *secrets,
                                    struct diagnostics *diagnostics);
/* Where a secret of the document stands. */
struct position document_secret_position(const struct document *document, const char *name);

/* What expansion needs beside the document. All borrowed. */
struct document_context {
    const struct catalog *catalog;
    /*
     * Which instance serves a type when on: is not given, and whether one exists; *ret_instance is
     * borrowed from the callee. ERROR_NOT_FOUND makes an unknown-instance fault of its message.
     * NULL: "PROVIDER.default" serves everything.
     */
    int (*choose_instance)(void *argument, const struct resource_type *type, const char *on,
                           const char **ret_instance, struct error *err);
    /*
     * What ${deployment:NAME/ADDRESS.PATH} stands for: an output of another deployment's resource,
     * which is known now. NULL: nothing can be read.
     */
    int (*read_deployment)(void *argument, const char *name, const char *environment,
                           const char *address, const char *path, struct value **ret_value,
                           struct error *err);
    /*
     * The digest of what an expression of secrets gives: "${secret.db}", "app:${secret.db}". The
     * caller frees *ret_digest. NULL: nobody knows their texts, and handles have no digest.
     */
    int (*digest_secret)(void *argument, const char *expression, char **ret_digest,
                         struct error *err);
    void *argument;
};

/*
 * Checks everything and expands count and forEach into resources, in the document's order (patterns
 * were applied before, by pattern_apply()). Each spec is canonical; unknown parts carry their
 * expression. Faults go to diagnostics; wanted is filled as far as possible.
 *
 * An output that the catalog says has the value of a property (from:) is known when the property
 * is; any other is an unknown of the type that the catalog says. depends_on holds what references,
 * expressions and dependsOn name: addresses, sorted, and the bare name for all of a counted one.
 */
void document_expand(struct document *document, const struct document_context *context,
                     struct wanted *ret_wanted, struct diagnostics *diagnostics);

/*
 * The expanded document as YAML text in the document's own form: without patterns, since what they
 * added or filled in stands in it, each with a comment that says its origin. Reading it gives the
 * same wanted resources, but for origins and positions. For `parley expand`. The caller frees it.
 */
char *document_write_expanded(const struct document *document);
