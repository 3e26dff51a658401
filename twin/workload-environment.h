/*
 * The environment of a service, from the document to the workload: it comes as the workload's
 * stdin, so that neither /proc nor a file of ours shows it. The texts of secrets are read from the
 * files of given (provider/twin/given.h) for that one moment. From the first one on a process
 * overwrites what it frees.
 */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "model/value.h"
#include "twin/machine.h"

/* Name -> text, or the handle of a secret; a map, to be compared. The caller unrefs it. */
struct value *workload_environment(const struct machine_workload *workload);

/* Appends "NAME=VALUE" of each, with a NUL behind it. ERROR_NOT_FOUND when the text of a secret is
 * not there. */
int workload_environment_add(const struct value *environment, const char *given_folder,
                             const char *resource, struct strbuf *content, struct error *err);
/* What a workload of that stack reads; the caller closes it. ERROR_NOT_FOUND when the text of a
 * secret is not there. */
int workload_environment_write(const struct value *environment, const char *given_folder,
                               const char *resource, int *ret_descriptor, struct error *err);

/* The workload's side: reads "NAME=VALUE", each with a NUL behind it, to the end of a descriptor.
 * The caller frees the map of texts with workload_environment_done(). */
int workload_environment_read(int fd, struct map *ret_variables, struct error *err);
void workload_environment_done(struct map *variables);
