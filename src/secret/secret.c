#include "secret/secret.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/secret-internal.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#define DIGEST_PREFIX "s1:"
/* Each has pages of its own. */
enum { MAX_ENTRIES = 4096 };
enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = sizeof(DIGEST_PREFIX) + 2 * (size_t)DIGEST_SIZE };

_Static_assert(DIGEST_TEXT_SIZE <= sizeof(((struct secret_entry *)NULL)->digest),
               "an entry has room for its digest");

void *secret_allocate(size_t size)
{
    if (world_is_simulated())
        return mem_zeroed(1, size);
    int started = sodium_init();
    void *block = started < 0 ? NULL : sodium_malloc(size);
    /* As for any small object of ours: without memory the process ends. */
    if (!block)
        return mem_zeroed(SIZE_MAX / 2, 1);
    return block;
}

void secret_release(void *block)
{
    if (world_is_simulated())
        mem_free(block);
    else
        sodium_free(block);
}

void secret_let_read(void *block)
{
    if (!world_is_simulated())
        sodium_mprotect_readonly(block);
}

void secret_hide(void *block)
{
    if (!world_is_simulated())
        sodium_mprotect_noaccess(block);
}

/* --- Keys --- */

struct secret_key *secret_key_new(unsigned char take_bytes[SECRET_KEY_SIZE])
{
    struct secret_key *key = NEW(struct secret_key);
    key->bytes = secret_allocate(SECRET_KEY_SIZE);
    memcpy(key->bytes, take_bytes, SECRET_KEY_SIZE);
    secret_let_read(key->bytes);
    mem_wipe(take_bytes, SECRET_KEY_SIZE);
    return key;
}

void secret_key_free(struct secret_key *key)
{
    if (!key)
        return;
    secret_release(key->bytes);
    mem_free(key);
}

void secret_derive(const struct secret_key *key, unsigned int purpose,
                   unsigned char ret_bytes[SECRET_KEY_SIZE])
{
    static const char context[crypto_kdf_CONTEXTBYTES] = {'p', 'a', 'r', 'l', 'e', 'y', '-', '1'};
    (void)crypto_kdf_derive_from_key(ret_bytes, SECRET_KEY_SIZE, purpose, context, key->bytes);
}

/* The file holds the key as 64 hexadecimal digits and a line's end. */
static int read_key(const char *path, struct secret_key **ret_key, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, 1024, &text, &size, err);
    if (r < 0)
        return r;
    unsigned char bytes[SECRET_KEY_SIZE];
    size_t n = 0;
    const char *end = text;
    int parsed = sodium_hex2bin(bytes, sizeof(bytes), text, size, NULL, &n, &end);
    bool is_key = parsed == 0 && n == sizeof(bytes) && (*end == '\0' || text_equal(end, "\n"));
    mem_wipe(text, size);
    if (!is_key)
        return error_set(err, ERROR_CORRUPT,
                         "%s holds no key of 64 hexadecimal digits; put the file back from a copy: "
                         "what was encrypted with it cannot be read without",
                         path);
    *ret_key = secret_key_new(bytes);
    return 0;
}

static int write_key(const char *path, struct error *err)
{
    unsigned char bytes[SECRET_KEY_SIZE];
    char text[2 * SECRET_KEY_SIZE + 2];
    world_random(bytes, sizeof(bytes));
    sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
    text[sizeof(text) - 2] = '\n';
    int r = world_write_file(path, text, sizeof(text) - 1, 0600, true, err);
    mem_wipe(bytes, sizeof(bytes));
    mem_wipe(text, sizeof(text));
    return r;
}

int secret_key_open(const char *path, struct secret_key **ret_key, struct error *err)
{
    struct stat status;
    if (!world_file_exists(path)) {
        int r = write_key(path, err);
        if (r < 0)
            return r;
    }
    if (stat(path, &status) == 0 && (status.st_mode & 077) != 0)
        return error_set(err, ERROR_DENIED,
                         "others than its owner may open the key file %s; make a new key, or take "
                         "their rights away with chmod 600",
                         path);
    return read_key(path, ret_key, err);
}

/* --- Texts --- */

void secret_key_derive(const struct secret_key *key, const char *purpose,
                       unsigned char ret_key[SECRET_KEY_SIZE])
{
    (void)crypto_generichash(ret_key, SECRET_KEY_SIZE, (const unsigned char *)purpose,
                             strlen(purpose), key->bytes, SECRET_KEY_SIZE);
}

