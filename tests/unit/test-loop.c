/* A failed CHECK jumps out of the test, so none stands inside a coroutine or a callback: they leave
 * their answers behind. */
#include "net/loop.h"

#include "base/memory.h"
#include "base/world.h"
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MILLISECOND = 1000 };

/* What happened, one letter each. */
static char trace[128];

static void note(char c)
{
    size_t length = strlen(trace);
    trace[length] = c;
    trace[length + 1] = '\0';
}

static struct loop *begin(void)
{
    trace[0] = '\0';
    return loop_new();
}

/* Every test ends so: nothing may be left. */
static void end(struct loop *loop)
{
    CHECK(coroutine_count() == 0);
    loop_free(loop);
    coroutine_pool_done();
}

static int64_t deadline_in(int64_t delay_us)
{
    return world_monotonic_clock() + delay_us;
}

static void note_argument(void *argument)
{
    note(*(char *)argument);
}

TEST(a_loop_with_nothing_registered_ends_at_once)
{
    struct loop *loop = begin();
    loop_run(loop);
    loop_run(loop);
    end(loop);
    loop_free(NULL);
}

TEST(timers_ring_in_the_order_of_their_deadlines_then_of_making)
{
    struct loop *loop = begin();
    char letters[] = "abcdefgh";
    const int delays[] = {30, 10, 20, 0, 10, 30, -5, 1};
    for (size_t i = 0; i < ARRAY_LENGTH(delays); i++)
        loop_timer(loop, delays[i] * (int64_t)MILLISECOND, note_argument, &letters[i]);
    int64_t before = world_monotonic_clock();
    loop_run(loop);
    CHECK_TEXT(trace, "dghbecaf");
    CHECK(world_monotonic_clock() - before >= 30 * MILLISECOND);
    end(loop);
}

struct numbered {
    struct timer *timer;
    int64_t deadline;
};

static int64_t latest_deadline;
static size_t n_rung;
static bool is_ordered;

static void ring_numbered(void *argument)
{
    struct numbered *numbered = argument;
    numbered->timer = NULL;
    n_rung++;
    if (numbered->deadline < latest_deadline)
        is_ordered = false;
    latest_deadline = numbered->deadline;
}

static int64_t fake_now;

static int64_t fake_clock(void)
{
    return fake_now;
}

