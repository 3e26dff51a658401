/* What is there: what is recorded is read, many at a time, and listed where that needs less calls.
 */
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "service/instances.h"
#include "service/planning.h"
#include "service/questions.h"
#include "service/secrets.h"

/*
 * A list is asked for when it can spare that many reads at least, and for pages of that size. It is
 * given up once its pages are half as many as the reads would be: the system may have many more of
 * a type than we do.
 */
enum { FEWEST_LISTED = 8, PAGE_SIZE = 1000, TELL_US = 100000 };

/* One round of reading. */
struct observing {
    struct planning *planning; /* borrowed */
    struct questions questions;
    struct map listings; /* "INSTANCE TYPE" -> owned struct recorded_type */
    const bool *chosen;  /* borrowed, for each record; NULL: all */
};

/* What is recorded of one type at one instance. */
struct recorded_type {
    struct observing *observing; /* borrowed, as is what follows */
    const char *instance;
    const struct resource_type *type;
    struct provider *provider;
    size_t *records; /* owned: their indices */
    size_t n_records;
    size_t capacity;
    struct map open; /* provider id -> index + 1 of those that the list did not tell of yet */
};

/* --- One record --- */

/* Who waits is told how far it is, ten times a second at most. */
static void tell_reading(struct planning *planning)
{
    int64_t now = world_monotonic_clock();
    if (!planning->request->reading || now - planning->told_at < TELL_US)
        return;
    if (planning->told_at > 0)
        planning->request->reading(planning->request->trace_argument, planning->knowledge.n_read,
                                   planning->records.n_items);
    planning->told_at = now;
}

/* A thing that carries the uid of its record was made by us: the system is the one it is recorded
 * on, whatever it calls itself. An id alone may be of something else elsewhere. */
static void note_mark(struct planning *planning, const struct record *record,
                      const struct live *live)
{
    if (live->is_present && text_equal_or_null(live->marker, record->uid))
        map_put(&planning->marked, record->instance, planning);
}

static void note_seen(struct planning *planning, size_t index, struct live *take_live)
{
    struct service *service = planning->service;
    const struct record *record = planning->records.items[index];
    struct observation *seen = &planning->observations[index];
    struct live *live = take_live;
    note_mark(planning, record, live);
    *seen = (struct observation){
        .is_known = true,
        .is_present = live->is_present,
        .is_stopped = live->is_stopped,
        .spec = live->spec ? secrets_recognise(service, live->spec, record->spec) : NULL,
        .outputs =
            live->outputs ? secrets_recognise(service, live->outputs, record->outputs) : NULL,
        .provider_id = take_ptr(live->provider_id),
    };
    live_done(live);
    planning->knowledge.n_read++;
    planning_note_gone(planning, record, seen);
    tell_reading(planning);
}

static CO_FN int ask_read(struct questions *questions, void *argument, size_t index,
                          struct error *err)
{
    struct observing *observing = argument;
    struct planning *planning = observing->planning;
    const struct record *record = planning->records.items[index];
    struct provider *provider;
    struct target target;
    CLEANUP(value_unrefp) struct value *nothing = value_builder_map(&(struct value_builder){0});
    int r = service_find_provider(planning->service, record->instance, &provider, err);
    if (r == 0)
        r = service_find_target(planning->service, record, planning->deployment.name, nothing,
                                &target, err);
    if (r < 0)
        return r;
    struct call call = questions_call(questions);
    struct live live = {0};
    planning->knowledge.n_calls++;
    r = provider_read(provider, &call, &target, &live, err);
    if (r == -ERROR_UNAVAILABLE && record->status == RECORD_UNKNOWN) {
        error_done(err);
        return 0; /* nobody can tell still: the plan says what to do */
    }
    if (r < 0)
        return error_wrap(err, r, "read %s", record->address);
    note_seen(planning, index, &live);
    return 0;
}

static void add_read(struct observing *observing, size_t index)
{
    questions_add(&observing->questions, observing->planning->records.items[index]->instance,
                  ask_read, observing, index);
}

/* --- Many of a type --- */

/* Believes an item that tells as much as a read would, of the very thing that is recorded. */
static void take_item(struct recorded_type *listing, const struct value *item, bool is_stopped)
{
    struct planning *planning = listing->observing->planning;
    const char *id = value_get_text(item, "id");
    const char *marker = value_get_text(item, "marker");
    struct value *spec = value_get(item, "spec");
    struct value *outputs = value_get(item, "outputs");
    size_t place = id ? (size_t)map_get(&listing->open, id) : 0;
    bool is_whole =
        spec && value_kind(spec) == VALUE_MAP && outputs && value_kind(outputs) == VALUE_MAP;
    if (place == 0 || !is_whole ||
        (marker && !text_equal(marker, planning->records.items[place - 1]->uid)))
        return;
    map_remove(&listing->open, id);
    struct live live = {.is_present = true,
                        .is_stopped = is_stopped,
                        .spec = value_ref(spec),
                        .outputs = value_ref(outputs),
                        .marker = marker ? string_copy(marker) : NULL};
    note_seen(planning, place - 1, &live);
}

