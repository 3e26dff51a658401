/*
 * Signed approvals: what is signed, with which key, and whether it was. A key lies in a file under
 * a passphrase (argon2id); its public half stands in the site file.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What an approver signs. All borrowed. */
struct statement {
    const char *plan;      /* the whole hash */
    const char *principal; /* whose key it is */
    const char *store;     /* the store's id, so that it counts in no other */
    int64_t from, until;   /* microseconds since 1970 */
};

/* Whether a text is a public key: "ed25519:" and 32 bytes in base64. */
bool signing_is_public(const char *text);
/* Whether the signature is that of the public key over exactly this statement. */
bool signing_holds(const struct statement *statement, const char *public, const char *signature);

/* Makes a key and the file for it, which must not be there. The caller frees *ret_public. */
int signing_make_key(const char *path, const char *passphrase, char **ret_public,
                     struct error *err);
/* The public half of a key, which needs no passphrase. ERROR_DENIED when others may open the file.
 * The caller frees *ret_public. */
int signing_read_public(const char *path, char **ret_public, struct error *err);
/* Signs with the key of a file. ERROR_DENIED when the passphrase is another. The caller frees
 * *ret_signature. */
int signing_sign(const char *path, const char *passphrase, const struct statement *statement,
                 char **ret_signature, struct error *err);
