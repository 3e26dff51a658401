/* Health checks of workloads: who is unhealthy is asked nothing by balancers, and is an event. */
#include "twin/workload-private.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/resource.h"
#include "twin/balancer.h"
#include "twin/service.h"

static void note(const struct instance *instance, bool is_healthy, const char *message)
{
    struct event event = {.kind = is_healthy ? "healthy" : "unhealthy",
                          .program = process_name(instance->process),
                          .host = process_host(instance->process),
                          .message = message};
    service_note(instance->twin, &event);
}

static CO_FN void note_turn(void *argument, enum health_state before, enum health_state now)
{
    struct instance *instance = argument;
    struct twin *twin = instance->twin;
    const char *host = instance->host.name;
    if (now == HEALTH_UNHEALTHY) {
        note(instance, false, health_problem(instance->health));
        balancer_hold(twin, host, instance->port, BALANCER_UNHEALTHY);
    } else if (before == HEALTH_UNHEALTHY) {
        if (now == HEALTH_HEALTHY)
            note(instance, true, "is well again");
        balancer_let_in(twin, host, instance->port, BALANCER_UNHEALTHY);
        /* What was said of it is true no more. */
        twin_wake(twin, MODULE_WORKLOAD);
    }
}

CO_FN void workload_check_no_more(struct instance *instance)
{
    if (!instance->health)
        return;
    health_stop(take_ptr(instance->health));
    balancer_forget(instance->twin, instance->host.name, instance->port, BALANCER_UNHEALTHY);
}

/* What of its environment is no secret; the lines of others' environments are for all to see. */
static void list_environment(const struct instance *instance, struct string_list *lines)
{
    for (size_t i = 0; i < value_count(instance->environment); i++) {
        const struct value *text = value_at(instance->environment, i);
        if (value_kind(text) != VALUE_STRING)
            continue;
        CLEANUP(mem_freep)
        char *line =
            string_format("%s=%s", value_key_at(instance->environment, i), value_text(text));
        string_list_add(lines, line);
    }
    /* What the image says comes last: of two of one name the first one counts. */
    for (size_t i = 0; instance->image && instance->image->environment[i]; i++)
        string_list_add(lines, instance->image->environment[i]);
    string_list_add(lines, "");
    mem_free(lines->items[--lines->n_items]);
    lines->items[lines->n_items] = NULL;
}

static char *check_text(const struct machine_check *check)
{
    struct strbuf text = {0};
    for (size_t i = 0; check->command[i]; i++)
        strbuf_addf(&text, "%s%c", check->command[i], '\n');
    strbuf_addf(&text, "%lld %lld %lld %lld", (long long)check->interval_us,
                (long long)check->timeout_us, (long long)check->start_us,
                (long long)check->retries);
    return strbuf_take(&text);
}

static void begin(struct instance *instance, const struct machine_workload *workload)
{
    struct twin *twin = instance->twin;
    struct string_list environment = {0};
    CLEANUP(mem_freep) char *name = string_format("%s.health", instance->name);
    list_environment(instance, &environment);
    struct health_spec spec = {.check = &workload->check,
                               .program = {.name = name,
                                           .host = instance->host.name,
                                           .environment = (const char *const *)environment.items,
                                           .files.mounts = instance->mounts->items,
                                           .files.n_mounts = instance->mounts->n_items,
                                           .image = instance->image,
                                           .user = PROCESS_NOBODY,
                                           .quota = workload->quota},
                               .subject = instance->process,
                               .turned = note_turn,
                               .argument = instance};
    instance->health = health_start(twin->loop, twin->processes, &spec);
    string_list_done(&environment);
}

CO_FN void workload_check(struct instance *instance, const struct machine_workload *workload)
{
    CLEANUP(mem_freep) char *text = workload->check.command ? check_text(&workload->check) : NULL;
    if (text_equal_or_null(instance->check, text))
        return;
    bool was_unhealthy = instance->health && health_state(instance->health) == HEALTH_UNHEALTHY;
    workload_check_no_more(instance);
    if (was_unhealthy)
        balancer_resume(instance->twin, instance->host.name, instance->port);
    mem_free(instance->check);
    instance->check = take_ptr(text);
    if (instance->check)
        begin(instance, workload);
}

CO_FN int workload_await(struct instance *instance, const struct workload_patience *patience,
                         struct error *err)
{
    int r = process_wait_ready(instance->process, patience->ready_by, err);
    if (r < 0 || !instance->health)
        return r;
    enum health_state state = health_await(instance->health, patience->healthy_by);
    const char *problem = health_problem(instance->health);
    if (state == HEALTH_UNHEALTHY)
        return error_set(err, ERROR_UNAVAILABLE, "%s is unhealthy: %s", instance->name, problem);
    if (state == HEALTH_STARTING && patience->is_strict)
        return error_set(err, ERROR_TIMEOUT, "%s is not healthy yet%s%s", instance->name,
                         *problem ? ": " : "", problem);
    return 0;
}

CO_FN int workload_await_needs(const struct workloads *module,
                               const struct machine_workload *workload,
                               const struct workload_patience *patience, struct error *err)
{
    for (size_t i = 0; i < workload->n_needs; i++) {
        const struct machine_workload *needed = workload->needs[i].workload;
        for (size_t k = 0; workload_is_run(needed) && k < needed->n_hosts; k++) {
            struct instance *instance = workload_instance(module, needed, needed->hosts[k]);
            int r = 0;
            if (!instance)
                r = error_set(err, ERROR_UNAVAILABLE, "%s.%s does not run", needed->hosts[k]->name,
                              needed->name);
            else if (workload->needs[i].is_healthy)
                r = workload_await(instance, patience, err);
            if (r < 0)
                return error_wrap(err, r, "it waits for %s", needed->name);
        }
    }
    return 0;
}
