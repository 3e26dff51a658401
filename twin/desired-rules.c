/* Rules and their schedules. What follows from rules is in desired-consequences.c. */
#include "twin/desiring.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VLAN "opnsense:network:vlan"
#define ALIAS "opnsense:firewall:alias"
#define SCHEDULE "opnsense:firewall:schedule"

static int read_literal(struct desiring *desiring, const char *field, const char *text,
                        struct machine_endpoint *ret_endpoint)
{
    struct machine_endpoint endpoint = {.kind = ENDPOINT_SUBNET};
    if (!text)
        return desiring_fault(desiring, ERROR_INVALID, "%s is missing", field);
    if (text_equal(text, "any")) {
        endpoint.kind = ENDPOINT_ANY;
    } else if (!machine_subnet_from_text(text, &endpoint.subnet)) {
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s is \"%s\": neither any nor an IPv4 address or network", field,
                              text);
    } else if (endpoint.subnet.prefix == 0) {
        endpoint.kind = ENDPOINT_ANY;
    }
    *ret_endpoint = endpoint;
    return 0;
}

int desiring_endpoint(struct desiring *desiring, const char *field, const char *fallback,
                      struct machine_endpoint *ret_endpoint)
{
    void *built = NULL;
    const char *text = NULL;
    int r = spec_reference(desiring, field, VLAN " " ALIAS, false, &built);
    if (r < 0)
        return r;
    if (!built) {
        r = spec_text(desiring, desiring_spec(desiring), field, fallback, &text);
        return r < 0 ? r : read_literal(desiring, field, text, ret_endpoint);
    }
    if (text_equal(spec_reference_type(desiring, field), ALIAS)) {
        const struct machine_set *set = built;
        if (set->has_ports)
            return desiring_fault(desiring, ERROR_INVALID, "%s refers to %s, which holds ports",
                                  field, set->name);
        *ret_endpoint = (struct machine_endpoint){.kind = ENDPOINT_SET, .set = set};
        return 0;
    }
    const struct machine_network *network = built;
    *ret_endpoint = (struct machine_endpoint){
        .kind = ENDPOINT_SUBNET, .subnet = {network->base, network->prefix}, .network = network};
    return 0;
}

/* 443, "443" or "8000-8100". */
static bool read_port(const struct value *value, struct machine_ports *ret_ports)
{
    int64_t first, last;
    if (value_kind(value) == VALUE_INTEGER) {
        first = last = value_to_integer(value);
    } else if (value_kind(value) == VALUE_STRING) {
        const char *text = value_text(value), *dash = strchr(text, '-');
        CLEANUP(mem_freep)
        char *start = string_copy_n(text, dash ? (size_t)(dash - text) : strlen(text));
        if (!text_to_integer(start, &first))
            return false;
        last = first;
        if (dash && !text_to_integer(dash + 1, &last))
            return false;
    } else {
        return false;
    }
    if (first < 1 || last > 65535 || first > last)
        return false;
    *ret_ports = (struct machine_ports){(uint16_t)first, (uint16_t)last};
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct machine_ports *left = a, *right = b;
    return left->first != right->first ? left->first - right->first : left->last - right->last;
}

/* Ranges that touch or overlap become one: nftables wants them apart. */
static void merge_ports(struct machine_port_list *list)
{
    size_t n = 0;
    qsort(list->items, list->n_items, sizeof(*list->items), by_first);
    for (size_t i = 0; i < list->n_items; i++) {
        struct machine_ports next = list->items[i];
        if (n > 0 && next.first <= list->items[n - 1].last + 1) {
            if (next.last > list->items[n - 1].last)
                list->items[n - 1].last = next.last;
        } else {
            list->items[n++] = next;
        }
    }
    list->n_items = n;
}

