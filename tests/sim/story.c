#include "sim/story.h"

#include "base/memory.h"
#include "base/text.h"
#include "sim/canaries.h"
#include "sim/remote.h"

#include <stdlib.h>
#include <string.h>

/* The secret that an item has. */
enum pass { PASS_NONE, PASS_TOKEN, PASS_WITHIN, PASS_MADE, PASS_COUNT };

enum { MADE_LENGTH = 24 };

struct item {
    bool exists;
    bool was_there;
    unsigned int remote;
    int64_t size;
    int64_t colour;
    int lid;            /* the item it refers to; -1: none */
    int label;          /* the item whose output it holds; -1: none */
    bool is_made_first; /* createBeforeDestroy */
    unsigned int n_renames;
    bool is_renamed;   /* in this revision */
    bool is_unwritten; /* there is one, and people let the import write it in this revision */
    enum pass pass;
    char *old_id; /* owned: of the thing that it is to become; NULL: it is made */
};

static struct {
    struct item items[ITEMS_MAX];
    int n_items;
    unsigned int revision;
    unsigned int n_revisions;
    bool has_secrets;
    bool has_dry_runs;
    bool has_estate;
    bool has_lists;
    bool has_writers;
    bool has_repeaters;
    bool has_importers;
    bool is_in_hurry;
    unsigned int generation; /* of the secret that the program makes */
    const char *made;        /* that secret, as one resource has it; borrowed */
    const struct sim_options *options;
    struct sim_report *report;
} story;

static const char *const colours[] = {"red", "green", "blue", "white", "black"};

static struct random stream_of(int index, unsigned int revision)
{
    return random_stream(story.options->seed, "item", (uint64_t)index * 16 + revision);
}

void story_done(void)
{
    for (int i = 0; i < ITEMS_MAX; i++)
        mem_free(story.items[i].old_id);
    memset(&story, 0, sizeof(story));
}

void story_begin(const struct sim_options *options, struct sim_report *report)
{
    story_done();
    story.options = options;
    story.report = report;
    struct random random = random_stream(options->seed, "story", 0);
    story.n_items = (int)random_between(&random, 10, 34);
    story.n_revisions = (unsigned int)random_between(&random, 2, REVISIONS_MAX);
    random = random_stream(options->seed, "secrets", 0);
    story.has_secrets =
        random_chance(&random, 50) && !(options->without_items & UINT64_C(1) << PART_SECRETS);
    story.has_dry_runs =
        random_chance(&random, 30) && !(options->without_items & UINT64_C(1) << PART_DRY_RUNS);
    random = random_stream(options->seed, "estate", 0);
    story.has_estate =
        random_chance(&random, 35) && !(options->without_items & UINT64_C(1) << PART_ESTATE);
    random = random_stream(options->seed, "lists", 0);
    story.has_lists =
        random_chance(&random, 35) && !(options->without_items & UINT64_C(1) << PART_LISTS);
    random = random_stream(options->seed, "document", 0);
    story.has_writers =
        random_chance(&random, 35) && !(options->without_items & UINT64_C(1) << PART_WRITERS);
    random = random_stream(options->seed, "repeaters", 0);
    story.has_repeaters =
        random_chance(&random, 30) && !(options->without_items & UINT64_C(1) << PART_REPEATERS);
    random = random_stream(options->seed, "imports", 1);
    story.has_importers = story.has_estate && random_chance(&random, 60) &&
                          !(options->without_items & UINT64_C(1) << PART_IMPORTERS);
    random = random_stream(options->seed, "hurry", 0);
    story.is_in_hurry =
        random_chance(&random, 80) && !(options->without_items & UINT64_C(1) << PART_HURRY);
    if (story.is_in_hurry) {
        story.n_revisions = 2;
        story.n_items += 2;
    }
    story.generation = 1;
}

bool story_is_in_hurry(void)
{
    return story.is_in_hurry;
}

bool story_has_importers(void)
{
    return story.has_importers;
}

bool story_has_repeaters(void)
{
    return story.has_repeaters;
}

