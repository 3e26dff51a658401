/* What expressions make of secrets. Their texts lie in memory of the ordinary allocator while one
 * is evaluated, in pages that are locked; all of that is wiped as it is freed. */
#include "secret/derive.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/functions.h"
#include "secret/secret-internal.h"

#include <string.h>

/* Each is looked for in all that a system answers. */
enum { MAX_DERIVED = 256, MIN_DERIVED_SIZE = 8 };

static int give_text(void *argument, const char *text, size_t size, struct error *err)
{
    struct value **ret_value = argument;
    (void)err;
    *ret_value = value_string_n(text, size);
    return 0;
}

/* What an expression is evaluated with; both borrowed. */
struct derivation {
    struct secrets *secrets;
    const struct map *names; /* name -> digest */
};

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    const struct derivation *derivation = argument;
    bool is_secret = !reference->type && !reference->key && text_equal(reference->root, "secret");
    const char *digest = is_secret ? map_get(derivation->names, reference->path) : NULL;
    if (!digest)
        return error_set(err, ERROR_NOT_FOUND, "the secret %.80s is not at hand", reference->path);
    return secret_use(derivation->secrets, digest, give_text, ret_value, err);
}

/* The text of a value that an expression gave. */
static int to_text(const struct value *value, struct strbuf *text, struct error *err)
{
    if (!value_is_null(value) && function_scalar_text(text, value))
        return 0;
    return error_set(err, ERROR_INVALID, "what is made of a secret must be a text, not of kind %s",
                     value_kind_to_string(value_kind(value)));
}

static int evaluate(struct secrets *secrets, const struct map *names, const char *expression,
                    struct strbuf *text, struct error *err)
{
    struct derivation derivation = {secrets, names};
    struct value *value = NULL;
    struct error fault = {0};
    bool was_on = mem_lock_new(true);
    int r = expression_evaluate(expression, look_up, &derivation, &value, NULL, &fault);
    if (r == 0)
        r = to_text(value, text, err);
    /* What a function says of its arguments could show them. */
    else if (fault.code == ERROR_NOT_FOUND)
        r = error_set(err, ERROR_NOT_FOUND, "%s", error_message(&fault));
    else
        r = error_set(err, fault.code, "a function cannot work with the text of the secret");
    value_unref(value);
    error_done(&fault);
    mem_lock_new(was_on);
    return r;
}

int secrets_digest_expression(struct secrets *secrets, const char *expression, char **ret_digest,
                              struct error *err)
{
    struct strbuf text = {0};
    int r = evaluate(secrets, &secrets->names, expression, &text, err);
    if (r == 0)
        *ret_digest = secrets_digest(secrets, strbuf_text(&text), text.length);
    strbuf_done(&text);
    return r;
}

int secrets_add_expression(struct secrets *secrets, const struct map *names, const char *expression,
                           const char **ret_digest, struct error *err)
{
    struct strbuf text = {0};
    int r = evaluate(secrets, names, expression, &text, err);
    if (r == 0 && text.length == 0)
        r = error_set(err, ERROR_INVALID, "what is made of a secret is empty");
    if (r == 0)
        r = secrets_add(secrets, text.text, text.length, ret_digest, err);
    strbuf_done(&text);
    return r;
}

static int check_digest(const struct secrets *secrets, const struct value *secret,
                        const struct strbuf *text, struct error *err)
{
    CLEANUP(mem_freep) char *digest = secrets_digest(secrets, strbuf_text(text), text->length);
    if (text_equal(digest, value_text(secret)))
        return 0;
    return error_set(err, ERROR_STALE, "what \"%.80s\" gives has changed since the plan was made",
                     value_secret_origin(secret));
}

/* What is sent may come back in an error: the first MAX_DERIVED are known then. A short one would
 * hide too much. */
