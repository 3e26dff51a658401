#include "twin/leftovers.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER "aws:rds:cluster"

/* Of databases, by the names of members (NAME-0) or by uids (UID.application, archive-UID), and of
 * stacks, by uids. */
static const char *const owned_folders[] = {"database", "access", "secrets", "volumes"};
/* All that is made anew from the manifest, and what goes with the last resource. */
static const char *const made_folders[] = {"balancer",        "balancer-config", "certificates",
                                           "database-config", "limiter",         "monitor",
                                           "monitor-config",  "tables"};

static bool is_member_of(const char *name, const char *cluster)
{
    size_t length = strlen(cluster);
    return text_starts_with(name, cluster) && name[length] == '-' &&
           isdigit((unsigned char)name[length + 1]);
}

static bool is_of(const struct value *resource, const char *name)
{
    CLEANUP(mem_freep) char *uid = service_file_name(resource_uid(resource));
    CLEANUP(mem_freep) char *archive = string_format("archive-%s", uid);
    if (text_starts_with(name, uid) || text_starts_with(name, archive))
        return true;
    /* A name that was too long is a digest, which does not tell whose it is. */
    return text_equal(resource_type(resource), CLUSTER) &&
           (text_starts_with(name, "x-") || is_member_of(name, resource_name(resource)));
}

bool leftovers_has_owner(const struct manifest *manifest, const char *name)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));)
        if (is_of(entry->value, name))
            return true;
    return false;
}

static void remove_from(const char *folder, const char *name, const struct manifest *owners)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    DIR *entries = opendir(path);
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        const char *below = entry->d_name;
        if (text_equal(below, ".") || text_equal(below, "..") || leftovers_has_owner(owners, below))
            continue;
        CLEANUP(mem_freep) char *file = string_format("%s/%s", path, below);
        service_remove_folder(file);
    }
    closedir(entries);
}

void leftovers_remove(const struct manifest *manifest, const char *folder)
{
    for (size_t i = 0; i < ARRAY_LENGTH(owned_folders); i++)
        remove_from(folder, owned_folders[i], manifest);
    for (size_t i = 0; manifest->resources.n_live == 0 && i < ARRAY_LENGTH(made_folders); i++)
        remove_from(folder, made_folders[i], manifest);
}

int leftovers_main(const char *folder)
{
    CLEANUP(mem_freep) char *lock_path = string_format("%s/lock", folder);
    CLEANUP(mem_freep) char *manifest_path = string_format("%s/" MANIFEST_FILE, folder);
    CLEANUP(close_descriptorp) int lock = -1;
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(manifest_freep) struct manifest *manifest = NULL;
    /* Without a manifest nothing says what is wanted, hence nothing may go. */
    if (!world_file_exists(manifest_path))
        return 0;
    int r = world_lock_file(lock_path, &lock, &err);
    if (r == 0)
        r = manifest_load(folder, &manifest, &err);
    if (r == 0)
        leftovers_remove(manifest, folder);
    else if (r != -ERROR_BUSY)
        fprintf(stderr, "parley-twin: %s\n", error_message(&err));
    return r < 0 && r != -ERROR_BUSY;
}
