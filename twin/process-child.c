/* What a program is made from, and what it does before it becomes one. */
#include "twin/process-private.h"

#include "base/strbuf.h"
#include "twin/guards.h"
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
    int r = cgroup_enter(&place->group);
    if (r == 0)
        r = cage_enter(place->door);
    if (r == 0 && give_way(place->niceness) < 0)
        r = -errno;
    if (r == 0)
        r = sandbox_drop_privileges(place->user);
    /* child_start() reads why in errno. */
    if (r < 0)
        errno = -r;
    return r;
}

/* What of our environment makes programs work, and nothing that may be a secret. */
static const char *const lent_variables[] = {
    "PATH", "LANG", "LC_ALL", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
};

static void make_environment(struct process_preparation *preparation, const char *const *additions)
{
    size_t n = 0, n_lines = 0, capacity = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(lent_variables); i++) {
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
                                   .files = spec->files};
    return cage_open(ret_door, spec->arguments[0], err);
}

void process_prepare(const struct process_spec *spec, struct cage_door *door,
                     struct process_preparation *ret_preparation)
{
    struct process_preparation *preparation = ret_preparation;
    *preparation = (struct process_preparation){
        .place = {
            .door = door, .group = CGROUP_CLOSED, .user = spec->user, .niceness = spec->niceness}};
    make_environment(preparation, spec->environment);
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
