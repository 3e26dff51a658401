/* What a service of a stack says of its health, and of the services that it is not started without.
 */
#include "twin/desiring-stacks.h"

#include "base/text.h"

#include <string.h>

#define SECOND INT64_C(1000000)

/* --- Health --- */

/* A text for an argument list: with no NUL in it. NULL when it is none. */
static const char *text_at(const struct value *list, size_t index)
{
    const struct value *item = value_at(list, index);
    if (value_kind(item) != VALUE_STRING || strlen(value_text(item)) != value_text_length(item))
        return NULL;
    return value_text(item);
}

static const char **shell_command(struct desiring *desiring, const char *text)
{
    const char **command = machine_memory(desiring->machine, 4, sizeof(*command));
    command[0] = "/bin/sh";
    command[1] = "-c";
    command[2] = desiring_text(desiring, text);
    return command;
}

/* [CMD, PROGRAM, ...], [CMD-SHELL, TEXT], [NONE], or a text alone, which is for the shell. */
static int read_test(struct desiring *desiring, const struct value *test, const char *name,
                     const char ***ret_command)
{
    bool is_list = !value_is_null(test) && value_kind(test) == VALUE_LIST;
    size_t n = is_list ? value_count(test) : 0;
    for (size_t i = 0; i < n; i++)
        if (!text_at(test, i))
            return desiring_fault(desiring, ERROR_INVALID, "test of %s has what is no text", name);
    const char *first = n > 0 ? text_at(test, 0) : "";
    bool is_program = text_equal(first, "CMD"), is_shell = text_equal(first, "CMD-SHELL");
    if (n == 1 && text_equal(first, "NONE")) {
        *ret_command = NULL;
    } else if (n == 1 && *first && !is_program && !is_shell) {
        *ret_command = shell_command(desiring, first);
    } else if (n == 2 && is_shell) {
        *ret_command = shell_command(desiring, text_at(test, 1));
    } else if (n >= 2 && is_program && *text_at(test, 1)) {
        const char **command = machine_memory(desiring->machine, n, sizeof(*command));
        for (size_t i = 1; i < n; i++)
            command[i - 1] = desiring_text(desiring, text_at(test, i));
        *ret_command = command;
    } else {
        return desiring_fault(desiring, ERROR_INVALID,
                              "test of %s is none of [CMD, PROGRAM, ...], [CMD-SHELL, TEXT], "
                              "[NONE] and a text",
                              name);
    }
    return 0;
}

static int read_duration(struct desiring *desiring, const struct value *map, const char *field,
                         int64_t fallback, int64_t *ret_us)
{
    const char *text = NULL;
    int r = spec_text(desiring, map, field, NULL, &text);
    if (r < 0)
        return r;
    *ret_us = text ? desired_duration(text, -1) : fallback;
    if (text && text_equal(text, "0s"))
        *ret_us = 0;
    return *ret_us < 0
               ? desiring_fault(desiring, ERROR_INVALID, "%s is no duration such as 30s", field)
               : 0;
}

int desire_check(struct desiring *desiring, const struct value *service, const char *name,
                 struct machine_check *check)
{
    static const struct spec_range retries = {1, 1000, 3};
    const struct value *map = value_get(service, "healthcheck");
    if (value_is_null(map))
        return 0;
    if (value_kind(map) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "the healthcheck of %s is not a map", name);
    int r = read_test(desiring, value_get(map, "test"), name, &check->command);
    if (r == 0)
        r = read_duration(desiring, map, "interval", 30 * SECOND, &check->interval_us);
    if (r == 0)
        r = read_duration(desiring, map, "timeout", 30 * SECOND, &check->timeout_us);
    if (r == 0)
        r = read_duration(desiring, map, "start_period", 0, &check->start_us);
    if (r == 0)
        r = spec_integer(desiring, map, "retries", &retries, &check->retries);
    if (r == 0 && (check->interval_us == 0 || check->timeout_us == 0))
        r = desiring_fault(desiring, ERROR_INVALID, "interval and timeout of %s cannot be 0", name);
    return r;
}

/* --- Who comes first --- */

/* The services of one stack, as the machine has them. */
struct crew {
    struct machine_workload **items;
    size_t n_items;
};

static struct machine_workload *find(const struct crew *crew, const char *name)
{
    for (size_t i = 0; i < crew->n_items; i++)
        if (text_equal(crew->items[i]->name, name))
            return crew->items[i];
    return NULL;
}

static int read_need(struct desiring *desiring, const struct crew *crew, const char *name,
                     const struct value *item, struct machine_workload *workload)
{
    const char *condition = NULL;
    const struct machine_workload *needed = find(crew, name);
    if (!needed)
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s depends on %s, which is no service of this stack", workload->name,
                              name);
    if (value_kind(item) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "depends_on of %s is no map of maps",
                              workload->name);
    int r = spec_text(desiring, item, "condition", "service_started", &condition);
    if (r < 0)
        return r;
    bool is_healthy = text_equal(condition, "service_healthy");
    if (!is_healthy && !text_equal(condition, "service_started"))
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s waits for %s to be %s; it can be service_started or "
                              "service_healthy",
                              workload->name, name, condition);
    workload->needs[workload->n_needs++] = (struct machine_need){needed, is_healthy};
    return 0;
}

static int read_needs(struct desiring *desiring, const struct crew *crew,
                      struct machine_workload *workload)
{
    const struct value *services = value_get(desiring_spec(desiring), "services");
    const struct value *map = value_get(value_get(services, workload->name), "depends_on");
    if (value_is_null(map))
        return 0;
    if (value_kind(map) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "depends_on of %s is not a map",
                              workload->name);
    workload->needs = machine_memory(desiring->machine, value_count(map), sizeof(*workload->needs));
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(map); i++)
        r = read_need(desiring, crew, value_key_at(map, i), value_at(map, i), workload);
    return r;
}

/* Whether all that it needs stands among the first ones. */
static bool can_follow(const struct crew *crew, size_t n_ordered,
                       const struct machine_workload *workload)
{
    for (size_t i = 0; i < workload->n_needs; i++) {
        size_t k = 0;
        while (k < n_ordered && crew->items[k] != workload->needs[i].workload)
            k++;
        if (k == n_ordered)
            return false;
    }
    return true;
}

/* Takes the next that can follow, again and again; who is left over stands in a circle. */
static int put_in_order(struct desiring *desiring, const struct crew *crew)
{
    for (size_t n = 0; n < crew->n_items; n++) {
        size_t next = n;
        while (next < crew->n_items && !can_follow(crew, n, crew->items[next]))
            next++;
        if (next == crew->n_items)
            return desiring_fault(desiring, ERROR_INVALID,
                                  "%s waits for itself: what it depends on depends on it",
                                  crew->items[n]->name);
        struct machine_workload *workload = crew->items[next];
        for (; next > n; next--)
            crew->items[next] = crew->items[next - 1];
        crew->items[n] = workload;
    }
    return 0;
}

int desire_needs(struct desiring *desiring, size_t first)
{
    struct machine *machine = desiring->machine;
    struct crew crew = {machine->workloads + first, machine->n_workloads - first};
    int r = 0;
    for (size_t i = 0; r == 0 && i < crew.n_items; i++)
        r = read_needs(desiring, &crew, crew.items[i]);
    return r < 0 ? r : put_in_order(desiring, &crew);
}
