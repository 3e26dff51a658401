#include "twin/image-program.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/image-private.h"
#include "twin/image-unpack.h"

#include <stdio.h>

enum { REQUEST_LIMIT = 4 << 20 };

static void print(struct value *take_line)
{
    CLEANUP(mem_freep) char *text = json_text(take_line);
    value_unref(take_line);
    puts(text);
    fflush(stdout);
}

void image_tell(void *argument, const char *line)
{
    struct value_builder fields = {0};
    (void)argument;
    value_builder_set_string(&fields, "progress", line);
    print(value_builder_map(&fields));
}

/* --- Its files --- */

/* What starts it is never started: the engine only wants some word. */
static int make_container(struct image_work *work, const char *id, char **ret_container,
                          struct error *err)
{
    struct value_builder labels = {0}, words = {0}, body = {0};
    CLEANUP(value_unrefp) struct value *answer = NULL;
    value_builder_set_string(&labels, LABEL_UID, work->uid);
    value_builder_append(&words, value_string("/never"));
    value_builder_set_string(&body, "Image", id);
    value_builder_set(&body, "Labels", value_builder_map(&labels));
    value_builder_set(&body, "Cmd", value_builder_list(&words));
    CLEANUP(value_unrefp) struct value *content = value_builder_map(&body);
    struct engine_request request = {
        .method = "POST", .path = "/containers/create", .body = content};
    int r = engine_ask(work->engine, &request, &answer, err);
    const char *container =
        r == 0 && answer && value_kind(answer) == VALUE_MAP ? value_get_text(answer, "Id") : NULL;
    if (r == 0 && !container)
        r = error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
    if (r == 0)
        *ret_container = string_copy(container);
    return r;
}

static int unpack(struct image_work *work, const char *id, const char *folder, struct error *err)
{
    CLEANUP(mem_freep) char *partial = string_format("%s/%s.partial", work->folder, work->uid);
    CLEANUP(mem_freep) char *container = NULL;
    if (world_file_exists(folder))
        return 0;
    image_tell(NULL, "unpacking its files");
    int r = world_make_folder(work->folder, 0700, err);
    if (r == 0)
        r = make_container(work, id, &container, err);
    if (r == 0)
        r = image_unpack(work->engine, container, folder, partial, err);
    int removed = container ? image_remove_containers(work, r < 0 ? NULL : err) : 0;
    return r < 0 ? r : removed;
}

static struct value *describe_config(const struct value *image)
{
    static const char *const kept[] = {"Cmd", "Entrypoint", "Env", "User", "WorkingDir"};
    const struct value *config = value_get(image, "Config");
    struct value_builder fields = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++) {
        struct value *part = value_get(config, kept[i]);
        if (!value_is_null(part))
            value_builder_set(&fields, kept[i], value_ref(part));
    }
    return value_builder_map(&fields);
}

static int refuse_taken(struct image_work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *taken = NULL;
    int r = image_find_taken(work, work->spec, &taken, err);
    if (r == 0 && value_count(taken) > 0)
        r = error_set(
            err, ERROR_EXISTS,
            "the engine has an image %s that is not this resource's; give this one another "
            "name, or remove that one",
            value_text(value_at(taken, 0)));
    return r;
}

static int make(struct image_work *work, struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    CLEANUP(value_unrefp) struct value *image = NULL;
    image_find_recipe(work);
    image_remove_abandoned(work);
    int r = image_remove_containers(work, err);
    if (r == 0)
        r = refuse_taken(work, err);
    if (r == 0)
        r = image_find_built(work, &id, err);
    if (r == 0)
        r = id ? image_name(work, id, err) : image_build(work, &id, err);
    work->has_image = id != NULL;
    if (r == 0)
        r = image_inspect(work, id, &image, err);
    if (r < 0 || !image)
        return r < 0 ? r : error_set(err, ERROR_UNAVAILABLE, "the image %s is gone again", id);
    const char *whole_id = value_get_text(image, "Id");
    CLEANUP(mem_freep) char *name = image_folder_name(work, whole_id);
    CLEANUP(mem_freep) char *folder = string_format("%s/%s", work->folder, name);
    r = unpack(work, whole_id, folder, err);
    if (r < 0)
        return r;
    struct value_builder built = {0};
    value_builder_set_string(&built, "id", whole_id);
    value_builder_set_string(&built, "folder", name);
    value_builder_set(&built, "config", describe_config(image));
    value_builder_set(&work->answer, "built", value_builder_map(&built));
    return 0;
}

/* --- The program --- */

static int read_request(struct value **ret_request, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf text = {0};
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof(piece), stdin)) > 0;) {
        strbuf_add_n(&text, piece, n);
        if (text.length > REQUEST_LIMIT)
            return error_set(err, ERROR_LIMIT, "the request is too large");
    }
    int r = json_read(strbuf_text(&text), text.length, ret_request, err);
    if (r == 0 && value_kind(*ret_request) != VALUE_MAP)
        r = error_set(err, ERROR_INVALID, "the request is not a map");
    return r;
}

static int carry_out(struct image_work *work, const struct value *request, struct error *err)
{
    const char *verb = value_get_text(request, "verb");
    const char *socket_path = value_get_text(request, "engine");
    const struct value *spec = value_get(request, "spec");
    const struct value *known = value_get(request, "known");
    work->request = request;
    work->spec = value_is_null(spec) || value_kind(spec) != VALUE_MAP ? NULL : spec;
    work->uid = value_get_text(request, "uid");
    work->folder = value_get_text(request, "folder");
    work->twin = value_get_text(request, "twin");
    work->known = value_is_null(known) || value_kind(known) != VALUE_LIST ? NULL : known;
    bool is_build = verb && text_equal(verb, "build");
    if (!verb || !socket_path || !work->uid || (is_build && (!work->spec || !work->folder)))
        return error_set(err, ERROR_INVALID, "the request lacks something");
    work->engine = engine_new(socket_path);
    if (is_build)
        return make(work, err);
    if (text_equal(verb, "look"))
        return image_look(work, err);
    if (text_equal(verb, "remove"))
        return image_remove_all(work, err);
    return error_set(err, ERROR_INVALID, "there is no verb %s", verb);
}

int image_main(void)
{
    CLEANUP(value_unrefp) struct value *request = NULL;
    CLEANUP(error_done) struct error err = {0};
    struct image_work work = {0};
    int r = read_request(&request, &err);
    if (r == 0)
        r = carry_out(&work, request, &err);
    value_builder_set(&work.answer, "ok", value_bool(r == 0));
    if (r < 0) {
        struct value_builder error = {0};
        value_builder_set_string(&error, "code", error_code_to_string(err.code));
        value_builder_set_string(&error, "message", error_message(&err));
        value_builder_set(&work.answer, "error", value_builder_map(&error));
        value_builder_set(&work.answer, "left", value_bool(work.has_image));
    }
    print(value_builder_map(&work.answer));
    engine_free(work.engine);
    return 0;
}
