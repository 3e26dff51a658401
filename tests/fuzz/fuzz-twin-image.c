/*
 * What a Docker Engine answers to a build: whatever comes, in whatever pieces (the first byte says
 * how large), it ends as an image, a failure or a refusal, and no line of it commands a terminal.
 */
#include "fuzz/fuzz.h"
#include "twin/image-answer.h"

#include <string.h>

static void look(void *argument, const char *line)
{
    (void)argument;
    MUST(strlen(line) <= IMAGE_ANSWER_WIDTH);
    for (; *line; line++)
        MUST((unsigned char)*line >= ' ' && *line != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    CLEANUP(image_answer_done) struct image_answer answer = {.tell = look};
    CLEANUP(error_done) struct error err = {0};
    size_t piece = size > 0 ? text[0] % 64 + 1 : 1;
    int r = 0;
    for (size_t at = 1; r == 0 && at < size; at += piece)
        r = image_answer_add(&answer, (const char *)text + at,
                             size - at < piece ? size - at : piece, &err);
    if (r == 0)
        r = image_answer_end(&answer, &err);
    MUST(r < 0 || answer.id);
    MUST(r == 0 || err.code != ERROR_NONE);
    return 0;
}
