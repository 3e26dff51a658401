/* From the manifest to the desired machine: the table of types, and what its functions share. */
#include "twin/desired.h"

#include "base/text.h"
#include "twin/desiring.h"
#include "twin/module.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ON(module) (1u << MODULE_##module)

struct type_reader {
    const char *type;
    int (*desire)(struct desiring *desiring);
    unsigned int modules;
    const char *stand_in; /* what is not the real thing; NULL when it is */
};

/* In the order in which they are read: what is referred to comes first. */
static const struct type_reader readers[] = {
    {"opnsense:network:vlan", desire_vlan, ON(DHCP), NULL},
    {"opnsense:firewall:alias", desire_alias, 0, NULL},
    {"opnsense:firewall:schedule", desire_schedule, 0, NULL},
    {"opnsense:firewall:rule", desire_rule, ON(BALANCER) | ON(ENTRANCE), NULL},
    {"aws:acm:certificate", desire_certificate, ON(CERTIFICATE),
     "signed by the twin's own authority"},
    {"aws:autoscaling:group", desire_group, ON(DHCP) | ON(WORKLOAD) | ON(BALANCER),
     "its hosts are network namespaces"},
    {"aws:ec2:instances", desire_instances, ON(DHCP) | ON(WORKLOAD) | ON(BALANCER),
     "its hosts are network namespaces"},
    {"aws:rds:cluster", desire_cluster, ON(DATABASE), NULL},
    {"opnsense:haproxy:backend", desire_backend, ON(BALANCER), NULL},
    {"opnsense:haproxy:frontend", desire_frontend, ON(BALANCER) | ON(ENTRANCE), NULL},
    {"opnsense:nat:portforward", desire_port_forward, ON(ENTRANCE), NULL},
    {"opnsense:nat:outbound", desire_outbound, 0, NULL},
    {"docker:image:build", desire_image, ON(WORKLOAD) | ON(BALANCER),
     "a built-in workload runs in its place"},
    {"docker:compose:stack", desire_stack, ON(WORKLOAD) | ON(BALANCER),
     "a built-in workload runs in place of its images"},
    {"k8s:configmap:alerts", desire_alerts, ON(MONITOR), NULL},
    {"k8s:deployment:prometheus", desire_prometheus, ON(MONITOR) | ON(ENTRANCE), NULL},
    {"k8s:deployment:grafana", desire_grafana, ON(MONITOR) | ON(DASHBOARDS) | ON(ENTRANCE),
     "Prometheus serves its own pages, since this machine has no Grafana"},
};

static const struct type_reader *find_reader(const char *type)
{
    for (size_t i = 0; i < ARRAY_LENGTH(readers); i++) {
        if (text_equal(readers[i].type, type))
            return &readers[i];
    }
    return NULL;
}

bool desired_has_type(const char *type)
{
    return find_reader(type) != NULL;
}

unsigned int desired_modules(const char *type)
{
    const struct type_reader *reader = find_reader(type);
    assert(reader);
    return reader->modules;
}

/* Whether it has services and each of them runs its own image. */
static bool runs_images(const struct machine *machine, const char *uid)
{
    size_t n_services = 0;
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        if (!text_equal(workload->resource, uid))
            continue;
        if (!workload->built)
            return false;
        n_services++;
    }
    return n_services > 0;
}

const char *desired_stand_in(const struct machine *machine, const struct value *resource)
{
    const struct type_reader *reader = find_reader(resource_type(resource));
    assert(reader);
    const struct value *built = value_get(resource, "built");
    const char *missing = built ? value_get_text(built, "missing") : NULL;
    if (missing)
        return missing;
    if (machine_find_dashboards(machine, resource_uid(resource)) || built ||
        runs_images(machine, resource_uid(resource)))
        return NULL;
    return reader->stand_in;
}

int desiring_fault(struct desiring *desiring, enum error_code code, const char *format, ...)
{
    struct strbuf text = {0};
    struct error err = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    error_set(&err, code, "%s: %s", resource_name(desiring->resource), strbuf_text(&text));
    problems_add(desiring->faults, resource_uid(desiring->resource), &err);
    strbuf_done(&text);
    return -(int)code;
}

const struct value *desiring_spec(const struct desiring *desiring)
{
    return resource_spec(desiring->resource);
}

/* A field that is there and not null. */
static const struct value *find_field(const struct value *map, const char *field)
{
    const struct value *value = value_get(map, field);
    return value_is_null(value) ? NULL : value;
}

