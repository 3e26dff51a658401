/* The fields of a step, each named once: as a value, and as text without making one. */
#include "model/plan-internal.h"

#include "base/memory.h"
#include "model/json.h"

#include <stddef.h>
#include <string.h>

enum field_kind {
    FIELD_TEXT, /* char *, NULL is null */
    FIELD_VALUE,
    FIELD_STRINGS,
    FIELD_BOOL,
    FIELD_INTEGER,
    FIELD_SECONDS,
    FIELD_KIND,
    FIELD_REASON,
    FIELD_STAGE,
    FIELD_NAME, /* the parts of the address, as fields of their own (DESIGN section 17) */
    FIELD_KEY,
};

enum field_place {
    PLACE_ALWAYS,
    PLACE_UNLESS_EMPTY, /* so that plans from before this field keep their hashes */
    PLACE_SHOWN,        /* not approved, hence not hashed */
    PLACE_UNSTORED,     /* the address says it */
};

struct field {
    const char *key;
    const char *label; /* the key as JSON has it, with its colon */
    size_t label_length;
    enum field_kind kind;
    enum field_place place;
    bool has_column; /* a text of its own in the store */
    size_t offset;
};

#define KEY(key) key, "\"" key "\":", sizeof("\"" key "\":") - 1
#define FIELD(name, kind, place)                                    \
    {                                                               \
        KEY(#name), kind, place, false, offsetof(struct step, name) \
    }
#define COLUMN(name, kind)                                                \
    {                                                                     \
        KEY(#name), kind, PLACE_ALWAYS, true, offsetof(struct step, name) \
    }

/* In the order of canonical JSON. */
static const struct field fields[] = {
    COLUMN(address, FIELD_TEXT),
    COLUMN(after, FIELD_VALUE),
    COLUMN(before, FIELD_VALUE),
    FIELD(changed, FIELD_VALUE, PLACE_ALWAYS),
    FIELD(defaulted, FIELD_STRINGS, PLACE_UNLESS_EMPTY),
    COLUMN(depends_on, FIELD_STRINGS),
    FIELD(filled, FIELD_VALUE, PLACE_UNLESS_EMPTY),
    FIELD(former, FIELD_TEXT, PLACE_ALWAYS),
    COLUMN(generation, FIELD_INTEGER),
    COLUMN(id, FIELD_TEXT),
    COLUMN(instance, FIELD_TEXT),
    FIELD(irreversible, FIELD_BOOL, PLACE_ALWAYS),
    {KEY("key"), FIELD_KEY, PLACE_UNSTORED, false, offsetof(struct step, address)},
    COLUMN(kind, FIELD_KIND),
    FIELD(live, FIELD_VALUE, PLACE_UNLESS_EMPTY),
    {KEY("name"), FIELD_NAME, PLACE_UNSTORED, false, offsetof(struct step, address)},
    FIELD(note, FIELD_TEXT, PLACE_SHOWN),
    COLUMN(origin, FIELD_TEXT),
    FIELD(proposed, FIELD_VALUE, PLACE_UNLESS_EMPTY),
    FIELD(protect, FIELD_BOOL, PLACE_ALWAYS),
    FIELD(provider_id, FIELD_TEXT, PLACE_ALWAYS),
    COLUMN(reason, FIELD_REASON),
    FIELD(record_only, FIELD_BOOL, PLACE_UNLESS_EMPTY),
    FIELD(replaces, FIELD_BOOL, PLACE_ALWAYS),
    COLUMN(resources, FIELD_STRINGS),
    FIELD(reverts, FIELD_VALUE, PLACE_ALWAYS),
    FIELD(seconds, FIELD_SECONDS, PLACE_SHOWN),
    COLUMN(stage, FIELD_STAGE),
    COLUMN(type, FIELD_TEXT),
    COLUMN(uid, FIELD_TEXT),
};

static const void *at(const struct step *step, const struct field *field)
{
    return (const char *)step + field->offset;
}

/* The text of a field that is one; NULL is null. */
static const char *text_of(const struct step *step, const struct field *field)
{
    switch (field->kind) {
    case FIELD_KIND:
        return step_kind_to_string(step->kind);
    case FIELD_REASON:
        return step_reason_to_string(step->reason);
    case FIELD_STAGE:
        return stage_to_string(step->stage);
    default:
        return *(char *const *)at(step, field);
    }
}

/* Whether it says nothing that its absence does not say. */
static bool is_empty(const struct step *step, const struct field *field)
{
    switch (field->kind) {
    case FIELD_VALUE:
        return !*(struct value *const *)at(step, field);
    case FIELD_STRINGS:
        return ((const struct string_list *)at(step, field))->n_items == 0;
    case FIELD_BOOL:
        return !*(const bool *)at(step, field);
    case FIELD_SECONDS:
        return step->seconds == 0;
    case FIELD_INTEGER:
        return false;
    default:
        return !text_of(step, field);
    }
}

static bool is_in(const struct step *step, const struct field *field, enum step_form form)
{
    if (form == STEP_FORM_REST && field->has_column)
        return false;
    if (form == STEP_FORM_REST)
        form = STEP_FORM_STORED;
    switch (field->place) {
    case PLACE_UNLESS_EMPTY:
        return !is_empty(step, field);
    case PLACE_SHOWN:
        return form == STEP_FORM_WHOLE || (form == STEP_FORM_STORED && !is_empty(step, field));
    case PLACE_UNSTORED:
        return form != STEP_FORM_STORED;
    case PLACE_ALWAYS:
        break;
    }
    return form != STEP_FORM_STORED || !is_empty(step, field);
}

/* Its name, or else its key. */
static struct value *part_of_address(const char *address, bool is_name)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(value_unrefp) struct value *key = NULL;
    bool is_plain = !strchr(address, '[') || address_parse(address, &name, &key, NULL) < 0;
    if (is_name)
        return value_string(is_plain ? address : name);
    return is_plain || !key ? value_null() : value_ref(key);
}

static struct value *field_to_value(const struct step *step, const struct field *field)
{
    struct value *value;
    const char *text;
    switch (field->kind) {
    case FIELD_VALUE:
        value = *(struct value *const *)at(step, field);
        return value ? value_ref(value) : value_null();
    case FIELD_STRINGS:
        return string_list_to_value(at(step, field));
    case FIELD_BOOL:
        return value_bool(*(const bool *)at(step, field));
    case FIELD_INTEGER:
        return value_integer(*(const int64_t *)at(step, field));
    case FIELD_SECONDS:
        return value_decimal(step->seconds);
    case FIELD_NAME:
    case FIELD_KEY:
        return part_of_address(step->address, field->kind == FIELD_NAME);
    default:
        text = text_of(step, field);
        return text ? value_string(text) : value_null();
    }
}

struct value *step_to_value(const struct step *step)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (is_in(step, &fields[i], STEP_FORM_WHOLE))
            value_builder_set(&builder, fields[i].key, field_to_value(step, &fields[i]));
    return value_builder_map(&builder);
}

