#include "base/strbuf.h"
#include "base/text.h"
#include "harness.h"
#include "twin/balancer-config.h"
#include "twin/balancer-servers.h"
#include "twin/balancer-socket.h"

/* Hosts, backends and frontends of two tiers; tests change what they are about. */
static const struct machine_host balancer_host = {.name = "edge-balancer", .address = "10.1.0.10"};
static const struct machine_host web[] = {{.name = "web-0", .address = "10.1.0.11"},
                                          {.name = "web-1", .address = "10.1.0.12"}};
static const struct machine_host *web_hosts[] = {&web[0], &web[1]};
static const char *domains[] = {"a.example"};
static struct machine_certificate certificate = {
    .name = "cert", .resource = "uid-cert", .domains = domains, .n_domains = 1};

static struct machine_backend backend(void)
{
    return (struct machine_backend){.name = "web-pool",
                                    .resource = "11111111-aaaa",
                                    .balance = BALANCE_LEASTCONN,
                                    .health_check = "/healthy",
                                    .servers = web_hosts,
                                    .n_servers = 2,
                                    .port = 81};
}

static struct machine_frontend frontend(const struct machine_backend *to)
{
    return (struct machine_frontend){
        .name = "edge", .resource = "22222222-bbbb", .port = 443, .backend = to};
}

static struct balancer_config config_of(const struct machine_frontend *const *frontends,
                                        const char *const *files, size_t n_frontends)
{
    return (struct balancer_config){.host = &balancer_host,
                                    .frontends = frontends,
                                    .certificate_files = files,
                                    .n_frontends = n_frontends,
                                    .socket = "/run/twin/balancer/edge-balancer.sock",
                                    .state_file = "/run/twin/balancer-config/edge-balancer.state",
                                    .values_file = "/run/twin/balancer-config/edge/values",
                                    .limits_file = "/run/twin/balancer-config/limits",
                                    .limiter_socket = "/run/twin/balancer/limits",
                                    .max_connections = 4000};
}