static int add_alias_ports(struct desiring *desiring, const char *field, size_t n_names,
                           struct machine_port_list *list)
{
    for (size_t i = 0;; i++) {
        void *built = NULL;
        int r = spec_reference_at(desiring, field, i, ALIAS, &built);
        if (r < 0 || (!built && i >= n_names))
            return r;
        const struct machine_set *set = built;
        if (!set || !set->has_ports)
            return desiring_fault(desiring, ERROR_INVALID, "%s names %s, which holds no ports",
                                  field, set ? set->name : "something");
        for (size_t k = 0; k < set->ports.n_items; k++)
            MACHINE_ADD(desiring->machine, list->items, list->n_items, set->ports.items[k]);
    }
}

int desiring_ports(struct desiring *desiring, const char *field, struct machine_port_list *ret_list)
{
    struct machine_port_list list = {0};
    const struct value *item;
    size_t n_names = 0;
    for (size_t i = 0; (item = spec_item(desiring, field, i)); i++) {
        struct machine_ports ports;
        if (spec_is_name(item)) {
            n_names++;
            continue;
        }
        if (!read_port(item, &ports))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "%s is not one from 1 to 65535 nor a range such as 8000-8100",
                                  field);
        MACHINE_ADD(desiring->machine, list.items, list.n_items, ports);
    }
    int r = add_alias_ports(desiring, field, n_names, &list);
    if (r < 0)
        return r;
    if (list.n_items > 0)
        merge_ports(&list);
    *ret_list = list;
    return 0;
}

static bool has_ports(const struct machine_rule *rule)
{
    return rule->protocol <= PROTOCOL_TCP_UDP || rule->protocol == PROTOCOL_ANY;
}

static int read_ports(struct desiring *desiring, struct machine_rule *rule)
{
    int r = desiring_ports(desiring, "port", &rule->ports);
    if (r == 0)
        r = desiring_ports(desiring, "sourcePort", &rule->source_ports);
    if (r == 0 && !has_ports(rule) && (rule->ports.n_items > 0 || rule->source_ports.n_items > 0))
        return desiring_fault(desiring, ERROR_INVALID, "%s has no ports",
                              value_get_text(desiring_spec(desiring), "protocol"));
    return r;
}

static int read_icmp_types(struct desiring *desiring, struct machine_rule *rule)
{
    const struct value *item;
    for (size_t i = 0; (item = spec_item(desiring, "icmpType", i)); i++) {
        const char *name = value_kind(item) == VALUE_STRING ? value_text(item) : "";
        unsigned int type = 0;
        while (type < MACHINE_ICMP_TYPES && !text_equal_or_null(machine_icmp_names[type], name))
            type++;
        if (type == MACHINE_ICMP_TYPES)
            return desiring_fault(desiring, ERROR_INVALID, "icmpType has what is no type of ICMP");
        rule->icmp_types |= UINT32_C(1) << type;
    }
    if (rule->icmp_types && rule->protocol != PROTOCOL_ICMP)
        return desiring_fault(desiring, ERROR_INVALID, "icmpType is for the protocol icmp alone");
    return 0;
}

static int read_limit(struct desiring *desiring, struct machine_limit *ret_limit)
{
    static const struct {
        const char *unit;
        uint32_t window_s;
    } units[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};
    const char *text = NULL;
    int r = spec_text(desiring, desiring_spec(desiring), "rateLimit", NULL, &text);
    if (r < 0 || !text)
        return r;
    const char *slash = strchr(text, '/');
    CLEANUP(mem_freep)
    char *number = string_copy_n(text, slash ? (size_t)(slash - text) : strlen(text));
    int64_t count = 0;
    for (size_t i = 0; slash && i < ARRAY_LENGTH(units); i++) {
        if (!text_equal(slash + 1, units[i].unit) || !text_to_integer(number, &count))
            continue;
        if (count < 1 || count > 1000000000)
            break;
        *ret_limit = (struct machine_limit){(uint32_t)count, units[i].window_s};
        return 0;
    }
    return desiring_fault(desiring, ERROR_INVALID,
                          "rateLimit is \"%s\"; it must be like 1000/minute", text);
}

int desiring_sequence(struct desiring *desiring, int64_t *ret_sequence)
{
    static const struct spec_range sequences = {INT64_MIN, INT64_MAX, 0};
    return spec_integer(desiring, desiring_spec(desiring), "sequence", &sequences, ret_sequence);
}

