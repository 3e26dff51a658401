#include "store/sqlite/pages.h"

#include "store/sqlite/sums.h"

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

enum { N_SUMMED = (PAGES_SIZE - PAGES_RESERVED) / 4 };

/* The largest prime below 2^32: each word then moves the sums by another amount, and so does each
 * byte of it, which tells a wrong one from all others. */
static const uint64_t modulus = 4294967291;

static uint64_t word_at(const unsigned char *page, size_t index)
{
    uint32_t word;
    memcpy(&word, page + index * 4, sizeof(word));
    return le32toh(word);
}

/*
 * Fletcher's two sums over the words of a page, begun with its number so that a page in the wrong
 * place does not fit either: the second weighs each word with its place. 64 bits hold them. Every
 * fourth word has sums of its own, which a processor adds side by side.
 */
static struct sums sum_page(const unsigned char *page, int64_t offset)
{
    enum { LANES = 4, N_ROWS = N_SUMMED / LANES, N_BEFORE = N_ROWS * LANES };
    uint64_t firsts[LANES] = {0};
    uint64_t seconds[LANES] = {0};
    for (size_t row = 0; row < N_ROWS; row++) {
        for (size_t lane = 0; lane < LANES; lane++) {
            firsts[lane] += word_at(page, row * LANES + lane);
            seconds[lane] += firsts[lane];
        }
    }
    uint64_t first = (uint64_t)(offset / PAGES_SIZE) + 1;
    uint64_t second = N_BEFORE * first;
    for (size_t lane = 0; lane < LANES; lane++) {
        first += firsts[lane];
        second += LANES * seconds[lane] - lane * firsts[lane];
    }
    for (size_t i = N_BEFORE; i < N_SUMMED; i++) {
        first += word_at(page, i);
        second += first;
    }
    return (struct sums){(uint32_t)(first % modulus), (uint32_t)(second % modulus)};
}

/* As stores of before version 0.1 have them. */
static struct sums sum_page_as_log(const unsigned char *page, int64_t offset)
{
    struct sums sums = {(uint32_t)(offset / PAGES_SIZE) + 1, 0};
    sums_add(&sums, false, page, PAGES_SIZE - PAGES_RESERVED);
    return sums;
}

static void write_sums(struct sums sums, unsigned char ret_bytes[PAGES_RESERVED])
{
    uint32_t words[2] = {htole32(sums.first), htole32(sums.second)};
    memcpy(ret_bytes, words, sizeof(words));
}

static struct sums stored_sums(const unsigned char *page)
{
    return (struct sums){(uint32_t)word_at(page, N_SUMMED), (uint32_t)word_at(page, N_SUMMED + 1)};
}

static bool sums_equal(struct sums a, struct sums b)
{
    return a.first == b.first && a.second == b.second;
}

/* A page that SQLite freed before it was ever written is a hole in the file. It reads none of them
 * as anything but damaged. */
static bool is_hole(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGES_SIZE - 1) == 0;
}

bool pages_is_whole(const unsigned char page[PAGES_SIZE], int64_t offset)
{
    struct sums stored = stored_sums(page);
    return sums_equal(stored, sum_page(page, offset)) || is_hole(page) ||
           sums_equal(stored, sum_page_as_log(page, offset));
}

/* The one byte of the sums themselves that differs from want; 0 or more than one: false. */
static bool mend_sums(unsigned char *page, struct sums want)
{
    unsigned char bytes[PAGES_RESERVED];
    unsigned char *stored = page + PAGES_SIZE - PAGES_RESERVED;
    size_t n_differing = 0;
    write_sums(want, bytes);
    for (size_t i = 0; i < PAGES_RESERVED; i++)
        n_differing += stored[i] != bytes[i];
    if (n_differing == 1)
        memcpy(stored, bytes, sizeof(bytes));
    return n_differing == 1;
}

/* Sets the one byte of a word whose change moves the first sum by missing. */
static bool mend_word(unsigned char *page, size_t index, uint64_t missing)
{
    for (size_t i = index * 4; i < index * 4 + 4; i++) {
        unsigned char now = page[i];
        uint64_t weight = UINT64_C(1) << (8 * (i % 4));
        for (unsigned int was = 0; was < 256; was++) {
            uint64_t difference = (was + modulus - now) % modulus * weight % modulus;
            if (was == now || difference != missing)
                continue;
            page[i] = (unsigned char)was;
            return true;
        }
    }
    return false;
}

bool pages_mend(unsigned char page[PAGES_SIZE], int64_t offset)
{
    struct sums now = sum_page(page, offset);
    struct sums want = stored_sums(page);
    if (mend_sums(page, now))
        return true;
    uint64_t missing = (want.first + modulus - now.first) % modulus;
    uint64_t weighed = (want.second + modulus - now.second) % modulus;
    /* What is missing of the second sum is as often what is missing of the first as the word is
     * far from the end: at most one place fits. */
    for (size_t i = 0; missing != 0 && i < N_SUMMED; i++)
        if (missing * (N_SUMMED - i) % modulus == weighed)
            return mend_word(page, i, missing);
    return false;
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
    return pages_is_whole(buffer, offset) ? rc : SQLITE_IOERR_DATA;
}

static int write_page(sqlite3_file *file, const void *content, int amount, sqlite3_int64 offset)
{
    const struct sqlite3_io_methods *real = checked_file(file)->real;
    if (amount != PAGES_SIZE || offset % PAGES_SIZE != 0)
        return real->xWrite(file, content, amount, offset);
    unsigned char page[PAGES_SIZE];
    memcpy(page, content, PAGES_SIZE);
    write_sums(sum_page(page, offset), page + PAGES_SIZE - PAGES_RESERVED);
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
