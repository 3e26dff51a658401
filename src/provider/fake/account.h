/*
 * The files in which the fake keeps its resources: FOLDER/ID.json, replaced as a whole, a map
 * {type, address, name, deployment, provider_id, uid, generation, spec, outputs, ready_at,
 * visible_at}. uid is our marker, where the type's kind of account keeps one (catalog: repeat):
 *
 *   key      the id is made of it
 *   tag      a label
 *   natural  a label, and the address is a name that nobody else can have
 *   token    none; FOLDER/tokens knows for a while which token made what
 *   none     none
 *
 * A secret in spec is {"$$text": TEXT}: the account is another system, which has to know it.
 *
 * FOLDER/credential, which somebody else put there, is the text that a call has to bring.
 *
 * FOLDER/staged/ID.json is what waits for an activation, in the same form, with deleted = true for
 * a removal and by = who staged it, when that was not us.
 */
#pragma once

#include "provider/provider.h"

#include <stdbool.h>
#include <stdint.h>

struct fake_account {
    char *name;              /* owned */
    char *folder;            /* owned; made with its first file */
    int64_t token_us;        /* how long a token is known */
    struct secrets *secrets; /* borrowed: of the newest call, the same for all; may be NULL */
};

enum fake_repeat { FAKE_KEY, FAKE_TOKEN, FAKE_TAG, FAKE_NATURAL, FAKE_NONE };
enum fake_repeat fake_repeat_of(const struct resource_type *type);

/* Whether text can be the name of a file or folder. */
bool fake_account_is_name(const char *text);

/*
 * What a look-up by the means of the type finds: by the provider's id where it is known, else by
 * key, tag, name or token. *ret_resource, which the caller unrefs, is NULL when there is none, or
 * none to be seen yet. What is staged counts as if it were there.
 */
int fake_account_find(const struct fake_account *account, const struct target *target,
                      struct value **ret_resource, struct error *err);

/* The same of what carries our marker in place of the thing that the target names by its id, which
 * is gone; NULL where an id is ours, or the account keeps no marker. */
int fake_account_find_other(const struct fake_account *account, const struct target *target,
                            struct value **ret_resource, struct error *err);

/* One page of what there is of a type, in the order of the files' names. */
int fake_account_list(const struct fake_account *account, const struct listing *listing,
                      struct page *ret_page, struct error *err);

/* How a resource is written; all borrowed. */
struct fake_put {
    const struct target *target;
    struct value *former; /* what is there, as fake_account_find() gave it; NULL: nothing */
    struct value *spec;
    int64_t ready_us;   /* how long until it is done */
    int64_t visible_us; /* how long until it can be seen, when it is new */
    bool is_staged;
};
/*
 * Makes it, or makes it anew. ERROR_EXISTS when its name is somebody else's. *ret_resource is what
 * is there now.
 */
int fake_account_put(const struct fake_account *account, const struct fake_put *put,
                     struct value **ret_resource, struct error *err);
/* Lets that side of the resource be up from now on: what the action "turn" does. */
int fake_account_turn(const struct fake_account *account, const struct value *resource,
                      const char *member, struct error *err);
/* Takes what fake_account_find() gave away. */
int fake_account_remove(const struct fake_account *account, const struct value *resource,
                        bool is_staged, struct error *err);

/* Whether a found resource, or the removal of a known one, waits for an activation. */
bool fake_account_waits(const struct fake_account *account, const struct target *target,
                        const struct value *resource);
/* What is staged by others: a sorted list of texts. */
int fake_account_list_foreign(const struct fake_account *account, const struct string_list *own,
                              struct value **ret_texts, struct error *err);
int fake_account_activate(const struct fake_account *account, struct error *err);
/* Somebody else stages something of that name. */
int fake_account_stage_foreign(const struct fake_account *account, const char *name,
                               struct error *err);

/* ERROR_DENIED when the account wants another credential, a text or the handle of one, or NULL. */
int fake_account_let_in(const struct fake_account *account, struct value *credential,
                        struct error *err);

bool fake_account_is_stopped(const struct fake_account *account);
int fake_account_start(const struct fake_account *account, struct error *err);
