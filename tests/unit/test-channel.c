/* Lines over sockets, pipes and files. */
#include "channel-scene.h"

#include <sys/wait.h>

TEST(lines_arrive_as_they_were_sent_whatever_packets_they_come_in)
{
    static const char text[] = "one\n\ntwo\0three\n{\"four\": 5}\n";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct scene scene;
        CHECK(begin(&scene));
        CLEANUP(talk_done) struct talk talk = {.deadline = -1};
        talk.channel = take_end(&scene, 0, 100);
        loop_spawn(scene.loop, "receive", receive_all, &talk);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t rest = sizeof(text) - 1 - at;
            size_t n = rest < step ? rest : step;
            CHECK(write(scene.ends[1], text + at, n) == (ssize_t)n);
        }
        close(scene.ends[1]);
        scene.ends[1] = -1;
        loop_run(scene.loop);
        CHECK(talk.r == 0 && talk.r_after == 0);
        CHECK(talk.received.length == sizeof(text) - 1);
        CHECK(memcmp(talk.received.text, text, sizeof(text) - 1) == 0);
        channel_free(talk.channel);
        CHECK(end(&scene));
    }
}

/* Sends the sender's line; whether it came as it is. Both channels are freed. */
static bool goes_through(struct scene *scene, struct talk *sender, struct talk *receiver)
{
    loop_spawn(scene->loop, "receive", receive_all, receiver);
    loop_spawn(scene->loop, "send", send_and_free, sender);
    loop_run(scene->loop);
    channel_free(receiver->channel);
    return sender->r == 0 && receiver->r == 0 && receiver->received.length == sender->length + 1 &&
           memcmp(receiver->received.text, sender->line, sender->length) == 0;
}

TEST(a_line_of_four_megabytes_is_sent_and_received_in_parts)
{
    struct scene scene;
    CHECK(begin(&scene));
    enum { SIZE = 4 << 20 };
    CLEANUP(mem_freep) char *line = mem_zeroed(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++)
        line[i] = (char)('a' + i % 26);
    CLEANUP(talk_done)
    struct talk sender = {take_end(&scene, 0, SIZE), line, SIZE, -1, 1, 1, {0}, {0}};
    CLEANUP(talk_done)
    struct talk receiver = {.channel = take_end(&scene, 1, SIZE),
                            .deadline = deadline_in(60000 * MILLISECOND)};
    CHECK(goes_through(&scene, &sender, &receiver));
    CHECK(end(&scene));
}

struct dialogue {
    struct talk talk;
    int n_left;
    bool is_first;
};

/* Each answers with the number after the one it got. */
static void count_together(void *argument)
{
    struct dialogue *dialogue = argument;
    struct channel *channel = dialogue->talk.channel;
    char number[16] = "0";
    if (dialogue->is_first)
        dialogue->talk.r = channel_send(channel, number, 1, -1, NULL);
    while (dialogue->talk.r == 0 && dialogue->n_left-- > 0) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length;
        dialogue->talk.r = channel_receive(channel, -1, &line, &length, NULL);
        if (dialogue->talk.r < 0 || !line)
            break;
        int next = (int)strtol(line, NULL, 10) + 1;
        int n = snprintf(number, sizeof(number), "%d", next);
        dialogue->talk.r_after = next;
        dialogue->talk.r = channel_send(channel, number, (size_t)n, -1, NULL);
    }
}

TEST(two_ends_talk_in_turns)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct dialogue one = {.is_first = true, .n_left = 500};
    struct dialogue other = {.n_left = 500};
    one.talk.channel = take_end(&scene, 0, 10);
    other.talk.channel = take_end(&scene, 1, 10);
    loop_spawn(scene.loop, "one", count_together, &one);
    loop_spawn(scene.loop, "other", count_together, &other);
    loop_run(scene.loop);
    CHECK(one.talk.r == 0 && other.talk.r == 0);
    CHECK(one.talk.r_after == 1000 && other.talk.r_after == 999);
    channel_free(one.talk.channel);
    channel_free(other.talk.channel);
    CHECK(end(&scene));
}

/* Two channels over a pipe there and a pipe back; *ret_shared is another descriptor of one end. */
static bool connect_by_pipes(struct scene *scene, size_t limit, struct channel **ret_one,
                             struct channel **ret_other, int *ret_shared)
{
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
        return false;
    *ret_shared = fcntl(there[1], F_DUPFD_CLOEXEC, 3);
    *ret_one = channel_new_pair(scene->loop, back[0], there[1], limit);
    *ret_other = channel_new_pair(scene->loop, there[0], back[1], limit);
    return *ret_shared >= 0;
}

