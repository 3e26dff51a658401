/* What runs leave that were killed: a socket that nobody answers on, and a row that says "pending"
 * of a process that never began. Private to service/. */
#pragma once

#include "service/service.h"

#include <stdbool.h>

/*
 * Makes the log of a new run and takes its lock. Who starts a run and then the run's process hold
 * it together, since they share the descriptor: as long as it is held, one of them lives.
 */
int run_open_log(struct service *service, const char *run_id, int *ret_fd, struct error *err);
/* The same log, for a run that is resumed; the lease tells that it lives. */
int run_open_log_again(struct service *service, const char *run_id, int *ret_fd, struct error *err);
bool run_is_held(struct service *service, const char *run_id);

/* A run that is pending and never will begin, since nobody holds it, is said to have failed, in the
 * store and in *run. The other one does this for the newest run of a deployment. */
void unbegun_settle(struct service *service, struct store_run *run);
void unbegun_settle_newest(struct service *service, const char *deployment_uid);

/*
 * Why a run ended early, by what its process said last and how it ended, and what to do. Fails with
 * the code that the run's process failed with, or ERROR_UNAVAILABLE.
 */
int run_tell_death(struct service *service, const char *run_id, struct error *err);

/* A run that has not begun says in its row why, so that nobody waits for it. */
void unbegun_end(struct service *service, struct store_run *run, const struct error *err);
