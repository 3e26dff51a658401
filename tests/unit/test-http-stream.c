#include "harness.h"
#include "http-scene.h"

static const int64_t millisecond = 1000;

enum { EVENTS = 3, BIG = 8 * 1024 * 1024, PIECE = 10000, ENDLESS_LIMIT = 256 * 1024 * 1024 };

static const struct http_header stream_headers[] = {
    {"Content-Type", "text/event-stream"}, {"X-Accel-Buffering", "no"}, {NULL, NULL}};

/* One event for each release. */
static void send_events(struct scene *scene, struct http_request *request)
{
    http_stream_begin(request, 200, stream_headers);
    for (int i = 0; i < EVENTS; i++) {
        char event[32];
        snprintf(event, sizeof(event), "data: %d\n\n", i);
        http_stream_write(request, event, strlen(event), NULL);
        gate_wait(scene->loop, &scene->released, patience(), NULL);
    }
    http_stream_end(request);
}

static char big_byte(size_t at)
{
    return (char)('a' + at * 7 / 3 % 26);
}

static void send_big(struct http_request *request)
{
    char piece[PIECE];
    http_stream_begin(request, 200, NULL);
    for (size_t at = 0; at < BIG;) {
        size_t n = BIG - at < PIECE ? BIG - at : PIECE;
        for (size_t i = 0; i < n; i++)
            piece[i] = big_byte(at + i);
        if (http_stream_write(request, piece, n, NULL) < 0)
            return;
        at += n;
    }
    http_stream_end(request);
}

/* Says in numbers[0] how many pieces the client was believed to take. */
static void send_without_end(struct scene *scene, struct http_request *request)
{
    static char piece[PIECE];
    struct error err = {0};
    while (scene->numbers[0] < ENDLESS_LIMIT / PIECE &&
           http_stream_write(request, piece, PIECE, &err) >= 0)
        scene->numbers[0]++;
    scene->numbers[1] = (int)err.code;
    scene->is_gone_seen = http_request_is_gone(request);
    error_done(&err);
}

static void handle(void *argument, struct http_request *request)
{
    struct scene *scene = argument;
    const char *path = http_request_path(request);
    scene->n_begun++;
    gate_open(scene->loop, &scene->happened);
    if (strcmp(path, "/events") == 0) {
        send_events(scene, request);
    } else if (strcmp(path, "/big") == 0) {
        send_big(request);
    } else if (strcmp(path, "/endless") == 0) {
        http_stream_begin(request, 200, NULL);
        send_without_end(scene, request);
    } else if (strcmp(path, "/broken") == 0) {
        http_stream_begin(request, 200, NULL);
        http_stream_write(request, "begun", 5, NULL);
    } else if (strcmp(path, "/late") == 0) {
        loop_sleep(scene->loop, 1000);
        http_stream_begin(request, 201, NULL);
        loop_sleep(scene->loop, 1000);
        http_stream_write(request, "late", 4, NULL);
        http_stream_end(request);
        loop_sleep(scene->loop, 1000);
    } else if (strcmp(path, "/split") == 0) {
        const struct http_header headers[] = {{"Note", "a\nb"}, {NULL, NULL}};
        http_stream_begin(request, 200, headers);
        send_without_end(scene, request);
    }
    scene->n_ended++;
    gate_open(scene->loop, &scene->happened);
}

static struct scene new_scene(void)
{
    return (struct scene){.settings = {.handle = handle, .address = "127.0.0.1"}};
}

/* --- What comes --- */

static void read_events(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, fd, &scene->replies[0], "data: 0\n\n\r\n");
    gate_open(scene->loop, &scene->released);
    client_read(scene, fd, &scene->replies[0], "data: 1\n\n\r\n");
    gate_open(scene->loop, &scene->released);
    client_read(scene, fd, &scene->replies[0], "data: 2\n\n\r\n");
    gate_open(scene->loop, &scene->released);
    client_read(scene, fd, &scene->replies[0], "0\r\n\r\n");
    client_send(scene, fd, "GET /late HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client_read(scene, fd, &scene->replies[1], NULL);
    close(fd);
}

TEST(each_event_arrives_while_the_handler_waits_and_the_connection_lives_on)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, read_events));
    CHECK_TEXT(plain(&scene.replies[0]), "HTTP/1.1 200 OK\nContent-Type: text/event-stream\n"
                                         "X-Accel-Buffering: no\nTransfer-Encoding: chunked\n\n"
                                         "9\ndata: 0\n\n\n9\ndata: 1\n\n\n9\ndata: 2\n\n\n0\n\n");
    CHECK_TEXT(plain(&scene.replies[1]), "HTTP/1.1 201 Created\nConnection: close\n"
                                         "Transfer-Encoding: chunked\n\n4\nlate\n0\n\n");
    CHECK(scene.n_ended == 2);
    scene_done(&scene);
}

