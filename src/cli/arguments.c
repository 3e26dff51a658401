/* Words and options, and help about them: the door's own, and those of the verbs' rows. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WORDS = 8, MAX_GIVEN = 64 };

/* An option of the door. Exactly one place is set. */
static const struct door_option {
    const char *word;
    const char *shown; /* what its value is called; NULL: it is a flag */
    const char *summary;
    unsigned int group;
    size_t place; /* of its field in struct options */
} door_options[] = {
#define PLACE(field) offsetof(struct options, field)
    {"--yes", NULL, "approve without being asked", OPTIONS_APPLY | OPTIONS_APPROVE, PLACE(yes)},
    {"--approve", "HASH", "approve exactly the plan with this hash",
     OPTIONS_APPLY | OPTIONS_APPROVE, PLACE(approve)},
    {"--confirm", "NAME",
     "the deployment's name, for what destroys a production or gives things up",
     OPTIONS_APPLY | OPTIONS_CONFIRM, PLACE(confirm)},
    {"--expires", "DURATION", "with --key: how long the approval lasts: 15m", OPTIONS_SIGN,
     PLACE(expires)},
    {"--rollback", NULL, "when it succeeds only in part, go the way back", OPTIONS_APPLY,
     PLACE(rollback)},
    {"--revert", "NUMBERS", "with --yes: later revisions, or others', that it may undo: 3,4",
     OPTIONS_APPLY, PLACE(revert)},
    {"-o", "FILE", "write it to this file", OPTIONS_PLAN | OPTIONS_FILE, PLACE(output)},
    {"--trace", NULL, "show the passes of planning", OPTIONS_PLAN | OPTIONS_APPLY, PLACE(trace)},
    {"--detailed-exitcode", NULL, "exit with 2 when there are changes", OPTIONS_PLAN,
     PLACE(detailed_exit_code)},
    {"--dot", NULL, "in the language of graphviz, as it is without this, too", OPTIONS_GRAPH,
     PLACE(dot)},
    {"--all", NULL, "show every step, however many there are", OPTIONS_VIEW, PLACE(all)},
    {"--page", "N", "show this page of the steps", OPTIONS_VIEW, PLACE(page)},
    {"--type", "TYPE", "show only steps of this type", OPTIONS_VIEW, PLACE(type)},
    {"--only", "KINDS", "show only steps of these kinds: create,delete", OPTIONS_VIEW, PLACE(only)},
    {"--reveal", NULL, "show the text of a secret one", OPTIONS_REVEAL, PLACE(reveal)},
    {"--yes-show-it", NULL, "also where no terminal shows it: it goes into the pipe or file",
     OPTIONS_REVEAL | OPTIONS_SHOW, PLACE(shows_it)},
    {"--listen", "ADDRESS:PORT", "where (default: as the site says, or 127.0.0.1:7420)",
     OPTIONS_SERVE, PLACE(place.listen)},
    {"--certificate", "FILE", "the certificate's chain in PEM; needed but on this machine alone",
     OPTIONS_SERVE, PLACE(place.certificate)},
    {"--key", "FILE", "serve: the certificate's key in PEM; approve: the key to sign with",
     OPTIONS_SERVE | OPTIONS_SIGN, PLACE(place.key)},
    {"--host", "NAME", "a name by which clients reach it, beside localhost", OPTIONS_SERVE,
     PLACE(place.host)},
    {"--tokens", "FILE",
     "who may come (default: as the site says, or tokens.yaml in the state folder)", OPTIONS_SERVE,
     PLACE(place.tokens)},
    {"--resume", NULL, "go on with it", OPTIONS_HIDDEN, PLACE(resume)},
    {"--json", NULL, "answer in JSON: one document, or a line for each event", OPTIONS_ALL,
     PLACE(json)},
    {"--home", "DIR", "the state folder (default: $PARLEY_HOME, $XDG_STATE_HOME/parley)",
     OPTIONS_ALL, PLACE(home)},
    {"--site", "FILE", "the site (default: $PARLEY_SITE, ./parley.yaml; none: all on this machine)",
     OPTIONS_ALL, PLACE(site)},
    {"--help", NULL, "this help; of a command when one is named", OPTIONS_ALL, PLACE(help)},
    {"-h", NULL, NULL, OPTIONS_ALL, PLACE(help)},
};

/* An option as it was typed. */
struct given {
    const char *word;
    size_t length; /* of the word without "=VALUE" */
    const struct door_option *door;
    const struct verb_input *input;
    const char *value; /* NULL of a flag */
};

