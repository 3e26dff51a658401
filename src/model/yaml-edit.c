/*
 * The splice that makes an edit. Each place of a text can be cut in a few ways; the first one whose
 * text reads as the edit says is taken.
 */
#include "model/yaml-edit.h"

#include "base/text.h"
#include "model/yaml-internal.h"
#include "model/yaml-span.h"

#include <assert.h>
#include <string.h>

enum { VARIANTS = 3, MAX_WRAP = 64 };

/* A value's place: the item of a list or map that holds it. parent is NULL for the root. */
struct slot {
    const struct yaml_span *parent;
    size_t index;
    const struct yaml_span *span;
    bool is_in_flow; /* something around it is in brackets */
    bool is_quoted;  /* keys around it stand in quotes, as in JSON */
};

struct editor {
    const char *text;
    size_t size;
    const struct yaml_edit *edit;
    struct yaml_layout layout;
    struct arena arena;
    const struct yaml_span *root;
    struct slot slot;  /* the deepest that is there on the path */
    struct slot outer; /* what holds it */
    size_t depth;      /* how many steps of the path lead to slot */
    int variant;
    struct strbuf replacement;
    size_t start, end;
};

/* --- Lines --- */

static bool is_blank(const struct editor *editor, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++)
        if (!strchr(" \t\r\n", editor->text[i]))
            return false;
    return true;
}

static size_t line_start(const struct editor *editor, size_t at)
{
    while (at > 0 && !strchr("\r\n", editor->text[at - 1]))
        at--;
    return at;
}

/* The end of the line behind a value, where nothing but a comment may follow; false otherwise. */
static bool line_end(const struct editor *editor, size_t at, size_t *ret_end)
{
    size_t end = at + strcspn(editor->text + at, "\r\n");
    size_t comment = at + strspn(editor->text + at, " \t");
    if (comment < end && editor->text[comment] != '#')
        return false;
    *ret_end = end;
    return true;
}

static size_t next_line(const struct editor *editor, size_t end)
{
    if (editor->text[end] == '\r')
        end++;
    if (editor->text[end] == '\n')
        end++;
    return end;
}

static unsigned int column_of(const struct editor *editor, size_t at)
{
    unsigned int column = 0;
    for (size_t i = line_start(editor, at); i < at; i++)
        column += ((unsigned char)editor->text[i] & 0xc0) != 0x80;
    return column;
}

/* The dash before an item on its own line; false when it stands elsewhere. */
static bool find_dash(const struct editor *editor, const struct yaml_span *item, size_t *ret_dash)
{
    size_t at = item->start;
    while (at > 0 && strchr(" \t", editor->text[at - 1]))
        at--;
    if (at == 0 || editor->text[at - 1] != '-')
        return false;
    *ret_dash = at - 1;
    return true;
}

/* Where the room for a value begins: behind the colon of its key, or behind its dash. */
static bool find_room(const struct editor *editor, const struct slot *slot, size_t *ret_room)
{
    if (!slot->parent)
        return false;
    if (slot->parent->kind == YAML_SPAN_LIST) {
        if (!find_dash(editor, slot->span, ret_room))
            return false;
        ++*ret_room;
        return true;
    }
    size_t at = slot->parent->keys[slot->index]->end;
    at += strspn(editor->text + at, " \t");
    *ret_room = at + 1;
    return editor->text[at] == ':';
}

/* --- Ways along the path --- */

static bool has_quoted_keys(const struct editor *editor, const struct yaml_span *span)
{
    return span->kind == YAML_SPAN_MAP && span->is_flow && span->n_items > 0 &&
           editor->text[span->keys[0]->start] == '"';
}

/* Steps from the slot to what a step of the path leads to; false when it is not there. */
static bool go(struct editor *editor, const struct value *step)
{
    const struct yaml_span *span = editor->slot.span;
    size_t index = 0;
    if (value_kind(step) == VALUE_STRING) {
        if (!yaml_span_get(span, value_text(step), &index))
            return false;
    } else {
        index = (size_t)value_to_integer(step);
        if (span->kind != YAML_SPAN_LIST || index >= span->n_items)
            return false;
    }
    editor->outer = editor->slot;
    editor->slot = (struct slot){
        .parent = span,
        .index = index,
        .span = span->items[index],
        .is_in_flow = editor->outer.is_in_flow || span->is_flow,
        .is_quoted = editor->outer.is_quoted || has_quoted_keys(editor, span),
    };
    editor->depth++;
    return true;
}

/* --- Cuts: each sets start, end and replacement, or returns false --- */

