/* Where time becomes a decision of a plan: what has expired is not wanted any more. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "document/document.h"
#include "service/service.h"

#include <string.h>

/* 2027-01-31 begins with its day, in UTC; so do the bytes of the times that it is compared with. */
static bool is_over(const struct resource *resource, const char *now)
{
    const char *expires = resource->lifecycle.expires;
    return expires && !resource->existing && strcmp(expires, now) <= 0;
}

static void tell_need(const struct resource *resource, const char *needed, const char *expires,
                      struct diagnostics *diagnostics)
{
    CLEANUP(mem_freep)
    char *help = string_format("Take the reference out of \"%s\", or let \"%s\" expire later.",
                               resource->address, needed);
    diagnostics_add(diagnostics, DIAGNOSTIC_EXPIRED, resource->position, help,
                    "\"%s\" needs \"%s\", which has expired on %s and is to go.", resource->address,
                    needed, expires);
}

/* All instances of a counted resource expire together: its bare name is theirs. */
static void check_needs(const struct wanted *wanted, const struct map *expired,
                        struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < wanted->n_items; i++) {
        const struct resource *resource = &wanted->items[i];
        if (map_has(expired, resource->address))
            continue;
        for (size_t k = 0; k < resource->depends_on.n_items; k++) {
            const char *needed = resource->depends_on.items[k];
            const char *expires = map_get(expired, needed);
            if (expires)
                tell_need(resource, needed, expires, diagnostics);
        }
    }
}

static void check_outputs(const struct loaded_document *loaded, const struct map *expired,
                          struct diagnostics *diagnostics)
{
    const struct string_list *needed = &loaded->wanted.outputs_need;
    for (size_t i = 0; i < needed->n_items; i++) {
        const char *expires = map_get(expired, needed->items[i]);
        if (expires)
            diagnostics_add(diagnostics, DIAGNOSTIC_EXPIRED,
                            document_outputs_position(loaded->document),
                            "Take the output out, or let the resource expire later.",
                            "An output needs \"%s\", which has expired on %s and is to go.",
                            needed->items[i], expires);
    }
}

int service_drop_expired(struct loaded_document *loaded, struct map *expired,
                         struct diagnostics *diagnostics, struct error *err)
{
    struct wanted *wanted = &loaded->wanted;
    char now[WORLD_TIME_SIZE];
    world_format_time(world_wall_clock(), now);
    bool *is_kept = NEW_ARRAY(bool, wanted->n_items + 1);
    for (size_t i = 0; i < wanted->n_items; i++) {
        const struct resource *resource = &wanted->items[i];
        is_kept[i] = !is_over(resource, now);
        if (is_kept[i])
            continue;
        map_put(expired, resource->address, resource->lifecycle.expires);
        map_put(expired, resource->name, resource->lifecycle.expires);
    }
    if (expired->n_live > 0)
        check_needs(wanted, expired, diagnostics);
    if (expired->n_live > 0)
        check_outputs(loaded, expired, diagnostics);
    wanted_keep(wanted, is_kept);
    mem_free(is_kept);
    if (diagnostics_has_errors(diagnostics))
        return error_set(err, ERROR_INVALID, "the document needs what has expired");
    return 0;
}
