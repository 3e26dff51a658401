#include "harness.h"
#include "model/json.h"
#include "model/resource.h"

TEST(addresses_survive_parsing_and_formatting)
{
    static const char *const addresses[] = {
        "web",          "web-tier",          "web[0]",       "web[12]",
        "web[\"a\"]",   "web[\"\"]",         "web[\"a]b\"]", "web[\"say \\\"hi\\\"\"]",
        "web[\"[0]\"]", "web[\"\xc3\xa4\"]",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++) {
        CLEANUP(mem_freep) char *name = NULL;
        CLEANUP(value_unrefp) struct value *key = NULL;
        CHECK(address_parse(addresses[i], &name, &key, NULL) == 0);
        CLEANUP(mem_freep) char *again = address_format(name, key);
        CHECK_TEXT(again, addresses[i]);
    }
}

TEST(an_address_comes_apart_into_name_and_key)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(value_unrefp) struct value *key = NULL;
    CHECK(address_parse("web[7]", &name, &key, NULL) == 0);
    CHECK_TEXT(name, "web");
    CHECK(value_to_integer(key) == 7);
}

TEST(an_address_without_brackets_has_no_key)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(value_unrefp) struct value *key = NULL;
    CHECK(address_parse("web", &name, &key, NULL) == 0);
    CHECK_TEXT(name, "web");
    CHECK(key == NULL);
}

TEST(what_is_no_address_is_refused_and_named)
{
    static const char *const bad[] = {
        "",
        "Web",
        "1web",
        "web[",
        "web]",
        "web[]",
        "web[-1]",
        "web[01]",
        "web[1.5]",
        "web[a]",
        "web[ 1]",
        "web[\"a]",
        "web[\"\\u0061\"]",
        "web[true]",
        "web[[1]]",
        "web[1]x",
        "web[1][2]",
        "web.x",
        "[1]",
        "web[\"a\"",
        "web[1,2]",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {0};
        char *name = NULL;
        struct value *key = NULL;
        CHECK(address_parse(bad[i], &name, &key, &err) == -ERROR_INVALID);
        CHECK(name == NULL && key == NULL && strstr(err.message, bad[i]));
        error_done(&err);
    }
}

TEST(string_lists_become_values_and_come_back)
{
    struct string_list list = {0};
    string_list_add(&list, "a");
    string_list_add(&list, "b");
    CHECK(string_list_has(&list, "b") && !string_list_has(&list, "c"));
    CLEANUP(value_unrefp) struct value *value = string_list_to_value(&list);
    CLEANUP(mem_freep) char *text = json_text(value);
    CHECK_TEXT(text, "[\"a\",\"b\"]");
    struct string_list again = {0};
    string_list_from_value(&again, value);
    CHECK(again.n_items == 2 && string_list_has(&again, "a"));
    struct string_list copy = {0};
    string_list_copy(&copy, &again);
    CHECK(copy.n_items == 2);
    string_list_done(&list);
    string_list_done(&again);
    string_list_done(&copy);
}

TEST(items_that_are_no_strings_are_left_out)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read("[1,\"a\",null]", 12, &value, NULL) == 0);
    struct string_list list = {0};
    string_list_from_value(&list, value);
    string_list_from_value(&list, NULL);
    CHECK(list.n_items == 1);
    string_list_done(&list);
}

TEST(wanted_frees_all_that_its_resources_own)
{
    struct wanted wanted = {0};
    for (int i = 0; i < 20; i++) {
        struct resource *resource = wanted_add(&wanted);
        CHECK(resource->name == NULL && resource->spec == NULL);
        resource->name = string_copy("web");
        resource->key = value_integer(i);
        resource->address = address_format(resource->name, resource->key);
        resource->lifecycle.expires = string_copy("2027-01-31");
        string_list_add(&resource->lifecycle.ignore_changes, "description");
    }
    CHECK(wanted.n_items == 20);
    CHECK_TEXT(wanted.items[19].address, "web[19]");
    wanted_done(&wanted);
    CHECK(wanted.n_items == 0);
}
