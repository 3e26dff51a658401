/* The document as patterns see it: what is declared, by type, with its properties as they are now.
 */
#pragma once

#include "base/map.h"
#include "catalog/catalog.h"
#include "document/declaration.h"
#include "model/diagnostic.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

#define NO_ACTOR ((size_t)-1)

/* A declaration of a known type. */
struct actor {
    struct declaration *declaration; /* borrowed from the document */
    const char *name;                /* borrowed from the document */
    const struct resource_type *type;
    struct value *given; /* owned: the properties as they were given; NULL until somebody asks */
    struct value *spec;  /* owned: the same, canonical */
};

struct actor_list {
    size_t *items; /* owned: indices of actors, in the document's order, added ones last */
    size_t n_items;
    size_t capacity;
};

struct scene {
    struct document *document;       /* borrowed */
    const struct catalog *catalog;   /* borrowed */
    struct diagnostics *diagnostics; /* borrowed */
    struct actor *actors;            /* owned */
    size_t n_actors;
    size_t capacity;
    struct map by_type; /* canonical name -> owned struct actor_list */
    struct map by_name; /* name -> index of the actor plus one, as a pointer */
};

void scene_init(struct scene *scene, struct document *document, const struct catalog *catalog,
                struct diagnostics *diagnostics);
void scene_done(struct scene *scene);

/* Takes note of a declaration, also of one that was added later. */
void scene_add(struct scene *scene, struct declaration *declaration);
/* Forgets the properties of an actor, since some were filled. */
void scene_forget(struct scene *scene, size_t actor);

/* NO_ACTOR when there is none. name may be an address: its key is left out. */
size_t scene_find(const struct scene *scene, const char *name);
/* Those of a type, by any of its names; an empty list when there is none. Borrowed. */
const struct actor_list *scene_list(const struct scene *scene, const char *type);
bool scene_is_of_type(const struct scene *scene, size_t actor, const char *type);

/* The canonical properties of an actor, and as they were given. Borrowed until it is forgotten. */
struct value *scene_spec(struct scene *scene, size_t actor);
struct value *scene_given(struct scene *scene, size_t actor);

/* Whether a reference, or a list of them, names the resource; keys in addresses do not count. */
bool reference_names(const struct value *value, const char *name);
