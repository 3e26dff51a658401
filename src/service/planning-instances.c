#include "base/memory.h"
#include "base/text.h"
#include "service/instances.h"
#include "service/planning.h"

#include <string.h>

static void check_root(const struct planning *planning, const struct resource *user,
                       const char *root, struct diagnostics *diagnostics)
{
    const struct wanted *wanted = &planning->loaded.wanted;
    const struct resource *found = NULL;
    for (size_t i = 0; i < wanted->n_items && !found; i++)
        if (text_equal(wanted->items[i].name, root))
            found = &wanted->items[i];
    if (!found)
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_REFERENCE, user->position,
                        "add it to the document, or correct the site",
                        "%s is on %s, which the site configures by \"%s\", and the document has no "
                        "such resource.",
                        user->address, user->instance, root);
    else if (found->lifecycle.create_before_destroy)
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, found->position,
                        "take createBeforeDestroy out",
                        "%s configures %s, so that its old and its new generation cannot be there "
                        "at the same time.",
                        found->address, user->instance);
}

/* What is on such an instance comes after what configures it. */
static int add_roots(struct planning *planning, struct resource *user,
                     struct diagnostics *diagnostics, struct error *err)
{
    struct string_list *roots = map_get(&planning->roots, user->instance);
    if (!instances_has_roots(planning->service, user->instance))
        return 0;
    if (!roots) {
        roots = NEW(struct string_list);
        map_put(&planning->roots, user->instance, roots);
        int r = instances_list_roots(planning->service, user->instance, roots, err);
        for (size_t i = 0; r == 0 && i < roots->n_items; i++)
            check_root(planning, user, roots->items[i], diagnostics);
        if (r == 0)
            r = instances_configure_from(planning->service, user->instance, &planning->records,
                                         err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < roots->n_items; i++) {
        if (!string_list_has(&user->depends_on, roots->items[i]))
            string_list_add(&user->depends_on, roots->items[i]);
    }
    return 0;
}

int planning_configure_instances(struct planning *planning, struct diagnostics *diagnostics,
                                 struct error *err)
{
    struct wanted *wanted = &planning->loaded.wanted;
    int r = instances_configure_all(planning->service, &planning->records, err);
    for (size_t i = 0; r == 0 && i < wanted->n_items; i++)
        r = add_roots(planning, &wanted->items[i], diagnostics, err);
    if (r == 0 && diagnostics_has_errors(diagnostics))
        r = error_set(err, ERROR_INVALID, "an instance cannot be configured");
    return r;
}

static void forget_identity(struct plan *plan, const char *instance)
{
    CLEANUP(mem_freep) char *origin = string_format("identity of %s", instance);
    struct value *identities =
        value_with(plan->identities, instance, value_unknown("string", origin));
    value_unref(plan->identities);
    plan->identities = identities;
}

void planning_forget_identities(const struct planning *planning, struct plan *plan)
{
    size_t cursor = 0;
    bool is_changed = false;
    struct map_entry *entry;
    while ((entry = map_next(&planning->roots, &cursor))) {
        const struct string_list *roots = entry->value;
        bool is_new = !instances_is_ready(planning->service, entry->key);
        for (size_t i = 0; i < plan->n_steps; i++) {
            CLEANUP(mem_freep)
            char *name =
                string_copy_n(plan->steps[i].address, strcspn(plan->steps[i].address, "["));
            is_new = is_new || (plan->steps[i].kind == STEP_CREATE && string_list_has(roots, name));
        }
        if (is_new)
            forget_identity(plan, entry->key);
        is_changed = is_changed || is_new;
    }
    if (is_changed)
        plan_seal(plan);
}

bool planning_knows_system(const struct plan *plan, const char *instance)
{
    const struct value *identity = value_get(plan->identities, instance);
    return !identity || value_kind(identity) == VALUE_STRING;
}

bool planning_is_gone_with_root(const struct planning *planning, const struct record *record)
{
    struct string_list roots = {0};
    bool is_gone = false;
    (void)instances_list_roots(planning->service, record->instance, &roots, NULL);
    for (size_t i = 0; i < roots.n_items; i++)
        is_gone = is_gone || map_has(&planning->gone, roots.items[i]);
    string_list_done(&roots);
    return is_gone;
}

void planning_note_gone(struct planning *planning, const struct record *record,
                        const struct observation *seen)
{
    CLEANUP(mem_freep)
    char *name = string_copy_n(record->address, strcspn(record->address, "["));
    if (seen->is_known && !seen->is_present && record->status != RECORD_DEPOSED)
        map_put(&planning->gone, name, NULL);
}
