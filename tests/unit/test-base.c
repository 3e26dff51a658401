#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"

#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

TEST(pieces_of_an_arena_are_zeroed_aligned_and_apart)
{
    struct arena arena = {0};
    char *pieces[400];
    for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
        size_t size = i % 40 == 39 ? 100000 : i;
        pieces[i] = arena_take(&arena, 1, size);
        CHECK((size_t)pieces[i] % 16 == 0);
        for (size_t k = 0; k < size; k++)
            CHECK(pieces[i][k] == 0);
        memset(pieces[i], (int)(i % 100) + 1, size);
        CHECK_TEXT(arena_copy_text(&arena, "name and more", 4), "name");
    }
    for (size_t i = 1; i < 39; i++)
        CHECK(pieces[i][0] == (char)(i + 1) && pieces[i][i - 1] == (char)(i + 1));
    arena_done(&arena);
}

TEST(map_keeps_every_key_in_the_order_of_insertion)
{
    struct map map = {0};
    char key[32];
    for (long i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key-%ld", i);
        CHECK(map_put(&map, key, (void *)(i + 1)) == NULL);
    }
    for (long i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof(key), "key-%ld", i);
        CHECK(map_remove(&map, key) == (void *)(i + 1));
        CHECK(!map_has(&map, key));
    }
    CHECK(map.n_live == 2500);
    size_t cursor = 0;
    for (long i = 1; i < 5000; i += 2)
        CHECK(map_next(&map, &cursor)->value == (void *)(i + 1));
    CHECK(map_next(&map, &cursor) == NULL);
    CHECK(map_put(&map, "key-1", (void *)7L) == (void *)2L);
    CHECK(map_get_n(&map, "key-1-and-more", 5) == (void *)7L);
    map_done(&map);
}

TEST(map_takes_keys_that_stay_where_they_are)
{
    struct map map = {0};
    char kept[] = "a";
    CHECK(map_get(&map, "a") == NULL && !map_has(&map, "a"));
    CHECK(map_put_borrowed(&map, kept, kept) == NULL);
    CHECK(map_put(&map, "b", NULL) == NULL);
    CHECK(map_put_borrowed(&map, "b", kept + 1) == NULL && map_put(&map, "a", NULL) == kept);
    size_t cursor = 0;
    CHECK(map_next(&map, &cursor)->key == kept);
    CHECK(map_get(&map, "b") == kept + 1);
    CHECK(map_remove(&map, "a") == NULL && !map_has(&map, "a"));
    CHECK(map_remove(&map, "b") == kept + 1 && map_get(&map, "b") == NULL);
    map_done(&map);
}

TEST(map_finds_its_keys_after_many_removals_and_insertions)
{
    struct map map = {0};
    char key[32];
    for (long i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%ld", i);
        map_put(&map, key, (void *)(i + 1));
        snprintf(key, sizeof(key), "k%ld", i - 3);
        if (i >= 3)
            CHECK(map_remove(&map, key) == (void *)(i - 2));
    }
    CHECK(map.n_live == 3);
    CHECK(map.n_slots <= 64);
    map_done(&map);
}

TEST(wrapped_errors_read_from_the_outside_in)
{
    struct error err = {0};
    CHECK(error_set(&err, ERROR_DENIED, "port %d", 443) == -ERROR_DENIED);
    CHECK(error_wrap(&err, -ERROR_DENIED, "configure %s", "edge") == -ERROR_DENIED);
    CHECK_TEXT(err.message, "configure edge: port 443");
    struct error outer = {0};
    CHECK(error_move(&outer, &err) == -ERROR_DENIED);
    CHECK(err.code == ERROR_NONE && err.message == NULL);
    CHECK_TEXT(error_message(&outer), "configure edge: port 443");
    error_done(&outer);
}

/* What went wrong is not lost where only the code is asked for. */
TEST(a_wrapped_error_keeps_its_code_with_and_without_a_message)
{
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        struct error err = {0};
        int r = error_set(&err, (enum error_code)code, "port %d", 443);
        CHECK(error_wrap(&err, r, "configure") == -code && (int)err.code == code);
        CHECK(error_wrap(NULL, r, "configure") == -code);
        error_done(&err);
    }
}

