#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "twin/log.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/parley-XXXXXX";

static char *content_of(const char *file)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, file);
    char *text = NULL;
    size_t size;
    CHECK(world_read_file(path, 1 << 20, &text, &size, NULL) == 0);
    return text;
}

static void open_one(struct loop *loop, const char *name, int64_t limit, struct log **ret_log)
{
    if (strstr(folder, "XXXXXX"))
        CHECK(mkdtemp(folder));
    CHECK(log_open(loop, folder, name, limit, ret_log, NULL) == 0);
}

static void print(struct log *log, const char *text)
{
    int fd = -1;
    CHECK(log_attach(log, &fd, NULL) == 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close_descriptor(fd);
    log_drain(log);
}

/* Whether this is the time of now, as lines begin with it. */
static bool begins_with_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ ";
    for (size_t i = 0; i < LOG_TIME_LENGTH; i++)
        if (form[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != form[i])
            return false;
    return strlen(form) == LOG_TIME_LENGTH;
}

TEST(each_line_has_the_time_at_which_it_came)
{
    struct loop *loop = loop_new();
    struct log *log;
    open_one(loop, "lines", LOG_LIMIT, &log);
    print(log, "first\nsecond \xff\n\nwithout an end");
    CLEANUP(mem_freep) char *text = content_of("lines.log");
    static const char *const wanted[] = {"first\n", "second \xff\n", "\n", "without an end\n"};
    const char *at = text;
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++) {
        CHECK(begins_with_time(at));
        CHECK(text_starts_with(at + LOG_TIME_LENGTH, wanted[i]));
        at += LOG_TIME_LENGTH + strlen(wanted[i]);
    }
    CHECK(*at == '\0');
    CHECK_TEXT(log_last_line(log), "without an end");
    CLEANUP(mem_freep) char *path = string_format("%s/lines.log", folder);
    struct stat status;
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    log_close(log);
    loop_free(loop);
}

TEST(a_log_goes_on_where_it_was)
{
    struct loop *loop = loop_new();
    struct log *log;
    for (int i = 0; i < 2; i++) {
        open_one(loop, "again", LOG_LIMIT, &log);
        print(log, i == 0 ? "before\n" : "after\n");
        log_close(log);
    }
    CLEANUP(mem_freep) char *text = content_of("again.log");
    CHECK(strstr(text, " before\n") < strstr(text, " after\n"));
    loop_free(loop);
}

TEST(a_log_never_takes_more_than_twice_its_limit_and_keeps_the_newest)
{
    enum { LIMIT = 2000, LINES = 1000 };
    struct loop *loop = loop_new();
    struct log *log;
    open_one(loop, "large", LIMIT, &log);
    for (int i = 0; i < LINES; i++) {
        CLEANUP(mem_freep) char *line = string_format("line %d\n", i);
        print(log, line);
    }
    log_close(log);
    CLEANUP(mem_freep) char *old = content_of("large.log.old");
    CLEANUP(mem_freep) char *new = content_of("large.log");
    CHECK(strlen(old) <= LIMIT && strlen(new) <= LIMIT);
    CLEANUP(mem_freep) char *both = string_format("%s%s", old, new);
    CHECK(strlen(both) > LIMIT);
    /* The newest are there, in order and without a gap. */
    int expected = LINES;
    for (const char *end = both + strlen(both); end > both; expected--) {
        const char *line = end - 1;
        while (line > both && line[-1] != '\n')
            line--;
        CLEANUP(mem_freep) char *wanted = string_format("line %d\n", expected - 1);
        CHECK(begins_with_time(line) && text_starts_with(line + LOG_TIME_LENGTH, wanted));
        end = line;
    }
    CHECK(expected < LINES);
    loop_free(loop);
}

TEST(a_line_without_end_is_cut_and_none_of_it_is_lost)
{
    enum { LENGTH = 3 * LOG_LINE_LIMIT + 7 };
    struct loop *loop = loop_new();
    struct log *log;
    struct strbuf text = {0};
    open_one(loop, "long", LOG_LIMIT, &log);
    for (int i = 0; i < LENGTH; i++)
        strbuf_add_char(&text, (char)('a' + i % 26));
    print(log, strbuf_text(&text));
    CLEANUP(mem_freep) char *kept = content_of("long.log");
    struct strbuf joined = {0};
    for (const char *line = kept; *line;) {
        size_t length = strcspn(line, "\n");
        CHECK(begins_with_time(line) && length <= LOG_TIME_LENGTH + LOG_LINE_LIMIT);
        strbuf_add_n(&joined, line + LOG_TIME_LENGTH, length - LOG_TIME_LENGTH);
        line += length + 1;
    }
    CHECK_TEXT(strbuf_text(&joined), strbuf_text(&text));
    strbuf_done(&joined);
    strbuf_done(&text);
    log_close(log);
    loop_free(loop);
}

struct printer {
    struct loop *loop;
    struct log *log;
    int fd;
};

static void print_and_wait(void *argument)
{
    struct printer *printer = argument;
    bool is_there = false;
    if (write(printer->fd, "on its own\n", 11) == 11)
        while (!is_there) {
            loop_sleep(printer->loop, 1000);
            is_there = text_equal(log_last_line(printer->log), "on its own");
        }
    log_close(printer->log);
}

TEST(what_is_printed_arrives_without_being_asked_for)
{
    struct printer printer = {.loop = loop_new(), .fd = -1};
    open_one(printer.loop, "alone", LOG_LIMIT, &printer.log);
    CHECK(log_attach(printer.log, &printer.fd, NULL) == 0);
    loop_spawn(printer.loop, "printer", print_and_wait, &printer);
    loop_run(printer.loop);
    close_descriptor(printer.fd);
    CLEANUP(mem_freep) char *text = content_of("alone.log");
    CHECK(text_starts_with(text + LOG_TIME_LENGTH, "on its own\n"));
    loop_free(printer.loop);
    coroutine_pool_done();
}

TEST(the_folder_is_removed)
{
    CLEANUP(mem_freep) char *command = string_format("rm -r %s", folder);
    CHECK(system(command) == 0);
}
