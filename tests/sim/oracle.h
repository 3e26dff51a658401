/*
 * What must never happen, watched from outside: the oracle sees what the store said is durable,
 * what arrives at the remote systems, what is approved, and compares.
 */
#pragma once

#include "sim/remote.h"
#include "sim/sim.h"
#include "store/driver.h"

void oracle_begin(void);
void oracle_done(void);

/* --- The store's side (watch.c tells) --- */
/* A batch was acknowledged to the process, which had begun to send it at that time. */
void oracle_committed(struct process *process, const struct store_batch *batch, int64_t begun_at);
/* It died meanwhile: the batch is durable, or it is not. */
void oracle_interrupted(const struct store_batch *batch);
/* Whether a batch has rows of this kind. */
bool batch_has_row(const struct store_batch *batch, const char *kind);

/* --- The runs' side --- */
/* A plan is about to be approved. */
void oracle_planned(const struct plan *plan);
/* A process took the lease. */
void oracle_lease_taken(const struct process *process);
/* Whether a run has begun by the approvals of a plan, and nobody has approved it since. */
bool oracle_is_used(const char *plan_hash);
/* A run began, on records of this version. */
void oracle_run_started(const struct process *process, int64_t records_version);
/* A plan that takes back what somebody else did is approved for that, too. */
void oracle_reverts_approved(const struct plan *plan);
void oracle_approval_begins(void);
/* For each that began. */
void oracle_approved(const char *plan_hash, int64_t expires_at);
void oracle_run_begins(struct process *process);
void oracle_forget(struct process *process);

/* --- The providers' side --- */
/* A driver is called; what it sends may leave later. */
void oracle_call_begins(const struct process *process, const struct step *step);
void oracle_sent(const struct process *process, const struct remote *remote,
                 const struct target *target, const struct step *step);
void oracle_made(const struct remote *remote, const struct object *object);
void oracle_changed(const struct remote *remote, const struct object *object,
                    const struct value *spec);
void oracle_ended(const struct remote *remote, const struct object *object, const char *uid);
void oracle_meddled(const struct remote *remote, const struct object *object, bool is_removed);

/* --- What is told --- */
/* Whatever leaves a process in words: no canary may be in it. */
void oracle_note_output(const struct process *process, const char *text);

/* --- At the end --- */
/* In a process that has the store open: acknowledged rows are there, and every thing is known. */
CO_FN void oracle_check_store(struct store *store, const char *deployment_uid);
/* The same, after convergence: records and things are the same. */
CO_FN void oracle_check_converged(struct store *store, const char *deployment_uid);
