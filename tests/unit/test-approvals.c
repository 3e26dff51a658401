/* Which approvals count: what a site demands, and who can give it. */
#include "auth/signing.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "net/coroutine.h"
#include "service/approvals.h"
#include "service/planning.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE_FILE "approvals-site.yaml"
enum { SECOND = 1000000 };

static struct service service;
static struct plan *plan;

static struct caller caller_of(char *principal, enum authentication authentication)
{
    static char client[] = "a client";
    return (struct caller){principal, client, ROLE(ROLE_ADMIN), authentication};
}

static void ask_as(char *principal, enum authentication authentication)
{
    struct caller caller = caller_of(principal, authentication);
    service_set_caller(&service, &caller, "words");
}

static char agent[] = "agent";
static char person[] = "person";

static void read_site(const char *text)
{
    struct diagnostics diagnostics = {0};
    site_free(service.site);
    service.site = NULL;
    CHECK(world_write_file(SITE_FILE, text, strlen(text), 0600, false, NULL) == 0);
    int r = site_read(SITE_FILE, &service.site, &diagnostics, NULL);
    CHECK(world_remove_file(SITE_FILE, NULL) == 0);
    CHECK(r == 0);
    diagnostics_done(&diagnostics);
}

static struct plan *new_plan(const char *environment, bool is_protected)
{
    struct plan *made = plan_new();
    made->deployment = string_copy("shop");
    made->environment = string_copy(environment);
    made->deployment_uid = string_copy("11111111-1111-5111-8111-111111111111");
    made->catalog_digest = string_copy("digest");
    made->is_production = text_equal(environment, "production");
    struct step *step = plan_add_step(made);
    step->id = string_copy("create box#1");
    step->kind = STEP_CREATE;
    step->reason = STEP_REASON_NEW;
    step->address = string_copy("box");
    step->generation = 1;
    step->type = string_copy("acme:thing:box");
    step->instance = string_copy("acme.default");
    step->uid = string_copy("box-1");
    step->origin = string_copy("document");
    step->protect = is_protected;
    step->after = value_builder_map(&(struct value_builder){0});
    plan_seal(made);
    return made;
}

/* The agent makes the plan. */
static void make_plan(const char *environment, bool is_protected)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    plan_free(plan);
    plan = new_plan(environment, is_protected);
    ask_as(agent, AUTHENTICATION_TOKEN);
    planning_put_plan(&service, batch, plan);
    CHECK(store_commit(service.store, batch, NULL, NULL) == 0);
}

static int approve(struct error *err)
{
    error_done(err);
    return service_approve(&service, plan, &(struct consent){.is_seen = true, .name = "shop"}, err);
}

static int check(struct error *err)
{
    struct standing standing = {0};
    error_done(err);
    return approvals_check(&service, plan, NULL, &standing, err);
}

/* A row as it may have come into the store by other ways. */
static void put_approval(const char *principal, const char *level, int64_t created_at,
                         int64_t expires_at)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "principal", principal);
    value_builder_set_string(&fields, "level", level);
    value_builder_set(&fields, "created_at", value_integer(created_at));
    value_builder_set(&fields, "expires_at", value_integer(expires_at));
    CLEANUP(value_unrefp) struct value *approval = value_builder_map(&fields);
    store_batch_add_approval(batch, plan->hash, approval);
    CHECK(store_commit(service.store, batch, NULL, NULL) == 0);
}

/* --- A test runs as a coroutine --- */

struct body {
    void (*run)(void);
    int end;
};

static void body_enter(void *argument)
{
    struct body *body = argument;
    jmp_buf outer;
    memcpy(outer, test_end, sizeof(outer));
    int end = setjmp(test_end);
    if (end == 0)
        body->run();
    body->end = end;
    memcpy(test_end, outer, sizeof(outer));
}

