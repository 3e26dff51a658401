/* What changed between two texts, line by line. */
#include "base/memory.h"
#include "base/text.h"
#include "render/render.h"

#include <string.h>

/* Beyond so many pairs of lines the change is shown as a whole. */
enum { MAX_PAIRS = 4000000, CONTEXT = 2 };

struct line {
    const char *text;
    size_t length;
};

struct lines {
    struct line *items; /* owned */
    size_t n_items;
    size_t capacity;
};

static void split(const char *text, struct lines *lines)
{
    /* A text without lines has a place to point to, too. */
    ARRAY_RESERVE(lines->items, lines->n_items, lines->capacity);
    while (*text) {
        size_t length = strcspn(text, "\n");
        ARRAY_RESERVE(lines->items, lines->n_items, lines->capacity);
        lines->items[lines->n_items++] = (struct line){text, length};
        text += length + (text[length] == '\n');
    }
}

static bool is_same(const struct line *a, const struct line *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static void write_line(struct strbuf *buffer, char mark, const struct line *line)
{
    strbuf_add_char(buffer, mark);
    strbuf_add_n(buffer, line->text, line->length);
    strbuf_add_char(buffer, '\n');
}

/* The changed parts of two texts: between a common start and a common end. */
struct middle {
    const struct line *before, *after;
    size_t n_before, n_after;
};

static void write_all(struct strbuf *buffer, const struct middle *middle)
{
    for (size_t i = 0; i < middle->n_before; i++)
        write_line(buffer, '-', &middle->before[i]);
    for (size_t i = 0; i < middle->n_after; i++)
        write_line(buffer, '+', &middle->after[i]);
}

/* lengths[i][k]: of the longest common sequence of what follows i before and k after. */
static unsigned int *measure(const struct middle *middle)
{
    size_t width = middle->n_after + 1;
    unsigned int *lengths = NEW_ARRAY(unsigned int, (middle->n_before + 1) * width);
    for (size_t i = middle->n_before; i-- > 0;)
        for (size_t k = middle->n_after; k-- > 0;) {
            unsigned int down = lengths[(i + 1) * width + k];
            unsigned int right = lengths[i * width + k + 1];
            bool is_common = is_same(&middle->before[i], &middle->after[k]);
            lengths[i * width + k] = is_common      ? lengths[(i + 1) * width + k + 1] + 1
                                     : down > right ? down
                                                    : right;
        }
    return lengths;
}

static void write_middle(struct strbuf *buffer, const struct middle *middle)
{
    size_t width = middle->n_after + 1;
    if (middle->n_before * width > MAX_PAIRS) {
        write_all(buffer, middle);
        return;
    }
    unsigned int *lengths = measure(middle);
    size_t i = 0;
    size_t k = 0;
    while (i < middle->n_before || k < middle->n_after) {
        bool has_both = i < middle->n_before && k < middle->n_after;
        if (has_both && is_same(&middle->before[i], &middle->after[k])) {
            write_line(buffer, ' ', &middle->before[i]);
            i++;
            k++;
        } else if (i < middle->n_before &&
                   (!has_both || lengths[(i + 1) * width + k] >= lengths[i * width + k + 1])) {
            write_line(buffer, '-', &middle->before[i++]);
        } else {
            write_line(buffer, '+', &middle->after[k++]);
        }
    }
    mem_free(lengths);
}

void render_diff(const char *label, const char *before, const char *after, struct strbuf *buffer)
{
    struct lines old = {0};
    struct lines new = {0};
    split(before, &old);
    split(after, &new);
    size_t start = 0;
    size_t end = 0;
    while (start < old.n_items &&
           start < new.n_items &&is_same(&old.items[start], &new.items[start]))
        start++;
    while (start + end < old.n_items &&
           start + end < new.n_items &&is_same(&old.items[old.n_items - 1 - end],
                                               &new.items[new.n_items - 1 - end]))
        end++;
    size_t first = start > CONTEXT ? start - CONTEXT : 0;
    size_t n_behind = end > CONTEXT ? CONTEXT : end;
    if (start + end < old.n_items || start + end < new.n_items) {
        struct middle middle = {old.items + start, new.items + start, old.n_items - start - end,
                                new.n_items - start - end};
        strbuf_addf(buffer, "%s, line %zu:\n", label, start + 1);
        for (size_t i = first; i < start; i++)
            write_line(buffer, ' ', &old.items[i]);
        write_middle(buffer, &middle);
        for (size_t i = 0; i < n_behind; i++)
            write_line(buffer, ' ', &old.items[old.n_items - end + i]);
    }
    mem_free(old.items);
    mem_free(new.items);
}
