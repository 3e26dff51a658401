/* Catalog files: YAML into resource types. docs/catalog.md describes every key. */
#pragma once

#include "base/map.h"
#include "catalog/catalog.h"
#include "model/yaml.h"

/* What all files together declare; pass one fills names, pass two uses them. */
struct catalog_reader {
    const struct yaml_tree *tree;    /* the file that is read now; borrowed */
    struct diagnostics *diagnostics; /* borrowed */
    struct map names;                /* name or alias -> canonical name; values live in the trees */
};

/* Takes note of the names and aliases in the reader's tree; one that is there already is a fault.
 */
void read_type_names(struct catalog_reader *reader);

/*
 * Calls found() with each type of the reader's tree, which it then owns; a type with a fault is
 * given as far as it was understood.
 */
void read_types(struct catalog_reader *reader,
                void (*found)(void *argument, struct resource_type *take_type), void *argument);

void type_free(struct resource_type *type); /* accepts NULL */
