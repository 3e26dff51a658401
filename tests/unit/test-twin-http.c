#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "net/child.h"
#include "twin/http-server.h"
#include "twin/workload-environment.h"
#include "twin/workload-program.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- One message through a pair of sockets --- */

struct reading {
    struct loop *loop;
    const char *bytes;
    bool is_answer;
    size_t limit;
    int result; /* 0, or the code of the head's or the body's error */
    struct http_head head;
    struct strbuf body;
};

static CO_FN void read_message(void *argument)
{
    struct reading *reading = argument;
    int64_t deadline = world_monotonic_clock() + 200000;
    struct http_stream stream;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
        write(fds[1], reading->bytes, strlen(reading->bytes)) < 0)
        abort();
    close(fds[1]);
    http_stream_init(&stream, reading->loop, fds[0]);
    reading->result = reading->is_answer
                          ? http_read_answer(&stream, deadline, &reading->head, NULL)
                          : http_read_request(&stream, deadline, &reading->head, NULL);
    if (reading->result == 0 && !reading->head.is_end)
        reading->result =
            http_read_body(&stream, &reading->head, reading->limit, deadline, &reading->body, NULL);
    http_stream_done(&stream);
}

static struct reading read_bytes(const char *bytes, bool is_answer)
{
    struct reading reading = {.bytes = bytes, .is_answer = is_answer, .limit = 1000};
    reading.loop = loop_new();
    loop_spawn(reading.loop, "test", read_message, &reading);
    loop_run(reading.loop);
    loop_free(reading.loop);
    coroutine_pool_done();
    return reading;
}

static void reading_done(struct reading *reading)
{
    http_head_done(&reading->head);
    strbuf_done(&reading->body);
}

TEST(requests_are_read_with_their_bodies)
{
    static const struct {
        const char *bytes, *method, *target, *body;
        bool keeps_open;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "", true},
        {"GET /x?y=z HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n", "GET", "/x?y=z", "",
         false},
        {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", false},
        {"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "POST", "/p", "hello", true},
        {"POST /p HTTP/1.1\r\ncontent-length:5 \r\nContent-Length: 5\r\n\r\nhello", "POST", "/p",
         "hello", true},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5;name=value\r\nhello\r\nA\r\n, world..!\r\n0\r\nTrailer: x\r\n\r\n",
         "POST", "/", "hello, world..!", true},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST", "/", "", true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct reading reading = read_bytes(cases[i].bytes, false);
        CHECK(reading.result == 0 && !reading.head.is_end);
        CHECK_TEXT(reading.head.method, cases[i].method);
        CHECK_TEXT(reading.head.target, cases[i].target);
        CHECK_TEXT(strbuf_text(&reading.body), cases[i].body);
        CHECK(reading.head.keeps_open == cases[i].keeps_open);
        reading_done(&reading);
    }
}

/* RFC 9112, sections 2 to 7; RFC 9110, 5.5. */
TEST(what_two_readers_could_understand_differently_is_refused)
{
    static const struct {
        const char *bytes;
        enum error_code code;
    } cases[] = {
        {"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         ERROR_INVALID},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ERROR_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nName : value\r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/1.1\r\n: b\r\n\r\n", ERROR_INVALID},
        {"GET  / HTTP/1.1\r\n\r\n", ERROR_INVALID},
        {"GET x HTTP/1.1\r\n\r\n", ERROR_INVALID},
        {"GET /\r\n\r\n", ERROR_INVALID},
        {"G@T / HTTP/1.1\r\n\r\n", ERROR_INVALID},
        {"\r\n\r\n", ERROR_INVALID},
        {"GET / HTTP/2.0\r\n\r\n", ERROR_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nHost: a\r\n", ERROR_UNAVAILABLE},
        {"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhello", ERROR_UNAVAILABLE},
        {"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", ERROR_LIMIT},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n", ERROR_LIMIT},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFF\r\n", ERROR_INVALID},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", ERROR_INVALID},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", ERROR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct reading reading = read_bytes(cases[i].bytes, false);
        if (reading.result != -(int)cases[i].code)
            printf("# case %zu: %d\n", i, reading.result);
        CHECK(reading.result == -(int)cases[i].code);
        reading_done(&reading);
    }
}