static bool cut(struct editor *editor, size_t start, size_t end)
{
    editor->start = start;
    editor->end = end;
    return start <= end && end <= editor->size;
}

static bool is_collection(const struct yaml_span *span)
{
    return span->kind == YAML_SPAN_LIST || span->kind == YAML_SPAN_MAP;
}

/* On one line: in the old value's place, or right behind its key or dash. */
static bool replace_inline(struct editor *editor, const struct slot *slot,
                           const struct yaml_node *node)
{
    const struct yaml_span *old = slot->span;
    size_t room = 0;
    bool has_room = !slot->is_in_flow && find_room(editor, slot, &room);
    bool is_own_lines = is_collection(old) && !old->is_flow;
    bool moves_up = has_room && (editor->variant == 1 || (is_own_lines && editor->variant == 0 &&
                                                          is_blank(editor, room, old->start)));
    if (moves_up || old->start == old->end)
        strbuf_add_char(&editor->replacement, ' ');
    yaml_write_flow(&editor->replacement, node, slot->is_quoted);
    return cut(editor, moves_up ? room : old->start, old->end);
}

static void begin_line(struct editor *editor, unsigned int indent)
{
    strbuf_add(&editor->replacement, editor->layout.line_end);
    strbuf_add_repeated(&editor->replacement, ' ', indent);
}

/* On lines of its own below its key, or beside its dash. */
static bool replace_block(struct editor *editor, const struct slot *slot,
                          const struct yaml_node *node)
{
    size_t room = 0;
    if (!find_room(editor, slot, &room))
        return false;
    bool is_item = slot->parent->kind == YAML_SPAN_LIST;
    const struct yaml_span *old = slot->span;
    if (is_item) {
        unsigned int indent = column_of(editor, room) + 1;
        strbuf_add_char(&editor->replacement, ' ');
        yaml_write_block(&editor->layout, &editor->replacement, node, indent);
        return cut(editor, room, old->end);
    }
    unsigned int indent = slot->parent->keys[slot->index]->column + 2;
    bool keeps_gap = editor->variant == 0 && !is_blank(editor, room, old->start);
    if (keeps_gap)
        indent = column_of(editor, old->start);
    else
        begin_line(editor, indent);
    yaml_write_block(&editor->layout, &editor->replacement, node, indent);
    return cut(editor, keeps_gap ? old->start : room, old->end);
}

static bool replace(struct editor *editor, const struct slot *slot, const struct yaml_node *node)
{
    bool is_inline = slot->is_in_flow || yaml_is_short(node) || !slot->parent ||
                     (is_collection(slot->span) && slot->span->is_flow && slot->span->n_items > 0);
    return is_inline || editor->variant == 2 ? replace_inline(editor, slot, node)
                                             : replace_block(editor, slot, node);
}

static void write_flow_pair(struct editor *editor, const struct yaml_pair *pair, bool is_quoted)
{
    if (!is_quoted && yaml_is_plain_text(pair->key))
        strbuf_add(&editor->replacement, pair->key);
    else
        yaml_write_quoted(&editor->replacement, pair->key);
    strbuf_add(&editor->replacement, ": ");
    yaml_write_flow(&editor->replacement, pair->value, is_quoted);
}

static bool add_pair(struct editor *editor, const struct slot *slot, const struct yaml_pair *pair)
{
    const struct yaml_span *map = slot->span;
    size_t behind = map->n_items - 1;
    if (editor->edit->after)
        yaml_span_get(map, editor->edit->after, &behind);
    if (map->is_flow) {
        bool is_empty = map->n_items == 0;
        strbuf_add(&editor->replacement, is_empty ? "" : ", ");
        write_flow_pair(editor, pair, slot->is_quoted || has_quoted_keys(editor, map));
        size_t at = is_empty ? map->end - 1 : map->items[behind]->end;
        return cut(editor, at, at);
    }
    size_t at = 0;
    if (map->n_items == 0 || !line_end(editor, map->items[behind]->end, &at))
        return false;
    unsigned int indent = map->keys[0]->column;
    begin_line(editor, indent);
    yaml_write_pair(&editor->layout, &editor->replacement, pair, indent);
    return cut(editor, at, at);
}

/* Where the i-th part of a list or map without brackets begins: its dash or key. */
static bool part_start(const struct editor *editor, const struct yaml_span *holder, size_t i,
                       size_t *ret_start)
{
    if (holder->kind == YAML_SPAN_LIST && !holder->is_flow)
        return find_dash(editor, holder->items[i], ret_start);
    *ret_start = holder->kind == YAML_SPAN_LIST ? holder->items[i]->start : holder->keys[i]->start;
    return true;
}

