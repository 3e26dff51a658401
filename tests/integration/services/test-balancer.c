/* Certificates, HAProxy and the built-in workload, as users meet them. */
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "client.h"
#include "harness.h"
#include "loopback.h"
#include "model/json.h"
#include "twin/balancer-socket.h"
#include "twin/http-server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum {
    WEB_PORT = 8443,
    APP_PORT = 8081,
    WEB_SERVER_PORT = 8082,
    APP_SERVER_PORT = 8083,
    LIMIT = 20
};

/* A front tier with TLS and a limit, a middle tier without, two and three hosts. */
struct platform {
    struct machine *machine;
    struct machine_certificate certificate;
    struct machine_backend web_backend, app_backend;
    struct machine_frontend web_frontend, app_frontend;
    struct machine_balancer web_balancer, app_balancer;
    struct machine_workload web, app;
    const struct machine_host *web_hosts[4], *app_hosts[3];
    const struct machine_frontend *web_frontends[1], *app_frontends[1];
    struct machine_certificate *certificates[1];
    struct machine_balancer *balancers[2];
    struct machine_workload *workloads[2];
};

static const char *domains[] = {"shop.example", "www.shop.example"};

static void make_backends(struct platform *platform)
{
    platform->web_backend = (struct machine_backend){.name = "front",
                                                     .resource = "uid-front-backend",
                                                     .balance = BALANCE_LEASTCONN,
                                                     .health_check = "/health",
                                                     .servers = platform->web_hosts,
                                                     .n_servers = 2,
                                                     .port = WEB_SERVER_PORT};
    platform->app_backend = (struct machine_backend){.name = "middle",
                                                     .resource = "uid-middle-backend",
                                                     .balance = BALANCE_ROUNDROBIN,
                                                     .health_check = "/api/health",
                                                     .servers = platform->app_hosts,
                                                     .n_servers = 3,
                                                     .port = APP_SERVER_PORT};
}

static void make_frontends(struct platform *platform)
{
    platform->web_frontend = (struct machine_frontend){.name = "front",
                                                       .resource = "uid-front",
                                                       .port = WEB_PORT,
                                                       .backend = &platform->web_backend,
                                                       .certificate = &platform->certificate,
                                                       .limit = {LIMIT, 3600}};
    platform->app_frontend = (struct machine_frontend){.name = "middle",
                                                       .resource = "uid-middle",
                                                       .port = APP_PORT,
                                                       .backend = &platform->app_backend};
    platform->web_frontends[0] = &platform->web_frontend;
    platform->app_frontends[0] = &platform->app_frontend;
}

static void make_workloads(struct platform *platform)
{
    platform->web = (struct machine_workload){.name = "front",
                                              .resource = "uid-stack",
                                              .image = "shop/front:1",
                                              .hosts = platform->web_hosts,
                                              .n_hosts = 2,
                                              .port = WEB_SERVER_PORT,
                                              .health_check = "/health",
                                              .upstream = &platform->app_frontend,
                                              .upstream_host = platform->app_balancer.host};
    platform->app = (struct machine_workload){.name = "middle",
                                              .resource = "uid-stack",
                                              .image = "shop/middle:1",
                                              .hosts = platform->app_hosts,
                                              .n_hosts = 3,
                                              .port = APP_SERVER_PORT,
                                              .health_check = "/api/health"};
    platform->workloads[0] = &platform->web;
    platform->workloads[1] = &platform->app;
    platform->machine->workloads = platform->workloads;
    platform->machine->n_workloads = 2;
}

static void make_platform(struct loopback *loopback, struct platform *platform)
{
    struct machine *machine = machine_new();
    *platform = (struct platform){.machine = machine};
    machine->generation = 1;
    for (unsigned int i = 0; i < 4; i++)
        platform->web_hosts[i] = loopback_host(
            loopback, machine, machine_text(machine, "front-%u", i), 11 + i, HOST_INSTANCE);
    for (unsigned int i = 0; i < 3; i++)
        platform->app_hosts[i] = loopback_host(
            loopback, machine, machine_text(machine, "middle-%u", i), 21 + i, HOST_INSTANCE);
    platform->certificate = (struct machine_certificate){
        .name = "cert", .resource = "uid-cert", .domains = domains, .n_domains = 2};
    make_backends(platform);
    make_frontends(platform);
    platform->web_balancer = (struct machine_balancer){
        loopback_host(loopback, machine, "front-balancer", 10, HOST_BALANCER),
        platform->web_frontends, 1};
    platform->app_balancer = (struct machine_balancer){
        loopback_host(loopback, machine, "middle-balancer", 20, HOST_BALANCER),
        platform->app_frontends, 1};
    make_workloads(platform);
    platform->certificates[0] = &platform->certificate;
    platform->balancers[0] = &platform->web_balancer;
    platform->balancers[1] = &platform->app_balancer;
    machine->certificates = platform->certificates;
    machine->n_certificates = 1;
    machine->balancers = platform->balancers;
    machine->n_balancers = 2;
}

