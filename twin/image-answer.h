/*
 * What a Docker Engine answers to a build: a stream of JSON objects, of which "stream" is what the
 * build prints, "error" says that it failed and "aux" names what was made.
 */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"

#include <stddef.h>

enum {
    IMAGE_ANSWER_LINE = 1 << 20, /* a longer one is refused */
    IMAGE_ANSWER_LINES = 12,     /* so many of a step's last lines are kept */
    IMAGE_ANSWER_WIDTH = 300     /* bytes of each */
};

/* Zero-initialise it; tell may be NULL. */
struct image_answer {
    void (*tell)(void *argument, const char *line); /* each line that the build prints */
    void *argument;

    struct strbuf rest;              /* what is not a whole object yet */
    struct strbuf line;              /* what is not a whole line of the build yet */
    char *step;                      /* owned: the newest "Step 2/5 : RUN ...", or NULL */
    char *lines[IMAGE_ANSWER_LINES]; /* owned: the last lines since then, in a circle */
    size_t n_lines;
    char *error; /* owned; NULL: none so far */
    char *id;    /* owned: "sha256:...", NULL: none so far */
};
void image_answer_done(struct image_answer *answer);

/* Takes the next bytes. ERROR_UNAVAILABLE for what is no such stream, ERROR_LIMIT for a line that
 * is too long. */
int image_answer_add(struct image_answer *answer, const char *bytes, size_t size,
                     struct error *err);
/*
 * To be called behind the last one: whether an image was made. Fails with ERROR_INVALID when the
 * build failed: the message has its step, the step's last lines and what the engine says.
 */
int image_answer_end(struct image_answer *answer, struct error *err);
