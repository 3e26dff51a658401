/* Whole specs: their canonical form, every fault in them, and the references they hold. */
#include "catalog/schema.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

#include <string.h>

/* One check of a spec. */
struct check {
    spec_fault fault; /* may be NULL */
    void *argument;
    size_t n_faults;
    bool is_lenient;
};

/* Where in the spec a value stands: a chain up to the spec itself, written out only for faults. */
struct place {
    const struct place *parent; /* NULL at the spec itself */
    const char *key;            /* NULL for an item of a list */
    size_t index;
};

static void add_place(struct strbuf *path, const struct place *place)
{
    if (!place || !place->parent)
        return;
    add_place(path, place->parent);
    if (place->key)
        strbuf_addf(path, "%s%s", path->length > 0 ? "." : "", place->key);
    else
        strbuf_addf(path, "[%zu]", place->index);
}

static char *place_path(const struct place *place)
{
    struct strbuf path = {0};
    add_place(&path, place);
    return strbuf_take(&path);
}

__attribute__((format(printf, 5, 6))) static void tell(struct check *check,
                                                       const struct place *place,
                                                       enum diagnostic_code code, const char *help,
                                                       const char *format, ...)
{
    check->n_faults++;
    if (!check->fault)
        return;
    CLEANUP(mem_freep) char *path = place_path(place);
    struct strbuf detail = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&detail, format, arguments);
    va_end(arguments);
    check->fault(check->argument, path, code, help, strbuf_text(&detail));
    strbuf_done(&detail);
}

/* A value as a fault shows it: short, and never a secret. */
static char *shown(const struct schema *schema, const struct value *value)
{
    enum { MAX_SHOWN = 60 };
    if (schema->is_secret)
        return string_copy("what is there");
    CLEANUP(mem_freep) char *text = json_text(value);
    if (strlen(text) <= MAX_SHOWN)
        return take_ptr(text);
    size_t length = MAX_SHOWN;
    while (length > 0 && ((unsigned char)text[length] & 0xc0u) == 0x80u)
        length--;
    return string_format("%.*s...", (int)length, text);
}

/* The allowed value, keyword or alias that a text probably means, as a sentence; NULL: none. */
static char *suggestion(const struct schema *schema, const struct value *value)
{
    const char *candidates[64];
    size_t n = 0;
    if (value_kind(value) != VALUE_STRING)
        return NULL;
    const struct value *lists[] = {schema->allowed, schema->keywords, schema->aliases};
    for (size_t k = 0; k < ARRAY_LENGTH(lists); k++)
        for (size_t i = 0; lists[k] && i < value_count(lists[k]) && n < 64; i++)
            if (k > 0 || value_kind(value_at(lists[k], i)) == VALUE_STRING)
                candidates[n++] =
                    k > 0 ? value_key_at(lists[k], i) : value_text(value_at(lists[k], i));
    const char *nearest = text_nearest(value_text(value), candidates, n);
    return nearest ? string_format("Did you mean \"%s\"?", nearest) : NULL;
}

static void tell_unfit(struct check *check, const struct place *place, const struct schema *schema,
                       const struct value *value, enum diagnostic_code code)
{
    if (!check->fault) {
        check->n_faults++;
        return;
    }
    CLEANUP(mem_freep) char *path = place_path(place);
    struct strbuf wanted = {0};
    schema_describe(schema, &wanted);
    CLEANUP(mem_freep) char *is = shown(schema, value);
    CLEANUP(mem_freep) char *help = suggestion(schema, value);
    if (!help && schema->kind == SCHEMA_STRING && !schema->references &&
        (value_kind(value) == VALUE_DECIMAL || value_kind(value) == VALUE_BOOL))
        help = string_copy("Put it in quotation marks, so that it is a text.");
    if (*path)
        tell(check, place, code, help, "\"%s\" must be %s, not %s.", path, strbuf_text(&wanted),
             is);
    else
        tell(check, place, code, help, "The properties must be %s, not %s.", strbuf_text(&wanted),
             is);
    strbuf_done(&wanted);
}

static struct value *check_value(struct check *check, const struct place *place,
                                 const struct schema *schema, struct value *value);

