#include "base/world.h"
#include "harness.h"
#include "twin/leftovers.h"
#include "twin/service.h"
#include "unit/twin-manifest.h"

#include <stdlib.h>
#include <sys/stat.h>

#define STORE                                                                          \
    "{\"uid\":\"uid-store\",\"name\":\"store\",\"type\":\"aws:rds:cluster\",\"spec\":" \
    "{\"engine\":\"postgres\"},\"references\":{\"subnet\":[\"db\"]}}"

TEST(what_belongs_to_a_resource_of_the_manifest_has_an_owner)
{
    static const struct {
        const char *name;
        bool has_owner;
    } cases[] = {
        {"store-0", true},
        {"store-12", true},
        {"archive-uid-store", true},
        {"uid-store.application", true},
        {"uid-store.conninfo", true},
        {"x-0123456789abcdef01234567", true}, /* a long name: it may be */
        {"db", true},                         /* the uid of a network */
        {"store", false},
        {"store-old-0", false},
        {"other-0", false},
        {"archive-uid-other", false},
        {"uid-other.primary", false},
    };
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    add_resources(manifest, "[" VLAN("db", "10.3.0.0/24") "," STORE "]");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        printf("# %s\n", cases[i].name);
        CHECK(leftovers_has_owner(manifest, cases[i].name) == cases[i].has_owner);
    }
    CLEANUP(manifest_freep) struct manifest *empty = manifest_new();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK(!leftovers_has_owner(empty, cases[i].name));
}

/* A state folder with a file of each kind. */
static const char *const files[] = {"database/store-0/data/PG_VERSION",
                                    "database/other-0/data/PG_VERSION",
                                    "secrets/uid-store.application",
                                    "secrets/uid-other.application",
                                    "access/uid-other.conninfo",
                                    "monitor/uid-store/chunk",
                                    "tables/0123abcd",
                                    "authority/ca.key",
                                    "logs/store-0.log"};
enum { STORE_DATA, OTHER_DATA, STORE_SECRET, OTHER_SECRET, ACCESS, MONITOR, TABLE, AUTHORITY, LOG };

static void fill(const char *folder)
{
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, files[i]);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        CHECK(world_make_folder(path, 0700, NULL) == 0);
        *slash = '/';
        CHECK(world_write_file(path, "x", 1, 0600, false, NULL) == 0);
    }
}

static bool is_there(const char *folder, int file)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, files[file]);
    return world_file_exists(path);
}

TEST(only_what_nobody_owns_is_removed_and_the_authority_stays)
{
    char folder[] = "/tmp/parley-XXXXXX";
    CHECK(mkdtemp(folder));
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    add_resources(manifest, "[" VLAN("db", "10.3.0.0/24") "," STORE "]");
    fill(folder);
    leftovers_remove(manifest, folder);
    CHECK(is_there(folder, STORE_DATA) && is_there(folder, STORE_SECRET));
    CHECK(!is_there(folder, OTHER_DATA) && !is_there(folder, OTHER_SECRET));
    CHECK(!is_there(folder, ACCESS) && is_there(folder, MONITOR));
    CHECK(is_there(folder, TABLE));
    CHECK(is_there(folder, AUTHORITY) && is_there(folder, LOG));
    /* Without a manifest nobody knows what is wanted. */
    CHECK(leftovers_main(folder) == 0);
    CHECK(is_there(folder, STORE_DATA));
    CLEANUP(manifest_freep) struct manifest *empty = manifest_new();
    CHECK(manifest_save(empty, folder, NULL, NULL) == 0);
    CHECK(leftovers_main(folder) == 0);
    for (int i = STORE_DATA; i <= TABLE; i++)
        CHECK(!is_there(folder, i));
    CHECK(is_there(folder, AUTHORITY) && is_there(folder, LOG));
    service_remove_folder(folder);
}

TEST(a_twin_that_runs_is_left_alone)
{
    char folder[] = "/tmp/parley-XXXXXX";
    CHECK(mkdtemp(folder));
    CLEANUP(mem_freep) char *path = string_format("%s/lock", folder);
    CLEANUP(manifest_freep) struct manifest *empty = manifest_new();
    int lock = -1;
    CHECK(manifest_save(empty, folder, NULL, NULL) == 0);
    fill(folder);
    CHECK(world_lock_file(path, &lock, NULL) == 0);
    CHECK(leftovers_main(folder) == 0);
    CHECK(is_there(folder, OTHER_DATA));
    close_descriptor(lock);
    service_remove_folder(folder);
}
