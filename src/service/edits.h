/*
 * Edits of documents: the verbs set, undo and pull give a text, and service_plan() plans it. Part
 * of service.h for the doors.
 */
#pragma once

#include "service/service.h"

/* What an edit comes to: a text to plan from. */
struct edited {
    char *label;             /* owned: the file, or "NAME, revision 3" */
    char *before;            /* owned */
    char *after;             /* owned */
    struct value *variables; /* owned: as the text is to be read with; NULL: none but --var */
    const char *origin;      /* "words", "undo", or NULL for a file */
    int64_t base;            /* the revision that the text was made from; 0 with a file */
    int64_t back_to;         /* of an undo the revision that it goes back to; else 0 */
};
void edited_done(struct edited *edited);

/* All borrowed. */
struct edit_request {
    const struct value *settings;  /* list: "web.rate=5", "var.size=3",
                                      "web.lifecycle.protect=false"; NULL: none */
    const struct value *unsets;    /* list: "web.rate"; NULL: none */
    const struct value *removals;  /* list of names of resources that go; NULL: none */
    const char *file;              /* NULL: the head of a deployment */
    const char *deployment;        /* NULL: the only one that has such a resource */
    const struct value *variables; /* --var; may be NULL */
};
/*
 * Edits the text of a file, or of a deployment's head. Values are YAML on one line; what a type
 * wants as a text is one without quotes. ERROR_NOT_FOUND when there is no such resource,
 * ERROR_INVALID when a setting is none, ERROR_CONFLICT when several deployments have it.
 */
CO_FN int service_edit(struct service *service, const struct edit_request *request,
                       struct edited *ret_edited, struct error *err);

/*
 * The text of an earlier revision, 0 for the one before the head (of a deployment that is
 * destroyed: the head), with what later renames need so that they are undone as renames.
 */
CO_FN int service_undo(struct service *service, const char *word, int64_t revision,
                       struct edited *ret_edited, struct error *err);

/*
 * The head as a file that names it. text is what the file says now, NULL for a new one: then its
 * comments, order and own changes stay. Conflicts go to diagnostics.
 */
CO_FN int service_pull(struct service *service, const char *word, const char *path,
                       const char *text, struct edited *ret_edited, struct diagnostics *diagnostics,
                       struct error *err);

/* Adds notes to an undo's plan on what it cannot bring back. */
void edits_note_losses(const struct service *service, struct plan *plan);