static void write_strings(struct strbuf *text, const struct string_list *list)
{
    strbuf_add_char(text, '[');
    for (size_t i = 0; i < list->n_items; i++) {
        if (i > 0)
            strbuf_add_char(text, ',');
        json_write_string(text, list->items[i], strlen(list->items[i]));
    }
    strbuf_add_char(text, ']');
}

static void write_text(struct strbuf *text, const char *content)
{
    if (content)
        json_write_string(text, content, strlen(content));
    else
        strbuf_add_n(text, "null", 4);
}

static void write_made_value(struct strbuf *text, const struct step *step,
                             const struct field *field)
{
    CLEANUP(value_unrefp) struct value *value = field_to_value(step, field);
    json_write(text, value);
}

/* What the store keeps is written by another thread, too: no count of a value that others have is
 * touched for it, not even that of null. */
static void write_field(struct strbuf *text, const struct step *step, const struct field *field)
{
    const struct value *value;
    switch (field->kind) {
    case FIELD_STRINGS:
        write_strings(text, at(step, field));
        break;
    case FIELD_VALUE:
        value = *(struct value *const *)at(step, field);
        if (value)
            json_write(text, value);
        else
            strbuf_add_n(text, "null", 4);
        break;
    case FIELD_BOOL:
        strbuf_add(text, *(const bool *)at(step, field) ? "true" : "false");
        break;
    case FIELD_NAME:
    case FIELD_KEY:
        if (!strchr(step->address, '['))
            write_text(text, field->kind == FIELD_NAME ? step->address : NULL);
        else
            write_made_value(text, step, field);
        break;
    case FIELD_INTEGER:
    case FIELD_SECONDS:
        write_made_value(text, step, field);
        break;
    default:
        write_text(text, text_of(step, field));
    }
}

void step_write(struct strbuf *text, const struct step *step, enum step_form form)
{
    char before = '{';
    size_t start = text->length;
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        if (!is_in(step, &fields[i], form))
            continue;
        strbuf_add_char(text, before);
        strbuf_add_n(text, fields[i].label, fields[i].label_length);
        write_field(text, step, &fields[i]);
        before = ',';
    }
    strbuf_add(text, text->length == start ? "{}" : "}");
}
