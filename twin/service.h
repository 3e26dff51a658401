/* Small things that all modules do: find a program, keep files for a child, ask over HTTP. */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"
#include "twin/events.h"
#include "twin/http.h"
#include "twin/module.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The path of an installed program: looked for in PATH and where Debian keeps those that are not
 * for everybody. ERROR_MISSING names the package. The caller frees *ret_path with mem_free().
 */
int service_find_program(const char *program, const char *package, char **ret_path,
                         struct error *err);

/*
 * A folder, as twin_folder() gives it, for files that children read and only we write. The caller
 * frees *ret_path.
 */
int service_open_folder(struct twin *twin, const char *name, char **ret_path, struct error *err);
/* A folder below one of these, for children to read. Idempotent. */
int service_make_folder(const char *path, struct error *err);

/*
 * What is written by these two is not synced: each caller writes it anew, where it differs, before
 * anybody reads it in the next life.
 *
 * Writes a file there that every child may read. *ret_changed (may be NULL) tells whether its
 * content is new.
 */
int service_write(const char *path, const char *text, bool *ret_changed, struct error *err);
/* The same for what only one user's children may read. */
int service_write_secret(const char *path, const char *text, enum process_user user,
                         struct error *err);

/* Removes a folder and all that is in it, as far as that can be. */
void service_remove_folder(const char *path);
/* Makes durable which files a folder has. */
int service_sync_folder(const char *path, struct error *err);
/* Whether two paths that may be mounted differently lead to one folder. */
bool service_is_same_folder(const char *a, const char *b);

/* A name for files and sockets, [a-z0-9-]: the name or uid itself, or a digest of it where that
 * would make a path too long or lead elsewhere. The caller frees it. */
char *service_file_name(const char *name);

/* Asks a server of a host from within that host. Fills exchange as http_exchange() does. */
CO_FN int service_ask(struct twin *twin, const struct machine_host *host, uint16_t port,
                      struct http_exchange *exchange, int64_t deadline, struct error *err);

/* Whether a port of a host takes a connection, from within that host. */
CO_FN int service_connect(struct twin *twin, const struct machine_host *host, uint16_t port,
                          int64_t deadline, struct error *err);

/*
 * Runs work(argument, index) for each index below count, many beside each other, and returns when
 * all have ended.
 */
CO_FN void service_in_parallel(struct loop *loop, size_t count,
                               CO_FN void (*work)(void *argument, size_t index), void *argument);

/* Notes what happened, where somebody does. */
void service_note(const struct twin *twin, const struct event *event);

/* Adds "restarts" to a status, when there were any. */
void service_report_restarts(struct value_builder *status, unsigned int n_restarts);

/* Adds "problem": why a program does not run or does not answer, while that is so. NULL: it was not
 * started. */
void service_report_problem(struct value_builder *fields, const struct process *process);

/* "2027-01-31T08:00:00Z" as a value. */
struct value *service_time(int64_t wall_clock);
