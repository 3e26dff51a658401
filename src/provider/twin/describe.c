/* What to tell people of a twin: where it answers, how it is, how long certificates hold. */
#include "provider/twin/twin.h"

#include "base/map.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "provider/twin/client.h"

#include <string.h>

/* What is told, a section each; resources add lines to them. */
struct story {
    const struct twin_home *home;
    struct value_builder access_points;
    struct value_builder pages; /* those of who runs it; told after the public ones */
    struct value_builder health;
    bool is_unsettled; /* something of it is not ready */
};

__attribute__((format(printf, 2, 3))) static void add_line(struct value_builder *lines,
                                                           const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    value_builder_append(lines, value_string(strbuf_text(&text)));
    strbuf_done(&text);
}

static const char *mark_of(const char *state)
{
    if (text_equal(state, "ready"))
        return "\u25cf healthy";
    if (text_equal(state, "starting"))
        return "\u25cb starting";
    if (text_equal(state, "degraded"))
        return "\u25d0 degraded";
    return "\u25cb failed";
}

/* One resource as the supervisor describes it; all borrowed. */
struct subject {
    const char *name;
    const char *mark;
    bool is_ready;
    const struct value *status;
    const struct value *outputs;
};

static void tell_state(struct story *story, const struct subject *subject)
{
    add_line(&story->health, "%s: %s", subject->name, subject->mark);
}

/* The command that gets through from this machine: its names are known inside the twin only. */
static void add_curl(struct story *story, const struct subject *subject, const char *url)
{
    const char *name = strstr(url, "://");
    long long port = (long long)value_get_integer(subject->status, "host_port", 0);
    if (!name || !text_starts_with(url, "https://") || port == 0) {
        add_line(&story->access_points, "  curl %s", url);
        return;
    }
    name += strlen("://");
    add_line(&story->access_points,
             "  curl --cacert %s/authority/ca.crt --resolve %.*s:%lld:127.0.0.1 %s",
             story->home->folder, (int)strcspn(name, ":/"), name, port, url);
}

static void tell_frontend(struct story *story, const struct subject *subject)
{
    const char *outside = value_get_text(subject->status, "host_url");
    const char *inside = value_get_text(subject->outputs, "url");
    if (outside) {
        add_line(&story->access_points, "%s: %s", subject->name, outside);
        add_curl(story, subject, outside);
    } else if (inside) {
        add_line(&story->access_points, "%s: %s (inside the twin)", subject->name, inside);
    }
    if (!subject->is_ready)
        tell_state(story, subject);
}

static void tell_forward(struct story *story, const struct subject *subject)
{
    const char *address = value_get_text(subject->outputs, "address");
    const char *target = value_get_text(subject->outputs, "target");
    long long port = (long long)value_get_integer(subject->status, "host_port", 0);
    if (port != 0 && target)
        add_line(&story->access_points, "%s: 127.0.0.1:%lld (leads to %s)", subject->name, port,
                 target);
    else if (address && target)
        add_line(&story->access_points, "%s: %s inside the twin (leads to %s)", subject->name,
                 address, target);
}

/* Who has which address, by the network's own server; nothing where it has none. */
static void tell_leases(struct story *story, const struct subject *subject)
{
    const struct value *leases = value_get(value_get(subject->status, "dhcp"), "leases");
    size_t n = leases && value_kind(leases) == VALUE_LIST ? value_count(leases) : 0;
    if (leases)
        add_line(&story->health, "%s: %s (dhcp, %zu lease%s)", subject->name, subject->mark, n,
                 n == 1 ? "" : "s");
    else if (!subject->is_ready)
        tell_state(story, subject);
    for (size_t i = 0; i < n; i++) {
        const struct value *lease = value_at(leases, i);
        const char *host = value_get_text(lease, "hostname"), *mac = value_get_text(lease, "mac");
        const char *address = value_get_text(lease, "address"),
                   *end = value_get_text(lease, "ends");
        if (mac && address && end)
            add_line(&story->health, "%s: %s is leased to %s (%s) until %s", subject->name, address,
                     host ? host : "a stranger", mac, end);
    }
}

static void tell_backend(struct story *story, const struct subject *subject)
{
    const struct value *servers = value_get(subject->status, "servers");
    bool is_list = servers && value_kind(servers) == VALUE_LIST;
    add_line(&story->health, "%s: %s (%lld/%zu servers)", subject->name, subject->mark,
             (long long)value_get_integer(subject->status, "up", 0),
             is_list ? value_count(servers) : 0);
}

