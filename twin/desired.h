/*
 * From the manifest to the desired machine. Pure: no I/O, no clock. The only place of the
 * supervisor that knows resource types: each has one function in a table.
 */
#pragma once

#include "twin/machine.h"
#include "twin/manifest.h"
#include "twin/problems.h"

/* What is installed here that the machine depends on. */
struct desired_means {
    bool has_grafana;
    const struct tables *tables; /* the files that aliases name, as desired_list_files() tells them
                                    (NULL: none was read) */
};

/*
 * Computes the machine. What is wrong with a resource goes to faults, and the machine is made as if
 * that one were not there. *ret_assigned is what the manifest must keep if this machine is
 * accepted; the caller unrefs both.
 */
void desired_compute(const struct manifest *manifest, const struct desired_means *means,
                     struct machine **ret_machine, struct value **ret_assigned,
                     struct problems *faults);

struct tables;
/* Calls found() with each file that a machine of this manifest depends on, and how often to look at
 * it. */
void desired_list_files(const struct manifest *manifest,
                        void (*found)(void *argument, const char *path, int64_t period_us),
                        void *argument);

/* A canonical duration such as 90s or 1d in microseconds; the fallback for what is none. */
int64_t desired_duration(const char *text, int64_t fallback);

/* Whether the twin serves a type. */
bool desired_has_type(const char *type);
/* The modules (1 << enum module_id) that must have dealt with a resource before it is there. */
unsigned int desired_modules(const char *type);
/* What stands in for the real thing, for people; NULL when it is real. Its type is served. */
const char *desired_stand_in(const struct machine *machine, const struct value *resource);

/*
 * Takes over what the twin itself decides about a resource (how many hosts a group wants) from the
 * one that it replaces, or decides it anew. old is NULL for a new one. Consumes new.
 */
struct value *desired_adopt(const struct value *old, struct value *take_new);

/* Whether a resource is a group of hosts whose number is the twin's own to change. */
bool desired_is_group(const struct value *resource);
/* The same group with another number of hosts; the caller unrefs it. */
struct value *desired_scale(const struct value *group, unsigned int n_hosts);
