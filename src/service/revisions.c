/* The base of a document, and the merge with what came after it. */
#include "service/revisions.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "document/merge.h"
#include "service/revisions-internal.h"

#include <inttypes.h>
#include <string.h>

int revision_check_whole(const struct value *revision, const char *deployment, struct error *err)
{
    const struct value *partial = value_get(revision, "partial");
    struct string_list targets = {0};
    struct strbuf names = {0};
    if (!partial)
        return 0;
    string_list_from_value(&targets, value_get(partial, "targets"));
    for (size_t i = 0; i < targets.n_items; i++)
        strbuf_addf(&names, "%s%s", i > 0 ? ", " : "", targets.items[i]);
    string_list_done(&targets);
    int r = error_set(err, ERROR_UNSUPPORTED,
                      "revision %lld of %s was applied in part only (%s and what that needed), so "
                      "its document does not say what was there then: go back to another one, or "
                      "change the document",
                      (long long)value_get_integer(revision, "number", 0), deployment,
                      strbuf_text(&names));
    strbuf_done(&names);
    return r;
}

int lineage_open(struct service *service, const char *uid, struct lineage *ret_lineage,
                 struct error *err)
{
    struct lineage *lineage = ret_lineage;
    *lineage = (struct lineage){.service = service, .uid = string_copy(uid)};
    int r = store_list_revisions(service->store, uid, 0, MAX_LINEAGE, &lineage->list, err);
    if (r == 0 && value_count(lineage->list) > 0)
        lineage->head = value_get_integer(value_at(lineage->list, 0), "number", 0);
    lineage->base = lineage->head;
    return r;
}

void lineage_done(struct lineage *lineage)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&lineage->trees, &cursor)))
        yaml_tree_free(entry->value);
    map_done(&lineage->trees);
    value_unref(lineage->list);
    mem_free(lineage->uid);
    mem_free(lineage->given);
    *lineage = (struct lineage){0};
}

const struct value *lineage_find(const struct lineage *lineage, int64_t number)
{
    int64_t index = lineage->head - number;
    return index >= 0 && index < (int64_t)value_count(lineage->list)
               ? value_at(lineage->list, (size_t)index)
               : NULL;
}

int lineage_tree(struct lineage *lineage, int64_t number, const struct yaml_tree **ret_tree,
                 struct error *err)
{
    CLEANUP(mem_freep) char *key = string_format("%" PRId64, number);
    struct yaml_tree *tree = map_get(&lineage->trees, key);
    if (!tree) {
        CLEANUP(value_unrefp) struct value *revision = NULL;
        int r = store_get_revision(lineage->service->store, lineage->uid, number, &revision, err);
        if (r < 0)
            return r;
        const char *text = value_get_text(revision, "document");
        tree = text ? merge_read(text) : NULL;
        if (!tree)
            return error_set(err, ERROR_CORRUPT,
                             "the document of revision %" PRId64 " cannot be read", number);
        map_put(&lineage->trees, key, tree);
    }
    *ret_tree = tree;
    return 0;
}

bool lineage_is_own(const struct lineage *lineage, const struct value *revision)
{
    return text_equal_or_null(value_get_text(revision, "principal"),
                              lineage->service->caller.principal);
}

int lineage_walk(struct lineage *lineage, const struct value *place, int64_t *number,
                 const struct value **ret_revision, const struct yaml_node **ret_before,
                 struct error *err)
{
    *ret_revision = NULL;
    *ret_before = NULL;
    for (; *number > 1 && *number > lineage->head - MAX_LINEAGE; --*number) {
        const struct yaml_tree *here = NULL;
        const struct yaml_tree *before = NULL;
        int r = lineage_tree(lineage, *number, &here, err);
        if (r < 0 || (r = lineage_tree(lineage, *number - 1, &before, err)) < 0)
            return r;
        const struct yaml_node *was = merge_find(before, place);
        if (merge_is_same(merge_find(here, place), was))
            continue;
        *ret_revision = lineage_find(lineage, *number);
        *ret_before = was;
        --*number;
        return 0;
    }
    return 0;
}

/* The newest one that changed a place. */
static int blame(struct lineage *lineage, const struct value *place,
                 const struct value **ret_revision, struct error *err)
{
    int64_t number = lineage->head;
    const struct yaml_node *before;
    return lineage_walk(lineage, place, &number, ret_revision, &before, err);
}

