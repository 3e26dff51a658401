/* The table of the verbs, and what carries each out. */
#include "service/verb-machine.h"

#include "base/memory.h"
#include "base/text.h"
#include "service/drift.h"
#include "service/edits-internal.h"

#include <assert.h>

enum { MAX_PAGE = 1000000 };

/* --- What carries them out --- */

static struct document_source source_of(const struct service *service, const struct verb_call *call)
{
    return (struct document_source){
        .is_from_elsewhere = service->caller.authentication != AUTHENTICATION_USER,
        .path = value_get_text(call->input, "document"),
        .text = value_get_text(call->input, "text"),
        .variables = value_get(call->input, "variables"),
    };
}

static int load(struct service *service, const struct verb_call *call, struct verb_answer *answer,
                struct loaded_document *loaded, struct error *err)
{
    struct document_source source = source_of(service, call);
    int r = service_load_document(service, &source, loaded, &answer->diagnostics, err);
    answer->text = take_ptr(loaded->text);
    return r;
}

static int validate_document(struct service *service, const struct verb_call *call,
                             struct verb_answer *answer, struct error *err)
{
    struct loaded_document loaded = {0};
    struct value_builder fields = {0};
    int r = load(service, call, answer, &loaded, err);
    if (r == 0) {
        value_builder_set_string(&fields, "document", value_get_text(call->input, "document"));
        value_builder_set(&fields, "resources", value_integer((int64_t)loaded.wanted.n_items));
        answer->value = value_builder_map(&fields);
    }
    loaded_document_done(&loaded);
    return r;
}

static int expand_document(struct service *service, const struct verb_call *call,
                           struct verb_answer *answer, struct error *err)
{
    struct loaded_document loaded = {0};
    struct value_builder fields = {0};
    int r = load(service, call, answer, &loaded, err);
    if (r == 0) {
        CLEANUP(mem_freep) char *text = service_expand(&loaded);
        value_builder_set_string(&fields, "document", text);
        answer->value = value_builder_map(&fields);
    }
    loaded_document_done(&loaded);
    return r;
}

static void tell_pass(void *argument, const char *pass, const struct plan *plan)
{
    const struct verb_call *call = argument;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "kind", "pass");
    value_builder_set_string(&fields, "pass", pass);
    value_builder_set(&fields, "steps", value_integer((int64_t)plan->n_steps));
    value_builder_set(&fields, "kept", value_integer((int64_t)plan->counts[STEP_KEEP]));
    CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
    call->sink(call->argument, event);
}

static void tell_reading(void *argument, size_t n_read, size_t n_records)
{
    const struct verb_call *call = argument;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "kind", "reading");
    value_builder_set(&fields, "read", value_integer((int64_t)n_read));
    value_builder_set(&fields, "of", value_integer((int64_t)n_records));
    CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
    call->sink(call->argument, event);
}

/* Of a document, or of a deployment's removal. */
static int make_plan(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    struct plan_request request = {
        .source = source_of(service, call),
        .deployment = value_get_text(call->input, "deployment"),
        .forget = value_get(call->input, "addresses"),
        .adopt = value_get(call->input, "adopt"),
        .action = {value_get_text(call->input, "address"), value_get_text(call->input, "action"),
                   value_get_text(call->input, "member")},
        .targets = value_get(call->input, "targets"),
        .trace = call->sink ? tell_pass : NULL,
        .reading = call->sink ? tell_reading : NULL,
        .trace_argument = (void *)call,
    };
    int r = plan_refresh_from_string(value_get_text(call->input, "refresh"), &request.refresh, err);
    if (r < 0)
        return r;
    return service_plan(service, &request, &answer->plan, &answer->text, &answer->diagnostics, err);
}

static int plan_rollback(struct service *service, const struct verb_call *call,
                         struct verb_answer *answer, struct error *err)
{
    return service_plan_rollback(service, value_get_text(call->input, "deployment"), &answer->plan,
                                 &answer->text, &answer->diagnostics, err);
}

