#include "sim/remote.h"

#include "base/memory.h"
#include "base/text.h"
#include "sim/oracle.h"
#include "sim/story.h"

#include <assert.h>

enum { HOUR = 3600 };

#define NEWER " of the new account"

static const struct remote characters[REMOTES] = {
    {.name = "keyed",
     .instance = "keyed.default",
     .repeats = true,
     .late_seconds = 8,
     .again_seconds = 8},
    {.name = "tagged", .instance = "tagged.default", .settling = 5 * SECOND, .again_seconds = 5},
    {.name = "token",
     .instance = "token.default",
     .repeats = true,
     .repeats_for = HOUR * SECOND,
     .late_seconds = 8,
     .again_seconds = 8},
    {.name = "slow",
     .instance = "slow.default",
     .repeats = true,
     .is_slow = true,
     .again_seconds = 8},
};

struct remote remotes[REMOTES];

/* A request may arrive more than once. */
struct arrival {
    struct request *request; /* a reference of ours */
    int64_t at;
    struct arrival *next;
};
static struct arrival *waiting; /* owned list, the first to arrive first */

/* --- Requests on their way --- */

static void request_unref(struct request *request)
{
    if (!request || --request->n_refs > 0)
        return;
    mem_free(request->uid);
    mem_free(request->address);
    mem_free(request->id);
    mem_free(request->message);
    value_unref(request->spec);
    mem_free(request);
}

void request_freep(struct request **request)
{
    request_unref(*request);
}

void request_send(struct request *request, int64_t arrives_at)
{
    struct arrival **link = &waiting;
    while (*link && (*link)->at <= arrives_at)
        link = &(*link)->next;
    struct arrival *arrival = NEW(struct arrival);
    *arrival = (struct arrival){.request = request, .at = arrives_at, .next = *link};
    request->n_refs++;
    *link = arrival;
}

/* The next to arrive, which is the caller's then. */
static struct request *take_arrival(void)
{
    struct arrival *arrival = waiting;
    struct request *request = arrival->request;
    waiting = arrival->next;
    mem_free(arrival);
    return request;
}

int64_t remotes_next(void)
{
    return waiting ? waiting->at : INT64_MAX;
}

bool remote_has_operation(const struct remote *remote, const char *uid)
{
    for (const struct arrival *arrival = waiting; arrival; arrival = arrival->next) {
        const struct request *request = arrival->request;
        if (request->remote == remote && !request->is_done && text_equal(request->uid, uid))
            return true;
    }
    return false;
}

/* --- Things --- */

static void object_free(struct object *object)
{
    mem_free(object->id);
    mem_free(object->uid);
    mem_free(object->address);
    value_unref(object->spec);
    mem_free(object);
}

struct object *remote_find_id(struct remote *remote, const char *id)
{
    for (struct object *object = remote->objects; id && object; object = object->next)
        if (text_equal(object->id, id))
            return object;
    return NULL;
}

/* The newest with our marker. */
struct object *remote_find_uid(struct remote *remote, const char *uid)
{
    for (struct object *object = remote->objects; object; object = object->next)
        if (text_equal(object->uid, uid))
            return object;
    return NULL;
}

bool remote_has(struct remote *remote, const struct record *record)
{
    const struct object *object = remote_find_id(remote, record->provider_id);
    return remote_find_uid(remote, record->uid) || (object && !object->is_namesake);
}

struct object *remote_find_address(struct remote *remote, const char *address)
{
    for (struct object *object = remote->objects; object; object = object->next)
        if (text_equal(object->address, address))
            return object;
    return NULL;
}

static void set_spec(struct object *object, struct value *spec)
{
    value_unref(object->spec);
    object->spec = value_ref(spec);
}

/* What a system that stops in the middle has taken over by then. */
static struct value *half_of(const struct value *spec, const struct value *before)
{
    struct value_builder half = {0};
    for (size_t i = 0; before && i < value_count(before); i++)
        value_builder_set(&half, value_key_at(before, i), value_ref(value_at(before, i)));
    for (size_t i = 0; i < (value_count(spec) + 1) / 2; i++)
        value_builder_set(&half, value_key_at(spec, i), value_ref(value_at(spec, i)));
    return value_builder_map(&half);
}

static void make(struct remote *remote, struct request *request, int64_t at)
{
    struct object *known = remote->repeats ? remote_find_uid(remote, request->uid) : NULL;
    bool is_too_old = known && remote->repeats_for && at > known->made_at + remote->repeats_for;
    if (known && !is_too_old) {
        mem_free(request->id);
        request->id = string_copy(known->id);
        if (!remote->repeats_for)
            set_spec(known, request->spec);
        return;
    }
    struct object *object = NEW(struct object);
    object->id = string_format("%s-%u", remote->name, ++remote->n_made);
    object->uid = string_copy(request->uid);
    object->address = string_copy(request->address);
    object->made_at = at;
    object->visible_at = at + remote->settling;
    object->spec = request->is_half ? half_of(request->spec, NULL) : value_ref(request->spec);
    oracle_made(remote, object);
    object->next = remote->objects;
    remote->objects = object;
    mem_free(request->id);
    request->id = string_copy(object->id);
}

static void change(struct remote *remote, struct request *request)
{
    struct object *object = remote_find_id(remote, request->id);
    if (!object || object->visible_at > sim->now) {
        request->code = ERROR_NOT_FOUND;
        request->message = string_format("there is no %s", request->id ? request->id : "such");
        return;
    }
    oracle_changed(remote, object, request->spec);
    CLEANUP(value_unrefp)
    struct value *spec =
        request->is_half ? half_of(request->spec, object->spec) : value_ref(request->spec);
    set_spec(object, spec);
}

