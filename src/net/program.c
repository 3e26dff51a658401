/* Where programs are installed. Nothing is started here. */
#include "net/program.h"

#include "base/memory.h"
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_FOLDERS "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const grafana_programs[] = {"grafana", "grafana-server", NULL};

const struct program_kit program_grafana = {
    .programs = grafana_programs,
    .mark = "conf/defaults.ini",
    .home = "/usr/share/grafana",
};

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* Takes the next folder of a list with colons; false at its end. *ret_folder is the caller's. */
static bool take_folder(const char **list, char **ret_folder)
{
    while (**list == ':')
        (*list)++;
    size_t length = strcspn(*list, ":");
    if (length == 0)
        return false;
    *ret_folder = string_copy_n(*list, length);
    *list += length;
    return true;
}

char *program_folders(void)
{
    const char *path = getenv("PATH");
    return path && *path ? string_format("%s:" SYSTEM_FOLDERS, path) : string_copy(SYSTEM_FOLDERS);
}

/* Consumes the path; ret_path may be NULL. */
static bool give(char *path, char **ret_path)
{
    if (ret_path)
        *ret_path = path;
    else
        mem_free(path);
    return true;
}

bool program_find(const char *program, char **ret_path)
{
    CLEANUP(mem_freep) char *folders = program_folders();
    const char *rest = folders;
    for (char *folder; take_folder(&rest, &folder);) {
        char *path = string_format("%s/%s", folder, program);
        mem_free(folder);
        if (is_program(path))
            return give(path, ret_path);
        mem_free(path);
    }
    return false;
}

/* --- Kits --- */

/* The program of a kit whose HOME this is. */
static bool find_in_home(const struct program_kit *kit, const char *home, char **ret_program,
                         char **ret_home)
{
    CLEANUP(mem_freep) char *mark = string_format("%s/%s", home, kit->mark);
    if (access(mark, R_OK) < 0)
        return false;
    for (const char *const *program = kit->programs; *program; program++) {
        char *path = string_format("%s/bin/%s", home, *program);
        if (is_program(path))
            return give(path, ret_program) && give(string_copy(home), ret_home);
        mem_free(path);
    }
    return false;
}

static bool find_around(const struct program_kit *kit, const char *program, char **ret_program,
                        char **ret_home)
{
    const char *slash = strrchr(program, '/');
    size_t length = slash ? (size_t)(slash - program) : 0;
    CLEANUP(mem_freep) char *home = string_format("%.*s/..", (int)length, program);
    char *resolved = realpath(home, NULL);
    bool is_found = resolved && find_in_home(kit, resolved, ret_program, ret_home);
    free(resolved);
    return is_found;
}

/* HOME lies beside the program's name, or beside what that is a link to. */
static bool find_by_program(const struct program_kit *kit, const char *program, char **ret_program,
                            char **ret_home)
{
    if (find_around(kit, program, ret_program, ret_home))
        return true;
    char *target = realpath(program, NULL);
    bool is_found = target && find_around(kit, target, ret_program, ret_home);
    free(target);
    return is_found;
}

bool program_find_kit(const struct program_kit *kit, char **ret_program, char **ret_home)
{
    CLEANUP(mem_freep) char *folders = program_folders();
    const char *rest = folders;
    for (char *folder; take_folder(&rest, &folder);) {
        bool is_found = false;
        for (const char *const *program = kit->programs; *program && !is_found; program++) {
            CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, *program);
            is_found = is_program(path) && find_by_program(kit, path, ret_program, ret_home);
        }
        mem_free(folder);
        if (is_found)
            return true;
    }
    return find_in_home(kit, kit->home, ret_program, ret_home);
}
