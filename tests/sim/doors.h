/* What people at their doors have in common (doors.c, letting-go.c). */
#pragma once

#include "service/service.h"
#include "sim/sim.h"

/* Only some faults may be found in a document: none that is not listed there. */
void door_note_faults(const struct diagnostics *diagnostics, bool *ret_has_conflict);

/* Of the deployment; ERROR_NOT_FOUND without one. */
CO_FN int door_load_records(struct process *process, struct records *records, struct error *err);

/*
 * Has a request for a plan name what is there already: by who remembers it, sometimes before all
 * else is done. The request borrows *ret_adopt, which the caller unrefs; untouched when nobody
 * does.
 */
CO_FN void door_name_estate(struct process *process, struct plan_request *request,
                            struct value **ret_adopt);

/* Plans the file. */
CO_FN int door_plan(struct process *process, struct plan **ret_plan, struct error *err);
/* Approves a plan and starts its run; perhaps asks for it once more. */
CO_FN int door_start(struct process *process, const struct plan *plan, struct error *err);
/* As a command that edits the file: approves a plan that does something, writes the text (NULL:
 * none), then starts the run. */
CO_FN int door_carry_out(struct process *process, const struct plan *plan, const char *text,
                         struct error *err);

/* Somebody does something about a failure, where it says that things are not there any more, or
 * that they are in another account; r is its code. */
CO_FN void door_let_go(struct process *process, int r, struct error *err);