TEST(a_thousand_timers_stay_in_order_when_every_third_is_cancelled)
{
    struct world_ops world = {.monotonic_clock = fake_clock};
    fake_now = 1000;
    world_replace(&world);
    struct loop *loop = begin();
    struct numbered numbered[1000];
    uint32_t random = 7;
    for (size_t i = 0; i < ARRAY_LENGTH(numbered); i++) {
        random = random * 1664525 + 1013904223;
        int64_t delay = random >> 16;
        numbered[i].deadline = fake_now + delay;
        numbered[i].timer = loop_timer(loop, delay, ring_numbered, &numbered[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(numbered); i += 3)
        loop_timer_cancel(numbered[i].timer);
    n_rung = 0;
    is_ordered = true;
    latest_deadline = 0;
    fake_now += 65536;
    loop_run(loop);
    world_replace(NULL);
    CHECK(n_rung == 666);
    CHECK(is_ordered);
    end(loop);
}

static struct timer *victims[3];

static void cancel_victims(void *argument)
{
    note(*(char *)argument);
    for (size_t i = 0; i < ARRAY_LENGTH(victims); i++)
        loop_timer_cancel(take_ptr(victims[i]));
}

TEST(a_ring_cancels_timers_that_are_due_with_it)
{
    struct loop *loop = begin();
    char letters[] = "abcde";
    loop_timer(loop, 0, cancel_victims, &letters[0]);
    for (size_t i = 0; i < ARRAY_LENGTH(victims); i++)
        victims[i] = loop_timer(loop, (int64_t)i * MILLISECOND, note_argument, &letters[1 + i]);
    loop_timer(loop, 0, note_argument, &letters[4]);
    usleep(5 * MILLISECOND);
    loop_run(loop);
    CHECK_TEXT(trace, "ae");
    loop_timer_cancel(NULL);
    end(loop);
}

struct again {
    struct loop *loop;
    int left;
    int pipe[2];
};

static void ring_again(void *argument)
{
    struct again *again = argument;
    note('t');
    if (--again->left > 0)
        loop_timer(again->loop, 0, ring_again, again);
}

static void read_byte(void *argument, int events)
{
    struct again *again = argument;
    char byte;
    if (events == LOOP_READABLE && read(again->pipe[0], &byte, 1) == 1)
        note(byte);
}

static void wait_for_byte(void *argument)
{
    struct again *again = argument;
    if (loop_wait_fd(again->loop, again->pipe[0], LOOP_READABLE, -1, NULL) == 0)
        read_byte(again, LOOP_READABLE);
}

TEST(a_timer_that_makes_itself_again_lets_descriptors_have_their_turn)
{
    struct loop *loop = begin();
    struct again again = {.loop = loop, .left = 20};
    CHECK(pipe2(again.pipe, O_CLOEXEC) == 0);
    CHECK(write(again.pipe[1], "x", 1) == 1);
    loop_timer(loop, 0, ring_again, &again);
    loop_spawn(loop, "wait", wait_for_byte, &again);
    loop_run(loop);
    CHECK(strlen(trace) == 21);
    CHECK(strchr(trace, 'x') && strchr(trace, 'x') - trace < 4);
    close(again.pipe[0]);
    close(again.pipe[1]);
    end(loop);
}

struct sleeper {
    struct loop *loop;
    int64_t delay_us;
    int64_t slept_us;
};

static void sleep_once(void *argument)
{
    struct sleeper *sleeper = argument;
    int64_t before = world_monotonic_clock();
    loop_sleep(sleeper->loop, sleeper->delay_us);
    sleeper->slept_us = world_monotonic_clock() - before;
}

TEST(a_thousand_sleepers_sleep_at_the_same_time)
{
    struct loop *loop = begin();
    struct sleeper sleepers[COROUTINE_LIMIT];
    for (int i = 0; i < COROUTINE_LIMIT; i++) {
        sleepers[i] = (struct sleeper){loop, (i % 20) * (int64_t)MILLISECOND, -1};
        loop_spawn(loop, "sleep", sleep_once, &sleepers[i]);
    }
    int64_t before = world_monotonic_clock();
    loop_run(loop);
    CHECK(world_monotonic_clock() - before < 5000 * MILLISECOND);
    for (int i = 0; i < COROUTINE_LIMIT; i++)
        CHECK(sleepers[i].slept_us >= sleepers[i].delay_us);
    end(loop);
}

static void note_and_turn(void *argument)
{
    struct loop *loop = argument;
    char letter = strchr(trace, 'a') ? 'b' : 'a';
    for (int i = 0; i < 3; i++) {
        note((char)(letter + i * 2));
        loop_wake(loop, coroutine_self());
        coroutine_yield();
    }
}

TEST(coroutines_that_wake_themselves_take_turns)
{
    struct loop *loop = begin();
    loop_spawn(loop, "first", note_and_turn, loop);
    loop_spawn(loop, "second", note_and_turn, loop);
    loop_run(loop);
    CHECK_TEXT(trace, "abcdef");
    end(loop);
}

struct fd_wait {
    struct loop *loop;
    int fd;
    int events;
    int64_t deadline;
    int r;
    struct error err;
};

static void wait_on_fd(void *argument)
{
    struct fd_wait *wait = argument;
    wait->r = loop_wait_fd(wait->loop, wait->fd, wait->events, wait->deadline, &wait->err);
}

TEST(a_wait_for_a_descriptor_ends_at_its_deadline)
{
    struct loop *loop = begin();
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    struct fd_wait wait = {loop, ends[0], LOOP_READABLE, deadline_in(10 * MILLISECOND), 1, {0}};
    loop_spawn(loop, "wait", wait_on_fd, &wait);
    loop_run(loop);
    CHECK(wait.r == -ERROR_TIMEOUT && wait.err.code == ERROR_TIMEOUT);
    CHECK(world_monotonic_clock() >= wait.deadline);
    error_done(&wait.err);
    close(ends[0]);
    close(ends[1]);
    end(loop);
}

TEST(what_is_ready_counts_even_when_the_deadline_has_passed)
{
    struct loop *loop = begin();
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    struct fd_wait ready = {loop, ends[0], LOOP_READABLE, 0, 1, {0}};
    struct fd_wait write_ready = {loop, ends[1], LOOP_WRITABLE, 0, 1, {0}};
    loop_spawn(loop, "wait", wait_on_fd, &ready);
    loop_spawn(loop, "wait", wait_on_fd, &write_ready);
    loop_run(loop);
    CHECK(ready.r == 0 && write_ready.r == 0);
    close(ends[0]);
    close(ends[1]);
    end(loop);
}

TEST(a_reader_and_a_writer_wait_on_one_descriptor)
{
    struct loop *loop = begin();
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct fd_wait reader = {loop, ends[0], LOOP_READABLE, deadline_in(10 * MILLISECOND), 1, {0}};
    struct fd_wait writer = {loop, ends[0], LOOP_WRITABLE, -1, 1, {0}};
    struct fd_wait second = {loop, ends[0], LOOP_READABLE, deadline_in(5 * MILLISECOND), 1, {0}};
    loop_spawn(loop, "reader", wait_on_fd, &reader);
    loop_spawn(loop, "writer", wait_on_fd, &writer);
    loop_spawn(loop, "second reader", wait_on_fd, &second);
    loop_run(loop);
    CHECK(reader.r == -ERROR_TIMEOUT && second.r == -ERROR_TIMEOUT);
    CHECK(writer.r == 0);
    error_done(&reader.err);
    error_done(&second.err);
    close(ends[0]);
    close(ends[1]);
    end(loop);
}

TEST(a_closed_other_end_is_both_readable_and_writable)
{
    struct loop *loop = begin();
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    close(ends[1]);
    struct fd_wait reader = {loop, ends[0], LOOP_READABLE, -1, 1, {0}};
    struct fd_wait writer = {loop, ends[0], LOOP_WRITABLE, -1, 1, {0}};
    loop_spawn(loop, "reader", wait_on_fd, &reader);
    loop_spawn(loop, "writer", wait_on_fd, &writer);
    loop_run(loop);
    CHECK(reader.r == 0 && writer.r == 0);
    close(ends[0]);
    end(loop);
}

TEST(a_file_is_always_ready)
{
    struct loop *loop = begin();
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    struct fd_wait wait = {loop, fd, LOOP_READABLE, -1, 1, {0}};
    loop_spawn(loop, "wait", wait_on_fd, &wait);
    loop_run(loop);
    CHECK(wait.r == 0);
    close(fd);
    end(loop);
}

/* Two ends of pipes that are readable at once; the first callback unwatches and closes both. */
struct rivals {
    struct loop *loop;
    int read_ends[2];
    struct watch *watches[2];
    struct watch *successor;
    int n_called;
    int n_successor_called;
};

static void count_successor(void *argument, int events)
{
    struct rivals *rivals = argument;
    (void)events;
    rivals->n_successor_called++;
}

static void close_both(void *argument, int events)
{
    struct rivals *rivals = argument;
    (void)events;
    rivals->n_called++;
    for (int i = 0; i < 2; i++) {
        loop_unwatch(take_ptr(rivals->watches[i]));
        close(rivals->read_ends[i]);
    }
    /* It takes one of the two numbers, and nothing is to be read there. */
    if (pipe2(rivals->read_ends, O_CLOEXEC) < 0)
        return;
    rivals->successor =
        loop_watch(rivals->loop, rivals->read_ends[0], LOOP_READABLE, count_successor, rivals);
}

static void stop_rivals(void *argument)
{
    struct rivals *rivals = argument;
    loop_unwatch(rivals->successor);
    close(rivals->read_ends[0]);
    close(rivals->read_ends[1]);
}

TEST(an_event_never_reaches_who_was_unwatched_in_the_same_turn)
{
    struct loop *loop = begin();
    struct rivals rivals = {.loop = loop};
    int write_ends[2];
    for (int i = 0; i < 2; i++) {
        int ends[2];
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        CHECK(write(ends[1], "x", 1) == 1);
        rivals.read_ends[i] = ends[0];
        write_ends[i] = ends[1];
        rivals.watches[i] = loop_watch(loop, ends[0], LOOP_READABLE, close_both, &rivals);
    }
    loop_timer(loop, 5 * MILLISECOND, stop_rivals, &rivals);
    loop_run(loop);
    CHECK(rivals.n_called == 1 && rivals.successor);
    CHECK(rivals.n_successor_called == 0);
    close(write_ends[0]);
    close(write_ends[1]);
    end(loop);
}

struct pausing {
    struct loop *loop;
    struct watch *watch;
    int n_called;
};

static void stop_watching(void *argument)
{
    struct pausing *pausing = argument;
    loop_unwatch(pausing->watch);
}

/* The end is counted from the second call, so that a busy machine cannot put it before that. */
static void pause_watch(void *argument, int events)
{
    struct pausing *pausing = argument;
    (void)events;
    pausing->n_called++;
    loop_watch_change(pausing->watch, 0);
    if (pausing->n_called == 2)
        loop_timer(pausing->loop, 5 * MILLISECOND, stop_watching, pausing);
}

static void go_on_watching(void *argument)
{
    struct pausing *pausing = argument;
    loop_watch_change(pausing->watch, LOOP_READABLE | LOOP_WRITABLE);
}

TEST(a_watch_that_asks_for_nothing_is_left_alone_until_it_asks_again)
{
    struct loop *loop = begin();
    int sockets[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    close(sockets[1]);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int fds[] = {sockets[0], file};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
        struct pausing pausing = {.loop = loop};
        pausing.watch = loop_watch(loop, fds[i], LOOP_READABLE, pause_watch, &pausing);
        loop_timer(loop, 5 * MILLISECOND, go_on_watching, &pausing);
        loop_run(loop);
        CHECK(pausing.n_called == 2);
        close(fds[i]);
    }
    loop_unwatch(NULL);
    end(loop);
}

struct gate_test {
    struct loop *loop;
    struct gate gate;
    int64_t deadline;
    char letter;
    int n_over;
};

static void wait_at_gate(void *argument)
{
    struct gate_test *test = argument;
    char letter = test->letter++;
    int r = gate_wait(test->loop, &test->gate, test->deadline, NULL);
    note(r == 0 ? letter : r == -ERROR_TIMEOUT ? 'T' : '?');
    test->n_over++;
}

static void open_gate(void *argument)
{
    struct gate_test *test = argument;
    gate_open(test->loop, &test->gate);
    note('!');
}

TEST(an_open_gate_lets_all_go_in_the_order_they_came)
{
    struct loop *loop = begin();
    struct gate_test test = {.loop = loop, .deadline = -1, .letter = 'a'};
    for (int i = 0; i < 5; i++)
        loop_spawn(loop, "wait", wait_at_gate, &test);
    loop_timer(loop, MILLISECOND, open_gate, &test);
    loop_run(loop);
    CHECK_TEXT(trace, "!abcde");
    end(loop);
}

TEST(a_gate_with_a_deadline_times_out_and_the_others_wait_on)
{
    struct loop *loop = begin();
    struct gate_test patient = {.loop = loop, .deadline = -1, .letter = 'a'};
    loop_spawn(loop, "wait", wait_at_gate, &patient);
    loop_run(loop);
    patient.deadline = deadline_in(2 * MILLISECOND);
    loop_spawn(loop, "wait", wait_at_gate, &patient);
    patient.letter = 'a';
    loop_spawn(loop, "wait", wait_at_gate, &patient);
    loop_run(loop);
    CHECK_TEXT(trace, "TT");
    CHECK(coroutine_count() == 1);
    gate_open(loop, &patient.gate);
    loop_run(loop);
    CHECK_TEXT(trace, "TTa");
    end(loop);
}

TEST(a_loop_ends_when_all_that_is_left_waits_at_gates)
{
    struct loop *loop = begin();
    struct gate_test test = {.loop = loop, .deadline = -1, .letter = 'a'};
    loop_spawn(loop, "wait", wait_at_gate, &test);
    loop_run(loop);
    CHECK(test.n_over == 0 && coroutine_count() == 1);
    open_gate(&test);
    loop_run(loop);
    CHECK(test.n_over == 1);
    end(loop);
}

static void sleep_and_note(void *argument)
{
    struct sleeper *sleeper = argument;
    sleep_once(sleeper);
    note('s');
}

TEST(a_stray_wake_does_not_end_a_sleep)
{
    struct loop *loop = begin();
    struct sleeper sleeper = {loop, 10 * MILLISECOND, -1};
    struct coroutine *coroutine = coroutine_new("sleep", sleep_and_note, &sleeper);
    coroutine_resume(coroutine);
    loop_wake(loop, coroutine);
    loop_run(loop);
    CHECK(sleeper.slept_us >= 10 * MILLISECOND);
    CHECK_TEXT(trace, "s");
    end(loop);
}

struct signal_test {
    struct loop *loop;
    struct signal_watch *first;
    struct signal_watch *second;
    struct signal_watch *other;
    int n_left;
};

static void raise_signals(void)
{
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGTERM);
}

/* The second round comes after the first: signals that are still pending are not counted twice. */
static void signal_arrived(void *argument, int number)
{
    struct signal_test *test = argument;
    note(number == SIGUSR1 ? '1' : number == SIGTERM ? 'T' : '?');
    if (--test->n_left == 3)
        raise_signals();
    if (test->n_left > 0)
        return;
    loop_unwatch_signal(test->first);
    loop_unwatch_signal(test->second);
    loop_unwatch_signal(test->other);
}

static void watch_signals(void *argument)
{
    struct signal_test *test = argument;
    test->first = loop_watch_signal(test->loop, SIGUSR1, signal_arrived, test);
    test->second = loop_watch_signal(test->loop, SIGUSR1, signal_arrived, test);
    test->other = loop_watch_signal(test->loop, SIGTERM, signal_arrived, test);
    loop_sleep(test->loop, 0);
    raise_signals();
}

TEST(each_watcher_of_a_signal_is_called_and_nobody_dies_of_it)
{
    struct loop *loop = begin();
    struct signal_test test = {.loop = loop, .n_left = 6};
    loop_spawn(loop, "watch", watch_signals, &test);
    loop_run(loop);
    CHECK(strlen(trace) == 6);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGTERM));
    loop_unwatch_signal(NULL);
    end(loop);
}

