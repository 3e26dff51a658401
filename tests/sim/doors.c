/* People at their doors: who plans the file, and who changes a value in words beside it. */
#include "sim/sim.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "service/edits.h"
#include "sim/estate.h"
#include "sim/file.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EDITOR_TRIES = 8 };

struct finding found;

/* --- The file --- */

/* As the person at the door would send it: with the newest revision that was seen, where the file
 * and what was done since contradict each other. The caller frees it. */
static char *read_document(void)
{
    static const char first[] = "deployment:\n";
    char *text = file_read();
    if (!text || sim->seen_revision == 0)
        return text;
    /* One that was brought up to date names another. */
    char *line = strstr(text, "\n  revision: ");
    char *rest = line ? strchr(line + 1, '\n') : NULL;
    if (line)
        memmove(line, rest ? rest : "", rest ? strlen(rest) + 1 : 1);
    char *named = string_format("%s  revision: %" PRId64 "\n%s", first, sim->seen_revision,
                                text + strlen(first));
    mem_free(text);
    return named;
}

/* A file may contradict what somebody else did, and while the disk is in trouble a new secret
 * cannot be kept; nothing else is wrong with any. */
static void note_faults(const struct diagnostics *diagnostics, bool *ret_has_conflict)
{
    for (size_t i = 0; i < diagnostics->n_items; i++) {
        const struct diagnostic *item = &diagnostics->items[i];
        if (item->severity != DIAGNOSTIC_ERROR)
            continue;
        if (item->code == DIAGNOSTIC_MERGE_CONFLICT)
            *ret_has_conflict = true;
        else if (item->code == DIAGNOSTIC_ADOPTION)
            sim_trace("it cannot be adopted: %s", item->detail);
        else if (item->code != DIAGNOSTIC_SECRET_SOURCE || sim->is_calm)
            sim_violation("the plan has a fault: %s", item->detail);
    }
}

static CO_FN int load_records(struct process *process, struct records *records, struct error *err)
{
    struct store *store = process->service->store;
    struct store_deployment deployment = {0};
    int r = store_find_deployment(store, SIM_DEPLOYMENT, "default", &deployment, err);
    if (r == 0)
        r = store_load_records(store, deployment.uid, records, err);
    store_deployment_done(&deployment);
    return r;
}

/* What is there already is named by who remembers it, sometimes before all else is done. */
static CO_FN void name_estate(struct process *process, struct plan_request *request,
                              struct value **ret_adopt)
{
    struct records records = {0};
    if (!story_has_estate() || random_chance(&sim->importers, 20))
        return;
    int r = load_records(process, &records, NULL);
    if (r == 0 || r == -ERROR_NOT_FOUND)
        *ret_adopt = story_list_estate(&records);
    records_done(&records);
    if (!*ret_adopt || value_count(*ret_adopt) == 0)
        return;
    request->adopt = *ret_adopt;
    request->only_adopts = random_chance(&sim->importers, 40);
    estate_asked(*ret_adopt);
}

static CO_FN int plan_file(struct process *process, bool *ret_has_conflict, struct plan **ret_plan,
                           struct error *err)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(mem_freep) char *text = read_document();
    CLEANUP(value_unrefp) struct value *adopt = NULL;
    struct plan_request request = {.source = {.path = "story.yaml", .text = text},
                                   .refresh = sim->goes_by_records ? PLAN_REFRESH_NONE
                                                                   : PLAN_REFRESH_FULL};
    *ret_has_conflict = false;
    if (!text)
        return error_set(err, ERROR_UNAVAILABLE, "the document cannot be read");
    name_estate(process, &request, &adopt);
    process->only_adopts = request.only_adopts;
    int r = service_plan(process->service, &request, ret_plan, NULL, &diagnostics, err);
    if (!process->is_dead)
        note_faults(&diagnostics, ret_has_conflict);
    diagnostics_done(&diagnostics);
    return r;
}

static CO_FN int see_newest(struct process *process, struct error *err)
{
    struct store_deployment deployment = {0};
    int r =
        store_find_deployment(process->service->store, SIM_DEPLOYMENT, "default", &deployment, err);
    if (r == 0)
        sim->seen_revision = sim->known_revision = deployment.head_revision;
    store_deployment_done(&deployment);
    sim_trace("process %d has seen revision %" PRId64, process->id, sim->seen_revision);
    return r;
}

