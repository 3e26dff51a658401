/*
 * Static tokens: who shows one to the server is the principal that it was made for. They stand in a
 * file as digests alone,
 *
 *   format: 1
 *   tokens:
 *     - { principal: agent, roles: [planner], digest: "sha256:...", expires: 2027-01-31T00:00:00Z }
 *
 * of mode 0600 and owned by who reads it. A token is 256 random bits: a plain SHA-256 of it cannot
 * be guessed back, which a slow hash is for.
 */
#pragma once

#include "auth/caller.h"
#include "base/error.h"
#include "model/value.h"

#include <stddef.h>
#include <stdint.h>

/* The file, and what was read from it. */
struct tokens;

/* Reads nothing yet; path is copied. */
struct tokens *tokens_new(const char *path);
void tokens_free(struct tokens *tokens); /* accepts NULL */

/*
 * The caller that a token stands for; the client is for the door to set. The file is looked at each
 * time and read again when it is another one, so that what was removed is refused from the next
 * question on. ERROR_DENIED when nobody has the token, or no longer; any fault of the file denies
 * all tokens and is said. How long it takes tells nothing of the tokens there are. The caller frees
 * *ret_caller with caller_done().
 */
int tokens_find(struct tokens *tokens, const char *token, struct caller *ret_caller,
                struct error *err);

/* What stands in the file for a token: knowing it lets nobody in. */
enum { TOKEN_DIGEST_SIZE = 65 };
void token_digest(const char *token, char ret_digest[TOKEN_DIGEST_SIZE]);
/* As tokens_find(), for a door that saw the token before and kept its digest. */
int tokens_find_digest(struct tokens *tokens, const char *digest, struct caller *ret_caller,
                       struct error *err);

/* --- The file, for the owner's commands --- */

/*
 * Makes a token and adds its digest to the file, which is made when it is not there. expires: such
 * as 2027-01-31T00:00:00Z, or NULL. ERROR_INVALID for what is no principal, role or time. The
 * caller shows *ret_token once, and frees it.
 */
int tokens_add(const char *path, const char *principal, unsigned int roles, const char *expires,
               char **ret_token, struct error *err);
/* [{principal, roles, digest (its first 12 digits), expires, expired}]. ERROR_NOT_FOUND without the
 * file. */
int tokens_list(const char *path, struct value **ret_list, struct error *err);
/* Removes all tokens of a principal, or the one whose digest begins so (12 digits or more).
 * ERROR_NOT_FOUND when there is none. */
int tokens_remove(const char *path, const char *word, size_t *ret_n_removed, struct error *err);
