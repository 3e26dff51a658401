/* What the store knows of a resource: the record of what a run made, and of where it is. */
#pragma once

#include "base/error.h"
#include "model/resource.h"
#include "model/value.h"

#include <stdbool.h>
#include <stdint.h>

enum record_status {
    RECORD_CREATED, /* it is there, as the spec says */
    RECORD_PARTLY,  /* an effect was carried out in part: the next plan looks and mends */
    RECORD_DEPOSED, /* an older generation that waits for its delete */
    RECORD_UNKNOWN, /* a create without an answer: whether it is there, nobody can tell */
    RECORD_STATUS_COUNT
};
const char *record_status_to_string(enum record_status status);
/* RECORD_STATUS_COUNT when there is no such status. */
enum record_status record_status_from_string(const char *text);

struct record {
    char *address; /* owned, and so is every pointer here; see address_format() */
    char *type;
    char *instance;
    char *uid;         /* the resource's for all its life, through renames */
    char *provider_id; /* the provider's own name for it; NULL while it has none */
    int64_t generation;
    enum record_status status;
    struct value *spec; /* as applied */
    /* What was there after it was applied, of the properties that spec sets, where the system keeps
     * them in its own way; NULL: as spec says. What is still so is no drift. */
    struct value *live;
    struct value *outputs;         /* a map, never NULL */
    struct string_list depends_on; /* addresses */
    /* Map of what it depends on -> record_binding() of the uids that this stood for when it was
     * last written; NULL and what is missing: not known. */
    struct value *bound;
    bool protect;
    char *origin;
    int64_t created_at; /* world_wall_clock() */
    int64_t updated_at;
};

/* What a reference is bound to: the set of the uids, or of very many the digest of that, so that a
 * thousand records do not name a thousand others each. */
struct value *record_binding(struct value_builder *take_uids);

void record_done(struct record *record);
struct record *record_new(void);
void record_free(struct record *record); /* accepts NULL */
DEFINE_CLEANUP(struct record *, record_free)
struct record *record_copy(const struct record *record);

/* The whole record as a map, for stores and --json, and back. */
struct value *record_to_value(const struct record *record);
int record_from_value(const struct value *value, struct record **ret_record, struct error *err);

/* All records of a deployment, sorted by address and generation. Zero-initialise it. */
struct records {
    struct record **items; /* owned */
    size_t n_items;
    size_t capacity;
};
void records_done(struct records *records);
void records_add(struct records *records, struct record *take_record);
/* The newest generation that is not deposed, or NULL. */
const struct record *records_find(const struct records *records, const char *address);
