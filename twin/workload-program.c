#include "twin/workload-program.h"

#include "base/map.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "twin/http-server.h"
#include "twin/workload-environment.h"
#include "twin/workload-visits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_LIMIT = 900, /* a coroutine each */
    IDLE_UPSTREAMS = 256,
    UPSTREAM_LIMIT = 64 * 1024,     /* bytes of an upstream's answer */
    IDLE_TIME = 60 * 1000 * 1000,   /* microseconds */
    ANSWER_TIME = 20 * 1000 * 1000, /* balancers wait for 30 s */
    HEALTH_TIME = 1800 * 1000,
    CLOSE_TIME = 1500 * 1000
};

struct workload {
    struct loop *loop;
    const struct workload_options *options;
    struct workload_metrics metrics;
    struct http_server *server;
    struct visits *visits;                   /* NULL without a database */
    struct http_stream idle[IDLE_UPSTREAMS]; /* connections to the upstream, ready for use */
    size_t n_idle;
    bool is_closing;
};

/* --- Options --- */

int workload_parse_address(const char *text, uint32_t *ret_ip, uint16_t *ret_port,
                           struct error *err)
{
    const char *colon = strrchr(text, ':');
    struct in_addr address;
    int64_t port;
    if (colon) {
        CLEANUP(mem_freep) char *host = string_copy_n(text, (size_t)(colon - text));
        if (inet_pton(AF_INET, host, &address) == 1 && text_to_integer(colon + 1, &port) &&
            port >= 1 && port <= 65535) {
            *ret_ip = ntohl(address.s_addr);
            *ret_port = (uint16_t)port;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID, "\"%s\" is no address with a port, like 10.0.0.1:80",
                     text);
}

static int add_health(struct workload_options *options, const char *path, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, ERROR_INVALID, "the health path \"%s\" does not begin with /", path);
    if (options->n_health == WORKLOAD_HEALTH_LIMIT)
        return error_set(err, ERROR_LIMIT, "there are more than %d health paths",
                         WORKLOAD_HEALTH_LIMIT);
    options->health[options->n_health++] = path;
    return 0;
}

static int take_option(struct workload_options *options, int option, char *value, struct error *err)
{
    switch (option) {
    case 'l':
        return workload_parse_address(value, &options->ip, &options->port, err);
    case 'h':
        return add_health(options, value, err);
    case 'u':
        options->upstream = value;
        return workload_parse_address(value, &options->upstream_ip, &options->upstream_port, err);
    case 'd':
        options->database = value;
        return 0;
    case 'e':
        options->reads_environment = true;
        return 0;
    case 'n':
        options->name = value;
        return 0;
    case 'i':
        options->image = value;
        return 0;
    case 't':
        options->tier = value;
        return 0;
    default:
        return error_set(err, ERROR_INVALID, "an option is unknown or lacks its value");
    }
}

int workload_parse_options(int argc, char **argv, struct workload_options *ret_options,
                           struct error *err)
{
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"health", required_argument, NULL, 'h'},
                                          {"upstream", required_argument, NULL, 'u'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"environment", no_argument, NULL, 'e'},
                                          {"name", required_argument, NULL, 'n'},
                                          {"tier", required_argument, NULL, 't'},
                                          {"image", required_argument, NULL, 'i'},
                                          {NULL, 0, NULL, 0}};
    struct workload_options options = {0};
    int option;
    optind = 0; /* glibc: forget an earlier parse */
    while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        int r = take_option(&options, option, optarg, err);
        if (r < 0)
            return r;
    }
    if (optind < argc)
        return error_set(err, ERROR_INVALID, "\"%s\" is no option", argv[optind]);
    if (!options.port || !options.name)
        return error_set(err, ERROR_INVALID, "--listen and --name are needed");
    *ret_options = options;
    return 0;
}

/* --- Metrics --- */

/* Up to how many microseconds an answer belongs to each bucket; the last one has all others. */
static const uint64_t bounds[WORKLOAD_BUCKETS - 1] = {1000,   2500,   5000,    10000,  25000,
                                                      100000, 250000, 1000000, 5000000};

