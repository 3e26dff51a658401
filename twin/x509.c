#include "twin/x509.h"

#include "base/memory.h"
#include "base/world.h"

#include <string.h>

enum {
    FILE_LIMIT = 64 * 1024,
    SERIAL_SIZE = 16,
    CLOCK_SLACK = 3600 /* seconds; a client's clock may be a little behind */
};

void x509_free_crt(gnutls_x509_crt_t *crt)
{
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

void x509_free_key(gnutls_x509_privkey_t *key)
{
    if (*key)
        gnutls_x509_privkey_deinit(*key);
}

void x509_free_datum(gnutls_datum_t *datum)
{
    if (datum->data) {
        mem_wipe(datum->data, datum->size);
        gnutls_free(datum->data);
    }
}

int x509_error(struct error *err, int code, const char *what)
{
    return error_set(err, ERROR_SYSTEM, "%s: %s", what, gnutls_strerror(code));
}

int64_t x509_now_seconds(void)
{
    return world_wall_clock() / 1000000;
}

/* --- Making --- */

int x509_make_key(gnutls_x509_privkey_t *ret_key, struct error *err)
{
    int r = gnutls_x509_privkey_init(ret_key);
    if (r >= 0)
        r = gnutls_x509_privkey_generate(*ret_key, GNUTLS_PK_ECDSA,
                                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    return r < 0 ? x509_error(err, r, "cannot make a key") : 0;
}

static int set_serial(gnutls_x509_crt_t crt)
{
    unsigned char serial[SERIAL_SIZE];
    world_random(serial, sizeof(serial));
    /* RFC 5280, 4.1.2.2: positive, and not zero. */
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
    return gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
}

int x509_set_basics(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, int days)
{
    unsigned char id[64];
    size_t id_size = sizeof(id);
    int64_t now = x509_now_seconds();
    int r = gnutls_x509_crt_set_version(crt, 3);
    if (r >= 0)
        r = set_serial(crt);
    if (r >= 0)
        r = gnutls_x509_crt_set_activation_time(crt, now - CLOCK_SLACK);
    if (r >= 0)
        r = gnutls_x509_crt_set_expiration_time(crt, now + (int64_t)days * X509_DAY);
    if (r >= 0)
        r = gnutls_x509_crt_set_key(crt, key);
    if (r >= 0)
        r = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_size);
    if (r >= 0)
        r = gnutls_x509_crt_set_subject_key_id(crt, id, id_size);
    return r;
}

int x509_set_common_name(gnutls_x509_crt_t crt, const char *name)
{
    return gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                         (unsigned int)strlen(name));
}

/* --- Reading --- */

int x509_load_key(const char *path, gnutls_x509_privkey_t *ret_key, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, FILE_LIMIT, &text, &size, err);
    if (r < 0)
        return r;
    gnutls_datum_t datum = {(unsigned char *)text, (unsigned int)size};
    r = gnutls_x509_privkey_init(ret_key);
    if (r >= 0)
        r = gnutls_x509_privkey_import(*ret_key, &datum, GNUTLS_X509_FMT_PEM);
    mem_wipe(text, size);
    mem_free(text);
    return r < 0 ? error_set(err, ERROR_CORRUPT, "%s holds no key: %s", path, gnutls_strerror(r))
                 : 0;
}

int x509_load_crt(const char *path, gnutls_x509_crt_t *ret_crt, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, FILE_LIMIT, &text, &size, err);
    if (r < 0)
        return r;
    gnutls_datum_t datum = {(unsigned char *)text, (unsigned int)size};
    r = gnutls_x509_crt_init(ret_crt);
    if (r >= 0)
        r = gnutls_x509_crt_import(*ret_crt, &datum, GNUTLS_X509_FMT_PEM);
    mem_wipe(text, size);
    return r < 0 ? error_set(err, ERROR_CORRUPT, "%s holds no certificate: %s", path,
                             gnutls_strerror(r))
                 : 0;
}

bool x509_is_key_of(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    unsigned char of_crt[64], of_key[64];
    size_t crt_size = sizeof(of_crt), key_size = sizeof(of_key);
    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, of_crt, &crt_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >= 0 &&
           crt_size == key_size && memcmp(of_crt, of_key, key_size) == 0;
}
