#include "catalog/read.h"

#include "base/memory.h"
#include "base/text.h"
#include "catalog/literal.h"
#include "catalog/reader.h"
#include "catalog/schema.h"

#include <string.h>

#define TOKEN_US (INT64_C(3600) * 1000000) /* where the type says nothing */

static const char *const repeat_words[] = {"key", "token", "tag", "natural", "none"};
static const char *const fidelity_words[] = {"real", "stand-in"};

void type_free(struct resource_type *type)
{
    if (!type)
        return;
    for (size_t i = 0; i < type->n_outputs; i++) {
        mem_free(type->outputs[i].name);
        mem_free(type->outputs[i].type);
        mem_free(type->outputs[i].from);
        value_unref(type->outputs[i].changes_with);
        mem_free(type->outputs[i].description);
    }
    for (size_t i = 0; i < type->n_drivers; i++) {
        mem_free(type->drivers[i].driver);
        mem_free(type->drivers[i].fidelity);
        mem_free(type->drivers[i].note);
    }
    mem_free(type->outputs);
    mem_free(type->drivers);
    mem_free(type->name);
    mem_free(type->provider);
    mem_free(type->description);
    mem_free(type->repeat);
    mem_free(type->group);
    value_unref(type->aliases);
    value_unref(type->unique);
    value_unref(type->ascending);
    schema_done(&type->schema);
    mem_free(type);
}

/* Tells of each name in a list that is no property of the type. */
static void check_properties(struct catalog_reader *reader, const struct resource_type *type,
                             const struct yaml_pair *pair, const struct value *names)
{
    for (size_t i = 0; names && i < value_count(names); i++) {
        const char *name = value_text(value_at(names, i));
        if (!schema_field(&type->schema, name))
            diagnostics_add(reader->diagnostics, DIAGNOSTIC_UNKNOWN_PROPERTY,
                            reader_position(reader, pair->value), NULL,
                            "The type has no property \"%s\".", name);
    }
}

/* A list of lists of properties. */
static void read_groups(struct catalog_reader *reader, const struct resource_type *type,
                        const struct yaml_pair *pair, struct value **ret_list)
{
    struct value_builder groups = {0};
    if (pair->value->kind != VALUE_LIST) {
        reader_tell_kind(reader, pair, "a list of lists of properties");
        return;
    }
    for (size_t i = 0; i < pair->value->n_items; i++) {
        struct yaml_pair group = *pair;
        struct value *names = NULL;
        group.value = pair->value->items[i];
        reader_texts(reader, &group, &names);
        check_properties(reader, type, &group, names);
        if (names)
            value_builder_append(&groups, names);
    }
    value_unref(*ret_list);
    *ret_list = value_builder_list(&groups);
}

static void read_output(struct catalog_reader *reader, const struct resource_type *type,
                        const struct yaml_pair *pair, struct type_output *output)
{
    static const char *const keys[] = {"type", "from", "changesWith", "description"};
    output->name = string_copy(pair->key);
    output->type = string_copy("any");
    if (!reader_check_map(reader, pair))
        return;
    for (size_t i = 0; i < pair->value->n_items; i++) {
        const struct yaml_pair *item = &pair->value->pairs[i];
        switch (reader_find_word(item->key, keys, ARRAY_LENGTH(keys))) {
        case 0:
            reader_text(reader, item, &output->type);
            break;
        case 1: {
            CLEANUP(value_unrefp) struct value *names = NULL;
            reader_text(reader, item, &output->from);
            reader_texts(reader, item, &names);
            check_properties(reader, type, item, names);
            break;
        }
        case 2:
            reader_texts(reader, item, &output->changes_with);
            check_properties(reader, type, item, output->changes_with);
            break;
        case 3:
            reader_text(reader, item, &output->description);
            break;
        default:
            reader_tell_unknown_key(reader, item, keys, ARRAY_LENGTH(keys));
        }
    }
}