static void tell_certificate(struct story *story, const struct subject *subject)
{
    const char *expires = value_get_text(subject->status, "expires");
    if (subject->is_ready && expires)
        add_line(&story->health, "%s: \u25cf valid until %.10s", subject->name, expires);
    else
        add_line(&story->health, "%s: %s", subject->name, subject->mark);
}

static void tell_hosts(struct story *story, const struct subject *subject)
{
    const struct value *instances = value_get(subject->outputs, "instances");
    bool is_list = instances && value_kind(instances) == VALUE_LIST;
    int64_t n = is_list ? (int64_t)value_count(instances) : 0;
    int64_t n_wanted = value_get_integer(subject->status, "workloads", n);
    const struct value *members = value_get(subject->status, "members");
    add_line(&story->health, "%s: %s (%lld/%lld instances)", subject->name, subject->mark,
             (long long)value_get_integer(subject->status, "ready", n), (long long)n_wanted);
    for (size_t i = 0; members && i < value_count(members); i++) {
        const char *name = value_get_text(value_at(members, i), "name");
        const char *state = value_get_text(value_at(members, i), "state");
        if (name && state && !text_equal(state, "serving"))
            add_line(&story->health, "%s: %s is %s", subject->name, name, state);
    }
}

/* Programs that ended or do not answer; service is whose instances they are, or NULL. */
static void tell_away(struct story *story, const struct subject *subject, const char *service,
                      const struct value *programs)
{
    size_t n = programs && value_kind(programs) == VALUE_LIST ? value_count(programs) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = value_get_text(value_at(programs, i), "name");
        const char *state = value_get_text(value_at(programs, i), "state");
        const char *problem = value_get_text(value_at(programs, i), "problem");
        if (name && state && problem && !text_equal(state, "starting"))
            add_line(&story->health, "%s: %s%s%s is %s: %s", subject->name, service ? service : "",
                     service ? " on " : "", name, state, problem);
    }
}

/* A server whose data could not be kept. */
static void tell_copy(struct story *story, const struct subject *subject,
                      const struct value *member)
{
    const char *name = value_get_text(member, "name");
    const char *why = value_get_text(member, "copied_anew");
    if (name && why)
        add_line(&story->health, "%s: %s was copied anew from its primary: %s", subject->name, name,
                 why);
}

static void tell_database(struct story *story, const struct subject *subject)
{
    const struct value *members = value_get(subject->status, "members");
    bool is_list = members && value_kind(members) == VALUE_LIST;
    const char *primary = value_get_text(subject->status, "primary");
    size_t n_replicas = 0, n_streaming = 0;
    for (size_t i = 0; is_list && i < value_count(members); i++) {
        const struct value *member = value_at(members, i);
        const char *replication = value_get_text(member, "replication");
        n_replicas += text_equal_or_null(value_get_text(member, "role"), "replica");
        n_streaming += text_equal_or_null(replication, "streaming");
    }
    if (!primary)
        tell_state(story, subject);
    else if (n_replicas == 0)
        add_line(&story->health, "%s: %s (primary %s)", subject->name, subject->mark, primary);
    else
        add_line(&story->health, "%s: %s (primary %s, %zu/%zu replicas streaming)", subject->name,
                 subject->mark, primary, n_streaming, n_replicas);
    for (size_t i = 0; is_list && i < value_count(members); i++)
        tell_copy(story, subject, value_at(members, i));
    tell_away(story, subject, NULL, members);
}

/* What is served for who runs it, from this machine when there is a host port. */
static void tell_pages(struct story *story, const struct subject *subject, const char *health,
                       const char *remark)
{
    const char *inside = value_get_text(subject->outputs, "url");
    const char *outside = value_get_text(subject->status, "host_url");
    if (outside) {
        add_line(&story->pages, "%s: %s%s", subject->name, outside, remark);
        add_line(&story->pages, "  curl %s%s", outside, health);
    } else if (inside) {
        add_line(&story->pages, "%s: %s (inside the twin)%s", subject->name, inside, remark);
    }
}

/* Those whose newest message says that they fire; the list has the newest first. The monitor's own
 * test of the way to here has the severity none. */