/* What was typed, before it is known which command it belongs to. */
struct typed {
    const char *words[MAX_WORDS];
    size_t n_words;
    struct given given[MAX_GIVEN];
    size_t n_given;
};

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("parley: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\n  \"parley --help\" lists commands and options\n", stderr);
    return EXIT_ERROR;
}

static bool is_word(const char *word, const char *typed, size_t length)
{
    return strlen(word) == length && memcmp(word, typed, length) == 0;
}

static const struct door_option *find_door_option(const char *typed, size_t length)
{
    for (size_t i = 0; i < ARRAY_LENGTH(door_options); i++)
        if (is_word(door_options[i].word, typed, length))
            return &door_options[i];
    return NULL;
}

/* The input of a verb that this option sets, or NULL. */
static const struct verb_input *find_input_option(const struct verb *verb, const char *typed,
                                                  size_t length)
{
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++)
        if (verb->inputs[i].option && is_word(verb->inputs[i].option, typed, length))
            return &verb->inputs[i];
    return NULL;
}

static const struct verb_input *find_any_input_option(const char *typed, size_t length)
{
    const struct verb_input *input = NULL;
    for (size_t i = 0; i < verb_count() && !input; i++)
        input = find_input_option(verb_at(i), typed, length);
    return input;
}

/* An option, as "--x", "--x VALUE" or "--x=VALUE"; steps *i over what it takes. */
static int take_option(struct typed *typed, char **arguments, int count, int *i)
{
    struct given given = {.word = arguments[*i], .length = strcspn(arguments[*i], "=")};
    given.door = find_door_option(given.word, given.length);
    if (!given.door)
        given.input = find_any_input_option(given.word, given.length);
    if (!given.door && !given.input)
        return complain("there is no option %s", given.word);
    bool is_flag = given.door ? !given.door->shown : given.input->kind == INPUT_FLAG;
    bool has_value = given.word[given.length] == '=';
    if (is_flag && has_value)
        return complain("%.*s takes no value", (int)given.length, given.word);
    if (has_value)
        given.value = given.word + given.length + 1;
    else if (!is_flag && *i + 1 < count)
        given.value = arguments[++*i];
    if (!is_flag && !given.value)
        return complain("a value is missing after %s", given.word);
    if (typed->n_given == MAX_GIVEN)
        return complain("there are more than %d options", MAX_GIVEN);
    typed->given[typed->n_given++] = given;
    return 0;
}

/* "twin exec" is followed by a command of its own, whose options are not ours. */
static bool takes_rest(const struct typed *typed)
{
    return typed->n_words == 2 && text_equal(typed->words[0], "twin") &&
           text_equal(typed->words[1], "exec");
}

static int take_arguments(struct typed *typed, char **arguments, int count, struct options *options)
{
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        if (takes_rest(typed)) {
            options->rest = arguments + i;
            options->n_rest = (size_t)(count - i);
            return 0;
        }
        if (word[0] == '-' && word[1] != '\0') {
            if (take_option(typed, arguments, count, &i) != 0)
                return EXIT_ERROR;
        } else if (typed->n_words == MAX_WORDS) {
            return complain("too many words, from %s", word);
        } else {
            typed->words[typed->n_words++] = word;
        }
    }
    return 0;
}

/* --- The command --- */

static int complain_of_command(const char *name)
{
    const char **names = NEW_ARRAY(const char *, command_count());
    for (size_t i = 0; i < command_count(); i++)
        names[i] = command_at(i)->name;
    const char *nearest = text_nearest(name, names, command_count());
    mem_free(names);
    return nearest ? complain("there is no command \"%s\"; did you mean \"%s\"?", name, nearest)
                   : complain("there is no command \"%s\"", name);
}

/* "run" alone is no command, but some begin with it: says which. False when none does. */
static bool complain_of_group(const char *word)
{
    CLEANUP(mem_freep) char *prefix = string_format("%s ", word);
    struct strbuf names = {0};
    for (size_t i = 0; i < command_count(); i++)
        if (text_starts_with(command_at(i)->name, prefix) &&
            !(command_at(i)->groups & OPTIONS_HIDDEN))
            strbuf_addf(&names, "%s%s", names.length ? ", " : "", command_at(i)->name);
    bool is_group = names.length > 0;
    if (is_group)
        complain("\"%s\" needs a second word: %s", word, strbuf_text(&names));
    strbuf_done(&names);
    return is_group;
}

