/* What the functions that read single resource types share. For desired*.c only. */
#pragma once

#include "base/map.h"
#include "twin/assign.h"
#include "twin/desired.h"
#include "twin/machine.h"
#include "twin/manifest.h"
#include "twin/problems.h"

struct desiring {
    const struct manifest *manifest;
    const struct desired_means *means;
    struct machine *machine;
    struct assignments assignments;
    struct map built; /* uid -> what the resource became in the machine, or a mark */
    struct problems *faults;
    const struct value *resource; /* the one that is read now */
};

/* The hosts that a group or instances became. */
struct host_list {
    const struct machine_host **hosts;
    size_t n_hosts;
};

/* Adds a fault of the current resource and returns the negative code. */
__attribute__((format(printf, 3, 4))) int
desiring_fault(struct desiring *desiring, enum error_code code, const char *format, ...);

/*
 * Fields of the current resource's spec, or of a map in it. Missing ones give the fallback; a value
 * of the wrong kind or out of range is a fault. Texts are borrowed from the resource: copy them
 * into the machine.
 */
int spec_text(struct desiring *desiring, const struct value *map, const char *field,
              const char *fallback, const char **ret_text);
struct spec_range {
    int64_t minimum;
    int64_t maximum;
    int64_t fallback;
};
int spec_integer(struct desiring *desiring, const struct value *map, const char *field,
                 const struct spec_range *range, int64_t *ret_integer);
/* The position of a text among the allowed ones. */
int spec_choice(struct desiring *desiring, const char *field, const char *const *allowed,
                size_t n_allowed, size_t *ret_choice);
int spec_bool(struct desiring *desiring, const char *field, bool fallback, bool *ret_bool);
/* The field healthCheck of a map: a path of HTTP, as it may stand in a configuration file, or NULL;
 * copied. */
int spec_health_check(struct desiring *desiring, const struct value *map, const char **ret_path);
/* The index-th item of a property that may be one or a list, NULL behind the last. */
const struct value *spec_item(const struct desiring *desiring, const char *field, size_t index);

/* Whether an item can only be the name of a resource, "web" or "web[0]": no address has a letter
 * at its start and no colon. */
bool spec_is_name(const struct value *item);

/*
 * What the resource that the property at path refers to became. A fault when there is no such
 * resource, when it is of none of the types (separated by blanks) or itself faulty, and when
 * nothing is referred to although it is required; else NULL is given for nothing.
 */
int spec_reference(struct desiring *desiring, const char *path, const char *types, bool is_required,
                   void **ret_built);
/* The index-th reference of a list property, NULL at its end. */
int spec_reference_at(struct desiring *desiring, const char *path, size_t index, const char *types,
                      void **ret_built);
/* The uid of that one, whatever it is, or NULL. */
const char *spec_reference_uid(const struct desiring *desiring, const char *path, size_t index);
/* The type of what the property at path refers to, or NULL. */
const char *spec_reference_type(const struct desiring *desiring, const char *path);

/* A copy that lives as long as the machine. */
const char *desiring_text(struct desiring *desiring, const char *text);
/* The label of the current resource. */
const char *desiring_label(struct desiring *desiring);
void desiring_built(struct desiring *desiring, void *built);
const struct value *desiring_spec(const struct desiring *desiring);

/* Adds count hosts LABEL-0 ... of the current resource; one host LABEL when is_single. */
struct host_wish {
    const struct machine_network *network;
    enum machine_role role;
    unsigned int count;
    bool is_single;
};
int desiring_add_hosts(struct desiring *desiring, const struct host_wish *wish,
                       struct host_list *ret_list);

/* The ports of a property, which may be one or a list: sorted, and ranges that touch are one. */
int desiring_ports(struct desiring *desiring, const char *field,
                   struct machine_port_list *ret_list);

/* Whose packets are meant: a text such as any, or a reference; missing and no fallback: a fault. */
int desiring_endpoint(struct desiring *desiring, const char *field, const char *fallback,
                      struct machine_endpoint *ret_endpoint);
/* The property "interface"; fallback (may be NULL) is the network when there is none. */
int desiring_interfaces(struct desiring *desiring, const char *fallback,
                        struct machine_interface_list *ret_list);
int desiring_sequence(struct desiring *desiring, int64_t *ret_sequence);

/* The image of that name that an engine has built, NULL when there is none; a fault when it has
 * nothing to run. */
int desiring_find_image(struct desiring *desiring, const char *name,
                        const struct machine_image **ret_image);

/* The balancer of a network, made for the current resource when there is none. */
int desiring_find_balancer(struct desiring *desiring, const struct machine_network *network,
                           struct machine_balancer **ret_balancer);

/* One function for each type; each has added its faults when it fails. */
int desire_vlan(struct desiring *desiring);
int desire_alias(struct desiring *desiring);
int desire_schedule(struct desiring *desiring);
int desire_rule(struct desiring *desiring);
int desire_port_forward(struct desiring *desiring);
int desire_outbound(struct desiring *desiring);
int desire_certificate(struct desiring *desiring);
int desire_group(struct desiring *desiring);
int desire_instances(struct desiring *desiring);
int desire_cluster(struct desiring *desiring);
int desire_backend(struct desiring *desiring);
int desire_frontend(struct desiring *desiring);
int desire_image(struct desiring *desiring);
int desire_stack(struct desiring *desiring);
int desire_alerts(struct desiring *desiring);
int desire_prometheus(struct desiring *desiring);
int desire_grafana(struct desiring *desiring);

/* The network outside and its host. */
void desire_outside(struct desiring *desiring);
/* Port forwards and outbound rules in the order of their numbers. */
void desire_translations_in_order(struct desiring *desiring);
/* What follows from rules and what they lead to: limits, entrances, clients of databases. */
void desire_consequences(struct desiring *desiring);