/* Follows the pages as long as that is less work than reads. What a list cannot tell, a read may,
 * so that a failure of it is none. */
static CO_FN int follow_pages(struct questions *questions, struct recorded_type *listing,
                              struct error *err)
{
    CLEANUP(mem_freep) char *cursor = NULL;
    for (size_t n_pages = 0; n_pages <= listing->n_records / 2; n_pages++) {
        struct listing asked = {.type = listing->type, .after = cursor, .limit = PAGE_SIZE};
        struct call call = questions_call(questions);
        struct page page = {0};
        struct error failure = {0};
        listing->observing->planning->knowledge.n_calls++;
        int r = provider_list(listing->provider, &call, &asked, &page, &failure);
        if (r == -ERROR_CANCELLED)
            return error_move(err, &failure);
        for (size_t i = 0; r == 0 && i < value_count(page.items); i++)
            take_item(listing, value_at(page.items, i), page.is_stopped);
        error_done(&failure);
        mem_free(cursor);
        cursor = take_ptr(page.next);
        page_done(&page);
        if (!cursor || listing->open.n_live < FEWEST_LISTED)
            break;
    }
    return 0;
}

/* What is not in the list is read: only that tells absent from not to be seen yet, or elsewhere. */
static CO_FN int ask_list(struct questions *questions, void *argument, size_t index,
                          struct error *err)
{
    struct recorded_type *listing = argument;
    struct planning *planning = listing->observing->planning;
    (void)index;
    for (size_t i = 0; i < listing->n_records; i++) {
        const char *id = planning->records.items[listing->records[i]]->provider_id;
        if (map_has(&listing->open, id))
            add_read(listing->observing, listing->records[i]);
        else
            map_put(&listing->open, id, (void *)(listing->records[i] + 1));
    }
    int r = follow_pages(questions, listing, err);
    size_t cursor = 0;
    const struct map_entry *entry;
    while (r == 0 && (entry = map_next(&listing->open, &cursor)))
        add_read(listing->observing, (size_t)entry->value - 1);
    map_done(&listing->open);
    return r;
}

static void add_to_list(struct observing *observing, size_t index, struct provider *provider,
                        const struct resource_type *type)
{
    const struct record *record = observing->planning->records.items[index];
    CLEANUP(mem_freep) char *key = string_format("%s %s", record->instance, record->type);
    struct recorded_type *listing = map_get(&observing->listings, key);
    if (!listing) {
        listing = NEW(struct recorded_type);
        listing->observing = observing;
        listing->instance = record->instance;
        listing->type = type;
        listing->provider = provider;
        map_put(&observing->listings, key, listing);
    }
    ARRAY_RESERVE(listing->records, listing->n_records, listing->capacity);
    listing->records[listing->n_records++] = index;
}

/* Lists are asked for first: they take longest. */
static void add_listings(struct observing *observing)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&observing->listings, &cursor))) {
        struct recorded_type *listing = entry->value;
        if (listing->n_records >= FEWEST_LISTED)
            questions_add(&observing->questions, listing->instance, ask_list, listing, 0);
        for (size_t i = 0; listing->n_records < FEWEST_LISTED && i < listing->n_records; i++)
            add_read(observing, listing->records[i]);
    }
}

static void free_listings(struct observing *observing)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&observing->listings, &cursor))) {
        mem_free(((struct recorded_type *)entry->value)->records);
        mem_free(entry->value);
    }
    map_done(&observing->listings);
}

/* --- All of them --- */

/* Adds what there is to ask about a record. */
static int add_record(struct observing *observing, size_t index, struct error *err)
{
    struct planning *planning = observing->planning;
    const struct record *record = planning->records.items[index];
    struct provider *provider;
    const struct resource_type *type;
    int r = service_find_provider(planning->service, record->instance, &provider, err);
    if (r < 0 || provider_is_internal(provider))
        return r;
    r = service_find_type(planning->service, record->type, record->address, &type, err);
    if (r == 0 && provider_has_list(provider) && record->provider_id)
        add_to_list(observing, index, provider, type);
    else if (r == 0)
        add_read(observing, index);
    return r;
}

/* Those on instances that are configured by resources, or the others. */
static int observe_those(struct planning *planning, const bool *chosen, bool has_roots,
                         struct error *err)
{
    struct observing observing = {.planning = planning, .chosen = chosen};
    int r = 0;
    observing.questions.service = planning->service;
    for (size_t i = 0; r == 0 && i < planning->records.n_items; i++) {
        const struct record *record = planning->records.items[i];
        struct observation *seen = &planning->observations[i];
        if ((chosen && !chosen[i]) || seen->is_known ||
            instances_has_roots(planning->service, record->instance) != has_roots)
            continue;
        if (has_roots && planning_is_gone_with_root(planning, record))
            *seen = (struct observation){.is_known = true};
        else
            r = add_record(&observing, i, err);
    }
    if (r == 0) {
        add_listings(&observing);
        r = questions_ask(&observing.questions, err);
    }
    questions_done(&observing.questions);
    free_listings(&observing);
    return r;
}

