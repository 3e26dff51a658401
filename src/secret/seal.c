/* A secret at rest: "v1:" and base64 of nonce and box (XSalsa20 and Poly1305). */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/secret-internal.h"

#include <sodium.h>
#include <string.h>

#define SEAL_PREFIX "v1:"
enum {
    VARIANT = sodium_base64_VARIANT_ORIGINAL,
    NONCE_SIZE = crypto_secretbox_NONCEBYTES,
    OVERHEAD = NONCE_SIZE + crypto_secretbox_MACBYTES,
};

struct sealing {
    const struct secret_key *key;
    char *sealed; /* owned */
};

static int seal_text(void *argument, const char *text, size_t size, struct error *err)
{
    struct sealing *sealing = argument;
    unsigned char key[SECRET_KEY_SIZE];
    size_t n = size + OVERHEAD;
    size_t length = sodium_base64_encoded_len(n, VARIANT);
    (void)err;
    CLEANUP(mem_freep) char *box = mem_zeroed(n, 1);
    unsigned char *bytes = (unsigned char *)box;
    world_random(bytes, NONCE_SIZE);
    secret_derive(sealing->key, SECRET_PURPOSE_SEAL, key);
    (void)crypto_secretbox_easy(bytes + NONCE_SIZE, (const unsigned char *)text, size, bytes, key);
    mem_wipe(key, sizeof(key));
    sealing->sealed = mem_zeroed(strlen(SEAL_PREFIX) + length, 1);
    memcpy(sealing->sealed, SEAL_PREFIX, strlen(SEAL_PREFIX));
    sodium_bin2base64(sealing->sealed + strlen(SEAL_PREFIX), length, bytes, n, VARIANT);
    return 0;
}

int secret_seal(struct secrets *secrets, const char *digest, char **ret_sealed, struct error *err)
{
    struct sealing sealing = {.key = secrets->key};
    int r = secret_use(secrets, digest, seal_text, &sealing, err);
    if (r == 0)
        *ret_sealed = sealing.sealed;
    return r;
}

static int refuse(struct error *err)
{
    return error_set(err, ERROR_CORRUPT,
                     "a stored secret was changed, or encrypted with another key than is at hand");
}

int secret_unseal(struct secrets *secrets, const char *sealed, const char **ret_digest,
                  struct error *err)
{
    size_t length = strlen(sealed);
    size_t n = 0;
    CLEANUP(mem_freep) char *box = mem_zeroed(length + 1, 1);
    unsigned char *bytes = (unsigned char *)box;
    if (!text_starts_with(sealed, SEAL_PREFIX) ||
        sodium_base642bin(bytes, length, sealed + strlen(SEAL_PREFIX), length - strlen(SEAL_PREFIX),
                          NULL, &n, NULL, VARIANT) != 0 ||
        n < OVERHEAD)
        return refuse(err);
    unsigned char key[SECRET_KEY_SIZE];
    secret_derive(secrets->key, SECRET_PURPOSE_SEAL, key);
    int opened = crypto_secretbox_open_easy(bytes + NONCE_SIZE, bytes + NONCE_SIZE, n - NONCE_SIZE,
                                            bytes, key);
    mem_wipe(key, sizeof(key));
    if (opened != 0)
        return refuse(err);
    return secrets_add(secrets, box + NONCE_SIZE, n - OVERHEAD, ret_digest, err);
}