TEST(two_ends_talk_in_turns_over_pipes_whose_flags_stay)
{
    struct scene scene;
    int shared;
    CHECK(begin(&scene));
    struct dialogue one = {.is_first = true, .n_left = 500};
    struct dialogue other = {.n_left = 500};
    CHECK(connect_by_pipes(&scene, 10, &one.talk.channel, &other.talk.channel, &shared));
    loop_spawn(scene.loop, "one", count_together, &one);
    loop_spawn(scene.loop, "other", count_together, &other);
    loop_run(scene.loop);
    CHECK(one.talk.r == 0 && other.talk.r == 0);
    CHECK(one.talk.r_after == 1000 && other.talk.r_after == 999);
    CHECK((fcntl(shared, F_GETFL) & O_NONBLOCK) == 0);
    close(shared);
    channel_free(one.talk.channel);
    channel_free(other.talk.channel);
    CHECK(end(&scene));
}

TEST(a_line_that_no_pipe_holds_goes_through_one)
{
    struct scene scene;
    int shared;
    CHECK(begin(&scene));
    enum { SIZE = 1 << 20 };
    CLEANUP(mem_freep) char *line = mem_zeroed(SIZE, 1);
    memset(line, 'x', SIZE);
    CLEANUP(talk_done) struct talk sender = {.line = line, .length = SIZE, .deadline = -1, .r = 1};
    CLEANUP(talk_done) struct talk receiver = {.deadline = deadline_in(60000 * MILLISECOND)};
    CHECK(connect_by_pipes(&scene, SIZE, &sender.channel, &receiver.channel, &shared));
    close(shared);
    CHECK(goes_through(&scene, &sender, &receiver));
    CHECK(end(&scene));
}

/* Where two lines stand already, and nobody is at the other end. */
static int open_written(const struct scene *scene, char kind)
{
    int ends[2] = {-1, -1};
    char path[96];
    snprintf(path, sizeof(path), "%s/written", scene->folder);
    if (kind == 'p' && pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    if (kind == 'n' && mkfifo(path, 0600) == 0) {
        ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ends[1] = open(path, O_WRONLY | O_CLOEXEC);
    }
    if (kind == 'f') {
        ends[1] = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ends[0] = open(path, O_RDONLY | O_CLOEXEC);
    }
    unlink(path);
    bool is_written = write(ends[1], "one\ntwo\n", 8) == 8;
    close(ends[1]);
    return is_written ? ends[0] : -1;
}

TEST(what_was_written_before_is_read_to_its_end_from_pipes_and_files)
{
    static const char kinds[] = {'p', 'n', 'f'};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct scene scene;
        CHECK(begin(&scene));
        CLEANUP(talk_done) struct talk talk = {.deadline = -1, .r = 1, .r_after = 1};
        int fd = open_written(&scene, kinds[i]);
        CHECK(fd >= 0);
        talk.channel = channel_new_pair(scene.loop, fd, dup(scene.ends[0]), 100);
        loop_spawn(scene.loop, "receive", receive_all, &talk);
        loop_run(scene.loop);
        CHECK(talk.r == 0 && talk.r_after == 0);
        CHECK_TEXT(strbuf_text(&talk.received), "one\ntwo\n");
        channel_free(talk.channel);
        CHECK(end(&scene));
    }
}

TEST(a_line_may_have_the_limit_and_not_a_byte_more)
{
    const struct {
        const char *text;
        int r, r_after;
        const char *received;
    } cases[] = {
        {"1234567890\nx\n", 0, 0, "1234567890\nx\n"},
        {"a\n12345678901\nx\n", -ERROR_LIMIT, -ERROR_LIMIT, "a\n"},
        {"12345678901", -ERROR_LIMIT, -ERROR_LIMIT, ""},
        {"a\n1234567890", -ERROR_UNAVAILABLE, 0, "a\n"},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct scene scene;
        CHECK(begin(&scene));
        CLEANUP(talk_done) struct talk talk = {.deadline = -1};
        talk.channel = take_end(&scene, 0, 10);
        ssize_t length = (ssize_t)strlen(cases[i].text);
        CHECK(write(scene.ends[1], cases[i].text, (size_t)length) == length);
        close(scene.ends[1]);
        scene.ends[1] = -1;
        loop_spawn(scene.loop, "receive", receive_all, &talk);
        loop_run(scene.loop);
        CHECK(talk.r == cases[i].r && talk.r_after == cases[i].r_after);
        CHECK_TEXT(strbuf_text(&talk.received), cases[i].received);
        channel_free(talk.channel);
        CHECK(end(&scene));
    }
}

TEST(an_endless_line_is_refused_early)
{
    struct scene scene;
    CHECK(begin(&scene));
    enum { SIZE = 8 << 20 };
    CLEANUP(mem_freep) char *line = mem_zeroed(SIZE, 1);
    memset(line, 'x', SIZE);
    CLEANUP(talk_done)
    struct talk sender = {
        take_end(&scene, 0, 10), line, SIZE, deadline_in(100 * MILLISECOND), 1, 1, {0}, {0}};
    CLEANUP(talk_done)
    struct talk receiver = {.channel = take_end(&scene, 1, 100000), .deadline = -1};
    loop_spawn(scene.loop, "send", send_one, &sender);
    loop_spawn(scene.loop, "receive", receive_all, &receiver);
    loop_run(scene.loop);
    CHECK(receiver.r == -ERROR_LIMIT);
    CHECK(strstr(receiver.err.message, "100000 bytes"));
    CHECK(sender.r == -ERROR_TIMEOUT);
    /* Half a line is on its way: another one would be glued to it. */
    sender.length = 1;
    loop_spawn(scene.loop, "send", send_one, &sender);
    loop_run(scene.loop);
    CHECK(sender.r == -ERROR_UNAVAILABLE);
    channel_free(sender.channel);
    channel_free(receiver.channel);
    CHECK(end(&scene));
}

