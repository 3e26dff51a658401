/* The program's start: options, the table of commands, one coroutine for the chosen one. */
#include "cli/cli.h"

#include "base/memory.h"
#include "base/text.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(struct cli *cli);
    size_t min_words, max_words;
} commands[] = {
    {"up", "FILE", "plan, ask, apply: make what the document says exist", command_up, 1, 1},
    {"plan", "FILE", "show what would be done, and change nothing", command_plan, 1, 1},
    {"apply", "PLAN", "carry out a saved plan: a file written with -o, or a hash", command_apply, 1,
     1},
    {"destroy", "NAME", "plan and carry out the removal of a deployment", command_destroy, 1, 1},
    {"resume", "NAME", "go on with a run that ended early", command_resume, 1, 1},
    {"status", "[NAME]", "what is there now, read from the systems", command_status, 0, 1},
    {"show", "NAME [ADDRESS]", "the records of a deployment, or one of them", command_show, 1, 2},
    {"output", "NAME [OUTPUT]", "the outputs of a deployment, or one of them", command_output, 1,
     2},
    {"history", "NAME", "revisions and runs, newest first", command_history, 1, 1},
    {"run", "list [NAME] | show ID | wait ID | cancel ID", "look at runs, and stop one",
     command_run, 1, 2},
    {"twin", "status | exec HOST COMMAND ... | down | doctor", "the twin of this machine",
     command_twin, 1, 1},
    {"validate", "FILE", "check a document and name every fault", command_validate, 1, 1},
    {"expand", "FILE", "print the document with all that patterns add", command_expand, 1, 1},
    {"types", "[TYPE]", "the resource types, or all about one", command_types, 0, 1},
    {"graph", "FILE", "the plan's steps as a graph (--dot)", command_graph, 1, 1},
};

static const char options_help[] =
    "Options:\n"
    "  --home DIR        the state folder (default: $PARLEY_HOME, $XDG_STATE_HOME/parley)\n"
    "  --site FILE       the site (default: $PARLEY_SITE, ./parley.yaml; none: all on this machine)\n"
    "  --var NAME=VALUE  set a variable of the document\n"
    "  --yes             approve without being asked\n"
    "  --approve HASH    approve exactly the plan with this hash\n"
    "  --confirm NAME    the name of a production deployment whose things are destroyed\n"
    "  --refresh=none    plan by the records, without reading what is there\n"
    "  --json            answer in JSON: one document, or a line for each event\n"
    "  -o FILE           save the plan\n"
    "  --trace           show the passes of planning\n"
    "  --dot             write a graph for graphviz\n"
    "  --detailed-exitcode  plan exits with 2 when there are changes\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: 0 done or nothing to do, 1 error, 2 changes pending, 3 approval needed, 4 applied in\n"
    "part, 130 cancelled.\n";

static void print_help(void)
{
    printf(
        "parley: infrastructure as conversation\n\nUsage: parley COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        printf("  %-9s %-16s %s\n", commands[i].name,
               strlen(commands[i].arguments) <= 16 ? commands[i].arguments : "...",
               commands[i].summary);
    printf("\n%s", options_help);
}

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "parley: %s%s%s\n  \"parley --help\" lists commands and options\n", what,
            which ? " " : "", which ? which : "");
    return EXIT_ERROR;
}

