#include "twin/balancer-values.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

/* --- Lines --- */

/* Takes the next line off *rest; NULL behind the last. The caller frees it. */
static char *next_line(const char **rest)
{
    if (!**rest)
        return NULL;
    size_t length = strcspn(*rest, "\n");
    char *line = string_copy_n(*rest, length);
    *rest += length + ((*rest)[length] == '\n');
    return line;
}

static bool has_line(const char *text, const char *wanted)
{
    char *line;
    bool is_found = false;
    while (!is_found && (line = next_line(&text))) {
        is_found = text_equal(line, wanted);
        mem_free(line);
    }
    return is_found;
}

/* --- Values --- */

/* Of what else a command could mean: it ends at ";", and its words at a space. */
static bool can_be_said(const char *line)
{
    return strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "/_.~?&=%+:@,- ") == strlen(line);
}

static CO_FN int change_value(struct balancer_control *control, const char *map, const char *line,
                              struct error *err)
{
    CLEANUP(mem_freep) char *answer = NULL;
    CLEANUP(mem_freep) char *command = string_format("set map %s %s", map, line);
    if (!can_be_said(line))
        return error_set(err, ERROR_UNSUPPORTED, "\"%s\" cannot be said in a command", line);
    int r = balancer_control_ask(control, command, &answer, err);
    if (r == 0 && *answer)
        r = error_set(err, ERROR_CONFLICT, "HAProxy answers to \"%s\": %s", command, answer);
    return r;
}

/* What is asked of a map is told as lines of an address, the key and the value. */
static CO_FN int check_values(struct balancer_control *control, const char *map, const char *wanted,
                              struct error *err)
{
    CLEANUP(mem_freep) char *answer = NULL;
    CLEANUP(mem_freep) char *command = string_format("show map %s", map);
    int r = balancer_control_ask(control, command, &answer, err);
    const char *rest = answer;
    char *line;
    while (r == 0 && (line = next_line(&rest))) {
        const char *pair = strchr(line, ' ');
        if (pair && !has_line(wanted, pair + 1))
            r = error_set(err, ERROR_CONFLICT, "HAProxy goes by \"%s\"", pair + 1);
        mem_free(line);
    }
    return r;
}

CO_FN int balancer_change_values(struct balancer_control *control, const char *map,
                                 const char *running, const char *wanted, struct error *err)
{
    int r = 0;
    const char *rest = wanted;
    char *line;
    if (text_equal(running, wanted))
        return 0;
    while (r == 0 && (line = next_line(&rest))) {
        if (!has_line(running, line))
            r = change_value(control, map, line, err);
        mem_free(line);
    }
    return r < 0 ? r : check_values(control, map, wanted, err);
}
