#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "model/json.h"

#include <stdio.h>

void cli_print_json(const struct value *value)
{
    CLEANUP(mem_freep) char *text = json_pretty(value);
    puts(text);
}

void cli_print_answer(struct cli *cli, const struct value *answer,
                      void (*render)(const struct value *answer, struct strbuf *buffer))
{
    struct strbuf buffer = {0};
    if (cli->options.json) {
        cli_print_json(answer);
        return;
    }
    render(answer, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    strbuf_done(&buffer);
}

static void print_diagnostics(const struct diagnostics *diagnostics, const char *file,
                              const char *text)
{
    struct strbuf buffer = {0};
    diagnostics_write(diagnostics, file, text, &buffer);
    fputs(strbuf_text(&buffer), stderr);
    if (diagnostics->n_errors > 0)
        fprintf(stderr, "%zu error%s\n", diagnostics->n_errors,
                diagnostics->n_errors == 1 ? "" : "s");
    strbuf_done(&buffer);
}

static void print_error_as_json(const struct error *err, const struct diagnostics *diagnostics)
{
    struct value_builder inner = {0};
    value_builder_set_string(&inner, "code", error_code_to_string(err->code));
    value_builder_set_string(&inner, "message", error_message(err));
    value_builder_set_string(&inner, "advice", error_code_advice(err->code));
    if (diagnostics->n_items > 0)
        value_builder_set(&inner, "diagnostics", diagnostics_to_value(diagnostics));
    struct value_builder outer = {0};
    value_builder_set(&outer, "error", value_builder_map(&inner));
    CLEANUP(value_unrefp) struct value *value = value_builder_map(&outer);
    CLEANUP(mem_freep) char *text = json_text(value);
    puts(text);
}

static int exit_code_of(enum error_code code)
{
    switch (code) {
    case ERROR_APPROVAL_NEEDED:
        return EXIT_APPROVAL_NEEDED;
    case ERROR_CANCELLED:
        return EXIT_CANCELLED;
    default:
        return EXIT_ERROR;
    }
}

/* With the faults of a document, which are on stderr already where people read. */
static int fail(struct cli *cli, struct error *err, const struct diagnostics *diagnostics)
{
    int exit_code = exit_code_of(err->code);
    if (cli->options.json)
        print_error_as_json(err, diagnostics);
    else
        fprintf(stderr, "parley: %s\n  %s\n", error_message(err), error_code_advice(err->code));
    error_done(err);
    return exit_code;
}

int cli_fail(struct cli *cli, struct error *err)
{
    return fail(cli, err, &(struct diagnostics){0});
}

int cli_open(struct cli *cli)
{
    struct error err = {0};
    struct diagnostics diagnostics = {0};
    struct service_options options = {cli->options.home, cli->options.site, cli->line};
    int r = service_open(cli->loop, &options, &cli->service, &diagnostics, &err);
    if (r == 0 || !cli->options.json)
        print_diagnostics(&diagnostics, NULL, NULL);
    if (r < 0)
        r = fail(cli, &err, &diagnostics);
    diagnostics_done(&diagnostics);
    return r;
}

/* What a verb tells of its work: the passes of planning. */
/* What goes on while a plan is made: its passes with --trace, and at a terminal how much is read.
 */
static void print_planning(void *argument, const struct value *event)
{
    struct cli *cli = argument;
    const char *pass = value_get_text(event, "pass");
    if (cli->options.trace && pass)
        fprintf(stderr, "pass %-10s %lld steps, %lld kept\n", pass,
                (long long)value_get_integer(event, "steps", 0),
                (long long)value_get_integer(event, "kept", 0));
    if (pass || cli->options.json || !cli->is_terminal)
        return;
    fprintf(stderr, "\r  reading what is there: %lld of %lld\033[K",
            (long long)value_get_integer(event, "read", 0),
            (long long)value_get_integer(event, "of", 0));
    cli->has_reading_line = true;
}

/* The document that the answer's diagnostics are about. */
static const char *document_of(const struct cli *cli, const struct verb_answer *answer)
{
    const char *edited = answer->edit ? value_get_text(answer->edit, "document") : NULL;
    const char *given = value_get_text(cli->options.input, "document");
    const char *document = edited ? edited : given ? given : cli->options.word;
    /* A merge with later revisions has a name of its own. */
    for (size_t i = 0; document && i < answer->diagnostics.n_items; i++) {
        const char *file = answer->diagnostics.items[i].file;
        if (file && text_starts_with(file, document))
            return file;
    }
    return document;
}

int cli_ask(struct cli *cli, const char *verb, struct verb_answer *ret_answer)
{
    bool is_heard = cli->options.trace || cli->is_terminal;
    bool is_plan = text_starts_with(verb, "plan_");
    return cli_ask_and_hear(cli, verb, is_plan && is_heard ? print_planning : NULL, cli,
                            ret_answer);
}

int cli_ask_and_hear(struct cli *cli, const char *verb, event_sink sink, void *argument,
                     struct verb_answer *ret_answer)
{
    struct error err = {0};
    struct verb_call call = {
        .input = cli->options.input,
        .sink = sink,
        .argument = argument,
    };
    int r = verb_run(cli->service, verb_find(verb), &call, ret_answer, &err);
    if (cli->has_reading_line)
        fputs("\r\033[K", stderr);
    cli->has_reading_line = false;
    if (!cli->options.json)
        print_diagnostics(&ret_answer->diagnostics, document_of(cli, ret_answer), ret_answer->text);
    return r < 0 ? fail(cli, &err, &ret_answer->diagnostics) : 0;
}

int cli_ask_plan(struct cli *cli, const char *verb, struct plan **ret_plan)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, verb, &answer);
    if (r == 0)
        *ret_plan = take_ptr(answer.plan);
    verb_answer_done(&answer);
    return r;
}
