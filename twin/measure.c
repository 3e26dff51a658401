#include "twin/measure.h"

#include "base/map.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/balancer-limits.h"
#include "twin/converge.h"
#include "twin/network.h"
#include "twin/process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 1024 };

/* A host of now, and what it has used since the twin began. */
struct host_use {
    const struct machine_host *host; /* borrowed for one look; NULL: it is gone */
    ino_t namespace;
    uint64_t ticks; /* counts up */
    int64_t memory;
    unsigned int n_processes;
};

/* A process as of the last look. */
struct seen {
    pid_t pid;
    uint64_t begin, ticks;
};

struct measure {
    struct twin *twin;
    struct map uses; /* host -> owned struct host_use */
    struct seen *seen;
    size_t n_seen, seen_capacity;
};

struct measure *measure_new(struct twin *twin)
{
    struct measure *measure = NEW(struct measure);
    measure->twin = twin;
    return measure;
}

void measure_free(struct measure *measure)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&measure->uses, &cursor));)
        mem_free(entry->value);
    map_done(&measure->uses);
    mem_free(measure->seen);
    mem_free(measure);
}

/* --- Processes --- */

static bool read_small(int folder, const char *name, char ret_text[TEXT_SIZE])
{
    CLEANUP(close_descriptorp) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret_text, TEXT_SIZE - 1);
    ret_text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The field of that number, as proc(5) counts them; the second one may hold blanks and brackets. */
static bool stat_field(const char *text, int number, uint64_t *ret_value)
{
    const char *at = strrchr(text, ')');
    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    if (!at || !isdigit((unsigned char)at[1]))
        return false;
    *ret_value = strtoull(at + 1, NULL, 10);
    return true;
}

bool measure_parse_stat(const char *text, uint64_t *ret_ticks, uint64_t *ret_begin)
{
    uint64_t user = 0, system = 0;
    if (!stat_field(text, 14, &user) || !stat_field(text, 15, &system) ||
        !stat_field(text, 22, ret_begin))
        return false;
    *ret_ticks = user + system;
    return true;
}

/* Resident pages that are not shared. */
static int64_t own_memory(int folder)
{
    char text[TEXT_SIZE];
    unsigned long long resident = 0, shared = 0;
    if (!read_small(folder, "statm", text))
        return 0;
    char *end = text;
    strtoull(end, &end, 10);
    resident = strtoull(end, &end, 10);
    shared = strtoull(end, &end, 10);
    return resident > shared ? (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE) : 0;
}

static const struct seen *find_seen(const struct seen *seen, size_t n, pid_t pid, uint64_t begin)
{
    for (size_t i = 0; i < n; i++)
        if (seen[i].pid == pid && seen[i].begin == begin)
            return &seen[i];
    return NULL;
}

struct look {
    struct measure *measure;
    struct host_use **uses; /* of the hosts that are there */
    size_t n_uses;
    struct seen *before;
    size_t n_before;
};

static void look_at_process(struct look *look, const char *name, int folder)
{
    struct measure *measure = look->measure;
    struct stat status;
    struct seen now = {.pid = (pid_t)strtol(name, NULL, 10)};
    char text[TEXT_SIZE];
    struct host_use *use = NULL;
    if (fstatat(folder, "ns/net", &status, 0) < 0 ||
        processes_keeps(measure->twin->processes, now.pid))
        return;
    for (size_t i = 0; i < look->n_uses && !use; i++)
        if (look->uses[i]->namespace == status.st_ino)
            use = look->uses[i];
    if (!use || !read_small(folder, "stat", text) ||
        !measure_parse_stat(text, &now.ticks, &now.begin))
        return;
    const struct seen *before = find_seen(look->before, look->n_before, now.pid, now.begin);
    use->ticks += now.ticks - (before && before->ticks <= now.ticks ? before->ticks : 0);
    use->memory += own_memory(folder);
    use->n_processes++;
    ARRAY_RESERVE(measure->seen, measure->n_seen, measure->seen_capacity);
    measure->seen[measure->n_seen++] = now;
}