static void read_outputs(struct catalog_reader *reader, const struct yaml_pair *pair,
                         struct resource_type *type)
{
    if (!reader_check_map(reader, pair) || type->outputs)
        return;
    type->outputs = NEW_ARRAY(struct type_output, pair->value->n_items + 1);
    for (size_t i = 0; i < pair->value->n_items; i++)
        read_output(reader, type, &pair->value->pairs[i], &type->outputs[type->n_outputs++]);
}

/* A driver is its fidelity alone, or a map. */
static void read_driver(struct catalog_reader *reader, const struct yaml_pair *pair,
                        struct type_driver *driver)
{
    static const char *const keys[] = {"fidelity", "note"};
    driver->driver = string_copy(pair->key);
    driver->fidelity = string_copy(fidelity_words[0]);
    if (pair->value->kind == VALUE_STRING) {
        reader_word(reader, pair, fidelity_words, ARRAY_LENGTH(fidelity_words), &driver->fidelity);
        return;
    }
    if (!reader_check_map(reader, pair))
        return;
    for (size_t i = 0; i < pair->value->n_items; i++) {
        const struct yaml_pair *item = &pair->value->pairs[i];
        if (text_equal(item->key, keys[0]))
            reader_word(reader, item, fidelity_words, ARRAY_LENGTH(fidelity_words),
                        &driver->fidelity);
        else if (text_equal(item->key, keys[1]))
            reader_text(reader, item, &driver->note);
        else
            reader_tell_unknown_key(reader, item, keys, ARRAY_LENGTH(keys));
    }
}

static void read_drivers(struct catalog_reader *reader, const struct yaml_pair *pair,
                         struct resource_type *type)
{
    if (!reader_check_map(reader, pair) || type->drivers)
        return;
    type->drivers = NEW_ARRAY(struct type_driver, pair->value->n_items + 1);
    for (size_t i = 0; i < pair->value->n_items; i++)
        read_driver(reader, &pair->value->pairs[i], &type->drivers[type->n_drivers++]);
}

static void read_seconds(struct catalog_reader *reader, const struct yaml_pair *pair,
                         struct resource_type *type)
{
    static const char *const keys[] = {"create", "update", "delete"};
    if (!reader_check_map(reader, pair))
        return;
    for (size_t i = 0; i < pair->value->n_items; i++) {
        const struct yaml_pair *item = &pair->value->pairs[i];
        size_t which = reader_find_word(item->key, keys, ARRAY_LENGTH(keys));
        if (which < ARRAY_LENGTH(keys))
            reader_number(reader, item, &type->seconds[which]);
        else
            reader_tell_unknown_key(reader, item, keys, ARRAY_LENGTH(keys));
    }
}

static void read_stage(struct catalog_reader *reader, const struct yaml_pair *pair,
                       struct resource_type *type)
{
    const char *words[STAGE_COUNT];
    CLEANUP(mem_freep) char *word = NULL;
    for (size_t i = 0; i < STAGE_COUNT; i++)
        words[i] = stage_to_string((enum stage)i);
    reader_word(reader, pair, words, STAGE_COUNT, &word);
    if (word)
        type->stage = stage_from_string(word);
}

static void read_version(struct catalog_reader *reader, const struct yaml_pair *pair,
                         struct resource_type *type)
{
    if (pair->value->kind == VALUE_INTEGER && pair->value->integer >= 1)
        type->version = pair->value->integer;
    else
        reader_tell_kind(reader, pair, "an integer of at least 1");
}