int spec_text(struct desiring *desiring, const struct value *map, const char *field,
              const char *fallback, const char **ret_text)
{
    const struct value *value = find_field(map, field);
    if (value && value_kind(value) != VALUE_STRING)
        return desiring_fault(desiring, ERROR_INVALID, "%s is not a text", field);
    const char *text = value ? value_text(value) : fallback;
    /* What comes from outside ends up in configuration files, line by line. */
    for (const char *c = text; c && *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return desiring_fault(desiring, ERROR_INVALID, "%s has a control character", field);
    }
    *ret_text = text;
    return 0;
}

int spec_integer(struct desiring *desiring, const struct value *map, const char *field,
                 const struct spec_range *range, int64_t *ret_integer)
{
    const struct value *value = find_field(map, field);
    if (value && value_kind(value) != VALUE_INTEGER)
        return desiring_fault(desiring, ERROR_INVALID, "%s is not a whole number", field);
    int64_t integer = value ? value_to_integer(value) : range->fallback;
    if (value && (integer < range->minimum || integer > range->maximum))
        return desiring_fault(desiring, ERROR_INVALID, "%s is %lld; it must be from %lld to %lld",
                              field, (long long)integer, (long long)range->minimum,
                              (long long)range->maximum);
    *ret_integer = integer;
    return 0;
}

int spec_choice(struct desiring *desiring, const char *field, const char *const *allowed,
                size_t n_allowed, size_t *ret_choice)
{
    const char *text = NULL;
    int r = spec_text(desiring, desiring_spec(desiring), field, allowed[0], &text);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n_allowed; i++) {
        if (text_equal(allowed[i], text)) {
            *ret_choice = i;
            return 0;
        }
    }
    return desiring_fault(desiring, ERROR_INVALID, "%s cannot be \"%s\"", field, text);
}

int spec_bool(struct desiring *desiring, const char *field, bool fallback, bool *ret_bool)
{
    const struct value *value = find_field(desiring_spec(desiring), field);
    if (value && value_kind(value) != VALUE_BOOL)
        return desiring_fault(desiring, ERROR_INVALID, "%s is neither true nor false", field);
    *ret_bool = value ? value_to_bool(value) : fallback;
    return 0;
}

int64_t desired_duration(const char *text, int64_t fallback)
{
    static const struct {
        const char *unit;
        int64_t microseconds;
    } units[] = {{"ms", 1000},
                 {"s", 1000000},
                 {"m", INT64_C(60) * 1000000},
                 {"h", INT64_C(3600) * 1000000},
                 {"d", INT64_C(86400) * 1000000}};
    enum { MOST = 1000000 };
    char *end = NULL;
    long long number = text ? strtoll(text, &end, 10) : 0;
    for (size_t i = 0; number > 0 && number <= MOST && i < ARRAY_LENGTH(units); i++)
        if (text_equal(end, units[i].unit))
            return number * units[i].microseconds;
    return fallback;
}

int spec_health_check(struct desiring *desiring, const struct value *map, const char **ret_path)
{
    const char *path = NULL;
    int r = spec_text(desiring, map, "healthCheck", NULL, &path);
    if (r < 0)
        return r;
    if (path && (path[0] != '/' || strlen(path) > 1024 || strpbrk(path, " \"'\\#")))
        return desiring_fault(desiring, ERROR_INVALID, "healthCheck is not a path such as /health");
    *ret_path = desiring_text(desiring, path);
    return 0;
}

const struct value *spec_item(const struct desiring *desiring, const char *field, size_t index)
{
    const struct value *value = find_field(desiring_spec(desiring), field);
    if (value && (value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET))
        return index < value_count(value) ? value_at(value, index) : NULL;
    return index == 0 ? value : NULL;
}

bool spec_is_name(const struct value *item)
{
    const char *text = value_kind(item) == VALUE_STRING ? value_text(item) : "";
    return text[0] >= 'a' && text[0] <= 'z' && !strchr(text, ':');
}

/* References of a list stand at "servers" as a list, or one by one at "servers[0]". */
static const char *reference_at(const struct value *resource, const char *path, size_t index)
{
    const struct value *references = value_get(resource, "references");
    const struct value *uids = value_get(references, path);
    if (uids)
        return index < value_count(uids) ? value_text(value_at(uids, index)) : NULL;
    CLEANUP(mem_freep) char *item = string_format("%s[%zu]", path, index);
    return resource_reference(resource, item);
}