struct secrets *secrets_new(const struct secret_key *key)
{
    struct secrets *secrets = NEW(struct secrets);
    secrets->key = key;
    /* The memory of a simulated machine is looked at by nobody. */
    if (!world_is_simulated())
        mem_wipe_freed();
    return secrets;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    for (size_t i = 0; i < secrets->n_entries; i++)
        secret_release(secrets->entries[i].text);
    mem_free(secrets->entries);
    secret_needles_free(secrets->needles);
    secrets_forget_names(secrets);
    mem_free(secrets);
}

static void write_digest(const struct secrets *secrets, const char *text, size_t size,
                         char ret_digest[DIGEST_TEXT_SIZE])
{
    unsigned char key[SECRET_KEY_SIZE];
    unsigned char digest[DIGEST_SIZE];
    secret_derive(secrets->key, SECRET_PURPOSE_DIGEST, key);
    (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)text, size, key,
                             sizeof(key));
    memcpy(ret_digest, DIGEST_PREFIX, sizeof(DIGEST_PREFIX));
    sodium_bin2hex(ret_digest + strlen(DIGEST_PREFIX), 2 * (size_t)DIGEST_SIZE + 1, digest,
                   sizeof(digest));
    mem_wipe(key, sizeof(key));
}

static struct secret_entry *find_entry(const struct secrets *secrets, const char *digest)
{
    for (size_t i = 0; i < secrets->n_entries; i++)
        if (text_equal(secrets->entries[i].digest, digest))
            return &secrets->entries[i];
    return NULL;
}

static struct secret_entry *add_entry(struct secrets *secrets, const char *text, size_t size)
{
    ARRAY_RESERVE(secrets->entries, secrets->n_entries, secrets->capacity);
    struct secret_entry *entry = &secrets->entries[secrets->n_entries++];
    entry->text = secret_allocate(size + 1);
    entry->size = size;
    memcpy(entry->text, text, size);
    entry->text[size] = '\0';
    secret_hide(entry->text);
    return entry;
}

int secrets_add(struct secrets *secrets, char *take_text, size_t size, const char **ret_digest,
                struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    if (secrets->n_entries >= MAX_ENTRIES) {
        mem_wipe(take_text, size);
        return error_set(err, ERROR_LIMIT, "more than %d secrets", MAX_ENTRIES);
    }
    if (size > SECRET_MAX_SIZE) {
        mem_wipe(take_text, size);
        return error_set(err, ERROR_LIMIT, "a secret of %zu bytes is too long; %d are the most",
                         size, SECRET_MAX_SIZE);
    }
    write_digest(secrets, take_text, size, digest);
    struct secret_entry *entry = find_entry(secrets, digest);
    if (!entry) {
        entry = add_entry(secrets, take_text, size);
        memcpy(entry->digest, digest, sizeof(digest));
    }
    mem_wipe(take_text, size);
    *ret_digest = entry->digest;
    return 0;
}

char *secrets_digest(const struct secrets *secrets, const char *text, size_t size)
{
    char digest[DIGEST_TEXT_SIZE];
    write_digest(secrets, text, size, digest);
    return string_copy(digest);
}

/* --- Names --- */

void secrets_name(struct secrets *secrets, const char *name, const char *digest)
{
    mem_free(map_put(&secrets->names, name, string_copy(digest)));
}

const char *secrets_find(const struct secrets *secrets, const char *name)
{
    return map_get(&secrets->names, name);
}

void secrets_forget_names(struct secrets *secrets)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&secrets->names, &cursor)))
        mem_free(entry->value);
    map_done(&secrets->names);
}

/* --- Use --- */

int secret_use(struct secrets *secrets, const char *digest,
               int (*use)(void *argument, const char *text, size_t size, struct error *err),
               void *argument, struct error *err)
{
    struct secret_entry *entry = find_entry(secrets, digest);
    if (!entry)
        return error_set(err, ERROR_NOT_FOUND, "the secret %.12s is not known here", digest);
    secret_let_read(entry->text);
    int r = use(argument, entry->text, entry->size, err);
    secret_hide(entry->text);
    assert(r <= 0);
    return r;
}
