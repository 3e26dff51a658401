/* A plan as text: whole, as it is hashed, and in the parts that the store keeps. */
#include "model/plan.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "harness.h"
#include "model/json.h"

#include <string.h>

static struct value *read_json(const char *text)
{
    struct value *value = NULL;
    CHECK(json_read(text, strlen(text), &value, NULL) == 0);
    return value;
}

static struct step *add_step(struct plan *plan, const char *id, const char *address)
{
    struct step *step = plan_add_step(plan);
    step->id = string_copy(id);
    step->address = string_copy(address);
    step->type = string_copy("acme:net:segment");
    step->instance = string_copy("acme.default");
    step->uid = string_copy("7");
    step->origin = string_copy("document");
    step->generation = 1;
    step->stage = STAGE_NETWORK;
    step->after = read_json("{\"tag\":7}");
    return step;
}

/* All that a step can say. */
static void add_full_step(struct plan *plan)
{
    struct step *step = add_step(plan, "update lan[\"a \\\"b\\\"\"]#3", "lan[\"a \\\"b\\\"\"]");
    step->kind = STEP_UPDATE;
    step->reason = STEP_REASON_CHANGED;
    step->former = string_copy("wan");
    step->provider_id = string_copy("id\n1");
    step->note = string_copy("a \"stand-in\"");
    step->generation = 3;
    step->replaces = step->protect = step->irreversible = step->record_only = true;
    step->seconds = 1.5;
    step->before = read_json("{\"tag\":6}");
    step->live = read_json("{\"tag\":5}");
    step->changed = read_json("[\"tag\"]");
    step->proposed = read_json("{\"tag\":8}");
    step->reverts = read_json("[{\"revision\":2}]");
    string_list_add(&step->defaulted, "note");
    string_list_add(&step->resources, "web[0]");
    string_list_add(&step->resources, "web[1]");
    string_list_add(&step->depends_on, "create lan#1");
}

static struct plan *make(void)
{
    struct plan *plan = plan_new();
    plan->deployment = string_copy("shop");
    plan->environment = string_copy("default");
    plan->deployment_uid = string_copy("8");
    plan->document = string_copy("deployment: {name: \"shop\"}\n");
    plan->catalog_digest = string_copy("c");
    add_step(plan, "create lan#1", "lan");
    add_step(plan, "create lan[2]#1", "lan[2]");
    add_full_step(plan);
    plan_seal(plan);
    return plan;
}

TEST(its_text_is_that_of_its_value_in_canonical_form)
{
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(value_unrefp) struct value *value = plan_to_value(plan);
    CLEANUP(mem_freep) char *want = json_text(value);
    CLEANUP(mem_freep) char *text = plan_text(plan);
    CHECK_TEXT(text, want);
    CHECK(strstr(
        text, "{\"address\":\"lan[2]\",\"after\":{\"tag\":7},\"before\":null,\"changed\":null,"
              "\"depends_on\":[],\"former\":null,\"generation\":1,\"id\":\"create lan[2]#1\","
              "\"instance\":\"acme.default\",\"irreversible\":false,\"key\":2,\"kind\":\"create\","
              "\"name\":\"lan\",\"note\":null,\"origin\":\"document\",\"protect\":false,"
              "\"provider_id\":null,\"reason\":\"new\",\"replaces\":false,\"resources\":[],"
              "\"reverts\":null,\"seconds\":0,\"stage\":\"network\","
              "\"type\":\"acme:net:segment\",\"uid\":\"7\"}"));
}

/* What is approved is everything but the hash itself, durations and notes. */
TEST(its_hash_is_that_of_its_text_without_what_is_only_shown)
{
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(value_unrefp) struct value *whole = plan_to_value(plan);
    struct value_builder steps = {0}, fields = {0};
    const struct value *all = value_get(whole, "steps");
    for (size_t i = 0; i < value_count(all); i++) {
        CLEANUP(value_unrefp)
        struct value *without_note = value_with(value_at(all, i), "note", NULL);
        value_builder_append(&steps, value_with(without_note, "seconds", NULL));
    }
    for (size_t i = 0; i < value_count(whole); i++) {
        const char *key = value_key_at(whole, i);
        if (strcmp(key, "hash") != 0 && strcmp(key, "notes") != 0 && strcmp(key, "steps") != 0)
            value_builder_set(&fields, key, value_ref(value_at(whole, i)));
    }
    value_builder_set(&fields, "steps", value_builder_list(&steps));
    CLEANUP(value_unrefp) struct value *approved = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(approved);
    char hash[DIGEST_HEX_SIZE];
    digest_hex(text, strlen(text), hash);
    CHECK_TEXT(plan->hash, hash);
}

TEST(a_stored_step_leaves_out_what_says_nothing)
{
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(strbuf_done) struct strbuf buffer = {0};
    const char *texts[STEP_TEXT_COUNT];
    plan_step_texts(plan, 0, &buffer, texts);
    CHECK_TEXT(texts[STEP_TEXT_BODY], "{}");
    CHECK_TEXT(texts[STEP_TEXT_LABEL], "create lan#1");
    CHECK_TEXT(texts[STEP_TEXT_REASON], "new");
    CHECK_TEXT(texts[STEP_TEXT_TYPE], "acme:net:segment");
    CHECK_TEXT(texts[STEP_TEXT_INSTANCE], "acme.default");
    CHECK_TEXT(texts[STEP_TEXT_UID], "7");
    CHECK_TEXT(texts[STEP_TEXT_ORIGIN], "document");
    CHECK_TEXT(texts[STEP_TEXT_STAGE], "network");
    CHECK_TEXT(texts[STEP_TEXT_AFTER], "{\"tag\":7}");
    CHECK(!texts[STEP_TEXT_BEFORE] && !texts[STEP_TEXT_RESOURCES] && !texts[STEP_TEXT_DEPENDS_ON]);
}