TEST(every_error_code_survives_its_wire_name)
{
    for (enum error_code code = ERROR_NONE; code < ERROR_CODE_COUNT; code++)
        CHECK(error_code_from_string(error_code_to_string(code)) == code);
    CHECK(error_code_from_string("no such code") == ERROR_CODE_COUNT);
}

TEST(sha256_of_abc_is_that_of_fips_180)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex("abc", 3, hex);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(sha256_does_not_depend_on_the_parts_that_content_comes_in)
{
    char content[300], whole[DIGEST_HEX_SIZE], parts[DIGEST_HEX_SIZE];
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (char)i;
    digest_hex(content, sizeof(content), whole);
    for (size_t size = 1; size <= sizeof(content); size++) {
        struct digest *digest = digest_begin();
        for (size_t start = 0; start < sizeof(content); start += size)
            digest_add(digest, content + start,
                       size < sizeof(content) - start ? size : sizeof(content) - start);
        digest_end(digest, parts);
        CHECK_TEXT(parts, whole);
    }
}

TEST(a_derived_uuid_is_made_of_the_sha256_of_both_names)
{
    char uuid[UUID_TEXT_SIZE];
    uuid_derive("space", "name", uuid);
    /* printf 'space\nname' | sha256sum, with the version and variant of RFC 9562. */
    CHECK_TEXT(uuid, "76353f24-0f4a-8d09-8b10-47a6935e7098");
}

