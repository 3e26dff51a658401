#include "model/record.h"

#include "base/digest.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"

#include <assert.h>
#include <string.h>

static const char *const status_names[] = {
    [RECORD_CREATED] = "created",
    [RECORD_PARTLY] = "partly",
    [RECORD_DEPOSED] = "deposed",
    [RECORD_UNKNOWN] = "unknown",
};

const char *record_status_to_string(enum record_status status)
{
    assert(status < RECORD_STATUS_COUNT);
    return status_names[status];
}

enum record_status record_status_from_string(const char *text)
{
    enum record_status status = 0;
    while (status < RECORD_STATUS_COUNT && !text_equal(status_names[status], text))
        status++;
    return status;
}

struct value *record_binding(struct value_builder *take_uids)
{
    enum { SET_MAX = 8 };
    CLEANUP(value_unrefp) struct value *uids = value_builder_set_of(take_uids);
    if (value_count(uids) <= SET_MAX)
        return value_ref(uids);
    CLEANUP(strbuf_done) struct strbuf lines = {0};
    char digest[DIGEST_HEX_SIZE];
    for (size_t i = 0; i < value_count(uids); i++) {
        strbuf_add(&lines, value_text(value_at(uids, i)));
        strbuf_add_char(&lines, '\n');
    }
    digest_hex(lines.text, lines.length, digest);
    return value_string(digest);
}

void record_done(struct record *record)
{
    mem_free(record->address);
    mem_free(record->type);
    mem_free(record->instance);
    mem_free(record->uid);
    mem_free(record->provider_id);
    mem_free(record->origin);
    value_unref(record->spec);
    value_unref(record->live);
    value_unref(record->outputs);
    value_unref(record->bound);
    string_list_done(&record->depends_on);
    *record = (struct record){0};
}

struct record *record_new(void)
{
    struct record *record = NEW(struct record);
    record->outputs = value_builder_map(&(struct value_builder){0});
    return record;
}

void record_free(struct record *record)
{
    if (!record)
        return;
    record_done(record);
    mem_free(record);
}

static char *copy_or_null(const char *text)
{
    return text ? string_copy(text) : NULL;
}

struct record *record_copy(const struct record *record)
{
    struct record *copy = NEW(struct record);
    *copy = (struct record){
        .address = copy_or_null(record->address),
        .type = copy_or_null(record->type),
        .instance = copy_or_null(record->instance),
        .uid = copy_or_null(record->uid),
        .provider_id = copy_or_null(record->provider_id),
        .generation = record->generation,
        .status = record->status,
        .spec = record->spec ? value_ref(record->spec) : NULL,
        .live = record->live ? value_ref(record->live) : NULL,
        .outputs = value_ref(record->outputs),
        .bound = record->bound ? value_ref(record->bound) : NULL,
        .protect = record->protect,
        .origin = copy_or_null(record->origin),
        .created_at = record->created_at,
        .updated_at = record->updated_at,
    };
    string_list_copy(&copy->depends_on, &record->depends_on);
    return copy;
}

/* The fields of struct record that are texts, in both directions. */
static const struct {
    const char *key;
    size_t offset;
    bool is_optional;
} text_fields[] = {
    {"address", offsetof(struct record, address), false},
    {"type", offsetof(struct record, type), false},
    {"instance", offsetof(struct record, instance), false},
    {"uid", offsetof(struct record, uid), false},
    {"provider_id", offsetof(struct record, provider_id), true},
    {"origin", offsetof(struct record, origin), true},
};

struct value *record_to_value(const struct record *record)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(text_fields); i++)
        value_builder_set_string(&builder, text_fields[i].key,
                                 *(char *const *)((const char *)record + text_fields[i].offset));
    value_builder_set(&builder, "generation", value_integer(record->generation));
    value_builder_set(&builder, "status", value_string(status_names[record->status]));
    value_builder_set(&builder, "spec", record->spec ? value_ref(record->spec) : value_null());
    if (record->live)
        value_builder_set(&builder, "live", value_ref(record->live));
    value_builder_set(&builder, "outputs", value_ref(record->outputs));
    value_builder_set(&builder, "depends_on", string_list_to_value(&record->depends_on));
    if (record->bound)
        value_builder_set(&builder, "bound", value_ref(record->bound));
    value_builder_set(&builder, "protect", value_bool(record->protect));
    value_builder_set(&builder, "created_at", value_integer(record->created_at));
    value_builder_set(&builder, "updated_at", value_integer(record->updated_at));
    return value_builder_map(&builder);
}

