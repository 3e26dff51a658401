#include "auth/signing.h"

#include "auth/owned-file.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/yaml.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#define KEY_PREFIX "ed25519:"
#define BASE64 sodium_base64_VARIANT_ORIGINAL
enum {
    OPERATIONS = 3,
    MEMORY = 64 << 20,
    OPERATIONS_MAX = 100,
    MEMORY_MAX = 1 << 30,
    MAX_FILE_BYTES = 1 << 16,
    SEALED_SIZE = crypto_sign_SEEDBYTES + crypto_secretbox_MACBYTES
};

/* A key file: the seed is sealed by what the passphrase comes to. */
struct key_file {
    unsigned char public[crypto_sign_PUBLICKEYBYTES];
    unsigned char salt[crypto_pwhash_SALTBYTES];
    unsigned char nonce[crypto_secretbox_NONCEBYTES];
    unsigned char sealed[SEALED_SIZE];
    int64_t operations;
    int64_t memory;
};

/* The caller frees it. */
static char *encode(const void *bytes, size_t size)
{
    size_t length = sodium_base64_encoded_len(size, BASE64);
    char *text = NEW_ARRAY(char, length);
    return sodium_bin2base64(text, length, bytes, size, BASE64);
}

/* False unless text is exactly so many bytes. */
static bool decode(const char *text, void *ret_bytes, size_t size)
{
    size_t n = 0;
    const char *end = NULL;
    return text &&
           sodium_base642bin(ret_bytes, size, text, strlen(text), NULL, &n, &end, BASE64) == 0 &&
           n == size && *end == '\0';
}

static bool decode_public(const char *text, unsigned char ret_key[crypto_sign_PUBLICKEYBYTES])
{
    return text && text_starts_with(text, KEY_PREFIX) &&
           decode(text + sizeof(KEY_PREFIX) - 1, ret_key, crypto_sign_PUBLICKEYBYTES);
}

bool signing_is_public(const char *text)
{
    unsigned char key[crypto_sign_PUBLICKEYBYTES];
    return decode_public(text, key);
}

/* --- What is signed --- */

/* One form for each statement, and none of anything else that a key may sign. No value has a line
 * feed: hashes, ids and principals are words. The caller frees it. */
static char *canonical(const struct statement *statement)
{
    return string_format(
        "parley approval 1\nplan %s\nprincipal %s\nstore %s\nfrom %" PRId64 "\nuntil %" PRId64 "\n",
        statement->plan, statement->principal, statement->store, statement->from, statement->until);
}

static bool is_one_line(const char *text)
{
    return text && *text && !strchr(text, '\n');
}

bool signing_holds(const struct statement *statement, const char *public, const char *signature)
{
    unsigned char key[crypto_sign_PUBLICKEYBYTES];
    unsigned char bytes[crypto_sign_BYTES];
    if (!is_one_line(statement->plan) || !is_one_line(statement->principal) ||
        !is_one_line(statement->store) || !decode_public(public, key) ||
        !decode(signature, bytes, sizeof(bytes)))
        return false;
    CLEANUP(mem_freep) char *text = canonical(statement);
    return crypto_sign_verify_detached(bytes, (const unsigned char *)text, strlen(text), key) == 0;
}

/* --- Keys --- */

