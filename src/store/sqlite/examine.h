/* All that a database says of itself, page by page and row by row. */
#pragma once

#include "store/sqlite/files.h"

/* Zero-initialise it. */
struct examination {
    struct value_builder faults; /* texts */
    struct value_builder rows;   /* table -> how many could be read */
    char id[UUID_TEXT_SIZE];     /* "" when it cannot be read */
};
void examination_done(struct examination *examination);
/* Adds a fault, consuming the text. */
void examination_add(struct examination *examination, char *take_text);

/* Looks at the pages of a database file, without SQLite. Others may be writing. */
int examine_pages(const char *path, struct examination *examination, struct error *err);
/*
 * Looks at structure and rows. Damage is told in the examination and no failure; ERROR_UNSUPPORTED
 * when the program that wrote it is newer.
 */
int examine_content(const struct store_files *files, struct connection *connection,
                    struct examination *examination, struct error *err);

/* The tables of the newest version, in an order in which rows come after what they refer to. */
extern const char *const examined_tables[];
extern const size_t n_examined_tables;