static void drop(struct remote *remote, struct object *gone)
{
    for (struct object **link = &remote->objects; *link; link = &(*link)->next) {
        if (*link == gone) {
            *link = gone->next;
            object_free(gone);
            return;
        }
    }
}

static void end(struct remote *remote, struct request *request)
{
    struct object *object = remote_find_id(remote, request->id);
    request->is_absent = !object && !request->is_done;
    if (!object)
        return;
    oracle_ended(remote, object, request->uid);
    drop(remote, object);
}

static void arrive(struct request *request, int64_t at)
{
    struct remote *remote = request->remote;
    sim_trace("%s: %s %s arrives", remote->name, step_kind_to_string(request->kind),
              request->address);
    sim->report->n_effects++;
    if (request->is_done && request->message)
        return;
    if (request->is_refused) {
        request->code = ERROR_DENIED;
        request->message = string_copy("it was refused");
    } else if (request->kind == STEP_CREATE) {
        make(remote, request, at);
    } else if (request->kind == STEP_UPDATE) {
        change(remote, request);
    } else {
        end(remote, request);
    }
    request->is_done = true;
}

void remotes_turn(void)
{
    while (waiting && waiting->at <= sim->now) {
        int64_t at = waiting->at;
        struct request *request = take_arrival();
        arrive(request, at);
        request_unref(request);
    }
}

/* --- Others who have access --- */

static size_t count_objects(void)
{
    size_t n = 0;
    for (size_t i = 0; i < REMOTES; i++)
        for (struct object *object = remotes[i].objects; object; object = object->next)
            n += !object->is_strange;
    return n;
}

void remotes_meddle(uint64_t number)
{
    size_t n = count_objects();
    if (n < 6)
        return;
    size_t chosen = (size_t)(number % n);
    for (size_t i = 0; i < REMOTES; i++) {
        for (struct object *object = remotes[i].objects; object; object = object->next) {
            if (object->is_strange || chosen-- > 0)
                continue;
            bool is_removed = number / n % 2;
            sim_trace("%s: somebody else %s %s", remotes[i].name,
                      is_removed ? "removes" : "changes", object->address);
            oracle_meddled(&remotes[i], object, is_removed);
            if (is_removed) {
                drop(&remotes[i], object);
                return;
            }
            CLEANUP(value_unrefp) struct value *spec = value_ref(object->spec);
            value_unref(object->spec);
            object->spec = value_with(spec, "colour", value_string("meddled"));
            return;
        }
    }
}

/* The id says which of its makers' it is. */
static struct object *add_foreign(struct remote *remote, const char *whose, const char *name,
                                  struct value *take_spec)
{
    struct object *object = NEW(struct object);
    object->id = string_format("%s-%s-%u", remote->name, whose, ++remote->n_made);
    object->uid = string_copy("");
    object->address = string_copy(name);
    object->spec = take_spec;
    object->is_strange = true;
    object->next = remote->objects;
    remote->objects = object;
    sim_trace("%s: somebody else makes a thing with the name %s", remote->name, name);
    return object;
}

char *remote_add_old(struct remote *remote, const char *name, int64_t size, const char *colour)
{
    struct value_builder spec = {0};
    value_builder_set(&spec, "size", value_integer(size));
    value_builder_set_string(&spec, "colour", colour);
    return string_copy(add_foreign(remote, "old", name, value_builder_map(&spec))->id);
}

void remotes_add_stranger(uint64_t number)
{
    struct remote *remote;
    CLEANUP(mem_freep) char *name = story_choose_name(number, &remote);
    struct value_builder spec = {0};
    if (!name)
        return;
    value_builder_set(&spec, "size", value_integer(1));
    (void)add_foreign(remote, "theirs", name, value_builder_map(&spec));
}

/* --- Accounts --- */

char *remote_identity(const struct remote *remote, bool is_mistaken)
{
    return string_format("%s %s%s", is_mistaken ? "another" : "the", remote->name,
                         remote->former ? NEWER : "");
}

bool remote_is_lost(const struct remote *remote, const char *identity)
{
    return remote->former && !text_ends_with(identity, NEWER);
}

static void add_namesakes(struct remote *remote, const struct remote *former)
{
    for (const struct object *ours = former->objects; ours; ours = ours->next) {
        struct object *object = add_foreign(remote, "its", ours->address, value_ref(ours->spec));
        mem_free(object->id);
        object->id = string_copy(ours->id);
        object->is_namesake = true;
    }
}

void remotes_move(uint64_t number)
{
    struct remote *remote = &remotes[number % REMOTES];
    if (remote->former)
        return;
    sim_trace("%s leads to another account from now on", remote->instance);
    struct remote *former = NEW(struct remote);
    *former = *remote;
    remote->former = former;
    remote->objects = NULL;
    for (struct arrival *arrival = waiting; arrival; arrival = arrival->next)
        if (arrival->request->remote == remote)
            arrival->request->remote = former;
    for (struct process *process = sim->processes; process; process = process->next)
        if (process->service)
            provider_follow(process, remote, former);
    story_forget_old(remote);
    if (number / REMOTES % 2)
        add_namesakes(remote, former);
}

/* --- The whole --- */

void remotes_begin(void)
{
    for (size_t i = 0; i < REMOTES; i++)
        remotes[i] = characters[i];
}

void remotes_done(void)
{
    while (waiting)
        request_unref(take_arrival());
    for (size_t i = 0; i < REMOTES; i++) {
        struct remote *former = take_ptr(remotes[i].former);
        while (remotes[i].objects)
            drop(&remotes[i], remotes[i].objects);
        while (former && former->objects)
            drop(former, former->objects);
        mem_free(former);
    }
}