static void remember(struct secrets *secrets, const struct strbuf *text)
{
    const char *digest = NULL;
    struct error ignored = {0};
    size_t n_before = secrets->n_entries;
    if (secrets->n_derived >= MAX_DERIVED || text->length < MIN_DERIVED_SIZE)
        return;
    CLEANUP(mem_freep) char *copy = string_copy_n(strbuf_text(text), text->length);
    (void)secrets_add(secrets, copy, text->length, &digest, &ignored);
    secrets->n_derived += secrets->n_entries - n_before;
    error_done(&ignored);
}

static int reveal_one(void *argument, struct value *value, struct value **ret_value,
                      struct error *err)
{
    struct secrets *secrets = argument;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET)
        return 0;
    if (!*value_secret_origin(value))
        return secret_use(secrets, value_text(value), give_text, ret_value, err);
    struct strbuf text = {0};
    int r = evaluate(secrets, &secrets->names, value_secret_origin(value), &text, err);
    if (r == 0)
        r = check_digest(secrets, value, &text, err);
    if (r == 0) {
        remember(secrets, &text);
        *ret_value = value_string_n(strbuf_text(&text), text.length);
    }
    strbuf_done(&text);
    return r;
}

int secrets_reveal(struct secrets *secrets, struct value *value, struct value **ret_value,
                   struct error *err)
{
    bool was_on = mem_lock_new(true);
    int r = value_change(value, reveal_one, secrets, ret_value, err);
    mem_lock_new(was_on);
    return r;
}

struct completion {
    int (*find_digest)(void *argument, const char *expression, char **ret_digest,
                       struct error *err);
    void *argument;
};

static int complete_one(void *argument, struct value *value, struct value **ret_value,
                        struct error *err)
{
    const struct completion *completion = argument;
    CLEANUP(mem_freep) char *digest = NULL;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET || value_text_length(value) > 0)
        return 0;
    const char *origin = value_secret_origin(value);
    int r = completion->find_digest(completion->argument, origin, &digest, err);
    if (r == 0)
        *ret_value = value_secret(digest, origin);
    return r;
}

int secrets_complete(struct value *value,
                     int (*find_digest)(void *argument, const char *expression, char **ret_digest,
                                        struct error *err),
                     void *argument, struct value **ret_value, struct error *err)
{
    struct completion completion = {find_digest, argument};
    return value_change(value, complete_one, &completion, ret_value, err);
}

static int veil_one(void *argument, struct value *value, struct value **ret_value,
                    struct error *err)
{
    struct strbuf text = {0};
    (void)err;
    if (value_kind(value) == VALUE_NULL || !function_scalar_text(&text, value))
        return 0;
    CLEANUP(mem_freep) char *digest = secrets_digest(argument, strbuf_text(&text), text.length);
    strbuf_done(&text);
    *ret_value = value_secret(digest, "");
    return 0;
}

struct value *secrets_veil(const struct secrets *secrets, struct value *value)
{
    struct value *veiled = NULL;
    (void)value_change(value, veil_one, (void *)secrets, &veiled, NULL);
    return veiled;
}

struct value *secrets_veil_like(const struct secrets *secrets, struct value *value,
                                const struct value *like)
{
    struct value_builder builder = {0};
    enum value_kind kind = value_kind(value);
    bool is_map = kind == VALUE_MAP;
    if (!like || !value_has_secret(like))
        return value_ref(value);
    if (value_kind(like) == VALUE_SECRET)
        return secrets_veil(secrets, value);
    if (value_kind(like) != kind)
        return value_ref(value);
    for (size_t i = 0; i < value_count(value); i++) {
        const struct value *other = is_map ? value_get(like, value_key_at(value, i))
                                    : i < value_count(like) ? value_at(like, i)
                                                            : NULL;
        struct value *item = secrets_veil_like(secrets, value_at(value, i), other);
        if (is_map)
            value_builder_set(&builder, value_key_at(value, i), item);
        else
            value_builder_append(&builder, item);
    }
    return is_map              ? value_builder_map(&builder)
           : kind == VALUE_SET ? value_builder_set_of(&builder)
                               : value_builder_list(&builder);
}
