/*
 * Secrets in values: from a handle to its text and back. A text that was made of secrets by an
 * expression is worked out where it is needed, checked against the digest that the plan has, and
 * wiped with the value that holds it: whatever is freed after secrets_new() is overwritten first.
 */
#pragma once

#include "base/map.h"
#include "model/expression.h"
#include "secret/secret.h"

/* The digest of what an expression of named secrets gives ("${secret.db}", "a-${upper(secret.b)}").
 * No error shows their texts. The caller frees *ret_digest. */
int secrets_digest_expression(struct secrets *secrets, const char *expression, char **ret_digest,
                              struct error *err);

/* Adds what an expression gives, as a secret of its own; names (name -> digest) stand for those of
 * secrets_name(). *ret_digest as of secrets_add(). */
int secrets_add_expression(struct secrets *secrets, const struct map *names, const char *expression,
                           const char **ret_digest, struct error *err);

/*
 * A value with the texts of its secrets in their places. The caller unrefs it before it waits for
 * anything. ERROR_STALE when an expression gives another text than the handle's digest says,
 * ERROR_NOT_FOUND when a secret is not at hand.
 */
int secrets_reveal(struct secrets *secrets, struct value *value, struct value **ret_value,
                   struct error *err);

/* A value whose secrets all have a digest: find_digest() says that of what an expression gives, a
 * text which is then freed. The caller unrefs *ret_value. */
int secrets_complete(struct value *value,
                     int (*find_digest)(void *argument, const char *expression, char **ret_digest,
                                        struct error *err),
                     void *argument, struct value **ret_value, struct error *err);

/* The value with a handle for each bool, number and text that is a secret at the same place of
 * another value, which may be NULL. */
struct value *secrets_veil_like(const struct secrets *secrets, struct value *value,
                                const struct value *like);

/* The value with each bool, number and text in it as the handle of a secret, without an origin. */
struct value *secrets_veil(const struct secrets *secrets, struct value *value);
