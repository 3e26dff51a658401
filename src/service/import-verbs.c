/* The verbs import and list: what is there already becomes a resource, and what there is. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "document/document.h"
#include "document/merge.h"
#include "model/json.h"
#include "model/yaml-edit.h"
#include "service/edits-internal.h"

#include <string.h>

enum { MAX_DOCUMENT_BYTES = 512 << 20, PAGE_SIZE = 500 };

/* --- What there is --- */

static int find_listed(struct service *service, const char *type_name, const char *on,
                       struct provider **ret_provider, const struct resource_type **ret_type,
                       struct error *err)
{
    const char *instance;
    *ret_type = catalog_find(service->catalog, type_name);
    if (!*ret_type)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no type \"%s\"; \"parley types\" lists them", type_name);
    int r = site_choose_instance(service->site, *ret_type, on, &instance, err);
    if (r == 0)
        r = service_find_provider(service, instance, ret_provider, err);
    if (r == 0 && !provider_has_list(*ret_provider))
        r = error_set(err, ERROR_UNSUPPORTED, "%s: its driver cannot list what there is", instance);
    return r;
}

/* "ADDRESS of NAME@ENVIRONMENT" by the id and by the mark of all that is recorded of an instance.
 */
static int index_records(struct service *service, const char *instance, struct map *owners,
                         struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    int r = store_list_deployments(service->store, &deployments, &n, err);
    for (size_t i = 0; i < n; i++) {
        struct records records = {0};
        if (r == 0 && !deployments[i].is_destroyed)
            r = store_load_records(service->store, deployments[i].uid, &records, err);
        for (size_t k = 0; k < records.n_items; k++) {
            const struct record *record = records.items[k];
            if (!text_equal(record->instance, instance))
                continue;
            char *owner = string_format("%s of %s@%s", record->address, deployments[i].name,
                                        deployments[i].environment);
            if (record->provider_id)
                mem_free(map_put(owners, record->provider_id, string_copy(owner)));
            mem_free(map_put(owners, record->uid, owner));
        }
        records_done(&records);
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    return r;
}

static void owners_done(struct map *owners)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(owners, &cursor)))
        mem_free(entry->value);
    map_done(owners);
}

/* What a list says of a thing, and who has it here. */
static struct value *describe_item(const struct value *item, const struct map *owners)
{
    const char *marker = value_get_text(item, "marker");
    const char *owner = map_get(owners, value_get_text(item, "id"));
    if (!owner && marker)
        owner = map_get(owners, marker);
    return value_with(item, "recorded", owner ? value_string(owner) : value_null());
}

static int list_pages(struct service *service, struct provider *provider,
                      const struct resource_type *type, const struct map *owners,
                      struct value_builder *list, struct error *err)
{
    CLEANUP(mem_freep) char *cursor = NULL;
    for (;;) {
        struct call call = service_read_call(service);
        struct listing listing = {.type = type, .after = cursor, .limit = PAGE_SIZE};
        struct page page = {0};
        int r = provider_list(provider, &call, &listing, &page, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < value_count(page.items); i++)
            value_builder_append(list, describe_item(value_at(page.items, i), owners));
        mem_free(cursor);
        cursor = take_ptr(page.next);
        page_done(&page);
        if (!cursor)
            return 0;
    }
}

int edits_list(struct service *service, const struct verb_call *call, struct verb_answer *answer,
               struct error *err)
{
    struct provider *provider;
    const struct resource_type *type;
    struct map owners = {0};
    struct value_builder list = {0};
    int r = find_listed(service, value_get_text(call->input, "type"),
                        value_get_text(call->input, "instance"), &provider, &type, err);
    if (r == 0)
        r = service_need_store(service, true, err);
    if (r == 0)
        r = index_records(service, provider->name, &owners, err);
    if (r == 0)
        r = list_pages(service, provider, type, &owners, &list, err);
    owners_done(&owners);
    if (r < 0) {
        value_builder_done(&list);
        return r;
    }
    answer->value = value_builder_list(&list);
    return 0;
}

/* --- Into the document --- */

struct value *edits_escape(struct value *value)
{
    struct value_builder builder = {0};
    struct strbuf text = {0};
    switch (value_kind(value)) {
    case VALUE_STRING:
        for (const char *c = value_text(value); *c; c++)
            strbuf_add(&text, c[0] == '$' && c[1] == '{' ? "$$" : (char[]){*c, '\0'});
        value = value_string(strbuf_text(&text));
        strbuf_done(&text);
        return value;
    case VALUE_LIST:
    case VALUE_SET:
        for (size_t i = 0; i < value_count(value); i++)
            value_builder_append(&builder, edits_escape(value_at(value, i)));
        return value_builder_list(&builder);
    case VALUE_MAP:
        for (size_t i = 0; i < value_count(value); i++)
            value_builder_set(&builder, value_key_at(value, i), edits_escape(value_at(value, i)));
        return value_builder_map(&builder);
    default:
        return value_ref(value);
    }
}

