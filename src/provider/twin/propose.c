/*
 * What this machine cannot do for a step, or only stands in for: looked up in files, so that a plan
 * starts nothing. What the catalog says of every twin is not repeated here.
 */
#include "provider/twin/twin.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "net/namespaces.h"
#include "net/program.h"
#include "provider/twin/client.h"
#include "provider/twin/image.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define POSTGRES_FOLDER "/usr/lib/postgresql"

static const struct position nowhere;

/* --- Programs --- */

struct requirement {
    const char *type;
    const char *program;
    const char *package; /* of Debian */
};

static const struct requirement requirements[] = {
    {"opnsense:haproxy:frontend", "haproxy", "haproxy"},
    {"k8s:deployment:prometheus", "prometheus", "prometheus"},
    {"k8s:deployment:prometheus", "prometheus-alertmanager", "prometheus-alertmanager"},
};

static void check_program(const struct requirement *needed, const struct target *target,
                          struct diagnostics *diagnostics)
{
    if (program_find(needed->program, NULL))
        return;
    CLEANUP(mem_freep) char *help = string_format("apt-get install %s", needed->package);
    diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, help,
                    "%s needs the program %s of the Debian package %s, which is not installed "
                    "on this machine.",
                    target->address, needed->program, needed->package);
}

/* Grafana is in no package of Debian: without it there is something to see nevertheless. */
static void check_grafana(const struct target *target, struct diagnostics *diagnostics)
{
    if (program_find_kit(&program_grafana, NULL, NULL))
        return;
    diagnostics_note(
        diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN, nowhere,
        "To have Grafana itself, install it so that grafana or grafana-server is in PATH.",
        "%s: Grafana is not installed on this machine (Debian has no package of it); "
        "Prometheus' own pages stand in for it.",
        target->address);
}

/* What measures more where it is installed; without it the platform stands all the same. */
static void check_exporters(const struct target *target, struct diagnostics *diagnostics)
{
    static const struct {
        const char *program, *unmeasured;
    } exporters[] = {
        {"prometheus-node-exporter", "the processors and the memory of this machine as a whole"},
        {"prometheus-blackbox-exporter",
         "whether the doors of load balancers take connections, and the certificates they show"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(exporters); i++) {
        if (program_find(exporters[i].program, NULL))
            continue;
        CLEANUP(mem_freep) char *help = string_format("apt-get install %s", exporters[i].program);
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_CANNOT_SERVE, nowhere, help,
                         "%s does not measure %s: the program %s is not installed.",
                         target->address, exporters[i].unmeasured, exporters[i].program);
    }
}

/* Alerts that no monitor names are kept, and asked by nobody. */
static void check_alerts(const struct target *target, const struct value *spec,
                         struct diagnostics *diagnostics)
{
    const struct value *rules = value_get(spec, "rules");
    if (!*target->uid || (!value_is_null(rules) && value_count(rules) > 0))
        return;
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                     "Name the k8s:configmap:alerts that it evaluates under \"rules\".",
                     "%s: it evaluates no alerts, since its \"rules\" name none.", target->address);
}

/* --- PostgreSQL --- */

static int find_newest(void *argument, const char *name, struct error *err)
{
    (void)err;
    int64_t *newest = argument;
    int64_t version;
    CLEANUP(mem_freep) char *program = string_format(POSTGRES_FOLDER "/%s/bin/initdb", name);
    if (text_to_integer(name, &version) && version > *newest && world_file_exists(program))
        *newest = version;
    return 0;
}

/* The version that the twin will run: the newest one, as Debian installs them; 0 when it cannot be
 * told, -1 when there is none. */
static int64_t find_postgres(void)
{
    int64_t newest = 0;
    (void)world_list_folder(POSTGRES_FOLDER, find_newest, &newest, NULL);
    if (newest > 0)
        return newest;
    return program_find("postgres", NULL) && program_find("initdb", NULL) ? 0 : -1;
}

static void check_database(const struct target *target, const struct value *spec,
                           struct diagnostics *diagnostics)
{
    int64_t installed = find_postgres();
    if (installed < 0) {
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "apt-get install postgresql-15",
                        "%s needs PostgreSQL of the Debian package postgresql-15, which is not "
                        "installed on this machine.",
                        target->address);
        return;
    }
    const char *asked = value_get_text(spec, "version");
    CLEANUP(mem_freep)
    char *major = string_copy_n(asked ? asked : "", asked ? strcspn(asked, ".") : 0);
    int64_t number;
    if (!text_to_integer(major, &number) || installed == 0 || number == installed)
        return;
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN, nowhere, NULL,
                     "%s asks for PostgreSQL %s; PostgreSQL %lld of this machine stands in for it.",
                     target->address, asked, (long long)installed);
}

/* --- Namespaces --- */

/* Machine-wide faults are told once, not at each step. */
static bool is_told(const struct diagnostics *diagnostics, const char *detail)
{
    for (size_t i = 0; i < diagnostics->n_items; i++)
        if (text_equal(diagnostics->items[i].detail, detail))
            return true;
    return false;
}

static void add_once(struct diagnostics *diagnostics, const char *help, const char *detail)
{
    if (!is_told(diagnostics, detail))
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, help, "%s", detail);
}