static struct value *read_back(const struct plan *plan, size_t i)
{
    CLEANUP(strbuf_done) struct strbuf buffer = {0};
    const char *texts[STEP_TEXT_COUNT];
    struct value *step = NULL;
    plan_step_texts(plan, i, &buffer, texts);
    CHECK(step_from_texts(texts, &step, NULL) == 0);
    return step;
}

TEST(a_step_whose_id_or_names_fit_no_text_of_their_own_is_stored_in_one)
{
    for (int odd = 0; odd < 3; odd++) {
        CLEANUP(plan_freep) struct plan *plan = make();
        struct step *step = &plan->steps[0];
        if (odd == 0) {
            mem_free(step->id);
            step->id = string_copy("another#1");
        } else {
            string_list_add(&step->resources, odd == 1 ? "a\nb" : "");
        }
        CLEANUP(strbuf_done) struct strbuf buffer = {0};
        const char *texts[STEP_TEXT_COUNT];
        plan_step_texts(plan, 0, &buffer, texts);
        CHECK(!texts[STEP_TEXT_LABEL] && !texts[STEP_TEXT_AFTER]);
        CHECK(strstr(texts[STEP_TEXT_BODY], "\"address\":\"lan\"") != NULL);
        CLEANUP(value_unrefp) struct value *again = read_back(plan, 0);
        CHECK_TEXT(value_get_text(again, "id"), step->id);
        const struct value *names = value_get(again, "resources");
        CHECK(odd == 0 || text_equal(value_text(value_at(names, value_count(names) - 1)),
                                     odd == 1 ? "a\nb" : ""));
    }
}

TEST(texts_that_are_no_step_are_refused)
{
    static const char *const labels[] = {"",      "create",       "create lan", "create lan#",
                                         "lan#1", "create lan#1x"};
    for (size_t i = 0; i < ARRAY_LENGTH(labels); i++) {
        const char *texts[STEP_TEXT_COUNT] = {
            [STEP_TEXT_BODY] = "{}", [STEP_TEXT_LABEL] = labels[i]};
        struct value *step = NULL;
        CHECK(step_from_texts(texts, &step, NULL) == -ERROR_CORRUPT && !step);
    }
    const char *texts[STEP_TEXT_COUNT] = {
        [STEP_TEXT_BODY] = "[]", [STEP_TEXT_LABEL] = "create lan#1"};
    struct value *step = NULL;
    CHECK(step_from_texts(texts, &step, NULL) == -ERROR_CORRUPT && !step);
    texts[STEP_TEXT_BODY] = "{}";
    texts[STEP_TEXT_AFTER] = "{";
    CHECK(step_from_texts(texts, &step, NULL) < 0 && !step);
}

TEST(the_parts_that_are_stored_are_the_whole_plan_again)
{
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(mem_freep) char *head = plan_head_text(plan);
    CLEANUP(value_unrefp) struct value *bare_head = read_json(head);
    CHECK(!value_get(bare_head, "document"));
    CLEANUP(value_unrefp)
    struct value *stored_head = value_with(bare_head, "document", value_string(plan->document));
    struct value_builder steps = {0};
    for (size_t i = 0; i < plan->n_steps; i++) {
        value_builder_append(&steps, read_back(plan, i));
    }
    CLEANUP(value_unrefp)
    struct value *stored = value_with(stored_head, "steps", value_builder_list(&steps));
    CLEANUP(plan_freep) struct plan *again = NULL;
    CHECK(plan_from_value(stored, &again, NULL) == 0);
    CLEANUP(mem_freep) char *want = plan_text(plan);
    CLEANUP(mem_freep) char *text = plan_text(again);
    CHECK_TEXT(text, want);
}

TEST(a_head_alone_says_what_is_asked_before_anything_is_done)
{
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(mem_freep) char *text = plan_head_text(plan);
    CLEANUP(value_unrefp) struct value *stored = read_json(text);
    CLEANUP(plan_freep) struct plan *head = NULL, *none = NULL;
    CHECK(plan_read_head(stored, &head, NULL) == 0);
    CHECK_TEXT(head->hash, plan->hash);
    CHECK_TEXT(head->deployment_uid, plan->deployment_uid);
    CHECK_TEXT(head->catalog_digest, plan->catalog_digest);
    CHECK(head->n_steps == 0);
    CLEANUP(mem_freep) char *long_hash = string_format("%0100d", 1);
    CLEANUP(value_unrefp)
    struct value *strange = value_with(stored, "hash", value_string(long_hash));
    CHECK(plan_read_head(strange, &none, NULL) == -ERROR_INVALID);
    CHECK(plan_read_unsealed(stored, &none, NULL) == -ERROR_INVALID);
}

TEST(a_stored_step_with_a_field_of_another_kind_is_refused)
{
    static const char *const strange[][2] = {{"protect", "1"},         {"record_only", "\"yes\""},
                                             {"resources", "\"lan\""}, {"kind", "\"go\""},
                                             {"depends_on", "{}"},     {"address", "null"}};
    CLEANUP(plan_freep) struct plan *plan = make();
    CLEANUP(value_unrefp) struct value *saved = plan_to_value(plan);
    for (size_t i = 0; i < ARRAY_LENGTH(strange); i++) {
        struct value *step = value_with(value_at(value_get(saved, "steps"), 0), strange[i][0],
                                        read_json(strange[i][1]));
        CLEANUP(value_unrefp)
        struct value *other = value_with(saved, "steps", value_list(&step, 1));
        struct plan *read = NULL;
        CHECK(plan_from_value(other, &read, NULL) == -ERROR_INVALID);
    }
}
