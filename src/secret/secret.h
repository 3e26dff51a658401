/*
 * Secrets: their texts lie in locked memory that no core file has, and are read only inside one
 * call. Everywhere else a secret is its digest, which needs a key to be made, so that a short text
 * cannot be found by trying.
 */
#pragma once

#include "base/error.h"
#include "net/loop.h"

#include <stddef.h>

/* A key of 32 bytes, in locked memory. */
struct secret_key;
enum { SECRET_KEY_SIZE = 32, SECRET_MAX_SIZE = 1 << 16 };

/* Of 32 bytes, which are wiped. */
struct secret_key *secret_key_new(unsigned char take_bytes[SECRET_KEY_SIZE]);
void secret_key_free(struct secret_key *key); /* accepts NULL */
/*
 * Reads the key of a file, which is made with mode 0600 and a random key when there is none.
 * ERROR_DENIED when others may read it, ERROR_CORRUPT when it is no key: it is never made anew in
 * the place of one that is there.
 */
int secret_key_open(const char *path, struct secret_key **ret_key, struct error *err);

/* Another key made of it, which is always the same for the same purpose and says nothing of it. */
void secret_key_derive(const struct secret_key *key, const char *purpose,
                       unsigned char ret_key[SECRET_KEY_SIZE]);

/* The secrets that a process knows the texts of. */
struct secrets;
/* key is borrowed. From then on the process overwrites all memory that it frees. */
struct secrets *secrets_new(const struct secret_key *key);
/* Wipes all of them; accepts NULL. */
void secrets_free(struct secrets *secrets);

/*
 * Takes a text over: size bytes at take_text are copied into locked memory and then wiped; the
 * caller still frees them. Returns its digest, "s1:" and 64 hexadecimal digits, which is the same
 * for the same text and key; borrowed, until another is added. ERROR_LIMIT beyond SECRET_MAX_SIZE,
 * or 4,096 secrets.
 */
int secrets_add(struct secrets *secrets, char *take_text, size_t size, const char **ret_digest,
                struct error *err);

/* The digest alone, of a text that is not kept. The caller frees it. */
char *secrets_digest(const struct secrets *secrets, const char *text, size_t size);

/* Gives a text the name by which expressions use it; the last one with a name has it. */
void secrets_name(struct secrets *secrets, const char *name, const char *digest);
/* NULL when no text has that name. Borrowed. */
const char *secrets_find(const struct secrets *secrets, const char *name);
void secrets_forget_names(struct secrets *secrets);

/*
 * Calls use() with the text of a secret, which is only readable until it returns; a NUL follows it.
 * use() must not wait, and must wipe what it copies. ERROR_NOT_FOUND when its text is not known
 * here. Returns what use() does.
 */
int secret_use(struct secrets *secrets, const char *digest,
               int (*use)(void *argument, const char *text, size_t size, struct error *err),
               void *argument, struct error *err);

/* --- seal.c: secrets in a store --- */

/* The text of a secret as it may lie in a file: encrypted and authenticated, in base64. The caller
 * frees it. ERROR_NOT_FOUND as secret_use(). */
int secret_seal(struct secrets *secrets, const char *digest, char **ret_sealed, struct error *err);
/* Back again. ERROR_CORRUPT when it was changed, or sealed with another key. */
int secret_unseal(struct secrets *secrets, const char *sealed, const char **ret_digest,
                  struct error *err);

/* --- source.c: where they come from. All give the digest as secrets_add(). --- */

/* Of our environment; it is wiped there, so that neither children nor /proc show it any more, and
 * can be taken only once. ERROR_NOT_FOUND when it is not set. */
int secret_from_environment(struct secrets *secrets, const char *name, const char **ret_digest,
                            struct error *err);
/* A file's content without the line's end after it. */
int secret_from_file(struct secrets *secrets, const char *path, const char **ret_digest,
                     struct error *err);
/*
 * What a program prints on stdout, without the line's end after it; arguments are
 * NULL-terminated. When it fails the error says so without a word of its output.
 */
CO_FN int secret_from_command(struct secrets *secrets, struct loop *loop,
                              const char *const *arguments, const char **ret_digest,
                              struct error *err);
/* A new random one of length characters, at least 16, of an alphabet: alphanumeric, lowercase,
 * digits, hex, printable. */
int secret_generate(struct secrets *secrets, size_t length, const char *alphabet,
                    const char **ret_digest, struct error *err);
