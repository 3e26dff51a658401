/* Aliases: lists of addresses, of ports, of what files and other aliases hold. */
#include "twin/desiring.h"

#include "base/text.h"
#include "twin/tables.h"

#include <stdlib.h>
#include <string.h>

#define ALIAS "opnsense:firewall:alias"
/* Of Debian's package tor-geoipdb: lines "FIRST,LAST,DE" with numbers. */
#define COUNTRIES "/usr/share/tor/geoip"
#define FILE_SCHEME "file://"
#define DAY_US (INT64_C(86400) * 1000000)

static void add_subnet(struct desiring *desiring, struct machine_set *set,
                       struct machine_subnet subnet)
{
    MACHINE_ADD(desiring->machine, set->subnets, set->n_subnets, subnet);
}

/* The fewest subnets that are all of a range. */
static void add_range(struct desiring *desiring, struct machine_set *set, uint32_t first,
                      uint32_t last)
{
    for (uint64_t at = first; at <= last;) {
        unsigned int prefix = 32;
        while (prefix > 1) {
            uint64_t size = UINT64_C(1) << (32 - (prefix - 1));
            if (at % size != 0 || at + size - 1 > last)
                break;
            prefix--;
        }
        add_subnet(desiring, set, (struct machine_subnet){(uint32_t)at, prefix});
        at += UINT64_C(1) << (32 - prefix);
    }
}

/* --- What a document lists --- */

static int read_content(struct desiring *desiring, struct machine_set *set, size_t *n_names)
{
    const struct value *item;
    for (size_t i = 0; (item = spec_item(desiring, "content", i)); i++) {
        struct machine_subnet subnet;
        if (spec_is_name(item)) {
            (*n_names)++;
            continue;
        }
        if (value_kind(item) != VALUE_STRING ||
            !machine_subnet_from_text(value_text(item), &subnet))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "content[%zu] is not an IPv4 address or network", i);
        if (subnet.prefix == 0)
            return desiring_fault(desiring, ERROR_INVALID, "content[%zu] is every address", i);
        add_subnet(desiring, set, subnet);
    }
    return 0;
}

/* --- What files hold --- */

/* The file of an alias, or NULL. */
static const char *file_of(const struct value *spec)
{
    const char *kind = value_get_text(spec, "kind"), *url = value_get_text(spec, "url");
    const char *database = value_get_text(spec, "database");
    if (text_equal_or_null(kind, "geoip"))
        return database ? database : COUNTRIES;
    if (!text_equal_or_null(kind, "urltable") || !url || !text_starts_with(url, FILE_SCHEME))
        return NULL;
    return url + strlen(FILE_SCHEME);
}

/* A canonical duration such as 90s or 1d; a day when there is none. */
static int64_t period_of(const struct value *spec)
{
    int64_t period = desired_duration(value_get_text(spec, "refresh"), DAY_US);
    return period < 1000000 ? 1000000 : period;
}

void desired_list_files(const struct manifest *manifest,
                        void (*found)(void *argument, const char *path, int64_t period_us),
                        void *argument)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));) {
        const struct value *resource = entry->value;
        bool is_alias = text_equal(resource_type(resource), ALIAS);
        const char *path = is_alias ? file_of(resource_spec(resource)) : NULL;
        if (path && path[0] == '/')
            found(argument, path, period_of(resource_spec(resource)));
    }
}

static int find_table(struct desiring *desiring, const struct table **ret_table)
{
    const struct value *spec = desiring_spec(desiring);
    const char *path = file_of(spec);
    if (!path)
        return desiring_fault(desiring, ERROR_UNSUPPORTED,
                              "the twin fetches nothing from outside: url must be that of a file "
                              "on this machine, such as file:///etc/blocked.txt");
    const struct table *table = tables_find(desiring->means->tables, path);
    if (path[0] != '/')
        return desiring_fault(desiring, ERROR_INVALID, "%s is not an absolute path", path);
    if (!table || !table->is_known)
        return desiring_fault(desiring, ERROR_INVALID, "%s cannot be read%s%s", path,
                              table ? ": " : "", table ? error_message(&table->problem) : "");
    *ret_table = table;
    return 0;
}

static int read_url_table(struct desiring *desiring, struct machine_set *set)
{
    const struct table *table = NULL;
    int r = find_table(desiring, &table);
    if (r < 0 || !table)
        return r;
    for (size_t i = 0; i < table->n_ranges; i++)
        add_range(desiring, set, table->ranges[i].first, table->ranges[i].last);
    return 0;
}

/* How often each pair of capital letters is asked for. */
struct countries {
    bool is_wanted[26 * 26];
};

