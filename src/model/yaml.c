/* libyaml's events become a tree here, and its faults ours. It knows no document: only YAML,
 * positions and limits. */
#include "model/yaml.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/yaml-internal.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

const struct yaml_limits yaml_default_limits = YAML_DEFAULT_LIMITS;

/* What an anchor names, and what each alias of it costs. */
struct anchor {
    const struct yaml_node *node; /* NULL while its own content is being read */
    size_t n_nodes;
    size_t n_bytes;
    unsigned int height;
};

/* A list or map whose end has not come yet. */
struct frame {
    enum value_kind kind;
    unsigned int line, column;
    size_t first;          /* its first entry in reader.pending */
    struct yaml_pair pair; /* a map's key that waits for its value */
    bool has_key;
    struct anchor *anchor; /* borrowed from the arena; NULL without */
    size_t n_nodes_before;
    size_t n_bytes_before;
    unsigned int height; /* of what is in it so far */
};

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    struct yaml_tree *tree;
    const struct yaml_limits *limits;
    struct diagnostics *diagnostics;
    struct frame *frames; /* owned, limits->depth of them */
    unsigned int depth;
    struct yaml_pair *pending; /* owned: finished items of all open frames; a list's have no key */
    size_t n_pending;
    size_t capacity;
    struct map anchors; /* name -> struct anchor */
    size_t n_nodes;
    size_t n_bytes;
    size_t n_aliases;
    size_t n_alias_bytes;
};

static struct position position_of(const struct reader *reader, yaml_mark_t mark)
{
    return (struct position){reader->tree->file, (unsigned int)mark.line + 1,
                             (unsigned int)mark.column + 1};
}

/* Where a byte stands; the text need not be well-formed. */
static struct position position_of_byte(const struct reader *reader, size_t offset)
{
    struct position position = {reader->tree->file, 1, 1};
    for (size_t i = 0; i < offset && i < reader->size; i++) {
        if (reader->text[i] == '\n') {
            position.line++;
            position.column = 1;
        } else if (((unsigned char)reader->text[i] & 0xc0) != 0x80) {
            position.column++;
        }
    }
    return position;
}

static int fail_limit(struct reader *reader, struct position position, const char *what)
{
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_LIMIT, position,
                    "Split the document, or move large content out of it.", "%s", what);
    return -1;
}

/* What a message of libyaml usually comes from. */
static const char *syntax_help(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    size_t index = parser->problem_mark.index;
    char at = '\0';
    if (index < reader->size)
        at = reader->text[index];
    if (at == '\t')
        return "Indent with spaces: YAML takes no tabs there.";
    if (at == '@' || at == '`' || at == '%')
        return "Put a text that begins with this character in quotes.";
    if (parser->problem && strstr(parser->problem, "mapping values"))
        return "Put a text with a colon and a space in it in quotes, or mend the indentation.";
    return "Look at quotes, brackets and indentation on this line and the one before.";
}

static int fail_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_READER_ERROR) {
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX,
                        position_of_byte(reader, parser->problem_offset),
                        "Remove the character, or write it as an escape in double quotes.",
                        "A character that YAML does not allow: %s.", parser->problem);
        return -1;
    }
    if (parser->error == YAML_MEMORY_ERROR)
        return fail_limit(reader, position_of(reader, parser->mark),
                          "The document needs more memory than there is.");
    const char *context = parser->context ? parser->context : "while reading the document";
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX,
                    position_of(reader, parser->problem_mark), syntax_help(reader),
                    "Reading stopped %s: %s.", context,
                    parser->problem ? parser->problem : "unknown reason");
    return -1;
}

/* The first byte that is not well-formed UTF-8, or is NUL. */
static size_t first_bad_byte(const char *text, size_t size)
{
    size_t start = 0;
    while (start < size) {
        const char *newline = memchr(text + start, '\n', size - start);
        size_t end = newline ? (size_t)(newline - text) + 1 : size;
        if (!text_is_utf8(text + start, end - start))
            break;
        start = end;
    }
    size_t bad = start;
    for (size_t end = start + 1; end <= size && end <= bad + 4; end++)
        if (text_is_utf8(text + bad, end - bad))
            bad = end;
    return bad;
}

static struct frame *top_frame(struct reader *reader)
{
    return reader->depth ? &reader->frames[reader->depth - 1] : NULL;
}

/* Puts a finished node where it belongs. height is that of the node itself, 0 for a scalar. */
static void place(struct reader *reader, const struct yaml_node *node, unsigned int height)
{
    struct frame *frame = top_frame(reader);
    if (!frame) {
        reader->tree->root = node;
        return;
    }
    if (height + 1 > frame->height)
        frame->height = height + 1;
    struct yaml_pair pair = frame->pair;
    pair.value = node;
    frame->has_key = false;
    frame->pair = (struct yaml_pair){0};
    ARRAY_RESERVE(reader->pending, reader->n_pending, reader->capacity);
    reader->pending[reader->n_pending++] = pair;
}

