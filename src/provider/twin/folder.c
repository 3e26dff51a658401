/* Reads what a twin left in its home. Never talks to a supervisor. */
#include "provider/twin/folder.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST_FORMAT 1
#define MANIFEST_LIMIT (64U << 20)
#define HISTORY_LIMIT (1U << 20)

void twin_home_done(struct twin_home *home)
{
    mem_free(home->path);
    mem_free(home->folder);
    mem_free(home->manifest);
    mem_free(home->log);
    mem_free(home->lock);
    mem_free(home->history);
    mem_free(home->socket);
    *home = (struct twin_home){0};
}

/* In the folder where that fits, else where sockets of this user lie. */
static int choose_socket(struct twin_home *home, struct error *err)
{
    home->socket = string_format("%s/sock", home->folder);
    if (strlen(home->socket) < CHANNEL_PATH_SIZE)
        return 0;
    char hex[DIGEST_HEX_SIZE];
    digest_hex(home->path, strlen(home->path), hex);
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    mem_free(home->socket);
    if (runtime && runtime[0] == '/')
        home->socket = string_format("%s/parley/twin-%.16s", runtime, hex);
    else
        home->socket = string_format("/tmp/parley-%u/twin-%.16s", (unsigned int)geteuid(), hex);
    if (strlen(home->socket) < CHANNEL_PATH_SIZE)
        return 0;
    return error_set(err, ERROR_INVALID,
                     "%s is too long for a socket; choose a home or an XDG_RUNTIME_DIR with a "
                     "shorter path",
                     home->socket);
}

int twin_home_init(struct twin_home *home, const char *path, struct error *err)
{
    int r = world_real_path(path, &home->path, err);
    if (r < 0)
        return r;
    home->folder = string_format("%s/twin", home->path);
    home->manifest = string_format("%s/manifest.json", home->folder);
    home->log = string_format("%s/supervisor.log", home->folder);
    home->lock = string_format("%s/lock", home->folder);
    home->history = string_format("%s/twins", home->path);
    return choose_socket(home, err);
}

static int check_manifest(const struct value *manifest, struct error *err)
{
    int64_t format = value_get_integer(manifest, "format", 0);
    if (format > MANIFEST_FORMAT)
        return error_set(err, ERROR_UNSUPPORTED,
                         "its format is %lld, and this program reads up to %d; use the newer "
                         "program that wrote it",
                         (long long)format, MANIFEST_FORMAT);
    const char *identity = value_get_text(manifest, "identity");
    const struct value *resources = value_get(manifest, "resources");
    if (format != MANIFEST_FORMAT || !identity || strlen(identity) != UUID_TEXT_SIZE - 1 ||
        !resources || value_kind(resources) != VALUE_LIST)
        return error_set(err, ERROR_CORRUPT, "it has no format, identity and resources");
    for (size_t i = 0; i < value_count(resources); i++) {
        const struct value *resource = value_at(resources, i);
        const struct value *spec = value_get(resource, "spec");
        if (!value_get_text(resource, "uid") || !spec || value_kind(spec) != VALUE_MAP)
            return error_set(err, ERROR_CORRUPT, "resource %zu has no uid and spec", i);
    }
    return 0;
}

int twin_home_read(const struct twin_home *home, struct value **ret_manifest, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    size_t size;
    struct error problem = {0};
    int r = world_read_file(home->manifest, MANIFEST_LIMIT, &text, &size, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        *ret_manifest = NULL;
        return 0;
    }
    if (r == 0 && json_read(text, size, &manifest, &problem) < 0)
        problem.code = ERROR_CORRUPT;
    else if (r == 0)
        check_manifest(manifest, &problem);
    if (problem.code != ERROR_NONE) {
        error_wrap(&problem, -(int)problem.code, "the twin's manifest %s", home->manifest);
        return error_move(err, &problem);
    }
    *ret_manifest = take_ptr(manifest);
    return 0;
}

struct value *twin_manifest_find(const struct value *manifest, const char *uid)
{
    const struct value *resources = value_get(manifest, "resources");
    for (size_t i = 0; resources && i < value_count(resources); i++) {
        struct value *resource = value_at(resources, i);
        if (text_equal(value_get_text(resource, "uid"), uid))
            return resource;
    }
    return NULL;
}

/* "" when the file is not there. */
static int read_if_there(const char *path, char **ret_text, struct error *err)
{
    struct error problem = {0};
    int r = world_read_file(path, HISTORY_LIMIT, ret_text, NULL, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        *ret_text = string_copy("");
        return 0;
    }
    return r < 0 ? error_move(err, &problem) : 0;
}

static int derive_next(const struct twin_home *home, char ret_identity[UUID_TEXT_SIZE],
                       struct error *err)
{
    CLEANUP(mem_freep) char *machine = NULL;
    CLEANUP(mem_freep) char *history = NULL;
    int r = read_if_there("/etc/machine-id", &machine, err);
    if (r == 0)
        r = read_if_there(home->history, &history, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *name = string_format("twin after %s in %s", history, home->path);
    uuid_derive(machine, name, ret_identity);
    return 0;
}

int twin_home_identify(const struct twin_home *home, const struct value *manifest,
                       char ret_identity[UUID_TEXT_SIZE], struct error *err)
{
    if (!manifest)
        return derive_next(home, ret_identity, err);
    memcpy(ret_identity, value_get_text(manifest, "identity"), UUID_TEXT_SIZE);
    return 0;
}

int twin_home_remember(const struct twin_home *home, const char *identity, struct error *err)
{
    CLEANUP(mem_freep) char *history = NULL;
    int r = read_if_there(home->history, &history, err);
    if (r < 0 || strstr(history, identity))
        return r;
    CLEANUP(mem_freep) char *longer = string_format("%s%s\n", history, identity);
    return world_write_file(home->history, longer, strlen(longer), 0600, true, err);
}
