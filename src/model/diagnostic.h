/* Faults and warnings about what a user wrote, collected so that all of them are told at once. */
#pragma once

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/* Code and its fixed summary, without user data. Every code occurs in a golden test. */
#define DIAGNOSTIC_CODES(X)                                                                    \
    X(YAML_SYNTAX, "yaml-syntax", "This is not well-formed YAML")                              \
    X(YAML_LIMIT, "yaml-limit", "The document is larger than a limit allows")                  \
    X(DUPLICATE_KEY, "duplicate-key", "A key is given twice")                                  \
    X(UNKNOWN_KEY, "unknown-key", "There is no such key here")                                 \
    X(MISSING_KEY, "missing-key", "A required key is missing")                                 \
    X(WRONG_KIND, "wrong-kind", "A value is of the wrong kind")                                \
    X(BAD_VALUE, "bad-value", "A value is not allowed here")                                   \
    X(UNKNOWN_FORMAT, "unknown-format", "The document's format is newer than this program")    \
    X(BAD_NAME, "bad-name", "This is not a name")                                              \
    X(RESERVED_NAME, "reserved-name", "This name is reserved")                                 \
    X(DUPLICATE_NAME, "duplicate-name", "A name is used twice")                                \
    X(UNKNOWN_TYPE, "unknown-type", "There is no such resource type")                          \
    X(UNKNOWN_PROPERTY, "unknown-property", "The type has no such property")                   \
    X(MISSING_PROPERTY, "missing-property", "A required property is missing")                  \
    X(UNKNOWN_INSTANCE, "unknown-instance", "There is no such provider instance")              \
    X(UNKNOWN_REFERENCE, "unknown-reference", "A reference leads nowhere")                     \
    X(WRONG_REFERENCE, "wrong-reference", "A reference leads to the wrong type")               \
    X(UNKNOWN_OUTPUT, "unknown-output", "The resource has no such attribute")                  \
    X(UNKNOWN_VARIABLE, "unknown-variable", "There is no such variable")                       \
    X(UNKNOWN_SECRET, "unknown-secret", "There is no such secret")                             \
    X(MISPLACED_SECRET, "misplaced-secret", "A secret would be shown here")                    \
    X(PLAIN_SECRET, "plain-secret", "A secret is written down as it is")                       \
    X(SECRET_KEPT, "secret-kept", "A generated secret stays")                                  \
    X(SECRET_UNLOCKED, "secret-unlocked", "Secrets may be swapped out")                        \
    X(SECRET_SOURCE, "secret-source", "A secret cannot be had")                                \
    X(UNKNOWN_FUNCTION, "unknown-function", "There is no such function")                       \
    X(FUNCTION_FAILED, "function-failed", "A function cannot work with its arguments")         \
    X(EXPRESSION_SYNTAX, "expression-syntax", "An expression in ${} is malformed")             \
    X(CYCLE, "cycle", "Resources depend on each other in a circle")                            \
    X(UNKNOWN_COUNT, "unknown-count", "A count, key or name must be known before apply")       \
    X(UNKNOWN_PATTERN, "unknown-pattern", "There is no such pattern")                          \
    X(PATTERN_BINDING, "pattern-binding", "A pattern cannot tell which resource plays a part") \
    X(EXISTING_UNMATCHED, "existing-unmatched", "What should exist already was not found")     \
    X(ADOPTION, "adoption", "What is there cannot become the resource")                        \
    X(DUPLICATE_UNIQUE, "duplicate-unique", "Two resources claim the same thing")              \
    X(UNKNOWN_REVISION, "unknown-revision", "There is no such revision")                       \
    X(MERGE_CONFLICT, "merge-conflict", "The file and a later revision contradict each other") \
    X(MERGED, "merged", "A later revision is kept")                                            \
    X(NOT_RESTORED, "not-restored", "An undo does not bring this back")                        \
    X(EXPIRED, "expired", "Something needs what has expired")                                  \
    X(PROTECTED, "protected", "A protected resource would be destroyed")                       \
    X(UNKNOWABLE, "unknowable", "Nobody can tell whether this was made")                       \
    X(REFERRED_TO, "referred-to", "Something refers to what is forgotten")                     \
    X(IN_USE, "in-use", "Another deployment reads what would be removed")                      \
    X(LEFT_TOO_LATE, "left-too-late", "Something goes before its user can leave it")           \
    X(CANNOT_SERVE, "cannot-serve", "This target cannot do that")                              \
    X(INTERRUPTS, "interrupts", "A change interrupts what runs")                               \
    X(STAND_IN, "stand-in", "Something stands in for what was asked")                          \
    X(REAL, "real", "What is asked for is really made")

enum diagnostic_code {
#define DIAGNOSTIC_ENUM(name, wire, summary) DIAGNOSTIC_##name,
    DIAGNOSTIC_CODES(DIAGNOSTIC_ENUM)
#undef DIAGNOSTIC_ENUM
        DIAGNOSTIC_CODE_COUNT
};
const char *diagnostic_code_to_string(enum diagnostic_code code);
const char *diagnostic_code_summary(enum diagnostic_code code);

enum diagnostic_severity { DIAGNOSTIC_ERROR, DIAGNOSTIC_WARNING, DIAGNOSTIC_NOTE };

/* Where in which text something stands. line and column count from 1; 0 is nowhere. */
struct position {
    const char *file; /* borrowed: the name the text was read under; NULL for nowhere */
    unsigned int line;
    unsigned int column; /* in characters */
};

struct diagnostic {
    enum diagnostic_code code;
    enum diagnostic_severity severity;
    char *file; /* owned, may be NULL */
    unsigned int line;
    unsigned int column;
    char *detail; /* owned: what is wrong and why it matters */
    char *help;   /* owned, may be NULL: what to do */
};

/* Zero-initialise it. Collection stops at 1,000, which is then the last thing it says. */
struct diagnostics {
    struct diagnostic *items; /* owned */
    size_t n_items;
    size_t capacity;
    size_t n_errors;
};

void diagnostics_done(struct diagnostics *diagnostics);

/*
 * Adds one. help may be NULL; "{...}" stands for nothing special in either. Details are whole
 * sentences that name the thing ("The type \"opnsense:network:vlna\" is not in the catalog.").
 */
__attribute__((format(printf, 5, 6))) void
diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_code code,
                struct position position, const char *help, const char *detail_format, ...);
/* As diagnostics_add for what is no error. */
__attribute__((format(printf, 6, 7))) void
diagnostics_note(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                 enum diagnostic_code code, struct position position, const char *help,
                 const char *detail_format, ...);

bool diagnostics_has_errors(const struct diagnostics *diagnostics);

/*
 * Writes all of them for people, sorted by position: "FILE:LINE:COLUMN: error[CODE]: summary", the
 * line with a caret below its column when source (the text of source_file; both may be NULL) has
 * it and no secret is in it, the detail, the help.
 */
void diagnostics_write(const struct diagnostics *diagnostics, const char *source_file,
                       const char *source, struct strbuf *buffer);