/* What a document needs to say so that it asks for what is there: no defaults, nothing secret, and
 * nothing that its type does not know. */
static struct value *properties_of(const struct resource_type *type, struct value *live)
{
    struct value_builder fields = {0};
    CLEANUP(value_unrefp) struct value *shown = type_managed_part(type, live, live);
    for (size_t i = 0; i < value_count(shown); i++) {
        const char *name = value_key_at(shown, i);
        const struct schema *schema = schema_field(&type->schema, name);
        CLEANUP(value_unrefp) struct value *value = value_without_secrets(value_at(shown, i));
        if (!schema || value_is_null(value) ||
            (schema->fallback && schema_equal(schema, schema->fallback, value)))
            continue;
        value_builder_set(&fields, name, edits_escape(value));
    }
    return value_builder_map(&fields);
}

/* The resource as it is written: type, name, on, properties. */
static struct yaml_tree *write_resource(const struct resource_type *type, const char *name,
                                        const char *on, struct value *properties, bool is_list)
{
    struct strbuf text = {0};
    CLEANUP(mem_freep) char *json = json_text(properties);
    strbuf_addf(&text, "%s{\"type\": \"%s\", \"name\": \"%s\"", is_list ? "[" : "", type->name,
                name);
    if (on)
        strbuf_addf(&text, ", \"on\": \"%s\"", on);
    if (value_count(properties) > 0)
        strbuf_addf(&text, ", \"properties\": %s", json);
    strbuf_addf(&text, "}%s", is_list ? "]" : "");
    struct yaml_tree *tree = merge_read(strbuf_text(&text));
    strbuf_done(&text);
    return tree;
}

/* A new item at the end of the resources, which may be missing. */
static int add_resource(char **text, const struct resource_type *type, const char *name,
                        const char *on, struct value *properties, struct error *err)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(*text);
    if (!tree)
        return error_set(err, ERROR_INVALID,
                         "the document has faults; \"parley validate\" names them");
    const struct yaml_node *list = yaml_get(yaml_get(yaml_root(tree), "deployment"), "resources");
    bool has_list = list && list->kind == VALUE_LIST && list->n_items > 0;
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *content = write_resource(type, name, on, properties, !has_list);
    struct value_builder path = {0};
    value_builder_append(&path, value_string("deployment"));
    value_builder_append(&path, value_string("resources"));
    if (has_list)
        value_builder_append(&path, value_integer((int64_t)list->n_items));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&path);
    if (!content)
        return error_set(err, ERROR_INVALID, "what is there cannot be written in YAML");
    struct yaml_edit edit = {.kind = has_list ? YAML_EDIT_INSERT : YAML_EDIT_SET,
                             .path = place,
                             .content = yaml_root(content)};
    return yaml_edit_text(text, &edit, err);
}

static int read_found(struct service *service, struct provider *provider,
                      const struct resource_type *type, const char *address, const char *id,
                      struct value **ret_properties, struct error *err)
{
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    struct target target = {.type = type,
                            .uid = id,
                            .address = address,
                            .deployment = "",
                            .provider_id = id,
                            .generation = 1,
                            .references = references};
    struct call call = service_read_call(service);
    struct live live = {0};
    if (provider_is_internal(provider))
        return error_set(err, ERROR_UNSUPPORTED, "%s has nothing outside that could be adopted",
                         provider->name);
    int r = provider_read(provider, &call, &target, &live, err);
    if (r == 0 && (!live.is_present || live.provider_id))
        r = error_set(err, ERROR_NOT_FOUND,
                      "%s has no %s with the id %s; \"parley import --list %s\" says what there is",
                      provider->name, type->name, id, type->name);
    if (r == 0)
        *ret_properties = properties_of(type, live.spec);
    live_done(&live);
    return r;
}

/* --- The plan --- */

/* What was asked for; all borrowed. */
struct import {
    const char *word;
    const char *address;
    const char *id;
    const char *file;
    const char *type;
    const char *on;
};

/* A document that has nothing yet. */
static char *empty_document(const char *word)
{
    size_t length = strcspn(word, "@");
    struct strbuf text = {0};
    strbuf_addf(&text, "deployment:\n  name: %.*s\n", (int)length, word);
    if (word[length])
        strbuf_addf(&text, "  environment: %s\n", word + length + 1);
    return strbuf_take(&text);
}

