#include "harness.h"
#include "http-scene.h"

#include <sys/resource.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

static const int64_t millisecond = 1000;

enum { SLOW = 500, ASKED = 40, LONG_ANSWER = 32 * 1024 * 1024 };

static void handle(void *argument, struct http_request *request)
{
    struct scene *scene = argument;
    const char *path = http_request_path(request);
    scene->n_begun++;
    gate_open(scene->loop, &scene->happened);
    if (strcmp(path, "/wait") == 0)
        while (!scene->is_released)
            gate_wait(scene->loop, &scene->released, patience(), NULL);
    if (strcmp(path, "/long") == 0) {
        CLEANUP(mem_freep) char *text = mem_zeroed(LONG_ANSWER, 1);
        http_answer(request, 200, NULL, text, LONG_ANSWER);
    } else {
        http_answer(request, 200, NULL, "fine", 4);
    }
    scene->n_ended++;
    gate_open(scene->loop, &scene->happened);
}

static struct scene new_scene(void)
{
    return (struct scene){.settings = {.handle = handle, .address = "127.0.0.1"}};
}

static struct http_counts counts(const struct scene *scene)
{
    return http_server_count(scene->server);
}

/* Asks on an open connection; false without a right answer. */
CO_FN static bool ask(struct scene *scene, int fd, const char *path, const char *want)
{
    CLEANUP(strbuf_done) struct strbuf reply = {0};
    char text[64];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    return client_send(scene, fd, text) && client_read(scene, fd, &reply, want);
}

CO_FN static bool is_closed(struct scene *scene, int fd)
{
    CLEANUP(strbuf_done) struct strbuf reply = {0};
    return client_read(scene, fd, &reply, NULL) && reply.length == 0;
}

CO_FN static void wait_for_connections(struct scene *scene, size_t n)
{
    for (int64_t until = patience(); counts(scene).n_connections != n;) {
        if (world_monotonic_clock() > until)
            return;
        loop_sleep(scene->loop, millisecond);
    }
}

/* --- Slow clients --- */

static bool can_open(rlim_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < n)
        return false;
    limit.rlim_cur = limit.rlim_cur < n ? n : limit.rlim_cur;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* Every slow client sends a byte more of its header before each fast request. */
static void be_slow(struct scene *scene)
{
    static const char slow[] = "GET /slow HTTP/1.1\r\nHost: h\r\nNote: ";
    static int fds[SLOW];
    for (int i = 0; i < SLOW; i++) {
        fds[i] = client_open(scene);
        client_send_n(scene, fds[i], slow, sizeof(slow) - 1);
    }
    wait_for_connections(scene, SLOW);
    int fast = client_open(scene);
    for (int i = 0; i < ASKED; i++) {
        for (int k = 0; k < SLOW; k++)
            client_send_n(scene, fds[k], "x", 1);
        uint64_t before = counts(scene).n_wakeups;
        scene->numbers[0] += ask(scene, fast, "/fast", "\r\n\r\nfine");
        uint64_t needed = counts(scene).n_wakeups - before;
        if (needed > (uint64_t)scene->numbers[1])
            scene->numbers[1] = (int)needed;
    }
    scene->numbers[2] = (int)counts(scene).n_connections;
    for (int i = 0; i < SLOW; i++)
        close(fds[i]);
    close(fast);
}

TEST(five_hundred_slow_connections_do_not_delay_a_fast_one)
{
    if (!can_open(2 * SLOW + 100))
        SKIP("too few descriptors may be open");
    struct scene scene = new_scene();
    scene.settings.header_timeout_us = patience_us * 10;
    CHECK(scene_run(&scene, be_slow));
    CHECK(scene.numbers[0] == ASKED && scene.numbers[2] == SLOW + 1);
    /* Its answer comes in the turns that take what has come from all. */
    CHECK(scene.numbers[1] <= 4);
    scene_done(&scene);
}

enum { DRIBBLERS = 3 };