static int show_plan(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    return service_get_plan(service, value_get_text(call->input, "plan"), &answer->plan, err);
}

static int show_approvals(struct service *service, const struct verb_call *call,
                          struct verb_answer *answer, struct error *err)
{
    return service_show_approvals(service, value_get_text(call->input, "plan"), &answer->value,
                                  err);
}

static int show_status(struct service *service, const struct verb_call *call,
                       struct verb_answer *answer, struct error *err)
{
    const char *word = value_get_text(call->input, "deployment");
    return word ? service_status(service, word, &answer->value, err)
                : service_list_deployments(service, &answer->value, err);
}

static int show_drift(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    return service_drift(service, value_get_text(call->input, "deployment"), &answer->value, err);
}

/* The number of a page; the first where none is named. */
static int read_page(const struct verb_call *call, size_t *ret_page, struct error *err)
{
    const char *text = value_get_text(call->input, "page");
    int64_t page = 1;
    if (text && (!text_to_integer(text, &page) || page < 1 || page > MAX_PAGE))
        return error_set(err, ERROR_INVALID, "a page is a number from 1 on, not \"%s\"", text);
    *ret_page = (size_t)page;
    return 0;
}

static int show_resources(struct service *service, const struct verb_call *call,
                          struct verb_answer *answer, struct error *err)
{
    const char *address = value_get_text(call->input, "address");
    CLEANUP(value_unrefp) struct value *records = NULL;
    size_t page = 0;
    int r = value_get(call->input, "page") ? read_page(call, &page, err) : 0;
    if (r < 0 || (r = service_show(service, value_get_text(call->input, "deployment"), address,
                                   page, &records, err)) < 0)
        return r;
    const struct value *first = value_count(records) > 0 ? value_at(records, 0) : NULL;
    /* Several of one address are its generations; instances have addresses of their own. */
    bool is_one = address && first && text_equal(value_get_text(first, "address"), address);
    answer->value = is_one ? value_ref((struct value *)first) : take_ptr(records);
    return 0;
}

static int show_outputs(struct service *service, const struct verb_call *call,
                        struct verb_answer *answer, struct error *err)
{
    const char *word = value_get_text(call->input, "deployment");
    const char *name = value_get_text(call->input, "output");
    CLEANUP(value_unrefp) struct value *outputs = NULL;
    int r = service_outputs(service, word, &outputs, err);
    if (r < 0)
        return r;
    struct value *wanted = name ? value_get(outputs, name) : outputs;
    if (!wanted)
        return error_set(err, ERROR_NOT_FOUND, "%s has no output \"%s\"", word, name);
    answer->value = value_ref(wanted);
    return 0;
}

static int list_secrets(struct service *service, const struct verb_call *call,
                        struct verb_answer *answer, struct error *err)
{
    return service_list_secrets(service, value_get_text(call->input, "deployment"), &answer->value,
                                err);
}

static int show_secret(struct service *service, const struct verb_call *call,
                       struct verb_answer *answer, struct error *err)
{
    const char *word = value_get_text(call->input, "deployment");
    const char *name = value_get_text(call->input, "secret");
    CLEANUP(value_unrefp) struct value *all = NULL;
    int r = service_list_secrets(service, name ? word : NULL, &all, err);
    const char *wanted = name ? name : word;
    for (size_t i = 0; r == 0 && i < value_count(all) && !answer->value; i++)
        if (text_equal(value_get_text(value_at(all, i), "name"), wanted))
            answer->value = value_ref(value_at(all, i));
    return r < 0 || answer->value
               ? r
               : error_set(err, ERROR_NOT_FOUND, "there is no secret \"%.80s\"", wanted);
}

static int show_history(struct service *service, const struct verb_call *call,
                        struct verb_answer *answer, struct error *err)
{
    size_t page = 0;
    int r = read_page(call, &page, err);
    return r < 0 ? r
                 : service_history(service, value_get_text(call->input, "deployment"), page,
                                   &answer->value, err);
}

static int list_audit(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    return service_show_audit(service, value_get_text(call->input, "deployment"), &answer->value,
                              err);
}