/* The three modules that this needs. */
enum { CERTIFICATE, WORKLOAD, BALANCER, N_MODULES };
static const struct loopback_module modules[N_MODULES] = {
    [CERTIFICATE] = {MODULE_CERTIFICATE, &certificate_module, NULL},
    [WORKLOAD] = {MODULE_WORKLOAD, &workload_module, NULL},
    [BALANCER] = {MODULE_BALANCER, &balancer_module, NULL}};

static CO_FN bool open_modules(struct loopback *loopback, struct loopback_module *opened)
{
    struct error err = {0};
    memcpy(opened, modules, sizeof(modules));
    for (size_t i = 0; i < N_MODULES; i++) {
        if (opened[i].ops->open(&loopback->twin, &opened[i].opened, &err) < 0) {
            printf("# %s: %s\n", opened[i].ops->name, error_message(&err));
            return false;
        }
    }
    return true;
}

static CO_FN bool converge_modules(struct loopback *loopback, struct loopback_module *opened,
                                   struct machine *machine)
{
    return loopback_converge(loopback, opened, N_MODULES, machine) == 0;
}

static CO_FN void close_modules(struct loopback_module *opened)
{
    for (size_t i = N_MODULES; i > 0; i--)
        opened[i - 1].ops->close(opened[i - 1].opened);
}

/* What a module says of a resource, as JSON. The caller frees it. */
static char *report(const struct loopback_module *module, const char *resource)
{
    struct value_builder status = {0}, outputs = {0};
    module->ops->report(module->opened, resource, &status, &outputs);
    CLEANUP(value_unrefp) struct value *status_map = value_builder_map(&status);
    CLEANUP(value_unrefp) struct value *outputs_map = value_builder_map(&outputs);
    CLEANUP(mem_freep) char *status_text = json_text(status_map);
    CLEANUP(mem_freep) char *outputs_text = json_text(outputs_map);
    return string_format("%s %s", status_text, outputs_text);
}

struct public
{
    char url[128];
    char resolve[128];
    char authority[128];
};

static struct public public_of(struct loopback *loopback, const char *domain)
{
    struct public public;
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(loopback->base + 10, address);
    snprintf(public.url, sizeof(public.url), "https://%s:%d/", domain, WEB_PORT);
    snprintf(public.resolve, sizeof(public.resolve), "%s:%d:%s", domain, WEB_PORT, address);
    snprintf(public.authority, sizeof(public.authority), "%s/authority/ca.crt", loopback->folder);
    return public;
}

