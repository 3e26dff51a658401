/* The commands that edit documents: set, undo, pull. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NEW_FILE_MODE = 0644 };

int cli_write_document(const char *path, const char *text, struct error *err)
{
    struct stat status;
    char *resolved = realpath(path, NULL);
    bool is_there = resolved && stat(resolved, &status) == 0;
    int r = world_write_file(resolved ? resolved : path, text, strlen(text),
                             is_there ? status.st_mode & 07777 : NEW_FILE_MODE, true, err);
    free(resolved);
    return r;
}

static void print_diff(const struct cli *cli, const struct value *edit)
{
    struct strbuf buffer = {0};
    if (cli->options.json)
        return;
    render_diff(value_get_text(edit, "document"), value_get_text(edit, "before"),
                value_get_text(edit, "after"), &buffer);
    if (buffer.length > 0)
        printf("%s\n", strbuf_text(&buffer));
    strbuf_done(&buffer);
}

/* Whichever plan its verb makes of an edited text; a file is written once that is approved. */
int command_edit(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, cli->options.command->verb, &answer);
    if (r == 0) {
        print_diff(cli, answer.edit);
        if (value_get_bool(answer.edit, "writes", false)) {
            cli->document_path = value_get_text(answer.edit, "document");
            cli->document_text = value_get_text(answer.edit, "after");
        }
        r = cli_carry_out(cli, answer.plan);
    }
    verb_answer_done(&answer);
    return r;
}

static void tell_pulled(struct cli *cli, const char *path, const struct value *edit,
                        bool is_changed)
{
    if (cli->options.json) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "file", path);
        value_builder_set(&fields, "revision",
                          value_integer(value_get_integer(edit, "revision", 0)));
        value_builder_set(&fields, "changed", value_bool(is_changed));
        CLEANUP(value_unrefp) struct value *answer = value_builder_map(&fields);
        cli_print_json(answer);
        return;
    }
    printf("%s %s revision %lld.\n", path, is_changed ? "is now at" : "was already at",
           (long long)value_get_integer(edit, "revision", 0));
}

static int put_pulled(struct cli *cli, const struct value *edit)
{
    struct error err = {0};
    const char *after = value_get_text(edit, "after");
    const char *document = value_get_text(cli->options.input, "document");
    const char *path = document ? document : cli->options.output;
    if (!path) {
        fputs(after, stdout);
        return EXIT_DONE;
    }
    bool is_changed = !document || !text_equal(value_get_text(edit, "before"), after);
    if (is_changed && cli_write_document(path, after, &err) < 0)
        return cli_fail(cli, &err);
    if (document && *value_get_text(edit, "before"))
        print_diff(cli, edit);
    tell_pulled(cli, path, edit, is_changed);
    return EXIT_DONE;
}

int command_pull(struct cli *cli)
{
    struct error err = {0};
    struct verb_answer answer = {0};
    if (cli->options.output && value_get(cli->options.input, "document")) {
        error_set(&err, ERROR_INVALID, "give a file to bring up to date, or -o FILE, not both");
        return cli_fail(cli, &err);
    }
    int r = cli_ask(cli, "document_pull", &answer);
    if (r == 0)
        r = put_pulled(cli, answer.value);
    verb_answer_done(&answer);
    return r;
}
