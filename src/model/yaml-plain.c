/*
 * YAML as people and programs mostly write it, read without libyaml's tokens and events: block maps
 * and lists, maps and lists on one line, texts on one line with or without quotes, comments; in
 * ASCII. Whatever else there is, and whatever is wrong, is not understood here: libyaml reads that
 * text from its beginning.
 */
#include "model/yaml-internal.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"

#include <string.h>

enum {
    MAX_DEPTH = 40, /* of what is understood here: calls go as deep */
    MAX_KEY_LENGTH = 128,
    N_KNOWN_KEYS = 64,
};

/* What a byte may be: of a key, the first of a text without quotes. */
enum { IN_KEY = 1, BEGINS_KEY = 2, BEGINS_TEXT = 4 };

#define LETTER (IN_KEY | BEGINS_KEY | BEGINS_TEXT)
static const unsigned char classes[256] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER,
    ['_'] = LETTER,         ['0' ... '9'] = IN_KEY | BEGINS_TEXT,
    ['/'] = LETTER,         ['.'] = IN_KEY | BEGINS_TEXT,
    ['-'] = IN_KEY,         ['$'] = BEGINS_TEXT,
    ['~'] = BEGINS_TEXT,    ['+'] = BEGINS_TEXT,
    ['('] = BEGINS_TEXT,    ['='] = BEGINS_TEXT,
};

struct place {
    unsigned int line, column;
};

struct known_key {
    const char *text; /* borrowed from the tree */
    size_t length;
};

struct plain {
    const char *at;
    const char *end;
    const char *line_start;
    unsigned int line;
    unsigned int depth;
    size_t n_nodes;
    struct yaml_tree *tree;
    const struct yaml_limits *limits;
    struct yaml_pair *pending; /* owned: finished items of all open maps and lists */
    size_t n_pending;
    size_t capacity;
    struct known_key keys[N_KNOWN_KEYS];
};

static bool is_plain_ascii(const char *text, size_t size)
{
    unsigned char is_other = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        is_other |= ((unsigned char)(byte - ' ') > '~' - ' ') & (byte != '\n');
    }
    return !is_other;
}

static bool is_at(const struct plain *plain, char c)
{
    return plain->at < plain->end && *plain->at == c;
}

/* Whether the byte after this one ends a word: a space, or the end of the line. */
static bool is_word_end(const struct plain *plain, const char *at)
{
    return at == plain->end || *at == ' ' || *at == '\n';
}

static bool is_dash(const struct plain *plain)
{
    return is_at(plain, '-') && is_word_end(plain, plain->at + 1);
}

static unsigned int column_of(const struct plain *plain)
{
    return (unsigned int)(plain->at - plain->line_start) + 1;
}

static struct place place_of(const struct plain *plain)
{
    return (struct place){plain->line, column_of(plain)};
}

static void skip_spaces(struct plain *plain)
{
    while (is_at(plain, ' '))
        plain->at++;
}

static void skip_comment(struct plain *plain)
{
    const char *end = memchr(plain->at, '\n', (size_t)(plain->end - plain->at));
    plain->at = end ? end : plain->end;
}

/* From the end of a line to what stands in the next one that has something in it. */
static void skip_lines(struct plain *plain)
{
    while (is_at(plain, '\n')) {
        plain->line_start = ++plain->at;
        plain->line++;
        skip_spaces(plain);
        if (is_at(plain, '#'))
            skip_comment(plain);
    }
}

/* False when something stands behind what was read. */
static bool end_line(struct plain *plain)
{
    skip_spaces(plain);
    if (is_at(plain, '#') && plain->at[-1] == ' ')
        skip_comment(plain);
    if (plain->at < plain->end && *plain->at != '\n')
        return false;
    skip_lines(plain);
    return true;
}

static void keep(struct plain *plain, struct yaml_pair pair)
{
    ARRAY_RESERVE(plain->pending, plain->n_pending, plain->capacity);
    plain->pending[plain->n_pending++] = pair;
}

static bool count_node(struct plain *plain)
{
    return ++plain->n_nodes <= plain->limits->nodes;
}

/* A list or map begins. */
static bool enter(struct plain *plain)
{
    if (plain->depth == MAX_DEPTH || plain->depth == plain->limits->depth)
        return false;
    plain->depth++;
    return count_node(plain);
}