/* Whoever meets a contradiction looks at what was done, and says so in the file. */
static CO_FN int make_plan(struct process *process, struct plan **ret_plan, struct error *err)
{
    bool has_conflict = false;
    int r = plan_file(process, &has_conflict, ret_plan, err);
    if (r == 0 || !has_conflict)
        return r;
    error_done(err);
    r = see_newest(process, err);
    return r < 0 ? r : plan_file(process, &has_conflict, ret_plan, err);
}

/* --- Approving --- */

/* People take back what somebody else did only where they have seen it. */
static bool may_take_back(const struct plan *plan)
{
    bool may = true;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct value *reverts = plan->steps[i].reverts;
        for (size_t k = 0; reverts && k < value_count(reverts); k++) {
            int64_t number = value_get_integer(value_at(reverts, k), "revision", 0);
            may = may && number <= sim->known_revision;
            if (number > sim->known_revision)
                sim_violation("%s would take back revision %" PRId64 ", and the file does not ask "
                              "for that",
                              plan->steps[i].id, number);
        }
    }
    return may;
}

static CO_FN int approve(struct process *process, const struct plan *plan, struct error *err)
{
    if (!may_take_back(plan))
        return error_set(err, ERROR_DENIED, "nobody approves what takes back another's work");
    oracle_reverts_approved(plan);
    oracle_approval_begins();
    int r = service_approve(process->service, plan, &(struct consent){.is_seen = true}, err);
    /* Also one that the process died over may be durable. */
    oracle_approved(plan->hash, world_wall_clock() + 3600 * SECOND);
    if (fault_takes(FAULT_EXPIRE))
        loop_sleep(process->loop, random_between(&sim->doors, 1800, 7200) * SECOND);
    return r;
}

static CO_FN int approve_new(struct process *process, const struct plan *plan, struct error *err)
{
    oracle_planned(plan);
    sim_trace("process %d plans %.12s with %zu steps", process->id, plan->hash, plan->n_steps);
    return approve(process, plan, err);
}

/* Somebody asks for the same plan once more, without looking at it again: each approval is for one
 * run, so that it may begin only while none has. */
static CO_FN void repeat(struct process *process, const struct plan *plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run = NULL;
    if (!story_has_repeaters() || sim->is_calm || !random_chance(&sim->repeaters, 30))
        return;
    loop_sleep(process->loop, random_between(&sim->repeaters, 0, 60) * SECOND);
    bool was_used = oracle_is_used(plan->hash);
    int r = service_start_run(process->service, plan, &run, &err);
    if (process->is_dead)
        r = -1;
    else
        sim_trace("process %d asks for %.12s once more: %s", process->id, plan->hash,
                  r < 0 ? error_message(&err) : "0");
    if (r == 0 && was_used && oracle_is_used(plan->hash))
        sim_violation("the plan %.12s was accepted by an approval that a run had used", plan->hash);
    error_done(&err);
}

static CO_FN int start(struct process *process, const struct plan *plan, struct error *err)
{
    CLEANUP(mem_freep) char *run = NULL;
    int r = approve_new(process, plan, err);
    if (r == 0)
        r = service_start_run(process->service, plan, &run, err);
    if (r == 0)
        repeat(process, plan);
    return r;
}

/* --- Letting go --- */

static CO_FN int forget(struct process *process, struct value_builder *addresses, struct error *err)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(value_unrefp) struct value *list = value_builder_list(addresses);
    struct plan_request request = {.deployment = SIM_DEPLOYMENT, .forget = list};
    int r = service_plan(process->service, &request, &plan, NULL, &diagnostics, err);
    diagnostics_done(&diagnostics);
    return r < 0 ? r : start(process, plan, err);
}

static struct remote *find_named(const char *told)
{
    for (size_t i = 0; i < REMOTES; i++)
        if (text_starts_with(told, remotes[i].instance))
            return &remotes[i];
    return NULL;
}

static bool is_there(const struct record *record)
{
    struct remote *remote = find_named(record->instance);
    return remote && remote_has(remote, record);
}

#define NO_MARK "carries our mark"

/* Lets go of the records of the instance that was told of, or of those of them that are not there.
 */