void workload_count_answer(struct workload_metrics *metrics, uint64_t microseconds)
{
    size_t bucket = 0;
    while (bucket < WORKLOAD_BUCKETS - 1 && microseconds > bounds[bucket])
        bucket++;
    metrics->answers[bucket]++;
    metrics->microseconds += microseconds;
}

/* A bucket of Prometheus has those of all smaller ones, too. */
void workload_write_answers(struct strbuf *out, const struct workload_metrics *metrics)
{
    uint64_t n = 0;
    strbuf_add(out, "# HELP http_answer_seconds How long answers of the path / took.\n"
                    "# TYPE http_answer_seconds histogram\n");
    for (size_t i = 0; i < WORKLOAD_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < WORKLOAD_BUCKETS - 1)
            snprintf(bound, sizeof(bound), "%g", (double)bounds[i] / 1e6);
        n += metrics->answers[i];
        strbuf_addf(out, "http_answer_seconds_bucket{le=\"%s\"} %llu\n", bound,
                    (unsigned long long)n);
    }
    strbuf_addf(out, "http_answer_seconds_sum %llu.%06llu\nhttp_answer_seconds_count %llu\n",
                (unsigned long long)metrics->microseconds / 1000000,
                (unsigned long long)metrics->microseconds % 1000000, (unsigned long long)n);
}

void workload_write_metrics(struct strbuf *out, const struct workload_metrics *metrics)
{
    static const char *const handlers[] = {[HANDLER_ROOT] = "root",
                                           [HANDLER_HEALTH] = "health",
                                           [HANDLER_METRICS] = "metrics",
                                           [HANDLER_OTHER] = "other"};
    strbuf_add(out, "# HELP http_requests_total Requests that were answered.\n"
                    "# TYPE http_requests_total counter\n");
    for (size_t i = 0; i < HANDLER_COUNT; i++)
        for (size_t code = 0; code < WORKLOAD_CODES; code++)
            if (metrics->requests[i][code])
                strbuf_addf(out, "http_requests_total{handler=\"%s\",code=\"%zu\"} %llu\n",
                            handlers[i], code, (unsigned long long)metrics->requests[i][code]);
    strbuf_addf(out,
                "# HELP http_requests_in_flight Requests that are being answered.\n"
                "# TYPE http_requests_in_flight gauge\n"
                "http_requests_in_flight %u\n"
                "# HELP http_answer_seconds_total Time spent on answers of the path /.\n"
                "# TYPE http_answer_seconds_total counter\n"
                "http_answer_seconds_total %llu.%06llu\n"
                "# HELP workload_up Whether the last health check found that it can serve.\n"
                "# TYPE workload_up gauge\n"
                "workload_up %d\n"
                "# HELP workload_environment_variables Variables that the document gives it.\n"
                "# TYPE workload_environment_variables gauge\n"
                "workload_environment_variables %zu\n",
                metrics->in_flight, (unsigned long long)metrics->microseconds / 1000000,
                (unsigned long long)metrics->microseconds % 1000000, metrics->is_healthy,
                metrics->n_variables);
}

/* --- The upstream --- */

static CO_FN int open_upstream(struct workload *workload, int64_t deadline,
                               struct http_stream *ret_stream, struct error *err)
{
    int yes = 1;
    CLEANUP(close_descriptorp)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    int r = http_connect(workload->loop, fd, workload->options->upstream_ip,
                         workload->options->upstream_port, deadline, err);
    if (r < 0)
        return r;
    http_stream_init(ret_stream, workload->loop, take_descriptor(&fd));
    return 0;
}

/* A connection that idled may have been closed meanwhile; asking once more on a new one is safe,
 * since the request changes nothing. */
static CO_FN int ask_upstream(struct workload *workload, struct http_exchange *exchange,
                              int64_t deadline, struct error *err)
{
    struct http_stream stream;
    bool was_idle = workload->n_idle > 0;
    int r = 0;
    if (was_idle)
        stream = workload->idle[--workload->n_idle];
    else
        r = open_upstream(workload, deadline, &stream, err);
    if (r < 0)
        return r;
    r = http_exchange(&stream, exchange, deadline, err);
    if (r == 0 && exchange->keeps_open && workload->n_idle < IDLE_UPSTREAMS &&
        !workload->is_closing) {
        workload->idle[workload->n_idle++] = stream;
        return 0;
    }
    http_stream_done(&stream);
    if (r != -ERROR_UNAVAILABLE || !was_idle)
        return r;
    strbuf_clear(&exchange->answer);
    return ask_upstream(workload, exchange, deadline, err);
}

