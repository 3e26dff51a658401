/* parley secret list|reveal, parley output --reveal */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "model/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_DIGITS = 12 };

static void write_source(const struct value *source, struct strbuf *buffer)
{
    const char *kind = value_key_at(source, 0);
    const struct value *what = value_at(source, 0);
    strbuf_add(buffer, kind);
    if (value_kind(what) == VALUE_STRING) {
        strbuf_addf(buffer, " %s", value_text(what));
    } else if (value_kind(what) == VALUE_LIST) {
        for (size_t i = 0; i < value_count(what); i++)
            strbuf_addf(buffer, " %s", value_text(value_at(what, i)));
    } else {
        strbuf_addf(buffer, ", %lld %s", (long long)value_get_integer(what, "length", 0),
                    value_get_text(what, "alphabet"));
        int64_t generation = value_get_integer(what, "generation", 1);
        if (generation > 1)
            strbuf_addf(buffer, ", generation %lld", (long long)generation);
    }
}

void render_secrets(const struct value *secrets, struct strbuf *buffer)
{
    if (value_count(secrets) == 0)
        strbuf_add(buffer, "No secrets.\n");
    for (size_t i = 0; i < value_count(secrets); i++) {
        const struct value *secret = value_at(secrets, i);
        const char *digest = value_get_text(secret, "digest");
        const char *colon = digest ? strchr(digest, ':') : NULL;
        bool is_made = value_get(secret, "made_at") != NULL;
        strbuf_addf(buffer, "%s  %.*s  ", value_get_text(secret, "name"), SHOWN_DIGITS,
                    colon ? colon + 1 : "-");
        strbuf_add(buffer, is_made ? "made " : "read ");
        render_time(secret, is_made ? "made_at" : "read_at", buffer);
        strbuf_add(buffer, "  ");
        write_source(value_get(secret, "source"), buffer);
        strbuf_add(buffer, value_get_bool(secret, "is_former", false) ? "  (former)\n" : "\n");
    }
}

/* --- Showing one --- */

/* Past stdio, whose buffer nobody wipes. */
static int write_out(void *argument, const struct value *shown, struct error *err)
{
    const struct cli *cli = argument;
    struct strbuf text = {0};
    if (!cli->options.json && value_kind(shown) == VALUE_STRING)
        strbuf_add(&text, value_text(shown));
    else
        json_write(&text, shown);
    strbuf_add_char(&text, '\n');
    int r = 0;
    for (size_t n = 0; r == 0 && n < text.length;) {
        ssize_t written = write(STDOUT_FILENO, text.text + n, text.length - n);
        if (written < 0 && errno != EINTR)
            r = error_set_errno(err, errno, "write the text of a secret");
        n += written > 0 ? (size_t)written : 0;
    }
    strbuf_done(&text);
    return r;
}

/* A pipe or file keeps what nobody looks at: that has to be meant. */
static int check_shown(const struct cli *cli, struct error *err)
{
    if (cli->options.shows_it || isatty(STDOUT_FILENO))
        return 0;
    return error_set(err, ERROR_APPROVAL_NEEDED,
                     "the text of a secret would go into a pipe or file, since no terminal shows "
                     "it; nothing was shown: add --yes-show-it if that is meant");
}

int command_secret_reveal(struct cli *cli)
{
    struct error err = {0};
    const struct secret_showing showing = {write_out, cli};
    const char *word = value_get_text(cli->options.input, "deployment");
    const char *name = value_get_text(cli->options.input, "secret");
    int r = check_shown(cli, &err);
    if (r == 0)
        r = service_reveal_secret(cli->service, name ? word : NULL, name ? name : word, &showing,
                                  &err);
    return r < 0 ? cli_fail(cli, &err) : EXIT_DONE;
}

int command_output(struct cli *cli)
{
    struct error err = {0};
    struct verb_answer answer = {0};
    const struct secret_showing showing = {write_out, cli};
    const char *name = value_get_text(cli->options.input, "output");
    int r = cli_ask(cli, "output_show", &answer);
    bool is_secret = r == 0 && answer.value && value_has_secret(answer.value);
    if (r == 0 && (!cli->options.reveal || !is_secret)) {
        cli_print_answer(cli, answer.value, render_value);
    } else if (r == 0) {
        int shown = name ? check_shown(cli, &err)
                         : error_set(&err, ERROR_INVALID,
                                     "--reveal shows one output: say which after the deployment");
        if (shown == 0)
            shown = service_reveal_output(cli->service,
                                          value_get_text(cli->options.input, "deployment"), name,
                                          &showing, &err);
        r = shown < 0 ? cli_fail(cli, &err) : EXIT_DONE;
    }
    verb_answer_done(&answer);
    return r;
}
