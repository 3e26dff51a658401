#include "sim/estate.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "sim/story.h"

#include <string.h>

static struct {
    struct map asked;    /* "ADDRESS ID" */
    struct map approved; /* "INSTANCE ID" of what a plan was to adopt, and with the uid behind it */
    struct map steps;    /* "PLAN STEP" -> owned "INSTANCE ID" that it adopts */
    struct map taken;    /* "INSTANCE ID" of what was durably adopted and not let go since */
    struct map let_go;   /* "INSTANCE ID" of what a plan was to forget */
    struct map deposed;  /* those of them that something newer was forgotten with */
} estate;

static void free_texts(struct map *map)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(map, &cursor)))
        mem_free(entry->value);
    map_done(map);
}

void estate_begin(void)
{
    memset(&estate, 0, sizeof(estate));
}

void estate_done(void)
{
    map_done(&estate.asked);
    map_done(&estate.approved);
    free_texts(&estate.steps);
    map_done(&estate.taken);
    map_done(&estate.let_go);
    map_done(&estate.deposed);
}

static void add(struct map *set, const char *key)
{
    map_put(set, key, &estate);
}

static char *pair(const char *first, const char *second)
{
    return string_format("%s %s", first, second ? second : "");
}

void estate_asked(const struct value *adopt)
{
    for (size_t i = 0; adopt && i < value_count(adopt); i++) {
        CLEANUP(mem_freep) char *key = pair(value_key_at(adopt, i), value_text(value_at(adopt, i)));
        add(&estate.asked, key);
    }
}

static struct object *find_namesake(const struct step *step)
{
    for (size_t i = 0; i < REMOTES; i++) {
        struct object *object = text_equal(remotes[i].instance, step->instance)
                                    ? remote_find_id(&remotes[i], step->provider_id)
                                    : NULL;
        if (object && object->is_namesake)
            return object;
    }
    return NULL;
}

static void plan_adoption(const struct plan *plan, const struct step *step, const char *thing)
{
    CLEANUP(mem_freep) char *asked = pair(step->address, step->provider_id);
    CLEANUP(mem_freep) char *place = pair(plan->hash, step->id);
    bool is_asked = map_has(&estate.asked, asked);
    if (!is_asked && !map_has(&estate.let_go, thing))
        sim_violation("%s would take over %s, and nobody has named that", step->id,
                      step->provider_id);
    CLEANUP(mem_freep) char *as = pair(thing, step->uid);
    struct object *namesake = find_namesake(step);
    /* Who names an id means what has it, wherever the instance leads by now. */
    if (namesake && is_asked)
        namesake->is_namesake = false;
    else if (namesake)
        sim_violation("%s would take over %s, a namesake in another account", step->id,
                      step->provider_id);
    add(&estate.approved, thing);
    add(&estate.approved, as);
    mem_free(map_put(&estate.steps, place, string_copy(thing)));
}

static bool has_newer(const struct plan *plan, const struct step *step)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == step->kind &&
            text_equal(plan->steps[i].address, step->address) &&
            plan->steps[i].generation > step->generation)
            return true;
    return false;
}

void estate_planned(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        CLEANUP(mem_freep) char *thing = pair(step->instance, step->provider_id);
        if (step->kind == STEP_ADOPT)
            plan_adoption(plan, step, thing);
        if (step->kind == STEP_FORGET)
            add(&estate.let_go, thing);
        if (step->kind == STEP_FORGET && has_newer(plan, step))
            add(&estate.deposed, thing);
        if (step->kind == STEP_FORGET || step->kind == STEP_DELETE)
            map_remove(&estate.taken, thing);
    }
}

void estate_step_is_done(const char *plan_hash, const char *step_id)
{
    CLEANUP(mem_freep) char *place = pair(plan_hash, step_id);
    const char *thing = map_get(&estate.steps, place);
    if (thing)
        add(&estate.taken, thing);
}

bool estate_may_touch(const struct remote *remote, const struct object *object, const char *uid)
{
    CLEANUP(mem_freep) char *thing = pair(remote->instance, object->id);
    CLEANUP(mem_freep) char *as = pair(thing, uid);
    return map_has(&estate.approved, uid ? as : thing);
}

bool estate_was_adopted(const struct remote *remote, const struct object *object)
{
    return estate_may_touch(remote, object, NULL);
}

bool estate_was_let_go(const struct remote *remote, const struct object *object)
{
    CLEANUP(mem_freep) char *thing = pair(remote->instance, object->id);
    return map_has(&estate.let_go, thing);
}

void estate_check_unknown(const struct remote *remote, const struct object *object)
{
    CLEANUP(mem_freep) char *thing = pair(remote->instance, object->id);
    bool was_let_go = estate_was_let_go(remote, object);
    /* Of what carries no mark nobody can tell whether it was let go in this account. */
    bool had_another = remote->was_mistaken || remote->former;
    if (was_let_go && object->is_strange && had_another)
        return;
    if (was_let_go && !map_has(&estate.deposed, thing) && story_wants(object->address, remote))
        sim_violation("%s (%s) was let go and is wanted, and is another thing now", object->address,
                      object->id);
    else if (map_has(&estate.taken, thing))
        sim_violation("%s (%s) was taken over and nobody knows of it", object->address, object->id);
    else if (!object->is_strange && !was_let_go)
        sim_violation("%s (%s) is at %s and nobody knows of it", object->address, object->id,
                      remote->name);
}