static int verify_audit(struct service *service, const struct verb_call *call,
                        struct verb_answer *answer, struct error *err)
{
    return service_verify_audit(service, value_get_text(call->input, "digest"), &answer->value,
                                err);
}

static int show_types(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    const char *name = value_get_text(call->input, "type");
    if (name)
        return service_show_type(service, name, &answer->value, err);
    answer->value = service_list_types(service);
    return 0;
}

static int list_runs(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    size_t page = 0;
    int r = read_page(call, &page, err);
    return r < 0 ? r
                 : service_list_runs(service, value_get_text(call->input, "deployment"), page,
                                     &answer->value, err);
}

static int show_run(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err)
{
    return service_show_run(service, value_get_text(call->input, "run"), &answer->value, err);
}

static struct value *name_run(const char *id)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "run", id);
    return value_builder_map(&fields);
}

static int cancel_run(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    const char *id = value_get_text(call->input, "run");
    int r = service_cancel_run(service, id, err);
    if (r == 0)
        answer->value = name_run(id);
    return r;
}

static int resume_run(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    int r = service_resume_run(service, value_get_text(call->input, "deployment"), &id, err);
    if (r == 0)
        answer->value = name_run(id);
    return r;
}

static int show_lock(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    return service_show_lock(service, value_get_text(call->input, "deployment"), &answer->value,
                             err);
}

static int unlock(struct service *service, const struct verb_call *call, struct verb_answer *answer,
                  struct error *err)
{
    int64_t pid = 0;
    const char *text = value_get_text(call->input, "pid");
    if (!text_to_integer(text, &pid) || pid < 0)
        return error_set(err, ERROR_INVALID, "pid is a process's number, not \"%s\"", text);
    return service_unlock(service, value_get_text(call->input, "deployment"), pid, &answer->value,
                          err);
}

static int show_left(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    return service_show_left(service, value_get_text(call->input, "deployment"), &answer->value,
                             err);
}

static int give_up(struct service *service, const struct verb_call *call,
                   struct verb_answer *answer, struct error *err)
{
    return service_give_up(service, value_get_text(call->input, "deployment"),
                           value_get_text(call->input, "run"),
                           value_get_text(call->input, "digest"), &answer->value, err);
}

static int show_logs(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    struct log_request request = {
        .name = value_get_text(call->input, "name"),
        .since = value_get_text(call->input, "since"),
        .match = value_get_text(call->input, "match"),
        .follow = value_get_bool(call->input, "follow", false),
        .sink = call->sink,
        .argument = call->argument,
    };
    return service_show_logs(service, &request, &answer->value, err);
}

static int show_top(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err)
{
    (void)call;
    return service_twin_top(service, &answer->value, err);
}

static int show_events(struct service *service, const struct verb_call *call,
                       struct verb_answer *answer, struct error *err)
{
    return service_list_events(service, value_get_text(call->input, "name"), &answer->value, err);
}

/* --- The table --- */

/* clang-format off */
#define DOCUMENT {"document", INPUT_TEXT, true, NULL, "FILE", "the document's file"}
/* Not on a command line: its document is a file. */
#define TEXT \
    {"text", INPUT_TEXT, false, NULL, NULL, "the document itself; its file is only named then"}
#define VARIABLES \
    {"variables", INPUT_MAP, false, "--var", "NAME=VALUE", "sets a variable of the document"}
#define REFRESH \
    {"refresh", INPUT_TEXT, false, "--refresh", "full|changed|none", \
     "what is read of what is there: all, only what the document changes, or nothing"}
#define DEPLOYMENT \
    {"deployment", INPUT_TEXT, true, NULL, "NAME", "the deployment: NAME or NAME@ENVIRONMENT"}
#define ANY_DEPLOYMENT \
    {"deployment", INPUT_TEXT, false, NULL, "NAME", "only this deployment"}
#define PAGE \
    {"page", INPUT_TEXT, false, "--page", "N", "older ones: 50 are a page, the newest on the first"}