TEST(a_head_has_a_limit)
{
    char *bytes = mem_zeroed(HTTP_HEAD_LIMIT + 100, 1);
    memset(bytes, 'a', HTTP_HEAD_LIMIT + 50);
    memcpy(bytes, "GET / HTTP/1.1\r\nA: ", 19);
    struct reading reading = read_bytes(bytes, false);
    CHECK(reading.result == -ERROR_LIMIT);
    reading_done(&reading);
    mem_free(bytes);
}

TEST(an_end_before_the_first_byte_is_no_error)
{
    struct reading reading = read_bytes("", false);
    CHECK(reading.result == 0 && reading.head.is_end);
    reading_done(&reading);
}

TEST(answers_are_read_with_and_without_a_length)
{
    static const struct {
        const char *bytes, *body, *type;
        int code;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nokrest", "ok",
         "text/plain", 200},
        {"HTTP/1.1 503\r\n\r\nuntil the end", "until the end", "", 503},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", "", "", 204},
        {"HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "x", "",
         404},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct reading reading = read_bytes(cases[i].bytes, true);
        CHECK(reading.result == 0 && reading.head.code == cases[i].code);
        CHECK_TEXT(strbuf_text(&reading.body), cases[i].body);
        CHECK_TEXT(reading.head.content_type, cases[i].type);
        reading_done(&reading);
    }
    static const char *const bad[] = {"HTTP/1.1 2 OK\r\n\r\n", "HTTP/1.1_200 OK\r\n\r\n",
                                      "x\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct reading reading = read_bytes(bad[i], true);
        CHECK(reading.result == -ERROR_INVALID);
        reading_done(&reading);
    }
    struct reading reading = read_bytes("", true);
    CHECK(reading.result == -ERROR_UNAVAILABLE);
    reading_done(&reading);
}

/* --- A server and its clients --- */

struct scene {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    size_t max_connections;
    const char *bytes; /* what the client sends at once */
    struct strbuf answer;
    size_t n_served;
};

static CO_FN void answer(void *argument, const struct http_request *request,
                         struct http_answer *ret_answer)
{
    struct scene *scene = argument;
    scene->n_served++;
    if (text_equal(request->path, "/slow"))
        loop_sleep(scene->loop, 100000);
    strbuf_addf(&ret_answer->body, "%s %s?%s %zu", request->method, request->path, request->query,
                request->body_size);
}

/* Sends all bytes and collects what comes back until the server closes, or a while after. */
static CO_FN void converse(struct scene *scene)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int64_t deadline = world_monotonic_clock() + 400000;
    char bytes[1000];
    ssize_t n = 1;
    struct http_stream stream;
    http_stream_init(&stream, scene->loop, fd);
    if (http_connect(scene->loop, fd, INADDR_LOOPBACK, scene->port, deadline, NULL) == 0)
        http_write(&stream, scene->bytes, strlen(scene->bytes), deadline, NULL);
    while (n != 0 && loop_wait_fd(scene->loop, fd, LOOP_READABLE, deadline, NULL) == 0) {
        n = recv(fd, bytes, sizeof(bytes), 0);
        if (n > 0)
            strbuf_add_n(&scene->answer, bytes, (size_t)n);
    }
    http_stream_done(&stream);
}

static CO_FN void play(void *argument)
{
    struct scene *scene = argument;
    struct http_service service = {answer, scene, 2, 200000};
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fd = -1;
    if (http_listen(INADDR_LOOPBACK, 0, &fd, NULL) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        abort();
    scene->port = ntohs(address.sin_port);
    scene->server = http_server_new(scene->loop, fd, &service);
    converse(scene);
    http_server_free(scene->server, world_monotonic_clock() + 1000000);
    loop_stop(scene->loop);
}

static struct scene perform(const char *bytes)
{
    struct scene scene = {.loop = loop_new(), .bytes = bytes};
    loop_spawn(scene.loop, "test", play, &scene);
    loop_run(scene.loop);
    loop_free(scene.loop);
    coroutine_pool_done();
    return scene;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *found = strstr(text, part); found; found = strstr(found + 1, part))
        n++;
    return n;
}

