/* What the files of expressions share. */
#pragma once

#include "model/expression.h"

typedef int (*reference_found)(void *argument, const struct reference *reference,
                               struct error *err);

/*
 * A pass over a text. Expressions are evaluated while they are read; values may be unknown. An
 * unknown carries the text that makes it, so what needs it becomes a text around it.
 */
struct expression_parser {
    const char *text; /* the whole text, for offsets */
    const char *at;
    unsigned int depth;
    reference_lookup lookup;
    reference_found found; /* instead of lookup: only look for references */
    void *argument;
    struct expression_fault fault;
};

/* Reads and evaluates the "${...}" at parser->at and steps behind it. */
int expression_parse_braces(struct expression_parser *parser, struct value **ret_value,
                            struct error *err);
/* Notes that what begins at start failed; the caller's error says why. */
void expression_fail(struct expression_parser *parser, const char *start);

/* The length of a JSON string with its quotes at the start of text; 0 when it has no end. */
size_t expression_string_length(const char *text);
/* How deep brackets stand in each other in a well-formed expression. */
unsigned int expression_bracket_depth(const char *text);

/*
 * Appends the literal that evaluates to a value, its unknown and secret parts as the expressions
 * that make them. False when a secret without an origin is in it.
 */
bool expression_write_literal(struct strbuf *text, const struct value *value);
