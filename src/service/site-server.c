#include "service/site-server.h"

#include "base/memory.h"
#include "base/text.h"
#include "catalog/literal.h"

#include <string.h>

/* Under "server:" or its "limits:" that is being read. */
struct reading {
    struct site_server *server;
    const struct yaml_tree *tree;
    const char *folder;
    struct diagnostics *diagnostics;
};

void site_server_done(struct site_server *server)
{
    mem_free(server->listen);
    mem_free(server->tokens.path);
    mem_free(server->certificate.path);
    mem_free(server->key.path);
    mem_free(server->url);
    for (size_t i = 0; i < server->n_hosts; i++)
        mem_free(server->hosts[i]);
    mem_free(server->hosts);
    mem_free(server->file);
    *server = (struct site_server){0};
}

static char *copy_or_null(const char *text)
{
    return text ? string_copy(text) : NULL;
}

void site_server_copy(struct site_server *ret_copy, const struct site_server *server)
{
    *ret_copy = *server;
    ret_copy->listen = copy_or_null(server->listen);
    ret_copy->tokens.path = copy_or_null(server->tokens.path);
    ret_copy->certificate.path = copy_or_null(server->certificate.path);
    ret_copy->key.path = copy_or_null(server->key.path);
    ret_copy->file = copy_or_null(server->file);
    ret_copy->url = copy_or_null(server->url);
    ret_copy->hosts = server->hosts ? NEW_ARRAY(char *, server->n_hosts + 1) : NULL;
    for (size_t i = 0; ret_copy->hosts && i < server->n_hosts; i++)
        ret_copy->hosts[i] = string_copy(server->hosts[i]);
}

bool site_server_read_place(const char *text, char **ret_address, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    const char *number = colon ? colon + 1 : text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    int64_t port = 0;
    bool is_bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    if (!text_to_integer(number, &port) || port < 0 || port > 65535)
        return false;
    *ret_port = (uint16_t)port;
    *ret_address = length == 0    ? NULL
                   : is_bracketed ? string_copy_n(text + 1, length - 2)
                                  : string_copy_n(text, length);
    return true;
}

/* --- Its keys --- */

static void fail(const struct reading *reading, const struct yaml_node *node, const char *help,
                 const char *what)
{
    diagnostics_add(reading->diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(reading->tree, node),
                    help, "%s", what);
}

static void read_listen(const struct reading *reading, const struct yaml_node *node)
{
    CLEANUP(mem_freep) char *address = NULL;
    uint16_t port;
    if (node->kind == VALUE_STRING && site_server_read_place(node->text, &address, &port))
        reading->server->listen = string_copy(node->text);
    else
        fail(reading, node, "such as \"127.0.0.1:7420\", in quotes",
             "\"listen\" must be an address and a port.");
}

static void read_file(const struct reading *reading, const struct yaml_node *node,
                      struct server_file *ret_file)
{
    if (node->kind != VALUE_STRING || !*node->text) {
        fail(reading, node, "such as tokens.yaml, from the folder of the site file",
             "This must be the path of a file.");
        return;
    }
    ret_file->line = node->line;
    ret_file->path = *node->text == '/' ? string_copy(node->text)
                                        : string_format("%s/%s", reading->folder, node->text);
}

static void read_hosts(const struct reading *reading, const struct yaml_node *node)
{
    struct site_server *server = reading->server;
    if (node->kind != VALUE_LIST) {
        fail(reading, node, "such as [parley.example.com]", "\"hosts\" must be a list of names.");
        return;
    }
    server->hosts = NEW_ARRAY(char *, node->n_items + 1);
    for (unsigned int i = 0; i < node->n_items; i++) {
        const struct yaml_node *item = node->items[i];
        if (item->kind == VALUE_STRING && *item->text)
            server->hosts[server->n_hosts++] = string_copy(item->text);
        else
            fail(reading, item, "such as parley.example.com", "A host must be a name.");
    }
}

/* A scheme, an authority and perhaps a path, in letters that need no quoting anywhere. */
static bool is_url(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/[]";
    const char *rest = text_starts_with(text, "https://")  ? text + strlen("https://")
                       : text_starts_with(text, "http://") ? text + strlen("http://")
                                                           : "";
    return *rest && *rest != '/' && *rest != ':' && !strstr(rest, "//") &&
           strspn(rest, letters) == strlen(rest);
}

