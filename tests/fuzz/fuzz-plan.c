/*
 * Any JSON read as a saved plan: refused with a reason, or a plan whose own value reads back with
 * the same hash. A wrong hash would hide everything behind it, so the content is also read without
 * asking for it.
 */
#include "fuzz/fuzz.h"
#include "model/json.h"
#include "model/plan.h"

#include <string.h>

static void read_back(const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *saved = plan_to_value(plan);
    CLEANUP(mem_freep) char *text = json_text(saved);
    CLEANUP(value_unrefp) struct value *again = NULL;
    CLEANUP(plan_freep) struct plan *same = NULL;
    MUST(json_read(text, strlen(text), &again, NULL) == 0);
    MUST(plan_from_value(again, &same, NULL) == 0);
    MUST(strcmp(plan->hash, same->hash) == 0);
    (void)plan_critical_seconds(plan);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].after)
            MUST(step_check_refinement(&plan->steps[i], plan->steps[i].after, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *value = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    if (json_read((const char *)text, size, &value, NULL) < 0)
        return 0;
    if (plan_from_value(value, &plan, &err) == 0) {
        read_back(plan);
    } else {
        MUST(plan == NULL && err.code != ERROR_NONE && err.message);
        error_done(&err);
    }
    CLEANUP(plan_freep) struct plan *unchecked = NULL;
    if (plan_read_unsealed(value, &unchecked, NULL) == 0)
        read_back(unchecked);
    return 0;
}
