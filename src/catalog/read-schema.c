/* Properties in catalog files. */
#include "catalog/reader.h"

#include "base/memory.h"
#include "base/text.h"
#include "catalog/schema.h"

#include <stdlib.h>
#include <string.h>

/* Types by their canonical names. */
static void read_type_list(struct catalog_reader *reader, const struct yaml_pair *pair,
                           struct value **ret_list)
{
    CLEANUP(value_unrefp) struct value *given = NULL;
    reader_texts(reader, pair, &given);
    if (!given)
        return;
    struct value_builder types = {0};
    for (size_t i = 0; i < value_count(given); i++) {
        const char *name = value_text(value_at(given, i));
        const char *canonical = text_equal(name, "*") ? "*" : map_get(&reader->names, name);
        if (!canonical)
            diagnostics_add(reader->diagnostics, DIAGNOSTIC_UNKNOWN_TYPE,
                            reader_position(reader, pair->value), NULL,
                            "The type \"%s\" is not in the catalog.", name);
        value_builder_append(&types, value_string(canonical ? canonical : name));
    }
    value_unref(*ret_list);
    *ret_list = value_builder_list(&types);
}

static void read_schema(struct catalog_reader *reader, const struct yaml_pair *pair,
                        struct schema *schema);

static int compare_fields(const void *a, const void *b)
{
    return strcmp(((const struct schema_field *)a)->name, ((const struct schema_field *)b)->name);
}

void reader_fields(struct catalog_reader *reader, const struct yaml_pair *pair,
                   struct schema *schema)
{
    if (!reader_check_map(reader, pair) || schema->fields)
        return;
    size_t n = pair->value->n_items;
    schema->fields = NEW_ARRAY(struct schema_field, n + 1);
    schema->n_fields = n;
    for (size_t i = 0; i < n; i++) {
        schema->fields[i].name = string_copy(pair->value->pairs[i].key);
        read_schema(reader, &pair->value->pairs[i], &schema->fields[i].schema);
    }
    qsort(schema->fields, n, sizeof(schema->fields[0]), compare_fields);
}

static void read_kind(struct catalog_reader *reader, const struct yaml_node *node,
                      struct schema *schema)
{
    const char *text = node->kind == VALUE_STRING ? node->text : "";
    enum schema_kind kind = schema_kind_from_string(text);
    if (kind != SCHEMA_KIND_COUNT) {
        schema->kind = kind;
        return;
    }
    struct strbuf help = {0};
    strbuf_add(&help, "Kinds are ");
    for (size_t i = 0; i < SCHEMA_KIND_COUNT; i++)
        strbuf_addf(&help, "%s%s", i > 0 ? ", " : "", schema_kind_to_string((enum schema_kind)i));
    strbuf_add_char(&help, '.');
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_VALUE, reader_position(reader, node),
                    strbuf_text(&help), "There is no kind of property \"%s\".", text);
    strbuf_done(&help);
}

enum schema_key {
    KEY_KIND,
    KEY_DESCRIPTION,
    KEY_REQUIRED,
    KEY_SECRET,
    KEY_FORCES_REPLACEMENT,
    KEY_ONE_OR_LIST,
    KEY_NAME_KEYS,
    KEY_MAP_OR_KEYS,
    KEY_DEFAULT,
    KEY_ALLOWED,
    KEY_ALIASES,
    KEY_MINIMUM,
    KEY_MAXIMUM,
    KEY_REFERENCES,
    KEY_KEYWORDS,
    KEY_ITEMS,
    KEY_FIELDS,
    KEY_LOCAL,
    KEY_DIGEST_OF,
    KEY_DIGEST_IN,
    KEY_MADE_BY,
    SCHEMA_KEY_COUNT
};
static const char *const schema_keys[] = {
    [KEY_KIND] = "kind",
    [KEY_DESCRIPTION] = "description",
    [KEY_REQUIRED] = "required",
    [KEY_SECRET] = "secret",
    [KEY_FORCES_REPLACEMENT] = "forcesReplacement",
    [KEY_ONE_OR_LIST] = "oneOrList",
    [KEY_NAME_KEYS] = "nameKeys",
    [KEY_MAP_OR_KEYS] = "mapOrKeys",
    [KEY_DEFAULT] = "default",
    [KEY_ALLOWED] = "allowed",
    [KEY_ALIASES] = "aliases",
    [KEY_MINIMUM] = "minimum",
    [KEY_MAXIMUM] = "maximum",
    [KEY_REFERENCES] = "references",
    [KEY_KEYWORDS] = "keywords",
    [KEY_ITEMS] = "items",
    [KEY_FIELDS] = "fields",
    [KEY_LOCAL] = "local",
    [KEY_DIGEST_OF] = "digestOf",
    [KEY_DIGEST_IN] = "digestIn",
    [KEY_MADE_BY] = "madeBy",
};

/* "secret: true", or "secret: allowed" where a plain value may stand, too. */
static void read_secrecy(struct catalog_reader *reader, const struct yaml_pair *pair,
                         struct schema *schema)
{
    schema->may_be_secret =
        pair->value->kind == VALUE_STRING && strcmp(pair->value->text, "allowed") == 0;
    if (!schema->may_be_secret)
        reader_bool(reader, pair, &schema->is_secret);
    schema->may_be_secret = schema->may_be_secret || schema->is_secret;
}