/* What cannot be known yet, or must not be, is not looked into. */
static bool is_opaque(const struct value *value)
{
    return value_kind(value) == VALUE_UNKNOWN || value_kind(value) == VALUE_SECRET;
}

static struct value *check_leaf(struct check *check, const struct place *place,
                                const struct schema *schema, struct value *value)
{
    bool is_scalar = value_kind(value) != VALUE_LIST && value_kind(value) != VALUE_SET &&
                     value_kind(value) != VALUE_MAP && value_kind(value) != VALUE_NULL;
    struct value *canonical = schema->kind == SCHEMA_ANY || is_scalar
                                  ? schema_canonical_leaf(schema, value, check->is_lenient)
                                  : NULL;
    bool is_keyword = canonical && value_kind(value) == VALUE_STRING &&
                      value_get(schema->keywords, value_text(value));
    if (canonical && (is_keyword || schema_allows(schema, canonical)))
        return canonical;
    bool is_text = value_kind(value) == VALUE_STRING;
    bool is_number = schema->kind == SCHEMA_PORT && value_kind(value) == VALUE_INTEGER;
    tell_unfit(check, place, schema, value,
               canonical || is_text || is_number ? DIAGNOSTIC_BAD_VALUE : DIAGNOSTIC_WRONG_KIND);
    value_unref(canonical);
    return value_ref(value);
}

/* The items of a list or set; a single value is the only item where one may stand for a list. */
static struct value *check_items(struct check *check, const struct place *place,
                                 const struct schema *schema, struct value *value)
{
    bool is_list = value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
    if (!is_list && !schema->is_one_or_list) {
        tell_unfit(check, place, schema, value, DIAGNOSTIC_WRONG_KIND);
        return value_ref(value);
    }
    struct value_builder items = {0};
    if (!is_list) {
        value_builder_append(&items, check_value(check, place, schema->items, value));
    } else {
        for (size_t i = 0; i < value_count(value); i++) {
            struct place item = {.parent = place, .index = i};
            value_builder_append(&items,
                                 check_value(check, &item, schema->items, value_at(value, i)));
        }
    }
    struct value *canonical =
        schema->kind == SCHEMA_SET ? value_builder_set_of(&items) : value_builder_list(&items);
    if (!schema_allows(schema, canonical))
        tell_unfit(check, place, schema, value, DIAGNOSTIC_BAD_VALUE);
    return canonical;
}

static struct value *object_of_defaults(const struct schema *schema)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < schema->n_fields; i++)
        if (schema->fields[i].schema.fallback)
            value_builder_set(&fields, schema->fields[i].name,
                              value_ref(schema->fields[i].schema.fallback));
    return value_builder_map(&fields);
}

/* The map that a list of keys stands for; NULL, and told, when it is none. */
static struct value *map_of_keys(struct check *check, const struct place *place,
                                 const struct schema *schema, const struct value *list)
{
    struct value_builder fields = {0};
    size_t n_faults = check->n_faults;
    for (size_t i = 0; i < value_count(list); i++) {
        const struct value *key = value_at(list, i);
        struct place item = {.parent = place, .index = i};
        if (value_kind(key) != VALUE_STRING) {
            tell_unfit(check, place, schema, list, DIAGNOSTIC_WRONG_KIND);
            break;
        }
        for (size_t k = 0; k < i; k++)
            if (text_equal(value_text(value_at(list, k)), value_text(key)))
                tell(check, &item, DIAGNOSTIC_BAD_VALUE, "Take one of them out.",
                     "\"%s\" is there twice.", value_text(key));
        value_builder_set(&fields, value_text(key), object_of_defaults(schema->items));
    }
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&fields);
    return check->n_faults == n_faults ? take_ptr(map) : NULL;
}

