#include "catalog/catalog.h"

#include "base/digest.h"
#include "base/embedded.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "catalog/read.h"
#include "model/yaml.h"

#include <stdlib.h>
#include <string.h>

/* Of one file beside the site. */
enum { MAX_FILE = 4 << 20 };

extern const struct embedded_file catalog_files[];

struct catalog {
    struct resource_type **types; /* owned, sorted by name */
    size_t n_types;
    size_t capacity;
    struct map by_name; /* names and aliases */
    char digest[DIGEST_HEX_SIZE];
};

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->n_types; i++)
        type_free(catalog->types[i]);
    mem_free(catalog->types);
    map_done(&catalog->by_name);
    mem_free(catalog);
}

/* The files while they are read. */
struct loading {
    struct yaml_tree **trees; /* owned */
    size_t n_trees;
    size_t capacity;
    struct strbuf digested; /* the digests of all files in a row */
    struct catalog_reader reader;
    const char *folder;
};

static void loading_done(struct loading *loading)
{
    for (size_t i = 0; i < loading->n_trees; i++)
        yaml_tree_free(loading->trees[i]);
    mem_free(loading->trees);
    strbuf_done(&loading->digested);
    map_done(&loading->reader.names);
}

static void load_text(struct loading *loading, const char *name, const char *text, size_t size)
{
    char digest[DIGEST_HEX_SIZE];
    digest_hex(text, size, digest);
    strbuf_add(&loading->digested, digest);
    struct yaml_tree *tree = NULL;
    yaml_read(name, text, size, &yaml_default_limits, &tree, loading->reader.diagnostics);
    if (!tree)
        return;
    ARRAY_RESERVE(loading->trees, loading->n_trees, loading->capacity);
    loading->trees[loading->n_trees++] = tree;
    loading->reader.tree = tree;
    read_type_names(&loading->reader);
}

static int load_file(void *argument, const char *name, struct error *err)
{
    struct loading *loading = argument;
    if (!text_ends_with(name, ".yaml") || name[0] == '.')
        return 0;
    CLEANUP(mem_freep) char *path = string_format("%s/%s", loading->folder, name);
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, MAX_FILE, &text, &size, err);
    if (r < 0)
        return error_wrap(err, r, "read the catalog");
    load_text(loading, path, text, size);
    return 0;
}

/* Reads all files and takes note of the names in them. */
static int load_all(struct loading *loading, struct error *err)
{
    for (const struct embedded_file *file = catalog_files; file->name; file++) {
        CLEANUP(mem_freep) char *name = string_format("built-in catalog/%s", file->name);
        load_text(loading, name, file->content, file->size);
    }
    struct error failure = {0};
    int r = loading->folder ? world_list_folder(loading->folder, load_file, loading, &failure) : 0;
    if (r == -ERROR_NOT_FOUND && !world_file_exists(loading->folder)) {
        error_done(&failure);
        return 0;
    }
    return r < 0 ? error_move(err, &failure) : 0;
}

static void add_type(void *argument, struct resource_type *take_type)
{
    struct catalog *catalog = argument;
    ARRAY_RESERVE(catalog->types, catalog->n_types, catalog->capacity);
    catalog->types[catalog->n_types++] = take_type;
}

static int compare_types(const void *a, const void *b)
{
    return strcmp((*(struct resource_type *const *)a)->name,
                  (*(struct resource_type *const *)b)->name);
}

static void index_types(struct catalog *catalog)
{
    qsort(catalog->types, catalog->n_types, sizeof(struct resource_type *), compare_types);
    for (size_t i = 0; i < catalog->n_types; i++) {
        struct resource_type *type = catalog->types[i];
        map_put(&catalog->by_name, type->name, type);
        for (size_t k = 0; type->aliases && k < value_count(type->aliases); k++)
            map_put(&catalog->by_name, value_text(value_at(type->aliases, k)), type);
    }
}

int catalog_open(const char *folder, struct catalog **ret_catalog, struct diagnostics *diagnostics,
                 struct error *err)
{
    size_t n_errors = diagnostics->n_errors;
    CLEANUP(loading_done)
    struct loading loading = {.folder = folder, .reader = {.diagnostics = diagnostics}};
    int r = load_all(&loading, err);
    if (r < 0)
        return r;
    CLEANUP(catalog_freep) struct catalog *catalog = NEW(struct catalog);
    for (size_t i = 0; i < loading.n_trees; i++) {
        loading.reader.tree = loading.trees[i];
        read_types(&loading.reader, add_type, catalog);
    }
    if (diagnostics->n_errors > n_errors)
        return 0;
    index_types(catalog);
    digest_hex(strbuf_text(&loading.digested), loading.digested.length, catalog->digest);
    *ret_catalog = take_ptr(catalog);
    return 0;
}

const char *catalog_digest(const struct catalog *catalog)
{
    return catalog->digest;
}

const struct resource_type *catalog_find(const struct catalog *catalog, const char *name)
{
    return map_get(&catalog->by_name, name);
}

const char *catalog_nearest(const struct catalog *catalog, const char *name)
{
    const char **names = NEW_ARRAY(const char *, catalog->by_name.n_live + 1);
    size_t n = 0;
    size_t cursor = 0;
    for (struct map_entry *entry = map_next(&catalog->by_name, &cursor); entry;
         entry = map_next(&catalog->by_name, &cursor))
        names[n++] = entry->key;
    const char *nearest = text_nearest(name, names, n);
    mem_free(names);
    return nearest;
}

size_t catalog_count(const struct catalog *catalog)
{
    return catalog->n_types;
}

const struct resource_type *catalog_at(const struct catalog *catalog, size_t index)
{
    return catalog->types[index];
}

const struct type_output *type_find_output(const struct resource_type *type, const char *name)
{
    for (size_t i = 0; i < type->n_outputs; i++)
        if (text_equal(type->outputs[i].name, name))
            return &type->outputs[i];
    return NULL;
}

const struct type_driver *type_find_driver(const struct resource_type *type, const char *driver)
{
    for (size_t i = 0; i < type->n_drivers; i++)
        if (text_equal(type->drivers[i].driver, driver))
            return &type->drivers[i];
    return NULL;
}
