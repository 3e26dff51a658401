/*
 * `parley-twin copy --source PATH --digest DIGEST --to FOLDER`: what the driver has done before it
 * shows a service a file or a folder of the document. FOLDER/content is what was planned, readable
 * for whoever reaches it, and complete and on the disk, or there is no FOLDER; one that is there is
 * left as it is. On failure stdout is the reason: a line with the error's code, and its message.
 */
#pragma once

int copy_main(const char *source, const char *digest, const char *folder);
