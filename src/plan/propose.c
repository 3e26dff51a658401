/* What a system says beforehand that it will make of a step. */
#include "plan/plan.h"

#include "plan/compare.h"

/* Whether a path leads to something that is not known yet, or through it. */
static bool is_unknown_at(const struct value *after, const char *path)
{
    const struct value *asked = value_at_path((struct value *)after, path);
    return asked && value_has_unknown(asked);
}

void plan_note_proposal(const struct catalog *catalog, struct step *step, struct value *proposed)
{
    const struct resource_type *type = catalog_find(catalog, step->type);
    struct string_list paths = {0};
    struct value_builder fields = {0};
    if (!type || !step->after)
        return;
    CLEANUP(value_unrefp) struct value *shown = type_managed_part(type, proposed, proposed);
    CLEANUP(value_unrefp) struct value *asked = type_managed_part(type, step->after, step->after);
    compare_specs(type, asked, shown, &paths);
    for (size_t i = 0; i < paths.n_items; i++) {
        struct value *value = value_at_path(shown, paths.items[i]);
        if (!is_unknown_at(asked, paths.items[i]))
            value_builder_set(&fields, paths.items[i], value ? value_ref(value) : value_null());
    }
    string_list_done(&paths);
    value_unref(step->proposed);
    step->proposed = value_builder_map(&fields);
    if (value_count(step->proposed) == 0) {
        value_unref(step->proposed);
        step->proposed = NULL;
    }
}
