/* parley resume, parley run ..., and what is asked of the twin beyond a verb and its answer. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "net/child.h"

#include <stdio.h>
#include <string.h>

/* Asks a verb that names a run, then follows that to its end. */
static int ask_and_follow(struct cli *cli, const char *verb, const char *key)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, verb, &answer);
    if (r == 0)
        r = cli_follow(cli, value_get_text(answer.value, key));
    verb_answer_done(&answer);
    return r;
}

/* One whose approval has expired needs another yes to the same plan. */
static int approve_again(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    const char *word = value_get_text(cli->options.input, "deployment");
    if (service_get_resumable(cli->service, word, &plan, &err) < 0)
        return cli_fail(cli, &err);
    return cli_approve(cli, plan);
}

int command_resume(struct cli *cli)
{
    int r = cli->options.yes || cli->options.approve ? approve_again(cli) : 0;
    return r != 0 ? r : ask_and_follow(cli, "run_resume", "run");
}

int command_run_wait(struct cli *cli)
{
    return ask_and_follow(cli, "run_show", "id");
}

/* Asks a verb whose answer is that it was done, and says so. */
static int ask_and_say(struct cli *cli, const char *verb, const char *sentence)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, verb, &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        fprintf(stderr, "%s\n", sentence);
    verb_answer_done(&answer);
    return r;
}

int command_run_cancel(struct cli *cli)
{
    return ask_and_say(cli, "run_cancel",
                       "The run is asked to stop; what is under way ends first.");
}

enum { MAX_ANSWER = 200 };

/* Asks whether a process may be ended. Returns 0 or an exit code. */
static int ask_to_end(struct cli *cli, const struct value *lock)
{
    struct error err = {0};
    char answer[MAX_ANSWER];
    const char *run = value_get_text(lock, "run");
    CLEANUP(mem_freep)
    char *question = string_format(
        "Process %lld holds the lease of %s%s%.8s.\nWhat it has under way may still happen; it is "
        "looked up afterwards.\nEnd it? (yes/no) ",
        (long long)value_get_integer(lock, "pid", 0), value_get_text(lock, "deployment"),
        run ? " for the run " : "", run ? run : "");
    if (cli->options.yes)
        return 0;
    if (!cli->is_terminal) {
        error_set(&err, ERROR_APPROVAL_NEEDED,
                  "process %lld holds the lease of %s, and nobody can be asked here whether to end "
                  "it: give --yes",
                  (long long)value_get_integer(lock, "pid", 0), value_get_text(lock, "deployment"));
        return cli_fail(cli, &err);
    }
    if (cli_ask_person(question, answer, sizeof(answer)) &&
        (text_equal(answer, "yes") || text_equal(answer, "y")))
        return 0;
    fprintf(stderr, "Not ended; nothing was changed.\n");
    return EXIT_APPROVAL_NEEDED;
}

int command_unlock(struct cli *cli)
{
    struct error err = {0};
    struct verb_answer answer = {0};
    CLEANUP(value_unrefp) struct value *lock = NULL;
    int r = cli_ask(cli, "lock_show", &answer);
    int64_t pid = r == 0 ? value_get_integer(answer.value, "pid", 0) : 0;
    if (r == 0 && pid > 0)
        r = ask_to_end(cli, answer.value);
    const char *word = value_get_text(cli->options.input, "deployment");
    if (r == 0 && service_unlock(cli->service, word, pid, &lock, &err) < 0)
        r = cli_fail(cli, &err);
    if (r == 0 && cli->options.json)
        cli_print_json(lock);
    else if (r == 0)
        printf("%s\n", pid > 0 ? "The process is ended, and what it did is written down."
                               : "Nobody holds the lease; what dead runs left is written down.");
    verb_answer_done(&answer);
    return r;
}

/* Asks for the deployment's name: nobody lets go of things in passing. Returns 0 or an exit code.
 */