/* What the upstream said, as JSON where it is JSON, else as text. */
static void write_upstream_answer(struct strbuf *out, const struct http_exchange *exchange)
{
    struct value *value = NULL;
    const char *text = strbuf_text(&exchange->answer);
    if (text_starts_with(exchange->answer_type, "application/json") &&
        json_read(text, exchange->answer.length, &value, NULL) == 0)
        json_write(out, value);
    else if (text_is_utf8(text, exchange->answer.length))
        json_write_string(out, text, exchange->answer.length);
    else
        strbuf_add(out, "null");
    value_unref(value);
}

static CO_FN int add_upstream(struct workload *workload, int64_t deadline, struct strbuf *out,
                              struct error *err)
{
    struct http_exchange exchange = {.method = "GET",
                                     .target = "/",
                                     .host = workload->options->upstream,
                                     .limit = UPSTREAM_LIMIT};
    int r = ask_upstream(workload, &exchange, deadline, err);
    if (r < 0) {
        error_wrap(err, r, "the upstream %s", workload->options->upstream);
    } else if (exchange.code != 200) {
        r = error_set(err, ERROR_UNAVAILABLE, "the upstream %s answered %d",
                      workload->options->upstream, exchange.code);
    } else {
        strbuf_add(out, ",\"upstream\":");
        write_upstream_answer(out, &exchange);
    }
    http_exchange_done(&exchange);
    return r;
}

/* --- Answers --- */

static CO_FN int add_database(struct workload *workload, int64_t deadline, struct strbuf *out,
                              struct error *err)
{
    struct visits_count count;
    int r = visits_add(workload->visits, deadline, &count, err);
    if (r == 0)
        strbuf_addf(out, ",\"database\":{\"rows\":%lld,\"visits\":%lld}", (long long)count.rows,
                    (long long)count.visits);
    return r;
}

static void add_field(struct strbuf *out, const char *key, const char *text)
{
    strbuf_addf(out, "\"%s\":", key);
    json_write_string(out, text, strlen(text));
}

static CO_FN void answer_root(struct workload *workload, struct http_answer *answer)
{
    const struct workload_options *options = workload->options;
    CLEANUP(error_done) struct error err = {0};
    int64_t deadline = world_monotonic_clock() + ANSWER_TIME;
    struct strbuf *out = &answer->body;
    int r = 0;
    answer->content_type = "application/json";
    strbuf_add_char(out, '{');
    add_field(out, "name", options->name);
    strbuf_add_char(out, ',');
    add_field(out, "tier", options->tier ? options->tier : options->name);
    if (options->upstream)
        r = add_upstream(workload, deadline, out, &err);
    if (r == 0 && workload->visits)
        r = add_database(workload, deadline, out, &err);
    if (options->image) {
        strbuf_add_char(out, ',');
        add_field(out, "image", options->image);
    }
    if (r < 0) {
        strbuf_add_char(out, ',');
        add_field(out, "problem", error_message(&err));
        answer->code = r == -ERROR_TIMEOUT ? 504 : workload->visits ? 503 : 502;
    }
    strbuf_add(out, "}\n");
}

static CO_FN void answer_health(struct workload *workload, struct http_answer *answer)
{
    CLEANUP(error_done) struct error err = {0};
    int r = workload->is_closing ? error_set(&err, ERROR_CANCELLED, "it is being stopped") : 0;
    if (r == 0 && workload->visits)
        r = visits_check(workload->visits, world_monotonic_clock() + HEALTH_TIME, &err);
    answer->code = r < 0 ? 503 : 200;
    workload->metrics.is_healthy = r == 0;
    strbuf_addf(&answer->body, "%s\n", r < 0 ? error_message(&err) : "ok");
}

