/* What a program is made from, and what it does before it becomes one. */
#include "twin/process-private.h"

#include "base/strbuf.h"
#include "twin/guards.h"
#include "twin/image-run.h"
#include "twin/sandbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Never raises it: the whole twin may have been started to give way, and only root could. */
static int give_way(int niceness)
{
    return niceness > 0 && getpriority(PRIO_PROCESS, 0) < niceness
               ? setpriority(PRIO_PROCESS, 0, niceness)
               : 0;
}

static int enter_place(void *argument)
{
    const struct process_place *place = argument;
    int r = GUARD(LIMITS) ? cgroup_enter(&place->group) : 0;
    if (r == 0)
        r = cage_enter(place->door);
    if (r == 0 && give_way(place->niceness) < 0)
        r = -errno;
    if (r == 0)
        r = place->image ? sandbox_drop_to(place->image->user, place->image->group)
                         : sandbox_drop_but(place->user, place->capability);
    /* child_start() reads why in errno. */
    if (r < 0)
        errno = -r;
    return r;
}

/* What of our environment makes programs work, and nothing that may be a secret. */
static const char *const lent_variables[] = {
    "PATH", "LANG", "LC_ALL", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
};

static void make_environment(struct process_preparation *preparation, const char *const *additions,
                             bool is_lent)
{
    size_t n = 0, n_lines = 0, capacity = 0;
    for (size_t i = 0; is_lent && i < ARRAY_LENGTH(lent_variables); i++) {
        const char *text = getenv(lent_variables[i]);
        if (!text)
            continue;
        ARRAY_RESERVE(preparation->lines, n_lines, capacity);
        preparation->lines[n_lines++] = string_format("%s=%s", lent_variables[i], text);
    }
    preparation->n_lent = n_lines;
    for (; additions && additions[n]; n++) {
        ARRAY_RESERVE(preparation->lines, n_lines, capacity);
        preparation->lines[n_lines++] = (char *)(uintptr_t)additions[n];
    }
    ARRAY_RESERVE(preparation->lines, n_lines, capacity);
    preparation->lines[n_lines] = NULL;
}

/* Whether both are of one name. */
static bool is_same_variable(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return strncmp(a, b, length) == 0 && b[length] == '=';
}

void process_add_variables(struct process_preparation *preparation, const struct strbuf *lines)
{
    size_t n = 0, n_new = 0;
    while (preparation->lines[n])
        n++;
    for (size_t at = 0; at < lines->length; at += strlen(lines->text + at) + 1)
        n_new++;
    preparation->lines = mem_resize(preparation->lines, n + n_new + 1, sizeof(char *));
    for (size_t at = 0; at < lines->length; at += strlen(lines->text + at) + 1) {
        size_t i = preparation->n_lent;
        while (i < n && !is_same_variable(lines->text + at, preparation->lines[i]))
            i++;
        preparation->lines[i] = lines->text + at;
        n += i == n;
    }
    preparation->lines[n] = NULL;
    preparation->child.environment = (const char *const *)preparation->lines;
}

void process_preparation_done(struct process_preparation *preparation)
{
    for (size_t i = 0; i < preparation->n_lent; i++)
        mem_free(preparation->lines[i]);
    mem_free(preparation->lines);
}

int process_open_door(struct processes *processes, const struct process_spec *spec,
                      struct cage_door *ret_door, struct error *err)
{
    *ret_door = (struct cage_door){.cages = processes->cages,
                                   .host = spec->host,
                                   .name = spec->name,
                                   .folder = spec->folder,
                                   .root = spec->image ? spec->image->root : NULL,
                                   .files = spec->files};
    return cage_open(ret_door, spec->arguments[0], err);
}

void process_prepare(const struct process_spec *spec, struct cage_door *door,
                     struct process_preparation *ret_preparation)
{
    struct process_preparation *preparation = ret_preparation;
    *preparation = (struct process_preparation){.place = {.door = door,
                                                          .group = CGROUP_CLOSED,
                                                          .user = spec->user,
                                                          .capability = spec->capability,
                                                          .image = spec->image,
                                                          .niceness = spec->niceness}};
    make_environment(preparation, spec->environment, !spec->image);
    preparation->child = (struct child_spec){
        .arguments = spec->arguments,
        .environment = (const char *const *)preparation->lines,
        .own_environment = GUARD(ENVIRONMENT),
        .input = -1,
        .output = -1,
        .errors = -1,
        /* No session: Linux weighs one session against another, whatever their niceness is. */
        .own_group = true,
        .prepare = enter_place,
        .prepare_argument = &preparation->place,
        .fork = cage_fork,
        .fork_argument = door,
    };
}

int process_explain_start(int r, const struct process_spec *spec, struct error *err)
{
    if (r == -ERROR_NOT_FOUND)
        return error_set(err, ERROR_MISSING, "the program %s is not installed", spec->arguments[0]);
    return error_wrap(err, r, "start %s", spec->name);
}