static void tell_alerts(struct story *story, const struct subject *subject)
{
    const struct value *alerts = value_get(subject->status, "alerts");
    struct map told = {0};
    for (size_t i = 0; alerts && i < value_count(alerts); i++) {
        const struct value *alert = value_at(alerts, i);
        const char *host = value_get_text(alert, "host");
        const char *severity = value_get_text(alert, "severity");
        CLEANUP(mem_freep)
        char *what = string_format("%s%s%s (%s)", value_get_text(alert, "name"), host ? " of " : "",
                                   host ? host : "", severity ? severity : "");
        if (!map_has(&told, what) && !text_equal_or_null(severity, "none") &&
            text_equal_or_null(value_get_text(alert, "status"), "firing"))
            add_line(&story->health, "%s: alert %s", subject->name, what);
        map_put(&told, what, NULL);
    }
    map_done(&told);
}

static void tell_monitor(struct story *story, const struct subject *subject)
{
    const char *alertmanager = value_get_text(subject->outputs, "alertmanager");
    tell_pages(story, subject, "-/ready", "");
    if (alertmanager)
        add_line(&story->pages, "%s: Alertmanager at %s (inside the twin)", subject->name,
                 alertmanager);
    tell_state(story, subject);
    tell_away(story, subject, NULL, value_get(subject->status, "programs"));
    tell_alerts(story, subject);
}

static void tell_dashboards(struct story *story, const struct subject *subject)
{
    const char *fidelity = value_get_text(subject->status, "fidelity");
    if (text_equal_or_null(fidelity, "real"))
        tell_pages(story, subject, "api/health", " (Grafana)");
    else
        tell_pages(story, subject, "-/ready", " (Prometheus' own pages)");
    tell_state(story, subject);
}

/* Instances that are not well, and those of which nobody knows. */
static void tell_health(struct story *story, const struct subject *subject, const char *service,
                        const struct value *instances)
{
    size_t n = instances && value_kind(instances) == VALUE_LIST ? value_count(instances) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = value_get_text(value_at(instances, i), "name");
        const char *health = value_get_text(value_at(instances, i), "health");
        const char *problem = value_get_text(value_at(instances, i), "health_problem");
        if (name && health && !text_equal(health, "healthy"))
            add_line(&story->health, "%s: %s on %s is %s%s%s", subject->name, service, name, health,
                     problem ? ": " : "", problem ? problem : "");
    }
}

static void tell_stack(struct story *story, const struct subject *subject)
{
    const struct value *services = value_get(subject->status, "services");
    tell_state(story, subject);
    for (size_t i = 0; services && i < value_count(services); i++) {
        const struct value *instances = value_get(value_at(services, i), "instances");
        tell_away(story, subject, value_key_at(services, i), instances);
        tell_health(story, subject, value_key_at(services, i), instances);
    }
}

static const struct {
    const char *type;
    void (*tell)(struct story *story, const struct subject *subject);
} tellers[] = {
    {"opnsense:network:vlan", tell_leases},      {"opnsense:haproxy:frontend", tell_frontend},
    {"opnsense:haproxy:backend", tell_backend},  {"opnsense:nat:portforward", tell_forward},
    {"aws:autoscaling:group", tell_hosts},       {"aws:ec2:instances", tell_hosts},
    {"aws:rds:cluster", tell_database},          {"aws:acm:certificate", tell_certificate},
    {"docker:compose:stack", tell_stack},        {"k8s:deployment:prometheus", tell_monitor},
    {"k8s:deployment:grafana", tell_dashboards},
};

/* Most things are told of only when they are not well. */
static void tell(struct story *story, const struct value *resource)
{
    const char *type = value_get_text(resource, "type");
    const char *name = value_get_text(resource, "name");
    const struct value *status = value_get(resource, "status");
    const char *state = value_get_text(status, "state");
    const char *problem = value_get_text(status, "problem");
    if (!type || !name)
        return;
    state = state ? state : "ready";
    struct subject subject = {name, mark_of(state), text_equal(state, "ready"), status,
                              value_get(resource, "outputs")};
    story->is_unsettled = story->is_unsettled || !subject.is_ready;
    size_t i = 0;
    while (i < ARRAY_LENGTH(tellers) && !text_equal(tellers[i].type, type))
        i++;
    if (i < ARRAY_LENGTH(tellers))
        tellers[i].tell(story, &subject);
    else if (!subject.is_ready)
        tell_state(story, &subject);
    long long restarts = (long long)value_get_integer(status, "restarts", 0);
    if (restarts > 0)
        add_line(&story->health, "%s: started again %lld time%s since the twin began", name,
                 restarts, restarts == 1 ? "" : "s");
    if (problem)
        add_line(&story->health, "%s: %s", name, problem);
}