/* None of them is ever silent. */
static void dribble(struct scene *scene)
{
    static const char *const beginnings[DRIBBLERS] = {
        "", "GET /x HTTP/1.1\r\nNote: ",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"};
    int fds[DRIBBLERS], fast = client_open(scene);
    scene->numbers[0] += !ask(scene, fast, "/fast", "\r\n\r\nfine");
    for (int i = 0; i < DRIBBLERS; i++) {
        fds[i] = client_open(scene);
        client_send(scene, fds[i], beginnings[i]);
    }
    for (int64_t until = patience(); counts(scene).n_cut < DRIBBLERS;) {
        for (int i = 0; i < DRIBBLERS; i++)
            client_send(scene, fds[i], "x");
        scene->numbers[0] += !ask(scene, fast, "/fast", "\r\n\r\nfine");
        if (world_monotonic_clock() > until)
            break;
        loop_sleep(scene->loop, 10 * millisecond);
    }
    for (int i = 0; i < DRIBBLERS; i++)
        close(fds[i]);
    close(fast);
}

TEST(who_sends_byte_after_byte_is_cut_by_the_deadline_of_the_whole)
{
    struct scene scene = new_scene();
    scene.settings.header_timeout_us = 500 * millisecond;
    scene.settings.body_timeout_us = 500 * millisecond;
    CHECK(scene_run(&scene, dribble));
    CHECK(scene.counts.n_cut == DRIBBLERS && scene.numbers[0] == 0);
    scene_done(&scene);
}

static void stay_silent(struct scene *scene)
{
    int fd = client_open(scene);
    scene->numbers[0] = is_closed(scene, fd);
    close(fd);
}

static void stay_idle(struct scene *scene)
{
    int fd = client_open(scene);
    scene->numbers[0] = ask(scene, fd, "/", "\r\n\r\nfine") && is_closed(scene, fd);
    close(fd);
}

TEST(silent_and_idle_connections_are_closed_in_the_end)
{
    struct scene silent = new_scene(), idle = new_scene();
    silent.settings.header_timeout_us = 100 * millisecond;
    CHECK(scene_run(&silent, stay_silent));
    CHECK(silent.numbers[0] && silent.counts.n_cut == 1);
    idle.settings.idle_timeout_us = 100 * millisecond;
    CHECK(scene_run(&idle, stay_idle));
    CHECK(idle.numbers[0] && idle.counts.n_cut == 1);
    scene_done(&silent);
    scene_done(&idle);
}

static void read_nothing(struct scene *scene)
{
    int fd = client_open(scene);
    client_send(scene, fd, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until(scene, &scene->n_ended, 1);
    wait_for_connections(scene, 0);
    close(fd);
}

TEST(who_does_not_read_a_long_answer_is_cut_off)
{
    struct scene scene = new_scene();
    scene.settings.stall_timeout_us = 100 * millisecond;
    CHECK(scene_run(&scene, read_nothing));
    CHECK(scene.counts.n_cut == 1 && scene.counts.n_connections == 0);
    scene_done(&scene);
}

static void read_all(struct scene *scene)
{
    exchange(scene, "GET /long HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             &scene->replies[0]);
}

TEST(who_reads_a_long_answer_gets_it_with_its_length)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, read_all));
    const char *text = strbuf_text(&scene.replies[0]), *body = strstr(text, "\r\n\r\n");
    CHECK(body && strstr(text, "Content-Length: 33554432\r\n"));
    CHECK(scene.replies[0].length == (size_t)(body + 4 - text) + LONG_ANSWER);
    scene_done(&scene);
}

