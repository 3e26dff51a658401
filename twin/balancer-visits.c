/*
 * What the servers of all balancers are told from elsewhere: that one goes or is back, is not well,
 * or gets nothing new. It goes to the HAProxies that run, beside what is made of the machine.
 */
#include "twin/balancer-private.h"
#include "twin/balancer.h"

/* Where servers are told something: a copy, since balancers may come and go meanwhile. */
struct visit {
    char **sockets; /* owned */
    struct balancer_servers *servers;
    size_t n_items;
};

static struct visit visit_of(const struct balancers *module)
{
    struct visit visit = {NEW_ARRAY(char *, module->n_items),
                          NEW_ARRAY(struct balancer_servers, module->n_items), 0};
    for (size_t i = 0; i < module->n_items; i++) {
        const struct balancer *balancer = module->items[i];
        if (!balancer->process)
            continue;
        visit.sockets[visit.n_items] = string_copy(balancer->socket);
        visit.servers[visit.n_items++] = balancer_servers_copy(&balancer->runs.servers);
    }
    return visit;
}

static void visit_done(struct visit *visit)
{
    for (size_t i = 0; i < visit->n_items; i++) {
        mem_free(visit->sockets[i]);
        balancer_servers_done(&visit->servers[i]);
    }
    mem_free(visit->sockets);
    mem_free(visit->servers);
}

static CO_FN void visit_servers(struct twin *twin, const char *host, uint16_t port,
                                CO_FN void (*tell)(struct balancer_control *,
                                                   const struct balancer_servers *, const char *,
                                                   uint16_t))
{
    struct visit visit = visit_of(twin->balancers);
    for (size_t i = 0; i < visit.n_items; i++) {
        struct balancer_control control = {
            .loop = twin->loop, .socket = visit.sockets[i], .holds = &twin->balancers->holds};
        tell(&control, &visit.servers[i], host, port);
        balancer_statistics_done(&control.statistics);
    }
    visit_done(&visit);
}

CO_FN void balancer_drain(struct twin *twin, const char *host, uint16_t port)
{
    visit_servers(twin, host, port, balancer_servers_drain);
}

CO_FN void balancer_resume(struct twin *twin, const char *host, uint16_t port)
{
    visit_servers(twin, host, port, balancer_servers_resume);
}

CO_FN void balancer_hold(struct twin *twin, const char *host, uint16_t port,
                         enum balancer_reason reason)
{
    balancer_holds_add(&twin->balancers->holds, host, port, reason);
    visit_servers(twin, host, port, balancer_servers_hold);
}

CO_FN void balancer_let_in(struct twin *twin, const char *host, uint16_t port,
                           enum balancer_reason reason)
{
    if (balancer_holds_remove(&twin->balancers->holds, host, port, reason))
        visit_servers(twin, host, port, balancer_servers_resume);
}

void balancer_forget(struct twin *twin, const char *host, uint16_t port,
                     enum balancer_reason reason)
{
    balancer_holds_remove(&twin->balancers->holds, host, port, reason);
}

CO_FN int balancer_check_others(struct balancers *module, const char *host, struct error *err)
{
    struct visit visit = visit_of(module);
    bool is_asked = false, has_others = true;
    for (size_t i = 0; has_others && i < visit.n_items; i++) {
        struct balancer_control control = {.loop = module->twin->loop, .socket = visit.sockets[i]};
        has_others = balancer_servers_have_others(&control, &visit.servers[i], host, &is_asked);
        balancer_statistics_done(&control.statistics);
    }
    visit_done(&visit);
    if (!is_asked)
        return error_set(err, ERROR_CONFLICT, "no load balancer sends anything to %s", host);
    return has_others
               ? 0
               : error_set(err, ERROR_CONFLICT,
                           "nobody would take the requests of %s: no other server behind one "
                           "of its load balancers passes its checks",
                           host);
}

CO_FN void balancer_await_idle(struct balancers *module, const char *host)
{
    visit_servers(module->twin, host, 0, balancer_servers_await_idle);
}
