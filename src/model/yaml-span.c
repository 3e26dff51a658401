/* libyaml's events as byte ranges. Its marks count characters; texts are cut by bytes. */
#include "model/yaml-span.h"

#include "base/memory.h"
#include "base/text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 1000 };

struct span_reader {
    yaml_parser_t parser;
    struct arena *arena;
    const char *text;
    size_t size;
    size_t character; /* the place last asked for: as a character, and as a byte */
    size_t byte;
    size_t depth;
};

static bool begins_character(const struct span_reader *reader, size_t byte)
{
    return ((unsigned char)reader->text[byte] & 0xc0) != 0x80;
}

/* The byte at which a mark stands. Marks come nearly in order: it is a short walk from the last. */
static size_t byte_of(struct span_reader *reader, const yaml_mark_t *mark)
{
    while (reader->character < mark->index && reader->byte < reader->size) {
        reader->byte++;
        while (reader->byte < reader->size && !begins_character(reader, reader->byte))
            reader->byte++;
        reader->character++;
    }
    while (reader->character > mark->index && reader->byte > 0) {
        reader->byte--;
        while (reader->byte > 0 && !begins_character(reader, reader->byte))
            reader->byte--;
        reader->character--;
    }
    return reader->byte;
}

static struct yaml_span *add_span(struct span_reader *reader, const yaml_event_t *event,
                                  enum yaml_span_kind kind)
{
    struct yaml_span *span = arena_take(reader->arena, 1, sizeof(struct yaml_span));
    span->kind = kind;
    span->start = byte_of(reader, &event->start_mark);
    span->end = byte_of(reader, &event->end_mark);
    span->column = (unsigned int)event->start_mark.column;
    return span;
}

/* The end of a scalar after "|" or ">" is the start of the next line that is none of it. */
static void trim_block_scalar(const struct span_reader *reader, struct yaml_span *span)
{
    const char *text = reader->text;
    size_t header = strcspn(text + span->start, "\r\n");
    bool keeps = memchr(text + span->start, '+', header) != NULL;
    size_t start = span->start;
    do {
        if (span->end > start && text[span->end - 1] == '\n')
            span->end--;
        if (span->end > start && text[span->end - 1] == '\r')
            span->end--;
    } while (!keeps && span->end > start && strchr("\r\n", text[span->end - 1]));
}

static const struct yaml_span *read_scalar(struct span_reader *reader, const yaml_event_t *event)
{
    struct yaml_span *span = add_span(reader, event, YAML_SPAN_SCALAR);
    yaml_scalar_style_t style = event->data.scalar.style;
    span->is_block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    if (span->is_block)
        trim_block_scalar(reader, span);
    span->text = arena_copy_text(reader->arena, (const char *)event->data.scalar.value,
                                 event->data.scalar.length);
    return span;
}

/* Spans that are collected until their list or map ends. */
struct span_list {
    const struct yaml_span **items; /* owned */
    size_t n_items;
    size_t capacity;
};

static void span_list_add(struct span_list *list, const struct yaml_span *span)
{
    ARRAY_RESERVE(list->items, list->n_items, list->capacity);
    list->items[list->n_items++] = span;
}

static const struct yaml_span *read_next(struct span_reader *reader, bool *ret_is_end,
                                         size_t *ret_end);

/* Moves every step-th of the collected spans, from first on, into the arena. */
static const struct yaml_span **keep(struct span_reader *reader, const struct span_list *list,
                                     size_t first, size_t step, size_t n)
{
    const struct yaml_span **items = arena_take(reader->arena, n, sizeof(struct yaml_span *));
    for (size_t i = 0; i < n; i++)
        items[i] = list->items[first + i * step];
    return items;
}

static const struct yaml_span *read_collection(struct span_reader *reader,
                                               const yaml_event_t *event)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    struct yaml_span *span = add_span(reader, event, is_map ? YAML_SPAN_MAP : YAML_SPAN_LIST);
    span->is_flow = is_map ? event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
                           : event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    struct span_list list = {0};
    bool is_end = false;
    size_t end = 0;
    const struct yaml_span *item;
    while ((item = read_next(reader, &is_end, &end)))
        span_list_add(&list, item);
    if (is_end) {
        span->n_items = is_map ? list.n_items / 2 : list.n_items;
        span->items = keep(reader, &list, is_map, is_map ? 2 : 1, span->n_items);
        span->keys = is_map ? keep(reader, &list, 0, 2, span->n_items) : NULL;
        /* The end event of a collection without brackets stands behind all that follows it. */
        span->end = span->is_flow       ? end
                    : span->n_items > 0 ? span->items[span->n_items - 1]->end
                                        : span->start;
    }
    mem_free(list.items);
    return is_end ? span : NULL;
}

/* The next node; NULL at the end of a list or map (*ret_is_end) and when something is wrong. */
static const struct yaml_span *read_next(struct span_reader *reader, bool *ret_is_end,
                                         size_t *ret_end)
{
    yaml_event_t event;
    const struct yaml_span *span = NULL;
    if (!yaml_parser_parse(&reader->parser, &event))
        return NULL;
    switch (event.type) {
    case YAML_SCALAR_EVENT:
        span = read_scalar(reader, &event);
        break;
    case YAML_ALIAS_EVENT:
        span = add_span(reader, &event, YAML_SPAN_ALIAS);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (reader->depth++ < MAX_DEPTH)
            span = read_collection(reader, &event);
        reader->depth--;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        *ret_is_end = true;
        *ret_end = byte_of(reader, &event.end_mark);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    yaml_event_delete(&event);
    return span;
}

/* Steps over an event that must be of this type. */
static bool skip(struct span_reader *reader, yaml_event_type_t type)
{
    yaml_event_t event;
    if (!yaml_parser_parse(&reader->parser, &event))
        return false;
    bool is_it = event.type == type;
    yaml_event_delete(&event);
    return is_it;
}

const struct yaml_span *yaml_read_spans(struct arena *arena, const char *text, size_t size)
{
    struct span_reader reader = {.arena = arena, .text = text, .size = size};
    if (!yaml_parser_initialize(&reader.parser))
        return NULL;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    bool is_end = false;
    size_t end = 0;
    const struct yaml_span *root = NULL;
    if (skip(&reader, YAML_STREAM_START_EVENT) && skip(&reader, YAML_DOCUMENT_START_EVENT))
        root = read_next(&reader, &is_end, &end);
    yaml_parser_delete(&reader.parser);
    return root;
}

const struct yaml_span *yaml_span_get(const struct yaml_span *map, const char *key,
                                      size_t *ret_index)
{
    if (!map || map->kind != YAML_SPAN_MAP)
        return NULL;
    for (size_t i = 0; i < map->n_items; i++)
        if (map->keys[i]->text && text_equal(map->keys[i]->text, key)) {
            if (ret_index)
                *ret_index = i;
            return map->items[i];
        }
    return NULL;
}