TEST(pipelined_requests_are_answered_in_order_on_one_connection)
{
    struct scene scene = perform("GET /slow?a HTTP/1.1\r\n\r\n"
                                 "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz"
                                 "HEAD /c HTTP/1.1\r\nConnection: close\r\n\r\n"
                                 "GET /never HTTP/1.1\r\n\r\n");
    const char *text = strbuf_text(&scene.answer);
    CHECK(count_of(text, "HTTP/1.1 200 OK\r\n") == 3);
    CHECK(strstr(text, "GET /slow?a 0") < strstr(text, "POST /b? 3"));
    CHECK(strstr(text, "Connection: close") && text_ends_with(text, "\r\n\r\n"));
    CHECK(scene.n_served == 3);
    strbuf_done(&scene.answer);
}

TEST(a_client_is_told_why_its_request_is_refused)
{
    static const struct {
        const char *bytes, *answer;
    } cases[] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n"},
        {"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n",
         "HTTP/1.1 413 Content Too Large\r\n"},
        {"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: "
         "close\r\n\r\nok",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct scene scene = perform(cases[i].bytes);
        CHECK(text_starts_with(strbuf_text(&scene.answer), cases[i].answer));
        strbuf_done(&scene.answer);
    }
}

/* --- The workload's own --- */

TEST(options_of_a_workload_are_checked)
{
    struct workload_options options;
    char *good[] = {(char[]){"workload"},
                    (char[]){"--listen"},
                    (char[]){"10.0.0.1:81"},
                    (char[]){"--name"},
                    (char[]){"web-0"},
                    (char[]){"--health"},
                    (char[]){"/a"},
                    (char[]){"--health"},
                    (char[]){"/b"},
                    (char[]){"--tier"},
                    (char[]){"web"},
                    (char[]){"--upstream"},
                    (char[]){"10.0.1.10:8080"},
                    NULL};
    CHECK(workload_parse_options(13, good, &options, NULL) == 0);
    CHECK(options.ip == 0x0a000001 && options.port == 81 && options.n_health == 2);
    CHECK_TEXT(options.health[1], "/b");
    CHECK(options.upstream_port == 8080 && !options.database);
    static const char *const bad[][3] = {{"--listen", "10.0.0.1", "no address"},
                                         {"--listen", "host:80", "no address"},
                                         {"--listen", "10.0.0.1:0", "no address"},
                                         {"--listen", "10.0.0.1:65536", "no address"},
                                         {"--health", "health", "begin with /"},
                                         {"--what", "x", "unknown"},
                                         {"--name", "x", "--listen"},
                                         {"stray", "x", "no option"}};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {0};
        char *option = string_copy(bad[i][0]), *value = string_copy(bad[i][1]);
        char *arguments[] = {(char[]){"workload"}, option, value, NULL};
        CHECK(workload_parse_options(3, arguments, &options, &err) == -ERROR_INVALID);
        CHECK(strstr(err.message, bad[i][2]));
        error_done(&err);
        mem_free(option);
        mem_free(value);
    }
}

/* --- Its environment --- */

TEST(an_environment_goes_through_a_descriptor_and_comes_out_the_same)
{
    struct machine_variable variables[] = {
        {"DB_PASSWORD", NULL, "s1:12ab"}, {"EMPTY", "", NULL}, {"MODE", "a=b\nc \xc3\xa4", NULL}};
    struct machine_workload workload = {.variables = variables, .n_variables = 3};
    char folder[] = "/tmp/parley-given-XXXXXX";
    CHECK(mkdtemp(folder));
    CLEANUP(mem_freep) char *path = string_format("%s/stack.s1:12ab", folder);
    CHECK(world_write_file(path, "open sesame", 11, 0600, true, NULL) == 0);
    CLEANUP(value_unrefp) struct value *environment = workload_environment(&workload);
    struct map read = {0};
    struct error err = {0};
    int fd = -1;
    CHECK(workload_environment_write(environment, folder, "stack", &fd, NULL) == 0);
    CHECK(workload_environment_read(fd, &read, NULL) == 0);
    close(fd);
    CHECK(read.n_live == 3);
    CHECK_TEXT(map_get(&read, "DB_PASSWORD"), "open sesame");
    CHECK_TEXT(map_get(&read, "EMPTY"), "");
    CHECK_TEXT(map_get(&read, "MODE"), "a=b\nc \xc3\xa4");
    workload_environment_done(&read);
    CHECK(world_remove_file(path, NULL) == 0);
    CHECK(workload_environment_write(environment, folder, "stack", &fd, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(error_message(&err), "given for DB_PASSWORD is not there any more"));
    error_done(&err);
    rmdir(folder);
}

TEST(an_environment_that_is_none_is_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"A", 2}, {"A=1", 3}, {"=A", 3}, {"A=1\0B", 6}};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct map read = {0};
        int fd = -1;
        CHECK(child_make_input(bad[i].bytes, bad[i].size, &fd, NULL) == 0);
        CHECK(workload_environment_read(fd, &read, NULL) == -ERROR_INVALID);
        close(fd);
        workload_environment_done(&read);
    }
}