static struct value *check_map(struct check *check, const struct place *place,
                               const struct schema *schema, struct value *value)
{
    if (value_kind(value) == VALUE_LIST && schema->is_map_or_keys) {
        CLEANUP(value_unrefp) struct value *map = map_of_keys(check, place, schema, value);
        return map ? check_map(check, place, schema, map) : value_ref(value);
    }
    if (value_kind(value) != VALUE_MAP) {
        tell_unfit(check, place, schema, value, DIAGNOSTIC_WRONG_KIND);
        return value_ref(value);
    }
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(value); i++) {
        const char *key = value_key_at(value, i);
        struct place item = {.parent = place, .key = key};
        if (schema->has_name_keys && !text_is_name(key))
            tell(check, &item, DIAGNOSTIC_BAD_VALUE,
                 "A name has small letters, digits and \"-\", begins with a letter and is at most "
                 "63 characters long.",
                 "\"%s\" is not a name.", key);
        value_builder_set(&fields, key,
                          check_value(check, &item, schema->items, value_at(value, i)));
    }
    struct value *canonical = value_builder_map(&fields);
    if (!schema_allows(schema, canonical))
        tell_unfit(check, place, schema, value, DIAGNOSTIC_BAD_VALUE);
    return canonical;
}

static void tell_unknown_field(struct check *check, const struct place *place,
                               const struct schema *schema, const char *name)
{
    const char **names = NEW_ARRAY(const char *, schema->n_fields + 1);
    struct strbuf help = {0};
    for (size_t i = 0; i < schema->n_fields; i++)
        names[i] = schema->fields[i].name;
    const char *nearest = text_nearest(name, names, schema->n_fields);
    if (nearest) {
        strbuf_addf(&help, "Did you mean \"%s\"?", nearest);
    } else if (schema->n_fields > 0) {
        strbuf_add(&help, "There are ");
        for (size_t i = 0; i < schema->n_fields; i++)
            strbuf_addf(&help, "%s%s", i == 0 ? "" : ", ", names[i]);
        strbuf_add_char(&help, '.');
    }
    mem_free(names);
    tell(check, place, DIAGNOSTIC_UNKNOWN_PROPERTY, help.length > 0 ? strbuf_text(&help) : NULL,
         "There is no property \"%s\" here.", name);
    strbuf_done(&help);
}

static void tell_missing_fields(struct check *check, const struct place *place,
                                const struct schema *schema, const struct value *value)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct schema_field *field = &schema->fields[i];
        const struct value *item = value_get(value, field->name);
        if (!field->schema.is_required ||
            (item && (!value_is_null(item) || field->schema.kind == SCHEMA_ANY)))
            continue;
        struct strbuf wanted = {0};
        schema_describe(&field->schema, &wanted);
        CLEANUP(mem_freep)
        char *help = string_format("Set it to %s.", strbuf_text(&wanted));
        strbuf_done(&wanted);
        tell(check, place, DIAGNOSTIC_MISSING_PROPERTY, help, "\"%s\" is required.", field->name);
    }
}

static struct value *check_object(struct check *check, const struct place *place,
                                  const struct schema *schema, struct value *value)
{
    if (value_kind(value) != VALUE_MAP) {
        tell_unfit(check, place, schema, value, DIAGNOSTIC_WRONG_KIND);
        return value_ref(value);
    }
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(value); i++) {
        const char *name = value_key_at(value, i);
        struct value *item = value_at(value, i);
        const struct schema *field = schema_field(schema, name);
        struct place below = {.parent = place, .key = name};
        if (!field) {
            tell_unknown_field(check, &below, schema, name);
            value_builder_set(&fields, name, value_ref(item));
        } else if (!value_is_null(item) || field->kind == SCHEMA_ANY) {
            value_builder_set(&fields, name, check_value(check, &below, field, item));
        }
    }
    tell_missing_fields(check, place, schema, value);
    return value_builder_map(&fields);
}

/* The canonical form of a value; what is at fault is told and stays as it is. */
static struct value *check_value(struct check *check, const struct place *place,
                                 const struct schema *schema, struct value *value)
{
    if (is_opaque(value))
        return value_ref(value);
    switch (schema->kind) {
    case SCHEMA_LIST:
    case SCHEMA_SET:
        return check_items(check, place, schema, value);
    case SCHEMA_MAP:
        return check_map(check, place, schema, value);
    case SCHEMA_OBJECT:
        return check_object(check, place, schema, value);
    default:
        return check_leaf(check, place, schema, value);
    }
}

