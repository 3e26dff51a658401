/* Long texts on a terminal, page by page in a program of the user's choice, as git does. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USUAL_ROWS = 24 };

/* $PARLEY_PAGER, $PAGER, less; NULL where an empty one or "cat" says that none is wanted. */
static const char *find_pager(void)
{
    const char *pager = getenv("PARLEY_PAGER");
    if (!pager)
        pager = getenv("PAGER");
    if (!pager)
        pager = "less";
    return *pager && !text_equal(pager, "cat") ? pager : NULL;
}

static bool fits_the_screen(const char *text)
{
    struct winsize size = {0};
    size_t n_rows = USUAL_ROWS;
    size_t n_lines = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        n_rows = size.ws_row;
    for (const char *at = strchr(text, '\n'); at; at = strchr(at + 1, '\n'))
        n_lines++;
    return n_lines < n_rows;
}

/* Starts it with a pipe as its input, whose other end is given. */
static int start_pager(const char *pager, pid_t *ret_pid, int *ret_input)
{
    const char *arguments[] = {"sh", "-c", pager, NULL};
    const char *settings[] = {"LESS=FRX", NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    CLEANUP(close_descriptorp) int output = ends[0];
    CLEANUP(close_descriptorp) int input = ends[1];
    struct child_spec spec = {
        .arguments = arguments,
        .environment = getenv("LESS") ? NULL : settings,
        .input = output,
        .output = STDOUT_FILENO,
        .errors = STDERR_FILENO,
    };
    int r = child_start(&spec, ret_pid, NULL);
    if (r == 0)
        *ret_input = take_descriptor(&input);
    return r;
}

/* Who leaves the pager early has seen enough. */
static void feed(int input, const char *text)
{
    size_t length = strlen(text);
    for (size_t n = 0; n < length;) {
        ssize_t written = write(input, text + n, length - n);
        if (written < 0 && errno != EINTR)
            return;
        n += written > 0 ? (size_t)written : 0;
    }
}

void cli_print_long(struct cli *cli, const char *text)
{
    const char *pager = find_pager();
    struct sigaction before;
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    pid_t pid = 0;
    int input = -1;
    int status;
    fflush(stdout);
    bool is_read_here = isatty(STDOUT_FILENO) && cli->is_terminal && !cli->options.yes;
    if (!pager || !is_read_here || fits_the_screen(text) || start_pager(pager, &pid, &input) < 0) {
        fputs(text, stdout);
        return;
    }
    /* Ctrl-C is the pager's: it ends a search there, not this program. */
    sigaction(SIGINT, &ignored, &before);
    feed(input, text);
    close_descriptor(input);
    bool is_ended = child_wait(cli->loop, pid, -1, &status, NULL) == 0;
    sigaction(SIGINT, &before, NULL);
    /* The shell's word for a program that is not there. */
    if (is_ended && WIFEXITED(status) && WEXITSTATUS(status) >= 126)
        fputs(text, stdout);
}