static void stop_loop(void *argument)
{
    loop_stop(argument);
}

TEST(a_stopped_loop_returns_and_can_run_on)
{
    struct loop *loop = begin();
    char letters[] = "ab";
    struct timer *late = loop_timer(loop, 3600 * INT64_C(1000000), note_argument, &letters[1]);
    loop_timer(loop, 0, note_argument, &letters[0]);
    loop_timer(loop, MILLISECOND, stop_loop, loop);
    loop_run(loop);
    CHECK_TEXT(trace, "a");
    loop_timer_cancel(late);
    loop_run(loop);
    CHECK_TEXT(trace, "a");
    end(loop);
}

enum { N_THREADS = 4, N_CALLS = 500 };

struct thread_test {
    struct loop *loop;
    pthread_t thread;
    int next;
    bool is_ordered;
};

struct call {
    struct thread_test *test;
    int number;
};

static void take_call(void *argument)
{
    struct call *call = argument;
    struct thread_test *test = call->test;
    if (call->number != test->next)
        test->is_ordered = false;
    if (++test->next == N_CALLS)
        loop_expect(test->loop, -1);
    mem_free(call);
}

static void *call_loop(void *argument)
{
    struct thread_test *test = argument;
    for (int i = 0; i < N_CALLS; i++) {
        struct call *call = NEW(struct call);
        call->test = test;
        call->number = i;
        loop_call_from_thread(test->loop, take_call, call);
    }
    return NULL;
}

