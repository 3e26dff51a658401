/* What of a balancer stays as it was until a run has no more steps. */
#include "twin/balancer-private.h"

#include "base/text.h"

void balancer_forget_served(struct balancer *balancer)
{
    for (size_t i = 0; i < balancer->n_served; i++) {
        mem_free(balancer->served[i].frontend);
        mem_free(balancer->served[i].backend);
        mem_free(balancer->served[i].health_check);
    }
    mem_free(balancer->served);
    balancer->served = NULL;
    balancer->n_served = 0;
}

/* --- What stays --- */

/* Whether something else of the balancer is to stand at a port. */
static bool is_taken(const struct balancer *balancer, size_t n_frontends, uint16_t port)
{
    for (size_t i = 0; i < n_frontends; i++)
        if (balancer->frontends[i]->port == port)
            return true;
    return false;
}

/* What of a frontend that was served stays as it was, should anything stay now. */
static struct balancer_kept compare(const struct balancer *balancer, size_t n_frontends,
                                    const struct machine_frontend *frontend)
{
    struct balancer_kept kept = {0};
    const struct machine_backend *backend = frontend->backend;
    for (size_t i = 0; i < balancer->n_served; i++) {
        const struct served *served = &balancer->served[i];
        uint16_t port = served->port != frontend->port ? served->port : served->former_port;
        if (text_equal(served->frontend, frontend->resource) &&
            !is_taken(balancer, n_frontends, port))
            kept.port = port;
        if (!text_equal(served->backend, backend->resource))
            continue;
        if (served->server_port != backend->port)
            kept.server_port = served->server_port;
        if (served->health_check && backend->health_check &&
            !text_equal(served->health_check, backend->health_check))
            kept.health_check = served->health_check;
    }
    return kept;
}

void balancer_keep(struct balancer *balancer, size_t n_frontends)
{
    balancer->kept = NEW_ARRAY(struct balancer_kept, n_frontends);
    for (size_t i = 0; i < n_frontends; i++) {
        struct balancer_kept kept = compare(balancer, n_frontends, balancer->frontends[i]);
        if ((kept.port || kept.server_port || kept.health_check) &&
            twin_keeps(balancer->module->twin))
            balancer->kept[i] = kept;
    }
}

/* --- What is served --- */

void balancer_note_served(struct balancer *balancer)
{
    const struct balancer_config *config = &balancer->config;
    struct served *served = NEW_ARRAY(struct served, config->n_frontends);
    for (size_t i = 0; i < config->n_frontends; i++) {
        const struct machine_frontend *frontend = config->frontends[i];
        const char *health_check = balancer_health_check(config, frontend->backend);
        served[i] = (struct served){
            .frontend = string_copy(frontend->resource),
            .backend = string_copy(frontend->backend->resource),
            .port = frontend->port,
            .former_port = config->kept[i].port,
            .server_port = balancer_server_port(config, frontend->backend),
            .health_check = health_check ? string_copy(health_check) : NULL,
        };
    }
    balancer_forget_served(balancer);
    balancer->served = served;
    balancer->n_served = config->n_frontends;
    for (size_t i = 0; i < config->n_frontends; i++)
        if (balancer->kept[i].health_check)
            balancer->kept[i].health_check = served[i].health_check;
}