static int derive(const struct key_file *file, const char *passphrase,
                  unsigned char ret_key[crypto_secretbox_KEYBYTES], struct error *err)
{
    if (crypto_pwhash(ret_key, crypto_secretbox_KEYBYTES, passphrase, strlen(passphrase),
                      file->salt, (unsigned long long)file->operations, (size_t)file->memory,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return error_set(err, ERROR_LIMIT, "the passphrase needs %lld bytes of memory to be tried",
                         (long long)file->memory);
    return 0;
}

static int write_key(const char *path, const struct key_file *file, const char *public,
                     struct error *err)
{
    CLEANUP(mem_freep) char *salt = encode(file->salt, sizeof(file->salt));
    CLEANUP(mem_freep) char *nonce = encode(file->nonce, sizeof(file->nonce));
    CLEANUP(mem_freep) char *sealed = encode(file->sealed, sizeof(file->sealed));
    CLEANUP(mem_freep)
    char *text = string_format("# A key for signing approvals, under a passphrase: keep it.\n"
                               "format: 1\npublic: \"%s\"\noperations: %lld\nmemory: %lld\n"
                               "salt: \"%s\"\nnonce: \"%s\"\nsealed: \"%s\"\n",
                               public, (long long)file->operations, (long long)file->memory, salt,
                               nonce, sealed);
    return world_write_file(path, text, strlen(text), 0600, true, err);
}

int signing_make_key(const char *path, const char *passphrase, char **ret_public, struct error *err)
{
    struct key_file file = {.operations = OPERATIONS, .memory = MEMORY};
    unsigned char seed[crypto_sign_SEEDBYTES];
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    unsigned char key[crypto_secretbox_KEYBYTES];
    if (world_file_exists(path))
        return error_set(err, ERROR_EXISTS, "%s is there already; name another file", path);
    world_random(seed, sizeof(seed));
    world_random(file.salt, sizeof(file.salt));
    world_random(file.nonce, sizeof(file.nonce));
    crypto_sign_seed_keypair(file.public, secret, seed);
    int r = derive(&file, passphrase, key, err);
    if (r == 0)
        crypto_secretbox_easy(file.sealed, seed, sizeof(seed), file.nonce, key);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(key, sizeof(key));
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *encoded = encode(file.public, sizeof(file.public));
    CLEANUP(mem_freep) char *public = string_format(KEY_PREFIX "%s", encoded);
    r = write_key(path, &file, public, err);
    if (r == 0)
        *ret_public = take_ptr(public);
    return r;
}

static int64_t number_of(const struct yaml_node *root, const char *key)
{
    const struct yaml_node *node = yaml_get(root, key);
    return node && node->kind == VALUE_INTEGER ? node->integer : 0;
}

static bool read_tree(const struct yaml_node *root, struct key_file *file)
{
    file->operations = number_of(root, "operations");
    file->memory = number_of(root, "memory");
    return number_of(root, "format") == 1 && file->operations >= 1 &&
           file->operations <= OPERATIONS_MAX &&
           file->memory >= (int64_t)crypto_pwhash_MEMLIMIT_MIN && file->memory <= MEMORY_MAX &&
           decode_public(yaml_get_text(root, "public"), file->public) &&
           decode(yaml_get_text(root, "salt"), file->salt, sizeof(file->salt)) &&
           decode(yaml_get_text(root, "nonce"), file->nonce, sizeof(file->nonce)) &&
           decode(yaml_get_text(root, "sealed"), file->sealed, sizeof(file->sealed));
}

static int read_key(const char *path, struct key_file *file, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    struct diagnostics diagnostics = {0};
    struct stat status;
    size_t size = 0;
    int r = owned_file_check(path, &status, err);
    if (r < 0 || (r = world_read_file(path, MAX_FILE_BYTES, &text, &size, err)) < 0)
        return r;
    yaml_read(path, text, size, &yaml_default_limits, &tree, &diagnostics);
    if (!tree || !read_tree(yaml_root(tree), file))
        r = error_set(err, ERROR_CORRUPT, "%s is no key that \"parley key new\" wrote", path);
    diagnostics_done(&diagnostics);
    return r;
}

int signing_read_public(const char *path, char **ret_public, struct error *err)
{
    struct key_file file = {0};
    int r = read_key(path, &file, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *encoded = encode(file.public, sizeof(file.public));
    *ret_public = string_format(KEY_PREFIX "%s", encoded);
    return 0;
}

int signing_sign(const char *path, const char *passphrase, const struct statement *statement,
                 char **ret_signature, struct error *err)
{
    struct key_file file = {0};
    unsigned char key[crypto_secretbox_KEYBYTES];
    unsigned char seed[crypto_sign_SEEDBYTES];
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    unsigned char public[crypto_sign_PUBLICKEYBYTES];
    unsigned char signature[crypto_sign_BYTES];
    int r = read_key(path, &file, err);
    if (r < 0 || (r = derive(&file, passphrase, key, err)) < 0)
        return r;
    if (crypto_secretbox_open_easy(seed, file.sealed, sizeof(file.sealed), file.nonce, key) != 0)
        r = error_set(err, ERROR_DENIED, "that is not the passphrase of %s", path);
    sodium_memzero(key, sizeof(key));
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *text = canonical(statement);
    crypto_sign_seed_keypair(public, secret, seed);
    crypto_sign_detached(signature, NULL, (const unsigned char *)text, strlen(text), secret);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(secret, sizeof(secret));
    /* The public half in the file is not under the passphrase: somebody may have put another. */
    if (memcmp(public, file.public, sizeof(public)) != 0)
        return error_set(err, ERROR_CORRUPT, "the public half in %s is of another key", path);
    *ret_signature = encode(signature, sizeof(signature));
    return 0;
}