TEST(a_configuration_is_what_the_design_says)
{
    struct machine_backend to = backend();
    struct machine_frontend from = frontend(&to);
    from.certificate = &certificate;
    from.limit = (struct machine_limit){1000, 60};
    const struct machine_frontend *frontends[] = {&from};
    const char *files[] = {"/run/twin/balancer-config/edge/uid-front.pem"};
    struct balancer_config config = config_of(frontends, files, 1);
    struct strbuf text = {0};
    balancer_write_config(&text, &config, true);
    CHECK_TEXT(
        strbuf_text(&text),
        "global\n"
        "    maxconn 4000\n"
        "    nbthread 2\n"
        "    log stdout format raw local0 notice\n"
        "    stats socket /run/twin/balancer/edge-balancer.sock mode 600 level admin expose-fd "
        "listeners\n"
        "    server-state-file /run/twin/balancer-config/edge-balancer.state\n"
        "    max-spread-checks 50\n"
        "    ssl-default-bind-options ssl-min-ver TLSv1.2\n"
        "    httpclient.ssl.verify none\n"
        "    hard-stop-after 90s\n"
        "\n"
        "backend address_limits\n"
        "    mode tcp\n"
        "    timeout connect 5s\n"
        "    timeout server 5m\n"
        "    server limiter unix@/run/twin/balancer/limits\n"
        "\n"
        "defaults\n"
        "    mode http\n"
        "    log global\n"
        "    load-server-state-from-file global\n"
        "    option dontlognull\n"
        "    option forwardfor\n"
        "    option redispatch 1\n"
        "    option idle-close-on-response\n"
        "    retries 3\n"
        "    retry-on conn-failure empty-response\n"
        "    timeout connect 2s\n"
        "    timeout client 30s\n"
        "    timeout server 30s\n"
        "    timeout http-request 10s\n"
        "    timeout http-keep-alive 60s\n"
        "    timeout queue 5s\n"
        "    timeout check 2s\n"
        "\n"
        "frontend metrics_exporter\n"
        "    bind 10.1.0.10:8404\n"
        "    http-request use-service prometheus-exporter if { path /metrics }\n"
        "    http-request return status 404\n"
        "\n"
        "frontend edge\n"
        "    bind 10.1.0.10:443 ssl crt /run/twin/balancer-config/edge/uid-front.pem alpn "
        "h2,http/1.1\n"
        "    filter spoe engine address_limits config /run/twin/balancer-config/limits\n"
        "    http-request set-var(txn.limit.of) str(edge-balancer/edge)\n"
        "    http-request set-var(txn.limit.rate) "
        "str(frontend/edge),map(/run/twin/balancer-config/edge/values)\n"
        "    http-request set-var(txn.limit.count) var(txn.limit.rate),field(1,/),add(0)\n"
        "    http-request set-var(txn.limit.seconds) var(txn.limit.rate),field(2,/),add(0)\n"
        "    http-request send-spoe-group address_limits ask\n"
        "    http-request deny deny_status 503 hdr Retry-After 1 unless { "
        "var(txn.limit.wait) -m found }\n"
        "    http-request deny deny_status 429 hdr Retry-After %[var(txn.limit.wait)] if { "
        "var(txn.limit.wait) -m int gt 0 }\n"
        "    http-request set-header X-Forwarded-Proto https\n"
        "    default_backend web-pool\n"
        "\n"
        "backend web-pool\n"
        "    balance leastconn\n"
        "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }\n"
        "    option httpchk\n"
        "    http-check send meth GET uri-lf "
        "%[str(backend/web-pool),map(/run/twin/balancer-config/edge/values)] ver HTTP/1.1 "
        "hdr Host web-pool\n"
        "    server web-0 10.1.0.11:81 check inter 500ms fastinter 100ms downinter 20ms rise 1 "
        "fall 3\n"
        "    server web-1 10.1.0.12:81 check inter 500ms fastinter 100ms downinter 20ms rise 1 "
        "fall 3\n");
    strbuf_done(&text);
}

static char *structure_of(const struct balancer_config *config)
{
    struct strbuf text = {0};
    balancer_write_config(&text, config, false);
    return strbuf_take(&text);
}

static char *values_of(const struct balancer_config *config)
{
    struct strbuf text = {0};
    balancer_write_values(&text, config);
    return strbuf_take(&text);
}

TEST(servers_limits_and_paths_are_no_change_of_structure)
{
    struct machine_backend to = backend();
    struct machine_frontend from = frontend(&to);
    const struct machine_frontend *frontends[] = {&from};
    const char *files[] = {NULL};
    struct balancer_config config = config_of(frontends, files, 1);
    CLEANUP(mem_freep) char *before = structure_of(&config);
    to.n_servers = 1;
    CLEANUP(mem_freep) char *fewer = structure_of(&config);
    CHECK_TEXT(fewer, before);
    to.health_check = "/other";
    CLEANUP(mem_freep) char *elsewhere = structure_of(&config);
    CHECK_TEXT(elsewhere, before);
    to.health_check = NULL;
    CLEANUP(mem_freep) char *unchecked = structure_of(&config);
    CHECK(!text_equal(unchecked, before));
    CHECK(!strstr(unchecked, "httpchk"));
    from.limit = (struct machine_limit){5, 3600};
    CLEANUP(mem_freep) char *limited = structure_of(&config);
    CHECK(strstr(limited, "str(frontend/edge),map(/run/twin/balancer-config/edge/values)\n"));
    CHECK(!strstr(unchecked, "limit"));
    from.limit = (struct machine_limit){6, 60};
    CLEANUP(mem_freep) char *more = structure_of(&config);
    CHECK_TEXT(more, limited);
    CHECK(strstr(limited, "X-Forwarded-Proto http\n"));
}

