/* Snapshots: a copy of the store at one moment, and its way back. */
#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "store/sqlite/examine.h"
#include "store/sqlite/log.h"
#include "store/sqlite/swap.h"
#include "store/state.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, MARKER_LIMIT = 4096 };

static int first_fault(const char *path, const struct examination *examination, struct error *err)
{
    if (examination->faults.n_items == 0)
        return 0;
    return error_set(err, ERROR_CORRUPT, "%s: %s", path, value_text(examination->faults.items[0]));
}

static int write_copy(struct connection *connection, const char *draft, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->database, "VACUUM INTO ?", -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, draft, -1, SQLITE_STATIC);
        rc = sqlite3_step(statement);
    }
    int r = rc == SQLITE_DONE ? 0 : connection_fault(connection, err);
    sqlite3_finalize(statement);
    CLEANUP(close_descriptorp) int fd = r < 0 ? -1 : files_open(draft, O_RDONLY, 0);
    if (r < 0)
        return r;
    int synced = fd < 0 ? fd : files_sync(fd);
    return synced < 0 ? store_files_error(synced, "sync", draft, err) : 0;
}

static int check_store(const struct store_files *files, struct connection *connection,
                       struct error *err)
{
    CLEANUP(examination_done) struct examination examination = {0};
    if (log_is_damaged(files->log))
        return connection_corrupt(files->log, "it is damaged", err);
    int r = connection_open(connection, files->database, PATIENCE_MS, err);
    if (r == 0)
        r = examine_pages(files->database, &examination, err);
    if (r == 0)
        r = examine_content(files, connection, &examination, err);
    return r < 0 ? r : first_fault(files->database, &examination, err);
}

int store_snapshot(const char *folder, const char *path, struct error *err)
{
    CLEANUP(store_files_done) struct store_files files;
    CLEANUP(connection_done) struct connection connection = {0};
    store_files_init(&files, folder);
    if (world_file_exists(path))
        return error_set(err, ERROR_EXISTS, "%s is there already; give another name", path);
    int r = store_files_need(&files, err);
    if (r == 0)
        r = check_store(&files, &connection, err);
    CLEANUP(mem_freep) char *draft = string_format("%s.new", path);
    if (r == 0)
        r = store_files_make_empty(draft, err);
    if (r < 0)
        return r;
    r = write_copy(&connection, draft, err);
    int renamed = r < 0 ? 0 : files_rename(draft, path);
    if (renamed < 0)
        r = store_files_error(renamed, "rename", draft, err);
    if (r < 0)
        (void)world_remove_file(draft, NULL);
    return r;
}

/* Looks at a snapshot's file as if it were the store's. */
static int check_snapshot(const char *path, char ret_id[UUID_TEXT_SIZE], struct error *err)
{
    CLEANUP(examination_done) struct examination examination = {0};
    CLEANUP(connection_done) struct connection connection = {0};
    struct store_files files = {.database = (char *)path};
    int r = examine_pages(path, &examination, err);
    if (r == 0)
        r = first_fault(path, &examination, err);
    if (r == 0)
        r = connection_open(&connection, path, PATIENCE_MS, err);
    if (r == 0)
        r = examine_content(&files, &connection, &examination, err);
    if (r == 0)
        r = first_fault(path, &examination, err);
    if (r == 0)
        memcpy(ret_id, examination.id, UUID_TEXT_SIZE);
    return r;
}

/* Copies a snapshot and sees that the copy is whole. */
static int copy_checked(const char *path, const char *copy, char ret_id[UUID_TEXT_SIZE],
                        struct error *err)
{
    int r = swap_copy(path, copy, err);
    if (r == 0)
        r = check_snapshot(copy, ret_id, err);
    if (r < 0)
        (void)world_remove_file(copy, NULL);
    return r;
}

int store_unpack(const char *path, const char *folder, struct error *err)
{
    char id[UUID_TEXT_SIZE];
    CLEANUP(mem_freep) char *copy = string_format("%s/parley.db", folder);
    int r = world_make_folder(folder, 0700, err);
    return r < 0 ? r : copy_checked(path, copy, id, err);
}

static int check_same_store(const struct store_files *files, const char *id, struct error *err)
{
    CLEANUP(mem_freep) char *marker = NULL;
    if (world_read_file(files->marker, MARKER_LIMIT, &marker, NULL, NULL) < 0 ||
        text_starts_with(marker, id))
        return 0;
    return error_set(err, ERROR_CONFLICT,
                     "the snapshot is of the store %s, but %s belongs to %.36s; use another --home",
                     id, files->folder, marker);
}

int store_put_back(const char *path, const char *folder, char **ret_kept, struct error *err)
{
    CLEANUP(store_files_done) struct store_files files;
    CLEANUP(close_descriptorp) int folder_lock = -1;
    CLEANUP(close_descriptorp) int lock = -1;
    store_files_init(&files, folder);
    CLEANUP(mem_freep) char *copy = string_format("%s.copy", files.database);
    char id[UUID_TEXT_SIZE];
    int r = world_make_folder(folder, 0700, err);
    if (r == 0)
        r = store_files_lock(folder, &folder_lock, err);
    if (r == 0)
        r = copy_checked(path, copy, id, err);
    if (r < 0)
        return r;
    r = check_same_store(&files, id, err);
    if (r == 0)
        r = swap_lock(&files, &lock, err);
    if (r == 0)
        r = swap_in(&files, copy, id, ret_kept, err);
    if (r < 0)
        (void)world_remove_file(copy, NULL);
    return r;
}

void store_remove_unpacked(const char *folder)
{
    static const char *const names[] = {"parley.db", "parley.db-wal", "parley.db-shm", "parley.id"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, names[i]);
        (void)world_remove_file(path, NULL);
    }
    (void)rmdir(folder);
}
