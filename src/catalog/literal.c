#include "catalog/literal.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

enum { MAX_ADDRESS = 64, MAX_DOMAIN = 253, MAX_LABEL = 63, MAX_PATH = 1024, MAX_PORT = 65535 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads digits at *text and steps over them; false without any, and beyond INT64_MAX / 1000. */
static bool read_count(const char **text, int64_t *ret_count)
{
    int64_t count = 0;
    const char *at = *text;
    if (!is_digit(*at))
        return false;
    for (; is_digit(*at); at++) {
        if (count > INT64_MAX / 100000)
            return false;
        count = count * 10 + (*at - '0');
    }
    *text = at;
    *ret_count = count;
    return true;
}

struct address {
    unsigned char bytes[16];
    int family;
    int64_t bits; /* 32 or 128 */
};

static bool read_address(const char *text, struct address *ret_address)
{
    struct address address = {0};
    if (inet_pton(AF_INET, text, address.bytes) == 1) {
        address.family = AF_INET;
        address.bits = 32;
    } else if (inet_pton(AF_INET6, text, address.bytes) == 1) {
        address.family = AF_INET6;
        address.bits = 128;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

static bool has_host_bits(const struct address *address, int64_t prefix)
{
    for (int64_t bit = prefix; bit < address->bits; bit++)
        if (address->bytes[bit / 8] & (0x80u >> (bit % 8)))
            return true;
    return false;
}

/* "10.0.0.0/24" out of its parts; a prefix below zero leaves it out. */
static struct value *address_value(const struct address *address, int64_t prefix)
{
    char text[MAX_ADDRESS];
    inet_ntop(address->family, address->bytes, text, sizeof(text));
    if (prefix < 0)
        return value_string(text);
    CLEANUP(mem_freep) char *cidr = string_format("%s/%lld", text, (long long)prefix);
    return value_string(cidr);
}

struct value *literal_cidr(const char *text)
{
    const char *slash = strchr(text, '/');
    struct address address;
    int64_t prefix;
    if (!slash || slash - text >= MAX_ADDRESS)
        return NULL;
    CLEANUP(mem_freep) char *before = string_copy_n(text, (size_t)(slash - text));
    const char *after = slash + 1;
    if (!read_address(before, &address) || !read_count(&after, &prefix) || *after)
        return NULL;
    if (prefix > address.bits || has_host_bits(&address, prefix))
        return NULL;
    return address_value(&address, prefix);
}

struct value *literal_address(const char *text)
{
    struct address address;
    return read_address(text, &address) ? address_value(&address, -1) : NULL;
}

struct value *literal_network(const char *text)
{
    struct address address;
    return read_address(text, &address) ? address_value(&address, address.bits)
                                        : literal_cidr(text);
}

static const struct {
    const char *unit;
    int64_t milliseconds;
} duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"w", 604800000},
};
enum { CANONICAL_UNITS = 5 }; /* weeks are read, and written as days */

/* The index of the unit at *text, stepped over; -1 when there is none. */
static int read_unit(const char **text)
{
    size_t length = strspn(*text, "dhmsw");
    for (size_t i = 0; i < ARRAY_LENGTH(duration_units); i++) {
        const char *unit = duration_units[i].unit;
        if (strlen(unit) == length && strncmp(*text, unit, length) == 0) {
            *text += length;
            return (int)i;
        }
    }
    return -1;
}

static bool read_duration(const char *text, int64_t *ret_milliseconds)
{
    int64_t sum = 0;
    if (!*text)
        return false;
    while (*text) {
        int64_t count;
        if (!read_count(&text, &count))
            return false;
        int unit = read_unit(&text);
        if (unit < 0 || count > INT64_MAX / 4 / duration_units[unit].milliseconds)
            return false;
        sum += count * duration_units[unit].milliseconds;
        if (sum > INT64_MAX / 4)
            return false;
    }
    *ret_milliseconds = sum;
    return true;
}

struct value *literal_duration(const char *text)
{
    int64_t milliseconds;
    if (!read_duration(text, &milliseconds))
        return NULL;
    if (milliseconds == 0)
        return value_string("0s");
    size_t unit = 0;
    while (unit < CANONICAL_UNITS - 1 && milliseconds % duration_units[unit].milliseconds != 0)
        unit++;
    CLEANUP(mem_freep)
    char *canonical =
        string_format("%lld%s", (long long)(milliseconds / duration_units[unit].milliseconds),
                      duration_units[unit].unit);
    return value_string(canonical);
}

double literal_duration_seconds(const char *duration)
{
    int64_t milliseconds = 0;
    read_duration(duration, &milliseconds);
    return (double)milliseconds / 1000.0;
}

static const char *const size_units[] = {"Ki", "Mi", "Gi", "Ti"};
enum { UNIT_FACTOR = 1024, SIZE_LIMIT = 1 << 20 }; /* of any unit */

/* Only these: M is a million to some and 2^20 to others. */
static bool read_size(const char *text, int64_t *ret_count, size_t *ret_unit)
{
    if (!read_count(&text, ret_count))
        return false;
    *ret_unit = 0;
    while (*ret_unit < ARRAY_LENGTH(size_units) && !text_equal(text, size_units[*ret_unit]))
        ++*ret_unit;
    return *ret_unit < ARRAY_LENGTH(size_units) && *ret_count <= SIZE_LIMIT;
}

struct value *literal_size(const char *text)
{
    int64_t count;
    size_t unit;
    if (!read_size(text, &count, &unit))
        return NULL;
    while (count > 0 && count % UNIT_FACTOR == 0 && unit + 1 < ARRAY_LENGTH(size_units)) {
        count /= UNIT_FACTOR;
        unit++;
    }
    CLEANUP(mem_freep)
    char *canonical = string_format("%lld%s", (long long)count, size_units[count > 0 ? unit : 0]);
    return value_string(canonical);
}

double literal_size_bytes(const char *size)
{
    int64_t count = 0;
    size_t unit = 0;
    read_size(size, &count, &unit);
    return (double)(count << 10 * (unit + 1));
}

struct value *literal_rate(const char *text)
{
    static const struct {
        const char *spelling;
        const char *unit;
    } units[] = {
        {"second", "second"}, {"sec", "second"}, {"s", "second"},  {"minute", "minute"},
        {"min", "minute"},    {"m", "minute"},   {"hour", "hour"}, {"h", "hour"},
    };
    int64_t count;
    if (!read_count(&text, &count) || count < 1)
        return NULL;
    text += strspn(text, " ");
    if (*text++ != '/')
        return NULL;
    text += strspn(text, " ");
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        if (!text_equal(text, units[i].spelling))
            continue;
        CLEANUP(mem_freep)
        char *canonical = string_format("%lld/%s", (long long)count, units[i].unit);
        return value_string(canonical);
    }
    return NULL;
}

