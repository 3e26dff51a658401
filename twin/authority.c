#include "twin/authority.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/x509.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OWN_DAYS = 3650 };
#define MICROSECONDS 1000000LL

struct authority {
    char *folder;              /* owned */
    char *file;                /* owned */
    gnutls_x509_crt_t crt;     /* owned */
    gnutls_x509_privkey_t key; /* owned */
};

bool authority_is_domain(const char *text)
{
    const char *rest = text_starts_with(text, "*.") ? text + 2 : text;
    if (strlen(text) > 253 || !*rest)
        return false;
    for (;;) {
        size_t length =
            strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
        if (length < 1 || length > 63 || rest[0] == '-' || rest[length - 1] == '-')
            return false;
        if (!rest[length])
            return true;
        if (rest[length] != '.')
            return false;
        rest += length + 1;
    }
}

/* --- The authority --- */

static int authority_make_crt(struct authority *authority, struct error *err)
{
    int r = gnutls_x509_crt_init(&authority->crt);
    if (r >= 0)
        r = x509_set_basics(authority->crt, authority->key, OWN_DAYS);
    if (r >= 0)
        r = x509_set_common_name(authority->crt, "Parley twin local authority");
    if (r >= 0)
        r = gnutls_x509_crt_set_basic_constraints(authority->crt, 1, 0);
    if (r >= 0)
        r = gnutls_x509_crt_set_key_usage(authority->crt,
                                          GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (r >= 0)
        r = gnutls_x509_crt_sign2(authority->crt, authority->crt, authority->key, GNUTLS_DIG_SHA256,
                                  0);
    return r < 0 ? x509_error(err, r, "cannot make the authority's certificate") : 0;
}

static int write_pem(const char *path, unsigned int mode, const gnutls_datum_t *pem,
                     struct error *err)
{
    return world_write_file(path, pem->data, pem->size, mode, true, err);
}

/* The key first: a certificate without its key would be of no use after a crash in between. */
static int authority_make(struct authority *authority, const char *key_file, struct error *err)
{
    int r = x509_make_key(&authority->key, err);
    if (r < 0)
        return r;
    r = authority_make_crt(authority, err);
    if (r < 0)
        return r;
    CLEANUP(x509_free_datum) gnutls_datum_t key_pem = {0};
    CLEANUP(x509_free_datum) gnutls_datum_t crt_pem = {0};
    r = gnutls_x509_privkey_export2(authority->key, GNUTLS_X509_FMT_PEM, &key_pem);
    if (r >= 0)
        r = gnutls_x509_crt_export2(authority->crt, GNUTLS_X509_FMT_PEM, &crt_pem);
    if (r < 0)
        return x509_error(err, r, "cannot write the authority as text");
    r = write_pem(key_file, 0600, &key_pem, err);
    if (r == 0)
        r = write_pem(authority->file, 0644, &crt_pem, err);
    if (r < 0)
        return r;
    /* The library finds the issuer by its name in DER, which only a certificate that was read has.
     */
    x509_free_crt(&authority->crt);
    authority->crt = NULL;
    return x509_load_crt(authority->file, &authority->crt, err);
}

static int authority_load(struct authority *authority, const char *key_file, struct error *err)
{
    int r = x509_load_key(key_file, &authority->key, err);
    if (r == 0)
        r = x509_load_crt(authority->file, &authority->crt, err);
    if (r < 0 && r != -ERROR_NOT_FOUND && r != -ERROR_CORRUPT)
        return r;
    if (r < 0 || !x509_is_key_of(authority->crt, authority->key))
        return error_set(err, ERROR_CORRUPT,
                         "%s is not the key of %s; remove both to get a new authority, and trust "
                         "that one anew",
                         key_file, authority->file);
    return 0;
}

int authority_open(const char *folder, struct authority **ret_authority, struct error *err)
{
    int r = world_make_folder(folder, 0700, err);
    if (r < 0)
        return r;
    CLEANUP(authority_freep)
    struct authority *authority = NEW(struct authority);
    authority->folder = string_copy(folder);
    authority->file = string_format("%s/ca.crt", folder);
    CLEANUP(mem_freep) char *key_file = string_format("%s/ca.key", folder);
    r = world_file_exists(authority->file) ? authority_load(authority, key_file, err)
                                           : authority_make(authority, key_file, err);
    if (r < 0)
        return error_wrap(err, r, "certificate authority");
    *ret_authority = take_ptr(authority);
    return 0;
}

void authority_free(struct authority *authority)
{
    if (!authority)
        return;
    x509_free_crt(&authority->crt);
    x509_free_key(&authority->key);
    mem_free(authority->folder);
    mem_free(authority->file);
    mem_free(authority);
}

const char *authority_file(const struct authority *authority)
{
    return authority->file;
}

/* --- Is the certificate that is there as order? --- */

static bool is_ordered(const struct authority_order *order, const char *domain)
{
    for (size_t i = 0; i < order->n_domains; i++)
        if (strcasecmp(order->domains[i], domain) == 0)
            return true;
    return false;
}

static bool has_domain(gnutls_x509_crt_t crt, const char *domain)
{
    char name[256];
    for (unsigned int i = 0;; i++) {
        size_t size = sizeof(name);
        int r = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);
        if (r < 0)
            return false;
        if (r == GNUTLS_SAN_DNSNAME && strcasecmp(name, domain) == 0)
            return true;
    }
}

