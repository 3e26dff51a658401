#include "store/sqlite/files.h"

#include "base/files.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "store/sqlite/log.h"
#include "store/sqlite/schema.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MODE = 0600,
    LOCK_TRIES = 300,
    LOCK_PAUSE_MS = 100,
    MARKER_LIMIT = 4096,
};

void store_files_init(struct store_files *files, const char *folder)
{
    *files = (struct store_files){
        .folder = string_copy(folder),
        .database = string_format("%s/parley.db", folder),
        .log = string_format("%s/parley.db-wal", folder),
        .marker = string_format("%s/parley.id", folder),
        .marker_draft = string_format("%s/parley.id.new", folder),
    };
}

void store_files_done(struct store_files *files)
{
    mem_free(files->folder);
    mem_free(files->database);
    mem_free(files->log);
    mem_free(files->marker);
    mem_free(files->marker_draft);
    *files = (struct store_files){0};
}

int store_files_error(int r, const char *verb, const char *path, struct error *err)
{
    int cause = -r;
    enum error_code code = ERROR_SYSTEM;
    if (cause == EACCES || cause == EPERM || cause == EROFS)
        code = ERROR_DENIED;
    if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
        code = ERROR_LIMIT;
    return error_set(err, code, "%s %s: %s", verb, path, strerror(cause));
}

/* --- Files and their folder --- */

int store_files_make_empty(const char *path, struct error *err)
{
    int r = files_remove(path);
    if (r < 0 && r != -ENOENT)
        return store_files_error(r, "remove", path, err);
    CLEANUP(close_descriptorp) int fd = files_open(path, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE);
    return fd < 0 ? store_files_error(fd, "create", path, err) : 0;
}

int store_files_sync_folder(const char *folder, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(folder, O_RDONLY | O_DIRECTORY, 0);
    int r = fd < 0 ? fd : files_sync(fd);
    return r < 0 ? store_files_error(r, "sync the folder", folder, err) : 0;
}

static int wait_for_lock(const char *folder, int fd, struct error *err)
{
    int r;
    for (int i = 0; (r = files_lock_folder(fd)) < 0; i++) {
        if (r != -EWOULDBLOCK)
            return store_files_error(r, "lock the folder", folder, err);
        if (i == LOCK_TRIES)
            return error_set(err, ERROR_BUSY, "another process keeps making a store in %s", folder);
        sqlite3_sleep(LOCK_PAUSE_MS);
    }
    return 0;
}

