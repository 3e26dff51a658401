/* Reads, matches and counts the rules by which the fake fails. */
#include "provider/fake/failure.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/fake/account.h"
#include "provider/fake/settings.h"

#include <string.h>

#define COUNT_FILE_LIMIT (1U << 20)

struct fake_rule {
    enum fake_verb verb; /* FAKE_VERB_COUNT: every one */
    char *name;          /* owned; NULL: every one */
    struct fake_event event;
    char *edits;       /* owned */
    struct value *set; /* owned */
    int64_t count;
    int64_t skip;
    char *key; /* owned: under which it is counted */
};

static const char *const verbs[FAKE_VERB_COUNT] = {
    [FAKE_IDENTIFY] = "identify", [FAKE_LIST] = "list",       [FAKE_READ] = "read",
    [FAKE_PROPOSE] = "propose",   [FAKE_CREATE] = "create",   [FAKE_UPDATE] = "update",
    [FAKE_DELETE] = "delete",     [FAKE_START] = "start",     [FAKE_ACT] = "act",
    [FAKE_PROBE] = "probe",       [FAKE_PENDING] = "pending", [FAKE_COMMIT] = "commit",
};

static const char *const failures[FAKE_NO_FAILURE] = {
    [FAKE_UNREACHABLE] = "unreachable",
    [FAKE_REFUSE] = "refuse",
    [FAKE_ECHO] = "echo",
    [FAKE_HANG] = "hang",
    [FAKE_LOSE_REQUEST] = "lose-request",
    [FAKE_LOSE_ANSWER] = "lose-answer",
    [FAKE_HALF] = "half",
    [FAKE_HANG_AFTER] = "hang-after",
    [FAKE_THROTTLE] = "throttle",
    [FAKE_CANNOT_TELL] = "cannot-tell",
    [FAKE_WRONG_ACCOUNT] = "wrong-account",
    [FAKE_LOSE] = "lose",
    [FAKE_CHANGE] = "change",
    [FAKE_FOREIGN_EDIT] = "foreign-edit",
};

void fake_rules_done(struct fake_rules *rules)
{
    for (size_t i = 0; i < rules->n_items; i++) {
        mem_free(rules->items[i].name);
        mem_free(rules->items[i].key);
        mem_free(rules->items[i].edits);
        value_unref(rules->items[i].set);
    }
    mem_free(rules->items);
    mem_free(rules->count_file);
    *rules = (struct fake_rules){0};
}

/* The place of a field's text in a table. */
static int read_word(const struct value *value, const char *key, const char *const *words,
                     size_t n_words, size_t *ret_index, struct error *err)
{
    const char *text = value_kind(value) == VALUE_STRING ? value_text(value) : "";
    for (size_t i = 0; i < n_words; i++)
        if (text_equal(text, words[i])) {
            *ret_index = i;
            return 0;
        }
    const char *nearest = text_nearest(text, words, n_words);
    return error_set(err, ERROR_INVALID, "fail: \"%s\" is no %s%s%s", text, key,
                     nearest ? "; did you mean " : "", nearest ? nearest : "");
}

static int read_field(struct fake_rule *rule, const char *key, const struct value *value,
                      struct error *err)
{
    size_t index = 0;
    int r = 0;
    if (text_equal(key, "verb")) {
        r = read_word(value, key, verbs, FAKE_VERB_COUNT, &index, err);
        if (r == 0)
            rule->verb = (enum fake_verb)index;
    } else if (text_equal(key, "how")) {
        r = read_word(value, key, failures, FAKE_NO_FAILURE, &index, err);
        if (r == 0)
            rule->event.failure = (enum fake_failure)index;
    } else if (text_equal(key, "name") && value_kind(value) == VALUE_STRING) {
        rule->name = string_copy(value_text(value));
    } else if (text_equal(key, "count") && value_kind(value) == VALUE_INTEGER) {
        rule->count = value_to_integer(value);
    } else if (text_equal(key, "skip") && value_kind(value) == VALUE_INTEGER) {
        rule->skip = value_to_integer(value);
    } else if (text_equal(key, "retryAfter")) {
        r = fake_read_duration(key, value, &rule->event.retry_after_us, err);
    } else if (text_equal(key, "set") && value_kind(value) == VALUE_MAP) {
        rule->set = value_ref((struct value *)value);
    } else if (text_equal(key, "edits") && value_kind(value) == VALUE_STRING) {
        rule->edits = string_copy(value_text(value));
    } else {
        r = error_set(err, ERROR_INVALID,
                      "fail: a rule has no such \"%s\"; it has verb, name, how, count, skip, "
                      "retryAfter, set and edits",
                      key);
    }
    return r;
}