static void run_with_service(void (*run)(void))
{
    struct body body = {.run = run};
    service = (struct service){.loop = loop_new()};
    service.store = store_open_memory(service.loop);
    loop_spawn(service.loop, "test", body_enter, &body);
    loop_run(service.loop);
    store_close(service.store);
    loop_free(service.loop);
    coroutine_pool_done();
    site_free(service.site);
    caller_done(&service.caller);
    mem_free(service.words);
    plan_free(plan);
    plan = NULL;
    if (body.end != 0)
        longjmp(test_end, body.end);
}

#define SERVICE_TEST(name)             \
    static void body_##name(void);     \
    TEST(name)                         \
    {                                  \
        run_with_service(body_##name); \
    }                                  \
    static void body_##name(void)

/* --- What a site demands --- */

/* The level that is demanded of a plan for an environment, and by which line. */
static bool demands(const char *environment, bool is_protected, enum approval_level level,
                    unsigned int line)
{
    CLEANUP(plan_freep) struct plan *wanted = new_plan(environment, is_protected);
    struct demand demand = approvals_demand(&service, wanted);
    return demand.level.level == level && demand.level.line == line;
}

SERVICE_TEST(a_site_that_says_nothing_demands_nothing_and_approvals_last_an_hour)
{
    read_site("site: {}\n");
    CHECK(demands("default", true, APPROVAL_NONE, 0));
    CHECK(demands("production", false, APPROVAL_NONE, 0));
    make_plan("default", false);
    CHECK(approvals_demand(&service, plan).lasts == (int64_t)3600 * SECOND);
}

SERVICE_TEST(what_an_environment_says_goes_before_the_top_and_protection_only_adds)
{
    read_site("site:\n"
              "  approval:\n"
              "    level: none\n"
              "    production: separated\n"
              "    protect: signed\n"
              "    expires: 15m\n"
              "  environments:\n"
              "    lab: { approval: separated }\n"
              "    production: { approval: { level: none, expires: 1m } }\n"
              "    live: { production: true }\n");
    CHECK(demands("default", false, APPROVAL_NONE, 3));
    CHECK(demands("default", true, APPROVAL_SIGNED, 5));
    CHECK(demands("lab", false, APPROVAL_SEPARATED, 8));
    CHECK(demands("lab", true, APPROVAL_SIGNED, 5));
    CHECK(demands("production", false, APPROVAL_NONE, 9));
    make_plan("production", false);
    CHECK(approvals_demand(&service, plan).lasts == (int64_t)60 * SECOND);
    make_plan("lab", false);
    CHECK(approvals_demand(&service, plan).lasts == (int64_t)15 * 60 * SECOND);
}

SERVICE_TEST(production_is_demanded_for_by_its_own_line)
{
    read_site("site:\n  approval: { level: none, production: separated }\n");
    CHECK(demands("production", false, APPROVAL_SEPARATED, 2));
    CHECK(demands("default", false, APPROVAL_NONE, 2));
}

/* --- Who can give it --- */

SERVICE_TEST(who_only_is_the_same_user_gives_no_more_than_none)
{
    struct error err = {0};
    read_site("site:\n  approval: separated\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_USER);
    CHECK(approve(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "person can give it at the level none alone"));
    CHECK(strstr(error_message(&err), SITE_FILE ":2 demands the level separated"));
    CHECK(strstr(error_message(&err), "role approver"));
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    read_site("site: {}\n");
    CHECK(approve(&err) == 0 && check(&err) == 0);
    read_site("site:\n  approval: separated\n");
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(a_token_gives_separated_and_not_signed)
{
    struct error err = {0};
    read_site("site: { approval: separated }\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(approve(&err) == 0 && check(&err) == 0);
    read_site("site: { approval: signed }\n");
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "demands the level signed"));
    CHECK(approve(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(who_made_the_plan_is_not_another)
{
    struct error err = {0};
    read_site("site: { approval: { level: separated, fourEyes: true } }\n");
    make_plan("default", false);
    CHECK(approve(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "agent made the plan, and " SITE_FILE ":1 wants another"));
    put_approval("agent", "separated", world_wall_clock(), world_wall_clock() + 60LL * SECOND);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(approve(&err) == 0 && check(&err) == 0);
    error_done(&err);
}

SERVICE_TEST(who_made_the_same_plan_later_is_a_maker_too)
{
    struct error err = {0};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    read_site("site: { approval: { level: separated, fourEyes: true } }\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(approve(&err) == 0 && check(&err) == 0);
    planning_put_plan(&service, batch, plan);
    CHECK(store_commit(service.store, batch, NULL, NULL) == 0);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(an_approval_ends_when_it_says_and_not_later_than_the_site_says)
{
    struct error err = {0};
    int64_t now = world_wall_clock();
    read_site("site: { approval: { expires: 10m } }\n");
    make_plan("default", false);
    put_approval("a", "none", now - 100LL * SECOND, now - 1);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "too long ago"));
    put_approval("b", "none", now - 601LL * SECOND, now + 3600LL * SECOND);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    put_approval("c", "none", now - 300LL * SECOND, now + 3600LL * SECOND);
    struct standing standing = {0};
    CHECK(approvals_check(&service, plan, NULL, &standing, &err) == 0);
    CHECK(standing.until == now + 300LL * SECOND);
    error_done(&err);
}

SERVICE_TEST(an_approval_that_does_not_say_whose_it_is_counts_for_nothing)
{
    struct error err = {0};
    int64_t now = world_wall_clock();
    read_site("site: {}\n");
    make_plan("default", false);
    put_approval("a", "absolute", now, now + 60LL * SECOND);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    put_approval("a", "signed", now, now + 60LL * SECOND);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "has no signature"));
    put_approval(NULL, "none", now, now + 60LL * SECOND);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(a_caller_without_the_role_approves_nothing)
{
    struct error err = {0};
    read_site("site: {}\n");
    make_plan("default", false);
    struct caller caller = caller_of(agent, AUTHENTICATION_TOKEN);
    caller.roles = ROLE(ROLE_PLANNER) | ROLE(ROLE_OPERATOR);
    service_set_caller(&service, &caller, "words");
    CHECK(approve(&err) == -ERROR_DENIED && strstr(error_message(&err), "approver, admin"));
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

/* A run began by the approvals that there are. */
static void use(const char *run)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_use_approvals(batch, plan->hash, run);
    CHECK(store_commit(service.store, batch, NULL, NULL) == 0);
}

static int check_for(const char *run)
{
    struct standing standing = {0};
    return approvals_check(&service, plan, run, &standing, NULL);
}

SERVICE_TEST(an_approval_is_for_one_run_and_that_goes_on_by_it)
{
    struct error err = {0};
    read_site("site:\n  approval: separated\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(approve(&err) == 0 && approve(&err) == 0);
    CHECK(check(&err) == 0);
    use("11111111-run");
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "used by the run 11111111") != NULL);
    CHECK(check_for("22222222-run") == -ERROR_APPROVAL_NEEDED);
    CHECK(check_for("11111111-run") == 0);
    CHECK(approve(&err) == 0);
    CHECK(check(&err) == 0);
    use("22222222-run");
    CHECK(check_for("22222222-run") == 0);
    CHECK(check_for("11111111-run") == -ERROR_APPROVAL_NEEDED);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(a_refusal_takes_back_what_was_approved_before_it)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run = NULL;
    read_site("site:\n  approval: separated\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(approve(&err) == 0);
    CHECK(service_refuse(&service, plan, NULL, &run, &err) == 0 && !run);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "person refused it") != NULL);
    CHECK(approve(&err) == 0);
    CHECK(check(&err) == 0);
    /* Too late for a run that has begun, but for its resuming. */
    use("11111111-run");
    CHECK(service_refuse(&service, plan, NULL, &run, &err) == 0);
    CHECK_TEXT(run, "11111111-run");
    CHECK(check_for("11111111-run") == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(a_link_decides_once)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run = NULL;
    struct consent consent = {.is_seen = true, .name = "shop", .link = "a"};
    read_site("site: {}\n");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_TOKEN);
    CHECK(service_approve(&service, plan, &consent, &err) == 0);
    CHECK(service_approve(&service, plan, &consent, &err) == -ERROR_EXISTS);
    error_done(&err);
    CHECK(service_refuse(&service, plan, "a", &run, &err) == -ERROR_EXISTS);
    error_done(&err);
    CHECK(check(&err) == 0);
    CHECK(service_refuse(&service, plan, "b", &run, &err) == 0);
    consent.link = "b";
    CHECK(service_approve(&service, plan, &consent, &err) == -ERROR_EXISTS);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
}

SERVICE_TEST(what_is_shown_says_what_counts_and_what_a_level_proves)
{
    int64_t now = world_wall_clock();
    CLEANUP(value_unrefp) struct value *shown = NULL;
    read_site("site:\n  approval: separated\n");
    make_plan("default", false);
    put_approval("root", "none", now, now + 60LL * SECOND);
    put_approval("person", "separated", now, now + 60LL * SECOND);
    CHECK(service_show_approvals(&service, plan->hash, &shown, NULL) == 0);
    CHECK_TEXT(value_get_text(value_get(shown, "demanded"), "level"), "separated");
    CHECK(value_get_integer(value_get(shown, "demanded"), "line", 0) == 2);
    const struct value *none = value_at(value_get(shown, "approvals"), 0);
    const struct value *separated = value_at(value_get(shown, "approvals"), 1);
    CHECK(!value_get_bool(none, "counts", true) && value_get_bool(separated, "counts", false));
    CHECK(strstr(value_get_text(none, "meaning"), "no proof of a person"));
    CHECK_TEXT(value_get_text(value_at(value_get(shown, "makers"), 0), "principal"), "agent");
}

/* --- Signatures --- */

static char folder[64];
static char site_file[96];
static char anna_key[96];
static char bert_key[96];
static char *anna;
static char *bert;
static struct strbuf annas_key; /* what is in the file */
static struct strbuf berts_key;

static void write_site(const char *roles_of_bert)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(mem_freep)
    char *text = string_format("site:\n  approval: { level: signed, expires: 10m }\n  approvers:\n"
                               "    - { principal: anna, key: \"%s\", roles: [approver] }\n"
                               "    - { principal: bert, key: \"%s\", roles: [%s] }\n",
                               anna, bert, roles_of_bert);
    site_free(service.site);
    service.site = NULL;
    CHECK(world_write_file(site_file, text, strlen(text), 0600, false, NULL) == 0);
    CHECK(site_read(site_file, &service.site, &diagnostics, NULL) == 0);
    diagnostics_done(&diagnostics);
}

/* Makes a key once and only writes its file from then on: a passphrase is made slow to try. */
static void put_key(const char *path, const char *passphrase, struct strbuf *file,
                    char **ret_public)
{
    if (file->length > 0) {
        CHECK(world_write_file(path, file->text, file->length, 0600, false, NULL) == 0);
        CHECK(signing_read_public(path, ret_public, NULL) == 0);
        return;
    }
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    CHECK(signing_make_key(path, passphrase, ret_public, NULL) == 0);
    CHECK(world_read_file(path, 10000, &text, &size, NULL) == 0);
    strbuf_add_n(file, text, size);
}

/* Two approvers, of whom the second has no role, and a plan of the agent. */
static void begin_signing(void)
{
    snprintf(folder, sizeof(folder), "%s/parley-signed-XXXXXX", temporary_folder());
    CHECK(mkdtemp(folder));
    snprintf(site_file, sizeof(site_file), "%s/site.yaml", folder);
    snprintf(anna_key, sizeof(anna_key), "%s/anna.key", folder);
    snprintf(bert_key, sizeof(bert_key), "%s/bert.key", folder);
    put_key(anna_key, "correct horse", &annas_key, &anna);
    put_key(bert_key, "battery staple", &berts_key, &bert);
    write_site("viewer");
    make_plan("default", false);
    ask_as(person, AUTHENTICATION_USER);
}

static void end_signing(void)
{
    unlink(site_file);
    unlink(anna_key);
    unlink(bert_key);
    rmdir(folder);
    mem_free(anna);
    mem_free(bert);
    anna = bert = NULL;
}

static struct value *sign_plan(const char *key, const char *passphrase, int64_t lasts,
                               struct error *err)
{
    struct value *made = NULL;
    struct signer signer = {key, passphrase, lasts};
    error_done(err);
    service_sign(&service, plan, &signer, &made, err);
    return made;
}

/* Whether the check fails for this reason once this row, which has this field instead of what was
 * signed, is the newest. */
static bool is_refused(const struct value *made, const char *key, struct value *take_value,
                       const char *reason)
{
    struct error err = {0};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp)
    struct value *labelled = value_with(made, "level", value_string("signed"));
    CLEANUP(value_unrefp)
    struct value *row = key ? value_with(labelled, key, take_value) : value_ref(labelled);
    planning_put_plan(&service, batch, plan);
    store_batch_add_approval(batch, plan->hash, row);
    CHECK(store_commit(service.store, batch, NULL, NULL) == 0);
    int r = check(&err);
    bool is_so = r == -ERROR_APPROVAL_NEEDED && strstr(error_message(&err), reason);
    if (!is_so)
        printf("# %s: %s\n", key ? key : "-", error_message(&err));
    error_done(&err);
    return is_so;
}

