/* The files in which the fake keeps its resources. */
#include "provider/fake/account.h"

#include "base/digest.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <ctype.h>
#include <string.h>

#define RESOURCE_LIMIT (64U << 20)

bool fake_account_is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            return false;
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= 100;
}

static int resource_path(const struct fake_account *account, const struct target *target,
                         char **ret_path, struct error *err)
{
    if (!fake_account_is_name(target->uid))
        return error_set(err, ERROR_INVALID, "%s: its uid \"%s\" cannot be a file's name",
                         target->address, target->uid);
    *ret_path = string_format("%s/%s.json", account->folder, target->uid);
    return 0;
}

/* People may edit the files. */
static bool is_resource(const struct value *value)
{
    const struct value *spec = value_get(value, "spec");
    const struct value *outputs = value_get(value, "outputs");
    return value_get_text(value, "provider_id") && spec && value_kind(spec) == VALUE_MAP &&
           outputs && value_kind(outputs) == VALUE_MAP;
}

int fake_account_load(const struct fake_account *account, const struct target *target,
                      struct value **ret_resource, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    size_t size;
    int r = resource_path(account, target, &path, err);
    if (r < 0)
        return r;
    struct error missing = {0};
    r = world_read_file(path, RESOURCE_LIMIT, &text, &size, &missing);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&missing);
        *ret_resource = NULL;
        return 0;
    }
    if (r < 0)
        return error_move(err, &missing);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    r = json_read(text, size, &resource, err);
    if (r < 0)
        return error_wrap(err, r, "%s", path);
    if (!is_resource(resource))
        return error_set(err, ERROR_CORRUPT,
                         "%s: a resource has provider_id, spec and outputs, the last two of them "
                         "maps",
                         path);
    *ret_resource = take_ptr(resource);
    return 0;
}

/* An output that only the provider knows: always the same one for the same resource and causes. */
static struct value *invent_output(const struct target *target, const struct type_output *output,
                                   struct value *spec)
{
    struct strbuf causes = {0};
    strbuf_addf(&causes, "%s %s", target->uid, output->name);
    for (size_t i = 0; output->changes_with && i < value_count(output->changes_with); i++) {
        struct value *cause = value_at_path(spec, value_text(value_at(output->changes_with, i)));
        CLEANUP(mem_freep) char *text = cause ? json_text(cause) : string_copy("null");
        strbuf_addf(&causes, " %s", text);
    }
    char hex[DIGEST_HEX_SIZE];
    digest_hex(causes.text, causes.length, hex);
    strbuf_done(&causes);
    if (text_equal(output->type, "integer"))
        return value_integer(1024 + (hex[0] * 256 + hex[1] * 16 + hex[2]) % 60000);
    if (text_equal(output->type, "list"))
        return value_list(NULL, 0);
    CLEANUP(mem_freep) char *text = string_format("%s-%.8s", output->name, hex);
    return value_string(text);
}

static struct value *make_outputs(const struct target *target, const char *provider_id,
                                  struct value *spec)
{
    struct value_builder outputs = {0};
    for (size_t i = 0; i < target->type->n_outputs; i++) {
        const struct type_output *output = &target->type->outputs[i];
        struct value *value = NULL;
        if (output->from) {
            struct value *source = value_at_path(spec, output->from);
            value = source ? value_ref(source) : value_null();
        } else if (text_equal(output->name, "id")) {
            value = value_string(provider_id);
        } else {
            value = invent_output(target, output, spec);
        }
        value_builder_set(&outputs, output->name, value);
    }
    return value_builder_map(&outputs);
}

int fake_account_store(const struct fake_account *account, const struct target *target,
                       struct value *spec, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    int r = resource_path(account, target, &path, err);
    if (r == 0)
        r = world_make_folder(account->folder, 0700, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *provider_id = string_format("fake-%s", target->uid);
    struct value_builder resource = {0};
    value_builder_set_string(&resource, "type", target->type->name);
    value_builder_set_string(&resource, "address", target->address);
    value_builder_set_string(&resource, "deployment", target->deployment);
    value_builder_set_string(&resource, "provider_id", provider_id);
    value_builder_set(&resource, "generation", value_integer(target->generation));
    value_builder_set(&resource, "ready_at",
                      value_integer(world_wall_clock() + account->settle_us));
    value_builder_set(&resource, "spec", value_ref(spec));
    value_builder_set(&resource, "outputs", make_outputs(target, provider_id, spec));
    CLEANUP(value_unrefp) struct value *value = value_builder_map(&resource);
    CLEANUP(mem_freep) char *text = json_text(value);
    return world_write_file(path, text, strlen(text), 0600, false, err);
}

bool fake_account_is_stopped(const struct fake_account *account)
{
    CLEANUP(mem_freep) char *path = string_format("%s/stopped", account->folder);
    return world_file_exists(path);
}

int fake_account_remove(const struct fake_account *account, const struct target *target,
                        struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    int r = resource_path(account, target, &path, err);
    return r < 0 ? r : world_remove_file(path, err);
}

int fake_account_start(const struct fake_account *account, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/stopped", account->folder);
    return world_remove_file(path, err);
}
