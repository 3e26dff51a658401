/*
 * What waits for an activation. It takes effect by one file that lists it, "activated": who finds
 * that file finishes what it says, so that an activation has happened or has not, whoever dies.
 */
#include "provider/fake/files.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

static int add_file(void *argument, const char *name, struct value *value, struct error *err)
{
    (void)value;
    (void)err;
    value_builder_append(argument, value_string(name));
    return 0;
}

/* One staged file becomes what is there; harmless when it was done already. */
static int put_in_force(const struct fake_account *account, const char *staged, const char *name,
                        struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    int r = fake_file_read(staged, name, &value, err);
    if (r < 0 || !value)
        return r;
    r = value_get_bool(value, "deleted", false)
            ? fake_file_remove(account->folder, name, err)
            : fake_file_write(account->folder, name, value, err);
    return r < 0 ? r : fake_file_remove(staged, name, err);
}

int fake_account_recover(const struct fake_account *account, struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = NULL;
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_file_read(account->folder, "activated", &names, err);
    if (r < 0 || !names)
        return r;
    for (size_t i = 0; r == 0 && i < value_count(names); i++)
        r = put_in_force(account, staged, value_text(value_at(names, i)), err);
    return r < 0 ? r : fake_file_remove(account->folder, "activated", err);
}

int fake_account_activate(const struct fake_account *account, struct error *err)
{
    struct value_builder names = {0};
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_file_walk(staged, add_file, &names, err);
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&names);
    if (r < 0 || value_count(list) == 0)
        return r;
    r = fake_file_write(account->folder, "activated", list, err);
    return r < 0 ? r : fake_account_recover(account, err);
}

bool fake_account_waits(const struct fake_account *account, const struct target *target,
                        const struct value *resource)
{
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    CLEANUP(mem_freep) char *name = NULL;
    const char *id = resource ? value_get_text(resource, "provider_id") : target->provider_id;
    if (fake_file_name(id ? id : target->uid, &name, NULL) < 0)
        return false;
    CLEANUP(mem_freep) char *path = string_format("%s/%s", staged, name);
    return world_file_exists(path);
}

/* --- What others do there --- */

struct foreign_list {
    const struct string_list *own;
    struct value_builder texts;
};

static int add_foreign(void *argument, const char *name, struct value *value, struct error *err)
{
    struct foreign_list *foreign = argument;
    (void)err;
    const char *uid = value_get_text(value, "uid");
    if (uid && string_list_has(foreign->own, uid))
        return 0;
    const char *address = value_get_text(value, "address");
    const char *who = value_get_text(value, "by");
    bool is_removal = value_get_bool(value, "deleted", false);
    CLEANUP(mem_freep)
    char *text = string_format("%s %s, staged by %s", is_removal ? "remove" : "put",
                               address ? address : name, who ? who : "another run of Parley");
    value_builder_append(&foreign->texts, value_string(text));
    return 0;
}

int fake_account_list_foreign(const struct fake_account *account, const struct string_list *own,
                              struct value **ret_texts, struct error *err)
{
    struct foreign_list foreign = {.own = own};
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_account_recover(account, err);
    if (r == 0)
        r = fake_file_walk(staged, add_foreign, &foreign, err);
    if (r < 0)
        value_builder_done(&foreign.texts);
    else
        *ret_texts = value_builder_list(&foreign.texts);
    return r;
}

int fake_account_stage_foreign(const struct fake_account *account, const char *name,
                               struct error *err)
{
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    CLEANUP(mem_freep) char *file = string_format("foreign-%s.json", name);
    CLEANUP(mem_freep) char *id = string_format("foreign-%s", name);
    struct value_builder edit = {0};
    value_builder_set_string(&edit, "provider_id", id);
    value_builder_set_string(&edit, "address", name);
    value_builder_set_string(&edit, "by", "somebody else");
    value_builder_set(&edit, "spec", value_builder_map(&(struct value_builder){0}));
    value_builder_set(&edit, "outputs", value_builder_map(&(struct value_builder){0}));
    CLEANUP(value_unrefp) struct value *value = value_builder_map(&edit);
    return fake_file_write(staged, file, value, err);
}
