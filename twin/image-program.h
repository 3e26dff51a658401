/*
 * `parley-twin image`: what the driver has done about images, in a process of its own, since it
 * waits for the engine and reads whatever that answers.
 *
 * stdin is a request {"verb", "engine": PATH, "uid", ...}; stdout is lines of JSON: any number of
 * {"progress": TEXT}, then {"ok": true, ...} or {"ok": false, "error": {"code", "message"}}.
 *
 * "look": whether an engine answers, and what it has: {"version", "api", "images": [{"id",
 *   "recipe"}]} of that uid ("" for none), and "taken": those of "names" that are another's images.
 * "build": makes the image of a "spec" unless there is one of its recipe, and has its files in
 *   "folder", as a folder UID.PART-OF-ID: {"built": {"id", "folder", "config"}}. Where it fails,
 *   "left" says whether the engine has the image nevertheless.
 * "remove": removes what the engine has of that uid, and of "folder" what is called UID.ANYTHING,
 *   but for the image "keep".
 *
 * "twin" is the identity of the twin, which its images carry as a label, "known" the uids of those
 * that it has. What carries it and is of another uid than these, without a file in "folder", is
 * what a build made when it had been given up: nobody else's, and it goes with the next change.
 */
#pragma once

int image_main(void);