TEST(half_a_line_waits_for_its_other_half_over_a_deadline)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done) struct talk talk = {.deadline = deadline_in(10 * MILLISECOND)};
    talk.channel = take_end(&scene, 0, 100);
    CHECK(write(scene.ends[1], "half", 4) == 4);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == -ERROR_TIMEOUT);
    CHECK(world_monotonic_clock() >= talk.deadline);
    CHECK(write(scene.ends[1], " whole\n", 7) == 7);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK_TEXT(strbuf_text(&talk.received), "half whole\n");
    channel_free(talk.channel);
    CHECK(end(&scene));
}

TEST(sending_to_a_closed_end_is_an_error_and_no_signal)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done)
    struct talk talk = {take_end(&scene, 0, 10), "x", 1, -1, 1, 1, {0}, {0}};
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "send", send_one, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == -ERROR_UNAVAILABLE);
    channel_free(talk.channel);
    CHECK(end(&scene));
}

TEST(an_end_that_closes_without_reading_is_the_end_of_the_stream)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done)
    struct talk talk = {take_end(&scene, 0, 10), "unread", 6, -1, 1, 1, {0}, {0}};
    loop_spawn(scene.loop, "send", send_one, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0);
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0 && talk.r_after == 0);
    channel_free(talk.channel);
    CHECK(end(&scene));
}

static void shut(void *argument)
{
    struct talk *talk = argument;
    channel_shut(talk->channel);
}

TEST(shutting_a_channel_ends_the_wait_of_who_receives)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done) struct talk talk = {.deadline = -1, .r = 1, .r_after = 1};
    talk.channel = take_end(&scene, 0, 100);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_timer(scene.loop, 5 * MILLISECOND, shut, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0 && talk.r_after == 0);
    char byte;
    CHECK(read(scene.ends[1], &byte, 1) == 0);
    channel_free(talk.channel);
    channel_free(NULL);
    CHECK(end(&scene));
}

/* The second line comes while nobody waits for one. */
struct late {
    struct talk talk;
    struct loop *loop;
    int other_end;
};

static void write_second(void *argument)
{
    struct late *late = argument;
    late->talk.r_after = (int)write(late->other_end, "two\n", 4);
}

static void receive_late(void *argument)
{
    struct late *late = argument;
    CLEANUP(mem_freep) char *line = NULL;
    size_t length;
    late->talk.r = channel_receive(late->talk.channel, -1, &line, &length, NULL);
    loop_timer(late->loop, 0, write_second, late);
    loop_sleep(late->loop, 20 * MILLISECOND);
    close(late->other_end);
    if (late->talk.r == 0)
        receive_all(&late->talk);
}

TEST(what_comes_while_nobody_receives_is_received_afterwards)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct late late = {.loop = scene.loop, .other_end = scene.ends[1], .talk = {.deadline = -1}};
    late.talk.channel = take_end(&scene, 0, 100);
    CHECK(write(late.other_end, "one\n", 4) == 4);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "receive", receive_late, &late);
    loop_run(scene.loop);
    CHECK(late.talk.r == 0 && late.talk.r_after == 0);
    CHECK_TEXT(strbuf_text(&late.talk.received), "two\n");
    talk_done(&late.talk);
    channel_free(late.talk.channel);
    CHECK(end(&scene));
}

struct flood {
    struct talk talk;
    struct loop *loop;
    bool has_rung;
    bool rang_first;
};

static void ring_in_flood(void *argument)
{
    struct flood *flood = argument;
    flood->has_rung = true;
}

static void receive_flood(void *argument)
{
    struct flood *flood = argument;
    loop_timer(flood->loop, 0, ring_in_flood, flood);
    receive_all(&flood->talk);
    flood->rang_first = flood->has_rung;
}

TEST(a_flood_of_lines_lets_timers_ring)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct flood flood = {.loop = scene.loop, .talk = {.deadline = -1}};
    flood.talk.channel = take_end(&scene, 0, 100);
    pid_t pid = fork();
    if (pid == 0) {
        /* Always more than can be read at once. */
        char lines[4096];
        memset(lines, '\n', sizeof(lines));
        for (int i = 0; i < 2000; i++)
            if (write(scene.ends[1], lines, sizeof(lines)) < 0)
                _exit(1);
        _exit(0);
    }
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "receive", receive_flood, &flood);
    loop_run(scene.loop);
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(flood.rang_first);
    CHECK(flood.talk.received.length == 2000 * 4096);
    talk_done(&flood.talk);
    channel_free(flood.talk.channel);
    CHECK(end(&scene));
}
