/* What people do about what is not there any more: they let its record go, or lead an instance to
 * the account that it was in. */
#include "sim/doors.h"

#include "base/memory.h"
#include "base/text.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/story.h"

#include <string.h>

/* --- Letting go --- */

static CO_FN int forget(struct process *process, struct value_builder *addresses, struct error *err)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(value_unrefp) struct value *list = value_builder_list(addresses);
    struct plan_request request = {.deployment = SIM_DEPLOYMENT, .forget = list};
    int r = service_plan(process->service, &request, &plan, NULL, &diagnostics, err);
    diagnostics_done(&diagnostics);
    return r < 0 ? r : door_start(process, plan, err);
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
    if (door_load_records(process, &records, &err) == 0) {
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
    int r = door_plan(process, &plan, &err);
    sim->goes_by_records = false;
    if (r == 0 && plan_has_effects(plan))
        r = door_start(process, plan, &err);
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
        r = door_load_records(process, &records, &err);
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

/* --- Which of them --- */

static bool is_about_gone(const char *message)
{
    return strstr(message, "recorded resources is there any more") ||
           strstr(message, "recorded resources are not there") || strstr(message, NO_MARK);
}

void door_let_go(struct process *process, int r, struct error *err)
{
    if (r == -ERROR_CONFLICT && is_about_gone(error_message(err)))
        forget_gone(process, err);
    else if (is_of_another_account(error_message(err)))
        leave_account(process, err);
}
