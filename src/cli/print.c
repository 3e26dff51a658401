#include "base/memory.h"
#include "cli/cli.h"
#include "model/json.h"

#include <stdio.h>

void cli_print_json(const struct value *value)
{
    CLEANUP(mem_freep) char *text = json_pretty(value);
    puts(text);
}

void cli_print_diagnostics(const struct diagnostics *diagnostics, const char *file,
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

static struct value *error_to_value(const struct error *err)
{
    struct value_builder inner = {0};
    value_builder_set_string(&inner, "code", error_code_to_string(err->code));
    value_builder_set_string(&inner, "message", error_message(err));
    value_builder_set_string(&inner, "advice", error_code_advice(err->code));
    struct value_builder outer = {0};
    value_builder_set(&outer, "error", value_builder_map(&inner));
    return value_builder_map(&outer);
}

int cli_fail(struct cli *cli, struct error *err)
{
    enum error_code code = err->code;
    if (cli->options.json) {
        CLEANUP(value_unrefp) struct value *value = error_to_value(err);
        CLEANUP(mem_freep) char *text = json_text(value);
        puts(text);
    } else {
        fprintf(stderr, "parley: %s\n  %s\n", error_message(err), error_code_advice(code));
    }
    error_done(err);
    switch (code) {
    case ERROR_APPROVAL_NEEDED:
        return EXIT_APPROVAL_NEEDED;
    case ERROR_CANCELLED:
        return EXIT_CANCELLED;
    default:
        return EXIT_ERROR;
    }
}
