/*
 * Any text as an expression: refused with a code, or a value; and one that waits for what is not
 * known yet gives later what it would have given at once. References that begin with "later" are
 * what is not known at first.
 */
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "model/expression.h"
#include "model/functions.h"
#include "model/json.h"

#include <string.h>

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    const bool *is_later = argument;
    if (text_equal(reference->root, "secret")) {
        *ret_value = value_secret("abc", "${secret.a}");
        return 0;
    }
    if (text_equal(reference->root, "none"))
        return error_set(err, ERROR_NOT_FOUND, "there is nothing");
    bool must_wait = text_starts_with(reference->root, "later");
    if (must_wait && !*is_later) {
        *ret_value = text_equal(reference->path, "n") ? value_unknown("integer", "") : NULL;
        return 0;
    }
    if (text_equal(reference->path, "list")) {
        struct value *items[] = {value_string("$"), value_string("a${b}"), value_integer(7)};
        *ret_value = value_list(items, ARRAY_LENGTH(items));
    } else if (text_equal(reference->path, "n")) {
        *ret_value = value_integer(3);
    } else if (text_equal(reference->path, "secret")) {
        *ret_value = value_secret("abc", "${secret.a}");
    } else if (text_equal(reference->path, "net")) {
        *ret_value = value_string("10.0.0.0/8");
    } else {
        *ret_value = value_string("{$");
    }
    return 0;
}

/* The outcome as JSON; NULL when it was refused. */
static struct value *evaluate(const char *text, bool is_later)
{
    struct value *value = NULL;
    struct error err = {0};
    struct expression_fault fault = {0};
    if (expression_evaluate(text, look_up, &is_later, &value, &fault, &err) < 0) {
        MUST(!value && err.message && fault.code != DIAGNOSTIC_YAML_SYNTAX);
        MUST(fault.offset <= strlen(text));
    }
    error_done(&err);
    return value;
}

static int look_up_text(void *argument, const struct reference *reference, struct value **ret_value,
                        struct error *err)
{
    if (!text_equal(reference->root, "secret"))
        return look_up(argument, reference, ret_value, err);
    *ret_value = value_string("{$");
    return 0;
}

/* The text of a secret, or what its expression gives instead; NULL when that fails. */
static struct value *reveal(const struct value *secret)
{
    bool is_later = true;
    struct value *value = NULL;
    (void)expression_evaluate(value_secret_origin(secret), look_up_text, &is_later, &value, NULL,
                              NULL);
    return value;
}

/* Whether two values are the same, or fail alike, once their secrets are known. */
static bool is_same_revealed(struct value *a, struct value *b)
{
    if (value_kind(a) == VALUE_SECRET && value_kind(b) == VALUE_SECRET) {
        CLEANUP(value_unrefp) struct value *left = reveal(a);
        CLEANUP(value_unrefp) struct value *right = reveal(b);
        return left && right ? value_equal(left, right) : !left && !right;
    }
    if (!value_has_secret(a) || value_kind(a) != value_kind(b))
        return value_equal(a, b);
    bool is_same = value_count(a) == value_count(b);
    for (size_t i = 0; is_same && i < value_count(a); i++)
        is_same = is_same_revealed(value_at(a, i), value_at(b, i));
    return is_same;
}

static int ignore(void *argument, const struct reference *reference, struct error *err)
{
    (void)argument;
    (void)err;
    MUST(reference->root && *reference->root && reference->path);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 1 << 16 || !text_is_utf8((const char *)bytes, size))
        return 0;
    CLEANUP(mem_freep) char *text = string_copy_n((const char *)bytes, size);
    CLEANUP(value_unrefp) struct value *at_once = evaluate(text, true);
    CLEANUP(value_unrefp) struct value *waiting = evaluate(text, false);
    int r = expression_references(text, ignore, NULL, NULL, NULL);
    MUST(r == 0 || (!at_once && !waiting));
    MUST(!at_once || !value_has_unknown(at_once));
    if (waiting) {
        bool is_later = true;
        CLEANUP(value_unrefp) struct value *resolved = NULL;
        r = expression_resolve(waiting, look_up, &is_later, &resolved, NULL);
        MUST((r == 0) == (at_once != NULL));
        MUST(r < 0 || is_same_revealed(resolved, at_once));
    }
    CLEANUP(mem_freep) char *escaped = expression_escape(text);
    CLEANUP(value_unrefp) struct value *same = evaluate(escaped, false);
    MUST(same && strcmp(value_text(same), text) == 0);
    return 0;
}
