/* The image of a recipe: packed as it was approved, and made unless there is one. */
#include "twin/image-private.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"
#include "twin/image-answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void image_find_recipe(struct image_work *work)
{
    static const char *const parts[] = {"buildArgs", "contextDigest", "dockerfile"};
    struct value_builder fields = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        struct value *part = value_get(work->spec, parts[i]);
        value_builder_set(&fields, parts[i], part ? value_ref(part) : value_null());
    }
    CLEANUP(value_unrefp) struct value *all = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(all);
    digest_hex(text, strlen(text), work->recipe);
}

static int write_archive(void *argument, const void *bytes, size_t size, struct error *err)
{
    return fwrite(bytes, 1, size, argument) == size
               ? 0
               : error_set_errno(err, errno, "write the context to a temporary file");
}

/* Packs what was approved, and nothing else. The caller closes *ret_archive. */
static int pack(const struct image_work *work, FILE **ret_archive, struct error *err)
{
    const char *folder = value_get_text(work->spec, "context");
    const char *approved = value_get_text(work->spec, "contextDigest");
    char digest[DIGEST_HEX_SIZE];
    FILE *archive = tmpfile();
    if (!archive)
        return error_set_errno(err, errno, "make a temporary file for the context");
    struct tar_sink sink = {write_archive, archive};
    int r = context_pack(folder, value_get_text(work->spec, "dockerfile"), &sink, digest, err);
    if (r == 0 && !text_equal_or_null(approved, digest))
        r = error_set(err, ERROR_STALE, "%s has changed since the plan was made; plan again",
                      folder);
    if (r == 0 && fseek(archive, 0, SEEK_SET) != 0)
        r = error_set_errno(err, errno, "read the context back");
    if (r < 0)
        fclose(archive);
    else
        *ret_archive = archive;
    return r;
}

static void add_parameter(struct image_work *work, struct strbuf *path, const char *name,
                          const char *text)
{
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, text);
    strbuf_addf(path, "&%s=%s", name, escaped);
}

static char *build_path(struct image_work *work)
{
    struct strbuf path = {0};
    CLEANUP(value_unrefp) struct value *names = image_names_of(work->spec);
    struct value *arguments = value_get(work->spec, "buildArgs");
    const char *dockerfile = value_get_text(work->spec, "dockerfile");
    struct value_builder labels = {0};
    value_builder_set_string(&labels, LABEL_UID, work->uid);
    value_builder_set_string(&labels, LABEL_RECIPE, work->recipe);
    if (work->twin)
        value_builder_set_string(&labels, LABEL_TWIN, work->twin);
    CLEANUP(value_unrefp) struct value *label_map = value_builder_map(&labels);
    CLEANUP(mem_freep) char *label_text = json_text(label_map);
    strbuf_add(&path, "/build?rm=1&forcerm=1");
    for (size_t i = 0; i < value_count(names); i++)
        add_parameter(work, &path, "t", value_text(value_at(names, i)));
    add_parameter(work, &path, "labels", label_text);
    if (dockerfile)
        add_parameter(work, &path, "dockerfile", dockerfile);
    if (!value_is_null(arguments)) {
        CLEANUP(mem_freep) char *text = json_text(arguments);
        add_parameter(work, &path, "buildargs", text);
    }
    return strbuf_take(&path);
}

static int take_answer(void *argument, const char *bytes, size_t size, struct error *err)
{
    return image_answer_add(argument, bytes, size, err);
}

int image_build(struct image_work *work, char **ret_id, struct error *err)
{
    CLEANUP(mem_freep) char *path = build_path(work);
    CLEANUP(image_answer_done) struct image_answer answer = {.tell = image_tell};
    FILE *archive = NULL;
    int r = pack(work, &archive, err);
    if (r < 0)
        return r;
    struct engine_request request = {.method = "POST",
                                     .path = path,
                                     .archive = archive,
                                     .take = take_answer,
                                     .argument = &answer};
    r = engine_ask(work->engine, &request, NULL, err);
    fclose(archive);
    if (r == 0)
        r = image_answer_end(&answer, err);
    if (r == 0)
        *ret_id = take_ptr(answer.id);
    return r;
}

int image_find_built(struct image_work *work, char **ret_id, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = image_list_ours(work, "images", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list) && !*ret_id; i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        if (id && text_equal(image_label_of(value_at(list, i), LABEL_RECIPE), work->recipe))
            *ret_id = string_copy(id);
    }
    return r;
}

int image_name(struct image_work *work, const char *id, struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = image_names_of(work->spec);
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(names); i++) {
        const char *name = value_text(value_at(names, i));
        const char *colon = strrchr(name, ':');
        bool has_tag = colon && !strchr(colon, '/');
        CLEANUP(mem_freep)
        char *plain = string_copy_n(name, has_tag ? (size_t)(colon - name) : strlen(name));
        CLEANUP(mem_freep) char *repository = engine_escape(work->engine, plain);
        CLEANUP(mem_freep) char *tag = engine_escape(work->engine, has_tag ? colon + 1 : "latest");
        CLEANUP(mem_freep)
        char *path = string_format("/images/%s/tag?repo=%s&tag=%s", id, repository, tag);
        r = image_ask(work, "POST", path, NULL, err);
    }
    return r;
}