SERVICE_TEST(a_signed_approval_counts_and_is_its_signers)
{
    struct error err = {0};
    begin_signing();
    CLEANUP(value_unrefp) struct value *made = sign_plan(anna_key, "correct horse", 0, &err);
    CHECK(made);
    struct consent consent = {.is_seen = true, .signature = made};
    CHECK(service_approve(&service, plan, &consent, &err) == 0);
    CHECK(check(&err) == 0);
    CLEANUP(value_unrefp) struct value *shown = NULL;
    CHECK(service_show_approvals(&service, plan->hash, &shown, NULL) == 0);
    const struct value *row = value_at(value_get(shown, "approvals"), 0);
    CHECK_TEXT(value_get_text(row, "principal"), "anna");
    CHECK_TEXT(value_get_text(row, "level"), "signed");
    CHECK(value_get_bool(row, "counts", false));
    error_done(&err);
    end_signing();
}

SERVICE_TEST(who_has_no_passphrase_no_place_in_the_site_or_no_role_signs_nothing)
{
    struct error err = {0};
    begin_signing();
    CHECK(!sign_plan(anna_key, "wrong horse", 0, &err) && err.code == ERROR_DENIED);
    CHECK(strstr(error_message(&err), "not the passphrase"));
    CHECK(!sign_plan(anna_key, "correct horse", 11LL * 60 * SECOND, &err));
    CHECK(strstr(error_message(&err), "600 seconds at most"));
    CLEANUP(value_unrefp) struct value *made = sign_plan(bert_key, "battery staple", 0, &err);
    struct consent consent = {.is_seen = true, .signature = made};
    CHECK(service_approve(&service, plan, &consent, &err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "bert of ") &&
          strstr(error_message(&err), "not got the role"));
    read_site("site: { approval: signed }\n");
    CHECK(!sign_plan(anna_key, "correct horse", 0, &err) && err.code == ERROR_DENIED);
    CHECK(strstr(error_message(&err), "no approver with the key"));
    error_done(&err);
    end_signing();
}