int store_files_lock(const char *folder, int *ret_fd, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(folder, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return store_files_error(fd, "open the folder", folder, err);
    int r = wait_for_lock(folder, fd, err);
    if (r == 0)
        *ret_fd = take_descriptor(&fd);
    return r;
}

/* --- What is there --- */

/* What lies beside a database, and nowhere else; NULL: nothing does. */
static const char *find_left(const struct store_files *files)
{
    return world_file_exists(files->marker) ? files->marker
           : world_file_exists(files->log)  ? files->log
                                            : NULL;
}

/* The database is not there, though this is: somebody removed it. */
static int miss(const struct store_files *files, const char *left, struct error *err)
{
    CLEANUP(mem_freep) char *what = string_format("the file is gone, but %s is there", left);
    return connection_corrupt(files->database, what, err);
}

int store_files_check_missing(const struct store_files *files, struct error *err)
{
    const char *left = find_left(files);
    return left ? miss(files, left, err) : 0;
}

static int deny(int r, const char *path, struct error *err)
{
    return error_set(err, ERROR_DENIED,
                     "%s may not be read and written (%s); change its owner or mode, or choose "
                     "another folder with --home",
                     path, strerror(-r));
}

int store_files_check_access(const char *path, int mode, struct error *err)
{
    int r = files_may_access(path, mode);
    return r < 0 ? deny(r, path, err) : 0;
}

/* SQLite takes an empty file for an empty database: here it is one that lost its content. */
static int check_file(const struct store_files *files, const struct stat *status, struct error *err)
{
    if (!S_ISREG(status->st_mode))
        return connection_corrupt(files->database, "this is no regular file", err);
    if (status->st_size == 0)
        return connection_corrupt(files->database, "the file is empty", err);
    int r = store_files_check_access(files->folder, W_OK | X_OK, err);
    if (r == 0)
        r = store_files_check_access(files->database, R_OK | W_OK, err);
    if (r == 0 && log_is_damaged(files->log))
        return connection_corrupt(files->log, "the newest changes are in it, and it is damaged",
                                  err);
    return r;
}

int store_files_look(const struct store_files *files, bool *ret_is_there, struct error *err)
{
    struct stat status;
    int r = files_look_at(files->database, &status);
    const char *left = r == -ENOENT ? find_left(files) : NULL;
    /* Somebody may have made it since: it has its name before what lies beside it has. */
    if (left)
        r = files_look_at(files->database, &status);
    *ret_is_there = r == 0;
    if (r == 0)
        return check_file(files, &status, err);
    if (r == -EACCES)
        return deny(r, files->folder, err);
    if (r != -ENOENT)
        return store_files_error(r, "look at", files->database, err);
    return left ? miss(files, left, err) : 0;
}

int store_files_need(const struct store_files *files, struct error *err)
{
    bool is_there;
    int r = store_files_look(files, &is_there, err);
    if (r == 0 && !is_there)
        return error_set(err, ERROR_NOT_FOUND, "there is no store in %s yet", files->folder);
    return r;
}

/* --- Whether it is ours --- */

int store_files_check_application(const struct store_files *files, struct connection *connection,
                                  struct error *err)
{
    int64_t application;
    int r = connection_ask_number(connection, "PRAGMA application_id", &application, err);
    if (r < 0)
        return r;
    if (application != CONNECTION_APPLICATION_ID)
        return connection_corrupt(files->database, "this is another program's database", err);
    return 0;
}

int store_files_write_new(const char *path, const char *content, bool durable, struct error *err)
{
    int r = store_files_make_empty(path, err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp) int fd = files_open(path, O_WRONLY, 0);
    r = fd < 0 ? fd : files_write(fd, content, strlen(content));
    if (r == 0 && durable)
        r = files_sync(fd);
    return r < 0 ? store_files_error(r, "write", path, err) : 0;
}

int store_files_draft_marker(const struct store_files *files, const char *id, struct error *err)
{
    CLEANUP(mem_freep) char *content = string_format("%s\n", id);
    return store_files_write_new(files->marker_draft, content, true, err);
}

int store_files_name(const struct store_files *files, const char *draft, const char *path,
                     struct error *err)
{
    int r = files_rename(draft, path);
    if (r < 0) {
        (void)files_remove(draft);
        return store_files_error(r, "rename", draft, err);
    }
    return store_files_sync_folder(files->folder, err);
}

int store_files_write_marker(const struct store_files *files, const char *id, struct error *err)
{
    int r = store_files_draft_marker(files, id, err);
    if (r < 0) {
        (void)files_remove(files->marker_draft);
        return r;
    }
    return store_files_name(files, files->marker_draft, files->marker, err);
}

/* Under the lock the draft has one name, so that a crash leaves at most one, and that to who comes
 * next. */
static int make_marker(const struct store_files *files, const char *id, struct error *err)
{
    CLEANUP(close_descriptorp) int lock = -1;
    int r = store_files_lock(files->folder, &lock, err);
    return r < 0 ? r : store_files_write_marker(files, id, err);
}

/* A marker that is missing is made: a crash may have come between database and marker. */
int store_files_check_marker(const struct store_files *files, const char *id, struct error *err)
{
    CLEANUP(mem_freep) char *want = string_format("%s\n", id);
    CLEANUP(mem_freep) char *marker = NULL;
    struct error fault = {0};
    int r = world_read_file(files->marker, MARKER_LIMIT, &marker, NULL, &fault);
    if (r < 0 && r != -ERROR_LIMIT && r != -ERROR_NOT_FOUND)
        return error_move(err, &fault);
    error_done(&fault);
    if (r == -ERROR_NOT_FOUND)
        return make_marker(files, id, err);
    if (r == 0 && text_equal(marker, want))
        return 0;
    CLEANUP(mem_freep)
    char *what = string_format("the marker %s names another store than %s", files->marker, id);
    return connection_corrupt(files->database, what, err);
}

int store_files_read_id(const struct store_files *files, struct connection *connection,
                        char ret_id[UUID_TEXT_SIZE], struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    int r = connection_ask_text(connection, "SELECT id FROM store", &id, err);
    if (r < 0)
        return r;
    if (!id || strlen(id) != UUID_TEXT_SIZE - 1)
        return connection_corrupt(files->database, "the store's id is missing", err);
    memcpy(ret_id, id, UUID_TEXT_SIZE);
    return 0;
}

int store_files_check(const struct store_files *files, struct connection *connection,
                      char ret_id[UUID_TEXT_SIZE], struct error *err)
{
    int r = store_files_check_application(files, connection, err);
    if (r == 0)
        r = schema_migrate(connection, err);
    if (r < 0)
        return r;
    char id[UUID_TEXT_SIZE];
    r = store_files_read_id(files, connection, id, err);
    if (r == 0)
        r = store_files_check_marker(files, id, err);
    if (r == 0)
        memcpy(ret_id, id, UUID_TEXT_SIZE);
    return r;
}

int store_files_check_same(const struct store_files *files, struct connection *connection,
                           const char *id, struct error *err)
{
    char found[UUID_TEXT_SIZE];
    int r = store_files_check(files, connection, found, err);
    if (r == 0 && !text_equal(found, id))
        return error_set(err, ERROR_CONFLICT,
                         "another store came to %s meanwhile: say the command again",
                         files->folder);
    return r;
}

int store_files_use_log(struct connection *connection, struct error *err)
{
    CLEANUP(mem_freep) char *mode = NULL;
    int r = connection_ask_text(connection, "PRAGMA journal_mode = WAL", &mode, err);
    if (r < 0)
        return r;
    if (!mode || !text_equal(mode, "wal"))
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s: the file system cannot share memory between processes, which the "
                         "store needs; choose a folder on a local disk with --home",
                         connection->path);
    return 0;
}