/* Neither a domain that is not order nor one that is missing. */
static bool has_ordered_domains(gnutls_x509_crt_t crt, const struct authority_order *order)
{
    char name[256];
    for (size_t i = 0; i < order->n_domains; i++)
        if (!has_domain(crt, order->domains[i]))
            return false;
    for (unsigned int i = 0;; i++) {
        size_t size = sizeof(name);
        int r = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return true;
        if (r != GNUTLS_SAN_DNSNAME || !is_ordered(order, name))
            return false;
    }
}

static bool is_still_good(struct authority *authority, const struct authority_order *order,
                          gnutls_x509_crt_t crt)
{
    unsigned int verdict = 0;
    int64_t seconds_left = gnutls_x509_crt_get_expiration_time(crt) - x509_now_seconds();
    return seconds_left > (int64_t)AUTHORITY_RENEW_DAYS * X509_DAY &&
           has_ordered_domains(crt, order) &&
           gnutls_x509_crt_verify(crt, &authority->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
                                  &verdict) >= 0 &&
           verdict == 0;
}

/* *ret_crt stays NULL when there is none that can be kept: whatever is wrong, a new one cures it.
 */
static void load_good(struct authority *authority, const struct authority_order *order,
                      const char *bundle, gnutls_x509_crt_t *ret_crt)
{
    CLEANUP(x509_free_crt) gnutls_x509_crt_t crt = NULL;
    CLEANUP(x509_free_key) gnutls_x509_privkey_t key = NULL;
    if (x509_load_crt(bundle, &crt, NULL) == 0 && x509_load_key(bundle, &key, NULL) == 0 &&
        x509_is_key_of(crt, key) && is_still_good(authority, order, crt))
        *ret_crt = take_ptr(crt);
}

/* --- Issuing --- */

/* RFC 5280 limits a common name to 64 characters; the names that count are the alternative ones. */
static int set_domains(gnutls_x509_crt_t crt, const struct authority_order *order)
{
    const char *first = order->domains[0];
    int r = x509_set_common_name(crt, strlen(first) <= 64 ? first : order->file);
    for (size_t i = 0; r >= 0 && i < order->n_domains; i++)
        r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, order->domains[i],
                                                 (unsigned int)strlen(order->domains[i]),
                                                 GNUTLS_FSAN_APPEND);
    return r;
}

static int sign(struct authority *authority, gnutls_x509_crt_t crt)
{
    unsigned char id[64];
    size_t id_size = sizeof(id);
    int r = gnutls_x509_crt_get_subject_key_id(authority->crt, id, &id_size, NULL);
    if (r >= 0)
        r = gnutls_x509_crt_set_authority_key_id(crt, id, id_size);
    if (r >= 0)
        r = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (r >= 0)
        r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (r >= 0)
        r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (r >= 0)
        r = gnutls_x509_crt_sign2(crt, authority->crt, authority->key, GNUTLS_DIG_SHA256, 0);
    return r;
}

/* A reader finds the old content or the new one, and may always read it. */
static int place_file(const struct authority_order *order, const char *path,
                      const struct strbuf *text, struct error *err)
{
    CLEANUP(mem_freep) char *draft = string_format("%s.new", path);
    int r = world_write_file(draft, text->text, text->length, 0600, true, err);
    if (r == 0 && order->hand_over)
        r = order->hand_over(draft, err);
    if (r == 0 && rename(draft, path) < 0)
        r = error_set_errno(err, errno, "replace %s", path);
    if (r < 0)
        unlink(draft);
    return r;
}

