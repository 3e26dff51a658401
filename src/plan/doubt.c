/* The pass about records of creates that nobody could tell of: they are never made on a guess. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"

static void report(struct draft *draft, const struct record *record, struct position position)
{
    CLEANUP(mem_freep)
    char *help = string_format(
        "look for it on %s, and remove it there if it was made; then \"parley forget %s %s\" lets "
        "it be made anew",
        record->instance, draft->input->deployment, record->address);
    diagnostics_add(draft->diagnostics, DIAGNOSTIC_UNKNOWABLE, position, help,
                    "%s was sent to %s and no answer came; whether it was made, nobody can tell, "
                    "and it is not made again on a guess.",
                    record->address, record->instance);
}

/* What was found since decides: it is there and is made whole, or it surely is not. */
static void decide_seen(struct pair *pair, const struct observation *seen)
{
    if (!seen->is_present)
        pair->reason = STEP_REASON_PARTLY;
    else if (pair->decision == DECISION_KEEP || pair->decision == DECISION_UPDATE) {
        pair->decision = DECISION_UPDATE;
        pair->reason = STEP_REASON_PARTLY;
    }
}

/* Records in doubt are settled by what was seen, or stop the plan. */
int draft_doubt(struct draft *draft, struct error *err)
{
    (void)err;
    const struct records *records = draft->input->records;
    for (size_t i = 0; i < records->n_items; i++) {
        const struct record *record = records->items[i];
        if (record->status != RECORD_UNKNOWN || draft->input->forget || draft->input->action)
            continue;
        const struct observation *seen = draft_observation(draft, i);
        struct pair *pair = draft->pair_of[i] == NONE ? NULL : &draft->pairs[draft->pair_of[i]];
        if (!seen || !seen->is_known)
            report(draft, record, pair ? pair->wanted->position : (struct position){0});
        else if (pair)
            decide_seen(pair, seen);
    }
    return 0;
}