static void wait_for_nothing(struct scene *scene)
{
    int idle = client_open(scene), begun = client_open(scene), waiting = client_open(scene);
    ask(scene, idle, "/", "\r\n\r\nfine");
    client_send(scene, begun, "GET /");
    client_send(scene, waiting, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\n");
    wait_until(scene, &scene->n_begun, 2);
    loop_sleep(scene->loop, 50 * millisecond);
    uint64_t before = counts(scene).n_wakeups;
    loop_sleep(scene->loop, 300 * millisecond);
    scene->numbers[0] = (int)(counts(scene).n_wakeups - before);
    scene->is_released = true;
    gate_open(scene->loop, &scene->released);
    close(idle);
    close(begun);
    close(waiting);
}

TEST(nothing_wakes_the_server_while_nothing_happens)
{
    struct scene scene = new_scene();
    CHECK(scene_run(&scene, wait_for_nothing));
    CHECK(scene.numbers[0] == 0);
    scene_done(&scene);
}

/* --- Too many --- */

static void open_one_more(struct scene *scene)
{
    int fds[4];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(scene);
        ask(scene, fds[i], "/", "\r\n\r\nfine");
    }
    ask(scene, fds[0], "/", "\r\n\r\nfine");
    fds[3] = client_open(scene);
    scene->numbers[0] = ask(scene, fds[3], "/", "\r\n\r\nfine");
    scene->numbers[1] = is_closed(scene, fds[1]);
    scene->numbers[2] = ask(scene, fds[0], "/", "\r\n\r\nfine");
    scene->numbers[3] = ask(scene, fds[2], "/", "\r\n\r\nfine");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

TEST(one_connection_too_many_takes_the_place_of_who_waited_longest)
{
    struct scene scene = new_scene();
    scene.settings.max_connections = 3;
    CHECK(scene_run(&scene, open_one_more));
    for (int i = 0; i < 4; i++)
        CHECK(scene.numbers[i]);
    CHECK(scene.counts.n_refused == 1 && scene.counts.n_cut == 0);
    scene_done(&scene);
}

static void open_while_all_are_busy(struct scene *scene)
{
    int busy[2];
    for (int i = 0; i < 2; i++) {
        busy[i] = client_open(scene);
        client_send(scene, busy[i], "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    wait_until(scene, &scene->n_begun, 2);
    exchange(scene, "", &scene->replies[0]);
    scene->is_released = true;
    gate_open(scene->loop, &scene->released);
    for (int i = 0; i < 2; i++) {
        scene->numbers[i] = client_read(scene, busy[i], &scene->replies[1 + i], "\r\n\r\nfine");
        close(busy[i]);
    }
}

TEST(one_connection_too_many_gets_503_while_all_are_busy)
{
    struct scene scene = new_scene();
    scene.settings.max_per_address = 2;
    CHECK(scene_run(&scene, open_while_all_are_busy));
    CHECK(strncmp(strbuf_text(&scene.replies[0]), "HTTP/1.1 503 ", 13) == 0);
    CHECK(strstr(strbuf_text(&scene.replies[0]), "\r\nRetry-After: 1\r\n"));
    CHECK(scene.numbers[0] && scene.numbers[1] && scene.counts.n_refused == 1);
    scene_done(&scene);
}

static void ask_while_all_are_busy(struct scene *scene)
{
    int busy = client_open(scene), other = client_open(scene);
    client_send(scene, busy, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until(scene, &scene->n_begun, 1);
    scene->numbers[0] = ask(scene, other, "/", "HTTP/1.1 503 Service Unavailable\r\n");
    scene->is_released = true;
    gate_open(scene->loop, &scene->released);
    scene->numbers[1] = client_read(scene, busy, &scene->replies[0], "\r\n\r\nfine");
    scene->numbers[2] = ask(scene, other, "/", "\r\n\r\nfine");
    close(busy);
    close(other);
}

TEST(one_request_too_many_gets_503_and_the_next_one_its_answer)
{
    struct scene scene = new_scene();
    scene.settings.max_requests = 1;
    CHECK(scene_run(&scene, ask_while_all_are_busy));
    CHECK(scene.numbers[0] && scene.numbers[1] && scene.numbers[2] && scene.n_begun == 2);
    scene_done(&scene);
}

static void run_out_of_descriptors(struct scene *scene)
{
    struct rlimit limit, low;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    close(fd);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    uint64_t before = counts(scene).n_wakeups;
    fd = client_open(scene);
    loop_sleep(scene->loop, 150 * millisecond);
    scene->numbers[0] = (int)(counts(scene).n_wakeups - before);
    scene->numbers[1] = (int)counts(scene).n_connections;
    setrlimit(RLIMIT_NOFILE, &limit);
    scene->numbers[2] = ask(scene, fd, "/", "\r\n\r\nfine");
    close(fd);
}

TEST(clients_wait_without_a_busy_loop_until_a_descriptor_is_free)
{
    struct scene scene = new_scene();
    if (RUNNING_ON_VALGRIND)
        SKIP("valgrind has descriptors of its own");
    CHECK(scene_run(&scene, run_out_of_descriptors));
    CHECK(scene.numbers[1] == 0 && scene.numbers[2]);
    /* Ten a second, and a machine may be slow to wake the test. */
    CHECK(scene.numbers[0] > 0 && scene.numbers[0] < 100);
    scene_done(&scene);
}