TEST(values_are_limits_of_frontends_and_paths_of_backends)
{
    struct machine_backend to = backend(), unchecked = backend();
    struct machine_frontend from = frontend(&to), unlimited = frontend(&unchecked);
    from.limit = (struct machine_limit){5, 3600};
    unlimited.name = "inside";
    unchecked.name = "plain";
    unchecked.health_check = NULL;
    const struct machine_frontend *frontends[] = {&from, &unlimited};
    const char *files[] = {NULL, NULL};
    struct balancer_config config = config_of(frontends, files, 2);
    CLEANUP(mem_freep) char *values = values_of(&config);
    CHECK_TEXT(values, "frontend/edge 5/3600\nbackend/web-pool /healthy\n");
}

/* Whoever still comes to the old port, and whoever serves at the old place, does so meanwhile. */
TEST(what_is_kept_stands_beside_what_is_new)
{
    struct machine_backend to = backend();
    struct machine_frontend from = frontend(&to);
    const struct machine_frontend *frontends[] = {&from};
    const char *files[] = {NULL};
    struct balancer_kept kept = {.port = 4711, .server_port = 4712, .health_check = "/before"};
    struct balancer_config config = config_of(frontends, files, 1);
    config.kept = &kept;
    struct strbuf text = {0};
    balancer_write_config(&text, &config, true);
    CLEANUP(mem_freep)
    char *binds = string_format("    bind %s:%u\n    bind %s:4711\n", config.host->address,
                                from.port, config.host->address);
    CHECK(strstr(strbuf_text(&text), binds));
    CLEANUP(mem_freep) char *values = values_of(&config);
    CHECK_TEXT(values, "backend/web-pool /before\n");
    CHECK(strstr(strbuf_text(&text), ":4712 check "));
    strbuf_done(&text);
}

TEST(a_hash_of_the_source_lets_servers_come_and_go)
{
    struct machine_backend to = backend();
    struct machine_frontend from = frontend(&to);
    const struct machine_frontend *frontends[] = {&from};
    const char *files[] = {NULL};
    struct balancer_config config = config_of(frontends, files, 1);
    to.balance = BALANCE_SOURCE;
    CLEANUP(mem_freep) char *text = structure_of(&config);
    CHECK(strstr(text, "    balance source\n    hash-type consistent\n"));
}

static void count_visit(void *argument, const struct machine_backend *visited)
{
    (void)visited;
    (*(int *)argument)++;
}

TEST(two_of_one_name_keep_apart_and_a_shared_backend_is_written_once)
{
    struct machine_backend one = backend(), other = backend();
    struct machine_frontend first = frontend(&one), second = frontend(&other),
                            third = frontend(&one);
    other.resource = "33333333-cccc";
    second.resource = "44444444-dddd";
    third.name = "side";
    const struct machine_frontend *frontends[] = {&first, &second, &third};
    const char *files[] = {NULL, NULL, NULL};
    struct balancer_config config = config_of(frontends, files, 3);
    CLEANUP(mem_freep) char *first_name = balancer_frontend_name(&config, 0);
    CLEANUP(mem_freep) char *second_name = balancer_frontend_name(&config, 1);
    CLEANUP(mem_freep) char *third_name = balancer_frontend_name(&config, 2);
    CLEANUP(mem_freep) char *one_name = balancer_backend_name(&config, &one);
    CLEANUP(mem_freep) char *other_name = balancer_backend_name(&config, &other);
    int n_backends = 0;
    CHECK_TEXT(first_name, "edge.22222222");
    CHECK_TEXT(second_name, "edge.44444444");
    CHECK_TEXT(third_name, "side");
    CHECK_TEXT(one_name, "web-pool.11111111");
    CHECK_TEXT(other_name, "web-pool.33333333");
    balancer_each_backend(&config, count_visit, &n_backends);
    CHECK(n_backends == 2);
}