/* Empty ones can end before there is any. */
static const struct yaml_pair *pending_from(const struct plain *plain, size_t first)
{
    return plain->pending ? plain->pending + first : NULL;
}

static const struct yaml_node *leave_list(struct plain *plain, size_t first, unsigned int line,
                                          unsigned int column)
{
    plain->depth--;
    const struct yaml_node *node = yaml_add_pending_list(plain->tree, pending_from(plain, first),
                                                         plain->n_pending - first, line, column);
    plain->n_pending = first;
    return node;
}

static void note_duplicate(void *context, const struct yaml_pair *pair,
                           const struct yaml_pair *earlier)
{
    (void)pair;
    (void)earlier;
    *(bool *)context = true;
}

static const struct yaml_node *leave_map(struct plain *plain, size_t first, unsigned int line,
                                         unsigned int column)
{
    size_t n_pairs = plain->n_pending - first;
    const struct yaml_pair *pairs = pending_from(plain, first);
    bool has_duplicate = false;
    plain->depth--;
    yaml_find_duplicates(pairs, n_pairs, note_duplicate, &has_duplicate);
    if (has_duplicate)
        return NULL;
    const struct yaml_node *node = yaml_add_map(plain->tree, pairs, n_pairs, line, column);
    plain->n_pending = first;
    return node;
}

/* --- Scalars --- */

static const struct yaml_node *add_scalar(struct plain *plain, const char *text, size_t length,
                                          struct place place, bool is_plain)
{
    if (length > plain->limits->scalar_bytes || !count_node(plain))
        return NULL;
    struct yaml_node *node = arena_take(&plain->tree->arena, 1, sizeof(struct yaml_node));
    *node = (struct yaml_node){.kind = VALUE_STRING,
                               .line = place.line,
                               .column = place.column,
                               .n_items = (unsigned int)length,
                               .text = arena_copy_text(&plain->tree->arena, text, length)};
    const char *fault = NULL;
    if (is_plain)
        yaml_resolve_scalar(node, true, NULL, &fault);
    return fault ? NULL : node;
}

/* What a quote ends in the same line, without escapes. */
static const struct yaml_node *read_quoted(struct plain *plain)
{
    char quote = *plain->at;
    struct place place = place_of(plain);
    const char *start = ++plain->at;
    while (plain->at < plain->end && *plain->at != quote && *plain->at != '\n' &&
           *plain->at != '\\')
        plain->at++;
    if (!is_at(plain, quote))
        return NULL;
    size_t length = (size_t)(plain->at++ - start);
    /* Two single quotes are one of the text. */
    return is_at(plain, quote) ? NULL : add_scalar(plain, start, length, place, false);
}

static bool begins_text(const struct plain *plain)
{
    if (plain->at == plain->end)
        return false;
    return classes[(unsigned char)*plain->at] & BEGINS_TEXT ||
           (*plain->at == '-' && !is_word_end(plain, plain->at + 1));
}

/* A text without quotes, to the end of the line or to a comment; false when a colon ends a word. */
static bool skip_block_text(struct plain *plain)
{
    for (; plain->at < plain->end && *plain->at != '\n'; plain->at++) {
        if (*plain->at == ':' && is_word_end(plain, plain->at + 1))
            return false;
        if (*plain->at == '#' && plain->at[-1] == ' ')
            break;
    }
    while (plain->at[-1] == ' ')
        plain->at--;
    return true;
}

/* Whether a text goes on in the next line, in which something stands deeper than outer; then that
 * is where it is. What may be a comment or a mark there is not understood: nothing goes on. */
static bool goes_on_below(struct plain *plain, unsigned int outer)
{
    struct plain below = *plain;
    skip_spaces(&below);
    if (!is_at(&below, '\n'))
        return false;
    below.line_start = ++below.at;
    below.line++;
    skip_spaces(&below);
    if (column_of(&below) <= outer || !begins_text(&below))
        return false;
    plain->at = below.at;
    plain->line_start = below.line_start;
    plain->line = below.line;
    return true;
}

/* A text of several lines, which are joined by spaces. */
static const struct yaml_node *join_block_text(struct plain *plain, struct strbuf *text,
                                               struct place place, unsigned int outer)
{
    bool is_text = true, is_more = true;
    while (is_text && is_more) {
        const char *start = plain->at;
        is_text = skip_block_text(plain);
        strbuf_add_char(text, ' ');
        strbuf_add_n(text, start, (size_t)(plain->at - start));
        is_more = goes_on_below(plain, outer);
    }
    return is_text ? add_scalar(plain, strbuf_text(text), text->length, place, true) : NULL;
}

