/* The files of an image, as a folder that instances are given for their root. */
#pragma once

#include "twin/image-engine.h"

/*
 * Has the engine give the files of a container, and unpacks them into the folder, which is made
 * anew: complete and ready to be a root, or not there. partial is a name beside it for the
 * meantime.
 */
int image_unpack(struct engine *engine, const char *container, const char *folder,
                 const char *partial, struct error *err);