static bool remove_lines(struct editor *editor, size_t start, size_t value_end)
{
    size_t end;
    if (!line_end(editor, value_end, &end))
        return false;
    size_t begin = line_start(editor, start);
    if (editor->text[end] != '\0')
        return cut(editor, begin, next_line(editor, end));
    /* The last line has no end: the one before it loses its own. */
    while (begin > 0 && strchr("\r\n", editor->text[begin - 1]) &&
           !(editor->text[begin - 1] == '\n' && begin < start && editor->text[begin] == '\n'))
        begin--;
    return cut(editor, begin, end);
}

static bool remove_part(struct editor *editor)
{
    static const struct yaml_node no_items = {.kind = VALUE_LIST};
    static const struct yaml_node no_pairs = {.kind = VALUE_MAP};
    const struct yaml_span *holder = editor->slot.parent;
    size_t index = editor->slot.index;
    bool is_last = index + 1 == holder->n_items;
    if (holder->n_items == 1)
        return replace(editor, &editor->outer,
                       holder->kind == YAML_SPAN_LIST ? &no_items : &no_pairs);
    size_t start;
    size_t next;
    if (!part_start(editor, holder, index, &start))
        return false;
    if (holder->is_flow && is_last)
        return cut(editor, holder->items[index - 1]->end, editor->slot.span->end);
    if (!holder->is_flow && is_blank(editor, line_start(editor, start), start))
        return remove_lines(editor, start, editor->slot.span->end);
    return !is_last && part_start(editor, holder, index + 1, &next) && cut(editor, start, next);
}

static bool insert_flow_item(struct editor *editor, size_t index)
{
    const struct yaml_span *list = editor->slot.span;
    bool is_last = index == list->n_items;
    size_t at = list->n_items == 0 ? list->end - 1
                : is_last          ? list->items[index - 1]->end
                                   : list->items[index]->start;
    strbuf_add(&editor->replacement, is_last && list->n_items > 0 ? ", " : "");
    yaml_write_flow(&editor->replacement, editor->edit->content, editor->slot.is_quoted);
    strbuf_add(&editor->replacement, is_last ? "" : ", ");
    return cut(editor, at, at);
}

static void write_item(struct editor *editor, unsigned int indent)
{
    strbuf_add(&editor->replacement, "- ");
    yaml_write_block(&editor->layout, &editor->replacement, editor->edit->content, indent + 2);
}

static bool insert_item(struct editor *editor, size_t index)
{
    const struct yaml_span *list = editor->slot.span;
    if (list->is_flow && (list->n_items > 0 || editor->slot.is_in_flow || editor->variant > 0 ||
                          yaml_is_short(editor->edit->content)))
        return insert_flow_item(editor, index);
    if (list->n_items == 0) {
        const struct yaml_node *items[] = {editor->edit->content};
        const struct yaml_node node = {.kind = VALUE_LIST, .n_items = 1, .items = items};
        return replace_block(editor, &editor->slot, &node);
    }
    size_t dash = 0;
    size_t at = 0;
    if (!find_dash(editor, list->items[0], &dash))
        return false;
    unsigned int indent = column_of(editor, dash);
    if (index == 0) {
        write_item(editor, indent);
        begin_line(editor, indent);
        return cut(editor, dash, dash);
    }
    if (!line_end(editor, list->items[index - 1]->end, &at))
        return false;
    begin_line(editor, indent);
    write_item(editor, indent);
    return cut(editor, at, at);
}

/* --- The edit as a whole --- */

/* Sets what is not there: the rest of the path becomes maps in each other. */
static bool add_missing(struct editor *editor)
{
    const struct value *path = editor->edit->path;
    size_t n = value_count(path) - editor->depth;
    struct yaml_pair pairs[MAX_WRAP];
    struct yaml_node maps[MAX_WRAP];
    if (n == 0 || n > MAX_WRAP)
        return false;
    const struct yaml_node *node = editor->edit->content;
    for (size_t i = n; i-- > 0;) {
        pairs[i] =
            (struct yaml_pair){.key = value_text(value_at(path, editor->depth + i)), .value = node};
        maps[i] = (struct yaml_node){.kind = VALUE_MAP, .n_items = 1, .pairs = &pairs[i]};
        node = &maps[i];
    }
    return editor->slot.span->kind == YAML_SPAN_MAP ? add_pair(editor, &editor->slot, &pairs[0])
                                                    : replace(editor, &editor->slot, &maps[0]);
}

