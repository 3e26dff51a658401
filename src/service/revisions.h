/*
 * What a document is based on, and what it takes back: the revisions of a deployment as the verbs
 * that plan see them. Private to service/.
 */
#pragma once

#include "model/diagnostic.h"
#include "model/plan.h"
#include "service/service.h"

/* The revisions of a deployment while a plan is made. Zero-initialise it. */
struct lineage {
    struct service *service; /* borrowed */
    char *uid;               /* owned */
    struct value *list;      /* owned: without texts, newest first; at most MAX_LINEAGE */
    struct map trees;        /* number -> owned struct yaml_tree */
    int64_t head;            /* 0: there is none */
    int64_t base;            /* what the document is based on */
    bool is_pulled;          /* the file names its base, and nothing was applied from it since */
    char *given;             /* owned: the file's own text, when it was merged; else NULL */
};
/* What is further back is not looked at. */
enum { MAX_LINEAGE = 200 };

/* ERROR_UNSUPPORTED when a revision was applied in part only: there is no way back to it, since its
 * document does not say what was there. */
int revision_check_whole(const struct value *revision, const char *deployment, struct error *err);

CO_FN int lineage_open(struct service *service, const char *uid, struct lineage *ret_lineage,
                       struct error *err);
void lineage_done(struct lineage *lineage);
/* A revision of the list, or NULL. Borrowed. */
const struct value *lineage_find(const struct lineage *lineage, int64_t number);

/*
 * Finds the base of a file's text and, when there is more in the head, merges: *ret_text is the
 * file with all that, NULL when the file can stay as it is. A merge is told in notes. Conflicts,
 * and a revision that is not there, are faults.
 */
CO_FN int lineage_merge(struct lineage *lineage, const char *path, const char *text,
                        char **ret_text, struct diagnostics *diagnostics, struct error *err);

/*
 * Marks the steps of a plan that undo what a revision after the base did, or another principal,
 * and seals it again. text is the plan's document.
 */
CO_FN int lineage_mark(struct lineage *lineage, const char *text, struct plan *plan,
                       struct error *err);