static void read_schema_key(struct catalog_reader *reader, const struct yaml_pair *pair,
                            struct schema *schema)
{
    switch ((enum schema_key)reader_find_word(pair->key, schema_keys, SCHEMA_KEY_COUNT)) {
    case KEY_KIND:
        read_kind(reader, pair->value, schema);
        break;
    case KEY_DESCRIPTION:
        reader_text(reader, pair, &schema->description);
        break;
    case KEY_REQUIRED:
        reader_bool(reader, pair, &schema->is_required);
        break;
    case KEY_SECRET:
        read_secrecy(reader, pair, schema);
        break;
    case KEY_FORCES_REPLACEMENT:
        reader_bool(reader, pair, &schema->forces_replacement);
        break;
    case KEY_ONE_OR_LIST:
        reader_bool(reader, pair, &schema->is_one_or_list);
        break;
    case KEY_NAME_KEYS:
        reader_bool(reader, pair, &schema->has_name_keys);
        break;
    case KEY_MAP_OR_KEYS:
        reader_bool(reader, pair, &schema->is_map_or_keys);
        break;
    case KEY_DEFAULT:
        value_unref(schema->fallback);
        schema->fallback = yaml_to_value(pair->value);
        break;
    case KEY_ALLOWED:
        reader_texts(reader, pair, &schema->allowed);
        break;
    case KEY_ALIASES:
        reader_spellings(reader, pair, &schema->aliases);
        break;
    case KEY_MINIMUM:
        schema->has_minimum = reader_number(reader, pair, &schema->minimum);
        break;
    case KEY_MAXIMUM:
        schema->has_maximum = reader_number(reader, pair, &schema->maximum);
        break;
    case KEY_REFERENCES:
        read_type_list(reader, pair, &schema->references);
        break;
    case KEY_KEYWORDS:
        reader_spellings(reader, pair, &schema->keywords);
        break;
    case KEY_ITEMS:
        if (!schema->items) {
            schema->items = NEW(struct schema);
            read_schema(reader, pair, schema->items);
        }
        break;
    case KEY_FIELDS:
        reader_fields(reader, pair, schema);
        break;
    case KEY_LOCAL:
        reader_bool(reader, pair, &schema->is_local);
        break;
    case KEY_DIGEST_OF:
        reader_text(reader, pair, &schema->digest_of);
        break;
    case KEY_DIGEST_IN:
        reader_text(reader, pair, &schema->digest_in);
        break;
    case KEY_MADE_BY:
        read_type_list(reader, pair, &schema->made_by);
        break;
    case SCHEMA_KEY_COUNT:
        reader_tell_unknown_key(reader, pair, schema_keys, SCHEMA_KEY_COUNT);
        break;
    }
}

/* Whether the parts of a schema fit each other; its default becomes canonical. */
static void finish_schema(struct catalog_reader *reader, const struct yaml_pair *pair,
                          struct schema *schema)
{
    bool has_items =
        schema->kind == SCHEMA_LIST || schema->kind == SCHEMA_SET || schema->kind == SCHEMA_MAP;
    struct position position = yaml_key_position(reader->tree, pair);
    if (has_items != (schema->items != NULL)) {
        diagnostics_add(reader->diagnostics,
                        has_items ? DIAGNOSTIC_MISSING_KEY : DIAGNOSTIC_UNKNOWN_KEY, position, NULL,
                        "\"%s\" is of kind %s, which has %s \"items\".", pair->key,
                        schema_kind_to_string(schema->kind), has_items ? "always" : "no");
        /* What follows may rely on them. */
        if (!schema->items)
            schema->items = NEW(struct schema);
    }
    if ((schema->kind == SCHEMA_OBJECT) != (schema->fields != NULL))
        diagnostics_add(reader->diagnostics,
                        schema->fields ? DIAGNOSTIC_UNKNOWN_KEY : DIAGNOSTIC_MISSING_KEY, position,
                        NULL, "\"%s\" is of kind %s, which has %s \"fields\".", pair->key,
                        schema_kind_to_string(schema->kind), schema->fields ? "no" : "always");
    if (schema->has_minimum && schema->has_maximum && schema->minimum > schema->maximum)
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_VALUE, position, NULL,
                        "The minimum of \"%s\" is above its maximum.", pair->key);
    if (!schema->fallback)
        return;
    struct value *canonical = schema_canonical(schema, schema->fallback);
    if (!canonical) {
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_VALUE, position, NULL,
                        "The default of \"%s\" is not a value that it allows.", pair->key);
        return;
    }
    value_unref(schema->fallback);
    schema->fallback = canonical;
}

/* A schema is its kind alone, or a map. */
static void read_schema(struct catalog_reader *reader, const struct yaml_pair *pair,
                        struct schema *schema)
{
    if (pair->value->kind == VALUE_STRING) {
        read_kind(reader, pair->value, schema);
    } else {
        if (!reader_check_map(reader, pair))
            return;
        if (!yaml_get(pair->value, "kind"))
            diagnostics_add(reader->diagnostics, DIAGNOSTIC_MISSING_KEY,
                            yaml_key_position(reader->tree, pair), NULL, "\"%s\" needs a \"kind\".",
                            pair->key);
        for (size_t i = 0; i < pair->value->n_items; i++)
            read_schema_key(reader, &pair->value->pairs[i], schema);
    }
    finish_schema(reader, pair, schema);
}
