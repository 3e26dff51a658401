/*
 * The manifest: every resource that the twin was asked for, and what it has assigned to them. It is
 * all that outlives the supervisor; the machine is computed from it. The file is
 * STATE/manifest.json:
 *
 * {"format": 1, "identity": UUID, "assigned": {"addresses": {KEY: ADDRESS}, "labels": {KEY:
 * LABEL}}, "resources": [{"uid", "name", "type", "spec", "references", "generation",
 * "operational"}]}
 *
 * The driver reads it when the twin is stopped.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "base/map.h"
#include "model/value.h"
#include "net/disk.h"

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_FORMAT 1
/* Beyond these a manifest is refused. */
#define MANIFEST_RESOURCES 4000
#define MANIFEST_BYTES (64 << 20)

/* One resource: a map with the fields above, checked by manifest_check_resource(). */
struct manifest {
    char identity[UUID_TEXT_SIZE];
    struct map resources;   /* uid -> struct value *, one reference each */
    struct value *assigned; /* owned map */
};

/* Makes an empty one with a new identity. */
struct manifest *manifest_new(void);
/* Accepts NULL. */
void manifest_free(struct manifest *manifest);
DEFINE_CLEANUP(struct manifest *, manifest_free)

/* Reads the manifest of a state folder; a new one when there is none. ERROR_CORRUPT when it is
 * damaged: nothing is guessed from it. */
int manifest_load(const char *folder, struct manifest **ret_manifest, struct error *err);
/*
 * Makes the manifest of a new twin of that identity; one that is there stays as it is.
 * ERROR_INVALID when it is no UUID.
 */
int manifest_begin(const char *folder, const char *identity, struct error *err);
/*
 * Replaces the file; durable when it returns 0. With a disk the loop goes on meanwhile, and what is
 * saved is the manifest as it was when that began; without one (NULL) all stands still.
 */
CO_FN int manifest_save(const struct manifest *manifest, const char *folder, struct disk *disk,
                        struct error *err);

/*
 * Whether a value has the form of a resource; ERROR_INVALID says what is wrong with it. Optional
 * fields: references (a map from property paths to lists of uids), generation, operational, built
 * (of an image: missing, why nothing is, or id, engine, folder below STATE/images, config: Env, Cmd
 * ... as the engine has it).
 */
int manifest_check_resource(const struct value *resource, struct error *err);

/* Borrowed; NULL when it is not there. */
struct value *manifest_find(const struct manifest *manifest, const char *uid);
/* Sets or, with NULL, removes a resource; gives back the one that was there, or NULL. */
struct value *manifest_exchange(struct manifest *manifest, const char *uid,
                                struct value *take_resource);

/* Fields of a resource that was checked. */
const char *resource_uid(const struct value *resource);
const char *resource_name(const struct value *resource);
const char *resource_type(const struct value *resource);
const struct value *resource_spec(const struct value *resource);
/* The uid that the property at path refers to, or NULL. */
const char *resource_reference(const struct value *resource, const char *path);