char *revision_words(const struct value *revision)
{
    char time[WORLD_TIME_SIZE];
    world_format_time(value_get_integer(revision, "created_at", 0), time);
    const char *principal = value_get_text(revision, "principal");
    const char *words = value_get_text(revision, "words");
    return string_format("revision %" PRId64 " of %s, %s: %s",
                         value_get_integer(revision, "number", 0), principal ? principal : "-",
                         time, words ? words : "-");
}

/* --- The base --- */

static bool is_from_file(const struct value *revision)
{
    return text_equal_or_null(value_get_text(revision, "source"), "file");
}

/* What a revision from a file was based on itself; 0: nothing. */
static int64_t base_of(const struct value *revision)
{
    const struct value *parents = value_get(revision, "parents");
    size_t n = parents && value_kind(parents) == VALUE_LIST ? value_count(parents) : 0;
    const struct value *last = n > 0 ? value_at(parents, n - 1) : NULL;
    return last && value_kind(last) == VALUE_INTEGER ? value_to_integer(last) : 0;
}

/* The file goes on to name the revision it was pulled at: what we applied from it since is its
 * base. */
static int64_t follow_named(const struct lineage *lineage, int64_t named)
{
    int64_t base = named;
    for (int64_t number = named + 1; number <= lineage->head; number++) {
        const struct value *revision = lineage_find(lineage, number);
        if (revision && is_from_file(revision) && lineage_is_own(lineage, revision) &&
            base_of(revision) == base)
            base = number;
    }
    return base;
}

static bool has_digest(const struct value *revision, const char *digest)
{
    const char *given = value_get_text(revision, "given_digest");
    return text_equal_or_null(given ? given : value_get_text(revision, "digest"), digest);
}

/* The newest revision with this content. When all that came later is from our own files, the file
 * was set back by hand, which is an edit like any other: then the head. */
static int64_t find_equal(const struct lineage *lineage, const char *text)
{
    char digest[DIGEST_HEX_SIZE];
    digest_hex(text, strlen(text), digest);
    bool is_all_own = true;
    for (size_t i = 0; i < value_count(lineage->list); i++) {
        const struct value *revision = value_at(lineage->list, i);
        if (has_digest(revision, digest))
            return is_all_own ? lineage->head : value_get_integer(revision, "number", 0);
        is_all_own = is_all_own && is_from_file(revision) && lineage_is_own(lineage, revision);
    }
    return 0;
}

static int64_t find_newest_file(const struct lineage *lineage)
{
    for (size_t i = 0; i < value_count(lineage->list); i++)
        if (is_from_file(value_at(lineage->list, i)))
            return value_get_integer(value_at(lineage->list, i), "number", 0);
    return lineage->head;
}

/* Whether a key "revision" can stand in it: only then it is read for that. A backslash may write
 * any letter. */
static bool may_name_revision(const char *text)
{
    return strstr(text, "revision") || strchr(text, '\\');
}

/* The revision that a file names, 0 for none; where it does so is in *ret_position. */
static int64_t read_named(const char *path, const char *text, struct position *ret_position)
{
    if (!may_name_revision(text))
        return 0;
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(text);
    const struct yaml_node *deployment = tree ? yaml_get(yaml_root(tree), "deployment") : NULL;
    const struct yaml_node *named = yaml_get(deployment, "revision");
    if (!named || named->kind != VALUE_INTEGER)
        return 0;
    *ret_position = (struct position){path, named->line, named->column};
    return named->integer;
}

/* Then a file goes on where the newest revision is, whatever stands in it. */
static bool are_all_own_files(const struct lineage *lineage)
{
    for (size_t i = 0; i < value_count(lineage->list); i++) {
        const struct value *revision = value_at(lineage->list, i);
        if (!is_from_file(revision) || !lineage_is_own(lineage, revision))
            return false;
    }
    return true;
}

static void find_base(struct lineage *lineage, const char *path, const char *text,
                      struct diagnostics *diagnostics)
{
    struct position position = {0};
    int64_t named = read_named(path, text, &position);
    if (named > lineage->head)
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_REVISION, position,
                        "Name the one the file is based on, or leave it out; \"parley history\" "
                        "lists them.",
                        "The file says that it is based on revision %" PRId64
                        ", but the newest is %" PRId64 ".",
                        named, lineage->head);
    else if (named > 0)
        lineage->base = follow_named(lineage, named);
    else if (are_all_own_files(lineage))
        lineage->base = lineage->head;
    else
        lineage->base = find_equal(lineage, text);
    if (lineage->base == 0)
        lineage->base = find_newest_file(lineage);
    lineage->is_pulled = named == lineage->base;
}

/* --- The merge --- */

