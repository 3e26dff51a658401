/* What there is of a type, page by page: a cursor is the name of the last file that was looked at.
 */
#include "provider/fake/files.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

static int add_name(void *argument, const char *name, struct value *value, struct error *err)
{
    (void)value;
    (void)err;
    value_builder_append(argument, value_string(name));
    return 0;
}

/* The files' names, each once: a staged one may have another beside it. */
static int list_names(const struct fake_account *account, struct value **ret_names,
                      struct error *err)
{
    struct value_builder names = {0};
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_account_recover(account, err);
    if (r == 0)
        r = fake_file_walk(account->folder, add_name, &names, err);
    if (r == 0)
        r = fake_file_walk(staged, add_name, &names, err);
    if (r < 0)
        value_builder_done(&names);
    else
        *ret_names = value_builder_set_of(&names);
    return r;
}

static void set_text_or_null(struct value_builder *fields, const char *key, const char *text)
{
    value_builder_set(fields, key, text ? value_string(text) : value_null());
}

static struct value *describe(const struct value *resource)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "id", value_get_text(resource, "provider_id"));
    set_text_or_null(&fields, "name", value_get_text(resource, "name"));
    set_text_or_null(&fields, "marker", value_get_text(resource, "uid"));
    value_builder_set(&fields, "spec", value_ref(value_get(resource, "spec")));
    value_builder_set(&fields, "outputs", value_ref(value_get(resource, "outputs")));
    return value_builder_map(&fields);
}

/* Adds the resource of a file when it is of the type and can be seen. */
static int add_resource(const struct fake_account *account, const char *name,
                        const struct resource_type *type, struct value_builder *items,
                        size_t *n_items, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = fake_file_load(account, name, &resource, err);
    if (r < 0 || !resource)
        return r;
    if (!text_equal_or_null(value_get_text(resource, "type"), type->name) ||
        value_get_integer(resource, "visible_at", 0) > world_wall_clock())
        return 0;
    value_builder_append(items, describe(resource));
    ++*n_items;
    return 0;
}

int fake_account_list(const struct fake_account *account, const struct listing *listing,
                      struct page *ret_page, struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = NULL;
    struct value_builder items = {0};
    const char *last = NULL;
    size_t n_items = 0;
    size_t i = 0;
    int r = list_names(account, &names, err);
    while (r == 0 && i < value_count(names) && n_items < listing->limit) {
        const char *name = value_text(value_at(names, i++));
        if (listing->after && strcmp(name, listing->after) <= 0)
            continue;
        last = name;
        r = add_resource(account, name, listing->type, &items, &n_items, err);
    }
    if (r < 0) {
        value_builder_done(&items);
        return r;
    }
    ret_page->items = value_builder_list(&items);
    ret_page->is_stopped = fake_account_is_stopped(account);
    ret_page->next = i < value_count(names) && last ? string_copy(last) : NULL;
    return 0;
}
