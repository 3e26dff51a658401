/* What the twin gives its things once and then keeps: addresses, and names unique on it. */
#include "twin/assign.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

enum { LABEL_LENGTH = 40 };

/* Names that the twin gives itself. */
static const char *const reserved[] = {MACHINE_OUTSIDE, "router"};

static void take(struct map *taken, const char *text)
{
    map_put(taken, text, (void *)reserved);
}

static void take_old(struct map *taken, const struct value *old)
{
    for (size_t i = 0; old && i < value_count(old); i++) {
        if (value_kind(value_at(old, i)) == VALUE_STRING)
            take(taken, value_text(value_at(old, i)));
    }
}

void assignments_init(struct assignments *assignments, const struct value *old)
{
    *assignments = (struct assignments){.old = old};
    for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++)
        take(&assignments->taken_labels, reserved[i]);
    take_old(&assignments->taken_labels, value_get(old, "labels"));
    take_old(&assignments->taken_addresses, value_get(old, "addresses"));
}

static void free_values(struct map *map)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(map, &cursor));)
        mem_free(entry->value);
    map_done(map);
}

void assignments_done(struct assignments *assignments)
{
    free_values(&assignments->labels);
    free_values(&assignments->addresses);
    map_done(&assignments->taken_labels);
    map_done(&assignments->taken_addresses);
}

static struct value *to_value(const struct map *map)
{
    struct value_builder builder = {0};
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(map, &cursor));)
        value_builder_set_string(&builder, entry->key, entry->value);
    return value_builder_map(&builder);
}

struct value *assignments_finish(const struct assignments *assignments)
{
    struct value_builder builder = {0};
    value_builder_set(&builder, "addresses", to_value(&assignments->addresses));
    value_builder_set(&builder, "labels", to_value(&assignments->labels));
    return value_builder_map(&builder);
}

/* Resource names may have keys: web["a"] becomes web-a. */
static char *clean_label(const char *name)
{
    struct strbuf label = {0};
    for (const char *c = name; *c && label.length < LABEL_LENGTH; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x80 && isalnum(byte))
            strbuf_add_char(&label, (char)tolower(byte));
        else if (label.length > 0 && label.text[label.length - 1] != '-')
            strbuf_add_char(&label, '-');
    }
    while (label.length > 0 && label.text[label.length - 1] == '-')
        label.text[--label.length] = '\0';
    if (label.length == 0 || isdigit((unsigned char)label.text[0])) {
        char *prefixed = string_format("x%s", strbuf_text(&label));
        strbuf_done(&label);
        return prefixed;
    }
    return strbuf_take(&label);
}

const char *assign_label(struct assignments *assignments, const char *key, const char *name)
{
    const char *given = map_get(&assignments->labels, key);
    if (given)
        return given;
    const char *old = value_get_text(value_get(assignments->old, "labels"), key);
    if (old) {
        char *kept = string_copy(old);
        map_put(&assignments->labels, key, kept);
        return kept;
    }
    CLEANUP(mem_freep) char *label = clean_label(name);
    char *unique = string_copy(label);
    for (unsigned int i = 2; map_has(&assignments->taken_labels, unique); i++) {
        mem_free(unique);
        unique = string_format("%s--%u", label, i);
    }
    take(&assignments->taken_labels, unique);
    map_put(&assignments->labels, key, unique);
    return unique;
}

const char *assign_shared_label(struct assignments *assignments, const char *key, const char *label)
{
    const char *old = value_get_text(value_get(assignments->old, "labels"), key);
    char *kept = string_copy(old ? old : label);
    mem_free(map_put(&assignments->labels, key, kept));
    return kept;
}

static bool is_usable(struct machine_subnet subnet, uint32_t ip)
{
    uint32_t mask = machine_prefix_mask(subnet.prefix);
    return (ip & mask) == subnet.base && ip > subnet.base + 1 && ip < (subnet.base | ~mask);
}

static bool find_free(const struct assignments *assignments, struct machine_subnet subnet,
                      uint32_t first, uint32_t end, uint32_t *ret_ip)
{
    char text[MACHINE_ADDRESS_SIZE];
    for (uint32_t ip = first; ip < end && is_usable(subnet, ip); ip++) {
        machine_address_to_text(ip, text);
        if (map_has(&assignments->taken_addresses, text))
            continue;
        *ret_ip = ip;
        return true;
    }
    return false;
}

static void keep_address(struct assignments *assignments, const char *key, uint32_t ip)
{
    char text[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, text);
    take(&assignments->taken_addresses, text);
    mem_free(map_put(&assignments->addresses, key, string_copy(text)));
}

bool assign_address(struct assignments *assignments, const char *key, struct machine_subnet subnet,
                    uint32_t offset, uint32_t *ret_ip)
{
    const char *old = value_get_text(value_get(assignments->old, "addresses"), key);
    uint32_t ip = 0;
    bool is_found = old && machine_address_from_text(old, &ip) && is_usable(subnet, ip);
    if (!is_found)
        is_found = find_free(assignments, subnet, subnet.base + offset, UINT32_MAX, &ip) ||
                   find_free(assignments, subnet, subnet.base + 2, subnet.base + offset, &ip);
    if (!is_found)
        return false;
    keep_address(assignments, key, ip);
    *ret_ip = ip;
    return true;
}

void assign_reserved(struct assignments *assignments, const char *key, uint32_t ip)
{
    keep_address(assignments, key, ip);
}

void assign_reserve(struct assignments *assignments, uint32_t ip)
{
    char text[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, text);
    take(&assignments->taken_addresses, text);
}

const char *assign_find_holder(const struct assignments *assignments, uint32_t ip)
{
    const struct value *old = value_get(assignments->old, "addresses");
    char text[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, text);
    for (size_t i = 0; !value_is_null(old) && i < value_count(old); i++)
        if (value_kind(value_at(old, i)) == VALUE_STRING &&
            text_equal(value_text(value_at(old, i)), text))
            return value_key_at(old, i);
    return NULL;
}

bool assign_find_old(const struct assignments *assignments, const char *key, uint32_t *ret_ip)
{
    const char *old = value_get_text(value_get(assignments->old, "addresses"), key);
    return old && machine_address_from_text(old, ret_ip);
}
