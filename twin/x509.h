/* Keys and certificates, as gnutls has them: made, read from PEM, compared. Knows no authority. */
#pragma once

#include "base/error.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>

enum { X509_DAY = 24 * 3600 }; /* seconds */

/* For CLEANUP(); accept what was never made. A text is wiped: a key must not linger in freed
 * memory. */
void x509_free_crt(gnutls_x509_crt_t *crt);
void x509_free_key(gnutls_x509_privkey_t *key);
void x509_free_datum(gnutls_datum_t *datum);

/* Says what failed, and gnutls' reason. Returns ERROR_SYSTEM. */
int x509_error(struct error *err, int code, const char *what);
int64_t x509_now_seconds(void);

/* What is made or loaded into *ret is the caller's, to be freed with the above; *ret must be NULL
 * before, and may hold something to free after an error, too. */
int x509_make_key(gnutls_x509_privkey_t *ret_key, struct error *err);
/* Version, serial, lifetime from now on, key and its identifier. These two return a code of
 * gnutls. */
int x509_set_basics(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, int days);
int x509_set_common_name(gnutls_x509_crt_t crt, const char *name);

/* The first key, or certificate, of a file, freed in the same way; ERROR_CORRUPT when it holds
 * none. */
int x509_load_key(const char *path, gnutls_x509_privkey_t *ret_key, struct error *err);
int x509_load_crt(const char *path, gnutls_x509_crt_t *ret_crt, struct error *err);
bool x509_is_key_of(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key);
