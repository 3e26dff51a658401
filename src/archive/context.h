/*
 * Folders beside a document as archives: that which an image is built from, sorted, without what
 * its .dockerignore leaves out (of which the file itself and the Dockerfile are excepted: the
 * engine reads both); and those that services are shown, whole. Links are kept as links and never
 * followed, wherever they lead.
 */
#pragma once

#include "archive/tar.h"
#include "base/digest.h"
#include "base/error.h"

#define CONTEXT_BYTES (UINT64_C(1) << 30)
#define CONTEXT_FILES 100000
#define CONTEXT_DOCKERFILE "Dockerfile"

#define CONTEXT_FILES_BYTES (UINT64_C(64) << 20)
#define CONTEXT_FILES_COUNT 10000
#define CONTEXT_CONTENT "content"

/*
 * Packs it into the sink (NULL: nowhere) and gives the digest of what was packed: the same as long
 * as no file's name, mode or content in it changes. dockerfile is its path within the folder, NULL:
 * CONTEXT_DOCKERFILE. ERROR_NOT_FOUND without the folder or the dockerfile, ERROR_DENIED where
 * something cannot be read, ERROR_LIMIT above the limits, ERROR_INVALID for a .dockerignore with a
 * fault and for what is neither file, folder nor link, ERROR_STALE when a file changes meanwhile.
 */
int context_pack(const char *folder, const char *dockerfile, const struct tar_sink *sink,
                 char ret_digest[DIGEST_HEX_SIZE], struct error *err);
/*
 * The same of a file, or a folder with all that is in it, by its absolute path without links: the
 * archive has it as CONTEXT_CONTENT, whatever its name is. Of modes only whether a file can be run
 * counts. ERROR_LIMIT above the limits, which are lower.
 */
int context_pack_files(const char *path, const struct tar_sink *sink,
                       char ret_digest[DIGEST_HEX_SIZE], struct error *err);