TEST(calls_from_threads_all_arrive_each_thread_in_its_order)
{
    struct loop *loop = begin();
    struct thread_test tests[N_THREADS];
    loop_expect(loop, N_THREADS);
    for (int i = 0; i < N_THREADS; i++) {
        tests[i] = (struct thread_test){.loop = loop, .is_ordered = true};
        CHECK(pthread_create(&tests[i].thread, NULL, call_loop, &tests[i]) == 0);
    }
    loop_run(loop);
    for (int i = 0; i < N_THREADS; i++) {
        CHECK(pthread_join(tests[i].thread, NULL) == 0);
        CHECK(tests[i].next == N_CALLS && tests[i].is_ordered);
    }
    end(loop);
}

static void open_from_thread(void *argument)
{
    struct gate_test *test = argument;
    loop_expect(test->loop, -1);
    gate_open(test->loop, &test->gate);
}

static void *report_work(void *argument)
{
    struct gate_test *test = argument;
    usleep(5 * MILLISECOND);
    loop_call_from_thread(test->loop, open_from_thread, test);
    return NULL;
}

TEST(a_loop_waits_for_the_work_it_expects_of_a_thread)
{
    struct loop *loop = begin();
    struct gate_test test = {.loop = loop, .deadline = -1, .letter = 'a'};
    pthread_t thread;
    loop_expect(loop, 1);
    loop_spawn(loop, "wait", wait_at_gate, &test);
    CHECK(pthread_create(&thread, NULL, report_work, &test) == 0);
    loop_run(loop);
    CHECK_TEXT(trace, "a");
    CHECK(pthread_join(thread, NULL) == 0);
    end(loop);
}