static size_t country_index(const char country[2])
{
    return (size_t)(country[0] - 'A') * 26 + (size_t)(country[1] - 'A');
}

static bool is_country(const char *country)
{
    return country[0] >= 'A' && country[0] <= 'Z' && country[1] >= 'A' && country[1] <= 'Z';
}

static int read_countries(struct desiring *desiring, struct machine_set *set)
{
    struct countries countries = {0};
    const struct table *table = NULL;
    const struct value *item;
    for (size_t i = 0; (item = spec_item(desiring, "countries", i)); i++) {
        const char *text = value_kind(item) == VALUE_STRING ? value_text(item) : "";
        if (strlen(text) != 2 || !is_country(text))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "countries[%zu] is no country such as DE", i);
        countries.is_wanted[country_index(text)] = true;
    }
    int r = find_table(desiring, &table);
    if (r < 0 || !table)
        return r;
    for (size_t i = 0; i < table->n_ranges; i++) {
        const struct table_range *range = &table->ranges[i];
        if (is_country(range->country) && countries.is_wanted[country_index(range->country)])
            add_range(desiring, set, range->first, range->last);
    }
    return 0;
}

/* --- What other aliases hold --- */

static int include_alias(struct desiring *desiring, const char *field, struct machine_set *set,
                         const struct machine_set *included)
{
    if (included->is_open)
        return desiring_fault(desiring, ERROR_INVALID, "it holds itself through %s",
                              included->name);
    if (included->has_ports != set->has_ports)
        return desiring_fault(desiring, ERROR_INVALID, "%s refers to %s, which holds %s", field,
                              included->name, included->has_ports ? "ports" : "addresses");
    for (size_t i = 0; i < included->n_subnets; i++)
        add_subnet(desiring, set, included->subnets[i]);
    for (size_t i = 0; i < included->ports.n_items; i++)
        MACHINE_ADD(desiring->machine, set->ports.items, set->ports.n_items,
                    included->ports.items[i]);
    return 0;
}

/* Reads an alias that another one refers to before its turn. */
static void read_before(struct desiring *desiring, const char *uid)
{
    const struct value *target = uid ? manifest_find(desiring->manifest, uid) : NULL;
    const struct value *current = desiring->resource;
    if (!target || !text_equal(resource_type(target), ALIAS) || map_has(&desiring->built, uid))
        return;
    desiring->resource = target;
    desire_alias(desiring);
    desiring->resource = current;
}

static int include_aliases(struct desiring *desiring, const char *field, size_t n_names,
                           struct machine_set *set)
{
    for (size_t i = 0;; i++) {
        void *included = NULL;
        read_before(desiring, spec_reference_uid(desiring, field, i));
        int r = spec_reference_at(desiring, field, i, ALIAS, &included);
        if (r == 0 && !included)
            return i < n_names ? desiring_fault(desiring, ERROR_INVALID,
                                                "%s names something that is no alias", field)
                               : 0;
        if (r == 0)
            r = include_alias(desiring, field, set, included);
        if (r < 0)
            return r;
    }
}

static int read_alias(struct desiring *desiring, struct machine_set *set)
{
    static const char *const kinds[] = {"host",     "network", "port",
                                        "urltable", "geoip",   "networkgroup"};
    enum { HOST, NETWORK, PORT, URL_TABLE, COUNTRY, GROUP };
    size_t kind = HOST, n_names = 0;
    int r = spec_choice(desiring, "kind", kinds, ARRAY_LENGTH(kinds), &kind);
    if (r < 0)
        return r;
    set->has_ports = kind == PORT;
    if (kind == PORT)
        return desiring_ports(desiring, "ports", &set->ports);
    if (kind == URL_TABLE)
        return read_url_table(desiring, set);
    if (kind == COUNTRY)
        return read_countries(desiring, set);
    r = read_content(desiring, set, &n_names);
    return r < 0 ? r : include_aliases(desiring, "content", n_names, set);
}

int desire_alias(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    const char *uid = resource_uid(desiring->resource);
    if (map_has(&desiring->built, uid))
        return 0; /* another alias needed it before its turn */
    struct machine_set *set = machine_memory(machine, 1, sizeof(*set));
    set->name = desiring_label(desiring);
    set->resource = desiring_text(desiring, uid);
    set->is_open = true;
    desiring_built(desiring, set);
    int r = read_alias(desiring, set);
    set->is_open = false;
    if (r < 0) {
        map_put(&desiring->built, uid, NULL);
        return r;
    }
    if (!set->has_ports)
        MACHINE_ADD(machine, machine->sets, machine->n_sets, set);
    return 0;
}
