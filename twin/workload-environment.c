#include "twin/workload-environment.h"

#include "base/map.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "net/child.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What a pipe may hold, and what the driver lets a secret have. */
enum { ENVIRONMENT_LIMIT = 1 << 20, GIVEN_LIMIT = 1 << 16 };

struct value *workload_environment(const struct machine_workload *workload)
{
    struct value_builder map = {0};
    for (size_t i = 0; i < workload->n_variables; i++) {
        const struct machine_variable *variable = &workload->variables[i];
        value_builder_set(&map, variable->name,
                          variable->secret ? value_secret(variable->secret, "")
                                           : value_string(variable->text));
    }
    return value_builder_map(&map);
}

/* --- The twin's side --- */

static void add_variable(struct strbuf *content, const char *name, const char *text, size_t size)
{
    strbuf_addf(content, "%s=", name);
    strbuf_add_n(content, text, size);
    strbuf_add_char(content, '\0');
}

static int add_secret(struct strbuf *content, const char *name, const char *path, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, GIVEN_LIMIT, &text, &size, NULL);
    if (r < 0)
        return error_set(err, ERROR_NOT_FOUND,
                         "the secret that was given for %s is not there any more; apply it again",
                         name);
    add_variable(content, name, text, size);
    mem_free(text);
    return 0;
}

int workload_environment_add(const struct value *environment, const char *given_folder,
                             const char *resource, struct strbuf *content, struct error *err)
{
    int r = 0;
    mem_wipe_freed();
    for (size_t i = 0; r == 0 && i < value_count(environment); i++) {
        const char *name = value_key_at(environment, i);
        const struct value *item = value_at(environment, i);
        CLEANUP(mem_freep)
        char *path = string_format("%s/%s.%s", given_folder, resource, value_text(item));
        if (value_kind(item) == VALUE_SECRET)
            r = add_secret(content, name, path, err);
        else
            add_variable(content, name, value_text(item), value_text_length(item));
        if (r == 0 && content->length > ENVIRONMENT_LIMIT)
            r = error_set(err, ERROR_LIMIT, "its environment is larger than %d bytes",
                          ENVIRONMENT_LIMIT);
    }
    return r;
}

int workload_environment_write(const struct value *environment, const char *given_folder,
                               const char *resource, int *ret_descriptor, struct error *err)
{
    struct strbuf content = {0};
    int r = workload_environment_add(environment, given_folder, resource, &content, err);
    if (r == 0)
        r = child_make_input(strbuf_text(&content), content.length, ret_descriptor, err);
    strbuf_done(&content);
    return r;
}

/* --- The workload's side --- */

static int read_all(int fd, struct strbuf *content, struct error *err)
{
    char piece[4096];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "read the environment");
        if (n == 0)
            return 0;
        strbuf_add_n(content, piece, (size_t)n);
        mem_wipe(piece, (size_t)n);
        if (content->length > ENVIRONMENT_LIMIT)
            return error_set(err, ERROR_LIMIT, "the environment is too large");
    }
}

int workload_environment_read(int fd, struct map *ret_variables, struct error *err)
{
    struct strbuf content = {0};
    mem_wipe_freed();
    int r = read_all(fd, &content, err);
    size_t start = 0;
    while (r == 0 && start < content.length) {
        char *line = content.text + start;
        size_t length = strnlen(line, content.length - start);
        char *equals = memchr(line, '=', length);
        if (!equals || equals == line || start + length == content.length) {
            r = error_set(err, ERROR_INVALID, "the environment is no list of NAME=VALUE");
            break;
        }
        *equals = '\0';
        mem_free(map_put(ret_variables, line, string_copy(equals + 1)));
        start += length + 1;
    }
    strbuf_done(&content);
    return r;
}

void workload_environment_done(struct map *variables)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(variables, &cursor));)
        mem_free(entry->value);
    map_done(variables);
}