TEST(derived_uuids_are_stable_and_distinct)
{
    char one[UUID_TEXT_SIZE], same[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
    uuid_derive("space", "name", one);
    uuid_derive("space", "name", same);
    uuid_derive("space", "name2", other);
    CHECK_TEXT(one, same);
    CHECK(strcmp(one, other) != 0);
    CHECK(strlen(one) == 36 && one[14] == '8');
}

TEST(integers_and_long_formats_are_added_in_full)
{
    static const struct {
        int64_t integer;
        const char *text;
    } cases[] = {{0, "0"},
                 {-7, "-7"},
                 {1234567890, "1234567890"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(strbuf_done) struct strbuf buffer = {0};
        strbuf_add_integer(&buffer, cases[i].integer);
        CHECK_TEXT(strbuf_text(&buffer), cases[i].text);
    }
    /* Lengths on both sides of what is formatted at the first try. */
    for (int length = 0; length < 300; length++) {
        CLEANUP(strbuf_done) struct strbuf buffer = {0};
        strbuf_addf(&buffer, "%0*d|%s", length, 7, "end");
        size_t digits = length > 1 ? (size_t)length : 1;
        CHECK(buffer.length == digits + 4 && strlen(buffer.text) == digits + 4);
        CHECK_TEXT(buffer.text + digits - 1, "7|end");
    }
}

TEST(formats_are_those_of_printf)
{
    CLEANUP(strbuf_done) struct strbuf buffer = {0};
    strbuf_addf(&buffer, "%s=%d;%" PRId64 ";%zu", "a", INT_MIN, INT64_MIN, SIZE_MAX);
    CHECK_TEXT(buffer.text, "a=-2147483648;-9223372036854775808;18446744073709551615");
    strbuf_clear(&buffer);
    strbuf_addf(&buffer, "%s", "");
    CHECK_TEXT(buffer.text, "");
    strbuf_addf(&buffer, "100%%|%d", 7);
    CHECK_TEXT(buffer.text, "100%|7");
    strbuf_clear(&buffer);
    strbuf_addf(&buffer, "%d|%.2s|%s|%3d|%lld|%x", 1, "abc", "d", 5, -6LL, 255u);
    CHECK_TEXT(buffer.text, "1|ab|d|  5|-6|ff");
    strbuf_clear(&buffer);
    strbuf_addf(&buffer, "%s%s#%lld", "only", "texts", -3LL);
    CHECK_TEXT(buffer.text, "onlytexts#-3");
}

TEST(a_text_from_outside_is_made_safe_to_show)
{
    char text[] = "a\tb\x1b[31m \xc3\xa4 \xc3 \xff\xe2\x82 \xc2\x9b\xe2\x82\xac\x7f";
    text_make_printable(text);
    CHECK_TEXT(text, "a b?[31m \xc3\xa4 ? ??? ?\xe2\x82\xac?");
}

TEST(nearest_finds_typing_errors_and_nothing_else)
{
    static const char *const names[] = {"web-tier", "app-tier", "db-tier"};
    CHECK_TEXT(text_nearest("web-teir", names, 3), "web-tier");
    CHECK_TEXT(text_nearest("dbtier", names, 3), "db-tier");
    CHECK(text_nearest("monitoring", names, 3) == NULL);
    static const char *const short_names[] = {"web", "app"};
    CHECK_TEXT(text_nearest("wbe", short_names, 2), "web");
    CHECK_TEXT(text_nearest("ap", short_names, 2), "app");
    CHECK(text_nearest("bew", short_names, 2) == NULL);
    static const char *const letters[] = {"a", "b"};
    CHECK(text_nearest("c", letters, 2) == NULL);
}

TEST(names_have_the_form_of_the_design)
{
    static const struct {
        const char *text;
        bool is_name;
    } cases[] = {{"web", true},  {"web-1", true}, {"1web", false}, {"", false},    {"Web", false},
                 {"w_b", false}, {"-web", false}, {"a", true},     {"web ", false}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK(text_is_name(cases[i].text) == cases[i].is_name);
}

TEST(malformed_utf8_is_refused)
{
    static const struct {
        const char *text;
        bool is_utf8;
    } cases[] = {{"abc", true},
                 {"\xc3\xa4", true},
                 {"\xe2\x82\xac", true},
                 {"\xf0\x9f\x98\x80", true},
                 {"\xc0\x80", false},
                 {"\xed\xa0\x80", false},
                 {"\xf4\x90\x80\x80", false},
                 {"\xe2\x82", false},
                 {"\x80", false},
                 {"\xff", false},
                 {"\xe0\x80\x80", false}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK(text_is_utf8(cases[i].text, strlen(cases[i].text)) == cases[i].is_utf8);
}

TEST(a_written_file_replaces_the_old_one_and_a_large_one_is_refused)
{
    char folder[] = "/tmp/parley-base-XXXXXX";
    CHECK(mkdtemp(folder));
    char *path = string_format("%s/file", folder);
    struct error err = {0};
    CHECK(world_write_file(path, "old", 3, 0600, true, &err) == 0);
    CHECK(world_write_file(path, "newer", 5, 0600, false, &err) == 0);
    char *text = NULL;
    size_t size = 0;
    CHECK(world_read_file(path, 5, &text, &size, &err) == 0);
    CHECK(size == 5);
    CHECK_TEXT(text, "newer");
    mem_free(text);
    CHECK(world_read_file(path, 4, &text, &size, &err) == -ERROR_LIMIT);
    CHECK(world_remove_file(path, &err) == 0);
    CHECK(world_read_file(path, 4, &text, &size, &err) == -ERROR_NOT_FOUND);
    error_done(&err);
    mem_free(path);
    CHECK(rmdir(folder) == 0);
}

TEST(a_file_opened_for_appending_keeps_what_it_had)
{
    char folder[] = "/tmp/parley-base-XXXXXX";
    CHECK(mkdtemp(folder));
    char *path = string_format("%s/log", folder);
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        int fd = -1;
        CHECK(world_open_append(path, 0600, &fd, &err) == 0);
        CHECK(write(fd, "line\n", 5) == 5);
        close_descriptor(fd);
    }
    char *text = NULL;
    CHECK(world_read_file(path, 100, &text, NULL, &err) == 0);
    CHECK_TEXT(text, "line\nline\n");
    mem_free(text);
    CHECK(unlink(path) == 0);
    int fd = -1;
    CHECK(rmdir(folder) == 0);
    CHECK(world_open_append(path, 0600, &fd, &err) == -ERROR_SYSTEM && fd == -1);
    error_done(&err);
    mem_free(path);
}

TEST(a_locked_file_is_busy_until_its_holder_lets_go)
{
    char folder[] = "/tmp/parley-base-XXXXXX";
    CHECK(mkdtemp(folder));
    char *path = string_format("%s/lock", folder);
    struct error err = {0};
    int first = -1, second = -1;
    CHECK(world_lock_file(path, &first, &err) == 0);
    CHECK(world_file_is_locked(path));
    CHECK(world_lock_file(path, &second, &err) == -ERROR_BUSY);
    CHECK(second == -1);
    close_descriptor(first);
    CHECK(!world_file_is_locked(path));
    CHECK(world_lock_file(path, &second, &err) == 0);
    close_descriptor(second);
    error_done(&err);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    mem_free(path);
}

static int add_listed(void *argument, const char *name, struct error *err)
{
    if (strcmp(name, "stop") == 0)
        return error_set(err, ERROR_DENIED, "stop");
    strbuf_addf(argument, "%s ", name);
    return 0;
}

TEST(a_folder_is_listed_in_the_order_of_its_names_until_someone_objects)
{
    char folder[] = "/tmp/parley-base-XXXXXX";
    CHECK(mkdtemp(folder));
    static const char *const names[] = {"b", "a", "stop", "c"};
    struct error err = {0};
    struct strbuf seen = {0};
    CHECK(world_list_folder(folder, add_listed, &seen, &err) == 0);
    CHECK_TEXT(strbuf_text(&seen), "");
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, names[i]);
        CHECK(world_write_file(path, "", 0, 0600, false, &err) == 0);
    }
    CHECK(world_list_folder(folder, add_listed, &seen, &err) == -ERROR_DENIED);
    CHECK_TEXT(strbuf_text(&seen), "a b c ");
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, names[i]);
        CHECK(world_remove_file(path, &err) == 0);
    }
    CHECK(rmdir(folder) == 0);
    CHECK(world_list_folder(folder, add_listed, &seen, &err) == -ERROR_NOT_FOUND);
    strbuf_done(&seen);
    error_done(&err);
}