TEST(answers_are_counted_by_the_time_they_took)
{
    struct workload_metrics *metrics = NEW(struct workload_metrics);
    struct strbuf text = {0};
    static const uint64_t took[] = {1, 1000, 1001, 25000, 25001, 6000000};
    for (size_t i = 0; i < ARRAY_LENGTH(took); i++)
        workload_count_answer(metrics, took[i]);
    workload_write_answers(&text, metrics);
    CHECK_TEXT(strbuf_text(&text),
               "# HELP http_answer_seconds How long answers of the path / took.\n"
               "# TYPE http_answer_seconds histogram\n"
               "http_answer_seconds_bucket{le=\"0.001\"} 2\n"
               "http_answer_seconds_bucket{le=\"0.0025\"} 3\n"
               "http_answer_seconds_bucket{le=\"0.005\"} 3\n"
               "http_answer_seconds_bucket{le=\"0.01\"} 3\n"
               "http_answer_seconds_bucket{le=\"0.025\"} 4\n"
               "http_answer_seconds_bucket{le=\"0.1\"} 5\n"
               "http_answer_seconds_bucket{le=\"0.25\"} 5\n"
               "http_answer_seconds_bucket{le=\"1\"} 5\n"
               "http_answer_seconds_bucket{le=\"5\"} 5\n"
               "http_answer_seconds_bucket{le=\"+Inf\"} 6\n"
               "http_answer_seconds_sum 6.052003\n"
               "http_answer_seconds_count 6\n");
    strbuf_done(&text);
    mem_free(metrics);
}

TEST(metrics_have_the_text_format_of_prometheus)
{
    struct workload_metrics *metrics = NEW(struct workload_metrics);
    struct strbuf text = {0};
    metrics->requests[HANDLER_ROOT][200] = 5;
    metrics->requests[HANDLER_ROOT][503] = 1;
    metrics->requests[HANDLER_HEALTH][200] = 7;
    metrics->microseconds = 1000042;
    metrics->in_flight = 2;
    metrics->n_variables = 3;
    metrics->is_healthy = true;
    workload_write_metrics(&text, metrics);
    CHECK_TEXT(strbuf_text(&text),
               "# HELP http_requests_total Requests that were answered.\n"
               "# TYPE http_requests_total counter\n"
               "http_requests_total{handler=\"root\",code=\"200\"} 5\n"
               "http_requests_total{handler=\"root\",code=\"503\"} 1\n"
               "http_requests_total{handler=\"health\",code=\"200\"} 7\n"
               "# HELP http_requests_in_flight Requests that are being answered.\n"
               "# TYPE http_requests_in_flight gauge\n"
               "http_requests_in_flight 2\n"
               "# HELP http_answer_seconds_total Time spent on answers of the path /.\n"
               "# TYPE http_answer_seconds_total counter\n"
               "http_answer_seconds_total 1.000042\n"
               "# HELP workload_up Whether the last health check found that it can serve.\n"
               "# TYPE workload_up gauge\n"
               "workload_up 1\n"
               "# HELP workload_environment_variables Variables that the document gives it.\n"
               "# TYPE workload_environment_variables gauge\n"
               "workload_environment_variables 3\n");
    strbuf_done(&text);
    mem_free(metrics);
}