static int count_node(struct reader *reader, yaml_mark_t mark)
{
    if (++reader->n_nodes > reader->limits->nodes)
        return fail_limit(reader, position_of(reader, mark), "The document has too many nodes.");
    return 0;
}

static struct anchor *open_anchor(struct reader *reader, const yaml_char_t *name)
{
    if (!name)
        return NULL;
    struct anchor *anchor = arena_take(&reader->tree->arena, 1, sizeof(struct anchor));
    map_put(&reader->anchors, (const char *)name, anchor);
    return anchor;
}

static int check_scalar_size(struct reader *reader, const yaml_event_t *event)
{
    if (event->data.scalar.length <= reader->limits->scalar_bytes)
        return 0;
    return fail_limit(reader, position_of(reader, event->start_mark), "A text is too long.");
}

/* Resolves a scalar by tag, quotes and the core schema; what is wrong with it is told. */
static void resolve(struct reader *reader, const yaml_event_t *event, struct yaml_node *node)
{
    const char *tag = (const char *)event->data.scalar.tag;
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *fault = NULL;
    enum diagnostic_code code = yaml_resolve_scalar(node, is_plain, tag, &fault);
    if (fault)
        diagnostics_add(reader->diagnostics, code, position_of(reader, event->start_mark),
                        "Write it in quotes when a text is meant.", "%.80s: %s.",
                        node->n_items ? node->text : "An empty text", fault);
}

static void init_scalar(const struct reader *reader, const yaml_event_t *event,
                        struct yaml_node *node)
{
    struct position position = position_of(reader, event->start_mark);
    *node = (struct yaml_node){.kind = VALUE_STRING,
                               .line = position.line,
                               .column = position.column,
                               .n_items = (unsigned int)event->data.scalar.length,
                               .text = (const char *)event->data.scalar.value};
}

static bool is_merge_key(const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           text_equal((const char *)event->data.scalar.value, "<<");
}

static int read_key(struct reader *reader, const yaml_event_t *event)
{
    struct position position = position_of(reader, event->start_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX, position,
                        "Write the key as a text.",
                        "A key is a list, a map or an alias; keys are texts here.");
        return -1;
    }
    if (check_scalar_size(reader, event) < 0)
        return -1;
    struct yaml_node node;
    init_scalar(reader, event, &node);
    resolve(reader, event, &node);
    if (node.kind != VALUE_STRING)
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_WRONG_KIND, position,
                        "Write the key in quotes.",
                        "The key \"%.80s\" is of kind %s; keys are strings.", node.text,
                        value_kind_to_string(node.kind));
    else if (is_merge_key(event))
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_UNKNOWN_KEY, position,
                        "Write the keys out.",
                        "Merge keys (<<) are not part of YAML 1.2, so nothing would be merged.");
    struct frame *frame = top_frame(reader);
    frame->has_key = true;
    frame->pair.key = yaml_keep_key(reader->tree, node.text, node.n_items);
    frame->pair.line = position.line;
    frame->pair.column = position.column;
    return 0;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event)
{
    if (check_scalar_size(reader, event) < 0 || count_node(reader, event->start_mark) < 0)
        return -1;
    struct arena *arena = &reader->tree->arena;
    struct yaml_node *node = arena_take(arena, 1, sizeof(struct yaml_node));
    init_scalar(reader, event, node);
    node->text = arena_copy_text(arena, node->text, node->n_items);
    resolve(reader, event, node);
    reader->n_bytes += node->n_items;
    struct anchor *anchor = open_anchor(reader, event->data.scalar.anchor);
    if (anchor)
        *anchor = (struct anchor){.node = node, .n_nodes = 1, .n_bytes = node->n_items};
    place(reader, node, 0);
    return 0;
}

static int read_alias(struct reader *reader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct position position = position_of(reader, event->start_mark);
    const struct anchor *anchor = map_get(&reader->anchors, name);
    if (!anchor || !anchor->node) {
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX, position,
                        "Put the anchor (&name) before it, outside of what holds the alias.",
                        anchor ? "The alias *%.80s stands inside of what it names."
                               : "The alias *%.80s has no anchor before it.",
                        name);
        return -1;
    }
    reader->n_nodes += anchor->n_nodes;
    reader->n_bytes += anchor->n_bytes;
    reader->n_alias_bytes += anchor->n_bytes;
    if (++reader->n_aliases > reader->limits->aliases)
        return fail_limit(reader, position, "The document uses too many aliases.");
    if (reader->n_nodes > reader->limits->nodes ||
        reader->n_alias_bytes > reader->limits->alias_bytes)
        return fail_limit(reader, position, "The aliases of the document stand for too much.");
    if (reader->depth + anchor->height > reader->limits->depth)
        return fail_limit(reader, position, "The document nests too deep through its aliases.");
    place(reader, anchor->node, anchor->height);
    return 0;
}

static bool is_core_collection_tag(const char *tag, enum value_kind kind)
{
    return !tag || text_equal(tag, "!") ||
           text_equal(tag, kind == VALUE_LIST ? YAML_SEQ_TAG : YAML_MAP_TAG);
}

