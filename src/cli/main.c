/* The command line's start: the table of commands, and one coroutine for the chosen one. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <assert.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command commands[] = {
    {"up", "plan_make", OPTIONS_APPLY | OPTIONS_VIEW, command_up, NULL,
     "plan, ask, apply: make what the document says exist"},
    {"plan", "plan_make", OPTIONS_PLAN | OPTIONS_VIEW, command_plan, NULL, NULL},
    {"apply", "plan_show", OPTIONS_APPLY | OPTIONS_VIEW, command_apply, NULL,
     "carry out a saved plan: its hash, or a file written with plan -o"},
    {"approve", "plan_show", OPTIONS_APPROVE | OPTIONS_CONFIRM | OPTIONS_SIGN | OPTIONS_VIEW,
     command_approve, NULL, "say yes to a plan, which \"parley apply HASH\" then carries out"},
    {"key new", NULL, 0, command_key_new, NULL,
     "make a key for signing approvals, and print its line for the site"},
    {"approval show", "approval_show", 0, NULL, render_approvals, NULL},
    {"destroy", "plan_destroy", OPTIONS_APPLY | OPTIONS_VIEW, command_up, NULL,
     "plan and carry out the removal of a deployment"},
    {"import", "plan_import", OPTIONS_APPLY, command_edit, NULL,
     "plan and take over what is there already, which stays as it is"},
    {"import --list", "resource_list", 0, NULL, render_list, NULL},
    {"forget", "plan_forget", OPTIONS_APPLY | OPTIONS_VIEW, command_up, NULL,
     "plan and let go of resources' records; what is there stays there"},
    {"act", "plan_act", OPTIONS_APPLY | OPTIONS_VIEW, command_up, NULL,
     "plan and carry out an action that is no change of the document"},
    {"rollback", "plan_rollback", OPTIONS_APPLY | OPTIONS_VIEW, command_up, NULL,
     "plan and carry out the way back of the newest run"},
    {"resume", "run_resume", OPTIONS_APPLY, command_resume, NULL, NULL},
    {"unlock", "lock_show", OPTIONS_APPROVE, command_unlock, NULL,
     "end the process of a run that hangs, and find out what it did"},
    {"give-up", "run_left", OPTIONS_CONFIRM, command_give_up, NULL,
     "let go of what an open run may have left in an account that is no longer reached"},
    {"set", "plan_set", OPTIONS_APPLY | OPTIONS_VIEW, command_edit, NULL,
     "change single values of a deployment, or of --file FILE"},
    {"undo", "plan_undo", OPTIONS_APPLY | OPTIONS_VIEW, command_edit, NULL,
     "plan and carry out the way back to an earlier revision"},
    {"pull", "document_pull", OPTIONS_FILE, command_pull, NULL,
     "write the newest revision into a file, which keeps its comments"},
    {"status", "deployment_status", 0, NULL, render_status, NULL},
    {"drift", "deployment_drift", 0, command_drift, NULL, NULL},
    {"drift --adopt", "plan_adopt_drift", OPTIONS_APPLY | OPTIONS_VIEW, command_edit, NULL,
     "let a document follow what somebody changed outside"},
    {"show", "resource_show", 0, command_show, NULL, NULL},
    {"output", "output_show", OPTIONS_REVEAL, command_output, render_value, NULL},
    {"secret list", "secret_list", 0, NULL, render_secrets, NULL},
    {"secret reveal", "secret_show", OPTIONS_SHOW, command_secret_reveal, NULL,
     "show the text of a secret that Parley generated; the audit chain says so"},
    {"history", "deployment_history", 0, NULL, render_history, NULL},
    {"logs", "log_show", 0, command_logs, NULL, NULL},
    {"audit list", "audit_list", 0, NULL, render_audit, NULL},
    {"audit verify", "audit_verify", 0, command_audit_verify, NULL, NULL},
    {"run list", "run_list", 0, NULL, render_runs, NULL},
    {"run show", "run_show", 0, NULL, render_run, NULL},
    {"run wait", "run_show", 0, command_run_wait, NULL, "follow a run to its end"},
    {"run cancel", "run_cancel", 0, command_run_cancel, NULL, NULL},
    {"run exec", NULL, OPTIONS_HIDDEN, command_run_exec, NULL, NULL},
    {"mcp", NULL, OPTIONS_DOOR, command_mcp, NULL,
     "serve an AI client over standard input and output (Model Context Protocol)"},
    {"serve", NULL, OPTIONS_DOOR | OPTIONS_SERVE, command_serve, NULL,
     "serve AI clients over HTTP, each with a token (Model Context Protocol)"},
    {"validate", "document_validate", 0, NULL, render_validated, NULL},
    {"expand", "document_expand", 0, command_expand, NULL, NULL},
    {"types", "type_show", 0, NULL, render_types, NULL},
    {"graph", "plan_make", OPTIONS_GRAPH, command_graph, NULL,
     "the plan's steps as a graph for graphviz"},
    {"state check", "state_check", 0, command_state_check, NULL, NULL},
    {"state repair", "state_repair", 0, command_state_repair, NULL, NULL},
    {"state snapshot", "state_snapshot", 0, NULL, render_snapshot, NULL},
    {"state restore", "state_plan_restore", OPTIONS_APPROVE, command_state_restore, NULL,
     "bring a snapshot's records back, once approved"},
    {"token new", "token_new", 0, NULL, render_new_token, NULL},
    {"token list", "token_list", 0, NULL, render_tokens, NULL},
    {"token remove", "token_remove", 0, NULL, render_removed_tokens, NULL},
    {"twin status", "twin_status", 0, NULL, render_value, NULL},
    {"twin top", "twin_top", 0, command_twin_top, NULL, NULL},
    {"twin events", "twin_events", 0, NULL, render_events, NULL},
    {"twin exec", NULL, 0, command_twin_exec, NULL, "run a command in a host of the twin"},
    {"twin down", "twin_stop", 0, command_twin_stop, NULL, NULL},
    {"twin doctor", "twin_check", 0, command_twin_doctor, NULL, NULL},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (text_equal(commands[i].name, name))
            return &commands[i];
    return NULL;
}

size_t command_count(void)
{
    return ARRAY_LENGTH(commands);
}

const struct command *command_at(size_t index)
{
    assert(index < ARRAY_LENGTH(commands));
    return &commands[index];
}

/* Asks the command's verb and prints its answer. */
static int ask_and_print(struct cli *cli)
{
    const struct command *command = cli->options.command;
    struct verb_answer answer = {0};
    int r = cli_ask(cli, command->verb, &answer);
    if (r == 0)
        cli_print_answer(cli, verb_answer_value(&answer), command->render);
    verb_answer_done(&answer);
    return r;
}

