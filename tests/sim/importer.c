/* Who takes over what is there already as "parley import" does: looks whether it is free, plans it,
 * writes what is there into the document where nobody has, approves, and starts the run. */
#include "sim/doors.h"

#include "base/memory.h"
#include "base/text.h"
#include "service/verbs.h"
#include "sim/canaries.h"
#include "sim/estate.h"
#include "sim/file.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/story.h"

enum { TRIES = 6, STEPS = 40 /* of the disk, for what an import writes */ };

/* What somebody wants to take over. */
struct taking {
    char *address; /* owned; NULL: there is nothing */
    char *id;      /* owned */
    char *owner;   /* owned: the resource that has it, whom they overlook; NULL: nobody has */
    char *type;    /* owned: for one that no document has; NULL */
    struct remote *remote;
    bool is_in_file; /* else in the newest revision */
    bool is_updated; /* they want it as the document says, too */
};

static void taking_done(struct taking *taking)
{
    mem_free(taking->address);
    mem_free(taking->id);
    mem_free(taking->owner);
    mem_free(taking->type);
}

/* --- What it is --- */

/* The record of a thing that the system has, the number-th of them; NULL: none. */
static const struct record *choose_owner(const struct records *records, const struct remote *remote,
                                         uint64_t number)
{
    for (size_t i = 0; i < records->n_items; i++) {
        const struct record *record = records->items[(number + i) % records->n_items];
        if (record->provider_id && text_equal(record->instance, remote->instance))
            return record;
    }
    return NULL;
}

static const struct record *find_owner(const struct records *records, const struct taking *taking)
{
    const struct record *record = records_find(records, taking->owner);
    bool has_it = record && text_equal(record->instance, taking->remote->instance) &&
                  text_equal_or_null(record->provider_id, taking->id);
    return has_it ? record : NULL;
}

/* One of those without a record, in the document or not; some people name a wrong id. */
static void choose_thing(const struct records *records, const char *text, struct taking *taking)
{
    CLEANUP(value_unrefp) struct value *written = story_list_estate(records, text, true);
    CLEANUP(value_unrefp) struct value *others = story_list_estate(records, text, false);
    size_t n = value_count(written) + value_count(others);
    size_t place = n > 0 ? (size_t)random_below(&sim->imports, n) : 0;
    bool is_written = place < value_count(written);
    bool is_mistaken = random_chance(&sim->imports, 15);
    /* The newest revision may have it by an import before. */
    bool is_known = !taking->is_in_file && random_chance(&sim->imports, 15);
    if (n == 0)
        return;
    const struct value *list = is_written ? written : others;
    size_t index = is_written ? place : place - value_count(written);
    taking->address = string_copy(value_key_at(list, index));
    taking->remote = story_find_remote(taking->address);
    const struct record *owner =
        is_mistaken ? choose_owner(records, taking->remote, random_next(&sim->imports)) : NULL;
    taking->id = string_copy(owner ? owner->provider_id : value_text(value_at(list, index)));
    taking->owner = owner ? string_copy(owner->address) : NULL;
    taking->type =
        is_written || is_known ? NULL : string_format("%s:thing:box", taking->remote->name);
}

static CO_FN int choose_taking(struct process *process, struct taking *taking, struct error *err)
{
    struct records records = {0};
    taking->is_in_file = random_chance(&sim->imports, 60);
    taking->is_updated = random_chance(&sim->imports, 25);
    CLEANUP(mem_freep) char *text = taking->is_in_file ? file_read() : NULL;
    int r = door_load_records(process, &records, err);
    if (r == -ERROR_NOT_FOUND) {
        error_done(err);
        r = 0;
    }
    if (r == 0)
        choose_thing(&records, text, taking);
    records_done(&records);
    return r;
}

/* --- Looking --- */

/* The command that says what a system has, and who has it here. */
static CO_FN int is_free(struct process *process, const struct taking *taking, bool *ret_is_free,
                         struct error *err)
{
    struct verb_answer answer = {0};
    struct value_builder fields = {0};
    CLEANUP(mem_freep) char *type = string_format("%s:thing:box", taking->remote->name);
    value_builder_set_string(&fields, "type", type);
    CLEANUP(value_unrefp) struct value *input = value_builder_map(&fields);
    struct verb_call call = {.input = input};
    int r = verb_run(process->service, verb_find("resource_list"), &call, &answer, err);
    *ret_is_free = false;
    for (size_t i = 0; r == 0 && i < value_count(answer.value); i++) {
        const struct value *item = value_at(answer.value, i);
        if (text_equal_or_null(value_get_text(item, "id"), taking->id))
            *ret_is_free = value_is_null(value_get(item, "recorded"));
    }
    verb_answer_done(&answer);
    return r;
}

