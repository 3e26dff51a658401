/* Reading single keys of a catalog file. What is of the wrong kind is told, and nothing is set. */
#pragma once

#include "catalog/read.h"

#include <stdbool.h>
#include <stddef.h>

struct position reader_position(const struct catalog_reader *reader, const struct yaml_node *node);
/* Tells that a key's value is not what is wanted: "a text". */
void reader_tell_kind(struct catalog_reader *reader, const struct yaml_pair *pair,
                      const char *wanted);
void reader_tell_unknown_key(struct catalog_reader *reader, const struct yaml_pair *pair,
                             const char *const *keys, size_t n_keys);
/* Whether the value is a map, and tells when it is none. */
bool reader_check_map(struct catalog_reader *reader, const struct yaml_pair *pair);

/* What is set replaces what was there, which is freed. */
void reader_text(struct catalog_reader *reader, const struct yaml_pair *pair, char **ret_text);
void reader_bool(struct catalog_reader *reader, const struct yaml_pair *pair, bool *ret_bool);
/* Whether it is a number. */
bool reader_number(struct catalog_reader *reader, const struct yaml_pair *pair, double *ret_number);
/* One of a few words. */
void reader_word(struct catalog_reader *reader, const struct yaml_pair *pair,
                 const char *const *words, size_t n_words, char **ret_text);
/* A list of texts, of which a single text is one, too. */
void reader_texts(struct catalog_reader *reader, const struct yaml_pair *pair,
                  struct value **ret_list);
/* A map from texts to texts, numbers or truth values. */
void reader_spellings(struct catalog_reader *reader, const struct yaml_pair *pair,
                      struct value **ret_map);

/* The index of a word, n_words when it is not among them. */
size_t reader_find_word(const char *word, const char *const *words, size_t n_words);

/* Reads the properties of a type, or the fields of an object, into an empty schema. */
void reader_fields(struct catalog_reader *reader, const struct yaml_pair *pair,
                   struct schema *schema);