static void look_at_processes(struct look *look)
{
    DIR *entries = opendir("/proc");
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        CLEANUP(close_descriptorp)
        int folder = openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0)
            look_at_process(look, entry->d_name, folder);
    }
    closedir(entries);
}

/* --- Hosts --- */

static struct host_use *use_of(struct measure *measure, const struct machine_host *host)
{
    struct stat status;
    struct host_use *use = map_get(&measure->uses, host->name);
    if (!use) {
        use = NEW(struct host_use);
        map_put(&measure->uses, host->name, use);
    }
    int fd = network_namespace(measure->twin->network, host->name);
    use->host = host;
    use->namespace = fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
    use->memory = 0;
    use->n_processes = 0;
    return use;
}

/* Fills look->uses, which the caller frees, in the order of the machine. */
static void take_look(struct measure *measure, struct look *look)
{
    const struct machine *machine = converge_machine(measure->twin->converge);
    *look = (struct look){.measure = measure, .before = measure->seen, .n_before = measure->n_seen};
    measure->seen = NULL;
    measure->n_seen = measure->seen_capacity = 0;
    look->uses = NEW_ARRAY(struct host_use *, machine->n_hosts + 1);
    for (size_t i = 0; i < machine->n_hosts; i++)
        if (machine->hosts[i]->role != HOST_OUTSIDE)
            look->uses[look->n_uses++] = use_of(measure, machine->hosts[i]);
    look_at_processes(look);
    mem_free(look->before);
    look->before = NULL;
}

static void look_done(struct look *look)
{
    mem_free(look->uses);
}

static bool is_on_host(const char *program, const char *host)
{
    size_t length = strlen(host);
    return text_starts_with(program, host) && (program[length] == '\0' || program[length] == '.');
}

/* Whether a balancer there lets nobody in without the limiter's word. */
static bool asks_limiter(const struct measure *measure, const char *host)
{
    const struct machine *machine = converge_machine(measure->twin->converge);
    for (size_t i = 0; i < machine->n_frontends; i++)
        if (machine->frontends[i]->limit.count > 0 &&
            text_equal(machine->frontends[i]->host->name, host))
            return true;
    return false;
}

static int64_t restarts_on(const struct measure *measure, const char *host)
{
    int64_t n = 0;
    bool is_limited = asks_limiter(measure, host);
    for (const struct process *process = processes_next(measure->twin->processes, NULL); process;
         process = processes_next(measure->twin->processes, process))
        if (is_on_host(process_name(process), host) ||
            (is_limited && text_equal(process_name(process), BALANCER_LIMITER)))
            n += process_restarts(process);
    return n;
}

static const char *name_of(const struct measure *measure, const char *uid)
{
    const struct value *resource =
        uid ? manifest_find(converge_manifest(measure->twin->converge), uid) : NULL;
    return resource ? resource_name(resource) : "";
}