static int read_verdict(struct desiring *desiring, struct machine_rule *rule)
{
    static const char *const actions[] = {"allow", "block", "reject", "pass"};
    static const char *const protocols[PROTOCOL_COUNT] = {
        [PROTOCOL_TCP] = "tcp",   [PROTOCOL_UDP] = "udp",   [PROTOCOL_TCP_UDP] = "tcp/udp",
        [PROTOCOL_ICMP] = "icmp", [PROTOCOL_ESP] = "esp",   [PROTOCOL_AH] = "ah",
        [PROTOCOL_GRE] = "gre",   [PROTOCOL_IGMP] = "igmp", [PROTOCOL_ANY] = "any"};
    static const char *const directions[] = {
        [DIRECTION_IN] = "in", [DIRECTION_OUT] = "out", [DIRECTION_BOTH] = "any"};
    size_t action = 0, protocol = 0, direction = 0;
    int r = spec_choice(desiring, "action", actions, ARRAY_LENGTH(actions), &action);
    if (r == 0)
        r = spec_choice(desiring, "protocol", protocols, ARRAY_LENGTH(protocols), &protocol);
    if (r == 0)
        r = spec_choice(desiring, "direction", directions, ARRAY_LENGTH(directions), &direction);
    if (r == 0)
        r = spec_bool(desiring, "log", false, &rule->log);
    if (r == 0)
        r = desiring_sequence(desiring, &rule->sequence);
    if (r < 0)
        return r;
    rule->action = action == 3 ? ACTION_ALLOW : (enum machine_action)action;
    rule->protocol = (enum machine_protocol)protocol;
    rule->direction = (enum machine_direction)direction;
    if (value_is_null(value_get(desiring_spec(desiring), "action")))
        return desiring_fault(desiring, ERROR_INVALID, "action is missing");
    return 0;
}

/* "wan" is the network outside; every other one is a reference. */
int desiring_interfaces(struct desiring *desiring, const char *fallback,
                        struct machine_interface_list *ret_list)
{
    struct machine *machine = desiring->machine;
    struct machine_interface_list list = {0};
    const struct value *item;
    size_t n = 0;
    for (; (item = spec_item(desiring, "interface", n)); n++) {
        if (value_kind(item) == VALUE_STRING && text_equal(value_text(item), "wan"))
            MACHINE_ADD(machine, list.items, list.n_items,
                        machine_find_network(machine, MACHINE_OUTSIDE));
    }
    for (size_t i = 0; i < n; i++) {
        void *network = NULL;
        int r = spec_reference_at(desiring, "interface", i, VLAN, &network);
        if (r < 0)
            return r;
        if (network)
            MACHINE_ADD(machine, list.items, list.n_items, network);
    }
    if (list.n_items < n)
        return desiring_fault(desiring, ERROR_INVALID,
                              "interface names something that is neither wan nor a network");
    if (n == 0 && fallback)
        MACHINE_ADD(machine, list.items, list.n_items, machine_find_network(machine, fallback));
    *ret_list = list;
    return 0;
}

/* Seconds since 1970 of 2027-01-31T08:30:00Z; a day alone is its first second. */
static bool read_time(const char *text, int64_t *ret_seconds)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%d", &parts);
    if (end && *end)
        end = strptime(end, "T%H:%M:%SZ", &parts);
    if (!end || *end)
        return false;
    *ret_seconds = timegm(&parts);
    return *ret_seconds > 0;
}

static int read_times(struct desiring *desiring, struct machine_rule *rule)
{
    void *schedule = NULL;
    const char *expires = NULL;
    int r = spec_reference(desiring, "schedule", SCHEDULE, false, &schedule);
    if (r == 0)
        r = spec_text(desiring, desiring_spec(desiring), "expires", NULL, &expires);
    if (r < 0)
        return r;
    rule->schedule = schedule;
    if (expires && !read_time(expires, &rule->expires))
        return desiring_fault(desiring, ERROR_INVALID,
                              "expires is \"%s\"; it must be like 2027-01-31T08:30:00Z", expires);
    return 0;
}

