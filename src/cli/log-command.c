/* parley logs NAME: a line for each line, and a JSON line with --json. */
#include "base/memory.h"
#include "cli/cli.h"
#include "model/json.h"

#include <signal.h>
#include <stdio.h>

static void print_line(void *argument, const struct value *event)
{
    const struct cli *cli = argument;
    const char *time = value_get_text(event, "time");
    if (cli->options.json) {
        CLEANUP(mem_freep) char *text = json_text(event);
        puts(text);
    } else {
        printf("%s  %s  %s\n", time ? time : "-", value_get_text(event, "source"),
               value_get_text(event, "text"));
    }
    if (value_get_bool(cli->options.input, "follow", false))
        fflush(stdout);
}

int command_logs(struct cli *cli)
{
    struct verb_answer answer = {0};
    /* Nothing but lines is written: when nobody reads them any more it ends. */
    signal(SIGPIPE, SIG_DFL);
    int r = cli_ask_and_hear(cli, "log_show", print_line, cli, &answer);
    verb_answer_done(&answer);
    return r;
}