static int load_head(struct service *service, const struct import *import, struct edited *edited,
                     struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    CLEANUP(value_unrefp) struct value *head = NULL;
    struct error missing = {0};
    edited->origin = "words";
    int r = service_need_store(service, true, err);
    if (r == 0)
        r = edits_load(service, import->word, 0, &deployment, &head, &missing);
    if (r == -ERROR_NOT_FOUND && import->type && !deployment.head_revision) {
        error_done(&missing);
        edited->before = string_copy("");
        edited->after = empty_document(import->word);
        edited->label = string_copy(import->word);
        return 0;
    }
    if (missing.code != ERROR_NONE)
        return error_move(err, &missing);
    if (r == 0 && deployment.is_destroyed)
        r = error_set(err, ERROR_NOT_FOUND, "%s is destroyed; give a document with --file",
                      deployment.name);
    if (r == 0)
        r = edits_keep_variables(service, head, &edited->variables, err);
    if (r < 0)
        return r;
    edited->base = deployment.head_revision;
    edited->before = string_copy(value_get_text(head, "document"));
    edited->after = string_copy(edited->before);
    edited->label =
        string_format("%s, revision %lld", deployment.name, (long long)deployment.head_revision);
    return 0;
}

static int load_text(struct service *service, const struct import *import,
                     const struct value *variables, struct edited *edited, struct error *err)
{
    if (!import->file)
        return load_head(service, import, edited, err);
    edited->label = string_copy(import->file);
    edited->variables = variables ? value_ref((struct value *)variables) : NULL;
    if (import->type && !world_file_exists(import->file)) {
        edited->before = string_copy("");
        edited->after = empty_document(import->word);
        return 0;
    }
    int r = world_read_file(import->file, MAX_DOCUMENT_BYTES, &edited->before, NULL, err);
    if (r == 0)
        edited->after = string_copy(edited->before);
    return r;
}

/* Writes what was found into the text, where its type was named. */
static int write_found(struct service *service, const struct import *import, struct edited *edited,
                       struct error *err)
{
    struct provider *provider;
    const struct resource_type *type;
    const char *instance;
    CLEANUP(value_unrefp) struct value *properties = NULL;
    if (!import->type)
        return 0;
    if (!text_is_name(import->address))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no name for a new resource; use small letters, digits and "
                         "hyphens",
                         import->address);
    type = catalog_find(service->catalog, import->type);
    if (!type)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no type \"%s\"; \"parley types\" lists them", import->type);
    int r = site_choose_instance(service->site, type, import->on, &instance, err);
    if (r == 0)
        r = service_find_provider(service, instance, &provider, err);
    if (r == 0)
        r = read_found(service, provider, type, import->address, import->id, &properties, err);
    if (r == 0)
        r = add_resource(&edited->after, type, import->address, import->on, properties, err);
    return r;
}

/* The file is that of the deployment that was named. */
static int check_deployment(const struct import *import, const struct plan *plan, struct error *err)
{
    CLEANUP(mem_freep) char *full = string_format("%s@%s", plan->deployment, plan->environment);
    if (text_equal(import->word, plan->deployment) || text_equal(import->word, full))
        return 0;
    return error_set(err, ERROR_CONFLICT, "%s is the document of %s, not of %s", import->file, full,
                     import->word);
}

int edits_plan_import(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    struct edited edited = {0};
    struct import import = {
        .word = value_get_text(call->input, "deployment"),
        .address = value_get_text(call->input, "address"),
        .id = value_get_text(call->input, "id"),
        .file = value_get_text(call->input, "document"),
        .type = value_get_text(call->input, "type"),
        .on = value_get_text(call->input, "instance"),
    };
    struct value_builder asked = {0};
    value_builder_set_string(&asked, import.address, import.id);
    CLEANUP(value_unrefp) struct value *adopt = value_builder_map(&asked);
    int r = load_text(service, &import, value_get(call->input, "variables"), &edited, err);
    if (r == 0)
        r = write_found(service, &import, &edited, err);
    struct plan_request request = {
        .source = {.path = edited.label, .text = edited.after, .variables = edited.variables},
        .origin = edited.origin,
        .base = edited.base,
        .refresh = PLAN_REFRESH_FULL,
        .adopt = adopt,
        .only_adopts = !value_get_bool(call->input, "update", false),
    };
    if (r == 0) {
        answer->edit = edits_describe(&edited);
        r = service_plan(service, &request, &answer->plan, &answer->text, &answer->diagnostics,
                         err);
    }
    if (r == 0 && import.file && (r = check_deployment(&import, answer->plan, err)) < 0)
        plan_free(take_ptr(answer->plan));
    edited_done(&edited);
    return r;
}
