#include "twin/image-answer.h"

#include "base/text.h"
#include "model/json.h"

#include <string.h>

void image_answer_done(struct image_answer *answer)
{
    strbuf_done(&answer->rest);
    strbuf_done(&answer->line);
    for (size_t i = 0; i < IMAGE_ANSWER_LINES; i++)
        mem_free(answer->lines[i]);
    mem_free(answer->step);
    mem_free(answer->error);
    mem_free(answer->id);
}

static void forget_lines(struct image_answer *answer)
{
    for (size_t i = 0; i < IMAGE_ANSWER_LINES; i++)
        mem_free(take_ptr(answer->lines[i]));
    answer->n_lines = 0;
}

static void set(char **field, const char *text, size_t limit)
{
    size_t length = strnlen(text, limit);
    mem_free(*field);
    *field = string_copy_n(text, length);
    text_make_printable(*field);
}

/* What the engine says of its own doings and nobody needs to know. */
static bool is_chatter(const char *line)
{
    static const char *const beginnings[] = {" --->", "Removing intermediate container",
                                             "Successfully "};
    for (size_t i = 0; i < ARRAY_LENGTH(beginnings); i++)
        if (text_starts_with(line, beginnings[i]))
            return true;
    return !*line;
}

/* A build's line is anybody's: what could command a terminal is taken out. */
static void end_line(struct image_answer *answer)
{
    char *line = NULL;
    set(&line, strbuf_text(&answer->line), IMAGE_ANSWER_WIDTH);
    strbuf_clear(&answer->line);
    if (is_chatter(line)) {
        mem_free(line);
        return;
    }
    if (answer->tell)
        answer->tell(answer->argument, line);
    if (text_starts_with(line, "Step ")) {
        forget_lines(answer);
        mem_free(answer->step);
        answer->step = line;
        return;
    }
    char **slot = &answer->lines[answer->n_lines++ % IMAGE_ANSWER_LINES];
    mem_free(*slot);
    *slot = line;
}

static void add_printed(struct image_answer *answer, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r')
            end_line(answer);
        else if (answer->line.length < IMAGE_ANSWER_WIDTH)
            strbuf_add_char(&answer->line, *text);
    }
}

static int take_object(struct image_answer *answer, const char *text, size_t size,
                       struct error *err)
{
    CLEANUP(value_unrefp) struct value *object = NULL;
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == ' '))
        size--;
    if (size == 0)
        return 0;
    if (json_read(text, size, &object, NULL) < 0 || value_kind(object) != VALUE_MAP)
        return error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
    const char *printed = value_get_text(object, "stream");
    const char *error = value_get_text(object, "error");
    const struct value *aux = value_get(object, "aux");
    const char *id =
        !value_is_null(aux) && value_kind(aux) == VALUE_MAP ? value_get_text(aux, "ID") : NULL;
    if (printed)
        add_printed(answer, printed);
    if (error)
        set(&answer->error, error, (size_t)IMAGE_ANSWER_WIDTH * 4);
    if (id)
        set(&answer->id, id, IMAGE_ANSWER_WIDTH);
    return 0;
}

int image_answer_add(struct image_answer *answer, const char *bytes, size_t size, struct error *err)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end ? (size_t)(end - bytes) : size;
        if (answer->rest.length + length > IMAGE_ANSWER_LINE)
            return error_set(err, ERROR_LIMIT, "a line of the engine's answer is longer than %d",
                             IMAGE_ANSWER_LINE);
        strbuf_add_n(&answer->rest, bytes, length);
        if (!end)
            return 0;
        int r = take_object(answer, strbuf_text(&answer->rest), answer->rest.length, err);
        if (r < 0)
            return r;
        strbuf_clear(&answer->rest);
        bytes += length + 1;
        size -= length + 1;
    }
    return 0;
}

int image_answer_end(struct image_answer *answer, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf text = {0};
    int r = take_object(answer, strbuf_text(&answer->rest), answer->rest.length, err);
    if (r < 0)
        return r;
    end_line(answer);
    if (answer->id && !answer->error)
        return 0;
    if (answer->step)
        strbuf_addf(&text, "\n  %s", answer->step);
    size_t kept = answer->n_lines < IMAGE_ANSWER_LINES ? answer->n_lines : IMAGE_ANSWER_LINES;
    for (size_t i = answer->n_lines - kept; i < answer->n_lines; i++)
        strbuf_addf(&text, "\n    %s", answer->lines[i % IMAGE_ANSWER_LINES]);
    return error_set(err, ERROR_INVALID, "the build failed: %s%s",
                     answer->error ? answer->error : "the engine made no image",
                     strbuf_text(&text));
}
