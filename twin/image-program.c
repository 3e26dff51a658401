#include "twin/image-program.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/image-answer.h"
#include "twin/image-engine.h"
#include "twin/image-unpack.h"
#include "twin/service.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST_LIMIT = 4 << 20, ID_PART = 16 };
#define LABEL_UID "parley.uid"
#define LABEL_RECIPE "parley.recipe"

struct work {
    struct engine *engine;
    const struct value *request;
    const struct value *spec; /* of a build */
    const char *uid;
    const char *folder;
    char recipe[DIGEST_HEX_SIZE];
    bool has_image; /* what happens from then on leaves one behind */
    struct value_builder answer;
};

static void print(struct value *take_line)
{
    CLEANUP(mem_freep) char *text = json_text(take_line);
    value_unref(take_line);
    puts(text);
    fflush(stdout);
}

static void tell(void *argument, const char *line)
{
    struct value_builder fields = {0};
    (void)argument;
    value_builder_set_string(&fields, "progress", line);
    print(value_builder_map(&fields));
}

/* --- What the engine has --- */

static int ask(struct work *work, const char *method, const char *path, struct value **ret_answer,
               struct error *err)
{
    struct engine_request request = {.method = method, .path = path};
    return engine_ask(work->engine, &request, ret_answer, err);
}

/* A list of what carries our uid: "images", or "containers". */
static int list_ours(struct work *work, const char *kind, struct value **ret_list,
                     struct error *err)
{
    CLEANUP(mem_freep)
    char *filter = string_format("{\"label\":[\"" LABEL_UID "=%s\"]}", work->uid);
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, filter);
    CLEANUP(mem_freep) char *path = string_format("/%s/json?all=1&filters=%s", kind, escaped);
    int r = ask(work, "GET", path, ret_list, err);
    if (r == 0 && (!*ret_list || value_kind(*ret_list) != VALUE_LIST)) {
        value_unref(*ret_list);
        *ret_list = NULL;
        r = error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
    }
    return r;
}

static const char *label_of(const struct value *thing, const char *label)
{
    const struct value *labels = value_get(thing, "Labels");
    bool is_map = !value_is_null(labels) && value_kind(labels) == VALUE_MAP;
    const char *text = is_map ? value_get_text(labels, label) : NULL;
    return text ? text : "";
}

/* The image of a name, or NULL; *ret_image is what inspecting it says. */
static int inspect(struct work *work, const char *name, struct value **ret_image, struct error *err)
{
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, name);
    CLEANUP(mem_freep) char *path = string_format("/images/%s/json", escaped);
    struct error problem = {0};
    *ret_image = NULL;
    int r = ask(work, "GET", path, ret_image, &problem);
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

/* All names that the image is to have: "image" and "tags". The caller unrefs it. */
static struct value *names_of(const struct value *spec)
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

/* Those names that the engine knows as somebody else's images. */
static int find_taken(struct work *work, const struct value *spec, struct value **ret_taken,
                      struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = names_of(spec);
    struct value_builder taken = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(names); i++) {
        CLEANUP(value_unrefp) struct value *image = NULL;
        r = inspect(work, value_text(value_at(names, i)), &image, err);
        if (image && !text_equal(label_of(value_get(image, "Config"), LABEL_UID), work->uid))
            value_builder_append(&taken, value_ref(value_at(names, i)));
    }
    *ret_taken = value_builder_list(&taken);
    return r;
}

static int look(struct work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *version = NULL;
    CLEANUP(value_unrefp) struct value *images = NULL;
    struct value_builder list = {0};
    int r = ask(work, "GET", "/version", &version, err);
    if (r < 0)
        return r;
    const char *told =
        version && value_kind(version) == VALUE_MAP ? value_get_text(version, "Version") : NULL;
    value_builder_set_string(&work->answer, "version", told ? told : "of an unknown version");
    if (*work->uid)
        r = list_ours(work, "images", &images, err);
    for (size_t i = 0; r == 0 && images && i < value_count(images); i++) {
        struct value_builder image = {0};
        value_builder_set_string(&image, "id", value_get_text(value_at(images, i), "Id"));
        value_builder_set_string(&image, "recipe", label_of(value_at(images, i), LABEL_RECIPE));
        value_builder_append(&list, value_builder_map(&image));
    }
    value_builder_set(&work->answer, "images", value_builder_list(&list));
    if (r == 0 && work->spec) {
        struct value *taken = NULL;
        r = find_taken(work, work->spec, &taken, err);
        value_builder_set(&work->answer, "taken", taken);
    }
    return r;
}

/* --- Removing --- */

static void remove_folders(const struct work *work, const char *keep)
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

/* "UID.0123456789abcdef" */
static char *folder_name(const struct work *work, const char *id)
{
    const char *hex = text_starts_with(id, "sha256:") ? id + strlen("sha256:") : id;
    return string_format("%s.%.*s", work->uid, ID_PART, hex);
}

static int remove_containers(struct work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = list_ours(work, "containers", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list); i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        CLEANUP(mem_freep) char *path = string_format("/containers/%s?force=1&v=1", id ? id : "");
        r = ask(work, "DELETE", path, NULL, err);
        if (r == -ERROR_NOT_FOUND)
            r = 0;
    }
    return r;
}

static int remove_images(struct work *work, const char *keep, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = list_ours(work, "images", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list); i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        if (!id || (keep && text_equal(id, keep)))
            continue;
        CLEANUP(mem_freep) char *path = string_format("/images/%s?force=1", id);
        r = ask(work, "DELETE", path, NULL, err);
        if (r == -ERROR_NOT_FOUND) /* a list shows parents, which went with their child */
            r = 0;
    }
    return r;
}