bool story_has_writers(void)
{
    return story.has_writers;
}

bool story_has_lists(void)
{
    return story.has_lists;
}

bool story_has_estate(void)
{
    return story.has_estate;
}

bool story_has_dry_runs(void)
{
    return story.has_dry_runs;
}

unsigned int story_revisions(void)
{
    return story.n_revisions;
}

static void make_item(int index, struct random *random)
{
    enum pass pass = story.items[index].pass;
    unsigned int remote = (unsigned int)random_below(random, REMOTES);
    story.items[index] = (struct item){
        .pass = pass,
        .exists = true,
        /* Only of a system that has many is a list asked for: then there are two of them. */
        .remote = story.has_lists ? (remote & 2) + (story.options->seed & 1) : remote,
        .size = random_between(random, 1, 9),
        .colour = (int64_t)random_below(random, ARRAY_LENGTH(colours)),
        .lid = index > 0 && random_chance(random, 45) ? (int)random_below(random, (uint64_t)index)
                                                      : -1,
        .label = index > 0 && random_chance(random, 25) ? (int)random_below(random, (uint64_t)index)
                                                        : -1,
        .is_made_first = random_chance(random, 20),
    };
}

static void add_name(struct strbuf *text, int index, unsigned int n_renames)
{
    strbuf_addf(text, "r%d", index);
    if (n_renames > 0)
        strbuf_addf(text, "-v%u", n_renames);
}

static char *name_of(int index)
{
    struct strbuf name = {0};
    add_name(&name, index, story.items[index].n_renames);
    return strbuf_take(&name);
}

/* Of some of the resources the thing is there already, perhaps in another colour. */
static void add_old(int index)
{
    struct item *item = &story.items[index];
    struct random random = random_stream(story.options->seed, "old", (uint64_t)index);
    if (!story.has_estate || !random_chance(&random, 30))
        return;
    CLEANUP(mem_freep) char *name = name_of(index);
    size_t colour = random_chance(&random, 50)
                        ? (size_t)item->colour
                        : (size_t)random_below(&random, ARRAY_LENGTH(colours));
    item->old_id = remote_add_old(&remotes[item->remote], name, item->size, colours[colour]);
    random = random_stream(story.options->seed, "unwritten", (uint64_t)index);
    item->is_unwritten =
        story.has_importers && story.revision < story.n_revisions && random_chance(&random, 50);
}

static void change_item(struct item *item, struct random *random)
{
    uint64_t what = random_below(random, 100);
    bool is_new_size = what < 20;
    if (is_new_size)
        item->size += random_between(random, 1, 9);
    else if (what < 32)
        item->exists = false;
    else if (what < 50)
        item->colour = (item->colour + 1) % (int64_t)ARRAY_LENGTH(colours);
    else if (what < 57)
        item->is_renamed = true;
    item->n_renames += item->is_renamed;
    story.report->has_changes |= is_new_size || !item->exists;
}

/* Some have a secret from the first, and the secrets change with the revisions. */
static void choose_secrets(void)
{
    if (!story.has_secrets)
        return;
    struct random random = random_stream(story.options->seed, "secrets", story.revision);
    for (int i = 0; i < story.n_items && story.revision == 1; i++)
        if (random_chance(&random, 40))
            story.items[i].pass = (enum pass)random_below(&random, PASS_COUNT);
    if (random_chance(&random, 40))
        canaries_set_token(story.revision);
    if (story.revision > 1 && random_chance(&random, 40))
        story.generation++;
}

/* The first revision makes most of them, later ones change some and make the rest. */
static void next_revision(void)
{
    story.revision++;
    for (int i = 0; i < story.n_items; i++) {
        struct item *item = &story.items[i];
        struct random random = stream_of(i, story.revision);
        item->is_renamed = false;
        if (story.options->without_items & UINT64_C(1) << i)
            continue;
        if (item->is_unwritten)
            item->is_unwritten =
                false; /* whoever wanted it writes it, as well as the import may have */
        else if (item->exists)
            change_item(item, &random);
        else if (!item->was_there && random_chance(&random, story.revision == 1 ? 85 : 50)) {
            make_item(i, &random);
            add_old(i);
        }
        item->was_there |= item->exists;
    }
    choose_secrets();
}

