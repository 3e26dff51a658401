/* The manifest: every resource that the twin was asked for. A resource is one immutable value. */
#include "twin/manifest.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <assert.h>
#include <string.h>

enum { UID_LENGTH = 128, NAME_LENGTH = 512, TYPE_LENGTH = 256, REFERENCES = 4000 };

struct manifest *manifest_new(void)
{
    struct manifest *manifest = NEW(struct manifest);
    struct value_builder nothing = {0};
    uuid_random(manifest->identity);
    manifest->assigned = value_builder_map(&nothing);
    return manifest;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));)
        value_unref(entry->value);
    map_done(&manifest->resources);
    value_unref(manifest->assigned);
    mem_free(manifest);
}

static int check_text(const struct value *resource, const char *field, size_t limit,
                      struct error *err)
{
    const char *text = value_get_text(resource, field);
    if (!text || !*text)
        return error_set(err, ERROR_INVALID, "the resource has no %s", field);
    if (strlen(text) > limit)
        return error_set(err, ERROR_LIMIT, "the %s of the resource is longer than %zu bytes", field,
                         limit);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return error_set(err, ERROR_INVALID, "the %s of the resource has a control character",
                             field);
    }
    return 0;
}

static int check_references(const struct value *references, struct error *err)
{
    if (!references)
        return 0;
    if (value_kind(references) != VALUE_MAP || value_count(references) > REFERENCES)
        return error_set(err, ERROR_INVALID, "references is not a map of property paths");
    for (size_t i = 0; i < value_count(references); i++) {
        const struct value *uids = value_at(references, i);
        if (value_kind(uids) != VALUE_LIST || value_count(uids) > REFERENCES)
            return error_set(err, ERROR_INVALID, "the references of %s are not a list of uids",
                             value_key_at(references, i));
        for (size_t j = 0; j < value_count(uids); j++) {
            if (value_kind(value_at(uids, j)) != VALUE_STRING)
                return error_set(err, ERROR_INVALID, "a reference of %s is not a uid",
                                 value_key_at(references, i));
        }
    }
    return 0;
}

static int check_kind(const struct value *resource, const char *field, enum value_kind kind,
                      struct error *err)
{
    const struct value *value = value_get(resource, field);
    if (value && value_kind(value) != kind)
        return error_set(err, ERROR_INVALID, "%s is a %s, not a %s", field,
                         value_kind_to_string(value_kind(value)), value_kind_to_string(kind));
    return 0;
}

static int check_fields(const struct value *resource, struct error *err)
{
    static const char *const known[] = {"built",      "generation", "name", "operational",
                                        "references", "spec",       "type", "uid"};
    for (size_t i = 0; i < value_count(resource); i++) {
        size_t j = 0;
        while (j < ARRAY_LENGTH(known) && !text_equal(known[j], value_key_at(resource, i)))
            j++;
        if (j == ARRAY_LENGTH(known))
            return error_set(err, ERROR_INVALID, "a resource has no field \"%s\"",
                             value_key_at(resource, i));
    }
    return 0;
}

int manifest_check_resource(const struct value *resource, struct error *err)
{
    if (!resource || value_kind(resource) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "a resource is a map");
    int r = check_fields(resource, err);
    if (r == 0)
        r = check_text(resource, "uid", UID_LENGTH, err);
    if (r == 0)
        r = check_text(resource, "name", NAME_LENGTH, err);
    if (r == 0)
        r = check_text(resource, "type", TYPE_LENGTH, err);
    if (r == 0)
        r = check_kind(resource, "spec", VALUE_MAP, err);
    if (r == 0 && !value_get(resource, "spec"))
        r = error_set(err, ERROR_INVALID, "the resource has no spec");
    if (r == 0)
        r = check_kind(resource, "generation", VALUE_INTEGER, err);
    if (r == 0)
        r = check_kind(resource, "operational", VALUE_MAP, err);
    if (r == 0)
        r = check_kind(resource, "built", VALUE_MAP, err);
    if (r == 0)
        r = check_references(value_get(resource, "references"), err);
    if (r == 0 && value_has_unknown(resource))
        r = error_set(err, ERROR_INVALID, "the resource has a value that is not known yet");
    return r;
}

static int take_resources(struct manifest *manifest, const struct value *list, struct error *err)
{
    if (!list || value_kind(list) != VALUE_LIST || value_count(list) > MANIFEST_RESOURCES)
        return error_set(err, ERROR_CORRUPT, "it has no list of resources");
    for (size_t i = 0; i < value_count(list); i++) {
        struct value *resource = value_at(list, i);
        if (manifest_check_resource(resource, err) < 0)
            return error_set(err, ERROR_CORRUPT, "resource %zu is not one", i);
        if (manifest_find(manifest, resource_uid(resource)))
            return error_set(err, ERROR_CORRUPT, "two resources are %s", resource_uid(resource));
        manifest_exchange(manifest, resource_uid(resource), value_ref(resource));
    }
    return 0;
}