static int open_frame(struct reader *reader, const yaml_event_t *event)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    enum value_kind kind = is_list ? VALUE_LIST : VALUE_MAP;
    struct position position = position_of(reader, event->start_mark);
    const yaml_char_t *tag =
        is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    if (count_node(reader, event->start_mark) < 0)
        return -1;
    if (reader->depth == reader->limits->depth)
        return fail_limit(reader, position, "The document nests too deep.");
    if (!is_core_collection_tag((const char *)tag, kind))
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_VALUE, position, "Leave the tag out.",
                        "The tag %.80s means nothing here.", (const char *)tag);
    assert(reader->frames); /* as many as the limit above */
    reader->frames[reader->depth++] = (struct frame){
        .kind = kind,
        .line = position.line,
        .column = position.column,
        .first = reader->n_pending,
        .anchor = open_anchor(reader, is_list ? event->data.sequence_start.anchor
                                              : event->data.mapping_start.anchor),
        .n_nodes_before = reader->n_nodes - 1,
        .n_bytes_before = reader->n_bytes,
        .height = 1,
    };
    return 0;
}

static void report_duplicate(void *context, const struct yaml_pair *pair,
                             const struct yaml_pair *earlier)
{
    const struct reader *reader = context;
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_DUPLICATE_KEY,
                    yaml_key_position(reader->tree, pair), "Remove one of them.",
                    "The key \"%.80s\" stands in line %u already.", pair->key, earlier->line);
}

static void close_frame(struct reader *reader)
{
    struct frame frame = reader->frames[--reader->depth];
    const struct yaml_pair *pending = reader->pending ? &reader->pending[frame.first] : NULL;
    size_t n_items = reader->n_pending - frame.first;
    const struct yaml_node *node;
    if (frame.kind == VALUE_MAP) {
        yaml_find_duplicates(pending, n_items, report_duplicate, reader);
        node = yaml_add_map(reader->tree, pending, n_items, frame.line, frame.column);
    } else {
        node = yaml_add_pending_list(reader->tree, pending, n_items, frame.line, frame.column);
    }
    reader->n_pending = frame.first;
    if (frame.anchor)
        *frame.anchor = (struct anchor){.node = node,
                                        .n_nodes = reader->n_nodes - frame.n_nodes_before,
                                        .n_bytes = reader->n_bytes - frame.n_bytes_before,
                                        .height = frame.height};
    place(reader, node, frame.height);
}

static int read_event(struct reader *reader, const yaml_event_t *event)
{
    const struct frame *frame = top_frame(reader);
    switch (event->type) {
    case YAML_SCALAR_EVENT:
    case YAML_ALIAS_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (frame && frame->kind == VALUE_MAP && !frame->has_key)
            return read_key(reader, event);
        if (event->type == YAML_SCALAR_EVENT)
            return read_scalar(reader, event);
        return event->type == YAML_ALIAS_EVENT ? read_alias(reader, event)
                                               : open_frame(reader, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_frame(reader);
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        if (!reader->tree->root)
            return 0;
        diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX,
                        position_of(reader, event->start_mark),
                        "Keep one document in a file; \"---\" begins another.",
                        "A second YAML document begins here.");
        return -1;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return 0;
}

static int read_events(struct reader *reader)
{
    bool is_end = false;
    int r = 0;
    while (r == 0 && !is_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event))
            return fail_syntax(reader);
        is_end = event.type == YAML_STREAM_END_EVENT;
        r = read_event(reader, &event);
        yaml_event_delete(&event);
    }
    if (r == 0 && !reader->tree->root)
        reader->tree->root = yaml_add_scalar(reader->tree, NULL, 1, 1);
    return r;
}

static int check_text(struct reader *reader)
{
    if (reader->size > reader->limits->bytes)
        return fail_limit(reader, (struct position){.file = reader->tree->file},
                          "The document has too many bytes.");
    if (text_is_utf8(reader->text, reader->size))
        return 0;
    size_t bad = first_bad_byte(reader->text, reader->size);
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_YAML_SYNTAX, position_of_byte(reader, bad),
                    "Save the file as UTF-8.", "The byte 0x%02x is not UTF-8 text.",
                    (unsigned int)(unsigned char)reader->text[bad]);
    return -1;
}

static int read_text(struct reader *reader)
{
    if (check_text(reader) < 0)
        return -1;
    if (!yaml_parser_initialize(&reader->parser))
        return fail_limit(reader, (struct position){.file = reader->tree->file},
                          "The document needs more memory than there is.");
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)reader->text,
                                 reader->size);
    int r = read_events(reader);
    yaml_parser_delete(&reader->parser);
    return r;
}

int yaml_read_events(const char *text, size_t size, const struct yaml_limits *limits,
                     struct yaml_tree *tree, struct diagnostics *diagnostics)
{
    struct reader reader = {
        .text = text,
        .size = size,
        .tree = tree,
        .limits = limits,
        .diagnostics = diagnostics,
        .frames = NEW_ARRAY(struct frame, limits->depth),
    };
    int r = read_text(&reader);
    mem_free(reader.frames);
    mem_free(reader.pending);
    map_done(&reader.anchors);
    return r;
}
