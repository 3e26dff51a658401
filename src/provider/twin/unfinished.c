#include "provider/twin/unfinished.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <string.h>

enum { SIZE_LIMIT = 4 << 20 };

static char *path_of(const struct twin_home *home, const char *uid)
{
    return string_format("%s/images/%s.building", home->folder, uid);
}

int unfinished_note(const struct twin_home *home, const char *uid, const char *engine,
                    const struct value *spec, struct error *err)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/images", home->folder);
    CLEANUP(mem_freep) char *path = path_of(home, uid);
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "engine", engine);
    value_builder_set(&fields, "spec", value_ref((struct value *)spec));
    CLEANUP(value_unrefp) struct value *note = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(note);
    int r = world_make_folder(folder, 0700, err);
    return r < 0 ? r : world_write_file(path, text, strlen(text), 0600, true, err);
}

void unfinished_drop(const struct twin_home *home, const char *uid)
{
    CLEANUP(mem_freep) char *path = path_of(home, uid);
    (void)world_remove_file(path, NULL);
}

struct value *unfinished_find(const struct twin_home *home, const char *uid)
{
    CLEANUP(mem_freep) char *path = path_of(home, uid);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *note = NULL;
    size_t size;
    if (world_read_file(path, SIZE_LIMIT, &text, &size, NULL) < 0 ||
        json_read(text, size, &note, NULL) < 0 || value_kind(note) != VALUE_MAP)
        return NULL;
    const struct value *spec = value_get(note, "spec");
    bool is_whole = value_get_text(note, "engine") && spec && value_kind(spec) == VALUE_MAP;
    return is_whole ? take_ptr(note) : NULL;
}