/* In what its people write. */
static bool has(int index)
{
    return index >= 0 && story.items[index].exists && !story.items[index].is_unwritten;
}

static void add_item(struct strbuf *text, int index)
{
    const struct item *item = &story.items[index];
    strbuf_addf(text, "    - type: %s:thing:box\n      name: ", remotes[item->remote].name);
    add_name(text, index, item->n_renames);
    if (item->is_renamed) {
        strbuf_add(text, "\n      formerly: [");
        add_name(text, index, item->n_renames - 1);
        strbuf_add_char(text, ']');
    }
    strbuf_addf(text, "\n      properties: {size: %d, colour: %s", (int)item->size,
                colours[item->colour]);
    if (has(item->label)) {
        strbuf_add(text, ", label: \"${");
        add_name(text, item->label, story.items[item->label].n_renames);
        strbuf_add(text, ".outputs.endpoint}\"");
    }
    if (has(item->lid)) {
        strbuf_add(text, ", lid: ");
        add_name(text, item->lid, story.items[item->lid].n_renames);
    }
    static const char *const passes[PASS_COUNT] = {
        [PASS_TOKEN] = "${secret.token}",
        [PASS_WITHIN] = "app:${secret.token}",
        [PASS_MADE] = "${secret.made}",
    };
    if (item->pass != PASS_NONE)
        strbuf_addf(text, ", pass: \"%s\"", passes[item->pass]);
    strbuf_add(text, "}\n");
    if (item->is_made_first)
        strbuf_add(text, "      lifecycle: {createBeforeDestroy: true}\n");
}

/* The number-th of those that fit, -1 without one. */
static int choose_item(uint64_t number, bool needs_no_label)
{
    int chosen = -1;
    uint64_t n = 0;
    for (int round = 0; round < 2; round++) {
        uint64_t left = n > 0 ? number % n : 0;
        for (int i = 0; i < story.n_items && chosen < 0; i++) {
            const struct item *item = &story.items[i];
            if (!item->exists || (needs_no_label && (item->label >= 0 || item->is_unwritten)))
                continue;
            if (round == 0)
                n++;
            else if (left-- == 0)
                chosen = i;
        }
    }
    return chosen;
}

char *story_choose_edit(uint64_t number)
{
    int index = choose_item(number, true);
    return index < 0 ? NULL : name_of(index);
}

char *story_choose_name(uint64_t number, struct remote **ret_remote)
{
    int index = choose_item(number, false);
    *ret_remote = index < 0 ? NULL : &remotes[story.items[index].remote];
    return index < 0 ? NULL : name_of(index);
}

const struct record *story_find_record(const struct records *records, const char *name)
{
    size_t length = 1 + strspn(name + 1, "0123456789");
    for (size_t i = 0; i < records->n_items; i++) {
        const char *address = records->items[i]->address;
        if (strncmp(address, name, length) == 0 && strcspn(address, "-") == length)
            return records->items[i];
    }
    return NULL;
}

bool story_wants(const char *name, const struct remote *remote)
{
    for (int i = 0; i < story.n_items; i++) {
        CLEANUP(mem_freep) char *own = name_of(i);
        if (story.items[i].exists && remote == &remotes[story.items[i].remote] &&
            text_equal(own, name))
            return true;
    }
    return false;
}

/* Somebody forgot that it was there already, and had another made: that one is meant now. */
static bool was_made_anew(const struct item *item, const char *name)
{
    for (const struct object *object = remotes[item->remote].objects; object; object = object->next)
        if (!object->is_strange && text_equal(object->address, name))
            return true;
    return false;
}

/* Whether a text has it: as people wrote it, or as an import did. */
static bool stands_in(const struct item *item, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *line = string_format("name: %s\n", name);
    return !item->is_unwritten || (text && strstr(text, line));
}

