/* Single values: their kinds, their canonical form and their limits. */
#include "catalog/schema.h"

#include "base/memory.h"
#include "base/text.h"
#include "catalog/literal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *wanted;
    struct value *(*literal)(const char *text); /* of kinds that are written as texts */
} kinds[] = {
    [SCHEMA_ANY] = {"any", "any value", NULL},
    [SCHEMA_BOOL] = {"bool", "true or false", NULL},
    [SCHEMA_INTEGER] = {"integer", "an integer", NULL},
    [SCHEMA_DECIMAL] = {"decimal", "a number", NULL},
    [SCHEMA_STRING] = {"string", "a text", NULL},
    [SCHEMA_CIDR] = {"cidr", "a CIDR without host bits such as 10.0.0.0/24", literal_cidr},
    [SCHEMA_ADDRESS] = {"address", "an address such as 10.0.0.7", literal_address},
    [SCHEMA_NETWORK] = {"network", "an address or a CIDR such as 10.0.0.0/24", literal_network},
    [SCHEMA_DURATION] = {"duration", "a duration such as 30s or 1h30m", literal_duration},
    [SCHEMA_SIZE] = {"size", "a size such as 512Mi or 2Gi", literal_size},
    [SCHEMA_RATE] = {"rate", "a rate such as 1000/minute", literal_rate},
    [SCHEMA_PORT] = {"port", "a port from 1 to 65535 or a range such as 8000-8100", literal_port},
    [SCHEMA_CLOCK] = {"clock", "a time of day such as 08:30", literal_clock},
    [SCHEMA_DATE] = {"date", "a date such as 2027-01-31 or 2027-01-31T08:30:00Z", literal_date},
    [SCHEMA_DOMAIN] = {"domain", "a domain such as shop.example", literal_domain},
    [SCHEMA_PATH] = {"path", "a path of a URL that begins with \"/\"", literal_path},
    [SCHEMA_LIST] = {"list", "a list", NULL},
    [SCHEMA_SET] = {"set", "a list", NULL},
    [SCHEMA_MAP] = {"map", "a map", NULL},
    [SCHEMA_OBJECT] = {"object", "a map", NULL},
};

const char *schema_kind_to_string(enum schema_kind kind)
{
    assert(kind < SCHEMA_KIND_COUNT);
    return kinds[kind].name;
}

enum schema_kind schema_kind_from_string(const char *text)
{
    for (size_t i = 0; i < SCHEMA_KIND_COUNT; i++)
        if (text_equal(kinds[i].name, text))
            return (enum schema_kind)i;
    return SCHEMA_KIND_COUNT;
}

void schema_done(struct schema *schema)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        mem_free(schema->fields[i].name);
        schema_done(&schema->fields[i].schema);
    }
    mem_free(schema->fields);
    if (schema->items)
        schema_done(schema->items);
    mem_free(schema->items);
    mem_free(schema->description);
    value_unref(schema->fallback);
    value_unref(schema->allowed);
    value_unref(schema->aliases);
    value_unref(schema->references);
    value_unref(schema->keywords);
    mem_free(schema->digest_of);
    mem_free(schema->digest_in);
    value_unref(schema->made_by);
    *schema = (struct schema){0};
}

static int compare_field(const void *name, const void *field)
{
    return strcmp(name, ((const struct schema_field *)field)->name);
}

const struct schema *schema_field(const struct schema *object, const char *name)
{
    if (object->n_fields == 0)
        return NULL;
    const struct schema_field *field =
        bsearch(name, object->fields, object->n_fields, sizeof(object->fields[0]), compare_field);
    return field ? &field->schema : NULL;
}

/* "a, b or c" */
static void add_choice(struct strbuf *buffer, const struct value *list)
{
    for (size_t i = 0; i < value_count(list); i++) {
        if (i > 0)
            strbuf_add(buffer, i + 1 == value_count(list) ? " or " : ", ");
        strbuf_add(buffer, value_text(value_at(list, i)));
    }
}

static void add_range(struct strbuf *buffer, const struct schema *schema)
{
    bool is_number = schema->kind == SCHEMA_INTEGER || schema->kind == SCHEMA_DECIMAL;
    const char *unit = is_number                         ? ""
                       : schema->kind == SCHEMA_STRING   ? " characters"
                       : schema->kind == SCHEMA_DURATION ? " seconds"
                       : schema->kind == SCHEMA_SIZE     ? " bytes"
                                                         : " items";
    if (schema->has_minimum && schema->has_maximum)
        strbuf_addf(buffer, " %s %.15g to %.15g%s", is_number ? "from" : "of", schema->minimum,
                    schema->maximum, unit);
    else if (schema->has_minimum)
        strbuf_addf(buffer, " of at least %.15g%s", schema->minimum, unit);
    else if (schema->has_maximum)
        strbuf_addf(buffer, " of at most %.15g%s", schema->maximum, unit);
}

void schema_describe(const struct schema *schema, struct strbuf *buffer)
{
    for (size_t i = 0; schema->keywords && i < value_count(schema->keywords); i++)
        strbuf_addf(buffer, "%s, ", value_key_at(schema->keywords, i));
    bool is_name = schema->references && schema->kind == SCHEMA_STRING;
    if (schema->allowed) {
        strbuf_add(buffer, "one of ");
        add_choice(buffer, schema->allowed);
    } else if (!is_name) {
        strbuf_add(buffer, kinds[schema->kind].wanted);
        add_range(buffer, schema);
        if (schema->is_map_or_keys)
            strbuf_add(buffer, " or a list of its keys");
    }
    if (!schema->references)
        return;
    strbuf_add(buffer, is_name ? "the name of a resource" : " or the name of a resource");
    if (text_equal(value_text(value_at(schema->references, 0)), "*"))
        return;
    strbuf_add(buffer, " of type ");
    add_choice(buffer, schema->references);
}