static int fault(struct error *err, const char *key, const char *want)
{
    return error_set(err, ERROR_INVALID, "a record's field \"%s\" is not %s", key, want);
}

static int read_texts(const struct value *value, struct record *record, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(text_fields); i++) {
        const struct value *field = value_get(value, text_fields[i].key);
        if (text_fields[i].is_optional && value_is_null(field))
            continue;
        if (!field || value_kind(field) != VALUE_STRING)
            return fault(err, text_fields[i].key, "a string");
        *(char **)((char *)record + text_fields[i].offset) = string_copy(value_text(field));
    }
    return 0;
}

static int read_integer(const struct value *value, const char *key, int64_t *ret_integer,
                        struct error *err)
{
    const struct value *field = value_get(value, key);
    if (!field || value_kind(field) != VALUE_INTEGER)
        return fault(err, key, "an integer");
    *ret_integer = value_to_integer(field);
    return 0;
}

static int read_rest(const struct value *value, struct record *record, struct error *err)
{
    const char *status = value_get_text(value, "status");
    record->status = status ? record_status_from_string(status) : RECORD_STATUS_COUNT;
    if (record->status == RECORD_STATUS_COUNT)
        return fault(err, "status", "one of created, partly, deposed, unknown");
    struct value *outputs = value_get(value, "outputs");
    if (!outputs || value_kind(outputs) != VALUE_MAP)
        return fault(err, "outputs", "a map");
    record->outputs = value_ref(outputs);
    struct value *spec = value_get(value, "spec");
    if (!value_is_null(spec))
        record->spec = value_ref(spec);
    struct value *live = value_get(value, "live");
    if (!value_is_null(live) && value_kind(live) != VALUE_MAP)
        return fault(err, "live", "a map");
    record->live = value_is_null(live) ? NULL : value_ref(live);
    const struct value *depends_on = value_get(value, "depends_on");
    if (!depends_on || value_kind(depends_on) != VALUE_LIST)
        return fault(err, "depends_on", "a list");
    string_list_from_value(&record->depends_on, depends_on);
    struct value *bound = value_get(value, "bound");
    if (!value_is_null(bound) && value_kind(bound) != VALUE_MAP)
        return fault(err, "bound", "a map");
    record->bound = value_is_null(bound) ? NULL : value_ref(bound);
    const struct value *protect = value_get(value, "protect");
    if (!protect || value_kind(protect) != VALUE_BOOL)
        return fault(err, "protect", "true or false");
    record->protect = value_to_bool(protect);
    return 0;
}

int record_from_value(const struct value *value, struct record **ret_record, struct error *err)
{
    CLEANUP(record_freep) struct record *record = NEW(struct record);
    int r = read_texts(value, record, err);
    if (r == 0)
        r = read_rest(value, record, err);
    if (r == 0)
        r = read_integer(value, "generation", &record->generation, err);
    if (r == 0)
        r = read_integer(value, "created_at", &record->created_at, err);
    if (r == 0)
        r = read_integer(value, "updated_at", &record->updated_at, err);
    if (r < 0)
        return r;
    *ret_record = take_ptr(record);
    return 0;
}

void records_done(struct records *records)
{
    for (size_t i = 0; i < records->n_items; i++)
        record_free(records->items[i]);
    mem_free(records->items);
    *records = (struct records){0};
}

static int compare_place(const struct record *record, const char *address, int64_t generation)
{
    int order = strcmp(record->address, address);
    if (order != 0)
        return order;
    return (record->generation > generation) - (record->generation < generation);
}

/* The index of the first record after (address, generation). */
static size_t place_after(const struct records *records, const char *address, int64_t generation)
{
    size_t low = 0;
    size_t high = records->n_items;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_place(records->items[middle], address, generation) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void records_add(struct records *records, struct record *take_record)
{
    ARRAY_RESERVE(records->items, records->n_items, records->capacity);
    size_t place = records->n_items;
    if (place > 0 &&
        compare_place(records->items[place - 1], take_record->address, take_record->generation) > 0)
        place = place_after(records, take_record->address, take_record->generation);
    memmove(records->items + place + 1, records->items + place,
            (records->n_items - place) * sizeof(struct record *));
    records->items[place] = take_record;
    records->n_items++;
}

const struct record *records_find(const struct records *records, const char *address)
{
    size_t place = place_after(records, address, INT64_MAX);
    while (place > 0 && strcmp(records->items[place - 1]->address, address) == 0) {
        if (records->items[--place]->status != RECORD_DEPOSED)
            return records->items[place];
    }
    return NULL;
}