static const struct yaml_node *read_block_text(struct plain *plain, unsigned int outer)
{
    const char *start = plain->at;
    struct place place = place_of(plain);
    if (!skip_block_text(plain))
        return NULL;
    size_t length = (size_t)(plain->at - start);
    if (!goes_on_below(plain, outer))
        return add_scalar(plain, start, length, place, true);
    struct strbuf text = {0};
    strbuf_add_n(&text, start, length);
    const struct yaml_node *node = join_block_text(plain, &text, place, outer);
    strbuf_done(&text);
    return node;
}

/* A text without quotes within brackets. */
static const struct yaml_node *read_flow_text(struct plain *plain)
{
    const char *start = plain->at;
    struct place place = place_of(plain);
    while (plain->at < plain->end && !strchr(",[]{}?#\n", *plain->at)) {
        if (*plain->at == ':' &&
            (plain->at + 1 == plain->end || !(classes[(unsigned char)plain->at[1]] & IN_KEY)))
            return NULL;
        plain->at++;
    }
    const char *end = plain->at;
    while (end[-1] == ' ')
        end--;
    return add_scalar(plain, start, (size_t)(end - start), place, true);
}

/* --- Keys --- */

/* How long the key is that begins here, with a colon and the end of a word behind it; 0 without. */
static size_t key_length(const struct plain *plain)
{
    const char *at = plain->at;
    if (at == plain->end || !(classes[(unsigned char)*at] & BEGINS_KEY))
        return 0;
    while (at < plain->end &&
           (classes[(unsigned char)*at] & IN_KEY || (*at == ':' && !is_word_end(plain, at + 1))))
        at++;
    size_t length = (size_t)(at - plain->at);
    bool is_key = at < plain->end && *at == ':' && is_word_end(plain, at + 1);
    return is_key && length <= MAX_KEY_LENGTH && length <= plain->limits->scalar_bytes ? length : 0;
}

/* NULL when the key is no text. Most keys of a document are the same few words. */
static const char *keep_key(struct plain *plain, const char *text, size_t length)
{
    size_t slot = ((unsigned char)text[0] * 7 + (unsigned char)text[length - 1] * 3 + length);
    struct known_key *known = &plain->keys[slot % N_KNOWN_KEYS];
    if (known->length == length && memcmp(known->text, text, length) == 0)
        return known->text;
    const char *kept = yaml_keep_key(plain->tree, text, length);
    struct yaml_node node = {.kind = VALUE_STRING, .n_items = (unsigned int)length, .text = kept};
    const char *fault = NULL;
    yaml_resolve_scalar(&node, true, NULL, &fault);
    if (fault || node.kind != VALUE_STRING)
        return NULL;
    *known = (struct known_key){kept, length};
    return kept;
}

/* A key with its colon; what it gives has no key when there is none. */
static struct yaml_pair read_key(struct plain *plain)
{
    struct yaml_pair pair = {.line = plain->line, .column = column_of(plain)};
    size_t length = key_length(plain);
    if (length) {
        pair.key = keep_key(plain, plain->at, length);
        plain->at += length + 1;
    }
    return pair;
}

/* --- In brackets --- */

static const struct yaml_node *read_flow(struct plain *plain);

/* Between what stands in brackets there may be line ends and comments. False at the beginning of a
 * line, where what is next could be the mark of a new document. */
static bool skip_in_brackets(struct plain *plain)
{
    skip_spaces(plain);
    if (is_at(plain, '#') && plain->at[-1] == ' ')
        skip_comment(plain);
    skip_lines(plain);
    return plain->at > plain->line_start;
}

static const struct yaml_node *read_flow_item(struct plain *plain)
{
    if (is_at(plain, '{') || is_at(plain, '['))
        return read_flow(plain);
    if (is_at(plain, '"') || is_at(plain, '\''))
        return read_quoted(plain);
    return begins_text(plain) ? read_flow_text(plain) : NULL;
}

/* What stands between brackets, to the closing one. */
static bool read_flow_items(struct plain *plain, char close)
{
    do {
        struct yaml_pair pair = {0};
        if (!skip_in_brackets(plain))
            return false;
        if (close == '}') {
            pair = read_key(plain);
            if (!pair.key)
                return false;
            skip_spaces(plain);
        }
        pair.value = read_flow_item(plain);
        if (!pair.value)
            return false;
        keep(plain, pair);
        if (!skip_in_brackets(plain))
            return false;
    } while (is_at(plain, ',') && plain->at++);
    return is_at(plain, close);
}

