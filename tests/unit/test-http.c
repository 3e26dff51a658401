#include "harness.h"
#include "http-scene.h"

#include <dirent.h>
#include <fcntl.h>

static const int64_t millisecond = 1000;

static void note_gone(void *argument)
{
    struct scene *scene = argument;
    scene->n_gone++;
    gate_open(scene->loop, &scene->happened);
}

/* Says what it was asked. */
static void echo(struct http_request *request)
{
    static const struct http_header headers[] = {{"Content-Type", "text/plain"}, {NULL, NULL}};
    const char *query = http_request_query(request), *note = http_request_header(request, "NOTE");
    CLEANUP(mem_freep)
    char *text = string_format("%s %s ?%s note=%s x%zu length=%zu\n", http_request_method(request),
                               http_request_path(request), query ? query : "-", note ? note : "-",
                               http_request_header_count(request, "note"),
                               http_request_body_length(request));
    http_answer(request, 200, headers, text, strlen(text));
}

CO_FN static void handle(void *argument, struct http_request *request)
{
    struct scene *scene = argument;
    const char *path = http_request_path(request);
    scene->n_begun++;
    gate_open(scene->loop, &scene->happened);
    if (strcmp(path, "/wait") == 0) {
        http_request_on_gone(request, note_gone, scene);
        while (!scene->is_released && !http_request_is_gone(request))
            gate_wait(scene->loop, scene->n_gone ? &scene->happened : &scene->released,
                      world_monotonic_clock() + 20 * millisecond, NULL);
        scene->is_gone_seen = http_request_is_gone(request);
    } else if (strcmp(path, "/sleep") == 0) {
        loop_sleep(scene->loop, 1000);
    } else if (strcmp(path, "/split") == 0) {
        const struct http_header headers[] = {{"Note", "a\r\nSet-Cookie: b"}, {NULL, NULL}};
        http_answer(request, 200, headers, "x", 1);
    } else if (strcmp(path, "/body") == 0) {
        http_answer(request, 200, NULL, http_request_body(request),
                    http_request_body_length(request));
    }
    if (strcmp(path, "/none") != 0 && strcmp(path, "/split") != 0 && strcmp(path, "/body") != 0)
        echo(request);
    scene->n_ended++;
    gate_open(scene->loop, &scene->happened);
}

static struct scene new_scene(void)
{
    return (struct scene){.settings = {.handle = handle, .address = "127.0.0.1"}};
}

/* --- Requests and answers --- */

static void ask_one_after_the_other(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /a?b=%20c&d HTTP/1.1\r\nHost: h\r\nnOtE: \t hello  \r\n\r\n");
    client_read(scene, fd, &scene->replies[0], "length=0\n");
    client_send(scene, fd,
                "POST /%2e HTTP/1.1\r\nHost: h\r\nNote: 1\r\nNote: 2\r\nContent-Length: 3\r\n\r\n"
                "abc");
    client_read(scene, fd, &scene->replies[1], "length=3\n");
    client_send(scene, fd, "BREW /sleep HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client_read(scene, fd, &scene->replies[2], NULL);
    close(fd);
}

TEST(a_connection_carries_one_request_after_the_other)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, ask_one_after_the_other));
    CHECK_TEXT(plain(&scene.replies[0]), "HTTP/1.1 200 OK\nContent-Type: text/plain\n"
                                         "Content-Length: 40\n\n"
                                         "GET /a ?b=%20c&d note=hello x1 length=0\n");
    CHECK(strstr(strbuf_text(&scene.replies[1]), "\r\n\r\nPOST /%2e ?- note=1 x2 length=3\n"));
    CHECK(strstr(strbuf_text(&scene.replies[2]), "\r\n\r\nBREW /sleep ?- note=- x0 length=0\n"));
    CHECK(strstr(strbuf_text(&scene.replies[2]), "Connection: close\r\n"));
    CHECK(scene.n_begun == 3 && scene.n_ended == 3);
    scene_done(&scene);
}

static void ask_all_at_once(struct scene *scene)
{
    exchange(scene,
             "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /sleep HTTP/1.1\r\nHost: h\r\n\r\n"
             "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
             "GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
             "GET /5 HTTP/1.1\r\nHost: h\r\n\r\n",
             &scene->replies[0]);
}