/* Which calls a failure can happen to. */
static bool knows(enum fake_verb verb, enum fake_failure failure)
{
    bool changes_nothing = verb == FAKE_IDENTIFY || verb == FAKE_LIST || verb == FAKE_READ ||
                           verb == FAKE_PROPOSE || verb == FAKE_PROBE || verb == FAKE_PENDING;
    switch (failure) {
    case FAKE_LOSE_REQUEST:
    case FAKE_LOSE_ANSWER:
    case FAKE_HALF:
    case FAKE_HANG_AFTER:
        return !changes_nothing;
    case FAKE_CANNOT_TELL:
        return verb == FAKE_LIST || verb == FAKE_READ || verb == FAKE_PROBE;
    case FAKE_WRONG_ACCOUNT:
        return verb == FAKE_IDENTIFY;
    case FAKE_LOSE:
    case FAKE_CHANGE:
        return verb == FAKE_READ || verb == FAKE_UPDATE || verb == FAKE_DELETE ||
               verb == FAKE_PROBE;
    default:
        return true;
    }
}

static int read_rule(const struct value *value, size_t index, struct fake_rule *rule,
                     struct error *err)
{
    *rule =
        (struct fake_rule){.verb = FAKE_VERB_COUNT, .event.failure = FAKE_NO_FAILURE, .count = 1};
    if (value_kind(value) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "fail: a rule is a map");
    for (size_t i = 0; i < value_count(value); i++) {
        int r = read_field(rule, value_key_at(value, i), value_at(value, i), err);
        if (r < 0)
            return r;
    }
    enum fake_failure failure = rule->event.failure;
    if (failure == FAKE_NO_FAILURE)
        return error_set(err, ERROR_INVALID, "fail: a rule must say how");
    if (rule->verb != FAKE_VERB_COUNT && !knows(rule->verb, failure))
        return error_set(err, ERROR_INVALID, "fail: %s cannot %s", verbs[rule->verb],
                         failures[failure]);
    if (failure == FAKE_FOREIGN_EDIT && (!rule->edits || !fake_account_is_name(rule->edits)))
        return error_set(err, ERROR_INVALID, "fail: foreign-edit needs edits: with a name");
    rule->event.set = rule->set;
    rule->event.edits = rule->edits;
    CLEANUP(mem_freep) char *text = json_text(value);
    rule->key = string_format("%zu %s", index, text);
    return 0;
}

int fake_rules_read(const struct value *setting, const char *count_file,
                    struct fake_rules *ret_rules, struct error *err)
{
    struct fake_rules rules = {0};
    bool is_list = setting && value_kind(setting) == VALUE_LIST;
    size_t n = is_list ? value_count(setting) : setting ? 1 : 0;
    rules.items = NEW_ARRAY(struct fake_rule, n);
    rules.count_file = string_copy(count_file);
    for (size_t i = 0; i < n; i++) {
        int r = read_rule(is_list ? value_at(setting, i) : setting, i, &rules.items[i], err);
        rules.n_items = i + 1;
        if (r < 0) {
            fake_rules_done(&rules);
            return r;
        }
    }
    *ret_rules = rules;
    return 0;
}

static bool fits(const struct fake_rule *rule, enum fake_verb verb, const char *address)
{
    return knows(verb, rule->event.failure) &&
           (rule->verb == FAKE_VERB_COUNT || rule->verb == verb) &&
           (!rule->name || fake_fits_name(rule->name, address));
}

static int read_counts(const char *path, struct value **ret_counts, struct error *err)
{
    if (!world_file_exists(path)) {
        struct value_builder none = {0};
        *ret_counts = value_builder_map(&none);
        return 0;
    }
    CLEANUP(mem_freep) char *text = NULL;
    size_t size;
    int r = world_read_file(path, COUNT_FILE_LIMIT, &text, &size, err);
    return r < 0 ? r : json_read(text, size, ret_counts, err);
}

/* Counts one more call that fits a rule; *ret_happens when it is one of those that the rule means.
 */
static int count_rule(const struct fake_rules *rules, const struct fake_rule *rule,
                      bool *ret_happens, struct error *err)
{
    CLEANUP(value_unrefp) struct value *counts = NULL;
    int r = read_counts(rules->count_file, &counts, err);
    if (r < 0)
        return r;
    int64_t count = value_get_integer(counts, rule->key, 0);
    *ret_happens = count >= rule->skip && count < rule->skip + rule->count;
    if (count >= rule->skip + rule->count)
        return 0;
    CLEANUP(value_unrefp)
    struct value *more = value_with(counts, rule->key, value_integer(count + 1));
    CLEANUP(mem_freep) char *text = json_text(more);
    return world_write_file(rules->count_file, text, strlen(text), 0600, false, err);
}

int fake_rules_next(const struct fake_rules *rules, enum fake_verb verb, const char *address,
                    struct fake_event *ret_event, struct error *err)
{
    *ret_event = (struct fake_event){.failure = FAKE_NO_FAILURE};
    for (size_t i = 0; i < rules->n_items; i++) {
        bool happens = false;
        int r = fits(&rules->items[i], verb, address)
                    ? count_rule(rules, &rules->items[i], &happens, err)
                    : 0;
        if (r < 0)
            return r;
        if (happens) {
            *ret_event = rules->items[i].event;
            return 0;
        }
    }
    return 0;
}
