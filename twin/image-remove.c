/* What goes: images and containers of a resource, and the files that were unpacked from them. */
#include "twin/image-private.h"

#include "base/text.h"
#include "twin/service.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

enum { ID_PART = 16 };

static void remove_folders(const struct image_work *work, const char *keep)
{
    DIR *entries = work->folder ? opendir(work->folder) : NULL;
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        CLEANUP(mem_freep) char *path = string_format("%s/%s", work->folder, entry->d_name);
        size_t length = strlen(work->uid);
        if (length > 0 && text_starts_with(entry->d_name, work->uid) &&
            entry->d_name[length] == '.' && !(keep && text_equal(entry->d_name, keep)))
            service_remove_folder(path);
    }
    closedir(entries);
    rmdir(work->folder); /* as far as it is empty */
}

char *image_folder_name(const struct image_work *work, const char *id)
{
    const char *hex = text_starts_with(id, "sha256:") ? id + strlen("sha256:") : id;
    return string_format("%s.%.*s", work->uid, ID_PART, hex);
}

int image_remove_containers(struct image_work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = image_list_ours(work, "containers", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list); i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        CLEANUP(mem_freep) char *path = string_format("/containers/%s?force=1&v=1", id ? id : "");
        r = image_ask(work, "DELETE", path, NULL, err);
        if (r == -ERROR_NOT_FOUND)
            r = 0;
    }
    return r;
}

static int remove_images(struct image_work *work, const char *keep, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = image_list_ours(work, "images", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list); i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        if (!id || (keep && text_equal(id, keep)))
            continue;
        CLEANUP(mem_freep) char *path = string_format("/images/%s?force=1", id);
        r = image_ask(work, "DELETE", path, NULL, err);
        if (r == -ERROR_NOT_FOUND) /* a list shows parents, which went with their child */
            r = 0;
    }
    return r;
}

void image_remove_abandoned(struct image_work *work)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    if (!work->twin || image_list(work, "images", LABEL_TWIN, work->twin, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < value_count(list); i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        if (!id || !image_is_abandoned(work, value_at(list, i)))
            continue;
        CLEANUP(mem_freep) char *path = string_format("/images/%s?force=1", id);
        (void)image_ask(work, "DELETE", path, NULL, NULL);
    }
}

int image_remove_all(struct image_work *work, struct error *err)
{
    const char *keep = value_get_text(work->request, "keep");
    CLEANUP(mem_freep) char *folder = keep ? image_folder_name(work, keep) : NULL;
    int r = image_remove_containers(work, err);
    if (r == 0)
        r = remove_images(work, keep, err);
    if (r == 0)
        remove_folders(work, folder);
    if (r == 0)
        image_remove_abandoned(work);
    return r;
}