struct start {
    struct cli cli;
    int exit_code;
};

static void start_main(void *argument)
{
    struct start *start = argument;
    struct cli *cli = &start->cli;
    start->exit_code = cli->options.command->groups & OPTIONS_DOOR ? 0 : cli_open(cli);
    if (start->exit_code == 0)
        start->exit_code =
            cli->options.command->run ? cli->options.command->run(cli) : ask_and_print(cli);
    service_close(cli->service);
}

/* The words as they were typed, for the history; values of variables stay out, since they may be
 * secret. */
static char *join_words(char **arguments, int count)
{
    struct strbuf words = {0};
    strbuf_add(&words, "parley");
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        bool is_setting = text_starts_with(word, "--var=") || text_equal(arguments[i - 1], "--var");
        const char *equals =
            is_setting ? strchr(word + (text_starts_with(word, "--var=") ? 6 : 0), '=') : NULL;
        if (equals)
            strbuf_addf(&words, " %.*s=...", (int)(equals - word), word);
        else
            strbuf_addf(&words, " %s", word);
    }
    return strbuf_take(&words);
}

static int run_command(struct start *start, char **arguments, int count)
{
    CLEANUP(mem_freep) char *words = join_words(arguments, count);
    start->cli.line = words;
    start->cli.is_terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    start->cli.loop = loop_new();
    loop_spawn(start->cli.loop, "command", start_main, start);
    loop_run(start->cli.loop);
    loop_free(start->cli.loop);
    coroutine_pool_done();
    return start->exit_code;
}

/* Before a run is started nothing is under way: the program just ends, whatever it waits for. */
static void end_interrupted(int number)
{
    static const char line[] = "\nInterrupted.\n";
    (void)number;
    (void)!write(STDERR_FILENO, line, sizeof(line) - 1);
    _exit(EXIT_CANCELLED);
}

/* Who was started with interrupts ignored, as in the background of a script, goes on ignoring them.
 */
static void end_when_interrupted(void)
{
    struct sigaction before = {0};
    struct sigaction wanted = {.sa_handler = end_interrupted};
    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &wanted, NULL);
}

int cli_main(int argc, char **argv, const struct cli_doors *doors)
{
    struct start start = {.cli.doors = doors};
    struct options *options = &start.cli.options;
    signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files is an error like a full disk, and no death. */
    signal(SIGXFSZ, SIG_IGN);
    end_when_interrupted();
    /* Secrets must not land in a core file. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (sodium_init() < 0) {
        fprintf(stderr, "parley: the cryptographic library does not start\n");
        return EXIT_ERROR;
    }
    if (argc == 2 && text_equal(argv[1], "--version")) {
        printf("parley %s\n", PARLEY_VERSION);
        return 0;
    }
    int r = options_parse(argv, argc, options);
    if (r == 0 && (options->help || !options->command)) {
        options_print_help(options->command);
        r = options->help ? EXIT_DONE : EXIT_ERROR;
    } else if (r == 0) {
        r = run_command(&start, argv, argc);
    }
    options_done(options);
    return r;
}