enum type_key {
    TYPE_ALIASES,
    TYPE_VERSION,
    TYPE_DESCRIPTION,
    TYPE_STAGE,
    TYPE_PROPERTIES,
    TYPE_OUTPUTS,
    TYPE_DRIVERS,
    TYPE_UNIQUE,
    TYPE_ASCENDING,
    TYPE_ORDERED,
    TYPE_CREATE_BEFORE_DESTROY,
    TYPE_IRREVERSIBLE,
    TYPE_REPEAT,
    TYPE_GROUP,
    TYPE_SECONDS,
    TYPE_KEY_COUNT
};
static const char *const type_keys[] = {
    [TYPE_ALIASES] = "aliases",
    [TYPE_VERSION] = "version",
    [TYPE_DESCRIPTION] = "description",
    [TYPE_STAGE] = "stage",
    [TYPE_PROPERTIES] = "properties",
    [TYPE_OUTPUTS] = "outputs",
    [TYPE_DRIVERS] = "drivers",
    [TYPE_UNIQUE] = "unique",
    [TYPE_ASCENDING] = "ascending",
    [TYPE_ORDERED] = "ordered",
    [TYPE_CREATE_BEFORE_DESTROY] = "createBeforeDestroy",
    [TYPE_IRREVERSIBLE] = "irreversible",
    [TYPE_REPEAT] = "repeat",
    [TYPE_GROUP] = "group",
    [TYPE_SECONDS] = "seconds",
};

/* A word, or {token: LIFETIME}. */
static void read_repeat(struct catalog_reader *reader, const struct yaml_pair *pair,
                        struct resource_type *type)
{
    const struct yaml_node *lifetime =
        pair->value->kind == VALUE_MAP ? yaml_get(pair->value, "token") : NULL;
    if (!lifetime) {
        reader_word(reader, pair, repeat_words, ARRAY_LENGTH(repeat_words), &type->repeat);
        return;
    }
    CLEANUP(value_unrefp)
    struct value *duration =
        lifetime->kind == VALUE_STRING ? literal_duration(lifetime->text) : NULL;
    if (!duration || pair->value->n_items != 1) {
        reader_tell_kind(reader, pair, "a word, or a token and how long it is known: {token: 1h}");
        return;
    }
    mem_free(type->repeat);
    type->repeat = string_copy("token");
    type->token_us = (int64_t)(literal_duration_seconds(value_text(duration)) * 1e6);
}

static void read_type_key(struct catalog_reader *reader, const struct yaml_pair *pair,
                          struct resource_type *type)
{
    switch ((enum type_key)reader_find_word(pair->key, type_keys, TYPE_KEY_COUNT)) {
    case TYPE_ALIASES:
        reader_texts(reader, pair, &type->aliases);
        break;
    case TYPE_VERSION:
        read_version(reader, pair, type);
        break;
    case TYPE_DESCRIPTION:
        reader_text(reader, pair, &type->description);
        break;
    case TYPE_STAGE:
        read_stage(reader, pair, type);
        break;
    case TYPE_PROPERTIES: /* read before all others, which name properties */
        break;
    case TYPE_OUTPUTS:
        read_outputs(reader, pair, type);
        break;
    case TYPE_DRIVERS:
        read_drivers(reader, pair, type);
        break;
    case TYPE_UNIQUE:
        read_groups(reader, type, pair, &type->unique);
        break;
    case TYPE_ASCENDING:
        read_groups(reader, type, pair, &type->ascending);
        break;
    case TYPE_ORDERED:
        reader_bool(reader, pair, &type->is_ordered);
        break;
    case TYPE_CREATE_BEFORE_DESTROY:
        reader_bool(reader, pair, &type->creates_before_destroy);
        break;
    case TYPE_IRREVERSIBLE:
        reader_bool(reader, pair, &type->is_irreversible);
        break;
    case TYPE_REPEAT:
        read_repeat(reader, pair, type);
        break;
    case TYPE_GROUP:
        reader_text(reader, pair, &type->group);
        break;
    case TYPE_SECONDS:
        read_seconds(reader, pair, type);
        break;
    case TYPE_KEY_COUNT:
        reader_tell_unknown_key(reader, pair, type_keys, TYPE_KEY_COUNT);
        break;
    }
}

static void check_required_keys(struct catalog_reader *reader, const struct yaml_pair *pair)
{
    static const enum type_key required[] = {TYPE_STAGE, TYPE_PROPERTIES, TYPE_DRIVERS};
    for (size_t i = 0; i < ARRAY_LENGTH(required); i++)
        if (!yaml_get(pair->value, type_keys[required[i]]))
            diagnostics_add(
                reader->diagnostics, DIAGNOSTIC_MISSING_KEY, yaml_key_position(reader->tree, pair),
                NULL, "The type \"%s\" needs the key \"%s\".", pair->key, type_keys[required[i]]);
}