static int ask_to_give_up(struct cli *cli, const char *name)
{
    struct error err = {0};
    char answer[MAX_ANSWER] = "";
    CLEANUP(mem_freep)
    char *question = string_format("Type %s to give it up: ", name);
    if (!cli->options.confirm && !cli->is_terminal) {
        error_set(&err, ERROR_APPROVAL_NEEDED,
                  "nobody can be asked here, so nothing was changed: give --confirm %s", name);
        return cli_fail(cli, &err);
    }
    if (!cli->options.confirm && !cli_ask_person(question, answer, sizeof(answer)))
        answer[0] = '\0';
    if (text_equal(cli->options.confirm ? cli->options.confirm : answer, name))
        return 0;
    fprintf(stderr, "That is not its name; nothing was changed.\n");
    return EXIT_APPROVAL_NEEDED;
}

int command_give_up(struct cli *cli)
{
    struct error err = {0};
    struct verb_answer answer = {0};
    CLEANUP(value_unrefp) struct value *left = NULL;
    int r = cli_ask(cli, "run_left", &answer);
    const char *word = value_get_text(cli->options.input, "deployment");
    if (r == 0 && !cli->options.json) {
        struct strbuf text = {0};
        render_left(answer.value, &text);
        fputs(strbuf_text(&text), stderr);
        strbuf_done(&text);
    }
    if (r == 0)
        r = ask_to_give_up(cli, value_get_text(answer.value, "deployment"));
    if (r == 0 && service_give_up(cli->service, word, value_get_text(answer.value, "run"),
                                  value_get_text(answer.value, "digest"), &left, &err) < 0)
        r = cli_fail(cli, &err);
    if (r == 0 && cli->options.json)
        cli_print_json(left);
    else if (r == 0)
        printf("Given up: the run is over; \"parley status %s\" goes on naming what may be left.\n",
               word);
    verb_answer_done(&answer);
    return r;
}

int command_run_exec(struct cli *cli)
{
    struct error err = {0};
    if (!cli->options.word) {
        error_set(&err, ERROR_INVALID, "the run's id is missing");
        return cli_fail(cli, &err);
    }
    int r = service_execute_run(cli->service, cli->options.word, cli->options.resume, &err);
    if (r < 0)
        (void)cli_fail(cli, &err);
    return r < 0 ? RUN_EXIT - r : EXIT_DONE;
}

int command_twin_stop(struct cli *cli)
{
    return ask_and_say(
        cli, "twin_stop",
        "The twin is stopped; what it had is kept, and \"parley up\" starts it again.");
}

int command_twin_doctor(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "twin_check", &answer);
    if (r == 0) {
        cli_print_answer(cli, answer.value, render_findings);
        r = value_get_integer(answer.value, "errors", 0) > 0 ? EXIT_ERROR : EXIT_DONE;
    }
    verb_answer_done(&answer);
    return r;
}

/* The program that enters namespaces takes this one's place, so that the terminal is the command's.
 */
int command_twin_exec(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *program = NULL;
    CLEANUP(mem_freep) char *socket = NULL;
    const struct options *options = &cli->options;
    /* Other programs want "--" before a command of somebody's own: here it says nothing. */
    size_t n_marks = options->n_rest > 1 && text_equal(options->rest[1], "--");
    if (options->n_rest < 2 + n_marks) {
        fprintf(stderr, "parley: usage: parley twin exec HOST COMMAND [ARGUMENT ...]\n");
        return EXIT_ERROR;
    }
    if (service_twin_find(cli->service, &program, &socket, &err) < 0)
        return cli_fail(cli, &err);
    const char **arguments = NEW_ARRAY(const char *, options->n_rest + 5);
    arguments[0] = program;
    arguments[1] = "exec";
    arguments[2] = "--socket";
    arguments[3] = socket;
    arguments[4] = options->rest[0];
    memcpy(arguments + 5, options->rest + 1 + n_marks,
           (options->n_rest - 1 - n_marks) * sizeof(arguments[0]));
    (void)child_become(arguments, &err);
    mem_free(arguments);
    return cli_fail(cli, &err);
}
