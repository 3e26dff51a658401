/* Where secrets may stand in a spec. */
#include "catalog/schema.h"

#include "base/memory.h"
#include "model/expression.h"

/* The walk through one spec. */
struct secrecy_check {
    spec_fault fault;
    void *argument;
};

/* What a place takes, which all that is below it takes, too. */
struct secrecy {
    bool is_secret;
    bool may_be_secret;
};

static void tell(const struct secrecy_check *check, const char *path, enum diagnostic_code code,
                 const char *help, const char *what)
{
    CLEANUP(mem_freep) char *detail = string_format("\"%s\" %s", path, what);
    check->fault(check->argument, path, code, help, detail);
}

static void check_leaf(const struct secrecy_check *check, struct secrecy secrecy, const char *path,
                       const struct value *value)
{
    if (!secrecy.may_be_secret && expression_needs_secret(value))
        tell(
            check, path, DIAGNOSTIC_MISPLACED_SECRET,
            "A secret may stand where the catalog says \"secret\"; \"parley types TYPE\" shows it.",
            "would hold a secret, and is a property that is shown.");
    enum value_kind kind = value_kind(value);
    bool is_known = kind != VALUE_UNKNOWN && kind != VALUE_SECRET && kind != VALUE_NULL;
    if (secrecy.is_secret && is_known)
        tell(check, path, DIAGNOSTIC_PLAIN_SECRET,
             "Say under \"secrets:\" where it comes from, and write \"${secret.NAME}\" here.",
             "is a secret, and its text would lie in the document, its revisions and every copy.");
}

static void check_value(const struct secrecy_check *check, const struct schema *schema,
                        struct secrecy outer, const char *path, const struct value *value)
{
    struct secrecy secrecy = {
        .is_secret = outer.is_secret || (schema && schema->is_secret),
        .may_be_secret = outer.may_be_secret || (schema && schema->may_be_secret),
    };
    enum value_kind kind = value_kind(value);
    bool is_map = kind == VALUE_MAP;
    if (!is_map && kind != VALUE_LIST && kind != VALUE_SET) {
        check_leaf(check, secrecy, path, value);
        return;
    }
    for (size_t i = 0; i < value_count(value); i++) {
        const char *key = is_map ? value_key_at(value, i) : NULL;
        const struct schema *inner = NULL;
        if (schema)
            inner =
                schema->kind == SCHEMA_OBJECT && key ? schema_field(schema, key) : schema->items;
        CLEANUP(mem_freep)
        char *below = is_map ? string_format("%s%s%s", path, *path ? "." : "", key)
                             : string_format("%s[%zu]", path, i);
        check_value(check, inner, secrecy, below, value_at(value, i));
    }
}

void type_check_secrets(const struct resource_type *type, const struct value *spec,
                        spec_fault fault, void *argument)
{
    if (!type->has_secrets && !value_has_secret(spec) && !value_has_unknown(spec))
        return;
    struct secrecy_check check = {fault, argument};
    check_value(&check, &type->schema, (struct secrecy){0}, "", spec);
}

bool schema_has_secrets(const struct schema *schema)
{
    if (schema->is_secret || (schema->items && schema_has_secrets(schema->items)))
        return true;
    for (size_t i = 0; i < schema->n_fields; i++)
        if (schema_has_secrets(&schema->fields[i].schema))
            return true;
    return false;
}
