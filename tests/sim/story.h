/*
 * What people want in one run: a deployment of some twenty resources, and its changes from revision
 * to revision. Each resource has a stream of its own, so that one can be left out without any other
 * becoming another.
 */
#pragma once

#include "model/record.h"
#include "sim/remote.h"
#include "sim/sim.h"

#define SIM_DEPLOYMENT "story"
#define SIM_EDITOR "user:editor"

enum {
    ITEMS_MAX = 40,
    /* What else can be left out behind the items. */
    PART_SECRETS = ITEMS_MAX,
    PART_DRY_RUNS,
    PART_ESTATE,
    PART_LISTS,
    PART_WRITERS,
    PART_REPEATERS,
    PART_IMPORTERS,
    PART_HURRY,
    STORY_PARTS,
    REVISIONS_MAX = 3,
};

void story_begin(const struct sim_options *options, struct sim_report *report);
void story_done(void);
unsigned int story_revisions(void);
/* Whether the systems are asked for a dry run of each step before it is approved. */
bool story_has_dry_runs(void);
/* Whether the systems list what there is. */
bool story_has_lists(void);
/* Whether commands write into the document's file. */
bool story_has_writers(void);
/* Whether people ask for the same plan again. */
bool story_has_repeaters(void);
/* Whether people change their mind once only, and soon: a run of half the work. */
bool story_is_in_hurry(void);
/* Whether some resources are there already, and people let records go. */
bool story_has_estate(void);
/* Whether people take over what is there by the command for that; then some of it is in no document
 * before the next revision. */
bool story_has_importers(void);
/* Whether the last document has a resource of that name on the system. */
bool story_wants(const char *name, const struct remote *remote);
/* {name: id} of what people want, is there already and has no record; may be empty: what their text
 * has (NULL: as people wrote it), or what it does not have yet. The caller unrefs it. */
struct value *story_list_estate(const struct records *records, const char *text, bool is_written);
/* The system that a resource is on, by its name in such a list. */
struct remote *story_find_remote(const char *name);
/* The name of a resource whose record is as the last document wants it, or one of those that have
 * been let go could never become it again; NULL: there is none. Borrowed from the records. */
const char *story_choose_record(const struct records *records, uint64_t number);
/* What was there before is no more, for whoever looks. */
void story_forget_old(const struct remote *remote);
/* The document of a revision, from 1 on; the caller frees it. Later ones follow from earlier ones.
 */
char *story_next_document(void);
/* A resource whose label the file leaves alone, NULL when there is none. The caller frees it. */
char *story_choose_edit(uint64_t number);
/* The name of a resource that is wanted, and the system it is on, which is NULL without one. */
char *story_choose_name(uint64_t number, struct remote **ret_remote);
/* The record of a resource by the number in its name, "r3-v1" or "r3.label=x"; NULL: none. */
const struct record *story_find_record(const struct records *records, const char *name);
/* Whether a resource has the secret that the last document gives it, and as others have it. */
bool story_has_right_pass(const struct record *record, const char *pass);
/* Whether these are the records of what the last document wants. */
void story_check(const struct records *records);
