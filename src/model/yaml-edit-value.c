/* Edits of values: what an edit of a text must come to. */
#include "model/yaml-edit.h"

#include "base/text.h"

/* Where in a map or list a step of a path leads; false when it is the wrong kind of step. */
static bool find_step(const struct value *holder, const struct value *step, size_t *ret_index)
{
    bool is_key = value_kind(step) == VALUE_STRING;
    if (value_kind(holder) != (is_key ? VALUE_MAP : VALUE_LIST))
        return false;
    int64_t index =
        is_key ? (int64_t)value_index_of(holder, value_text(step)) : value_to_integer(step);
    if (index < 0 || (size_t)index > value_count(holder))
        return false;
    *ret_index = (size_t)index;
    return true;
}

/* A list without the item at index (take_item NULL), with another there, or with one more. */
static struct value *change_list(const struct value *list, size_t index, struct value *take_item,
                                 bool is_insert)
{
    struct value_builder items = {0};
    for (size_t i = 0; i <= value_count(list); i++) {
        if (i == index && take_item)
            value_builder_append(&items, take_item);
        if (i < value_count(list) && (i != index || is_insert))
            value_builder_append(&items, value_ref(value_at(list, i)));
    }
    return value_builder_list(&items);
}

static struct value *change(const struct value *holder, const struct yaml_edit *edit, size_t depth);

/* The last step: the change itself. */
static struct value *change_here(const struct value *holder, const struct yaml_edit *edit,
                                 const struct value *step, size_t index)
{
    bool is_key = value_kind(step) == VALUE_STRING;
    bool is_insert = edit->kind == YAML_EDIT_INSERT;
    bool is_there = index < value_count(holder);
    if (is_insert ? is_key : !is_there && (!is_key || edit->kind == YAML_EDIT_REMOVE))
        return NULL;
    struct value *content = edit->content ? yaml_to_value(edit->content) : NULL;
    return is_key ? value_with(holder, value_text(step), content)
                  : change_list(holder, index, content, is_insert);
}

static struct value *change(const struct value *holder, const struct yaml_edit *edit, size_t depth)
{
    const struct value *step = value_at(edit->path, depth);
    size_t index;
    if (!find_step(holder, step, &index))
        return NULL;
    if (depth + 1 == value_count(edit->path))
        return change_here(holder, edit, step, index);
    bool is_there = index < value_count(holder);
    bool is_key = value_kind(step) == VALUE_STRING;
    if (!is_there && (!is_key || edit->kind != YAML_EDIT_SET))
        return NULL;
    CLEANUP(value_unrefp) struct value *empty = value_builder_map(&(struct value_builder){0});
    const struct value *inner = is_there ? value_at(holder, index) : empty;
    bool is_open = edit->kind == YAML_EDIT_SET && value_is_null(inner) &&
                   value_kind(value_at(edit->path, depth + 1)) == VALUE_STRING;
    struct value *changed = change(is_open ? empty : inner, edit, depth + 1);
    if (!changed)
        return NULL;
    return is_key ? value_with(holder, value_text(step), changed)
                  : change_list(holder, index, changed, false);
}

struct value *yaml_edit_value(const struct value *value, const struct yaml_edit *edit)
{
    return change(value, edit, 0);
}

char *yaml_path_text(const struct value *path)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < value_count(path); i++) {
        const struct value *step = value_at(path, i);
        if (value_kind(step) == VALUE_STRING)
            strbuf_addf(&text, "%s%s", i == 0 ? "" : ".", value_text(step));
        else
            strbuf_addf(&text, "[%lld]", (long long)value_to_integer(step));
    }
    return strbuf_take(&text);
}