static enum workload_handler find_handler(const struct workload_options *options, const char *path)
{
    for (size_t i = 0; i < options->n_health; i++)
        if (text_equal(options->health[i], path))
            return HANDLER_HEALTH;
    if (text_equal(path, "/"))
        return HANDLER_ROOT;
    return text_equal(path, "/metrics") ? HANDLER_METRICS : HANDLER_OTHER;
}

static bool is_known_method(const char *method)
{
    return text_equal(method, "GET") || text_equal(method, "HEAD") || text_equal(method, "POST");
}

static CO_FN void answer_handler(struct workload *workload, enum workload_handler handler,
                                 struct http_answer *answer)
{
    switch (handler) {
    case HANDLER_ROOT:
        answer_root(workload, answer);
        break;
    case HANDLER_HEALTH:
        answer_health(workload, answer);
        break;
    case HANDLER_METRICS:
        answer->content_type = "text/plain; version=0.0.4";
        workload_write_metrics(&answer->body, &workload->metrics);
        workload_write_answers(&answer->body, &workload->metrics);
        break;
    default:
        answer->code = 404;
        strbuf_add(&answer->body, "there is nothing here but / and the health path\n");
    }
}

static CO_FN void answer_request(void *argument, const struct http_request *request,
                                 struct http_answer *answer)
{
    struct workload *workload = argument;
    struct workload_metrics *metrics = &workload->metrics;
    enum workload_handler handler = find_handler(workload->options, request->path);
    int64_t start = world_monotonic_clock();
    metrics->in_flight++;
    if (is_known_method(request->method))
        answer_handler(workload, handler, answer);
    else
        answer->code = 405;
    metrics->in_flight--;
    metrics->requests[handler][answer->code]++;
    if (handler == HANDLER_ROOT)
        workload_count_answer(metrics, (uint64_t)(world_monotonic_clock() - start));
}

/* --- Its life --- */

static CO_FN void close_workload(void *argument)
{
    struct workload *workload = argument;
    http_server_free(workload->server, world_monotonic_clock() + CLOSE_TIME);
    visits_free(workload->visits);
    while (workload->n_idle > 0)
        http_stream_done(&workload->idle[--workload->n_idle]);
    loop_stop(workload->loop);
}

static void asked_to_end(void *argument, int number)
{
    struct workload *workload = argument;
    (void)number;
    if (workload->is_closing)
        return;
    workload->is_closing = true;
    printf("asked to end\n");
    loop_spawn(workload->loop, "close", close_workload, workload);
}

static void serve(struct workload *workload, int take_fd)
{
    struct http_service service = {.answer = answer_request,
                                   .argument = workload,
                                   .max_connections = CONNECTIONS_LIMIT,
                                   .idle_us = IDLE_TIME};
    if (workload->options->database)
        workload->visits =
            visits_new(workload->loop, workload->options->database, workload->options->name);
    workload->server = http_server_new(workload->loop, take_fd, &service);
    struct signal_watch *term = loop_watch_signal(workload->loop, SIGTERM, asked_to_end, workload);
    struct signal_watch *interrupt =
        loop_watch_signal(workload->loop, SIGINT, asked_to_end, workload);
    loop_run(workload->loop);
    loop_unwatch_signal(term);
    loop_unwatch_signal(interrupt);
}

int workload_main(int argc, char **argv)
{
    CLEANUP(error_done) struct error err = {0};
    struct workload_options options;
    struct map environment = {0};
    int fd = -1;
    int r = workload_parse_options(argc, argv, &options, &err);
    if (r == 0 && options.reads_environment)
        r = workload_environment_read(STDIN_FILENO, &environment, &err);
    if (r == 0)
        r = http_listen(options.ip, options.port, &fd, &err);
    if (r < 0) {
        fprintf(stderr, "workload: %s\n", error_message(&err));
        return 1;
    }
    printf("the built-in workload of %s serves port %u\n", options.name, options.port);
    fflush(stdout);
    struct workload workload = {.loop = loop_new(), .options = &options};
    workload.metrics.n_variables = environment.n_live;
    serve(&workload, fd);
    workload_environment_done(&environment);
    loop_free(workload.loop);
    coroutine_pool_done();
    return 0;
}