static bool make_cut(struct editor *editor)
{
    const struct yaml_edit *edit = editor->edit;
    strbuf_clear(&editor->replacement);
    switch (edit->kind) {
    case YAML_EDIT_SET:
        return editor->depth == value_count(edit->path)
                   ? replace(editor, &editor->slot, edit->content)
                   : add_missing(editor);
    case YAML_EDIT_REMOVE:
        return remove_part(editor);
    case YAML_EDIT_INSERT:
        break;
    }
    size_t index = (size_t)value_to_integer(value_at(edit->path, value_count(edit->path) - 1));
    return editor->slot.span->kind == YAML_SPAN_LIST && insert_item(editor, index);
}

/* A text as a value; NULL when it has faults. */
static struct value *read_value(const char *text)
{
    struct diagnostics faults = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    yaml_read("", text, strlen(text), &yaml_default_limits, &tree, &faults);
    bool is_good = tree && !diagnostics_has_errors(&faults);
    diagnostics_done(&faults);
    return is_good ? yaml_to_value(yaml_root(tree)) : NULL;
}

static char *apply(const struct editor *editor)
{
    struct strbuf text = {0};
    strbuf_add_n(&text, editor->text, editor->start);
    strbuf_add(&text, strbuf_text(&editor->replacement));
    strbuf_add(&text, editor->text + editor->end);
    return strbuf_take(&text);
}

static int find_cut(struct editor *editor, const struct value *wanted, char **ret_text,
                    struct error *err)
{
    for (editor->variant = 0; editor->variant < VARIANTS; editor->variant++) {
        if (!make_cut(editor))
            continue;
        CLEANUP(mem_freep) char *text = apply(editor);
        CLEANUP(value_unrefp) struct value *value = read_value(text);
        if (!value || !value_equal(value, wanted))
            continue;
        *ret_text = take_ptr(text);
        return 0;
    }
    CLEANUP(mem_freep) char *path = yaml_path_text(editor->edit->path);
    return error_set(err, ERROR_UNSUPPORTED,
                     "%s cannot be edited without changing other parts of the text; an alias or an "
                     "unusual form stands in the way: edit it by hand",
                     path);
}

static void find_slot(struct editor *editor)
{
    size_t n = value_count(editor->edit->path) - (editor->edit->kind == YAML_EDIT_INSERT);
    editor->slot = (struct slot){.span = editor->root, .is_in_flow = false};
    while (editor->depth < n && go(editor, value_at(editor->edit->path, editor->depth)))
        ;
}

static int edit_read(struct editor *editor, const struct value *value,
                     struct yaml_splice *ret_splice, char **ret_text, struct error *err)
{
    CLEANUP(value_unrefp) struct value *wanted = yaml_edit_value(value, editor->edit);
    if (!wanted) {
        CLEANUP(mem_freep) char *path = yaml_path_text(editor->edit->path);
        return error_set(err, ERROR_NOT_FOUND, "there is no %s", path);
    }
    editor->root = yaml_read_spans(&editor->arena, editor->text, editor->size);
    if (!editor->root)
        return error_set(err, ERROR_UNSUPPORTED, "there is nothing in the text to edit");
    find_slot(editor);
    int r = find_cut(editor, wanted, ret_text, err);
    if (r == 0)
        *ret_splice =
            (struct yaml_splice){editor->start, editor->end, strbuf_take(&editor->replacement)};
    return r;
}

int yaml_edit(const char *text, const struct yaml_edit *edit, struct yaml_splice *ret_splice,
              char **ret_text, struct error *err)
{
    assert(value_count(edit->path) > 0 && !edit->content == (edit->kind == YAML_EDIT_REMOVE));
    CLEANUP(value_unrefp) struct value *value = read_value(text);
    if (!value)
        return error_set(err, ERROR_INVALID, "the text has faults; mend them before it is edited");
    size_t first_line = strcspn(text, "\r\n");
    struct editor editor = {
        .text = text,
        .size = strlen(text),
        .edit = edit,
        .layout = {.line_end = text[first_line] == '\r' ? "\r\n" : "\n"},
    };
    int r = edit_read(&editor, value, ret_splice, ret_text, err);
    strbuf_done(&editor.replacement);
    arena_done(&editor.arena);
    return r;
}

int yaml_edit_text(char **text, const struct yaml_edit *edit, struct error *err)
{
    struct yaml_splice splice = {0};
    char *edited = NULL;
    int r = yaml_edit(*text, edit, &splice, &edited, err);
    if (r < 0)
        return r;
    mem_free(splice.text);
    mem_free(*text);
    *text = edited;
    return 0;
}
