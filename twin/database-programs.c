#include "twin/database-programs.h"

#include "base/text.h"
#include "twin/service.h"

#include <dirent.h>
#include <unistd.h>

/* Where Debian keeps each version. */
static const char versions_folder[] = "/usr/lib/postgresql";

void database_programs_done(struct database_programs *programs)
{
    mem_free(programs->postgres);
    mem_free(programs->initdb);
    mem_free(programs->base_backup);
    mem_free(programs->rewind);
    *programs = (struct database_programs){0};
}

/* The folder of the newest version that can make a cluster, or NULL. The caller frees it. */
static char *find_newest(void)
{
    DIR *versions = opendir(versions_folder);
    struct dirent *entry;
    int64_t newest = 0, version;
    while (versions && (entry = readdir(versions))) {
        CLEANUP(mem_freep)
        char *initdb = string_format("%s/%s/bin/initdb", versions_folder, entry->d_name);
        if (text_to_integer(entry->d_name, &version) && version > newest &&
            access(initdb, X_OK) == 0)
            newest = version;
    }
    if (versions)
        closedir(versions);
    return newest ? string_format("%s/%lld/bin", versions_folder, (long long)newest) : NULL;
}

int database_find_programs(struct database_programs *ret_programs, struct error *err)
{
    struct database_programs programs = {0};
    CLEANUP(mem_freep) char *folder = find_newest();
    if (folder) {
        programs.postgres = string_format("%s/postgres", folder);
        programs.initdb = string_format("%s/initdb", folder);
        programs.base_backup = string_format("%s/pg_basebackup", folder);
        programs.rewind = string_format("%s/pg_rewind", folder);
    } else {
        int r = service_find_program("postgres", "postgresql", &programs.postgres, err);
        if (r == 0)
            r = service_find_program("initdb", "postgresql", &programs.initdb, err);
        if (r == 0)
            r = service_find_program("pg_basebackup", "postgresql", &programs.base_backup, err);
        if (r == 0)
            r = service_find_program("pg_rewind", "postgresql", &programs.rewind, err);
        if (r < 0) {
            database_programs_done(&programs);
            return r;
        }
    }
    *ret_programs = programs;
    return 0;
}