static int write_bundle(struct authority *authority, gnutls_x509_crt_t crt,
                        gnutls_x509_privkey_t key, struct strbuf *text, struct error *err)
{
    CLEANUP(x509_free_datum) gnutls_datum_t key_pem = {0};
    CLEANUP(x509_free_datum) gnutls_datum_t crt_pem = {0};
    CLEANUP(x509_free_datum) gnutls_datum_t authority_pem = {0};
    int r = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem);
    if (r >= 0)
        r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
    if (r >= 0)
        r = gnutls_x509_crt_export2(authority->crt, GNUTLS_X509_FMT_PEM, &authority_pem);
    if (r < 0)
        return x509_error(err, r, "cannot write a certificate as text");
    strbuf_add_n(text, (const char *)key_pem.data, key_pem.size);
    strbuf_add_n(text, (const char *)crt_pem.data, crt_pem.size);
    strbuf_add_n(text, (const char *)authority_pem.data, authority_pem.size);
    return 0;
}

static int issue(struct authority *authority, const struct authority_order *order,
                 const char *bundle, gnutls_x509_crt_t *ret_crt, struct error *err)
{
    CLEANUP(x509_free_crt) gnutls_x509_crt_t crt = NULL;
    CLEANUP(x509_free_key) gnutls_x509_privkey_t key = NULL;
    int r = x509_make_key(&key, err);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_init(&crt);
    if (r >= 0)
        r = x509_set_basics(crt, key, AUTHORITY_DAYS);
    if (r >= 0)
        r = set_domains(crt, order);
    if (r >= 0)
        r = sign(authority, crt);
    if (r < 0)
        return x509_error(err, r, "cannot issue a certificate");
    CLEANUP(strbuf_wipe) struct strbuf text = {0};
    r = write_bundle(authority, crt, key, &text, err);
    if (r == 0)
        r = place_file(order, bundle, &text, err);
    if (r < 0)
        return r;
    *ret_crt = take_ptr(crt);
    return 0;
}

static int check_order(const struct authority_order *order, struct error *err)
{
    if (order->n_domains == 0 || order->n_domains > AUTHORITY_DOMAINS_LIMIT)
        return error_set(err, ERROR_INVALID, "there are %zu domains; it needs 1 to %d of them",
                         order->n_domains, AUTHORITY_DOMAINS_LIMIT);
    for (size_t i = 0; i < order->n_domains; i++)
        if (!authority_is_domain(order->domains[i]))
            return error_set(err, ERROR_INVALID,
                             "\"%s\" is no domain name; write names beyond ASCII as punycode "
                             "(xn--...)",
                             order->domains[i]);
    return 0;
}

/* --- What others see --- */

static char *serial_text(gnutls_x509_crt_t crt)
{
    unsigned char serial[64];
    size_t size = sizeof(serial);
    if (gnutls_x509_crt_get_serial(crt, serial, &size) < 0)
        return string_copy("");
    struct strbuf text = {0};
    for (size_t i = 0; i < size; i++)
        strbuf_addf(&text, "%02x", serial[i]);
    return strbuf_take(&text);
}

int authority_read_serial(const char *bundle, char **ret_serial, struct error *err)
{
    CLEANUP(x509_free_crt) gnutls_x509_crt_t crt = NULL;
    int r = x509_load_crt(bundle, &crt, err);
    if (r == 0)
        *ret_serial = serial_text(crt);
    return r;
}

void authority_issued_done(struct authority_issued *issued)
{
    mem_free(issued->bundle);
    mem_free(issued->serial);
    *issued = (struct authority_issued){0};
}

static bool is_file_name(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

int authority_provide(struct authority *authority, const struct authority_order *order,
                      struct authority_issued *ret_issued, struct error *err)
{
    assert(is_file_name(order->file));
    int r = check_order(order, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *bundle = string_format("%s/%s.pem", order->folder, order->file);
    CLEANUP(x509_free_crt) gnutls_x509_crt_t crt = NULL;
    load_good(authority, order, bundle, &crt);
    bool is_new = !crt;
    if (is_new)
        r = issue(authority, order, bundle, &crt, err);
    if (r < 0)
        return r;
    *ret_issued = (struct authority_issued){
        .bundle = take_ptr(bundle),
        .serial = serial_text(crt),
        .not_before = (int64_t)gnutls_x509_crt_get_activation_time(crt) * MICROSECONDS,
        .not_after = (int64_t)gnutls_x509_crt_get_expiration_time(crt) * MICROSECONDS,
        .is_new = is_new,
    };
    return 0;
}

int authority_withdraw(const char *folder, const char *file, struct error *err)
{
    assert(is_file_name(file));
    CLEANUP(mem_freep) char *bundle = string_format("%s/%s.pem", folder, file);
    return world_remove_file(bundle, err);
}