/* Tells of the first pair of numbers in a list of properties that descends. */
static void check_ascending(struct check *check, const struct value *properties,
                            const struct value *spec)
{
    const char *before = NULL;
    for (size_t i = 0; i < value_count(properties); i++) {
        const char *property = value_text(value_at(properties, i));
        const struct value *value = value_get(spec, property);
        if (!value || value_kind(value) != VALUE_INTEGER)
            continue;
        int64_t number = value_to_integer(value);
        int64_t least = before ? value_get_integer(spec, before, 0) : number;
        if (number < least) {
            struct place spec_place = {0};
            struct place place = {.parent = &spec_place, .key = property};
            tell(check, &place, DIAGNOSTIC_BAD_VALUE, NULL,
                 "\"%s\" must not be below \"%s\": %lld is less than %lld.", property, before,
                 (long long)number, (long long)least);
            return;
        }
        before = property;
    }
}

struct value *type_check(const struct resource_type *type, struct value *spec, spec_fault fault,
                         void *argument)
{
    struct check check = {.fault = fault, .argument = argument};
    struct place place = {0};
    struct value *canonical = check_value(&check, &place, &type->schema, spec);
    if (check.n_faults == 0 && type->ascending && value_kind(canonical) == VALUE_MAP)
        for (size_t i = 0; i < value_count(type->ascending); i++)
            check_ascending(&check, value_at(type->ascending, i), canonical);
    return canonical;
}

static void keep_first(void *argument, const char *path, enum diagnostic_code code,
                       const char *help, const char *detail)
{
    struct error *err = argument;
    (void)code;
    (void)help;
    if (err->code == ERROR_NONE)
        error_set(err, ERROR_INVALID, "%s%s%s", path, *path ? ": " : "", detail);
}

int type_canonical(const struct resource_type *type, struct value *spec, struct value **ret_spec,
                   struct error *err)
{
    struct error first = {0};
    CLEANUP(value_unrefp) struct value *canonical = type_check(type, spec, keep_first, &first);
    if (first.code != ERROR_NONE)
        return error_move(err, &first);
    *ret_spec = take_ptr(canonical);
    return 0;
}

static struct value *canonical_or_null(const struct schema *schema, struct value *value,
                                       bool is_lenient)
{
    struct check check = {.is_lenient = is_lenient};
    struct place place = {0};
    CLEANUP(value_unrefp) struct value *canonical = check_value(&check, &place, schema, value);
    return check.n_faults == 0 ? take_ptr(canonical) : NULL;
}

struct value *schema_canonical(const struct schema *schema, struct value *value)
{
    return canonical_or_null(schema, value, false);
}

struct value *schema_canonical_lenient(const struct schema *schema, struct value *value)
{
    return canonical_or_null(schema, value, true);
}

/* A walk over the references in a spec. */
struct reference_walk {
    int (*found)(void *argument, const char *path, const char *name, const struct schema *schema,
                 struct error *err);
    void *argument;
    struct error *err;
};

static int walk_references(const struct reference_walk *walk, const struct schema *schema,
                           const char *path, const struct value *value)
{
    int r = 0;
    if (schema_is_reference(schema, value))
        return walk->found(walk->argument, path, value_text(value), schema, walk->err);
    bool is_list = value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
    bool is_map = value_kind(value) == VALUE_MAP;
    if (schema->items && is_list) {
        for (size_t i = 0; r == 0 && i < value_count(value); i++) {
            CLEANUP(mem_freep) char *below = string_format("%s[%zu]", path, i);
            r = walk_references(walk, schema->items, schema->items->references ? path : below,
                                value_at(value, i));
        }
        return r;
    }
    for (size_t i = 0; is_map && r == 0 && i < value_count(value); i++) {
        const char *key = value_key_at(value, i);
        const struct schema *inner =
            schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
        CLEANUP(mem_freep) char *below = string_format("%s%s%s", path, *path ? "." : "", key);
        if (inner)
            r = walk_references(walk, inner, below, value_at(value, i));
    }
    return r;
}

int type_references(const struct resource_type *type, const struct value *spec,
                    int (*found)(void *argument, const char *path, const char *name,
                                 const struct schema *schema, struct error *err),
                    void *argument, struct error *err)
{
    struct reference_walk walk = {.found = found, .argument = argument, .err = err};
    return walk_references(&walk, &type->schema, "", spec);
}