static int remove_all(struct work *work, struct error *err)
{
    const char *keep = value_get_text(work->request, "keep");
    CLEANUP(mem_freep) char *folder = keep ? folder_name(work, keep) : NULL;
    int r = remove_containers(work, err);
    if (r == 0)
        r = remove_images(work, keep, err);
    if (r == 0)
        remove_folders(work, folder);
    return r;
}

/* --- Building --- */

/* What decides how an image comes out, as a digest: an image with it need not be built again. */
static void find_recipe(struct work *work)
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
static int pack(const struct work *work, FILE **ret_archive, struct error *err)
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

static void add_parameter(struct work *work, struct strbuf *path, const char *name,
                          const char *text)
{
    CLEANUP(mem_freep) char *escaped = engine_escape(work->engine, text);
    strbuf_addf(path, "&%s=%s", name, escaped);
}

static char *build_path(struct work *work)
{
    struct strbuf path = {0};
    CLEANUP(value_unrefp) struct value *names = names_of(work->spec);
    struct value *arguments = value_get(work->spec, "buildArgs");
    const char *dockerfile = value_get_text(work->spec, "dockerfile");
    struct value_builder labels = {0};
    value_builder_set_string(&labels, LABEL_UID, work->uid);
    value_builder_set_string(&labels, LABEL_RECIPE, work->recipe);
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

static int build(struct work *work, char **ret_id, struct error *err)
{
    CLEANUP(mem_freep) char *path = build_path(work);
    CLEANUP(image_answer_done) struct image_answer answer = {.tell = tell};
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

/* The image of this recipe, made by a run that did not come to its end; *ret_id is NULL without. */
static int find_built(struct work *work, char **ret_id, struct error *err)
{
    CLEANUP(value_unrefp) struct value *list = NULL;
    int r = list_ours(work, "images", &list, err);
    for (size_t i = 0; r == 0 && i < value_count(list) && !*ret_id; i++) {
        const char *id = value_get_text(value_at(list, i), "Id");
        if (id && text_equal(label_of(value_at(list, i), LABEL_RECIPE), work->recipe))
            *ret_id = string_copy(id);
    }
    return r;
}

static int name_image(struct work *work, const char *id, struct error *err)
{
    CLEANUP(value_unrefp) struct value *names = names_of(work->spec);
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
        r = ask(work, "POST", path, NULL, err);
    }
    return r;
}

/* --- Its files --- */

/* What starts it is never started: the engine only wants some word. */
static int make_container(struct work *work, const char *id, char **ret_container,
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

static int unpack(struct work *work, const char *id, const char *folder, struct error *err)
{
    CLEANUP(mem_freep) char *partial = string_format("%s/%s.partial", work->folder, work->uid);
    CLEANUP(mem_freep) char *container = NULL;
    if (world_file_exists(folder))
        return 0;
    tell(NULL, "unpacking its files");
    int r = world_make_folder(work->folder, 0700, err);
    if (r == 0)
        r = make_container(work, id, &container, err);
    if (r == 0)
        r = image_unpack(work->engine, container, folder, partial, err);
    int removed = container ? remove_containers(work, r < 0 ? NULL : err) : 0;
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

static int refuse_taken(struct work *work, struct error *err)
{
    CLEANUP(value_unrefp) struct value *taken = NULL;
    int r = find_taken(work, work->spec, &taken, err);
    if (r == 0 && value_count(taken) > 0)
        r = error_set(
            err, ERROR_EXISTS,
            "the engine has an image %s that is not this resource's; give this one another "
            "name, or remove that one",
            value_text(value_at(taken, 0)));
    return r;
}

static int make(struct work *work, struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    CLEANUP(value_unrefp) struct value *image = NULL;
    find_recipe(work);
    int r = remove_containers(work, err);
    if (r == 0)
        r = refuse_taken(work, err);
    if (r == 0)
        r = find_built(work, &id, err);
    if (r == 0)
        r = id ? name_image(work, id, err) : build(work, &id, err);
    work->has_image = id != NULL;
    if (r == 0)
        r = inspect(work, id, &image, err);
    if (r < 0 || !image)
        return r < 0 ? r : error_set(err, ERROR_UNAVAILABLE, "the image %s is gone again", id);
    const char *whole_id = value_get_text(image, "Id");
    CLEANUP(mem_freep) char *name = folder_name(work, whole_id);
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

static int carry_out(struct work *work, const struct value *request, struct error *err)
{
    const char *verb = value_get_text(request, "verb");
    const char *socket_path = value_get_text(request, "engine");
    const struct value *spec = value_get(request, "spec");
    work->request = request;
    work->spec = value_is_null(spec) || value_kind(spec) != VALUE_MAP ? NULL : spec;
    work->uid = value_get_text(request, "uid");
    work->folder = value_get_text(request, "folder");
    bool is_build = verb && text_equal(verb, "build");
    if (!verb || !socket_path || !work->uid || (is_build && (!work->spec || !work->folder)))
        return error_set(err, ERROR_INVALID, "the request lacks something");
    work->engine = engine_new(socket_path);
    if (is_build)
        return make(work, err);
    if (text_equal(verb, "look"))
        return look(work, err);
    if (text_equal(verb, "remove"))
        return remove_all(work, err);
    return error_set(err, ERROR_INVALID, "there is no verb %s", verb);
}

int image_main(void)
{
    CLEANUP(value_unrefp) struct value *request = NULL;
    CLEANUP(error_done) struct error err = {0};
    struct work work = {0};
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