static uint64_t microseconds_of(uint64_t ticks)
{
    return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* --- What balancers sent to hosts --- */

/* host -> count + 1, as a number; of all backends together. */
static void count_requests(const struct measure *measure, struct map *counts)
{
    const struct machine *machine = converge_machine(measure->twin->converge);
    for (size_t i = 0; i < machine->n_backends; i++) {
        CLEANUP(value_unrefp)
        struct value *described =
            converge_describe(measure->twin->converge, machine->backends[i]->resource);
        const struct value *servers = value_get(value_get(described, "status"), "servers");
        for (size_t k = 0; !value_is_null(servers) && k < value_count(servers); k++) {
            const struct value *server = value_at(servers, k);
            const char *name = value_get_text(server, "name");
            uintptr_t before = name ? (uintptr_t)map_get(counts, name) : 0;
            uintptr_t more = (uintptr_t)value_get_integer(server, "requests", 0);
            if (name)
                map_put(counts, name, (void *)((before ? before : 1) + more));
        }
    }
}

static struct value *describe_host(const struct measure *measure, const struct host_use *use,
                                   const struct map *counts)
{
    struct value_builder fields = {0};
    uintptr_t requests = (uintptr_t)map_get(counts, use->host->name);
    value_builder_set_string(&fields, "name", use->host->name);
    value_builder_set_string(&fields, "role", machine_role_to_string(use->host->role));
    value_builder_set_string(&fields, "resource", name_of(measure, use->host->resource));
    value_builder_set_string(&fields, "address", use->host->address);
    value_builder_set(&fields, "cpu_us", value_integer((int64_t)microseconds_of(use->ticks)));
    value_builder_set(&fields, "memory", value_integer(use->memory));
    value_builder_set(&fields, "processes", value_integer(use->n_processes));
    value_builder_set(&fields, "restarts", value_integer(restarts_on(measure, use->host->name)));
    value_builder_set(&fields, "requests",
                      requests ? value_integer((int64_t)(requests - 1)) : value_null());
    return value_builder_map(&fields);
}

struct value *measure_describe(struct measure *measure)
{
    struct look look;
    struct map counts = {0};
    struct value_builder hosts = {0}, fields = {0};
    take_look(measure, &look);
    count_requests(measure, &counts);
    for (size_t i = 0; i < look.n_uses; i++)
        value_builder_append(&hosts, describe_host(measure, look.uses[i], &counts));
    value_builder_set(&fields, "clock_us", value_integer(world_monotonic_clock()));
    value_builder_set(&fields, "hosts", value_builder_list(&hosts));
    map_done(&counts);
    look_done(&look);
    return value_builder_map(&fields);
}

void measure_hosts(struct measure *measure,
                   void (*found)(void *argument, const struct machine_host *host, int64_t used_us),
                   void *argument)
{
    struct look look;
    take_look(measure, &look);
    for (size_t i = 0; i < look.n_uses; i++)
        found(argument, look.uses[i]->host, (int64_t)microseconds_of(look.uses[i]->ticks));
    look_done(&look);
}

/* --- For Prometheus --- */

void measure_write_label(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            strbuf_add(out, "\\n");
        else if (*text == '"' || *text == '\\')
            strbuf_addf(out, "\\%c", *text);
        else
            strbuf_add_char(out, *text);
    }
}

static void write_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_labels(struct strbuf *out, const char *name, const char *host,
                         const char *resource)
{
    strbuf_addf(out, "%s{host=\"", name);
    measure_write_label(out, host);
    strbuf_add(out, "\",resource=\"");
    measure_write_label(out, resource);
    strbuf_add(out, "\"} ");
}

static void write_uses(const struct measure *measure, const struct look *look, struct strbuf *out)
{
    static const struct {
        const char *name, *type, *help;
    } series[] = {
        {"instance_cpu_seconds_total", "counter", "Processor time that the host has used."},
        {"instance_memory_bytes", "gauge", "Memory of its processes, without what is shared."},
        {"instance_processes", "gauge", "Processes on the host."},
        {"instance_restarts_total", "counter", "How often its programs were started again."}};
    for (size_t s = 0; s < ARRAY_LENGTH(series); s++) {
        write_head(out, series[s].name, series[s].type, series[s].help);
        for (size_t i = 0; i < look->n_uses; i++) {
            const struct host_use *use = look->uses[i];
            uint64_t microseconds = microseconds_of(use->ticks);
            write_labels(out, series[s].name, use->host->name,
                         name_of(measure, use->host->resource));
            if (s == 0)
                strbuf_addf(out, "%llu.%06llu\n", (unsigned long long)microseconds / 1000000,
                            (unsigned long long)microseconds % 1000000);
            else
                strbuf_addf(out, "%lld\n",
                            s == 1   ? (long long)use->memory
                            : s == 2 ? (long long)use->n_processes
                                     : (long long)restarts_on(measure, use->host->name));
        }
    }
}

