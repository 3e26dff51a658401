#include "twin/trial.h"

#include "base/world.h"
#include "model/json.h"
#include "twin/cage.h"
#include "twin/cgroup.h"
#include "twin/desired.h"
#include "twin/firewall-log.h"
#include "twin/firewall.h"
#include "twin/network.h"
#include "twin/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What asks something of the kernel: two networks, a host, and a rule with all that rules can have.
 */
static const char platform[] =
    "[{\"uid\": \"left\", \"name\": \"left\", \"type\": \"opnsense:network:vlan\","
    "  \"spec\": {\"tag\": 1, \"subnet\": \"10.0.0.0/24\"}},"
    " {\"uid\": \"right\", \"name\": \"right\", \"type\": \"opnsense:network:vlan\","
    "  \"spec\": {\"tag\": 2, \"subnet\": \"10.0.1.0/24\"}},"
    " {\"uid\": \"hosts\", \"name\": \"hosts\", \"type\": \"aws:ec2:instances\","
    "  \"spec\": {\"instances\": 1, \"subnet\": \"left\"}, \"references\": {\"subnet\": [\"left\"]}},"
    " {\"uid\": \"friends\", \"name\": \"friends\", \"type\": \"opnsense:firewall:alias\","
    "  \"spec\": {\"kind\": \"network\", \"content\": [\"192.0.2.0/24\"]}},"
    " {\"uid\": \"rule\", \"name\": \"rule\", \"type\": \"opnsense:firewall:rule\","
    "  \"spec\": {\"action\": \"allow\", \"source\": \"friends\", \"destination\": \"left\","
    "            \"port\": 80, \"log\": true, \"rateLimit\": \"10/minute\"},"
    "  \"references\": {\"source\": [\"friends\"], \"destination\": [\"left\"]}}]";
#define HOST "hosts-0"

static void tell(struct value_builder *findings, bool is_error, const char *detail,
                 const char *help)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "is_error", value_bool(is_error));
    value_builder_set_string(&fields, "detail", detail);
    value_builder_set(&fields, "help", help ? value_string(help) : value_null());
    value_builder_append(findings, value_builder_map(&fields));
}

static int print(struct value_builder *take_findings)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "findings", value_builder_list(take_findings));
    CLEANUP(value_unrefp) struct value *all = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(all);
    return puts(text) < 0 || fflush(stdout) < 0 ? 1 : 0;
}

/* err is emptied. */
static int print_failure(struct error *err)
{
    struct value_builder findings = {0};
    CLEANUP(mem_freep)
    char *detail = string_format("No twin can stand on this machine: %s", error_message(err));
    error_done(err);
    tell(&findings, true, detail, NULL);
    return print(&findings);
}

/* --- The inner half --- */

static int read_platform(struct machine **ret_machine, struct error *err)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    CLEANUP(value_unrefp) struct value *resources = NULL;
    CLEANUP(value_unrefp) struct value *assigned = NULL;
    struct problems faults = {0};
    int r = json_read(platform, strlen(platform), &resources, err);
    for (size_t i = 0; r == 0 && i < value_count(resources); i++) {
        struct value *resource = value_at(resources, i);
        if ((r = manifest_check_resource(resource, err)) == 0)
            manifest_exchange(manifest, resource_uid(resource), value_ref(resource));
    }
    if (r == 0)
        desired_compute(manifest, &(struct desired_means){0}, ret_machine, &assigned, &faults);
    if (r == 0 && faults.n_items > 0)
        r = error_move(err, &faults.items[0].err);
    problems_done(&faults);
    return r;
}

static int stand(struct loop *loop, struct network *network, const struct machine *machine,
                 struct error *err)
{
    CLEANUP(firewall_freep) struct firewall *firewall = NULL;
    CLEANUP(cages_freep) struct cages *cages = NULL;
    pid_t pid;
    int r = network_extend(network, machine, err);
    if (r == 0)
        r = firewall_new(&firewall, err);
    if (r == 0)
        r = firewall_apply(firewall, machine, NULL, err);
    if (r == 0)
        r = cages_new(loop, network, &cages, err);
    return r == 0 ? cage_find(cages, HOST, &pid, err) : r;
}