TEST(a_real_path_has_no_links_and_need_not_exist_yet)
{
    static const struct {
        const char *path;
        const char *want;
    } cases[] = {
        {"/", "/"},
        {"/usr/../usr/./bin/", NULL},
        {"/nonesuch", "/nonesuch"},
        {"/nonesuch/", "/nonesuch"},
        {"//nonesuch//a", "/nonesuch/a"},
        {"/usr/../nonesuch/a/b", "/nonesuch/a/b"},
        {"/proc/self/../self/nonesuch", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *path = NULL;
        CHECK(world_real_path(cases[i].path, &path, NULL) == 0);
        CHECK(path[0] == '/' && !strstr(path, "/."));
        if (cases[i].want)
            CHECK_TEXT(path, cases[i].want);
    }
}

TEST(the_running_program_knows_where_it_is)
{
    CLEANUP(mem_freep) char *path = NULL;
    CHECK(world_program_path(&path, NULL) == 0);
    CHECK(world_file_exists(path));
}

TEST(a_log_is_emptied_when_it_is_opened)
{
    CLEANUP(mem_freep) char *path = string_format("/tmp/parley-test-log-%d", (int)getpid());
    CHECK(world_write_file(path, "old", 3, 0600, false, NULL) == 0);
    CLEANUP(close_descriptorp) int fd = -1;
    CHECK(world_open_log(path, &fd, NULL) == 0);
    CHECK(write(fd, "a", 1) == 1);
    CLEANUP(mem_freep) char *text = NULL;
    CHECK(world_read_file(path, 100, &text, NULL, NULL) == 0);
    CHECK(world_remove_file(path, NULL) == 0);
    CHECK_TEXT(text, "a");
}
