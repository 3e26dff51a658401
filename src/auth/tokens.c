#include "auth/tokens.h"

#include "auth/owned-file.h"
#include "base/digest.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/yaml.h"

#include <sodium.h>
#include <string.h>

#define TOKEN_PREFIX "parley_"
#define DIGEST_PREFIX "sha256:"
enum {
    TOKEN_BYTES = 32,
    MAX_TOKEN = 256,
    MAX_FILE_BYTES = 1 << 20,
    DIGEST_DIGITS = DIGEST_HEX_SIZE - 1,
    SHOWN_DIGITS = 12
};

struct entry {
    char *principal;              /* owned */
    char *expires;                /* owned, such as 2027-01-31T00:00:00Z; NULL: never */
    char digest[DIGEST_HEX_SIZE]; /* of the token */
    unsigned int roles;
};

struct entries {
    struct entry *items; /* owned */
    size_t n_items;
    size_t capacity;
};

struct tokens {
    char *path; /* owned */
    struct entries entries;
    struct stat status; /* of the file as it was read */
    bool is_read;
};

static void entries_done(struct entries *entries)
{
    for (size_t i = 0; i < entries->n_items; i++) {
        mem_free(entries->items[i].principal);
        mem_free(entries->items[i].expires);
    }
    mem_free(entries->items);
    *entries = (struct entries){0};
}

/* --- Reading --- */

