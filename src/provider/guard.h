/* What comes back from a driver, without the texts of secrets. Private to the room. */
#pragma once

#include "provider/provider.h"

/* What the catalog calls secret becomes its digest, or is left out when nobody can make one; a text
 * elsewhere that holds a known secret becomes one, too. */
void guard_live(const struct call *call, const struct resource_type *type, struct live *live);
/* The same of a spec, which may be NULL; and so may be type, here and below. */
void guard_spec(const struct call *call, const struct resource_type *type, struct value **spec);
/* The same of all items of a page. */
void guard_page(const struct call *call, const struct resource_type *type, struct page *page);
void guard_outcome(const struct call *call, const struct resource_type *type,
                   struct outcome *outcome);
/* err may be NULL. Returns r. */
int guard_error(const struct call *call, int r, struct error *err);
/* Texts for people. value may be NULL. */
void guard_texts(const struct call *call, struct value **value);