static CO_FN void forget_there(struct process *process, const char *told, bool is_all)
{
    struct records records = {0};
    struct error err = {0};
    struct value_builder addresses = {0};
    if (load_records(process, &records, &err) == 0) {
        for (size_t i = 0; i < records.n_items; i++)
            if (text_starts_with(told, records.items[i]->instance) &&
                (is_all || !is_there(records.items[i])))
                value_builder_append(&addresses, value_string(records.items[i]->address));
        (void)forget(process, &addresses, &err);
        sim_trace("process %d lets go of what %s", process->id, told);
    }
    error_done(&err);
    records_done(&records);
}

/* Who knows that it is the same system plans what is to be done by the records; where that is
 * nothing, they let go of what is there, to name it again. */
static CO_FN void go_by_records(struct process *process, const char *told)
{
    struct error err = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    sim->goes_by_records = true;
    int r = make_plan(process, &plan, &err);
    sim->goes_by_records = false;
    if (r == 0 && plan_has_effects(plan))
        r = start(process, plan, &err);
    else if (r == 0)
        forget_there(process, told, true);
    sim_trace("process %d goes by the records: %s", process->id, r < 0 ? error_message(&err) : "0");
    error_done(&err);
}

/* Where others have removed all that there was, or something in an account that may be another, the
 * engine makes nothing anew by itself: somebody looks, and lets the records go of what is not
 * there. Where nothing tells that it is ours, all of it goes that stayed in a former account; one
 * that an instance is merely mistaken for is not looked at further. */
static CO_FN void forget_gone(struct process *process, struct error *err)
{
    CLEANUP(mem_freep) char *told = string_copy(error_message(err));
    const struct remote *remote = find_named(told);
    bool is_mistaken = strstr(told, " is another ");
    error_done(err);
    if (!strstr(told, NO_MARK))
        forget_there(process, told, false);
    else if (remote && remote->former)
        forget_there(process, told, true);
    else if (!is_mistaken)
        go_by_records(process, told);
}

void forgetter_body(struct process *process)
{
    struct error err = {0};
    struct records records = {0};
    struct value_builder addresses = {0};
    int r = process_open(process, &err);
    if (r == 0)
        r = load_records(process, &records, &err);
    const char *address = r == 0 && records.n_items > 0
                              ? story_choose_record(&records, random_next(&sim->importers))
                              : NULL;
    if (address) {
        value_builder_append(&addresses, value_string(address));
        r = forget(process, &addresses, &err);
    }
    if (address && !process->is_dead)
        sim_trace("process %d forgets %s: %s", process->id, address,
                  r < 0 ? error_message(&err) : "0");
    oracle_note_output(process, error_message(&err));
    records_done(&records);
    error_done(&err);
}

/* --- The account --- */

static CO_FN int settle(struct process *process, struct error *err)
{
    struct store_deployment deployment = {0};
    int r =
        store_find_deployment(process->service->store, SIM_DEPLOYMENT, "default", &deployment, err);
    if (r == 0)
        r = service_settle(process->service, deployment.uid, err);
    store_deployment_done(&deployment);
    return r;
}

static bool is_of_another_account(const char *message)
{
    return strstr(message, "only there can be told") != NULL;
}

/* A run was begun while the credentials led to another account: they are led there once more, until
 * what it did is settled, and then back. */
static CO_FN void lead_back(struct process *process, struct error *err)
{
    int r = -1;
    for (size_t i = 0; r < 0 && i < REMOTES && is_of_another_account(error_message(err)); i++) {
        const char *told = strstr(error_message(err), "early: ");
        struct remote *remote = find_named(told ? told + strlen("early: ") : error_message(err));
        if (!remote)
            break;
        sim_trace("process %d leads %s to the account of its run", process->id, remote->name);
        remote->leads_elsewhere = true;
        error_done(err);
        r = settle(process, err);
    }
    for (size_t i = 0; i < REMOTES; i++)
        remotes[i].leads_elsewhere = false;
    sim_trace("process %d has settled what was begun there: %s", process->id,
              r < 0 ? error_message(err) : "0");
}

/* Who looks at what is to be given up gives it up only where every account of it is one that
 * nothing leads to any more; one that an instance was merely mistaken for is led to for that time.
 */