struct value *literal_port(const char *text)
{
    int64_t first, last;
    if (!read_count(&text, &first))
        return NULL;
    last = first;
    if (*text == '-') {
        text++;
        if (!read_count(&text, &last))
            return NULL;
    }
    if (*text || first < 1 || last > MAX_PORT || first > last)
        return NULL;
    if (first == last)
        return value_integer(first);
    CLEANUP(mem_freep)
    char *canonical = string_format("%lld-%lld", (long long)first, (long long)last);
    return value_string(canonical);
}

/* Whether a text has the form of a pattern, in which "0" stands for any digit. */
static bool has_form(const char *text, const char *form)
{
    for (; *form; form++, text++)
        if (*form == '0' ? !is_digit(*text) : *text != *form)
            return false;
    return *text == '\0';
}

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + text[1] - '0';
}

struct value *literal_clock(const char *text)
{
    bool is_clock = has_form(text, "00:00") && two_digits(text + 3) < 60 &&
                    two_digits(text) * 60 + two_digits(text + 3) <= 24 * 60;
    return is_clock ? value_string(text) : NULL;
}

struct value *literal_date(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool has_time = has_form(text, "0000-00-00T00:00:00Z");
    if (!has_time && !has_form(text, "0000-00-00"))
        return NULL;
    int month = two_digits(text + 5), day = two_digits(text + 8);
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return NULL;
    if (has_time &&
        (two_digits(text + 11) > 23 || two_digits(text + 14) > 59 || two_digits(text + 17) > 59))
        return NULL;
    CLEANUP(mem_freep) char *canonical = string_format("%s%s", text, has_time ? "" : "T00:00:00Z");
    return value_string(canonical);
}

/* One label of a domain of this length: letters, digits and inner "-". */
static bool is_label(const char *label, size_t length)
{
    if (length == 0 || length > MAX_LABEL || label[0] == '-' || label[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter(label[i]) && !is_digit(label[i]) && label[i] != '-')
            return false;
    return true;
}

struct value *literal_domain(const char *text)
{
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '.')
        length--;
    if (length == 0 || length > MAX_DOMAIN)
        return NULL;
    size_t start = strncmp(text, "*.", 2) == 0 ? 2 : 0;
    bool is_number = true;
    for (size_t at = start; at <= length;) {
        size_t label = strcspn(text + at, ".");
        if (at + label > length)
            label = length - at;
        if (!is_label(text + at, label))
            return NULL;
        is_number = strspn(text + at, "0123456789") >= label;
        at += label + 1;
    }
    /* An address has digits only where a domain has its top level. */
    if (is_number)
        return NULL;
    CLEANUP(mem_freep) char *canonical = string_copy_n(text, length);
    for (size_t i = 0; i < length; i++)
        if (canonical[i] >= 'A' && canonical[i] <= 'Z')
            canonical[i] = (char)(canonical[i] - 'A' + 'a');
    return value_string(canonical);
}

struct value *literal_path(const char *text)
{
    size_t length = strlen(text);
    if (text[0] != '/' || length > MAX_PATH)
        return NULL;
    /* Quotes, backslashes and "#" are no part of a URL's path, and could end it in a server's
     * configuration. */
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'\\#<>`{}|^", text[i]))
            return NULL;
    return value_string(text);
}

bool literal_is_resource(const char *text)
{
    size_t length = strcspn(text, "[");
    CLEANUP(mem_freep) char *name = string_copy_n(text, length);
    if (!text_is_name(name))
        return false;
    const char *key = text + length;
    if (!*key)
        return true;
    size_t key_length = strlen(key);
    if (key_length < 3 || key[key_length - 1] != ']')
        return false;
    key++;
    key_length -= 2;
    if (strspn(key, "0123456789") == key_length)
        return true;
    return key_length >= 2 && key[0] == '"' && key[key_length - 1] == '"';
}