TEST(a_call_made_before_the_loop_runs_is_not_lost)
{
    struct loop *loop = begin();
    char letter = 'c';
    loop_call_from_thread(loop, note_argument, &letter);
    loop_run(loop);
    CHECK_TEXT(trace, "c");
    end(loop);
}

TEST(a_deadline_follows_the_clock_of_the_world)
{
    struct world_ops world = {.monotonic_clock = fake_clock};
    fake_now = 0;
    world_replace(&world);
    struct loop *loop = begin();
    char letter = 'x';
    int64_t hour = 3600 * INT64_C(1000000);
    loop_timer(loop, hour, note_argument, &letter);
    loop_timer(loop, 0, stop_loop, loop);
    loop_run(loop);
    CHECK_TEXT(trace, "");
    fake_now = hour;
    loop_run(loop);
    world_replace(NULL);
    CHECK_TEXT(trace, "x");
    end(loop);
}

static void wait_for(int64_t deadline)
{
    fake_now = deadline;
}

static size_t choose_last(size_t n)
{
    return n - 1;
}

static const struct world_ops simulated_world = {
    .monotonic_clock = fake_clock, .wait = wait_for, .choose = choose_last};

static struct loop *begin_simulated(void)
{
    fake_now = 0;
    world_replace(&simulated_world);
    return begin();
}