/* Containers may show control groups without letting anybody write them. An ordinary user has none
 * anyway, which is told of each stack that would need them. */
static void try_groups(const char *name, struct value_builder *findings)
{
    static const struct machine_quota quota = {
        .cpu_milli = 1000, .memory = INT64_C(64) << 20, .processes = 64};
    CLEANUP(cgroups_freep) struct cgroups *cgroups = cgroups_find(name);
    struct error err = {0};
    if (!cgroups)
        return;
    if (cgroup_make(cgroups, HOST, &quota, &err) < 0) {
        CLEANUP(mem_freep)
        char *detail =
            string_format("A service with limits cannot start: %s.", error_message(&err));
        tell(findings, false, detail,
             "Leave the limits out, or run parley where root may write control groups (a container "
             "started with --privileged, or none).");
    }
    error_done(&err);
    cgroup_remove(cgroups, HOST);
}

/* What a twin can be without. */
static void try_rest(const char *name, struct value_builder *findings)
{
    try_groups(name, findings);
    struct twin twin = {.loop = loop_new(), .folder = SANDBOX_STATE};
    struct error err = {0};
    struct firewall_log *log = NULL;
    if (mkdir(SANDBOX_LOGS, 0700) < 0 || firewall_log_new(&twin, &log, &err) < 0)
        tell(findings, false,
             "Rules decide, but what they log is not told: this kernel has no "
             "log of packets for programs (NFLOG).",
             NULL);
    error_done(&err);
    firewall_log_free(log);
    loop_free(twin.loop);
}

static int try_all(const struct sandbox_origin *origin, int link)
{
    struct error err = {0};
    struct value_builder findings = {0};
    struct network *network = NULL;
    struct machine *machine = NULL;
    int r = sandbox_furnish(origin, link, &err);
    /* What is written goes with the namespaces. */
    if (r == 0 && mount("tmpfs", SANDBOX_STATE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700") < 0)
        r = error_set_errno(&err, errno, "mount a state folder of its own");
    if (r == 0)
        r = sandbox_find_users(&err);
    if (r == 0)
        r = network_new(&network, &err);
    if (r == 0)
        r = read_platform(&machine, &err);
    struct loop *loop = loop_new();
    if (r == 0)
        r = stand(loop, network, machine, &err);
    loop_free(loop);
    machine_unref(machine);
    network_free(network);
    if (r < 0)
        return print_failure(&err);
    try_rest(strrchr(origin->state_folder, '/') + 1, &findings);
    return print(&findings);
}

/* --- The outer half --- */

/* The inner half has printed what it found, unless it was ended before. */
static int wait_for(pid_t pid)
{
    struct error err = {0};
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    error_set(&err, ERROR_SYSTEM, "its first process was ended by signal %d", WTERMSIG(status));
    return print_failure(&err);
}

static int try_in(const char *folder, struct error *err)
{
    CLEANUP(mem_freep) char *program = NULL;
    struct sandbox_origin origin = {.state_folder = folder, .user = geteuid(), .group = getegid()};
    int links[2] = {-1, -1};
    pid_t pid;
    int r = world_program_path(&program, err);
    if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links) < 0)
        r = error_set_errno(err, errno, "make the link between the halves");
    if (r < 0)
        return r;
    origin.program = program;
    CLEANUP(close_descriptorp) int ours = links[0];
    CLEANUP(close_descriptorp) int theirs = links[1];
    if ((r = sandbox_split(&pid, err)) < 0)
        return r;
    if (pid == 0) {
        close_descriptor(ours);
        exit(try_all(&origin, theirs));
    }
    return wait_for(pid);
}

int trial_main(void)
{
    const char *parent = getenv("TMPDIR");
    struct error err = {0};
    CLEANUP(mem_freep)
    char *folder = string_format("%s/parley-trial-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder)) {
        error_set_errno(&err, errno, "make the folder %s", folder);
        return print_failure(&err);
    }
    int r = try_in(folder, &err);
    rmdir(folder);
    return r < 0 ? print_failure(&err) : r;
}