const char *spec_reference_uid(const struct desiring *desiring, const char *path, size_t index)
{
    return reference_at(desiring->resource, path, index);
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at++) {
        if ((at == words || at[-1] == ' ') && (at[length] == '\0' || at[length] == ' '))
            return true;
    }
    return false;
}

int spec_reference_at(struct desiring *desiring, const char *path, size_t index, const char *types,
                      void **ret_built)
{
    const char *uid = reference_at(desiring->resource, path, index);
    if (!uid) {
        *ret_built = NULL;
        return 0;
    }
    const struct value *target = manifest_find(desiring->manifest, uid);
    if (!target)
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "%s refers to a resource that is not on this twin (%s)", path, uid);
    if (!has_word(types, resource_type(target)))
        return desiring_fault(desiring, ERROR_INVALID, "%s refers to %s, which is a %s", path,
                              resource_name(target), resource_type(target));
    void *built = map_get(&desiring->built, uid);
    if (!built)
        return desiring_fault(desiring, ERROR_CONFLICT, "%s refers to %s, which is faulty", path,
                              resource_name(target));
    *ret_built = built;
    return 0;
}

int spec_reference(struct desiring *desiring, const char *path, const char *types, bool is_required,
                   void **ret_built)
{
    int r = spec_reference_at(desiring, path, 0, types, ret_built);
    if (r == 0 && is_required && !*ret_built)
        return desiring_fault(desiring, ERROR_INVALID, "%s refers to nothing; the twin needs it",
                              path);
    return r;
}

const char *spec_reference_type(const struct desiring *desiring, const char *path)
{
    const char *uid = reference_at(desiring->resource, path, 0);
    const struct value *target = uid ? manifest_find(desiring->manifest, uid) : NULL;
    return target ? resource_type(target) : NULL;
}

const char *desiring_text(struct desiring *desiring, const char *text)
{
    return text ? machine_text(desiring->machine, "%s", text) : NULL;
}

const char *desiring_label(struct desiring *desiring)
{
    return desiring_text(desiring,
                         assign_label(&desiring->assignments, resource_uid(desiring->resource),
                                      resource_name(desiring->resource)));
}

void desiring_built(struct desiring *desiring, void *built)
{
    map_put(&desiring->built, resource_uid(desiring->resource), built);
}

static int by_name(const void *a, const void *b)
{
    const struct value *left = *(struct value *const *)a, *right = *(struct value *const *)b;
    int order = strcmp(resource_name(left), resource_name(right));
    return order ? order : strcmp(resource_uid(left), resource_uid(right));
}

/* The resources in the order of their names, so that the machine does not depend on arrival. */
static struct value **sort_resources(const struct manifest *manifest)
{
    struct value **sorted = NEW_ARRAY(struct value *, manifest->resources.n_live + 1);
    size_t n = 0, cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));)
        sorted[n++] = entry->value;
    qsort(sorted, n, sizeof(struct value *), by_name);
    return sorted;
}

static void desire_type(struct desiring *desiring, const struct type_reader *reader,
                        struct value *const *sorted)
{
    for (size_t i = 0; sorted[i]; i++) {
        if (!text_equal(resource_type(sorted[i]), reader->type))
            continue;
        desiring->resource = sorted[i];
        reader->desire(desiring);
    }
}

static void refuse_unknown_types(struct desiring *desiring, struct value *const *sorted)
{
    for (size_t i = 0; sorted[i]; i++) {
        desiring->resource = sorted[i];
        if (!desired_has_type(resource_type(sorted[i])))
            desiring_fault(desiring, ERROR_UNSUPPORTED, "the twin does not serve the type %s",
                           resource_type(sorted[i]));
    }
}

void desired_compute(const struct manifest *manifest, const struct desired_means *means,
                     struct machine **ret_machine, struct value **ret_assigned,
                     struct problems *faults)
{
    struct desiring desiring = {
        .manifest = manifest, .means = means, .machine = machine_new(), .faults = faults};
    struct value **sorted = sort_resources(manifest);
    assignments_init(&desiring.assignments, manifest->assigned);
    desire_outside(&desiring);
    refuse_unknown_types(&desiring, sorted);
    for (size_t i = 0; i < ARRAY_LENGTH(readers); i++)
        desire_type(&desiring, &readers[i], sorted);
    desire_consequences(&desiring);
    *ret_assigned = assignments_finish(&desiring.assignments);
    *ret_machine = desiring.machine;
    assignments_done(&desiring.assignments);
    map_done(&desiring.built);
    mem_free(sorted);
}