TEST(pipelined_requests_are_answered_in_order)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, ask_all_at_once));
    const char *text = strbuf_text(&scene.replies[0]), *one = strstr(text, "GET /1 ");
    const char *two = one ? strstr(one, "GET /sleep ") : NULL;
    const char *three = two ? strstr(two, "POST /3 ?- note=- x0 length=2") : NULL;
    CHECK(three && strstr(three, "GET /4 ") && !strstr(text, "GET /5 "));
    CHECK(scene.n_begun == 4);
    scene_done(&scene);
}

static void ask_in_odd_ways(struct scene *scene)
{
    exchange(scene, "HEAD /h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &scene->replies[0]);
    exchange(scene, "GET /old HTTP/1.0\r\n\r\n", &scene->replies[1]);
    exchange(scene, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[2]);
    exchange(scene, "GET /split HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[3]);
    exchange(scene,
             "\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d\r\nConnection: close\r\n\r\n",
             &scene->replies[4]);
    exchange(scene,
             "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
             "Connection: close\r\n\r\nhi",
             &scene->replies[5]);
    exchange(scene,
             "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
             "2\r\nhi\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n"
             "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
             &scene->replies[6]);
}

TEST(odd_requests_get_their_answers_too)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, ask_in_odd_ways));
    const char *head = plain(&scene.replies[0]);
    CHECK_TEXT(head, "HTTP/1.1 200 OK\nConnection: close\nContent-Type: text/plain\n"
                     "Content-Length: 30\n\n");
    CHECK(strstr(strbuf_text(&scene.replies[1]), "GET /old ?- note=- x0 length=0\n"));
    CHECK(strstr(strbuf_text(&scene.replies[2]), "HTTP/1.1 500 "));
    CHECK(strstr(strbuf_text(&scene.replies[3]), "HTTP/1.1 500 "));
    CHECK(!strstr(strbuf_text(&scene.replies[3]), "Set-Cookie"));
    CHECK(strstr(strbuf_text(&scene.replies[4]), "OPTIONS * ?- note=- x0 length=0\n"));
    CHECK(strstr(strbuf_text(&scene.replies[5]), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
    CHECK(strstr(strbuf_text(&scene.replies[6]), "POST /c ?- note=- x0 length=18\n"));
    CHECK(!strstr(strbuf_text(&scene.replies[6]), "smuggled"));
    CHECK(scene.n_begun == 7);
    scene_done(&scene);
}

/* --- Limits --- */

enum { BODY_LIMIT = 100000 };

static void send_body(struct scene *scene, size_t size, const char *framing, struct strbuf *reply)
{
    struct strbuf text = {0};
    strbuf_addf(&text, "POST /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    if (*framing)
        strbuf_addf(&text, "%s\r\n\r\n%zx\r\n", framing, size);
    else
        strbuf_addf(&text, "Content-Length: %zu\r\n\r\n", size);
    strbuf_add_repeated(&text, 'x', size);
    if (*framing)
        strbuf_add(&text, "\r\n0\r\n\r\n");
    exchange_n(scene, text.text, text.length, reply);
    strbuf_done(&text);
}

static void send_bodies(struct scene *scene)
{
    send_body(scene, BODY_LIMIT, "", &scene->replies[0]);
    send_body(scene, BODY_LIMIT + 1, "", &scene->replies[1]);
    send_body(scene, BODY_LIMIT, "Transfer-Encoding: chunked", &scene->replies[2]);
    send_body(scene, BODY_LIMIT + 1, "Transfer-Encoding: chunked", &scene->replies[3]);
    exchange(scene, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
             &scene->replies[4]);
    exchange(scene, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
             &scene->replies[5]);
}

TEST(a_body_at_the_limit_is_taken_and_one_byte_more_is_413)
{
    struct scene scene = new_scene();
    scene.settings.max_body = BODY_LIMIT;
    CHECK(scene_run(&scene, send_bodies));
    CHECK(strstr(strbuf_text(&scene.replies[0]), "length=100000\n"));
    CHECK(strstr(strbuf_text(&scene.replies[2]), "length=100000\n"));
    for (size_t i = 1; i < 6; i += i == 1 ? 2 : 1)
        CHECK(strncmp(strbuf_text(&scene.replies[i]), "HTTP/1.1 413 ", 13) == 0);
    CHECK(scene.n_begun == 2);
    scene_done(&scene);
}

/* A request whose head has this many bytes. */
static void send_head(struct scene *scene, size_t size, const char *line, struct strbuf *reply)
{
    struct strbuf text = {0};
    strbuf_addf(&text, "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nNote: ", line);
    while (text.length < size - 4)
        strbuf_add_char(&text, 'x');
    strbuf_add(&text, "\r\n\r\n");
    exchange_n(scene, text.text, text.length, reply);
    strbuf_done(&text);
}

static void send_heads(struct scene *scene)
{
    send_head(scene, 4096, "GET /", &scene->replies[0]);
    send_head(scene, 4097, "GET /", &scene->replies[1]);
    send_head(scene, 100000, "GET /", &scene->replies[2]);
}

TEST(a_head_at_the_limit_is_taken_and_one_byte_more_is_431)
{
    struct scene scene = new_scene();
    scene.settings.max_headers = 4096;
    CHECK(scene_run(&scene, send_heads));
    CHECK(strncmp(strbuf_text(&scene.replies[0]), "HTTP/1.1 200 ", 13) == 0);
    CHECK(strncmp(strbuf_text(&scene.replies[1]), "HTTP/1.1 431 ", 13) == 0);
    /* So much more is cut off while it comes; its sender may find the connection reset. */
    CHECK(!strstr(strbuf_text(&scene.replies[2]), " 200 "));
    CHECK(scene.n_begun == 1);
    scene_done(&scene);
}

/* --- Heads that two readers could understand differently --- */

struct hostile {
    const char *what;
    const char *text;
    size_t length;
    bool has_answer; /* 400; libmicrohttpd closes without one where the first line is none */
};
#define HOSTILE(what, text, has_answer)          \
    {                                            \
        what, text, sizeof(text) - 1, has_answer \
    }
#define BEGIN "POST /x HTTP/1.1\r\nHost: h\r\n"
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct hostile hostile[] = {
    HOSTILE("two lengths", BEGIN "Content-Length: 2\r\nContent-Length: 4\r\n\r\nabcd", true),
    HOSTILE("two equal lengths", BEGIN "Content-Length: 2\r\ncontent-length: 2\r\n\r\nab", true),
    HOSTILE("a list of lengths", BEGIN "Content-Length: 2, 2\r\n\r\nab", true),
    HOSTILE("a signed length", BEGIN "Content-Length: +2\r\n\r\nab", true),
    HOSTILE("a negative length", BEGIN "Content-Length: -2\r\n\r\nab", true),
    HOSTILE("an empty length", BEGIN "Content-Length: \r\n\r\nab", true),
    HOSTILE("a hexadecimal length", BEGIN "Content-Length: 0x2\r\n\r\nab", true),
    HOSTILE("length and chunks",
            BEGIN "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
            true),
    HOSTILE("chunks and length",
            BEGIN "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED,
            true),
    HOSTILE("chunks twice",
            BEGIN "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            true),
    HOSTILE("chunks and identity",
            BEGIN "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            true),
    HOSTILE("chunks in HTTP/1.0",
            "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, true),
    HOSTILE("a folded header", BEGIN "Note: a\r\n b\r\n\r\n", true),
    HOSTILE("a header folded to nothing", BEGIN "Note: a\r\n \r\n\r\n", true),
    HOSTILE("a folded length", BEGIN "Content-Length:\r\n 5\r\n\r\n", true),
    HOSTILE("a fold before the first header", "GET /x HTTP/1.1\r\n Host: h\r\n\r\n", true),
    HOSTILE("a blank before the colon", BEGIN "Content-Length : 5\r\n\r\nabcde", true),
    HOSTILE("a tab before the colon", BEGIN "Content-Length\t: 5\r\n\r\nabcde", true),
    HOSTILE("a header without a name", BEGIN ": 5\r\n\r\n", true),
    HOSTILE("a header without a colon", BEGIN "Note\r\n\r\n", true),
    HOSTILE("a name with brackets", BEGIN "Note(s): a\r\n\r\n", true),
    HOSTILE("a name with a high byte", BEGIN "N\xc3\xb6te: a\r\n\r\n", true),
    HOSTILE("a bare LF after a header", BEGIN "Note: a\nContent-Length: 2\r\n\r\nab", true),
    HOSTILE("a bare LF at the end", BEGIN "Note: a\r\n\n", true),
    HOSTILE("bare LFs alone", "GET /x HTTP/1.1\nHost: h\n\n", true),
    HOSTILE("a bare LF after the first line", "GET /x HTTP/1.1\nHost: h\r\n\r\n", true),
    HOSTILE("a bare CR in a value", BEGIN "Note: a\rb\r\n\r\n", true),
    HOSTILE("a CR at the end of a value", BEGIN "Note: a\r\r\n\r\n", true),
    HOSTILE("a NUL in a value", BEGIN "Note: a\0b\r\n\r\n", true),
    HOSTILE("a NUL at the end of a value", BEGIN "Note: a\0\r\n\r\n", true),
    HOSTILE("two NULs and a header", BEGIN "Note: a\0\0Content-Length\0002\r\n\r\nab", true),
    HOSTILE("two NULs and a colon", BEGIN "Note: a\0\0Content-Length: 2\r\n\r\nab", true),
    HOSTILE("a NUL in a name", BEGIN "No\0te: a\r\n\r\n", true),
    HOSTILE("an escape in a value", BEGIN "Note: a\x1b[0m\r\n\r\n", true),
    HOSTILE("two hosts", BEGIN "Host: i\r\n\r\n", true),
    HOSTILE("no host", "GET /x HTTP/1.1\r\n\r\n", true),
    HOSTILE("a blank in the target", "GET /x y HTTP/1.1\r\nHost: h\r\n\r\n", false),
    HOSTILE("two blanks before the target", "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n", true),
    HOSTILE("two blanks before the version", "GET /x  HTTP/1.1\r\nHost: h\r\n\r\n", false),
    HOSTILE("a blank after the version", "GET /x HTTP/1.1 \r\nHost: h\r\n\r\n", false),
    HOSTILE("a NUL in the target", "GET /x\0y HTTP/1.1\r\nHost: h\r\n\r\n", true),
    HOSTILE("a high byte in the target", "GET /\xc3\xb6 HTTP/1.1\r\nHost: h\r\n\r\n", true),
    HOSTILE("a tab in the target", "GET /x\ty HTTP/1.1\r\nHost: h\r\n\r\n", true),
    HOSTILE("no version", "GET /x\r\nHost: h\r\n\r\n", false),
    HOSTILE("no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", false),
    HOSTILE("a version of the future", "GET /x HTTP/2.0\r\nHost: h\r\n\r\n", false),
    HOSTILE("a version in small letters", "GET /x http/1.1\r\nHost: h\r\n\r\n", false),
    HOSTILE("a method with a bracket", "G(T /x HTTP/1.1\r\nHost: h\r\n\r\n", true),
    HOSTILE("a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", false),
    HOSTILE("a chunk size with a blank",
            BEGIN "Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n", true),
    HOSTILE("a negative chunk size",
            BEGIN "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n", true),
    HOSTILE("a chunk size with 0x",
            BEGIN "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", true),
    HOSTILE("a chunk longer than it says",
            BEGIN "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", true),
};

static void send_hostile(struct scene *scene)
{
    struct strbuf *replies = scene->extra;
    for (size_t i = 0; i < ARRAY_LENGTH(hostile); i++) {
        struct strbuf text = {0};
        strbuf_add_n(&text, hostile[i].text, hostile[i].length);
        strbuf_add(&text, SMUGGLED);
        exchange_n(scene, text.text, text.length, &replies[i]);
        strbuf_done(&text);
    }
}

TEST(what_two_readers_could_understand_differently_is_refused_and_ends_the_connection)
{
    struct scene scene = new_scene();
    static struct strbuf replies[ARRAY_LENGTH(hostile)];
    scene.extra = replies;
    CHECK(scene_run(&scene, send_hostile));
    bool is_right = true;
    for (size_t i = 0; i < ARRAY_LENGTH(hostile); i++) {
        const char *reply = strbuf_text(&replies[i]);
        bool is_400 = strncmp(reply, "HTTP/1.1 400 ", 13) == 0;
        if (hostile[i].has_answer ? !is_400
                                  : *reply && !strstr(reply, " 400 ") && !strstr(reply, " 505 ")) {
            printf("# %s: \"%.40s\"\n", hostile[i].what, reply);
            is_right = false;
        }
        strbuf_done(&replies[i]);
    }
    CHECK(is_right && scene.n_begun == 0);
    scene_done(&scene);
}

/* --- Clients that leave --- */

static void leave_while_it_waits(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until(scene, &scene->n_begun, 1);
    close(fd);
    wait_until(scene, &scene->n_ended, 1);
}

TEST(a_handler_learns_that_its_client_has_left)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, leave_while_it_waits));
    CHECK(scene.n_gone == 1 && scene.is_gone_seen && scene.n_ended == 1);
    scene_done(&scene);
}

/* The other half may still be read, also when more has been sent than is read. */
static void close_one_half(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd,
                "GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until(scene, &scene->n_begun, 1);
    shutdown(fd, SHUT_WR);
    client_read(scene, fd, &scene->replies[0], NULL);
    close(fd);
}

TEST(a_client_that_closed_its_half_counts_as_gone_and_is_answered_if_it_can_be)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, close_one_half));
    CHECK(scene.n_gone == 1);
    CHECK(strstr(strbuf_text(&scene.replies[0]), "GET /wait ?- note=- x0 length=0\n"));
    scene_done(&scene);
}

