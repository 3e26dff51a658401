/*
 * SQLite's file layer with a checksum at the end of each page of the database file: what SQLite
 * itself does not notice, a flipped bit in a text, is then an error of the read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PAGES_SIZE = 4096, /* bytes of a page: the whole file is made of such */
    PAGES_RESERVED = 8 /* at the end of each: SQLite leaves them alone */
};

/* The name for sqlite3_open_v2(). Any thread; the first call registers it. */
const char *pages_file_layer(void);

/* Whether a page that stands at offset of the file has its checksum, or was never written. */
bool pages_is_whole(const unsigned char page[PAGES_SIZE], int64_t offset);
/* Puts a page right in which one byte is wrong; false, and the page is as it was, when more are. */
bool pages_mend(unsigned char page[PAGES_SIZE], int64_t offset);