/* Who looks first does not take what somebody has. */
static CO_FN int look(struct process *process, const struct taking *taking, struct error *err)
{
    bool is_to_be_had = true;
    int r = story_has_lists() && !taking->owner ? is_free(process, taking, &is_to_be_had, err) : 0;
    if (r == 0 && !is_to_be_had)
        return error_set(err, ERROR_CONFLICT, "the list has no %s that is free", taking->id);
    return r;
}

/* --- The plan --- */

static struct value *input_of(const struct taking *taking)
{
    struct value_builder input = {0};
    value_builder_set_string(&input, "deployment", SIM_DEPLOYMENT);
    value_builder_set_string(&input, "address", taking->address);
    value_builder_set_string(&input, "id", taking->id);
    if (taking->is_in_file)
        value_builder_set_string(&input, "document", SIM_FILE);
    if (taking->type)
        value_builder_set_string(&input, "type", taking->type);
    if (taking->is_updated)
        value_builder_set(&input, "update", value_bool(true));
    return value_builder_map(&input);
}

/* Unless it was asked to, the command takes over and does nothing else. */
static void check_plan(const struct taking *taking, const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps && !taking->is_updated; i++)
        if (plan->steps[i].kind != STEP_ADOPT && plan->steps[i].kind != STEP_KEEP)
            sim_violation("the import of %s would %s, too", taking->address, plan->steps[i].id);
}

/* What another resource has cannot be had, whoever asks for it. */
static CO_FN void check_refusal(struct process *process, const struct taking *taking,
                                const struct plan *plan)
{
    struct records records = {0};
    struct error err = {0};
    if (door_load_records(process, &records, &err) == 0 && find_owner(&records, taking) && plan)
        sim_violation("%s was planned to become %s and is %s", taking->id, taking->address,
                      taking->owner);
    error_done(&err);
    records_done(&records);
}

/* Somebody else has written it into the document in the meantime. */
static bool is_written_by_now(const struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->n_items; i++)
        if (diagnostics->items[i].code == DIAGNOSTIC_DUPLICATE_NAME)
            return true;
    return false;
}

static CO_FN int make_plan(struct process *process, const struct taking *taking,
                           struct verb_answer *ret_answer, struct error *err)
{
    bool has_conflict = false;
    CLEANUP(value_unrefp) struct value *input = input_of(taking);
    struct verb_call call = {.input = input};
    struct value_builder asked = {0};
    value_builder_set_string(&asked, taking->address, taking->id);
    CLEANUP(value_unrefp) struct value *adopt = value_builder_map(&asked);
    if (!taking->owner)
        estate_asked(adopt);
    int r = verb_run(process->service, verb_find("plan_import"), &call, ret_answer, err);
    if (process->is_dead)
        return r;
    if (!taking->type || !is_written_by_now(&ret_answer->diagnostics))
        door_note_faults(&ret_answer->diagnostics, &has_conflict);
    return r;
}

static CO_FN int import(struct process *process, const struct taking *taking, struct error *err)
{
    struct verb_answer answer = {0};
    canaries_offer(); /* whoever has read the secret before took it out of the environment */
    fault_ahead(&sim->imports, STEPS);
    int r = make_plan(process, taking, &answer, err);
    if (r == 0 && taking->owner) {
        check_refusal(process, taking, answer.plan);
    } else if (r == 0) {
        const struct value *edit = answer.edit;
        bool is_written = value_get_bool(edit, "writes", false);
        check_plan(taking, answer.plan);
        r = door_carry_out(process, answer.plan, is_written ? value_get_text(edit, "after") : NULL,
                           err);
    }
    verb_answer_done(&answer);
    return r;
}

/* Gives up where it is not to be had now. */
static CO_FN int take_over(struct process *process, struct error *err)
{
    struct taking taking = {0};
    int r = choose_taking(process, &taking, err);
    if (r == 0 && taking.address)
        r = look(process, &taking, err);
    if (r == 0 && taking.address)
        r = import(process, &taking, err);
    if (!process->is_dead && taking.address)
        sim_trace("process %d imports %s as %s%s%s%s: %s", process->id, taking.id, taking.address,
                  taking.is_in_file ? " into the file" : "", taking.type ? ", which is new" : "",
                  taking.owner ? ", by mistake" : "", r < 0 ? error_message(err) : "0");
    bool is_done = r == 0 || !taking.address || taking.owner;
    taking_done(&taking);
    oracle_note_output(process, error_message(err));
    return is_done ? 0 : r;
}

void importer_body(struct process *process)
{
    struct error err = {0};
    int r = process_open(process, &err);
    for (int i = 0; r == 0 && i < TRIES && !process->is_dead; i++) {
        int done = take_over(process, &err);
        error_done(&err);
        if (done == 0)
            break;
        loop_sleep(process->loop, 100 * SECOND);
    }
    error_done(&err);
}
