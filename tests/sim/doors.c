/* People at their doors: who plans the file, approves it and starts its run. */
#include "sim/doors.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/estate.h"
#include "sim/file.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
void door_note_faults(const struct diagnostics *diagnostics, bool *ret_has_conflict)
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

int door_load_records(struct process *process, struct records *records, struct error *err)
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
void door_name_estate(struct process *process, struct plan_request *request,
                      struct value **ret_adopt)
{
    struct records records = {0};
    if (!story_has_estate() || random_chance(&sim->importers, 20))
        return;
    int r = door_load_records(process, &records, NULL);
    if (r == 0 || r == -ERROR_NOT_FOUND)
        *ret_adopt = story_list_estate(&records, request->source.text, true);
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
    door_name_estate(process, &request, &adopt);
    process->only_adopts = request.only_adopts;
    int r = service_plan(process->service, &request, ret_plan, NULL, &diagnostics, err);
    if (!process->is_dead)
        door_note_faults(&diagnostics, ret_has_conflict);
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
int door_plan(struct process *process, struct plan **ret_plan, struct error *err)
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

/* Of a plan that nobody has seen before. */
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

int door_carry_out(struct process *process, const struct plan *plan, const char *text,
                   struct error *err)
{
    CLEANUP(mem_freep) char *run = NULL;
    bool has_effects = plan_has_effects(plan);
    int r = has_effects ? approve_new(process, plan, err) : 0;
    if (r == 0 && text)
        r = file_write(text, err);
    if (r == 0 && has_effects)
        r = service_start_run(process->service, plan, &run, err);
    return r;
}

int door_start(struct process *process, const struct plan *plan, struct error *err)
{
    CLEANUP(mem_freep) char *run = NULL;
    int r = approve_new(process, plan, err);
    if (r == 0)
        r = service_start_run(process->service, plan, &run, err);
    if (r == 0)
        repeat(process, plan);
    return r;
}

/* --- The door --- */

static CO_FN int plan_and_start(struct process *process, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = door_plan(process, &plan, err);
    if (r < 0)
        return r;
    if (!plan_has_effects(plan)) {
        found.is_settled = !process->is_dead && !process->only_adopts;
        snprintf(found.uid, sizeof(found.uid), "%s", plan->deployment_uid);
        sim_trace("process %d finds nothing to do", process->id);
        return 0;
    }
    return door_start(process, plan, err);
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
    if (!process->is_dead && r < 0)
        door_let_go(process, r, &err);
    error_done(&err);
}
