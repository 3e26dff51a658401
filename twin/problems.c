/* What went wrong, by resource. */
#include "twin/problems.h"

#include "base/memory.h"
#include "base/text.h"

void problems_done(struct problems *problems)
{
    for (size_t i = 0; i < problems->n_items; i++) {
        mem_free(problems->items[i].resource);
        error_done(&problems->items[i].err);
    }
    mem_free(problems->items);
    *problems = (struct problems){0};
}

void problems_add(struct problems *problems, const char *resource, struct error *take_err)
{
    if (problems_find(problems, resource)) {
        error_done(take_err);
        return;
    }
    ARRAY_RESERVE(problems->items, problems->n_items, problems->capacity);
    struct problem *problem = &problems->items[problems->n_items++];
    *problem = (struct problem){.resource = string_copy(resource)};
    error_move(&problem->err, take_err);
}

const struct error *problems_find(const struct problems *problems, const char *resource)
{
    for (size_t i = 0; i < problems->n_items; i++) {
        if (text_equal(problems->items[i].resource, resource))
            return &problems->items[i].err;
    }
    return NULL;
}
