#include "model/yaml-internal.h"

#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (text_equal(text, *words))
            return true;
    return false;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(text, words);
}

static bool resolve_bool(const char *text, struct yaml_node *node)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    bool is_yes = is_one_of(text, yes);
    if (!is_yes && !is_one_of(text, no))
        return false;
    node->kind = VALUE_BOOL;
    node->boolean = is_yes;
    return true;
}

/* The base when text has the form of an integer, else 0. */
static int integer_base(const char *text)
{
    int base = 10;
    const char *digits = "0123456789";
    if (text_starts_with(text, "0x")) {
        base = 16;
        digits = "0123456789abcdefABCDEF";
    } else if (text_starts_with(text, "0o")) {
        base = 8;
        digits = "01234567";
    }
    const char *start = base != 10 ? text + 2 : *text == '-' || *text == '+' ? text + 1 : text;
    return *start && start[strspn(start, digits)] == '\0' ? base : 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool has_decimal_form(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    size_t n_whole = strspn(text, "0123456789");
    text += n_whole;
    size_t n_fraction = 0;
    if (*text == '.') {
        n_fraction = strspn(text + 1, "0123456789");
        text += 1 + n_fraction;
    }
    if (n_whole + n_fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '-' || *text == '+')
            text++;
        if (*text < '0' || *text > '9')
            return false;
        text += strspn(text, "0123456789");
    }
    return *text == '\0';
}

static bool is_infinite_or_nan(const char *text)
{
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    bool has_sign = *text == '-' || *text == '+';
    return is_one_of(text, words) || (has_sign && is_one_of(text + 1, words));
}

static bool resolve_decimal(const char *text, struct yaml_node *node, const char **ret_fault)
{
    if (is_infinite_or_nan(text)) {
        *ret_fault = "infinity and not-a-number are no values here";
        return false;
    }
    if (!has_decimal_form(text))
        return false;
    double decimal = strtod(text, NULL);
    if (!isfinite(decimal)) {
        *ret_fault = "the number is too large";
        return false;
    }
    node->kind = VALUE_DECIMAL;
    node->decimal = decimal;
    return true;
}

static bool resolve_integer(const char *text, struct yaml_node *node, const char **ret_fault)
{
    int base = integer_base(text);
    if (!base)
        return false;
    errno = 0;
    long long integer = strtoll(base == 10 ? text : text + 2, NULL, base);
    if (errno) {
        *ret_fault = "the integer does not fit into 64 bits";
        return false;
    }
    node->kind = VALUE_INTEGER;
    node->integer = integer;
    return true;
}

static void resolve_plain(struct yaml_node *node, const char **ret_fault)
{
    const char *text = node->text;
    if (*text && !strchr("~nNtTfF-+.0123456789", *text))
        return;
    if (is_null(text)) {
        node->kind = VALUE_NULL;
        return;
    }
    if (resolve_bool(text, node) || resolve_integer(text, node, ret_fault) || *ret_fault)
        return;
    resolve_decimal(text, node, ret_fault);
}

/* The kind that a tag of the core schema asks for; VALUE_KIND_COUNT for other tags. */
static enum value_kind kind_of_tag(const char *tag)
{
    static const struct {
        const char *tag;
        enum value_kind kind;
    } tags[] = {
        {YAML_STR_TAG, VALUE_STRING},    {YAML_INT_TAG, VALUE_INTEGER},
        {YAML_FLOAT_TAG, VALUE_DECIMAL}, {YAML_BOOL_TAG, VALUE_BOOL},
        {YAML_NULL_TAG, VALUE_NULL},     {"!", VALUE_STRING},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(tags); i++)
        if (text_equal(tag, tags[i].tag))
            return tags[i].kind;
    return VALUE_KIND_COUNT;
}

static enum diagnostic_code resolve_tagged(struct yaml_node *node, const char *tag,
                                           const char **ret_fault)
{
    enum value_kind wanted = kind_of_tag(tag);
    if (wanted == VALUE_KIND_COUNT) {
        *ret_fault = "its tag means nothing here; leave the tag out";
        return DIAGNOSTIC_BAD_VALUE;
    }
    if (wanted == VALUE_STRING)
        return DIAGNOSTIC_BAD_VALUE;
    resolve_plain(node, ret_fault);
    if (wanted == VALUE_DECIMAL && node->kind == VALUE_INTEGER) {
        node->kind = VALUE_DECIMAL;
        node->decimal = (double)node->integer;
    }
    if (node->kind != wanted && !*ret_fault) {
        node->kind = VALUE_STRING;
        *ret_fault = "it is not of the kind that its tag says";
    }
    return DIAGNOSTIC_WRONG_KIND;
}

enum diagnostic_code yaml_resolve_scalar(struct yaml_node *node, bool is_plain, const char *tag,
                                         const char **ret_fault)
{
    if (strlen(node->text) != node->n_items) {
        *ret_fault = "a NUL character cannot be part of a text";
        node->n_items = (unsigned int)strlen(node->text);
        return DIAGNOSTIC_BAD_VALUE;
    }
    if (tag)
        return resolve_tagged(node, tag, ret_fault);
    if (is_plain)
        resolve_plain(node, ret_fault);
    return DIAGNOSTIC_BAD_VALUE;
}

bool yaml_is_plain_text(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_/.:+@ -");
    if (length == 0 || text[length] || strstr(text, ": ") || strstr(text, "  "))
        return false;
    if (!strchr(letters, *text) && *text != '/' && *text != '_')
        return false;
    if (text[length - 1] == ':' || text[length - 1] == ' ')
        return false;
    struct yaml_node node = {.kind = VALUE_STRING, .n_items = (unsigned int)length, .text = text};
    const char *fault = NULL;
    yaml_resolve_scalar(&node, true, NULL, &fault);
    return node.kind == VALUE_STRING && !fault;
}
