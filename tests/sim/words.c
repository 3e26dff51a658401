/* Who changes a value in words beside the file, and who does it in the file by a command. */
#include "sim/doors.h"

#include "base/memory.h"
#include "base/text.h"
#include "service/edits.h"
#include "sim/file.h"
#include "sim/oracle.h"
#include "sim/story.h"

enum { EDITOR_TRIES = 8 };

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
        r = door_start(process, plan, err);
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
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(value_unrefp) struct value *adopt = NULL;
    value_builder_append(&settings, value_string(setting));
    CLEANUP(value_unrefp) struct value *list = value_builder_list(&settings);
    struct edit_request request = {.settings = list, .file = SIM_FILE};
    int r = service_edit(process->service, &request, &edited, err);
    struct plan_request wanted = {.source = {.path = SIM_FILE, .text = edited.after},
                                  .refresh = true};
    if (r == 0) {
        door_name_estate(process, &wanted, &adopt);
        r = service_plan(process->service, &wanted, &plan, NULL, &diagnostics, err);
    }
    if (!process->is_dead)
        door_note_faults(&diagnostics, &has_conflict);
    diagnostics_done(&diagnostics);
    if (r == 0)
        r = door_carry_out(process, plan, edited.after, err);
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