/* Whoever may write the store puts there what he likes. */
SERVICE_TEST(a_signature_that_was_changed_or_is_of_something_else_counts_for_nothing)
{
    struct error err = {0};
    begin_signing();
    CLEANUP(value_unrefp) struct value *made = sign_plan(anna_key, "correct horse", 0, &err);
    int64_t until = value_get_integer(made, "expires_at", 0);
    int64_t from = value_get_integer(made, "created_at", 0);
    CHECK(is_refused(made, "signature", NULL, "has no signature"));
    CHECK(is_refused(made, "signature", value_string("AAAA"), "does not fit"));
    CHECK(is_refused(made, "expires_at", value_integer(until - 1), "does not fit"));
    CHECK(is_refused(made, "expires_at", value_integer(until + 3600LL * SECOND), "does not fit"));
    CHECK(is_refused(made, "created_at", value_integer(from + 1), "does not fit"));
    CHECK(is_refused(made, "principal", value_string("bert"), "no approver bert with the key"));
    CHECK(is_refused(made, "principal", value_string("carl"), "no approver carl with the key"));
    CHECK(is_refused(made, "key", value_string(bert), "no approver anna with the key"));
    CHECK(is_refused(made, "store", value_string("x"), "signed for another store"));
    CHECK(is_refused(made, "level", value_string("separated"), "level separated alone"));
    CHECK(is_refused(made, "plan", value_string("00112233445566"), "signed for another plan"));
    /* As it is, but in another store than it was signed for. */
    store_close(service.store);
    service.store = store_open_memory(service.loop);
    CHECK(is_refused(made, NULL, NULL, "signed for another store"));
    error_done(&err);
    end_signing();
}