static struct resource_type *read_type(struct catalog_reader *reader, const struct yaml_pair *pair)
{
    struct resource_type *type = NEW(struct resource_type);
    type->name = string_copy(pair->key);
    type->provider = string_copy_n(pair->key, strcspn(pair->key, ":"));
    type->version = 1;
    type->repeat = string_copy("none");
    type->token_us = TOKEN_US;
    type->schema.kind = SCHEMA_OBJECT;
    if (!reader_check_map(reader, pair))
        return type;
    const struct yaml_pair *properties = yaml_find(pair->value, type_keys[TYPE_PROPERTIES]);
    if (properties)
        reader_fields(reader, properties, &type->schema);
    type->has_secrets = schema_has_secrets(&type->schema);
    for (size_t i = 0; i < pair->value->n_items; i++)
        read_type_key(reader, &pair->value->pairs[i], type);
    check_required_keys(reader, pair);
    return type;
}

/* PROVIDER:CATEGORY:KIND and perhaps more, each part a name. */
static bool is_type_name(const char *text)
{
    size_t n_parts = 0;
    for (;;) {
        size_t length = strcspn(text, ":");
        CLEANUP(mem_freep) char *part = string_copy_n(text, length);
        if (!text_is_name(part))
            return false;
        n_parts++;
        if (!text[length])
            return n_parts >= 3;
        text += length + 1;
    }
}

static void add_name(struct catalog_reader *reader, struct position position, const char *name,
                     const char *canonical)
{
    if (!is_type_name(name))
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_NAME, position,
                        "Write it as provider:category:kind in small letters.",
                        "\"%s\" is not the name of a type.", name);
    else if (map_has(&reader->names, name))
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_DUPLICATE_NAME, position,
                        "Give it another name; a file cannot replace a type that is there.",
                        "There is a type or alias \"%s\" already.", name);
    else
        map_put(&reader->names, name, (void *)canonical);
}

static void add_names(struct catalog_reader *reader, const struct yaml_pair *pair)
{
    add_name(reader, yaml_key_position(reader->tree, pair), pair->key, pair->key);
    const struct yaml_node *aliases = yaml_get(pair->value, type_keys[TYPE_ALIASES]);
    if (aliases && aliases->kind == VALUE_STRING)
        add_name(reader, reader_position(reader, aliases), aliases->text, pair->key);
    for (size_t i = 0; aliases && aliases->kind == VALUE_LIST && i < aliases->n_items; i++)
        if (aliases->items[i]->kind == VALUE_STRING)
            add_name(reader, reader_position(reader, aliases->items[i]), aliases->items[i]->text,
                     pair->key);
}

void read_type_names(struct catalog_reader *reader)
{
    static const char *const keys[] = {"types"};
    const struct yaml_node *root = yaml_root(reader->tree);
    const struct yaml_pair *types = yaml_find(root, keys[0]);
    if (!types)
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_MISSING_KEY, reader_position(reader, root),
                        "Begin the file with \"types:\" and the types by name below it.",
                        "A catalog file has the key \"types\".");
    for (size_t i = 0; root->kind == VALUE_MAP && i < root->n_items; i++)
        if (!text_equal(root->pairs[i].key, keys[0]))
            reader_tell_unknown_key(reader, &root->pairs[i], keys, ARRAY_LENGTH(keys));
    if (!types || !reader_check_map(reader, types))
        return;
    for (size_t i = 0; i < types->value->n_items; i++)
        add_names(reader, &types->value->pairs[i]);
}

void read_types(struct catalog_reader *reader,
                void (*found)(void *argument, struct resource_type *take_type), void *argument)
{
    const struct yaml_node *types = yaml_get(yaml_root(reader->tree), "types");
    for (size_t i = 0; types && types->kind == VALUE_MAP && i < types->n_items; i++)
        found(argument, read_type(reader, &types->pairs[i]));
}
