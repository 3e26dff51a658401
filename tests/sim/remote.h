/*
 * The remote systems of the simulated world, one for each character, and the driver that reaches
 * them. A request that was sent goes its own way, whatever becomes of who sent it.
 *
 *     keyed   a create names our key: repeated, it makes one thing
 *     tagged  every create makes another thing; it is found by a tag only, and not for five seconds
 *     token   a create repeats within an hour, by a token; later it makes another thing
 *     slow    keyed; a change is accepted at once, under a handle, and done much later
 */
#pragma once

#include "sim/sim.h"

/* One thing that exists there. */
struct object {
    char *id;           /* owned: the system's own name for it */
    char *uid;          /* owned: our marker on it */
    char *address;      /* owned */
    struct value *spec; /* owned */
    int64_t made_at;
    int64_t visible_at;
    bool is_strange;  /* somebody else made it, under a name that one of ours has */
    bool is_namesake; /* the same, in another account, and it has the id of ours, too */
    struct object *next;
};

struct remote {
    const char *name;     /* of the provider */
    const char *instance; /* "keyed.default" */
    bool repeats;         /* a create of the same marker gives the same thing */
    int64_t repeats_for;  /* so long; 0: always */
    bool is_slow;
    int64_t settling;       /* until a thing that was made is found */
    int64_t late_seconds;   /* the longest that a request may be under way */
    int64_t again_seconds;  /* the longest until one that arrived arrives again */
    struct object *objects; /* owned */
    unsigned int n_made;
    bool leads_elsewhere; /* somebody has led the credentials to the other account */
    bool was_mistaken;    /* it was taken for another one at least once */
    /* Owned: what stays in the account that the instance has led to before, and nothing leads to
     * any more, but the processes that had begun by then; NULL: it leads where it always has. */
    struct remote *former;
};
enum { REMOTES = 4 };
extern struct remote remotes[REMOTES];

void remotes_begin(void);
void remotes_done(void);
/* Gives a service its providers. */
void remotes_connect(struct process *process, struct service *service);
/* Lets the requests arrive whose time has come; when the next one does, INT64_MAX without one. */
void remotes_turn(void);
int64_t remotes_next(void);
/* Somebody else changes or removes a thing. */
void remotes_meddle(uint64_t number);
/* Somebody else has made a thing of this kind, which a resource is to become. The caller frees what
 * it gives: its id. */
char *remote_add_old(struct remote *remote, const char *name, int64_t size, const char *colour);
/* Who the system says it is, or as who it is mistaken. The caller frees it. */
char *remote_identity(const struct remote *remote, bool is_mistaken);
/* Whether nothing leads any more to who it was. */
bool remote_is_lost(const struct remote *remote, const char *identity);
/* From now on an instance leads to another account, for good: to an empty one, or to one in which
 * somebody else has a thing of each id and name that ours have. */
void remotes_move(uint64_t number);
/* A process goes on with the account that it has begun with. */
void provider_follow(struct process *process, struct remote *remote, struct remote *former);
/* Somebody else makes a thing under a name of ours. */
void remotes_add_stranger(uint64_t number);

struct object *remote_find_id(struct remote *remote, const char *id); /* NULL for a NULL id, too */
/* The newest with our marker. */
struct object *remote_find_uid(struct remote *remote, const char *uid);

/* Whether the thing that a record stands for is there, and no namesake of it. */
bool remote_has(struct remote *remote, const struct record *record);
/* The newest of that name. */
struct object *remote_find_address(struct remote *remote, const char *address);

/* Whether a change of the thing with this marker was accepted and is not done. */
bool remote_has_operation(const struct remote *remote, const char *uid);

/* A change on its way to a system and back. Who sends it and the system share it. */
struct request {
    size_t n_refs;
    struct remote *remote; /* borrowed */
    enum step_kind kind;
    char *uid;          /* owned */
    char *address;      /* owned */
    char *id;           /* owned: of the thing; of a create once it is done */
    struct value *spec; /* owned; NULL for a delete */
    bool is_half;
    bool is_refused;
    bool is_twice;
    bool is_done;
    bool is_absent;       /* of a delete: nothing was there */
    enum error_code code; /* of a refusal */
    char *message;        /* owned; of a refusal */
};
void request_send(struct request *request, int64_t arrives_at);
void request_freep(struct request **request);

/* The remote's part in the driver's instance, which remotes_connect() makes. */
struct provider *simulated_provider_new(struct process *process, struct remote *remote);