/* What is not certain is only told, and not to who asks without wanting anything: he has a twin
 * made on trial, see twin_try(). */
static void check_namespaces(const struct target *target, struct diagnostics *diagnostics)
{
    struct namespaces_obstacle obstacle;
    if (!namespaces_find_obstacle(&obstacle))
        return;
    if ((obstacle.is_certain || *target->uid) && !is_told(diagnostics, obstacle.detail))
        diagnostics_note(diagnostics, obstacle.is_certain ? DIAGNOSTIC_ERROR : DIAGNOSTIC_NOTE,
                         DIAGNOSTIC_CANNOT_SERVE, nowhere, obstacle.help, "%s", obstacle.detail);
    namespaces_obstacle_done(&obstacle);
}

static void check_supervisor(struct diagnostics *diagnostics)
{
    CLEANUP(mem_freep) char *program = twin_program();
    if (strchr(program, '/') || program_find(program, NULL))
        return;
    add_once(diagnostics, "Install parley as a whole, or put parley-twin into a folder of PATH.",
             "The twin's supervisor, the program parley-twin, is neither beside parley nor in "
             "PATH.");
}

/* --- Tunnels --- */

/* Whether the kernel may have WireGuard, by what it shows of itself. */
static bool has_wireguard(void)
{
    struct utsname system = {0};
    uname(&system);
    CLEANUP(mem_freep)
    char *module = string_format("/lib/modules/%s/kernel/drivers/net/wireguard", system.release);
    return world_file_exists("/sys/module/wireguard") || world_file_exists(module);
}

/* Of a tunnel that nobody wants, when all types are looked at, it is only told. */
static void check_tunnel(const struct target *target, const struct value *spec,
                         struct diagnostics *diagnostics)
{
    bool is_wanted = !value_is_null(value_get(spec, "subnet"));
    diagnostics_note(diagnostics, is_wanted ? DIAGNOSTIC_ERROR : DIAGNOSTIC_NOTE,
                     DIAGNOSTIC_CANNOT_SERVE, nowhere,
                     is_wanted ? "Take it out for this site, or give it to another instance with "
                                 "\"on:\"."
                               : NULL,
                     "%s: the twin makes no tunnels%s.", target->address,
                     has_wireguard() ? "" : ", and this machine's kernel has no WireGuard");
}

/* --- Hosts that go --- */

/* Where it cannot be read there is a reason, which the reading of the plan tells. */
static CO_FN void check_hosts(struct provider *provider, struct call *call,
                              const struct target *target, const struct step *step,
                              struct diagnostics *diagnostics)
{
    struct live live = {0};
    if (step->kind != STEP_UPDATE)
        return;
    if (twin_is_group(target))
        provider->ops->read(provider, call, target, &live, NULL);
    twin_tell_hosts(target, step, live.outputs, diagnostics);
    live_done(&live);
}

CO_FN int twin_propose(struct provider *provider, struct call *call, const struct target *target,
                       const struct step *step, struct value **ret_after,
                       struct diagnostics *diagnostics, struct error *err)
{
    (void)err; /* but for the engine of an image, it keeps what it is asked for */
    const char *type = target->type->name;
    if (step->kind == STEP_DELETE && text_equal(type, "docker:compose:stack"))
        twin_tell_volumes(target, step->before, diagnostics);
    if (step->kind != STEP_CREATE && step->kind != STEP_UPDATE)
        return 0;
    if (!type_find_driver(target->type, "twin")) {
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Give it to another instance with \"on:\".",
                        "%s: the twin does not serve the type %s.", target->address, type);
        return 0;
    }
    check_supervisor(diagnostics);
    check_namespaces(target, diagnostics);
    for (size_t i = 0; i < ARRAY_LENGTH(requirements); i++)
        if (text_equal(type, requirements[i].type))
            check_program(&requirements[i], target, diagnostics);
    if (text_equal(type, "opnsense:network:vlan"))
        twin_check_leases(target, step->after, diagnostics);
    if (text_starts_with(type, "opnsense:"))
        twin_check_firewall(target, step->after, diagnostics);
    if (twin_is_image(target))
        twin_image_propose(twin_of(provider), call, target, step, ret_after, diagnostics);
    if (text_equal(type, "docker:compose:stack"))
        twin_check_stack(target, step->after, diagnostics);
    if (twin_is_group(target) || text_equal(type, "aws:ec2:instances"))
        check_hosts(provider, call, target, step, diagnostics);
    if (text_equal(type, "aws:rds:cluster"))
        check_database(target, step->after, diagnostics);
    if (text_equal(type, "opnsense:vpn:wireguard"))
        check_tunnel(target, step->after, diagnostics);
    if (text_equal(type, "k8s:deployment:grafana") && step->kind == STEP_CREATE)
        check_grafana(target, diagnostics);
    if (text_equal(type, "k8s:deployment:prometheus") && step->kind == STEP_CREATE)
        check_exporters(target, diagnostics);
    if (text_equal(type, "k8s:deployment:prometheus"))
        check_alerts(target, step->after, diagnostics);
    twin_tell_interruptions(target, step, diagnostics);
    return 0;
}
