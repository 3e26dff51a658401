/* What is wrong with the leases that a network is to give, all of it at once. */
#include "provider/twin/twin.h"

#include "base/text.h"
#include "net/program.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static const struct position nowhere;

/* Where a network begins and ends. */
struct range {
    uint32_t first, last;
};

static bool read_address(const char *text, uint32_t *ret_ip)
{
    struct in_addr address;
    if (!text || inet_pton(AF_INET, text, &address) != 1)
        return false;
    *ret_ip = ntohl(address.s_addr);
    return true;
}

static bool read_subnet(const char *text, struct range *ret_range)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    int64_t prefix;
    if (!slash || !text_to_integer(slash + 1, &prefix) || prefix < 1 || prefix > 30)
        return false;
    CLEANUP(mem_freep) char *base = string_copy_n(text, (size_t)(slash - text));
    if (!read_address(base, &ret_range->first))
        return false;
    ret_range->last = ret_range->first | (UINT32_MAX >> prefix);
    return true;
}

__attribute__((format(printf, 3, 4))) static void
add(const struct target *target, struct diagnostics *diagnostics, const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                    "Give \"dhcp\" the network's own addresses: a pool, from and to, and each "
                    "reservation its own.",
                    "%s: %s", target->address, strbuf_text(&text));
    strbuf_done(&text);
}

static void check_end(const struct target *target, const char *field, const char *text,
                      const struct range *subnet, struct diagnostics *diagnostics)
{
    uint32_t ip;
    if (!read_address(text, &ip))
        add(target, diagnostics, "dhcp.%s is %s, which is no IPv4 address.", field, text);
    else if (ip < subnet->first || ip > subnet->last)
        add(target, diagnostics, "dhcp.%s is %s, which is outside of its subnet.", field, text);
    else if (ip == subnet->first || ip == subnet->last)
        add(target, diagnostics, "dhcp.%s is %s, which is no host's address in its subnet.", field,
            text);
    else if (ip == subnet->first + 1)
        add(target, diagnostics, "dhcp.%s is %s, which is the gateway's.", field, text);
}

static void check_pool(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics)
{
    const struct value *dhcp = value_get(spec, "dhcp");
    const char *from = value_get_text(dhcp, "from"), *to = value_get_text(dhcp, "to");
    struct range subnet, pool;
    if (value_is_null(value_get(spec, "subnet")))
        add(target, diagnostics, "it has dhcp and no subnet whose addresses could be leased.");
    /* What is known only when it is applied is looked at then. */
    if (!read_subnet(value_get_text(spec, "subnet"), &subnet) || !from || !to)
        return;
    check_end(target, "from", from, &subnet, diagnostics);
    check_end(target, "to", to, &subnet, diagnostics);
    if (read_address(from, &pool.first) && read_address(to, &pool.last) && pool.first > pool.last)
        add(target, diagnostics, "its pool ends at %s, before it begins at %s.", to, from);
}

static bool is_mac(const char *text)
{
    enum { MAC_LENGTH = 17 };
    for (size_t i = 0; i < MAC_LENGTH; i++)
        if (i % 3 == 2 ? text[i] != ':' : !text[i] || !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    return text[MAC_LENGTH] == '\0';
}

static void check_reservations(const struct target *target, const struct value *spec,
                               struct diagnostics *diagnostics)
{
    const struct value *map = value_get(value_get(spec, "dhcp"), "reservations");
    struct range subnet;
    bool is_map = !value_is_null(map) && value_kind(map) == VALUE_MAP;
    if (!is_map || !read_subnet(value_get_text(spec, "subnet"), &subnet))
        return;
    for (size_t i = 0; i < value_count(map); i++) {
        const char *key = value_key_at(map, i), *text = value_text(value_at(map, i));
        CLEANUP(mem_freep) char *field = string_format("reservations.%.63s", key);
        if (value_kind(value_at(map, i)) != VALUE_STRING)
            continue;
        if (!text_is_name(key) && !is_mac(key))
            add(target, diagnostics,
                "dhcp.%s is neither the name of an instance, web-0, nor a MAC, 02:00:5e:10:00:01.",
                field);
        check_end(target, field, text, &subnet, diagnostics);
        for (size_t k = 0; k < i; k++)
            if (value_kind(value_at(map, k)) == VALUE_STRING &&
                text_equal(value_text(value_at(map, k)), text))
                add(target, diagnostics, "dhcp.%s is %s, as for %.63s.", field, text,
                    value_key_at(map, k));
    }
}

void twin_check_leases(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics)
{
    static const char *const programs[][2] = {{"dnsmasq", "dnsmasq-base"}, {"udhcpc", "udhcpc"}};
    /* When all types are looked at, none is wanted: it is only told. */
    bool is_wanted = !value_is_null(value_get(spec, "tag"));
    if (is_wanted && value_is_null(value_get(spec, "dhcp")))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(programs); i++) {
        if (program_find(programs[i][0], NULL))
            continue;
        CLEANUP(mem_freep) char *help = string_format("apt-get install %s", programs[i][1]);
        diagnostics_note(diagnostics, is_wanted ? DIAGNOSTIC_ERROR : DIAGNOSTIC_NOTE,
                         DIAGNOSTIC_CANNOT_SERVE, nowhere, help,
                         "%s: leases (\"dhcp\") need the program %s of the Debian package %s, "
                         "which is not installed on this machine.",
                         target->address, programs[i][0], programs[i][1]);
    }
    if (!is_wanted)
        return;
    check_pool(target, spec, diagnostics);
    check_reservations(target, spec, diagnostics);
}