static CO_FN void serve_tls(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    for (size_t i = 0; i < 2; i++) {
        struct public public = public_of(loopback, domains[i]);
        struct client_answer answer =
            client_get(public.url, public.resolve, public.authority, false);
        printf("# %s %s\n", answer.problem, answer.body);
        HOLDS(outcome, answer.code == 200);
        HOLDS(outcome, answer.version == 2);
        HOLDS(outcome, strstr(answer.body, "\"tier\":\"front\",\"upstream\":{") &&
                           strstr(answer.body, "\"name\":\"middle-"));
    }
    struct public wrong = public_of(loopback, "other.example");
    HOLDS(outcome, client_get(wrong.url, wrong.resolve, wrong.authority, false).code == 0);
    CLEANUP(mem_freep) char *backend = report(&opened[BALANCER], "uid-front-backend");
    CLEANUP(mem_freep) char *frontend = report(&opened[BALANCER], "uid-front");
    CLEANUP(mem_freep) char *certificate = report(&opened[CERTIFICATE], "uid-cert");
    CLEANUP(mem_freep) char *stack = report(&opened[WORKLOAD], "uid-stack");
    printf("# %s\n# %s\n# %s\n# %s\n", backend, frontend, certificate, stack);
    HOLDS(outcome, strstr(backend, "\"state\":\"ready\",\"up\":2"));
    HOLDS(outcome, strstr(frontend, "\"url\":\"https://shop.example:8443\""));
    HOLDS(outcome, strstr(certificate, "\"state\":\"ready\""));
    HOLDS(outcome, strstr(stack, "\"state\":\"ready\""));
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(both_domains_are_served_over_http_2_by_the_whole_chain)
{
    struct outcome outcome = {0};
    loopback_run(serve_tls, &outcome);
    CHECK(outcome.is_good);
}

/* Whether HAProxy would send requests to a server of the front tier. */
static CO_FN bool see_server(struct loopback *loopback, const char *name, bool *ret_is_up)
{
    CLEANUP(mem_freep) char *answer = NULL;
    CLEANUP(mem_freep)
    char *socket = string_format("%s/balancer/front-balancer/admin", loopback->folder);
    struct balancer_statistics statistics = {0};
    int64_t deadline = world_monotonic_clock() + 5000000;
    if (balancer_command(loopback->twin.loop, socket, "show stat", deadline, &answer, NULL) < 0 ||
        balancer_parse_statistics(answer, &statistics, NULL) < 0)
        return false;
    const struct balancer_line *line = balancer_find_line(&statistics, "front", name);
    bool is_there = line != NULL;
    if (line)
        *ret_is_up = balancer_line_is_up(line);
    balancer_statistics_done(&statistics);
    return is_there;
}

/* Servers that take connections and say nothing: a check of one ends late, as does a request. */
static CO_FN void ask_before_anybody_serves(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    platform.machine->n_workloads = 0;
    int silent[2] = {-1, -1};
    for (size_t i = 0; i < 2; i++)
        HOLDS(outcome,
              http_listen(platform.web_hosts[i]->ip, WEB_SERVER_PORT, &silent[i], NULL) == 0);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    struct public public = public_of(loopback, domains[0]);
    for (size_t i = 0; i < 2; i++) {
        bool is_up = true;
        HOLDS(outcome, see_server(loopback, platform.web_hosts[i]->name, &is_up));
        HOLDS(outcome, !is_up);
    }
    struct client_answer early = client_get(public.url, public.resolve, public.authority, false);
    HOLDS(outcome, early.code == 503);
    for (size_t i = 0; i < 2; i++)
        close_descriptor(silent[i]);
    platform.machine->generation++;
    platform.machine->n_workloads = 2;
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    HOLDS(outcome, client_get(public.url, public.resolve, public.authority, false).code == 200);
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(a_request_that_comes_before_anybody_serves_is_answered_at_once)
{
    struct outcome outcome = {0};
    loopback_run(ask_before_anybody_serves, &outcome);
    CHECK(outcome.is_good);
}

static bool give_file(const char *path, const char *text)
{
    return world_write_file(path, text, strlen(text), 0600, false, NULL) == 0 &&
           twin_give(path, PROCESS_NOBODY, NULL) == 0;
}

/* A bundle without a certificate is what a first file can refer to in vain. */
static CO_FN void begin_with_a_fault(struct loopback *loopback, void *argument)
{
    static const char wrong[] = "no certificate\n";
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    struct problems problems = {0};
    CLEANUP(mem_freep)
    char *bundle = string_format("%s/certificates/uid-cert.pem", loopback->folder);
    CLEANUP(mem_freep) char *right = NULL;
    make_platform(loopback, &platform);
    struct public public = public_of(loopback, domains[0]);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, loopback_converge(loopback, opened, BALANCER, platform.machine) == 0);
    HOLDS(outcome, world_read_file(bundle, 10000, &right, NULL, NULL) == 0);
    HOLDS(outcome, give_file(bundle, wrong));
    opened[BALANCER].ops->converge(opened[BALANCER].opened, platform.machine, &problems);
    const struct error *problem = problems_find(&problems, "uid-front");
    const char *said = problem ? error_message(problem) : "nothing is wrong";
    printf("# %s\n", said);
    HOLDS(outcome, strstr(said, "the configuration of balancer") && strstr(said, "front.pem"));
    problems_done(&problems);
    HOLDS(outcome, give_file(bundle, right));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    HOLDS(outcome, client_get(public.url, public.resolve, public.authority, false).code == 200);
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(a_first_file_that_is_at_fault_is_told_and_does_not_stay)
{
    struct outcome outcome = {0};
    loopback_run(begin_with_a_fault, &outcome);
    CHECK(outcome.is_good);
}

static size_t first_refused(const struct public *public, bool keep)
{
    for (size_t i = 1; i <= LIMIT + 2; i++) {
        struct client_answer answer =
            client_get(public->url, public->resolve, public->authority, keep);
        if (answer.code == 429)
            return i;
        if (answer.code != 200)
            return 0;
    }
    return LIMIT + 3;
}

static CO_FN void refuse_beyond_limit(struct loopback *loopback, bool keep, struct outcome *outcome)
{
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    struct public public = public_of(loopback, domains[0]);
    size_t first = first_refused(&public, keep);
    client_forget();
    printf("# the first refused request is %zu\n", first);
    HOLDS(outcome, first == LIMIT + 1);
    close_modules(opened);
    machine_unref(platform.machine);
}

static CO_FN void refuse_on_one_connection(struct loopback *loopback, void *argument)
{
    refuse_beyond_limit(loopback, true, argument);
}

static CO_FN void refuse_on_many_connections(struct loopback *loopback, void *argument)
{
    refuse_beyond_limit(loopback, false, argument);
}

TEST(request_n_plus_1_gets_429_on_one_connection)
{
    struct outcome outcome = {0};
    loopback_run(refuse_on_one_connection, &outcome);
    CHECK(outcome.is_good);
}

TEST(request_n_plus_1_gets_429_on_a_connection_each)
{
    struct outcome outcome = {0};
    loopback_run(refuse_on_many_connections, &outcome);
    CHECK(outcome.is_good);
}

/* A change of structure, hence a reload. */
static CO_FN bool change_web_balance(struct loopback *loopback, struct platform *platform,
                                     struct loopback_module *opened)
{
    struct machine *machine = platform->machine;
    machine->generation++;
    platform->web_backend.balance =
        platform->web_backend.balance == BALANCE_LEASTCONN ? BALANCE_ROUNDROBIN : BALANCE_LEASTCONN;
    return converge_modules(loopback, opened, machine);
}

/* Reloads after each other few requests, some of them on a connection of before. */
static CO_FN void refuse_across_reloads(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    struct public public = public_of(loopback, domains[0]);
    for (unsigned int i = 0; i < LIMIT + 4; i++) {
        struct client_answer answer =
            client_get(public.url, public.resolve, public.authority, i % 4 < 2);
        printf("# request %u: %ld %s\n", i + 1, answer.code, answer.problem);
        HOLDS(outcome, answer.code == (i < LIMIT ? 200 : 429));
        if (i % 3 == 2)
            HOLDS(outcome, change_web_balance(loopback, &platform, opened));
    }
    client_forget();
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(exactly_the_limit_passes_however_often_the_balancer_reloads)
{
    struct outcome outcome = {0};
    loopback_run(refuse_across_reloads, &outcome);
    CHECK(outcome.is_good);
}

static CO_FN char *ask_balancer(struct loopback *loopback, const char *command)
{
    CLEANUP(mem_freep)
    char *socket = string_format("%s/balancer/front-balancer/admin", loopback->folder);
    char *answer = NULL;
    int64_t deadline = world_monotonic_clock() + 5000000;
    return balancer_command(loopback->twin.loop, socket, command, deadline, &answer, NULL) == 0
               ? answer
               : string_copy("");
}

/* The line of the worker's id. */
static CO_FN char *worker_of(struct loopback *loopback)
{
    CLEANUP(mem_freep) char *answer = ask_balancer(loopback, "show info");
    const char *line = strstr(answer, "\nPid: ");
    return line ? string_copy_n(line + 1, strcspn(line + 1, "\n")) : string_copy("");
}

static bool has_values(struct loopback *loopback, const char *wanted)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep)
    char *path = string_format("%s/balancer-config/front-balancer/values", loopback->folder);
    world_read_file(path, 10000, &text, NULL, NULL);
    printf("# %s", text ? text : "no values\n");
    return text && text_equal(text, wanted);
}

/* HAProxy is asked what it goes by, and its file what it would start with. */
static CO_FN void change_without_reload(struct loopback *loopback, void *argument)
{
    static const char *other_domains[] = {"shop.example", "new.shop.example"};
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    CLEANUP(mem_freep) char *before = worker_of(loopback);
    platform.machine->generation++;
    platform.web_frontend.limit = (struct machine_limit){2, 3600};
    platform.web_backend.health_check = "/health?other";
    platform.certificate.domains = other_domains;
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    CLEANUP(mem_freep) char *after = worker_of(loopback);
    printf("# %s, %s\n", before, after);
    HOLDS(outcome, *before && text_equal(before, after));
    HOLDS(outcome, has_values(loopback, "frontend/front 2/3600\nbackend/front /health?other\n"));
    struct public public = public_of(loopback, other_domains[1]);
    for (unsigned int i = 0; i < 3; i++) {
        struct client_answer answer =
            client_get(public.url, public.resolve, public.authority, false);
        printf("# request %u: %ld %s\n", i + 1, answer.code, answer.problem);
        HOLDS(outcome, answer.code == (i < 2 ? 200 : 429));
    }
    client_forget();
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(limits_paths_and_certificates_change_without_a_new_worker)
{
    struct outcome outcome = {0};
    loopback_run(change_without_reload, &outcome);
    CHECK(outcome.is_good);
}

/*
 * Asks the middle tier's balancer, which has no limit, in a process of its own until its pipe is
 * closed; then it writes how many answers were 200, or "0" when one was not.
 */
struct client {
    int orders;  /* closed to end it */
    int results; /* where it tells */
};

static void ask_until_told(const char *url, int orders, int results)
{
    struct pollfd told = {.fd = orders};
    size_t n = 0;
    do {
        struct client_answer answer = client_get(url, NULL, NULL, true);
        if (answer.code != 200) {
            printf("# the client got %ld %s\n", answer.code, answer.problem);
            n = 0;
            break;
        }
        n++;
    } while (poll(&told, 1, 0) == 0);
    dprintf(results, "%zu", n);
}

static struct client start_asking(struct loopback *loopback)
{
    char address[MACHINE_ADDRESS_SIZE];
    char url[64];
    int orders[2], results[2];
    machine_address_to_text(loopback->base + 20, address);
    snprintf(url, sizeof(url), "http://%s:%d/", address, APP_PORT);
    if (pipe2(orders, O_CLOEXEC) < 0 || pipe2(results, O_CLOEXEC) < 0)
        abort();
    if (fork() == 0) {
        close(orders[1]);
        ask_until_told(url, orders[0], results[1]);
        _exit(0);
    }
    close(orders[0]);
    close(results[1]);
    return (struct client){orders[1], results[0]};
}

static long stop_asking(struct client *client)
{
    char text[32] = "";
    close(client->orders);
    if (read(client->results, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    close(client->results);
    printf("# %s requests were answered\n", text);
    return strtol(text, NULL, 10);
}

static char *config_of(struct loopback *loopback, const char *balancer)
{
    char *text = NULL;
    CLEANUP(mem_freep)
    char *path = string_format("%s/balancer-config/%s/haproxy.cfg", loopback->folder, balancer);
    return world_read_file(path, 100000, &text, NULL, NULL) == 0 ? text : string_copy("");
}

/* The pids of HAProxy's processes that have this socket; a worker that changed was a reload. */
static CO_FN bool scale(struct loopback *loopback, struct platform *platform,
                        struct loopback_module *opened, size_t n_hosts)
{
    struct machine *machine = platform->machine;
    machine->generation++;
    platform->app_backend.n_servers = n_hosts;
    platform->app.n_hosts = n_hosts;
    printf("# %zu hosts\n", n_hosts);
    if (!converge_modules(loopback, opened, machine))
        return false;
    CLEANUP(mem_freep) char *config = config_of(loopback, "middle-balancer");
    CLEANUP(mem_freep) char *status = report(&opened[BALANCER], "uid-middle-backend");
    CLEANUP(mem_freep) char *want = string_format("\"up\":%zu", n_hosts);
    size_t n_lines = 0;
    for (const char *line = strstr(config, "    server middle-"); line;
         line = strstr(line + 1, "    server middle-"))
        n_lines++;
    printf("# %s\n", status);
    return n_lines == n_hosts && strstr(status, want) && strstr(status, "\"ready\"");
}

static CO_FN void scale_under_load(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct platform platform;
    struct loopback_module opened[N_MODULES];
    make_platform(loopback, &platform);
    HOLDS(outcome, open_modules(loopback, opened));
    HOLDS(outcome, converge_modules(loopback, opened, platform.machine));
    struct client client = start_asking(loopback);
    loop_sleep(loopback->twin.loop, 200000);
    HOLDS(outcome, scale(loopback, &platform, opened, 1));
    HOLDS(outcome, scale(loopback, &platform, opened, 3));
    HOLDS(outcome, scale(loopback, &platform, opened, 2));
    /* All of them are replaced, and back again. */
    platform.app_backend.servers = platform.app.hosts = &platform.app_hosts[2];
    HOLDS(outcome, scale(loopback, &platform, opened, 1));
    platform.app_backend.servers = platform.app.hosts = platform.app_hosts;
    HOLDS(outcome, scale(loopback, &platform, opened, 2));
    /* A limit is a change of structure, hence a reload. */
    platform.app_frontend.limit = (struct machine_limit){1000000, 60};
    HOLDS(outcome, scale(loopback, &platform, opened, 2));
    HOLDS(outcome, stop_asking(&client) > 20);
    close_modules(opened);
    machine_unref(platform.machine);
}

TEST(no_request_fails_while_servers_come_and_go_and_the_balancer_reloads)
{
    struct outcome outcome = {0};
    loopback_run(scale_under_load, &outcome);
    CHECK(outcome.is_good);
}
