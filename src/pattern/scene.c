#include "pattern/scene.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdint.h>
#include <string.h>

static const struct actor_list nobody;

void scene_init(struct scene *scene, struct document *document, const struct catalog *catalog,
                struct diagnostics *diagnostics)
{
    *scene = (struct scene){.document = document, .catalog = catalog, .diagnostics = diagnostics};
    for (size_t i = 0; i < document_count(document); i++)
        scene_add(scene, document_at(document, i));
}

void scene_done(struct scene *scene)
{
    size_t cursor = 0;
    for (struct map_entry *entry = map_next(&scene->by_type, &cursor); entry;
         entry = map_next(&scene->by_type, &cursor)) {
        struct actor_list *list = entry->value;
        mem_free(list->items);
        mem_free(list);
    }
    for (size_t i = 0; i < scene->n_actors; i++)
        scene_forget(scene, i);
    mem_free(scene->actors);
    map_done(&scene->by_type);
    map_done(&scene->by_name);
    *scene = (struct scene){0};
}

void scene_add(struct scene *scene, struct declaration *declaration)
{
    const struct resource_type *type = catalog_find(scene->catalog, declaration_type(declaration));
    const char *name = declaration_name(declaration);
    if (!type || !*name || map_has(&scene->by_name, name))
        return;
    size_t index = scene->n_actors;
    ARRAY_RESERVE(scene->actors, scene->n_actors, scene->capacity);
    scene->actors[scene->n_actors++] =
        (struct actor){.declaration = declaration, .name = name, .type = type};
    map_put(&scene->by_name, name, (void *)(uintptr_t)(index + 1));
    struct actor_list *list = map_get(&scene->by_type, type->name);
    if (!list) {
        list = NEW(struct actor_list);
        map_put(&scene->by_type, type->name, list);
    }
    ARRAY_RESERVE(list->items, list->n_items, list->capacity);
    list->items[list->n_items++] = index;
}

void scene_forget(struct scene *scene, size_t actor)
{
    value_unref(take_ptr(scene->actors[actor].given));
    value_unref(take_ptr(scene->actors[actor].spec));
}

/* The length of a reference without the key of a counted resource. */
static size_t name_length(const char *reference)
{
    return strcspn(reference, "[");
}

size_t scene_find(const struct scene *scene, const char *name)
{
    uintptr_t index = (uintptr_t)map_get_n(&scene->by_name, name, name_length(name));
    return index ? (size_t)index - 1 : NO_ACTOR;
}

const struct actor_list *scene_list(const struct scene *scene, const char *type)
{
    const struct resource_type *known = catalog_find(scene->catalog, type);
    const struct actor_list *list = known ? map_get(&scene->by_type, known->name) : NULL;
    return list ? list : &nobody;
}

bool scene_is_of_type(const struct scene *scene, size_t actor, const char *type)
{
    return scene->actors[actor].type == catalog_find(scene->catalog, type);
}

static void look_at(struct scene *scene, struct actor *actor)
{
    if (actor->given)
        return;
    actor->given = declaration_properties(scene->document, actor->declaration);
    actor->spec = type_check(actor->type, actor->given, NULL, NULL);
}

struct value *scene_spec(struct scene *scene, size_t actor)
{
    look_at(scene, &scene->actors[actor]);
    return scene->actors[actor].spec;
}

struct value *scene_given(struct scene *scene, size_t actor)
{
    look_at(scene, &scene->actors[actor]);
    return scene->actors[actor].given;
}

bool reference_names(const struct value *value, const char *name)
{
    if (!value)
        return false;
    if (value_kind(value) == VALUE_STRING) {
        const char *text = value_text(value);
        size_t length = name_length(text);
        return strlen(name) == length && strncmp(text, name, length) == 0;
    }
    if (value_kind(value) != VALUE_LIST && value_kind(value) != VALUE_SET)
        return false;
    for (size_t i = 0; i < value_count(value); i++)
        if (reference_names(value_at(value, i), name))
            return true;
    return false;
}