SERVICE_TEST(a_signature_counts_until_the_end_that_was_signed)
{
    struct error err = {0};
    char *signature = NULL;
    begin_signing();
    int64_t now = world_wall_clock();
    const struct statement statement = {plan->hash, "anna", store_id(service.store),
                                        now - 300LL * SECOND, now - 1};
    CHECK(signing_sign(anna_key, "correct horse", &statement, &signature, &err) == 0);
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "principal", "anna");
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set_string(&fields, "store", statement.store);
    value_builder_set_string(&fields, "key", anna);
    value_builder_set_string(&fields, "signature", signature);
    value_builder_set(&fields, "created_at", value_integer(statement.from));
    value_builder_set(&fields, "expires_at", value_integer(statement.until));
    CLEANUP(value_unrefp) struct value *made = value_builder_map(&fields);
    CHECK(is_refused(made, NULL, NULL, "too long ago"));
    CHECK(is_refused(made, "expires_at", value_integer(now + 60LL * SECOND), "does not fit"));
    mem_free(signature);
    error_done(&err);
    end_signing();
}

SERVICE_TEST(a_signature_for_one_plan_does_not_count_for_another)
{
    struct error err = {0};
    begin_signing();
    CLEANUP(value_unrefp) struct value *made = sign_plan(anna_key, "correct horse", 0, &err);
    make_plan("lab", false);
    struct consent consent = {.is_seen = true, .signature = made};
    CHECK(service_approve(&service, plan, &consent, &err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "signed for another plan"));
    CLEANUP(value_unrefp)
    struct value *renamed = value_with(made, "plan", value_string(plan->hash));
    consent.signature = renamed;
    CHECK(service_approve(&service, plan, &consent, &err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "does not fit"));
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
    end_signing();
}

SERVICE_TEST(a_site_that_others_may_write_says_nothing_of_who_approves)
{
    struct error err = {0};
    begin_signing();
    CLEANUP(value_unrefp) struct value *made = sign_plan(anna_key, "correct horse", 0, &err);
    struct consent consent = {.is_seen = true, .signature = made};
    CHECK(service_approve(&service, plan, &consent, &err) == 0 && check(&err) == 0);
    CHECK(chmod(site_file, 0620) == 0);
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(strstr(error_message(&err), "others may write") &&
          strstr(error_message(&err), "site.yaml"));
    CHECK(!sign_plan(anna_key, "correct horse", 0, &err) && err.code == ERROR_DENIED);
    CHECK(chmod(site_file, 0644) == 0 && check(&err) == 0);
    CHECK(chmod(folder, 0770) == 0 && check(&err) == -ERROR_APPROVAL_NEEDED);
    CHECK(chmod(folder, 0700) == 0 && check(&err) == 0);
    write_site("approver");
    CHECK(check(&err) == 0);
    read_site("site: { approval: signed }\n");
    CHECK(check(&err) == -ERROR_APPROVAL_NEEDED);
    error_done(&err);
    end_signing();
}
