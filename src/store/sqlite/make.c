#include "store/sqlite/make.h"

#include "base/files.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "store/sqlite/pages.h"
#include "store/sqlite/schema.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_MODE = 0700, PATIENCE_MS = 30000 };

/* What a new database has. */
struct content {
    const char *id;
    make_fill *fill; /* NULL: no more than that */
    void *argument;
};

static int fill_database(struct connection *connection, const struct content *content,
                         struct error *err)
{
    int reserved = PAGES_RESERVED;
    sqlite3_file_control(connection->database, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    /* A file that has no name yet needs no journal: it is synced as a whole, or thrown away. */
    CLEANUP(mem_freep)
    char *shape = string_format("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
                                "PRAGMA page_size = %d; PRAGMA application_id = %d;",
                                PAGES_SIZE, CONNECTION_APPLICATION_ID);
    int r = connection_run(connection, shape, err);
    if (r == 0)
        r = schema_migrate(connection, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *own_row = string_format("INSERT INTO store VALUES ('%s', %" PRId64 ");", content->id,
                                  world_wall_clock());
    r = connection_run(connection, own_row, err);
    if (r == 0 && content->fill)
        r = content->fill(content->argument, connection, err);
    return r < 0 ? r : store_files_use_log(connection, err);
}

static int sync_file(const char *path, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDWR, 0);
    int r = fd < 0 ? fd : files_sync(fd);
    return r < 0 ? store_files_error(r, "sync", path, err) : 0;
}

static int make_filled(const char *path, const struct content *content, struct error *err)
{
    int r = store_files_make_empty(path, err);
    if (r < 0)
        return r;
    CLEANUP(connection_done) struct connection connection = {0};
    r = connection_open(&connection, path, PATIENCE_MS, err);
    if (r == 0)
        r = fill_database(&connection, content, err);
    connection_done(&connection);
    return r < 0 ? r : sync_file(path, err);
}

int make_database(const char *path, const char *id, struct error *err)
{
    return make_filled(path, &(struct content){.id = id}, err);
}

/* What there may be no room for comes before the first name. */
static int make_and_name(const struct store_files *files, const struct content *content,
                         struct error *err)
{
    CLEANUP(mem_freep) char *draft = string_format("%s.new", files->database);
    int r = make_filled(draft, content, err);
    if (r == 0)
        r = store_files_draft_marker(files, content->id, err);
    if (r < 0) {
        (void)files_remove(draft);
        return r;
    }
    r = store_files_name(files, draft, files->database, err);
    return r < 0 ? r : store_files_name(files, files->marker_draft, files->marker, err);
}

/* The folder, which is made where it is not there, is locked by who makes a store in it. */
static int lock_folder(const struct store_files *files, int *ret_lock, struct error *err)
{
    int r = world_make_folder(files->folder, FOLDER_MODE, err);
    if (r == 0)
        r = store_files_check_access(files->folder, W_OK | X_OK, err);
    return r < 0 ? r : store_files_lock(files->folder, ret_lock, err);
}

/* The file is never synced: after a crash there may be anything in it. */
static bool is_id(const char *text, size_t size)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n";
    if (size != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < size; i++)
        if (form[i] == 'x' ? !text[i] || !strchr("0123456789abcdef", text[i]) : text[i] != form[i])
            return false;
    return true;
}

/* Under the lock: the id that was agreed on, or a new one, of which it returns false. */
static bool find_agreed(const struct store_files *files, char ret_id[UUID_TEXT_SIZE])
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    bool is_agreed =
        world_read_file(files->marker_draft, UUID_TEXT_SIZE, &text, &size, NULL) == 0 &&
        is_id(text, size);
    if (!is_agreed) {
        uuid_random(ret_id);
        return false;
    }
    memcpy(ret_id, text, UUID_TEXT_SIZE - 1);
    ret_id[UUID_TEXT_SIZE - 1] = '\0';
    return true;
}

int make_agree(const struct store_files *files, bool *ret_is_there, char ret_id[UUID_TEXT_SIZE],
               struct error *err)
{
    CLEANUP(close_descriptorp) int lock = -1;
    int r = lock_folder(files, &lock, err);
    if (r < 0)
        return r;
    *ret_is_there = world_file_exists(files->database);
    if (*ret_is_there || find_agreed(files, ret_id))
        return 0;
    CLEANUP(mem_freep) char *text = string_format("%s\n", ret_id);
    return store_files_write_new(files->marker_draft, text, false, err);
}

int make_store(const struct store_files *files, const char *id, make_fill *fill, void *argument,
               struct error *err)
{
    CLEANUP(close_descriptorp) int lock = -1;
    int r = lock_folder(files, &lock, err);
    if (r < 0 || world_file_exists(files->database))
        return r;
    char agreed[UUID_TEXT_SIZE];
    if (!id)
        (void)find_agreed(files, agreed);
    return make_and_name(files, &(struct content){id ? id : agreed, fill, argument}, err);
}