int desire_rule(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_rule *rule = machine_memory(machine, 1, sizeof(*rule));
    bool is_enabled = true;
    int r = spec_bool(desiring, "enabled", true, &is_enabled);
    if (r == 0)
        r = read_verdict(desiring, rule);
    if (r == 0)
        r = desiring_endpoint(desiring, "source", NULL, &rule->source);
    if (r == 0)
        r = desiring_endpoint(desiring, "destination", NULL, &rule->destination);
    if (r == 0)
        r = read_ports(desiring, rule);
    if (r == 0)
        r = read_icmp_types(desiring, rule);
    if (r == 0)
        r = read_limit(desiring, &rule->limit);
    if (r == 0)
        r = desiring_interfaces(desiring, NULL, &rule->interfaces);
    if (r == 0)
        r = read_times(desiring, rule);
    if (r < 0)
        return r;
    rule->name = desiring_label(desiring);
    rule->resource = desiring_text(desiring, resource_uid(desiring->resource));
    if (is_enabled)
        MACHINE_ADD(machine, machine->rules, machine->n_rules, rule);
    desiring_built(desiring, rule);
    return 0;
}

static bool read_two_digits(const char *text, unsigned int *ret_number)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *ret_number = (unsigned int)(text[0] - '0') * 10 + (unsigned int)(text[1] - '0');
    return true;
}

static int read_day_time(struct desiring *desiring, const struct value *window, const char *field,
                         const char *fallback, uint32_t *ret_seconds)
{
    const char *text = NULL;
    unsigned int hour, minute;
    int r = spec_text(desiring, window, field, fallback, &text);
    if (r < 0)
        return r;
    if (!read_two_digits(text, &hour) || text[2] != ':' || !read_two_digits(text + 3, &minute) ||
        text[5] || minute > 59 || hour * 60 + minute > 1440)
        return desiring_fault(desiring, ERROR_INVALID, "%s is \"%s\"; it must be like 08:30", field,
                              text);
    *ret_seconds = (hour * 60 + minute) * 60;
    return 0;
}

static int read_days(struct desiring *desiring, const struct value *days, unsigned int *ret_days)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    size_t n = value_is_null(days) ? 0 : value_count(days);
    *ret_days = n == 0 ? 0x7f : 0;
    for (size_t i = 0; i < n; i++) {
        const struct value *day = value_at(days, i);
        size_t at = 0;
        while (at < ARRAY_LENGTH(names) &&
               !(value_kind(day) == VALUE_STRING && text_equal(value_text(day), names[at])))
            at++;
        if (at == ARRAY_LENGTH(names))
            return desiring_fault(desiring, ERROR_INVALID, "days[%zu] is no day of a week", i);
        *ret_days |= 1u << at;
    }
    return 0;
}

static int read_window(struct desiring *desiring, const struct value *spec,
                       struct machine_window *ret_window)
{
    uint32_t from = 0, to = 0;
    unsigned int days = 0;
    int r = read_days(desiring, value_get(spec, "days"), &days);
    if (r == 0)
        r = read_day_time(desiring, spec, "from", "00:00", &from);
    if (r == 0)
        r = read_day_time(desiring, spec, "to", "24:00", &to);
    if (r == 0 && from >= to)
        r = desiring_fault(desiring, ERROR_INVALID,
                           "a window ends before it begins; write one for each side of midnight");
    if (r == 0)
        *ret_window = (struct machine_window){days, from, to - 1};
    return r;
}

int desire_schedule(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_schedule *schedule = machine_memory(machine, 1, sizeof(*schedule));
    const struct value *item;
    for (size_t i = 0; (item = spec_item(desiring, "windows", i)); i++) {
        struct machine_window window;
        int r = read_window(desiring, item, &window);
        if (r < 0)
            return r;
        MACHINE_ADD(machine, schedule->windows, schedule->n_windows, window);
    }
    schedule->name = desiring_label(desiring);
    schedule->resource = desiring_text(desiring, resource_uid(desiring->resource));
    desiring_built(desiring, schedule);
    return 0;
}