static int tell_conflict(struct lineage *lineage, const char *path,
                         const struct merge_conflict *conflict, struct diagnostics *diagnostics,
                         struct error *err)
{
    const struct value *revision;
    int r = blame(lineage, conflict->place, &revision, err);
    if (r < 0)
        return r;
    if (!revision)
        revision = lineage_find(lineage, lineage->head);
    CLEANUP(mem_freep) char *place = merge_place_text(conflict->place);
    CLEANUP(mem_freep) char *words = revision_words(revision);
    CLEANUP(mem_freep)
    char *help = string_format("Write here what shall be, and name the revision that you have "
                               "seen: \"revision: %" PRId64 "\" under deployment:.",
                               lineage->head);
    diagnostics_add(diagnostics, DIAGNOSTIC_MERGE_CONFLICT,
                    (struct position){path, conflict->line, conflict->column}, help,
                    "%s %s here since revision %" PRId64
                    ", and %s at line %u of the newest, by %s.",
                    place, conflict->is_gone ? "was taken out" : "was changed", lineage->base,
                    conflict->is_head_gone ? "taken out" : "changed", conflict->head_line, words);
    return 0;
}

static int tell_conflicts(struct lineage *lineage, const char *path, const struct merge *merge,
                          struct diagnostics *diagnostics, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < merge->n_conflicts; i++)
        r = tell_conflict(lineage, path, &merge->conflicts[i], diagnostics, err);
    return r < 0 ? r
                 : error_set(err, ERROR_INVALID,
                             "%s and what came after revision %" PRId64 " contradict each other",
                             path, lineage->base);
}

/* One note for each revision whose changes were taken. */
static int tell_taken(struct lineage *lineage, const struct merge *merge,
                      struct diagnostics *diagnostics, struct error *err)
{
    struct map told = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < merge->n_taken; i++) {
        const struct value *revision;
        r = blame(lineage, merge->taken[i], &revision, err);
        if (r < 0 || !revision)
            continue;
        CLEANUP(mem_freep) char *words = revision_words(revision);
        if (map_has(&told, words))
            continue;
        map_put(&told, words, NULL);
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_MERGED, (struct position){0},
                         "\"parley pull\" writes it into the file; \"parley undo\" takes it back.",
                         "Kept, though the file does not have it: %s.", words);
    }
    map_done(&told);
    return r;
}

static int merge_texts(struct lineage *lineage, const char *path, const char *text,
                       const char *base, const char *head, char **ret_text,
                       struct diagnostics *diagnostics, struct error *err)
{
    struct merge merge = {0};
    int r = document_merge(base, head, text, &merge, err);
    if (r < 0)
        return error_wrap(err, r, "merge %s with revision %" PRId64, path, lineage->head);
    if (!merge.text)
        r = tell_conflicts(lineage, path, &merge, diagnostics, err);
    else if (merge.n_taken > 0)
        r = tell_taken(lineage, &merge, diagnostics, err);
    if (r == 0 && merge.n_taken > 0)
        *ret_text = take_ptr(merge.text);
    merge_done(&merge);
    return r;
}

/* Nothing came after the base, which is a file as it was given. */
static bool has_nothing_to_merge(const struct lineage *lineage)
{
    return lineage->base == lineage->head &&
           (lineage->is_pulled || !value_get(lineage_find(lineage, lineage->base), "given_digest"));
}

int lineage_merge(struct lineage *lineage, const char *path, const char *text, char **ret_text,
                  struct diagnostics *diagnostics, struct error *err)
{
    *ret_text = NULL;
    if (lineage->head == 0)
        return 0;
    find_base(lineage, path, text, diagnostics);
    if (diagnostics_has_errors(diagnostics))
        return error_set(err, ERROR_INVALID, "%s has faults", path);
    if (TOOTH(BASE_IGNORED))
        lineage->base = lineage->head;
    if (has_nothing_to_merge(lineage))
        return 0;
    CLEANUP(value_unrefp) struct value *base = NULL;
    CLEANUP(value_unrefp) struct value *head = NULL;
    int r = store_get_revision(lineage->service->store, lineage->uid, lineage->base, &base, err);
    if (r == 0)
        r = store_get_revision(lineage->service->store, lineage->uid, lineage->head, &head, err);
    if (r < 0)
        return r;
    const char *given = lineage->is_pulled ? NULL : value_get_text(base, "given");
    r = merge_texts(lineage, path, text, given ? given : value_get_text(base, "document"),
                    value_get_text(head, "document"), ret_text, diagnostics, err);
    if (r == 0 && *ret_text)
        lineage->given = string_copy(text);
    return r;
}
