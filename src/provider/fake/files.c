/* One file of an account. */
#include "provider/fake/files.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <ctype.h>
#include <string.h>

#define FILE_LIMIT (64U << 20)

bool fake_account_is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            return false;
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= 100;
}

bool fake_is_resource(const struct value *value)
{
    const struct value *spec = value_get(value, "spec");
    const struct value *outputs = value_get(value, "outputs");
    return value_get_text(value, "provider_id") && spec && value_kind(spec) == VALUE_MAP &&
           outputs && value_kind(outputs) == VALUE_MAP;
}

int fake_file_name(const char *provider_id, char **ret_name, struct error *err)
{
    const char *id = text_starts_with(provider_id, "fake-") ? provider_id + 5 : provider_id;
    if (!fake_account_is_name(id))
        return error_set(err, ERROR_INVALID, "\"%s\" cannot be a file's name", id);
    *ret_name = string_format("%s.json", id);
    return 0;
}

char *fake_staged_folder(const struct fake_account *account)
{
    return string_format("%s/staged", account->folder);
}

int fake_file_read(const char *folder, const char *name, struct value **ret_value,
                   struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    CLEANUP(mem_freep) char *text = NULL;
    size_t size;
    struct error missing = {0};
    int r = world_read_file(path, FILE_LIMIT, &text, &size, &missing);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&missing);
        *ret_value = NULL;
        return 0;
    }
    if (r < 0)
        return error_move(err, &missing);
    r = json_read(text, size, ret_value, err);
    return r < 0 ? error_wrap(err, r, "%s", path) : 0;
}

int fake_file_load(const struct fake_account *account, const char *name,
                   struct value **ret_resource, struct error *err)
{
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = fake_file_read(staged, name, &resource, err);
    if (r == 0 && !resource)
        r = fake_file_read(account->folder, name, &resource, err);
    else if (r == 0 && value_get_bool(resource, "deleted", false))
        value_unref(take_ptr(resource));
    if (r < 0)
        return r;
    if (resource && !fake_is_resource(resource))
        return error_set(err, ERROR_CORRUPT,
                         "%s/%s: a resource has provider_id, spec and outputs, the last two of "
                         "them maps",
                         account->folder, name);
    *ret_resource = resource ? fake_texts_read(account, resource) : NULL;
    return 0;
}

int fake_file_write(const char *folder, const char *name, const struct value *value,
                    struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    CLEANUP(mem_freep) char *text = json_text(value);
    int r = world_make_folder(folder, 0700, err);
    return r < 0 ? r : world_write_file(path, text, strlen(text), 0600, false, err);
}

int fake_file_remove(const char *folder, const char *name, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    return world_remove_file(path, err);
}

static int add_name(void *argument, const char *name, struct error *err)
{
    (void)err;
    if (text_ends_with(name, ".json"))
        string_list_add(argument, name);
    return 0;
}

int fake_file_walk(const char *folder, fake_found *found, void *argument, struct error *err)
{
    struct string_list names = {0};
    struct error missing = {0};
    int r = world_list_folder(folder, add_name, &names, &missing);
    bool is_missing = r == -ERROR_NOT_FOUND;
    if (is_missing)
        error_done(&missing);
    else if (r < 0)
        error_move(err, &missing);
    for (size_t i = 0; r == 0 && i < names.n_items; i++) {
        CLEANUP(value_unrefp) struct value *value = NULL;
        r = fake_file_read(folder, names.items[i], &value, err);
        if (r == 0 && value)
            r = found(argument, names.items[i], value, err);
    }
    string_list_done(&names);
    return r < 0 && !is_missing ? r : 0;
}