/* How much of one instance was read and found gone. */
struct tally {
    size_t n_read, n_gone, n_left;
    const char *was; /* who it was when something was last changed there; NULL: who it is now */
    const char *is;
    bool is_marked; /* something that was read carries our mark */
};

/* Of one that nothing was changed on since this is kept nothing follows either. */
const char *planning_former_account(const struct planning *planning, const char *instance)
{
    const char *was = value_get_text(planning->deployment.accounts, instance);
    const char *is = value_get_text(planning->identities, instance);
    return was && is && !text_equal(was, is) ? was : NULL;
}

static void count_gone(const struct planning *planning, const bool *chosen, struct map *tallies)
{
    for (size_t i = 0; i < planning->records.n_items; i++) {
        const char *instance = planning->records.items[i]->instance;
        struct tally *tally = map_get(tallies, instance);
        if (!tally) {
            tally = NEW(struct tally);
            tally->was = planning_former_account(planning, instance);
            tally->is = value_get_text(planning->identities, instance);
            tally->is_marked = map_has(&planning->marked, instance);
            map_put(tallies, instance, tally);
        }
        if (chosen && !chosen[i])
            tally->n_left++;
        if (!planning->observations[i].is_known ||
            planning_is_gone_with_root(planning, planning->records.items[i]))
            continue;
        tally->n_read++;
        tally->n_gone += !planning->observations[i].is_present;
    }
}

/* Whether it says that it is another, and nothing that was found there tells that it is the same:
 * an id may have a namesake in any account. */
static bool may_be_another(const struct tally *tally)
{
    return tally->was && !tally->is_marked;
}

/* Chooses all of an instance of which nothing was found that was looked for: whether all of it is
 * gone must be known, and whether anything there is ours. Returns whether there is any. */
static bool choose_suspected(const struct planning *planning, bool *chosen,
                             const struct map *tallies)
{
    bool is_any = false;
    for (size_t i = 0; i < planning->records.n_items; i++) {
        const struct tally *tally = map_get(tallies, planning->records.items[i]->instance);
        bool is_missed = tally->n_gone > 0 && (tally->n_gone == tally->n_read || tally->was);
        bool is_suspected = tally->n_left > 0 && (is_missed || may_be_another(tally));
        chosen[i] = chosen[i] || is_suspected;
        is_any = is_any || is_suspected;
    }
    return is_any;
}

#define WAYS_ON                                                                                   \
    "Lead it back there, by the site or its credentials; or \"parley forget\" what stays there; " \
    "or, where it is the same system, plan with --refresh=none to go by the records"

/* Where an instance says that it is another, one thing that is gone is enough to stop at, and so is
 * that nothing there is known to be ours. */
static int check_account(const char *instance, const struct tally *tally, struct error *err)
{
    if (tally->was && tally->n_gone > 0)
        return error_set(
            err, ERROR_CONFLICT,
            "%s is %s now, and was %s when something was last changed there: %zu of its %zu "
            "recorded resources are not there, so nothing is planned. " WAYS_ON,
            instance, tally->is, tally->was, tally->n_gone, tally->n_read);
    if (tally->n_read > 0 && may_be_another(tally))
        return error_set(
            err, ERROR_CONFLICT,
            "%s is %s now, and was %s when something was last changed there: nothing of what has "
            "the ids of its %zu recorded resources carries our mark, so that all of it may be "
            "somebody else's, and nothing is planned. " WAYS_ON,
            instance, tally->is, tally->was, tally->n_read);
    return 0;
}

/* All of an instance's records gone at once means another or an empty system, never a plan to make
 * everything again. */
static int check_not_all_gone(const struct map *tallies, struct error *err)
{
    size_t cursor = 0;
    const struct map_entry *entry;
    while ((entry = map_next(tallies, &cursor))) {
        const struct tally *tally = entry->value;
        int r = tally->n_left == 0 ? check_account(entry->key, tally, err) : 0;
        if (r < 0)
            return r;
        if (tally->n_left == 0 && tally->n_read > 1 && tally->n_gone == tally->n_read)
            return error_set(
                err, ERROR_CONFLICT,
                "%s: none of the %zu recorded resources is there any more: this looks like another "
                "or an emptied system, so nothing is planned; plan with --refresh=none to go by the "
                "records",
                entry->key, tally->n_read);
    }
    return 0;
}

int planning_observe(struct planning *planning, bool *chosen, struct error *err)
{
    bool goes_on = true;
    int r = 0;
    if (!planning->observations)
        planning->observations = NEW_ARRAY(struct observation, planning->records.n_items);
    while (r == 0 && goes_on) {
        struct map tallies = {0};
        /* First what may configure instances. */
        r = observe_those(planning, chosen, false, err);
        if (r == 0)
            r = observe_those(planning, chosen, true, err);
        count_gone(planning, chosen, &tallies);
        goes_on = chosen && choose_suspected(planning, chosen, &tallies);
        if (r == 0 && !goes_on)
            r = check_not_all_gone(&tallies, err);
        size_t cursor = 0;
        struct map_entry *entry;
        while ((entry = map_next(&tallies, &cursor)))
            mem_free(entry->value);
        map_done(&tallies);
    }
    return r;
}
