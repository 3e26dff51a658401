#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "twin/sources.h"
#include "unit/twin-manifest.h"

#include <unistd.h>

#define STACK                                                                            \
    "{\"uid\":\"stack\",\"name\":\"stack\",\"type\":\"docker:compose:stack\",\"spec\":{" \
    "\"services\":{\"shop\":{\"port\":8080}}},\"references\":{\"services.shop.hosts\":[\"web\"]}}"
#define PLATFORM                                                             \
    "[" VLAN("a", "10.1.0.0/24") "," INSTANCES("web", "a", "2") "," BACKEND( \
        "pool", "web", "8080") "," FRONTEND("door", "a", "80",               \
                                            "pool") "," CLUSTER("store", "a", "2") "," STACK "]"

static struct value *describe(const char *resources)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, resources);
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0);
    struct value *sources = sources_describe(machine);
    machine_unref(machine);
    problems_done(&faults);
    return sources;
}

/* The uids of a program, in one text. */
static char *whose(const struct value *sources, const char *program)
{
    struct strbuf text = {0};
    CLEANUP(value_unrefp) struct value *uids = sources_find(sources, program);
    for (size_t i = 0; i < value_count(uids); i++)
        strbuf_addf(&text, "%s%s", i > 0 ? " " : "", value_text(value_at(uids, i)));
    return strbuf_take(&text);
}

TEST(a_program_belongs_to_what_it_runs_for_and_to_its_host)
{
    static const struct {
        const char *program, *uids;
    } cases[] = {{"web-0.shop", "stack web"}, {"web-1.shop", "stack web"}, {"web-0", "web"},
                 {"door", "door pool"},       {"store-1", "store"},        {"limiter", ""},
                 {"web-2.shop", ""}};
    CLEANUP(value_unrefp) struct value *sources = describe(PLATFORM);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *uids = whose(sources, cases[i].program);
        CHECK_TEXT(uids, cases[i].uids);
    }
}

TEST(the_limiter_belongs_to_the_frontends_with_a_limit)
{
    CLEANUP(value_unrefp)
    struct value *sources = describe(
        "[" VLAN("a", "10.1.0.0/24") "," INSTANCES("web", "a", "2") "," BACKEND("pool", "web", "8080") "," FRONTEND(
            "door", "a", "80",
            "pool") "," FRONTEND("gate", "a", "81",
                                 "pool") "," RULE("in", "any", "any",
                                                  ",\"action\":\"allow\",\"port\":81,\"rateLimit\":\"9/minute\"") "]");
    CLEANUP(mem_freep) char *uids = whose(sources, "limiter");
    CHECK_TEXT(uids, "gate");
}

TEST(what_is_gone_stays_known_and_what_is_new_counts)
{
    struct value *before = describe(PLATFORM);
    CLEANUP(value_unrefp)
    struct value *merged = sources_merge(
        before, describe("[" VLAN("a", "10.1.0.0/24") "," INSTANCES("web", "a", "1") "]"));
    CLEANUP(mem_freep) char *gone = whose(merged, "web-1.shop");
    CHECK_TEXT(gone, "stack web");
    CLEANUP(mem_freep) char *there = whose(merged, "web-0");
    CHECK_TEXT(there, "web");
    value_unref(before);
}

TEST(what_was_saved_is_loaded_and_what_is_damaged_is_not)
{
    char folder[] = "/tmp/parley-XXXXXX";
    CHECK(mkdtemp(folder));
    CHECK(!sources_load(folder));
    CLEANUP(value_unrefp) struct value *sources = describe(PLATFORM);
    sources_save(folder, sources);
    CLEANUP(value_unrefp) struct value *loaded = sources_load(folder);
    CHECK(loaded && value_equal(loaded, sources));
    static const char *const broken[] = {"", "[]", "{\"format\":2,\"sources\":{}}",
                                         "{\"format\":1,\"sources\":7}"};
    CLEANUP(mem_freep) char *path = string_format("%s/sources.json", folder);
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        CHECK(world_write_file(path, broken[i], strlen(broken[i]), 0600, false, NULL) == 0);
        CHECK(!sources_load(folder));
    }
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}
