/* The next number and the next subnet that no resource of a type has. */
#include "pattern/run.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 address_bits;

/* A block of addresses: base is a multiple of its size. */
struct block {
    int family;
    address_bits base;
    address_bits size;
};
struct blocks {
    struct block *items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* --- Numbers --- */

static bool is_taken(struct scene *scene, const struct actor_list *list, const char *property,
                     int64_t number)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (value_get_integer(scene_spec(scene, list->items[i]), property, -1) == number)
            return true;
    return false;
}

/* One more than the highest, else the lowest that is free. */
static struct value *vacant_number(struct scene *scene, const struct actor_list *list,
                                   const struct schema *schema, const char *property)
{
    int64_t minimum = schema->has_minimum ? (int64_t)schema->minimum : 0;
    int64_t maximum = schema->has_maximum ? (int64_t)schema->maximum : INT32_MAX;
    int64_t highest = minimum - 1;
    for (size_t i = 0; i < list->n_items; i++) {
        int64_t number = value_get_integer(scene_spec(scene, list->items[i]), property, highest);
        highest = number > highest ? number : highest;
    }
    if (highest < maximum)
        return value_integer(highest + 1);
    for (int64_t number = minimum; number <= maximum; number++)
        if (!is_taken(scene, list, property, number))
            return value_integer(number);
    return NULL;
}

/* --- Subnets --- */

static unsigned int family_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

static bool read_block(const char *cidr, struct block *ret_block)
{
    unsigned char bytes[16] = {0};
    struct block block = {0};
    const char *slash = strchr(cidr, '/');
    int64_t prefix;
    if (!slash || !text_to_integer(slash + 1, &prefix))
        return false;
    CLEANUP(mem_freep) char *address = string_copy_n(cidr, (size_t)(slash - cidr));
    block.family = strchr(address, ':') ? AF_INET6 : AF_INET;
    unsigned int bits = family_bits(block.family);
    if (inet_pton(block.family, address, bytes) != 1 || prefix < 1 || prefix > bits)
        return false;
    for (unsigned int i = 0; i < bits / 8; i++)
        block.base = block.base << 8 | bytes[i];
    block.size = (address_bits)1 << (bits - (unsigned int)prefix);
    *ret_block = block;
    return true;
}

static struct value *block_value(struct block block)
{
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];
    unsigned int bits = family_bits(block.family);
    unsigned int prefix = bits;
    for (unsigned int i = bits / 8; i-- > 0; block.base >>= 8)
        bytes[i] = (unsigned char)(block.base & 0xff);
    for (address_bits size = block.size; size > 1; size >>= 1)
        prefix--;
    inet_ntop(block.family, bytes, text, sizeof(text));
    CLEANUP(mem_freep) char *cidr = string_format("%s/%u", text, prefix);
    return value_string(cidr);
}

static int compare_blocks(const void *a, const void *b)
{
    const struct block *left = a, *right = b;
    return left->base < right->base ? -1 : left->base > right->base;
}

/* The blocks of the family that the last one has, sorted. */
static void find_blocks(struct scene *scene, const struct actor_list *list, const char *property,
                        struct blocks *blocks)
{
    int family = 0;
    for (size_t i = list->n_items; i-- > 0;) {
        struct block block;
        const char *cidr = value_get_text(scene_spec(scene, list->items[i]), property);
        if (!cidr || !read_block(cidr, &block) || (family && block.family != family))
            continue;
        family = block.family;
        ARRAY_RESERVE(blocks->items, blocks->n_items, blocks->capacity);
        blocks->items[blocks->n_items++] = block;
    }
    if (blocks->n_items > 0)
        qsort(blocks->items, blocks->n_items, sizeof(struct block), compare_blocks);
}

/* The block of private addresses (RFC 1918, RFC 4193) around one; false when it is public. */
static bool find_home(struct block block, struct block *ret_home)
{
    static const char *const homes[] = {"172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8",
                                        "fc00::/7"};
    bool is_home = false;
    /* The last one of its family is where a public one looks when it has no neighbour left. */
    for (size_t i = 0; !is_home && i < ARRAY_LENGTH(homes); i++) {
        struct block home;
        if (!read_block(homes[i], &home) || home.family != block.family)
            continue;
        is_home = block.base >= home.base && block.base - home.base < home.size;
        *ret_home = home;
    }
    return is_home;
}

static bool is_within(struct block block, struct block home)
{
    return block.base >= home.base && block.base - home.base <= home.size - block.size;
}

static bool is_vacant(const struct blocks *blocks, struct block block)
{
    for (size_t i = 0; i < blocks->n_items; i++) {
        const struct block *other = &blocks->items[i];
        if (block.base < other->base + other->size && other->base < block.base + block.size)
            return false;
    }
    return true;
}

/* The first block of a size that is free in a larger one. */
static struct value *first_vacant(const struct blocks *blocks, address_bits size, struct block home)
{
    enum { MAX_TRIES = 65536 };
    struct block block = {.family = home.family, .base = home.base, .size = size};
    for (size_t i = 0; i < MAX_TRIES && is_within(block, home); i++) {
        if (is_vacant(blocks, block))
            return block_value(block);
        block.base += size;
    }
    return NULL;
}

/*
 * Goes on as the document does: a block of the last one's size, as far behind it as neighbours are
 * apart; else the first that is free.
 */
static struct value *vacant_block(struct scene *scene, const struct actor_list *list,
                                  const char *property)
{
    struct blocks blocks = {0};
    struct value *found = NULL;
    find_blocks(scene, list, property, &blocks);
    if (blocks.n_items > 0) {
        struct block last = blocks.items[blocks.n_items - 1];
        struct block next = last;
        struct block home = {0};
        address_bits stride = 0;
        for (size_t i = 1; i < blocks.n_items; i++) {
            address_bits gap = blocks.items[i].base - blocks.items[i - 1].base;
            stride = gap > 0 && (stride == 0 || gap < stride) ? gap : stride;
        }
        next.base += stride > next.size ? stride : next.size;
        next.base -= next.base % next.size;
        bool has_home = find_home(last, &home);
        bool is_next = next.base > last.base && is_vacant(&blocks, next) &&
                       (!has_home || is_within(next, home));
        found = is_next ? block_value(next) : first_vacant(&blocks, last.size, home);
    }
    mem_free(blocks.items);
    return found;
}

struct value *vacant_find(struct scene *scene, const char *type, const char *property)
{
    const struct resource_type *known = catalog_find(scene->catalog, type);
    const struct schema *schema = known ? schema_field(&known->schema, property) : NULL;
    const struct actor_list *list = scene_list(scene, type);
    if (schema && schema->kind == SCHEMA_INTEGER)
        return vacant_number(scene, list, schema, property);
    if (schema && schema->kind == SCHEMA_CIDR)
        return vacant_block(scene, list, property);
    return NULL;
}
