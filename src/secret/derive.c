/* What expressions make of secrets. Their texts lie in ordinary memory while one is evaluated; all
 * of that is wiped as it is freed. */
#include "secret/derive.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/functions.h"
#include "secret/secret-internal.h"

#include <string.h>

static int give_text(void *argument, const char *text, size_t size, struct error *err)
{
    struct value **ret_value = argument;
    (void)err;
    *ret_value = value_string_n(text, size);
    return 0;
}

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    struct secrets *secrets = argument;
    bool is_secret = !reference->type && !reference->key && text_equal(reference->root, "secret");
    const char *digest = is_secret ? secrets_find(secrets, reference->path) : NULL;
    if (!digest)
        return error_set(err, ERROR_NOT_FOUND, "the secret %.80s is not at hand", reference->path);
    return secret_use(secrets, digest, give_text, ret_value, err);
}

/* The text of a value that an expression gave. */
static int to_text(const struct value *value, struct strbuf *text, struct error *err)
{
    if (!value_is_null(value) && function_scalar_text(text, value))
        return 0;
    return error_set(err, ERROR_INVALID, "what is made of a secret must be a text, not of kind %s",
                     value_kind_to_string(value_kind(value)));
}

static int evaluate(struct secrets *secrets, const char *expression, struct strbuf *text,
                    struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    struct error fault = {0};
    int r = expression_evaluate(expression, look_up, secrets, &value, NULL, &fault);
    if (r == 0)
        return to_text(value, text, err);
    /* What a function says of its arguments could show them. */
    r = fault.code == ERROR_NOT_FOUND
            ? error_set(err, ERROR_NOT_FOUND, "%s", error_message(&fault))
            : error_set(err, fault.code, "a function cannot work with the text of the secret");
    error_done(&fault);
    return r;
}

int secrets_digest_expression(struct secrets *secrets, const char *expression, char **ret_digest,
                              struct error *err)
{
    struct strbuf text = {0};
    int r = evaluate(secrets, expression, &text, err);
    if (r == 0)
        *ret_digest = secrets_digest(secrets, strbuf_text(&text), text.length);
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

static int reveal_one(struct secrets *secrets, struct value *secret, struct value **ret_value,
                      struct error *err)
{
    if (!*value_secret_origin(secret))
        return secret_use(secrets, value_text(secret), give_text, ret_value, err);
    struct strbuf text = {0};
    int r = evaluate(secrets, value_secret_origin(secret), &text, err);
    if (r == 0)
        r = check_digest(secrets, secret, &text, err);
    if (r == 0)
        *ret_value = value_string_n(strbuf_text(&text), text.length);
    strbuf_done(&text);
    return r;
}

/* A value with another in place of each secret. */
typedef int (*secret_change)(struct secrets *secrets, struct value *secret,
                             struct value **ret_value, struct error *err);

static int change_each(struct secrets *secrets, struct value *value, secret_change change,
                       struct value **ret_value, struct error *err)
{
    enum value_kind kind = value_kind(value);
    struct value_builder builder = {0};
    if (!value_has_secret(value)) {
        *ret_value = value_ref(value);
        return 0;
    }
    if (kind == VALUE_SECRET)
        return change(secrets, value, ret_value, err);
    for (size_t i = 0; i < value_count(value); i++) {
        struct value *item = NULL;
        int r = change_each(secrets, value_at(value, i), change, &item, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        if (kind == VALUE_MAP)
            value_builder_set(&builder, value_key_at(value, i), item);
        else
            value_builder_append(&builder, item);
    }
    *ret_value = kind == VALUE_MAP   ? value_builder_map(&builder)
                 : kind == VALUE_SET ? value_builder_set_of(&builder)
                                     : value_builder_list(&builder);
    return 0;
}

int secrets_reveal(struct secrets *secrets, struct value *value, struct value **ret_value,
                   struct error *err)
{
    return change_each(secrets, value, reveal_one, ret_value, err);
}

static int complete_one(struct secrets *secrets, struct value *secret, struct value **ret_value,
                        struct error *err)
{
    CLEANUP(mem_freep) char *digest = NULL;
    const char *origin = value_secret_origin(secret);
    if (value_text_length(secret) > 0) {
        *ret_value = value_ref(secret);
        return 0;
    }
    int r = secrets_digest_expression(secrets, origin, &digest, err);
    if (r == 0)
        *ret_value = value_secret(digest, origin);
    return r;
}

int secrets_complete(struct secrets *secrets, struct value *value, struct value **ret_value,
                     struct error *err)
{
    return change_each(secrets, value, complete_one, ret_value, err);
}

struct value *secrets_veil(const struct secrets *secrets, struct value *value)
{
    enum value_kind kind = value_kind(value);
    struct value_builder builder = {0};
    if (kind == VALUE_SECRET || kind == VALUE_UNKNOWN || kind == VALUE_NULL)
        return value_ref(value);
    if (kind != VALUE_LIST && kind != VALUE_SET && kind != VALUE_MAP) {
        struct strbuf text = {0};
        (void)function_scalar_text(&text, value);
        CLEANUP(mem_freep)
        char *digest =
            secrets ? secrets_digest(secrets, strbuf_text(&text), text.length) : string_copy("");
        strbuf_done(&text);
        return value_secret(digest, "");
    }
    for (size_t i = 0; i < value_count(value); i++) {
        struct value *item = secrets_veil(secrets, value_at(value, i));
        if (kind == VALUE_MAP)
            value_builder_set(&builder, value_key_at(value, i), item);
        else
            value_builder_append(&builder, item);
    }
    return kind == VALUE_MAP   ? value_builder_map(&builder)
           : kind == VALUE_SET ? value_builder_set_of(&builder)
                               : value_builder_list(&builder);
}
