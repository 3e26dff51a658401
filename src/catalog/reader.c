/* Single keys of catalog files, each checked for its kind. */
#include "catalog/reader.h"

#include "base/memory.h"
#include "base/text.h"

struct position reader_position(const struct catalog_reader *reader, const struct yaml_node *node)
{
    return yaml_position(reader->tree, node);
}

void reader_tell_kind(struct catalog_reader *reader, const struct yaml_pair *pair,
                      const char *wanted)
{
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_WRONG_KIND,
                    reader_position(reader, pair->value), NULL, "\"%s\" must be %s.", pair->key,
                    wanted);
}

void reader_tell_unknown_key(struct catalog_reader *reader, const struct yaml_pair *pair,
                             const char *const *keys, size_t n_keys)
{
    const char *nearest = text_nearest(pair->key, keys, n_keys);
    struct strbuf help = {0};
    if (nearest)
        strbuf_addf(&help, "Did you mean \"%s\"?", nearest);
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_UNKNOWN_KEY,
                    yaml_key_position(reader->tree, pair), nearest ? strbuf_text(&help) : NULL,
                    "There is no key \"%s\" here.", pair->key);
    strbuf_done(&help);
}

bool reader_check_map(struct catalog_reader *reader, const struct yaml_pair *pair)
{
    bool is_map = pair->value->kind == VALUE_MAP;
    if (!is_map)
        reader_tell_kind(reader, pair, "a map");
    return is_map;
}

void reader_text(struct catalog_reader *reader, const struct yaml_pair *pair, char **ret_text)
{
    if (pair->value->kind != VALUE_STRING) {
        reader_tell_kind(reader, pair, "a text");
        return;
    }
    mem_free(*ret_text);
    *ret_text = string_copy(pair->value->text);
}

void reader_bool(struct catalog_reader *reader, const struct yaml_pair *pair, bool *ret_bool)
{
    if (pair->value->kind == VALUE_BOOL)
        *ret_bool = pair->value->boolean;
    else
        reader_tell_kind(reader, pair, "true or false");
}

bool reader_number(struct catalog_reader *reader, const struct yaml_pair *pair, double *ret_number)
{
    if (pair->value->kind == VALUE_INTEGER)
        *ret_number = (double)pair->value->integer;
    else if (pair->value->kind == VALUE_DECIMAL)
        *ret_number = pair->value->decimal;
    else
        reader_tell_kind(reader, pair, "a number");
    return pair->value->kind == VALUE_INTEGER || pair->value->kind == VALUE_DECIMAL;
}

/* A text that must be one of a few words. */
void reader_word(struct catalog_reader *reader, const struct yaml_pair *pair,
                 const char *const *words, size_t n_words, char **ret_text)
{
    struct strbuf all = {0};
    for (size_t i = 0; i < n_words; i++) {
        if (pair->value->kind == VALUE_STRING && text_equal(words[i], pair->value->text)) {
            mem_free(*ret_text);
            *ret_text = string_copy(words[i]);
            strbuf_done(&all);
            return;
        }
        strbuf_addf(&all, "%s%s", i == 0 ? "" : i + 1 == n_words ? " or " : ", ", words[i]);
    }
    diagnostics_add(reader->diagnostics, DIAGNOSTIC_BAD_VALUE, reader_position(reader, pair->value),
                    NULL, "\"%s\" must be %s.", pair->key, strbuf_text(&all));
    strbuf_done(&all);
}

/* A list of texts; a single text is a list of one. Nothing is set when something else is in it. */
void reader_texts(struct catalog_reader *reader, const struct yaml_pair *pair,
                  struct value **ret_list)
{
    struct value_builder items = {0};
    const struct yaml_node *node = pair->value;
    if (node->kind == VALUE_STRING)
        value_builder_append(&items, value_string(node->text));
    for (size_t i = 0; node->kind == VALUE_LIST && i < node->n_items; i++) {
        if (node->items[i]->kind != VALUE_STRING) {
            value_builder_done(&items);
            break;
        }
        value_builder_append(&items, value_string(node->items[i]->text));
    }
    if (items.n_items == 0) {
        reader_tell_kind(reader, pair, "a text or a list of texts");
        return;
    }
    value_unref(*ret_list);
    *ret_list = value_builder_list(&items);
}

/* A map of texts to texts, numbers or truth values. */
void reader_spellings(struct catalog_reader *reader, const struct yaml_pair *pair,
                      struct value **ret_map)
{
    if (!reader_check_map(reader, pair))
        return;
    for (size_t i = 0; i < pair->value->n_items; i++) {
        const struct yaml_pair *item = &pair->value->pairs[i];
        if (item->value->kind == VALUE_LIST || item->value->kind == VALUE_MAP ||
            item->value->kind == VALUE_NULL) {
            reader_tell_kind(reader, item, "a text, number or truth value");
            return;
        }
    }
    value_unref(*ret_map);
    *ret_map = yaml_to_value(pair->value);
}

size_t reader_find_word(const char *word, const char *const *words, size_t n_words)
{
    size_t i = 0;
    while (i < n_words && !text_equal(words[i], word))
        i++;
    return i;
}