/* An option that makes another command of a word: "import --list". */
static const struct command *find_by_option(const struct typed *typed)
{
    const struct command *command = NULL;
    for (size_t i = 0; i < typed->n_given && !command; i++) {
        CLEANUP(mem_freep)
        char *name = string_format("%s %.*s", typed->words[0], (int)typed->given[i].length,
                                   typed->given[i].word);
        command = command_find(name);
    }
    return command;
}

/* By one word or by two, or a word and an option; *ret_n_used says how many words. */
static int choose_command(const struct typed *typed, const struct command **ret_command,
                          size_t *ret_n_used)
{
    const struct command *command = find_by_option(typed);
    *ret_n_used = 1;
    if (!command)
        command = command_find(typed->words[0]);
    if (!command && typed->n_words > 1) {
        CLEANUP(mem_freep) char *name = string_format("%s %s", typed->words[0], typed->words[1]);
        command = command_find(name);
        *ret_n_used = 2;
    }
    if (!command && !complain_of_group(typed->words[0]))
        complain_of_command(typed->words[0]);
    *ret_command = command;
    return command ? 0 : EXIT_ERROR;
}

static const struct verb *verb_of(const struct command *command)
{
    return command->verb ? verb_find(command->verb) : NULL;
}

/* Given as a word after the command; what has neither an option nor a name to show is other doors'.
 */
static bool is_given_as_word(const struct verb_input *field)
{
    return !field->option && field->shown;
}

static void write_usage(const struct command *command, struct strbuf *buffer)
{
    const struct verb *verb = verb_of(command);
    strbuf_add(buffer, command->name);
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++)
        if (is_given_as_word(&verb->inputs[i]))
            strbuf_addf(buffer, verb->inputs[i].is_required ? " %s" : " [%s]",
                        verb->inputs[i].shown);
    if (verb && verb->inputs[0].option && verb->inputs[0].is_required &&
        text_ends_with(command->name, verb->inputs[0].option))
        strbuf_addf(buffer, " %s", verb->inputs[0].shown);
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++)
        if (verb->inputs[i].kind == INPUT_LIST && !verb->inputs[i].option)
            strbuf_add(buffer, " ...");
    if (text_equal(command->name, "twin exec"))
        strbuf_add(buffer, " HOST COMMAND ...");
}

static int complain_of_usage(const struct command *command)
{
    struct strbuf usage = {0};
    write_usage(command, &usage);
    fprintf(stderr, "parley: usage: parley %s\n  \"parley %s --help\" says more\n",
            strbuf_text(&usage), command->name);
    strbuf_done(&usage);
    return EXIT_ERROR;
}

/* The words after the command are the verb's, in their order. */
static int take_words(const struct command *command, const char *const *words, size_t n_words,
                      struct value_builder *input)
{
    const struct verb *verb = verb_of(command);
    size_t n_used = 0;
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++) {
        const struct verb_input *field = &verb->inputs[i];
        if (!is_given_as_word(field))
            continue;
        if (field->kind == INPUT_LIST && n_used < n_words) {
            struct value_builder list = {0};
            while (n_used < n_words)
                value_builder_append(&list, value_string(words[n_used++]));
            value_builder_set(input, field->name, value_builder_list(&list));
        } else if (n_used < n_words)
            value_builder_set(input, field->name, value_string(words[n_used++]));
        else if (field->is_required)
            return complain_of_usage(command);
    }
    return verb && n_used < n_words ? complain_of_usage(command) : 0;
}

static int add_setting(const struct given *given, struct value_builder *maps)
{
    const char *equals = strchr(given->value, '=');
    if (!equals || equals == given->value)
        return complain("%s needs %s, not %s", given->input->option, given->input->shown,
                        given->value);
    CLEANUP(mem_freep)
    char *name = string_copy_n(given->value, (size_t)(equals - given->value));
    value_builder_set(maps, name, value_string(equals + 1));
    return 0;
}

static void set_door_option(const struct given *given, struct options *options)
{
    char *place = (char *)options + given->door->place;
    if (given->door->shown)
        *(const char **)(void *)place = given->value;
    else
        *(bool *)(void *)place = true;
}

