/* The catalog as values, for doors. */
#include "base/memory.h"
#include "service/verbs.h"

struct value *service_list_types(const struct service *service)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < catalog_count(service->catalog); i++) {
        const struct resource_type *type = catalog_at(service->catalog, i);
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "name", type->name);
        value_builder_set_string(&fields, "description", type->description);
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

static struct value *describe_fields(const struct schema *object);

static struct value *describe_field(const char *name, const struct schema *schema)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "name", name);
    value_builder_set_string(&fields, "kind", schema_kind_to_string(schema->kind));
    value_builder_set_string(&fields, "description", schema->description);
    value_builder_set(&fields, "required", value_bool(schema->is_required));
    value_builder_set(&fields, "replaces", value_bool(schema->forces_replacement));
    if (schema->fallback)
        value_builder_set(&fields, "default", value_ref(schema->fallback));
    if (schema->allowed)
        value_builder_set(&fields, "allowed", value_ref(schema->allowed));
    if (schema->may_be_secret)
        value_builder_set_string(&fields, "secret", schema->is_secret ? "always" : "allowed");
    if (schema->references)
        value_builder_set(&fields, "refers_to", value_ref(schema->references));
    const struct schema *inner = schema->items ? schema->items : schema;
    if (inner->n_fields > 0)
        value_builder_set(&fields, "properties", describe_fields(inner));
    return value_builder_map(&fields);
}

static struct value *describe_fields(const struct schema *object)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < object->n_fields; i++)
        value_builder_append(&list,
                             describe_field(object->fields[i].name, &object->fields[i].schema));
    return value_builder_list(&list);
}

static struct value *describe_outputs(const struct resource_type *type)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < type->n_outputs; i++) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "name", type->outputs[i].name);
        value_builder_set_string(&fields, "type", type->outputs[i].type);
        value_builder_set_string(&fields, "description", type->outputs[i].description);
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

static struct value *describe_drivers(const struct resource_type *type)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < type->n_drivers; i++) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "driver", type->drivers[i].driver);
        value_builder_set_string(&fields, "fidelity", type->drivers[i].fidelity);
        value_builder_set_string(&fields, "note", type->drivers[i].note);
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

int service_show_type(const struct service *service, const char *name, struct value **ret_type,
                      struct error *err)
{
    const struct resource_type *type = catalog_find(service->catalog, name);
    if (!type) {
        const char *nearest = catalog_nearest(service->catalog, name);
        return error_set(err, ERROR_NOT_FOUND, "there is no type \"%s\"%s%s%s", name,
                         nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                         nearest ? "\"?" : "");
    }
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "name", type->name);
    value_builder_set_string(&fields, "description", type->description);
    value_builder_set_string(&fields, "stage", stage_to_string(type->stage));
    value_builder_set(&fields, "properties", describe_fields(&type->schema));
    value_builder_set(&fields, "outputs", describe_outputs(type));
    value_builder_set(&fields, "drivers", describe_drivers(type));
    *ret_type = value_builder_map(&fields);
    return 0;
}
