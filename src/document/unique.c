/* What only one resource of an instance can have: the tag of a VLAN, the port of an address. */
#include "base/text.h"
#include "document/document-internal.h"
#include "model/json.h"

#include <string.h>

/* What a resource claims, as a text that is equal for equal claims; NULL when it claims nothing. */
static char *claim_of(const struct resource *resource, const struct value *properties, size_t index)
{
    struct strbuf claim = {0};
    bool is_set = false;
    strbuf_addf(&claim, "%s\n%s\n%zu", resource->instance, resource->type, index);
    for (size_t i = 0; i < value_count(properties); i++) {
        const struct value *value =
            value_at_path(resource->spec, value_text(value_at(properties, i)));
        if (value && value_has_unknown(value)) {
            strbuf_done(&claim);
            return NULL;
        }
        strbuf_add_char(&claim, '\n');
        if (value)
            json_write(&claim, value);
        is_set = is_set || value;
    }
    if (is_set)
        return strbuf_take(&claim);
    strbuf_done(&claim);
    return NULL;
}

/* The properties with their values: tag 200 and interface "igb0". */
static char *describe_claim(const struct resource *resource, const struct value *properties)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < value_count(properties); i++) {
        const char *path = value_text(value_at(properties, i));
        const struct value *value = value_at_path(resource->spec, path);
        if (!value)
            continue;
        strbuf_addf(&text, "%s%s ", text.length > 0 ? " and " : "", path);
        json_write(&text, value);
    }
    return strbuf_take(&text);
}

static struct position claim_position(const struct expansion *expansion,
                                      const struct resource *resource,
                                      const struct value *properties)
{
    const struct document *document = expansion->document;
    const struct declaration *declaration = map_get(&document->by_name, resource->name);
    for (size_t i = value_count(properties); i-- > 0;) {
        const struct yaml_node *node =
            yaml_get(declaration->properties, value_text(value_at(properties, i)));
        if (node)
            return yaml_position(document->tree, node);
    }
    return resource->position;
}

/* False when another resource has claimed the same, which is told. */
static bool check_claims(const struct expansion *expansion, struct map *claims,
                         struct resource *resource, const struct resource_type *type)
{
    bool is_free = true;
    for (size_t i = 0; i < value_count(type->unique); i++) {
        const struct value *properties = value_at(type->unique, i);
        CLEANUP(mem_freep) char *claim = claim_of(resource, properties, i);
        if (!claim)
            continue;
        const struct resource *other = map_get(claims, claim);
        if (!other) {
            map_put(claims, claim, resource);
            continue;
        }
        CLEANUP(mem_freep) char *what = describe_claim(resource, properties);
        diagnostics_add(expansion->diagnostics, DIAGNOSTIC_DUPLICATE_UNIQUE,
                        claim_position(expansion, resource, properties),
                        "Change it in one of them.",
                        "%s and %s both have %s; only one resource of %s can.", other->address,
                        resource->address, what, resource->instance);
        is_free = false;
    }
    return is_free;
}

void unique_check(const struct expansion *expansion)
{
    struct map claims = {0};
    struct document *document = expansion->document;
    for (size_t i = 0; i < document->n_declarations; i++) {
        const struct declaration *declaration = document->declarations[i];
        const struct resource_type *type = declaration->resource_type;
        if (!type || !type->unique || declaration_is_existing(declaration))
            continue;
        /* Of a counted one the first fault is enough. */
        bool is_free = true;
        for (size_t k = 0; is_free && k < declaration->n_resources; k++)
            is_free = check_claims(expansion, &claims,
                                   &expansion->wanted->items[declaration->first + k], type);
    }
    map_done(&claims);
}