/* Options that stand alone. */
static bool take_flag(struct options *options, const char *word)
{
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {
        {"--json", &options->json},
        {"--yes", &options->yes},
        {"--trace", &options->trace},
        {"--dot", &options->dot},
        {"--refresh=none", &options->no_refresh},
        {"--detailed-exitcode", &options->detailed_exit_code},
        {"--resume", &options->resume},
        {"--help", &options->help},
        {"-h", &options->help},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        if (text_equal(word, flags[i].word)) {
            *flags[i].flag = true;
            return true;
        }
    return text_equal(word, "--refresh=full");
}

/* The place for the value of an option that has one, or NULL. */
static const char **find_value(struct options *options, const char *word, size_t length)
{
    const struct {
        const char *word;
        const char **value;
    } values[] = {
        {"--home", &options->home},       {"--site", &options->site},
        {"-o", &options->output},         {"--confirm", &options->confirm},
        {"--approve", &options->approve},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        if (strlen(values[i].word) == length && strncmp(word, values[i].word, length) == 0)
            return values[i].value;
    return NULL;
}

static int take_variable(struct options *options, const char *setting)
{
    const char *equals = strchr(setting, '=');
    if (!equals || equals == setting)
        return complain("--var needs NAME=VALUE, not", setting);
    CLEANUP(mem_freep) char *name = string_copy_n(setting, (size_t)(equals - setting));
    value_builder_set(&options->variables, name, value_string(equals + 1));
    return 0;
}

/* An option with a value, as "--x VALUE" or "--x=VALUE"; steps *i over what it takes. */
static int take_option(struct options *options, char **arguments, int count, int *i)
{
    const char *word = arguments[*i];
    size_t length = strcspn(word, "=");
    bool is_variable = length == strlen("--var") && strncmp(word, "--var", length) == 0;
    const char **place = find_value(options, word, length);
    if (!place && !is_variable)
        return complain("there is no option", word);
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    if (!value && *i + 1 < count)
        value = arguments[++*i];
    if (!value)
        return complain("a value is missing after", word);
    if (is_variable)
        return take_variable(options, value);
    *place = value;
    return 0;
}

/* "twin exec" is followed by a command of its own, whose options are not ours. */
static bool takes_rest(const struct options *options, const char *command)
{
    return command && text_equal(command, "twin") && options->n_words == 1 &&
           text_equal(options->words[0], "exec");
}

/* Takes the arguments apart; *ret_command is the first word, or NULL. */
static int parse(struct options *options, char **arguments, int count, const char **ret_command)
{
    *ret_command = NULL;
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        if (takes_rest(options, *ret_command)) {
            options->rest = arguments + i;
            options->n_rest = (size_t)(count - i);
            return 0;
        }
        if (word[0] == '-' && word[1] != '\0') {
            if (!take_flag(options, word) && take_option(options, arguments, count, &i) != 0)
                return EXIT_ERROR;
        } else if (!*ret_command) {
            *ret_command = word;
        } else if (options->n_words == ARRAY_LENGTH(options->words)) {
            return complain("too many words, from", word);
        } else {
            options->words[options->n_words++] = word;
        }
    }
    return 0;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (text_equal(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static const struct command *need_command(const struct options *options, const char *name)
{
    const char *names[ARRAY_LENGTH(commands)];
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        names[i] = commands[i].name;
    const struct command *command = find_command(name);
    if (!command) {
        const char *nearest = text_nearest(name, names, ARRAY_LENGTH(names));
        CLEANUP(mem_freep)
        char *what = nearest ? string_format("there is no command \"%s\"; did you mean \"%s\"?",
                                             name, nearest)
                             : string_format("there is no command \"%s\"", name);
        complain(what, NULL);
        return NULL;
    }
    bool is_internal =
        text_equal(name, "run") && options->n_words > 0 && text_equal(options->words[0], "exec");
    if (options->n_words < command->min_words ||
        (options->n_words > command->max_words && !is_internal)) {
        fprintf(stderr, "parley: usage: parley %s %s\n", command->name, command->arguments);
        return NULL;
    }
    return command;
}

struct start {
    struct cli cli;
    const struct command *command;
    int exit_code;
};

static void start_main(void *argument)
{
    struct start *start = argument;
    start->exit_code = start->command->run(&start->cli);
    service_close(start->cli.service);
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

int cli_open(struct cli *cli)
{
    struct error err = {0};
    struct diagnostics diagnostics = {0};
    struct service_options options = {cli->options.home, cli->options.site, cli->line};
    int r = service_open(cli->loop, &options, &cli->service, &diagnostics, &err);
    if (r < 0)
        cli_print_diagnostics(&diagnostics, NULL, NULL);
    diagnostics_done(&diagnostics);
    return r < 0 ? cli_fail(cli, &err) : 0;
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
    value_builder_done(&start->cli.options.variables);
    return start->exit_code;
}

int main(int argc, char **argv)
{
    struct start start = {0};
    const char *name;
    signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files is an error like a full disk, and no death. */
    signal(SIGXFSZ, SIG_IGN);
    /* Secrets must not land in a core file. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (sodium_init() < 0)
        return complain("the cryptographic library does not start", NULL);
    if (argc == 2 && text_equal(argv[1], "--version")) {
        printf("parley %s\n", PARLEY_VERSION);
        return 0;
    }
    if (parse(&start.cli.options, argv, argc, &name) != 0)
        return EXIT_ERROR;
    if (start.cli.options.help || !name) {
        print_help();
        return start.cli.options.help ? 0 : EXIT_ERROR;
    }
    start.command = need_command(&start.cli.options, name);
    return start.command ? run_command(&start, argv, argc) : EXIT_ERROR;
}