TEST(what_would_break_the_file_is_refused)
{
    struct machine_backend to = backend();
    struct machine_frontend from = frontend(&to);
    struct error err = {0};
    CHECK(balancer_check_frontend(&from, NULL) == 0);
    from.port = 8404;
    CHECK(balancer_check_frontend(&from, &err) == -ERROR_INVALID);
    CHECK(strstr(err.message, "8404"));
    from = frontend(&to);
    from.name = "edge\n    bind 0.0.0.0:22";
    CHECK(balancer_check_frontend(&from, NULL) == -ERROR_INVALID);
    from = frontend(&to);
    to.health_check = "/x\n    server evil 192.0.2.1:80";
    CHECK(balancer_check_frontend(&from, NULL) == -ERROR_INVALID);
    to.health_check = "/x?a=\"b\"#c'\\";
    CHECK(balancer_check_frontend(&from, NULL) == 0);
    const struct machine_frontend *frontends[] = {&from};
    const char *files[] = {NULL};
    struct balancer_config config = config_of(frontends, files, 1);
    CLEANUP(mem_freep) char *text = structure_of(&config);
    CLEANUP(mem_freep) char *values = values_of(&config);
    CHECK(!strstr(text, "/x?"));
    CHECK_TEXT(values, "backend/web-pool /x?a=\"b\"#c'\\\n");
    error_done(&err);
}

TEST(connections_leave_room_for_descriptors)
{
    CHECK(balancer_max_connections(20000) == 4000);
    CHECK(balancer_max_connections(1024) == 412);
    CHECK(balancer_max_connections(100) == 1);
}

static const char statistics_text[] =
    "# pxname,svname,qcur,scur,smax,stot,dreq,hrsp_5xx,status,lastsess,req_tot,last_chk,"
    "check_status,\n"
    "edge,FRONTEND,,3,9,12,7,2,OPEN,,40,,,\n"
    "web-pool,web-0,0,1,4,8,,0,UP,5,,\"Layer7 OK, all \"\"well\"\"\",L7OK,\n"
    "web-pool,web-1,0,0,4,2,,1,DOWN 1/2,5,,L4CON,* L4CON,\n"
    "web-pool,web-2,0,0,0,0,,0,MAINT,-1,,,,\n"
    "web-pool,web-3,0,0,0,0,,0,UP 1/2,-1,,,* L7TOUT,\n"
    "web-pool,web-4,0,0,0,0,,0,no check,-1,,,,\n"
    "web-pool,web-5,0,0,0,0,,0,UP,-1,,,INI,\n"
    "web-pool,web-6,0,0,0,0,,0,UP,-1,,,* L4OK,\n"
    "web-pool,BACKEND,0,1,4,10,0,1,UP,5,10,,,\n";

TEST(statistics_are_read_by_the_names_of_their_columns)
{
    struct balancer_statistics statistics = {0};
    CHECK(balancer_parse_statistics(statistics_text, &statistics, NULL) == 0);
    CHECK(statistics.n_lines == 9);
    const struct balancer_line *edge = balancer_find_line(&statistics, "edge", "FRONTEND");
    CHECK(edge && edge->sessions == 3 && edge->requests == 40 && edge->denied == 7);
    CHECK(edge->errors == 2 && edge->total_sessions == 12);
    static const bool is_up[] = {true, false, false, true, true, true, true};
    static const bool is_checked[] = {true, true, false, true, false, false, true};
    static const bool is_sound[] = {true, false, false, false, false, false, true};
    for (size_t i = 0; i < ARRAY_LENGTH(is_up); i++) {
        char name[16];
        snprintf(name, sizeof(name), "web-%zu", i);
        const struct balancer_line *line = balancer_find_line(&statistics, "web-pool", name);
        CHECK(line && balancer_line_is_up(line) == is_up[i]);
        CHECK(balancer_line_is_checked(line) == is_checked[i]);
        CHECK(balancer_line_is_sound(line) == is_sound[i]);
    }
    CHECK(!balancer_find_line(&statistics, "web-pool", "web-9"));
    balancer_statistics_done(&statistics);
}

static void add_wanted(struct balancer_servers *servers, const char *name, uint16_t port)
{
    ARRAY_RESERVE(servers->items, servers->n_items, servers->capacity);
    servers->items[servers->n_items++] =
        (struct balancer_server){.backend = string_copy("web-pool"),
                                 .name = string_copy(name),
                                 .address = string_copy("10.1.0.9"),
                                 .port = port};
}

