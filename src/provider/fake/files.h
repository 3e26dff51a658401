/* One file of an account: reading, writing, walking. Private to the fake. */
#pragma once

#include "provider/fake/account.h"

/* *ret_value is NULL when there is no such file; both folder and name are plain. */
int fake_file_read(const char *folder, const char *name, struct value **ret_value,
                   struct error *err);
/* Makes the folder, too. */
int fake_file_write(const char *folder, const char *name, const struct value *value,
                    struct error *err);
int fake_file_remove(const char *folder, const char *name, struct error *err);
/* Calls found for each ID.json of a folder, in their order, until it fails or says that it is
 * enough with 1; a folder that is not there has none. */
typedef int fake_found(void *argument, const char *name, struct value *value, struct error *err);
int fake_file_walk(const char *folder, fake_found *found, void *argument, struct error *err);

/* Whether it is a resource as account.h says; people may edit the files. */
bool fake_is_resource(const struct value *value);
/* The file that a provider's id means. The caller frees it. ERROR_INVALID when it can be none. */
int fake_file_name(const char *provider_id, char **ret_name, struct error *err);
/* The file as it would be after an activation; *ret_resource is NULL when there would be none. */
int fake_file_load(const struct fake_account *account, const char *name,
                   struct value **ret_resource, struct error *err);
/* A spec as it is written: with the texts of its secrets. The caller unrefs it. */
int fake_texts_write(const struct fake_account *account, struct value *spec,
                     struct value **ret_spec, struct error *err);
/* A resource as it is given: with handles for texts, without those that nobody can make one for. */
struct value *fake_texts_read(const struct fake_account *account, struct value *resource);
/* FOLDER/staged; the caller frees it. */
char *fake_staged_folder(const struct fake_account *account);
/* Finishes an activation whose process died of it. */
int fake_account_recover(const struct fake_account *account, struct error *err);
