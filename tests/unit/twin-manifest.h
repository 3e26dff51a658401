/* Manifests written as JSON in tests of the twin. */
#pragma once

#include "base/strbuf.h"
#include "model/json.h"
#include "twin/desired.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds the resources of a JSON list; each gets a spec and references when it has none. */
static inline void add_resources(struct manifest *manifest, const char *json)
{
    struct error err = {0};
    struct value *list = NULL;
    if (json_read(json, strlen(json), &list, &err) < 0) {
        printf("# %s\n", error_message(&err));
        abort();
    }
    for (size_t i = 0; i < value_count(list); i++) {
        struct value *resource = value_ref(value_at(list, i));
        if (manifest_check_resource(resource, &err) < 0) {
            printf("# %s\n", error_message(&err));
            abort();
        }
        resource = desired_adopt(manifest_find(manifest, resource_uid(resource)), resource);
        char *uid = string_copy(resource_uid(resource));
        value_unref(manifest_exchange(manifest, uid, resource));
        mem_free(uid);
    }
    value_unref(list);
}

/* Set by tests for a machine that has it, or that has read some. */
static bool has_grafana;
static const struct tables *tables;

/* Computes the machine and keeps what it assigns. */
static inline struct machine *compute(struct manifest *manifest, struct problems *faults)
{
    struct machine *machine;
    struct value *assigned;
    desired_compute(manifest, &(struct desired_means){.has_grafana = has_grafana, .tables = tables},
                    &machine, &assigned, faults);
    value_unref(manifest->assigned);
    manifest->assigned = assigned;
    return machine;
}

#define VLAN(name, subnet)                                                                      \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:network:vlan\",\"spec\":{" \
    "\"tag\":7,\"subnet\":\"" subnet "\"}}"
#define INSTANCES(name, network, count)                                                     \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"aws:ec2:instances\",\"spec\":{" \
    "\"instances\":" count "},\"references\":{\"subnet\":[\"" network "\"]}}"
/* more: further fields of the spec, with a comma before them. */
#define RULE(name, source, destination, more)                                                    \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:firewall:rule\",\"spec\":{" \
    "\"source\":\"" source "\",\"destination\":\"" destination "\"" more "}}"
#define SCHEDULE(name, windows)              \
    "{\"uid\":\"" name "\",\"name\":\"" name \
    "\",\"type\":\"opnsense:firewall:schedule\",\"spec\":{\"windows\":[" windows "]}}"
#define BACKEND(name, servers, port)                                                               \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:haproxy:backend\",\"spec\":{" \
    "\"port\":" port "},\"references\":{\"servers\":[\"" servers "\"]}}"
#define FRONTEND(name, network, port, backend)                                                 \
    "{\"uid\":\"" name "\",\"name\":\"" name                                                   \
    "\",\"type\":\"opnsense:haproxy:frontend\",\"spec\":{"                                     \
    "\"port\":" port "},\"references\":{\"network\":[\"" network "\"],\"backend\":[\"" backend \
    "\"]}}"
#define CLUSTER(name, network, count)                                                      \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"aws:rds:cluster\",\"spec\":{"  \
    "\"engine\":\"postgres\",\"version\":\"14\",\"instances\":" count "},\"references\":{" \
    "\"subnet\":[\"" network "\"]}}"