static void read_in_other_ways(struct scene *scene)
{
    exchange(scene, "GET /late HTTP/1.0\r\n\r\n", &scene->replies[0]);
    exchange(scene, "HEAD /late HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[1]);
    exchange(scene, "GET /broken HTTP/1.1\r\nHost: h\r\n\r\n", &scene->replies[2]);
    exchange(scene, "GET /split HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[3]);
    exchange(scene, "HEAD /endless HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[4]);
    wait_until(scene, &scene->n_ended, 5);
}

TEST(a_stream_without_chunks_ends_with_the_connection_and_one_without_an_end_is_broken_off)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, read_in_other_ways));
    CHECK_TEXT(plain(&scene.replies[0]), "HTTP/1.1 201 Created\nConnection: close\n\nlate");
    CHECK(!strstr(strbuf_text(&scene.replies[1]), "late"));
    CHECK_TEXT(plain(&scene.replies[2]),
               "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nbegun\n");
    CHECK(strncmp(strbuf_text(&scene.replies[3]), "HTTP/1.1 500 ", 13) == 0);
    CHECK(scene.n_ended == 5);
    scene_done(&scene);
}

static void break_off(struct scene *scene)
{
    int idle = client_open(scene), broken = client_open(scene);
    struct http_counts counts = {0};
    client_send(scene, idle, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, idle, &scene->replies[0], "\r\n0\r\n\r\n");
    client_send(scene, broken,
                "GET /late HTTP/1.1\r\nHost: h\r\n\r\nGET /broken HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, broken, &scene->replies[1], NULL);
    for (int64_t until = patience(); world_monotonic_clock() < until;) {
        counts = http_server_count(scene->server);
        if (counts.n_connections < 2)
            break;
        loop_sleep(scene->loop, millisecond);
    }
    scene->numbers[0] = (int)counts.n_connections;
    close(idle);
    close(broken);
}

TEST(a_stream_that_is_broken_off_leaves_nothing_behind)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, break_off));
    CHECK(scene.numbers[0] == 1);
    scene_done(&scene);
}

static void read_big(struct scene *scene)
{
    exchange(scene, "GET /big HTTP/1.0\r\n\r\n", &scene->replies[0]);
}

TEST(a_stream_that_is_much_larger_than_the_buffer_arrives_whole)
{
    struct scene scene = new_scene();
    scene.settings.max_buffered = 65536;
    CHECK(scene_run(&scene, read_big));
    const char *body = strstr(strbuf_text(&scene.replies[0]), "\r\n\r\n");
    CHECK(body && strlen(body + 4) == BIG);
    bool is_right = true;
    for (size_t i = 0; i < BIG; i++)
        is_right = is_right && body[4 + i] == big_byte(i);
    CHECK(is_right);
    scene_done(&scene);
}

/* --- Clients that do not read, or leave --- */

static void read_nothing(struct scene *scene)
{
    int fd = client_open(scene), size = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    client_send(scene, fd, "GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until(scene, &scene->n_ended, 1);
    scene->numbers[2] = (int)http_server_count(scene->server).n_cut;
    close(fd);
}

TEST(a_reader_that_stalls_is_cut_off_and_its_handler_told)
{
    struct scene scene = new_scene();
    scene.settings.stall_timeout_us = 100 * millisecond;
    scene.settings.max_buffered = 65536;
    CHECK(scene_run(&scene, read_nothing));
    CHECK(scene.numbers[1] == ERROR_UNAVAILABLE && scene.is_gone_seen && scene.numbers[2] == 1);
    /* What the system buffers for a socket is a few megabytes; the rest has waited. */
    CHECK(scene.numbers[0] < 16 * 1024 * 1024 / PIECE);
    scene_done(&scene);
}

static void leave_a_stream(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, fd, &scene->replies[0], "200 OK");
    close(fd);
    wait_until(scene, &scene->n_ended, 1);
    scene->numbers[2] = (int)http_server_count(scene->server).n_cut;
}

TEST(a_stream_whose_client_leaves_ends_with_an_error)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, leave_a_stream));
    CHECK(scene.numbers[1] == ERROR_UNAVAILABLE && scene.is_gone_seen && scene.numbers[2] == 0);
    scene_done(&scene);
}

static void be_stopped(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, fd, &scene->replies[0], "200 OK");
    http_server_stop(scene->server, 0);
    scene->server = NULL;
    client_read(scene, fd, &scene->replies[0], NULL);
    close(fd);
}

TEST(a_stream_under_way_ends_when_the_server_stops)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, be_stopped));
    CHECK(scene.numbers[1] == ERROR_UNAVAILABLE && scene.n_ended == 1);
    CHECK(!strstr(strbuf_text(&scene.replies[0]), "\r\n0\r\n"));
    scene_done(&scene);
}