/* With which state each of the wanted servers begins, as the digits of srv_op_state, in order. */
static void check_begin(const struct balancer_control *control,
                        const struct balancer_servers *running,
                        const struct balancer_servers *wanted, const char *digits)
{
    CLEANUP(strbuf_done) struct strbuf text = {0}, found = {0};
    balancer_servers_write_states(&text, control, running, wanted);
    for (const char *line = strbuf_text(&text); (line = strstr(line, " 10.1.0.9 ")); line++)
        strbuf_add_char(&found, line[strlen(" 10.1.0.9 ")]);
    CHECK_TEXT(strbuf_text(&found), digits);
}

TEST(only_servers_that_were_seen_to_serve_begin_so)
{
    struct balancer_control control = {0};
    CLEANUP(balancer_servers_done) struct balancer_servers wanted = {0}, running = {0}, moved = {0};
    add_wanted(&wanted, "web-0", 81);
    add_wanted(&wanted, "web-1", 81);
    check_begin(&control, &running, &wanted, "00");
    CHECK(balancer_parse_statistics(statistics_text, &control.statistics, NULL) == 0);
    check_begin(&control, &running, &wanted, "00");
    check_begin(&control, &wanted, &wanted, "20");
    add_wanted(&running, "web-0", 81);
    add_wanted(&wanted, "web-7", 81);
    check_begin(&control, &running, &wanted, "200");
    /* Nobody is left of those that served. */
    add_wanted(&moved, "web-0", 82);
    add_wanted(&moved, "web-8", 82);
    check_begin(&control, &running, &moved, "22");
    balancer_statistics_done(&control.statistics);
}

/* Of HAProxy's documentation, 3.1, "server-state-file": the fields in their order. */
TEST(states_are_written_as_haproxy_reads_them)
{
    struct balancer_control control = {0};
    CLEANUP(balancer_servers_done) struct balancer_servers wanted = {0}, running = {0};
    CLEANUP(strbuf_done) struct strbuf text = {0};
    add_wanted(&wanted, "web-0", 81);
    balancer_servers_write_states(&text, &control, &running, &wanted);
    CHECK(text_starts_with(strbuf_text(&text), "1\n# be_id be_name srv_id srv_name srv_addr "));
    CHECK(text_ends_with(strbuf_text(&text), "\n1 web-pool 1 web-0 10.1.0.9 0 0 1 1 0 1 0 0 6 0 0 "
                                             "0 - 81 - 0 0 - - 0\n"));
}

TEST(statistics_that_are_cut_off_or_of_another_form_are_refused)
{
    struct balancer_statistics statistics = {0};
    static const char *const bad[] = {
        "", "Unknown command", "# pxname,svname,status\nedge,FRONTEND,OPEN\n",
        ("# pxname,svname,scur,stot,dreq,hrsp_5xx,status,req_tot,check_status\n"
         "edge,FRONTEND,1,2\n")};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK(balancer_parse_statistics(bad[i], &statistics, NULL) == -ERROR_CORRUPT);
    CHECK(statistics.n_lines == 0);
}

TEST(how_the_limiter_is_asked_names_what_the_frontends_set)
{
    struct strbuf text = {0};
    balancer_write_limits(&text);
    CHECK_TEXT(strbuf_text(&text),
               "[address_limits]\n"
               "spoe-agent address_limits\n"
               "    groups ask\n"
               "    option var-prefix limit\n"
               "    timeout hello 5s\n"
               "    timeout idle 1m\n"
               "    timeout processing 5s\n"
               "    use-backend address_limits\n"
               "spoe-message count\n"
               "    args of=var(txn.limit.of) source=src count=var(txn.limit.count) "
               "seconds=var(txn.limit.seconds)\n"
               "spoe-group ask\n"
               "    messages count\n");
    strbuf_done(&text);
}
