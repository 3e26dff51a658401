/* What went wrong, by resource. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Zero-initialise it. */
struct problems {
    struct problem *items; /* owned */
    size_t n_items, capacity;
};

struct problem {
    char *resource; /* owned: uid */
    struct error err;
};

void problems_done(struct problems *problems);
/* err is emptied. A later problem of the same resource is dropped. */
void problems_add(struct problems *problems, const char *resource, struct error *take_err);
/* NULL when all is well with that resource. */
const struct error *problems_find(const struct problems *problems, const char *resource);