static const struct yaml_node *read_flow(struct plain *plain)
{
    size_t first = plain->n_pending;
    unsigned int line = plain->line, column = column_of(plain);
    char close = *plain->at == '{' ? '}' : ']';
    if (!enter(plain))
        return NULL;
    plain->at++;
    skip_spaces(plain);
    if (!is_at(plain, close) && !read_flow_items(plain, close))
        return NULL;
    plain->at++;
    return close == '}' ? leave_map(plain, first, line, column)
                        : leave_list(plain, first, line, column);
}

/* What stands in the rest of a line, and the end of that line; in a list or map at column outer. */
static const struct yaml_node *read_line(struct plain *plain, unsigned int outer)
{
    const struct yaml_node *node = NULL;
    if (is_at(plain, '{') || is_at(plain, '['))
        node = read_flow(plain);
    else if (is_at(plain, '"') || is_at(plain, '\''))
        node = read_quoted(plain);
    else if (begins_text(plain))
        node = read_block_text(plain, outer);
    return node && end_line(plain) ? node : NULL;
}

/* --- On lines of their own --- */

/* Whether the next line belongs to the list or map at column; in *ret_is_end, whether it ends
 * there. Neither when it stands deeper: a text that goes on, or a fault. */
static bool goes_on(const struct plain *plain, unsigned int column, bool *ret_is_end)
{
    bool is_same = plain->at < plain->end && column_of(plain) == column;
    *ret_is_end = !is_same && (plain->at == plain->end || column_of(plain) < column);
    return is_same;
}

static const struct yaml_node *read_block_map(struct plain *plain);
static const struct yaml_node *read_block_list(struct plain *plain);

/* The value of a key in a map at column. */
static const struct yaml_node *read_pair_value(struct plain *plain, unsigned int column)
{
    skip_spaces(plain);
    if (plain->at < plain->end && *plain->at != '\n' && *plain->at != '#')
        return read_line(plain, column);
    if (is_at(plain, '#'))
        skip_comment(plain);
    skip_lines(plain);
    if (is_dash(plain) && column_of(plain) >= column)
        return read_block_list(plain);
    return plain->at < plain->end && column_of(plain) > column ? read_block_map(plain) : NULL;
}

static const struct yaml_node *read_block_map(struct plain *plain)
{
    size_t first = plain->n_pending;
    unsigned int line = plain->line, column = column_of(plain);
    bool is_end = false;
    if (!enter(plain))
        return NULL;
    do {
        struct yaml_pair pair = read_key(plain);
        pair.value = pair.key ? read_pair_value(plain, column) : NULL;
        if (!pair.value)
            return NULL;
        keep(plain, pair);
    } while (goes_on(plain, column, &is_end));
    return is_end ? leave_map(plain, first, line, column) : NULL;
}

static const struct yaml_node *read_block_list(struct plain *plain)
{
    size_t first = plain->n_pending;
    unsigned int line = plain->line, column = column_of(plain);
    bool is_end = false, is_more = true;
    if (!enter(plain))
        return NULL;
    while (is_more) {
        plain->at++;
        skip_spaces(plain);
        struct yaml_pair item = {.value = key_length(plain) ? read_block_map(plain)
                                                            : read_line(plain, column)};
        if (!item.value)
            return NULL;
        keep(plain, item);
        is_more = goes_on(plain, column, &is_end) && is_dash(plain);
    }
    /* A key may follow in the same column, when the list stands under a key there. */
    is_end = is_end || column_of(plain) == column;
    return is_end ? leave_list(plain, first, line, column) : NULL;
}

bool yaml_read_plain(const char *text, size_t size, const struct yaml_limits *limits,
                     struct yaml_tree *tree)
{
    if (!is_plain_ascii(text, size))
        return false;
    struct plain plain = {.at = text,
                          .end = text + size,
                          .line_start = text,
                          .line = 1,
                          .tree = tree,
                          .limits = limits};
    skip_spaces(&plain);
    if (is_at(&plain, '#'))
        skip_comment(&plain);
    skip_lines(&plain);
    tree->root = read_block_map(&plain);
    mem_free(plain.pending);
    return tree->root && plain.at == plain.end;
}