static CO_FN bool may_give_up(struct process *process, const struct value *left)
{
    const struct value *accounts = value_get(left, "accounts");
    bool is_all_lost = value_count(accounts) > 0;
    for (size_t i = 0; i < value_count(accounts); i++) {
        const struct value *account = value_at(accounts, i);
        struct remote *remote = find_named(value_get_text(account, "instance"));
        const char *planned = value_get_text(account, "planned");
        if (remote && remote_is_lost(remote, planned))
            continue;
        is_all_lost = false;
        if (!remote)
            continue;
        CLEANUP(mem_freep) char *mistaken = remote_identity(remote, true);
        remote->leads_elsewhere = text_equal(planned, mistaken);
        sim_trace("process %d leads %s to the account of its run", process->id, remote->name);
    }
    return is_all_lost;
}

/* False: there is nothing of the kind. */
static CO_FN bool give_up(struct process *process, struct error *err)
{
    struct service *service = process->service;
    bool has_given_up = false;
    for (size_t i = 0; i <= REMOTES && !has_given_up && !process->is_dead; i++) {
        CLEANUP(value_unrefp) struct value *left = NULL;
        CLEANUP(value_unrefp) struct value *given = NULL;
        int r = service_show_left(service, SIM_DEPLOYMENT, &left, err);
        if (r == 0 && may_give_up(process, left)) {
            r = service_give_up(service, SIM_DEPLOYMENT, value_get_text(left, "run"),
                                value_get_text(left, "digest"), &given, err);
            has_given_up = r == 0;
            sim_trace("process %d gives up %zu effects: %s", process->id,
                      value_count(value_get(left, "effects")), r < 0 ? error_message(err) : "0");
        }
        if (r < 0)
            break;
    }
    for (size_t i = 0; i < REMOTES; i++)
        remotes[i].leads_elsewhere = false;
    return has_given_up;
}

static bool has_moved(void)
{
    for (size_t i = 0; i < REMOTES; i++)
        if (remotes[i].former)
            return true;
    return false;
}

static CO_FN void leave_account(struct process *process, struct error *err)
{
    struct error told = {0};
    (void)error_move(&told, err);
    bool has_left = has_moved() && give_up(process, err);
    error_done(err);
    (void)error_move(err, &told);
    if (!has_left)
        lead_back(process, err);
}

/* --- The door --- */

static CO_FN int plan_and_start(struct process *process, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = make_plan(process, &plan, err);
    if (r < 0)
        return r;
    if (!plan_has_effects(plan)) {
        found.is_settled = !process->is_dead && !process->only_adopts;
        snprintf(found.uid, sizeof(found.uid), "%s", plan->deployment_uid);
        sim_trace("process %d finds nothing to do", process->id);
        return 0;
    }
    return start(process, plan, err);
}

void door_body(struct process *process)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run = NULL;
    bool resumes = random_chance(&sim->doors, 40);
    int r = process_open(process, &err);
    if (r == 0 && resumes)
        r = service_resume_run(process->service, SIM_DEPLOYMENT, &run, &err);
    if (r == -ERROR_NOT_FOUND || (r == 0 && !run)) {
        error_done(&err);
        r = plan_and_start(process, &err);
    }
    oracle_note_output(process, error_message(&err));
    if (!process->is_dead && r < 0)
        sim_trace("process %d: %s", process->id, error_message(&err));
    if (!process->is_dead && r == -ERROR_CONFLICT &&
        (strstr(error_message(&err), "recorded resources is there any more") ||
         strstr(error_message(&err), "recorded resources are not there") ||
         strstr(error_message(&err), NO_MARK)))
        forget_gone(process, &err);
    else if (!process->is_dead && is_of_another_account(error_message(&err)))
        leave_account(process, &err);
    error_done(&err);
}

/* --- Words --- */

static CO_FN int edit(struct process *process, const char *setting, struct error *err)
{
    struct edited edited = {0};
    struct value_builder settings = {0};
    struct diagnostics diagnostics = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    value_builder_append(&settings, value_string(setting));
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&settings);
    struct edit_request request = {.settings = list, .deployment = SIM_DEPLOYMENT};
    int r = service_edit(process->service, &request, &edited, err);
    if (r == 0) {
        struct plan_request wanted = {.source = {.path = edited.label, .text = edited.after},
                                      .origin = edited.origin,
                                      .base = edited.base,
                                      .refresh = true};
        r = service_plan(process->service, &wanted, &plan, NULL, &diagnostics, err);
    }
    if (r == 0 && plan_has_effects(plan))
        r = start(process, plan, err);
    diagnostics_done(&diagnostics);
    edited_done(&edited);
    return r;
}

