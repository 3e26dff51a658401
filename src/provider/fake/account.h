/*
 * The files in which the fake keeps its resources: FOLDER/UID.json, replaced as a whole, a map
 * {type, address, deployment, provider_id, generation, spec, outputs, ready_at}.
 */
#pragma once

#include "provider/provider.h"

#include <stdbool.h>
#include <stdint.h>

struct fake_account {
    char *name;        /* owned */
    char *folder;      /* owned; made with its first file */
    int64_t settle_us; /* how long a change takes to be there after it was accepted */
};

/* Whether text can be the name of a file or folder. */
bool fake_account_is_name(const char *text);

/* *ret_resource, which the caller unrefs, is NULL when there is no such resource. */
int fake_account_load(const struct fake_account *account, const struct target *target,
                      struct value **ret_resource, struct error *err);
/* Makes it, or makes it anew. */
int fake_account_store(const struct fake_account *account, const struct target *target,
                       struct value *spec, struct error *err);
/* One that is not there is no error. */
int fake_account_remove(const struct fake_account *account, const struct target *target,
                        struct error *err);

bool fake_account_is_stopped(const struct fake_account *account);
int fake_account_start(const struct fake_account *account, struct error *err);
