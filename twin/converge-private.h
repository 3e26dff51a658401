/* What the files of the loop share. For converge*.c only. */
#pragma once

#include "base/map.h"
#include "twin/converge.h"
#include "twin/firewall.h"
#include "twin/modules.h"
#include "twin/tables.h"

struct module_run {
    struct converge *converge;
    const struct module_ops *ops;
    void *module;
    struct machine *machine; /* of the last call: what the module may still point to */
    uint64_t done;           /* the generation it has dealt with */
    struct problems problems;
    bool is_woken;
    bool is_running; /* its coroutine */
};

/* One change of the manifest on its way; on the stack of who waits for it. */
struct change {
    const char *uid;
    struct value *wanted; /* owned; NULL: delete */
    struct value *before; /* owned; what it has replaced */
    bool is_scaling;      /* wanted is what is there by then, with n_hosts */
    unsigned int n_hosts;
    struct error err;
    uint64_t generation; /* that it is in */
    bool is_decided;
    struct change *next;
};

struct converge {
    struct twin *twin;
    struct manifest *manifest; /* while is_applying it may be ahead of what is durable */
    struct disk *disk;         /* NULL until the first machine stands */
    struct machine *machine;
    struct problems faults; /* of a manifest that an older program has written */
    struct value *sources;  /* owned: whose the programs are, and were */
    struct firewall *firewall;
    struct module_run runs[MODULE_COUNT];
    struct tables tables;   /* the files that aliases name */
    bool is_stale;          /* one of them is another one now */
    int64_t looked_at;      /* when they were last looked at */
    bool is_watching;       /* the coroutine that looks at them */
    struct map generations; /* uid -> the generation of its last change, as a number */
    uint64_t generation;
    uint64_t pruned; /* the generation whose leftovers are gone */
    size_t n_holds;
    struct machine *held; /* a reference: the machine when the first of them began, else NULL */
    bool has_kept;        /* something that goes when they are over */
    struct change *pending;
    bool is_deciding; /* what is pending will be, or is */
    bool is_applying; /* a batch of it is */
    bool is_closing;
    struct gate changed; /* opened with every progress */
};

/* Whether these modules (1 << enum module_id) have dealt with a generation or a newer one. */
bool converge_have_done(const struct converge *converge, uint64_t generation, unsigned int modules);
/* Wakes those who wait for progress, and removes what every module has let go of. */
void converge_note_progress(struct converge *converge);
/* What is not well with a resource, or NULL. */
const struct error *converge_find_problem(const struct converge *converge, const char *uid);

/* --- converge-change.c --- */

/* Makes the manifest of now durable and its machine the one that counts. */
CO_FN int converge_carry_out(struct converge *converge, struct error *err);
/* Computes the machine anew, since what it depends on outside of the manifest has changed. */
void converge_refresh(struct converge *converge);
/* Waits until a change is decided: its err is set, or it is in the manifest at its generation. */
CO_FN void converge_submit(struct converge *converge, struct change *change);
void converge_change_done(struct change *change);
