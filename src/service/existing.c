/* What a document says exists already: found among what other deployments made here, never
 * invented. */
#include "base/memory.h"
#include "base/text.h"
#include "service/reads.h"
#include "service/service.h"

/* Whether every field that is asked for is there with that value, maps inside maps included. */
static bool fits(const struct value *asked, const struct value *there)
{
    if (!there)
        return false;
    if (value_kind(asked) != VALUE_MAP || value_kind(there) != VALUE_MAP)
        return value_equal(asked, there);
    for (size_t i = 0; i < value_count(asked); i++)
        if (!fits(value_at(asked, i), value_get(there, value_key_at(asked, i))))
            return false;
    return true;
}

/* One key of match: the record's name, its deployment's, or a property. */
static bool key_fits(const struct record *record, const char *deployment, const char *key,
                     const struct value *asked)
{
    bool is_text = value_kind(asked) == VALUE_STRING;
    if (text_equal(key, "deployment"))
        return is_text && text_equal(value_text(asked), deployment);
    if (text_equal(key, "name"))
        return is_text && text_equal(value_text(asked), record->address);
    return fits(asked, value_get(record->spec, key)) ||
           fits(asked, value_get(record->outputs, key));
}

static bool record_fits(const struct record *record, const char *deployment,
                        const struct resource *wanted)
{
    if (record->status == RECORD_DEPOSED || !text_equal(record->type, wanted->type) ||
        !text_equal(record->instance, wanted->instance))
        return false;
    for (size_t i = 0; wanted->match && i < value_count(wanted->match); i++)
        if (!key_fits(record, deployment, value_key_at(wanted->match, i),
                      value_at(wanted->match, i)))
            return false;
    return true;
}

static struct value *describe(const struct record *record)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "uid", record->uid);
    value_builder_set(&fields, "spec", value_ref(record->spec));
    value_builder_set(&fields, "outputs", value_ref(record->outputs));
    return value_builder_map(&fields);
}

/* Everything that other deployments of this store have. */
struct candidates {
    struct store_deployment *deployments; /* owned */
    struct records *records;              /* owned; one for each deployment */
    size_t n;
};

static void candidates_done(struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->n; i++) {
        store_deployment_done(&candidates->deployments[i]);
        records_done(&candidates->records[i]);
    }
    mem_free(candidates->deployments);
    mem_free(candidates->records);
}

static int load_candidates(struct service *service, const char *own_uid,
                           struct candidates *candidates, struct error *err)
{
    int r = store_list_deployments(service->store, &candidates->deployments, &candidates->n, err);
    if (r < 0)
        return r;
    candidates->records = NEW_ARRAY(struct records, candidates->n);
    for (size_t i = 0; i < candidates->n && r == 0; i++)
        if (!text_equal(candidates->deployments[i].uid, own_uid))
            r = store_load_records(service->store, candidates->deployments[i].uid,
                                   &candidates->records[i], err);
    return r;
}

static void match_one(const struct candidates *candidates, struct resource *wanted,
                      struct value **reads, struct diagnostics *diagnostics)
{
    struct strbuf names = {0};
    size_t n_found = 0;
    CLEANUP(value_unrefp) struct value *read = NULL;
    for (size_t i = 0; i < candidates->n; i++) {
        const char *deployment = candidates->deployments[i].name;
        for (size_t k = 0; k < candidates->records[i].n_items; k++) {
            const struct record *record = candidates->records[i].items[k];
            if (!record_fits(record, deployment, wanted))
                continue;
            strbuf_addf(&names, "%s%s of %s", n_found++ ? ", " : "", record->address, deployment);
            value_unref(wanted->found);
            wanted->found = describe(record);
            value_unref(read);
            read = reads_with_resource(*reads, &candidates->deployments[i], record);
        }
    }
    if (n_found == 1) {
        value_unref(*reads);
        *reads = take_ptr(read);
    } else {
        value_unref(take_ptr(wanted->found));
        diagnostics_add(diagnostics, DIAGNOSTIC_EXISTING_UNMATCHED, wanted->position,
                        n_found ? "say more in match:, so that one is left"
                                : "make it with another deployment first, or correct match:",
                        "%s should exist already, and %zu resources of type %s on %s fit%s%s.",
                        wanted->address, n_found, wanted->type, wanted->instance,
                        n_found ? ": " : "", strbuf_text(&names));
    }
    strbuf_done(&names);
}

int service_find_existing(struct service *service, const char *own_uid, struct wanted *wanted,
                          struct value **reads, struct diagnostics *diagnostics, struct error *err)
{
    struct candidates candidates = {0};
    bool is_needed = false;
    for (size_t i = 0; i < wanted->n_items; i++)
        is_needed = is_needed || wanted->items[i].existing;
    if (!is_needed)
        return 0;
    int r = load_candidates(service, own_uid, &candidates, err);
    for (size_t i = 0; r == 0 && i < wanted->n_items; i++)
        if (wanted->items[i].existing)
            match_one(&candidates, &wanted->items[i], reads, diagnostics);
    candidates_done(&candidates);
    if (r == 0 && diagnostics_has_errors(diagnostics))
        return error_set(err, ERROR_INVALID, "what should exist already was not found");
    return r;
}
