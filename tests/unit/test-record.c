#include "harness.h"
#include "model/json.h"
#include "model/record.h"

static struct record *sample(const char *address, int64_t generation)
{
    struct record *record = record_new();
    record->address = string_copy(address);
    record->type = string_copy("core:data:value");
    record->instance = string_copy("core.default");
    record->uid = string_copy("11111111-2222-8333-8444-555555555555");
    record->origin = string_copy("document");
    record->spec = NULL;
    CHECK(json_read("{\"value\":[1,2]}", 15, &record->spec, NULL) == 0);
    record->generation = generation;
    record->created_at = 1768897800000000;
    record->updated_at = 1768897800000001;
    string_list_add(&record->depends_on, "base[\"a\"]");
    return record;
}

static const char sample_json[] =
    "{\"address\":\"web\",\"created_at\":1768897800000000,\"depends_on\":[\"base[\\\"a\\\"]\"],"
    "\"generation\":3,\"instance\":\"core.default\",\"origin\":\"document\",\"outputs\":{},"
    "\"protect\":false,\"provider_id\":null,\"spec\":{\"value\":[1,2]},\"status\":\"created\","
    "\"type\":\"core:data:value\",\"uid\":\"11111111-2222-8333-8444-555555555555\","
    "\"updated_at\":1768897800000001}";

TEST(a_record_is_written_as_a_map)
{
    CLEANUP(record_freep) struct record *record = sample("web", 3);
    CLEANUP(value_unrefp) struct value *value = record_to_value(record);
    CLEANUP(mem_freep) char *text = json_text(value);
    CHECK_TEXT(text, sample_json);
}

TEST(a_record_survives_being_a_value_and_being_copied)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read(sample_json, strlen(sample_json), &value, NULL) == 0);
    CLEANUP(value_unrefp)
    struct value *with_id = value_with(value, "provider_id", value_string("sg-1"));
    CLEANUP(record_freep) struct record *record = NULL;
    CHECK(record_from_value(with_id, &record, NULL) == 0);
    CLEANUP(record_freep) struct record *copy = record_copy(record);
    CLEANUP(value_unrefp) struct value *again = record_to_value(copy);
    CHECK(value_equal(again, with_id));
}

TEST(a_record_with_a_wrong_or_missing_field_is_refused_by_the_name_of_the_field)
{
    static const char *const needed[] = {"address",  "created_at", "depends_on", "generation",
                                         "instance", "outputs",    "protect",    "status",
                                         "type",     "uid",        "updated_at"};
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read(sample_json, strlen(sample_json), &value, NULL) == 0);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(needed); i++) {
        const char *key = needed[i / 2];
        CLEANUP(value_unrefp)
        struct value *bad = value_with(value, key, i % 2 ? value_decimal(1.5) : NULL);
        struct record *record = NULL;
        struct error err = {0};
        CHECK(record_from_value(bad, &record, &err) == -ERROR_INVALID);
        CHECK(record == NULL && strstr(err.message, key));
        error_done(&err);
    }
}

TEST(every_status_has_a_name_that_leads_back)
{
    for (enum record_status status = 0; status < RECORD_STATUS_COUNT; status++)
        CHECK(record_status_from_string(record_status_to_string(status)) == status);
    CHECK(record_status_from_string("gone") == RECORD_STATUS_COUNT);
}

TEST(records_are_kept_in_order_of_address_and_generation)
{
    static const struct {
        const char *address;
        int64_t generation;
    } added[] = {{"b", 2}, {"a", 1}, {"c", 1}, {"b", 1}, {"b[1]", 1}, {"b", 3}};
    static const char *const want[] = {"a#1", "b#1", "b#2", "b#3", "b[1]#1", "c#1"};
    struct records records = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(added); i++)
        records_add(&records, sample(added[i].address, added[i].generation));
    for (size_t i = 0; i < ARRAY_LENGTH(want); i++) {
        CLEANUP(mem_freep)
        char *got =
            string_format("%s#%d", records.items[i]->address, (int)records.items[i]->generation);
        CHECK_TEXT(got, want[i]);
    }
    records_done(&records);
}

TEST(the_newest_generation_that_is_not_deposed_is_found)
{
    struct records records = {0};
    CHECK(records_find(&records, "b") == NULL);
    for (int64_t generation = 1; generation <= 3; generation++)
        records_add(&records, sample("b", generation));
    records_add(&records, sample("d", 1));
    CHECK(records_find(&records, "b")->generation == 3);
    records.items[2]->status = RECORD_DEPOSED;
    CHECK(records_find(&records, "b")->generation == 2);
    records.items[0]->status = records.items[1]->status = RECORD_DEPOSED;
    CHECK(records_find(&records, "b") == NULL);
    CHECK(records_find(&records, "a") == NULL && records_find(&records, "c") == NULL);
    CHECK(records_find(&records, "d")->generation == 1);
    records_done(&records);
}