/* Gives the options to the door, or to the verb whose they are. */
static int take_options(const struct typed *typed, struct options *options,
                        struct value_builder *input)
{
    const struct verb *verb = verb_of(options->command);
    struct value_builder settings = {0};
    struct value_builder items = {0};
    const char *settings_name = NULL;
    const char *items_name = NULL;
    int r = 0;
    for (size_t i = 0; i < typed->n_given && r == 0; i++) {
        struct given given = typed->given[i];
        if (given.door && (given.door->group & (options->command->groups | OPTIONS_ALL))) {
            set_door_option(&given, options);
            continue;
        }
        given.input = find_input_option(verb, given.word, given.length);
        if (!given.input) {
            r = complain("parley %s has no option %.*s", options->command->name, (int)given.length,
                         given.word);
        } else if (given.input->kind == INPUT_MAP) {
            settings_name = given.input->name;
            r = add_setting(&given, &settings);
        } else if (given.input->kind == INPUT_LIST) {
            items_name = given.input->name;
            value_builder_append(&items, value_string(given.value));
        } else {
            value_builder_set(input, given.input->name,
                              given.value ? value_string(given.value) : value_bool(true));
        }
    }
    if (settings_name)
        value_builder_set(input, settings_name, value_builder_map(&settings));
    if (items_name)
        value_builder_set(input, items_name, value_builder_list(&items));
    return r;
}

/* Help wins over everything else that was typed. */
static bool is_help_wanted(const struct typed *typed, const struct options *options)
{
    for (size_t i = 0; i < typed->n_given; i++)
        if (typed->given[i].door && typed->given[i].door->place == PLACE(help))
            return true;
    return options->n_rest > 0 &&
           (text_equal(options->rest[0], "--help") || text_equal(options->rest[0], "-h"));
}

int options_parse(char **arguments, int count, struct options *ret_options)
{
    struct typed typed = {0};
    struct value_builder input = {0};
    size_t n_used = 0;
    int r = take_arguments(&typed, arguments, count, ret_options);
    if (r != 0)
        return r;
    ret_options->help = is_help_wanted(&typed, ret_options);
    if (typed.n_words == 0)
        return 0;
    r = choose_command(&typed, &ret_options->command, &n_used);
    if (r != 0 || ret_options->help)
        return r;
    ret_options->word = typed.n_words > n_used ? typed.words[n_used] : NULL;
    r = take_words(ret_options->command, typed.words + n_used, typed.n_words - n_used, &input);
    if (r == 0)
        r = take_options(&typed, ret_options, &input);
    ret_options->input = value_builder_map(&input);
    return r;
}

void options_done(struct options *options)
{
    value_unref(options->input);
    options->input = NULL;
}

/* --- Help --- */

static void print_option(const char *word, const char *shown, const char *summary)
{
    CLEANUP(mem_freep)
    char *both = string_format("%s%s%s", word, shown ? " " : "", shown ? shown : "");
    printf("  %-22s %s\n", both, summary);
}

static void print_door_options(unsigned int groups)
{
    for (size_t i = 0; i < ARRAY_LENGTH(door_options); i++)
        if (door_options[i].summary && (door_options[i].group & groups))
            print_option(door_options[i].word, door_options[i].shown, door_options[i].summary);
}

static void print_command_help(const struct command *command)
{
    const struct verb *verb = verb_of(command);
    struct strbuf usage = {0};
    write_usage(command, &usage);
    printf("Usage: parley %s [OPTIONS]\n\n%s\n\n", strbuf_text(&usage),
           command->summary ? command->summary : verb->summary);
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++)
        if (is_given_as_word(&verb->inputs[i]))
            printf("  %-22s %s\n", verb->inputs[i].shown, verb->inputs[i].summary);
    printf("\nOptions:\n");
    for (size_t i = 0; verb && i < verb_count_inputs(verb); i++)
        if (verb->inputs[i].option)
            print_option(verb->inputs[i].option, verb->inputs[i].shown, verb->inputs[i].summary);
    print_door_options(command->groups);
    print_door_options(OPTIONS_ALL);
    strbuf_done(&usage);
}

static void print_commands(void)
{
    for (size_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        struct strbuf usage = {0};
        write_usage(command, &usage);
        if (!(command->groups & OPTIONS_HIDDEN))
            printf("  %-27s %s\n", strbuf_text(&usage),
                   command->summary ? command->summary : verb_of(command)->summary);
        strbuf_done(&usage);
    }
}

void options_print_help(const struct command *command)
{
    if (command) {
        print_command_help(command);
        return;
    }
    printf("parley: infrastructure as conversation\n\n"
           "Usage: parley COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n");
    print_commands();
    printf("\nOptions of all commands (\"parley COMMAND --help\" lists its own):\n");
    print_door_options(OPTIONS_ALL);
    print_option("--version", NULL, "the program's version");
    printf("\nExit codes: 0 done or nothing to do, 1 error, 2 changes pending, 3 approval needed, "
           "4 applied in\npart, 130 cancelled.\n");
}
