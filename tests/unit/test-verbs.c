/* The verb table: every row can be asked, and a wrong input is refused before anything happens. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "model/json.h"
#include "service/verbs.h"

static struct value *read_json(const char *text)
{
    struct value *value = NULL;
    CHECK(json_read(text, strlen(text), &value, NULL) == 0);
    return value;
}

static struct caller caller_with(unsigned int roles)
{
    static char principal[] = "agent";
    static char client[] = "a client";
    return (struct caller){principal, client, roles, AUTHENTICATION_TOKEN};
}

static struct site *read_site(const char *text)
{
    struct site *site = NULL;
    struct diagnostics diagnostics = {0};
    if (text)
        CHECK(world_write_file("verbs-site.yaml", text, strlen(text), 0600, false, NULL) == 0);
    CHECK(site_read(text ? "verbs-site.yaml" : NULL, &site, &diagnostics, NULL) == 0);
    CHECK(world_remove_file("verbs-site.yaml", NULL) == 0);
    diagnostics_done(&diagnostics);
    return site;
}

/* Asks a service that has nothing: what is refused must not need it. */
static int ask(const char *name, const char *input, struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = read_json(input);
    CLEANUP(site_freep) struct site *site = read_site(NULL);
    struct service service = {.site = site, .caller = caller_with(ROLE(ROLE_OWNER))};
    struct verb_answer answer = {0};
    struct verb_call call = {.input = value};
    int r = verb_run(&service, verb_find(name), &call, &answer, err);
    verb_answer_done(&answer);
    return r;
}

/* Whether a caller with these roles may ask a verb where the site has this text. */
static int check(const char *name, unsigned int roles, const char *text, struct error *err)
{
    CLEANUP(site_freep) struct site *site = read_site(text);
    struct caller caller = caller_with(roles);
    return verb_check_allowed(verb_find(name), &caller, site, err);
}

/* A document may come as a text, too, but not from a command line. */
static bool is_never_typed(const struct verb_input *input)
{
    return strcmp(input->name, "text") == 0 && !input->option && !input->shown;
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
                  (!verb->inputs[k].shown == (verb->inputs[k].kind == INPUT_FLAG) ||
                   is_never_typed(&verb->inputs[k])));
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
    CHECK(ask("resource_show", "{\"address\": 5, \"deploymnt\": \"x\"}", &err) == -ERROR_INVALID);
    CHECK(strstr(error_message(&err), "\"address\" must be a text"));
    CHECK(strstr(error_message(&err), "no field \"deploymnt\""));
    CHECK(strstr(error_message(&err), "\"deployment\" is missing"));
    CHECK(ask("plan_make", "{\"document\": \"\", \"variables\": {\"a\": 1}}", &err) ==
          -ERROR_INVALID);
    CHECK(strstr(error_message(&err), "\"document\" must be a text that is not empty"));
    CHECK(strstr(error_message(&err), "\"variables\" must be a map of texts"));
    error_done(&err);
}

/* What each role may do, effect by effect. */
TEST(each_role_may_do_what_it_is_for_and_nothing_else)
{
    static const struct {
        enum role role;
        const char *effects;
    } rows[] = {
        {ROLE_VIEWER, "read"},
        {ROLE_PLANNER, "read plan"},
        {ROLE_APPROVER, "read approve"},
        {ROLE_OPERATOR, "read plan apply stop"},
        {ROLE_ADMIN, "read plan approve apply stop administer"},
        {ROLE_OWNER, "read plan approve apply stop administer own"},
    };
    CHECK(ARRAY_LENGTH(rows) == ROLE_COUNT);
    CLEANUP(site_freep) struct site *site = read_site(NULL);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct caller caller = caller_with(ROLE(rows[i].role));
        for (size_t k = 0; k < verb_count(); k++) {
            const struct verb *verb = verb_at(k);
            bool may = strstr(rows[i].effects, verb_effect_to_string(verb->effect));
            struct error err = {0};
            CHECK((verb_check_allowed(verb, &caller, site, &err) == 0) == may);
            CHECK(may || (err.code == ERROR_DENIED && strstr(err.message, verb->name)));
            error_done(&err);
        }
    }
}

TEST(roles_add_up_and_without_one_nothing_can_be_asked)
{
    struct error err = {0};
    CHECK(check("run_resume", ROLE(ROLE_VIEWER) | ROLE(ROLE_OPERATOR), NULL, NULL) == 0);
    CHECK(check("plan_show", 0, NULL, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "its roles: none"));
    CHECK(check("run_resume", ROLE(ROLE_PLANNER), NULL, &err) == -ERROR_DENIED);
    CHECK_TEXT(
        error_message(&err),
        "run_resume needs the right to apply, and agent has not got it (its roles: planner). "
        "These roles have it: operator, admin; whoever gives out tokens can give one");
    CHECK(check("state_restore", ROLE(ROLE_ADMIN), NULL, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "at the command line"));
    error_done(&err);
}

TEST(a_read_only_site_refuses_changes_to_everybody_and_says_by_which_line)
{
    static const char text[] = "site:\n  format: 1\n  caps:\n    - read-only\n";
    struct error err = {0};
    CHECK(check("run_resume", ROLE(ROLE_OWNER), text, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "verbs-site.yaml:4 says read-only"));
    CHECK(check("twin_stop", ROLE(ROLE_OWNER), text, NULL) == -ERROR_DENIED);
    CHECK(check("deployment_status", ROLE(ROLE_VIEWER), text, NULL) == 0);
    CHECK(check("plan_destroy", ROLE(ROLE_PLANNER), text, NULL) == 0);
    CHECK(check("run_cancel", ROLE(ROLE_OPERATOR), text, NULL) == 0);
    error_done(&err);
}

TEST(a_site_without_destroying_has_no_verb_for_it)
{
    static const char text[] = "site: { caps: [no-destroy] }\n";
    struct error err = {0};
    CHECK(check("plan_destroy", ROLE(ROLE_OWNER), text, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "verbs-site.yaml:1 says no-destroy"));
    CHECK(check("plan_make", ROLE(ROLE_OWNER), text, NULL) == 0);
    CHECK(check("run_resume", ROLE(ROLE_OWNER), text, NULL) == 0);
    error_done(&err);
}

TEST(what_a_verb_may_change_is_what_it_says)
{
    CHECK(verb_find("run_resume")->effect == VERB_APPLY);
    CHECK(verb_find("run_cancel")->effect == VERB_STOP);
    CHECK(verb_find("lock_end")->effect == VERB_ADMINISTER);
    CHECK(verb_find("state_restore")->effect == VERB_OWN);
    CHECK(verb_find("plan_make")->effect == VERB_PLAN);
    CHECK(verb_find("deployment_status")->effect == VERB_READ);
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