static void write_figure(const struct measure *measure, const struct machine_database *database,
                         const char *name, const char *field, double unit, struct strbuf *out)
{
    CLEANUP(value_unrefp)
    struct value *described = converge_describe(measure->twin->converge, database->resource);
    const struct value *members = value_get(value_get(described, "status"), "members");
    for (size_t i = 0; !value_is_null(members) && i < value_count(members); i++) {
        const struct value *member = value_at(members, i);
        if (!value_get(member, field))
            continue;
        write_labels(out, name, value_get_text(member, "name"),
                     name_of(measure, database->resource));
        strbuf_addf(out, "%.6f\n", (double)value_get_integer(member, field, 0) * unit);
    }
}

static void write_up(const struct measure *measure, const struct machine_database *database,
                     struct strbuf *out)
{
    CLEANUP(value_unrefp)
    struct value *described = converge_describe(measure->twin->converge, database->resource);
    const struct value *members = value_get(value_get(described, "status"), "members");
    for (size_t i = 0; !value_is_null(members) && i < value_count(members); i++) {
        const struct value *member = value_at(members, i);
        strbuf_add(out, "database_up{host=\"");
        measure_write_label(out, value_get_text(member, "name"));
        strbuf_add(out, "\",resource=\"");
        measure_write_label(out, name_of(measure, database->resource));
        strbuf_addf(out, "\",role=\"%s\"} %d\n", value_get_text(member, "role"),
                    text_equal(value_get_text(member, "state"), "ready"));
    }
}

static void write_databases(const struct measure *measure, struct strbuf *out)
{
    static const struct {
        const char *name, *type, *field, *help;
        double unit;
    } series[] = {{"database_replication_lag_bytes", "gauge", "lag_bytes",
                   "What the primary has written and the replica has not applied.", 1},
                  {"database_replication_lag_seconds", "gauge", "lag_us",
                   "How long ago the primary wrote what the replica has just applied.", 1e-6},
                  {"database_connections", "gauge", "connections",
                   "Clients of the application's database.", 1},
                  {"database_commits_total", "counter", "commits", "Transactions that counted.", 1},
                  {"database_rollbacks_total", "counter", "rollbacks",
                   "Transactions that were taken back.", 1},
                  {"database_deadlocks_total", "counter", "deadlocks",
                   "Transactions that waited for each other.", 1}};
    const struct machine *machine = converge_machine(measure->twin->converge);
    for (size_t s = 0; s < ARRAY_LENGTH(series); s++) {
        write_head(out, series[s].name, series[s].type, series[s].help);
        for (size_t i = 0; i < machine->n_databases; i++)
            write_figure(measure, machine->databases[i], series[s].name, series[s].field,
                         series[s].unit, out);
    }
    write_head(out, "database_up", "gauge", "Whether the server answers.");
    for (size_t i = 0; i < machine->n_databases; i++)
        write_up(measure, machine->databases[i], out);
}

/* "2027-02-19T10:00:00Z" as seconds since 1970. */
static bool read_time(const char *text, int64_t *ret_seconds)
{
    struct tm parts = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts) : NULL;
    if (!end || *end)
        return false;
    *ret_seconds = (int64_t)timegm(&parts);
    return true;
}

static void write_certificates(const struct measure *measure, struct strbuf *out)
{
    const struct machine *machine = converge_machine(measure->twin->converge);
    write_head(out, "certificate_expiry_timestamp_seconds", "gauge",
               "When the certificate ends to be valid.");
    for (size_t i = 0; i < machine->n_certificates; i++) {
        CLEANUP(value_unrefp)
        struct value *described =
            converge_describe(measure->twin->converge, machine->certificates[i]->resource);
        int64_t seconds;
        if (!read_time(value_get_text(value_get(described, "status"), "expires"), &seconds))
            continue;
        strbuf_add(out, "certificate_expiry_timestamp_seconds{certificate=\"");
        measure_write_label(out, machine->certificates[i]->name);
        strbuf_addf(out, "\"} %lld\n", (long long)seconds);
    }
}

void measure_write_metrics(struct measure *measure, struct strbuf *out)
{
    struct look look;
    if (!measure)
        return;
    take_look(measure, &look);
    write_uses(measure, &look, out);
    look_done(&look);
    write_databases(measure, out);
    write_certificates(measure, out);
}
