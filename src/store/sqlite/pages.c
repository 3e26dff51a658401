#include "store/sqlite/pages.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Lies behind the file of the real layer; its methods are the real ones but for read and write. */
struct checked_file {
    const struct sqlite3_io_methods *real;
    struct sqlite3_io_methods methods;
};

static sqlite3_vfs layer;
static int real_file_size;

static struct checked_file *checked_file(sqlite3_file *file)
{
    return (struct checked_file *)((char *)file + real_file_size);
}

/* The sums that SQLite's write-ahead log has of its frames, begun with the page's number so that a
 * page in the wrong place does not fit either. */
static void sum_page(const unsigned char *page, sqlite3_int64 offset,
                     unsigned char ret_sum[PAGES_RESERVED])
{
    uint32_t first = (uint32_t)(offset / PAGES_SIZE) + 1;
    uint32_t second = 0;
    for (size_t i = 0; i < PAGES_SIZE - PAGES_RESERVED; i += 8) {
        uint32_t words[2];
        memcpy(words, page + i, sizeof(words));
        first += le32toh(words[0]) + second;
        second += le32toh(words[1]) + first;
    }
    uint32_t sums[2] = {htole32(first), htole32(second)};
    memcpy(ret_sum, sums, sizeof(sums));
}

/* A page that SQLite freed before it was ever written is a hole in the file. It reads none of them
 * as anything but damaged. */
static bool is_hole(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGES_SIZE - 1) == 0;
}

static int read_page(sqlite3_file *file, void *buffer, int amount, sqlite3_int64 offset)
{
    int rc = checked_file(file)->real->xRead(file, buffer, amount, offset);
    /* What is smaller is the head of the file, which SQLite looks at before it reads page 1. What a
     * file that was cut off lacks is zero in the buffer. */
    if ((rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) || amount < 512)
        return rc;
    if (amount != PAGES_SIZE || offset % PAGES_SIZE != 0)
        return SQLITE_IOERR_DATA;
    unsigned char sum[PAGES_RESERVED];
    sum_page(buffer, offset, sum);
    const unsigned char *page = buffer;
    if (memcmp(page + PAGES_SIZE - PAGES_RESERVED, sum, sizeof(sum)) != 0 && !is_hole(page))
        return SQLITE_IOERR_DATA;
    return rc;
}

static int write_page(sqlite3_file *file, const void *content, int amount, sqlite3_int64 offset)
{
    const struct sqlite3_io_methods *real = checked_file(file)->real;
    if (amount != PAGES_SIZE || offset % PAGES_SIZE != 0)
        return real->xWrite(file, content, amount, offset);
    unsigned char page[PAGES_SIZE];
    memcpy(page, content, PAGES_SIZE);
    sum_page(page, offset, page + PAGES_SIZE - PAGES_RESERVED);
    return real->xWrite(file, page, amount, offset);
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    int rc = real->xOpen(real, name, file, flags, ret_flags);
    if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
        return rc;
    struct checked_file *checked = checked_file(file);
    checked->real = file->pMethods;
    checked->methods = *file->pMethods;
    /* Version 3 is version 2 and reading through mapped memory, which would pass us by. */
    assert(checked->methods.iVersion >= 2);
    checked->methods.iVersion = 2;
    checked->methods.xRead = read_page;
    checked->methods.xWrite = write_page;
    file->pMethods = &checked->methods;
    return SQLITE_OK;
}

static void register_layer(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    assert(real);
    real_file_size = (real->szOsFile + 15) / 16 * 16;
    layer = *real;
    layer.zName = "parley-pages";
    layer.pNext = NULL;
    layer.pAppData = real;
    layer.szOsFile = real_file_size + (int)sizeof(struct checked_file);
    layer.xOpen = open_file;
    sqlite3_vfs_register(&layer, 0);
}

const char *pages_file_layer(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_layer);
    return layer.zName;
}
