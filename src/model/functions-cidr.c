/* Arithmetic on networks: IPv4 and IPv6 addresses as one number of 32 or 128 bits. */
#include "model/functions-internal.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

typedef unsigned __int128 wide;

struct network {
    wide address; /* host bits cleared */
    unsigned int prefix;
    unsigned int width; /* 32 or 128 */
};

static wide host_mask(unsigned int n_bits)
{
    return n_bits >= 128 ? ~(wide)0 : ((wide)1 << n_bits) - 1;
}

static bool parse_address(const char *text, struct network *network)
{
    unsigned char bytes[16];
    bool is_ipv6 = strchr(text, ':') != NULL;
    if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, bytes) != 1)
        return false;
    network->width = is_ipv6 ? 128 : 32;
    network->address = 0;
    for (unsigned int i = 0; i < network->width / 8; i++)
        network->address = network->address << 8 | bytes[i];
    return true;
}

static char *format_address(wide address, unsigned int width)
{
    unsigned char bytes[16];
    for (unsigned int i = width / 8; i > 0; i--) {
        bytes[i - 1] = (unsigned char)(address & 0xff);
        address >>= 8;
    }
    char text[INET6_ADDRSTRLEN];
    inet_ntop(width == 128 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
    return string_copy(text);
}

static int argument_network(struct value *const *arguments, struct network *ret_network,
                            struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    char *slash = strchr(text, '/');
    int64_t prefix = -1;
    struct network network = {0};
    bool is_network =
        slash && slash[1] >= '0' && slash[1] <= '9' && text_to_integer(slash + 1, &prefix);
    if (is_network)
        *slash = '\0';
    is_network = is_network && parse_address(text, &network) && prefix <= (int64_t)network.width;
    if (!is_network) {
        if (slash)
            *slash = '/';
        return error_set(err, ERROR_INVALID, "\"%.80s\" is no network such as 10.0.0.0/16", text);
    }
    network.prefix = (unsigned int)prefix;
    network.address &= ~host_mask(network.width - network.prefix);
    *ret_network = network;
    return 0;
}

int function_cidrsubnet(struct value *const *arguments, size_t n_arguments,
                        struct value **ret_value, struct error *err)
{
    (void)n_arguments;
    struct network network;
    int64_t new_bits = 0;
    int64_t number = 0;
    int r = argument_network(arguments, &network, err);
    if (r == 0)
        r = argument_integer(arguments, 1, &new_bits, err);
    if (r == 0)
        r = argument_integer(arguments, 2, &number, err);
    if (r < 0)
        return r;
    if (new_bits < 0 || new_bits > (int64_t)(network.width - network.prefix))
        return error_set(err, ERROR_INVALID, "a /%u has no room for %lld more bits of prefix",
                         network.prefix, (long long)new_bits);
    if (number < 0 || (wide)number > host_mask((unsigned int)new_bits))
        return error_set(err, ERROR_INVALID, "%lld more bits have no network number %lld",
                         (long long)new_bits, (long long)number);
    unsigned int prefix = network.prefix + (unsigned int)new_bits;
    unsigned int shift = network.width - prefix;
    wide base = shift >= 128 ? 0 : (wide)number << shift;
    CLEANUP(mem_freep) char *address = format_address(network.address | base, network.width);
    CLEANUP(mem_freep) char *text = string_format("%s/%u", address, prefix);
    *ret_value = value_string(text);
    return 0;
}

int function_cidrhost(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    (void)n_arguments;
    struct network network;
    int64_t number = 0;
    int r = argument_network(arguments, &network, err);
    if (r == 0)
        r = argument_integer(arguments, 1, &number, err);
    if (r < 0)
        return r;
    wide mask = host_mask(network.width - network.prefix);
    wide distance = number < 0 ? (wide)(-(number + 1)) : (wide)number;
    if (distance > mask)
        return error_set(err, ERROR_INVALID, "a /%u has no host number %lld", network.prefix,
                         (long long)number);
    wide host = number < 0 ? mask - distance : distance;
    CLEANUP(mem_freep) char *address = format_address(network.address | host, network.width);
    *ret_value = value_string(address);
    return 0;
}

int function_cidrnetmask(struct value *const *arguments, size_t n_arguments,
                         struct value **ret_value, struct error *err)
{
    (void)n_arguments;
    struct network network;
    int r = argument_network(arguments, &network, err);
    if (r < 0)
        return r;
    if (network.width != 32)
        return error_set(err, ERROR_INVALID, "only IPv4 networks have a netmask");
    CLEANUP(mem_freep)
    char *mask = format_address(host_mask(32) & ~host_mask(32 - network.prefix), 32);
    *ret_value = value_string(mask);
    return 0;
}
