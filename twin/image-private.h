/* What the files of `parley-twin image` share. For image-*.c only. */
#pragma once

#include "base/digest.h"
#include "model/value.h"
#include "twin/image-engine.h"

#include <stdbool.h>

#define LABEL_UID "parley.uid"
#define LABEL_RECIPE "parley.recipe"
#define LABEL_TWIN "parley.twin"

/* A request that is carried out; all but the engine borrowed from it. */
struct image_work {
    struct engine *engine; /* owned */
    const struct value *request;
    const struct value *spec; /* of a build */
    const char *uid;
    const char *twin;          /* its identity, or NULL */
    const struct value *known; /* uids of the images that it has, or NULL */
    const char *folder;
    char recipe[DIGEST_HEX_SIZE];
    bool has_image; /* what happens from then on leaves one behind */
    struct value_builder answer;
};

/* A line of progress to whoever started us. argument is not looked at. */
void image_tell(void *argument, const char *line);

/* --- image-known.c --- */

/* A request without more than its path. */
int image_ask(struct image_work *work, const char *method, const char *path,
              struct value **ret_answer, struct error *err);
/* A list of what carries a label with this text: "images", or "containers". */
int image_list(struct image_work *work, const char *kind, const char *label, const char *text,
               struct value **ret_list, struct error *err);
/* What carries our uid. */
int image_list_ours(struct image_work *work, const char *kind, struct value **ret_list,
                    struct error *err);
/* "" without one. */
const char *image_label_of(const struct value *thing, const char *label);
/*
 * Whether something with labels is an image of this twin that nobody knows of any more: an engine
 * may end a build when the run that asked for it was given up, and its resource with it.
 */
bool image_is_abandoned(const struct image_work *work, const struct value *thing);
/* The image of a name, or NULL; *ret_image is what inspecting it says. */
int image_inspect(struct image_work *work, const char *name, struct value **ret_image,
                  struct error *err);
/* All names that the image is to have: "image" and "tags". The caller unrefs it. */
struct value *image_names_of(const struct value *spec);
/* Those names that the engine knows as somebody else's images. */
int image_find_taken(struct image_work *work, const struct value *spec, struct value **ret_taken,
                     struct error *err);
/* The verb "look". */
int image_look(struct image_work *work, struct error *err);

/* --- image-remove.c --- */

/* "UID.0123456789abcdef", of the files of an image; the caller frees it. */
char *image_folder_name(const struct image_work *work, const char *id);
int image_remove_containers(struct image_work *work, struct error *err);
/* Those that nobody knows of any more. That one stays is no failure of anything else. */
void image_remove_abandoned(struct image_work *work);
/* The verb "remove". */
int image_remove_all(struct image_work *work, struct error *err);

/* --- image-build.c --- */

/* What decides how an image comes out, as a digest: an image with it need not be built again. */
void image_find_recipe(struct image_work *work);
/* The image of this recipe, made by a run that did not come to its end; *ret_id is NULL without. */
int image_find_built(struct image_work *work, char **ret_id, struct error *err);
/* Packs the context and has it built. */
int image_build(struct image_work *work, char **ret_id, struct error *err);
/* Gives an image that is there the names that are wanted. */
int image_name(struct image_work *work, const char *id, struct error *err);