/* "2027-01-31T00:00:00Z": such times sort as texts. */
static bool is_time(const char *text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    if (strlen(text) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    return true;
}

static bool is_over(const struct entry *entry)
{
    char now[WORLD_TIME_SIZE];
    if (!entry->expires)
        return false;
    world_format_time(world_wall_clock(), now);
    return strcmp(entry->expires, now) <= 0;
}

/* A role that a file can give; ROLE_COUNT for any other. */
static enum role read_role(const struct yaml_node *node)
{
    enum role role = node->kind == VALUE_STRING ? role_from_string(node->text) : ROLE_COUNT;
    return role == ROLE_OWNER ? ROLE_COUNT : role;
}

static bool read_roles(const struct yaml_node *list, unsigned int *ret_roles)
{
    *ret_roles = 0;
    if (!list || list->kind != VALUE_LIST || list->n_items == 0)
        return false;
    for (unsigned int i = 0; i < list->n_items; i++) {
        enum role role = read_role(list->items[i]);
        if (role == ROLE_COUNT)
            return false;
        *ret_roles |= ROLE(role);
    }
    return true;
}

static bool read_digest(const char *text, char ret_digest[DIGEST_HEX_SIZE])
{
    const char *digits =
        text && text_starts_with(text, DIGEST_PREFIX) ? text + sizeof(DIGEST_PREFIX) - 1 : "";
    if (strlen(digits) != DIGEST_DIGITS || strspn(digits, "0123456789abcdef") != DIGEST_DIGITS)
        return false;
    memcpy(ret_digest, digits, DIGEST_HEX_SIZE);
    return true;
}

/* What is wrong with the entry, or NULL. */
static const char *read_entry(const struct yaml_node *node, struct entry *entry)
{
    const char *principal = yaml_get_text(node, "principal");
    const struct yaml_node *expires = yaml_get(node, "expires");
    if (!principal || !principal_is_valid(principal))
        return "it has no principal";
    if (!read_roles(yaml_get(node, "roles"), &entry->roles))
        return "its roles are no list of viewer, planner, approver, operator and admin";
    if (!read_digest(yaml_get_text(node, "digest"), entry->digest))
        return "its digest is not \"sha256:\" and 64 digits";
    if (expires && (expires->kind != VALUE_STRING || !is_time(expires->text)))
        return "expires is not such as 2027-01-31T00:00:00Z";
    entry->principal = string_copy(principal);
    entry->expires = expires ? string_copy(expires->text) : NULL;
    return NULL;
}

static int read_tree(const char *path, const struct yaml_node *root, struct entries *entries,
                     struct error *err)
{
    const struct yaml_node *format = yaml_get(root, "format");
    const struct yaml_node *list = yaml_get(root, "tokens");
    if (!format || format->kind != VALUE_INTEGER || format->integer != 1)
        return error_set(err, ERROR_UNSUPPORTED, "%s is no file of tokens of format 1", path);
    if (list && list->kind != VALUE_LIST && list->kind != VALUE_NULL)
        return error_set(err, ERROR_INVALID, "%s:%u: \"tokens\" must be a list", path, list->line);
    for (unsigned int i = 0; list && list->kind == VALUE_LIST && i < list->n_items; i++) {
        struct entry entry = {0};
        const char *fault = read_entry(list->items[i], &entry);
        if (fault)
            return error_set(err, ERROR_INVALID, "%s:%u: a token cannot be read: %s", path,
                             list->items[i]->line, fault);
        ARRAY_RESERVE(entries->items, entries->n_items, entries->capacity);
        entries->items[entries->n_items++] = entry;
    }
    return 0;
}

static int read_entries(const char *path, struct entries *entries, struct stat *ret_status,
                        struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    struct diagnostics diagnostics = {0};
    size_t size = 0;
    int r = owned_file_check(path, ret_status, err);
    if (r < 0 || (r = world_read_file(path, MAX_FILE_BYTES, &text, &size, err)) < 0)
        return r;
    yaml_read(path, text, size, &yaml_default_limits, &tree, &diagnostics);
    if (diagnostics_has_errors(&diagnostics))
        r = error_set(err, ERROR_INVALID, "%s:%u: %s", path, diagnostics.items[0].line,
                      diagnostics.items[0].detail);
    else
        r = read_tree(path, yaml_root(tree), entries, err);
    diagnostics_done(&diagnostics);
    if (r < 0)
        entries_done(entries);
    return r;
}

/* --- Asking --- */

struct tokens *tokens_new(const char *path)
{
    struct tokens *tokens = NEW(struct tokens);
    tokens->path = string_copy(path);
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    entries_done(&tokens->entries);
    mem_free(tokens->path);
    mem_free(tokens);
}

/* A file that is replaced as a whole is another one; what is written into it changes its times. */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int refresh(struct tokens *tokens, struct error *err)
{
    struct stat now = {0};
    struct entries entries = {0};
    /* Its owner and its mode are also as they were when it was read. */
    if (tokens->is_read && files_look_at(tokens->path, &now) == 0 && is_same(&now, &tokens->status))
        return 0;
    int r = read_entries(tokens->path, &entries, &now, err);
    entries_done(&tokens->entries);
    tokens->entries = entries;
    tokens->status = now;
    tokens->is_read = r == 0;
    return r;
}

void token_digest(const char *token, char ret_digest[TOKEN_DIGEST_SIZE])
{
    _Static_assert((int)TOKEN_DIGEST_SIZE == (int)DIGEST_HEX_SIZE, "a digest in hex");
    digest_hex(token, strnlen(token, MAX_TOKEN), ret_digest);
}

int tokens_find_digest(struct tokens *tokens, const char *digest, struct caller *ret_caller,
                       struct error *err)
{
    const struct entry *found = NULL;
    int r = refresh(tokens, err);
    if (r < 0)
        return error_wrap(err, r, "no token can be looked up");
    if (strlen(digest) != DIGEST_DIGITS)
        return error_set(err, ERROR_DENIED, "nobody has this token");
    for (size_t i = 0; i < tokens->entries.n_items; i++)
        if (sodium_memcmp(tokens->entries.items[i].digest, digest, DIGEST_DIGITS) == 0)
            found = &tokens->entries.items[i];
    if (!found)
        return error_set(err, ERROR_DENIED, "nobody has this token");
    if (is_over(found))
        return error_set(err, ERROR_DENIED, "the token of %s expired at %s", found->principal,
                         found->expires);
    *ret_caller = (struct caller){
        .principal = string_copy(found->principal),
        .client = string_copy(""),
        .roles = found->roles,
        .authentication = AUTHENTICATION_TOKEN,
    };
    return 0;
}

int tokens_find(struct tokens *tokens, const char *token, struct caller *ret_caller,
                struct error *err)
{
    char digest[TOKEN_DIGEST_SIZE];
    token_digest(token, digest);
    /* One that is longer is none of ours, whatever its begin is. */
    bool is_long = strnlen(token, MAX_TOKEN) == MAX_TOKEN;
    return tokens_find_digest(tokens, is_long ? "" : digest, ret_caller, err);
}

/* --- Changing the file --- */

static int write_entries(const char *path, const struct entries *entries, struct error *err)
{
    struct strbuf text = {0};
    strbuf_add(&text, "# Written by \"parley token\": only digests of the tokens stand here.\n"
                      "format: 1\n");
    strbuf_add(&text, entries->n_items > 0 ? "tokens:\n" : "tokens: []\n");
    for (size_t i = 0; i < entries->n_items; i++) {
        const struct entry *entry = &entries->items[i];
        CLEANUP(mem_freep) char *roles = roles_to_string(entry->roles);
        strbuf_addf(&text, "  - { principal: \"%s\", roles: [%s], digest: \"" DIGEST_PREFIX "%s\"",
                    entry->principal, roles, entry->digest);
        if (entry->expires)
            strbuf_addf(&text, ", expires: \"%s\"", entry->expires);
        strbuf_add(&text, " }\n");
    }
    int r = world_write_file(path, strbuf_text(&text), text.length, 0600, true, err);
    strbuf_done(&text);
    return r;
}

/* Nobody else changes the file while the lock is held. */
static int lock(const char *path, int *ret_lock, struct error *err)
{
    CLEANUP(mem_freep) char *name = string_format("%s.lock", path);
    return world_lock_file(name, ret_lock, err);
}

int tokens_add(const char *path, const char *principal, unsigned int roles, const char *expires,
               char **ret_token, struct error *err)
{
    CLEANUP(close_descriptorp) int held = -1;
    CLEANUP(entries_done) struct entries entries = {0};
    unsigned char bytes[TOKEN_BYTES];
    char encoded[sodium_base64_ENCODED_LEN(TOKEN_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    struct stat status;
    if (!principal_is_valid(principal))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no principal: 1 to 128 letters, digits and . _ @ : + -",
                         principal);
    if (roles == 0 || (roles & ROLE(ROLE_OWNER)))
        return error_set(err, ERROR_INVALID,
                         "a token needs a role: viewer, planner, approver, operator or admin");
    if (expires && !is_time(expires))
        return error_set(err, ERROR_INVALID, "\"%s\" is no time such as 2027-01-31T00:00:00Z",
                         expires);
    int r = lock(path, &held, err);
    if (r == 0 && world_file_exists(path))
        r = read_entries(path, &entries, &status, err);
    if (r < 0)
        return r;
    world_random(bytes, sizeof(bytes));
    sodium_bin2base64(encoded, sizeof(encoded), bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *token = string_format(TOKEN_PREFIX "%s", encoded);
    ARRAY_RESERVE(entries.items, entries.n_items, entries.capacity);
    struct entry *added = &entries.items[entries.n_items++];
    *added = (struct entry){.principal = string_copy(principal),
                            .expires = expires ? string_copy(expires) : NULL,
                            .roles = roles};
    digest_hex(token, strlen(token), added->digest);
    sodium_memzero(bytes, sizeof(bytes));
    sodium_memzero(encoded, sizeof(encoded));
    r = write_entries(path, &entries, err);
    if (r == 0)
        *ret_token = token;
    else
        mem_free(token);
    return r;
}

int tokens_list(const char *path, struct value **ret_list, struct error *err)
{
    CLEANUP(entries_done) struct entries entries = {0};
    struct value_builder list = {0};
    struct stat status;
    int r = read_entries(path, &entries, &status, err);
    for (size_t i = 0; i < entries.n_items; i++) {
        const struct entry *entry = &entries.items[i];
        CLEANUP(mem_freep) char *roles = roles_to_string(entry->roles);
        CLEANUP(mem_freep) char *digest = string_copy_n(entry->digest, SHOWN_DIGITS);
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "principal", entry->principal);
        value_builder_set_string(&fields, "roles", roles);
        value_builder_set_string(&fields, "digest", digest);
        value_builder_set_string(&fields, "expires", entry->expires);
        value_builder_set(&fields, "expired", value_bool(is_over(entry)));
        value_builder_append(&list, value_builder_map(&fields));
    }
    if (r == 0)
        *ret_list = value_builder_list(&list);
    return r;
}

static bool is_meant(const struct entry *entry, const char *word)
{
    return text_equal(entry->principal, word) ||
           (strlen(word) >= SHOWN_DIGITS && text_starts_with(entry->digest, word));
}

int tokens_remove(const char *path, const char *word, size_t *ret_n_removed, struct error *err)
{
    CLEANUP(close_descriptorp) int held = -1;
    CLEANUP(entries_done) struct entries entries = {0};
    struct stat status;
    size_t n_kept = 0;
    int r = lock(path, &held, err);
    if (r < 0 || (r = read_entries(path, &entries, &status, err)) < 0)
        return r;
    size_t n_before = entries.n_items;
    for (size_t i = 0; i < n_before; i++) {
        struct entry entry = entries.items[i];
        if (is_meant(&entry, word)) {
            mem_free(entry.principal);
            mem_free(entry.expires);
        } else {
            entries.items[n_kept++] = entry;
        }
    }
    entries.n_items = n_kept;
    if (n_kept == n_before)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s has no token of \"%s\"; \"parley token list\" shows them", path, word);
    *ret_n_removed = n_before - n_kept;
    return write_entries(path, &entries, err);
}