#define SNAPSHOT {"snapshot", INPUT_TEXT, true, NULL, "FILE", "the snapshot's file"}
#define TOKEN_FILE \
    {"file", INPUT_TEXT, false, "--file", "FILE", "the file of the tokens; else what the site says, or tokens.yaml in the state folder"}
#define RUN {"run", INPUT_TEXT, true, NULL, "ID", "the run's id"}

static const struct verb verbs[] = {
    {"document_validate", "check a document and name every fault", VERB_READ,
     {DOCUMENT, TEXT, VARIABLES}, validate_document},
    {"document_expand", "the document with all that patterns add", VERB_READ,
     {DOCUMENT, TEXT, VARIABLES}, expand_document},
    {"plan_make", "show what would be done, and change nothing", VERB_PLAN,
     {DOCUMENT, TEXT, VARIABLES, REFRESH,
      {"targets", INPUT_LIST, false, "--target", "ADDRESS",
       "limits the plan to this resource and what it needs; may be repeated"},
      {"adopt", INPUT_MAP, false, "--import", "NAME=ID",
       "what is there already under this id becomes the resource, instead of a new one"}},
     make_plan},
    {"plan_import", "show what taking over what is there already would do", VERB_PLAN,
     {DEPLOYMENT,
      {"address", INPUT_TEXT, true, NULL, "ADDRESS", "the resource that it is to be"},
      {"id", INPUT_TEXT, true, NULL, "ID", "what the system calls it"},
      {"document", INPUT_TEXT, false, "--file", "FILE",
       "the document; without it, the newest revision"},
      {"type", INPUT_TEXT, false, "--type", "TYPE",
       "writes what is found into the document, as a resource of this type"},
      {"instance", INPUT_TEXT, false, "--instance", "INSTANCE", "with --type: where it is"},
      {"update", INPUT_FLAG, false, "--update", NULL,
       "changes it as well where it is not as the document says, with all that is due"},
      VARIABLES}, edits_plan_import},
    {"resource_list", "what a system has of a type, whoever made it", VERB_READ,
     {{"type", INPUT_TEXT, true, "--list", "TYPE", "the type"},
      {"instance", INPUT_TEXT, false, "--instance", "INSTANCE", "where to look"}}, edits_list},
    {"plan_destroy", "show what the removal of a deployment would do", VERB_PLAN,
     {DEPLOYMENT, REFRESH}, make_plan},
    {"plan_forget", "show what letting go of resources' records would do", VERB_PLAN,
     {DEPLOYMENT,
      {"addresses", INPUT_LIST, true, NULL, "ADDRESS",
       "the resources to forget; the name of a counted one means all of it"}},
     make_plan},
    {"plan_act", "show what an action on a resource would do, which is no change of its document",
     VERB_PLAN,
     {DEPLOYMENT,
      {"address", INPUT_TEXT, true, NULL, "ADDRESS", "the resource"},
      {"action", INPUT_TEXT, true, NULL, "ACTION",
       "what is done; a database has promote, promote-with-loss, fence, drain and rejoin, hosts have "
       "drain and resume"},
      {"member", INPUT_TEXT, true, NULL, "MEMBER",
       "the part of the resource that it is done to, as its status names it"}},
     make_plan},
    {"plan_rollback", "show the way back of a deployment's newest run", VERB_PLAN, {DEPLOYMENT},
     plan_rollback},
    {"plan_set", "show what a change of single values would do", VERB_PLAN,
     {{"settings", INPUT_LIST, false, NULL, "NAME.PROPERTY=VALUE",
       "what is to be: of a resource, or of a variable as var.NAME=VALUE"},
      {"unset", INPUT_LIST, false, "--unset", "NAME.PROPERTY", "takes a value out"},
      {"document", INPUT_TEXT, false, "--file", "FILE",
       "the document to edit; without it, the newest revision"},
      {"deployment", INPUT_TEXT, false, "--in", "NAME",
       "the deployment, where several have such a resource"},
      VARIABLES, REFRESH}, edits_plan_set},
    {"plan_undo", "show the way back to an earlier revision", VERB_PLAN,
     {DEPLOYMENT,
      {"revision", INPUT_TEXT, false, "--to", "REVISION",
       "the revision to go back to; without it, the one before the newest"},
      REFRESH}, edits_plan_undo},
    {"document_pull", "the newest revision as a document, with the comments of the file", VERB_READ,
     {DEPLOYMENT,
      {"document", INPUT_TEXT, false, NULL, "FILE", "the file to bring up to date"}}, edits_pull},
    {"plan_show", "a plan that was made before", VERB_READ,
     {{"plan", INPUT_TEXT, true, NULL, "HASH", "its hash, or the first digits of it"}}, show_plan},
    {"approval_show", "who made a plan, which approval it needs, and which it has", VERB_READ,
     {{"plan", INPUT_TEXT, true, NULL, "HASH", "its hash, or the first digits of it"}},
     show_approvals},
    {"deployment_status", "what is there now, read from the systems", VERB_READ,
     {ANY_DEPLOYMENT}, show_status},
    {"deployment_drift", "what is there and was not applied so, and both ways out of it", VERB_PLAN,
     {ANY_DEPLOYMENT}, show_drift},
    {"plan_adopt_drift", "show what letting the document follow what is there would do", VERB_PLAN,
     {DEPLOYMENT,
      {"adopt", INPUT_FLAG, true, "--adopt", NULL, "lets the document say what is there"},
      {"document", INPUT_TEXT, false, "--file", "FILE",
       "the document to edit; without it, the newest revision"}}, edits_plan_drift},
    {"resource_show", "the records of a deployment, or one of them", VERB_READ,
     {DEPLOYMENT,
      {"address", INPUT_TEXT, false, NULL, "ADDRESS",
       "only this resource, or the instances of this counted one"},
      {"page", INPUT_TEXT, false, "--page", "N", "50 are a page, by address; the first is 1"}},
     show_resources},
    {"output_show", "the outputs of a deployment, or one of them", VERB_READ,
     {DEPLOYMENT, {"output", INPUT_TEXT, false, NULL, "OUTPUT", "only this output"}},
     show_outputs},
    {"secret_list", "the secrets of a deployment, or of the site: sources and digests, no texts",
     VERB_READ, {{"deployment", INPUT_TEXT, false, NULL, "NAME",
                  "the deployment; without it, what the site has"}}, list_secrets},
    {"secret_show", "where a secret comes from and its digest, not its text", VERB_READ,
     {{"deployment", INPUT_TEXT, true, NULL, "NAME",
       "the deployment, or without SECRET a secret of the site"},
      {"secret", INPUT_TEXT, false, NULL, "SECRET", "the secret"}}, show_secret},
    {"deployment_history", "revisions and runs, newest first", VERB_READ,
     {DEPLOYMENT, PAGE}, show_history},
    {"audit_list", "who approved, ran and changed what, the newest 200 entries", VERB_READ,
     {ANY_DEPLOYMENT}, list_audit},
    {"audit_verify", "whether anything of that was altered, taken out or put in", VERB_READ,
     {{"digest", INPUT_TEXT, false, NULL, "DIGEST",
       "one that was noted before: the chain must still have it"}},
     verify_audit},
    {"type_show", "the resource types, or all about one", VERB_READ,
     {{"type", INPUT_TEXT, false, NULL, "TYPE", "only this type"}}, show_types},
    {"run_list", "the runs, newest first", VERB_READ, {ANY_DEPLOYMENT, PAGE}, list_runs},
    {"run_show", "a run with its journal", VERB_READ, {RUN}, show_run},
    {"run_cancel", "ask a run to stop; what is under way ends first", VERB_STOP,
     {RUN}, cancel_run},
    {"run_resume", "go on with a run that ended early", VERB_APPLY, {DEPLOYMENT}, resume_run},
    {"lock_show", "who holds a deployment's lease", VERB_READ, {DEPLOYMENT}, show_lock},
    {"lock_end", "end the process that holds a deployment's lease, and settle what it left",
     VERB_ADMINISTER,
     {DEPLOYMENT, {"pid", INPUT_TEXT, true, "--pid", "PID", "the process, as lock_show names it"}},
     unlock},
    {"run_left", "what an open run may have left in an account that nothing leads to any more",
     VERB_READ, {DEPLOYMENT}, show_left},
    {"run_give_up", "let go of that: the run is over, and what may be left is written down",
     VERB_ADMINISTER, {DEPLOYMENT,
      {"run", INPUT_TEXT, true, "--run", "ID", "the run, as run_left names it"},
      {"digest", INPUT_TEXT, true, "--digest", "DIGEST", "of what is given up, as run_left gives it"}},
     give_up},
    {"token_new", "make a token for the server, which is shown once", VERB_OWN,
     {{"principal", INPUT_TEXT, true, NULL, "PRINCIPAL", "who shows it is taken for this principal"},
      {"roles", INPUT_LIST, true, "--role", "ROLE",
       "viewer, planner, approver, operator or admin; may be repeated"},
      {"expires", INPUT_TEXT, false, "--until", "TIME", "when it ends: 2027-01-31T00:00:00Z"},
      TOKEN_FILE}, verb_make_token},
    {"token_list", "the tokens for the server: whose, which roles, until when", VERB_OWN,
     {TOKEN_FILE}, verb_list_tokens},
    {"token_remove", "remove a token, so that the server refuses it", VERB_OWN,
     {{"token", INPUT_TEXT, true, NULL, "PRINCIPAL",
       "whose tokens, or the first 12 digits of one's digest"}, TOKEN_FILE}, verb_remove_token},
    {"state_check", "look at every page and row of what Parley remembers", VERB_READ, {{0}},
     verb_check_state},
    {"state_repair", "put a damaged store right as far as that can be proved", VERB_OWN, {{0}},
     verb_repair_state},
    {"state_snapshot", "write a copy of the store", VERB_OWN,
     {{"snapshot", INPUT_TEXT, false, NULL, "FILE",
       "the copy's file; else one in the folder snapshots of the state folder"}},
     verb_take_snapshot},
    {"state_plan_restore", "what a snapshot's records say against what is there", VERB_OWN,
     {SNAPSHOT}, verb_plan_restore},
    {"state_restore", "bring a snapshot's records back", VERB_OWN,
     {SNAPSHOT, {"plan", INPUT_TEXT, true, "--plan", "HASH", "the hash of the restore's plan"}},
     verb_restore_state},
    {"log_show", "what the programs of a deployment, a resource or an instance printed", VERB_READ,
     {{"name", INPUT_TEXT, true, NULL, "NAME",
       "a deployment, a resource, an instance (a host of the twin), or one program of it"},
      {"since", INPUT_TEXT, false, "--since", "WHEN",
       "only what came since then: 10m, or 2026-11-21T22:16Z"},
      {"match", INPUT_TEXT, false, "--match", "TEXT", "only lines with this text"},
      {"follow", INPUT_FLAG, false, "--follow", NULL, "goes on with what comes"}},
     show_logs},
    {"twin_status", "what the twin's supervisor says of itself", VERB_READ, {{0}}, verb_show_twin},
    {"twin_top", "what each instance of the twin uses, over a second", VERB_READ, {{0}}, show_top},
    {"twin_events", "programs of the twin that ended unasked, and that run again", VERB_READ,
     {{"name", INPUT_TEXT, false, NULL, "NAME", "only of this deployment, resource or instance"}},
     show_events},
    {"twin_check", "what the twin needs and this machine lacks", VERB_READ, {{0}}, verb_check_twin},
    {"twin_stop", "stop the twin; what it has is kept", VERB_ADMINISTER, {{0}}, verb_stop_twin},
};
/* clang-format on */

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
        if (text_equal(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

size_t verb_count(void)
{
    return ARRAY_LENGTH(verbs);
}

const struct verb *verb_at(size_t index)
{
    assert(index < ARRAY_LENGTH(verbs));
    return &verbs[index];
}