/* --- Stopping --- */

struct helper {
    struct scene *scene;
    struct strbuf reply;
    bool is_done;
};

static void ask_to_wait(void *argument)
{
    struct helper *helper = argument;
    exchange(helper->scene, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", &helper->reply);
    helper->is_done = true;
}

static void release(void *argument)
{
    struct scene *scene = argument;
    scene->is_released = true;
    gate_open(scene->loop, &scene->released);
}

static void stop_while_one_waits(struct scene *scene)
{
    struct helper *helper = scene->extra;
    helper->scene = scene;
    int idle = client_open(scene);
    loop_spawn(scene->loop, "client", ask_to_wait, helper);
    wait_until(scene, &scene->n_begun, 1);
    loop_timer(scene->loop, 50 * millisecond, release, scene);
    http_server_stop(scene->server, patience());
    scene->server = NULL;
    scene->numbers[0] = (int)scene->n_ended;
    client_read(scene, idle, &scene->replies[0], NULL);
    close(idle);
}

TEST(stopping_lets_requests_finish)
{
    struct scene scene = new_scene();
    struct helper helper = {0};
    scene.extra = &helper;
    CHECK(scene_run(&scene, stop_while_one_waits));
    CHECK(scene.numbers[0] == 1 && scene.n_gone == 0 && helper.is_done);
    CHECK(strstr(strbuf_text(&helper.reply), "GET /wait ?- note=- x0 length=0\n"));
    CHECK(strstr(strbuf_text(&helper.reply), "Connection: close\r\n"));
    CHECK(scene.replies[0].length == 0);
    strbuf_done(&helper.reply);
    scene_done(&scene);
}

static void stop_at_once(struct scene *scene)
{
    struct helper *helper = scene->extra;
    helper->scene = scene;
    loop_spawn(scene->loop, "client", ask_to_wait, helper);
    wait_until(scene, &scene->n_begun, 1);
    http_server_stop(scene->server, 0);
    scene->server = NULL;
}

TEST(stopping_past_the_deadline_cuts_clients_off_and_tells_handlers)
{
    struct scene scene = new_scene();
    struct helper helper = {0};
    scene.extra = &helper;
    CHECK(scene_run(&scene, stop_at_once));
    CHECK(scene.n_gone == 1 && scene.n_ended == 1 && helper.is_done && helper.reply.length == 0);
    strbuf_done(&helper.reply);
    scene_done(&scene);
}

/* --- Starting --- */

static void look_at_descriptors(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    client_read(scene, fd, &scene->replies[0], "length=0\n");
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int number = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && number > 2 && !(fcntl(number, F_GETFD) & FD_CLOEXEC))
            scene->numbers[0]++;
    }
    if (folder)
        closedir(folder);
    close(fd);
}