void editor_body(struct process *process)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *name = story_choose_edit(sim->edit);
    CLEANUP(mem_freep)
    char *setting = name ? string_format("%s.label=edit-%d", name, process->id) : NULL;
    int r = setting ? process_open(process, &err) : 0;
    for (int i = 0; r == 0 && setting && i < EDITOR_TRIES; i++) {
        struct service *service = process->service;
        CLEANUP(mem_freep) char *words = string_format("set %s", setting);
        struct caller editor = service->caller;
        editor.principal = (char[]){SIM_EDITOR};
        service_set_caller(service, &editor, words);
        int done = edit(process, setting, &err);
        if (!process->is_dead)
            sim_trace("process %d sets %s: %s", process->id, setting,
                      done < 0 ? error_message(&err) : "0");
        oracle_note_output(process, error_message(&err));
        error_done(&err);
        if (done == 0 || process->is_dead)
            break;
        loop_sleep(process->loop, 100 * SECOND);
    }
    error_done(&err);
}

/* --- The file, by a command --- */

/* What it comes to is planned and approved, then written, then carried out. */
static CO_FN int set_in_file(struct process *process, const char *setting, struct error *err)
{
    struct edited edited = {0};
    struct value_builder settings = {0};
    struct diagnostics diagnostics = {0};
    bool has_conflict = false;
    CLEANUP(mem_freep) char *run = NULL;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(value_unrefp) struct value *adopt = NULL;
    value_builder_append(&settings, value_string(setting));
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&settings);
    struct edit_request request = {.settings = list, .file = SIM_FILE};
    int r = service_edit(process->service, &request, &edited, err);
    struct plan_request wanted = {.source = {.path = SIM_FILE, .text = edited.after},
                                  .refresh = true};
    if (r == 0) {
        name_estate(process, &wanted, &adopt);
        r = service_plan(process->service, &wanted, &plan, NULL, &diagnostics, err);
    }
    if (!process->is_dead)
        note_faults(&diagnostics, &has_conflict);
    diagnostics_done(&diagnostics);
    bool has_effects = r == 0 && plan_has_effects(plan);
    if (has_effects)
        r = approve_new(process, plan, err);
    if (r == 0)
        r = file_write(edited.after, err);
    if (r == 0 && has_effects)
        r = service_start_run(process->service, plan, &run, err);
    edited_done(&edited);
    return r;
}

/* The file takes over what was done beside it, and names the newest revision. */
static CO_FN int pull(struct process *process, struct error *err)
{
    struct edited edited = {0};
    struct diagnostics diagnostics = {0};
    CLEANUP(mem_freep) char *text = file_read();
    if (!text)
        return error_set(err, ERROR_UNAVAILABLE, "the document cannot be read");
    int r =
        service_pull(process->service, SIM_DEPLOYMENT, SIM_FILE, text, &edited, &diagnostics, err);
    diagnostics_done(&diagnostics);
    if (r == 0 && edited.base > sim->known_revision)
        sim->known_revision = edited.base;
    if (r == 0)
        r = file_write(edited.after, err);
    edited_done(&edited);
    return r;
}

void writer_body(struct process *process)
{
    struct error err = {0};
    bool pulls = random_chance(&sim->writers, 40);
    CLEANUP(mem_freep) char *name = story_choose_edit(random_next(&sim->writers));
    CLEANUP(mem_freep)
    char *setting = name ? string_format("%s.label=" SIM_FILE_LABEL "%d", name, process->id) : NULL;
    int r = process_open(process, &err);
    if (r == 0 && pulls)
        r = pull(process, &err);
    else if (r == 0 && setting)
        r = set_in_file(process, setting, &err);
    oracle_note_output(process, error_message(&err));
    if (!process->is_dead)
        sim_trace("process %d %s %s: %s", process->id, pulls ? "pulls" : "sets in the file",
                  pulls || !setting ? "" : setting, r < 0 ? error_message(&err) : "0");
    error_done(&err);
}
