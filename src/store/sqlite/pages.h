/*
 * SQLite's file layer with a checksum at the end of each page of the database file: what SQLite
 * itself does not notice, a flipped bit in a text, is then an error of the read.
 */
#pragma once

enum {
    PAGES_SIZE = 4096, /* bytes of a page: the whole file is made of such */
    PAGES_RESERVED = 8 /* at the end of each: SQLite leaves them alone */
};

/* The name for sqlite3_open_v2(). Any thread; the first call registers it. */
const char *pages_file_layer(void);
