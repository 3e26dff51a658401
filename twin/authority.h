/*
 * A certificate authority of the twin's own and the certificates it issues. Knows folders and
 * domains, nothing of who serves them.
 *
 * Its own folder holds ca.crt (public, what clients trust) and ca.key (0600, never leaves it). Each
 * certificate is a file where its order says: FILE.pem (0600: key, certificate, authority, as
 * HAProxy loads them).
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AUTHORITY_DAYS = 90,       /* that a certificate is valid */
    AUTHORITY_RENEW_DAYS = 30, /* reissued when fewer are left */
    AUTHORITY_DOMAINS_LIMIT = 100
};

struct authority;

/*
 * Opens the authority of a folder, which is made when missing, and so are key and certificate. The
 * caller frees it. ERROR_CORRUPT when one of them is missing or cannot be read: a new authority
 * would silently break whoever trusts the old one.
 */
int authority_open(const char *folder, struct authority **ret_authority, struct error *err);
/* Wipes the key. Accepts NULL. */
void authority_free(struct authority *authority);
DEFINE_CLEANUP(struct authority *, authority_free)
/* The path of ca.crt; borrowed from the authority. */
const char *authority_file(const struct authority *authority);

/* What is wanted; all borrowed. */
struct authority_order {
    const char *folder; /* where it goes; it exists */
    const char *file;   /* its name without ending: [a-z0-9-]+ */
    const char *const *domains;
    size_t n_domains;
    /* Gives a new file to who reads it, before it takes the place of the old one: so nobody ever
     * finds one that he may not read. May be NULL. */
    int (*hand_over)(const char *path, struct error *err);
};

/* What there is. Zero-initialise it. */
struct authority_issued {
    char *bundle;       /* owned; path of FILE.pem */
    char *serial;       /* owned; hexadecimal */
    int64_t not_before; /* wall clock, microseconds */
    int64_t not_after;
    bool is_new; /* the certificate was made by this call */
};
void authority_issued_done(struct authority_issued *issued);

/*
 * Makes sure that FILE.pem holds a certificate of this authority for exactly these domains with
 * more than AUTHORITY_RENEW_DAYS left; issues a new one else. *ret_issued
 * is to be freed with authority_issued_done(). ERROR_INVALID names the domain that is none.
 */
int authority_provide(struct authority *authority, const struct authority_order *order,
                      struct authority_issued *ret_issued, struct error *err);

/* The serial number of the certificate in such a file, in lower case. The caller frees it. */
int authority_read_serial(const char *bundle, char **ret_serial, struct error *err);

/* Removes the file of a certificate that is wanted no more. */
int authority_withdraw(const char *folder, const char *file, struct error *err);

/* Whether text is a DNS name that a certificate can be for; its first label may be "*". */
bool authority_is_domain(const char *text);