static struct value *canonical_bool(struct value *value, bool is_lenient)
{
    if (value_kind(value) == VALUE_BOOL)
        return value_ref(value);
    if (value_kind(value) == VALUE_INTEGER && is_lenient && value_to_integer(value) >= 0 &&
        value_to_integer(value) <= 1)
        return value_bool(value_to_integer(value));
    if (value_kind(value) != VALUE_STRING)
        return NULL;
    const char *text = value_text(value);
    if (text_equal(text, "true") || (is_lenient && text_equal(text, "1")))
        return value_bool(true);
    if (text_equal(text, "false") || (is_lenient && text_equal(text, "0")))
        return value_bool(false);
    return NULL;
}

static struct value *canonical_integer(struct value *value)
{
    int64_t integer;
    switch (value_kind(value)) {
    case VALUE_INTEGER:
        return value_ref(value);
    case VALUE_STRING:
        return text_to_integer(value_text(value), &integer) ? value_integer(integer) : NULL;
    case VALUE_DECIMAL: {
        double decimal = value_to_decimal(value);
        if (decimal < -1e15 || decimal > 1e15 || decimal != (double)(int64_t)decimal)
            return NULL;
        return value_integer((int64_t)decimal);
    }
    default:
        return NULL;
    }
}

static struct value *canonical_decimal(struct value *value)
{
    if (value_kind(value) == VALUE_DECIMAL)
        return value_ref(value);
    if (value_kind(value) == VALUE_INTEGER)
        return value_decimal(value_to_decimal(value));
    if (value_kind(value) != VALUE_STRING)
        return NULL;
    const char *text = value_text(value);
    char *end;
    double decimal = strtod(text, &end);
    bool is_plain = *text && strspn(text, "+-.0123456789eE") == strlen(text);
    return is_plain && !*end && decimal - decimal == 0 ? value_decimal(decimal) : NULL;
}

static struct value *canonical_string(struct value *value)
{
    if (value_kind(value) == VALUE_STRING)
        return value_ref(value);
    if (value_kind(value) != VALUE_INTEGER)
        return NULL;
    CLEANUP(mem_freep) char *text = string_format("%lld", (long long)value_to_integer(value));
    return value_string(text);
}

static struct value *canonical_by_kind(const struct schema *schema, struct value *value,
                                       bool is_lenient)
{
    bool is_text = value_kind(value) == VALUE_STRING;
    switch (schema->kind) {
    case SCHEMA_ANY:
        return value_ref(value);
    case SCHEMA_BOOL:
        return canonical_bool(value, is_lenient);
    case SCHEMA_INTEGER:
        return canonical_integer(value);
    case SCHEMA_DECIMAL:
        return canonical_decimal(value);
    case SCHEMA_STRING:
        return schema->references ? NULL : canonical_string(value);
    case SCHEMA_PORT:
        if (value_kind(value) == VALUE_INTEGER) {
            CLEANUP(value_unrefp) struct value *text = canonical_string(value);
            return literal_port(value_text(text));
        }
        return is_text ? literal_port(value_text(value)) : NULL;
    default:
        return is_text && kinds[schema->kind].literal
                   ? kinds[schema->kind].literal(value_text(value))
                   : NULL;
    }
}

struct value *schema_canonical_leaf(const struct schema *schema, struct value *value,
                                    bool is_lenient)
{
    if (value_kind(value) == VALUE_STRING) {
        struct value *keyword = value_get(schema->keywords, value_text(value));
        struct value *alias = value_get(schema->aliases, value_text(value));
        if (keyword || alias)
            return value_ref(keyword ? keyword : alias);
    }
    struct value *canonical = canonical_by_kind(schema, value, is_lenient);
    if (!canonical && schema->references && value_kind(value) == VALUE_STRING &&
        literal_is_resource(value_text(value)))
        return value_ref(value);
    return canonical;
}

bool schema_is_reference(const struct schema *schema, const struct value *value)
{
    if (!schema->references || value_kind(value) != VALUE_STRING)
        return false;
    for (size_t i = 0; schema->keywords && i < value_count(schema->keywords); i++)
        if (value_equal(value_at(schema->keywords, i), value))
            return false;
    CLEANUP(value_unrefp)
    struct value *literal = canonical_by_kind(schema, (struct value *)value, false);
    return !literal;
}

/* What minimum and maximum measure; false when there is nothing to measure. */
static bool measure(const struct schema *schema, const struct value *value, double *ret_size)
{
    switch (value_kind(value)) {
    case VALUE_INTEGER:
    case VALUE_DECIMAL:
        *ret_size = value_to_decimal(value);
        return true;
    case VALUE_STRING:
        if (schema->kind == SCHEMA_DURATION)
            *ret_size = literal_duration_seconds(value_text(value));
        else if (schema->kind == SCHEMA_SIZE)
            *ret_size = literal_size_bytes(value_text(value));
        else
            *ret_size = (double)value_text_length(value);
        return schema->kind == SCHEMA_DURATION || schema->kind == SCHEMA_SIZE ||
               schema->kind == SCHEMA_STRING;
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        *ret_size = (double)value_count(value);
        return true;
    default:
        return false;
    }
}

bool schema_allows(const struct schema *schema, const struct value *value)
{
    double size;
    if (measure(schema, value, &size) && ((schema->has_minimum && size < schema->minimum) ||
                                          (schema->has_maximum && size > schema->maximum)))
        return false;
    for (size_t i = 0; schema->allowed && i < value_count(schema->allowed); i++)
        if (value_equal(value_at(schema->allowed, i), value))
            return true;
    return !schema->allowed;
}
