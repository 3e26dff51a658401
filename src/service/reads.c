#include "service/reads.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

struct opened {
    struct store_deployment deployment;
    struct records records;
    struct value *values; /* owned map: what was read of it */
};

static char *key_of(const struct store_deployment *deployment)
{
    return string_format("%s@%s", deployment->name, deployment->environment);
}

static void opened_free(struct opened *opened)
{
    if (!opened)
        return;
    store_deployment_done(&opened->deployment);
    records_done(&opened->records);
    value_unref(opened->values);
    mem_free(opened);
}
DEFINE_CLEANUP(struct opened *, opened_free)

void reader_done(struct reader *reader)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&reader->opened, &cursor)))
        opened_free(entry->value);
    map_done(&reader->opened);
}

/* In the same environment, else in the only one. */
static int find(struct service *service, const char *name, const char *environment,
                struct store_deployment *ret_deployment, struct error *err)
{
    struct error none = {0};
    int r = service_need_store(service, false, &none);
    if (r == 0)
        r = store_find_deployment(service->store, name, environment, ret_deployment, &none);
    bool is_there = r == 0 && !ret_deployment->is_destroyed;
    error_done(&none);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_set(err, ERROR_UNAVAILABLE, "the deployment \"%s\" cannot be read", name);
    if (is_there)
        return 0;
    store_deployment_done(ret_deployment);
    *ret_deployment = (struct store_deployment){0};
    if (!service->store)
        return error_set(err, ERROR_NOT_FOUND, "there is no deployment \"%s\"", name);
    r = service_find_deployment(service, name, ret_deployment, err);
    if (r == 0 && ret_deployment->is_destroyed)
        return error_set(err, ERROR_NOT_FOUND, "the deployment \"%s\" is destroyed", name);
    return r;
}

static int open_deployment(struct reader *reader, const char *name, const char *environment,
                           struct opened **ret_opened, struct error *err)
{
    CLEANUP(mem_freep) char *word = string_format("%s@%s", name, environment);
    struct opened *known = map_get(&reader->opened, word);
    if (known) {
        *ret_opened = known;
        return 0;
    }
    CLEANUP(opened_freep) struct opened *opened = NEW(struct opened);
    opened->values = value_builder_map(&(struct value_builder){0});
    int r = find(reader->service, name, environment, &opened->deployment, err);
    if (r == 0)
        r = store_load_records(reader->service->store, opened->deployment.uid, &opened->records,
                               err);
    if (r < 0)
        return r;
    *ret_opened = opened;
    map_put(&reader->opened, word, take_ptr(opened));
    return 0;
}

int reader_read(struct reader *reader, const char *name, const char *environment,
                const char *address, const char *path, struct value **ret_value, struct error *err)
{
    struct opened *opened = NULL;
    int r = open_deployment(reader, name, environment, &opened, err);
    if (r < 0)
        return r;
    const struct record *record = records_find(&opened->records, address);
    if (!record)
        return error_set(err, ERROR_NOT_FOUND, "the deployment \"%s\" has no resource \"%s\"", name,
                         address);
    struct value *value = value_at_path(record->outputs, path);
    if (!value || !*path)
        return error_set(err, ERROR_NOT_FOUND, "%s of the deployment \"%s\" has no output \"%s\"",
                         address, name, path);
    CLEANUP(mem_freep) char *what = string_format("%s.%s", address, path);
    struct value *values = value_with(opened->values, what, value_ref(value));
    value_unref(opened->values);
    opened->values = values;
    *ret_value = value_ref(value);
    return 0;
}

static struct value *describe(const struct store_deployment *deployment, struct value *take_values)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "uid", deployment->uid);
    value_builder_set(&fields, "revision", value_integer(deployment->head_revision));
    value_builder_set(&fields, "records_version", value_integer(deployment->records_version));
    value_builder_set(&fields, "values", take_values);
    return value_builder_map(&fields);
}

struct value *reader_list(const struct reader *reader)
{
    struct value_builder list = {0};
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&reader->opened, &cursor))) {
        const struct opened *opened = entry->value;
        CLEANUP(mem_freep) char *key = key_of(&opened->deployment);
        if (value_count(opened->values) > 0)
            value_builder_set(&list, key, describe(&opened->deployment, value_ref(opened->values)));
    }
    return value_builder_map(&list);
}

struct value *reads_with_resource(const struct value *reads,
                                  const struct store_deployment *deployment,
                                  const struct record *record)
{
    CLEANUP(mem_freep) char *key = key_of(deployment);
    CLEANUP(value_unrefp) struct value *none = value_builder_map(&(struct value_builder){0});
    const struct value *before = value_get(value_get(reads, key), "values");
    struct value *values =
        value_with(before ? before : none, record->address, value_string(record->uid));
    return value_with(reads, key, describe(deployment, values));
}

/* --- Who reads --- */

static void tell_use(const struct plan *plan, const struct step *step, const char *user,
                     const char *what, struct diagnostics *diagnostics)
{
    CLEANUP(mem_freep)
    char *help =
        string_format("take the reference out of %s, or destroy it, and apply that first", user);
    diagnostics_add(diagnostics, DIAGNOSTIC_IN_USE, (struct position){0}, help,
                    "%s reads %s of %s, and this plan removes %s.", user, what, plan->deployment,
                    step->address);
}

/* Address -> step of what a plan takes away: a replacement and an old generation take nothing. */
static void list_removals(const struct plan *plan, struct map *removals)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind == STEP_DELETE && !step->replaces && step->reason != STEP_REASON_DEPOSED)
            map_put(removals, step->address, step);
    }
}

/* A key of values begins with the address: "web.port", "web[\"a.b\"].port" or just "web". */
static const struct step *find_removal(const struct map *removals, const char *what)
{
    const struct step *step = map_get(removals, what);
    for (const char *dot = strchr(what, '.'); dot && !step; dot = strchr(dot + 1, '.'))
        step = map_get_n(removals, what, (size_t)(dot - what));
    return step;
}

static void check_reads(const struct plan *plan, const struct map *removals,
                        const struct value *reads, const char *user,
                        struct diagnostics *diagnostics)
{
    for (size_t i = 0; reads && i < value_count(reads); i++) {
        const struct value *read = value_at(reads, i);
        const struct value *values = value_get(read, "values");
        const char *uid = value_get_text(read, "uid");
        if (!values || !text_equal_or_null(uid, plan->deployment_uid))
            continue;
        for (size_t k = 0; k < value_count(values); k++) {
            const char *what = value_key_at(values, k);
            const struct step *step = find_removal(removals, what);
            if (step)
                tell_use(plan, step, user, what, diagnostics);
        }
    }
}

int reads_check_users(struct service *service, const struct plan *plan,
                      struct diagnostics *diagnostics, struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    struct map removals = {0};
    list_removals(plan, &removals);
    if (removals.n_live == 0) {
        map_done(&removals);
        return 0;
    }
    int r = store_list_deployments(service->store, &deployments, &n, err);
    for (size_t i = 0; i < n; i++) {
        const struct store_deployment *other = &deployments[i];
        CLEANUP(value_unrefp) struct value *revision = NULL;
        bool is_other = !text_equal(other->uid, plan->deployment_uid) && !other->is_destroyed &&
                        other->head_revision > 0;
        if (r == 0 && is_other)
            r = store_get_revision(service->store, other->uid, 0, &revision, err);
        if (r == 0 && revision) {
            CLEANUP(mem_freep) char *user = key_of(other);
            check_reads(plan, &removals, value_get(revision, "reads"), user, diagnostics);
        }
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    map_done(&removals);
    return r;
}