struct value *story_list_estate(const struct records *records, const char *text, bool is_written)
{
    struct value_builder estate = {0};
    for (int i = 0; i < story.n_items; i++) {
        const struct item *item = &story.items[i];
        CLEANUP(mem_freep) char *name = name_of(i);
        if (item->exists && item->old_id && stands_in(item, name, text) == is_written &&
            !story_find_record(records, name) &&
            remote_find_id(&remotes[item->remote], item->old_id) && !was_made_anew(item, name))
            value_builder_set_string(&estate, name, item->old_id);
    }
    return value_builder_map(&estate);
}

struct remote *story_find_remote(const char *name)
{
    return &remotes[story.items[strtol(name + 1, NULL, 10)].remote];
}

void story_forget_old(const struct remote *remote)
{
    for (int i = 0; i < story.n_items; i++)
        if (&remotes[story.items[i].remote] == remote)
            mem_free(take_ptr(story.items[i].old_id));
}

const char *story_choose_record(const struct records *records, uint64_t number)
{
    for (size_t i = 0; i < records->n_items; i++) {
        const struct record *record = records->items[(number + i) % records->n_items];
        int index = (int)strtol(record->address + 1, NULL, 10);
        CLEANUP(mem_freep) char *name = name_of(index);
        if (story.items[index].exists && record->status == RECORD_CREATED && record->provider_id &&
            text_equal(record->address, name) &&
            value_get_integer(record->spec, "size", 0) == story.items[index].size)
            return record->address;
    }
    return NULL;
}

char *story_next_document(void)
{
    next_revision();
    struct strbuf text = {0};
    size_t n = 0;
    strbuf_addf(&text, "deployment:\n  name: %s\n  version: 1.0.%u\n", SIM_DEPLOYMENT,
                story.revision);
    if (story.has_secrets)
        strbuf_addf(&text,
                    "  secrets:\n    token: {environment: %s}\n"
                    "    made: {generated: {length: %d, generation: %u}}\n",
                    SIM_TOKEN, MADE_LENGTH, story.generation);
    strbuf_add(&text, "  resources:\n");
    for (int i = 0; i < story.n_items; i++) {
        n += has(i);
        if (has(i))
            add_item(&text, i);
    }
    if (n == 0)
        strbuf_add(&text, "    []\n");
    if (n > story.report->n_items)
        story.report->n_items = n;
    return strbuf_take(&text);
}

/* "r12-v1" is of item 12. */
bool story_has_right_pass(const struct record *record, const char *pass)
{
    const struct item *item = &story.items[strtol(record->address + 1, NULL, 10)];
    static const char within[] = "app:";
    switch (item->pass) {
    case PASS_TOKEN:
        return text_equal_or_null(pass, canaries_token());
    case PASS_WITHIN:
        return pass && text_starts_with(pass, within) &&
               text_equal(pass + strlen(within), canaries_token());
    case PASS_MADE:
        story.made = story.made ? story.made : pass;
        return pass && strlen(pass) == MADE_LENGTH && text_equal(pass, story.made);
    default:
        return !pass;
    }
}

void story_check(const struct records *records)
{
    size_t n = 0;
    for (int i = 0; i < story.n_items; i++) {
        const struct item *item = &story.items[i];
        struct strbuf name = {0};
        add_name(&name, i, item->n_renames);
        const struct record *record = records_find(records, strbuf_text(&name));
        n += item->exists;
        const char *colour = record ? value_get_text(record->spec, "colour") : NULL;
        if (!record == item->exists)
            sim_violation("%s is %s", strbuf_text(&name), record ? "left over" : "missing");
        else if (record && (value_get_integer(record->spec, "size", 0) != item->size || !colour ||
                            !text_equal(colour, colours[item->colour])))
            sim_violation("%s is not as the document wants it", strbuf_text(&name));
        strbuf_done(&name);
    }
    if (n != records->n_items)
        sim_violation("%zu resources are wanted and %zu recorded", n, records->n_items);
}