static void sleep_two_hours(void *argument)
{
    loop_sleep(argument, INT64_C(7200) * 1000000);
    note('s');
}

TEST(in_a_simulated_world_an_hour_passes_at_once)
{
    struct loop *loop = begin_simulated();
    loop_spawn(loop, "sleeper", sleep_two_hours, loop);
    loop_run(loop);
    CHECK_TEXT(trace, "s");
    CHECK(fake_now == INT64_C(7200) * 1000000);
    end(loop);
    world_replace(NULL);
}

TEST(a_simulated_world_chooses_who_goes_first)
{
    struct loop *loop = begin_simulated();
    static char letters[] = "abc";
    for (size_t i = 0; i < 3; i++)
        loop_spawn(loop, "noter", note_argument, &letters[i]);
    loop_run(loop);
    CHECK(trace[0] == 'c' && strlen(trace) == 3);
    end(loop);
    world_replace(NULL);
}

TEST(a_simulated_loop_is_given_its_turns)
{
    struct loop *loop = begin_simulated();
    char letter = 'x';
    CHECK(loop_next(loop) == INT64_MAX);
    loop_timer(loop, 50, note_argument, &letter);
    CHECK(loop_next(loop) == 50 && loop_turn(loop));
    CHECK_TEXT(trace, "");
    fake_now = 50;
    CHECK(!loop_turn(loop));
    CHECK_TEXT(trace, "x");
    end(loop);
    world_replace(NULL);
}
