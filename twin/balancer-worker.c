#include "twin/balancer-worker.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Columns of /proc/PID/net/tcp, see proc(5). */
enum { COLUMN_STATE = 3, COLUMN_INODE = 9, TABLE_LIMIT = 64 * 1024 * 1024 };
static const char state_listen[] = "0A";

/* Adds " socket:[INODE] " when the line is about a socket that listens. */
static void collect_listener(struct strbuf *out, char *line)
{
    bool is_listener = false;
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    for (int column = 0; word && column <= COLUMN_INODE; column++) {
        if (column == COLUMN_STATE)
            is_listener = text_equal(word, state_listen);
        if (column == COLUMN_INODE && is_listener)
            strbuf_addf(out, " socket:[%s] ", word);
        word = strtok_r(NULL, " ", &rest);
    }
}

/* All listeners of the network namespace that the process is in. */
static void collect_listeners(struct strbuf *out, const char *proc, pid_t worker)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%d/net/tcp", proc, (int)worker);
    CLEANUP(mem_freep) char *table = NULL;
    if (world_read_file(path, TABLE_LIMIT, &table, NULL, NULL) < 0)
        return;
    char *rest = NULL;
    for (char *line = strtok_r(table, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        collect_listener(out, line);
}

static bool is_one_of(const char *listeners, int folder, const char *descriptor)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, descriptor, target, sizeof(target) - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    CLEANUP(mem_freep) char *wanted = string_format(" %s ", target);
    return strstr(listeners, wanted) != NULL;
}

bool balancer_worker_listens(const char *proc, pid_t worker)
{
    CLEANUP(strbuf_done) struct strbuf listeners = {0};
    CLEANUP(mem_freep) char *path = string_format("%s/%d/fd", proc, (int)worker);
    collect_listeners(&listeners, proc, worker);
    DIR *folder = opendir(path);
    struct dirent *entry;
    bool listens = false;
    while (folder && !listens && (entry = readdir(folder)))
        listens = is_one_of(strbuf_text(&listeners), dirfd(folder), entry->d_name);
    if (folder)
        closedir(folder);
    return listens;
}
