/* The verb table: every row can be asked, and a wrong input is refused before anything happens. */
#include "base/memory.h"
#include "base/text.h"
#include "harness.h"
#include "model/json.h"
#include "service/verbs.h"

static struct value *read_json(const char *text)
{
    struct value *value = NULL;
    CHECK(json_read(text, strlen(text), &value, NULL) == 0);
    return value;
}

/* Asks without a service: what is refused must not need one. */
static int ask(const char *name, enum verb_effect may, const char *input, struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = read_json(input);
    struct verb_answer answer = {0};
    struct verb_call call = {.may = may, .input = value};
    int r = verb_run(NULL, verb_find(name), &call, &answer, err);
    verb_answer_done(&answer);
    return r;
}

TEST(every_verb_is_a_noun_and_a_verb_and_says_what_it_takes)
{
    CHECK(verb_count() > 0);
    for (size_t i = 0; i < verb_count(); i++) {
        const struct verb *verb = verb_at(i);
        const char *underscore = strchr(verb->name, '_');
        CHECK(underscore && underscore != verb->name && underscore[1] != '\0');
        CHECK(verb_find(verb->name) == verb); /* so no name stands twice */
        CHECK(verb->run && verb->summary && *verb->summary && verb->effect < VERB_EFFECT_COUNT);
        for (size_t k = 0; k < verb_count_inputs(verb); k++)
            CHECK(verb->inputs[k].summary && *verb->inputs[k].summary &&
                  !verb->inputs[k].shown == (verb->inputs[k].kind == INPUT_FLAG));
    }
    CHECK(!verb_find("plan_nothing"));
}

TEST(a_word_that_is_needed_never_follows_one_that_is_not)
{
    for (size_t i = 0; i < verb_count(); i++) {
        bool may_be_missing = false;
        for (size_t k = 0; k < verb_count_inputs(verb_at(i)); k++) {
            const struct verb_input *input = &verb_at(i)->inputs[k];
            CHECK(input->option || !input->is_required || !may_be_missing);
            may_be_missing = may_be_missing || (!input->option && !input->is_required);
        }
    }
}

TEST(a_wrong_input_is_told_with_all_its_faults_and_nothing_is_asked)
{
    struct error err = {0};
    CHECK(ask("resource_show", VERB_APPLY, "{\"address\": 5, \"deploymnt\": \"x\"}", &err) ==
          -ERROR_INVALID);
    CHECK(strstr(error_message(&err), "\"address\" must be a text"));
    CHECK(strstr(error_message(&err), "no field \"deploymnt\""));
    CHECK(strstr(error_message(&err), "\"deployment\" is missing"));
    CHECK(ask("plan_make", VERB_APPLY, "{\"document\": \"\", \"variables\": {\"a\": 1}}", &err) ==
          -ERROR_INVALID);
    CHECK(strstr(error_message(&err), "\"document\" must be a text that is not empty"));
    CHECK(strstr(error_message(&err), "\"variables\" must be a map of texts"));
    error_done(&err);
}

TEST(what_changes_systems_needs_the_right_to)
{
    struct error err = {0};
    for (size_t i = 0; i < verb_count(); i++) {
        const struct verb *verb = verb_at(i);
        if (verb->effect == VERB_READ)
            continue;
        CHECK(ask(verb->name, VERB_READ, "{}", &err) == -ERROR_DENIED);
        CHECK(strstr(error_message(&err), verb->name));
    }
    CHECK(verb_find("run_resume")->effect == VERB_APPLY);
    CHECK(verb_find("run_cancel")->effect == VERB_APPLY);
    CHECK(verb_find("plan_make")->effect == VERB_PLAN);
    CHECK(verb_find("deployment_status")->effect == VERB_READ);
    error_done(&err);
}

TEST(an_input_is_described_as_a_json_schema)
{
    CLEANUP(value_unrefp) struct value *schema = verb_input_schema(verb_find("output_show"));
    CLEANUP(value_unrefp)
    struct value *want = read_json(
        "{\"type\": \"object\", \"additionalProperties\": false, \"required\": [\"deployment\"],"
        " \"properties\": {"
        "  \"deployment\": {\"type\": \"string\", \"minLength\": 1,"
        "    \"description\": \"the deployment: NAME or NAME@ENVIRONMENT\"},"
        "  \"output\": {\"type\": \"string\", \"minLength\": 1,"
        "    \"description\": \"only this output\"}}}");
    CHECK(value_equal(schema, want));
}