static int take_manifest(struct manifest *manifest, const struct value *content, struct error *err)
{
    if (value_kind(content) != VALUE_MAP)
        return error_set(err, ERROR_CORRUPT, "it is not a map");
    int64_t format = value_get_integer(content, "format", 0);
    if (format != MANIFEST_FORMAT)
        return error_set(err, ERROR_UNSUPPORTED, "its format is %lld; this program reads %d",
                         (long long)format, MANIFEST_FORMAT);
    const char *identity = value_get_text(content, "identity");
    if (!identity || strlen(identity) != UUID_TEXT_SIZE - 1)
        return error_set(err, ERROR_CORRUPT, "it has no identity");
    memcpy(manifest->identity, identity, UUID_TEXT_SIZE);
    struct value *assigned = value_get(content, "assigned");
    if (!assigned || value_kind(assigned) != VALUE_MAP)
        return error_set(err, ERROR_CORRUPT, "it does not say what is assigned");
    value_unref(manifest->assigned);
    manifest->assigned = value_ref(assigned);
    return take_resources(manifest, value_get(content, "resources"), err);
}

int manifest_load(const char *folder, struct manifest **ret_manifest, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/" MANIFEST_FILE, folder);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    size_t size;
    struct error problem = {0};
    int r = world_read_file(path, MANIFEST_BYTES, &text, &size, &problem);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &problem);
    if (r == 0) {
        CLEANUP(value_unrefp) struct value *content = NULL;
        error_done(&problem);
        r = json_read(text, size, &content, &problem);
        if (r < 0)
            r = error_set(err, ERROR_CORRUPT, "%s", error_message(&problem));
        else
            r = take_manifest(manifest, content, err);
        error_done(&problem);
        if (r < 0)
            return error_wrap(err, r, "the manifest " MANIFEST_FILE " of the twin");
    }
    error_done(&problem);
    *ret_manifest = take_ptr(manifest);
    return 0;
}

int manifest_begin(const char *folder, const char *identity, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/" MANIFEST_FILE, folder);
    if (world_file_exists(path))
        return 0;
    if (strlen(identity) != UUID_TEXT_SIZE - 1)
        return error_set(err, ERROR_INVALID, "the identity \"%s\" is no UUID", identity);
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    memcpy(manifest->identity, identity, UUID_TEXT_SIZE);
    return manifest_save(manifest, folder, NULL, err);
}

static int sync_beside(void *argument, int fd)
{
    return disk_sync(argument, fd);
}

int manifest_save(const struct manifest *manifest, const char *folder, struct disk *disk,
                  struct error *err)
{
    struct value_builder resources = {0}, content = {0};
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));)
        value_builder_append(&resources, value_ref(entry->value));
    value_builder_set(&content, "format", value_integer(MANIFEST_FORMAT));
    value_builder_set_string(&content, "identity", manifest->identity);
    value_builder_set(&content, "assigned", value_ref(manifest->assigned));
    value_builder_set(&content, "resources", value_builder_list(&resources));
    CLEANUP(value_unrefp) struct value *whole = value_builder_map(&content);
    struct strbuf text = {0};
    json_write(&text, whole);
    CLEANUP(mem_freep) char *path = string_format("%s/" MANIFEST_FILE, folder);
    int r = disk ? world_write_file_by(path, strbuf_text(&text), text.length, 0600, sync_beside,
                                       disk, err)
                 : world_write_file(path, strbuf_text(&text), text.length, 0600, true, err);
    strbuf_done(&text);
    return r;
}

struct value *manifest_find(const struct manifest *manifest, const char *uid)
{
    return map_get(&manifest->resources, uid);
}

struct value *manifest_exchange(struct manifest *manifest, const char *uid,
                                struct value *take_resource)
{
    if (take_resource)
        return map_put(&manifest->resources, uid, take_resource);
    return map_remove(&manifest->resources, uid);
}

const char *resource_uid(const struct value *resource)
{
    return value_get_text(resource, "uid");
}

const char *resource_name(const struct value *resource)
{
    return value_get_text(resource, "name");
}

const char *resource_type(const struct value *resource)
{
    return value_get_text(resource, "type");
}

const struct value *resource_spec(const struct value *resource)
{
    return value_get(resource, "spec");
}

const char *resource_reference(const struct value *resource, const char *path)
{
    const struct value *uids = value_get(value_get(resource, "references"), path);
    return uids && value_count(uids) > 0 ? value_text(value_at(uids, 0)) : NULL;
}
