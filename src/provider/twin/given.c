#include "provider/twin/given.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

struct giving {
    const struct call *call;
    const char *folder;
    const char *uid;
};

static int give_one(void *argument, struct value *value, struct value **ret_value,
                    struct error *err)
{
    const struct giving *giving = argument;
    CLEANUP(value_unrefp) struct value *text = NULL;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET)
        return 0;
    CLEANUP(mem_freep)
    char *path = string_format("%s/%s.%s", giving->folder, giving->uid, value_text(value));
    int r = call_reveal(giving->call, value, &text, err);
    if (r == 0)
        r = world_write_file(path, value_text(text), value_text_length(text), 0600, true, err);
    return r;
}

int twin_give(const struct twin_home *home, const struct call *call, const char *uid,
              struct value *spec, struct error *err)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/given", home->folder);
    CLEANUP(value_unrefp) struct value *same = NULL;
    struct giving giving = {call, folder, uid};
    if (!spec || !value_has_secret(spec))
        return 0;
    int r = world_make_folder(folder, 0700, err);
    return r < 0 ? r : value_change(spec, give_one, &giving, &same, err);
}

/* --- Taking back --- */

static bool holds(const struct value *value, const char *digest)
{
    enum value_kind kind = value_kind(value);
    if (!value_has_secret(value))
        return false;
    if (kind == VALUE_SECRET)
        return text_equal(value_text(value), digest);
    for (size_t i = 0; i < value_count(value); i++)
        if (holds(value_at(value, i), digest))
            return true;
    return false;
}

static int add_name(void *argument, const char *name, struct error *err)
{
    (void)err;
    string_list_add(argument, name);
    return 0;
}

void twin_take_back(const struct twin_home *home, const char *uid, const struct value *spec)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/given", home->folder);
    struct string_list names = {0};
    size_t length = strlen(uid);
    (void)world_list_folder(folder, add_name, &names, NULL);
    for (size_t i = 0; i < names.n_items; i++) {
        const char *name = names.items[i];
        bool is_its = text_starts_with(name, uid) && name[length] == '.';
        if (!is_its || (spec && holds(spec, name + length + 1)))
            continue;
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
        (void)world_remove_file(path, NULL);
    }
    string_list_done(&names);
}
