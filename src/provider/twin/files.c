#include "provider/twin/files.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "net/child.h"
#include "provider/twin/client.h"

#include <stdlib.h>
#include <string.h>

enum { COPY_TIME = 60 * 1000 * 1000, REASON_LIMIT = 1 << 16 };

/* The digests by path, or NULL. */
static const struct value *files_of(const struct value *spec)
{
    const struct value *files = spec ? value_get(spec, "files") : NULL;
    return !value_is_null(files) && value_kind(files) == VALUE_MAP ? files : NULL;
}

static char *folder_of(const struct twin_home *home, const char *uid, const char *digest)
{
    return string_format("%s/files/%s.%s", home->folder, uid, digest);
}

static int read_reason(const char *output, const char *source, struct error *err)
{
    const char *end = strchr(output, '\n');
    CLEANUP(mem_freep) char *wire = string_copy_n(output, end ? (size_t)(end - output) : 0);
    enum error_code code = error_code_from_string(wire);
    if (!end || code == ERROR_NONE || code == ERROR_CODE_COUNT)
        return error_set(err, ERROR_SYSTEM, "%s cannot be copied: %.200s", source, output);
    return error_set(err, code, "%s", end + 1);
}

static CO_FN int run(const struct call *call, const char *const *arguments, int *ret_status,
                     char **ret_output, struct error *err)
{
    const char *path = getenv("PATH");
    CLEANUP(mem_freep)
    char *lent = string_format("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    const char *environment[] = {lent, NULL};
    struct child_spec child = {.arguments = arguments,
                               .environment = environment,
                               .own_environment = true,
                               .folder = "/",
                               .input = -1,
                               .dies_with_us = true};
    return child_run(call->loop, &child, REASON_LIMIT, world_monotonic_clock() + COPY_TIME,
                     ret_status, ret_output, err);
}

/* In a process of its own: it may be as large as a site. */
static CO_FN int copy(const struct twin_home *home, const struct call *call, const char *uid,
                      const char *source, const char *digest, struct error *err)
{
    CLEANUP(mem_freep) char *program = twin_program();
    CLEANUP(mem_freep) char *folder = folder_of(home, uid, digest);
    CLEANUP(mem_freep) char *output = NULL;
    const char *arguments[] = {program, "copy", "--source", source, "--digest",
                               digest,  "--to", folder,     NULL};
    int status = 0;
    if (world_file_exists(folder))
        return 0;
    int r = run(call, arguments, &status, &output, err);
    return r < 0 || status == 0 ? r : read_reason(output, source, err);
}

CO_FN int twin_copy_files(const struct twin_home *home, const struct call *call, const char *uid,
                          const struct value *spec, struct error *err)
{
    const struct value *files = files_of(spec);
    CLEANUP(mem_freep) char *folder = string_format("%s/files", home->folder);
    size_t n = files ? value_count(files) : 0;
    int r = n > 0 ? world_make_folder(folder, 0700, err) : 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = copy(home, call, uid, value_key_at(files, i), value_text(value_at(files, i)), err);
    return r;
}

/* --- Removing --- */

static bool names(const struct value *files, const char *digest)
{
    for (size_t i = 0; files && i < value_count(files); i++)
        if (text_equal(value_text(value_at(files, i)), digest))
            return true;
    return false;
}

static int add_name(void *argument, const char *name, struct error *err)
{
    (void)err;
    string_list_add(argument, name);
    return 0;
}

CO_FN void twin_remove_files(const struct twin_home *home, const struct call *call, const char *uid,
                             const struct value *spec)
{
    CLEANUP(mem_freep) char *folder = string_format("%s/files", home->folder);
    struct string_list found = {0};
    size_t length = strlen(uid);
    if (world_file_exists(folder))
        (void)world_list_folder(folder, add_name, &found, NULL);
    for (size_t i = 0; i < found.n_items; i++) {
        const char *name = found.items[i];
        bool is_its = text_starts_with(name, uid) && name[length] == '.';
        if (!is_its || names(files_of(spec), name + length + 1))
            continue;
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
        const char *arguments[] = {"rm", "-rf", "--", path, NULL};
        CLEANUP(mem_freep) char *output = NULL;
        int status;
        (void)run(call, arguments, &status, &output, NULL);
    }
    string_list_done(&found);
}