TEST(no_descriptor_of_the_server_reaches_a_child)
{
    struct scene scene = new_scene();
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    /* What the test was started with stays out of the count. */
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strtol(entry->d_name, NULL, 10) > 2)
            fcntl((int)strtol(entry->d_name, NULL, 10), F_SETFD, FD_CLOEXEC);
    closedir(folder);
    CHECK(scene_run(&scene, look_at_descriptors));
    CHECK(scene.numbers[0] == 0 && strstr(strbuf_text(&scene.replies[0]), " 200 "));
    scene_done(&scene);
}

TEST(bad_addresses_taken_ports_and_bad_certificates_are_told)
{
    struct loop *loop = loop_new();
    struct http_settings settings = {.handle = handle, .address = "localhost"};
    struct http_server *first = NULL, *second = NULL;
    struct error err = {0};
    http_server_start(loop, &settings, &first, &err);
    CHECK(err.code == ERROR_INVALID && strstr(error_message(&err), "\"localhost\""));
    error_done(&err);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    CHECK(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    settings.address = NULL;
    settings.port = ntohs(address.sin_port);
    http_server_start(loop, &settings, &second, &err);
    CHECK(err.code == ERROR_BUSY && !second);
    error_done(&err);
    close(fd);
    settings.certificate = settings.key = "-----BEGIN NONSENSE-----\n";
    settings.port = 0;
    http_server_start(loop, &settings, &second, &err);
    CHECK(err.code == ERROR_INVALID && !second && strstr(error_message(&err), "certificate"));
    error_done(&err);
    loop_free(loop);
}