static void read_url(const struct reading *reading, const struct yaml_node *node)
{
    if (node->kind != VALUE_STRING || !is_url(node->text)) {
        fail(reading, node, "such as https://parley.example.com/infra",
             "\"url\" must be the address by which people reach the server.");
        return;
    }
    size_t length = strlen(node->text);
    reading->server->url = string_copy_n(node->text, length - (node->text[length - 1] == '/'));
}

static void read_number(const struct reading *reading, const struct yaml_node *node, int64_t most,
                        int64_t *ret_number)
{
    if (node->kind == VALUE_INTEGER && node->integer >= 1 && node->integer <= most)
        *ret_number = node->integer;
    else
        fail(reading, node, "leave it out for what is usual",
             "This must be a whole number from 1 on, and not beyond all measure.");
}

static void read_size(const struct reading *reading, const struct yaml_node *node)
{
    static const double least = 16 << 10, most = 64 << 20;
    CLEANUP(value_unrefp)
    struct value *size = node->kind == VALUE_STRING ? literal_size(node->text) : NULL;
    double bytes = size ? literal_size_bytes(value_text(size)) : 0;
    if (bytes >= least && bytes <= most)
        reading->server->body = (int64_t)bytes;
    else
        fail(reading, node, "such as 1Mi", "A request's body may have from 16Ki to 64Mi.");
}

static void read_limit(const struct reading *reading, const char *key, const struct yaml_node *node)
{
    struct site_server *server = reading->server;
    if (text_equal(key, "requests"))
        read_number(reading, node, 1000000, &server->requests);
    else if (text_equal(key, "connections"))
        read_number(reading, node, 65536, &server->connections);
    else if (text_equal(key, "body"))
        read_size(reading, node);
    else
        fail(reading, node, "the limits are requests, connections and body",
             "That is no limit of the server.");
}

static void read_limits(const struct reading *reading, const struct yaml_node *node)
{
    if (node->kind != VALUE_MAP)
        fail(reading, node, "such as { requests: 6000 }", "\"limits\" must be a map.");
    for (unsigned int i = 0; node->kind == VALUE_MAP && i < node->n_items; i++)
        read_limit(reading, node->pairs[i].key, node->pairs[i].value);
}

static void read_key(const struct reading *reading, const char *key, const struct yaml_node *node)
{
    struct site_server *server = reading->server;
    if (text_equal(key, "listen"))
        read_listen(reading, node);
    else if (text_equal(key, "tokens"))
        read_file(reading, node, &server->tokens);
    else if (text_equal(key, "certificate"))
        read_file(reading, node, &server->certificate);
    else if (text_equal(key, "key"))
        read_file(reading, node, &server->key);
    else if (text_equal(key, "url"))
        read_url(reading, node);
    else if (text_equal(key, "hosts"))
        read_hosts(reading, node);
    else if (text_equal(key, "limits"))
        read_limits(reading, node);
    else
        fail(reading, node, "the keys are listen, tokens, certificate, key, url, hosts and limits",
             "\"server\" has no such key.");
}

void site_server_read(struct site_server *server, const struct yaml_tree *tree,
                      const struct yaml_node *body, const char *folder,
                      struct diagnostics *diagnostics)
{
    const struct yaml_node *node = yaml_get(body, "server");
    struct reading reading = {server, tree, folder, diagnostics};
    if (!node || node->kind == VALUE_NULL)
        return;
    if (node->kind != VALUE_MAP) {
        fail(&reading, node, "such as { listen: \"127.0.0.1:7420\" }", "\"server\" must be a map.");
        return;
    }
    for (unsigned int i = 0; i < node->n_items; i++)
        read_key(&reading, node->pairs[i].key, node->pairs[i].value);
    server->file = string_copy(yaml_position(tree, node).file);
    if ((server->certificate.path != NULL) != (server->key.path != NULL))
        fail(&reading, node, "say both, or neither",
             "\"certificate\" and \"key\" belong together.");
}
