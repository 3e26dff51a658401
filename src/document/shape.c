/* Which keys a map of the document has, and of which kind their values are. */
#include "document/document-internal.h"

#include "base/text.h"

#include <string.h>

bool shape_is_identifier(const char *text)
{
    size_t length = strlen(text);
    bool starts_well = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
    return starts_well && length <= 63 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               length;
}

const struct yaml_node *shape_get(const struct yaml_node *map, const char *key, unsigned int kinds)
{
    const struct yaml_node *node = yaml_get(map, key);
    return node && (kinds & 1u << node->kind) ? node : NULL;
}

static const char *kind_words(enum value_kind kind)
{
    switch (kind) {
    case VALUE_BOOL:
        return "true or false";
    case VALUE_INTEGER:
        return "an integer";
    case VALUE_DECIMAL:
        return "a decimal number";
    case VALUE_STRING:
        return "a text";
    case VALUE_LIST:
        return "a list";
    case VALUE_MAP:
        return "a map";
    default:
        return "nothing";
    }
}

void shape_wrong_kind(const struct document *document, const struct yaml_node *node,
                      const char *what, unsigned int kinds, struct diagnostics *diagnostics)
{
    struct strbuf wanted = {0};
    for (unsigned int kind = 0; kind < VALUE_KIND_COUNT; kind++)
        if (kinds & 1u << kind)
            strbuf_addf(&wanted, "%s%s", wanted.length > 0 ? " or " : "",
                        kind_words((enum value_kind)kind));
    bool is_scalar = node->kind != VALUE_LIST && node->kind != VALUE_MAP;
    bool needs_quotes = (kinds & KIND(STRING)) && is_scalar && node->kind != VALUE_NULL;
    diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(document->tree, node),
                    needs_quotes ? "Put it in quotation marks, so that it is a text." : NULL,
                    "%s must be %s, not %s.", what, strbuf_text(&wanted), kind_words(node->kind));
    strbuf_done(&wanted);
}

static const struct key_rule *find_rule(const struct key_rule *rules, size_t n_rules,
                                        const char *key)
{
    for (size_t i = 0; i < n_rules; i++)
        if (text_equal(rules[i].key, key))
            return &rules[i];
    return NULL;
}

/* The key of this map in whose own map the other one has its place; NULL when there is none. */
static const char *find_home(const struct key_rule *rules, size_t n_rules, const char *key)
{
    for (size_t i = 0; i < n_rules; i++)
        if (find_rule(rules[i].inner, rules[i].n_inner, key))
            return rules[i].key;
    return NULL;
}

static void list_keys(const struct key_rule *rules, size_t n_rules, struct strbuf *help)
{
    strbuf_add(help, "There are ");
    for (size_t i = 0; i < n_rules; i++)
        strbuf_addf(help, "%s%s", i == 0 ? "" : ", ", rules[i].key);
    strbuf_add_char(help, '.');
    for (size_t i = 0; i < n_rules; i++)
        if (rules[i].takes_any)
            strbuf_addf(help, " What is not one of these goes below \"%s\".", rules[i].key);
}

static void tell_unknown_key(const struct document *document, const struct yaml_pair *pair,
                             const char *what, const struct key_rule *rules, size_t n_rules,
                             struct diagnostics *diagnostics)
{
    const char *keys[16];
    struct strbuf help = {0};
    for (size_t i = 0; i < n_rules; i++)
        keys[i] = rules[i].key;
    const char *home = find_home(rules, n_rules, pair->key);
    const char *nearest = text_nearest(pair->key, keys, n_rules);
    if (nearest)
        strbuf_addf(&help, "Did you mean \"%s\"?", nearest);
    else if (home)
        strbuf_addf(&help, "Put it below \"%s\".", home);
    else
        list_keys(rules, n_rules, &help);
    diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_KEY, yaml_key_position(document->tree, pair),
                    strbuf_text(&help), "%s has no key \"%.80s\".", what, pair->key);
    strbuf_done(&help);
}

void shape_check(const struct document *document, const struct yaml_node *map, const char *what,
                 const struct key_rule *rules, size_t n_rules, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < map->n_items; i++) {
        const struct yaml_pair *pair = &map->pairs[i];
        const struct key_rule *rule = find_rule(rules, n_rules, pair->key);
        if (!rule) {
            tell_unknown_key(document, pair, what, rules, n_rules, diagnostics);
        } else if (pair->value->kind != VALUE_NULL && !(rule->kinds & 1u << pair->value->kind)) {
            CLEANUP(mem_freep) char *quoted = string_format("\"%s\"", pair->key);
            shape_wrong_kind(document, pair->value, quoted, rule->kinds, diagnostics);
        }
    }
    for (size_t i = 0; i < n_rules; i++) {
        const struct yaml_node *node = yaml_get(map, rules[i].key);
        if (rules[i].is_required && (!node || node->kind == VALUE_NULL))
            diagnostics_add(diagnostics, DIAGNOSTIC_MISSING_KEY,
                            yaml_position(document->tree, node ? node : map), NULL,
                            "%s needs the key \"%s\".", what, rules[i].key);
    }
}