static void add_section(struct value_builder *sections, const char *title,
                        struct value_builder *lines, bool is_settled)
{
    if (lines->n_items == 0)
        return;
    struct value_builder section = {0};
    value_builder_set_string(&section, "title", title);
    value_builder_set(&section, "lines", value_builder_list(lines));
    value_builder_set(&section, "settled", value_bool(is_settled));
    value_builder_append(sections, value_builder_map(&section));
}

/* Nobody runs: all there is to say is how to change that. */
static int tell_stopped(struct twin_provider *twin, const struct string_list *uids,
                        struct story *story, struct error *err)
{
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    int r = twin_see_manifest(twin, &manifest, err);
    for (size_t i = 0; r == 0 && i < uids->n_items; i++) {
        if (!twin_manifest_find(manifest, uids->items[i]))
            continue;
        add_line(&story->health, "the twin is stopped; parley up starts it again");
        return 0;
    }
    return r;
}

static void tell_all(const struct value *resources, const struct string_list *uids,
                     struct story *story)
{
    struct map asked = {0};
    for (size_t i = 0; i < uids->n_items; i++)
        map_put(&asked, uids->items[i], NULL);
    for (size_t i = 0; resources && i < value_count(resources); i++) {
        const struct value *resource = value_at(resources, i);
        const char *uid = value_get_text(resource, "uid");
        if (uid && map_has(&asked, uid))
            tell(story, resource);
    }
    map_done(&asked);
}

CO_FN int twin_describe(struct provider *provider, struct call *call,
                        const struct string_list *uids, struct value **ret_sections,
                        struct error *err)
{
    const struct twin_home *home = &twin_of(provider)->home;
    struct value_builder request = twin_request("list");
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    struct twin_answer answer = {0};
    struct story story = {.home = home};
    struct value_builder sections = {0};
    struct error problem = {0};
    int r = twin_ask(home, call, message, &answer, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        r = tell_stopped(twin_of(provider), uids, &story, &problem);
    } else if (r == 0) {
        tell_all(value_get(answer.value, "resources"), uids, &story);
    }
    for (size_t i = 0; i < story.pages.n_items; i++)
        value_builder_append(&story.access_points, value_ref(story.pages.items[i]));
    add_section(&sections, "Access points", &story.access_points, true);
    add_section(&sections, "Health", &story.health, !story.is_unsettled);
    struct value *list = value_builder_list(&sections);
    value_builder_done(&story.access_points);
    value_builder_done(&story.pages);
    value_builder_done(&story.health);
    twin_answer_done(&answer);
    if (r < 0) {
        value_unref(list);
        return error_move(err, &problem);
    }
    *ret_sections = list;
    return 0;
}

/* --- While it is made --- */

/* More of them are not told one by one. */
#define PARTS_TOLD 10

__attribute__((format(printf, 2, 3))) static void tell_part(const struct call *call,
                                                            const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    call->progress(call->argument, strbuf_text(&text));
    strbuf_done(&text);
}

static void tell_instances(const struct call *call, const struct value *instances)
{
    size_t n = instances && value_kind(instances) == VALUE_LIST ? value_count(instances) : 0;
    for (size_t i = 0; i < n && i < PARTS_TOLD; i++) {
        const char *name = value_get_text(value_at(instances, i), "name");
        const char *address = value_get_text(value_at(instances, i), "address");
        if (name && address)
            tell_part(call, "%s: %s", name, address);
    }
    if (n > PARTS_TOLD)
        tell_part(call, "and %zu more", n - PARTS_TOLD);
}

static void tell_members(const struct call *call, const struct value *members)
{
    size_t n = members && value_kind(members) == VALUE_LIST ? value_count(members) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *role = value_get_text(value_at(members, i), "role");
        const char *name = value_get_text(value_at(members, i), "name");
        const char *state = value_get_text(value_at(members, i), "state");
        if (role && name && state)
            tell_part(call, "%s %s: %s", role, name, state);
    }
}

void twin_tell_parts(const struct call *call, const char *type, const struct value *answer)
{
    const struct value *status = value_get(answer, "status");
    if (!call->progress)
        return;
    if (text_equal(type, "aws:autoscaling:group") || text_equal(type, "aws:ec2:instances"))
        tell_instances(call, value_get(value_get(answer, "outputs"), "instances"));
    else if (text_equal(type, "aws:rds:cluster"))
        tell_members(call, value_get(status, "members"));
    else if (text_equal(type, "opnsense:haproxy:backend"))
        tell_part(call, "%lld servers active", (long long)value_get_integer(status, "up", 0));
    else if (text_equal(type, "aws:acm:certificate") && value_get_text(status, "expires"))
        tell_part(call, "valid until %.10s", value_get_text(status, "expires"));
}
