/* What a Docker Engine has of a resource, told by the labels that our images carry. */
#include "twin/image-private.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

int image_ask(struct image_work *work, const char *method, const char *path,
              struct value **ret_answer, struct error *err)
{
    struct engine_request request = {.method = method, .path = path};
    return engine_ask(work->engine, &request, ret_answer, err);
}

int image_list(struct image_work *work, const char *kind, const char *label, const char *text,
               struct value **ret_list, struct error *err)
{
    CLEANUP(mem_freep) char *filter = string_format("{\"label\":[\"%s=%s\"]}", label, text);
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, filter);
    CLEANUP(mem_freep) char *path = string_format("/%s/json?all=1&filters=%s", kind, escaped);
    int r = image_ask(work, "GET", path, ret_list, err);
    if (r == 0 && (!*ret_list || value_kind(*ret_list) != VALUE_LIST)) {
        value_unref(*ret_list);
        *ret_list = NULL;
        r = error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
    }
    return r;
}

int image_list_ours(struct image_work *work, const char *kind, struct value **ret_list,
                    struct error *err)
{
    return image_list(work, kind, LABEL_UID, work->uid, ret_list, err);
}

const char *image_label_of(const struct value *thing, const char *label)
{
    const struct value *labels = value_get(thing, "Labels");
    bool is_map = !value_is_null(labels) && value_kind(labels) == VALUE_MAP;
    const char *text = is_map ? value_get_text(labels, label) : NULL;
    return text ? text : "";
}

/* Whether the twin has it, or a run that has not come to its end: then it has a file there. */
static bool is_known(const struct image_work *work, const char *uid)
{
    size_t length = strlen(uid);
    for (size_t i = 0; work->known && i < value_count(work->known); i++)
        if (text_equal_or_null(value_text(value_at(work->known, i)), uid))
            return true;
    DIR *entries = opendir(work->folder);
    bool is_there = false;
    if (!entries)
        return errno != ENOENT;
    for (struct dirent *entry; !is_there && (entry = readdir(entries));)
        is_there = text_starts_with(entry->d_name, uid) && entry->d_name[length] == '.';
    closedir(entries);
    return is_there;
}

bool image_is_abandoned(const struct image_work *work, const struct value *thing)
{
    const char *uid = image_label_of(thing, LABEL_UID);
    return work->twin && work->folder && *uid && !text_equal(uid, work->uid) &&
           text_equal(image_label_of(thing, LABEL_TWIN), work->twin) && !is_known(work, uid);
}

int image_inspect(struct image_work *work, const char *name, struct value **ret_image,
                  struct error *err)
{
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, name);
    CLEANUP(mem_freep) char *path = string_format("/images/%s/json", escaped);
    struct error problem = {0};
    *ret_image = NULL;
    int r = image_ask(work, "GET", path, ret_image, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        return 0;
    }
    if (r < 0)
        return error_move(err, &problem);
    const struct value *config = *ret_image ? value_get(*ret_image, "Config") : NULL;
    if (!value_is_null(config) && value_kind(config) == VALUE_MAP &&
        value_get_text(*ret_image, "Id"))
        return 0;
    value_unref(*ret_image);
    *ret_image = NULL;
    return error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
}

struct value *image_names_of(const struct value *spec)
{
    struct value_builder names = {0};
    const char *image = value_get_text(spec, "image");
    const struct value *tags = value_get(spec, "tags");
    if (image)
        value_builder_append(&names, value_string(image));
    for (size_t i = 0; !value_is_null(tags) && i < value_count(tags); i++)
        value_builder_append(&names, value_ref(value_at(tags, i)));
    return value_builder_list(&names);
}

int image_find_taken(struct image_work *work, const struct value *spec, struct value **ret_taken,
                     struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = image_names_of(spec);
    struct value_builder taken = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(names); i++) {
        CLEANUP(value_unrefp) struct value *image = NULL;
        r = image_inspect(work, value_text(value_at(names, i)), &image, err);
        const struct value *config = image ? value_get(image, "Config") : NULL;
        if (image && !text_equal(image_label_of(config, LABEL_UID), work->uid) &&
            !image_is_abandoned(work, config))
            value_builder_append(&taken, value_ref(value_at(names, i)));
    }
    *ret_taken = value_builder_list(&taken);
    return r;
}

int image_look(struct image_work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *version = NULL;
    CLEANUP(value_unrefp) struct value *images = NULL;
    struct value_builder list = {0};
    int r = image_ask(work, "GET", "/version", &version, err);
    if (r < 0)
        return r;
    const char *told =
        version && value_kind(version) == VALUE_MAP ? value_get_text(version, "Version") : NULL;
    value_builder_set_string(&work->answer, "version", told ? told : "of an unknown version");
    if (*work->uid)
        r = image_list_ours(work, "images", &images, err);
    for (size_t i = 0; r == 0 && images && i < value_count(images); i++) {
        struct value_builder image = {0};
        value_builder_set_string(&image, "id", value_get_text(value_at(images, i), "Id"));
        value_builder_set_string(&image, "recipe",
                                 image_label_of(value_at(images, i), LABEL_RECIPE));
        value_builder_append(&list, value_builder_map(&image));
    }
    value_builder_set(&work->answer, "images", value_builder_list(&list));
    if (r == 0 && work->spec) {
        struct value *taken = NULL;
        r = image_find_taken(work, work->spec, &taken, err);
        value_builder_set(&work->answer, "taken", taken);
    }
    return r;
}
