/*
 * Edits of a YAML text that leave alone what they do not change: comments, order, quotes, layout.
 * An edit is one splice of bytes; what it did is checked by reading the text again.
 */
#pragma once

#include "base/error.h"
#include "model/value.h"
#include "model/yaml.h"

enum yaml_edit_kind {
    YAML_EDIT_SET,    /* the value at the path becomes content; missing keys are added */
    YAML_EDIT_REMOVE, /* the key or item at the path goes; what it was in stays, if empty */
    YAML_EDIT_INSERT, /* content becomes a new item; the path ends with its index, up to the count
                       */
};

/* All borrowed. */
struct yaml_edit {
    enum yaml_edit_kind kind;
    const struct value *path;        /* list of keys (strings) and indices (integers), not empty */
    const struct yaml_node *content; /* NULL to remove */
    const char *after; /* a key that is added stands behind this one, if that is there; or NULL */
};

/* What an edit makes of a text: bytes from start up to end are replaced. */
struct yaml_splice {
    size_t start, end;
    char *text; /* owned */
};

/*
 * Finds the splice that makes an edit, and the text after it (*ret_text, which the caller frees).
 * The text after it has the tree that the edit says, and nothing else changed.
 *
 * ERROR_INVALID when the text has faults; ERROR_NOT_FOUND when the path leads nowhere (a key that
 * is to be removed, an index, a way through what is no list or map); ERROR_UNSUPPORTED when it
 * cannot be made without touching other things: an alias stands in the way or would be changed.
 */
int yaml_edit(const char *text, const struct yaml_edit *edit, struct yaml_splice *ret_splice,
              char **ret_text, struct error *err);
/* The same, where only the text is asked for: *text is replaced. */
int yaml_edit_text(char **text, const struct yaml_edit *edit, struct error *err);

/* What the content becomes: the same edit of a value. NULL when the path leads nowhere. */
struct value *yaml_edit_value(const struct value *value, const struct yaml_edit *edit);
/* A path for people: "deployment.resources[2].name". The caller frees it. */
char *yaml_path_text(const struct value *path);
