/*
 * Hosts that an action has taken out of service: no balancer sends new requests there until another
 * action takes that back. Their names are kept in a file, so that a twin that starts anew goes on
 * with it.
 */
#include "twin/balancer-private.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/balancer.h"

#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

static char *drained_file(const struct balancers *module)
{
    return string_format("%s/drained", module->config_folder);
}

static int save(const struct balancers *module, struct error *err)
{
    CLEANUP(mem_freep) char *path = drained_file(module);
    CLEANUP(strbuf_done) struct strbuf names = {0};
    for (size_t i = 0; i < module->drained.n_items; i++)
        strbuf_addf(&names, "%s\n", module->drained.items[i]);
    return world_write_file(path, strbuf_text(&names), names.length, 0600, true, err);
}

static void forget_name(struct string_list *list, const char *name)
{
    struct string_list left = {0};
    for (size_t i = 0; i < list->n_items; i++)
        if (!text_equal(list->items[i], name))
            string_list_add(&left, list->items[i]);
    string_list_done(list);
    *list = left;
}

void balancer_load_drained(struct balancers *module)
{
    CLEANUP(mem_freep) char *path = drained_file(module);
    CLEANUP(mem_freep) char *text = NULL;
    if (world_read_file(path, FILE_LIMIT, &text, NULL, NULL) < 0)
        return;
    char *line = text;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        string_list_add(&module->drained, line);
        balancer_holds_add(&module->holds, line, 0, BALANCER_DRAINED);
    }
}

void balancer_forget_drained(struct balancers *module)
{
    for (size_t i = module->drained.n_items; i > 0; i--) {
        CLEANUP(mem_freep) char *name = string_copy(module->drained.items[i - 1]);
        if (machine_find_host(module->machine, name))
            continue;
        balancer_holds_remove(&module->holds, name, 0, BALANCER_DRAINED);
        forget_name(&module->drained, name);
        save(module, NULL);
    }
}

/* --- Out of service, and back --- */

static CO_FN int drain(struct balancers *module, const char *host, struct error *err)
{
    bool was_drained = string_list_has(&module->drained, host);
    int r = was_drained ? 0 : balancer_check_others(module, host, err);
    if (r < 0)
        return r;
    if (!string_list_has(&module->drained, host)) {
        string_list_add(&module->drained, host);
        r = save(module, err);
    }
    if (r < 0) {
        forget_name(&module->drained, host);
        return r;
    }
    if (!string_list_has(&module->draining, host))
        string_list_add(&module->draining, host);
    balancer_hold(module->twin, host, 0, BALANCER_DRAINED);
    balancer_await_idle(module, host);
    forget_name(&module->draining, host);
    return 0;
}

static CO_FN int resume(struct balancers *module, const char *host, struct error *err)
{
    if (!string_list_has(&module->drained, host))
        return 0;
    forget_name(&module->drained, host);
    int r = save(module, err);
    if (r < 0) {
        string_list_add(&module->drained, host);
        return r;
    }
    balancer_let_in(module->twin, host, 0, BALANCER_DRAINED);
    return 0;
}

CO_FN int balancer_act(void *argument, const struct module_action *action, struct error *err)
{
    struct balancers *module = argument;
    const struct machine_host *host =
        module->machine ? machine_find_host(module->machine, action->member) : NULL;
    if (!host || !text_equal_or_null(host->resource, action->resource))
        return error_set(err, ERROR_NOT_FOUND, "it has no host %.80s", action->member);
    if (host->role != HOST_INSTANCE)
        return error_set(err, ERROR_UNSUPPORTED, "%s is none of the hosts that balancers send to",
                         host->name);
    CLEANUP(mem_freep) char *name = string_copy(host->name);
    if (text_equal(action->name, "drain"))
        return drain(module, name, err);
    if (text_equal(action->name, "resume"))
        return resume(module, name, err);
    return error_set(err, ERROR_UNSUPPORTED, "hosts have no action \"%.40s\", but drain and resume",
                     action->name);
}

/* --- What is so --- */

static const char *state_of(const struct balancers *module, const char *host)
{
    return string_list_has(&module->draining, host)  ? "draining"
           : string_list_has(&module->drained, host) ? "drained"
                                                     : "serving";
}

void balancer_report_hosts(const struct balancers *module, const char *resource,
                           struct value_builder *status)
{
    struct value_builder members = {0};
    for (size_t i = 0; i < module->machine->n_hosts; i++) {
        const struct machine_host *host = module->machine->hosts[i];
        struct value_builder member = {0};
        if (host->role != HOST_INSTANCE || !text_equal_or_null(host->resource, resource))
            continue;
        value_builder_set_string(&member, "name", host->name);
        value_builder_set_string(&member, "address", host->address);
        value_builder_set_string(&member, "state", state_of(module, host->name));
        value_builder_append(&members, value_builder_map(&member));
    }
    if (members.n_items > 0)
        value_builder_set(status, "members", value_builder_list(&members));
    else
        value_builder_done(&members);
}
